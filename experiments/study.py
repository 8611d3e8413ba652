"""Studies and scales: what is compared, and at what size, read from YAML and checked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pretraining import PretrainingSettings
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from mne_wav2sleep.errors import shorten, summarize_validation
from mne_wav2sleep.modalities import CARDIO_RESPIRATORY
from mne_wav2sleep.network import Preprocessing, Wav2SleepConfig
from mne_wav2sleep.network.files import MAX_TEXT_BYTES, read_file
from mne_wav2sleep.network.plain_yaml import read_yaml
from mne_wav2sleep.simulation import Population
from mne_wav2sleep.training import TrainingSettings

CONFIGS = Path(__file__).parent / "configs"
"""Folder of the studies' configurations."""
SCALES = CONFIGS / "scales"
"""Folder of the scales' configurations."""

_Values = dict[str, Any]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")]
_Part = Literal["signal_encoders", "epoch_mixer", "sequence_mixer", "classifier"]
_Kind = TypeVar("_Kind")


class _Section(BaseModel):
    """A section of a configuration, in which no other names are known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Phase(_Section):
    """The training of an arm on some cohorts.

    Attributes
    ----------
    cohorts : list of str
        Cohorts that it is trained on.
    settings : dict
        Settings that differ from those of the arm.
    """

    cohorts: Annotated[list[_Name], Field(min_length=1)]
    settings: _Values = {}


class Step(_Section):
    """A training run, of which each phase may have several.

    Attributes
    ----------
    settings : dict
        Settings that differ from those of the scale.
    trainable : list of str
        Parts that are trained.
    """

    settings: _Values = {}
    trainable: list[_Part] = list(get_args(_Part))


@dataclass(frozen=True)
class Training:
    """A training run of an arm, with all that decides it.

    Attributes
    ----------
    cohorts : tuple of str
        Cohorts that it is trained on.
    settings : TrainingSettings
        The settings.
    trainable : tuple of str
        Parts that are trained.
    """

    cohorts: tuple[str, ...]
    settings: TrainingSettings
    trainable: tuple[str, ...]


class Arm(_Section):
    """One of the ways that a study compares.

    Attributes
    ----------
    label : str
        How pages call it.
    network, settings : dict
        Architecture and settings of training that differ from those of the scale.
    phases : list of Phase or None
        Phases, each of which starts from the weights of the one before; None for one, on the
        cohorts of the study.
    x : float or None
        Its place on the horizontal axis, if the study varies a number.
    subsets : list of str or None
        Subsets of the signals that it is meant for; None for all that it can read.
    """

    label: str
    network: _Values = {}
    settings: _Values = {}
    phases: Annotated[list[Phase], Field(min_length=1)] | None = None
    x: float | None = None
    subsets: list[str] | None = None


class Paper(_Section):
    """What the paper says about the question.

    Attributes
    ----------
    says : str
        A sentence or two.
    source : str
        Where it says so.
    """

    says: str
    source: str


class Study(_Section):
    """What is compared.

    Attributes
    ----------
    title, question : str
        Heading of the page, and what is asked.
    cohorts, evaluate : list of str
        Cohorts that arms are trained on, and those whose test nights they are evaluated on.
    arms : dict of str to Arm
        The arms by name.
    reference : str
        The arm that the others are compared with.
    by_cohort : bool
        Whether the test nights of each cohort are reported on their own.
    subsets : list of str or None
        Subsets of the signals to report, such as ``"ECG+THX"``; None for all.
    x_label : str or None
        What ``x`` of the arms is.
    sum_others : bool
        Whether the costs of all arms but the reference are added up, as they are needed together.
    paper : Paper or None
        What the paper says.
    """

    title: str
    question: str
    cohorts: Annotated[list[_Name], Field(min_length=1)]
    evaluate: Annotated[list[_Name], Field(min_length=1)]
    arms: Annotated[dict[_Name, Arm], Field(min_length=2)]
    reference: str
    by_cohort: bool = False
    subsets: list[str] | None = None
    x_label: str | None = None
    sum_others: bool = False
    paper: Paper | None = None

    @model_validator(mode="after")
    def _check_names(self) -> "Study":
        """Refuse names of arms and subsets that do not exist."""
        if self.reference not in self.arms:
            raise ValueError(
                f"reference should be one of the arms {', '.join(self.arms)}, got {self.reference}"
            )
        for subset in [
            *(self.subsets or ()),
            *(s for a in self.arms.values() for s in a.subsets or ()),
        ]:
            names = subset.split("+")
            if names != sorted(names) or not set(names) <= set(CARDIO_RESPIRATORY):
                raise ValueError(
                    f"subsets should be signals in alphabetical order, joined by +, got {subset}"
                )
        return self

    def list_phases(self, arm: str) -> list[Phase]:
        """List the phases of an arm."""
        return self.arms[arm].phases or [Phase(cohorts=self.cohorts)]

    @property
    def all_cohorts(self) -> list[str]:
        """All cohorts that it needs."""
        trained = [c for arm in self.arms for phase in self.list_phases(arm) for c in phase.cohorts]
        return sorted({*trained, *self.evaluate})


class CohortSize(_Section):
    """A cohort: its sensors, its size and, if it is simulated, its people.

    Attributes
    ----------
    about : str
        What it stands for, on pages.
    modalities : list of str
        Its signals.
    n_training, n_validation, n_test : int
        Number of subjects, with a night each, in the parts. Of real nights, the parts have these
        shares of the subjects.
    population : dict
        Values of :class:`~mne_wav2sleep.simulation.Population` that differ from the defaults.
    apnea_index : float
        Mean over subjects of apneas and hypopneas per hour.
    sfreq : float
        Sampling rate in Hz.
    hours : tuple of float
        Shortest and longest night, without given hypnograms.
    """

    about: str
    modalities: Annotated[list[Literal["ABD", "ECG", "PPG", "THX"]], Field(min_length=1)]
    n_training: Annotated[int, Field(ge=1)]
    n_validation: Annotated[int, Field(ge=1)]
    n_test: Annotated[int, Field(ge=1)]
    population: _Values = {}
    apnea_index: Annotated[float, Field(ge=0)] = 0.0
    sfreq: Annotated[float, Field(ge=2)] = 64.0
    hours: tuple[float, float] = (7.0, 8.5)

    @model_validator(mode="after")
    def _check_population(self) -> "CohortSize":
        """Refuse values that the simulator does not know."""
        make(Population, self.population, "population")
        return self

    @property
    def n_nights(self) -> int:
        """Number of nights."""
        return self.n_training + self.n_validation + self.n_test


class Scale(_Section):
    """The size of all studies: network, training and cohorts.

    Attributes
    ----------
    about : str
        What it is for.
    network, settings : dict
        Architecture and settings of training that differ from the package's defaults.
    padded_epochs : int
        Epochs to which nights are padded.
    pretraining : dict or None
        Settings of pretraining that differ from the defaults; None for random encoders.
    steps : list of Step
        Training runs of each phase. What an arm or a phase says is meant for all of them.
    cohorts : dict of str to CohortSize
        The cohorts by name.
    """

    about: str
    network: _Values = {}
    settings: _Values = {}
    padded_epochs: Annotated[int, Field(ge=0)] = 0
    pretraining: _Values | None = None
    steps: Annotated[list[Step], Field(min_length=1)] = [Step()]
    cohorts: dict[_Name, CohortSize]

    @model_validator(mode="after")
    def _check_settings(self) -> "Scale":
        """Refuse settings that do not exist."""
        make(Wav2SleepConfig, self.network, "network")
        for step in self.steps:
            make(TrainingSettings, merge(self.settings, step.settings), "settings")
        make(PretrainingSettings, self.pretraining or {}, "pretraining")
        return self

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing that belongs to the network."""
        return Preprocessing(padded_epochs=self.padded_epochs)

    def make_config(self, arm: Arm) -> Wav2SleepConfig:
        """Make the architecture of an arm."""
        return make(Wav2SleepConfig, merge(self.network, arm.network), "network")

    def list_trainings(self, study: Study, arm: str, seed: int) -> list[Training]:
        """List the training runs of an arm, each of which starts from the weights before."""
        trainings = []
        for phase in study.list_phases(arm):
            for step in self.steps:
                values = merge(self.settings, step.settings)
                values = merge(merge(values, study.arms[arm].settings), phase.settings)
                values["seed"] = seed
                settings = make(TrainingSettings, values, "settings")
                cohorts, trainable = sorted(phase.cohorts), sorted(step.trainable)
                trainings.append(Training(tuple(cohorts), settings, tuple(trainable)))
        return trainings


