"""The recipe of the documentation: a signal is added, trained, and used where nobody knows it."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from builders import make_hypnogram, make_raw
from typer.testing import CliRunner

from mne_wav2sleep import (
    Modality,
    SleepStagerW2S,
    WeightsError,
    add_modality,
    load_weights,
    remove_modality,
)
from mne_wav2sleep.cli.app import app
from mne_wav2sleep.cohorts import (
    Night,
    evaluate,
    open_night,
    prepare_nights,
    preview_nights,
    read_nights,
    stage_cohort,
)
from mne_wav2sleep.modalities import MODALITIES
from mne_wav2sleep.network import Wav2SleepConfig
from mne_wav2sleep.training import TrainingSettings, fine_tune

PAGE = Path(__file__).parents[2] / "docs" / "modalities.md"
pytestmark = [pytest.mark.filterwarnings("ignore::RuntimeWarning"), pytest.mark.slow]

STAGE = """
import json, sys
from mne_wav2sleep import SleepStagerW2S
from mne_wav2sleep.modalities import MODALITIES
before = list(MODALITIES)
stager = SleepStagerW2S("night.edf", weights="eeg-model", verbose="error")
hyp = stager.predict()
print(json.dumps([before, stager.channels["channel"].to_dict(), hyp.n_epochs, list(MODALITIES)]))
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """The folder in which the examples of the page were run, with fewer minutes and passes."""
    folder = tmp_path_factory.mktemp("recipe")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    scope = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for block in blocks:
            exec(block.replace("MINUTES, PASSES = 60, 10", "MINUTES, PASSES = 20, 1"), scope)
        for i, raw in enumerate(scope["raws"][1:], start=1):
            raw.export(f"night-{i}.edf", physical_range="channelwise")
    assert list(scope["stager"].channels.index) == ["ECG", "EEG", "THX"]
    assert scope["hyp"].n_epochs == 40
    for name in ("EEG", "ACT"):
        remove_modality(name)
    return folder


@pytest.fixture
def table(recipe):
    """A table of nights with a column for the signal."""
    path = recipe / "nights.csv"
    rows = ["recording,subject,EEG,PPG", "night.edf,a,C4-M1,none", "night-1.edf,b,auto,none"]
    path.write_text("\n".join(rows) + "\n")
    return path


