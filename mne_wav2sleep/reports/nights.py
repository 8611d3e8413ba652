"""The nights of a cohort beneath each other: those to look at first, and all of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import pandas as pd
import yasa

from ..errors import shorten
from ..verbosity import pluralize
from .rendering import escape_html, render_paragraphs
from .screening import (
    CRITERIA,
    Finding,
    Kind,
    get_numbers,
    get_texts,
    group_sentences,
    is_failed,
    rank_nights,
    screen_nights,
)
from .strips import (
    Axis,
    Strip,
    describe_place,
    draw_block,
    draw_legend,
    draw_strip,
    draw_ticks,
    find_axis,
    read_strips,
)

_N_FIRST = 20
"""Number of nights to look at first."""
_MOST_ROWS = 2000
"""Number of nights up to which each has a row of its own; more are drawn in blocks."""
_BLOCK = 500
"""Number of nights in a block."""
_COLUMNS = (("TST", 1 / 60, 1), ("SE", 1, 0), ("certainty", 1, 2))
"""Columns of the table whose numbers are shown, their factors and decimals."""


@dataclass(frozen=True)
class Overview:
    """What the sections of an overview are made from.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per night.
    strips : mapping of str to Strip
        Stages of each night whose hypnogram could be read.
    axis : Axis
        The time axis of all nights.
    findings : mapping of str to list of Finding
        Reasons to look at nights.
    failures : sequence of Kind
        Why nights failed.
    order : sequence of str
        The nights by dataset, subject and start.
    people : mapping of str to str
        Dataset and subject of each night.
    numbers : mapping of str to tuple of str
        The numbers that are shown of each night.
    """

    table: pd.DataFrame
    strips: Mapping[str, Strip]
    axis: Axis
    findings: Mapping[str, list[Finding]]
    failures: Sequence[Kind]
    order: Sequence[str]
    people: Mapping[str, str]
    numbers: Mapping[str, tuple[str, ...]]


def collect_nights(table: pd.DataFrame, hypnograms: Mapping[str, yasa.Hypnogram]) -> Overview:
    """Read the hypnograms, and find what is remarkable about the nights.

    Parameters
    ----------
    table : pandas.DataFrame
        One row per night.
    hypnograms : mapping of str to yasa.Hypnogram
        Night -> hypnogram of each night that was staged.

    Returns
    -------
    overview : Overview
        What was found.
    """
    failed = is_failed(table)
    starts, datasets = get_texts(table, "start"), get_texts(table, "dataset")
    subjects = get_texts(table, "subject")
    strips, unreadable = read_strips(table.index[~failed], hypnograms, starts)
    reasons = get_texts(table, "reason")[failed].replace("", "No reason is known.")
    columns = [
        ["" if pd.isna(x) else f"{x:.{n}f}" for x in get_numbers(table, name) * factor]
        for name, factor, n in _COLUMNS
    ]
    return Overview(
        table=table,
        strips=strips,
        axis=find_axis(strips.values()),
        findings=screen_nights(table, unreadable),
        failures=group_sentences(reasons.items(), table),
        order=[
            row[-1] for row in sorted(zip(datasets, subjects, starts, table.index, strict=True))
        ],
        people={
            night: " · ".join(shorten(text, 40) for text in texts if text)
            for night, *texts in zip(table.index, datasets, subjects, strict=True)
        },
        numbers=dict(zip(table.index, zip(*columns, strict=True), strict=True)),
    )


def count(number: int, word: str) -> str:
    """Count things in words.

    Parameters
    ----------
    number : int
        Their number.
    word : str
        What they are called, one of them.

    Returns
    -------
    text : str
        The number and the word.

    Examples
    --------
    >>> count(1, "night"), count(2000, "night")
    ('1 night', '2,000 nights')
    """
    return f"{number:,} {word}{pluralize(number)}"


def render_first(overview: Overview) -> str:
    """Render the nights to look at first.

    Parameters
    ----------
    overview : Overview
        The nights.

    Returns
    -------
    html : str
        A table of up to 20 nights, and the criteria.
    """
    nights = rank_nights(overview.table, overview.findings, overview.failures, _N_FIRST)
    criteria = f"<details><summary>Criteria</summary>{render_paragraphs(CRITERIA)}</details>"
    if not nights:
        return render_paragraphs("No night is remarkable by these criteria.") + criteria
    alike = {next(iter(kind.nights)): len(kind.nights) - 1 for kind in overview.failures}
    rows = [_render_row(overview, night, alike.get(night, 0)) for night in nights]
    text = f"{len(nights)} of {count(len(overview.findings), 'remarkable night')}."
    return render_paragraphs(text) + criteria + _render_rows(overview, rows)


def render_nights(overview: Overview) -> str:
    """Render the hypnograms of all nights beneath each other.

    Parameters
    ----------
    overview : Overview
        The nights.

    Returns
    -------
    html : str
        A legend, and a table, or images if there are more than 2000 nights.
    """
    strips, axis = overview.strips.values(), overview.axis
    place = "the time since the start" if axis.first is None else "the clock of the recordings"
    text = f"By dataset, subject and start, on {place}."
    if axis.first is not None and any(one.start is None for one in strips):
        text += " Nights without a clock begin at the left."
    if n_cut := sum("not all of it shown" in describe_place(one, axis) for one in strips):
        text += f" {count(n_cut, 'night')} began or ended beyond the axis."
    legend = draw_legend(strips)
    if len(overview.order) <= _MOST_ROWS:
        rows = (_render_row(overview, night) for night in overview.order)
        return render_paragraphs(text) + legend + _render_rows(overview, rows, is_all=True)
    text += (
        f" As there are more than {_MOST_ROWS:,}, each is a row of pixels. Their names and numbers "
        "are in nights.csv."
    )
    firsts = range(0, len(overview.order), _BLOCK)
    blocks = "".join(_render_block(overview, first) for first in firsts)
    return render_paragraphs(text) + legend + blocks


def _render_block(overview: Overview, first: int) -> str:
    """Render a block of nights as an image."""
    nights = overview.order[first : first + _BLOCK]
    ends = " to ".join(escape_html(shorten(night)) for night in (nights[0], nights[-1]))
    text = f"Nights {first + 1:,} to {first + len(nights):,}: {ends}"
    image = draw_block([overview.strips.get(night) for night in nights], overview.axis)
    return (
        f'<figure class="ov-block"><figcaption>{text}</figcaption>{draw_ticks(overview.axis)}'
        f'<img src="{image}" alt="{text}" loading="lazy" style="height:{2 * len(nights)}px">'
        "</figure>"
    )


def _render_rows(overview: Overview, rows: Iterable[str], *, is_all: bool = False) -> str:
    """Render rows of nights as a table."""
    kind = " ov-all" if is_all else ""
    return (
        f'<table class="ov-table{kind}" style="--hours:{overview.axis.hours}"><thead><tr>'
        f"<th>night</th><th>{draw_ticks(overview.axis)}</th><th>TST [h]</th><th>SE [%]</th>"
        '<th title="mean probability of the most probable stage">certainty</th><th>remarks</th>'
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _render_row(overview: Overview, night: str, n_alike: int = 0) -> str:
    """Render the row of a night."""
    strip = overview.strips.get(night)
    remarks = [one.text.removesuffix(".") for one in overview.findings.get(night, [])]
    if n_alike:
        remarks.append(f"{count(n_alike, 'other night')} failed for the same reason")
    name = escape_html(shorten(night, 60))
    if strip is None:
        # Its first remark says why.
        drawn = f'<small class="ov-none">{escape_html("".join(remarks[:1]))}</small>'
        remarks = remarks[1:]
    else:
        name = f'<a href="hypnograms/{quote(night, safe="", errors="replace")}.json">{name}</a>'
        drawn = draw_strip(strip, overview.axis)
        remarks += [text for text in [describe_place(strip, overview.axis)] if text]
    cells = [
        f"{name}<small>{escape_html(overview.people[night])}</small>",
        drawn,
        *overview.numbers[night],
        escape_html("; ".join(remarks)),
    ]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
