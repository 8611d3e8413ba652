"""Model folders are read as data, checked against their config, and written."""

import json
import pickle
from pathlib import Path

import pytest
import torch
import yaml
from builders import DATA

from mne_wav2sleep import WeightsError, load_weights, save_weights
from mne_wav2sleep.network import Wav2Sleep, Wav2SleepConfig
from mne_wav2sleep.network.folder import read_info, read_state
from mne_wav2sleep.network.registry import REGISTRY

RELEASED = yaml.safe_load((DATA / "released_config.yaml").read_text())


def make_folder(folder, config=RELEASED, state=None):
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    if state is not None:
        torch.save(state, folder / "state_dict.pth")
    return folder


def test_released_folder_is_loaded_and_saved_bit_for_bit(golden_model, tmp_path):
    folder = make_folder(tmp_path / "released", state=golden_model.state_dict())
    model = load_weights(folder).network
    again = load_weights(save_weights(model, tmp_path / "ours")).network
    assert not again.training
    state = again.state_dict()
    assert len(state) == 177
    assert all(torch.equal(state[k], v) for k, v in golden_model.state_dict().items())
    assert again.config == golden_model.config


def test_half_precision_halves_the_file_and_is_loaded_as_float32(golden_model, tmp_path):
    folder = save_weights(golden_model, tmp_path, dtype=torch.float16)
    assert (folder / "model.safetensors").stat().st_size < 0.55 * 9_666_562
    state = load_weights(folder).network.state_dict()
    for name, tensor in golden_model.state_dict().items():
        assert state[name].dtype == torch.float32
        torch.testing.assert_close(state[name], tensor, rtol=1e-3, atol=1e-6)


def test_released_config_matches_the_registry(tmp_path):
    (tmp_path / "config.yaml").write_bytes((DATA / "released_config.yaml").read_bytes())
    assert read_info(tmp_path).config == REGISTRY["wav2sleep"].info.config


VARIANTS = {
    "5 classes, EOG": {
        "num_classes": 5,
        "signal_encoders.signal_map": {"EOG-L": "EOG-L", "EOG-R": "EOG-R"},
    },
    "shared encoder": {"signal_encoders.signal_map": {"ABD": "RESP", "THX": "RESP"}},
    "causal": {"signal_encoders.causal": True, "sequence_mixer.causal": True},
    "chunk-causal": {
        "signal_encoders.causal": True,
        "signal_encoders.chunk_causal": True,
        "sequence_mixer.causal": True,
    },
    "widths": {
        "signal_encoders.feature_dim": 32,
        "epoch_mixer.feature_dim": 32,
        "sequence_mixer.feature_dim": 32,
        "signal_encoders.initial_channels": 8,
        "signal_encoders.max_channels": 20,
        "epoch_mixer.dim_ff": 64,
    },
    "depths": {
        "epoch_mixer.layers": 1,
        "epoch_mixer.nhead": 4,
        "sequence_mixer.num_layers": 3,
        "sequence_mixer.num_dilations": 6,
        "sequence_mixer.kernel_size": 7,
    },
}


def vary(changes):
    config = json.loads(json.dumps(RELEASED))
    for key, value in changes.items():
        *section, last = key.split(".")
        (config[section[0]] if section else config)[last] = value
    return config


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_of_the_released_config_are_loaded_and_run(variant, tmp_path):
    config = vary(VARIANTS[variant])
    folder = make_folder(tmp_path / "m", config)
    built = Wav2Sleep(read_info(folder).config)
    torch.save(built.state_dict(), folder / "state_dict.pth")
    model = load_weights(folder).network
    x = {
        name: torch.randn(
            2, 6 * {"EOG-L": 4096, "EOG-R": 4096, "ECG": 1024, "PPG": 1024}.get(name, 256)
        )
        for name in config["signal_encoders"]["signal_map"]
    }
    logits = model(x)
    assert logits.shape == (2, 6, config["num_classes"])
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_classes": "four"}, "n_classes: Input should be 4 or 5, got 'four'"),
        ({"num_classes": 3}, "4 or 5"),
        ({"signal_encoders.norm": "batch"}, "only 'instance'"),
        ({"signal_encoders.surprise": 1}, "not a known setting"),
        (
            {"signal_encoders.signal_map": ["ECG"]},
            "signals: Input should be a valid (dictionary|mapping)",
        ),
        ({"signal_encoders.signal_map": {"EEG": "EEG"}}, "EEG"),
        ({"epoch_mixer.feature_dim": 64}, "feature_dim is 64"),
        ({"epoch_mixer": None}, "does not describe"),
        (
            {"epoch_mixer.nhead": 0},
            "mixer_heads: Input should be greater than or equal to 1, got 0",
        ),
        ({"signal_encoders.signal_map": {"ECG": "keys"}}, "encoder 'keys'"),
    ],
)
def test_invalid_config_is_rejected(changes, message, tmp_path):
    with pytest.raises(WeightsError, match=message):
        load_weights(make_folder(tmp_path / "m", vary(changes)))


