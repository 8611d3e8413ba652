"""What a run shows while it trains: lines of the log, metrics.csv, TensorBoard, progress bars."""

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from builders import START, make_hypnogram, make_raw, toy_recordings
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm

from mne_wav2sleep import load_weights, save_weights
from mne_wav2sleep.cohorts import evaluate
from mne_wav2sleep.cohorts.batches import collate, read_item
from mne_wav2sleep.network import Wav2Sleep
from mne_wav2sleep.training.curve import plot_curve
from mne_wav2sleep.training.monitoring import PassBar, compute_kappa

pytestmark = [toy_recordings, pytest.mark.slow]

LINE = re.compile(
    r"Pass (\d)/4: training loss \d\.\d\d, validation loss \d\.\d\d, kappa -?\d\.\d\d "
    r"\(ABD -?\d\.\d\d, ECG -?\d\.\d\d, PPG -?\d\.\d\d, THX -?\d\.\d\d\), learning rate 0\.0\d*, "
    r"\d s(?:, (at most about|about) \d s left)?"
)


def read_metrics(folder):
    return pd.read_csv(folder / "metrics.csv").drop(columns="seconds")


def test_the_logged_kappas_are_those_of_an_evaluation(nights, train_tiny, quick, tmp_path):
    training, validation = nights[1:3] + nights[4:], [nights[0], nights[3]]
    settings = replace(quick, keep="last", max_passes=2)
    folder = train_tiny(training, tmp_path / "m", validation=validation, settings=settings)
    last = pd.read_csv(folder / "metrics.csv").iloc[-1]
    alone = [(name,) for name in ("ABD", "ECG", "PPG", "THX")]
    for subsets, names in ((alone, ["_ABD", "_ECG", "_PPG", "_THX"]), ("recorded", [""])):
        found = evaluate(validation, folder, subsets=subsets)
        for (dataset, subset), row in found.pooled.iterrows():
            name = "" if subsets == "recorded" else f"_{subset}"
            assert last[f"kappa{name} ({dataset})"] == pytest.approx(row["kappa"], abs=1e-5)
        for name in names:
            counts = [
                confusion.to_numpy()
                for (_, subset), confusion in found.confusion.items()
                if not name or subset == name[1:]
            ]
            assert last[f"kappa{name}"] == pytest.approx(compute_kappa(sum(counts)), abs=1e-5)
    assert "kappa_PPG (first)" not in last  # its nights have no PPG
    network = load_weights(folder).network.eval()
    for (name,) in alone:
        total = count = 0
        for night in (one for one in validation if name in one.modalities):
            item = read_item(night, [name], 4, first=0, last=night.n_epochs, length=night.n_epochs)
            batch = collate([item])
            with torch.no_grad():
                logits = network.mix(network.encode(batch["x"]), batch["available"])
            scored = batch["stages"] >= 0
            chosen = -logits.log_softmax(-1)[scored].gather(1, batch["stages"][scored][:, None])
            total, count = total + float(chosen.sum()), count + len(chosen)
        assert last[f"validation_loss_{name}"] == pytest.approx(total / count, rel=1e-4)


def test_there_is_a_line_and_a_row_for_each_pass(nights, train_tiny, quick, tmp_path, capsys):
    settings = replace(quick, warmup_steps=0)
    folder = train_tiny(nights, tmp_path / "m", settings=settings, verbose="info")
    text = capsys.readouterr().out
    assert text.startswith("Training on 4 nights of 4 subjects, validation on 2 nights of 2 subj")
    lines = re.findall(r"^Pass .*$", text, re.MULTILINE)
    found = [LINE.fullmatch(line) for line in lines]
    assert [line and line[1] for line in found] == ["1", "2", "3", "4"], lines
    assert [line[2] for line in found] == ["at most about"] * 3 + [None]
    assert "it/s" not in text  # no progress bar, since this is not a terminal
    metrics = pd.read_csv(folder / "metrics.csv")
    assert metrics["pass"].tolist() == [1, 2, 3, 4]
    kept = metrics["pass"][metrics["validation_loss"].idxmin()]
    assert f"\nThe weights of pass {kept} are kept.\n" in text
    # Two steps a pass: the rate at the second of them.
    rates = 1e-2 * np.exp(-np.array([1, 3, 5, 7]) / 50)
    np.testing.assert_allclose(metrics["learning_rate"], rates, rtol=1e-5)
    assert (metrics["seconds"] >= 0).all()
    assert not (folder / "log").exists()
    settings = replace(quick, keep="last", max_passes=2)
    train_tiny(nights, tmp_path / "last", settings=settings, verbose="info")
    first, second = re.findall(r"^Pass .*$", capsys.readouterr().out, re.MULTILINE)
    assert re.search(r"s, about \d+ s left$", first)
    assert "left" not in second
    train_tiny(nights, tmp_path / "silent", settings=settings, verbose="error")
    assert capsys.readouterr().out == ""


SCRIPT = """
import os, signal
from mne_wav2sleep.cohorts import open_night
from mne_wav2sleep.network import Preprocessing, Wav2SleepConfig
from mne_wav2sleep.training import Masking, TrainingSettings, train
from mne_wav2sleep.training.checkpoints import WholeCheckpoints
save = WholeCheckpoints.save_checkpoint
def save_or_die(self, checkpoint, *args, **kwargs):
    if checkpoint["epoch"] == {die_at}:
        os.kill(os.getpid(), signal.SIGKILL)
    save(self, checkpoint, *args, **kwargs)
WholeCheckpoints.save_checkpoint = save_or_die
if __name__ == "__main__":
    nights = [open_night(p) for p in {paths!r}]
    train(nights, {folder!r}, config={config!r}, preprocessing=Preprocessing(padded_epochs=0),
          settings={settings!r}, device="cpu")
"""


