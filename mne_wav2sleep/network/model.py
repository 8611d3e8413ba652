"""The wav2sleep network (arXiv 2411.04644), as released and as in the paper.

Shape suffixes: B recordings, S epochs, T samples, N values per epoch, C channels, F features,
M modalities, K tokens per epoch (the class token and the modalities).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..modalities import MODALITIES
from .attention import WindowMixer
from .config import VECTORS_PER_EPOCH, Wav2SleepConfig
from .relative import subtract_means


class Conv(nn.Module):
    """Convolution over time without a bias, padded to keep time, causal or centered."""

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
        """Pad on the left if causal, and convolve."""
        return self.conv(functional.pad(x_BCT, (self.left, 0)) if self.left else x_BCT)


class ResidualBlock(nn.Module):
    """Three convolutions with a residual connection; the number of samples is halved."""

    def __init__(self, n_in: int, n_out: int, config: Wav2SleepConfig) -> None:
        super().__init__()
        self.pooled = config.encoder_downsampling == "max_pool"
        self.eps = config.encoder_norm_eps
        # Epochs that are encoded separately cannot see the future, whatever their convolutions do.
        causal = config.encoder_causal and not config.chunk_causal
        self.conv1 = Conv(n_in, n_out, 3, causal=causal)
        self.conv2 = Conv(n_out, n_out, 3, causal=causal)
        self.conv3 = Conv(n_out, n_out, 3, stride=1 if self.pooled else 2, causal=causal)
        self.downsample = nn.Conv1d(n_in, n_out, 1, stride=2, bias=False)

    def forward(self, x_BCT: Tensor) -> Tensor:
        """Map (B, n_in, T) to (B, n_out, T / 2)."""
        y_BCT = x_BCT
        for conv in (self.conv1, self.conv2, self.conv3):
            y_BCT = functional.gelu(functional.instance_norm(conv(y_BCT), eps=self.eps))
        if self.pooled:
            y_BCT = functional.max_pool1d(y_BCT, 2)
        return functional.gelu(y_BCT + self.downsample(x_BCT))


class SignalEncoder(nn.Module):
    """Encoder of one signal, which gives one feature vector per epoch."""

    def __init__(
        self, samples_per_epoch: int, channels: Sequence[int], config: Wav2SleepConfig
    ) -> None:
        super().__init__()
        self.samples_per_epoch = samples_per_epoch
        self.chunked = config.chunk_causal
        self.cnn = nn.Sequential(
            *(
                ResidualBlock(n_in, n_out, config)
                for n_in, n_out in zip([1, *channels[:-1]], channels, strict=True)
            )
        )
        self.linear = nn.Linear(VECTORS_PER_EPOCH * channels[-1], config.feature_dim)

    def forward(self, x_BT: Tensor) -> Tensor:
        """Map (B, S * samples_per_epoch) to (B, S, F)."""
        n_recordings, n_samples = x_BT.shape
        n_epochs = n_samples // self.samples_per_epoch
        if self.chunked:
            x_BT = x_BT.reshape(n_recordings * n_epochs, self.samples_per_epoch)
        y_BTC = self.cnn(x_BT.unsqueeze(1)).transpose(1, 2)
        return self.embed(y_BTC.reshape(n_recordings, n_epochs, -1))

    def embed(self, y_BSN: Tensor) -> Tensor:
        """Map the vectors of each epoch, side by side, to its features."""
        # Time-major within an epoch: all channels of the first vector, then of the second, ...
        return functional.gelu(self.linear(y_BSN))


class SignalEncoders(nn.Module):
    """The encoders by name; two modalities may share one."""

    def __init__(self, config: Wav2SleepConfig) -> None:
        super().__init__()
        self.signals = dict(config.signals)
        self.encoders = nn.ModuleDict(
            {
                encoder: SignalEncoder(
                    MODALITIES[signal].samples_per_epoch, config.list_channels(encoder), config
                )
                for signal, encoder in sorted(config.signals.items())
            }
        )

    def forward(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Encode each signal, in alphabetical order."""
        return {name: self.encoders[self.signals[name]](x[name]) for name in sorted(x)}

    def check_definitions(self) -> None:
        """Refuse to go on if a signal was removed, or added again on another grid."""
        for name, encoder in self.signals.items():
            expected: Any = self.encoders[encoder].samples_per_epoch
            known = MODALITIES.get(name)
            if known is None or known.samples_per_epoch != expected:
                now, advice = f"{name} was removed", "Load"
                if known is not None:
                    now = f"{name} now has {known.samples_per_epoch}"
                    advice = f"Call remove_modality({name!r}), and load"
                raise ValueError(
                    f"The network reads {name} with {expected} samples per epoch, but {now}. "
                    f"{advice} the weights again."
                )


