"""One night of a cohort, staged in whichever process, with all that is kept of it on disk."""

import hashlib
import json
import multiprocessing
import os
import re
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import mne
import torch

from ..errors import FileWriteError, WeightsError, describe_error, find_full_disk
from ..hypnograms import write_hypnogram
from ..hypnograms.lights import EventLights
from ..hypnograms.statistics import UNCALIBRATED
from ..modalities import describe_added
from ..network import Engine, LoadedWeights, load_weights
from ..network.serving import Address, RemoteEngine
from ..progress import show_bars
from ..signals import Validity
from ..stager import SleepStagerW2S
from ..staging.epochs import write_table
from ..staging.provenance import provenance_path, write_provenance
from ..verbosity import use_log_level
from .checksums import hash_whole
from .nights import Night
from .notes import Row, read_row, write_row
from .results import EPOCHS, hypnogram_path
from .rows import describe_failure, describe_night, describe_periods
from .sources import hash_file, hash_raw

_PASSING = (MemoryError, OSError, EOFError, torch.AcceleratorError)
"""Errors of the machine, after which the same night may be staged, unless its file is not there."""
_NO_MEMORY = "(?i)can't allocate memory|out of memory"
_WATCH_S = 1.0
"""Seconds from one look at the parent of a process to the next."""


@dataclass(frozen=True)
class Settings:
    """How the nights of a cohort are staged.

    Attributes
    ----------
    folder : Path
        The folder of the cohort.
    weights : str, Path or LoadedWeights
        What is loaded in each process.
    fingerprint : str
        Hash of the weights, their config, calibration and preprocessing.
    validity : Validity
        What counts as measured.
    device : str or torch.device
        As in :class:`~mne_wav2sleep.SleepStagerW2S`.
    precision : str
        As in :class:`~mne_wav2sleep.SleepStagerW2S`.
    ci : float
        Coverage of the intervals.
    epochs : str or None
        Kind of file of the tables of epochs, such as ``"csv"``; None for none.
    parent : int
        Number of the process that runs the cohort.
    served : Address or None
        Where that process serves an engine on a GPU; None if each process has its own engine.
    """

    folder: Path
    weights: str | Path | LoadedWeights
    fingerprint: str
    validity: Validity
    device: str | torch.device
    precision: str
    ci: float
    epochs: str | None
    parent: int
    served: Address | None = None

    def describe(self) -> dict[str, Any]:
        """Describe the parameters with which all nights are staged, ready for JSON."""
        return {
            "validity": asdict(self.validity),
            "precision": self.precision,
            "ci": self.ci,
            "epochs": self.epochs,
        }


def make_fingerprint(weights: LoadedWeights) -> str:
    """Hash weights, with all that changes what is staged with them."""
    parts = {
        "sha256": weights.lineage[0].sha256,
        "config": asdict(weights.config),
        "calibration": asdict(weights.calibration),
        "preprocessing": asdict(weights.preprocessing),
        "stage_names": weights.stage_names,
        "scorer": weights.scorer,
        **describe_added(weights.modalities),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def make_key(night: Night, settings: Settings) -> dict[str, str]:
    """Find what the result of a night depends on.

    Parameters
    ----------
    night : Night
        The night.
    settings : Settings
        How it is staged.

    Returns
    -------
    key : dict of str to str
        Hashes of the recording and of the weights, the version of the package, and each parameter.
        A recording that cannot be read is named by what can be known of it.
    """
    lights = night.lights
    parameters = settings.describe() | {
        "ch_names": dict(sorted(night.ch_names.items())),
        "lights": {"events": lights} if isinstance(lights, EventLights) else lights,
    }
    return {
        "recording": _hash_recording(night, settings.folder),
        "weights": settings.fingerprint,
        "version": metadata.version("mne-wav2sleep"),
    } | {name: json.dumps(one, sort_keys=True, default=str) for name, one in parameters.items()}


def _hash_recording(night: Night, folder: Path) -> str:
    """Hash the contents of a recording, or of what is there of it."""
    if isinstance(night.recording, mne.io.BaseRaw):
        return hash_raw(night.recording)
    path = Path(night.recording)
    for is_recording in (True, False):
        with suppress(Exception):  # of any reader; staging says what is wrong
            return hash_file(path, folder, is_recording=is_recording)
    return "cannot be read"


@cache
def _end_with(parent: int) -> None:
    """End this process when its parent has ended: joblib's would go on for minutes."""
    started_by = multiprocessing.parent_process()
    if started_by is None or started_by.pid != parent:  # as in the processes of a cluster
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_S)
        os._exit(1)

    if os.getppid() != parent:  # it has ended before this process was ready
        os._exit(1)
    threading.Thread(target=watch, daemon=True).start()


