"""EDF and BDF files: header, samples, annotations, gaps and start time.

:mod:`mne` resamples all channels of a file to the highest rate, ignores gaps, and does not return
the start time of a file that holds only annotations. This module follows the EDF+ specification
(https://www.edfplus.info/specs/edfplus.html).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

import mne
import numpy as np
from numpy.typing import NDArray

from .records import Records, decode
from .start import HeaderStart, open_header, parse_start

SUFFIXES = (".edf", ".bdf")
"""Suffixes of these files. GDF, whose channels may also differ in rate, is left to MNE."""

DRIFT_S = 0.1
"""Tolerance in seconds for the onset of a record, since time stamps are rounded and jitter."""
_JUMP_S = 1.0
"""Shortest jump in seconds of the time stamps of a continuous file that counts as a pause."""
LONGEST_GAP_S = 48 * 3600.0
"""Longest plausible gap in seconds; a longer one means that the clock was changed."""
_SMALL = 1e-15
"""Step of samples whose square is far from the limits of float32; likewise its inverse."""
_ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
_VOLTS = {"µV": 1e-6, "μV": 1e-6, "\x83\xcaV": 1e-6, "uV": 1e-6, "mV": 1e-3}
"""Factors of the units that MNE converts to volts; the third unit is Shift JIS."""


def _read_number(text: bytes) -> float:
    """Parse a number in the header, which some programs write with a comma or a null byte."""
    return float(text.decode("latin-1").split("\0")[0].replace(",", ".") or "nan")


@dataclass(frozen=True)
class EdfFile:
    """An EDF or BDF file whose header has been read.

    Attributes
    ----------
    path : Path
        The file.
    fixed : bytes
        The first 256 bytes of the header.
    size : int
        Length of the header in bytes.
    n_records : int
        Number of records according to the header; -1 if the recording was not stopped properly.
    record_s : float
        Duration of a record in seconds.
    labels, units : tuple of str
        Label and unit of each channel, including annotation channels.
    ranges : array, shape (4, n_channels)
        Physical minimum and maximum in the channel's unit, digital minimum and maximum; NaN where
        the header does not contain a number.
    counts : tuple of int
        Number of samples per record of each channel.

    See Also
    --------
    open_edf : Read the header of a file.
    """

    path: Path
    fixed: bytes
    size: int
    n_records: int
    record_s: float
    labels: tuple[str, ...]
    units: tuple[str, ...]
    ranges: NDArray[np.float64]
    counts: tuple[int, ...]

    @property
    def sample_size(self) -> int:
        """Bytes per sample: 2 in EDF, 3 in BDF."""
        return 3 if self.fixed[:1] == b"\xff" else 2

    @property
    def signals(self) -> list[int]:
        """Indices of the channels that are not annotations, in the order of MNE's channels."""
        return [i for i, label in enumerate(self.labels) if label not in _ANNOTATIONS]

    @property
    def rates(self) -> list[tuple[str, float]]:
        """Label and sampling rate in Hz of each signal, in the order of MNE's channels."""
        return [(self.labels[i], self.counts[i] / self.record_s) for i in self.signals]

    @cached_property
    def _records(self) -> Records:
        """The complete records."""
        size = sum(self.counts) * self.sample_size
        if size <= 0 or min(self.counts) < 0:
            raise ValueError(
                f"The header of {self.path} gives a channel {min(self.counts, default=0)} samples "
                "per record. Export the file again."
            )
        return Records(self.path, self.size, size)

    def _find_bytes(self, channel: int) -> slice:
        """Locate the bytes of a channel in a record."""
        first = sum(self.counts[:channel]) * self.sample_size
        return slice(first, first + self.counts[channel] * self.sample_size)

    @property
    def cut(self) -> tuple[float, float] | None:
        """Seconds of data according to the header and in the file; None if none are missing."""
        if len(self._records) >= self.n_records:
            return None
        return self.n_records * self.record_s, len(self._records) * self.record_s

    def count_samples(self, signal: int) -> int:
        """Count the samples of a signal in the complete records.

        Parameters
        ----------
        signal : int
            Index into :attr:`signals`.

        Returns
        -------
        n_samples : int
            Number of samples at the recorded rate.
        """
        return len(self._records) * self.counts[self.signals[signal]]

    def read_samples(self, signal: int, start: int, stop: int) -> NDArray[np.floating]:
        """Read samples of a signal at its recorded rate, scaled as by MNE.

        Parameters
        ----------
        signal : int
            Index into :attr:`signals`.
        start, stop : int
            First sample, and the sample after the last one.

        Returns
        -------
        samples : array, shape (stop - start,)
            Samples in volts if the unit of the signal is V, mV or µV, else in its own unit. Those
            of an EDF file are float32, which rounds them by at most 1/256 of the least significant
            of their 16 bits, unless they are too large or too small for it. Others are float64.
        """
        channel = self.signals[signal]
        count = self.counts[channel]
        stop = max(min(stop, self.count_samples(signal)), start)
        low, high, digital_low, digital_high = self.ranges[:, channel]
        digital_range = digital_high - digital_low
        if not np.isfinite(digital_range) or digital_range == 0:
            digital_range = 1.0
        gain = ((high - low) or 1.0) / digital_range
        offset, unit = low - digital_low * gain, _VOLTS.get(self.units[channel], 1.0)
        # The order of operations is MNE's, so that results are equal to the last bit.
        samples = np.empty(stop - start, self._choose_type(gain * unit, offset * unit))
        at = start // count * count
        for encoded in self._records.iterate(
            self._find_bytes(channel), at // count, -(-stop // count)
        ):
            digital = decode(encoded, self.sample_size)
            part = digital[max(start - at, 0) : max(stop - at, 0)] * gain
            part += offset
            part *= unit
            first = max(at - start, 0)
            samples[first : first + part.size] = part
            at += digital.size
        return samples

    def _choose_type(self, gain: float, offset: float) -> type[np.floating]:
        """Choose the type of samples from their step and their offset, in MNE's unit."""
        smallest, largest = abs(gain), abs(gain) * 2**15 + abs(offset)
        # Squares of samples, and of differences of a step, should be far from the limits.
        is_moderate = smallest > _SMALL and largest < 1 / _SMALL
        is_exact = largest <= smallest * 2**17
        return np.float32 if self.sample_size == 2 and is_moderate and is_exact else np.float64

    @property
    def _annotation_spans(self) -> list[slice]:
        """Bytes of each annotation channel in a record."""
        channels = [i for i, label in enumerate(self.labels) if label in _ANNOTATIONS]
        return [self._find_bytes(i) for i in channels]

    @cached_property
    def annotations(self) -> mne.Annotations:
        """Annotations with onsets in seconds after the first record.

        Only the annotation channels are read. :func:`mne.read_annotations` searches all bytes of
        the file, so that it can mistake samples for annotations, and fails if a text is not UTF-8.

        Raises
        ------
        ValueError
            If the annotations violate the EDF+ specification (2.2.2 and 2.2.4).
        """
        found: list[tuple[float, float, str]] = []
        zero = self._first_stamp
        channels = [self._records.read(span) for span in self._annotation_spans]
        try:
            for parts in zip(*channels, strict=True):
                record = b"\0".join(part.tobytes() for part in parts)
                for one in record.split(b"\0"):
                    stamp, *texts = one.split(b"\x14")
                    if not texts:
                        continue
                    onset, _, duration = stamp.partition(b"\x15")
                    found += [
                        (float(onset) - zero, float(duration or 0), _decode_text(text))
                        for text in texts
                        if text
                    ]
        except ValueError as error:
            raise ValueError(
                f"The annotations of {self.path} do not follow the EDF+ specification ({error}). "
                "Export the file again."
            ) from error
        if not np.isfinite([one[:2] for one in found]).all():
            raise ValueError(
                f"The annotations of {self.path} do not follow the EDF+ specification (a time is "
                "not finite). Export the file again."
            )
        return mne.Annotations(*([one[i] for one in found] for i in range(3)))

    @cached_property
    def gaps(self) -> list[tuple[float, float]]:
        """Gaps of a discontinuous file (EDF+D, BDF+D), which MNE ignores.

        For each gap, the seconds of data before it and its length in seconds. The first annotation
        of each record contains the onset of the record (EDF+ specification, 2.2.4).

        Raises
        ------
        ValueError
            If a record has no onset, or the clock was changed during the recording.
        """
        if self.fixed[192:197] not in (b"EDF+D", b"BDF+D"):
            return []
        try:
            delays = self._read_delays()
        except (IndexError, ValueError) as error:
            raise ValueError(
                f"{self.path} is a discontinuous recording without the onsets of its records, so "
                "that stages cannot be assigned to clock times. Export it as a continuous file."
            ) from error
        gaps, shift = [], 0.0
        for i in np.flatnonzero(np.abs(delays) > DRIFT_S):
            length = float(delays[i]) - shift
            if length < -max(DRIFT_S, self.record_s / 2) or length > LONGEST_GAP_S:
                raise ValueError(
                    f"{self.path} is a discontinuous recording whose record {i + 1} begins "
                    f"{abs(length):.3g} s {'earlier' if length < 0 else 'later'} than it would "
                    "without a gap: its clock was changed. Export it again, or in parts."
                )
            if length > DRIFT_S:
                gaps.append((float(i * self.record_s), length))
                shift += length
        return gaps

    def _read_delays(self) -> NDArray[np.float64]:
        """Read how much later each record begins than it would without gaps, in seconds."""
        texts = self._records.read(self._annotation_spans[0])
        stamps = [text.tobytes().partition(b"\x14")[0] for text in texts]
        onsets = np.array([float(stamp) for stamp in stamps])
        if not np.isfinite(onsets).all():
            raise ValueError("a time stamp is not finite")
        return np.asarray(onsets - onsets[:1] - np.arange(onsets.size) * self.record_s)

    def find_jumps(self) -> list[tuple[float, float]]:
        """Find where a continuous file (EDF+C, BDF+C) was paused according to its time stamps.

        Returns
        -------
        jumps : list of (float, float)
            For each jump, the seconds of data before it and its length in seconds. Empty if the
            time stamps cannot be read or do not count seconds, since they are not needed.
        """
        if self.fixed[192:197] not in (b"EDF+C", b"BDF+C"):
            return []
        try:
            jumps = np.diff(self._read_delays())
        except (IndexError, ValueError):
            return []
        # A longer one is a wrong time stamp.
        is_pause = (jumps > max(_JUMP_S, self.record_s / 2)) & (jumps <= LONGEST_GAP_S)
        found = np.flatnonzero(is_pause)
        if found.size > jumps.size / 2:
            return []
        return [((int(i) + 1) * self.record_s, float(jumps[i])) for i in found]

    @cached_property
    def _first_stamp(self) -> float:
        """Onset of the first record in s after the time in the header, 0 unless it has one.

        It is in the first annotation, which has no text (EDF+ specification, 2.2.4). Some files
        leave it out, and begin with an annotation of another time.
        """
        spans = self._annotation_spans
        if not spans or min(self.counts) < 0 or not len(self._records):
            return 0.0
        first, _, _ = self._records.read(spans[0], 0, 1).tobytes().partition(b"\0")
        stamp, *texts = first.split(b"\x14", 2)
        try:
            return float(stamp.partition(b"\x15")[0]) if texts and not texts[0] else 0.0
        except ValueError:  # not valid EDF+, but MNE reads such files
            return 0.0

    def read_start(self) -> HeaderStart:
        """Read the start time, which :func:`mne.read_annotations` does not return.

        Returns
        -------
        start : HeaderStart
            Time of the first record. It includes the time stamp of that record, except, in a
            recording, a fraction of a second, as in MNE.
        """
        start, stamp = parse_start(self.fixed), self._first_stamp
        if start.time is None or not stamp or (self.signals and abs(stamp) < 1):
            return start
        if not abs(stamp) < LONGEST_GAP_S:
            doubt = f"is followed by a first record at {stamp:.6g} s, which is not a plausible time"
            return HeaderStart(None, False, doubt)
        return start._replace(time=start.time + timedelta(seconds=stamp))

    def is_read_as(self, date: datetime | None) -> bool:
        """Find out whether MNE reads a start time from the header.

        Parameters
        ----------
        date : datetime or None
            The start time.

        Returns
        -------
        is_read_as : bool
            False also if that cannot be found out.
        """
        try:
            size = self.size + sum(self.counts) * self.sample_size  # one record
            size = min(size, self.path.stat().st_size)
            return bool(open_header(self.path, size).info["meas_date"] == date)
        except Exception:  # of any type, depending on the header
            return False


