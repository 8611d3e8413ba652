"""Results of runs as small JSON files, which a later machine goes on from."""

import hashlib
import json
import platform
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mne_wav2sleep.errors import shorten, summarize_validation
from mne_wav2sleep.network import Preprocessing, Wav2SleepConfig
from mne_wav2sleep.network.files import read_file
from mne_wav2sleep.output import write_whole
from mne_wav2sleep.training import TrainingSettings

FOLDER = Path(__file__).parent / "results"
"""Folder of the results that are kept with the code."""
_LARGEST = 2**24
"""Largest size in bytes of a result."""
MINUTE = 60.0
"""A minute in s."""
_Count = Annotated[int, Field(ge=0)]
_Model = TypeVar("_Model", bound=BaseModel)


class _Section(BaseModel):
    """A section of a result, in which no other names are known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NightResult(_Section):
    """Agreement on a test night, from a subset of its signals.

    Attributes
    ----------
    cohort, subject, subset : str
        The night and the subset.
    kappa, accuracy : float or None
        Agreement with the known stages; None where it is not defined.
    confusion : list of list of int
        Number of epochs of each stage as known (rows) and by the network (columns).
    """

    cohort: str
    subject: str
    subset: str
    kappa: float | None
    accuracy: float | None
    confusion: list[list[_Count]]


class TrainingResult(_Section):
    """A training run.

    Attributes
    ----------
    cohorts : list of str
        Cohorts that it was trained on.
    n_nights : int
        Number of training nights.
    cpu_s : float
        CPU time in s, with validation and calibration.
    is_cpu_complete : bool
        Whether no part of the run was killed, whose time is not known.
    passes : list of dict
        Number, losses and kappas of each pass.
    """

    cohorts: list[str]
    n_nights: int
    cpu_s: float
    is_cpu_complete: bool = True
    passes: list[dict[str, float | None]]


class Result(_Section):
    """Result of a run: an arm with a seed.

    Attributes
    ----------
    format : str
        Version of the format.
    study, arm : str
        The study and its arm.
    seed : int
        The seed.
    key : str
        Hash of all that the result depends on.
    described : dict
        What the hash is of.
    scale : str
        Name of the scale.
    n_parameters, n_bytes : int
        Size of the network, and of the file of its weights.
    pretraining : dict
        What is known of the encoders that it started from.
    trainings : list of TrainingResult
        The training runs.
    nights : list of NightResult
        Agreement on test nights.
    versions : dict of str to str
        Versions of packages, and the processor.
    staging_s : float or None
        Mean CPU time in s of staging a test night from all signals that the network reads.
    noticed : list of str or None
        Subjects of whose heart rhythm staging warned; None if that was not asked.
    implausible : dict of str to float, or None
        Subject -> share of the epochs of the ECG whose beats
        :meth:`~mne_wav2sleep.SleepStagerW2S.quality` finds implausible; None if that was not asked.
    signs : list of str or None
        Signs of failed training that the last training run reported; None if they were not kept.
    """

    format: Literal["mne-wav2sleep experiment 1"] = "mne-wav2sleep experiment 1"
    study: str
    arm: str
    seed: int
    key: str
    described: dict[str, Any]
    scale: str
    n_parameters: int
    n_bytes: int
    pretraining: dict[str, Any]
    trainings: list[TrainingResult]
    nights: list[NightResult]
    versions: dict[str, str]
    staging_s: float | None = None
    noticed: list[str] | None = None
    implausible: dict[str, float] | None = None
    signs: list[str] | None = None

    @property
    def cpu_s(self) -> float:
        """CPU time of all training runs in s, without pretraining."""
        return sum(training.cpu_s for training in self.trainings)


@dataclass(frozen=True)
class ResultStore:
    """The results of all studies in a folder.

    Parameters
    ----------
    folder : Path
        The folder, which has a folder for each study.
    """

    folder: Path

    def path(self, study: str, arm: str, seed: int, scale: str, key: str) -> Path:
        """Get the path of a result, which is its own for all that it depends on."""
        return self.folder / study / f"{arm}-{seed}-{scale}-{key[:8]}.json"

    def find(
        self, study: str, arm: str, seed: int, scale: str, described: Mapping[str, Any]
    ) -> Result | None:
        """Find a result, also one of another study that was computed in the same way.

        Files of any name count, such as those of earlier versions, since they say what they are.
        """
        path = self.path(study, arm, seed, scale, compute_key(described))
        known = [read_result(path)] if path.exists() else self.read_all()
        same = [r for r in known if r.seed == seed and is_same(r.described, described)]
        for result in same:
            if (result.study, result.arm, result.scale) == (study, arm, scale):
                return result
        if not same:
            return None
        copy = same[0].model_copy(update={"study": study, "arm": arm, "scale": scale})
        self.write(copy)
        return copy

    def write(self, result: Result) -> Path:
        """Write a result, with a line for each night."""
        path = self.path(result.study, result.arm, result.seed, result.scale, result.key)
        write_model(path, result, "nights")
        return path

    def read(self, study: str, scale: str | None = None) -> list[Result]:
        """Read all results of a study, of one scale or of all.

        Raises
        ------
        ValueError
            If there are none, or one is not valid.
        """
        found = [read_result(path) for path in sorted((self.folder / study).glob("*.json"))]
        chosen = [result for result in found if scale in (None, result.scale)]
        if not chosen:
            where = f"{self.folder}" if scale is None else f"{self.folder} at the scale {scale}"
            raise ValueError(f"There are no results of {study} in {where}. Run the study first.")
        return chosen

    def read_all(self) -> list[Result]:
        """Read the results of all studies.

        Raises
        ------
        ValueError
            If one is not valid.
        """
        return [read_result(path) for path in sorted(self.folder.glob("*/*.json"))]


def is_comparable(one: Result, other: Result) -> bool:
    """Check whether two results of a study may be on one page.

    Parameters
    ----------
    one, other : Result
        The results.

    Returns
    -------
    comparable : bool
        Whether they are of the same scale, the same nights and the same pretraining and, if they
        are of one arm, of the same settings but for the seed.
    """
    first, second = (_drop_seed(result.described) for result in (one, other))
    if one.arm != other.arm:
        cohorts = _list_origins(first).keys() & _list_origins(second).keys()
        first, second = (_list_shared(values, cohorts) for values in (first, second))
    return one.scale == other.scale and is_alike(first, second)


def _drop_seed(described: Mapping[str, Any]) -> dict[str, Any]:
    """Drop the seed of a run from what its result depends on."""
    trainings = [
        training | {"settings": {k: v for k, v in training["settings"].items() if k != "seed"}}
        for training in described["trainings"]
    ]
    start = {k: v for k, v in described["start"].items() if k != "seed"}
    rest = {k: v for k, v in described.items() if k != "seed"}
    return rest | {"start": start, "trainings": trainings}


def _list_origins(described: Mapping[str, Any]) -> dict[str, Any]:
    """List where the nights of each cohort come from."""
    trained = [origin for t in described["trainings"] for origin in t["cohorts"].items()]
    return dict(trained) | described["evaluate"]


def _list_shared(described: Mapping[str, Any], cohorts: Collection[str]) -> dict[str, Any]:
    """List what arms share, among that the origin of cohorts that both have."""
    start, origins = described["start"], _list_origins(described)
    return {
        "evaluate": sorted(described["evaluate"]),
        "origins": {name: origins[name] for name in sorted(cohorts)},
        "start": {name: start.get(name) for name in ("padded_epochs", "pretraining", "sha256")},
    }


def check_comparable(results: Sequence[Result]) -> None:
    """Check that results of a study may be on one page.

    Parameters
    ----------
    results : sequence of Result
        The results.

    Raises
    ------
    ValueError
        If two are of another scale, of other nights or settings, or of the same arm and seed.
    """
    for one, other in combinations(results, 2):
        names = " and ".join(f"{r.arm}, seed {r.seed}, {r.scale} ({r.key})" for r in (one, other))
        if not is_comparable(one, other):
            raise ValueError(
                f"The results of {names} cannot be compared: their scales, nights or settings "
                "differ. Choose those of one scale with --scale, or move the others to another "
                "folder."
            )
        if (one.arm, one.seed) == (other.arm, other.seed):
            raise ValueError(
                f"The results of {names} are two of the same arm and seed. Remove one of them."
            )


def read_result(path: Path) -> Result:
    """Read a result.

    Parameters
    ----------
    path : Path
        The JSON file.

    Returns
    -------
    result : Result
        The result.

    Raises
    ------
    ValueError
        If it is not one.
    """
    problem = "is not a result of an experiment", "run the study again"
    return read_model(path, Result, _LARGEST, *problem)


def write_model(path: Path, model: BaseModel, column: str) -> None:
    """Write a model as JSON, with a line for each item of one of its lists.

    Parameters
    ----------
    path : Path
        The JSON file; its folder is made.
    model : BaseModel
        The model.
    column : str
        The list, which comes last.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    values = model.model_dump(mode="json")
    items = ",\n".join(f"  {json.dumps(item)}" for item in values.pop(column))
    head = json.dumps(values, indent=1).removesuffix("\n}")
    text = f'{head},\n "{column}": [\n{items}\n ]\n}}\n'
    with write_whole(path, overwrite=True) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def read_model(path: Path, kind: type[_Model], max_bytes: int, problem: str, advice: str) -> _Model:
    """Read a model from JSON.

    Parameters
    ----------
    path : Path
        The JSON file.
    kind : type
        The kind of model.
    max_bytes : int
        Largest size in bytes of the file.
    problem, advice : str
        What an error says of a file that is no such model, and what to do after it was removed.

    Returns
    -------
    model : BaseModel
        The model.

    Raises
    ------
    ValueError
        If the file has no such model.
    """
    try:
        return kind.model_validate_json(read_file(path, max_bytes))
    except ValidationError as error:
        reason = shorten(summarize_validation(error))
        raise ValueError(f"{path} {problem}: {reason}. Remove it, and {advice}.") from error


