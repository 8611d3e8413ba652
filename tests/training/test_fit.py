"""Training and fine-tuning: results, resuming, early stopping, and what is carried over."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from builders import START, make_hypnogram, make_raw, toy_recordings
from safetensors.numpy import load_file
from typer.testing import CliRunner

from mne_wav2sleep import SleepStagerW2S, load_weights, save_weights
from mne_wav2sleep.cli import app
from mne_wav2sleep.cohorts import prepare_nights
from mne_wav2sleep.network import Wav2Sleep
from mne_wav2sleep.training import Masking, fine_tune, train
from mne_wav2sleep.training.sampling import PassSampler
from mne_wav2sleep.training.splitting import split_by_subject

pytestmark = toy_recordings


def make_short(seed=0):
    """Ten minutes of an ECG and a belt."""
    return make_raw(("ECG", "Thor"), seconds=600, types="eeg", start=START, seed=10 * seed)


def read_tensors(folder):
    return load_file(folder / "model.safetensors")


def assert_same_weights(one, other):
    a, b = read_tensors(one), read_tensors(other)
    assert a.keys() == b.keys()
    assert all((a[name] == b[name]).all() for name in a)


def test_a_trained_folder_stages_a_recording(trained, nights, train_tiny, quick):
    with pytest.warns(RuntimeWarning, match="20 epochs"):
        hyp = SleepStagerW2S(make_short(), weights=trained).predict()
    assert hyp.n_epochs == 20
    # The same call again has nothing to do.
    before = (trained / "model.safetensors").stat().st_mtime_ns
    train_tiny(nights, trained)
    assert (trained / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match=r"seed is 5, was 0"):
        train_tiny(nights, trained, settings=replace(quick, seed=5))


def test_the_files_of_a_trained_folder_are_all_another_machine_needs(trained, tmp_path):
    for name in ("calibration.json", "config.json", "model.safetensors", "README.md"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    make_short().save(tmp_path / "night_raw.fif", verbose="error")
    code = """
import sys
sys.modules["pytorch_lightning"] = None  # importing it fails, as if it were not installed
import mne
from mne_wav2sleep import SleepStagerW2S
hyp = SleepStagerW2S(mne.io.read_raw("night_raw.fif"), weights=".").predict()
print(hyp.n_epochs, hyp.scorer)
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[-2] == "20"


SCRIPT = """
import os, signal
from mne_wav2sleep.cohorts import open_night
from mne_wav2sleep.cohorts.nights import compute_checksum
from mne_wav2sleep.network import Preprocessing, Wav2SleepConfig
from mne_wav2sleep.training import Masking, TrainingSettings, train
from mne_wav2sleep.training.module import Wav2SleepModule
begin = Wav2SleepModule.on_train_batch_start
def begin_or_die(self, batch, batch_idx):
    if self.global_step == {kill_at}:
        os.kill(os.getpid(), signal.SIGKILL)
    begin(self, batch, batch_idx)
Wav2SleepModule.on_train_batch_start = begin_or_die
if __name__ == "__main__":
    nights = [open_night(p) for p in {paths!r}]
    train(nights, {folder!r}, config={config!r}, preprocessing=Preprocessing(padded_epochs=0),
          settings={settings!r}, device="cpu", n_devices={n_devices})
"""


def write_script(path, nights, folder, config, settings, *, n_devices=1, kill_at=None):
    """Write a script that trains; give the command that runs it."""
    path.write_text(
        SCRIPT.format(
            paths=[str(night.path) for night in nights],
            folder=str(folder),
            config=config,
            settings=settings,
            n_devices=n_devices,
            kill_at=kill_at,
        )
    )
    return [sys.executable, str(path)]


@pytest.mark.slow
def test_a_run_killed_several_times_ends_with_the_same_weights(
    nights, trained, train_tiny, tiny, quick, tmp_path
):
    folder = tmp_path / "m"
    n_steps = 2 * quick.max_passes
    # At any step, also of the first pass, which has no checkpoint yet.
    for kill_at in sorted(np.random.default_rng(0).choice(n_steps, 2, replace=False)):
        command = write_script(tmp_path / "run.py", nights, folder, tiny, quick, kill_at=kill_at)
        result = subprocess.run(command, capture_output=True)
        assert result.returncode == -signal.SIGKILL, result.stderr
        assert not (folder / "model.safetensors").exists()
        last = folder / "checkpoints" / "last.ckpt"
        passes = torch.load(last, weights_only=True)["epoch"] + 1 if last.exists() else 0
        assert passes == kill_at // 2
    train_tiny(nights, folder)
    assert_same_weights(folder, trained)