class _ConcatMixer(nn.Module):
    """Mixer that concatenates the features of all signals, with zeros for missing ones."""

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
    """Transformer across the signals of an epoch; its class token becomes the epoch's features."""

    def __init__(self, config: Wav2SleepConfig) -> None:
        super().__init__()
        tokens = torch.empty(1, 1, config.feature_dim, 1)
        # On the device "meta", torch would import its compiler and sympy to draw nothing.
        self.register_tokens = nn.Parameter(tokens if tokens.is_meta else tokens.normal_())
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
            # The class token is never masked, so attention always has a key.
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


class _FeatureNorm(nn.Module):
    """Layer norm over the features of (B, F, S), parameters kept as (F,) by torch's own."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(n_features, eps=1e-5)

    def forward(self, x_BFS: Tensor) -> Tensor:
        return self.norm(x_BFS.transpose(1, 2)).transpose(1, 2)


class _DilatedLayer(nn.Module):
    """One dilated convolution over epochs, with layer norm."""

    def __init__(self, dilation: int, config: Wav2SleepConfig) -> None:
        super().__init__()
        conv = Conv(
            config.feature_dim,
            config.feature_dim,
            config.sequence_kernel,
            dilation=dilation,
            causal=config.sequence_causal,
        )
        self.left = conv.left
        self.conv = conv.conv
        is_first = config.sequence_norm == "channels_first"
        self.norm = (_ChannelNorm if is_first else _FeatureNorm)(config.feature_dim)

    def forward(self, x_BFS: Tensor) -> Tensor:
        x_BFS = functional.pad(x_BFS, (self.left, 0)) if self.left else x_BFS
        return functional.gelu(self.norm(self.conv(x_BFS)))


class _DilatedBlock(nn.Module):
    """Layers of increasing dilation with a residual connection."""

    def __init__(self, config: Wav2SleepConfig) -> None:
        super().__init__()
        self.conv_layers = nn.Sequential(
            *(_DilatedLayer(2**i, config) for i in range(config.sequence_dilations))
        )
        self.dropout = nn.Dropout(config.sequence_dropout)

    def forward(self, x_BFS: Tensor) -> Tensor:
        return functional.gelu(x_BFS + self.dropout(self.conv_layers(x_BFS)))


class _SequenceMixer(nn.Module):
    """Dilated convolutions that give each epoch the context of its neighbors."""

    def __init__(self, config: Wav2SleepConfig) -> None:
        super().__init__()
        self.dilated_convs = nn.Sequential(
            *(_DilatedBlock(config) for _ in range(config.sequence_blocks))
        )

    def forward(self, x_BSF: Tensor) -> Tensor:
        return self.dilated_convs(x_BSF.transpose(1, 2)).transpose(1, 2)


class Wav2Sleep(nn.Module):
    """The wav2sleep network, which computes stage logits from any subset of its signals.

    Parameters
    ----------
    config : Wav2SleepConfig
        The architecture.

    See Also
    --------
    mne_wav2sleep.load_weights : Load a trained network.

    Notes
    -----
    The architecture is that of Carter and Tarassenko (arXiv 2411.04644). Parameters have the names
    of the authors' state dicts, so that these can be loaded strictly.

    Examples
    --------
    >>> network = Wav2Sleep(Wav2SleepConfig(feature_dim=8)).eval()  # random weights
    >>> x = {"ECG": torch.randn(1, 10 * 1024), "THX": torch.randn(1, 10 * 256)}  # ten epochs
    >>> network(x).shape
    torch.Size([1, 10, 4])
    """

    def __init__(self, config: Wav2SleepConfig) -> None:
        super().__init__()
        self.config = config
        self.signal_encoders = SignalEncoders(config)
        self.epoch_mixer = (
            _AttentionMixer(config) if config.epoch_mixer == "attention" else _ConcatMixer(config)
        )
        self.sequence_mixer = (
            _SequenceMixer(config) if config.sequence_mixer == "dilated" else WindowMixer(config)
        )
        self.classifier = nn.Linear(config.feature_dim, config.n_classes)

    def forward(
        self, x: Mapping[str, Tensor], available: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Compute the stage logits.

        Parameters
        ----------
        x : mapping of str to Tensor, shape (B, S * samples_per_epoch)
            Modality -> z-scored signals on the network's grid (see
            ``mne_wav2sleep.modalities.MODALITIES`` for the samples per epoch). Leave out
            modalities that no recording of the batch has; their encoders do not run.
        available : mapping of str to Tensor of bool, shape (B,) or (B, S), optional
            Modality -> which recordings, or which of their epochs, have the signal. Modalities
            that are not listed are available throughout. Values of ``x`` for a recording without
            the signal are ignored, and may be NaN.

        Returns
        -------
        logits : Tensor, shape (B, S, n_classes)
            Unnormalized log-probabilities of the stages.

        Raises
        ------
        ValueError
            If ``x`` is empty, names a modality that the network does not read, or has shapes that
            do not match.
        """
        self._check(x, available or {})
        if available:
            # Missing signals must be finite, because attention multiplies by 0, and 0 * NaN is NaN.
            x = {
                name: torch.where(available[name].reshape(len(x_BT), -1).any(1, True), x_BT, 0.0)
                if name in available
                else x_BT
                for name, x_BT in x.items()
            }
        return self.mix(self.encode(x), available)

    def encode(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the encoders of the given signals.

        Parameters
        ----------
        x : mapping of str to Tensor, shape (B, S * samples_per_epoch)
            Modality -> z-scored signals on the network's grid. B may differ between modalities.

        Returns
        -------
        z : dict of str to Tensor, shape (B, S, feature_dim)
            Modality -> feature vectors.
        """
        return self.signal_encoders(x)

    def mix(self, z: Mapping[str, Tensor], available: Mapping[str, Tensor] | None = None) -> Tensor:
        """Compute the stage logits from the features of any subset of the signals.

        Parameters
        ----------
        z : mapping of str to Tensor, shape (B, S, feature_dim)
            Feature vectors from :meth:`encode`; they must be finite, even if not available.
        available : mapping of str to Tensor of bool, shape (B,) or (B, S), optional
            As in :meth:`forward`.

        Returns
        -------
        logits : Tensor, shape (B, S, n_classes)
            Unnormalized log-probabilities of the stages.
        """
        n_recordings, n_epochs, _ = next(iter(z.values())).shape
        available_BS = {
            name: mask.reshape(n_recordings, -1).expand(n_recordings, n_epochs)
            for name, mask in (available or {}).items()
        }
        if self.config.relative_features:
            z = subtract_means(z, available_BS)
        return self.classifier(self.sequence_mixer(self.epoch_mixer(z, available_BS)))

    def _check(self, x: Mapping[str, Tensor], available: Mapping[str, Tensor]) -> None:
        """Refuse a batch that would give a wrong answer or an obscure error."""
        known = sorted(self.config.signals)
        if not x or not set(x) <= set(known):
            raise ValueError(
                f"This network reads one or more of the signals {known}, got {sorted(x)}."
            )
        self.signal_encoders.check_definitions()
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
