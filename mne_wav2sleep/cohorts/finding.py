"""Recordings in a folder, and the hypnograms beside them."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import mne

from ..cautions import warn
from ..formats import edf
from ..recordings.opening import FOLDERS
from ..staging.provenance import provenance_path
from .results import HYPNOGRAMS, TABLE

_SUFFIXES = (
    *(".edf", ".bdf", ".gdf", ".fif", ".fif.gz", ".vhdr", ".ahdr", ".set", ".cnt", ".lay"),
    *(".con", ".sqd", ".nxe", ".cdt", ".snirf"),
)
"""Suffixes of files that are recordings. Those that other files have as well, such as .mat, .dat or
.txt, are left to tables of nights."""

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
    *("stg", "allscore"),  # the Wisconsin Sleep Cohort
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
    found = [path for path in walk_files(folder) if is_named_as_recording(path)]
    return sorted(path for path in drop_parts(found) if not _is_hypnogram(path))


def walk_files(folder: Path, seen: set[tuple[int, int]] | None = None) -> Iterator[Path]:
    """List the files below a folder, and the folders that are recordings, each folder once.

    Parameters
    ----------
    folder : Path
        The folder.
    seen : set of (int, int), optional
        Devices and numbers of folders that are left out.

    Yields
    ------
    path : Path
        A file, or a folder that is a recording; hidden ones are left out.
    """
    seen = set() if seen is None else seen
    try:
        status = folder.stat()
        if (here := (status.st_dev, status.st_ino)) in seen:  # a link to a folder above, or beside
            return
        seen.add(here)
        # Folders before links to them, so that files are found where they are.
        entries = sorted(os.scandir(folder), key=lambda entry: (entry.is_symlink(), entry.name))
    except OSError as error:
        is_closed = isinstance(error, PermissionError)
        remedy = "Change its permissions" if is_closed else "Check the drive that it is on"
        warn(f"{folder} cannot be searched ({error.strerror}). {remedy}.")
        return
    for entry in entries:
        path = Path(entry.path)
        is_ours = entry.name == HYPNOGRAMS and (folder / TABLE).is_file()
        if entry.name.startswith(".") or is_ours:
            continue
        try:
            is_folder = entry.is_dir() and path.suffix.lower() not in FOLDERS
        except OSError as error:  # a link to itself, or a drive that is gone
            warn(f"{path} cannot be searched ({error.strerror}). Remove or correct it.")
            continue
        if is_folder:
            yield from walk_files(path, seen)
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
    return name.endswith(FOLDERS if path.is_dir() else _SUFFIXES)


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
    index_scored = cache(_index_scored)
    for recording in recordings:
        scored = index_scored(recording.parent)
        best: list[Path] = []
        for keys in _list_keys(_strip_suffix(recording)):
            found = {path for key in keys for path in scored.get(key, ())}
            best = best or sorted(found - taken)
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


def _index_scored(folder: Path) -> dict[tuple[str, str], list[Path]]:
    """Index the files of a folder that may hold stages of a scorer by the names of recordings."""
    index: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in _SCORED or path.name.startswith("."):
            continue
        if provenance_path(path).exists():
            continue
        name = _RAW.sub("", path.stem.lower())
        keys = [("bare", name)]
        for at in (match.start() for match in re.finditer(r"[-_. ]", name)):
            if name[at + 1 :].replace("-", "_") in _WORDS:
                keys.append(("worded", name[:at]))
        if name.endswith("-hypnogram"):
            # Sleep-EDF: the last character before the dash tells the recording from the scorer.
            keys.append(("worded", f"{name.removesuffix('-hypnogram')[:-1]}?-psg"))
        for key in keys:
            index.setdefault(key, []).append(path)
    return index


def _list_keys(recording: str) -> list[list[tuple[str, str]]]:
    """List the keys of the hypnograms of a recording, the best first."""
    keys = [[("worded", recording)], [("bare", recording)]]
    prefix = recording.removesuffix("-psg")[:-1]
    if prefix and recording.endswith("-psg"):
        keys[0].append(("worded", f"{prefix}?-psg"))
    return keys
