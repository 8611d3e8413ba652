"""Settings of training."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from ..cohorts import PreparedNight
from ..network import Preprocessing, Wav2SleepConfig
from ..verbosity import check_option
from .masking import Masking

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=1)]
_CountFrom0 = Annotated[int, Field(ge=0)]
_Seed = Annotated[int, Field(ge=0, lt=2**32)]
_Share = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class TrainingSettings:
    """Settings of training, with the authors' values (arXiv 2411.04644, section 4, and later code).

    Parameters
    ----------
    learning_rate, weight_decay : float
        Learning rate and weight decay of AdamW.
    warmup_steps, decay_steps : int
        The learning rate rises linearly over ``warmup_steps``, but at most a tenth of the steps
        of ``max_passes``, and then falls by a factor of e every ``decay_steps``.
    clip : float
        Largest norm of the gradient; 0 for no limit.
    batch_size : int
        Recordings per step, on each process; fewer if the nights do not fill all steps of a pass.
    micro_batch_size : int or None
        Recordings that are computed at once, which decides how much memory training needs; None
        for all of a step. The gradients of a step are added up, so that results are those of the
        whole step, apart from rounding and from which values dropout sets to 0.
    gradient_checkpointing : bool
        Whether encoders are computed a second time for their gradients, instead of keeping the
        output of all their layers: half the memory, with the same result, for more time.
    max_passes, patience : int
        Largest number of passes over the nights, and number of passes without a lower validation
        loss after which training stops early.
    averaging : float
        Decay per step of the running mean of the weights, from 0 (none) to below 1. With
        averaging, the mean is validated and kept. It covers about the last 1 / (1 - averaging)
        steps, or all of a shorter run.
    keep : str
        ``"best"`` stops early and keeps the weights of the pass with the lowest validation loss;
        ``"last"`` keeps those of the last pass. With ``"last"``, validation nights are used only
        for the calibration and the model card.
    crop : int or None
        Number of 30-s epochs of a night per step, cropped at random, or padded if the night is
        shorter. None for whole nights, padded as the weights' preprocessing says; of a recording
        that is staged in windows (more than 12 h), 10 h at random.
    masking : Masking
        How signals are dropped and flipped.
    dataset_weights : mapping of str to float or None
        How often each dataset is drawn, relative to the others; None to draw every night once per
        pass.
    validation_fraction : float
        Share of the subjects used for validation, if no validation nights are given.
    precision : str
        Lightning's precision: ``"32-true"``, ``"64-true"``, ``"bf16-mixed"`` or ``"16-mixed"``.
        Weights are saved as float32.
    n_workers : int
        Number of processes that read nights in advance; 0 to read them in this one.
    seed : int
        Seed of all random numbers, below 2**32.

    Raises
    ------
    pydantic.ValidationError
        If a setting is out of range or has another type (a subclass of ValueError, which names the
        setting).
    """

    learning_rate: _Positive = 1e-3
    weight_decay: _NotNegative = 1e-2
    warmup_steps: _CountFrom0 = 2000
    decay_steps: _Count = 6000
    clip: _NotNegative = 1.0
    batch_size: _Count = 16
    micro_batch_size: _Count | None = None
    gradient_checkpointing: bool = False
    max_passes: _Count = 50
    patience: _Count = 5
    averaging: _Share = 0.0
    keep: Literal["best", "last"] = "best"
    crop: _Count | None = None
    masking: Masking = field(default_factory=Masking)
    dataset_weights: Mapping[str, _NotNegative] | None = None
    validation_fraction: _Share = 0.2
    precision: Literal["32-true", "64-true", "bf16-mixed", "16-mixed"] = "32-true"
    n_workers: _CountFrom0 = 0
    seed: _Seed = 0


FINE_TUNING = TrainingSettings(
    learning_rate=3e-4,
    warmup_steps=20,
    decay_steps=200,
    batch_size=1,
    max_passes=20,
    averaging=0.98,
    keep="last",
)
"""Settings for a handful of nights: 20 passes (100 averaged steps for 5 nights) without early
stopping, for which one or two validation subjects are too few. For many nights, use fewer passes,
or ``keep="best"``."""


PAPER_TRAINING = TrainingSettings(
    learning_rate=1e-3,
    weight_decay=1e-2,
    warmup_steps=2000,
    decay_steps=6000,
    clip=0.0,
    batch_size=16,
    max_passes=50,
    patience=5,
)
"""Settings with which the paper's own model was trained: gradients are not limited. The authors
warmed up for all of the 2000 steps; here, a short run warms up for a tenth of its steps."""


def describe_architecture(
    name: str,
    settings: TrainingSettings | None = None,
    config: Wav2SleepConfig | None = None,
    preprocessing: Preprocessing | None = None,
) -> dict[str, Any]:
    """Describe what is trained from scratch, and how.

    Parameters
    ----------
    name : str
        ``"released"``, or ``"paper"`` for the paper's own model.
    settings, config, preprocessing : TrainingSettings, Wav2SleepConfig, Preprocessing, or None
        What a user has chosen; None for those of the named architecture.

    Returns
    -------
    described : dict
        ``settings``, ``architecture`` and ``preprocessing``, the sections of a configuration.

    Raises
    ------
    ValueError
        If there is no such architecture.
    """
    check_option("architecture", name, ["released", "paper"])
    is_paper = name == "paper"
    return {
        "settings": settings or (PAPER_TRAINING if is_paper else TrainingSettings()),
        "architecture": config or (Wav2SleepConfig.of_paper() if is_paper else Wav2SleepConfig()),
        "preprocessing": preprocessing
        or (Preprocessing.of_paper() if is_paper else Preprocessing()),
    }


def check_datasets(settings: TrainingSettings, nights: Sequence[PreparedNight]) -> None:
    """Refuse dataset weights that do not fit the nights.

    Parameters
    ----------
    settings : TrainingSettings
        The settings.
    nights : sequence of PreparedNight
        The training nights.

    Raises
    ------
    ValueError
        If a dataset is unknown, or no dataset has a weight above 0.
    """
    weights = settings.dataset_weights
    if weights is None:
        return
    datasets = {night.dataset for night in nights}
    if not set(weights) <= datasets or not sum(weights.get(d, 0) for d in datasets) > 0:
        raise ValueError(
            f"dataset_weights names {sorted(weights)}, but the datasets to train with are "
            f"{sorted(datasets)}. Name only these, at least one of them with a weight above 0."
        )
