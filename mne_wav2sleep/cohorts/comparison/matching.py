"""Hypnograms of the same nights, matched by their names, or by their order."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import pandas as pd
import yasa

from ...cautions import warn
from ...errors import quote, shorten
from ...verbosity import logger, pluralize
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
from .names import Name, Pairing, list_names

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
        # Of one table, whose names are enough.
        scorers, nights = {"": list_scored(cohort)}, replace(list_cohort(cohort), paths={})
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
    """Give the names of some nights, or else of files without stages."""
    return [*nights.found, *nights.others][:3]


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
    names = [list_names(one.found, one.paths) for one in (reference, staged)]
    found = Pairing(*names)
    _tell_of_longer(found)
    by = f"scored by {scorer}" if scorer else "scored"
    _warn_unmatched(reference, found.scored, by, "staged")
    _warn_unmatched(staged, found.staged, "staged", by)
    return {night: reference.found[name] for night, name in found.pairs.items()}


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


def _tell_of_longer(found: Pairing) -> None:
    """Tell of names that were matched with an addition, which may be that of another night."""
    if not found.additions:
        return
    examples = {night: f"{found.pairs[night]!r} with {night!r}" for night in found.additions}
    n, first = len(examples), next(iter(examples.values()))
    logger.info(f"{n} night{pluralize(n)} matched although one name is longer, such as {first}.")
    doubtful = [
        examples[night]
        for night, addition in found.additions.items()
        if _OTHER_NIGHT.search(addition)
    ]
    if doubtful:
        n = len(doubtful)
        warn(
            f"{n} night{pluralize(n)} matched although the addition to one of the names may be "
            f"that of another night: {_join(doubtful)}. Rename the files if they are of other "
            "nights."
        )


def _join(names: Sequence[str]) -> str:
    """Join the first of some names, and count the rest."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{shorten(', '.join(names[:_NAMED]))}{more}"


def _warn_unmatched(nights: Nights, lone: Sequence[Name], has: str, lacks: str) -> None:
    """Warn of nights that have only one of the hypnograms, and of files without stages."""
    if nights.others:
        n = len(nights.others)
        warn(
            f"{n} file{pluralize(n)} beside what is {has} {'has' if n == 1 else 'have'} no stages "
            f"that can be read, and {'is' if n == 1 else 'are'} left out: {_join(nights.others)}."
        )
    if lone:
        names = [one.name if nights.cohort else one.paths[0] for one in lone]
        n = len(names)
        warn(
            f"{n} night{pluralize(n)} {'is' if n == 1 else 'are'} {has} but not {lacks}: "
            f"{_join(names)}. Check the names of the files and folders."
        )
