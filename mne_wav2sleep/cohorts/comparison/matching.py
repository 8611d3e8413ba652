"""Hypnograms of the same nights, matched by their names, or by their order."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd
import yasa

from ...cautions import warn
from ...errors import quote, shorten
from ...verbosity import logger, pluralize
from .folders import is_other, to_key
from .in_bed import read_in_bed
from .listing import (
    Nights,
    Source,
    find_path,
    list_cohort,
    list_nights,
    list_scored,
    open_cohort,
    split_scorers,
)

_SEPARATOR = re.compile(r"[-_.]")
"""What comes before something that is added to the name of a night."""
_OTHER_NIGHT = re.compile(
    r"\d|(?<![^\W_])(night|nacht|nuit|noche|notte|noite|visit|session|ses|nap|day|week|month"
    r"|baseline|follow|retest|repeat)"
)
"""What is added to the name of a night if it may be that of another one."""
_NAMED = 10
"""Number of nights that a warning names."""


@dataclass(frozen=True)
class Matched:
    """Nights with the hypnograms to compare.

    Attributes
    ----------
    references : dict of str to dict of str to Source
        Scorer -> night -> the scorer's hypnogram; ``""`` for a scorer without a given name.
    staged : dict of str to Source
        Night -> the hypnogram to compare with them.
    table : pandas.DataFrame or None
        The table of the staged cohort.
    in_bed : dict of str to slice
        Night -> its epochs from lights off to lights on, as far as the staged cohort knows them.
    """

    references: dict[str, dict[str, Source]]
    staged: dict[str, Source]
    table: pd.DataFrame | None
    in_bed: dict[str, slice] = field(default_factory=dict)


def match_nights(reference: Any, staged: Any) -> Matched:
    """Find which hypnograms belong to the same night.

    Parameters
    ----------
    reference, staged : object
        As in :func:`compare`.

    Returns
    -------
    matched : Matched
        The nights that have both.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        As in :func:`compare`.
    """
    if staged is None:
        cohort = open_cohort(reference)
        if cohort is None:
            raise TypeError(
                "There is nothing to compare with, because only one argument was given and it is "
                "not a cohort. Give reference and staged, or the folder of a staged cohort whose "
                "table names scorers' hypnograms."
            )
        scorers, nights = {"": list_scored(cohort)}, list_cohort(cohort)
    else:
        nights = list_nights(staged, "staged")
        given = split_scorers(reference, is_single=nights.is_single)
        scorers = {name: list_nights(one, "reference") for name, one in given.items()}
    matched = {name: _match(one, nights, name) for name, one in scorers.items()}
    kept = {night for found in matched.values() for night in found}
    if not kept:
        raise ValueError(
            "No night is in both: the reference has "
            f"{quote(_give_examples(next(iter(scorers.values()))))}, and staged are "
            f"{quote(_give_examples(nights))}. Name the hypnograms of a night alike."
        )
    references = {
        name: {night: found[night] for night in nights.found if night in found}
        for name, found in matched.items()
    }
    found = {night: source for night, source in nights.found.items() if night in kept}
    _warn_of_same({**references, "what was staged": found})
    if nights.cohort is None:
        return Matched(references, found, None)
    return Matched(references, found, nights.cohort.table, read_in_bed(nights.cohort, found))


def _give_examples(nights: Nights) -> list[str]:
    """Give the names of some nights, rather than of files without stages."""
    names = [name for name, one in nights.found.items() if not _is_of_no_night(one)]
    return (names or list(nights.found))[:3]


def _is_of_no_night(source: Source) -> bool:
    """Whether a source is a file without stages."""
    return isinstance(source, Path) and is_other(source)


def _warn_of_same(scorers: Mapping[str, Mapping[str, Source]]) -> None:
    """Warn of two scorers whose hypnograms are the same files."""
    files = {
        scorer or "the reference": {
            night: find_path(source).resolve()
            for night, source in found.items()
            if not isinstance(source, yasa.Hypnogram)
        }
        for scorer, found in scorers.items()
    }
    for (one, first), (another, second) in combinations(files.items(), 2):
        if n_same := sum(second.get(night) == path for night, path in first.items()):
            warn(
                f"{n_same} file{pluralize(n_same)} of {one} and of {another} "
                f"{'is' if n_same == 1 else 'are'} the same, compared with "
                f"{'itself' if n_same == 1 else 'themselves'}. Check the paths."
            )


def _match(reference: Nights, staged: Nights, scorer: str) -> dict[str, Source]:
    """Match a scorer's hypnograms with those that were staged, by the names of the latter."""
    if not (reference.are_named and staged.are_named):
        return _match_unnamed(reference, staged)
    keys = _index(reference), _index(staged)
    pairs = {keys[1][key]: name for key, name in keys[0].items() if key in keys[1]}
    scored = {key: name for key, name in keys[0].items() if key not in keys[1]}
    others = {key: name for key, name in keys[1].items() if key not in keys[0]}
    longer = _match_longer(scored, others)
    _tell_of_longer(longer)
    used = set(longer.values())
    by = f"scored by {scorer}" if scorer else "scored"
    lone = {name: reference.found[name] for name in scored.values() if name not in used}
    _warn_unmatched(lone, by, "staged")
    lone = {name: staged.found[name] for name in others.values() if name not in longer}
    _warn_unmatched(lone, "staged", by)
    pairs |= longer
    return {night: reference.found[name] for night, name in pairs.items()}


