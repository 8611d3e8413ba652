"""The wav2sleep network (arXiv 2411.04644), as the released weights have it. Torch only.

Shape suffixes: B recordings, S epochs, T samples, N samples per epoch, C channels, F features,
M signals, K tokens of an epoch (the class token and the signals).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import log2
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .modalities import MODALITIES

_VECTORS_PER_EPOCH = 4
_INSTANCE_NORM_EPS = 1e-2
# 16 MB at 16 channels: memory that the C library reuses rather than gives back, and few enough
# tiles that their threads seldom wait for each other.
_SAMPLES_PER_TILE = 2**18


@dataclass(frozen=True)
class Wav2SleepConfig:
    """What has to be known to build the network; the defaults are the released model's.

    Attributes
    ----------
    signals : mapping of str to str
        Signal name -> name of the encoder that reads it. Two signals may share an encoder.
    n_classes : int
        Number of sleep stages: 4 (Wake, Light, Deep, REM) or 5 (Wake, N1, N2, N3, REM).
    feature_dim : int
        Features per epoch, F.
    initial_channels, max_channels : int
        Channels of an encoder's first block, and the most that any block has.
    encoder_causal : bool
        Whether the encoders' convolutions look at the past alone.
    chunk_causal : bool
        Whether each epoch is encoded on its own. Needs ``encoder_causal``.
    mixer_layers, mixer_heads, mixer_dim_ff : int
        Layers, heads and feed-forward width of the epoch mixer.
    mixer_dropout : float
        Dropout in the epoch mixer.
    sequence_blocks, sequence_dilations, sequence_kernel : int
        Blocks of the sequence mixer, layers (dilation 1, 2, 4, ...) in each, kernel size.
    sequence_dropout : float
        Dropout at the end of each block of the sequence mixer.
    sequence_causal : bool
        Whether an epoch's stage depends on the past alone.
    """

    signals: Mapping[str, str] = field(
        default_factory=lambda: {name: name for name in ("ABD", "ECG", "PPG", "THX")}
    )
    n_classes: int = 4
    feature_dim: int = 128
    initial_channels: int = 16
    max_channels: int = 128
    encoder_causal: bool = False
    chunk_causal: bool = False
    mixer_layers: int = 2
    mixer_heads: int = 8
    mixer_dim_ff: int = 512
    mixer_dropout: float = 0.1
    sequence_blocks: int = 2
    sequence_dilations: int = 5
    sequence_kernel: int = 5
    sequence_dropout: float = 0.1
    sequence_causal: bool = False

    def __post_init__(self) -> None:
        unknown = sorted(set(self.signals) - set(MODALITIES))
        if unknown or not self.signals:
            raise ValueError(
                f"The config names the signals {sorted(self.signals)}; wav2sleep networks read "
                f"one or more of {sorted(MODALITIES)}. Not among them: {unknown or 'none given'}."
            )
        for encoder in set(self.signals.values()):
            widths = {
                MODALITIES[signal].samples_per_epoch
                for signal, name in self.signals.items()
                if name == encoder
            }
            if len(widths) > 1:
                raise ValueError(
                    f"The config shares the encoder {encoder!r} among signals with {sorted(widths)}"
                    " samples per epoch; signals that share an encoder need the same number."
                )
        if self.n_classes not in (4, 5):
            raise ValueError(f"n_classes must be 4 or 5 sleep stages, got {self.n_classes}.")
        if self.feature_dim % self.mixer_heads:
            raise ValueError(
                f"feature_dim ({self.feature_dim}) must be a multiple of the number of heads "
                f"({self.mixer_heads})."
            )
        if self.chunk_causal and not self.encoder_causal:
            raise ValueError("chunk_causal needs causal: true as well, and it is false.")
        if self.sequence_kernel % 2 == 0 and not self.sequence_causal:
            raise ValueError(
                "A sequence mixer that is not causal needs an odd kernel, got "
                f"{self.sequence_kernel}."
            )
        sizes = {
            "feature_dim": self.feature_dim,
            "initial_channels": self.initial_channels,
            "max_channels": self.max_channels,
            "mixer_layers": self.mixer_layers,
            "mixer_dim_ff": self.mixer_dim_ff,
            "sequence_blocks": self.sequence_blocks,
            "sequence_dilations": self.sequence_dilations,
            "sequence_kernel": self.sequence_kernel,
        }
        if small := [f"{name} = {size}" for name, size in sizes.items() if size < 1]:
            raise ValueError(f"Sizes in a config must be 1 or more, got {', '.join(small)}.")


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


class _EpochMixer(nn.Module):
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

    def forward(self, z_BSMF: Tensor, available_BSM: Tensor | None) -> Tensor:
        n_recordings, n_epochs, _, n_features = z_BSMF.shape
        cls_BS1F = self.register_tokens.squeeze(-1).expand(n_recordings, n_epochs, -1).unsqueeze(2)
        tokens_KF = torch.cat([cls_BS1F, z_BSMF], dim=2).flatten(0, 1)
        masked_K = None
        if available_BSM is not None:
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

    Notes
    -----
    Parameters carry the names of the released state dict (arXiv 2411.04644 and the authors'
    published weights), so that it loads strictly.
    """

    def __init__(self, config: Wav2SleepConfig) -> None:
        super().__init__()
        self.config = config
        self.signal_encoders = _SignalEncoders(config)
        self.epoch_mixer = _EpochMixer(config)
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
        names = sorted(x)
        available_BSM = None
        if available:
            n_recordings, n_epochs = self._n_epochs(x)
            masks = []
            for name in names:
                mask = available.get(name)
                if mask is None:
                    mask = torch.ones(
                        n_recordings, n_epochs, dtype=torch.bool, device=x[name].device
                    )
                masks.append(
                    mask if mask.ndim == 2 else mask.unsqueeze(1).expand(n_recordings, n_epochs)
                )
            available_BSM = torch.stack(masks, dim=2)
            # Padding of rows that are not there must stay finite: 0 * NaN is NaN in attention.
            x = {
                name: torch.where(mask.any(1, keepdim=True), x[name], 0.0)
                for name, mask in zip(names, masks, strict=True)
            }
        encoded = self.signal_encoders(x)
        z_BSMF = torch.stack([encoded[name] for name in names], dim=2)
        return self.classifier(self.sequence_mixer(self.epoch_mixer(z_BSMF, available_BSM)))

    @staticmethod
    def _n_epochs(x: Mapping[str, Tensor]) -> tuple[int, int]:
        """Count the recordings and epochs of a checked batch."""
        name, x_BT = next(iter(x.items()))
        return x_BT.shape[0], x_BT.shape[1] // MODALITIES[name].samples_per_epoch

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
