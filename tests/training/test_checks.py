"""What is found before the first step."""

import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
from builders import toy_recordings
from safetensors.numpy import load_file

from mne_wav2sleep.training import fine_tune, train

pytestmark = [toy_recordings, pytest.mark.slow]


def break_one_value(tensors):
    tensors["ECG"][1234] = np.nan


def unscore(tensors):
    tensors["stages"][:] = -1


def score_only_what_was_not_measured(tensors):
    tensors["stages"][10:] = -1
    for name in ("ECG", "THX"):
        tensors[f"{name} measured"][:10] = 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (break_one_value, r"first/c \(changed.*\) has values of ECG that are not finite"),
        (unscore, r"No validation loss.*any scored epoch of first/c \(changed"),
        (score_only_what_was_not_measured, r"No validation loss.*of first/c \(changed"),
    ],
)
def test_validation_that_cannot_be_computed_is_refused_first(
    change, message, nights, change_night, train_tiny, tmp_path
):
    changed = change_night(nights[2], tmp_path / "changed.safetensors", change)
    with pytest.raises(ValueError, match=message):
        train_tiny(nights[:2], tmp_path / "m", validation=[changed])
    # The folder is free for a run with other nights.
    assert not (tmp_path / "m" / "training.json").exists()


def test_training_nights_without_any_score_are_refused_or_warned_of(
    nights, change_night, train_tiny, quick, tmp_path
):
    changed = change_night(nights[2], tmp_path / "changed.safetensors", unscore)
    with pytest.raises(ValueError, match=r"No training loss.*of first/c \(changed"):
        train_tiny([changed], tmp_path / "m", validation=nights[:2])
    with pytest.warns(RuntimeWarning, match=r"of first/c.*add nothing to the training loss"):
        train_tiny(
            [nights[0], changed],
            tmp_path / "m",
            validation=nights[1:2],
            settings=replace(quick, max_passes=1),
        )


def test_settings_that_are_a_mapping_are_refused(nights, trained, quick, tmp_path):
    for settings in ({"batch_size": 2}, asdict(quick)):
        with pytest.raises(TypeError, match="settings must be an instance of TrainingSettings"):
            train(nights, tmp_path / "m", settings=settings)
        with pytest.raises(TypeError, match="settings must be an instance of TrainingSettings"):
            fine_tune(nights, tmp_path / "m", weights=trained, settings=settings)


SCRIPT = """
from mne_wav2sleep.cohorts import open_night
from mne_wav2sleep.training import TrainingSettings, train
nights = [open_night(p) for p in {paths!r}]
train(nights, {folder!r}, settings=TrainingSettings(n_workers={n_workers}), device="cpu")
"""
GUARDED = """
from pathlib import Path
from mne_wav2sleep.cohorts import open_night
from mne_wav2sleep.network import Preprocessing, Wav2SleepConfig
from mne_wav2sleep.training import Masking, TrainingSettings, train
with Path({log!r}).open("a") as file:
    print(__name__, file=file)
if __name__ == "__main__":
    nights = [open_night(p) for p in {paths!r}]
    train(nights, {folder!r}, config={config!r}, preprocessing=Preprocessing(padded_epochs=0),
          settings={settings!r}, device="cpu")
"""


def test_a_script_that_would_train_in_each_worker_gets_a_sentence(nights, tmp_path):
    script, folder = tmp_path / "run.py", tmp_path / "m"
    paths = [str(night.path) for night in nights]
    script.write_text(SCRIPT.format(paths=paths, folder=str(folder), n_workers=2))
    command = [sys.executable, str(script)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 1
    assert result.stderr.count("Traceback") == 1
    assert "freeze_support" not in result.stderr
    assert result.stderr.strip().splitlines()[-1] == (
        "RuntimeError: The processes that read nights (n_workers=2) import this script, which "
        "would train again in each of them. Call train() or fine_tune() under "
        '`if __name__ == "__main__":`, or set n_workers=0.'
    )
    assert not folder.exists()


def test_processes_that_read_nights_start_once_and_change_nothing(
    nights, trained, tiny, quick, tmp_path
):
    script, log = tmp_path / "run.py", tmp_path / "log.txt"
    script.write_text(
        GUARDED.format(
            log=str(log),
            paths=[str(night.path) for night in nights],
            folder=str(tmp_path / "m"),
            config=tiny,
            settings=replace(quick, n_workers=1),
        )
    )
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr
    # The trial, and one process each for training and validation, in four passes: it was eight.
    assert log.read_text().split() == ["__main__", *["__mp_main__"] * 3]
    one, other = (load_file(m / "model.safetensors") for m in (trained, tmp_path / "m"))
    assert all(np.array_equal(one[name], other[name]) for name in one)
