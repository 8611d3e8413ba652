"""What the readers of hypnogram files share: limits, decoding and decimal commas."""

import codecs
import gzip
import re
import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import yasa

from ..errors import quote, summarize_error
from .aligning import change_hypnogram

LARGEST_BYTES = 16 * 2**20
"""Largest file of stages that is read; a scored night takes less than 1 MB."""

MOST_EVENTS = 200_000
"""Most stages and other events of a file; a night has up to some thousands."""

LARGEST_UNPACKED = 256 * 2**20
"""Most bytes that a compressed file, such as ``-annot.fif.gz``, may unpack to."""

MISSING = {"", "n/a", "na", "nan", "none", "null", "<na>", "#n/a"}
"""Words, in lower case, for a missing value in a table."""


def load_bytes(path: Path) -> bytes:
    """Read a file of stages, unless it is too large for one.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    data : bytes
        Its contents.

    Raises
    ------
    ValueError
        If it is larger than :data:`LARGEST_BYTES`.
    """
    with path.open("rb") as file:
        data = file.read(LARGEST_BYTES + 1)  # the size of a file can be wrong, this limit cannot
    if len(data) > LARGEST_BYTES:
        raise ValueError(
            f"{path} is larger than {LARGEST_BYTES / 2**20:.0f} MB, the limit for a file of "
            "stages. Export the stages alone."
        )
    return data


def check_unpacked(path: Path) -> None:
    """Check the size of a file that is compressed by gzip, without keeping its contents.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    ValueError
        If it unpacks to more than :data:`LARGEST_UNPACKED`, cannot be unpacked, or is not FIF,
        the only compressed format that MNE reads.
    """
    if not path.name.lower().endswith(".fif.gz"):
        raise ValueError(f"{path} is compressed. Unpack it, and give the file in it.")
    size = 0
    try:
        with gzip.open(path) as file:
            while size <= LARGEST_UNPACKED and (block := file.read(2**20)):
                size += len(block)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path} cannot be unpacked ({summarize_error(error)}). Copy or export it again."
        ) from error
    if size > LARGEST_UNPACKED:
        raise ValueError(
            f"{path} unpacks to more than {LARGEST_UNPACKED / 2**20:.0f} MB, the limit for a "
            "compressed file. Unpack it, if you trust it, or export the stages alone."
        )


def load_text(path: Path) -> str:
    """Read text without the empty lines at its end.

    Parameters
    ----------
    path : Path
        The file, in UTF-8, or in UTF-16 with a byte order mark.

    Returns
    -------
    text : str
        The text, with at least one line that is not empty.

    Raises
    ------
    ValueError
        If the file is empty, is too large, or is not text.
    """
    data = load_bytes(path)
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if is_utf16 else "utf-8-sig").rstrip("\r\n")
        if "\0" in text:
            raise UnicodeError("it contains null characters")
    except UnicodeError as error:
        raise ValueError(
            f"{path} is not text in UTF-8. Save it in UTF-8, and check that it contains stages."
        ) from error
    if not text.strip():
        raise ValueError(f"{path} is empty. Write W, N1, N2, N3, R or ?, a stage per line of 30 s.")
    return text


def check_number(n_events: int, path: Path) -> None:
    """Check that a file does not have more stages and events than a recording can have.

    Parameters
    ----------
    n_events : int
        Number of stages and other events.
    path : Path
        The file.

    Raises
    ------
    ValueError
        If there are more than :data:`MOST_EVENTS`.
    """
    if n_events > MOST_EVENTS:
        raise ValueError(
            f"{path} has more than {MOST_EVENTS} stages and other events, the limit for a "
            "recording. Export the stages of one recording alone."
        )


def date_hypnogram(
    hyp: yasa.Hypnogram, begin: datetime, first: float, path: Path
) -> yasa.Hypnogram:
    """Give a hypnogram a start.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The stages.
    begin : datetime
        Date and time in the file from which onsets count.
    first : float
        Onset of the first epoch in seconds.
    path : Path
        The file.

    Returns
    -------
    hyp : yasa.Hypnogram
        The stages, with a start.

    Raises
    ------
    ValueError
        If pandas cannot represent the start.
    """
    try:
        return change_hypnogram(hyp, start=begin + timedelta(seconds=first))
    except (OverflowError, ValueError) as error:
        raise ValueError(
            f"{path} has the date {begin}, which is not that of a recording "
            f"({summarize_error(error)}). Correct it."
        ) from error


def replace_commas(values: Sequence[str]) -> list[str]:
    """Replace decimal commas by points, if they cannot be separators of thousands.

    Parameters
    ----------
    values : sequence of str
        The values of a column, of one program.

    Returns
    -------
    values : list of str
        The values with points; as they were if ``1,020`` may be 1020, since others, such as
        ``990``, have no comma.

    Examples
    --------
    >>> replace_commas(["0", "30,5", "1020"]), replace_commas(["990", "1,020"])
    (['0', '30.5', '1020'], ['990', '1,020'])
    """
    numbers = [value.strip() for value in values if value.strip()]
    commas = [number for number in numbers if re.fullmatch(r"[+-]?\d+,\d+", number)]
    thousands = [number for number in commas if re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", number)]
    if len(thousands) == len(commas) < len(numbers):
        return list(values)
    return [re.sub(r"^(\s*[+-]?\d+),(\d+\s*)$", r"\1.\2", value) for value in values]


def to_seconds(texts: Sequence[str], name: str, path: Path) -> list[float]:
    """Convert a column of onsets or durations to numbers.

    Parameters
    ----------
    texts : sequence of str
        The column.
    name : str
        ``"onset"`` or ``"duration"``, which may be missing.
    path : Path
        The file.

    Returns
    -------
    seconds : list of float
        The numbers, NaN for missing ones.

    Raises
    ------
    ValueError
        If there is something else than numbers.
    """
    seconds = []
    for number, text in enumerate(replace_commas(texts), start=1):
        try:
            is_missing = name == "duration" and text.strip().lower() in MISSING
            seconds.append(float("nan") if is_missing else float(text))
        except ValueError as error:
            raise ValueError(
                f"{path} has {quote(text)} for the {name} of event {number}. Write seconds, such "
                "as 90 or 90.5; onsets are relative to the start of the recording."
            ) from error
    return seconds
