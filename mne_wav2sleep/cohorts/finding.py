"""Recordings in a folder, and the hypnograms beside them."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import mne

from ..cautions import warn
from ..formats import edf
from ..staging.provenance import provenance_path
from .results import HYPNOGRAMS, TABLE

_SUFFIXES = (
    *(".edf", ".bdf", ".gdf", ".fif", ".fif.gz", ".vhdr", ".ahdr", ".set", ".cnt", ".lay"),
    *(".con", ".sqd", ".nxe", ".cdt", ".snirf"),
)
"""Suffixes of files that are recordings. Those that other files have as well, such as .mat, .dat or
.txt, are left to tables of nights."""
_FOLDERS = (".ds", ".mff")
"""Suffixes of folders that are recordings."""

_OTHER_FIF = re.compile(
    r".*[-_](annot|ave|bem|corr|cov|epo|eve|events?|evo|evoked|fwd|fwdinv|ica|info|inv|proj|sol|src"
    r"|trans)(-\d+)?\.fif(\.gz)?"
)
"""Names by MNE's conventions of FIF files that are not recordings."""
_PARTS = (
    (re.compile(r"(?P<stem>.+)-\d+(?P<suffix>\.fif(\.gz)?)", re.IGNORECASE), ("",)),
    (re.compile(r"(?P<stem>.+_split-)\d+(?P<suffix>(_\w+)?\.fif)", re.IGNORECASE), ("1", "01")),
)
"""Names of later parts of a FIF by MNE's and by BIDS's conventions, and what the first one has
instead of their number."""
_MEG_SYSTEM = re.compile(r".*_acq-(calibration|crosstalk)_meg\.fif")

_RAW = re.compile(r"[-_]raw(?=[-_]|$)")
"""A word of MNE's names of recordings that their hypnograms need not have."""

_SCORED = (".xml", ".rml", ".annot", ".eannot", ".edf", ".fif", ".csv", ".tsv", ".txt", ".json")
"""Suffixes of scored stages."""
_WORDS = {
    *("nsrr", "profusion", "hypnogram", "hypno", "hyp", "stages", "stage", "staging"),
    *("sleepstages", "sleep_stages", "scoring", "scored", "scores", "expert"),
    *("annotations", "annotation", "annot"),
}
"""Words that the name of a hypnogram adds to that of its recording."""


def find_recordings(folder: str | Path) -> list[Path]:
    """Find the recordings in a folder and in the folders in it.

    Parameters
    ----------
    folder : str or Path
        The folder.

    Returns
    -------
    recordings : list of Path
        One path per recording, sorted: a file in a format that is known by its suffix (EDF, BDF,
        GDF, FIF, BrainVision, EEGLAB, CNT, Persyst and others), or a folder that is a recording
        (``.ds``, ``.mff``). Of a FIF in parts it is the first one. Left out are hidden files, EDF
        files that contain only annotations, FIF files that are not recordings by MNE's conventions
        for names, and the hypnograms of staged cohorts. Damaged files are included.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    NotADirectoryError
        If it is a file.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("n2.vhdr", "n2.eeg", "N1.EDF", "._N1.EDF", "n1.csv"):
    ...     (folder / name).touch()
    >>> [path.name for path in find_recordings(folder)]
    ['N1.EDF', 'n2.vhdr']
    """
    folder = Path(folder).expanduser()
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file, not a folder of recordings.")
    if not folder.exists():
        raise FileNotFoundError(f"There is no folder of recordings at {folder}. Check the path.")
    found = [path for path in _walk(folder, set()) if is_named_as_recording(path)]
    return sorted(path for path in drop_parts(found) if not _is_hypnogram(path))


