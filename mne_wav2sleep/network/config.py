"""What it takes to build a wav2sleep network (arXiv 2411.04644), and to believe what it says."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median

from torch import nn

from ..modalities import MODALITIES, N_EPOCHS_TRAINED


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
    epoch_mixer : str
        ``"attention"``, as released, or ``"concat"``: the features of all signals side by side,
        zeros for those missing, through a linear layer (the paper's alternative).
    mixer_layers, mixer_heads, mixer_dim_ff : int
        Layers, heads and feed-forward width of the attention mixer.
    mixer_dropout : float
        Dropout in the attention mixer.
    sequence_blocks, sequence_dilations, sequence_kernel : int
        Blocks of the sequence mixer, layers (dilation 1, 2, 4, ...) in each, kernel size.
    sequence_dropout : float
        Dropout at the end of each block of the sequence mixer.
    sequence_causal : bool
        Whether an epoch's stage depends on the past alone.
    padded_epochs : int
        Epochs to which shorter nights are padded before they are z-scored, as the network was
        trained; 0 if they are not.
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
    epoch_mixer: str = "attention"
    mixer_layers: int = 2
    mixer_heads: int = 8
    mixer_dim_ff: int = 512
    mixer_dropout: float = 0.1
    sequence_blocks: int = 2
    sequence_dilations: int = 5
    sequence_kernel: int = 5
    sequence_dropout: float = 0.1
    sequence_causal: bool = False
    padded_epochs: int = N_EPOCHS_TRAINED

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
            # Encoders become attributes of a torch module, which restricts their names.
            if not encoder or "." in encoder or hasattr(nn.ModuleDict(), encoder):
                raise ValueError(
                    f"The config names an encoder {encoder!r}, which torch cannot use as a name. "
                    "Name it after its signal."
                )
        sizes = {
            "feature_dim": self.feature_dim,
            "initial_channels": self.initial_channels,
            "max_channels": self.max_channels,
            "mixer_layers": self.mixer_layers,
            "mixer_heads": self.mixer_heads,
            "mixer_dim_ff": self.mixer_dim_ff,
            "sequence_blocks": self.sequence_blocks,
            "sequence_dilations": self.sequence_dilations,
            "sequence_kernel": self.sequence_kernel,
        }
        if small := [f"{name} = {size}" for name, size in sizes.items() if size < 1]:
            raise ValueError(f"Sizes in a config must be 1 or more, got {', '.join(small)}.")
        for dropout in (self.mixer_dropout, self.sequence_dropout):
            if not 0 <= dropout < 1:
                raise ValueError(f"Dropout must be 0 or more and less than 1, got {dropout}.")
        if self.n_classes not in (4, 5):
            raise ValueError(f"n_classes must be 4 or 5 sleep stages, got {self.n_classes}.")
        if self.feature_dim % self.mixer_heads:
            raise ValueError(
                f"feature_dim ({self.feature_dim}) must be a multiple of the number of heads "
                f"({self.mixer_heads})."
            )
        if self.epoch_mixer not in ("attention", "concat"):
            raise ValueError(
                f"epoch_mixer must be 'attention' or 'concat', got {self.epoch_mixer!r}."
            )
        if self.padded_epochs < 0:
            raise ValueError(f"padded_epochs must be 0 or more, got {self.padded_epochs}.")
        if self.chunk_causal and not self.encoder_causal:
            raise ValueError(
                "chunk_causal is true and encoder_causal is false; set both (causal: true in a "
                "released config), or neither."
            )
        if self.sequence_kernel % 2 == 0 and not self.sequence_causal:
            raise ValueError(
                "A sequence mixer that is not causal needs an odd kernel, got "
                f"{self.sequence_kernel}."
            )


@dataclass(frozen=True)
class Calibration:
    """What has to be known to believe the network's probabilities as far as they deserve.

    The defaults are for weights that come without: probabilities as they are, and errors that go
    together as those of the bundled weights do.

    Attributes
    ----------
    temperatures : mapping of str to float
        Subset of the signals, such as ``"ECG+THX"``, -> what its logits are divided by (Guo et al.
        2017, ICML). Subsets that are not named take the median of those that are, or else 1.
    night_share : float
        Share, from 0 to below 1, of the variance of the network's errors that a whole night has in
        common.
    epoch_correlation : float
        Correlation of the rest of it from one epoch to the next, from 0 to below 1.
    n_nights : int
        Nights that the last two were fitted on; 0 if they were not.
    """

    temperatures: Mapping[str, float] = field(default_factory=dict)
    night_share: float = 0.06
    epoch_correlation: float = 0.98
    n_nights: int = 0

    def __post_init__(self) -> None:
        bad = [
            f"{subset} = {value!r}"
            for subset, value in self.temperatures.items()
            if not isinstance(value, int | float)
            or not 0.01 <= value <= 100
            or not set(subset.split("+")) <= set(MODALITIES)
        ]
        for name in ("night_share", "epoch_correlation"):
            if not 0 <= getattr(self, name) < 1:
                bad.append(f"{name} = {getattr(self, name)!r}")
        if bad or self.n_nights < 0:
            raise ValueError(
                "A calibration has temperatures from 0.01 to 100 for subsets such as ECG+THX, and "
                "a night_share and an epoch_correlation from 0 to below 1, got "
                f"{', '.join(bad) or self.n_nights}."
            )
        ordered = {"+".join(sorted(k.split("+"))): v for k, v in self.temperatures.items()}
        object.__setattr__(self, "temperatures", ordered)

    def temperature(self, subset: Iterable[str]) -> float:
        """Return what to divide the logits of a subset of the signals by."""
        found = self.temperatures.get("+".join(sorted(subset)))
        return median(self.temperatures.values() or [1.0]) if found is None else found