def list_versions(packages: Collection[str]) -> dict[str, str]:
    """List the versions of packages and of Python, which a result is kept with.

    Parameters
    ----------
    packages : collection of str
        Names of installed packages.

    Returns
    -------
    versions : dict of str to str
        Package, or ``"python"`` -> version.
    """
    return {name: version(name) for name in packages} | {"python": platform.python_version()}


def is_alike(one: Any, other: Any) -> bool:
    """Check whether two depend on the same, either of which may be of an earlier version."""
    return is_same(one, other) or is_same(other, one)


def is_same(old: Any, new: Any) -> bool:
    """Check whether a result depends on the same as another one would.

    Parameters
    ----------
    old, new : object
        What they depend on, in which the new one may have more settings, of a later version of the
        package, if they have their default values.

    Returns
    -------
    same : bool
        Whether it is the same.

    Examples
    --------
    >>> is_same({"settings": {"seed": 1}}, {"settings": {"seed": 1, "averaging": 0.0}})
    True
    >>> is_same({"settings": {"seed": 1}}, {"settings": {"seed": 1, "averaging": 0.98}})
    False
    """
    defaults = asdict(Wav2SleepConfig()) | asdict(TrainingSettings()) | asdict(Preprocessing())
    return _is_same(*json.loads(json.dumps([old, new, defaults], default=str)))


def _is_same(old: Any, new: Any, defaults: Mapping[str, Any]) -> bool:
    """Compare what JSON holds."""
    if isinstance(old, dict) and isinstance(new, dict):
        more = [name for name in new if name not in old]
        return (
            set(old) <= set(new)
            and all(name in defaults and new[name] == defaults[name] for name in more)
            and all(_is_same(value, new[name], defaults) for name, value in old.items())
        )
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return all(_is_same(a, b, defaults) for a, b in zip(old, new, strict=True))
    return bool(old == new)


def compute_key(described: Mapping[str, Any]) -> str:
    """Compute the hash of all that a result depends on.

    Parameters
    ----------
    described : mapping
        What it depends on.

    Returns
    -------
    key : str
        16 hexadecimal digits.
    """
    text = json.dumps(described, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def round_or_none(value: float | NDArray[np.float64], digits: int) -> float | None:
    """Round a score; None if it is not defined."""
    return None if np.isnan(value) else round(float(value), digits)
