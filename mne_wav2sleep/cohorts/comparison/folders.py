"""Files of scored stages in a folder, and the names of their nights."""

import re
from functools import cache
from pathlib import Path

from ...formats.edf import SUFFIXES as EDF_SUFFIXES
from ...formats.edf import open_edf
from ...hypnograms.files import load_text
from ...hypnograms.names import is_stage
from ...hypnograms.reading import FILE_SUFFIXES
from ...hypnograms.tables import has_stages
from ..finding import find_recordings, pair_hypnograms, walk_files
from ..naming import name_nights
from ..nights import Night
from ..results import HYPNOGRAMS, PERIODS, TABLE
from .names import fold_case
from .result import TABLE_FILES

_ANNOTATIONS = ("-annot.fif", "_annot.fif", "-annot.fif.gz", "_annot.fif.gz")
"""Ends of the names of annotations that MNE has saved, by its conventions."""
_PROVENANCE = ".provenance.json"
_TABLES = {TABLE, PERIODS, *TABLE_FILES}
"""Names of tables that this package writes, of which some have a column of stages."""


def find_stem(path: Path) -> str:
    """Find the name of a night in that of its file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    stem : str
        The name without the suffix, or without the end that MNE gives to annotations.
    """
    ends = [end for end in (*_ANNOTATIONS, path.suffix) if path.name.lower().endswith(end.lower())]
    return path.name.removesuffix(path.name[-len(ends[0]) :])


def list_folder(folder: Path) -> dict[str, tuple[Path, str]]:
    """List the hypnograms in a folder and in the folders in it, by the names of their nights.

    Parameters
    ----------
    folder : Path
        The folder.

    Returns
    -------
    found : dict of str to tuple of (Path, str)
        Name of the night, as :func:`~mne_wav2sleep.cohorts.naming.name_nights` gives it -> its
        file, and the path of the night below the folder, without the suffix (``p01/night1``). Left
        out are recordings without stages, staged cohorts, and hidden files.

    Raises
    ------
    ValueError
        If there is no hypnogram, or there are two of a night in one folder.
    """
    # Recordings are often beside their stages, which have their names and more.
    paired = pair_hypnograms(find_recordings(folder))
    recordings = {one: path for path, one in paired.items() if one is not None}
    is_cohort = cache(lambda path: (path / TABLE).is_file() and (path / HYPNOGRAMS).is_dir())
    by_key: dict[tuple[Path, str], list[Path]] = {}
    for path in sorted(walk_files(folder)):
        above = path.parents[: path.parents.index(folder)]
        if paired.get(path) or not _is_hypnogram(path) or any(map(is_cohort, above)):
            continue
        key = path.parent, fold_case(find_stem(recordings.get(path, path)))
        by_key.setdefault(key, []).append(path)
    chosen = [one for paths in by_key.values() if (one := _choose(paths)) is not None]
    if not chosen:
        raise ValueError(
            f"There is no hypnogram in {folder}. Give a folder of files such as night1.json or "
            "night1.xml."
        )
    nights = []
    for path in chosen:
        name = find_stem(recordings.get(path, path))
        subject = (path.parent.relative_to(folder) / name).as_posix()
        nights.append(Night(path.with_name(f"{name}.edf"), None, subject))
    found = zip(chosen, (night.subject for night in nights), strict=True)
    return dict(zip(name_nights(nights), found, strict=True))


def _is_hypnogram(path: Path) -> bool:
    """Whether a file is named as a hypnogram."""
    name = path.name.lower()
    return name.endswith((*FILE_SUFFIXES, *_ANNOTATIONS)) and not (
        name.endswith(_PROVENANCE) or not path.is_file()
    )


def _choose(paths: list[Path]) -> Path | None:
    """Choose the hypnogram among files of one name in one folder; None if none has stages."""
    # An EDF beside stages of its name is the recording.
    stages = [path for path in paths if path.suffix.lower() not in EDF_SUFFIXES]
    stages = stages or [path for path in paths if not _is_recording(path)]
    if len(stages) > 1:
        stages = [path for path in stages if not is_other(path)] or stages
    if len(stages) > 1:
        raise ValueError(
            f"{stages[0].parent} has {len(stages)} hypnograms of a night, "
            f"{', '.join(path.name for path in stages[:3])}. Move all but one elsewhere."
        )
    return stages[0] if stages else None


def _is_recording(path: Path) -> bool:
    """Whether an EDF or BDF has signals, and no stages."""
    try:
        file = open_edf(path)
        return bool(file.signals) and not any(map(is_stage, file.annotations.description))
    except (OSError, ValueError):  # damaged, which is told when it is read
        return False


def is_other(path: Path) -> bool:
    """Check whether a file is something else than a hypnogram, such as a table or a note.

    Parameters
    ----------
    path : Path
        A file that is named as a hypnogram may be.

    Returns
    -------
    is_other : bool
        Whether it is a table that this package writes, or has no stages that can be read.
    """
    if path.name.lower() in _TABLES:
        return True
    suffix = path.suffix.lower()
    try:
        if suffix in (".csv", ".tsv"):
            return not has_stages(path)
        if suffix == ".txt":
            cells = {cell.strip() for cell in re.split(r"[,;\t\n]", load_text(path))}
            return not any(is_stage(cell) or re.fullmatch(r"-?\d+", cell) for cell in cells)
        return suffix == ".json" and '"values"' not in load_text(path)
    except (OSError, ValueError):  # which is told when it is read
        return False


def name_table(path: Path) -> str | None:
    """Name what a table is that was given for a hypnogram.

    Parameters
    ----------
    path : Path
        A file.

    Returns
    -------
    name : str or None
        A table of nights or of participants, by its columns; None if it is something else.
    """
    if path.suffix.lower() not in (".csv", ".tsv") or not path.is_file():
        return None
    try:
        header = load_text(path).splitlines()[0].lower()
    except (OSError, ValueError):
        return None
    names = {name.strip(' "') for name in re.split(r"[,;\t]", header)}
    if "stage" in names:
        return None
    if names & {"recording", "night"}:
        return "a table of nights"
    return "a table of participants" if names & {"participant_id", "subject"} else None
