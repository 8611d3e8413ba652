"""The nights of the cohorts: simulated, with real hypnograms where they are given, or recorded."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import mne
import numpy as np
import yasa
from npz import read_arrays
from numpy.typing import NDArray
from scales import CohortSize, Scale
from sensors import add_sensors
from study import make

from mne_wav2sleep import simulate_night
from mne_wav2sleep.cohorts import Night, PreparedNight, open_night, prepare_nights, read_nights
from mne_wav2sleep.modalities import CARDIO_RESPIRATORY, Modality, list_added
from mne_wav2sleep.progress import track
from mne_wav2sleep.simulation import Population

PARTS = ("training", "validation", "test")
"""Parts of a cohort, which have different subjects."""
_SEED = 2411
"""Seed of simulated people, and of the split of recorded ones."""
STAGES = ("WAKE", "N1", "N2", "N3", "REM", "UNS")  # -1 is the last
_LONGEST = 1200
"""Number of epochs (10 h) to which hypnograms are cut."""
_SIZES = ("n_training", "n_validation", "n_test")
_LARGEST = 2**20
"""Largest size in bytes of the file of a hypnogram, also when it is not compressed."""


@dataclass(frozen=True)
class CohortNights:
    """The prepared nights of a cohort.

    Attributes
    ----------
    parts : dict of str to list of PreparedNight
        Training, validation and test nights, of different subjects.
    origin : dict
        Where they come from: what results depend on.
    """

    parts: dict[str, list[PreparedNight]]
    origin: dict[str, Any]


def read_stages(folder: Path) -> list[NDArray[np.int64]]:
    """Read the hypnograms of a folder and its subfolders.

    Parameters
    ----------
    folder : Path
        The folder, with an npz for each night: ``stages`` per 30 s, 0 WAKE, 1 N1, 2 N2, 3 N3,
        4 REM, -1 unscored.

    Returns
    -------
    hypnograms : list of array of int, shape (n_epochs,)
        The stages of each night, in a random order that is always the same.

    Raises
    ------
    ValueError
        If there is none, or a file has no stages.
    """
    paths = sorted(folder.rglob("*.npz"))
    if not paths:
        raise ValueError(
            f"There are no hypnograms (*.npz) in {folder}. Give a folder that has some, or leave "
            "out --hypnograms, so that stages are simulated."
        )
    found = [_read_file(path) for path in paths]
    return [found[i] for i in np.random.default_rng(_SEED).permutation(len(found))]


def _read_file(path: Path) -> NDArray[np.int64]:
    """Read a hypnogram."""
    advice = "Stages are integers from -1 to 4, one for each 30 s."
    try:
        [stages] = read_arrays(path, ["stages"], _LARGEST)
    except ValueError as error:
        raise ValueError(f"{path} is not a hypnogram: {error}. {advice}") from error
    if (
        (stages.ndim != 1 or not stages.size)
        or stages.dtype.kind not in "iu"
        or not np.isin(stages, range(-1, 5)).all()
    ):
        raise ValueError(f"{path} has stages that are not valid. {advice}")
    return stages[:_LONGEST].astype(np.int64)


def assign_stages(
    scale: Scale, hypnograms: Sequence[NDArray[np.int64]]
) -> dict[str, list[NDArray[np.int64]]]:
    """Assign a hypnogram to each night of the cohorts.

    No hypnogram is used twice, except by cohorts with ``stages_of``.

    Parameters
    ----------
    scale : Scale
        The cohorts.
    hypnograms : sequence of array of int
        The hypnograms.

    Returns
    -------
    assigned : dict of str to list of array
        Cohort -> the stages of its nights.

    Raises
    ------
    ValueError
        If they are too few.
    """
    own = {name: size for name, size in scale.cohorts.items() if size.stages_of is None}
    needed = sum(size.n_nights for size in own.values())
    if len(hypnograms) < needed:
        raise ValueError(
            f"The cohorts have {needed} nights, but only {len(hypnograms)} hypnograms are given. "
            "Give more of them, or make the cohorts of the scale smaller."
        )
    left = iter(hypnograms)
    assigned = {name: [next(left) for _ in range(size.n_nights)] for name, size in own.items()}
    shared = {
        name: assigned[size.stages_of][: size.n_nights]
        for name, size in scale.cohorts.items()
        if size.stages_of is not None
    }
    return assigned | shared


def simulate(
    size: CohortSize, cohort: str, number: int, stages: NDArray[np.int64] | None
) -> mne.io.RawArray:
    """Simulate a night of a cohort.

    Parameters
    ----------
    size : CohortSize
        The cohort.
    cohort : str
        Its name.
    number : int
        Number of the night.
    stages : array of int, shape (n_epochs,), or None
        Its stages; None to simulate them.

    Returns
    -------
    raw : mne.io.RawArray
        The night, with its stages as annotations.
    """
    rng = np.random.default_rng([_SEED, *cohort.encode(), number])
    population = make(Population, size.population, "population")
    # Sensors differ from night to night.
    noise = population.noise * float(np.exp(rng.normal(0, 0.3)))
    hyp = None
    if stages is not None:
        hyp = yasa.Hypnogram([STAGES[stage] for stage in stages], n_stages=5)
    made_from: dict[str, Any] = {
        "duration": 3600 * float(rng.uniform(*size.hours)),
        "seed": int(rng.integers(2**31)),
        "apnea_index": float(rng.exponential(size.apnea_index)),
        "population": replace(population, noise=noise),
    }
    simulated = [name for name in size.modalities if name in CARDIO_RESPIRATORY]
    others = [name for name in size.modalities if name not in CARDIO_RESPIRATORY]
    raw = simulate_night(hyp, modalities=simulated, sfreq=size.sfreq, verbose="error", **made_from)
    return add_sensors(raw, others, stages, made_from)


def _prepare(
    size: CohortSize,
    cohort: str,
    number: int,
    stages: NDArray[np.int64] | None,
    folder: Path,
    added: Sequence[Modality],
) -> PreparedNight:
    """Simulate and prepare a night, unless its file exists; signals add themselves (``added``)."""
    mne.set_log_level("error")  # in each process
    described = size.model_dump(mode="json", exclude={"about", *_SIZES})
    if added:
        described["added"] = [one.to_dict() for one in added]
    scored = b"" if stages is None else stages.tobytes()
    # Not of the size of its cohort, which may grow.
    here = folder / f"{cohort}{number:03d}-{_hash(described, cohort, number, scored)}"
    for done in sorted(here.glob("*.safetensors")):
        try:
            return open_night(done)
        except ValueError:  # damaged, or of another version of the package
            done.unlink()
    raw = simulate(size, cohort, number, stages)
    night = Night(raw, None, f"{cohort}{number:03d}", cohort)
    return prepare_nights([night], here, modalities=size.modalities)[0]


def _hash(*values: Any) -> str:
    """Hash what nights are made from."""
    digest = hashlib.sha256()
    for value in values:
        digest.update(value if isinstance(value, bytes) else json.dumps(value).encode())
    return digest.hexdigest()[:16]


def simulate_cohort(
    size: CohortSize,
    cohort: str,
    stages: Sequence[NDArray[np.int64]] | None,
    folder: Path,
    n_jobs: int = 1,
) -> CohortNights:
    """Simulate the nights of a cohort, each of another subject.

    Parameters
    ----------
    size : CohortSize
        The cohort.
    cohort : str
        Its name.
    stages : sequence of array of int, or None
        The stages of each night; None to simulate them.
    folder : Path
        Where prepared nights are kept.
    n_jobs : int
        Number of nights that are made in parallel.

    Returns
    -------
    nights : CohortNights
        Its nights.
    """
    given = [None] * size.n_nights if stages is None else list(stages)
    added = list_added(size.modalities)
    tasks = [
        joblib.delayed(_prepare)(size, cohort, number, one, folder, added)
        for number, one in enumerate(given)
    ]
    results = joblib.Parallel(n_jobs, return_as="generator")(tasks)
    made = list(track(results, f"Simulating cohort {cohort}", "night", len(tasks), is_long=True))
    first, second = size.n_training, size.n_training + size.n_validation
    parts = dict(zip(PARTS, _cut(made, first, second), strict=True))
    kind = "simulated, with real hypnograms" if stages is not None else "simulated"
    key = _hash(*(sorted(n.path.parent.name for n in parts[part]) for part in PARTS))
    return CohortNights(parts, _describe(kind, parts, key))


def _describe(kind: str, parts: Mapping[str, list[PreparedNight]], key: str) -> dict[str, Any]:
    """Describe where nights come from."""
    nights = [night for part in parts.values() for night in part]
    return {
        "kind": kind,
        "modalities": sorted({name for night in nights for name in night.modalities}),
        "nights": {part: len(some) for part, some in parts.items()},
        "subjects": {part: len({n.person for n in some}) for part, some in parts.items()},
        "hours": round(sum(night.n_epochs for night in nights) / 120, 1),
        "key": key,
    }


def _cut(items: list[Any], first: int, second: int) -> tuple[list[Any], list[Any], list[Any]]:
    """Cut a list into three."""
    return items[:first], items[first:second], items[second:]


def read_cohort(
    size: CohortSize, cohort: str, table: Path, folder: Path, n_jobs: int = 1
) -> CohortNights:
    """Prepare the recorded nights of a table, and split them by subject.

    Subjects get numbers in place of their ids, which stay the same as long as the subjects do.

    Parameters
    ----------
    size : CohortSize
        The cohort, whose parts have the shares of its numbers.
    cohort : str
        Its name.
    table : Path
        A table of nights, as :func:`~mne_wav2sleep.cohorts.read_nights` reads it.
    folder : Path
        Where prepared nights are kept.
    n_jobs : int
        Number of nights that are prepared in parallel.

    Returns
    -------
    nights : CohortNights
        Its nights.

    Raises
    ------
    ValueError
        If there are fewer than three subjects.
    """
    # Subjects of the same name in two datasets of the table stay two.
    nights = [
        replace(night, dataset=cohort, subject=f"{night.dataset}/{night.subject}")
        for night in read_nights(table)
    ]
    prepared = prepare_nights(nights, folder / cohort, modalities=size.modalities, n_jobs=n_jobs)
    persons = sorted({night.person for night in prepared})
    if len(persons) < len(PARTS):
        raise ValueError(
            f"{table} has {len(persons)} subjects, but training, validation and test need one each "
            "at least. Add nights of others."
        )
    order = [persons[i] for i in np.random.default_rng(_SEED).permutation(len(persons))]
    n_test = max(round(len(order) * size.n_test / size.n_nights), 1)
    n_validation = max(round(len(order) * size.n_validation / size.n_nights), 1)
    n_training = max(len(order) - n_test - n_validation, 1)
    groups = _cut(order, n_training, min(n_training + n_validation, len(order) - 1))
    # Results are kept with the code, and must not have the subjects' own ids.
    numbers = {person: f"{cohort}{number:04d}" for number, person in enumerate(order)}
    parts = {
        part: [replace(n, subject=numbers[n.person]) for n in prepared if n.person in group]
        for part, group in zip(PARTS, groups, strict=True)
    }
    key = _hash(
        *([n.subject, *n.contents, n.scoring] for part in PARTS for n in parts[part]),
        *(len(parts[part]) for part in PARTS),
    )
    return CohortNights(parts, _describe("recorded", parts, key))


def prepare_cohorts(
    names: Sequence[str],
    scale: Scale,
    tables: Mapping[str, Path],
    stages: Mapping[str, Sequence[NDArray[np.int64]]] | None,
    folder: Path,
    n_jobs: int = 1,
) -> dict[str, CohortNights]:
    """Prepare cohorts.

    Parameters
    ----------
    names : sequence of str
        The cohorts.
    scale : Scale
        Their sizes.
    tables : mapping of str to Path
        Cohort -> table of recorded nights; the others are simulated.
    stages : mapping of str to sequence of array, or None
        Cohort -> stages of its simulated nights; None to simulate them.
    folder : Path
        Where prepared nights are kept.
    n_jobs : int
        Number of nights that are prepared in parallel.

    Returns
    -------
    cohorts : dict of str to CohortNights
        Cohort -> its nights.
    """
    return {
        name: read_cohort(scale.cohorts[name], name, tables[name], folder, n_jobs)
        if name in tables
        else simulate_cohort(
            scale.cohorts[name], name, stages[name] if stages else None, folder, n_jobs
        )
        for name in names
    }
