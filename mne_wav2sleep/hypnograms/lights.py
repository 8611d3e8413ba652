"""Lights off and on: from annotations or as given, to the epochs of the time in bed."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import numpy as np
import yasa
from numpy.typing import NDArray

from ..cautions import warn
from ..modalities import EPOCH_S
from .clock_times import Light, check_times, place_lights, show_time
from .light_marks import list_marks

Lights: TypeAlias = str | tuple[Light, Light] | None
"""``"auto"``, a pair of lights off and on, or None for the whole recording."""

WHOLE_RECORDING = "whole recording"
"""Source of a time in bed that nothing is known of."""


class EventLights(tuple[float | None, float | None]):
    """Lights off and on by the events of a dataset, in seconds from the start of the recording.

    Unlike a pair that a user gives, they are limited to the recording, or not used, with a warning.
    """

    __slots__ = ()


_APART_S = 3600.0
"""Time between two dark spans that makes them two, and sleep outside of the time in bed that is
warned of, in seconds. Breaks of a night, as for the toilet, are shorter."""
_PERSISTENT = 10
"""Epochs of sleep in a row (5 min) that count as sleep here, as in YASA's ``SOL_5min``."""


@dataclass(frozen=True)
class TimeInBed:
    """From lights off to lights on, in a recording.

    Attributes
    ----------
    off, on : float
        Lights off and on, in seconds from the start of the recording.
    first, stop : int
        The first epoch in bed, and the one after the last: those that begin nearest to lights off
        and on.
    off_source, on_source : str
        ``"annotations"``, ``"events"`` of a BIDS dataset, ``"given"``, or ``"recording"`` if it is
        the start or the end of the recording because nothing else is known.
    start : datetime or None
        Start of the recording, if it has a date.
    """

    off: float
    on: float
    first: int
    stop: int
    off_source: str = "recording"
    on_source: str = "recording"
    start: datetime | None = None

    @property
    def source(self) -> str:
        """``"annotations"``, ``"events"``, ``"given"`` or ``"whole recording"``."""
        sources = {self.off_source, self.on_source} - {"recording"}
        return min(sources, default=WHOLE_RECORDING)

    @property
    def edges(self) -> list[int]:
        """The edges of the epochs in bed that are not merely those of the recording."""
        ends = ((self.first, self.off_source), (self.stop, self.on_source))
        return [at for at, source in ends if source != "recording"]

    @property
    def off_time(self) -> datetime | None:
        """Lights off, on the clock of the recording."""
        return None if self.start is None else self.start + timedelta(seconds=self.off)

    @property
    def on_time(self) -> datetime | None:
        """Lights on, on the clock of the recording."""
        return None if self.start is None else self.start + timedelta(seconds=self.on)

    def __str__(self) -> str:
        if self.source == WHOLE_RECORDING:
            return "the whole recording"
        words = {"annotations": "annotated", "events": "by events.tsv", "given": "given"}
        ends = (
            ("lights off", self.off, words.get(self.off_source, "the start of the recording")),
            ("lights on", self.on, words.get(self.on_source, "the end of the recording")),
        )
        return " to ".join(
            f"{name} {show_time(at, self.start)} ({source})" for name, at, source in ends
        )

    def crop(self, hyp: yasa.Hypnogram) -> yasa.Hypnogram:
        """Crop a hypnogram of the whole recording to the time in bed.

        Parameters
        ----------
        hyp : yasa.Hypnogram
            The hypnogram, with all epochs of the recording.

        Returns
        -------
        cropped : yasa.Hypnogram
            Its epochs in bed, with their probabilities; the same object if these are all.
        """
        if (self.first, self.stop) == (0, hyp.n_epochs):
            return hyp
        return hyp.crop(self.first, self.stop - 1)

    def to_dict(self) -> dict[str, Any]:
        """Describe it, ready for JSON.

        Returns
        -------
        described : dict
            A sentence; the source; lights off and on, on the clock of the recording (None without
            a date) and in seconds from its start; where each comes from; the epochs.
        """
        off, on = (
            None if time is None else time.replace(tzinfo=None).isoformat(" ", "seconds")
            for time in (self.off_time, self.on_time)
        )
        return {
            "description": str(self),
            "source": self.source,
            "lights_off": off,
            "lights_on": on,
            "off_s": self.off,
            "on_s": self.on,
            "off_source": self.off_source,
            "on_source": self.on_source,
            "first_epoch": self.first,
            "epochs": self.stop - self.first,
        }


@dataclass(frozen=True)
class LightMarks:
    """What is known of the lights before a recording is staged.

    Attributes
    ----------
    off_times, on_times : tuple of float
        Times of lights off and on, in seconds from the start of the recording, in order.
    source : str
        ``"annotations"``, ``"events"``, ``"given"``, or ``"recording"`` if there are none.
    start : datetime or None
        Start of the recording.
    duration : float
        Its length in seconds.
    """

    off_times: tuple[float, ...]
    on_times: tuple[float, ...]
    source: str
    start: datetime | None
    duration: float


