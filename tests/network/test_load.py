"""Weights are described without reading them, loaded once, and saved with all that they include."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from builders import assert_clean, make_raw, toy_recordings

from mne_wav2sleep import SleepStagerW2S, WeightsError, list_weights, load_weights, save_weights
from mne_wav2sleep.network import BaseWeights, Calibration, Preprocessing, load
from mne_wav2sleep.network.info import read_info
from mne_wav2sleep.network.registry import REGISTRY, describe_weights

BASE = {"name": "mini", "sha256": "0" * 64}


@pytest.fixture
def write_config(small_folder, tmp_path):
    """Copy the small model folder, and change its config."""

    def write_config(change):
        folder = Path(shutil.copytree(small_folder, tmp_path / "changed"))
        config = json.loads((folder / "config.json").read_text())
        change(config)
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return write_config


@pytest.fixture
def reads(monkeypatch):
    """Record which files of tensors are read."""
    paths = []

    def read_state(path):
        paths.append(path.name)
        return original(path)

    original = load.read_state
    monkeypatch.setattr(load, "read_state", read_state)
    return paths


def test_saved_weights_keep_everything_that_belongs_to_them(small_folder, tmp_path):
    weights = replace(
        load_weights(small_folder),
        preprocessing=Preprocessing(padded_epochs=0),
        scorer="a laboratory",
        caution="Trained on children.",
        calibration=Calibration({"ECG": 1.5}, 0.1, 0.9, n_nights=12),
        bases=(BaseWeights("ours", "a1" * 32), BaseWeights("mini", "b2" * 32)),
    )
    folder = save_weights(weights, tmp_path / "saved")
    with pytest.warns(RuntimeWarning, match=r"Trained on children\."):
        again = load_weights(folder)
    for name in (
        "config",
        "preprocessing",
        "stage_names",
        "scorer",
        "caution",
        "calibration",
        "bases",
    ):
        assert getattr(again, name) == getattr(weights, name), name
    assert again.name == str(folder)
    assert again.file == "model.safetensors"
    state = again.network.state_dict()
    assert all(torch.equal(state[k], v) for k, v in weights.network.state_dict().items())


def test_network_alone_is_saved_with_the_defaults_of_the_released_weights(small_folder, tmp_path):
    weights = load_weights(save_weights(load_weights(small_folder).network, tmp_path))
    assert weights.preprocessing == Preprocessing(padded_epochs=1200)
    assert weights.calibration == Calibration()
    assert weights.scorer == "wav2sleep"
    assert weights.caution is None


@pytest.mark.parametrize("name", [".", "../{}", "/some/where/{}", "{}"])
def test_the_lineage_names_a_folder_without_its_path(name, small_folder, tmp_path, monkeypatch):
    folder = save_weights(load_weights(small_folder), tmp_path / "model")
    monkeypatch.chdir(folder)
    weights = load_weights(folder)
    own = replace(weights, name=name.format("model")).lineage
    sha256 = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert own == (BaseWeights("model", sha256),)
    # A network in memory has the hash of the file that it would be saved as.
    assert replace(weights, sha256="", file="").lineage == own
    many = replace(weights, bases=own * 100).lineage
    assert load_weights(save_weights(replace(weights, bases=many), folder)).bases == many
    odd = replace(weights, name=f"/a/\x1b{'b' * 200}").lineage[0]
    assert odd.name == "?" + "b" * 99


def test_padding_in_the_place_of_early_versions_is_read(write_config):
    def move(config):
        del config["preprocessing"], config["scorer"], config["caution"]
        config["model"]["padded_epochs"] = 600

    folder = write_config(move)
    info = read_info(folder)
    assert info.preprocessing == Preprocessing(padded_epochs=600)
    assert info.scorer == "wav2sleep"
    assert info.caution is None
    assert load_weights(folder).preprocessing == info.preprocessing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(license="MIT"), r"a newer version\?.* got .*'license'"),
        (lambda c: c["model"].update(depth=3), "depth: Unexpected keyword argument, got 3"),
        (lambda c: c["preprocessing"].update(filter="none"), "filter: Unexpected keyword argument"),
        (lambda c: c.pop("model"), "should have the format .* and a model"),
        (lambda c: c.update(scorer=3), "scorer should be a string or null, got 3"),
        (lambda c: c.update(bases={}), "bases should be a list of 100 weights at most"),
        (lambda c: c.update(bases=[BASE] * 101), "bases should be a list of 100 weights at most"),
        (lambda c: c.update(bases=["mini"]), "each of bases should be a mapping with 'name'"),
        (lambda c: c.update(bases=[BASE | {"path": "/"}]), "each of bases should be a mapping"),
        (lambda c: c.update(bases=[BASE | {"name": "a" * 101}]), "should have 1 to 100 characters"),
        (lambda c: c.update(bases=[BASE | {"name": "\x1b[2J"}]), "without control characters"),
        (lambda c: c.update(bases=[BASE | {"sha256": "0" * 63}]), "64 hexadecimal digits"),
        (lambda c: c.update(bases=[BASE | {"sha256": None}]), "64 hexadecimal digits"),
        (lambda c: c.update(caution=["a"]), r"caution should be a string or null, got \['a'\]"),
        (
            lambda c: c["preprocessing"].update(padded_epochs=-1),
            "padded_epochs: Input should be greater than or equal to 0, got -1",
        ),
        (lambda c: c["model"].update(padded_epochs=1.5), "padded_epochs: .*, got 1.5"),
    ],
)
def test_config_with_unknown_keys_or_wrong_types_is_rejected(change, message, write_config):
    folder = write_config(change)
    for function in (describe_weights, load_weights):
        with pytest.raises(WeightsError, match=rf"config\.json does not describe.*{message}"):
            function(folder)


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        ({"night_share": 0.1}, "should have the keys .* got"),
        ([], "should have the keys .* got list"),
        (
            {"temperatures": {}, "night_share": 1.0, "epoch_correlation": 0.9, "n_nights": 3},
            "night_share: Input should be less than 1, got 1.0",
        ),
        (
            {"temperatures": {"EEG": 2.0}, "night_share": 0.1, "epoch_correlation": 0.9}
            | {"n_nights": 3},
            "'EEG' should be a subset",
        ),
    ],
)
def test_invalid_calibration_is_rejected(calibration, message, write_config):
    folder = write_config(lambda config: None)
    (folder / "calibration.json").write_text(json.dumps(calibration))
    with pytest.raises(WeightsError, match=rf"is not a calibration: .*{message}.*or remove it"):
        load_weights(folder)


@pytest.mark.parametrize("name", ["w" * 100_000, "a/" * 3000, "~nobody-of-that-name/weights", "\0"])
def test_names_that_are_no_paths_are_rejected(name):
    with pytest.raises(ValueError, match=r"There are no weights called .* Give one of") as error:
        load_weights(name)
    assert_clean(error.value)


def test_loaded_weights_are_returned_unchanged(small_folder, reads):
    weights = load_weights(small_folder)
    assert load_weights(weights) is weights
    assert describe_weights(weights) is weights
    assert reads == ["model.safetensors"]


def test_describing_weights_reads_no_tensors(small_folder, tmp_path, monkeypatch, reads):
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read"))
    shutil.copy(small_folder / "config.json", tmp_path)  # a folder without tensors
    for folder in (small_folder, tmp_path):
        assert describe_weights(folder).modalities == ("ABD", "ECG", "PPG", "THX")
    assert describe_weights("mini").scorer == "wav2sleep-mini"
    assert reads == []


def test_describing_and_listing_weights_downloads_nothing(publish, server):
    publish()
    info = describe_weights("wav2sleep")
    assert info.name == "wav2sleep"
    assert info.config == REGISTRY["wav2sleep"].info.config
    assert info.stage_names == ("WAKE", "LIGHT", "DEEP", "REM")
    list_weights()
    assert server.requests == []


@toy_recordings
def test_stager_downloads_weights_when_they_are_needed(publish, server):
    publish()
    stager = SleepStagerW2S(make_raw(["Thor"]), verbose="error")
    assert stager.channels["channel"].to_dict() == {"THX": "Thor"}
    assert "weights: 'wav2sleep'" in repr(stager)
    assert server.requests == []
    stager.predict()
    assert server.requests == ["/state_dict.pth"]


@toy_recordings
def test_weights_are_read_once_for_several_recordings(small_folder, reads):
    weights = load_weights(small_folder)
    for seed in range(3):
        SleepStagerW2S(make_raw(["Thor"], seconds=1800, seed=seed), weights=weights).predict()
    assert reads == ["model.safetensors"]


@toy_recordings
def test_stager_reads_its_weights_once(small_folder, reads):
    raw = make_raw(["Abdo", "Thor"], seconds=1800)
    stager = SleepStagerW2S(raw, weights=small_folder, verbose="error")
    assert reads == []
    stager.predict()
    stager.audit()
    stager.statistics()
    assert reads == ["model.safetensors"]
