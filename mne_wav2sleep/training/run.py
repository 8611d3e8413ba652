"""A training run: how a network is trained, and what its folder says of it."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..cautions import warn
from ..errors import WeightsError, shorten, summarize_error
from ..network import BaseWeights
from ..network.files import check_regular, read_file
from ..network.info import find_tensors, read_calibration, read_info
from ..network.seen import read_seen
from ..network.state import build_network, read_state
from ..output import write_whole
from ..showing import flatten
from ..verbosity import logger, pluralize
from .checkpoints import has_checkpoint
from .extension import Extension
from .schedule import Schedule
from .settings import TrainingSettings

_RECORD = "training.json"
_DEEPEST = 20
"""Mappings within each other that a record may have: it is taken apart by recursion."""
_LARGEST_RECORD = 2**26
"""Largest size in bytes of a description of a run, which lists its nights."""
_LONGEST_VALUE = 100
"""Characters of a value of such a description that a message shows."""
_RESULT = ("calibration.json", "config.json", "model.safetensors", "README.md", "nights.json")
SCORES = "validation.csv"
"""The file with the scores of the validation nights, in the model folder."""
_WRITTEN = (*_RESULT, "metrics.csv", "learning-curve.png", SCORES)
_SPLITS = ("training", "validation")
_FINISHED = "finished"
FREE = {"max_passes", "patience", "n_workers", "micro_batch_size", "gradient_checkpointing"}
"""Settings that may change when a run is resumed: how long to train, who reads the nights, and with
how much memory a step is computed."""
_KEPT = ("schedule", _FINISHED)
"""What a resumed run keeps from its beginning; the schedule would depend on how it was called."""


@dataclass(frozen=True)
class TrainingRun:
    """How a network is trained, apart from the nights.

    Attributes
    ----------
    settings : TrainingSettings
        The settings.
    trainable : tuple of str
        The parts that are trained.
    bases : tuple of BaseWeights
        The initial weights of fine-tuning, those that they were fine-tuned from, and so on; empty
        for random weights.
    device : str or torch.device
        As in :class:`~mne_wav2sleep.SleepStagerW2S`.
    n_devices : int
        Number of devices of this kind.
    tensorboard : bool
        Whether to log for TensorBoard as well.
    extension : Extension
        What fine-tuning adds to the initial weights.
    is_fold : bool
        Whether the weights are only tested, on other nights: they keep the calibration of the
        initial ones, and are not compared with these on the validation nights.
    cross_validation : str or None
        A section of the model card on a cross-validation that preceded; None if there was none.
    """

    settings: TrainingSettings
    trainable: tuple[str, ...]
    bases: tuple[BaseWeights, ...]
    device: str | torch.device = "auto"
    n_devices: int = 1
    tensorboard: bool = False
    extension: Extension = field(default_factory=Extension)
    is_fold: bool = False
    cross_validation: str | None = None

    @property
    def base(self) -> BaseWeights | None:
        """The initial weights; None for random weights."""
        return self.bases[0] if self.bases else None

    @property
    def is_compared(self) -> bool:
        """Whether the trained weights are compared with the initial ones.

        These are of use only if they are not random, and nothing new has to be trained first.
        """
        return self.base is not None and not self.extension and not self.is_fold


def read_record(folder: Path, name: str = _RECORD) -> dict[str, Any] | None:
    """Read what is trained in a folder.

    Parameters
    ----------
    folder : Path
        The model folder, or that of a cross-validation.
    name : str
        Name of the file that says it.

    Returns
    -------
    record : dict or None
        The contents of the file; None if nothing is trained there.

    Raises
    ------
    ValueError
        If the file does not describe a run.
    """
    path = folder / name
    if not os.path.lexists(path):
        return None
    try:
        record = json.loads(read_file(path, _LARGEST_RECORD))
        if not isinstance(record, dict):
            raise ValueError("it is not a mapping")
        if any(name.count(".") > _DEEPEST for name in flatten(record)):
            raise ValueError("its values are nested too deeply")
        if "schedule" in record:
            Schedule(**record["schedule"])
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} does not describe a training run, or is damaged. Choose another folder, or "
            "remove this one to start over."
        ) from error
    return record


def write_record(folder: Path, record: Mapping[str, Any], name: str = _RECORD) -> None:
    """Write down in a folder what is trained there.

    Parameters
    ----------
    folder : Path
        The folder, which is created.
    record : mapping
        What is trained.
    name : str
        Name of the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=2, sort_keys=True, default=str) + "\n"
    with write_whole(folder / name, overwrite=True) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def _compare_nights(old: Any, new: Sequence[str], split: str) -> list[str]:
    """Say which nights of a split differ, whatever their order."""
    try:
        gone, more = Counter(old) - Counter(new), Counter(new) - Counter(old)
    except TypeError:
        gone, more = Counter({"all": 1}), Counter(new)
    return [
        f"{split} {has} {len(names)} night{pluralize(names)} ({', '.join(map(str, names[:3]))})"
        for has, names in (("lacks", list(gone)), ("has in addition", list(more)))
        if names
    ]


def compare_records(
    old: Mapping[str, Any], new: Mapping[str, Any], free: Collection[str] = FREE
) -> list[str]:
    """Say what of a new description differs from that of a folder, and changes results.

    Parameters
    ----------
    old, new : mapping
        The descriptions.
    free : collection of str
        The settings that may differ.

    Returns
    -------
    texts : list of str
        What differs, each in a few words.
    """
    texts: list[str] = []
    for key, value in json.loads(json.dumps(new, default=str)).items():
        if key in _SPLITS:
            texts += _compare_nights(old.get(key), value, key)
            continue
        if key in _KEPT:
            continue
        name = "weights" if key == "base" else key
        if key == "base" and _is_same_file(old.get(key), value):
            continue
        was, now = (
            {full.removeprefix("settings."): one for full, one in flatten({name: given}).items()}
            for given in (old.get(key), value)
        )
        texts += [
            f"{one} is {now.get(one)}, was {shorten(str(was.get(one)), _LONGEST_VALUE)}"
            for one in sorted(now.keys() | was.keys())
            if one not in free and _sort(now.get(one)) != _sort(was.get(one))
        ]
    return texts


