"""The wav2sleep network (arXiv 2411.04644), as the released weights have it. Torch only.

Shape suffixes: B recordings, S epochs, T samples, N samples per epoch, C channels, F features,
M signals, K tokens of an epoch (the class token and the signals).
"""

from collections.abc import Iterator, Mapping
from math import log2
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..modalities import MODALITIES
from .config import Calibration, Wav2SleepConfig

_VECTORS_PER_EPOCH = 4
_INSTANCE_NORM_EPS = 1e-2
# 16 MB at 16 channels: memory that the C library reuses rather than gives back, and few enough
# tiles that their threads seldom wait for each other.
_SAMPLES_PER_TILE = 2**18


class _Conv(nn.Module):
    """A bias-free convolution over time whose padding keeps time, causal or centred."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        causal: bool = False,
    ) -> None:
        super().__init__()
        reach = (kernel - 1) * dilation
        self.left = reach if causal else 0
        self.conv = nn.Conv1d(
            n_in,
            n_out,
            kernel,
            stride=stride,
            dilation=dilation,
            padding=0 if causal else reach // 2,
            bias=False,
        )

    def forward(self, x_BCT: Tensor) -> Tensor:
        return self.conv(functional.pad(x_BCT, (self.left, 0)) if self.left else x_BCT)

    def run_tiles(self, tiles: list[Tensor]) -> list[Tensor]:
        """Do the same to one recording in tiles (T, C), each longer than the kernel's reach."""
        right = int(self.conv.padding[0])
        left = self.left + right
        weight = self.conv.weight.unsqueeze(2)
        edge_TC = torch.zeros_like(tiles[0][:left])
        outputs = []
        for i, tile_TC in enumerate(tiles):
            before_TC = tiles[i - 1][-left:] if i else edge_TC
            after_TC = tiles[i + 1][:right] if i + 1 < len(tiles) else edge_TC[:right]
            x_TC = torch.cat([before_TC, tile_TC, after_TC])
            # To conv2d, time-major memory is channels-last, for which its kernels are fastest.
            x_BCHT = x_TC[None, None].permute(0, 3, 1, 2)
            y_BCHT = functional.conv2d(x_BCHT, weight, stride=(1, self.conv.stride[0]))
            outputs.append(y_BCHT[0, :, 0].T.to(tile_TC.dtype))
        return outputs


def _normalise_tiles(tiles: list[Tensor]) -> list[Tensor]:
    """Instance norm and GELU of one recording in tiles (T, C), which are overwritten."""
    n_samples = sum(len(tile_TC) for tile_TC in tiles)
    mean_C = torch.stack([tile_TC.sum(0) for tile_TC in tiles]).sum(0) / n_samples
    squares = [tile_TC.sub_(mean_C).square().sum(0) for tile_TC in tiles]
    scale_C = torch.rsqrt(torch.stack(squares).sum(0) / n_samples + _INSTANCE_NORM_EPS)
    return [functional.gelu(tile_TC.mul_(scale_C)) for tile_TC in tiles]


class _ResidualBlock(nn.Module):
    """Three convolutions that halve the time axis, around a shortcut."""

    def __init__(self, n_in: int, n_out: int, *, causal: bool) -> None:
        super().__init__()
        self.conv1 = _Conv(n_in, n_out, 3, causal=causal)
        self.conv2 = _Conv(n_out, n_out, 3, causal=causal)
        self.conv3 = _Conv(n_out, n_out, 3, stride=2, causal=causal)
        self.downsample = nn.Conv1d(n_in, n_out, 1, stride=2, bias=False)

    def forward(self, x_BCT: Tensor) -> Tensor:
        y_BCT = x_BCT
        for conv in (self.conv1, self.conv2, self.conv3):
            y_BCT = functional.gelu(functional.instance_norm(conv(y_BCT), eps=_INSTANCE_NORM_EPS))
        return functional.gelu(y_BCT + self.downsample(x_BCT))

    def run_tiles(self, tiles: list[Tensor]) -> list[Tensor]:
        """Do the same to one recording in tiles (T, C)."""
        outputs = tiles
        for conv in (self.conv1, self.conv2, self.conv3):
            outputs = _normalise_tiles(conv.run_tiles(outputs))
        # Not a strided convolution: its gradient corrupts memory in oneDNN (channels-last input).
        weight = self.downsample.weight.squeeze(2)
        return [
            functional.gelu(y_TC.add_(functional.linear(x_TC[::2], weight)))
            for x_TC, y_TC in zip(tiles, outputs, strict=True)
        ]


