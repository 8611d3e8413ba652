"""Annotations that mark lights off and on."""

import math
import re
from collections.abc import Iterable

from ..modalities import EPOCH_S
from .names import normalize
from .vocabulary import LIGHTS

_LABELS = {
    kind: re.compile(
        rf"(?:(?:event|marker|note|time(?: of)?|tech(?:nician|nologist)?) )?(?:{words})"
        r"(?: time| event| marker)?(?:(?: at)?(?: \d+)+(?: ?[ap] ?m| uhr)?)?"
    )
    for kind, words in LIGHTS.items()
}
_LONGEST = 40
"""Longest label of a mark, in characters; comments may be far longer."""
_REMARK = re.compile(r"\s*\((?!\W|(?:not?|maybe)\b)[^()]*\)\s*$", re.IGNORECASE)
"""What follows a mark, such as who asked for it, but for what makes it uncertain."""
_SHORT_ON = re.compile(r"\bL(?:[./]|-)On\b", re.IGNORECASE)
"""Lights on, abbreviated; "L On" may be a left electrode."""
_SPAN_S = 600.0
"""Duration of a mark from which on it is a span, whose end is the opposite mark."""


def find_kind(label: str) -> str | None:
    """Find out whether an annotation marks lights off or on.

    Parameters
    ----------
    label : str
        Its text.

    Returns
    -------
    kind : str or None
        ``"off"``, ``"on"``, or None for any other annotation.

    Examples
    --------
    >>> [find_kind(label) for label in ("Lights Off|Lights Off", "L.O.", "Licht an", "Lights")]
    ['off', 'off', 'on', None]
    >>> find_kind("Lights off at 22:45")  # the onset of the annotation counts
    'off'
    """
    text = re.split(r"\||@@", label, maxsplit=1)[0]
    if len(text) > _LONGEST:
        return None
    words = normalize(_SHORT_ON.sub("LON", _REMARK.sub("", text)))
    return next((kind for kind, pattern in _LABELS.items() if pattern.fullmatch(words)), None)


def list_marks(
    annotations: Iterable[tuple[float, float, str]], duration: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """List the marks of lights off and on within a recording, one for each epoch.

    Parameters
    ----------
    annotations : iterable of (float, float, str)
        Onset in s from the start of the recording, duration in s, and text of each annotation.
    duration : float
        Length of the recording in seconds.

    Returns
    -------
    off_times, on_times : tuple of float
        Times of lights off and on, in seconds from the start of the recording, in order.
    """
    found: dict[str, list[float]] = {"off": [], "on": []}
    other = {"off": "on", "on": "off"}
    kinds: dict[str, str | None] = {}
    for onset, length, text in annotations:
        if text not in kinds:  # there may be millions of annotations, but of few kinds
            kinds[text] = find_kind(text)
        if (kind := kinds[text]) is None or not math.isfinite(onset):
            continue
        found[kind].append(onset)
        if math.isfinite(length) and length >= _SPAN_S:
            found[other[kind]].append(onset + length)
    # Lights that went off before the recording, or on after it, are off from its start, or to its
    # end.
    off_times = [max(at, 0.0) for at in found["off"] if at < duration]
    on_times = [min(at, duration) for at in found["on"] if at > 0]
    return tuple(_drop_repeated(off_times)), tuple(_drop_repeated(on_times))


def _drop_repeated(times: list[float]) -> list[float]:
    """Sort times, and drop those within an epoch of the one before."""
    kept: list[float] = []
    for time in sorted(times):
        if not kept or time - kept[-1] >= EPOCH_S:
            kept.append(time)
    return kept
