"""What prepared nights were made from: the files of recordings, and hashes of their contents."""

import hashlib
import json
import logging
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import mne
import yasa

from ..cautions import keep_cautions
from ..errors import WeightsError
from ..formats import brainvision, edf
from ..modalities import CARDIO_RESPIRATORY, describe_added
from ..network.files import read_file
from ..network.seen import is_hash
from ..output import write_whole
from ..recordings import open_recording
from ..signals import Validity
from ..verbosity import logger, use_log_level
from .nights import FORMAT, Night

_SETTLED_S = 2.0
"""Age in seconds of a change after which the times of a file show the next one: those of FAT, the
coarsest, count in steps of 2 s."""
_LARGEST_NOTE = 2**24
"""Size in bytes of a note on a source at most, which lists its files."""
_LENGTH = 16
"""Digits of a hash, 64 bits: among a million nights, two are the same by chance once in 10^7."""


def shorten_hash(digest: Any) -> str:
    """Give the digits of a hash that are kept."""
    return str(digest.hexdigest()[:_LENGTH])


def list_files(recording: Path) -> list[Path]:
    """List the files of a recording: the header, samples, markers and further parts.

    Parameters
    ----------
    recording : Path
        The file or folder that is opened.

    Returns
    -------
    files : list of Path
        Absolute paths, the recording first; some may not exist. Those of a recording that is a
        folder include the folders in it, whose times change when a file is added.

    Raises
    ------
    ValueError, OSError
        If the recording cannot be opened.
    """
    recording = recording.expanduser().absolute()
    if recording.is_dir():
        return [recording, *sorted(recording.rglob("*"))]
    suffix = recording.suffix.lower()
    if suffix in edf.SUFFIXES and recording.is_file():  # a single file, which need not be opened
        return [recording]
    # Its warnings are shown when it is prepared.
    with (
        use_log_level(max(logger.level, logging.WARNING)),
        keep_cautions([], show=False),
    ):
        raw = open_recording(recording).raw
    others = [Path(name).absolute() for name in raw.filenames if name is not None]
    if suffix in brainvision.SUFFIXES:
        others.append(brainvision.find_markers(recording).absolute())
    return list(dict.fromkeys([recording, *others]))


def _sign(files: Sequence[Path]) -> tuple[list[list[Any]], float]:
    """Collect what changes when files change, and the time of the last change."""
    found: list[list[Any]] = []
    last = 0.0
    for file in files:
        try:
            stat = file.stat()
        # None, such as a marker file that a header names, or a name that no file can have.
        except (OSError, ValueError):
            found.append([str(file)])
            continue
        found.append([str(file), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino])
        last = max(last, stat.st_mtime, stat.st_ctime)
    return found, last


def _read_note(path: Path, source: Path) -> tuple[list[list[Any]], str] | None:
    """Read the signature and the hash of a source; None if there is no valid note on it."""
    try:
        note = json.loads(read_file(path, _LARGEST_NOTE))
        signature, digest = note["files"], note["hash"]
        names = [file[0] for file in signature]
        are_names = all(isinstance(name, str) and "\0" not in name for name in names)
        if is_hash(digest) and are_names and names[0] == str(source):
            return signature, digest
    except (WeightsError, ValueError, LookupError, TypeError, RecursionError):
        pass
    return None


