import json
import pickle
from pathlib import Path

import pytest
import torch
import yaml
from builders import DATA

from mne_wav2sleep import WeightsError, load_model, save_model
from mne_wav2sleep.network import folder as model_folder
from mne_wav2sleep.network import registry as weights
from mne_wav2sleep.network.config import Wav2SleepConfig
from mne_wav2sleep.network.model import Wav2Sleep

RELEASED = yaml.safe_load((DATA / "released_config.yaml").read_text())


def make_folder(folder, config=RELEASED, state=None):
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    if state is not None:
        torch.save(state, folder / "state_dict.pth")
    return folder


def test_the_released_layout_loads_and_round_trips_to_the_bit(golden_model, tmp_path):
    folder = make_folder(tmp_path / "released", state=golden_model.state_dict())
    model = load_model(folder)
    again = load_model(save_model(model, tmp_path / "ours"))
    assert not again.training
    state = again.state_dict()
    assert len(state) == 177
    assert all(torch.equal(state[k], v) for k, v in golden_model.state_dict().items())
    assert again.config == golden_model.config


def test_half_precision_is_half_the_size_and_loads_as_float32(golden_model, tmp_path):
    folder = save_model(golden_model, tmp_path, dtype=torch.float16)
    assert (folder / "model.safetensors").stat().st_size < 0.55 * 9_666_562
    state = load_model(folder).state_dict()
    for name, tensor in golden_model.state_dict().items():
        assert state[name].dtype == torch.float32
        torch.testing.assert_close(state[name], tensor, rtol=1e-3, atol=1e-6)


def test_the_config_as_released_is_the_registrys(tmp_path):
    (tmp_path / "config.yaml").write_bytes((DATA / "released_config.yaml").read_bytes())
    assert model_folder.read_config(tmp_path) == weights.REGISTRY["wav2sleep"].config


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
def test_every_variant_of_the_released_config_loads_and_runs(variant, tmp_path):
    config = vary(VARIANTS[variant])
    folder = make_folder(tmp_path / "m", config)
    built = Wav2Sleep(model_folder.read_config(folder))
    torch.save(built.state_dict(), folder / "state_dict.pth")
    model = load_model(folder)
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
        ({"num_classes": "four"}, "n_classes should be int"),
        ({"num_classes": 3}, "4 or 5"),
        ({"signal_encoders.norm": "batch"}, "only 'instance'"),
        ({"signal_encoders.surprise": 1}, "not a known setting"),
        ({"signal_encoders.signal_map": ["ECG"]}, "signals should be dict"),
        ({"signal_encoders.signal_map": {"EEG": "EEG"}}, "EEG"),
        ({"epoch_mixer.feature_dim": 64}, "feature_dim is 64"),
        ({"epoch_mixer": None}, "does not describe"),
        ({"epoch_mixer.nhead": 0}, "mixer_heads = 0"),
        ({"signal_encoders.signal_map": {"ECG": "keys"}}, "encoder 'keys'"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(changes, message, tmp_path):
    with pytest.raises(WeightsError, match=message):
        load_model(make_folder(tmp_path / "m", vary(changes)))


def test_a_config_whose_network_cannot_be_built_is_refused(tmp_path, golden_model):
    huge = dict.fromkeys(
        ("signal_encoders.feature_dim", "epoch_mixer.feature_dim", "sequence_mixer.feature_dim"),
        2**62,
    )
    with pytest.raises(WeightsError, match=r"state_dict\.pth makes no network"):
        load_model(make_folder(tmp_path / "m", vary(huge), golden_model.state_dict()))


def test_yaml_and_pickle_never_run_code(tmp_path, golden_model):
    mark = tmp_path / "executed"
    folder = make_folder(tmp_path / "m", state=golden_model.state_dict())
    (folder / "config.yaml").write_text(f"!!python/object/apply:pathlib.Path.touch ['{mark}']")
    with pytest.raises(WeightsError, match="does not describe"):
        load_model(folder)

    class Evil:
        def __reduce__(self):
            return Path.touch, (mark,)

    make_folder(folder)
    torch.save({"x": Evil()}, folder / "state_dict.pth")
    with pytest.raises(WeightsError, match="never run"):
        load_model(folder)
    (folder / "state_dict.pth").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(WeightsError, match=r"no zip archive.*never run"):
        load_model(folder)
    torch.save({"x": Evil()}, folder / "state_dict.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(WeightsError, match=r"no zip archive.*never run"):
        load_model(folder)
    assert not mark.exists()


@pytest.mark.parametrize("kind", [AssertionError, OSError, TypeError, IndexError])
def test_whatever_a_parser_raises_is_a_damaged_file(kind, tmp_path, monkeypatch, golden_model):
    folder = make_folder(tmp_path / "m", state=golden_model.state_dict())

    def fail(*_, **__):
        raise kind("a byte was flipped")

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(WeightsError, match=f"damaged.*{kind.__name__}"):
        load_model(folder)


def test_a_file_that_cannot_be_opened_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError):
        model_folder.read_state_dict(tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("classifier.bias"), "1 tensors are missing.*classifier.bias"),
        (lambda s: s.update(more=torch.zeros(1)), "1 are not expected.*more"),
        (lambda s: s.update({"classifier.bias": torch.zeros(5)}), r"shape \(5,\)"),
        (
            lambda s: s.update({"classifier.bias": torch.full((4,), torch.nan)}),
            "not finite.*Get it again",
        ),
        (lambda s: s.update(note="text"), "does not hold a state dict.*Save it with"),
    ],
)
def test_a_state_dict_that_does_not_fit_is_refused(change, message, golden_model, tmp_path):
    state = dict(golden_model.state_dict())
    change(state)
    with pytest.raises(WeightsError, match=message):
        load_model(make_folder(tmp_path / "m", state=state))


