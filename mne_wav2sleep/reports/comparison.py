"""Figures and report of the agreement of two scorers of many nights, as journals print them."""

import warnings
from collections.abc import Mapping, Sequence
from importlib import metadata

import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd
import yasa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..cautions import catch_warnings
from ..showing import WIDTH, escape_hidden, finish_figure, wrap_name
from ..verbosity import pluralize
from .agreement import draw_confusion
from .rendering import CSS, JS, escape_html, render_list, render_paragraphs, render_table

_MOST_NAMES = 40
"""Most subjects whose names are beside their points."""
_MOST_ROWS = 500
"""Most nights in the table of a report; all of them are in the CSV."""
_TITLES = {
    "by_scorer": "By scorer",
    "by_group": "By group",
    "by_subject": "By subject",
    "sleep_stats_report": "Sleep statistics",
    "by_night": "By night",
    "failed": "Not compared",
}
_MENGHINI = (
    "Menghini et al. (2021). A standardized framework for testing the performance of "
    "sleep-tracking technology. SLEEP 44(2):zsaa170"
)
_VALLAT = (
    "Vallat & Walker (2021). An open-source, high-performance tool for automated sleep staging. "
    "eLife 10:e70092"
)


def plot_confusion(
    confusion: pd.DataFrame, names: tuple[str, str], pooled: pd.DataFrame, *, show: bool = True
) -> Figure:
    """Plot a confusion matrix, in % of the reference's stages, and epochs.

    Parameters
    ----------
    confusion : pandas.DataFrame
        Number of epochs by stage of the reference (rows) and of the other scorer.
    names : tuple of (str, str)
        Names of the two.
    pooled : pandas.DataFrame
        Scores of all epochs, for the title.
    show : bool
        Whether to show the figure.

    Returns
    -------
    figure : matplotlib.figure.Figure
        The figure.
    """
    size = 1.5 + 0.5 * np.ceil(1.6 * len(confusion))
    figure, ax = plt.subplots(figsize=(size + 0.5, size), layout="constrained")
    kappa, accuracy = _format(pooled.loc["kappa"], 2), _format(pooled.loc["accuracy"], 1)
    draw_confusion(confusion, ax, f"kappa {kappa}\naccuracy {accuracy} %", percent=True)
    ax.set_xlabel(wrap_name(names[1], 40), parse_math=False)
    ax.set_ylabel(wrap_name(names[0], 40), parse_math=False)
    return finish_figure(figure, show=show)


_METRICS = {
    "accuracy": "accuracy (%)",
    "balanced_acc": "balanced accuracy (%)",
    "kappa": "Cohen's kappa",
    "mcc": "Matthews' correlation",
    "precision": "precision, weighted by stage (%)",
    "f1": "F1, weighted by stage (%)",
}


def _format(row: pd.Series, decimals: int, name: str = "") -> str:
    """Format a score with its interval, if there is one."""
    value, low, high = row[
        [name, f"{name}_low", f"{name}_high"] if name else ["value", "low", "high"]
    ]
    if pd.isna(value):
        return "-"
    text = f"{value:.{decimals}f}"
    return text if pd.isna(low) else f"{text} [{low:.{decimals}f}, {high:.{decimals}f}]"


def plot_by_subject(
    by_night: pd.DataFrame, by_subject: pd.DataFrame, pooled: pd.DataFrame, *, show: bool = True
) -> Figure:
    """Plot kappa of each subject and night, and F1 of each stage.

    Parameters
    ----------
    by_night, by_subject, pooled : pandas.DataFrame
        The tables of a comparison.
    show : bool
        Whether to show the figure.

    Returns
    -------
    figure : matplotlib.figure.Figure
        The figure.
    """
    order = by_subject.sort_values("kappa", kind="stable", na_position="first")
    has_names = len(order) <= _MOST_NAMES
    height = 0.5 * np.ceil(2 * min(9.0, max(3.5, 1 + 0.18 * len(order)))) if has_names else 4.0
    figure, axes = plt.subplots(
        1, 2, figsize=(WIDTH, height), width_ratios=(3, 2), layout="constrained"
    )
    _draw_subjects(by_night, order, pooled.loc["kappa"], axes[0], has_names=has_names)
    _draw_f1(by_subject, axes[1])
    return finish_figure(figure, show=show)


