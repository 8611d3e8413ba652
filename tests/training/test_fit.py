import datetime
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest
import torch
import yasa
from builders import make_wave, toy_recordings
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from mne_wav2sleep import SleepStagerW2S, load_model, save_model
from mne_wav2sleep.cli.commands import app
from mne_wav2sleep.cohorts.batches import collate
from mne_wav2sleep.network.config import Wav2SleepConfig
from mne_wav2sleep.network.model import Wav2Sleep
from mne_wav2sleep.training import (
    Masking,
    Night,
    TrainingSettings,
    all_subsets,
    evaluate,
    fine_tune,
    open_night,
    prepare_nights,
    read_nights,
    train,
)
from mne_wav2sleep.training.sampling import NightDataset, PassSampler, split_by_subject

pytestmark = toy_recordings

START = datetime.datetime(2024, 3, 1, 22, 30, tzinfo=datetime.UTC)
TINY = Wav2SleepConfig(
    feature_dim=8,
    initial_channels=2,
    max_channels=4,
    mixer_layers=1,
    mixer_heads=2,
    mixer_dim_ff=8,
    sequence_blocks=1,
    sequence_dilations=2,
    padded_epochs=0,
)
QUICK = TrainingSettings(
    learning_rate=1e-2,
    warmup_steps=2,
    decay_steps=50,
    batch_size=2,
    max_passes=4,
    averaging=0.5,
    crop=12,
)
STAGES = np.array(["WAKE", "N1", "N2", "N3", "REM"], dtype=object)


def make_raw(labels=("ECG", "Thor"), epochs=20, seed=0, sfreq=64.0, start=START):
    data = [make_wave(sfreq, 30 * epochs, 10 * seed + i) for i in range(len(labels))]
    info = mne.create_info(list(labels), sfreq, "eeg")
    raw = mne.io.RawArray(np.array(data), info, verbose="error")
    return raw.set_meas_date(start)


def make_hypnogram(epochs=20, seed=0, start=None):
    stages = STAGES[np.random.default_rng(seed).integers(0, 5, epochs)]
    return yasa.Hypnogram(list(stages), start=start, scorer="expert")


def make_nights(labels=("ECG", "Thor"), subjects="abcd", dataset="cohort", epochs=20):
    return [
        Night(make_raw(labels, epochs, i), make_hypnogram(epochs, i), subject, dataset)
        for i, subject in enumerate(subjects)
    ]


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """Nights of two datasets with different signals."""
    return prepare_nights(
        [
            *make_nights(("ECG", "Thor"), "abc", "first"),
            *make_nights(("Pleth", "Abdo", "Thor"), "def", "second", epochs=17),
        ],
        tmp_path_factory.mktemp("nights"),
    )


def test_masking_follows_its_probabilities():
    masking, rng, n = Masking(), np.random.default_rng(0), 10_000
    drop = {"ABD": 0.7, "THX": 0.7, "ECG": 0.5, "PPG": 0.1}
    for available, backups in (
        (("ABD", "ECG", "PPG", "THX"), ("ECG", "PPG")),
        (("ABD", "ECG", "THX"), ("ECG",)),
        (("ABD", "THX"), ("ABD", "THX")),
        (("PPG",), ("PPG",)),
    ):
        draws = [masking.draw(available, rng) for _ in range(n)]
        assert all(draws)
        nothing = np.prod([drop[name] for name in available])
        for name in available:
            p = 1 - drop[name] + nothing / len(backups) * (name in backups)
            found = np.mean([name in kept for kept in draws])
            assert abs(found - p) < 4 * np.sqrt(p * (1 - p) / n) + 1e-12, (available, name)
    signs = [masking.draw_sign(rng) for _ in range(n)]
    assert abs(np.mean(signs)) < 4 / np.sqrt(n)
    assert Masking.off().draw(["ECG", "ABD"], rng) == ["ABD", "ECG"]
    assert {Masking.off().draw_sign(rng) for _ in range(100)} == {1}
    with pytest.raises(ValueError, match="from 0 to 1"):
        Masking(drop={"ECG": 2.0})


