"""Names of the nights of a cohort, which are those of their files."""

import hashlib
import unicodedata
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from .nights import Night

_LONGEST = 120
"""Number of bytes of a name at most; file systems allow 255, and suffixes are added."""
_N_DIGITS = 6
"""Digits of a hash that distinguishes nights of one name."""


def name_nights(nights: Sequence[Night]) -> dict[str, Night]:
    """Give each night a name that can be that of a file.

    Parameters
    ----------
    nights : sequence of Night
        The nights.

    Returns
    -------
    named : dict of str to Night
        The name of the file of each recording, without its suffix; with the subject if several
        files have that name, and with digits that depend on the path if this is not enough. Names
        that differ only in case count as one. The order is that of the nights.

    Examples
    --------
    >>> nights = [Night(f"{s}/night.edf", None, s) for s in ("p01", "p02")]
    >>> list(name_nights([*nights, Night("p03/nap.edf", None, "p03")]))
    ['p01_night', 'p02_night', 'nap']
    """
    names = [clean_name(_stem(night)) for night in nights]
    names = [
        clean_name(_add_subject(night)) if is_taken else name
        for night, name, is_taken in zip(nights, names, _find_taken(names), strict=True)
    ]
    names = [
        f"{name}-{_hash(night)}" if is_taken else name
        for night, name, is_taken in zip(nights, names, _find_taken(names), strict=True)
    ]
    # The same recording, of which only the hypnogram or the channels differ.
    for i, is_taken in enumerate(_find_taken(names)):
        if is_taken:
            names[i] = _number(names, i)
    return dict(zip(names, nights, strict=True))


def _number(names: Sequence[str], i: int) -> str:
    """Add a number to a name, so that no other night has it."""
    others = {name.casefold() for name in names}
    numbered = (f"{names[i]}-{number}" for number in count(i + 1))
    return next(name for name in numbered if name.casefold() not in others)


def _find_taken(names: Sequence[str]) -> list[bool]:
    """Find names that several nights have."""
    folded = [name.casefold() for name in names]
    counts: dict[str, int] = {}
    for name in folded:
        counts[name] = counts.get(name, 0) + 1
    return [counts[name] > 1 for name in folded]


def _stem(night: Night) -> str:
    """Name a night by its file."""
    name = night.file
    return name[: -len(suffix)] if (suffix := Path(name).suffix) else name or night.subject


def _add_subject(night: Night) -> str:
    """Name a night by its subject and its file."""
    stem = _stem(night)
    return night.subject if night.subject.endswith(stem) else f"{night.subject}_{stem}"


def _hash(night: Night) -> str:
    """Hash what distinguishes a night from others of its name."""
    text = f"{night.recording if night.file else ''} {night.dataset} {night.subject}"
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:_N_DIGITS]


def clean_name(name: str, *, longest: int | None = _LONGEST) -> str:
    """Replace what the name of a file cannot have, or should not.

    Parameters
    ----------
    name : str
        The name.
    longest : int or None
        Number of bytes in UTF-8 after which it is cut; None for all of it.

    Returns
    -------
    clean : str
        The name in Unicode's composed form (NFC), with ``_`` in place of all but letters, digits,
        ``-``, ``_`` and ``.``.

    Examples
    --------
    >>> clean_name("night 1 (scored)")
    'night_1__scored'
    """
    name = unicodedata.normalize("NFC", name)
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name).strip("._") or "night"
    return cut_name(safe, longest)


def cut_name(name: str, longest: int | None = _LONGEST) -> str:
    """Cut a name after a number of bytes, but not within a character.

    Parameters
    ----------
    name : str
        The name.
    longest : int or None
        Number of bytes in UTF-8; None for all of them.

    Returns
    -------
    cut : str
        The beginning of the name.

    Examples
    --------
    >>> cut_name("né1", 2)
    'n'
    """
    return name.encode()[:longest].decode(errors="ignore")