def test_a_run_that_had_stopped_early_is_only_finished(nights, train_tiny, quick, tmp_path):
    folder = tmp_path / "m"
    # Without progress, the first pass is the best one, and training stops after two more.
    settings = replace(quick, learning_rate=1e-12, max_passes=9, patience=2)
    train_tiny(nights, folder, settings=settings)
    last = folder / "checkpoints" / "last.ckpt"
    n_steps = torch.load(last, weights_only=True)["global_step"]
    assert n_steps < 2 * settings.max_passes
    weights = read_tensors(folder)
    for name in ("calibration.json", "config.json", "model.safetensors", "README.md"):
        (folder / name).unlink()
    with pytest.warns(RuntimeWarning, match="is damaged .*written again, from the checkpoint"):
        train_tiny(nights, folder, settings=settings)
    assert torch.load(last, weights_only=True)["global_step"] == n_steps
    assert all((read_tensors(folder)[name] == w).all() for name, w in weights.items())


@pytest.mark.slow
def test_two_processes_train_what_one_does_with_twice_the_batch(
    nights, make_nights, train_tiny, tiny, quick, tmp_path
):
    # Five nights are trained with, so that in every second step one of the processes has none.
    more = make_nights(("Pleth", "Thor"), "xyzg", "second", epochs=17)[3:]  # not a copy
    seven = [*nights, *prepare_nights(more, tmp_path / "more")]
    config = replace(tiny, mixer_dropout=0.0, sequence_dropout=0.0)
    # In float64, in which the order of sums hardly matters.
    base = replace(quick, precision="64-true", max_passes=2)
    train_tiny(seven, tmp_path / "one", config=config, settings=replace(base, batch_size=4))
    settings = replace(base, batch_size=2, micro_batch_size=1)
    command = write_script(
        tmp_path / "two.py", seven, tmp_path / "two", config, settings, n_devices=2
    )
    environment = os.environ | {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert result.returncode == 0, result.stderr
    one, two = read_tensors(tmp_path / "one"), read_tensors(tmp_path / "two")
    start = Wav2Sleep(tiny).state_dict()
    for name in one:
        if name.endswith("in_proj_bias"):
            # Attention does not depend on the keys' bias: its gradient is rounding, which Adam
            # scales up to the size of any other.
            one[name], two[name] = (np.delete(w[name], slice(8, 16)) for w in (one, two))
        np.testing.assert_allclose(two[name], one[name], rtol=1e-5, atol=1e-6, err_msg=name)
    # What is logged is that of all processes.
    logged = [
        pd.read_csv(tmp_path / n / "metrics.csv").drop(columns="seconds") for n in ("one", "two")
    ]
    pd.testing.assert_frame_equal(*logged, rtol=1e-4)
    assert any(not np.allclose(one[k], start[k].numpy()) for k in one)


def test_fine_tuning_changes_only_what_is_trainable(nights, trained, quick, tmp_path):
    settings = replace(quick, max_passes=2)
    loaded = load_weights(trained)
    kept = {name: tensor.clone() for name, tensor in loaded.network.state_dict().items()}
    folder = fine_tune(nights, tmp_path / "m", weights=loaded, settings=settings)
    before, after = read_tensors(trained), read_tensors(folder)
    for name in before:
        changed = (before[name] != after[name]).any()
        assert changed == name.startswith(("sequence_mixer", "classifier")), name
    # The weights that were given are as before, and so is their network.
    assert all((kept[name] == t).all() for name, t in loaded.network.state_dict().items())
    assert not any(p.requires_grad for p in loaded.network.parameters())
    assert not loaded.network.training
    with pytest.warns(RuntimeWarning, match="^Fine-tuning on 2 subjects: with fewer than 5"):
        fine_tune(nights[:3], tmp_path / "few", weights=trained, settings=settings)
    for wrong in (["encoders"], []):
        with pytest.raises(ValueError, match="trainable must be"):
            fine_tune(nights, tmp_path / "x", weights=trained, trainable=wrong)


def test_fine_tuned_weights_keep_caution_and_scorer(nights, quick, tmp_path):
    mini = load_weights("mini", verbose="error")
    settings = replace(quick, max_passes=1, averaging=0.0, crop=None)
    folder = fine_tune(nights, tmp_path / "m", weights=mini, settings=settings)
    with pytest.warns(RuntimeWarning) as caught:
        tuned = load_weights(folder)
    assert [str(one.message) for one in caught] == [mini.caution]
    assert (tuned.scorer, tuned.preprocessing) == ("wav2sleep-mini", mini.preprocessing)
    assert tuned.sha256 != mini.sha256
    with pytest.warns(RuntimeWarning, match="20 epochs"):
        hyp = SleepStagerW2S(make_short(), weights=tuned).predict()
    assert hyp.scorer == "wav2sleep-mini"


@pytest.mark.parametrize("name", ["config.json", "README.md"])
def test_a_folder_with_other_files_is_not_trained_into(name, nights, trained, quick, tmp_path):
    (tmp_path / name).write_bytes((trained / name).read_bytes())
    before = (tmp_path / name).read_bytes()
    with pytest.raises(ValueError, match=rf"already contains {name}, which training would"):
        fine_tune(nights, tmp_path, weights=trained, settings=replace(quick, max_passes=1))
    assert (tmp_path / name).read_bytes() == before


def test_a_device_that_cannot_be_used_is_refused_before_anything_is_written(
    nights, trained, tmp_path
):
    folder = tmp_path / "m"
    with pytest.raises(ValueError, match="device='toaster' cannot be used here") as caught:
        train(nights, folder, device="toaster")
    with pytest.raises(ValueError, match="cannot be used here") as of_fine_tuning:
        fine_tune(nights, folder, weights=trained, device="toaster")
    with pytest.raises(ValueError, match="cannot be used here") as of_staging:
        SleepStagerW2S(make_short(), weights=trained, device="toaster").predict()
    assert str(caught.value) == str(of_fine_tuning.value) == str(of_staging.value)
    assert not folder.exists()


def test_the_last_pass_is_kept_if_validation_decides_nothing(nights, train_tiny, quick, tmp_path):
    # The learning rate makes things worse from the first step on.
    settings = replace(quick, learning_rate=0.5, patience=1, max_passes=5, averaging=0.0)
    best, last = (
        train_tiny(nights, tmp_path / k, settings=replace(settings, keep=k))
        for k in ("best", "last")
    )
    checkpoint = torch.load(last / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["epoch"] == 4
    kept = read_tensors(last)
    assert all((kept[k] == checkpoint["state_dict"][f"model.{k}"].numpy()).all() for k in kept)
    # Which pass is best differs between processors; validation decides, by the log.
    metrics = pd.read_csv(best / "metrics.csv", index_col="pass")
    checkpoint = torch.load(best / "checkpoints" / "best.ckpt", weights_only=True)
    assert checkpoint["epoch"] + 1 == metrics["validation_loss"].idxmin()
    chosen = read_tensors(best)
    state = checkpoint["state_dict"]
    assert all((chosen[k] == state[f"model.{k}"].numpy()).all() for k in chosen)
    assert "not used to select the weights" in (last / "README.md").read_text()
    assert "used for early stopping" in (best / "README.md").read_text()


def test_averaging_keeps_the_mean_of_the_weights_and_leaves_frozen_ones(
    nights, trained, quick, tmp_path
):
    settings = replace(quick, keep="last", max_passes=2, learning_rate=1e-3)
    plain, averaged = (
        read_tensors(
            fine_tune(
                nights,
                tmp_path / str(decay),
                weights=trained,
                settings=replace(settings, averaging=decay),
            )
        )
        for decay in (0.0, 0.9)
    )
    before = read_tensors(trained)
    moved = [
        np.abs(w["classifier.weight"] - before["classifier.weight"]).mean()
        for w in (plain, averaged)
    ]
    assert 0 < moved[1] < moved[0]
    frozen = [k for k in before if not k.startswith(("sequence_mixer", "classifier"))]
    assert all((averaged[k] == before[k]).all() for k in frozen)


def break_ecg(tensors):
    tensors["ECG"][:] = np.nan


def test_a_loss_that_is_not_finite_stops_and_names_the_night(
    nights, change_night, train_tiny, tmp_path
):
    folder = tmp_path / "m"
    broken = change_night(nights[1], tmp_path / "broken.safetensors", break_ecg)
    with pytest.raises(RuntimeError, match=r"loss is nan.*broken\.safetensors"):
        train_tiny([nights[0], broken], folder, validation=[nights[2]])
    assert not (folder / "model.safetensors").exists()


@pytest.mark.slow
def test_a_loss_of_one_process_that_is_not_finite_stops_all_of_them(
    nights, change_night, tiny, quick, tmp_path
):
    broken = change_night(nights[1], tmp_path / "broken.safetensors", break_ecg)
    chosen = [nights[0], broken, nights[2]]

    def is_in_the_second_process(seed):
        training = split_by_subject(chosen, 0.2, seed).training
        sampler = PassSampler(training, None, 1, seed=seed, number=0, rank=1, n_processes=2)
        return training[next(iter(sampler))[0].night] is broken

    seed = next(filter(is_in_the_second_process, range(99)))
    settings = replace(quick, batch_size=1, masking=Masking.off(), seed=seed)
    command = write_script(tmp_path / "run.py", chosen, tmp_path / "m", tiny, settings, n_devices=2)
    environment = os.environ | {"MASTER_ADDR": "127.0.0.1"}
    # The first process waited half an hour for the second one.
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert result.returncode != 0
    message = result.stderr.strip().splitlines()[-1]
    assert re.search(r"RuntimeError: The loss is nan at step 0.*first/b \(broken", message)
    assert not (tmp_path / "m" / "model.safetensors").exists()


def test_the_concat_mixer_and_masking_that_is_off_train_too(
    nights, train_tiny, tiny, quick, tmp_path
):
    config = replace(tiny, epoch_mixer="concat")
    settings = replace(quick, masking=Masking.off(), max_passes=1)
    folder = train_tiny(nights, tmp_path / "m", config=config, settings=settings)
    model = load_weights(folder).network
    assert model.config.epoch_mixer == "concat"
    x = {"ECG": torch.randn(1, 10 * 1024), "ABD": torch.randn(1, 10 * 256)}
    masked = model(x, {"ABD": torch.tensor([False])})
    torch.testing.assert_close(masked, model({"ECG": x["ECG"]}))


def test_the_commands_train_fine_tune_and_evaluate(tiny, tmp_path):
    rows = []
    for i, subject in enumerate("abcdef"):
        make_short(i).save(tmp_path / f"{subject}_raw.fif", verbose="error")
        make_hypnogram(seed=i).to_json(str(tmp_path / f"{subject}.json"))
        rows.append((f"{subject}_raw.fif", f"{subject}.json", subject))
    table = tmp_path / "nights.csv"
    pd.DataFrame(rows, columns=["recording", "hypnogram", "subject"]).to_csv(table, index=False)
    base = save_weights(Wav2Sleep(tiny), tmp_path / "base")

    def run(*arguments):
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        assert result.exit_code == 0, result.output
        return result.output

    quick = ("--set", "max_passes=1", "--set", "crop=12", "--set", "learning_rate=1e-3")
    run("train", table, tmp_path / "new", "--config-from", base, "--device", "cpu", *quick)
    run("fine-tune", table, tmp_path / "tuned", "--weights", tmp_path / "new", *quick)
    kept = tmp_path / "prepared"
    output = run("evaluate", table, "--weights", tmp_path / "tuned", "--cache", kept)
    assert "ECG+THX" in output
    assert len(list(kept.glob("*.safetensors"))) == 6
    result = CliRunner().invoke(app, ["train", str(table), str(tmp_path / "y"), "--set", "lr=1"])
    assert result.exit_code == 2
    assert "learning_rate=0.001" in result.output
    rows[0] = ("none.fif", "a.json", "a")
    pd.DataFrame(rows, columns=["recording", "hypnogram", "subject"]).to_csv(table, index=False)
    result = CliRunner().invoke(app, ["train", str(table), str(tmp_path / "z")])
    assert result.exit_code == 1
    assert "none.fif" in result.output