def test_epochs_follow_the_hypnograms_clock(tmp_path):
    """Stages that begin 75 s into the recording: epochs begin at 15 s, the first two unscored."""
    raw = make_raw(("ECG",), 10)
    raw._data[0] = raw.times  # each sample is its own time
    hyp = make_hypnogram(5, start=START.replace(tzinfo=None) + datetime.timedelta(seconds=75))
    night = prepare_nights([Night(raw, hyp, "a")], tmp_path, dtype="float32")[0]
    assert night.n_epochs == 9
    stages = list(night.read_hypnogram(5).hypno)
    assert stages == ["UNS"] * 2 + list(hyp.hypno) + ["UNS"] * 2
    wave = night.read_signals(["ECG"])["ECG"]
    times = np.arange(1, wave.size + 1) * 30 / 1024 + 15
    expected = np.interp(times, raw.times[15 * 64 :], raw.times[15 * 64 :])
    fit = np.polyfit(expected[:-100], wave[:-100], 1)
    np.testing.assert_allclose(np.polyval(fit, expected[:-100]), wave[:-100], atol=1e-4)
    # ... and a piece of it is the same samples.
    piece = night.read_signals(["ECG"], 3, 2)["ECG"]
    np.testing.assert_array_equal(piece, wave[3 * 1024 : 5 * 1024])


def test_five_stages_fold_to_four_but_not_back(nights, tmp_path):
    night = nights[0]
    fold = {"WAKE": 0, "N1": 1, "N2": 1, "N3": 2, "REM": 3}
    expected = [fold[stage] for stage in night.read_hypnogram(5).hypno]
    assert night.read_stages(4).tolist() == expected
    four = Night(make_raw(), make_hypnogram().consolidate_stages(4), "a")
    prepared = prepare_nights([four], tmp_path)
    with pytest.raises(ValueError, match=r"cohort/a.*scored with 4 stages"):
        NightDataset(prepared, ["ECG"], 5, crop=None, padded_epochs=0, masking=Masking.off())


@pytest.mark.parametrize(
    ("night", "message"),
    [
        (Night(make_raw(), make_hypnogram(25), "a"), "5 more than the recording"),
        (Night(make_raw(), make_hypnogram(15), "a"), "5 fewer than the recording"),
        (Night(make_raw(), make_hypnogram(start="2024-03-02 22:30"), "a"), "do not overlap"),
        (Night(make_raw(), yasa.Hypnogram(["UNS"] * 20), "a"), "not one epoch of it is scored"),
        (Night(make_raw(), None, "a"), "no sleep stage among its events"),
        (Night(make_raw(("EEG",)), make_hypnogram(), "a"), "Name one"),
        (Night("nowhere.edf", make_hypnogram(), "a"), r"nowhere\.edf"),
    ],
)
def test_a_broken_night_is_named_and_stops_no_other(night, message, tmp_path):
    good = Night(make_raw(), make_hypnogram(), "good")
    with pytest.raises(ValueError, match=f"1 of 2 nights cannot be used. cohort/a.*{message}"):
        prepare_nights([night, good], tmp_path)
    with pytest.warns(RuntimeWarning, match=message):
        prepared = prepare_nights([night, good], tmp_path, on_error="warn")
    assert [n.subject for n in prepared] == ["good"]


def test_prepared_nights_are_reused_until_something_changes(tmp_path):
    raw = make_raw()
    path = prepare_nights([Night(raw, make_hypnogram(), "a")], tmp_path)[0].path
    before = path.stat().st_mtime_ns
    again = prepare_nights([Night(raw, make_hypnogram(), "a")], tmp_path)[0]
    assert again.path.stat().st_mtime_ns == before
    assert prepare_nights([Night(raw, make_hypnogram(seed=1), "a")], tmp_path)[0].path != path
    raw._data[0, 5] += 1e-3
    assert prepare_nights([Night(raw, make_hypnogram(), "a")], tmp_path)[0].path != path
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="damaged"):
        open_night(path)