def test_metrics_are_one_file_with_one_row_for_each_pass_however_often_a_run_is_killed(
    nights, trained, train_tiny, tiny, quick, tmp_path
):
    folder = tmp_path / "m"
    for die_at in (1, 3):  # between the row of a pass and its checkpoint
        code = SCRIPT.format(
            die_at=die_at,
            paths=[str(night.path) for night in nights],
            folder=str(folder),
            config=tiny,
            settings=quick,
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=300)
        assert result.returncode == -signal.SIGKILL, result.stderr
        assert read_metrics(folder)["pass"].tolist() == list(range(1, die_at + 2))
        folder = shutil.move(folder, tmp_path / f"moved after {die_at}")
    (folder / "metrics.csv").write_text("pass,learn")  # and damaged besides
    train_tiny(nights, folder)
    pd.testing.assert_frame_equal(read_metrics(folder), read_metrics(trained))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_shows_a_bar_and_whole_lines(tiny, tmp_path):
    rows = ["recording,hypnogram,subject"]
    for i, subject in enumerate("abc"):
        raw = make_raw(("ECG", "Thor"), seconds=600, types="eeg", start=START, seed=10 * i)
        raw.save(tmp_path / f"{subject}_raw.fif", verbose="error")
        make_hypnogram(seed=i).to_json(str(tmp_path / f"{subject}.json"))
        rows.append(f"{subject}_raw.fif,{subject}.json,{subject}")
    (tmp_path / "nights.csv").write_text("\n".join(rows))
    save_weights(Wav2Sleep(tiny), tmp_path / "base")
    command = [sys.executable, "-c", "from mne_wav2sleep.cli import main; main()", "fine-tune"]
    command += ["nights.csv", "m", "--weights", "base", "--device", "cpu", "--set", "max_passes=2"]
    import termios  # which Windows does not have

    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (30, 120))
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True
    ) as process:
        os.close(theirs)
        parts = []
        while True:
            try:
                part = os.read(ours, 2**16)
            except OSError:  # the other end was closed
                break
            if not part:
                break
            parts.append(part)
    os.close(ours)
    text = b"".join(parts).decode()
    assert process.returncode == 0, text
    assert re.search(r"\rPass 1/2: +\d+%", text), text  # the bar
    for number in (1, 2):
        # Where the bar was erased, a line begins.
        assert re.search(rf"[\r\n]Pass {number}/2: training loss [^\r\n]*\r?\n", text), text
    assert "Epoch" not in text


def test_tensorboard_that_is_missing_is_refused_before_the_work(
    nights, train_tiny, tmp_path, monkeypatch
):
    for name in ("tensorboard", "tensorboardX"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    with pytest.raises(ValueError, match="`pip install tensorboard`, or train without"):
        train_tiny(nights, tmp_path / "m", tensorboard=True)
    assert not (tmp_path / "m").exists()


@pytest.mark.filterwarnings("default")  # of TensorBoard's own dependencies
def test_tensorboard_has_losses_and_kappas_of_each_pass(
    nights, trained, train_tiny, quick, tmp_path
):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = train_tiny(nights, tmp_path / "m", tensorboard=True)
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    metrics = read_metrics(trained)
    for tag, name in (
        ("train_loss", "training_loss"),
        ("val_loss", "validation_loss"),
        ("kappa_THX", "kappa_THX"),
        ("kappa (first)", "kappa (first)"),
        ("learning_rate", "learning_rate"),
    ):
        values = [event.value for event in events.Scalars(tag)]
        np.testing.assert_allclose(values, metrics[name], rtol=1e-5, err_msg=tag)


def test_kappa_without_epochs_or_with_one_stage_is_not_defined():
    assert compute_kappa(np.zeros((4, 4), dtype=int)) is None
    assert compute_kappa(np.diag([7, 0, 0, 0])) is None
    assert compute_kappa(np.diag([7, 1, 0, 0])) == 1
    assert compute_kappa(np.array([[0, 7], [0, 0]])) == 0


def test_the_learning_curve_marks_the_kept_pass(trained):
    assert (trained / "learning-curve.png").read_bytes().startswith(b"\x89PNG")
    assert "![Losses and kappas by pass](learning-curve.png)" in (trained / "README.md").read_text()
    before = plt.get_fignums()
    rows = read_metrics(trained).to_dict("records")
    figure = plot_curve(rows, 3)
    assert plt.get_fignums() == before
    losses, kappas = figure.axes
    lines = {line.get_label(): line for line in losses.get_lines()}
    assert list(lines["validation"].get_ydata()) == [row["validation_loss"] for row in rows]
    assert [line.get_label() for line in kappas.get_lines()] == [
        *("all signals", "ABD alone", "ECG alone", "PPG alone", "THX alone", "kept"),
    ]
    assert list(lines["kept"].get_xdata()) == [3, 3]


def test_what_is_said_of_an_error_begins_a_line(capsys):
    bar = PassBar()
    bar.on_exception()  # before there are bars
    bar.train_progress_bar = Tqdm(total=2, desc="Pass 1/2", file=sys.stderr)
    bar.on_exception()
    text = capsys.readouterr().err
    assert "Pass 1/2" in text
    assert text.endswith("\n")