def _draw_subjects(
    by_night: pd.DataFrame, order: pd.DataFrame, kappa: pd.Series, ax: Axes, *, has_names: bool
) -> None:
    """Draw the kappa of each subject, the highest at the top, and of the nights."""
    positions = pd.Series(np.arange(len(order)), index=order["subject"])
    ax.plot(order["kappa"], positions, "o", color="#0072B2", ms=5, label="mean of a subject")
    if len(by_night) > len(order):
        at = positions[by_night["subject"]]
        ax.plot(by_night["kappa"], at, "|", color="0.4", ms=7, label="night")
    if pd.notna(kappa["mean"]):
        ax.axvline(kappa["mean"], color="black", lw=1, label="mean, with 95% interval")
        ax.axvspan(kappa["mean_low"], kappa["mean_high"], color="0.85", zorder=0)
    ax.set_xlabel("kappa")
    if has_names:
        labels = [wrap_name(str(one), 24) for one in order["subject"]]
        ax.set_yticks(positions, labels, fontsize="small", parse_math=False)
    else:
        ax.set_ylabel(f"{len(order)} subjects, by kappa")
        ax.set_yticks([])
    ax.margins(y=0.02 if len(order) > 20 else 0.08)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, ncols=3, fontsize="small")


def _draw_f1(by_subject: pd.DataFrame, ax: Axes) -> None:
    """Draw the F1 of each stage, over subjects."""
    columns = [name for name in by_subject if str(name).startswith("F1 ")]
    values = [by_subject[name].dropna() for name in columns]
    ax.boxplot(
        values,
        tick_labels=[name.removeprefix("F1 ") for name in columns],
        medianprops={"color": "black"},
        showfliers=False,
        widths=0.6,
    )
    # The same shifts for each stage, so that points do not hide each other.
    shifts = 0.15 * np.sin(np.arange(len(by_subject)) * 2.4)
    for i, name in enumerate(columns, start=1):
        ax.plot(i + shifts, by_subject[name], ".", color="#0072B2", alpha=0.6, ms=4)
    ax.set_ylim(-2, 102)
    ax.set_ylabel("F1 of subjects (%)")
    ax.tick_params(axis="x", rotation=0 if len(columns) < 5 else 45)


def plot_bland_altman(
    agreement: yasa.SleepStatsAgreement,
    sleep_stats: Sequence[str],
    ci_method: str | None,
    *,
    show: bool = True,
) -> Figure:
    """Plot differences of sleep statistics with YASA.

    Parameters
    ----------
    agreement : yasa.SleepStatsAgreement
        The statistics.
    sleep_stats : sequence of str
        Which of them.
    ci_method : str or None
        How YASA computes intervals.
    show : bool
        Whether to show the figure.

    Returns
    -------
    figure : matplotlib.figure.Figure
        The figure.
    """
    n_columns = min(len(sleep_stats), 4)
    with catch_warnings():
        grid = agreement.plot_blandaltman(
            sleep_stats=list(sleep_stats),
            ci_method=ci_method,
            height=2.5,
            aspect=WIDTH / n_columns / 2.5 if n_columns > 2 else 1.2,
        )
    for name, ax in zip(sleep_stats, grid.axes.flat, strict=True):
        ax.set_title(f"{name} ({_find_unit(name)})")
        ax.set_xlabel(wrap_name(ax.get_xlabel(), 24), fontsize="small", parse_math=False)
        ax.set_ylabel(wrap_name(ax.get_ylabel(), 24), fontsize="small", parse_math=False)
    return finish_figure(grid.figure, show=show)


