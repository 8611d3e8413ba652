"""Converting events with onsets and durations to 30-s epochs."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import yasa
from numpy.typing import ArrayLike

from ..errors import summarize_error
from ..modalities import EPOCH_S
from .names import to_stage

_NO_STAGES = ("UNS", "ART")
_LONGEST_S = 31 * 86400.0
"""Latest onset and longest duration of an event."""

_JITTER_S = 1.0
"""Largest distance of an event from the edge of an epoch: some files round to whole seconds."""

_CONSOLIDATED = {"N1": "LIGHT", "N2": "LIGHT", "N3": "DEEP"}
"""Stages of the AASM -> those of a hypnogram with four stages."""


def make_hypnogram(
    stages: Sequence[str], start: datetime | None = None, scorer: str | None = None
) -> yasa.Hypnogram:
    """Make a hypnogram with four stages if LIGHT or DEEP occurs, otherwise with five.

    Parameters
    ----------
    stages : sequence of str
        YASA's name of the stage of each epoch.
    start : datetime or None
        Start of the first epoch.
    scorer : str or None
        Name of the scorer.

    Returns
    -------
    hyp : yasa.Hypnogram
        The hypnogram.
    """
    n_stages = 4 if {"LIGHT", "DEEP"} & set(stages) else 5
    if n_stages == 4:  # a Raw may combine stages of a human and of a network
        stages = [_CONSOLIDATED.get(stage, stage) for stage in stages]
    return yasa.Hypnogram(list(stages), n_stages=n_stages, start=start, scorer=scorer)


def read_events(
    onsets: ArrayLike, durations: ArrayLike, labels: Sequence[str], source: str
) -> tuple[yasa.Hypnogram, float]:
    """Convert events to 30-s epochs, whose edges are those on which most events begin.

    Parameters
    ----------
    onsets, durations : array-like, shape (n_events,)
        In seconds; numbers or strings. A missing duration, or 0, stands for one epoch.
    labels : sequence of str
        Labels of the events; those that are not stages are ignored.
    source : str
        Name of the source, for error messages.

    Returns
    -------
    hyp : yasa.Hypnogram
        The stages, ``UNS`` in epochs without one.
    onset : float
        Onset of the first epoch in seconds.

    Raises
    ------
    ValueError
        If there are no stages, unknown ones, or two in one epoch, or times are not numbers.

    Examples
    --------
    >>> hyp, onset = read_events([15, 45], [30, 60], ["Sleep stage W", "Sleep stage 2"], "Example")
    >>> list(hyp.hypno), onset
    (['WAKE', 'N2', 'N2'], 15.0)
    """
    stages = np.array(_find_stages(labels, source), dtype=object)
    is_stage = stages != None  # noqa: E711 (of each element)
    stages = stages[is_stage]
    try:
        onset = np.asarray(onsets)[is_stage].astype(float)
        duration = np.nan_to_num(np.asarray(durations)[is_stage].astype(float))
    except ValueError as error:
        raise ValueError(
            f"{source} has stages whose onset or duration is not a number of seconds "
            f"({summarize_error(error)}). Correct it, or export the stages again."
        ) from error
    # No scoring is that long, and the epochs would not fit into memory.
    if not np.isfinite(onset).all() or np.abs([onset, duration]).max() > _LONGEST_S:
        raise ValueError(
            f"{source} has stages that begin more than {_LONGEST_S / 86400:.0f} days from the "
            "start of the recording, last longer than that, or have no onset. Check its onsets and "
            "durations."
        )
    # The first event after a crop may begin within an epoch, so the edges come from the majority.
    phases, counts = np.unique(np.round(onset % EPOCH_S, 2), return_counts=True)
    phase = onset[np.argmin(np.abs(onset % EPOCH_S - phases[counts.argmax()]))] % EPOCH_S
    first = float(onset.min() - (onset.min() - phase) % EPOCH_S)
    begin = np.floor((onset - first + _JITTER_S) / EPOCH_S).astype(int)
    end = np.ceil((onset + duration - first - _JITTER_S) / EPOCH_S).astype(int)
    end = np.maximum(end, begin + 1)
    epochs = np.full(end.max(), "UNS", dtype=object)
    # UNS and ART are written first, since they do not contradict a stage in the same epoch.
    for number in np.argsort(~np.isin(stages, _NO_STAGES), kind="stable"):
        span, stage = slice(begin[number], end[number]), stages[number]
        if others := set(epochs[span]) - {stage, *_NO_STAGES}:
            raise ValueError(
                f"{source} has {stage} at {onset[number]:g} s in an epoch of 30 s that is also "
                f"{others.pop()}. Give stages of one scorer, per 30 s."
            )
        epochs[span] = stage
    return make_hypnogram(list(epochs)), first


def _find_stages(labels: Sequence[str], source: str) -> list[str | None]:
    """Convert labels to stages; None for events that are not stages, such as apneas."""
    stages = [to_stage(label) for label in labels]
    if not any(stages):
        found = sorted({str(label) for label in labels})
        raise ValueError(
            f"{source} has no sleep stage among its events: "
            f"{', '.join(map(repr, found[:10])) or 'there are none'}. "
            "Label stages W, N1, N2, N3, R, or 'Sleep stage W' and so on."
        )
    # "Sleep stage X" is an unknown stage, not another kind of event.
    unknown = {
        str(label)
        for label, stage in zip(labels, stages, strict=True)
        if stage is None and "stage" in str(label).lower()
    }
    if unknown:
        raise ValueError(
            f"{source} has unknown stages: {sorted(unknown)}. Rename them to W, N1, N2, N3, R."
        )
    return stages
