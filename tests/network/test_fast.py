"""The fast implementation for CPUs gives the same features as the plain network."""

import pytest
import torch

from mne_wav2sleep.network import Wav2Sleep, Wav2SleepConfig, fast
from mne_wav2sleep.network.backends import choose_backend


@pytest.mark.parametrize("samples_per_tile", [3 * 256, 2**18])
@pytest.mark.parametrize(
    "options",
    [{}, {"encoder_causal": True}, {"encoder_causal": True, "chunk_causal": True}],
    ids=["centered", "causal", "chunked"],
)
def test_tiles_give_the_same_features_as_the_plain_network(options, samples_per_tile, monkeypatch):
    torch.manual_seed(0)
    network = Wav2Sleep(Wav2SleepConfig({"ABD": "ABD"}, **options)).eval()
    x = {"ABD": torch.randn(2, 20 * 256).cumsum(1)}
    monkeypatch.setattr(fast, "_SAMPLES_PER_TILE", samples_per_tile)
    with torch.inference_mode():
        expected = network.encode(x)["ABD"]
        found = fast.FastWav2Sleep(network).encode(x)["ABD"]
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


def test_weights_are_shared_with_the_network():
    network = Wav2Sleep(Wav2SleepConfig({"ABD": "ABD"})).eval().requires_grad_(False)
    x = {"ABD": torch.randn(1, 2 * 256)}
    before = fast.FastWav2Sleep(network).encode(x)["ABD"]
    network.signal_encoders.encoders["ABD"].linear.bias += 1.0
    after = fast.FastWav2Sleep(network).encode(x)["ABD"]
    assert (after > before).all()


def test_two_modalities_may_share_an_encoder():
    torch.manual_seed(0)
    config = Wav2SleepConfig({"ABD": "RESP", "THX": "RESP"})
    network = Wav2Sleep(config).eval().requires_grad_(False)
    belt = torch.randn(1, 2 * 256)
    z = fast.FastWav2Sleep(network).encode({"ABD": belt, "THX": belt})
    assert torch.equal(z["ABD"], z["THX"])


def test_only_a_cpu_uses_the_fast_implementation():
    network = Wav2Sleep(Wav2SleepConfig({"ABD": "ABD"}))
    assert isinstance(choose_backend(network, torch.device("cpu")), fast.FastWav2Sleep)
    assert choose_backend(network, torch.device("cuda")) is network
