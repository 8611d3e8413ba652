"""Files of tensors are read as data, and take no more memory than they have bytes."""

import collections
import io
import json
import struct
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
from builders import assert_clean

from mne_wav2sleep import WeightsError, load_weights, save_weights
from mne_wav2sleep.network import Wav2Sleep, Wav2SleepConfig
from mne_wav2sleep.network.state import read_state

TINY = Wav2SleepConfig(
    signals={"THX": "THX"},
    initial_channels=2,
    max_channels=2,
    feature_dim=8,
    mixer_heads=2,
    mixer_dim_ff=8,
    mixer_layers=1,
    sequence_blocks=1,
    sequence_dilations=1,
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Wav2Sleep(TINY).requires_grad_(False)


def save(state, folder, suffix):
    """Write tensors with torch or safetensors."""
    path = folder / f"tensors{suffix}"
    if suffix == ".pth":
        torch.save(state, path)
    else:
        safetensors.torch.save_file(state, path)
    return path


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_floating_point_tensors_are_read_bit_for_bit(dtype, suffix, network, tmp_path):
    state = {name: tensor.to(dtype) for name, tensor in network.state_dict().items()}
    again, _ = read_state(save(state, tmp_path, suffix))
    assert all(torch.equal(again[name], tensor) for name, tensor in state.items())
    assert {tensor.dtype for tensor in again.values()} == {dtype}


@pytest.mark.parametrize(
    "make",
    [
        lambda n: n.state_dict(),
        lambda n: dict(n.named_parameters()),
        lambda n: {k: v.T.contiguous().T if v.ndim == 2 else v for k, v in n.state_dict().items()},
    ],
    ids=["state dict", "parameters", "transposed"],
)
def test_other_ways_to_save_a_network_are_read(make, network, tmp_path):
    again, _ = read_state(save(make(network), tmp_path, ".pth"))
    assert all(torch.equal(again[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    "dtype",
    [
        *(torch.uint8, torch.int8, torch.int16, torch.int64, torch.bool, torch.complex64),
        *(torch.float8_e5m2, torch.float8_e4m3fn),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_tensors_of_another_type_are_rejected(dtype, suffix, network, tmp_path):
    if dtype.is_complex and suffix == ".safetensors":
        pytest.skip("older versions of safetensors do not write complex numbers")
    state = network.state_dict()
    state["classifier.weight"] = state["classifier.weight"].to(dtype)
    with pytest.raises(WeightsError, match=str(dtype).removeprefix("torch.")) as error:
        read_state(save(state, tmp_path, suffix))
    assert_clean(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.to_sparse(), "sparse"),
        (lambda t: t.to_sparse_csr(), "sparse"),
        (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.quint8), "_rebuild_qtensor"),
        (lambda t: t.to("meta"), "_rebuild_meta_tensor_no_storage"),
        (lambda t: torch.nested.nested_tensor([t]), "nested"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_of_another_kind_are_rejected(change, message, network, tmp_path):
    state = network.state_dict()
    state["classifier.weight"] = change(state["classifier.weight"])
    with pytest.raises(WeightsError, match=message) as error:
        read_state(save(state, tmp_path, ".pth"))
    assert_clean(error.value)


@pytest.mark.parametrize("key", [7, 1.5, b"classifier.weight", ("a", "b"), None])
def test_names_that_are_not_strings_are_rejected(key, network, tmp_path):
    state = dict(network.state_dict())
    state[key] = state.pop("classifier.weight")
    with pytest.raises(
        WeightsError, match=r"does not contain .*(state dict|plain tensors)"
    ) as error:
        read_state(save(state, tmp_path, ".pth"))
    assert_clean(error.value)


def test_long_names_are_not_repeated_whole(network, tmp_path):
    state = network.state_dict() | {"n" * 10**6: torch.zeros(1)}
    folder = save_weights(network, tmp_path / "m")
    safetensors.torch.save_file(state, folder / "model.safetensors")
    with pytest.raises(WeightsError, match="1 are unexpected") as error:
        load_weights(folder)
    assert_clean(error.value)


@pytest.mark.parametrize("value", [1e39, -1e300, torch.inf])
def test_values_beyond_float32_are_rejected(value, network, tmp_path):
    folder = save_weights(network, tmp_path / "m")
    state = {name: tensor.double() for name, tensor in network.state_dict().items()}
    state["classifier.bias"][2] = value
    safetensors.torch.save_file(state, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"not finite, for example in classifier\.bias"):
        load_weights(folder)


@pytest.mark.parametrize("shape", [(10**11,), (200_000, 300_000), (4000, 1, 4000)])
def test_tensors_that_claim_more_values_than_the_file_has_are_rejected(shape, tmp_path):
    path = save({"a": torch.ones(1).expand(shape)}, tmp_path, ".pth")
    with pytest.raises(WeightsError, match=r"but its tensors would have [\d,]+: they repeat") as e:
        read_state(path)
    assert_clean(e.value)


def rezip(path, change=lambda name, content: content, method=zipfile.ZIP_STORED):
    """Write the entries of an archive again."""
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, change(name, content))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archive_that_unpacks_to_more_than_it_has_is_rejected(method, tmp_path):
    path = save({"a": torch.zeros(3_000_000)}, tmp_path, ".pth")
    rezip(path, method=method)
    assert path.stat().st_size < 100_000
    with pytest.raises(WeightsError, match=r"but would unpack to 12,0\d\d,\d\d\d; torch"):
        read_state(path)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (b"cbuiltins\nbytearray\n\x8a\x05\x00\x00\x00\x00\x02\x85R.", "builtins.bytearray"),
        (b"ctorch\nFloatTensor\n\x8a\x05\x00\x00\x00\x00\x02\x85R.", "torch.FloatTensor"),
        (b"ctorch.storage\nUntypedStorage\n\x8a\x05\x00\x00\x00\x00\x02\x85R.", "UntypedStorage"),
        (b"cos\nsystem\nX\x02\x00\x00\x00ls\x85R.", "os.system"),
    ],
)
@pytest.mark.parametrize("entry", ["data.pkl", "DATA.pkl"])
def test_pickle_that_takes_memory_or_runs_code_is_rejected(code, name, entry, tmp_path):
    path = tmp_path / "tensors.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"archive/{entry}", b"\x80\x02" + code)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3\n")
    with pytest.raises(WeightsError, match=f"but also '.*{name}'.*never run") as error:
        read_state(path)
    assert_clean(error.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda name, content: content[:-40] if name.endswith("/data/0") else content,
        lambda name, content: content[:-20] if "data.pkl" in name else content,
        lambda name, content: content.replace(b"FloatStorage", b"QuietStorage"),
    ],
)
def test_archive_with_damaged_contents_is_rejected(change, tmp_path):
    path = save({"a": torch.ones(40)}, tmp_path, ".pth")
    rezip(path, change)
    with pytest.raises(WeightsError, match=r"damaged|does not contain") as error:
        read_state(path)
    assert_clean(error.value)


@pytest.mark.parametrize("length", [2**62, 10**9, 90])
def test_lying_header_of_safetensors_is_rejected(length, tmp_path):
    header = json.dumps({"a": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 4 * 10**9]}})
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", length) + header.encode() + bytes(40))
    with pytest.raises(WeightsError, match="damaged"):
        read_state(path)


def test_checkpoint_with_more_than_tensors_is_rejected(network, tmp_path):
    checkpoint = {"state_dict": network.state_dict(), "epoch": 3, "home": Path("/home")}
    with pytest.raises(WeightsError, match="does not contain plain tensors alone, but also"):
        read_state(save(checkpoint, tmp_path, ".pth"))
    nested = {"state_dict": network.state_dict(), "loss": collections.OrderedDict()}
    with pytest.raises(WeightsError, match="does not contain a state dict"):
        read_state(save(nested, tmp_path, ".pth"))