def test_a_batch_of_different_signals_equals_its_nights_alone(nights):
    torch.manual_seed(0)
    model = Wav2Sleep(TINY).eval()
    names = ["ABD", "ECG", "PPG", "THX"]
    dataset = NightDataset(nights, names, 4, crop=12, padded_epochs=0, masking=Masking.off())
    items = [dataset[i] for i in (0, 3, 4)]
    batch = collate(items)
    assert batch["rows"]["ECG"].tolist() == [0]
    assert batch["available"]["ECG"].all(1).tolist() == [True, False, False]
    assert batch["x"]["ABD"].shape == (2, 12 * 256)
    from mne_wav2sleep.training.fit import _Module

    module = _Module(model, QUICK, ("classifier",))
    total, count = module._loss(batch)
    alone = [module._loss(collate([item])) for item in items]
    torch.testing.assert_close(total, sum(t for t, _ in alone), rtol=1e-5, atol=1e-5)
    assert count == sum(c for _, c in alone) == 36


def test_unscored_epochs_do_not_count(nights):
    from mne_wav2sleep.training.fit import _Module

    module = _Module(Wav2Sleep(TINY).eval(), QUICK, ("classifier",))
    batch = collate(
        [NightDataset(nights[:3], ["ECG"], 4, crop=12, padded_epochs=0, masking=Masking.off())[0]]
    )
    before = module._loss(batch)
    batch["stages"][0, 3:6] = -1
    total, count = module._loss(batch)
    assert count == before[1] - 3
    assert total < before[0]


def test_what_was_not_measured_teaches_nothing(tmp_path):
    raws = [make_raw(), make_raw()]
    for raw in raws:
        raw.set_annotations(mne.Annotations([0, 300], [60, 90], "BAD", START))
        raw.annotations.append(150, 60, "BAD", ch_names=[("ECG",)])
    raws[1]._data[:, raws[1].time_as_index(300)[0] : raws[1].time_as_index(390)[0]] = 7.0
    with (
        pytest.warns(RuntimeWarning, match="5 of 20 epochs are masked"),
        pytest.warns(RuntimeWarning, match="7 of 20 epochs are masked"),
    ):
        nights = prepare_nights([Night(r, make_hypnogram(), "a") for r in raws], tmp_path)
    items = [
        NightDataset([night], ["ECG", "THX"], 4, crop=None, padded_epochs=0, masking=Masking.off())[
            0
        ]
        for night in nights
    ]
    off = [0, 1, 10, 11, 12]
    assert np.flatnonzero(items[0]["stages"] < 0).tolist() == off
    assert np.flatnonzero(~items[0]["measured"]["THX"]).tolist() == off
    assert np.flatnonzero(~items[0]["measured"]["ECG"]).tolist() == sorted([*off, 5, 6])
    for name in ("ECG", "THX"):
        np.testing.assert_array_equal(items[0]["signals"][name], items[1]["signals"][name])
    evaluation = evaluate(nights[:1], Wav2Sleep(TINY))
    assert (evaluation.pooled["epochs"] == [13, 15, 15]).all()


def test_draws_depend_on_seed_and_pass_alone(nights):
    def draws(**kwargs):
        return list(PassSampler(nights, None, 2, **{"seed": 1, "number": 0} | kwargs))

    assert draws() == draws()
    assert draws() != draws(number=1) != draws(seed=2)
    assert sorted(d.night for d in draws()) == list(range(6))
    # Two processes share the draws of one with twice the batch.
    halves = [
        list(PassSampler(nights, None, 1, seed=1, number=0, rank=r, n_processes=2)) for r in (0, 1)
    ]
    assert [d for pair in zip(*halves, strict=True) for d in pair] == draws()


def test_datasets_are_drawn_by_weight(nights):
    weights = {"first": 1.0, "second": 3.0}
    drawn = [
        nights[d.night].dataset
        for number in range(300)
        for d in PassSampler(nights, weights, 2, seed=0, number=number)
    ]
    assert abs(np.mean([d == "second" for d in drawn]) - 0.75) < 0.05


