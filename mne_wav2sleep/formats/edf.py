"""What EDF and BDF files say that MNE does not keep: rates of channels, gaps, the clock."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mne
import numpy as np

SUFFIXES = (".edf", ".bdf")
"""Formats whose channels have rates of their own, read by MNE at the highest one.

So does GDF, which is read at that highest rate here too: no such night is known to test with.
"""
_DRIFT_S = 0.1
"""How far a record may be from where the ones before it say. Time stamps are rounded and jitter."""
_LONGEST_GAP_S = 48 * 3600.0
_ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
NO_DATE = datetime(1985, 1, 1, tzinfo=UTC)
"""What an EDF has for a date where there is none, and MNE takes for one."""


@dataclass(frozen=True)
class _Header:
    """A header, as far as it is needed; positions are those of the EDF specification, 2.1."""

    size: int
    n_records: int
    record_s: float
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    sample_size: int


def _read_header(path: Path) -> _Header:
    """Read a header; numbers that are none raise ValueError."""
    with path.open("rb") as file:
        fixed = file.read(256)
        n_signals = int(fixed[252:256])
        fields = file.read(256 * n_signals)
    labels = [fields[16 * i : 16 * (i + 1)].decode("latin-1").strip() for i in range(n_signals)]
    counts = [int(fields[216 * n_signals + 8 * i :][:8]) for i in range(n_signals)]
    return _Header(
        256 * (n_signals + 1),
        int(fixed[236:244]),
        float(fixed[244:252]) or 1.0,
        tuple(labels),
        tuple(counts),
        3 if fixed[:1] == b"\xff" else 2,
    )


def read_rates(path: Path) -> list[tuple[str, float]]:
    """Read the label and the rate of each signal.

    MNE gives the highest rate alone, and opening the file once per channel would read all of it
    each time, for its annotations.

    Parameters
    ----------
    path : Path
        An EDF or BDF file.

    Returns
    -------
    rates : list of (str, float)
        Label and rate in Hz, in the order in which MNE reads the channels.

    Raises
    ------
    ValueError
        If the header has something else where numbers should be.
    """
    header = _read_header(path)
    return [
        (label, count / header.record_s)
        for label, count in zip(header.labels, header.counts, strict=True)
        if label not in _ANNOTATIONS
    ]


def find_cut(path: Path) -> tuple[float, float] | None:
    """Find whether a file is shorter than its header says.

    Parameters
    ----------
    path : Path
        An EDF or BDF file.

    Returns
    -------
    lengths : (float, float) or None
        Seconds of data that the header says, and that are there; None if these are all.

    Raises
    ------
    ValueError
        If the header has something else where numbers should be.
    """
    header = _read_header(path)
    record_size = sum(header.counts) * header.sample_size
    there = (path.stat().st_size - header.size) // max(record_size, 1)
    if there >= header.n_records:  # -1 while it is recorded
        return None
    return header.n_records * header.record_s, there * header.record_s


def _read_annotation_channels(path: Path, header: _Header) -> list[list[bytes]]:
    """Read the bytes of the annotation channels: a list for each record, with one per channel."""
    sizes = np.array(header.counts) * header.sample_size
    ends = np.cumsum(sizes)
    if not ends.size or ends[-1] <= 0:
        raise ValueError("there are no channels")
    data = np.memmap(path, np.uint8, mode="r", offset=header.size)
    records = data[: data.size // ends[-1] * ends[-1]].reshape(-1, ends[-1])
    spans = [
        (end - size, end)
        for label, size, end in zip(header.labels, sizes, ends, strict=True)
        if label in _ANNOTATIONS
    ]
    return [[record[first:last].tobytes() for first, last in spans] for record in records]


def read_annotations(path: Path) -> mne.Annotations:
    """Read the annotations of a file, and nothing but its annotation channels.

    :func:`mne.read_annotations` looks for them in all bytes, in which samples may look like them,
    and takes one that is not UTF-8 for an error.

    Parameters
    ----------
    path : Path
        An EDF+ or BDF+ file.

    Returns
    -------
    annotations : mne.Annotations
        Onsets count from the first record, whenever that was.

    Raises
    ------
    ValueError
        If the file is not what EDF+ says (specification, 2.2.2 and 2.2.4).
    """
    found: list[tuple[float, float, str]] = []
    zero: float | None = None
    try:
        for channels in _read_annotation_channels(path, _read_header(path)):
            for one in b"\0".join(channels).split(b"\0"):
                stamp, *texts = one.split(b"\x14")
                if not texts:
                    continue
                onset, _, duration = stamp.partition(b"\x15")
                zero = float(onset) if zero is None else zero
                found += [
                    (float(onset) - zero, float(duration or 0), _decode(text))
                    for text in texts
                    if text
                ]
    except ValueError as error:
        raise ValueError(
            f"The annotations of {path} are not as EDF+ has them ({error}). Export it again."
        ) from error
    return mne.Annotations(*([one[i] for one in found] for i in range(3)))


def _decode(text: bytes) -> str:
    """Read a text, which should be UTF-8, and often is Latin-1."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def find_gaps(path: Path) -> list[tuple[float, float]]:
    """Find where a discontinuous file (EDF+D, BDF+D) was interrupted.

    MNE reads such a file as if its records followed each other. Each record says when it began, in
    its first annotation (EDF+ specification, section 2.2.4).

    Parameters
    ----------
    path : Path
        An EDF or BDF file.

    Returns
    -------
    gaps : list of (float, float)
        Seconds of data before each gap, and its length in s; none of a continuous file.

    Raises
    ------
    ValueError
        If the file does not say when its records began, or its clock was changed.
    """
    with path.open("rb") as file:
        if file.read(197)[192:] not in (b"EDF+D", b"BDF+D"):
            return []
    try:
        header = _read_header(path)
        records = _read_annotation_channels(path, header)
        onsets = np.array([float(channels[0].split(b"\x14")[0]) for channels in records])
    except (IndexError, ValueError) as error:
        raise ValueError(
            f"{path} is a discontinuous recording, and does not say when its records began, so "
            "that stages cannot be put on the clock. Export it as a continuous file."
        ) from error
    early = onsets - onsets[:1] - np.arange(onsets.size) * header.record_s
    gaps, shift = [], 0.0
    for i in np.flatnonzero(np.abs(early) > _DRIFT_S):
        length = float(early[i]) - shift
        if length < -max(_DRIFT_S, header.record_s / 2) or length > _LONGEST_GAP_S:
            raise ValueError(
                f"{path} is a discontinuous recording whose record {i + 1} begins "
                f"{abs(length):.3g} s {'earlier' if length < 0 else 'later'} than it would without "
                "a gap: its clock was changed. Export it again, or in parts."
            )
        if length > _DRIFT_S:
            gaps.append((float(i * header.record_s), length))
            shift += length
    return gaps


