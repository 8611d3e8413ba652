"""BrainVision recordings: the segments of a paused recording, and what the header claims.

:mod:`mne` joins the segments, keeps only the first date, and trusts the header. The format is
described in the BrainVision Core Data Format 1.0
(https://www.brainproducts.com/support-resources/brainvision-core-data-format-1-0).
"""

import re
from datetime import UTC, datetime
from pathlib import Path

SUFFIXES = (".vhdr", ".ahdr")
"""Suffixes of header files."""
_DATA_SUFFIXES = (".eeg", ".dat", ".avg", ".seg")

_SEGMENT = re.compile(
    r"^Mk\d+=New Segment,[^,\r\n]*,(\d+),-?\d*,-?\d*(?:,(\d*))?[^\S\n]*$", re.MULTILINE
)


def read_segments(path: Path) -> list[tuple[int, datetime | None]]:
    """Read where the segments of a recording begin, and when.

    Parameters
    ----------
    path : Path
        The header file.

    Returns
    -------
    segments : list of (int, datetime or None)
        For each marker ``New Segment``, the samples before it, and its local time, labeled UTC as
        by MNE; None if it has no date. Empty if there is no marker file.
    """
    marker = find_markers(path)
    if not marker.is_file():
        return []
    found = _SEGMENT.findall(marker.read_text("latin-1"))
    return sorted(
        ((max(int(position) - 1, 0), _read_date(date)) for position, date in found),
        key=lambda segment: segment[0],
    )


def find_markers(path: Path) -> Path:
    """Find the marker file of a recording.

    Parameters
    ----------
    path : Path
        The header file.

    Returns
    -------
    markers : Path
        The file that the header names, or else the one with the name of the header, which may not
        exist.
    """
    named = _find_file(path, path.read_text("latin-1"), "MarkerFile")
    if named is not None and named.is_file():
        return named
    return path.with_suffix(".vmrk")  # as in MNE, for renamed files


def find_header(path: Path) -> Path | None:
    """Find the header file beside a data file.

    Parameters
    ----------
    path : Path
        A file of any format.

    Returns
    -------
    header : Path or None
        The header file; None if there is none, or the file has another format.
    """
    if path.suffix.lower() not in _DATA_SUFFIXES:  # another format, with a name in common
        return None
    headers = (path.with_suffix(suffix) for suffix in SUFFIXES)
    return next((header for header in headers if header.is_file()), None)


def read_sfreq(path: Path) -> float:
    """Read the sampling rate.

    Parameters
    ----------
    path : Path
        The header file.

    Returns
    -------
    sfreq : float
        Sampling rate in Hz; NaN if the header does not contain it.
    """
    try:
        return 1e6 / float(_find_value(path.read_text("latin-1"), "SamplingInterval"))
    except (ValueError, ZeroDivisionError):
        return float("nan")


def read_length(path: Path) -> int:
    """Read how many samples a recording has according to its header, which MNE ignores.

    Parameters
    ----------
    path : Path
        The header file.

    Returns
    -------
    n_samples : int
        Samples of each channel; 0 if the header does not tell.
    """
    text = _find_value(path.read_text("latin-1"), "DataPoints")
    return int(text[:20]) if text.isdecimal() else 0


def check_channels(path: Path) -> None:
    """Check the number of channels, before memory is taken for them.

    Parameters
    ----------
    path : Path
        The header file.

    Raises
    ------
    ValueError
        If the header claims more channels than the data file has bytes.
    """
    header = path.read_text("latin-1")
    data, text = _find_file(path, header, "DataFile"), _find_value(header, "NumberOfChannels")
    if data is None or not data.is_file() or not text.isdecimal():  # MNE raises an error
        return
    size = data.stat().st_size
    if len(text) > 9 or int(text) > size:
        raise ValueError(
            f"The header {path} claims {text[:20]} channels, but its data file {data.name} has "
            f"only {size} bytes. Check that both files belong together and are complete."
        )


def _find_value(header: str, name: str) -> str:
    """Find a value in a header; an empty string if there is none."""
    found = re.search(rf"^{name}[^\S\n]*=[^\S\n]*(.*?)[^\S\n]*$", header, re.MULTILINE)
    return found[1] if found else ""


def _find_file(path: Path, header: str, name: str) -> Path | None:
    """Find a file that a header names."""
    # The header is in UTF-8 or Latin-1, and so may be the name.
    value = _find_value(header, name).encode("latin-1").decode("utf-8", "replace")
    return path.parent / value if value else None


def _read_date(text: str) -> datetime | None:
    """Read the date of a marker, which has 20 digits."""
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S%f").replace(tzinfo=UTC)
    except ValueError:  # also zeros, which stand for no date
        return None
