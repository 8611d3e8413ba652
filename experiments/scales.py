"""Scales: the size of network, training and cohorts, at which all studies can be run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from pretraining import PretrainingSettings
from pydantic import Field, model_validator
from study import CONFIGS, Arm, Name, Section, Study, Values, make, merge, read_section

from mne_wav2sleep.modalities import MODALITIES, adding
from mne_wav2sleep.network import Preprocessing, Wav2SleepConfig
from mne_wav2sleep.simulation import Population
from mne_wav2sleep.training import TrainingSettings

SCALES = CONFIGS / "scales"
"""Folder of the scales' configurations."""

_Signal = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9-]{0,15}$")]
_Part = Literal["signal_encoders", "epoch_mixer", "sequence_mixer", "classifier"]


class Step(Section):
    """A training run, of which each phase may have several.

    Attributes
    ----------
    settings : dict
        Settings that differ from those of the scale.
    trainable : list of str
        Parts that are trained.
    """

    settings: Values = Field(default_factory=dict)
    trainable: list[_Part] = Field(default_factory=lambda: list(get_args(_Part)))

    @property
    def freezes(self) -> bool:
        """Whether pretrained encoders are frozen; those that are random are not."""
        return "signal_encoders" not in self.trainable


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


class CohortSize(Section):
    """A cohort: its sensors, its size and, if it is simulated, its people.

    Attributes
    ----------
    about : str
        What it stands for, on pages.
    modalities : list of str
        Its signals, some of which only studies that define them may know.
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
    stages_of : str or None
        Another cohort whose hypnograms it shares where they are given, as they are few; a study
        cannot have both. Nights depend on the hypnograms themselves, and not on this name.
    """

    about: str
    modalities: Annotated[list[_Signal], Field(min_length=1)]
    n_training: Annotated[int, Field(ge=1)]
    n_validation: Annotated[int, Field(ge=1)]
    n_test: Annotated[int, Field(ge=1)]
    population: Values = Field(default_factory=dict)
    apnea_index: Annotated[float, Field(ge=0)] = 0.0
    sfreq: Annotated[float, Field(ge=2)] = 64.0
    hours: tuple[float, float] = (7.0, 8.5)
    stages_of: Name | None = Field(default=None, exclude=True)

    @model_validator(mode="after")
    def _check_population(self) -> "CohortSize":
        """Refuse values that the simulator does not know."""
        make(Population, self.population, "population")
        return self

    @property
    def n_nights(self) -> int:
        """Number of nights."""
        return self.n_training + self.n_validation + self.n_test


class Scale(Section):
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
    longest_h : float or None
        Longest recording in hours for which time and memory are measured; None for any.
    name : str
        Its name, that of its file.
    """

    about: str
    network: Values = Field(default_factory=dict)
    settings: Values = Field(default_factory=dict)
    padded_epochs: Annotated[int, Field(ge=0)] = 0
    pretraining: Values | None = None
    steps: list[Step] = Field(default_factory=lambda: [Step()], min_length=1)
    cohorts: dict[Name, CohortSize]
    longest_h: Annotated[float, Field(gt=0)] | None = None
    name: str = ""

    @model_validator(mode="after")
    def _check_settings(self) -> "Scale":
        """Refuse settings that do not exist."""
        make(Wav2SleepConfig, self.network, "network")
        for step in self.steps:
            make(TrainingSettings, merge(self.settings, step.settings), "settings")
        make(PretrainingSettings, self.pretraining or {}, "pretraining")
        for name, size in self.cohorts.items():
            if size.stages_of is None:
                continue
            other = self.cohorts.get(size.stages_of)
            if other is None or other.stages_of is not None or other.n_nights < size.n_nights:
                raise ValueError(
                    f"stages_of of {name} should be another cohort, with hypnograms of its own and "
                    f"as many nights, got {size.stages_of}"
                )
        return self

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing that belongs to the network."""
        return Preprocessing(padded_epochs=self.padded_epochs)

    def make_config(self, arm: Arm) -> Wav2SleepConfig:
        """Make the architecture of an arm."""
        values = merge(merge(self.network, arm.network), arm.network_at.get(self.name, {}))
        return make(Wav2SleepConfig, values, "network")

    def _list_random(self, arm: Arm) -> list[str]:
        """List the encoders of an arm for which there is no pretraining."""
        own = {*self.make_config(arm).signals.values()} - {*Wav2SleepConfig().signals.values()}
        return [f"signal_encoders.{name}" for name in sorted(own)]

    def list_trainings(self, study: Study, arm: str, seed: int) -> list[Training]:
        """List the training runs of an arm, each of which starts from the weights before."""
        trainings = []
        random = self._list_random(study.arms[arm])
        for phase in study.list_phases(arm):
            for step in self.steps:
                values = merge(self.settings, step.settings)
                values = merge(merge(values, study.arms[arm].settings), phase.settings)
                values["seed"] = seed
                settings = make(TrainingSettings, values, "settings")
                cohorts = sorted(phase.cohorts)
                trainable = sorted([*step.trainable, *random] if step.freezes else step.trainable)
                trainings.append(Training(tuple(cohorts), settings, tuple(trainable)))
        return trainings


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
    return read_section(path, Scale, "scale").model_copy(update={"name": path.stem})


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
        If an arm has settings that do not exist, or a cohort or signal is not known.

    Notes
    -----
    The signals that the study defines are known afterwards.
    """
    if missing := [name for name in study.all_cohorts if name not in scale.cohorts]:
        raise ValueError(
            f"The study needs the cohort {missing[0]}, but the scale has "
            f"{', '.join(scale.cohorts)}. Add it to the scale."
        )
    known = {path.stem for path in SCALES.glob("*.yaml")}
    lengths = study.lengths.scales if study.lengths is not None else []
    named = [*lengths, *(one for arm in study.arms.values() for one in arm.network_at)]
    if unknown := [one for one in named if one not in known]:
        raise ValueError(
            f"The study names the scale {unknown[0]}, but there are {', '.join(sorted(known))}. "
            "Name one of them."
        )
    with adding(study.modalities, "The study cannot be run: "):
        _check_signals(study, scale)
        for name, arm in study.arms.items():
            try:
                scale.make_config(arm)
                scale.list_trainings(study, name, 0)
            except ValueError as error:
                raise ValueError(f"The arm {name} is not valid: {error}. Correct it.") from error


def _check_signals(study: Study, scale: Scale) -> None:
    """Check that the signals of all cohorts are known, and that no two have the same stages."""
    for name in study.all_cohorts:
        size = scale.cohorts[name]
        if unknown := [signal for signal in size.modalities if signal not in MODALITIES]:
            raise ValueError(
                f"The cohort {name} has the signal {unknown[0]}, which is not built in. Define it "
                "in the section modalities of the study."
            )
        if size.stages_of in study.all_cohorts:
            raise ValueError(
                f"The cohorts {name} and {size.stages_of} share their hypnograms. Use one of them."
            )
