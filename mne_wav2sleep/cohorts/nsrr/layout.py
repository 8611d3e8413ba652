"""Where NSRR's downloads have recordings and scorings, and whose they are."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ...cautions import warn
from ...errors import quote, shorten
from ...hypnograms.wsc import GAMMA, TWIN
from ...verbosity import check_type, pluralize
from ..finding import walk_files

_ROOT = "polysomnography"
"""Folder of recordings and scorings in the download of a cohort."""
_XML = "-nsrr.xml"
_MOST_IDS = 6
"""Number of ids that a message names at most."""


@dataclass(frozen=True)
class Layout:
    """How a cohort names its nights.

    Attributes
    ----------
    pattern : str
        Pattern of an id in lower case, which is the name of the recording without its suffix. The
        group ``subject`` is the subject, the same in all visits.
    example : str
        An id.
    scorings : tuple of str
        What the names of scorings have after the id, the preferred one first.
    n_validation, n_test : int
        Number of nights for validation and test in the paper.
    is_for_training : bool
        Whether the others were for training there.
    optional : str
        What the names of recordings and scorings may have after the id, both or one of them.
    """

    pattern: str
    example: str
    n_validation: int
    n_test: int
    scorings: tuple[str, ...] = (_XML,)
    is_for_training: bool = True
    optional: str = ""


LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "shhs": Layout(r"shhs[12]-(?P<subject>\d+)", "shhs1-200001", 500, 1000),
        "mesa": Layout(r"mesa-sleep-(?P<subject>\d+)", "mesa-sleep-0001", 100, 200),
        "wsc": Layout(
            r"wsc-visit\d-(?P<subject>\d+)",
            "wsc-visit1-10119-nsrr",
            250,
            500,
            scorings=(GAMMA, TWIN),
            optional="-nsrr",
        ),
        "cfs": Layout(r"cfs-visit\d-(?P<subject>\d+)", "cfs-visit5-800002", 50, 100),
        "ccshs": Layout(r"ccshs-trec-(?P<subject>\d+)", "ccshs-trec-1800001", 50, 100),
        "chat": Layout(r"chat(?:-[a-z]+){1,2}-(?P<subject>\d+)", "chat-baseline-300001", 100, 200),
        "mros": Layout(
            r"mros-visit\d-(?P<subject>[a-z]{2}\d+)",
            "mros-visit1-aa0001",
            0,
            1000,
            is_for_training=False,
        ),
    }
)
"""Cohort -> its layout. The ids are those that NSRR documents, in CHAT also
chat-baseline-nonrandomized-300374; numbers of nights are those of the paper (arXiv 2411.04644)."""


def find_subject(cohort: str, name: str) -> str | None:
    """Find the subject of an id.

    Parameters
    ----------
    cohort : str
        The cohort.
    name : str
        The id of a night.

    Returns
    -------
    subject : str or None
        The subject; None if it is not an id of the cohort.

    Examples
    --------
    >>> find_subject("shhs", "shhs2-200001"), find_subject("shhs", "mesa-sleep-0001")
    ('200001', None)
    """
    layout = LAYOUTS[cohort]
    match = re.fullmatch(layout.pattern, name.lower().removesuffix(layout.optional))
    return match and match["subject"]


def check_cohort(cohort: str) -> str:
    """Check the name of a cohort.

    Parameters
    ----------
    cohort : str
        The name.

    Returns
    -------
    cohort : str
        The name, in lower case.

    Raises
    ------
    TypeError, ValueError
        If it is not that of a cohort.
    """
    check_type(cohort, (str,), "cohort")
    if cohort.lower() not in LAYOUTS:
        raise ValueError(
            f"cohort is {quote(cohort)}, which is not known. Give one of {', '.join(LAYOUTS)}, or "
            "write a table of the nights."
        )
    return cohort.lower()


def find_files(folder: Path, cohort: str) -> tuple[dict[str, Path], dict[str, Path]]:
    """Find the recordings and the scorings of a cohort by their names.

    Parameters
    ----------
    folder : Path
        The folder of all downloads, that of the cohort, or ``polysomnography`` in it.
    cohort : str
        The cohort.

    Returns
    -------
    recordings, scorings : dict of str to Path
        Id, in lower case and without what is optional -> file.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If there is no such folder.
    ValueError
        If it has no recordings of the cohort.
    """
    layout = LAYOUTS[cohort]
    if not folder.is_dir():
        kind = NotADirectoryError if folder.exists() else FileNotFoundError
        what = f"{folder} is a file" if folder.exists() else f"There is no folder {folder}"
        raise kind(f"{what}. Give the folder of the download of {cohort}.")
    places = (folder / cohort / _ROOT, folder / _ROOT, folder / cohort, folder)
    base = next(place for place in places if place.is_dir())
    recordings: dict[str, list[Path]] = {}
    scored: dict[str, dict[str, list[Path]]] = {ending: {} for ending in layout.scorings}
    others = []
    for path in walk_files(base):
        name = path.name.lower()
        ending = next((end for end in (".edf", *layout.scorings) if name.endswith(end)), "")
        key = name.removesuffix(ending).removesuffix(layout.optional)
        if ending and find_subject(cohort, key) is not None:
            (recordings if ending == ".edf" else scored[ending]).setdefault(key, []).append(path)
        elif ending == ".edf":
            others.append(path)
    if not recordings:
        found = f"{len(others)} others, such as {min(others).name}" if others else "no other EDF"
        raise ValueError(
            f"{base} has no recordings of {cohort}, such as {layout.example}.edf, but {found}. "
            "Give the folder of its download, or another cohort."
        )
    if others:
        warn(
            f"{len(others)} EDF file{pluralize(others)} in {base} do not have the name of a night "
            f"of {cohort} and are left out, such as {min(others).name}. Rename them as "
            f"{layout.example}.edf if they are nights."
        )
    scorings = {
        key: _choose(paths)
        for ending in reversed(layout.scorings)
        for key, paths in scored[ending].items()
    }
    return {key: _choose(paths) for key, paths in recordings.items()}, scorings


def _choose(paths: list[Path]) -> Path:
    """Choose one of the files of a name, the first."""
    first, *rest = sorted(paths)
    if rest:
        warn(f"{first.name} is there {len(paths)} times; {first} is used, not {rest[0]}.")
    return first


def join_ids(ids: Iterable[str]) -> str:
    """List ids for a message, and how many more there are.

    Parameters
    ----------
    ids : iterable of str
        The ids.

    Returns
    -------
    text : str
        The first ids in alphabetical order, separated by commas.
    """
    names = sorted(set(ids))
    shown = ", ".join(shorten(name, 60) for name in names[:_MOST_IDS])
    return shown + (f" and {len(names) - _MOST_IDS} more" if len(names) > _MOST_IDS else "")