def test_config_whose_network_cannot_be_built_is_rejected(tmp_path, golden_model):
    huge = dict.fromkeys(
        ("signal_encoders.feature_dim", "epoch_mixer.feature_dim", "sequence_mixer.feature_dim"),
        2**62,
    )
    with pytest.raises(
        WeightsError, match=r"config of .*state_dict\.pth describes cannot be built"
    ):
        load_weights(make_folder(tmp_path / "m", vary(huge), golden_model.state_dict()))


def test_yaml_and_pickle_never_run_code(tmp_path, golden_model):
    mark = tmp_path / "executed"
    folder = make_folder(tmp_path / "m", state=golden_model.state_dict())
    (folder / "config.yaml").write_text(f"!!python/object/apply:pathlib.Path.touch ['{mark}']")
    with pytest.raises(WeightsError, match="does not describe"):
        load_weights(folder)

    class Evil:
        def __reduce__(self):
            return Path.touch, (mark,)

    make_folder(folder)
    torch.save({"x": Evil()}, folder / "state_dict.pth")
    with pytest.raises(WeightsError, match="never run"):
        load_weights(folder)
    (folder / "state_dict.pth").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(WeightsError, match=r"is not a zip archive.*never run"):
        load_weights(folder)
    torch.save({"x": Evil()}, folder / "state_dict.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(WeightsError, match=r"is not a zip archive.*never run"):
        load_weights(folder)
    assert not mark.exists()


@pytest.mark.parametrize("kind", [AssertionError, OSError, TypeError, IndexError])
def test_any_error_of_a_parser_means_a_damaged_file(kind, tmp_path, monkeypatch, golden_model):
    folder = make_folder(tmp_path / "m", state=golden_model.state_dict())

    def raise_error(*_, **__):
        raise kind("a byte was flipped")

    monkeypatch.setattr(torch, "load", raise_error)
    with pytest.raises(WeightsError, match=f"damaged.*{kind.__name__}"):
        load_weights(folder)


def test_file_that_cannot_be_opened_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_state(tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("classifier.bias"), "1 tensors are missing.*classifier.bias"),
        (lambda s: s.update(more=torch.zeros(1)), "1 are unexpected.*more"),
        (lambda s: s.update({"classifier.bias": torch.zeros(5)}), r"shape \(5,\)"),
        (
            lambda s: s.update({"classifier.bias": torch.full((4,), torch.nan)}),
            "not finite.*Obtain it again",
        ),
        (lambda s: s.update(note="text"), "does not contain a state dict.*Save it with"),
    ],
)
def test_state_dict_that_does_not_match_its_config_is_rejected(
    change, message, golden_model, tmp_path
):
    state = dict(golden_model.state_dict())
    change(state)
    with pytest.raises(WeightsError, match=message):
        load_weights(make_folder(tmp_path / "m", state=state))


def test_missing_and_damaged_files_are_reported(tmp_path, small_folder, golden_model):
    with pytest.raises(ValueError, match="no weights called 'nothing'"):
        load_weights("nothing")
    with pytest.raises(ValueError, match="no weights called ''"):
        load_weights("")
    with pytest.raises(TypeError, match="got NoneType"):
        load_weights(None)
    with pytest.raises(WeightsError, match="neither"):
        load_weights(tmp_path)
    folder = make_folder(tmp_path / "m")
    with pytest.raises(WeightsError, match=r"no state_dict\.pth"):
        load_weights(folder)
    torch.save(golden_model.state_dict(), folder / "state_dict.pth")
    whole = (folder / "state_dict.pth").read_bytes()
    for size in (0, 100, len(whole) // 2):
        (folder / "state_dict.pth").write_bytes(whole[:size])
        with pytest.raises(WeightsError, match="damaged"):
            load_weights(folder)
    ours = save_weights(Wav2Sleep(Wav2SleepConfig()), tmp_path / "ours")
    (ours / "model.safetensors").write_bytes(b"\x10" * 100)
    with pytest.raises(WeightsError, match="damaged"):
        load_weights(ours)
    (ours / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="does not describe"):
        load_weights(ours)


@pytest.mark.parametrize("change", [{"format": "mne-wav2sleep 2"}, {"format": None}, {"more": 1}])
def test_config_of_another_format_is_rejected(change, small_folder, tmp_path):
    config = json.loads((small_folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(WeightsError, match="newer version"):
        read_info(tmp_path)


def test_unsuitable_weights_and_folders_are_rejected(tmp_path):
    with pytest.raises(TypeError, match=r"must be LoadedWeights.*or a Wav2Sleep, got NoneType"):
        save_weights(None, tmp_path / "x")
    (tmp_path / "file.py").touch()
    for folder in (tmp_path / "file.py", tmp_path / "file.py" / "x"):
        with pytest.raises(ValueError, match="because a file with that name"):
            save_weights(Wav2Sleep(Wav2SleepConfig(feature_dim=8)), folder)
