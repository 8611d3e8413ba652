"""Architecture of a wav2sleep network (arXiv 2411.04644), and the preprocessing of its input."""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from ..errors import quote
from ..modalities import CARDIO_RESPIRATORY, MODALITIES, list_added

_CONFIG = ConfigDict(strict=True, extra="forbid")
# Limits that bound the memory and time that a config can take before its weights are compared with
# it: about sixteen times the released network in each direction.
_Width = Annotated[int, Field(ge=1, le=2048)]
_Depth = Annotated[int, Field(ge=1, le=32)]
_MAX_REACH = 20_000
"""Number of epochs, about a week, that a convolution of the sequence mixer spans at most."""
_MAX_PAIRS = 20_000_000
"""Pairs of epochs of a window, times heads, for which attention keeps three values."""
_Dropout = Annotated[float, Field(ge=0, lt=1)]
# JSON has no tuples.
_Channels = Annotated[tuple[_Width, ...], Field(strict=False)]

VECTORS_PER_EPOCH = 4
"""Vectors that the blocks of an encoder leave of an epoch."""

_PAPER_BELT = (16, 32, 64, 64, 128, 128)
_PAPER_SIZES: dict[str, tuple[int, dict[int, tuple[int, ...]]]] = {
    "large": (128, {256: _PAPER_BELT, 1024: ()}),
    "small": (32, {256: (), 1024: ()}),
}
"""Sizes of the paper's encoders: the largest number of channels, and, for each number of samples
per epoch, the channels of the blocks; none if they follow the rule of the released weights."""


@dataclass(frozen=True, config=_CONFIG)
class Preprocessing:
    """Preprocessing that belongs to a set of weights.

    All networks read signals that are interpolated to the network's grid and z-scored; the weights
    determine the padding.

    Parameters
    ----------
    padded_epochs : int
        Number of 30-s epochs to which shorter nights are padded before z-scoring, as in training;
        0 for no padding, and 5760 (48 h) at most. The released weights were trained with 1200
        (10 h).
    padding : str
        What the padding holds: ``"mean"``, the mean of the signal, for the released weights; or
        ``"last"``, its last sample, for those of the paper.

    Raises
    ------
    pydantic.ValidationError
        If a value is out of range (a subclass of ValueError).

    Examples
    --------
    >>> Preprocessing().padded_epochs * 30 / 3600  # hours
    10.0
    """

    padded_epochs: Annotated[int, Field(ge=0, le=5760)] = 1200
    padding: Literal["mean", "last"] = "mean"

    @classmethod
    def of_paper(cls) -> "Preprocessing":
        """Make the preprocessing of the paper's own model.

        Returns
        -------
        preprocessing : Preprocessing
            Nights are padded to 10 h with the last sample.

        Examples
        --------
        >>> Preprocessing.of_paper()
        Preprocessing(padded_epochs=1200, padding='last')
        """
        return cls(padding="last")


