"""Configurations of training: what is written is read back, and what is wrong is named."""

import itertools
import json
from dataclasses import asdict, replace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_wav2sleep.cli.configs import change_config, format_config, read_config
from mne_wav2sleep.network import Preprocessing, Wav2SleepConfig, save_weights
from mne_wav2sleep.network.model import Wav2Sleep
from mne_wav2sleep.training import FINE_TUNING, PAPER_TRAINING, Masking, TrainingSettings

DEFAULTS = {
    "settings": TrainingSettings(),
    "architecture": Wav2SleepConfig(),
    "preprocessing": Preprocessing(),
}
OTHERS = {
    "settings": TrainingSettings(
        learning_rate=1e-5,
        keep="last",
        crop=12,
        masking=Masking(drop={"ECG": 0.25}, backups=("THX",), flip=0.0),
        dataset_weights={"clinic: a #1": 1.0, "1e5": 2.0, "ja\nein": 3.0},
        precision="bf16-mixed",
    ),
    "architecture": Wav2SleepConfig(signals={"ABD": "RESP", "THX": "RESP"}, epoch_mixer="concat"),
    "preprocessing": Preprocessing(padded_epochs=0, padding="last"),
}


@pytest.fixture
def write(tmp_path):
    """Write a configuration file."""

    def run(text):
        path = tmp_path / "train.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return run


@pytest.fixture
def runs(table, tmp_path, invoke, monkeypatch):
    """Give the options that a command passes on to training, which does not begin."""
    table.write_text("recording,subject\na.edf,a\n")
    (tmp_path / "a.edf").touch()
    passed = {}
    for name in ("train", "fine_tune"):
        monkeypatch.setattr(
            f"mne_wav2sleep.training.{name}", lambda *_, **options: passed.update(options)
        )

    def run(command, *options):
        passed.clear()
        return invoke(command, table, tmp_path / "model", *options), passed

    return run


@pytest.fixture
def table(tmp_path):
    return tmp_path / "nights.csv"


@pytest.mark.parametrize("config", [DEFAULTS, OTHERS, {"settings": FINE_TUNING}])
def test_what_is_written_is_read_back(config, write):
    defaults = {name: DEFAULTS[name] for name in config}
    assert read_config(write(format_config(config)), defaults) == config


@settings(deadline=None, max_examples=30)
@given(
    st.builds(
        TrainingSettings,
        learning_rate=st.floats(0, 1e9, exclude_min=True),
        dataset_weights=st.none() | st.dictionaries(st.text(), st.floats(0, 1e3), max_size=3),
        crop=st.none() | st.integers(1, 10**6),
    )
)
def test_any_settings_are_read_back(tmp_path_factory, chosen):
    path = tmp_path_factory.mktemp("config") / "train.yaml"
    path.write_text(format_config({"settings": chosen}), encoding="utf-8")
    assert read_config(path, {"settings": TrainingSettings()}) == {"settings": chosen}


def test_each_setting_has_its_meaning_as_a_comment():
    text = format_config(DEFAULTS)
    assert "  # Largest norm of the gradient; 0 for no limit.\n  clip: 1.0\n" in text
    assert "    # Probability of flipping (inverting) a signal, since electrodes" in text
    assert "null to draw every night once per pass.\n  dataset_weights: null\n" in text
    assert max(map(len, text.split("\n"))) <= 100
    lines = [line.strip() for line in text.split("\n")]
    comments = " ".join(line for line in lines if line.startswith("#"))
    for before, line in itertools.pairwise(lines):
        name, colon, _ = line.partition(":")
        if colon and not line.startswith("#") and name not in DEFAULTS:
            assert before.startswith("#") or f" {name}: " in comments or f" {name}, " in comments