def _walk(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """List the files below a folder, and the folders that are recordings, each folder once."""
    status = folder.stat()
    if (here := (status.st_dev, status.st_ino)) in seen:  # a link to a folder above, or beside
        return
    seen.add(here)
    try:
        # Folders before links to them, so that files are found where they are.
        entries = sorted(os.scandir(folder), key=lambda entry: (entry.is_symlink(), entry.name))
    except PermissionError as error:
        warn(f"{folder} cannot be searched ({error.strerror}). Change its permissions.")
        return
    for entry in entries:
        path = Path(entry.path)
        is_ours = entry.name == HYPNOGRAMS and (folder / TABLE).is_file()
        if entry.name.startswith(".") or is_ours:
            continue
        if entry.is_dir() and path.suffix.lower() not in _FOLDERS:
            yield from _walk(path, seen)
        else:
            yield path


def is_named_as_recording(path: Path) -> bool:
    """Check by its name whether a file, or a folder, is a recording.

    Parameters
    ----------
    path : Path
        The file or folder.

    Returns
    -------
    is_recording : bool
        Whether it is named as one.

    Examples
    --------
    >>> [is_named_as_recording(Path(f"n1{end}")) for end in (".EDF", "_raw.fif", "-epo.fif")]
    [True, True, False]
    """
    name = path.name.lower()
    if name.startswith(".") or _OTHER_FIF.fullmatch(name) or _MEG_SYSTEM.fullmatch(name):
        return False
    return name.endswith(_FOLDERS if path.is_dir() else _SUFFIXES)


def drop_parts(recordings: Iterable[Path]) -> list[Path]:
    """Drop the later parts of FIF files in parts, which are read with the first one.

    Parameters
    ----------
    recordings : iterable of Path
        The recordings.

    Returns
    -------
    kept : list of Path
        The recordings without those that another of them continues in.
    """
    recordings = list(recordings)
    there = {str(path) for path in recordings}
    firsts = {
        first
        for path in recordings
        for pattern, numbers in _PARTS
        if (match := pattern.fullmatch(str(path)))
        for number in numbers
        if (first := f"{match['stem']}{number}{match['suffix']}") in there and first != str(path)
    }
    parts = {part for first in firsts for part in _list_parts(Path(first))}
    return [path for path in recordings if path.absolute() not in parts]


def _list_parts(first: Path) -> list[Path]:
    """List the files in which a FIF continues, by its contents."""
    try:
        raw = mne.io.read_raw_fif(
            first, allow_maxshield=True, on_split_missing="ignore", verbose="error"
        )
    except Exception:  # of any type, if the file is damaged; it will be a night with its reason
        return []
    return [Path(name).absolute() for name in raw.filenames[1:]]


def _is_hypnogram(path: Path) -> bool:
    """Check whether an EDF or BDF has annotations and no signals."""
    if path.suffix.lower() not in edf.SUFFIXES:
        return False
    try:
        return not edf.open_edf(path).signals
    except (OSError, ValueError):  # damaged, which is told when it is staged
        return False


def pair_hypnograms(recordings: Sequence[Path]) -> dict[Path, Path | None]:
    """Find the scored stages beside each recording, by their names.

    Parameters
    ----------
    recordings : sequence of Path
        The recordings, from :func:`find_recordings`.

    Returns
    -------
    paired : dict of Path to Path or None
        Recording -> a file in the same folder that has its name, or its name and a word for stages:
        ``night1.xml``, ``night1-nsrr.xml`` or ``night1_hypnogram.csv`` for ``night1.edf``, and
        ``SC4001EC-Hypnogram.edf`` for ``SC4001E0-PSG.edf``. A name with such a word comes first. It
        is None, with a warning, if several files may be the one. Files with a provenance beside
        them are not scored, but staged by this package, and do not count.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("night1.edf", "night1-nsrr.xml", "night2.edf"):
    ...     (folder / name).touch()
    >>> paired = pair_hypnograms(find_recordings(folder))
    >>> [path and path.name for path in paired.values()]
    ['night1-nsrr.xml', None]
    """
    paired: dict[Path, Path | None] = {}
    taken = set(recordings)
    list_scored = cache(_list_scored)
    for recording in recordings:
        stem = _strip_suffix(recording)
        ranks: dict[int, list[Path]] = {}
        for name, path in list_scored(recording.parent):
            if path not in taken and (rank := _rank(stem, name)) is not None:
                ranks.setdefault(rank, []).append(path)
        best = ranks[min(ranks)] if ranks else []
        if len(best) > 1:
            warn(
                f"{recording.name} may have been scored in "
                f"{' or '.join(path.name for path in best)}; none is used. Name the hypnogram in a "
                "table of nights."
            )
        paired[recording] = best[0] if len(best) == 1 else None
    return paired


def _strip_suffix(path: Path) -> str:
    """Get the name of a recording without its suffix, in lower case."""
    name = path.name.lower().removesuffix(".gz")
    return _RAW.sub("", name.removesuffix(Path(name).suffix))


def _list_scored(folder: Path) -> list[tuple[str, Path]]:
    """List the files of a folder that may hold stages of a scorer, with their names."""
    return [
        (_RAW.sub("", path.stem.lower()), path)
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in _SCORED
        and not path.name.startswith(".")
        and not provenance_path(path).exists()
    ]


def _rank(recording: str, scored: str) -> int | None:
    """Rank the name of a hypnogram for a recording, the best first; None if they do not match."""
    if scored == recording:
        return 1
    if scored.startswith(recording):
        rest = scored[len(recording) :]
        return 0 if rest[0] in "-_. " and rest[1:].replace("-", "_") in _WORDS else None
    # Sleep-EDF: the last character before the dash tells the recording from the scorer.
    is_sleep_edf = recording.endswith("-psg") and scored.endswith("-hypnogram")
    prefix = recording.removesuffix("-psg")[:-1]
    return 0 if is_sleep_edf and prefix and scored[:-11] == prefix else None