def _match_unnamed(reference: Nights, staged: Nights) -> dict[str, Source]:
    """Match hypnograms that are not all named: by their order, or one that was given by itself."""
    n_scored, n_staged = len(reference.found), len(staged.found)
    are_listed = not (reference.are_named or staged.are_named)
    is_single = reference.is_single or staged.is_single
    if n_scored == n_staged and (are_listed or is_single):
        return dict(zip(staged.found, reference.found.values(), strict=True))
    if is_single:
        one, many, n = (
            ("The reference", "what was staged", n_staged)
            if reference.is_single
            else ("What was staged", "the reference", n_scored)
        )
        raise ValueError(
            f"{one} is a single hypnogram, and {many} has {n} nights. Give the hypnogram of that "
            "night alone, or folders of both."
        )
    if are_listed:
        raise ValueError(
            f"The reference has {n_scored} night{pluralize(n_scored)}, and {n_staged} "
            f"{'was' if n_staged == 1 else 'were'} staged. Give lists of the same length, or "
            "mappings of names to hypnograms."
        )
    raise ValueError(
        "The nights of one are named, and the others are only in an order. Give two lists, or "
        "mappings, folders or cohorts, whose nights are matched by their names."
    )


def _index(nights: Nights) -> dict[str, str]:
    """Index the names of nights as they are compared."""
    index: dict[str, str] = {}
    for name in nights.found:
        if (other := index.setdefault(to_key(name), name)) != name:
            raise ValueError(f"{other!r} and {name!r} may be one night. Rename one of them.")
    return index


def _match_longer(reference: Mapping[str, str], staged: Mapping[str, str]) -> dict[str, str]:
    """Match names to which something was added, such as ``night1_scored`` to ``night1``."""
    candidates: dict[str, set[str]] = {}
    backwards: dict[str, set[str]] = {}
    for longer, shorter, are_staged in ((reference, staged, False), (staged, reference, True)):
        for key, name in longer.items():
            ends = [key[: match.start()] for match in _SEPARATOR.finditer(key)]
            for other in (shorter[end] for end in ends if end in shorter):
                night, scored = (name, other) if are_staged else (other, name)
                candidates.setdefault(night, set()).add(scored)
                backwards.setdefault(scored, set()).add(night)
    for found in (candidates, backwards):
        for name, others in found.items():
            if len(others) > 1:
                raise ValueError(
                    f"{name!r} may be the night of {' or '.join(map(repr, sorted(others)[:3]))}. "
                    "Rename the files, or give mappings of names to hypnograms."
                )
    return {night: others.pop() for night, others in candidates.items()}


def _tell_of_longer(longer: Mapping[str, str]) -> None:
    """Tell of names that were matched with an addition, which may be that of another night."""
    if not longer:
        return
    examples = [f"{scored!r} with {night!r}" for night, scored in longer.items()]
    n = len(longer)
    logger.info(
        f"{n} night{pluralize(n)} matched although one name is longer, such as {examples[0]}."
    )
    doubtful = [
        example
        for example, (night, scored) in zip(examples, longer.items(), strict=True)
        if _OTHER_NIGHT.search(_find_addition(to_key(night), to_key(scored)))
    ]
    if doubtful:
        n = len(doubtful)
        warn(
            f"{n} night{pluralize(n)} matched although the addition to one of the names may be "
            f"that of another night: {_join(doubtful)}. Rename the files if they are of other "
            "nights."
        )


def _find_addition(one: str, another: str) -> str:
    """Find what is added to one of two names."""
    shorter, longer = sorted((one, another), key=len)
    return longer[len(shorter) :]


def _join(names: Sequence[str]) -> str:
    """Join the first of some names, and count the rest."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{shorten(', '.join(names[:_NAMED]))}{more}"


def _warn_unmatched(lone: Mapping[str, Source], has: str, lacks: str) -> None:
    """Warn of nights that have only one of the hypnograms, and of files without stages."""
    others = {name: source for name, source in lone.items() if _is_of_no_night(source)}
    if files := [source.name for source in others.values() if isinstance(source, Path)]:
        n = len(files)
        warn(
            f"{n} file{pluralize(n)} beside what is {has} {'has' if n == 1 else 'have'} no stages "
            f"that can be read, and {'is' if n == 1 else 'are'} left out: {_join(files)}."
        )
    if names := [name for name in lone if name not in others]:
        n = len(names)
        warn(
            f"{n} night{pluralize(n)} {'is' if n == 1 else 'are'} {has} but not {lacks}: "
            f"{_join(names)}. Check the names of the files."
        )