def read_start(path: Path) -> tuple[datetime | None, bool]:
    """Read when a file begins, which :func:`mne.read_annotations` does not say.

    Parameters
    ----------
    path : Path
        An EDF or BDF file, one of annotations alone too.

    Returns
    -------
    start : datetime or None
        The clock on the wall, labelled UTC as MNE does; None if the header has something else
        there. Of a file of annotations alone, with the fraction of a second that its first record
        gives; of a recording without it, as MNE reads it.
    is_dated : bool
        Whether its date is one, and not what stands for none (EDF+ specification, 2.1.3.3).
    """
    with path.open("rb") as file:
        fixed = file.read(256).decode("latin-1")
    words = fixed[88:168].split()
    spelled_out = words[1] if words[:1] == ["Startdate"] and len(words) > 1 else ""
    try:
        start = datetime.strptime(fixed[168:184], "%d.%m.%y%H.%M.%S").replace(tzinfo=UTC)
    except ValueError:
        return None, False
    try:
        date = datetime.strptime(spelled_out, "%d-%b-%Y").date()
        start = datetime.combine(date, start.time(), UTC)
    except ValueError:
        # Two digits of a year are those of 1985 to 2084; strptime's, of 1969 to 2068.
        year = start.year % 100
        start = start.replace(year=year + (1900 if year >= 85 else 2000))
        is_dated = start.date() != NO_DATE.date()
    else:
        is_dated = True
    return start + timedelta(seconds=_read_fraction(path)), is_dated


def _read_fraction(path: Path) -> float:
    """Read how long after the second in its header a file of annotations alone begins."""
    try:
        header = _read_header(path)
        if set(header.labels) <= set(_ANNOTATIONS):
            with path.open("rb") as file:
                file.seek(header.size)
                fraction = float(file.read(32).split(b"\x14")[0])
            return fraction if 0 <= fraction < 1 else 0.0
    except ValueError:  # what no program should write, and MNE reads all the same
        pass
    return 0.0
