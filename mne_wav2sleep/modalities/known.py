"""The modalities that are known in this process: the built-in ones, and those that were added."""

import copyreg
from collections.abc import Collection, ItemsView, Iterator, Mapping, Sequence, ValuesView
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields
from threading import RLock
from typing import Any

from ..errors import quote
from .built_in import BUILT_IN
from .definition import Modality

CARDIO_RESPIRATORY = ("ABD", "ECG", "PPG", "THX")
"""The modalities of the released weights."""

_BUILT_IN = frozenset(one.name for one in BUILT_IN)
_MOST_ADDED = 64
"""Number of added modalities at most; files of others can add some."""
_MOST_IN_FILE = 16
"""Number of modalities that one file defines at most."""


def is_built_in(name: str) -> bool:
    """Check whether a modality is built in, rather than added."""
    return name in _BUILT_IN


class _Modalities(Mapping[str, Modality]):
    """The known modalities by name: the built-in ones in alphabetical order, then the added ones.

    Any thread may read it, add and remove modalities, as files are read in several threads.
    """

    def __init__(self) -> None:
        # Changed by replacing it, so that no thread sees it change while it reads.
        self._known = {one.name: one for one in sorted(BUILT_IN, key=lambda one: one.name)}
        self._lock = RLock()
        # Those of a file that is being read, which only the code that reads it sees.
        self._proposed: ContextVar[dict[str, Modality]] = ContextVar("proposed")

    def __getitem__(self, name: str) -> Modality:
        return self._list()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._list())

    def __len__(self) -> int:
        return len(self._list())

    def items(self) -> ItemsView[str, Modality]:
        """List the items at once: one could be removed before it is looked up."""
        return self._list().items()

    def values(self) -> ValuesView[Modality]:
        """List the values at once, as the items."""
        return self._list().values()

    def _list(self) -> dict[str, Modality]:
        """List what the calling code sees."""
        proposed = self._proposed.get({})
        return self._known | proposed if proposed else self._known

    def add(self, modalities: Sequence[Modality], place: str = "") -> None:
        """Add all of these modalities, or none if one of them has another definition."""
        with self._lock:
            self._known = _merge(self._known, modalities, place)

    def remove(self, name: str) -> None:
        """Forget a modality that was added."""
        with self._lock:
            if name not in self._known or is_built_in(name):
                added = [one for one in self._known if not is_built_in(one)]
                why = "is built in" if is_built_in(name) else "was not added"
                raise ValueError(
                    f"name must be that of an added modality, but {quote(name)} {why}. "
                    + (f"Use one of {', '.join(added)}." if added else "There is none to remove.")
                )
            self._known = {key: one for key, one in self._known.items() if key != name}

    @contextmanager
    def proposing(self, modalities: Sequence[Modality], place: str) -> Iterator[None]:
        """Show modalities to the calling code alone, if they could be added."""
        before = self._list()
        merged = _merge(before, modalities, place)
        new = {name: one for name, one in merged.items() if name not in before}
        token = self._proposed.set(self._proposed.get({}) | new)
        try:
            yield
        finally:
            self._proposed.reset(token)


def _merge(
    known: Mapping[str, Modality], modalities: Sequence[Modality], place: str
) -> dict[str, Modality]:
    """Merge modalities with known ones; refuse other definitions, and too many."""
    merged = dict(known)
    for one in modalities:
        if merged.setdefault(one.name, one) != one:
            raise ValueError(place + _explain_difference(one, merged[one.name]))
    if len(merged) - len(_BUILT_IN) > _MOST_ADDED:
        raise ValueError(
            f"{place}No more than {_MOST_ADDED} modalities can be added, so that "
            f"{modalities[-1].name} is not taken. Remove those that are not needed "
            "(remove_modality)."
        )
    return merged


def _explain_difference(modality: Modality, known: Modality) -> str:
    """Explain that a name has another definition."""
    different = next(
        one.name
        for one in fields(Modality)
        if getattr(known, one.name) != getattr(modality, one.name)
    )
    mine, theirs = (getattr(one, different) for one in (modality, known))
    what = "" if different == "vocabulary" else f" ({quote(mine)}, not {quote(theirs)})"
    name = modality.name
    how, advice = "built in", "or choose another name"
    if not is_built_in(name):
        how, advice = "known", f"choose another name, or remove it with remove_modality({name!r})"
    return (
        f"The modality {name} is {how} with another definition: {different} differs{what}. Use "
        f"that one, {advice}."
    )


MODALITIES = _Modalities()
"""Name -> modality, of all that are known in this process."""


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
    MODALITIES.add([modality])
    return MODALITIES[modality.name]


def remove_modality(name: str) -> None:
    """Forget a modality that was added, so that its name can have another definition.

    Parameters
    ----------
    name : str
        Its name, such as ``"EEG"``.

    Raises
    ------
    ValueError
        If it is built in, or was not added.

    See Also
    --------
    add_modality : Add a kind of signal.

    Notes
    -----
    Weights, stagers and prepared nights of this process that have the modality cannot be used any
    more, and weights say so. Load them again, which adds the modality with their definition.

    Examples
    --------
    >>> from mne_wav2sleep import Modality, add_modality, remove_modality
    >>> _ = add_modality(Modality("SCG", "seismocardiogram", 1024, 60.0))
    >>> remove_modality("SCG")
    >>> _ = add_modality(Modality("SCG", "seismocardiogram of the chest", 2048, 60.0))
    """
    MODALITIES.remove(name)


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
    added = [one for name, one in sorted(MODALITIES.items()) if not is_built_in(name)]
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
    """Add modalities if what is read with them turns out to be valid.

    Until then, only the calling code knows them, so that nothing has to be undone, and other
    threads are not affected.

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
    with MODALITIES.proposing(modalities, place):
        yield
    MODALITIES.add(modalities, place)


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
