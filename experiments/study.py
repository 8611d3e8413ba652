"""Studies: what is compared, read from YAML and checked."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from mne_wav2sleep.errors import shorten, summarize_validation
from mne_wav2sleep.modalities import (
    CARDIO_RESPIRATORY,
    MODALITIES,
    Modality,
    is_built_in,
    read_modalities,
)
from mne_wav2sleep.network.files import MAX_TEXT_BYTES, read_file
from mne_wav2sleep.network.plain_yaml import read_yaml
from mne_wav2sleep.training.signatures import NOTHING, SEEDS, TOGETHER

CONFIGS = Path(__file__).parent / "configs"
"""Folder of the studies' configurations."""

Values = dict[str, Any]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")]
_Kind = TypeVar("_Kind")
_Modalities = Annotated[
    tuple[InstanceOf[Modality], ...],
    BeforeValidator(lambda given: given if isinstance(given, tuple) else read_modalities(given)),
]
"""Signals of a study's own, as :func:`~mne_wav2sleep.add_modality` takes them."""
RECORDED = "recorded_ectopy"
"""The rhythm of an ECG that was recorded, in place of the simulated one."""
SIGNS = (*(f"{name} alone" for name in CARDIO_RESPIRATORY), TOGETHER, SEEDS, NOTHING)
"""Names of the signs that training failed."""


class Section(BaseModel):
    """A section of a configuration, in which no other names are known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Phase(Section):
    """The training of an arm on some cohorts.

    Attributes
    ----------
    cohorts : list of str
        Cohorts that it is trained on.
    settings : dict
        Settings that differ from those of the arm.
    """

    cohorts: Annotated[list[Name], Field(min_length=1)]
    settings: Values = Field(default_factory=dict)


class Rhythm(Section):
    """A heart rhythm of simulated nights.

    Attributes
    ----------
    name : str
        ``"sinus"``, ``"atrial_fibrillation"``, ``"ectopy"`` or ``"paced"``; or
        ``"recorded_ectopy"`` for an ECG that was recorded in place of the simulated one, in which
        the other signals stay in sinus rhythm.
    burden : float
        Share of the night with it; the rest is sinus rhythm.
    """

    name: Literal["sinus", "atrial_fibrillation", "ectopy", "paced", "recorded_ectopy"]
    burden: Annotated[float, Field(ge=0, le=1)]


class Arm(Section):
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
    rhythm : Rhythm or None
        Rhythm of the nights, in a study of weights as they are.
    expects : list of str or None
        Signs of failed training (:data:`SIGNS`) that it is made to have; None if the study is not
        about them.
    network_at : dict of str to dict
        Scale -> architecture that differs at this scale alone.
    """

    label: str
    network: Values = Field(default_factory=dict)
    settings: Values = Field(default_factory=dict)
    phases: Annotated[list[Phase], Field(min_length=1)] | None = None
    x: float | None = None
    subsets: list[str] | None = None
    rhythm: Rhythm | None = None
    expects: list[str] | None = None
    network_at: dict[Name, Values] = Field(default_factory=dict)


class Lengths(Section):
    """Lengths of recordings for which time and memory of the arms' networks are measured.

    Attributes
    ----------
    hours : list of float
        The lengths, from the shortest to the longest.
    repeats : int
        Number of times that each measurement is repeated, of which the median is kept.
    threads : int
        Number of threads.
    scales : list of str
        Scales whose networks are on the page as well, if they were measured.
    """

    hours: Annotated[list[Annotated[float, Field(gt=0, le=168)]], Field(min_length=2)]
    repeats: Annotated[int, Field(ge=1, le=100)] = 5
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    scales: list[Name] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check_order(self) -> "Lengths":
        """Refuse lengths that are not in order."""
        if self.hours != sorted(set(self.hours)):
            raise ValueError(f"hours should rise from one to the next, got {self.hours}")
        return self


class Paper(Section):
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


class Study(Section):
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
    weights : str or None
        Weights that are studied as they are: arms are rhythms, and nothing is trained.
    sum_others : bool
        Whether the costs of all arms but the reference are added up, since a user who does without
        the reference needs all the others.
    modalities : tuple of Modality
        Signals that are not built in, which are defined as in a configuration of the commands.
    paper : Paper or None
        What the paper says.
    lengths : Lengths or None
        Lengths for which time and memory are measured; None to measure none.
    """

    title: str
    question: str
    cohorts: Annotated[list[Name], Field(min_length=1)]
    evaluate: Annotated[list[Name], Field(min_length=1)]
    arms: Annotated[dict[Name, Arm], Field(min_length=2)]
    reference: str
    by_cohort: bool = False
    subsets: list[str] | None = None
    x_label: str | None = None
    weights: str | None = None
    sum_others: bool = False
    modalities: _Modalities = ()
    paper: Paper | None = None
    lengths: Lengths | None = None

    @model_validator(mode="after")
    def _check_names(self) -> "Study":
        """Refuse names of arms and subsets that do not exist."""
        if self.reference not in self.arms:
            raise ValueError(
                f"reference should be one of the arms {', '.join(self.arms)}, got {self.reference}"
            )
        for name, arm in self.arms.items():
            if (arm.rhythm is None) != (self.weights is None):
                raise ValueError(
                    f"the arm {name} should have a rhythm if the study has weights, and only then"
                )
            if unknown := [sign for sign in arm.expects or () if sign not in SIGNS]:
                raise ValueError(
                    f"the arm {name} should expect some of {', '.join(SIGNS)}, got {unknown[0]}"
                )
        known = {name for name in MODALITIES if is_built_in(name)}
        known |= {one.name for one in self.modalities}
        for subset in [
            *(self.subsets or ()),
            *(s for a in self.arms.values() for s in a.subsets or ()),
        ]:
            names = subset.split("+")
            if names != sorted(names) or not set(names) <= known:
                raise ValueError(
                    f"subsets should be signals in alphabetical order, joined by +, got {subset}"
                )
        return self

    @property
    def recorded(self) -> dict[str, Arm]:
        """The arms that need a recorded ECG."""
        return {
            n: arm for n, arm in self.arms.items() if arm.rhythm and arm.rhythm.name == RECORDED
        }

    def leave_out_recorded(self) -> "Study":
        """Leave out the arms that need a recorded ECG."""
        kept = {name: arm for name, arm in self.arms.items() if name not in self.recorded}
        return self.model_copy(update={"arms": kept})

    def list_phases(self, arm: str) -> list[Phase]:
        """List the phases of an arm."""
        return self.arms[arm].phases or [Phase(cohorts=self.cohorts)]

    @property
    def all_cohorts(self) -> list[str]:
        """All cohorts that it needs."""
        trained = [c for arm in self.arms for phase in self.list_phases(arm) for c in phase.cohorts]
        return sorted({*trained, *self.evaluate})


def merge(values: Mapping[str, Any], others: Mapping[str, Any]) -> Values:
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


def read_section(path: Path, kind: type[_Kind], what: str) -> _Kind:
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
    return read_section(path, Study, "study")
