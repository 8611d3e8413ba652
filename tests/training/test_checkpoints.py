"""Checkpoints survive a move of their folder and a write that fails; modes of a user do not."""

import os
import shutil
import signal
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import toy_recordings
from safetensors.numpy import load_file

from mne_wav2sleep.training import fine_tune, train
from mne_wav2sleep.training.checkpoints import WholeCheckpoints
from mne_wav2sleep.training.module import Wav2SleepModule

pytestmark = [toy_recordings, pytest.mark.slow]


def read(folder):
    return load_file(folder / "model.safetensors")


def is_same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in one)


@pytest.fixture
def stop_at(monkeypatch):
    """Stop training at a step, as a power cut does, or by Ctrl-C."""
    begin = Wav2SleepModule.on_train_batch_start

    def choose(step, how=RuntimeError):
        def stop(self, batch, batch_idx):
            if self.global_step == step:
                if how is RuntimeError:
                    raise RuntimeError("stopped")
                os.kill(os.getpid(), signal.SIGINT)
            begin(self, batch, batch_idx)

        monkeypatch.setattr(Wav2SleepModule, "on_train_batch_start", stop)

    yield choose
    monkeypatch.undo()


def test_a_folder_that_was_moved_keeps_its_best_pass(nights, train_tiny, quick, tmp_path, stop_at):
    # The learning rate makes things worse from some step on.
    settings = replace(quick, keep="best", learning_rate=0.5, averaging=0.0, max_passes=5)
    whole = read(train_tiny(nights, tmp_path / "whole", settings=settings))
    for step in (5, 7):
        laptop, cluster = tmp_path / f"laptop{step}", tmp_path / f"cluster{step}" / "models"
        stop_at(step)
        with pytest.raises(RuntimeError, match="stopped"):
            train_tiny(nights, laptop, settings=settings)
        stop_at(None)
        shutil.copytree(laptop, cluster)
        before = (laptop / "checkpoints" / "best.ckpt").read_bytes()
        assert is_same(whole, read(train_tiny(nights, cluster, settings=settings)))
        # What was copied is left as it was.
        assert (laptop / "checkpoints" / "best.ckpt").read_bytes() == before


@pytest.mark.parametrize("fails", ["replace", "write_bytes", "mkdir"])
def test_a_checkpoint_is_replaced_only_by_a_whole_one(fails, tmp_path, monkeypatch):
    path = tmp_path / "checkpoints" / "last.ckpt"
    WholeCheckpoints().save_checkpoint({"epoch": 1}, path)

    def fail(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, fails, fail)
    with pytest.raises(OSError, match="No space left"):
        WholeCheckpoints().save_checkpoint({"epoch": 2}, str(path))
    monkeypatch.undo()
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]
    WholeCheckpoints().save_checkpoint({"epoch": 3}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 3}


def test_ctrl_c_stops_training_and_is_heard_afterwards(
    nights, train_tiny, trained, tmp_path, stop_at
):
    handler = signal.getsignal(signal.SIGINT)
    stop_at(3, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train_tiny(nights, tmp_path / "m", device="cpu")
    assert signal.getsignal(signal.SIGINT) is handler
    stop_at(None)
    assert is_same(read(train_tiny(nights, tmp_path / "m", device="cpu")), read(trained))


@contextmanager
def use_dtype(dtype):
    """Make tensors of another type by default."""
    torch.set_default_dtype(dtype)
    try:
        yield
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(torch.float32)


def test_modes_of_a_user_do_not_change_what_is_fine_tuned(nights, quick, trained, tmp_path):
    def tune(name):
        once = replace(quick, max_passes=1)
        return read(fine_tune(nights, tmp_path / name, weights=trained, settings=once))

    expected = tune("plain")
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert is_same(expected, tune("autocast"))
    with torch.inference_mode(), use_dtype(torch.bfloat16):
        assert is_same(expected, tune("inference"))


def test_a_default_type_does_not_change_what_is_learnt(nights, train_tiny, trained, tmp_path):
    with use_dtype(torch.float64):
        found = train_tiny(nights, tmp_path / "m", device="cpu")
    assert is_same(read(trained), read(found))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_devices": 0}, "n_devices must be 1 or more, got 0"),
        ({"n_devices": -2}, "n_devices must be 1 or more, got -2"),
        ({"device": "cuda:63"}, "device='cuda:63' cannot be used here"),
        ({"device": "xpu"}, "device='xpu' cannot be used here"),
        ({"device": torch.device("mps", 5)}, "device='mps:5' cannot be used here"),
    ],
)
def test_devices_that_are_not_there_are_refused_first(options, message, nights, trained, tmp_path):
    with pytest.raises(ValueError, match=message):
        train(nights, tmp_path / "m", **options)
    with pytest.raises(ValueError, match=message):
        fine_tune(nights, tmp_path / "m", weights=trained, **options)
    assert not (tmp_path / "m").exists()


def test_a_kind_of_device_that_lightning_lacks_is_refused_in_our_words(
    nights, tmp_path, monkeypatch
):
    """As on Intel's GPUs, which torch has and Lightning has not."""
    monkeypatch.setattr(
        "mne_wav2sleep.training.fit.choose_device", lambda device: torch.device("xpu")
    )
    with pytest.raises(ValueError, match=r"cannot train on 1 device of the kind 'xpu' here"):
        train(nights, tmp_path / "m", device="xpu")
    with pytest.raises(TypeError, match="n_devices must be an instance of int"):
        train(nights, tmp_path / "m", device="cpu", n_devices="2")


@pytest.mark.parametrize("text", ["[1]", "{", "[" * 100_000, "\xff", " " * 2**26 + "{}"])
def test_a_damaged_description_of_a_run_is_refused(text, nights, train_tiny, tmp_path):
    (tmp_path / "training.json").write_text(text, encoding="latin-1")
    with pytest.raises((ValueError, RuntimeError), match=r"training\.json (does not|has)"):
        train_tiny(nights, tmp_path)
    assert (tmp_path / "training.json").stat().st_size == len(text)