def test_no_subject_is_on_both_sides(nights, tmp_path):
    kept, apart = split_by_subject(nights, 0.3, 0)
    assert {n.dataset for n in apart} == {"first", "second"}
    assert not {n.subject for n in kept} & {n.subject for n in apart}
    with pytest.raises(ValueError, match="two subjects"):
        split_by_subject(nights[:1], 0.2, 0)
    with pytest.raises(ValueError, match=r"\['a'\] are in training and validation"):
        train(nights[:3], tmp_path / "m", config=TINY, validation=nights[:1], settings=QUICK)


def weights_of(folder):
    return load_file(folder / "model.safetensors")


def assert_same_weights(one, other):
    a, b = weights_of(one), weights_of(other)
    assert a.keys() == b.keys()
    assert all((a[name] == b[name]).all() for name in a)


@pytest.fixture(scope="module")
def trained(nights, tmp_path_factory):
    return train(nights, tmp_path_factory.mktemp("trained") / "m", config=TINY, settings=QUICK)


def test_a_trained_folder_stages_a_recording(trained, nights):
    raw = make_raw()
    with pytest.warns(RuntimeWarning, match="20 epochs"):
        hyp = SleepStagerW2S(raw, weights=trained).predict()
    assert hyp.n_epochs == 20
    card = (trained / "README.md").read_text()
    assert "| first | 2 | 2 |" in card or "| first | 1 | 1 |" in card
    for fact in ("learning_rate: 0.01", "ECG", "kappa", f"torch: {torch.__version__}"):
        assert fact in card
    # ... and the same call again has nothing to do.
    before = (trained / "model.safetensors").stat().st_mtime_ns
    train(nights, trained, config=TINY, settings=QUICK)
    assert (trained / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match=r"settings, .*differ"):
        train(nights, trained, config=TINY, settings=replace(QUICK, seed=5))


