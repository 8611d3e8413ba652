"""Hypnograms of the same nights, found by the names or the order in which they are given."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import yasa

from ...cautions import warn
from ...errors import quote, shorten
from ...formats.edf import SUFFIXES as EDF_SUFFIXES
from ...hypnograms.reading import FILE_SUFFIXES
from ...verbosity import check_type, pluralize
from ..finding import find_recordings, pair_hypnograms
from ..results import HYPNOGRAMS, TABLE, Cohort, hypnogram_path, load_cohort


@dataclass(frozen=True)
class ScoredFile:
    """A file of stages and the recording that it belongs to.

    Attributes
    ----------
    path, recording : Path
        The file, and the recording, from whose start its onsets may count.
    """

    path: Path
    recording: Path


Source: TypeAlias = yasa.Hypnogram | Path | ScoredFile

_ANNOTATIONS = ("-annot.fif", "_annot.fif", "-annot.fif.gz", "_annot.fif.gz")
"""Ends of the names of annotations that MNE has saved, by its conventions."""
_PROVENANCE = ".provenance.json"
_SEPARATOR = re.compile(r"[-_. ]")
"""What comes before something that is added to the name of a night."""
_MANY = (Mapping, list, tuple, Cohort)
_NAMED = 10
"""Number of nights that a warning names."""


@dataclass(frozen=True)
class Nights:
    """Hypnograms of some nights by one scorer.

    Attributes
    ----------
    found : dict of str to Source
        Name of the night -> where its hypnogram is.
    are_named : bool
        Whether nights are known by their names, and not by their order.
    table : pandas.DataFrame or None
        The table of a cohort.
    """

    found: dict[str, Source]
    are_named: bool
    table: pd.DataFrame | None = None


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
    """

    references: dict[str, dict[str, Source]]
    staged: dict[str, Source]
    table: pd.DataFrame | None


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
        cohort = _open_cohort(reference)
        if cohort is None:
            raise TypeError(
                "There is nothing to compare with, because only one argument was given and it is "
                "not a cohort. Give reference and staged, or the folder of a staged cohort whose "
                "table names scorers' hypnograms."
            )
        scorers, nights = {"": _list_scored(cohort)}, _list_cohort(cohort)
    else:
        nights = list_nights(staged, "staged")
        given = _split_scorers(reference, is_single=_is_single(staged))
        scorers = {name: list_nights(one, "reference") for name, one in given.items()}
    matched = {name: _match(one, nights, name) for name, one in scorers.items()}
    kept = {night for found in matched.values() for night in found}
    if not kept:
        raise ValueError(
            "No night is in both: the reference has "
            f"{quote(list(next(iter(scorers.values())).found)[:3])}, and staged are "
            f"{quote(list(nights.found)[:3])}. Name the hypnograms of a night alike."
        )
    references = {
        name: {night: found[night] for night in nights.found if night in found}
        for name, found in matched.items()
    }
    return Matched(references, {n: s for n, s in nights.found.items() if n in kept}, nights.table)


def _is_single(given: object) -> bool:
    """Whether something is the hypnogram of one night."""
    is_file = isinstance(given, str | Path) and Path(given).expanduser().is_file()
    return is_file or isinstance(given, yasa.Hypnogram)


def _is_folder(given: object) -> bool:
    """Whether something is a folder."""
    return isinstance(given, str | Path) and Path(given).expanduser().is_dir()


def _split_scorers(reference: Any, *, is_single: bool) -> dict[str, Any]:
    """Split several scorers; one of them has no name."""
    if isinstance(reference, Mapping) and reference:
        several = [isinstance(one, _MANY) or _is_folder(one) for one in reference.values()]
        if is_single or all(several):
            return {str(name): one for name, one in reference.items()}
        if any(several):
            raise TypeError(
                "reference maps some names to a hypnogram and others to many. Give a mapping of "
                "nights to hypnograms, or one of scorers to mappings, lists or folders."
            )
    if isinstance(reference, list | tuple) and reference and all(map(_is_folder, reference)):
        if len(reference) == 1:
            return {"": reference[0]}
        names = [Path(one).expanduser().resolve().name for one in reference]
        if len(set(names)) < len(names):
            names = [f"{name} {number}" for number, name in enumerate(names, start=1)]
        return dict(zip(names, reference, strict=True))
    return {"": reference}


