"""Overview of a cohort: a self-contained HTML file, made with mne.Report."""

import html
import json
import warnings
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import mne
import pandas as pd
import yasa
from matplotlib.figure import Figure

from ..cautions import catch_warnings
from ..errors import shorten
from ..hypnograms.lights import WHOLE_RECORDING
from ..hypnograms.statistics import N_DRAWS
from ..showing import escape_hidden
from ..verbosity import check_type
from .distributions import (
    plot_measured,
    plot_statistics,
    tabulate_distributions,
    tabulate_signals,
)
from .nights import Overview, collect_nights, count, render_first, render_nights
from .page import OVERVIEW_CSS, OVERVIEW_JS
from .rendering import CITATIONS, CSS, JS, escape_html, render_paragraphs, render_table
from .screening import (
    Kind,
    find_modalities,
    find_unusual,
    get_numbers,
    get_texts,
    group_sentences,
    is_failed,
)

_MOST_NAMES = 200
"""Number of names of nights that are listed at most."""
_CAPTION = (
    "Black lines are medians. Boxes, if there are several datasets, extend from the first to the "
    "third quartile, and whiskers by up to 1.5 times the interquartile range."
)
_SEPARATOR = " | "
"""What the table joins warnings with."""


def make_overview(
    table: pd.DataFrame,
    hypnograms: Mapping[str, yasa.Hypnogram],
    *,
    title: str,
    parameters: Mapping[str, Any] | None = None,
) -> mne.Report:
    """Make the overview of a cohort.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per night, by its name, with the columns of :class:`~mne_wav2sleep.cohorts.Cohort`;
        any of them may be absent, or empty.
    hypnograms : mapping of str to yasa.Hypnogram
        Night -> hypnogram of each night that was staged. They are read one at a time.
    title : str
        Name of the cohort.
    parameters : mapping, optional
        How it was staged, ready for JSON: ``weights`` with ``name`` and ``sha256``, ``ci``, and
        whatever else is to be shown.

    Returns
    -------
    report : mne.Report
        For :func:`~mne_wav2sleep.reports.html.write_report`. The same input gives the same report;
        the file has the date in its last line, which ``mne.Report`` adds.

    Raises
    ------
    TypeError, ValueError
        If ``table`` is not a table of nights, or names a night twice.

    Notes
    -----
    Up to 2000 nights, each has a row with its hypnogram. More are drawn in images of 500 nights,
    with a row of pixels for each, and only the nights to look at first have a row.
    """
    check_type(table, pd.DataFrame, "table")
    check_type(title, str, "title")
    if table.index.has_duplicates:
        twice = table.index[table.index.duplicated()][0]
        raise ValueError(
            f"The table has the night {shorten(str(twice))!r} twice. Give each night a name of its "
            "own."
        )
    table = table.set_axis([str(night) for night in table.index])
    overview = collect_nights(table, hypnograms)
    given = parameters or {}
    report = mne.Report(title=f"Sleep stages of {escape_hidden(title)}", verbose="error")
    report.add_custom_css(CSS + OVERVIEW_CSS)
    report.add_custom_js(JS + OVERVIEW_JS)
    summary = render_paragraphs(*_summarize(overview, given))
    report.add_html(summary, "Summary", tags=("summary",))
    report.add_html(render_first(overview), "Look at these first", tags=("nights",))
    report.add_html(render_nights(overview), "All nights", tags=("nights",))
    staged = table[~is_failed(table)]
    _add_figure(report, plot_statistics(staged), "Distribution of the statistics", "statistics")
    distributions = tabulate_distributions(staged)
    text = _render_numbers(distributions) or "<p>No night has statistics.</p>"
    text += render_paragraphs(*_describe_unusual(staged))
    report.add_html(text, "Statistics", tags=("statistics",))
    failures = _render_kinds(overview.failures, "reason") or "<p>Nothing failed.</p>"
    report.add_html(failures, "What failed, and why", tags=("failures",))
    _add_figure(report, plot_measured(staged), "Distribution of what was measured", "signals")
    report.add_html(_render_signals(table, staged), "Signals and warnings", tags=("signals",))
    report.add_html(_describe_methods(overview, given), "Methods, to paste", tags=("methods",))
    # JSON escapes what is not ASCII.
    text = html.escape(json.dumps(dict(given), indent=2, default=str))
    report.add_html(f"<pre>{text}</pre>", "Parameters", tags=("provenance",))
    return report


