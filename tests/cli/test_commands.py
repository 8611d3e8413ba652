import json
import re
from functools import partial
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest
import yasa
from builders import SHARED, make_wave
from typer.testing import CliRunner

from mne_wav2sleep import __version__, save_model, simulate_night
from mne_wav2sleep.cli.commands import app
from mne_wav2sleep.network.config import Wav2SleepConfig
from mne_wav2sleep.network.model import Wav2Sleep

HOUR = 3600


def invoke(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    info = mne.create_info(["EKG", "EKG2", "Thor"], 64.0, "eeg")
    data = np.array([make_wave(64.0, HOUR, seed) for seed in range(3)])
    path = tmp_path_factory.mktemp("fif") / "night_raw.fif"
    mne.io.RawArray(data, info, verbose="error").save(path, verbose="error")
    return path


def test_stage_writes_what_yasa_reads(night, small_folder, tmp_path):
    result = invoke("stage", night, "--weights", small_folder, "--out", tmp_path / "hyp.json")
    assert result.exit_code == 0, result.output
    assert "TST" in result.output
    hyp = yasa.Hypnogram.from_json(tmp_path / "hyp.json")
    assert (hyp.n_epochs, hyp.n_stages) == (120, 4)
    provenance = json.loads((tmp_path / "hyp.json.provenance.json").read_text())
    assert provenance["recording"]["files"] == [str(night)]
    assert provenance["parameters"]["validity"]["flat_s"]["ECG"] == 5
    unchecked = tmp_path / "unchecked.json"
    invoke("stage", night, "--weights", small_folder, "--out", unchecked, "--no-checks")
    provenance = json.loads((tmp_path / "unchecked.json.provenance.json").read_text())
    assert provenance["parameters"]["validity"]["flat_s"]["ECG"] is None
    invoke("stage", night, "--weights", small_folder, "--out", tmp_path / "rows.csv")
    invoke("stage", night, "--weights", small_folder, "--out", tmp_path / "ROWS.TSV")
    for events in (
        pd.read_csv(tmp_path / "rows.csv"),
        pd.read_csv(tmp_path / "ROWS.TSV", sep="\t"),
    ):
        assert list(events["onset"][:2]) == [0, 30]
        assert list(events["trial_type"]) == list(hyp.hypno)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("name", ["hyp.json", "hyp.tsv"])
def test_a_full_disk_is_said_with_the_file(night, small_folder, tmp_path, name):
    (tmp_path / name).symlink_to("/dev/full")
    result = invoke("stage", night, "--weights", small_folder, "--out", tmp_path / name)
    assert result.exit_code == 1
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert f"could not be written to {tmp_path / name}" in error
    assert "No space left" in error


@pytest.fixture
def no_work(monkeypatch):
    """Staging and reading nights, which take their time, must not begin."""

    def begin(*_, **__):
        raise AssertionError("the work has begun")

    monkeypatch.setattr("mne_wav2sleep.cli.commands.SleepStagerW2S", begin)
    monkeypatch.setattr("mne_wav2sleep.training.prepare_nights", begin)


@pytest.mark.parametrize("there", ["hyp.json", "hyp.json.provenance.json", "night.html"])
def test_what_is_there_is_refused_before_the_work(there, night, no_work, tmp_path):
    (tmp_path / there).write_text("of another recording")
    outputs = ("--out", tmp_path / "hyp.json", "--report", tmp_path / "night.html")
    result = invoke("stage", night, *outputs)
    assert result.exit_code == 1
    assert f"{tmp_path / there} is there already" in result.stderr
    assert "--overwrite" in result.stderr
    assert [file.name for file in tmp_path.iterdir()] == [there]


def test_what_is_there_is_replaced_with_overwrite(night, small_folder, tmp_path):
    names = ["hyp.json", "hyp.json.provenance.json", "night.html"]
    for name in names:
        (tmp_path / name).write_text("of another recording")
    outputs = ("--out", tmp_path / "hyp.json", "--report", tmp_path / "night.html")
    result = invoke("stage", night, "--weights", small_folder, *outputs, "--overwrite")
    assert result.exit_code == 0, result.output
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    for name in names:
        assert "of another recording" not in (tmp_path / name).read_text(encoding="utf-8")


def test_scores_that_cannot_be_written_are_said_before_the_work(no_work, tmp_path):
    table, there = tmp_path / "nights.csv", tmp_path / "scores.csv"
    table.write_text("recording,subject\na.edf,a\n")
    there.write_text("old")
    for out, code, message in (
        (there, 1, "is there already"),
        (tmp_path / "none" / "scores.csv", 1, "There is no folder"),
        (tmp_path / "scores.xlsx", 2, "must end in .csv"),
        (table, 1, "is the table of nights, which would be lost"),
    ):
        result = invoke("evaluate", table, "--out", out)
        assert result.exit_code == code
        assert message in " ".join(result.stderr.split())
    assert there.read_text() == "old"


@pytest.mark.parametrize("command", ["train", "finetune"])
def test_settings_are_checked_before_the_work(command, no_work, tmp_path):
    table = tmp_path / "nights.csv"
    table.write_text("recording,subject\na.edf,a\n")
    wrong = ("foo=1", "masking=1", "learning_rate", "crop=[", "batch_size=0")
    for setting in wrong:
        result = invoke(command, table, tmp_path / "model", "--set", setting)
        assert result.exit_code == 2, result.output
        assert setting.split("=")[0] in result.stderr
        assert "factory" not in result.stderr
        assert "Masking" not in result.stderr
    result = invoke(command, table, tmp_path / "model", "--set", "foo=1")
    rate = {"train": "0.001", "finetune": "0.0003"}[command]
    words = result.stderr.replace("│", " ").split()  # out of typer's box
    assert f"learning_rate={rate}," in words
    assert "crop=null," in words


@pytest.mark.parametrize("option", ["--out", "--report"])
def test_the_recording_is_never_replaced(night, small_folder, tmp_path, option):
    recording = tmp_path / ("night.edf" if option == "--out" else "night.html")
    recording.write_bytes(night.read_bytes())
    result = invoke("stage", recording, "--weights", small_folder, option, recording)
    assert result.exit_code == 1
    assert "is the recording, which would be lost" in result.stderr
    assert recording.read_bytes() == night.read_bytes()


def test_stage_writes_a_report(night, small_folder, tmp_path):
    path = tmp_path / "night.html"
    result = invoke("stage", night, "--weights", small_folder, "--report", path)
    assert result.exit_code == 0, result.output
    assert "Methods, to paste" in path.read_text(encoding="utf-8")
    missing = invoke("stage", night, "--report", tmp_path / "none" / "night.html")
    assert "There is no folder" in missing.stderr
    assert invoke("stage", night, "--report", "night.pdf").exit_code == 2


def test_stdout_holds_the_tables_alone(night, small_folder):
    result = invoke("stage", night, "--weights", small_folder)
    assert "Warning: The recording lasts 1.0 h" in result.stderr
    assert result.stdout.split()[:2] == ["channel", "reason"]
    assert "PPG: none; name a channel with --ppg" in result.stdout
    assert "%N1" not in result.stdout


def test_stage_takes_names(night, small_folder):
    pair = ("--ecg", "EKG", "--ecg", "EKG2", "--thx", "none")
    result = invoke("stage", night, "--weights", small_folder, *pair)
    assert result.exit_code == 0, result.output
    assert "(EKG, EKG2)" in result.output
    assert "THX: none" in result.output


def test_eog_for_weights_that_read_it(tmp_path):
    config = Wav2SleepConfig(
        signals={"EOG-L": "EOG-L", "EOG-R": "EOG-R"},
        n_classes=5,
        feature_dim=8,
        initial_channels=2,
        max_channels=4,
    )
    folder = save_model(Wav2Sleep(config), tmp_path / "eog")
    info = mne.create_info(["E1-M2", "left", "right"], 64.0, "eeg")
    data = np.array([make_wave(64.0, HOUR, seed) for seed in range(3)])
    night = tmp_path / "night_raw.fif"
    mne.io.RawArray(data, info, verbose="error").save(night, verbose="error")
    result = invoke("channels", night, "--weights", folder)
    assert "E1-M2" in result.output
    assert "EOG-R: none; name a channel with --eog-r" in result.output
    result = invoke("stage", night, "--weights", folder, "--eog-l", "left", "--eog-r", "right")
    assert result.exit_code == 0, result.output
    assert "named by the user" in result.output
    assert "%N1" in result.output


def test_channels_shows_the_mapping(night):
    result = invoke("channels", night)
    assert result.exit_code == 0
    assert "EKG2" in result.output
    assert "Thor" in result.output
    assert "PPG: none; name a channel with --ppg" in result.output
    assert "ECG: none" not in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("stage", "{night}", "--device", "toaster"), "cannot be used here"),
        (("stage", "{night}", "--weights", ""), "no weights called ''"),
        (("stage", "{night}", "--out", "/nowhere/hyp.csv"), "no folder"),
        (("stage", "none.edf"), "no recording"),
        (("stage", "{night}", "--weights", "nothing"), "no weights called"),
        (("channels", "none.edf"), "no recording"),
        (("weights", "path", "nothing"), "no weights called"),
        (("weights", "fetch", "wav2sleep-eog"), "not known"),
    ],
)
def test_errors_are_one_sentence_and_exit_code_1(arguments, message, night):
    result = invoke(*(a.format(night=night) for a in arguments))
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--out", "hyp.pdf"), "must end in .json"),
        (("--out", "."), "must end in .json"),
        (("--precision", "int8"), "must be one of float32"),
        (("--ecg", "a", "--ecg", "b", "--ecg", "c"), "two channels for their difference"),
        (("--ecg", "auto", "--ecg", "none"), "two channels for their difference"),
    ],
)
def test_wrong_usage_is_exit_code_2(options, message, night):
    assert invoke("stage").exit_code == 2
    result = invoke("stage", night, *options)
    assert result.exit_code == 2
    assert message in " ".join(re.sub(r"[│\x1b]", " ", result.stderr).split())