def _is_same_file(old: Any, new: Any) -> bool:
    """Check whether initial weights are the same, which may have been copied or renamed."""
    known = isinstance(old, dict) and isinstance(new, dict)
    return known and old.get("sha256") == new["sha256"]


def _sort(value: Any) -> Any:
    """Sort the parts that are trained, whose order does not matter."""
    return sorted(map(str, value)) if isinstance(value, list) else value


def check_folder(folder: Path, run: Mapping[str, Any]) -> None:
    """Refuse a folder of another run, or with files that training would overwrite.

    Parameters
    ----------
    folder : Path
        The model folder.
    run : mapping
        What is trained, as far as it is known before nights are prepared.

    Raises
    ------
    ValueError
        If the folder cannot be used; the message says what differs.
    """
    old = read_record(folder)
    others = _list_files(folder, _WRITTEN)
    if others and old is None:
        raise ValueError(
            f"{folder} already contains {', '.join(others)}, which training would overwrite. "
            "Choose another folder."
        )
    if old is not None and _has_begun(folder) and (changed := compare_records(old, run)):
        raise ValueError(
            f"{folder} contains another training run ({'; '.join(changed)}). Choose another "
            "folder, or resume the run with what it began with."
        )


def _list_files(folder: Path, names: Sequence[str]) -> list[str]:
    """List the files of these names that are in a folder."""
    return [name for name in names if os.path.lexists(folder / name)]


def _has_begun(folder: Path) -> bool:
    """Check whether a run has trained anything that is kept."""
    return has_checkpoint(folder) or bool(_list_files(folder, _RESULT))


def describe_run(folder: Path, run: Mapping[str, Any]) -> dict[str, Any]:
    """Describe what is trained in a folder; refuse a folder of another run.

    Parameters
    ----------
    folder : Path
        The model folder.
    run : mapping
        What is trained. ``training`` and ``validation`` name the nights.

    Returns
    -------
    record : dict
        The same, with what a resumed run keeps from its beginning, such as the schedule. Before
        the first checkpoint there is nothing to resume, and the run may be another one.

    Raises
    ------
    ValueError
        If the folder belongs to another run; the message says what differs.
    """
    check_folder(folder, run)
    old = read_record(folder) or {}
    if not _has_begun(folder):
        if old and (changed := compare_records(old, run)):
            logger.info(
                f"Nothing was trained in {folder} yet, so that the run begins anew "
                f"({'; '.join(changed)})."
            )
        return dict(run)
    return {**run, **{key: old[key] for key in _KEPT if key in old}}


def claim_folder(folder: Path, record: Mapping[str, Any]) -> None:
    """Write down in the folder what is trained there, once it is known that it can be.

    Parameters
    ----------
    folder : Path
        The model folder.
    record : mapping
        What is trained, from :func:`describe_run`.

    Raises
    ------
    ValueError
        If training would begin again, and replace a model.
    """
    if not has_checkpoint(folder):
        if found := _list_files(folder, _RESULT):
            raise ValueError(
                f"{folder} has {', '.join(found)}, but no checkpoint to continue from: training "
                "would begin again with the first pass, and replace them. Restore the folder "
                "'checkpoints' from a copy, or choose another folder."
            )
        if (folder / "metrics.csv").exists():
            warn(
                f"{folder} has passes in metrics.csv, but no checkpoint. Training begins again "
                "with the first pass."
            )
    write_record(folder, record)


def _describe_end(run: Mapping[str, Any]) -> dict[str, Any]:
    """Tell what decides when a run ends, which may be raised to train longer."""
    return {name: run["settings"][name] for name in ("max_passes", "patience")}


def is_finished(folder: Path, record: Mapping[str, Any]) -> bool:
    """Check whether a folder contains the complete result of a run; warn if it is damaged.

    Parameters
    ----------
    folder : Path
        The model folder.
    record : mapping
        What is trained, from :func:`describe_run`.

    Returns
    -------
    finished : bool
        Whether nothing is left to do.
    """
    if record.get(_FINISHED) != _describe_end(record):
        return False
    try:
        missing = [name for name in _RESULT if not check_regular(folder / name)]
        if missing:
            raise WeightsError(f"{', '.join(missing)} is empty")
        info, _, _ = read_info(folder), read_calibration(folder), read_seen(folder)
        path = find_tensors(folder)
        build_network(info.config, read_state(path)[0], path)
    except WeightsError as error:
        if has_checkpoint(folder):  # without, claim_folder says more
            warn(
                f"The result of training in {folder} is damaged ({summarize_error(error)}). It is "
                "written again, from the checkpoint."
            )
        return False
    return True


def finish(folder: Path, record: Mapping[str, Any]) -> None:
    """Write down in the folder that its result is complete, and remove what is left of writing.

    Only the process that writes calls this, when no other one may write in the folder.

    Parameters
    ----------
    folder : Path
        The model folder.
    record : mapping
        What was trained, from :func:`describe_run`.
    """
    write_record(folder, {**record, _FINISHED: _describe_end(record)})
    for parent in (folder, folder / "checkpoints"):
        for left in parent.glob(".unfinished-*"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
