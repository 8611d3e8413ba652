"""Model folders are read as data, checked against their config, and written."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from builders import DATA, assert_clean

from mne_wav2sleep import WeightsError, load_weights, save_weights
from mne_wav2sleep.network import Wav2Sleep, Wav2SleepConfig
from mne_wav2sleep.network.info import read_calibration, read_info
from mne_wav2sleep.network.registry import REGISTRY
from mne_wav2sleep.network.state import read_state

SECTIONS = ("signal_encoders", "epoch_mixer", "sequence_mixer")
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict.fromkeys((f"{s}.feature_dim" for s in SECTIONS), 2**62), "equal to 2048, got 4611"),
        ({"epoch_mixer.layers": 40_000_000}, "mixer_layers: .* equal to 32, got 40000000"),
        ({"epoch_mixer.dim_ff": 10**12}, "mixer_dim_ff: .* equal to 8192"),
        ({"sequence_mixer.num_layers": 33}, "sequence_blocks: .* equal to 32, got 33"),
        ({"sequence_mixer.num_dilations": 17}, "sequence_dilations: .* equal to 16, got 17"),
        (
            {"sequence_mixer.num_dilations": 15, "sequence_mixer.kernel_size": 9},
            "spans 131,072 epochs, but 20,000 are the most",
        ),
        ({"signal_encoders.initial_channels": 10**30}, "initial_channels: .* equal to 2048"),
    ],
)
def test_config_of_a_network_that_is_too_large_is_rejected(changes, message, tmp_path):
    with pytest.raises(WeightsError, match=message):
        load_weights(make_folder(tmp_path / "m", vary(changes)))


@pytest.mark.parametrize("n_epochs", [5761, 10**6, 10**400])
def test_padding_beyond_two_days_is_rejected(n_epochs, small_folder, tmp_path):
    config = json.loads((small_folder / "config.json").read_text())
    config["preprocessing"]["padded_epochs"] = n_epochs
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=r"padded_epochs: .* equal to 5760, got"):
        read_info(tmp_path)


def unfold(depth, width, first, link):
    """Write YAML in which each section has the one before it several times."""
    lines = [f"a0: &a0 {first}"]
    for i in range(1, depth):
        lines.append(f"a{i}: &a{i} {link(', '.join([f'*a{i - 1}'] * width))}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        unfold(9, 9, "[lol, lol]", "[{}]".format),
        unfold(12, 12, "{x: 1}", "{{<<: [{}]}}".format),
        "num_classes: &n [*n]",
        "? &k [1, 2]\n: *k",
    ],
    ids=["lists", "merged mappings", "itself", "key"],
)
def test_yaml_that_unfolds_is_rejected(text, tmp_path):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(WeightsError, match="it refers to a list or section by an anchor"):
        read_info(tmp_path)


def test_yaml_may_refer_to_single_values(tmp_path):
    text = (DATA / "released_config.yaml").read_text()
    text = text.replace("feature_dim: 128", "feature_dim: &features 128", 1)
    text = text.replace("feature_dim: 128", "feature_dim: *features")
    assert text.count("*features") == 2
    (tmp_path / "config.yaml").write_text(text)
    assert read_info(tmp_path).config == REGISTRY["wav2sleep"].info.config


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.yaml", "[api]\nkey = hunter2: 'x\n", r"not valid YAML \(line 2, column"),
        ("config.yaml", "root:hunter2:0:0:/root\n", "it should be a mapping, got a str"),
        ("config.yaml", "!!bool hunter2", "it is not valid YAML"),
        ("config.yaml", "- hunter2\n", "it should be a mapping, got a list"),
        ("config.yaml", "password: hunter2\n", "it has no 'num_classes'"),
        ("config.json", "hunter2\n", "Expecting value: line 1"),
        ("config.json", '["hunter2"]', "it should be a mapping, got a list"),
        ("config.json", '{"format": "mne-wav2sleep", "model": "hunter2"}', "model should be a map"),
        ("calibration.json", "hunter2\n", "Expecting value: line 1"),
    ],
)
def test_file_that_links_elsewhere_is_not_shown(name, content, message, small_folder, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(content)
    folder = tmp_path / "m"
    folder.mkdir()
    if name == "calibration.json":
        (folder / "config.json").write_bytes((small_folder / "config.json").read_bytes())
        (folder / "model.safetensors").write_bytes(
            (small_folder / "model.safetensors").read_bytes()
        )
    (folder / name).symlink_to(secret)
    with pytest.raises(WeightsError, match=message) as error:
        load_weights(folder)
    assert "hunter2" not in str(error.value)
    assert_clean(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "num_classes: " + "7" * 90_000,
        "signal_encoders: {" + "k" * 90_000 + ": 1}\nnum_classes: 4",
        (DATA / "released_config.yaml").read_text().replace("ABD: ABD", f"{'x' * 50_000}: 1"),
        (DATA / "released_config.yaml").read_text().replace("gelu", f'"\\e]0;{"y" * 50_000}"'),
    ],
)
def test_long_values_are_not_repeated_whole(text, tmp_path):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(WeightsError) as error:
        read_info(tmp_path)
    assert_clean(error.value)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("name", ["config.json", "config.yaml", "calibration.json", "tensors"])
@pytest.mark.parametrize("kind", ["device", "pipe", "folder", "dangling", "large"])
def test_files_that_are_not_regular_or_too_large_are_rejected(name, kind, small_folder, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(small_folder, folder)
    path = folder / ("model.safetensors" if name == "tensors" else name)
    if name == "config.yaml":
        (folder / "config.json").unlink()
    path.unlink(missing_ok=True)
    if kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "dangling":
        path.symlink_to(tmp_path / "nowhere")
    else:
        with path.open("wb") as file:
            file.truncate(2**40)  # takes no space on the disk
    expected = {
        "device": "should be a file, but is a link to a device",
        "pipe": "should be a file, but is a pipe",
        "folder": "should be a file, but is a folder",
        "dangling": "cannot be read|no model.safetensors",
        "large": "has 1,099,511,627,776 bytes or more, but .* at most",
    }
    with pytest.raises(WeightsError, match=expected[kind]) as error:
        load_weights(folder)
    assert_clean(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ({"scorer": "x" * 101}, "scorer has 101 characters, but 100 at most"),
        ({"caution": "Beware. " * 1000}, "caution has 8,000 characters"),
        ({"scorer": "\x1b]0;title\x07"}, r"scorer contains control characters, got '\\x1b"),
    ],
)
def test_texts_that_users_should_not_see_are_rejected(text, message, small_folder, tmp_path):
    config = json.loads((small_folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | text))
    with pytest.raises(WeightsError, match=message):
        read_info(tmp_path)
    with pytest.raises(ValueError, match=message):
        save_weights(replace(load_weights(small_folder), **text), tmp_path / "again")


@pytest.mark.parametrize(
    ("temperatures", "message"),
    [
        ({"ECG+ECG": 1.0}, "'ECG[+]ECG' should be a subset"),
        ({"ECG+THX": 1.0, "THX+ECG": 2.0}, "'THX[+]ECG' should be listed once"),
        ({"Q" * 50_000: 1.0}, "QQQ' should be a subset"),
        ({f"subset {i}": "hot" for i in range(2000)}, "subset 0: "),
    ],
)
def test_calibration_with_ambiguous_subsets_is_rejected(temperatures, message, tmp_path):
    data = {"temperatures": temperatures, "night_share": 0.1}
    data |= {"epoch_correlation": 0.9, "n_nights": 3}
    (tmp_path / "calibration.json").write_text(json.dumps(data))
    with pytest.raises(WeightsError, match=message) as error:
        read_calibration(tmp_path)
    assert_clean(error.value)


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
    with pytest.raises(WeightsError, match=r"none\.pth cannot be read \(No such file"):
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


def read_all(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("limit", [100, 1000, 20_000])
def test_full_disk_keeps_the_weights_that_were_there(limit, small_folder, tmp_path):
    resource = pytest.importorskip("resource")
    folder = tmp_path / "m"
    shutil.copytree(small_folder, folder)
    before = read_all(folder)
    other = replace(load_weights(small_folder), scorer="another")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # To the writer, a limit on the size of files has the same effect as a full disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
        with pytest.raises(OSError, match=r"could not be saved in .*\. Free some space") as error:
            save_weights(other, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(folder) in str(error.value)
    assert read_all(folder) == before
    save_weights(other, folder)
    assert load_weights(folder).scorer == "another"
    assert sorted(read_all(folder)) == sorted(before)


def test_device_without_space_is_reported(small_folder, tmp_path):
    script = f"""