def test_the_files_of_a_trained_folder_are_all_another_machine_needs(trained, tmp_path):
    for name in ("calibration.json", "config.json", "model.safetensors", "README.md"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    make_raw().save(tmp_path / "night_raw.fif", verbose="error")
    code = """
import sys
sys.modules["pytorch_lightning"] = None  # importing it fails, as where it is not installed
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
import os, signal, sys
from mne_wav2sleep.training import fit, open_night, train
sys.path[:0] = {tests!r}
from dataclasses import replace
from test_fit import QUICK, TINY
begin = fit._Module.on_train_batch_start
def begin_or_die(self, batch, batch_idx):
    if self.global_step == {kill_at}:
        os.kill(os.getpid(), signal.SIGKILL)
    begin(self, batch, batch_idx)
fit._Module.on_train_batch_start = begin_or_die
if __name__ == "__main__":
    nights = [open_night(p) for p in {paths!r}]
    config = replace(TINY, mixer_dropout=0.0, sequence_dropout=0.0) if {plain} else TINY
    # In float64, in which the order of sums hardly matters.
    precision = "64-true" if {plain} else QUICK.precision
    train(nights, {folder!r}, config=config,
          settings=replace(QUICK, batch_size={batch}, precision=precision),
          accelerator="cpu", devices={devices})
"""


def write_script(path, nights, folder, *, batch=2, devices=1, plain=False, kill_at=None):
    path.write_text(
        SCRIPT.format(
            tests=[str(Path(__file__).parents[i]) for i in (0, 1)],
            paths=[str(night.path) for night in nights],
            folder=str(folder),
            batch=batch,
            devices=devices,
            plain=plain,
            kill_at=kill_at,
        )
    )
    return [sys.executable, str(path)]


def test_a_run_killed_again_and_again_ends_with_the_same_weights(nights, trained, tmp_path):
    folder = tmp_path / "m"
    n_steps = 2 * QUICK.max_passes
    # Any step will do, those of the first pass, which has no checkpoint yet, among them.
    for kill_at in sorted(np.random.default_rng(0).choice(n_steps, 3, replace=False)):
        command = write_script(tmp_path / "run.py", nights, folder, kill_at=kill_at)
        assert subprocess.run(command, capture_output=True).returncode == -signal.SIGKILL
        assert not (folder / "model.safetensors").exists()
        last = folder / "checkpoints" / "last.ckpt"
        passes = torch.load(last, weights_only=True)["epoch"] + 1 if last.exists() else 0
        assert passes == kill_at // 2
    train(nights, folder, config=TINY, settings=QUICK)
    assert_same_weights(folder, trained)


def test_a_run_that_had_stopped_early_is_only_finished(nights, tmp_path):
    folder = tmp_path / "m"
    # No rate, no progress: the first pass is the best, and patience ends after two more.
    settings = replace(QUICK, learning_rate=1e-12, max_passes=9, patience=2)
    train(nights, folder, config=TINY, settings=settings)
    last = folder / "checkpoints" / "last.ckpt"
    n_steps = torch.load(last, weights_only=True)["global_step"]
    assert n_steps < 2 * settings.max_passes
    weights = weights_of(folder)
    for name in ("calibration.json", "config.json", "model.safetensors", "README.md"):
        (folder / name).unlink()
    train(nights, folder, config=TINY, settings=settings)
    assert torch.load(last, weights_only=True)["global_step"] == n_steps
    assert all((weights_of(folder)[name] == w).all() for name, w in weights.items())


def test_two_processes_train_what_one_does_with_twice_the_batch(nights, tmp_path):
    environment = os.environ | {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    for name, batch, devices in (("one", 2, 1), ("two", 1, 2)):
        command = write_script(
            tmp_path / f"{name}.py",
            nights,
            tmp_path / name,
            batch=batch,
            devices=devices,
            plain=True,
        )
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=300, env=environment
        )
        assert result.returncode == 0, result.stderr
    one, two = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    start = Wav2Sleep(TINY).state_dict()
    for name in one:
        if name.endswith("in_proj_bias"):
            # Attention does not depend on the keys' bias: its gradient is rounding, which Adam
            # scales up to the size of any other.
            one[name], two[name] = (np.delete(w[name], slice(8, 16)) for w in (one, two))
        np.testing.assert_allclose(two[name], one[name], rtol=1e-5, atol=1e-6, err_msg=name)
    assert any(not np.allclose(one[k], start[k].numpy()) for k in one)


def test_fine_tuning_changes_what_is_trainable_alone(nights, trained, tmp_path):
    settings = replace(QUICK, max_passes=2)
    folder = fine_tune(nights, tmp_path / "m", weights=trained, settings=settings)
    assert "Mean gain by subject" in (folder / "README.md").read_text()
    before, after = weights_of(trained), weights_of(folder)
    for name in before:
        changed = (before[name] != after[name]).any()
        assert changed == name.startswith(("sequence_mixer", "classifier")), name
    with pytest.warns(RuntimeWarning, match="3 subjects"):
        fine_tune(nights[:3], tmp_path / "few", weights=trained, settings=settings)
    with pytest.raises(ValueError, match="trainable must be"):
        fine_tune(nights, tmp_path / "x", weights=trained, trainable=["encoders"])


@pytest.mark.parametrize("name", ["config.json", "README.md"])
def test_a_folder_of_something_else_is_not_trained_into(name, nights, trained, tmp_path):
    (tmp_path / name).write_bytes((trained / name).read_bytes())
    before = (tmp_path / name).read_bytes()
    with pytest.raises(ValueError, match=rf"holds {name} of something else"):
        fine_tune(nights, tmp_path, weights=trained, settings=replace(QUICK, max_passes=1))
    assert (tmp_path / name).read_bytes() == before


def test_one_recording_is_of_one_subject(tmp_path):
    nights = [Night(tmp_path / "a.edf", None, subject) for subject in "pq"]
    with pytest.raises(ValueError, match="is a night of two subjects, 'p' and 'q'"):
        prepare_nights(nights, tmp_path / "prepared")


def test_warnings_of_nights_say_whose_they_are_and_where_they_were_asked_for(tmp_path):
    raw = make_raw()
    raw._data[:, : raw.n_times // 3] = np.nan
    with pytest.warns(RuntimeWarning, match=r"^cohort/p1.*was not measured for") as caught:
        prepare_nights([Night(raw, make_hypnogram(), "p1")], tmp_path)
    assert {Path(one.filename).name for one in caught} == {"test_training.py"}


def test_the_last_pass_is_kept_where_validation_is_to_decide_nothing(nights, tmp_path):
    # A learning rate that makes things worse from the first step on.
    settings = replace(QUICK, learning_rate=0.5, patience=1, max_passes=5, averaging=0.0)
    best, last = (
        train(nights, tmp_path / k, config=TINY, settings=replace(settings, keep=k))
        for k in ("best", "last")
    )
    checkpoint = torch.load(last / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["epoch"] == 4
    kept = weights_of(last)
    assert all((kept[k] == checkpoint["state_dict"][f"model.{k}"].numpy()).all() for k in kept)
    assert any((kept[k] != v).any() for k, v in weights_of(best).items())
    assert "by whom nothing was chosen" in (last / "README.md").read_text()
    assert "they decided when to stop" in (best / "README.md").read_text()


def test_averaging_keeps_the_mean_of_the_weights_and_leaves_frozen_ones(nights, trained, tmp_path):
    settings = replace(QUICK, keep="last", max_passes=2, learning_rate=1e-3)
    plain, averaged = (
        weights_of(
            fine_tune(
                nights,
                tmp_path / str(decay),
                weights=trained,
                settings=replace(settings, averaging=decay),
            )
        )
        for decay in (0.0, 0.9)
    )
    before = weights_of(trained)
    moved = [
        np.abs(w["classifier.weight"] - before["classifier.weight"]).mean()
        for w in (plain, averaged)
    ]
    assert 0 < moved[1] < moved[0]
    frozen = [k for k in before if not k.startswith(("sequence_mixer", "classifier"))]
    assert all((averaged[k] == before[k]).all() for k in frozen)


@pytest.mark.parametrize(
    "wrong",
    [
        {"averaging": 1.0},
        {"averaging": -0.1},
        {"averaging": "abc"},
        {"keep": "first"},
        {"precision": "8-true"},
        {"seed": None},
        {"clip": -1},
        {"validation_fraction": 1.5},
    ],
)
def test_settings_are_checked(nights, tmp_path, wrong):
    with pytest.raises(ValueError, match=f"The setting {next(iter(wrong))} must be"):
        train(nights, tmp_path, config=TINY, settings=replace(QUICK, **wrong))


def test_a_loss_that_is_not_finite_stops_and_names_the_night(nights, tmp_path):
    folder = tmp_path / "m"
    good = nights[:3]
    tensors = load_file(good[1].path)
    header = {"night": json.dumps(json.loads(_metadata(good[1].path))), "format": "pt"}
    tensors["ECG"] = np.full_like(tensors["ECG"], np.nan)
    path = tmp_path / "broken.safetensors"
    save_file(tensors, path, metadata=header)
    broken = open_night(path)
    training = [good[0], replace(broken, subject="b")]
    with pytest.raises(RuntimeError, match=r"loss is nan.*broken\.safetensors"):
        train(training, folder, config=TINY, validation=[good[2]], settings=QUICK)
    assert not (folder / "model.safetensors").exists()


def _metadata(path):
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return file.metadata()["night"]


def test_evaluation_stages_as_the_stager_does(trained, tmp_path):
    raw = make_raw(("ECG", "Pleth", "Abdo", "Thor"), 40)
    night = prepare_nights([Night(raw, make_hypnogram(40), "a")], tmp_path, dtype="float32")
    found = evaluate(night, trained)
    assert list(found.pooled.loc["cohort"].index) == [
        "+".join(s) for s in all_subsets(["ABD", "ECG", "PPG", "THX"])
    ]
    for subset in (("ECG",), ("ABD", "ECG", "PPG", "THX")):
        names = {f"{m.lower()}_name": None for m in ("ABD", "ECG", "PPG", "THX") if m not in subset}
        with pytest.warns(RuntimeWarning, match="40 epochs"):
            hyp = SleepStagerW2S(raw, weights=trained, **names).predict()
        expert = make_hypnogram(40, start=hyp.start).consolidate_stages(4)
        agreement = expert.evaluate(hyp).get_agreement()
        row = found.pooled.loc[("cohort", "+".join(subset))]
        assert row["kappa"] == pytest.approx(agreement["kappa"])
        assert row["accuracy"] == pytest.approx(agreement["accuracy"])
        assert found.confusion[("cohort", "+".join(subset))].to_numpy().sum() == 40
    three = evaluate(night, trained, subsets=[("ECG",)], n_stages=3)
    assert list(three.pooled.index) == [("cohort", "ECG")]
    assert "F1 NREM" in three.pooled
    with pytest.raises(ValueError, match="nothing to evaluate"):
        evaluate(night, trained, subsets=[("EOG-L",)])


def test_the_concat_mixer_and_masking_off_train_too(nights, tmp_path):
    config = replace(TINY, epoch_mixer="concat")
    settings = replace(QUICK, masking=Masking.off(), max_passes=1)
    folder = train(nights, tmp_path / "m", config=config, settings=settings)
    model = load_model(folder)
    assert model.config.epoch_mixer == "concat"
    x = {"ECG": torch.randn(1, 10 * 1024), "ABD": torch.randn(1, 10 * 256)}
    masked = model(x, {"ABD": torch.tensor([False])})
    torch.testing.assert_close(masked, model({"ECG": x["ECG"]}))


def test_the_commands_train_fine_tune_and_evaluate(tmp_path):
    rows = []
    for i, subject in enumerate("abcdef"):
        make_raw(seed=i).save(tmp_path / f"{subject}_raw.fif", verbose="error")
        make_hypnogram(seed=i).to_json(str(tmp_path / f"{subject}.json"))
        rows.append((f"{subject}_raw.fif", f"{subject}.json", subject))
    table = tmp_path / "nights.csv"
    pd.DataFrame(rows, columns=["recording", "hypnogram", "subject"]).to_csv(table, index=False)
    base = save_model(Wav2Sleep(TINY), tmp_path / "base")

    def run(*arguments):
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        assert result.exit_code == 0, result.output
        return result.output

    quick = ("--set", "max_passes=1", "--set", "crop=12", "--set", "learning_rate=1e-3")
    run("train", table, tmp_path / "new", "--config", base, "--accelerator", "cpu", *quick)
    run("finetune", table, tmp_path / "tuned", "--weights", tmp_path / "new", *quick)
    output = run("evaluate", table, "--weights", tmp_path / "tuned", "--cache", tmp_path / "cache")
    assert "ECG+THX" in output
    result = CliRunner().invoke(app, ["train", str(table), str(tmp_path / "y"), "--set", "lr=1"])
    assert result.exit_code == 2
    assert "learning_rate=0.001" in result.output
    rows[0] = ("none.fif", "a.json", "a")
    pd.DataFrame(rows, columns=["recording", "hypnogram", "subject"]).to_csv(table, index=False)
    result = CliRunner().invoke(app, ["train", str(table), str(tmp_path / "z")])
    assert result.exit_code == 1
    assert "none.fif" in result.output


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("night.edf", b"0       X X X X"),
        ("empty.csv", b""),
        ("picture.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40),
        ("nothing.csv", bytes(4096)),
        ("ragged.csv", b"recording,subject\na,b\na,b,c,d\n"),
        ("night.csv", b"0".ljust(5000) + bytes(1000)),
    ],
)
def test_what_is_no_table_of_nights_is_said_in_one_sentence(name, content, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    result = CliRunner().invoke(app, ["evaluate", str(path), "--cache", str(tmp_path / "cache")])
    assert result.exit_code == 1
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert result.stderr.strip() == error
    assert "'recording'" in error
    assert len(error) < 400
    with pytest.raises(ValueError, match="is a folder"):
        read_nights(tmp_path)


def test_preparing_says_nothing_of_the_files_it_opens(tmp_path):
    make_raw().save(tmp_path / "night_raw.fif", verbose="error")
    with mne.utils.use_log_level("info"), mne.utils.catch_logging() as log:
        prepare_nights([Night(tmp_path / "night_raw.fif", make_hypnogram(), "a")], tmp_path)
    assert "Opening" not in log.getvalue()
