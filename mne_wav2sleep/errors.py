"""The package's own error, and summaries of the errors of other libraries."""

import re

from pydantic import ValidationError


class WeightsError(RuntimeError):
    """Weights cannot be found or downloaded, are damaged, or do not match their config."""


def summarize_error(error: Exception) -> str:
    """Shorten an error to its type and first sentence.

    Parameters
    ----------
    error : Exception
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
    text = re.split(r"\.\s", " ".join(str(error).split()))[0].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def summarize_validation(error: ValidationError) -> str:
    """Summarize a validation error in one line.

    Parameters
    ----------
    error : pydantic.ValidationError
        An error that was raised for invalid settings or an invalid config.

    Returns
    -------
    summary : str
        The name, the problem and the value of each invalid field, without a period.

    Examples
    --------
    >>> from mne_wav2sleep.calibration import Calibration
    >>> try:
    ...     Calibration(night_share=2.0)
    ... except ValidationError as error:
    ...     print(summarize_validation(error))
    night_share: Input should be less than 1, got 2.0
    """
    found = []
    for one in error.errors(include_url=False, include_context=False):
        message = one["msg"].removeprefix("Value error, ").rstrip(".")
        place = ".".join(map(str, one["loc"]))
        value = repr(one["input"])
        value = value if len(value) <= 60 else value[:57] + "..."
        found.append(f"{place}: {message}, got {value}" if place else message)
    return "; ".join(found)
