"""Attention across epochs, each of which attends to its neighbors."""

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from mne_wav2sleep import SleepStagerW2S, load_weights, save_weights, simulate_night
from mne_wav2sleep.network import Wav2Sleep, Wav2SleepConfig
from mne_wav2sleep.network.attention import WindowMixer, _WindowLayer


def make_config(**settings):
    return Wav2SleepConfig(
        **{
            "signals": {"THX": "THX"},
            "feature_dim": 8,
            "initial_channels": 2,
            "max_channels": 4,
            "mixer_heads": 2,
            "mixer_dim_ff": 8,
            "sequence_mixer": "attention",
            "sequence_window": 5,
            "sequence_heads": 2,
            "sequence_dim_ff": 8,
        }
        | settings
    )


def attend_to_all(layer, x_BSF):
    """Compute the same with a mask over all pairs of epochs."""
    n_epochs = x_BSF.shape[1]
    q, k, v = (
        part.unflatten(2, (layer.n_heads, -1)).transpose(1, 2)
        for part in layer.in_proj(x_BSF).chunk(3, dim=-1)
    )
    at = torch.arange(n_epochs)
    distance = at - at.unsqueeze(1)
    allowed = distance.abs() <= layer.window
    if layer.causal:
        allowed &= distance <= 0
    bias = layer.distance_bias[:, distance.clamp(-layer.window, layer.window) + layer.window]
    mask = torch.where(allowed, bias, -torch.inf)
    y = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return layer.out_proj(y.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("n_epochs", [1, 3, 5, 6, 9, 10, 11, 14, 15, 16, 23, 25, 31])
@pytest.mark.parametrize("causal", [False, True])
def test_blocks_give_the_same_as_attention_to_all_epochs_in_reach(n_epochs, causal):
    torch.manual_seed(0)
    layer = _WindowLayer(make_config(sequence_causal=causal)).eval()
    torch.nn.init.normal_(layer.distance_bias)
    x_BSF = torch.randn(2, n_epochs, 8)
    torch.testing.assert_close(layer._attend(x_BSF), attend_to_all(layer, x_BSF))


def test_an_epoch_reaches_as_far_as_all_layers():
    torch.manual_seed(0)
    mixer = WindowMixer(make_config(sequence_blocks=2)).eval()
    x_BSF = torch.randn(1, 60, 8)
    changed = x_BSF.clone()
    changed[0, 30] = torch.randn(8)
    change_S = (mixer(x_BSF) - mixer(changed)).abs().amax(-1)[0]
    assert (change_S > 0).nonzero().ravel().tolist() == list(range(20, 41))


def test_a_causal_mixer_does_not_see_later_epochs():
    torch.manual_seed(0)
    mixer = WindowMixer(make_config(sequence_causal=True)).eval()
    x_BSF = torch.randn(1, 30, 8)
    changed = x_BSF.clone()
    changed[0, 17:] = torch.randn(13, 8)
    change_S = (mixer(x_BSF) - mixer(changed)).abs().amax(-1)[0]
    assert change_S[:17].max() == 0
    assert change_S[17:].min() > 0


class Largest(TorchDispatchMode):
    """Note the number of values of the largest tensor that an operation gives."""

    def __init__(self):
        super().__init__()
        self.n_values = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        for one in found if isinstance(found, tuple | list) else [found]:
            if isinstance(one, torch.Tensor):
                self.n_values = max(self.n_values, one.numel())
        return found


def test_memory_grows_with_the_epochs_and_not_with_their_square():
    sizes = {}
    with torch.device("meta"):
        mixer = WindowMixer(make_config(sequence_window=10)).eval()
        for n_epochs in (1000, 4000):
            with Largest() as largest:
                mixer(torch.empty(1, n_epochs, 8))
            sizes[n_epochs] = largest.n_values
    assert sizes[4000] < 4.1 * sizes[1000]
    assert sizes[4000] < 4000 * 30 * 8


def test_a_window_beyond_the_recording_takes_no_memory():
    with torch.device("meta"):
        mixer = WindowMixer(make_config(sequence_window=1200)).eval()
        with Largest() as largest:
            mixer(torch.empty(1, 3, 8))
    assert largest.n_values < 5000  # 2401 are the biases of the distances, for each of 2 heads


def test_it_learns():
    """Tell whether the epoch three before had a high value, which no epoch knows by itself."""
    torch.manual_seed(0)
    mixer = WindowMixer(make_config(sequence_blocks=1, sequence_dropout=0.0))
    optimizer = torch.optim.AdamW(mixer.parameters(), lr=0.02)
    for _ in range(150):
        x_BSF = torch.randn(4, 40, 8)
        wanted_BS = (x_BSF[:, :-3, 0] > 0).float()
        loss = functional.binary_cross_entropy_with_logits(mixer(x_BSF)[:, 3:, 0], wanted_BS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.3


def test_a_network_with_it_is_saved_and_stages(tmp_path):
    torch.manual_seed(0)
    network = Wav2Sleep(make_config(sequence_window=50)).eval()
    folder = save_weights(network, tmp_path / "model")
    weights = load_weights(folder)
    assert weights.config == network.config
    assert "sequence_mixer.layers.1.distance_bias" in weights.network.state_dict()
    raw = simulate_night(duration=3600, modalities=["THX"], seed=0, verbose="error")
    assert SleepStagerW2S(raw, folder, verbose="error").predict().n_epochs == 120


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sequence_heads": 3}, "should be a multiple of sequence_heads \\(3\\)"),
        ({"sequence_window": 0}, "sequence_window"),
        ({"sequence_window": 100_000}, "sequence_window"),
        ({"sequence_heads": 8, "sequence_window": 1200, "sequence_mixer": "dilated"}, None),
        ({"feature_dim": 512, "sequence_heads": 64, "sequence_window": 1200}, "pairs of epochs"),
        ({"sequence_mixer": "mamba"}, "'dilated' or 'attention'"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    if message is None:
        assert make_config(**settings)
        return
    with pytest.raises(ValueError, match=message):
        make_config(**settings)