def list_nights(given: Any, what: str) -> Nights:
    """List hypnograms with the names of their nights.

    Parameters
    ----------
    given : object
        A hypnogram or a file; a sequence or a mapping of them; a folder; or a cohort.
    what : str
        Name of the argument.

    Returns
    -------
    nights : Nights
        The hypnograms.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        If it is none of these, or empty.
    """
    if (cohort := _open_cohort(given)) is not None:
        return _list_cohort(cohort)
    if isinstance(given, str | Path):
        path = Path(given).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"There is no hypnogram or folder at {path}. Check the path.")
        if path.is_dir():
            return Nights(_list_folder(path), are_named=True)
    if isinstance(given, yasa.Hypnogram | str | Path):
        given = [given]
    if isinstance(given, Mapping):
        found = {str(name): _check_source(one, what) for name, one in given.items()}
    elif isinstance(given, list | tuple):
        found = _number([_check_source(one, what) for one in given])
    else:
        check_type(given, (yasa.Hypnogram, "path-like", list, tuple, dict, Cohort), what)
    if not found:
        raise ValueError(f"{what} has no hypnograms. Give at least one.")
    return Nights(found, are_named=isinstance(given, Mapping))


def _check_source(one: Any, what: str) -> Source:
    """Check that something is a hypnogram or a file."""
    check_type(one, (yasa.Hypnogram, "path-like"), f"each hypnogram of {what}")
    return one if isinstance(one, yasa.Hypnogram) else Path(one).expanduser()


def _number(sources: Sequence[Source]) -> dict[str, Source]:
    """Name nights by their files, if these have different names; else by their numbers."""
    names = [_find_stem(one) if isinstance(one, Path) else "" for one in sources]
    if "" in names or len(set(map(_to_key, names))) < len(names):
        names = [str(number) for number in range(1, len(sources) + 1)]
    return dict(zip(names, sources, strict=True))


def _open_cohort(given: Any) -> Cohort | None:
    """Open a staged cohort, if it is one."""
    if isinstance(given, Cohort):
        return given
    if _is_folder(given):
        folder = Path(given).expanduser()
        if (folder / TABLE).is_file() and (folder / HYPNOGRAMS).is_dir():
            return load_cohort(folder)
    return None


def _list_cohort(cohort: Cohort) -> Nights:
    """List the hypnograms of a cohort."""
    found: dict[str, Source] = {
        night: hypnogram_path(cohort.folder, night) for night in cohort.hypnograms
    }
    if not found:
        raise ValueError(f"No night of {cohort.folder} was staged. See its {TABLE}.")
    return Nights(found, are_named=True, table=cohort.table)


def _list_scored(cohort: Cohort) -> Nights:
    """List the scorers' hypnograms that the table of a cohort names."""
    table = cohort.table
    scored = table["hypnogram"].dropna() if "hypnogram" in table else pd.Series(dtype=str)
    found: dict[str, Source] = {}
    for night, path in scored.items():
        recording = table.at[night, "recording"]
        file = Path(path)
        found[str(night)] = file if pd.isna(recording) else ScoredFile(file, Path(recording))
    if not found:
        raise ValueError(
            f"The table of {cohort.folder} names no scorer's hypnogram (column 'hypnogram'). Give "
            "the scorer's hypnograms as reference, and the cohort as staged."
        )
    return Nights(found, are_named=True)


def _find_stem(path: Path) -> str:
    """Find the name of a night in that of its file."""
    ends = [end for end in (*_ANNOTATIONS, path.suffix) if path.name.lower().endswith(end.lower())]
    return unicodedata.normalize("NFC", path.name.removesuffix(path.name[-len(ends[0]) :]))


