"""The row of a night in the table of a cohort, and the note that keeps it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yasa

from ..hypnograms.probabilities import compute_certainty
from ..hypnograms.statistics import LONGEST_NIGHT_H
from ..modalities import CARDIO_RESPIRATORY, EPOCH_S
from ..network.files import read_file
from ..output import write_whole
from ..showing import escape_lone
from ..stager import SleepStagerW2S
from .nights import Night
from .results import FAILED, STAGED

ROWS = "rows"
"""Name of the folder of notes."""
OWN_STAGES = "own_stages"
"""Whether the annotations of a recording have stages; in the note of a night, not in the table."""
_LARGEST = 2**22
"""Size in bytes of a note at most."""
_FIRST = ("status", "reason", "subject", "dataset", "recording", "hypnogram")
_DECIMALS = 4


@dataclass(frozen=True)
class Row:
    """What is known of a night after it was staged, or could not be.

    Attributes
    ----------
    key : dict of str to str
        What the result depends on: hashes of the recording and of the weights, the version of the
        package, and each parameter.
    values : dict of str to object
        The columns of the table that staging gives.
    files : dict of str to str
        The files that were written, by their paths in the folder of the cohort, and their SHA-256;
        empty for those that differ from one run to the next.
    is_final : bool
        Whether the same would come out again. A lack of memory, or a file that could not be read
        for a while, is not final.
    periods : sequence of dict
        The sleep periods, if the recording is longer than a night.
    """

    key: Mapping[str, str]
    values: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)
    is_final: bool = True
    periods: Sequence[Mapping[str, Any]] = ()

    @property
    def is_staged(self) -> bool:
        """Whether the night was staged."""
        return bool(self.values["status"] == STAGED)


def describe_failure(reason: str, cautions: Sequence[str] = ()) -> dict[str, Any]:
    """Describe a night that could not be staged."""
    return {"status": FAILED, "reason": reason} | _list_warnings(cautions)


def _list_warnings(cautions: Sequence[str]) -> dict[str, Any]:
    """Give the columns of the warnings."""
    return {"n_warnings": len(cautions), "warnings": " | ".join(cautions) or None}


def describe_night(
    stager: SleepStagerW2S,
    hyp: yasa.Hypnogram,
    statistics: pd.DataFrame,
    cautions: Sequence[str],
) -> dict[str, Any]:
    """Describe a night that was staged.

    Parameters
    ----------
    stager : SleepStagerW2S
        The stager, after it has staged the night.
    hyp : yasa.Hypnogram
        Its hypnogram.
    statistics : pandas.DataFrame
        Its sleep statistics, with intervals.
    cautions : sequence of str
        The warnings about it.

    Returns
    -------
    values : dict of str to object
        Columns of the table, ready for JSON; None for what is not known.
    """
    result, channels = stager.result(), stager.channels["channel"]
    recording = result.provenance["recording"]
    in_bed = stager.time_in_bed().to_dict()
    certainty = compute_certainty(hyp)
    values: dict[str, Any] = {
        "status": STAGED,
        "reason": None,
        # MNE labels the recording's own clock UTC.
        "start": result.start and result.start.replace(tzinfo=None).isoformat(),
        "hours": recording["hours"],
        "epochs": recording["epochs"],
        OWN_STAGES: recording["annotated_stages"] > 0,
        "unscored": (hyp.hypno == "UNS").mean(),
        "certainty": certainty.mean(),
        "uncertain": (certainty < 0.5).mean(),
        "time_in_bed": in_bed["source"],
        "lights_off": in_bed["lights_off"],
        "lights_on": in_bed["lights_on"],
    }
    for name in dict.fromkeys([*CARDIO_RESPIRATORY, *channels.index]):
        channel = channels.get(name)
        pair = () if isinstance(channel, str | None) else channel
        values[f"channel_{name}"] = " - ".join(pair) or channel
        there = name in result.quality.index
        values[f"measured_{name}"] = result.measured[name].mean() if there else None
        for column in ("plausible", "rate", "noise"):
            values[f"{column}_{name}"] = result.quality.loc[name, column] if there else None
    values |= _list_warnings(cautions)
    for name, row in statistics.iterrows():
        values[str(name)] = row["value"]
        values[f"{name}_low"], values[f"{name}_high"] = row["low"], row["high"]
    return {name: _to_json(value) for name, value in values.items()}


def describe_periods(stager: SleepStagerW2S, hyp: yasa.Hypnogram) -> list[dict[str, Any]]:
    """Describe the sleep periods of a recording that is longer than a night."""
    if hyp.n_epochs * EPOCH_S <= LONGEST_NIGHT_H * 3600:
        return []
    periods = stager.sleep_periods()
    for name in ("start", "end", "day"):
        periods[name] = [None if pd.isna(one) else str(one) for one in periods[name]]
    return [
        {str(name): _to_json(value) for name, value in row.items()}
        for row in periods.to_dict("records")
    ]


def _to_json(value: Any) -> Any:
    """Turn a value into one that JSON has; None if it is not finite."""
    if isinstance(value, np.bool_ | np.integer):
        return value.item()
    if isinstance(value, float | np.floating):
        return round(float(value), _DECIMALS) if np.isfinite(value) else None
    return value


def row_path(folder: Path, name: str) -> Path:
    """Get the path of the note on a night."""
    return folder / ROWS / f"{name}.json"


def write_row(folder: Path, name: str, row: Row) -> None:
    """Write the note on a night, the last of its files."""
    path = row_path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(path, overwrite=True, is_result=False) as unfinished:
        unfinished.write_text(json.dumps(vars(row), indent=1) + "\n", encoding="utf-8")


def read_row(folder: Path, name: str) -> Row | None:
    """Read the note on a night; None if there is none, or it is damaged."""
    path = row_path(folder, name)
    if not path.is_file():
        return None
    try:
        row = Row(**json.loads(read_file(path, _LARGEST)))
        parts = row.key, row.values, row.files
        is_valid = all(isinstance(one, dict) for one in parts) and row.values["status"] in (
            STAGED,
            FAILED,
        )
    except (RuntimeError, ValueError, TypeError, KeyError, RecursionError, OSError):
        return None
    return row if is_valid else None


def tabulate_rows(nights: Mapping[str, Night], folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make the tables of a cohort.

    Parameters
    ----------
    nights : mapping of str to Night
        Name -> night, in the order of the rows.
    folder : Path
        The folder with the note on each of them.

    Returns
    -------
    table : pandas.DataFrame
        One row per night.
    periods : pandas.DataFrame
        One row per sleep period of recordings that are longer than a night; empty if there are
        none.

    Raises
    ------
    RuntimeError
        If a note is no longer there.
    """
    columns: dict[str, list[Any]] = {name: [] for name in _FIRST}
    periods: list[dict[str, Any]] = []
    for n_before, (name, night) in enumerate(nights.items()):
        row = read_row(folder, name)
        if row is None:
            raise RuntimeError(
                f"{row_path(folder, name)} was removed or changed while the cohort was staged. Run "
                "it again."
            )
        scored = night.hypnogram
        values = dict(row.values)
        if values.pop(OWN_STAGES, False) and scored is None:
            scored = night.recording
        values |= {
            "subject": night.subject,
            "dataset": night.dataset,
            "recording": _show_path(night.recording, night),
            "hypnogram": _show_path(scored, night) if isinstance(scored, str | Path) else None,
        }
        for column in values:
            columns.setdefault(column, [None] * n_before)
        for column, found in columns.items():
            found.append(escape_lone(values.get(column)))
        who = {what: escape_lone(getattr(night, what)) for what in ("subject", "dataset")}
        periods += [{"night": name} | who | dict(period) for period in row.periods]
    return pd.DataFrame({"night": list(nights)} | columns), pd.DataFrame(periods)


def _show_path(source: object, night: Night) -> str:
    """Show where a recording or hypnogram is; the name of the file for a Raw."""
    if isinstance(source, str | Path):
        return str(Path(source).expanduser().absolute())
    return night.file


def list_changes(old: Mapping[str, str], new: Mapping[str, str]) -> Sequence[str]:
    """List what has changed of what a result depends on."""
    return [name for name in new if old.get(name) != new[name]]
