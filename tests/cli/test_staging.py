import json
import re
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd
import pytest
import yasa
from builders import SHARED, START, make_paper_folder, make_raw, write_edf

from mne_wav2sleep import (
    SleepStagerW2S,
    fold_hypnogram,
    load_weights,
    read_hypnogram,
    save_weights,
)
from mne_wav2sleep.network import Preprocessing, Wav2Sleep, Wav2SleepConfig


def test_stage_writes_hypnograms_and_provenance(invoke, night, small_folder, tmp_path):
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


def test_the_model_of_the_paper_from_the_folder_of_its_authors(invoke, paper_model, tmp_path):
    folder = make_paper_folder(tmp_path / "paper", paper_model.state_dict())
    edf, out = tmp_path / "night.edf", tmp_path / "hyp.csv"
    write_edf(edf, {"ECG": 256.0, "Thor": 32.0})
    result = invoke("stage", edf, "--weights", folder, "--out", out)
    assert result.exit_code == 0, result.output
    provenance = json.loads(out.with_name("hyp.csv.provenance.json").read_text())
    preprocessing = provenance["parameters"]["preprocessing"]
    assert preprocessing == {"padded_epochs": 1200, "padding": "last"}
    # With other padding, it is another input.
    weights = load_weights(folder)
    mean = replace(weights, preprocessing=Preprocessing())
    probas = [SleepStagerW2S(edf, one, verbose="error").predict().proba for one in (weights, mean)]
    assert np.abs(probas[0].to_numpy() - probas[1].to_numpy()).max() > 1e-3
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("size: large", "size: large\n  kernel_size: 7"))
    result = invoke("stage", edf, "--weights", folder, "--out", out, "--overwrite")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "'kernel_size', which is not a known setting of the paper's model" in line


def test_lights_epochs_and_fewer_stages(invoke, small_folder, tmp_path):
    raw = make_raw(["EKG", "Thor"], types="eeg", start=START)
    raw.set_annotations(mne.Annotations([300, 3000], 0, ["Lights off", "LON"], orig_time=START))
    raw.save(tmp_path / "night_raw.fif", verbose="error")
    hyp = SleepStagerW2S(raw, small_folder, verbose="error").predict()
    for options, first, stop, text in (
        (
            (),
            *(10, 100),
            "Time in bed: lights off 2024-03-01 22:35:00 (annotated) to lights on "
            "2024-03-01 23:20:00 (annotated).",
        ),
        (("--lights-off", "22:40", "--lights-on", "900 s"), 20, 30, "23:20:00 (given)"),
        (("--lights-off", "22:40"), 20, 120, "23:30:00 (the end of the recording)."),
        (("--lights-off", "none"), 0, 120, "Time in bed: the whole recording."),
    ):
        result = invoke(
            *("stage", tmp_path / "night_raw.fif", "--weights", small_folder, *options),
            *("--out", tmp_path / "hyp.json", "--overwrite"),
        )
        assert result.exit_code == 0, result.output
        expected = hyp.crop(first, stop - 1).sleep_statistics()
        for name in ("TIB", "TST", "WASO", "SE", "REM"):
            (row,) = [line for line in result.stdout.splitlines() if line.startswith(f"{name} ")]
            assert float(row.split()[1]) == round(float(expected[name]), 2)
        assert text.replace("23:20:00 (given)", "22:45:00 (given)") in result.stdout
        provenance = json.loads((tmp_path / "hyp.json.provenance.json").read_text())
        assert provenance["time_in_bed"]["first_epoch"] == first
        assert yasa.Hypnogram.from_json(tmp_path / "hyp.json").n_epochs == 120
    result = invoke(
        *("stage", tmp_path / "night_raw.fif", "--weights", small_folder, "--n-stages", 2),
        *("--out", tmp_path / "two.json", "--epochs", tmp_path / "epochs.csv"),
    )
    assert result.exit_code == 0, result.output
    folded = read_hypnogram(tmp_path / "two.json")
    assert list(folded.hypno) == list(fold_hypnogram(hyp, 2).hypno)
    epochs = pd.read_csv(tmp_path / "epochs.csv")
    assert list(epochs["stage"]) == list(folded.hypno)
    assert epochs["in_bed"].sum() == 90
    assert epochs["start"].iloc[0] == "2024-03-01 22:30:00"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--lights-off", "22.45"), "Error: Lights off is '22.45', which is not a time."),
        (
            ("--lights-on", "22:45"),
            "Error: Lights on is given as clock time, but the recording has",
        ),
        (("--lights-off", "7200 s"), "Error: Lights off, 120 min, is outside of the recording"),
    ],
)
def test_wrong_lights(invoke, night, small_folder, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke("stage", night, "--weights", small_folder, *options)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("Error") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--epochs", "epochs.xlsx"), "must end in .csv, .tsv, .parquet"),
        (("--n-stages", "3", "--out", "h.csv"), "--out: must end in .json, which alone can"),
        (("--n-stages", "2"), "Give one of them as well."),
        (("--n-stages", "6", "--out", "h.json"), "--n-stages: must be from 2 to 5, got 6."),
        (("--n-stages", "5", "--out", "h.json"), "--n-stages: must be from 2 to 4, got 5."),
    ],
)
def test_what_does_not_fit_is_refused(invoke, night, no_work, options, words):
    result = invoke("stage", night, *options)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.replace("│", "").split())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("name", ["hyp.json", "hyp.tsv"])
def test_a_full_disk_is_reported_with_the_file(invoke, night, small_folder, tmp_path, name):
    (tmp_path / name).symlink_to("/dev/full")
    result = invoke("stage", night, "--weights", small_folder, "--out", tmp_path / name)
    assert result.exit_code == 1
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert f"could not be written to {tmp_path / name}" in error
    assert "No space left" in error