def _add_figure(report: mne.Report, figure: Figure | None, title: str, tag: str) -> None:
    """Add a figure, if there is one."""
    if figure is None:
        return
    with catch_warnings():
        # Names of datasets in other scripts can be read in the tables.
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        report.add_figure(figure, title, tags=(tag,), image_format="png", caption=_CAPTION)


def _describe_unusual(staged: pd.DataFrame) -> list[str]:
    """Say how many nights in the statistics are short, long, by day, without a clock, or copies."""
    kinds = [kind for kind in find_unusual(staged) if kind.nights.any()]
    if not kinds:
        return []
    n_nights = pd.concat([kind.nights for kind in kinds], axis=1).any(axis=1).sum()
    counts = "; ".join(f"{kind.nights.sum():,} {kind.what}" for kind in kinds)
    return [
        f"{n_nights:,} of these {count(len(staged), 'night')} may not be meant to be among them: "
        f"{counts}. To leave them out, choose rows of nights.csv."
    ]


def _render_numbers(table: pd.DataFrame) -> str:
    """Render a table whose cells are not wrapped, if it has rows."""
    return f'<div class="ov-numbers">{render_table(table)}</div>' if len(table) else ""


def _describe_range(table: pd.DataFrame) -> str:
    """Say what the statistics are over."""
    sources = get_texts(table, "time_in_bed").replace(WHOLE_RECORDING, "")
    counts = sources[sources != ""].value_counts()
    if not len(counts):
        return "over the whole recordings, as no time in bed is known"
    known = "; ".join(f"{shorten(text)}: {count(n, 'night')}" for text, n in sorted(counts.items()))
    n_others = len(sources) - counts.sum()
    others = f", and over the whole recording in {count(n_others, 'other night')}"
    return f"over the time in bed ({known}){others if n_others else ''}"


def _summarize(overview: Overview, parameters: Mapping[str, Any]) -> list[str]:
    """Summarize the cohort."""
    table = overview.table
    failed = is_failed(table)
    staged = table[~failed]
    sentences = [
        f"{count(len(table), 'night')}: {len(staged):,} staged, {failed.sum():,} failed."
        f"{_describe_people(table)}",
        f"Staged with {_name_weights(parameters)}, by mne-wav2sleep {_find_version(parameters)}.",
    ]
    sentences += _get_caution(parameters)
    if len(staged):
        sentences.append(f"Sleep statistics are {_describe_range(staged)}.")
    n_warnings = get_numbers(table, "n_warnings")
    text = (
        f"{count(int(n_warnings.sum()), 'warning')} about {count((n_warnings > 0).sum(), 'night')}"
    )
    sentences.append(f"{text}." if n_warnings.sum() else "No warnings.")
    return sentences


def _describe_people(table: pd.DataFrame) -> str:
    """Say how many subjects, datasets and hours there are, as far as they are known."""
    subjects, datasets = get_texts(table, "subject"), get_texts(table, "dataset")
    names = sorted(set(datasets) - {""})
    some = ", ".join(map(shorten, names[:10])) + (", ..." if len(names) > 10 else "")
    hours = get_numbers(table, "hours").sum()
    # Datasets may have subjects of the same name.
    n_subjects = len({pair for pair in zip(datasets, subjects, strict=True) if pair[1]})
    parts = [
        count(n_subjects, "subject") if n_subjects else "",
        f"{count(len(names), 'dataset')} ({some})" if names else "",
        f"{hours:,.0f} h of recordings" if hours else "",
    ]
    text = ", ".join(part for part in parts if part)
    return f" {text}." if text else ""