def hash_file(path: Path, folder: Path, *, is_recording: bool) -> str:
    """Hash the contents of a recording or a hypnogram, unless they are known not to have changed.

    Parameters
    ----------
    path : Path
        The recording, or the hypnogram.
    folder : Path
        The folder of prepared nights, whose folder ``sources`` keeps hashes.
    is_recording : bool
        Whether it is a recording, which may have several files.

    Returns
    -------
    digest : str
        Hash of the contents, the same for a copy.

    Raises
    ------
    ValueError, OSError
        If it cannot be opened.

    Notes
    -----
    Files are read again if the name, size, number (inode), or time of a change of the contents or
    of the file (ctime) differs. On Windows, which has no ctime, a change that keeps the size and
    restores the time is not seen.
    """
    path = path.expanduser().absolute()
    name = hashlib.sha256(f"{is_recording} {path}".encode(errors="surrogateescape"))
    note = folder / "sources" / f"{shorten_hash(name)}.json"
    if (known := _read_note(note, path)) is not None:
        signature, digest = known
        if _sign([Path(file[0]) for file in signature])[0] == signature:
            return digest
    files = list_files(path) if is_recording else [path]
    signature, last = _sign(files)
    together = hashlib.sha256()
    for file in files:
        if file.is_file():
            with file.open("rb") as opened:
                together.update(hashlib.file_digest(opened, "sha256").digest())
    digest = shorten_hash(together)
    # A change within the same step of the clock would not be seen.
    if abs(time.time() - last) > _SETTLED_S:
        _write_note(note, json.dumps({"files": signature, "hash": digest}))
    return digest


def _write_note(note: Path, text: str) -> None:
    """Write a note on a source, unless the folder is that of others, and may only be read."""
    if note.exists() and not note.is_file():  # writing to a pipe would wait for a reader
        return
    try:
        note.parent.mkdir(exist_ok=True)
        with write_whole(note, overwrite=True, is_result=False) as unfinished:
            unfinished.write_text(text, "utf-8")
    except OSError as error:
        logger.debug(f"The hash of {note.name} is not kept ({error}).")


def hash_raw(raw: mne.io.BaseRaw) -> str:
    """Hash a Raw: its samples, and what is read of its info."""
    digest = hashlib.sha256()
    digest.update(f"{raw.ch_names} {raw.info['sfreq']} {raw.info['meas_date']}\n".encode())
    digest.update(f"{raw.info['bads']} {list(raw.annotations)}\n".encode())
    # The onsets of stages count from the first sample, and types say what a channel is.
    digest.update(f"{raw.first_samp} {raw.get_channel_types()}\n".encode())
    for block in range(0, raw.n_times, 1_000_000):
        digest.update(raw[:, block : block + 1_000_000][0].tobytes())
    return shorten_hash(digest)


def hash_sources(
    night: Night,
    folder: Path,
    dtype: str,
    validity: Validity,
    modalities: Collection[str] = CARDIO_RESPIRATORY,
) -> tuple[str, str]:
    """Hash everything that a prepared night depends on, so that no stale file is used.

    Parameters
    ----------
    night : Night
        The night.
    folder : Path
        The folder of prepared nights.
    dtype : str
        Data type of the prepared signals.
    validity : Validity
        What counts as measured.
    modalities : collection of str
        The modalities that it is prepared with.

    Returns
    -------
    key : str
        Hash of the contents of recording and hypnogram, and of how they are prepared.
    recording : str
        Hash of the contents of the recording's files; empty for a Raw.

    Raises
    ------
    ValueError, OSError
        If the recording cannot be opened.
    """
    if isinstance(night.recording, mne.io.BaseRaw):
        recording, source = "", hash_raw(night.recording)
    else:
        source = recording = hash_file(Path(night.recording), folder, is_recording=True)
    scored = night.hypnogram
    if isinstance(scored, yasa.Hypnogram):
        stages = json.dumps(list(scored.hypno)) + f"{scored.start} {scored.freq} {scored.n_stages}"
    elif scored is not None and Path(scored).expanduser().is_file():
        # The suffix decides how it is read.
        stages = hash_file(Path(scored), folder, is_recording=False) + Path(scored).suffix
    else:
        stages = str(scored)
    parts = [FORMAT, dtype, night.subject, night.dataset, str(sorted(night.ch_names.items()))]
    parts += [f"{validity} {night.onsets_from} {night.meas_date_is_local}", source, stages]
    if set(modalities) != set(CARDIO_RESPIRATORY):
        parts += [json.dumps([sorted(modalities), describe_added(modalities)])]
    key = hashlib.sha256("\n".join(parts).encode(errors="surrogateescape"))
    return shorten_hash(key), recording