@pytest.mark.parametrize(
    "command",
    [
        *([name] for name in ("channels", "stage", "demo", "train", "finetune", "evaluate")),
        *(["weights", name] for name in ("list", "fetch", "path", "verify")),
        [],
        ["weights"],
    ],
)
def test_help_fits_a_screen_and_shows_an_example(command):
    result = CliRunner(env={"COLUMNS": "100"}).invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Example: mne-wav2sleep" in " ".join(result.output.split())
    assert len(result.output.splitlines()) <= 40


def test_version_is_printed():
    result = invoke("--version")
    assert (result.exit_code, result.stdout.strip()) == (0, __version__)


def test_warnings_are_shown_once_and_without_internals(small_folder, tmp_path):
    info = mne.create_info(["EKG", "Thor"], 64.0, "eeg")
    data = np.array([make_wave(64.0, 30, seed) for seed in range(2)])
    night = tmp_path / "short_raw.fif"
    mne.io.RawArray(data, info, verbose="error").save(night, verbose="error")
    result = invoke("stage", night, "--weights", small_folder, "--verbose")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("Warning: The recording lasts 0.5 min (1 epoch of 30 s).") == 1
    assert ".py" not in result.stderr
    assert "ECG: 'EKG'" in result.stderr  # the log that --verbose asks for
    assert re.search(r"TIB +0\.5 +0\.5 +0\.5 +min", result.stdout)
    assert re.search(r"SE +\S+ +\S+ +\S+ +%", result.stdout)