def _decode_text(text: bytes) -> str:
    """Decode a text, which should be UTF-8 but is often Latin-1."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


class MisnamedError(ValueError):
    """An EDF file is named as BDF, or the reverse, and MNE would misread its samples."""


def _check_suffix(path: Path, fixed: bytes) -> None:
    """Check that the first byte of a file does not contradict its suffix."""
    kind = ".bdf" if fixed[:1] == b"\xff" else ".edf"
    if path.suffix.lower() in SUFFIXES and path.suffix.lower() != kind and fixed:
        raise MisnamedError(
            f"{path} is named {path.suffix}, but begins as {kind} files do, whose samples have "
            f"another size. Rename it to {path.stem}{kind}."
        )


def open_edf(path: Path) -> EdfFile:
    """Read the header of an EDF or BDF file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    file : EdfFile
        The header. Samples, annotations and gaps are read on demand.

    Raises
    ------
    MisnamedError, ValueError
        If the file is named as the other format, or the header contains text in place of a number.
    """
    with path.open("rb") as file:
        fixed = file.read(256)
        _check_suffix(path, fixed)
        n_channels = int(fixed[252:256])
        fields = file.read(256 * n_channels)

    def read_field(offset: int, width: int) -> list[bytes]:
        """Read a field of all channels; ``offset`` is the number of bytes per channel before it."""
        begin = offset * n_channels
        return [fields[begin + width * i :][:width] for i in range(n_channels)]

    ranges = np.full((4, n_channels), np.nan)
    for row, offset in zip(ranges, (104, 112, 120, 128), strict=True):
        for i, text in enumerate(read_field(offset, 8)):
            try:
                row[i] = _read_number(text)
            except ValueError:  # concerns this channel only
                continue
    return EdfFile(
        path=path,
        fixed=fixed,
        size=256 * (n_channels + 1),
        n_records=int(fixed[236:244]),
        record_s=float(fixed[244:252]) or 1.0,
        labels=tuple(text.decode("latin-1").strip() for text in read_field(0, 16)),
        units=tuple(text.decode("latin-1").strip() for text in read_field(96, 8)),
        ranges=ranges,
        counts=tuple(int(text) for text in read_field(216, 8)),
    )