def _find_unit(name: str) -> str:
    """Find the unit of one of YASA's statistics."""
    if name.startswith("%") or name in ("SE", "SME"):
        return "%"
    return "per h" if name == "SFI" else "min"


def _format_pooled(pooled: pd.DataFrame) -> pd.DataFrame:
    """Format the scores of all epochs, and of subjects."""
    rows = {}
    for metric, row in pooled.iterrows():
        decimals = 2 if metric in ("kappa", "mcc") else 1
        mean = "-"
        if pd.notna(row["mean"]):
            std = "-" if pd.isna(row["std"]) else f"{row['std']:.{decimals}f}"
            mean = (
                f"{row['mean']:.{decimals}f} ± {std} "
                f"[{row['mean_low']:.{decimals}f}, {row['mean_high']:.{decimals}f}]"
            )
        rows[_METRICS.get(str(metric), metric)] = {
            "all epochs [95% interval]": _format(row, decimals),
            "mean ± SD of subjects [95% interval of the mean]": mean,
            "subjects": "-" if pd.isna(row["subjects"]) else f"{row['subjects']:.0f}",
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _format_stages(by_stage: pd.DataFrame) -> pd.DataFrame:
    """Format the scores by stage."""
    table = by_stage[["epochs"]].copy()
    for name in ("f1", "recall", "precision", "specificity", "npv"):
        table[f"{name} (%)"] = [_format(row, 1, name) for _, row in by_stage.iterrows()]
    return table


def _format_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Format a table with a row per group, scorer, subject or night."""
    shown = table.copy()
    for name, decimals in (("kappa", 2), ("accuracy", 1)):
        if f"{name}_low" in table:
            shown[name] = [_format(row, decimals, name) for _, row in table.iterrows()]
            shown = shown.drop(columns=[f"{name}_low", f"{name}_high"])
        elif name in table:
            shown[name] = table[name].round(decimals)
    f1 = [name for name in shown if str(name).startswith("F1 ")]
    shown[f1] = shown[f1].round(1)
    return shown


def _summarize(names: tuple[str, str], tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Summarize what was compared, and how well it agrees."""
    n, people = len(tables["by_night"]), len(tables["by_subject"])
    epochs, scored = (int(tables["by_night"][name].sum()) for name in ("epochs", "n_scored"))
    pooled = tables["pooled"]
    return [
        f"{names[1]} was compared with {names[0]} in {n} night{pluralize(n)} of {people} "
        f"subject{pluralize(people)}: {epochs} epochs of 30 s that have a stage by both, which is "
        f"{100 * epochs / scored:.1f} % of those by {names[0]}.",
        f"Over all epochs, kappa is {_format(pooled.loc['kappa'], 2)}, and accuracy "
        f"{_format(pooled.loc['accuracy'], 1)} %.",
    ]


def _describe_methods(names: tuple[str, str], tables: Mapping[str, pd.DataFrame]) -> str:
    """Write the methods paragraph for a paper."""
    consensus = ""
    references = tables["by_scorer"]["reference"]
    n_scorers = references.nunique() - 1
    if names[0] not in set(references):
        consensus = " Each night was compared with the scorer who had scored it."
    elif names[0] == "consensus" and n_scorers:  # a single scorer may have that name
        rule = (
            "the epochs in which both gave the same stage"
            if n_scorers == 2
            else "the stage that most of them gave, and of stages that equally many gave that of "
            "the scorer who agreed most with the others"
        )
        consensus = f" The reference was the consensus of {n_scorers} scorers: {rule}."
    stages = tables["confusion"].index
    yasa_version, version = map(metadata.version, ("yasa", "mne-wav2sleep"))
    by_night, in_bed = tables["by_night"], ""
    if "in_bed" in by_night:
        n_known = int((by_night["in_bed"] > 0).sum())
        in_bed = f" in bed, where known ({n_known} of {len(by_night)} nights),"
    text = (
        f"Agreement was computed in 30-s epochs with a stage by both scorers, in {len(stages)} "
        f"stages ({', '.join(stages)}), with YASA {yasa_version} (Vallat & Walker 2021) and "
        f"mne-wav2sleep {version}.{consensus} Intervals of agreement are 95% percentile intervals "
        "of a bootstrap over subjects (2000 draws), in which the nights of a subject are drawn "
        "together. Bias and limits of agreement of sleep statistics, from the first to the last "
        f"epoch{in_bed} with a stage by both, follow Menghini et al. (2021)."
    )
    return f"<p>{escape_html(text)}</p>{render_list([_VALLAT, _MENGHINI])}"


def make_comparison_report(
    names: tuple[str, str],
    *,
    tables: Mapping[str, pd.DataFrame],
    figures: Mapping[str, Figure],
    cautions: Sequence[str],
) -> mne.Report:
    """Make the report of a comparison.

    Parameters
    ----------
    names : tuple of (str, str)
        Names of the reference and of the other scorer.
    tables : mapping of str to pandas.DataFrame
        The tables of a comparison by their names, and ``sleep_stats_report``, YASA's.
    figures : mapping of str to matplotlib.figure.Figure
        ``confusion``, ``by_subject`` and, if there is one, ``bland_altman``.
    cautions : sequence of str
        The warnings.

    Returns
    -------
    report : mne.Report
        The report.
    """
    title = f"Agreement of {escape_hidden(names[1])} with {escape_hidden(names[0])}"
    report = mne.Report(title=title, verbose="error")
    report.add_custom_css(CSS)
    report.add_custom_js(JS)
    summary = render_paragraphs(*_summarize(names, tables))
    if cautions:
        summary += "<p><strong>Warnings</strong></p>" + render_list(cautions)
    report.add_html(summary, "Summary", tags=("summary",))
    pooled = render_table(_format_pooled(tables["pooled"]))
    report.add_html(pooled, "Agreement", tags=("agreement",))
    # A single scorer is the one of the table above.
    _add_tables(report, tables, ["by_scorer"] if len(tables["by_scorer"]) > 1 else [])
    _add_tables(report, tables, ["by_group"])
    _add_figure(report, figures["confusion"], "Confusion matrix")
    stages = render_table(_format_stages(tables["by_stage"]))
    report.add_html(stages, "By stage", tags=("agreement",))
    _add_figure(report, figures["by_subject"], "Subjects")
    _add_tables(report, tables, ["by_subject"])
    if "bland_altman" in figures:
        _add_figure(report, figures["bland_altman"], "Differences of sleep statistics")
    _add_tables(report, tables, ["sleep_stats_report", "by_night", "failed"])
    report.add_html(_describe_methods(names, tables), "Methods, to paste", tags=("methods",))
    return report


def _add_tables(
    report: mne.Report, tables: Mapping[str, pd.DataFrame], names: Sequence[str]
) -> None:
    """Add tables that are not empty."""
    for name in names:
        if len(tables[name]):
            report.add_html(_render(name, tables[name]), _TITLES[name], tags=("tables",))


def _add_figure(report: mne.Report, figure: Figure, title: str) -> None:
    """Add a figure; names in other scripts can be read in the tables."""
    with catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        report.add_figure(figure, title, tags=("figures",), image_format="png")


def _render(name: str, table: pd.DataFrame) -> str:
    """Render a table, cut to a length that a browser shows at once."""
    note = ""
    if len(table) > _MOST_ROWS:
        note = render_paragraphs(
            f"The first {_MOST_ROWS} of {len(table)} rows; all of them are in {name}.csv."
        )
    if name == "sleep_stats_report":
        note = render_paragraphs(
            "By YASA, after Menghini et al. (2021). Where an assumption is not met, bias or limits "
            "of agreement (LoA) depend on the value of the reference: see the figure, and the "
            "intercepts and slopes in sleep_stats.csv."
        )
        return note + render_table(table)
    return note + render_table(_format_rows(table.head(_MOST_ROWS)).set_index(table.columns[0]))
