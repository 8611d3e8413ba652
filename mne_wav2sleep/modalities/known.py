"""The modalities that are known in this process: the built-in ones, and those that were added."""

import copyreg
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from ..errors import quote
from .built_in import BUILT_IN
from .definition import Modality

MODALITIES: dict[str, Modality] = {
    one.name: one for one in sorted(BUILT_IN, key=lambda modality: modality.name)
}
"""Name -> modality; the built-in ones in alphabetical order, then those that were added."""

CARDIO_RESPIRATORY = ("ABD", "ECG", "PPG", "THX")
"""The modalities of the released weights."""

_BUILT_IN = frozenset(MODALITIES)
_MOST_ADDED = 64
"""Number of added modalities at most; files of others can add some."""
_MOST_IN_FILE = 16
"""Number of modalities that one file defines at most."""


def is_built_in(name: str) -> bool:
    """Check whether a modality is built in, rather than added."""
    return name in _BUILT_IN


def add_modality(modality: Modality) -> Modality:
    """Add a kind of signal, which networks can then be trained on.

    Parameters
    ----------
    modality : Modality
        Its definition: name, rates, and the words in the labels of its channels.

    Returns
    -------
    modality : Modality
        The same. Adding it again does nothing.

    Raises
    ------
    TypeError
        If ``modality`` is not a Modality.
    ValueError
        If the name has another definition already, or too many modalities were added.

    See Also
    --------
    match_channels : Which channel is used for which modality.
    mne_wav2sleep.training.train : Train a network that reads it.

    Notes
    -----
    A modality is known to the process in which it is added. Weights that read it carry its
    definition in their ``config.json``, and prepared nights in their header, so that whoever loads
    them, in whichever process, need not add it.

    A network that does not read the modality is not affected: the channels of the other
    modalities are chosen as if it did not exist. A label that names a built-in modality is never
    used for an added one.

    Examples
    --------
    >>> from mne_wav2sleep import Modality, Vocabulary, add_modality
    >>> words = Vocabulary(names=("activity", "actigraphy"), mne_types=("misc",))
    >>> add_modality(Modality("ACT", "activity counts", 32, 1 / 60, words, flat_s=None)).name
    'ACT'
    """
    if not isinstance(modality, Modality):
        raise TypeError(
            f"modality must be a Modality, got {type(modality).__name__}. Make one with "
            "Modality(name, description, samples_per_epoch, lowest_sfreq)."
        )
    known = MODALITIES.get(modality.name)
    if known is not None and known != modality:
        different = next(
            one.name
            for one in fields(Modality)
            if getattr(known, one.name) != getattr(modality, one.name)
        )
        mine, theirs = (getattr(one, different) for one in (modality, known))
        what = "" if different == "vocabulary" else f" ({quote(mine)}, not {quote(theirs)})"
        how = "built in" if is_built_in(modality.name) else "known"
        raise ValueError(
            f"The modality {modality.name} is {how} with another definition: {different} "
            f"differs{what}. Use that one, or choose another name."
        )
    if known is None and len(MODALITIES) - len(_BUILT_IN) >= _MOST_ADDED:
        raise ValueError(
            f"{_MOST_ADDED} modalities were added, and more are not taken, such as "
            f"{modality.name}. Restart Python, and add those that are needed."
        )
    return MODALITIES.setdefault(modality.name, modality)


def _restore(definition: dict[str, Any]) -> Modality:
    """Add a modality to the process in which it is unpickled, as that of a pool of workers."""
    return add_modality(Modality.from_dict(definition))


copyreg.pickle(Modality, lambda modality: (_restore, (modality.to_dict(),)))


def list_added(names: Collection[str]) -> tuple[Modality, ...]:
    """List the definitions of those of some modalities that are not built in.

    Parameters
    ----------
    names : collection of str
        Names of known modalities.

    Returns
    -------
    added : tuple of Modality
        Their definitions, in alphabetical order. They add themselves where they are unpickled.
    """
    return tuple(MODALITIES[name] for name in sorted(set(names) - _BUILT_IN))


