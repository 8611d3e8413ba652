"""Architecture of a wav2sleep network (arXiv 2411.04644), and the preprocessing of its input."""

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from ..modalities import CARDIO_RESPIRATORY, MODALITIES

_CONFIG = ConfigDict(strict=True, extra="forbid")
# Limits that bound the memory and time that a config can take before its weights are compared with
# it: about sixteen times the released network in each direction.
_Width = Annotated[int, Field(ge=1, le=2048)]
_Depth = Annotated[int, Field(ge=1, le=32)]
_MAX_REACH = 20_000
"""Number of epochs, about a week, that a convolution of the sequence mixer spans at most."""
_Dropout = Annotated[float, Field(ge=0, lt=1)]


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

    Raises
    ------
    pydantic.ValidationError
        If the value is out of range (a subclass of ValueError).

    Examples
    --------
    >>> Preprocessing().padded_epochs * 30 / 3600  # hours
    10.0
    """

    padded_epochs: Annotated[int, Field(ge=0, le=5760)] = 1200


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
        each 2048 at most.
    encoder_causal : bool
        Whether the convolutions of the encoders are causal.
    chunk_causal : bool
        Whether each epoch is encoded separately. Requires ``encoder_causal``.
    epoch_mixer : str
        ``"attention"``, as released, or ``"concat"``, the alternative in the paper: a linear layer
        on the concatenated features of all signals, with zeros for missing signals.
    mixer_layers, mixer_heads, mixer_dim_ff : int
        Number of layers (32 at most), number of heads, and feed-forward width (8192 at most) of
        the attention mixer.
    mixer_dropout : float
        Dropout in the attention mixer.
    sequence_blocks, sequence_dilations, sequence_kernel : int
        Number of blocks of the sequence mixer (32 at most), number of layers (with dilations 1, 2,
        4, ..., 16 at most) in each, and kernel size in epochs (255 at most). The widest layer spans
        20,000 epochs at most.
    sequence_dropout : float
        Dropout at the end of each block of the sequence mixer.
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
    encoder_causal: bool = False
    chunk_causal: bool = False
    epoch_mixer: Literal["attention", "concat"] = "attention"
    mixer_layers: _Depth = 2
    mixer_heads: _Width = 8
    mixer_dim_ff: Annotated[int, Field(ge=1, le=8192)] = 512
    mixer_dropout: _Dropout = 0.1
    sequence_blocks: _Depth = 2
    sequence_dilations: Annotated[int, Field(ge=1, le=16)] = 5
    sequence_kernel: Annotated[int, Field(ge=1, le=255)] = 5
    sequence_dropout: _Dropout = 0.1
    sequence_causal: bool = False

    @model_validator(mode="after")
    def _check_encoders(self) -> "Wav2SleepConfig":
        """Reject unknown signals, and encoders that torch cannot build."""
        if not self.signals or not set(self.signals) <= set(MODALITIES):
            raise ValueError(
                f"signals should be one or more of {', '.join(MODALITIES)}, got "
                f"{', '.join(map(repr, self.signals)) or 'none'}"
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
    def _check_sizes(self) -> "Wav2SleepConfig":
        """Reject combinations of sizes that do not form a network."""
        if self.feature_dim % self.mixer_heads:
            raise ValueError(
                f"feature_dim ({self.feature_dim}) should be a multiple of mixer_heads "
                f"({self.mixer_heads})"
            )
        if self.chunk_causal and not self.encoder_causal:
            raise ValueError(
                "chunk_causal is true, but encoder_causal is false; set both (causal: true in a "
                "released config) or neither"
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
