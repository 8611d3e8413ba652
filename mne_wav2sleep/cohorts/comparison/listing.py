"""Hypnograms of nights as they are given: files, folders, lists, mappings, cohorts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import yasa

from ...verbosity import check_type
from ..results import HYPNOGRAMS, TABLE, Cohort, hypnogram_path, load_cohort
from .folders import find_stem, is_other, list_folder, name_table
from .names import to_key


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

_MANY = (Mapping, list, tuple, Cohort)


@dataclass(frozen=True)
class Nights:
    """Hypnograms of some nights by one scorer.

    Attributes
    ----------
    found : dict of str to Source
        Name of the night -> where its hypnogram is.
    are_named : bool
        Whether nights are known by their names, and not by their order.
    is_single : bool
        Whether it is one hypnogram that was given by itself, which belongs to any one night.
    cohort : Cohort or None
        The cohort that they are of.
    paths : dict of str to tuple of str
        Name of the night -> paths by which it is known, as :class:`~.names.Name` has them. Nights
        that are not there are known by their names alone.
    others : tuple of str
        Names of files beside them that have no stages that can be read.
    """

    found: dict[str, Source]
    are_named: bool
    is_single: bool = False
    cohort: Cohort | None = None
    paths: dict[str, tuple[str, ...]] = field(default_factory=dict)
    others: tuple[str, ...] = ()


def find_path(source: Path | ScoredFile) -> Path:
    """Find the file of a source of stages.

    Parameters
    ----------
    source : Path or ScoredFile
        The source.

    Returns
    -------
    path : Path
        The file.
    """
    return source.path if isinstance(source, ScoredFile) else source


def _is_folder(given: object) -> bool:
    """Whether something is a folder."""
    return isinstance(given, str | Path) and Path(given).expanduser().is_dir()


def split_scorers(reference: Any, *, is_single: bool) -> dict[str, Any]:
    """Split several scorers.

    Parameters
    ----------
    reference : object
        As in :func:`compare`.
    is_single : bool
        Whether a single night was staged, so that several files are of several scorers.

    Returns
    -------
    scorers : dict of str to object
        Name of the scorer -> hypnograms; ``""`` for one scorer, who has no name.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        If scorers and nights are mixed, or a folder or file does not exist.
    """
    if isinstance(reference, Mapping) and reference:
        several = [isinstance(one, _MANY) or _is_folder(one) for one in reference.values()]
        if is_single or all(several):
            return {str(name): one for name, one in reference.items()}
        if any(several):
            raise TypeError(
                "reference maps some names to a hypnogram and others to many. Give a mapping of "
                "nights to hypnograms, or one of scorers to mappings, lists or folders."
            )
    paths = reference if isinstance(reference, list | tuple) else ()
    if paths and all(isinstance(one, str | Path) for one in paths):
        are_folders = [_is_folder(one) for one in paths]
        if any(are_folders) or (is_single and len(paths) > 1):
            return _name_scorers([Path(one).expanduser() for one in paths], are_folders)
    return {"": reference}


def _name_scorers(paths: Sequence[Path], are_folders: Sequence[bool]) -> dict[str, Path]:
    """Name scorers by their folders, or by their files of a night."""
    for path in paths:
        _check_exists(path)
    if len(set(are_folders)) > 1:
        raise ValueError(
            f"Of the scorers, {paths[are_folders.index(True)]} is a folder and "
            f"{paths[are_folders.index(False)]} a file. Give a folder of each scorer, or a file of "
            "each."
        )
    if len(paths) == 1:
        return {"": paths[0]}
    names = [path.resolve().name if are_folders[0] else find_stem(path) for path in paths]
    if len(set(names)) < len(names):
        names = [f"{name} {number}" for number, name in enumerate(names, start=1)]
    return dict(zip(names, paths, strict=True))


def _check_exists(path: Path) -> None:
    """Check that a file or folder exists."""
    if not path.exists():
        raise FileNotFoundError(f"There is no hypnogram or folder at {path}. Check the path.")


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
    if (cohort := open_cohort(given)) is not None:
        return list_cohort(cohort)
    if isinstance(given, str | Path):
        path = Path(given).expanduser()
        _check_exists(path)
        if path.is_dir():
            return _list_files(path)
        if (table := name_table(path)) is not None:
            raise ValueError(
                f"{path} is {table}, not a hypnogram. Give a file of stages, a folder of them, or "
                "the folder of a staged cohort."
            )
    is_single = isinstance(given, yasa.Hypnogram | str | Path)
    if is_single:
        given = [given]
    if isinstance(given, Mapping):
        found = {str(name): _check_source(one, what) for name, one in given.items()}
    elif isinstance(given, list | tuple):
        found = _number([_check_source(one, what) for one in given])
    else:
        check_type(given, (yasa.Hypnogram, "path-like", list, tuple, dict, Cohort), what)
    if not found:
        raise ValueError(f"{what} has no hypnograms. Give at least one.")
    return Nights(found, are_named=isinstance(given, Mapping), is_single=is_single)


def _list_files(folder: Path) -> Nights:
    """List the hypnograms of a folder, and apart from them the files without stages."""
    listed = list_folder(folder)
    others = {name: path for name, (path, _) in listed.items() if is_other(path)}
    kept = {name: one for name, one in listed.items() if name not in others}
    return Nights(
        {name: path for name, (path, _) in kept.items()},
        are_named=True,
        paths={name: (known_as,) for name, (_, known_as) in kept.items()},
        others=tuple(path.name for path in others.values()),
    )


def _check_source(one: Any, what: str) -> Source:
    """Check that something is a hypnogram or a file."""
    check_type(one, (yasa.Hypnogram, "path-like"), f"each hypnogram of {what}")
    return one if isinstance(one, yasa.Hypnogram) else Path(one).expanduser()


def _number(sources: Sequence[Source]) -> dict[str, Source]:
    """Name nights by their files, if these have different names; else by their numbers."""
    names = [find_stem(one) if isinstance(one, Path) else "" for one in sources]
    if "" in names or len(set(map(to_key, names))) < len(names):
        names = [str(number) for number in range(1, len(sources) + 1)]
    return dict(zip(names, sources, strict=True))


def open_cohort(given: Any) -> Cohort | None:
    """Open a staged cohort.

    Parameters
    ----------
    given : object
        A cohort, or a folder.

    Returns
    -------
    cohort : Cohort or None
        The cohort; None if it is something else.
    """
    if isinstance(given, Cohort):
        return given
    if _is_folder(given):
        folder = Path(given).expanduser()
        if (folder / TABLE).is_file() and (folder / HYPNOGRAMS).is_dir():
            return load_cohort(folder)
    return None


def list_cohort(cohort: Cohort) -> Nights:
    """List the hypnograms of a cohort.

    Parameters
    ----------
    cohort : Cohort
        The cohort.

    Returns
    -------
    nights : Nights
        The hypnograms of the nights that were staged.
    """
    found: dict[str, Source] = {
        night: hypnogram_path(cohort.folder, night) for night in cohort.hypnograms
    }
    if not found:
        raise ValueError(f"No night of {cohort.folder} was staged. See its {TABLE}.")
    paths = {night: _list_paths(cohort, night) for night in found}
    return Nights(found, are_named=True, cohort=cohort, paths=paths)


def _list_paths(cohort: Cohort, night: str) -> tuple[str, ...]:
    """List the paths by which a night of a cohort is known: of its subject, and its recording."""
    recording, subject = cohort.table.loc[night, ["recording", "subject"]]
    if pd.isna(recording):
        return (night,)
    path = Path(recording)
    path = path.with_name(find_stem(path))
    if pd.isna(subject):
        return path.as_posix(), night
    # Of a folder, the subject is the path of the recording in it.
    is_path = f"/{subject}".endswith(f"/{path.name}")
    return subject if is_path else f"{subject}/{path.name}", path.as_posix()


def list_scored(cohort: Cohort) -> Nights:
    """List the scorers' hypnograms that the table of a cohort names.

    Parameters
    ----------
    cohort : Cohort
        The cohort.

    Returns
    -------
    nights : Nights
        The hypnograms, with the recordings that they belong to.
    """
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