def merge(values: Mapping[str, Any], others: Mapping[str, Any]) -> _Values:
    """Put other values in the place of some, also in mappings within each other.

    Parameters
    ----------
    values, others : mapping
        The values.

    Returns
    -------
    merged : dict
        The merged values.

    Examples
    --------
    >>> merge({"drop": {"ECG": 0.5, "PPG": 0.1}}, {"drop": {"PPG": 0.3}})
    {'drop': {'ECG': 0.5, 'PPG': 0.3}}
    """
    merged = dict(values)
    for name, value in others.items():
        old = merged.get(name)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[name] = merge(old or {}, value) if both else value
    return merged


def make(kind: type[_Kind], values: Mapping[str, Any], place: str) -> _Kind:
    """Make a dataclass from what YAML holds; as in JSON, a list is a tuple.

    Raises
    ------
    ValueError
        If there is no such setting, or a value is out of range.
    """
    known = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    if unknown := [name for name in values if name not in known]:
        raise ValueError(
            f"{place} has {shorten(str(unknown[0]), 40)!r}, which is not known; it takes "
            f"{', '.join(known)}"
        )
    try:
        return TypeAdapter(kind).validate_json(json.dumps(values))
    except ValidationError as error:
        raise ValueError(f"{place}: {summarize_validation(error)}") from error


