"""Hypnograms of many nights beneath each other, on one clock axis: strips in SVG, blocks in PNG."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib.image
import numpy as np
import pandas as pd
import yasa
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from ..errors import summarize_error
from ..modalities import EPOCH_S
from .night import STAGE_COLORS

_PER_HOUR = int(3600 // EPOCH_S)
_MOST_EPOCHS = 48 * _PER_HOUR
"""Epochs that are kept of a recording of days, of which an axis of a day at most is drawn."""
_LONGEST_AXIS_H = 14
"""Hours of an axis from which on the few nights that are far from the others do not extend it."""
_HEIGHTS = {
    "UNS": 20,
    "WAKE": 20,
    "REM": 16,
    "N1": 12,
    "LIGHT": 10,
    "N2": 8,
    "N3": 4,
    "DEEP": 4,
}
"""Stages and the heights of their bars, of 20, so that they can be told without color."""
_STAGES = tuple(_HEIGHTS)
_CODES = {stage: code for code, stage in enumerate(_STAGES)}
_TALLEST = max(_HEIGHTS.values())
_BLOCK_COLUMNS_PER_HOUR = 60

STRIP_CSS = "".join(
    f".ov-s{code}{{stroke:{STAGE_COLORS[stage]};stroke-width:{height}}}"
    for code, (stage, height) in enumerate(_HEIGHTS.items())
)
"""Colors and heights of the stages in a strip."""


@dataclass(frozen=True)
class Strip:
    """Stages of a night, to be drawn.

    Attributes
    ----------
    codes : array of uint8, shape (n_epochs,)
        Stage of each of its epochs, up to 48 h.
    start : float or None
        Clock time of its start in hours, if it is known.
    hours : float
        Its duration, which may be more.
    """

    codes: NDArray[np.uint8]
    start: float | None
    hours: float


@dataclass(frozen=True)
class Axis:
    """The time axis that all strips have in common.

    Attributes
    ----------
    first : float or None
        Clock time of its left end in hours, from 0 to 24; None if no night has a clock, so that it
        is the time since the start.
    hours : int
        Its length.
    """

    first: float | None
    hours: int

    def label(self, hour: int) -> str:
        """Label a time by the hours from the left end."""
        return f"{hour} h" if self.first is None else format_clock(self.first + hour)

    def place(self, strip: Strip) -> float:
        """Get the hours from the left end of the axis to the start of a night."""
        if self.first is None or strip.start is None:
            return 0.0
        if strip.hours > 24:
            # Its first night: that in which it starts, or the next one.
            return (strip.start - self.first + 18) % 24 - 18
        # Its middle is less than 12 h from that of the axis.
        middle = strip.start + strip.hours / 2 - self.first - self.hours / 2
        return (middle + 12) % 24 - 12 + (self.hours - strip.hours) / 2


def format_clock(hour: float) -> str:
    """Format a clock time.

    Parameters
    ----------
    hour : float
        Hours, which may be more than 24.

    Returns
    -------
    text : str
        Hours and minutes.

    Examples
    --------
    >>> format_clock(25.5)
    '01:30'
    """
    minutes = round(hour * 60) % (24 * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def read_strips(
    nights: Iterable[str], hypnograms: Mapping[str, yasa.Hypnogram], starts: Mapping[str, str]
) -> tuple[dict[str, Strip], dict[str, str]]:
    """Read the hypnograms of nights, one at a time.

    Parameters
    ----------
    nights : iterable of str
        The nights.
    hypnograms : mapping of str to yasa.Hypnogram
        Their hypnograms.
    starts : mapping of str to str
        Clock times in ISO's format, for hypnograms without; empty where they are not known.

    Returns
    -------
    strips : dict of str to Strip
        What is drawn of those that can be read.
    unreadable : dict of str to str
        The others, and why they cannot be read.
    """
    strips, unreadable = {}, {}
    for night in nights:
        try:
            hyp = hypnograms[night]
        except KeyError:
            unreadable[night] = "there is none"
        except (OSError, ValueError, RuntimeError) as error:
            unreadable[night] = summarize_error(error)
        else:
            strips[night] = make_strip(hyp, starts.get(night, ""))
    return strips, unreadable


def make_strip(hyp: yasa.Hypnogram, start: str = "") -> Strip:
    """Reduce a hypnogram to what is drawn of it.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram.
    start : str
        Its clock time in ISO's format, if it has none itself.

    Returns
    -------
    strip : Strip
        Its stages.
    """
    stages = hyp.hypno.iloc[:_MOST_EPOCHS].astype(str)
    codes = stages.map(_CODES).fillna(_CODES["UNS"]).to_numpy(dtype=np.uint8)
    time = pd.to_datetime(start, errors="coerce") if hyp.start is None else pd.Timestamp(hyp.start)
    clock = None
    if not pd.isna(time):
        clock = time.hour + time.minute / 60 + time.second / 3600
    return Strip(codes, clock, hyp.n_epochs / _PER_HOUR)


def find_axis(strips: Iterable[Strip]) -> Axis:
    """Find a time axis for all nights.

    Parameters
    ----------
    strips : iterable of Strip
        The nights.

    Returns
    -------
    axis : Axis
        Whole hours of the clock from the first to the last; if this is more than 14 h, without the
        first and the last 2.5 % of the nights; 24 h at most.
    """
    strips = list(strips)
    clocked = [(s.start, s.hours) for s in strips if s.start is not None and s.hours <= 24]
    longest = max((s.hours for s in strips if s.start is None), default=1)
    if not clocked:
        if any(s.start is not None for s in strips):  # all of them last for days
            return Axis(12.0, 24)
        return Axis(None, int(np.clip(np.ceil(longest), 1, 24)))
    start, hours = np.array(clocked, dtype=float).T
    middle = start + hours / 2
    center = np.angle(np.exp(2j * np.pi * middle / 24).mean()) * 12 / np.pi
    begin = (middle - center + 12) % 24 - 12 - hours / 2
    end = begin + hours
    first, last = begin.min(), end.max()
    if last - first > _LONGEST_AXIS_H:
        first = np.quantile(begin, 0.025, method="lower")
        last = np.quantile(end, 0.975, method="higher")
    # Rounding must not add an hour.
    left = np.floor(center + first + 1e-6)
    length = np.ceil(center + last - 1e-6) - left
    return Axis(float(left % 24), int(np.clip(max(length, np.ceil(longest)), 1, 24)))


def describe_place(strip: Strip, axis: Axis) -> str:
    """Say what the axis does not show of a night.

    Parameters
    ----------
    strip : Strip
        The night.
    axis : Axis
        The axis.

    Returns
    -------
    text : str
        That it has no clock, or begins or ends beyond the axis, or both; else nothing.
    """
    # In epochs, as it is drawn: the start of a night on the edge may be rounded to before it.
    begin, n_epochs = (round(hours * _PER_HOUR) for hours in (axis.place(strip), strip.hours))
    is_cut = begin < 0 or begin + n_epochs > axis.hours * _PER_HOUR
    if strip.start is None:
        place = "" if axis.first is None else "no clock, drawn from the left"
        parts = [place, f"{strip.hours:.1f} h, not all of it shown" if is_cut else ""]
        return "; ".join(part for part in parts if part)
    if not is_cut:
        return ""
    return f"{strip.hours:.1f} h from {format_clock(strip.start)}, not all of it shown"


def draw_strip(strip: Strip, axis: Axis) -> str:
    """Draw the stages of a night.

    Parameters
    ----------
    strip : Strip
        The night.
    axis : Axis
        The axis.

    Returns
    -------
    svg : str
        Its runs of stages, as bars whose height and color are those of the stage.
    """
    offset = round(axis.place(strip) * _PER_HOUR)
    codes = strip.codes[max(0, -offset) : max(0, axis.hours * _PER_HOUR - offset)]
    offset = max(0, offset)
    edges = np.flatnonzero(np.diff(codes.astype(np.int16), prepend=-1, append=-1))
    begins, lengths = edges[:-1], np.diff(edges)
    paths = []
    for code in np.unique(codes):
        at = codes[begins] == code
        begin, length = begins[at], lengths[at]
        steps = np.diff(begin, prepend=begin[0]) - np.r_[0, length[:-1]]
        steps[0] = 0
        y = _TALLEST - _HEIGHTS[_STAGES[code]] / 2
        moves = "".join(
            f"m{step} 0h{n}" if i else f"h{n}"
            for i, (step, n) in enumerate(zip(steps, length, strict=True))
        )
        paths.append(f'<path class="ov-s{code}" d="M{begin[0] + offset} {y:g}{moves}"/>')
    return (
        f'<svg class="ov" viewBox="0 0 {axis.hours * _PER_HOUR} {_TALLEST}" '
        f'preserveAspectRatio="none">{"".join(paths)}</svg>'
    )


def draw_ticks(axis: Axis) -> str:
    """Draw the labels of the axis.

    Parameters
    ----------
    axis : Axis
        The axis.

    Returns
    -------
    html : str
        A label every hour, or every second or third, so that there are at most eight.
    """
    step = -(-axis.hours // 8)
    labels = [
        f'<span style="left:{100 * hour / axis.hours:.2f}%">{axis.label(hour)}</span>'
        for hour in range(0, axis.hours, step)
    ]
    return f'<div class="ov-axis">{"".join(labels)}</div>'


def draw_legend(strips: Iterable[Strip]) -> str:
    """Draw the legend of the stages that occur.

    Parameters
    ----------
    strips : iterable of Strip
        The nights.

    Returns
    -------
    html : str
        A bar of its height and color for each stage, with its name.
    """
    there = {int(code) for strip in strips for code in np.unique(strip.codes)}
    words = {"UNS": "no stage (UNS)"}
    entries = []
    for code in sorted(there, key=lambda code: (code == _CODES["UNS"], code)):
        y = _TALLEST - _HEIGHTS[_STAGES[code]] / 2
        bar = f'<path class="ov-s{code}" d="M0 {y:g}h24"/>'
        svg = f'<svg class="ov" viewBox="0 0 24 {_TALLEST}">{bar}</svg>'
        entries.append(f"<span>{svg} {words.get(_STAGES[code], _STAGES[code])}</span>")
    return f'<div class="ov-legend">{"".join(entries)}</div>'


def draw_block(strips: Sequence[Strip | None], axis: Axis) -> str:
    """Draw many nights as an image with a row of pixels for each.

    Parameters
    ----------
    strips : sequence of Strip or None
        The nights; None for one without stages, whose row is white.
    axis : Axis
        The axis.

    Returns
    -------
    uri : str
        The PNG as a data URI, with a column of pixels a minute.
    """
    n_columns = axis.hours * _BLOCK_COLUMNS_PER_HOUR
    white = len(_STAGES)
    image = np.full((len(strips), n_columns), white, dtype=np.uint8)
    hours = (np.arange(n_columns) + 0.5) / _BLOCK_COLUMNS_PER_HOUR
    for row, strip in zip(image, strips, strict=True):
        if strip is not None:
            epochs = np.floor((hours - axis.place(strip)) * _PER_HOUR).astype(int)
            there = (epochs >= 0) & (epochs < strip.codes.size)
            row[there] = strip.codes[epochs[there]]
    colors = [to_rgb(STAGE_COLORS[stage]) for stage in _STAGES] + [(1.0, 1.0, 1.0)]
    palette = np.round(255 * np.array(colors)).astype(np.uint8)
    file = io.BytesIO()
    matplotlib.image.imsave(file, palette[image], format="png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
