"""Names of nights with the folders of their files, and which of them are the same."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from ..naming import clean_name, cut_name

_SEPARATOR = re.compile(r"[-_.]")
"""What comes before something that is added to the name of a night."""


def fold_case(name: str) -> str:
    """Fold the case of the name of a file, and Unicode's forms.

    Parameters
    ----------
    name : str
        The name, without the suffix.

    Returns
    -------
    folded : str
        The name without regard to case, and without the ``_raw`` that MNE adds to the names of
        recordings.

    Examples
    --------
    >>> fold_case("Night 1_raw")
    'night 1'
    """
    return re.sub("(?<=.)[-_]raw$", "", unicodedata.normalize("NFC", name).casefold())


def to_key(name: str) -> str:
    """Give the name of a night as it is compared.

    Parameters
    ----------
    name : str
        The name, of a file or as given.

    Returns
    -------
    key : str
        The name as a cohort would write it, however long, without regard to case, and without the
        ``_raw`` that MNE adds to the names of recordings.

    Examples
    --------
    >>> to_key("Night 1_raw"), to_key("night_1")
    ('night_1', 'night_1')
    """
    return fold_case(clean_name(name, longest=None))


@dataclass(frozen=True)
class Name:
    """What a night is known by.

    Attributes
    ----------
    name : str
        Its name among the nights of one scorer.
    paths : tuple of str
        Paths of its file, without the suffix: below the folder that was given (``p01/night1``), or
        with the subject in place of a folder; and, if it is known, that of its recording.
    """

    name: str
    paths: tuple[str, ...]

    @cached_property
    def stem(self) -> str:
        """The name of the file, as it is compared."""
        return to_key(self.paths[0].rpartition("/")[2])

    @cached_property
    def wholes(self) -> tuple[str, ...]:
        """Names that include the folder, of which a cohort's may be one."""
        # A name that was cut is not known to be another one.
        given = {to_key(clean_name(one)) for one in (self.paths[0].split("/")[-1], *self.paths)}
        return self.paths if to_key(self.name) in given else (self.name, *self.paths)

    @cached_property
    def folders(self) -> list[tuple[str, ...]]:
        """The folders of each path, as they are compared."""
        return [tuple(map(to_key, filter(None, one.split("/")[:-1]))) for one in self.paths]

    def list_places(self) -> list[Hashable]:
        """List the stem with the folders of each path that has any."""
        return [(self.stem, folder) for folder in self.folders if folder]

    def list_lower_places(self) -> list[Hashable]:
        """List the same without any number of the folders above."""
        return [(self.stem, one[i:]) for one in self.folders for i in range(len(one))]

    def list_ends(self, *, whole: bool) -> Iterator[tuple[str, str]]:
        """List what is left of the name if an addition is taken off, and the addition."""
        for one in self.wholes if whole else (self.stem,):
            key = to_key(one)
            above = one.rpartition("/")[0]
            first = len(to_key(above)) + 1 if above else 0
            for match in _SEPARATOR.finditer(key, first):
                yield key[: match.start()], key[match.start() :]


Names: TypeAlias = Sequence[Name]
_Keys: TypeAlias = Callable[[Name], Iterable[Hashable]]


def _agree(one: Name, another: Name) -> bool:
    """Whether the folders of two nights of one stem may be the same, as far as they are known."""
    for a in one.folders:
        for b in another.folders:
            n = min(len(a), len(b))
            if n == 0 or a[-n:] == b[-n:]:
                return True
    # A stem that begins with the subject needs no folder: sub-01/eeg/sub-01_night1.
    stems = {one.stem, another.stem}
    above = {part for night in (one, another) for folder in night.folders for part in folder}
    return any(
        re.search(r"\d", part) and all(re.match(rf"{re.escape(part)}(?![^\W_])", s) for s in stems)
        for part in above
    )


def _pair(
    scored: Names,
    staged: Names,
    list_keys: _Keys,
    list_staged: _Keys | None = None,
) -> list[tuple[Name, Name]]:
    """Pair the nights that have a key in common, the staged one first."""
    list_staged = list_staged or list_keys
    index: dict[Hashable, list[Name]] = {}
    for one in scored:
        for key in dict.fromkeys(list_keys(one)):
            index.setdefault(key, []).append(one)
    found = ((a, b) for a in staged for key in list_staged(a) for b in index.get(key, ()))
    return list(dict.fromkeys(found))


def _pair_cut(scored: Names, staged: Names, *, whole: bool) -> list[tuple[Name, Name]]:
    """Pair names of which one was cut, because a cohort's are not longer."""

    def list_keys(one: Name) -> list[str]:
        return [to_key(text) for text in (one.wholes if whole else (one.stem,))]

    pairs = _pair(scored, staged, lambda one: [cut_name(key) for key in list_keys(one)])
    return [
        (one, other)
        for one, other in pairs
        if any(
            cut_name(a) == b or a == cut_name(b) for a in list_keys(one) for b in list_keys(other)
        )
    ]