def _read(path: Path, kind: type[_Kind], what: str) -> _Kind:
    """Read a YAML file as a section."""
    try:
        return TypeAdapter(kind).validate_python(
            read_yaml(read_file(path, MAX_TEXT_BYTES).decode())
        )
    except (ValueError, RecursionError) as error:  # pydantic's errors are ValueErrors
        reason = summarize_validation(error) if isinstance(error, ValidationError) else error
        raise ValueError(f"{path} is not a valid {what}: {reason}. Correct it.") from error


def read_study(path: Path) -> Study:
    """Read a study.

    Parameters
    ----------
    path : Path
        The YAML file.

    Returns
    -------
    study : Study
        The study.

    Raises
    ------
    ValueError
        If it is not valid; the message names the setting.
    """
    return _read(path, Study, "study")


def read_scale(path: Path) -> Scale:
    """Read a scale.

    Parameters
    ----------
    path : Path
        The YAML file.

    Returns
    -------
    scale : Scale
        The scale.

    Raises
    ------
    ValueError
        If it is not valid; the message names the setting.
    """
    return _read(path, Scale, "scale")


def check_study(study: Study, scale: Scale) -> None:
    """Check all arms of a study at a scale, before hours of work.

    Parameters
    ----------
    study : Study
        The study.
    scale : Scale
        The scale.

    Raises
    ------
    ValueError
        If an arm has settings that do not exist, or a cohort is not known.
    """
    if missing := [name for name in study.all_cohorts if name not in scale.cohorts]:
        raise ValueError(
            f"The study needs the cohort {missing[0]}, but the scale has "
            f"{', '.join(scale.cohorts)}. Add it to the scale."
        )
    for name, arm in study.arms.items():
        try:
            scale.make_config(arm)
            scale.list_trainings(study, name, 0)
        except ValueError as error:
            raise ValueError(f"The arm {name} is not valid: {error}. Correct it.") from error