def test_broken_files_and_folders(tmp_path, small_folder, golden_model):
    with pytest.raises(ValueError, match="no weights called 'nothing'"):
        load_model("nothing")
    with pytest.raises(ValueError, match="no weights called ''"):
        load_model("")
    with pytest.raises(TypeError, match="got NoneType"):
        load_model(None)
    with pytest.raises(WeightsError, match="neither"):
        load_model(tmp_path)
    folder = make_folder(tmp_path / "m")
    with pytest.raises(WeightsError, match=r"no state_dict\.pth"):
        load_model(folder)
    torch.save(golden_model.state_dict(), folder / "state_dict.pth")
    whole = (folder / "state_dict.pth").read_bytes()
    for size in (0, 100, len(whole) // 2):
        (folder / "state_dict.pth").write_bytes(whole[:size])
        with pytest.raises(WeightsError, match="damaged"):
            load_model(folder)
    ours = save_model(Wav2Sleep(Wav2SleepConfig()), tmp_path / "ours")
    (ours / "model.safetensors").write_bytes(b"\x10" * 100)
    with pytest.raises(WeightsError, match="damaged"):
        load_model(ours)
    (ours / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="does not describe"):
        load_model(ours)


@pytest.mark.parametrize("change", [{"format": "mne-wav2sleep 2"}, {"format": None}, {"more": 1}])
def test_a_config_of_another_format_is_refused(change, small_folder, tmp_path):
    config = json.loads((small_folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(WeightsError, match="newer version"):
        model_folder.read_config(tmp_path)


def test_what_cannot_be_saved(tmp_path):
    with pytest.raises(TypeError, match=r"must be a Wav2Sleep.*got NoneType"):
        save_model(None, tmp_path / "x")
    (tmp_path / "file.py").touch()
    for folder in (tmp_path / "file.py", tmp_path / "file.py" / "x"):
        with pytest.raises(ValueError, match="a file is in the way"):
            save_model(Wav2Sleep(Wav2SleepConfig(feature_dim=8)), folder)
