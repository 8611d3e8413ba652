"""The package's own errors, and texts from elsewhere in short, as parts of a sentence."""

import errno
import re
import reprlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class WeightsError(RuntimeError):
    """Weights cannot be found or downloaded, are damaged, or do not match their config."""


class FileWriteError(OSError):
    """A file cannot be written; created with the ``errno`` of the cause, and the message.

    It keeps both if it comes from another process, which loses the cause.
    """

    def __str__(self) -> str:
        """Give the message alone."""
        return str(self.strerror)


def find_full_disk(error: BaseException | None) -> OSError | None:
    """Find an error of a full disk or quota among an error and its causes.

    Parameters
    ----------
    error : BaseException or None
        The error.

    Returns
    -------
    full : OSError or None
        The first of them that is one.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return error
        error = error.__cause__
    return None


_LONGEST = 300
"""Number of characters of a text from elsewhere that an error repeats."""
_MOST = 10
"""Number of invalid values that an error lists."""

# Does not unfold values within values, of which YAML can make more than memory holds.
_repr = reprlib.Repr()
_repr.maxlevel = 2
_repr.maxstring = _repr.maxother = 60


def quote(value: object) -> str:
    """Quote a value, or a list of values, from elsewhere.

    Parameters
    ----------
    value : object
        The value.

    Returns
    -------
    text : str
        Its representation, shortened to 60 characters, or to 6 values of that length.

    Examples
    --------
    >>> quote("N7"), len(quote("N" * 1_000_000))
    ("'N7'", 60)
    """
    return _repr.repr(value)


def shorten(text: str, longest: int = _LONGEST) -> str:
    """Shorten a text that may be of any length, such as a cell of a table.

    Parameters
    ----------
    text : str
        The text.
    longest : int
        Number of characters of the result at most.

    Returns
    -------
    text : str
        The text; if it is longer, its beginning and end.

    Examples
    --------
    >>> shorten("0123456789" * 1000, 20)
    '0123456789...3456789'
    """
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}...{text[half + 3 - longest :]}"


def put_on_line(text: str) -> str:
    r"""Put a text from elsewhere on one line, shortened, without a period at its end.

    Parameters
    ----------
    text : str
        The text, such as the message of an error, which may repeat what a server sent.

    Returns
    -------
    text : str
        The text on one line, at most 300 characters, all of them printable.

    Examples
    --------
    >>> put_on_line("Disk\x1b[2J full.\n")
    'Disk [2J full'
    """
    some = shorten(text, 10 * _LONGEST)  # of megabytes, not each character is looked at
    printable = "".join(c if c.isprintable() else " " for c in some)
    return shorten(" ".join(printable.split()).rstrip("."))


def summarize_error(error: BaseException) -> str:
    """Shorten an error to its type and first sentence.

    Parameters
    ----------
    error : BaseException
        An error of another library.

    Returns
    -------
    summary : str
        One line without a period, for use within a sentence.

    Examples
    --------
    >>> summarize_error(OSError("Disk full. Free some space."))
    'OSError: Disk full'
    """
    text = put_on_line(re.split(r"\.\s", str(error).strip())[0])
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def describe_error(error: Exception) -> str:
    """Describe why something that many are done with, such as a night, cannot be used.

    Parameters
    ----------
    error : Exception
        What was raised for it.

    Returns
    -------
    reason : str
        The message of an error that is meant for users; of others, their type and first sentence,
        since they may be faults of the code.

    Examples
    --------
    >>> describe_error(ValueError("It is empty.")), describe_error(KeyError("ECG"))
    ('It is empty.', "KeyError: 'ECG'")
    """
    if isinstance(error, MemoryError):
        return "There is too little memory. Use fewer jobs, or a machine with more memory."
    expected = isinstance(error, ValueError | OSError | RuntimeError)
    return str(error) if expected and str(error) else summarize_error(error)


def summarize_validation(error: "ValidationError") -> str:
    """Summarize a validation error in one line.

    Parameters
    ----------
    error : pydantic.ValidationError
        An error that was raised for invalid settings or an invalid config.

    Returns
    -------
    summary : str
        The name, the problem and the value of each invalid field, at most ten, without a period.

    Examples
    --------
    >>> from pydantic import ValidationError
    >>> from mne_wav2sleep.calibration import Calibration
    >>> try:
    ...     Calibration(night_share=2.0)
    ... except ValidationError as error:
    ...     print(summarize_validation(error))
    night_share: Input should be less than 1, got 2.0
    """
    found = []
    for one in error.errors(include_url=False, include_context=False)[:_MOST]:
        message = shorten(one["msg"].removeprefix("Value error, ").rstrip("."))
        place = shorten(".".join(map(str, one["loc"])))
        value = shorten(quote(one["input"]), 60)
        found.append(f"{place}: {message}, got {value}" if place else message)
    return "; ".join(found)