def _is_hypnogram(name: str) -> bool:
    """Whether a file is named as a hypnogram."""
    if name.startswith(".") or name.endswith(_PROVENANCE):
        return False
    return name.endswith((*FILE_SUFFIXES, *_ANNOTATIONS))


def _list_folder(folder: Path) -> dict[str, Source]:
    """List the hypnograms in a folder by the names of their nights."""
    by_key: dict[str, list[Path]] = {}
    # Recordings are often beside their stages, which have their names and more.
    recordings = [path for path in find_recordings(folder) if path.parent == folder]
    paired = {one: path for path, one in pair_hypnograms(recordings).items() if one is not None}
    for path in sorted(folder.iterdir()):
        if path in paired.values() or not path.is_file():
            continue
        if _is_hypnogram(path.name.lower()):
            by_key.setdefault(_to_key(_find_stem(paired.get(path, path))), []).append(path)
    found: dict[str, Source] = {}
    for paths in by_key.values():
        # Recordings are often beside their stages.
        stages = [path for path in paths if path.suffix.lower() not in EDF_SUFFIXES] or paths
        if len(stages) > 1:
            raise ValueError(
                f"{folder} has {len(stages)} hypnograms of a night, "
                f"{', '.join(path.name for path in stages[:3])}. Move all but one elsewhere."
            )
        found[_find_stem(paired.get(stages[0], stages[0]))] = stages[0]
    if not found:
        raise ValueError(
            f"There is no hypnogram in {folder}. Give a folder of files such as night1.json or "
            "night1.xml."
        )
    return found


def _to_key(name: str) -> str:
    """Give the name of a night as it is compared."""
    key = unicodedata.normalize("NFC", name).casefold()
    return re.sub("(?<=.)[-_]raw$", "", key)  # which MNE adds to the names of recordings


def _match(reference: Nights, staged: Nights, scorer: str) -> dict[str, Source]:
    """Match a scorer's hypnograms with those that were staged, by the names of the latter."""
    sources = list(reference.found.values())
    if len(sources) == len(staged.found) == 1 or not (reference.are_named or staged.are_named):
        if len(sources) != len(staged.found):
            raise ValueError(
                f"The reference has {len(sources)} nights, and {len(staged.found)} were staged. "
                "Give lists of the same length, or mappings of names to hypnograms."
            )
        return dict(zip(staged.found, sources, strict=True))
    if not (reference.are_named and staged.are_named):
        raise ValueError(
            "The nights of one are named, and the others are only in an order. Give two lists, or "
            "mappings, folders or cohorts, whose nights are matched by their names."
        )
    keys = _index(reference), _index(staged)
    pairs = {keys[1][key]: name for key, name in keys[0].items() if key in keys[1]}
    scored = {key: name for key, name in keys[0].items() if key not in keys[1]}
    others = {key: name for key, name in keys[1].items() if key not in keys[0]}
    longer = _match_longer(scored, others)
    used = set(longer.values())
    by = f"scored by {scorer}" if scorer else "scored"
    _warn_unmatched([name for name in scored.values() if name not in used], by, "staged")
    _warn_unmatched([name for name in others.values() if name not in longer], "staged", by)
    pairs |= longer
    return {night: reference.found[name] for night, name in pairs.items()}


def _index(nights: Nights) -> dict[str, str]:
    """Index the names of nights as they are compared."""
    index: dict[str, str] = {}
    for name in nights.found:
        if (other := index.setdefault(_to_key(name), name)) != name:
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


def _warn_unmatched(names: Sequence[str], has: str, lacks: str) -> None:
    """Warn of nights that have only one of the hypnograms."""
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        warn(
            f"{len(names)} night{pluralize(len(names))} {'is' if len(names) == 1 else 'are'} "
            f"{has} but not {lacks}: {shorten(', '.join(names[:_NAMED]))}{more}. "
            "Check the names of the files."
        )