import subprocess, sys
from mne_wav2sleep import load_weights, save_weights
weights = load_weights({str(small_folder)!r})
if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", "disk"]).returncode:
    sys.exit(77)
try:
    save_weights(weights, "disk/m")
except OSError as error:
    print(error.errno, error)
"""
    command = ["unshare", "--mount", "--map-root-user", sys.executable, "-c", script]
    if shutil.which("unshare") is None:
        pytest.skip("needs a namespace in which a small disk can be mounted")
    (tmp_path / "disk").mkdir()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("needs a namespace in which a small disk can be mounted")
    assert done.stdout.startswith("28 The weights could not be saved")
    assert "No space left on device" in done.stdout
    assert "Free some space" in done.stdout


@pytest.mark.parametrize(
    ("change", "options", "kind", "message"),
    [
        (lambda n: n, {"dtype": torch.int8}, ValueError, "dtype should be one of torch.float16"),
        (lambda n: n, {"dtype": torch.complex64}, ValueError, "got torch.complex64"),
        (lambda n: n, {"dtype": "float16"}, ValueError, "got 'float16'"),
        (
            lambda n: n.classifier.bias.fill_(1e6),
            {"dtype": torch.float16},
            ValueError,
            "not finite",
        ),
        (lambda n: n.classifier.bias.fill_(torch.nan), {}, ValueError, "not finite .*diverged"),
        (lambda n: n.to("meta"), {}, WeightsError, "The network .* is without values"),
        (lambda n: n.to(torch.complex64), {}, WeightsError, "is of complex64"),
    ],
)
@pytest.mark.filterwarnings("ignore:Complex modules")
def test_weights_that_could_not_be_loaded_are_not_saved(change, options, kind, message, tmp_path):
    network = Wav2Sleep(Wav2SleepConfig(feature_dim=8)).requires_grad_(False)
    change(network)
    with pytest.raises(kind, match=message):
        save_weights(network, tmp_path / "m", **options)
    assert not (tmp_path / "m").exists()


def test_unsuitable_weights_and_folders_are_rejected(tmp_path):
    with pytest.raises(TypeError, match=r"must be LoadedWeights.*or a Wav2Sleep, got NoneType"):
        save_weights(None, tmp_path / "x")
    (tmp_path / "file.py").touch()
    for folder in (tmp_path / "file.py", tmp_path / "file.py" / "x"):
        with pytest.raises(ValueError, match="because a file with that name"):
            save_weights(Wav2Sleep(Wav2SleepConfig(feature_dim=8)), folder)


def test_a_file_that_cannot_be_replaced_keeps_the_old_model(small_folder, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(small_folder, folder)
    (folder / "calibration.json").unlink()
    (folder / "calibration.json").mkdir()  # as a file that is open elsewhere on Windows
    (folder / "calibration.json" / "notes.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises((OSError, ValueError)):
        save_weights(load_weights("mini", verbose="error"), folder)
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert after == before
    assert (folder / "calibration.json" / "notes.txt").read_text() == "mine"
