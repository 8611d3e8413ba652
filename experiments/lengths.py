"""Time and memory of the networks of a study by length of the recording, measured and kept."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any, Literal

import measuring
import pandas as pd
from pydantic import BaseModel, ConfigDict
from results import Result, is_alike, is_same, list_versions, read_model, write_model
from scales import Scale
from study import Study

import mne_wav2sleep
from mne_wav2sleep.network import Wav2Sleep
from mne_wav2sleep.network.files import MAX_TEXT_BYTES
from mne_wav2sleep.progress import is_live, show_bars, track
from mne_wav2sleep.staging.windows import plan_windows

EPOCHS_PER_HOUR = 120
"""30-s epochs in an hour."""
_LEAST_S = 0.3
"""Time in s for which short work is repeated, so that its median is of many."""
_PACKAGES = ("mne-wav2sleep", "torch", "numpy")
_ADVICE = "Measure it with --measure."


class Measurement(BaseModel):
    """What a part of an arm's network takes for a recording of some length.

    Attributes
    ----------
    arm, part : str
        The arm, and which of :data:`~measuring.PARTS`.
    hours : float
        Length of the recording.
    cpu_s, wall_s : float
        Medians of the repeats in s.
    memory_mb, peak_mb : float
        Peak memory (RSS) of the process in MB, without and with what it had before.
    repeats : int
        Number of repeats.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    arm: str
    part: str
    hours: float
    cpu_s: float
    wall_s: float
    memory_mb: float
    peak_mb: float
    repeats: int


class LengthsResult(BaseModel):
    """What was measured of the networks of a study at a scale, on one machine.

    Attributes
    ----------
    format : str
        Version of the format.
    study, scale : str
        The study and the scale.
    described : dict
        What measurements depend on: architectures of the arms, lengths, repeats and threads.
    n_parameters, n_mixer_parameters : dict of str to int
        Arm -> parameters of its network, and of the sequence mixer alone.
    machine : dict of str to str
        Versions of packages, and the processor.
    measurements : list of Measurement
        The measurements until now.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["mne-wav2sleep lengths 1"] = "mne-wav2sleep lengths 1"
    study: str
    scale: str
    described: dict[str, Any]
    n_parameters: dict[str, int]
    n_mixer_parameters: dict[str, int]
    machine: dict[str, str]
    measurements: list[Measurement]

    @property
    def table(self) -> pd.DataFrame:
        """The measurements as a table, with the scale in its first column."""
        rows = [{"scale": self.scale} | one.model_dump() for one in self.measurements]
        return pd.DataFrame(rows)

    def list_missing(self) -> list[tuple[float, str, str]]:
        """List the lengths, arms and parts that have not been measured."""
        known = {(one.hours, one.arm, one.part) for one in self.measurements}
        # Arms in turn, so that what else the machine does is shared by them.
        wanted = product(self.described["hours"], measuring.PARTS, self.described["arms"])
        return [(h, arm, part) for h, part, arm in wanted if (h, arm, part) not in known]


def _find_path(folder: Path, study: str, scale: str) -> Path:
    """Find the file of a study's measurements in a folder of results."""
    return folder / study / "lengths" / f"{scale}.json"


