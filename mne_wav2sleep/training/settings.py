"""How to train."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..cohorts.nights import PreparedNight
from .masking import Masking

_PRECISIONS = ("32-true", "64-true", "bf16-mixed", "16-mixed")


@dataclass(frozen=True)
class TrainingSettings:
    """How to train; the defaults are the authors' (arXiv 2411.04644, section 4, and later code).

    Parameters
    ----------
    learning_rate, weight_decay : float
        AdamW's.
    warmup_steps, decay_steps : int
        The learning rate rises linearly over the first, then falls by a factor of e every so many
        steps.
    clip : float
        Largest norm of the gradient.
    batch_size : int
        Recordings per step, on each process.
    max_passes, patience : int
        Passes over the nights at most, and how many without a lower validation loss end it.
    averaging : float
        Decay per step of the running mean of the weights, from 0, none, to below 1; where there is
        one, it is what is validated and kept. About the last 1 / (1 - averaging) steps count.
    keep : str
        ``"best"`` stops by the validation loss and keeps the pass where it is lowest; ``"last"``
        makes all passes and keeps the last, validation nights being for the model card alone.
    crop : int or None
        30-s epochs of a night per step, cropped at random, or padded where it is shorter. None:
        whole nights, padded as the network's config says.
    masking : Masking
        How signals are dropped and flipped.
    dataset_weights : mapping of str to float or None
        How often each dataset is drawn, relative to the others; None for every night once a pass.
    validation_fraction : float
        The part of the subjects to validate with, where no validation nights are given.
    precision : str
        Lightning's: ``"32-true"``, ``"64-true"``, ``"bf16-mixed"``, ``"16-mixed"``. Weights are
        written as float32.
    n_workers : int
        Processes that read nights ahead.
    seed : int
        Decides everything that is drawn.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warmup_steps: int = 2000
    decay_steps: int = 6000
    clip: float = 1.0
    batch_size: int = 16
    max_passes: int = 50
    patience: int = 5
    averaging: float = 0.0
    keep: str = "best"
    crop: int | None = None
    masking: Masking = field(default_factory=Masking)
    dataset_weights: Mapping[str, float] | None = None
    validation_fraction: float = 0.2
    precision: str = "32-true"
    n_workers: int = 0
    seed: int = 0


FINE_TUNING = TrainingSettings(
    learning_rate=3e-4,
    warmup_steps=20,
    decay_steps=200,
    batch_size=1,
    max_passes=20,
    averaging=0.98,
    keep="last",
)
"""Settings for a handful of nights, of whose subjects one or two say little of when to stop: 100
steps for 5 nights, averaged. For many nights, take fewer passes, or ``keep="best"``."""


def check_settings(
    settings: TrainingSettings, nights: Sequence[PreparedNight] | None = None
) -> None:
    """Refuse settings with which no training is possible, at all or with these nights."""
    names = ["learning_rate", "batch_size", "max_passes", "decay_steps", "patience"]
    for name in names if settings.crop is None else [*names, "crop"]:
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ValueError(f"The setting {name} must be a number above 0, got {value!r}.")
    for name in ("averaging", "validation_fraction"):
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise ValueError(f"The setting {name} must be from 0 to below 1, got {value!r}.")
    for name in ("weight_decay", "clip", "warmup_steps", "n_workers", "seed"):
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise ValueError(f"The setting {name} must be a number from 0 on, got {value!r}.")
    if settings.precision not in _PRECISIONS:
        raise ValueError(
            f"The setting precision must be one of {', '.join(_PRECISIONS)}, got "
            f"{settings.precision!r}."
        )
    if settings.keep not in ("best", "last"):
        raise ValueError(f"The setting keep must be 'best' or 'last', got {settings.keep!r}.")
    if nights is None:
        return
    datasets = {night.dataset for night in nights}
    if settings.dataset_weights is not None and (
        not set(settings.dataset_weights) <= datasets
        or not sum(settings.dataset_weights.get(d, 0) for d in datasets) > 0
    ):
        raise ValueError(
            f"dataset_weights names {sorted(settings.dataset_weights)}; the datasets to train with "
            f"are {sorted(datasets)}, and one of them needs a weight above 0."
        )