@pytest.mark.parametrize("there", ["hyp.json", "hyp.json.provenance.json", "night.html"])
def test_existing_files_are_refused_before_the_work(invoke, there, night, no_work, tmp_path):
    (tmp_path / there).write_text("of another recording")
    outputs = ("--out", tmp_path / "hyp.json", "--report", tmp_path / "night.html")
    result = invoke("stage", night, *outputs)
    assert result.exit_code == 1
    assert f"{tmp_path / there} already exists" in result.stderr
    assert "--overwrite" in result.stderr
    assert [file.name for file in tmp_path.iterdir()] == [there]


def test_existing_files_are_replaced_with_overwrite(invoke, night, small_folder, tmp_path):
    names = ["hyp.json", "hyp.json.provenance.json", "night.html"]
    for name in names:
        (tmp_path / name).write_text("of another recording")
    outputs = ("--out", tmp_path / "hyp.json", "--report", tmp_path / "night.html")
    result = invoke("stage", night, "--weights", small_folder, *outputs, "--overwrite")
    assert result.exit_code == 0, result.output
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    for name in names:
        assert "of another recording" not in (tmp_path / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("option", ["--out", "--report"])
def test_the_recording_is_never_replaced(invoke, night, small_folder, tmp_path, option):
    recording = tmp_path / ("night.edf" if option == "--out" else "night.html")
    recording.write_bytes(night.read_bytes())
    result = invoke("stage", recording, "--weights", small_folder, option, recording)
    assert result.exit_code == 1
    assert "is the recording, which would be lost" in result.stderr
    assert recording.read_bytes() == night.read_bytes()


def test_stage_writes_a_report(invoke, night, small_folder, tmp_path):
    path = tmp_path / "night.html"
    result = invoke("stage", night, "--weights", small_folder, "--report", path)
    assert result.exit_code == 0, result.output
    assert "Methods, to paste" in path.read_text(encoding="utf-8")
    missing = invoke("stage", night, "--report", tmp_path / "none" / "night.html")
    assert "There is no folder" in missing.stderr
    assert invoke("stage", night, "--report", "night.pdf").exit_code == 2


def test_only_tables_go_to_stdout(invoke, night, small_folder):
    result = invoke("stage", night, "--weights", small_folder)
    assert "Warning: The recording lasts 1.0 h" in result.stderr
    assert result.stdout.split()[:2] == ["channel", "reason"]
    assert "PPG: none; name a channel with --ch-name PPG=" in result.stdout
    assert "%N1" not in result.stdout


def test_stage_takes_channel_names(invoke, night, small_folder):
    pair = ("--ch-name", "ECG=EKG", "--ch-name", "ecg=EKG2", "--ch-name", "THX=none")
    result = invoke("stage", night, "--weights", small_folder, *pair)
    assert result.exit_code == 0, result.output
    assert "(EKG, EKG2)" in result.output
    assert "THX: none" in result.output


def test_eog_channels_for_weights_that_read_them(invoke, tmp_path):
    config = Wav2SleepConfig(
        signals={"EOG-L": "EOG-L", "EOG-R": "EOG-R"},
        n_classes=5,
        feature_dim=8,
        initial_channels=2,
        max_channels=4,
    )
    folder = save_weights(Wav2Sleep(config), tmp_path / "eog")
    night = tmp_path / "night_raw.fif"
    make_raw(["E1-M2", "left", "right"], types="eeg").save(night, verbose="error")
    result = invoke("channels", night, "--weights", folder)
    assert "E1-M2" in result.output
    assert "EOG-R: none; name a channel with --ch-name EOG-R=" in result.output
    result = invoke(
        "stage", night, "--weights", folder, "--ch-name", "EOG-L=left", "--ch-name", "EOG-R=right"
    )
    assert result.exit_code == 0, result.output
    assert "named by the user" in result.output
    assert "%N1" in result.output


def test_channels_shows_the_mapping(invoke, night):
    result = invoke("channels", night)
    assert result.exit_code == 0
    assert "EKG2" in result.output
    assert "Thor" in result.output
    assert "PPG: none; name a channel with --ch-name PPG=" in result.output
    assert "ECG: none" not in result.output


def test_warnings_are_shown_once_and_without_source_lines(invoke, small_folder, tmp_path):
    night = tmp_path / "short_raw.fif"
    make_raw(["EKG", "Thor"], seconds=30, types="eeg").save(night, verbose="error")
    result = invoke("stage", night, "--weights", small_folder, "--verbose")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("Warning: The recording lasts 0.5 min (1 epoch of 30 s).") == 1
    assert ".py" not in result.stderr
    assert "ECG: 'EKG'" in result.stderr  # the log that --verbose asks for
    assert re.search(r"TIB +0\.5 +0\.5 +0\.5 +min", result.stdout)
    assert re.search(r"SE +\S+ +\S+ +\S+ +%", result.stdout)


def test_a_night_with_real_beats_is_staged_and_compared(invoke, small_folder, tmp_path):
    """The waveform is synthetic; its beats and the expert's stages are real."""
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


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("ABD=Thor",), "Thor"),
        (("abd = Thor", "THX=none"), "ABD  "),
        (("ECG=EKG2",), "EKG2"),
        (("ECG=EKG", "ECG=EKG2"), "(EKG, EKG2)"),
        (("ECG=auto",), "EKG"),
        (("ECG=NONE",), "ECG: none; name a channel with --ch-name ECG=..."),
    ],
)
def test_channels_takes_channel_names(options, found, invoke, night):
    given = [word for option in options for word in ("--ch-name", option.replace(" = T", "=T"))]
    result = invoke("channels", night, *given)
    assert result.exit_code == 0, result.output
    assert found in result.stdout