def test_a_file_changes_only_what_it_has(write):
    path = write("settings:\n  learning_rate: 1e-4\n  masking: {drop: {}}\npreprocessing:\n")
    changed = replace(TrainingSettings(), learning_rate=1e-4, masking=Masking(drop={}))
    assert read_config(path, DEFAULTS) == DEFAULTS | {"settings": changed}
    assert read_config(write("# nothing\n"), DEFAULTS) == DEFAULTS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("settings: {learning_rat: 1}", "'learning_rat', which is not known (did you mean learni"),
        ("setting: {crop: 1}", "it has 'setting', which is not known (did you mean settings?)"),
        ("settings: {masking: {drp: {}}}", "settings.masking has 'drp', which is not known (did"),
        ("settings: {masking: 1}", "settings.masking should be a section of names and values, got"),
        ("settings: {crop: 0}", "crop: Input should be greater than or equal to 1, got 0"),
        ("settings: {masking: {drop: {ECG: 2}}}", "masking.drop.ECG: Input should be less than or"),
        ("settings: {masking: {drop: {EKG: 0.5}}}", "EKG should be among ABD, ECG, "),
        ("settings: {batch_size: '4'}", "batch_size: Input should be a valid integer, got '4'"),
        ("settings: {crop: 1, crop: 2}", "it has crop twice"),
        ("settings: {dataset_weights: {2020-01-01: 1}}", "a key that is neither a text nor a num"),
        ("architecture: {epoch_mixer: mean}", "epoch_mixer: Input should be 'attention' or 'conc"),
        ("architecture: {feature_dim: 100000}", "feature_dim: Input should be less than or equal"),
        (
            "- settings",
            "it should be a section of names and values, got ['settings']".replace("'", ""),
        ),
        ("a: &a {}\nsettings: *a", "it refers to a list or section by an anchor (*name)"),
        ("settings: !!python/object/apply:os.system [ls]", "it is not valid YAML (line 1, column"),
        ("settings: {crop: [", "it is not valid YAML (line 1, column"),
        (b"\xff\xfe\xfa", "is not a valid configuration"),
        ("[" * 5000, "is not a valid configuration"),
        ("settings: " + "# " * 2**20, "has 2,097,162 bytes, but a configuration has 100,000 at"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(text, message, write, runs):
    result, passed = runs("train", "--config", write(text))
    assert result.exit_code == 1, result.output
    said = " ".join(result.stderr.split())
    assert message in said
    assert said.startswith("Error: ")
    assert len(said) < 1000
    assert not passed


def test_fine_tuning_takes_the_architecture_from_the_weights(write, runs):
    result, _ = runs("fine-tune", "--config", write("architecture: {n_classes: 5}"))
    assert result.exit_code == 1
    message = "it has architecture, which fine-tuning takes from the initial weights; leave it out"
    assert message in " ".join(result.stderr.split())
    result, _ = runs("train", "--config", "none.yaml")
    assert "There is no configuration none.yaml. Write one with" in " ".join(result.stderr.split())


def test_a_model_folder_is_not_a_configuration(runs, small_folder):
    result, _ = runs("train", "--config", small_folder)
    assert result.exit_code == 1
    said = " ".join(result.stderr.split())
    assert "is a folder, not a configuration. Write that of a model with" in said
    assert f"`mne-wav2sleep write-config FILE --from {small_folder}`." in said


def test_options_change_what_a_file_says(write, runs):
    path = write("settings: {crop: 12, masking: {drop: {ECG: 0.2, THX: 0.1}}}")
    options = ("--set", "masking.drop.ECG=0.3", "--set", "crop=null", "--set", "masking.flip=0")
    options += (
        "--set",
        "architecture.epoch_mixer=concat",
        "--set",
        "preprocessing.padded_epochs=0",
    )
    result, passed = runs("train", "--config", path, *options)
    assert result.exit_code == 0, result.output
    masking = Masking(drop={"ECG": 0.3, "THX": 0.1}, flip=0.0)
    assert passed["settings"] == TrainingSettings(masking=masking)
    assert passed["config"] == Wav2SleepConfig(epoch_mixer="concat")
    assert passed["preprocessing"] == Preprocessing(padded_epochs=0)
    result, passed = runs("fine-tune", "--config", path, "--set", "masking={flip: 0.25}")
    drop = {"ECG": 0.2, "THX": 0.1}
    assert passed["settings"] == replace(
        FINE_TUNING, crop=12, masking=Masking(drop=drop, flip=0.25)
    )


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("masking.drop.EKG=0.3", "EKG should be among ABD, ECG, "),
        ("masking.dropp.ECG=0.3", "takes name=value for a setting, got 'masking.dropp.ECG=0.3'"),
        ("architecture.n_stages=4", "takes name=value for a setting"),
        ("masking.drop.ECG.x=1", "takes name=value for a setting"),
        ("settings=1", "settings should be a section of names and values, got 1."),
        ("=1", "takes name=value for a setting"),
    ],
)
def test_what_is_wrong_in_an_option_is_named(assignment, message, runs):
    result, passed = runs("train", "--set", assignment)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not passed
    with pytest.raises(ValueError, match=r"."):
        change_config(DEFAULTS, [assignment])


def test_the_command_writes_what_the_commands_use_by_default(invoke, runs, tmp_path):
    for command, expected in (("train", TrainingSettings()), ("fine-tune", FINE_TUNING)):
        path = tmp_path / f"{command}.yaml"
        result = invoke("write-config", path, "--for", command)
        assert result.exit_code == 0, result.output
        result, passed = runs(command, "--config", path)
        assert result.exit_code == 0, result.output
        assert passed["settings"] == expected
        has_network = "architecture" in yaml.safe_load(path.read_text())
        assert has_network == (command == "train")
    result = invoke("write-config", path)
    assert result.exit_code == 1
    assert "already exists" in result.stderr
    assert invoke("write-config", tmp_path / "x.txt").exit_code == 2
    assert invoke("write-config", path, "--for", "evaluate", "--overwrite").exit_code == 2