def _name_weights(parameters: Mapping[str, Any]) -> str:
    """Name the weights, with the beginning of their hash."""
    weights = parameters.get("weights")
    if isinstance(weights, Mapping):
        digest = str(weights.get("sha256", ""))[:12]
        name = shorten(str(weights.get("name", "")))
        return f"the weights {name!r}" + (f" (SHA-256 {digest})" if digest else "")
    return f"the weights {shorten(str(weights))!r}" if weights else "unknown weights"


def _get_caution(parameters: Mapping[str, Any]) -> list[str]:
    """Get the warning of the weights, if they have one."""
    weights = parameters.get("weights")
    caution = weights.get("caution") if isinstance(weights, Mapping) else None
    return [shorten(str(caution), 400)] if caution else []


def _find_version(parameters: Mapping[str, Any]) -> str:
    """Find the version of the package that staged the nights."""
    versions = parameters.get("versions")
    given = versions.get("mne-wav2sleep") if isinstance(versions, Mapping) else None
    return str(given or parameters.get("version") or metadata.version("mne-wav2sleep"))


def _render_kinds(kinds: Sequence[Kind], what: str) -> str:
    """Render kinds of sentences, with the nights that each is about."""
    rows = []
    for kind in kinds:
        names = ", ".join(escape_html(shorten(night, 60)) for night in [*kind.nights][:_MOST_NAMES])
        if len(kind.nights) > _MOST_NAMES:
            names += f" and {len(kind.nights) - _MOST_NAMES:,} more (nights.csv)"
        example = "" if kind.text == kind.example else f"For example: {kind.example}"
        sentence = escape_html(kind.text) + (f"<br><small>{escape_html(example)}</small>")
        some = f"<details><summary>{count(len(kind.nights), 'night')}</summary>{names}</details>"
        rows.append(f"<tr><td>{sentence}</td><td>{some}</td></tr>")
    if not rows:
        return ""
    return (
        f'<table class="table table-sm ov-kinds"><thead><tr><th>{what}</th><th>nights</th></tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _render_signals(table: pd.DataFrame, staged: pd.DataFrame) -> str:
    """Render the signals of the nights, and the warnings about them."""
    signals = tabulate_signals(staged)
    text = _render_numbers(signals) or "<p>No signals are known.</p>"
    sentences = [
        (night, one)
        for night, joined in get_texts(table, "warnings").items()
        for one in joined.split(_SEPARATOR)
        if one
    ]
    kinds = _render_kinds(group_sentences(sentences, table), "warning")
    return text + (kinds or "<p>There were no warnings.</p>")


def _describe_methods(overview: Overview, parameters: Mapping[str, Any]) -> str:
    """Write the methods paragraph for a paper."""
    staged = overview.table[~is_failed(overview.table)]
    counts = {m: get_numbers(staged, f"measured_{m}").gt(0).sum() for m in find_modalities(staged)}
    used = [f"{name} ({count(n, 'night')})" for name, n in counts.items() if n]
    ci = parameters.get("ci")
    intervals = f" {100 * ci:g}% intervals" if isinstance(ci, float) else " Intervals"
    text = (
        "Sleep was staged in 30-s epochs with wav2sleep (Carter & Tarassenko 2024)"
        f"{' from ' + ', '.join(used) if used else ''}, using mne-wav2sleep "
        f"{_find_version(parameters)} with {_name_weights(parameters)}, MNE-Python (Gramfort et "
        f"al. 2013) and YASA (Vallat & Walker 2021). {len(staged):,} of "
        f"{count(len(overview.table), 'night')} could be staged. Sleep statistics are "
        f"{_describe_range(staged)}.{intervals} of sleep statistics come from {N_DRAWS} "
        "nights drawn from the stage probabilities of each night."
    )
    return render_paragraphs(" ".join([text, *_get_caution(parameters)])) + CITATIONS
