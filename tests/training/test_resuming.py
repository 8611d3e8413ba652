"""What a resumed run may change, what it refuses, and what it does with damaged files."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from builders import toy_recordings
from safetensors.numpy import load_file

from mne_wav2sleep.cohorts import Night
from mne_wav2sleep.training import fine_tune
from mne_wav2sleep.training.checkpoints import choose_checkpoint, read_checkpoint
from mne_wav2sleep.training.module import Wav2SleepModule

pytestmark = [toy_recordings, pytest.mark.slow]

RESULT = ("calibration.json", "config.json", "model.safetensors", "README.md")


def is_same(one, other):
    a, b = (load_file(folder / "model.safetensors") for folder in (one, other))
    return all(np.array_equal(a[name], b[name]) for name in a)


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the folder of a run that has ended."""
    return shutil.copytree(trained, tmp_path / "m")


@pytest.fixture(scope="session")
def stopped_once(nights, train_tiny, tmp_path_factory):
    """The folder of a run that was stopped in its third pass."""
    folder = tmp_path_factory.mktemp("stopped") / "m"
    begin = Wav2SleepModule.on_train_batch_start

    def stop(self, batch, batch_idx):
        if self.global_step == 5:
            raise RuntimeError("stopped")
        begin(self, batch, batch_idx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Wav2SleepModule, "on_train_batch_start", stop)
        with pytest.raises(RuntimeError, match="stopped"):
            train_tiny(nights, folder)
    return folder


@pytest.fixture
def stopped(stopped_once, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(stopped_once, tmp_path / "m")


def test_a_finished_run_continues_with_more_passes(nights, train_tiny, quick, tmp_path):
    settings = replace(quick, keep="best")
    whole = train_tiny(nights, tmp_path / "m", settings=settings)
    whole = whole.rename(tmp_path / "whole")
    folder = tmp_path / "m"
    short = train_tiny(nights, folder, settings=replace(settings, max_passes=2))
    first = (short / "model.safetensors").read_bytes()
    train_tiny(nights, folder, settings=settings)
    assert read_checkpoint(folder / "checkpoints" / "last.ckpt")["epoch"] == 3
    assert (folder / "model.safetensors").read_bytes() != first
    for name in RESULT:
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


def test_a_continued_run_that_was_stopped_is_not_taken_for_finished(
    nights, train_tiny, quick, trained, tmp_path, monkeypatch
):
    folder = train_tiny(nights, tmp_path / "m", settings=replace(quick, max_passes=2))
    begin = Wav2SleepModule.on_train_batch_start

    def stop(self, batch, batch_idx):
        if self.global_step == 7:
            raise RuntimeError("stopped")
        begin(self, batch, batch_idx)

    monkeypatch.setattr(Wav2SleepModule, "on_train_batch_start", stop)
    with pytest.raises(RuntimeError, match="stopped"):
        train_tiny(nights, folder)
    monkeypatch.undo()
    train_tiny(nights, folder)
    assert is_same(folder, trained)


def test_a_run_that_stopped_early_continues_with_more_patience(nights, train_tiny, quick, tmp_path):
    # Without progress, the first pass is the best one, and training stops after the patience.
    settings = replace(quick, learning_rate=1e-12, max_passes=9, patience=1)
    folder = train_tiny(nights, tmp_path / "m", settings=settings)
    last = folder / "checkpoints" / "last.ckpt"
    n_passes = read_checkpoint(last)["epoch"] + 1
    train_tiny(nights, folder, settings=replace(settings, patience=3))
    assert read_checkpoint(last)["epoch"] + 1 > n_passes
    assert read_checkpoint(last)["epoch"] + 1 < 9


def test_fewer_passes_than_are_complete_are_refused(nights, train_tiny, quick, run):
    before = (run / "training.json").read_bytes()
    with pytest.raises(ValueError, match=r"after 4 complete passes, more than max_passes=3"):
        train_tiny(nights, run, settings=replace(quick, max_passes=3))
    assert (run / "training.json").read_bytes() == before


def test_a_model_is_not_replaced_if_its_checkpoints_are_gone(nights, train_tiny, quick, run):
    shutil.rmtree(run / "checkpoints")
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    train_tiny(nights, run)  # which has nothing to do
    with pytest.raises(ValueError, match="no checkpoint to continue from: training would begin"):
        train_tiny(nights, run, settings=replace(quick, max_passes=5))
    (run / "config.json").write_bytes(b"")
    with pytest.raises(ValueError, match="no checkpoint to continue from: training would begin"):
        train_tiny(nights, run)
    (run / "config.json").write_bytes(before["config.json"])
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_rows_in_another_order_go_on(nights, train_tiny, trained, stopped):
    train_tiny(nights[::-1], stopped)
    assert is_same(stopped, trained)


def test_a_run_that_differs_says_in_what(nights, train_tiny, tiny, quick, run):
    before = (run / "training.json").read_bytes()
    settings = replace(quick, learning_rate=3e-4, masking=replace(quick.masking, drop={"ECG": 0.2}))
    with pytest.raises(ValueError, match=r"learning_rate is 0\.0003, was 0\.01") as caught:
        train_tiny(nights, run, settings=settings)
    assert "masking.drop.ECG is 0.2, was 0.5" in str(caught.value)
    assert "seed" not in str(caught.value)
    with pytest.raises(ValueError, match=r"config\.mixer_layers is 2, was 1"):
        train_tiny(nights, run, config=replace(tiny, mixer_layers=2))
    with pytest.raises(ValueError, match=r"(training|validation) lacks 1 night \(second-"):
        train_tiny(nights[:-1], run)
    with pytest.raises(ValueError, match=r"weights\.name is m, was None"):
        fine_tune(nights, run, weights=run, settings=quick)
    assert (run / "training.json").read_bytes() == before


def test_what_differs_is_said_before_nights_are_prepared(train_tiny, quick, run, tmp_path):
    nights = [Night(tmp_path / "none.fif", None, subject) for subject in "ab"]
    with pytest.raises(ValueError, match=r"seed is 5, was 0"):
        train_tiny(nights, run, settings=replace(quick, seed=5))
    with pytest.raises(ValueError, match=r"none\.fif"):
        train_tiny(nights, run)


@pytest.mark.parametrize("size", [0, -100])
def test_a_damaged_checkpoint_is_replaced_by_the_one_before(
    size, nights, train_tiny, trained, stopped
):
    last = stopped / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:size])
    with pytest.warns(RuntimeWarning, match=r"last\.ckpt is damaged .*from previous\.ckpt"):
        train_tiny(nights, stopped)
    assert is_same(stopped, trained)