def list_by_wave(kinds: Collection[str]) -> tuple[str, ...]:
    """List the modalities with some kinds of waves, the preferred one first.

    Parameters
    ----------
    kinds : collection of str
        Kinds of waves, of ``WAVE_BANDS``.

    Returns
    -------
    names : tuple of str
        Their names.
    """
    added = list_added(MODALITIES)
    return tuple(one.name for one in (*BUILT_IN, *added) if one.wave in kinds)


def describe_added(names: Collection[str]) -> dict[str, Any]:
    """Describe those of some modalities that are not built in, for a file.

    Parameters
    ----------
    names : collection of str
        Names of known modalities.

    Returns
    -------
    described : dict
        ``{"modalities": [...]}``, the definitions; empty if all are built in.
    """
    added = [one.to_dict() for one in list_added(names)]
    return {"modalities": added} if added else {}


def read_modalities(data: object, names: Collection[str] | None = None) -> list[Modality]:
    """Read the definitions in a file.

    Parameters
    ----------
    data : object
        What JSON or YAML holds: a list of definitions.
    names : collection of str or None
        The modalities that the file uses, one of which each definition has to be of; None for any.

    Returns
    -------
    modalities : list of Modality
        The modalities, which are not added yet.

    Raises
    ------
    ValueError
        If they are not valid; the message says why.
    """
    if not isinstance(data, list) or len(data) > _MOST_IN_FILE:
        what = f"{len(data):,}" if isinstance(data, list) else f"a {type(data).__name__}"
        raise ValueError(
            f"modalities should be a list of {_MOST_IN_FILE} definitions at most, got {what}"
        )
    try:
        found = [Modality.from_dict(one) for one in data]
    except (TypeError, ValueError) as error:
        raise ValueError(str(error).removesuffix(".")) from error
    defined = [one.name for one in found]
    names = defined if names is None else names
    if wrong := [name for name in defined if name not in names or defined.count(name) > 1]:
        raise ValueError(
            f"modalities should define signals that are read, once each, but defines {wrong[0]} "
            + ("twice" if wrong[0] in names else f"beside {', '.join(map(quote, names))}")
        )
    return found


@contextmanager
def adding(modalities: Sequence[Modality], place: str = "") -> Iterator[None]:
    """Add modalities, and forget them if what is read with them turns out not to be valid.

    Parameters
    ----------
    modalities : sequence of Modality
        The modalities.
    place : str
        Beginning of the message if they cannot be added.

    Yields
    ------
    none : None
        Nothing.

    Raises
    ------
    ValueError
        If one of them is known with another definition.
    """
    new = []
    try:
        for one in modalities:
            if one.name not in MODALITIES:
                new.append(one.name)
            try:
                add_modality(one)
            except ValueError as error:
                raise ValueError(f"{place}{error}") from error
        yield
    except BaseException:
        for name in new:
            MODALITIES.pop(name, None)
        raise


def choose_prepared(
    reads: Collection[str] | None, ch_names: Mapping[str, object] | None = None
) -> tuple[str, ...]:
    """Choose the modalities that a night is prepared with.

    Parameters
    ----------
    reads : collection of str or None
        What a network reads; None if no network is known.
    ch_names : mapping, optional
        The channels that are named for the night, by modality.

    Returns
    -------
    names : tuple of str
        The modalities, in alphabetical order: those of the released weights, so that nights can be
        used for all networks that read some of these, and others that are read or named.
    """
    reads = set(CARDIO_RESPIRATORY if reads is None else reads)
    base = set(CARDIO_RESPIRATORY) if reads & set(CARDIO_RESPIRATORY) else set()
    return tuple(sorted(base | reads | (set(ch_names or {}) & set(MODALITIES))))