class _SignalEncoder(nn.Module):
    """One signal -> one feature vector per epoch."""

    def __init__(self, samples_per_epoch: int, config: Wav2SleepConfig) -> None:
        super().__init__()
        self.samples_per_epoch = samples_per_epoch
        self.chunked = config.chunk_causal
        n_blocks = int(log2(samples_per_epoch // _VECTORS_PER_EPOCH))
        channels = [
            min(config.initial_channels * 2 ** (i // 2), config.max_channels)
            for i in range(n_blocks)
        ]
        # An epoch encoded on its own cannot see the future: its convolutions need not be causal.
        causal = config.encoder_causal and not config.chunk_causal
        self.cnn = nn.Sequential(
            *(
                _ResidualBlock(n_in, n_out, causal=causal)
                for n_in, n_out in zip([1, *channels[:-1]], channels, strict=True)
            )
        )
        self.linear = nn.Linear(_VECTORS_PER_EPOCH * channels[-1], config.feature_dim)

    def forward(self, x_BT: Tensor) -> Tensor:
        n_recordings, n_samples = x_BT.shape
        n_epochs = n_samples // self.samples_per_epoch
        if self.chunked:
            x_BT = x_BT.reshape(n_recordings * n_epochs, self.samples_per_epoch)
        learning = torch.is_grad_enabled() and (
            x_BT.requires_grad or any(weight.requires_grad for weight in self.parameters())
        )
        if x_BT.is_cpu and not self.chunked and not learning:
            y_BTC = torch.stack([self._run_tiles(x_T) for x_T in x_BT])
        else:
            y_BTC = self.cnn(x_BT.unsqueeze(1)).transpose(1, 2)
        # Time-major within an epoch: all channels of the first vector, then of the second, ...
        return functional.gelu(self.linear(y_BTC.reshape(n_recordings, n_epochs, -1)))

    def _run_tiles(self, x_T: Tensor) -> Tensor:
        """Run the CNN on one recording in tiles (T, C), which halves the CPU time of a night.

        A layer of a night takes 80 MB, and to get, fill and move that much costs more than the
        arithmetic. Training has to keep every layer, so it takes each as a whole.
        """
        tiles = list(x_T.unsqueeze(1).split(_SAMPLES_PER_TILE))
        for block in cast("Iterator[_ResidualBlock]", iter(self.cnn)):
            tiles = block.run_tiles(tiles)
        return torch.cat(tiles)


class _SignalEncoders(nn.Module):
    """The encoders, each under its own name."""

    def __init__(self, config: Wav2SleepConfig) -> None:
        super().__init__()
        self.signals = dict(config.signals)
        self.encoders = nn.ModuleDict(
            {
                encoder: _SignalEncoder(MODALITIES[signal].samples_per_epoch, config)
                for signal, encoder in sorted(config.signals.items())
            }
        )

    def forward(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: self.encoders[self.signals[name]](x[name]) for name in sorted(x)}


class _ConcatMixer(nn.Module):
    """The signals' features of an epoch side by side, zeros for those missing -> one vector."""

    def __init__(self, config: Wav2SleepConfig) -> None:
        super().__init__()
        self.signals = sorted(config.signals)
        self.linear = nn.Linear(len(self.signals) * config.feature_dim, config.feature_dim)

    def forward(self, z: Mapping[str, Tensor], available: Mapping[str, Tensor]) -> Tensor:
        absent_BSF = torch.zeros_like(next(iter(z.values())))
        z_BSF = [
            torch.where(available[name].unsqueeze(-1), z[name], 0.0)
            if name in available
            else z.get(name, absent_BSF)
            for name in self.signals
        ]
        return functional.gelu(self.linear(torch.cat(z_BSF, dim=-1)))


class _AttentionMixer(nn.Module):
    """The signals' features of an epoch, any subset of them -> one feature vector."""

    def __init__(self, config: Wav2SleepConfig) -> None:
        super().__init__()
        self.register_tokens = nn.Parameter(torch.randn(1, 1, config.feature_dim, 1))
        layer = nn.TransformerEncoderLayer(
            config.feature_dim,
            config.mixer_heads,
            config.mixer_dim_ff,
            dropout=config.mixer_dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.transformer_encoder = nn.TransformerEncoder(
            layer, config.mixer_layers, enable_nested_tensor=False
        )

    def forward(self, z: Mapping[str, Tensor], available: Mapping[str, Tensor]) -> Tensor:
        z_BSMF = torch.stack([z[name] for name in sorted(z)], dim=2)
        n_recordings, n_epochs, _, n_features = z_BSMF.shape
        cls_BS1F = self.register_tokens.squeeze(-1).expand(n_recordings, n_epochs, -1).unsqueeze(2)
        tokens_KF = torch.cat([cls_BS1F, z_BSMF], dim=2).flatten(0, 1)
        masked_K = None
        if available:
            everywhere_BS = torch.ones_like(z_BSMF[:, :, 0, 0], dtype=torch.bool)
            available_BSM = torch.stack(
                [available.get(name, everywhere_BS) for name in sorted(z)], dim=2
            )
            # The class token is never masked, so attention always has something to look at.
            masked_K = functional.pad(~available_BSM.flatten(0, 1), (1, 0), value=False)
        mixed_KF = self.transformer_encoder(tokens_KF, src_key_padding_mask=masked_K)
        return mixed_KF[:, 0].reshape(n_recordings, n_epochs, n_features)


class _ChannelNorm(nn.Module):
    """Layer norm over the features of (B, F, S), parameters kept as (1, F, 1)."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, n_features, 1))
        self.bias = nn.Parameter(torch.zeros(1, n_features, 1))

    def forward(self, x_BFS: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x_BFS, dim=1, correction=0, keepdim=True)
        return (x_BFS - mean) * torch.rsqrt(variance + 1e-5) * self.weight + self.bias


class _DilatedLayer(nn.Module):
    """One dilated convolution over epochs, normalised."""

    def __init__(self, dilation: int, config: Wav2SleepConfig) -> None:
        super().__init__()
        conv = _Conv(
            config.feature_dim,
            config.feature_dim,
            config.sequence_kernel,
            dilation=dilation,
            causal=config.sequence_causal,
        )
        self.left = conv.left
        self.conv = conv.conv
        self.norm = _ChannelNorm(config.feature_dim)

    def forward(self, x_BFS: Tensor) -> Tensor:
        x_BFS = functional.pad(x_BFS, (self.left, 0)) if self.left else x_BFS
        return functional.gelu(self.norm(self.conv(x_BFS)))


class _DilatedBlock(nn.Module):
    """Layers of growing dilation, around a shortcut."""

    def __init__(self, config: Wav2SleepConfig) -> None:
        super().__init__()
        self.conv_layers = nn.Sequential(
            *(_DilatedLayer(2**i, config) for i in range(config.sequence_dilations))
        )
        self.dropout = nn.Dropout(config.sequence_dropout)

    def forward(self, x_BFS: Tensor) -> Tensor:
        return functional.gelu(x_BFS + self.dropout(self.conv_layers(x_BFS)))


class _SequenceMixer(nn.Module):
    """Feature vectors of the epochs, each in the light of its neighbours."""

    def __init__(self, config: Wav2SleepConfig) -> None:
        super().__init__()
        self.dilated_convs = nn.Sequential(
            *(_DilatedBlock(config) for _ in range(config.sequence_blocks))
        )

    def forward(self, x_BSF: Tensor) -> Tensor:
        return self.dilated_convs(x_BSF.transpose(1, 2)).transpose(1, 2)


class Wav2Sleep(nn.Module):
    """The wav2sleep network: any subset of its signals -> stage logits per epoch.

    Parameters
    ----------
    config : Wav2SleepConfig
        The architecture.

    Attributes
    ----------
    calibration : Calibration
        How far to believe its probabilities; nothing that the network itself uses.

    Notes
    -----
    Parameters carry the names of the released state dict (arXiv 2411.04644 and the authors'
    published weights), so that it loads strictly.
    """

    def __init__(self, config: Wav2SleepConfig) -> None:
        super().__init__()
        self.config = config
        self.calibration = Calibration()
        self.signal_encoders = _SignalEncoders(config)
        self.epoch_mixer = (
            _AttentionMixer(config) if config.epoch_mixer == "attention" else _ConcatMixer(config)
        )
        self.sequence_mixer = _SequenceMixer(config)
        self.classifier = nn.Linear(config.feature_dim, config.n_classes)

    def forward(
        self, x: Mapping[str, Tensor], available: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Compute the stage logits.

        Parameters
        ----------
        x : mapping of str to Tensor, shape (B, S * samples_per_epoch)
            z-scored signals on the network's grid, by name. Signals that no recording of the
            batch has are left out, and their encoders do not run.
        available : mapping of str to Tensor of bool, shape (B,) or (B, S), optional
            Which recordings, or which of their epochs, have the signal. A signal that is not
            named here is available throughout. What ``x`` holds for a recording that lacks the
            signal altogether does not matter, NaN included.

        Returns
        -------
        logits : Tensor, shape (B, S, n_classes)
            Unnormalised log-probabilities of the stages.

        Raises
        ------
        ValueError
            If ``x`` is empty, names an unknown signal, or the lengths do not fit together.
        """
        self._check(x, available or {})
        if available:
            # Samples of rows that are not there must stay finite: 0 * NaN is NaN in attention.
            x = {
                name: torch.where(available[name].reshape(len(x_BT), -1).any(1, True), x_BT, 0.0)
                if name in available
                else x_BT
                for name, x_BT in x.items()
            }
        return self.mix(self.encode(x), available)

    def encode(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the encoders of the signals that are given.

        Parameters
        ----------
        x : mapping of str to Tensor, shape (B, S * samples_per_epoch)
            z-scored signals on the network's grid, by name; B may differ among them.

        Returns
        -------
        z : dict of str to Tensor, shape (B, S, feature_dim)
            Feature vectors by signal.
        """
        return self.signal_encoders(x)

    def mix(self, z: Mapping[str, Tensor], available: Mapping[str, Tensor] | None = None) -> Tensor:
        """Compute the stage logits from the features of any subset of the signals.

        Parameters
        ----------
        z : mapping of str to Tensor, shape (B, S, feature_dim)
            Feature vectors, from :meth:`encode`; finite, whether available or not.
        available : mapping of str to Tensor of bool, shape (B,) or (B, S), optional
            As in :meth:`forward`.

        Returns
        -------
        logits : Tensor, shape (B, S, n_classes)
            Unnormalised log-probabilities of the stages.
        """
        n_recordings, n_epochs, _ = next(iter(z.values())).shape
        available_BS = {
            name: mask.reshape(n_recordings, -1).expand(n_recordings, n_epochs)
            for name, mask in (available or {}).items()
        }
        return self.classifier(self.sequence_mixer(self.epoch_mixer(z, available_BS)))

    def _check(self, x: Mapping[str, Tensor], available: Mapping[str, Tensor]) -> None:
        """Refuse a batch that would give a wrong answer or an obscure error."""
        known = sorted(self.config.signals)
        if not x or not set(x) <= set(known):
            raise ValueError(
                f"This network reads one or more of the signals {known}, got {sorted(x)}."
            )
        shapes = {}
        for name, x_BT in x.items():
            samples = MODALITIES[name].samples_per_epoch
            if x_BT.ndim != 2 or x_BT.shape[1] == 0 or x_BT.shape[1] % samples:
                raise ValueError(
                    f"{name} needs the shape (B, S * {samples}), one or more whole epochs of "
                    f"{samples} samples each, got {tuple(x_BT.shape)}."
                )
            shapes[name] = (x_BT.shape[0], x_BT.shape[1] // samples)
        if len(set(shapes.values())) > 1:
            raise ValueError(
                f"All signals need the same number of recordings and epochs, got {shapes}."
            )
        if not set(available) <= set(x):
            raise ValueError(
                f"available names {sorted(set(available) - set(x))}, for which x has no signal."
            )
        for name, mask in available.items():
            if mask.dtype != torch.bool or tuple(mask.shape) not in (
                shapes[name][:1],
                shapes[name],
            ):
                raise ValueError(
                    f"available[{name!r}] must be bool of shape {shapes[name][:1]} or "
                    f"{shapes[name]}, got {mask.dtype} of shape {tuple(mask.shape)}."
                )