@pytest.fixture
def demo(small_folder, monkeypatch, tmp_path):
    """The demo, its weights a small network of random ones, its night an hour."""
    monkeypatch.setattr("mne_wav2sleep.network.registry.weights_path", lambda _: small_folder)
    monkeypatch.setattr(
        "mne_wav2sleep.cli.demo.simulate_night", partial(simulate_night, duration=HOUR, sfreq=64)
    )
    return lambda *options: invoke("demo", "--out", tmp_path / "demo", *options)


DEMO_FILES = [
    "agreement.png",
    "epochs.csv",
    "hypnogram.json",
    "hypnogram.json.provenance.json",
    "hypnogram.tsv",
    "night.png",
    "report.html",
]


def test_the_demo_stages_a_simulated_night(demo, tmp_path):
    result = demo("--seed", "3")
    assert result.exit_code == 0, result.output
    assert sorted(file.name for file in (tmp_path / "demo").iterdir()) == DEMO_FILES
    assert "against the simulated truth" in result.stdout
    assert "expert" not in result.stdout
    weights, short, errors = result.stderr.split("Warning: ")[1:]
    assert weights.startswith("The weights 'mini' were trained on")
    assert short.startswith("The recording lasts 1.0 h")
    assert "do not say how their errors go together" in errors  # these weights here
    hyp = yasa.Hypnogram.from_json(tmp_path / "demo" / "hypnogram.json")
    assert (hyp.n_epochs, hyp.scorer) == (120, "wav2sleep-mini")
    epochs = pd.read_csv(tmp_path / "demo" / "epochs.csv", index_col="Epoch")
    assert list(epochs) == ["clock", "WAKE", "LIGHT", "DEEP", "REM", "stage"]
    assert epochs["clock"].iloc[[0, 1]].tolist() == ["2000-01-01 22:30:00", "2000-01-01 22:30:30"]
    assert list(epochs["stage"]) == list(hyp.hypno)