def test_a_run_without_a_whole_checkpoint_is_refused(nights, train_tiny, quick, stopped):
    for path in (stopped / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"last\.ckpt is damaged .*remove the folder"):
        train_tiny(nights, stopped)
    (stopped / "checkpoints" / "best.ckpt").unlink()
    last = replace(quick, keep="last")
    with pytest.raises(ValueError, match=r"last\.ckpt is damaged .*previous\.ckpt is damaged"):
        choose_checkpoint(stopped, last)


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_best_checkpoint_that_cannot_be_read_is_refused_first(
    damage, nights, train_tiny, stopped
):
    best = stopped / "checkpoints" / "best.ckpt"
    best.write_bytes(best.read_bytes()[:-10]) if damage == "cut" else best.unlink()
    with pytest.raises(ValueError, match=r"best\.ckpt( is damaged|\. Restore)"):
        train_tiny(nights, stopped)


def test_a_run_that_was_stopped_between_two_checkpoints_goes_on(
    nights, train_tiny, trained, stopped
):
    (stopped / "checkpoints" / "last.ckpt").unlink()
    train_tiny(nights, stopped)
    assert is_same(stopped, trained)


def test_a_checkpoint_without_the_parts_of_one_is_damaged(trained, tmp_path):
    torch = pytest.importorskip("torch")
    for content in ([1], {"epoch": 1}):
        torch.save(content, tmp_path / "last.ckpt")
        with pytest.raises(ValueError, match="it is not a checkpoint of training"):
            read_checkpoint(tmp_path / "last.ckpt")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="damaged"):
        read_checkpoint(tmp_path / "folder")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("config.json", 0),
        ("model.safetensors", -10),
        ("calibration.json", None),
        ("README.md", 0),
    ],
)
def test_a_finished_folder_is_checked(name, size, nights, train_tiny, trained, run):
    content = (run / name).read_bytes()
    (run / name).unlink()
    if size is not None:
        (run / name).write_bytes(content[:size])
    # As SIGKILL leaves it.
    (run / "checkpoints" / ".unfinished-x").mkdir()
    (run / "checkpoints" / ".unfinished-x" / "last.ckpt").write_bytes(b"half")
    with pytest.warns(RuntimeWarning, match=f"is damaged .*{name}.* It is written again"):
        train_tiny(nights, run)
    for one in RESULT:
        assert (run / one).read_bytes() == (trained / one).read_bytes()
    assert not (run / "checkpoints" / ".unfinished-x").exists()
    state = json.loads((run / "training.json").read_text())
    assert state["finished"] == {"max_passes": 4, "patience": 5}


def test_a_run_goes_on_in_another_place_by_a_relative_path(
    nights, train_tiny, trained, stopped, tmp_path, monkeypatch
):
    (tmp_path / "elsewhere").mkdir()
    stopped.rename(tmp_path / "elsewhere" / "m")
    monkeypatch.chdir(tmp_path / "elsewhere")
    for text in (tmp_path / "elsewhere" / "m").rglob("*.json"):
        assert str(tmp_path) not in text.read_text()
    train_tiny(nights, "m")
    assert is_same(tmp_path / "elsewhere" / "m", trained)
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]