def _settle(pairs: Iterable[tuple[Name, Name]]) -> dict[str, str]:
    """Give the scored night of each staged one; refuse one that has several."""
    candidates: dict[str, set[str]] = {}
    backwards: dict[str, set[str]] = {}
    for one, other in pairs:
        candidates.setdefault(one.name, set()).add(other.name)
        backwards.setdefault(other.name, set()).add(one.name)
    for found in (candidates, backwards):
        for name, others in found.items():
            if len(others) > 1:
                raise ValueError(
                    f"{name!r} may be the night of {' or '.join(map(repr, sorted(others)[:3]))}. "
                    "Rename the files, or give mappings of names to hypnograms."
                )
    return {night: others.pop() for night, others in candidates.items()}


def _keep_agreeing(pairs: Sequence[tuple[Name, Name]]) -> list[tuple[Name, Name]]:
    """Keep pairs of nights whose folders may be the same."""
    return [pair for pair in pairs if _agree(*pair)]


def _keep_single(pairs: Sequence[tuple[Name, Name]]) -> list[tuple[Name, Name]]:
    """Keep pairs of nights that could not be of another pair."""
    counts = [Counter(names) for names in zip(*((a.name, b.name) for a, b in pairs), strict=True)]
    return [(a, b) for a, b in pairs if counts[0][a.name] == counts[1][b.name] == 1]


class Pairing:
    """Nights that are paired by their names, in steps.

    Parameters
    ----------
    scored, staged : sequence of Name
        The nights of both.

    Attributes
    ----------
    pairs : dict of str to str
        Staged night -> scored night.
    additions : dict of str to str
        Staged night -> what is added to one of the names, where one is longer.
    scored, staged : list of Name
        The nights that are left.
    """

    def __init__(self, scored: Names, staged: Names) -> None:
        self.pairs: dict[str, str] = {}
        self.additions: dict[str, str] = {}
        self.scored, self.staged = list(scored), list(staged)
        self._lone = [_find_lone(scored), _find_lone(staged)]
        # Exact names first; folded ones only for what is left.
        self._take(lambda one: ((one.name, path) for path in one.paths))
        self._take(lambda one: one.wholes)
        self._take(lambda one: map(to_key, one.wholes))
        self._add(_pair_cut(self.scored, self.staged, whole=True))
        # One of the folders may be given with those above it.
        pairs = _pair(self.scored, self.staged, Name.list_places, Name.list_lower_places)
        pairs += _pair(self.scored, self.staged, Name.list_lower_places, Name.list_places)
        self._add(_keep_single(list(dict.fromkeys(pairs))))
        self._add(_keep_agreeing(_pair(*self._list_clear(), lambda one: [one.stem])))
        self._add(_keep_agreeing(_pair_cut(*self._list_clear(), whole=False)))
        self._take_longer(whole=True)
        self._take_longer(whole=False)

    def _take(self, list_keys: _Keys) -> None:
        """Take the pairs that have a key in common."""
        self._add(_pair(self.scored, self.staged, list_keys))

    def _add(self, pairs: Iterable[tuple[Name, Name]]) -> dict[str, str]:
        """Add pairs, whose nights are no longer left."""
        found = _settle(pairs)
        self.pairs |= found
        used = set(found.values())
        self.scored = [one for one in self.scored if one.name not in used]
        self.staged = [one for one in self.staged if one.name not in found]
        return found

    def _list_clear(self) -> tuple[list[Name], list[Name]]:
        """List what is left of nights whose stems occur once among all of their side."""
        scored, staged = self._lone
        return (
            [one for one in self.scored if one.name in scored],
            [one for one in self.staged if one.name in staged],
        )

    def _take_longer(self, *, whole: bool) -> None:
        """Take names to which something was added, such as ``night1_scored`` to ``night1``."""
        additions: dict[tuple[str, str], str] = {}
        pairs = []
        scored, staged = (self.scored, self.staged) if whole else self._list_clear()
        for longer, shorter, are_staged in ((scored, staged, False), (staged, scored, True)):
            index: dict[str, list[Name]] = {}
            for one in shorter:
                for key in {to_key(text) for text in (one.wholes if whole else (one.stem,))}:
                    index.setdefault(key, []).append(one)
            for one in longer:
                for end, addition in one.list_ends(whole=whole):
                    for other in index.get(end, ()):
                        pair = (one, other) if are_staged else (other, one)
                        additions[pair[0].name, pair[1].name] = addition
                        pairs.append(pair)
        found = self._add(pairs if whole else _keep_agreeing(pairs))
        self.additions |= {night: additions[night, other] for night, other in found.items()}


def _find_lone(names: Names) -> set[str]:
    """Find the nights whose stem no other night has."""
    counts = Counter(cut_name(one.stem) for one in names)
    return {one.name for one in names if counts[cut_name(one.stem)] == 1}


def list_names(names: Iterable[str], paths: Mapping[str, tuple[str, ...]]) -> list[Name]:
    """List the names of nights.

    Parameters
    ----------
    names : iterable of str
        The nights.
    paths : mapping of str to tuple of str
        Night -> paths of its file; those that are not there have none but their name.

    Returns
    -------
    listed : list of Name
        The names.
    """
    return [Name(name, paths.get(name, (name,))) for name in names]