def run(code, folder):
    """Run code in a new process, in a folder; give the last line that it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_new_process_stages_without_a_definition(recipe):
    before, channels, n_epochs, after = run(STAGE, recipe)
    assert "EEG" not in before
    assert channels == {"ECG": "ECG", "EEG": "C4-M1", "THX": "Thorax"}
    assert n_epochs == 40
    assert set(after) - set(before) == {"EEG"}


def test_results_of_a_night(recipe, caplog):
    stager = SleepStagerW2S(recipe / "night.edf", weights=recipe / "eeg-model", verbose="info")
    quality = stager.quality()
    assert quality["rate"].isna().to_dict() == {"ECG": False, "EEG": True, "THX": False}
    assert quality.loc["EEG", "valid"] == 1
    assert "EEG has no beats, pulses or breaths" in caplog.text
    assert set(stager.audit().hypnograms) >= {"EEG", "ECG+EEG+THX"}
    assert "measured_EEG" in stager.epoch_table()
    signals = stager.plot_signals(3, show=False).axes
    assert any("C4-M1" in axes.get_title() + axes.get_ylabel() for axes in signals)
    stager.report().save(recipe / "night.html", open_browser=False, overwrite=True, verbose="error")
    assert "C4-M1" in (recipe / "night.html").read_text(encoding="utf-8")


def test_commands_know_the_signals_of_the_weights(recipe, table):
    weights = ["--weights", str(recipe / "eeg-model")]
    night = str(recipe / "night.edf")
    names = ["--ch-name", "EEG=C4-M1"]
    found = CliRunner().invoke(app, ["channels", night, *names, *weights])
    assert found.exit_code == 0, found.output
    assert "named by the user" in found.output
    remove_modality("EEG")
    found = CliRunner().invoke(app, ["channels", night, *names, "--weights", "mini"])
    assert found.exit_code == 2
    scores = recipe / "scores.csv"
    command = ["evaluate", str(table), *weights, "--cache", str(recipe / "cache")]
    found = CliRunner().invoke(app, [*command, "--out", str(scores), "--overwrite"])
    assert found.exit_code == 0, found.output
    assert "EEG+THX" in scores.read_text()


def test_a_configuration_defines_signals(recipe, tmp_path):
    config = tmp_path / "c.yaml"
    command = ["write-config", str(config), "--from", str(recipe / "eeg-model")]
    assert CliRunner().invoke(app, command).exit_code == 0
    remove_modality("EEG")
    from mne_wav2sleep.cli.configs import read_config

    defaults = {"settings": TrainingSettings(), "architecture": Wav2SleepConfig()}
    text = config.read_text(encoding="utf-8")
    config.write_text(text.partition("\npreprocessing:")[0] + text[text.index("\nmodalities:") :])
    assert "EEG" in read_config(config, defaults)["architecture"].signals
    assert MODALITIES["EEG"].samples_per_epoch == 4096
    remove_modality("EEG")
    config.write_text(text[text.index("\nmodalities:") :] + "\nsettings: {crop: -1}\n")
    with pytest.raises(ValueError, match=r"not a valid configuration: .*crop"):
        read_config(config, defaults)
    assert "EEG" not in MODALITIES
    add_modality(Modality("EEG", "another", 1024, 70.0))
    with pytest.raises(ValueError, match=r"remove_modality\('EEG'\)\. Correct it"):
        read_config(config, defaults)
    config.write_text("modalities: [{name: EEG}]")
    with pytest.raises(ValueError, match=r"not a valid configuration: a modality has no descrip"):
        read_config(config, defaults)


def test_cohorts_on_several_processes(recipe, table, tmp_path):
    weights = load_weights(recipe / "eeg-model")
    nights = read_nights(table)
    assert nights[0].ch_names == {"EEG": "C4-M1", "PPG": None}
    nights = [replace(night, ch_names={"EEG": "C4-M1"}) for night in nights]
    # Loaded weights, whose folder the other processes do not read.
    cohort = stage_cohort(nights, tmp_path / "staged", weights=weights, n_jobs=2)
    assert set(cohort.table["status"]) == {"staged"}
    assert set(cohort.table["channel_EEG"]) == {"C4-M1"}
    assert cohort.table["measured_EEG"].eq(1).all()
    assert "EEG" in (tmp_path / "staged" / "report.html").read_text(encoding="utf-8")
    preview = preview_nights(nights, weights, n_jobs=2)
    assert set(preview["EEG"]) == {"C4-M1"}
    prepared = prepare_nights(nights, tmp_path / "p", modalities=weights.modalities, n_jobs=2)
    assert [night.modalities for night in prepared] == [("ECG", "EEG", "THX")] * 2
    found = evaluate(prepared, weights, subsets="recorded")
    assert found.pooled.index.get_level_values("subset").tolist() == ["ECG+EEG+THX"]
    # A prepared night is read where the signal is not known, and refused where it is another one.
    remove_modality("EEG")
    night = open_night(prepared[0].path)
    assert night.read_signals(["EEG"], 0, 2)["EEG"].shape == (2 * 4096,)
    remove_modality("EEG")
    add_modality(Modality("EEG", "another", 1024, 70.0))
    with pytest.raises(ValueError, match="cannot be used here: The modality EEG is known with"):
        open_night(prepared[0].path)


def test_prepared_nights_depend_on_the_definition(tmp_path):
    raw = make_raw(("ECG", "C4"), sfreq=128.0, seconds=600, types="eeg")
    eeg = add_modality(Modality("EEG", "x", 4096, 70.0))
    night = Night(raw, make_hypnogram(20), "a", ch_names={"EEG": "C4"})
    [first] = prepare_nights([night], tmp_path)
    assert first.modalities == ("ECG", "EEG")  # named, which is enough
    assert first.added == (eeg,)
    remove_modality("EEG")
    add_modality(replace(eeg, samples_per_epoch=1024))
    [second] = prepare_nights([night], tmp_path)
    assert second.path != first.path
    assert second.read_signals(["EEG"])["EEG"].size == 20 * 1024
    [third] = prepare_nights([replace(night, ch_names={})], tmp_path)
    assert third.modalities == ("ECG",)
    assert third.added == ()


def test_a_signal_is_added_to_weights(recipe, table, small_folder, tmp_path):
    load_weights(recipe / "eeg-model")  # for its definition
    nights = read_nights(table)
    settings = TrainingSettings(max_passes=1, batch_size=2, crop=20, validation_fraction=0.5)
    fine_tune(
        nights,
        tmp_path / "m",
        weights=small_folder,
        add_signals={"EEG": None},
        settings=settings,
    )
    remove_modality("EEG")
    tuned = load_weights(tmp_path / "m")
    assert tuned.modalities == ("ABD", "ECG", "EEG", "PPG", "THX")
    assert MODALITIES["EEG"].samples_per_epoch == 4096
    record = json.loads((tmp_path / "m" / "training.json").read_text())
    assert [one["name"] for one in record["modalities"]] == ["EEG"]


def test_weights_with_another_definition_are_refused(recipe):
    add_modality(Modality("EEG", "another", 1024, 70.0))
    message = r"config.json does not describe .* EEG is known with another definition: description"
    with pytest.raises(WeightsError, match=message):
        load_weights(recipe / "eeg-model")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config.pop("modalities"), "or others that were added"),
        (lambda config: config["modalities"][0].update(samples_per_epoch=10**9), "power of two"),
        (lambda config: config["modalities"][0].update(name="XYZ"), "XYZ beside 'ECG'"),
        (lambda config: config["modalities"].append(config["modalities"][0]), "EEG twice"),
        (lambda config: config.update(modalities={}), "should be a list of 16"),
        (lambda config: config["model"].update(feature_dim=10**9), "feature_dim"),
        (lambda config: config["model"].update(signals=["EEG"]), "signals should be a mapping"),
    ],
)
def test_configs_of_others_are_checked(recipe, tmp_path, change, message):
    config = json.loads((recipe / "eeg-model" / "config.json").read_text())
    change(config)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=message):
        load_weights(tmp_path)
    assert "EEG" not in MODALITIES  # nothing is left of it
    assert "XYZ" not in MODALITIES


def test_without_a_definition_a_signal_is_not_known():
    with pytest.raises(ValueError, match="or others that were added"):
        Wav2SleepConfig(signals={"EEG": "EEG"})