@dataclass(frozen=True, config=_CONFIG)
class Wav2SleepConfig:
    """Architecture of a network. The defaults are those of the released weights.

    Parameters
    ----------
    signals : mapping of str to str
        Modality -> name of the encoder that reads it. Modalities may share an encoder if they have
        the same number of samples per epoch.
    n_classes : int
        Number of sleep stages: 4 (Wake, Light, Deep, REM) or 5 (Wake, N1, N2, N3, REM).
    feature_dim : int
        Number of features per epoch, 2048 at most.
    initial_channels, max_channels : int
        Number of channels in the first block of an encoder, and the largest number in any block,
        each 2048 at most. It doubles with every second block.
    block_channels : mapping of str to tuple of int
        Encoder -> number of channels of each of its blocks, for encoders whose number does not
        follow from ``initial_channels`` and ``max_channels``. An encoder has as many blocks as
        halve the samples of an epoch to four: 8 for ECG and PPG, 6 for belts, and 10 for EOG.
    encoder_downsampling : str
        How a block halves the number of samples: ``"stride"``, by the stride of its last
        convolution, as released; or ``"max_pool"``, by max-pooling after it, as in the paper.
    encoder_norm_eps : float
        What instance norm adds to the variance, above 0 and 1 at most.
    encoder_causal : bool
        Whether the convolutions of the encoders are causal.
    chunk_causal : bool
        Whether each epoch is encoded separately. Requires ``encoder_causal``.
    relative_features : bool
        Whether the features of each signal are relative to their mean over the epochs of the
        recording that have it. Mixers then see how an epoch differs from the rest of the night, and
        not how people differ, which helps if few people were trained on. Nights are neither padded
        nor cropped then, and the network cannot be causal.
    epoch_mixer : str
        ``"attention"``, as released, or ``"concat"``, the alternative in the paper: a linear layer
        on the concatenated features of all signals, with zeros for missing signals.
    mixer_layers, mixer_heads, mixer_dim_ff : int
        Number of layers (32 at most), number of heads, and feed-forward width (8192 at most) of
        the attention mixer.
    mixer_dropout : float
        Dropout in the attention mixer.
    sequence_mixer : str
        ``"dilated"``, the dilated convolutions of the paper, or ``"attention"``, a transformer in
        which each epoch attends to its neighbors.
    sequence_blocks, sequence_dilations, sequence_kernel : int
        Number of blocks of the sequence mixer (32 at most), number of layers (with dilations 1, 2,
        4, ..., 16 at most) in each, and kernel size in epochs (255 at most). The widest layer spans
        20,000 epochs at most. Attention has ``sequence_blocks`` layers, and ignores the others.
    sequence_window, sequence_heads, sequence_dim_ff : int
        For attention: number of epochs that it reaches to each side in a layer (1200 at most),
        number of heads, and feed-forward width (8192 at most).
    sequence_dropout : float
        Dropout at the end of each block of the sequence mixer.
    sequence_norm : str
        How the parameters of the sequence mixer's layer norms are stored: ``"channels_first"``, as
        released (``norm.weight``, shape (1, F, 1)), or ``"channels_last"``, as in the paper's
        weights (``norm.norm.weight``, shape (F,)). Both compute the same.
    sequence_causal : bool
        Whether the sequence mixer is causal. With ``chunk_causal`` as well, the stage of an epoch
        does not depend on later epochs.

    Raises
    ------
    pydantic.ValidationError
        If the config does not describe a valid network (a subclass of ValueError).

    Examples
    --------
    >>> Wav2SleepConfig(signals={"ABD": "RESP", "THX": "RESP"}).n_classes  # one encoder for both
    4
    """

    signals: Mapping[str, str] = field(
        default_factory=lambda: {name: name for name in CARDIO_RESPIRATORY}
    )
    n_classes: Literal[4, 5] = 4
    feature_dim: _Width = 128
    initial_channels: _Width = 16
    max_channels: _Width = 128
    block_channels: Mapping[str, _Channels] = field(default_factory=dict)
    encoder_downsampling: Literal["stride", "max_pool"] = "stride"
    encoder_norm_eps: Annotated[float, Field(gt=0, le=1)] = 1e-2
    encoder_causal: bool = False
    chunk_causal: bool = False
    relative_features: bool = False
    epoch_mixer: Literal["attention", "concat"] = "attention"
    mixer_layers: _Depth = 2
    mixer_heads: _Width = 8
    mixer_dim_ff: Annotated[int, Field(ge=1, le=8192)] = 512
    mixer_dropout: _Dropout = 0.1
    sequence_mixer: Literal["dilated", "attention"] = "dilated"
    sequence_blocks: _Depth = 2
    sequence_dilations: Annotated[int, Field(ge=1, le=16)] = 5
    sequence_kernel: Annotated[int, Field(ge=1, le=255)] = 5
    sequence_window: Annotated[int, Field(ge=1, le=1200)] = 120
    sequence_heads: _Width = 8
    sequence_dim_ff: Annotated[int, Field(ge=1, le=8192)] = 512
    sequence_dropout: _Dropout = 0.1
    sequence_norm: Literal["channels_first", "channels_last"] = "channels_first"
    sequence_causal: bool = False

    def __getstate__(self) -> dict[str, Any]:
        """Send added modalities along, which add themselves where they are unpickled."""
        return {**vars(self), "_added": list_added(self.signals)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the fields alone."""
        vars(self).update({name: value for name, value in state.items() if name != "_added"})

    @classmethod
    def of_paper(
        cls, signals: Mapping[str, str] | None = None, *, size: str = "large", **others: Any
    ) -> "Wav2SleepConfig":
        """Make the architecture of the paper's own model.

        It differs from the released one in its encoders, which have max-pooling, another small
        number in instance norm, and more channels for belts, and in its sequence mixer, which
        reaches further.

        Parameters
        ----------
        signals : mapping of str to str, optional
            Modality -> name of its encoder, some of ABD, ECG, PPG and THX; by default all four.
        size : str
            ``"large"``, as in the paper, or ``"small"``, with at most 32 channels.
        **others
            Other parameters of :class:`Wav2SleepConfig`, such as ``n_classes``.

        Returns
        -------
        config : Wav2SleepConfig
            The architecture.

        Raises
        ------
        ValueError
            If there is no such size, or a signal is none that the paper's model reads.

        Examples
        --------
        >>> config = Wav2SleepConfig.of_paper({"ECG": "ECG", "THX": "THX"})
        >>> config.block_channels
        {'THX': (16, 32, 64, 64, 128, 128)}
        """
        if not isinstance(size, str) or size not in _PAPER_SIZES:
            raise ValueError(f"size should be 'large' or 'small', got {quote(size)}")
        max_channels, rules = _PAPER_SIZES[size]
        signals = {name: name for name in CARDIO_RESPIRATORY} if signals is None else signals
        if not isinstance(signals, Mapping) or not set(signals) <= set(CARDIO_RESPIRATORY):
            raise ValueError(
                f"the signals of the paper's model are {', '.join(CARDIO_RESPIRATORY)}, got "
                f"{quote(sorted(map(str, signals)) if isinstance(signals, Mapping) else signals)}"
            )
        channels = {
            encoder: rules[MODALITIES[signal].samples_per_epoch]
            for signal, encoder in signals.items()
            if isinstance(encoder, str)  # others are refused below
        }
        settings: dict[str, Any] = {
            "signals": signals,
            "max_channels": max_channels,
            "block_channels": {encoder: found for encoder, found in channels.items() if found},
            "encoder_downsampling": "max_pool",
            "encoder_norm_eps": 1e-5,
            "sequence_dilations": 6,
            "sequence_kernel": 7,
            "sequence_norm": "channels_last",
        }
        return cls(**(settings | others))

    def list_channels(self, encoder: str) -> tuple[int, ...]:
        """List the number of channels of each block of an encoder.

        Parameters
        ----------
        encoder : str
            Name of the encoder.

        Returns
        -------
        channels : tuple of int
            The number of channels of the output of each block.

        Examples
        --------
        >>> Wav2SleepConfig().list_channels("THX")
        (16, 16, 32, 32, 64, 64)
        """
        if encoder in self.block_channels:
            return self.block_channels[encoder]
        return tuple(
            min(self.initial_channels * 2 ** (i // 2), self.max_channels)
            for i in range(self._count_blocks(encoder))
        )

    def _count_blocks(self, encoder: str) -> int:
        """Count the blocks that halve the samples of an epoch until a few vectors are left."""
        signal = next(name for name, found in self.signals.items() if found == encoder)
        return (MODALITIES[signal].samples_per_epoch // VECTORS_PER_EPOCH).bit_length() - 1

    @model_validator(mode="after")
    def _check_encoders(self) -> "Wav2SleepConfig":
        """Reject unknown signals, and encoders that torch cannot build."""
        if not self.signals or not set(self.signals) <= set(MODALITIES):
            raise ValueError(
                f"signals should be one or more of {', '.join(MODALITIES)}, or others that were "
                f"added (add_modality), got {', '.join(map(repr, self.signals)) or 'none'}"
            )
        for encoder in set(self.signals.values()):
            widths = {
                MODALITIES[signal].samples_per_epoch
                for signal, name in self.signals.items()
                if name == encoder
            }
            if len(widths) > 1:
                raise ValueError(
                    f"signals share the encoder {encoder!r}, but have {sorted(widths)} samples per "
                    "epoch; signals that share an encoder need the same number"
                )
            # Encoders become attributes of a torch module, which restricts their names.
            if encoder not in MODALITIES and not _is_name(encoder):
                raise ValueError(
                    f"signals names an encoder {encoder!r}, which torch does not accept as a name; "
                    "name it after its signal"
                )
        return self

    @model_validator(mode="after")
    def _check_channels(self) -> "Wav2SleepConfig":
        """Reject channels of encoders or blocks that do not exist."""
        for encoder, channels in self.block_channels.items():
            if encoder not in self.signals.values():
                raise ValueError(
                    f"block_channels names the encoder {quote(encoder)}, but those of the signals "
                    f"are {', '.join(sorted(set(self.signals.values())))}; leave it out"
                )
            if len(channels) != (n_blocks := self._count_blocks(encoder)):
                raise ValueError(
                    f"block_channels has {len(channels)} numbers for the encoder {encoder!r}, "
                    f"which has {n_blocks} blocks"
                )
        return self

    @model_validator(mode="after")
    def _check_sizes(self) -> "Wav2SleepConfig":
        """Reject combinations of sizes that do not form a network."""
        heads = {"mixer_heads": self.mixer_heads}
        if self.sequence_mixer == "attention":  # otherwise there are none
            heads["sequence_heads"] = self.sequence_heads
        for name, n_heads in heads.items():
            if self.feature_dim % n_heads:
                raise ValueError(
                    f"feature_dim ({self.feature_dim}) should be a multiple of {name} ({n_heads})"
                )
        if (pairs := self.sequence_heads * self.sequence_window**2) > _MAX_PAIRS:
            raise ValueError(
                f"sequence_heads ({self.sequence_heads}) and sequence_window "
                f"({self.sequence_window}) give {pairs:,} pairs of epochs, but {_MAX_PAIRS:,} are "
                "the most"
            )
        if self.chunk_causal and not self.encoder_causal:
            raise ValueError(
                "chunk_causal is true, but encoder_causal is false; set both (causal: true in a "
                "released config) or neither"
            )
        if self.relative_features and self.sequence_causal:
            raise ValueError(
                "relative_features need the whole recording, but sequence_causal is true; set one "
                "of them"
            )
        if self.sequence_kernel % 2 == 0 and not self.sequence_causal:
            raise ValueError(
                "sequence_kernel should be odd unless sequence_causal is true, got "
                f"{self.sequence_kernel}"
            )
        reach = (self.sequence_kernel - 1) * 2 ** (self.sequence_dilations - 1)
        if reach > _MAX_REACH:
            raise ValueError(
                f"sequence_kernel ({self.sequence_kernel}) and sequence_dilations "
                f"({self.sequence_dilations}) give a layer that spans {reach:,} epochs, but "
                f"{_MAX_REACH:,} are the most"
            )
        return self


def _is_name(encoder: str) -> bool:
    """Check whether torch accepts a name of an encoder."""
    from torch import nn  # which most configs do not need

    return bool(encoder) and "." not in encoder and not hasattr(nn.ModuleDict(), encoder)