def test_the_demo_stages_a_recording_without_a_date(demo, night, tmp_path):
    (tmp_path / "demo").mkdir()
    for name in DEMO_FILES:
        (tmp_path / "demo" / name).write_text("of a simulated night")
    provenance = tmp_path / "demo" / "hypnogram.json.provenance.json"
    provenance.write_text('{"recording": {"files": []}, "about": "of a simulated night"}')
    result = demo("--edf", night)
    assert result.exit_code == 0, result.output
    assert b"of a simulated night" not in b"".join(
        (tmp_path / "demo" / name).read_bytes() for name in DEMO_FILES[1:]
    )
    assert "truth" not in result.stdout
    assert sorted(file.name for file in (tmp_path / "demo").iterdir()) == DEMO_FILES[1:]
    assert "clock" not in pd.read_csv(tmp_path / "demo" / "epochs.csv")
    again = demo()
    assert again.exit_code == 1
    assert f"holds what became of {night}, which is not replaced" in again.stderr
    (tmp_path / "demo" / "report.html").unlink()  # so that it is no demo's folder any more
    assert "holds other files than those of an earlier demo" in demo().stderr
    assert demo("--edf", tmp_path / "none.edf").exit_code == 1
    assert demo("--seed", "three").exit_code == 2


def test_weights_commands(tmp_path, monkeypatch):
    monkeypatch.setenv("MNE_WAV2SLEEP_DATA", str(tmp_path))
    assert "ABD, ECG, PPG, THX" in invoke("weights", "list").output
    assert str(tmp_path) in invoke("weights", "path").output
    assert invoke("weights", "verify").exit_code == 1


def test_weights_commands_of_bundled_weights(small_folder, monkeypatch):
    monkeypatch.setattr("mne_wav2sleep.network.registry.weights_path", lambda _: small_folder)
    result = invoke("weights", "fetch", "mini")
    assert "nothing to download" in result.stderr
    assert result.stdout.strip() == str(small_folder)
    assert "as it should be" in invoke("weights", "verify", "mini").output
    assert "mini" in invoke("weights", "path", "mini").output


def test_a_night_of_real_beats_goes_through_and_is_compared(small_folder, tmp_path):
    """The wave's shape is made up; its beats and the expert's stages are real."""
    import matplotlib.pyplot as plt

    path = SHARED / "realdata" / "slpdb" / "slp59.npz"
    if not path.exists():
        pytest.skip("needs the shared recordings")
    record = np.load(path)
    sfreq, stages = 128.0, record["stages"]
    t = np.arange(int(stages.size * 30 * sfreq)) / sfreq
    ecg = np.zeros(t.size)
    beats = (record["beat_times_s"] * sfreq).round().astype(int)
    ecg[beats[(beats >= 0) & (beats < t.size)]] = 1e-3
    ecg = np.convolve(ecg, np.hanning(9), mode="same")
    raw = mne.io.RawArray(ecg[np.newaxis], mne.create_info(["ECG"], sfreq, "ecg"), verbose="error")
    raw.save(tmp_path / "slp_raw.fif", verbose="error")
    out = tmp_path / "hyp.json"
    result = invoke("stage", tmp_path / "slp_raw.fif", "--weights", small_folder, "--out", out)
    assert result.exit_code == 0, result.output
    hyp = yasa.Hypnogram.from_json(out)
    assert hyp.n_epochs == stages.size > 120
    assert hyp.sleep_statistics()["TIB"] == stages.size / 2
    names = {-1: "UNS", 0: "WAKE", 1: "LIGHT", 2: "LIGHT", 3: "DEEP", 4: "REM"}
    expert = yasa.Hypnogram([names[int(s)] for s in stages], n_stages=4, scorer="expert")
    agreement = yasa.EpochByEpochAgreement([expert], [hyp])
    assert np.isfinite(agreement.get_agreement()["accuracy"]).all()
    for plot in (hyp.plot_hypnogram, hyp.plot_hypnodensity):
        assert plot().has_data()
        plt.close("all")