def _describe_machine() -> dict[str, str]:
    """Describe what times depend on, but for other programs that run."""
    names = []
    if (path := Path("/proc/cpuinfo")).exists():
        lines = path.read_text("utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return list_versions(_PACKAGES) | {"processor": names[0] if names else platform.machine()}


def _describe(name: str, study: Study, scale: Scale) -> LengthsResult:
    """Describe what is to be measured, without any measurement."""
    assert study.lengths is not None
    configs = {arm: scale.make_config(study.arms[arm]) for arm in study.arms}
    networks = {arm: Wav2Sleep(config) for arm, config in configs.items()}
    hours = [h for h in study.lengths.hours if h <= (scale.longest_h or h)]
    if len(hours) < 2:
        raise ValueError(
            f"The study has no two lengths up to {scale.longest_h:g} h, which is the longest_h of "
            f"the scale {scale.name}. Add shorter ones to the hours of the study."
        )
    described = {
        "arms": {arm: asdict(config) for arm, config in configs.items()},
        "hours": hours,
        "repeats": study.lengths.repeats,
        "threads": study.lengths.threads,
    }
    return LengthsResult(
        study=name,
        scale=scale.name,
        described=json.loads(json.dumps(described)),
        n_parameters={arm: _count(network) for arm, network in networks.items()},
        n_mixer_parameters={arm: _count(one.sequence_mixer) for arm, one in networks.items()},
        machine=_describe_machine(),
        measurements=[],
    )


def _count(module: Any) -> int:
    """Count the parameters of a network or a part of it."""
    return sum(p.numel() for p in module.parameters())


def _run_tasks(result: LengthsResult) -> Iterator[Measurement]:
    """Make the measurements that are missing, each in a process of its own."""
    described = result.described
    threads = dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"], "1")
    package = str(Path(mne_wav2sleep.__file__).parents[1])
    paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    with subprocess.Popen(
        [sys.executable, measuring.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | threads | {"PYTHONPATH": paths},
    ) as process:
        tasks, found = process.stdin, process.stdout
        assert tasks is not None
        assert found is not None
        try:
            for hours, arm, part in result.list_missing():
                n_epochs = round(hours * EPOCHS_PER_HOUR)
                task = {
                    "config": described["arms"][arm],
                    "part": part,
                    "windows": plan_windows(n_epochs) if part == "staging" else [(0, n_epochs)],
                    "threads": described["threads"],
                    "repeats": described["repeats"],
                    "least_s": _LEAST_S,
                }
                tasks.write(json.dumps(task) + "\n")
                tasks.flush()
                line = found.readline()
                if not line:
                    raise ValueError(
                        f"Measuring {part} of the arm {arm} for {hours:g} h ended without a "
                        "result, probably for lack of memory. Leave out such lengths, or measure "
                        "on another machine."
                    )
                yield Measurement(hours=hours, arm=arm, part=part, **json.loads(line))
        finally:
            process.terminate()


def measure_lengths(folder: Path, name: str, study: Study, scale: Scale) -> LengthsResult:
    """Measure time and memory of the arms' networks by length, unless that was done.

    Parameters
    ----------
    folder : Path
        Folder of the results of all studies. What is measured is written after each measurement,
        and a later call goes on from it, if it is on the same machine.
    name : str
        Name of the study.
    study : Study
        The study, which has ``lengths``.
    scale : Scale
        The scale.

    Returns
    -------
    result : LengthsResult
        What was measured.
    """
    result = _describe(name, study, scale)
    path = _find_path(folder, name, scale.name)
    known = read_lengths(path) if path.exists() else None
    if known is not None and is_same(known.described, result.described):
        if not known.list_missing():
            return known
        if known.machine == result.machine:  # times of another one are no part of the same table
            result = known
    with show_bars(is_live()):
        title = f"Measuring networks of the scale {scale.name}"
        total = len(result.list_missing())
        for one in track(_run_tasks(result), title, "measurement", total, is_long=True):
            result = result.model_copy(update={"measurements": [*result.measurements, one]})
            write_model(path, result, "measurements")
    return result


def read_lengths(path: Path) -> LengthsResult:
    """Read what was measured.

    Parameters
    ----------
    path : Path
        The JSON file.

    Returns
    -------
    result : LengthsResult
        What was measured.

    Raises
    ------
    ValueError
        If it is not such a file.
    """
    problem = "has no measurements of a study", "measure again"
    return read_model(path, LengthsResult, MAX_TEXT_BYTES, *problem)


def collect_lengths(
    folder: Path, name: str, study: Study, results: list[Result]
) -> list[LengthsResult]:
    """Collect what was measured at the scale of some results, and at those that the study names.

    Parameters
    ----------
    folder : Path
        Folder of the results of all studies.
    name : str
        Name of the study.
    study : Study
        The study.
    results : list of Result
        Results of one scale.

    Returns
    -------
    measured : list of LengthsResult
        What was measured at each scale; none of scales that were not measured.

    Raises
    ------
    ValueError
        If something is missing, or is of other networks than the results.
    """
    if study.lengths is None:
        return []
    scales = dict.fromkeys([results[0].scale, *study.lengths.scales])
    paths = [_find_path(folder, name, scale) for scale in scales]
    measured = [read_lengths(path) for path in paths if path.exists()]
    for one in measured:
        place = _find_path(folder, name, one.scale)
        if set(one.described["arms"]) != set(study.arms):
            raise ValueError(f"{place} is of other arms than those of the study. {_ADVICE}")
        if missing := one.list_missing():
            raise ValueError(f"{place} lacks {len(missing)} measurements. {_ADVICE}")
        _check_networks(place, one.described["arms"], [r for r in results if r.scale == one.scale])
    return measured


def _check_networks(place: Path, arms: Mapping[str, Any], results: list[Result]) -> None:
    """Check that networks are those that were trained."""
    for result in results:
        trained = result.described["start"]["config"]
        if result.arm in arms and not is_alike(trained, arms[result.arm]):
            raise ValueError(
                f"{place} is of another network of the arm {result.arm} than its results. {_ADVICE}"
            )
