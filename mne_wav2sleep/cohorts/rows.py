"""The row of a night in the table of a cohort."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yasa

from ..hypnograms.probabilities import compute_certainty
from ..hypnograms.statistics import LONGEST_NIGHT_H
from ..modalities import CARDIO_RESPIRATORY, EPOCH_S
from ..showing import escape_lone
from ..stager import SleepStagerW2S
from .nights import Night
from .notes import (
    FAILED,
    SEPARATOR,
    STAGED,
    Row,
    describe_lost_hypnogram,
    read_row,
    row_path,
)

OWN_STAGES = "own_stages"
"""Whether the annotations of a recording have stages; in the note of a night, not in the table."""
_FIRST = ("status", "reason", "subject", "dataset", "recording", "hypnogram")
_MEASURES = ("start", "hours", "epochs", "unscored", "certainty", "uncertain", "time_in_bed")
_ENDS = ("_low", "_high")
"""What the columns of the ends of an interval add to the name of the statistic."""
_DECIMALS = 4


def describe_failure(reason: str, cautions: Sequence[str] = ()) -> dict[str, Any]:
    """Describe a night that could not be staged."""
    return {"status": FAILED, "reason": reason} | _list_warnings(cautions)


def _list_warnings(cautions: Sequence[str]) -> dict[str, Any]:
    """Give the columns of the warnings."""
    return {"n_warnings": len(cautions), "warnings": SEPARATOR.join(cautions) or None}


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
        "start": result.start and result.start.replace(tzinfo=None).isoformat(" ", "seconds"),
        "hours": recording["hours"],
        "epochs": recording["epochs"],
        OWN_STAGES: recording["annotated_stages"] > 0,
        "unscored": (hyp.hypno == "UNS").mean(),
        "certainty": certainty.mean(),
        "uncertain": (certainty < 0.5).mean(),
        "time_in_bed": in_bed["source"],
        "lights_off": in_bed["lights_off"],
        "lights_on": in_bed["lights_on"],
        "lights_off_s": in_bed["off_s"],
        "lights_on_s": in_bed["on_s"],
        "first_epoch": in_bed["first_epoch"],
        "epochs_in_bed": in_bed["epochs"],
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
        values |= {f"{name}{end}": row[end[1:]] for end in _ENDS}
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


@dataclass(frozen=True)
class Tables:
    """The tables of a cohort.

    Attributes
    ----------
    nights : pandas.DataFrame
        One row per night.
    periods : pandas.DataFrame
        One row per sleep period of recordings that are longer than a night; empty if there are
        none.
    contents : dict of str to str
        Night -> hash of the contents of its recording, of each night that was staged.
    """

    nights: pd.DataFrame
    periods: pd.DataFrame
    contents: Mapping[str, str]


def tabulate_rows(nights: Mapping[str, Night], folder: Path, stage_names: Sequence[str]) -> Tables:
    """Make the tables of a cohort.

    Parameters
    ----------
    nights : mapping of str to Night
        Name -> night, in the order of the rows.
    folder : Path
        The folder with the note on each of them.
    stage_names : sequence of str
        The stages of the weights, by which the statistics are known if no night has some.

    Returns
    -------
    tables : Tables
        The tables.

    Raises
    ------
    RuntimeError
        If a note is no longer there.
    """
    columns: dict[str, list[Any]] = {name: [] for name in _FIRST}
    periods: list[dict[str, Any]] = []
    contents: dict[str, str] = {}
    for n_before, (name, night) in enumerate(nights.items()):
        row = read_row(folder, name)
        if row is None:
            raise RuntimeError(
                f"{row_path(folder, name)} was removed or changed while the cohort was staged. Run "
                "it again."
            )
        if row.is_staged:
            contents[name] = row.key.get("recording", name)
        for column in (values := _list_values(row, night)):
            columns.setdefault(column, [None] * n_before)
        for column, found in columns.items():
            found.append(escape_lone(values.get(column)))
        who = {what: escape_lone(getattr(night, what)) for what in ("subject", "dataset")}
        periods += [{"night": name} | who | dict(period) for period in row.periods]
    if not contents:
        columns |= {name: [None] * len(nights) for name in _list_statistics(stage_names)}
    table = pd.DataFrame({"night": list(nights)} | columns)
    table["copies"] = _find_copies(table["night"], contents)
    return Tables(table, pd.DataFrame(periods), contents)


def _list_values(row: Row, night: Night) -> dict[str, Any]:
    """List what the table has of a night."""
    scored = night.hypnogram
    values = dict(row.values)
    if values.pop(OWN_STAGES, False) and scored is None:
        scored = night.recording
    if (lost := describe_lost_hypnogram(night)) is not None:
        some = [values.get("warnings"), lost]
        values["warnings"] = SEPARATOR.join(one for one in some if one)
        values["n_warnings"] = values.get("n_warnings", 0) + 1
    return values | {
        "subject": night.subject,
        "dataset": night.dataset,
        "recording": _show_path(night.recording, night),
        "hypnogram": _show_path(scored, night) if isinstance(scored, str | Path) else None,
    }


def _list_statistics(stage_names: Sequence[str]) -> list[str]:
    """List the columns of the statistics, and of what else is known of nights that are staged."""
    hyp = yasa.Hypnogram(list(stage_names), n_stages=len(stage_names))
    statistics = [f"{name}{end}" for name in hyp.sleep_statistics() for end in ("", *_ENDS)]
    return [*_MEASURES, *statistics]


def _find_copies(names: Iterable[str], contents: Mapping[str, str]) -> list[str | None]:
    """List the other nights whose recordings have the same contents, for each night."""
    alike: dict[str, list[str]] = {}
    for name, digest in contents.items():
        alike.setdefault(digest, []).append(name)
    others = {name: [one for one in alike[contents[name]] if one != name] for name in contents}
    return [SEPARATOR.join(others.get(name, ())) or None for name in names]


def _show_path(source: object, night: Night) -> str:
    """Show where a recording or hypnogram is; the name of the file for a Raw."""
    if isinstance(source, str | Path):
        return str(Path(source).expanduser().absolute())
    return night.file