class _Reader(SleepStagerW2S):
    """A stager that reads a recording, which an engine in another process stages."""

    def __init__(self, *args: Any, engine: RemoteEngine, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._engine = engine

    def _load(self) -> tuple[LoadedWeights, Engine]:
        """Load the weights, whose network is in the other process."""
        return load_weights(self._weights), self._engine


@cache
def _connect(served: Address) -> RemoteEngine:
    """Connect to the engine of another process, once in each process."""
    return RemoteEngine(served)


@cache
def _load(weights: str | Path, fingerprint: str) -> LoadedWeights:
    """Load weights, once in each process."""
    loaded = load_weights(weights)
    if make_fingerprint(loaded) != fingerprint:
        raise WeightsError(
            f"The weights {str(weights)!r} are not those with which this run began: they were "
            "changed, or differ between machines. Start again, with one set of weights."
        )
    return loaded


def stage_night(task: tuple[str, Night], settings: Settings) -> Row:
    """Stage a night of a cohort, and write what comes out.

    Parameters
    ----------
    task : tuple of (str, Night)
        Name of the night, and the night.
    settings : Settings
        How it is staged.

    Returns
    -------
    row : Row
        The row of the night. It is written after all other files of the night, so that a night
        with a row is complete.

    Raises
    ------
    WeightsError, FileWriteError, OSError
        If the weights cannot be used, files cannot be written, or the disk is full, which is not
        the fault of this night.
    """
    _end_with(settings.parent)
    name, night = task
    key: dict[str, str] = {}
    cautions: list[str] = []
    with use_log_level("error"), show_bars(False):  # warnings are kept in the row
        weights = settings.weights
        loaded = (
            weights if isinstance(weights, LoadedWeights) else _load(weights, settings.fingerprint)
        )
        try:
            key = make_key(night, settings)
            row = _stage(name, night, loaded, settings, cautions)
        except (WeightsError, FileWriteError):
            raise
        except Exception as error:  # no error of one night may stop the others
            if find_full_disk(error) is not None:
                raise
            values = describe_failure(describe_error(error), cautions)
            row = Row({}, values, is_final=not _is_passing(error))
        row = replace(row, key=key)
        _remove_old(settings.folder, read_row(settings.folder, name), row)
        write_row(settings.folder, name, row)
    return row


def _is_passing(error: BaseException | None) -> bool:
    """Whether a night may be staged another time, as the machine was the cause of the error."""
    while error is not None:
        # On a CPU, torch has no type of its own for a lack of memory.
        if isinstance(error, RuntimeError) and re.search(_NO_MEMORY, str(error)):
            return True
        if isinstance(error, _PASSING) and not isinstance(error, FileNotFoundError):
            return True
        error = error.__cause__
    return False


def _remove_old(folder: Path, old: Row | None, new: Row) -> None:
    """Remove files of a night from before that it has no longer."""
    for name in set(() if old is None else old.files) - set(new.files):
        path = folder / name
        # The note may be from elsewhere.
        if path.resolve().is_relative_to(folder.resolve()):
            path.unlink(missing_ok=True)


def _stage(
    name: str, night: Night, weights: LoadedWeights, settings: Settings, cautions: list[str]
) -> Row:
    """Stage a night, write its hypnogram and provenance, and give its row without a key."""
    options: dict[str, Any] = {
        "ch_names": night.ch_names,
        "lights": night.lights,
        "validity": settings.validity,
    }
    if settings.served is None:
        options |= {"device": settings.device, "precision": settings.precision}
        stager = SleepStagerW2S(night.recording, weights, **options)
    else:
        engine = _connect(settings.served)
        stager = _Reader(night.recording, weights, engine=engine, device="cpu", **options)
    try:
        hyp = stager.predict()
        statistics = stager.statistics(settings.ci)
    finally:
        # Those of the weights are not about this night.
        of_weights = (weights.caution, UNCALIBRATED)
        cautions.extend(one for one in stager.cautions if one not in of_weights)
    path = hypnogram_path(settings.folder, name)
    write_hypnogram(hyp, path, overwrite=True)
    write_provenance(stager.provenance(), path, overwrite=True)
    written = [path]
    if settings.epochs is not None:
        written.append(settings.folder / EPOCHS / f"{name}.{settings.epochs}")
        written[-1].parent.mkdir(exist_ok=True)
        write_table(stager.epoch_table(), written[-1], overwrite=True)
    files = {one.relative_to(settings.folder).as_posix(): hash_whole(one) for one in written}
    # Provenance has a time, so that its hash would differ from one run to the next.
    files[provenance_path(path).relative_to(settings.folder).as_posix()] = ""
    values = describe_night(stager, hyp, statistics, cautions)
    return Row({}, values, files, periods=describe_periods(stager, hyp))