def find_lights(
    lights: Lights,
    *,
    start: datetime | None,
    duration: float,
    annotations: Iterable[tuple[float, float, str]] = (),
) -> LightMarks:
    """Find what is known of lights off and on.

    Parameters
    ----------
    lights : str, (Light, Light) or None
        As in :class:`~mne_wav2sleep.SleepStagerW2S`.
    start : datetime or None
        Start of the recording.
    duration : float
        Its length in seconds.
    annotations : iterable of (float, float, str)
        Onset in s from the start of the recording, duration in s, and text of its annotations.

    Returns
    -------
    marks : LightMarks
        All marks that lie in the recording.

    Raises
    ------
    TypeError, ValueError
        If given times are not times, cannot be placed, or are not in order.
    """
    check_lights(lights)
    if isinstance(lights, str):
        off_times, on_times = list_marks(annotations, duration)
        source = "annotations" if off_times or on_times else "recording"
        return LightMarks(off_times, on_times, source, start, duration)
    if lights is None:
        return LightMarks((), (), "recording", start, duration)
    if isinstance(lights, EventLights):
        off_times, on_times = _limit_events(lights, start, duration)
        source = "events" if off_times or on_times else "recording"
        return LightMarks(off_times, on_times, source, start, duration)
    off, on = place_lights(lights[0], lights[1], start, duration)
    begin, end = 0.0 if off is None else off, duration if on is None else on
    span = _round(begin, end, int(duration // EPOCH_S))
    if span[0] >= span[1]:
        raise ValueError(
            f"Less than half an epoch of {EPOCH_S:.0f} s lies between lights off, "
            f"{show_time(begin, start)}, and lights on, {show_time(end, start)}. Give other times."
        )
    off_times, on_times = ((at,) if at is not None else () for at in (off, on))
    return LightMarks(
        off_times, on_times, "given" if off_times or on_times else "recording", start, duration
    )


def _limit_events(
    lights: EventLights, start: datetime | None, duration: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Limit the events of lights off and on to the recording; leave out those far from it."""
    found = []
    for kind, at in zip(("off", "on"), lights, strict=True):
        rows = [] if at is None else [(at, 0.0, f"lights {kind}")]
        times = list_marks(rows, duration)[kind == "on"]
        if at is not None and (not times or abs(times[0] - at) > EPOCH_S):
            edge = "start" if kind == "off" else "end"
            what = f"is taken to be its {edge}" if times else "is not used"
            warn(
                f"Lights {kind} in events.tsv, {show_time(at, start)}, is outside of the "
                f"recording, from {show_time(0, start)} to {show_time(duration, start)}, and "
                f"{what}. Correct the event, or give the night other lights."
            )
        found.append(times)
    return found[0], found[1]


def check_lights(lights: Any) -> None:
    """Check that lights are given in one of the possible ways, before the recording is opened.

    Parameters
    ----------
    lights : str, (Light, Light) or None
        As in :class:`~mne_wav2sleep.SleepStagerW2S`.

    Raises
    ------
    TypeError, ValueError
        If they are something else, or not times.
    """
    is_pair = isinstance(lights, tuple | list) and len(lights) == 2
    if not (is_pair or lights is None or (isinstance(lights, str) and lights == "auto")):
        raise TypeError(
            "lights must be 'auto', None, or a pair of lights off and on, such as "
            f"('22:45', '06:30'), got {lights!r}."
        )
    if is_pair:
        check_times(*lights)


def choose_time_in_bed(marks: LightMarks, hyp: yasa.Hypnogram) -> TimeInBed:
    """Choose lights off and on among the marks, by the sleep between them.

    Parameters
    ----------
    marks : LightMarks
        From :func:`find_lights`.
    hyp : yasa.Hypnogram
        The stages of the whole recording.

    Returns
    -------
    time_in_bed : TimeInBed
        The time in bed.

    Notes
    -----
    Each mark of lights off begins a dark span that the next mark of lights on ends; spans less than
    an hour apart are one. The span with the most sleep is the time in bed, from the last lights off
    before its first 5 min of uninterrupted sleep to the first lights on after its last. If
    there are several marks, a warning says which were taken. Marks without any sleep between
    them are not used, with a warning, if there is sleep elsewhere.
    """
    end, n_epochs = marks.duration, hyp.n_epochs
    whole = TimeInBed(0.0, end, 0, n_epochs, start=marks.start)
    if not marks.off_times and not marks.on_times:
        return whole
    asleep = find_sleep(hyp)
    if marks.source == "given":
        off, on = (marks.off_times or (0.0,))[0], (marks.on_times or (end,))[0]
        span = _round(off, on, n_epochs)
    else:
        off, on = _choose_span(marks, asleep)
        span = _round(off, on, n_epochs)
        inside = asleep[span[0] : span[1]].sum()
        if span[0] >= span[1] or (not inside and asleep.sum() >= _PERSISTENT):
            warn(
                f"The annotated lights off and on ({_list_times(marks)}) are not used, because "
                "there is no sleep between them. Sleep statistics are over the whole recording; "
                f"correct the {marks.source}, or give lights=."
            )
            return whole
        if (
            len(marks.off_times) > 1
            or len(marks.on_times) > 1
            or min(marks.on_times, default=on) < off
        ):
            warn(
                f"Lights are annotated several times ({_list_times(marks)}). Time in bed is taken "
                f"from {show_time(off, marks.start)} to {show_time(on, marks.start)}. Give lights= "
                "if that is wrong."
            )
    outside = (asleep.sum() - asleep[span[0] : span[1]].sum()) * EPOCH_S
    if outside >= _APART_S:
        warn(
            f"{outside / 60:.0f} min of sleep are outside of the time in bed, from "
            f"{show_time(off, marks.start)} to {show_time(on, marks.start)}, and not in the sleep "
            "statistics. Check lights off and on; sleep_periods() lists all sleep of the recording."
        )
    return TimeInBed(
        off,
        on,
        *span,
        marks.source if off in marks.off_times else "recording",
        marks.source if on in marks.on_times else "recording",
        marks.start,
    )


def find_sleep(hyp: yasa.Hypnogram) -> NDArray[np.bool_]:
    """Find the epochs of sleep.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram.

    Returns
    -------
    asleep : array of bool, shape (n_epochs,)
        False where awake, unscored or an artifact.
    """
    return np.asarray(~hyp.hypno.isin(["WAKE", "UNS", "ART"]), dtype=bool)


def _list_times(marks: LightMarks) -> str:
    """List the marks, the first few of each kind."""
    parts = []
    for name, times in (("off", marks.off_times), ("on", marks.on_times)):
        shown = [show_time(at, marks.start) for at in times[:4]] + ["..."] * (len(times) > 4)
        parts += [f"{name} at {', '.join(shown)}"] if times else []
    return "; ".join(parts)


def _round(off: float, on: float, n_epochs: int) -> tuple[int, int]:
    """Find the epochs that begin nearest to lights off and on; halves are rounded up."""
    first, stop = (math.floor(at / EPOCH_S + 0.5) for at in (off, on))
    return first, min(stop, n_epochs)


def _choose_span(marks: LightMarks, asleep: NDArray[np.bool_]) -> tuple[float, float]:
    """Choose the dark span with the most sleep, and the marks in it next to the sleep."""

    def count(span: tuple[float, float]) -> tuple[int, float]:
        first, stop = _round(*span, asleep.size)
        return int(asleep[first:stop].sum()), span[1] - span[0]

    begin, end = max(_list_spans(marks, asleep), key=count)
    first, stop = _round(begin, end, asleep.size)
    runs = _find_persistent(asleep[first:stop])
    if not runs:
        return begin, end
    onset, awakening = ((first + at) * EPOCH_S for at in (runs[0][0], runs[-1][1]))
    off_times = [at for at in marks.off_times if begin <= at <= onset + EPOCH_S / 2]
    on_times = [at for at in marks.on_times if awakening - EPOCH_S / 2 <= at <= end]
    return max(off_times, default=begin), min(on_times, default=end)


def _list_spans(marks: LightMarks, asleep: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """List the dark spans; those less than an hour apart are one."""
    events = sorted([(at, "off") for at in marks.off_times] + [(at, "on") for at in marks.on_times])
    spans: list[list[float]] = []
    last = ""
    for at, kind in events:
        if kind == "off" and last != "off":
            spans.append([at, marks.duration])
        elif kind == "on" and spans:
            spans[-1][1] = at
        elif kind == "on":
            # Without lights off before, unless it was light from the start of the recording.
            slept = asleep[: _round(0, at, asleep.size)[1]].sum() * EPOCH_S
            spans += [[0.0, at]] if slept >= _APART_S or not marks.off_times else []
        last = kind
    merged = spans[:1]
    for span in spans[1:]:
        if span[0] - merged[-1][1] < _APART_S:
            merged[-1][1] = span[1]
        else:
            merged.append(span)
    return [(begin, end) for begin, end in merged]


def _find_persistent(asleep: NDArray[np.bool_]) -> Sequence[tuple[int, int]]:
    """Find the runs of at least 5 min of sleep, each as its first epoch and the one after it."""
    edges = np.flatnonzero(np.diff(np.r_[0, asleep.astype(np.int8), 0])).reshape(-1, 2)
    return [(int(a), int(b)) for a, b in edges if b - a >= _PERSISTENT]