def test_the_paper_has_an_architecture_padding_and_settings_of_its_own(
    invoke, runs, small_folder, tmp_path
):
    path = tmp_path / "paper.yaml"
    assert invoke("write-config", path, "--architecture", "paper").exit_code == 0
    expected = {
        "config": Wav2SleepConfig.of_paper(),
        "preprocessing": Preprocessing.of_paper(),
        "settings": PAPER_TRAINING,
    }
    for options in (("--config", path), ("--architecture", "paper")):
        result, passed = runs("train", *options)
        assert result.exit_code == 0, result.output
        assert {name: passed[name] for name in expected} == expected
    for command, options, message in (
        ("train", ("--architecture", "original"), "must be one of released, paper"),
        (
            "train",
            ("--architecture", "paper", "--config-from", small_folder),
            "cannot be given with --config-from",
        ),
        ("write-config", ("--for", "fine-tune"), "goes with --for train"),
        ("write-config", ("--from", small_folder), "cannot be given with --from"),
    ):
        if command == "train":
            result, passed = runs(command, *options)
            assert not passed
        else:
            result = invoke(command, tmp_path / "x.yaml", "--architecture", "paper", *options)
        assert result.exit_code == 2
        assert message in " ".join(result.stderr.split())


def test_paths_may_begin_with_the_home_folder(invoke, runs, small_folder, tmp_path, monkeypatch):
    """Where no shell expands it: in --config=~/file, and in scripts."""
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(small_folder.parent))
    model = f"~/{small_folder.name}"
    result = invoke("write-config", tmp_path / "train.yaml", f"--from={model}")
    assert result.exit_code == 0, result.output
    _, chosen = runs("train", f"--config-from={model}")
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    result, passed = runs("train", "--config=~/train.yaml")
    assert result.exit_code == 0, result.output
    assert passed["config"] == chosen["config"] != Wav2SleepConfig()


def test_the_configuration_of_a_model_or_of_a_run_is_written(invoke, runs, small_folder, tmp_path):
    path = tmp_path / "train.yaml"
    assert invoke("write-config", path, "--from", small_folder).exit_code == 0
    _, passed = runs("train", "--config", path)
    _, chosen = runs("train", "--config-from", small_folder)
    assert passed["config"] == chosen["config"] != Wav2SleepConfig()
    run = {
        "settings": asdict(OTHERS["settings"]),
        "config": asdict(OTHERS["architecture"]),
        "preprocessing": asdict(OTHERS["preprocessing"]),
    }
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "training.json").write_text(json.dumps(run))
    result = invoke("write-config", path, "--from", folder, "--overwrite")
    assert result.exit_code == 0, result.output
    _, passed = runs("train", "--config", path)
    assert {name: passed[name] for name in ("settings", "config", "preprocessing")} == {
        "settings": OTHERS["settings"],
        "config": OTHERS["architecture"],
        "preprocessing": OTHERS["preprocessing"],
    }
    (folder / "training.json").write_text(json.dumps(run | {"settings": {"lr": 1}}))
    result = invoke("write-config", path, "--from", folder, "--overwrite")
    assert result.exit_code == 1
    assert "settings has 'lr', which is not known" in " ".join(result.stderr.split())


def test_settings_are_never_the_default_ones_in_silence(invoke, small_folder, tmp_path):
    path = tmp_path / "train.yaml"
    for folder in (small_folder, tmp_path / "typo"):
        result = invoke("write-config", path, "--for", "fine-tune", "--from", folder)
        assert result.exit_code == 1
        assert "has no training.json, from which the settings of a run are known" in result.stderr
        assert not path.exists()
    result = invoke("write-config", path, "--from", tmp_path / "typo")
    assert result.exit_code == 1
    assert "typo is not a model folder" in result.stderr
    result = invoke("write-config", path, "--from", small_folder)
    assert f"architecture of {small_folder} and, without its training.json, default settings" in (
        result.stdout
    )


def test_a_file_may_begin_with_a_mark_of_the_byte_order(write):
    path = write(b"\xef\xbb\xbf" + b"settings: {crop: 5}\r\n")
    assert read_config(path, DEFAULTS)["settings"].crop == 5


def test_a_model_folder_may_be_written_with_any_architecture(tmp_path, write):
    small = replace(Wav2SleepConfig(), feature_dim=8, mixer_dim_ff=8)
    folder = save_weights(Wav2Sleep(small), tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())["model"]
    text = yaml.safe_dump({"architecture": config})
    assert read_config(write(text), DEFAULTS)["architecture"] == small
