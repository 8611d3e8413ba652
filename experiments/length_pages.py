"""Table, figure and sentences about time and memory by length, from measurements alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from lengths import EPOCHS_PER_HOUR, LengthsResult
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from measuring import PARTS
from study import Study

from mne_wav2sleep.output import write_whole
from mne_wav2sleep.showing import WIDTH
from mne_wav2sleep.staging.windows import plan_windows
from mne_wav2sleep.training.card import format_table
from mne_wav2sleep.verbosity import pluralize

_LABELS = {
    "mixer": "sequence mixer",
    "training": "training step of the sequence mixer",
    "network": "network, in one piece",
    "staging": "network, in windows",
}
_PHRASES = {
    "mixer": "the sequence mixer takes",
    "training": "a training step of it takes",
    "staging": "the network in windows takes",
}
"""Parts of which sentences are made."""
_LEAST_MB = 1.0
"""Memory below which ratios are not given: the system counts pages, and other things need some."""


def _get(table: pd.DataFrame, arm: str, part: str, hours: float) -> pd.Series:
    """Get a measurement."""
    is_it = (table["arm"] == arm) & (table["part"] == part) & (table["hours"] == hours)
    return table[is_it].iloc[0]


def format_time(seconds: float) -> str:
    """Format a time with two digits or more.

    Parameters
    ----------
    seconds : float
        The time in s.

    Returns
    -------
    text : str
        The time in s or ms.

    Examples
    --------
    >>> format_time(0.00123), format_time(0.0456), format_time(12.3)
    ('1.2 ms', '46 ms', '12 s')
    """
    value, unit = (seconds * 1e3, "ms") if seconds < 1 else (seconds, "s")
    return f"{value:.{1 if value < 10 else 0}f} {unit}"


def format_memory(memory_mb: float) -> str:
    """Format memory.

    Parameters
    ----------
    memory_mb : float
        The memory in MB.

    Returns
    -------
    text : str
        The memory in MB or GB.

    Examples
    --------
    >>> format_memory(0.4), format_memory(3.21), format_memory(321.0), format_memory(3210.0)
    ('less than 1 MB', '3.2 MB', '321 MB', '3.2 GB')
    """
    if memory_mb < _LEAST_MB:
        return f"less than {_LEAST_MB:g} MB"
    if memory_mb >= 1000:
        return f"{memory_mb / 1000:.1f} GB"
    return f"{memory_mb:.{1 if memory_mb < 10 else 0}f} MB"


def _measure_noise(table: pd.DataFrame, column: str) -> float | None:
    """Measure the largest ratio of two measurements of the same; None if none was measured twice.

    Recordings of a single window are staged in one piece.
    """
    short = table[[len(plan_windows(round(h * EPOCHS_PER_HOUR))) == 1 for h in table["hours"]]]
    both = short.pivot(index=["arm", "hours"], columns="part", values=column)
    if column == "memory_mb":
        both = both[(both[["network", "staging"]] >= _LEAST_MB).all(axis="columns")]
    if both.empty:
        return None
    return float(np.exp(np.abs(np.log(both["staging"] / both["network"])).max()))


def _compare_memory(one: pd.Series, other: pd.Series, noise: float | None) -> float | None:
    """Find how many times as much memory one takes; None if that is not known, or within noise."""
    if min(one["memory_mb"], other["memory_mb"]) < _LEAST_MB:
        return None
    ratio = float(one["memory_mb"] / other["memory_mb"])
    return None if noise is not None and 1 / noise <= ratio <= noise else ratio


def _format_growth(noise: float | None, first: pd.Series, last: pd.Series) -> str:
    """Format how many times as much time and memory the longest recording takes."""
    times = f"{last['cpu_s'] / first['cpu_s']:.1f} times the CPU time"
    values = f"{format_time(first['cpu_s'])} to {format_time(last['cpu_s'])}"
    memory = f"{format_memory(first['memory_mb'])} to {format_memory(last['memory_mb'])}"
    more = _compare_memory(last, first, noise)
    if more is None:
        return f"{times} ({values}), and memory from {memory}"
    return f"{times} ({values}) and {more:.1f} times the memory ({memory})"


def _format_ratio(noise: float | None, one: pd.Series, other: pd.Series) -> str:
    """Format how many times as much time and memory one takes as the other."""
    text = f"{one['cpu_s'] / other['cpu_s']:.2f} times the CPU time"
    more = _compare_memory(one, other, noise)
    return text if more is None else f"{text} and {more:.2f} times the memory"


def describe_lengths(measured: LengthsResult, study: Study) -> list[str]:
    """Say how time and memory grow with length, and how arms compare at the longest.

    Parameters
    ----------
    measured : LengthsResult
        All measurements of a scale.
    study : Study
        The study.

    Returns
    -------
    sentences : list of str
        A sentence for each arm, and one for each comparison with the reference.
    """
    table, hours = measured.table, measured.described["hours"]
    first, last = hours[0], hours[-1]
    noise = _measure_noise(table, "memory_mb")
    sentences = []
    reference = study.arms[study.reference].label
    for arm in study.arms:
        growth = [
            f"{phrase} {_format_growth(noise, *(_get(table, arm, part, h) for h in (first, last)))}"
            for part, phrase in _PHRASES.items()
        ]
        sentences.append(
            f"**{study.arms[arm].label}**, from {first:g} h to {last:g} h, {last / first:g} times "
            f"as long: {'; '.join(growth)}."
        )
    for arm in study.arms:
        if arm == study.reference:
            continue
        ratios = [
            f"{phrase} "
            + _format_ratio(noise, *(_get(table, a, part, last) for a in (arm, study.reference)))
            for part, phrase in _PHRASES.items()
        ]
        sentences.append(
            f"**{study.arms[arm].label}**, at {last:g} h, against {reference}: {'; '.join(ratios)}."
        )
    return sentences


def _format_lengths(measured: LengthsResult, study: Study) -> str:
    """Format the table of a scale."""
    table, hours = measured.table, measured.described["hours"]
    rows = []
    for part in PARTS:
        for arm in study.arms:
            found = [_get(table, arm, part, h) for h in hours]
            cells = [f"{format_time(r['cpu_s'])}, {format_memory(r['memory_mb'])}" for r in found]
            rows.append([_LABELS[part], study.arms[arm].label, *cells])
    return format_table(["CPU time, memory of", "arm", *(f"{h:g} h" for h in hours)], rows)


def _format_percent(ratio: float) -> str:
    """Format by how many percent a ratio is more than 1."""
    more = 100 * (ratio - 1)
    return f"{more:.{0 if more >= 1 else 1}f}"


def _describe_noise(measured: LengthsResult) -> str:
    """Say how much measurements vary, as what is the same was measured twice."""
    table = measured.table
    ratio = table["wall_s"] / table["cpu_s"]
    text = (
        f"Wall time was {ratio.min():.2f} to {ratio.max():.2f} times the CPU time (median "
        f"{ratio.median():.2f})."
    )
    time, memory = (_measure_noise(table, column) for column in ("cpu_s", "memory_mb"))
    if time is None:
        return text
    text += (
        " Recordings of a single window are the same in one piece and in windows: their CPU times "
        f"differed by up to {_format_percent(time)} %"
    )
    if memory is not None:
        text += (
            f", and their memory by up to {_format_percent(memory)} %, within which no ratio of "
            "memory is given"
        )
    text += "."
    first, *others = (
        {name: value for name, value in config.items() if not name.startswith("sequence_")}
        for config in measured.described["arms"].values()
    )
    if any(one != first for one in others):
        return text
    return (
        f"{text} Arms have the same encoders and the same epoch mixer, so that their networks "
        "differ by no more than their sequence mixers do; all other differences are noise."
    )


def _format_sizes(measured: LengthsResult, study: Study) -> str:
    """Format the numbers of parameters of a scale."""
    rows = [
        [a.label, f"{measured.n_mixer_parameters[n]:,}", f"{measured.n_parameters[n]:,}"]
        for n, a in study.arms.items()
    ]
    return format_table(["arm", "parameters of the sequence mixer", "of the network"], rows)


def plot_lengths(measured: Sequence[LengthsResult], study: Study) -> Figure:
    """Plot time and memory against length.

    Parameters
    ----------
    measured : sequence of LengthsResult
        All measurements of one or several scales.
    study : Study
        The study.

    Returns
    -------
    figure : matplotlib.figure.Figure
        Two rows of axes for each scale, time and memory, with one for each part.
    """
    n_rows = 2 * len(measured)
    figure = Figure(figsize=(1.4 * WIDTH, 2.2 * n_rows + 1), layout="constrained")
    axes = figure.subplots(n_rows, len(PARTS), sharex=True, sharey="row", squeeze=False)
    columns = {"cpu_s": "CPU time (s)", "memory_mb": "Memory (MB)"}
    for i, one in enumerate(measured):
        table = one.table
        for j, (column, label) in enumerate(columns.items()):
            axes[2 * i + j, 0].set_ylabel(f"scale {one.scale}\n{label}")
            for k, part in enumerate(PARTS):
                _plot_part(axes[2 * i + j, k], table[table["part"] == part], column, study)
    hours = sorted({hour for one in measured for hour in one.described["hours"]})
    for k, part in enumerate(PARTS):
        axes[0, k].set_title(_LABELS[part], fontsize="medium")
        axes[-1, k].set_xticks(hours, [f"{h:g}" for h in hours])
        axes[-1, k].xaxis.set_minor_formatter(NullFormatter())
        axes[-1, k].set_xlabel("Length of the recording (h)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _plot_part(axes, some: pd.DataFrame, column: str, study: Study) -> None:
    """Plot a number of a part for all arms."""
    for i, (name, arm) in enumerate(study.arms.items()):
        rows = some[some["arm"] == name].sort_values("hours")
        values = rows[column]
        if column == "memory_mb":  # the axis has no zero
            values = values.clip(lower=_LEAST_MB)
        axes.plot(rows["hours"], values, "o-", ms=3, color=f"C{i}", label=arm.label)
    axes.set(xscale="log", yscale="log")
    axes.spines[["top", "right"]].set_visible(False)


def write_lengths(name: str, measured: Sequence[LengthsResult], study: Study, folder: Path) -> str:
    """Write table and figure of measurements, and give their section of the page.

    Parameters
    ----------
    name : str
        Name of the study.
    measured : sequence of LengthsResult
        All measurements of one or several scales.
    study : Study
        The study.
    folder : Path
        Where ``NAME-lengths.csv`` and ``NAME-lengths.png`` are written.

    Returns
    -------
    section : str
        The section in Markdown; empty without measurements.
    """
    if not measured:
        return ""
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.concat([one.table for one in measured])
    with write_whole(folder / f"{name}-lengths.csv", overwrite=True) as unfinished:
        table.to_csv(unfinished, index=False)
    with write_whole(folder / f"{name}-lengths.png", overwrite=True) as unfinished:
        plot_lengths(measured, study).savefig(unfinished, dpi=100, metadata={"Software": None})
    parts = []
    for one in measured:
        sentences = "\n".join(f"- {text}" for text in describe_lengths(one, study))
        machine = ", ".join(f"{k} {v}" for k, v in one.machine.items() if k != "processor")
        n_threads = one.described["threads"]
        parts.append(
            f"### Scale {one.scale}\n\n{_format_sizes(one, study)}\n\n{sentences}\n\n"
            f"{_format_lengths(one, study)}\n\nMeasured on one {one.machine['processor']} with "
            f"{n_threads} thread{pluralize(n_threads)}, {machine}. {_describe_noise(one)}"
        )
    sections = "\n\n".join(parts)
    return f"""## Time and memory by length

![Time and memory by length]({name}-lengths.png)

Networks have random weights, on random signals, as time does not depend on their values. They \
compute stages from all their signals, which are not read, padded or prepared here. Staging cuts \
recordings of more than 12 h into windows of 10 h; "in one piece" is without. A training step is \
forward and backward on one recording. CPU times are medians. Memory is the peak (RSS) of a \
process of its own, less what it had before. All numbers, with wall time, are in \
`{name}-lengths.csv`.

{sections}

"""
