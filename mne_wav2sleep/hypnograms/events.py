"""Converting events with onsets and durations to 30-s epochs."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import pandas as pd
import yasa
from numpy.typing import ArrayLike, NDArray

from ..cautions import warn
from ..errors import quote
from ..modalities import EPOCH_S
from ..verbosity import pluralize
from .aligning import HOLES
from .names import is_stage, is_standard, parse_label

_NO_STAGES = ("UNS", "ART")
_LONGEST_S = 31 * 86400.0
"""Latest onset of an event, and longest duration of all stages together."""

_JITTER_S = 1.0
"""Largest distance of an event from the edge of an epoch: some files round to whole seconds."""

_LARGEST_SHARE = 0.05
"""Largest share of the epochs that may have no stage without a warning, as pauses have none, and
largest share of unknown events that are warned of, not refused."""

_ALMOST_ALL = 0.9
"""Share of the events of one label that behave like stages if the label is that of a stage."""

_MOST_REPEATED = 0.25
"""Largest share of the events with the same stage as the previous one if they are changes. Of
epochs, even with many missing, most repeat the previous stage."""

_MARKS = re.compile(
    r"bad|edge|.*\b(?:lights?|licht|lumi.res?|luz|luces|luc[ei]|start|stop|end|begin)\b", re.I
)
"""Labels of events that are often at the edge of an epoch, but are not stages."""

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
    """Convert events to 30-s epochs, whose edges are those on which most stages begin.

    Parameters
    ----------
    onsets, durations : array-like, shape (n_events,)
        In seconds; numbers or strings. A missing duration, or 0, stands for one epoch; if no stage
        has a duration and they are changes of the stage, each lasts until the next.
    labels : sequence of str
        Labels of the events; those that are not stages are ignored.
    source : str
        Name of the source, for error messages.

    Returns
    -------
    hyp : yasa.Hypnogram
        The stages, ``UNS`` in epochs without one. If more than 5 % of the epochs from the first to
        the last stage are without one, ``hyp.hypno.attrs["holes"]`` is their share.
    onset : float
        Onset of the first epoch in seconds.

    Raises
    ------
    ValueError
        If there are no stages, unknown ones, or two in one epoch, or times are not numbers, are
        negative durations or too long. Events with an unknown label are taken for stages if almost
        all of them last whole epochs, in which no stage is scored.

    Examples
    --------
    >>> hyp, onset = read_events([15, 45], [30, 60], ["Sleep stage W", "Sleep stage 2"], "Example")
    >>> list(hyp.hypno), onset
    (['WAKE', 'N2', 'N2'], 15.0)
    """
    events = _make_events(onsets, durations, labels, source)
    phase = _find_phase(events.onset[events.stage.notna()])
    names = events.label[events.stage.notna()].unique()
    is_certain = events.label.isin([label for label in names if is_stage(label)])
    if is_certain.any():
        phase = _find_phase(events.onset[is_certain])
        # Words such as "movement" are also those of events within an epoch.
        is_whole = _find_whole(events, phase)
        if not events.duration[is_certain].any():
            is_whole = _is_usual(is_whole, events.label)
        events.loc[~(is_whole | is_certain), "stage"] = None
    scored = events[events.stage.notna()]
    earliest = float(scored.onset.min())
    first = earliest - (earliest - phase) % EPOCH_S
    begin = np.floor((events.onset - first + _JITTER_S) / EPOCH_S).astype(int)
    end = np.ceil((events.onset + events.duration - first - _JITTER_S) / EPOCH_S).astype(int)
    events = events.assign(begin=begin, end=np.maximum(end, begin + 1))
    events = events[events.stage.notna() | _find_unknown_stages(events, phase)]
    scored = events[events.stage.notna()]
    are_changes = _are_changes(scored)
    _check_unknown_stages(_extend(events) if are_changes else events, source, are_changes)
    if are_changes:
        scored = _extend(scored)
        warn(
            f"{source} gives stages without durations, mostly further apart than 30 s: they are "
            "taken for changes, so that each stage lasts until the next, and the last one for "
            "30 s. If they are stages of 30 s each, give their durations."
        )
    epochs = _fill_epochs(scored, source)
    hyp = make_hypnogram([stage or "UNS" for stage in epochs])
    _check_holes(hyp, epochs, source)
    return hyp, first


def _make_events(
    onsets: ArrayLike, durations: ArrayLike, labels: Sequence[str], source: str
) -> pd.DataFrame:
    """Make a table of all stages, and of the other events whose times are valid."""
    events = pd.DataFrame({"label": [str(label) for label in labels]}, dtype=object)
    events["stage"] = np.array(_find_stages(events.label.tolist(), source), dtype=object)
    is_scored = events.stage.notna().to_numpy()
    for name, values in (("onset", onsets), ("duration", durations)):
        column = pd.Series(np.asarray(values), dtype=object)
        events[name] = pd.to_numeric(column, errors="coerce").astype(float)
        is_wrong = events[name].isna() & column.notna() & (column.astype(str).str.lower() != "nan")
        if (is_wrong & is_scored).any():
            number = int(np.flatnonzero(is_wrong & is_scored)[0])
            raise ValueError(
                f"{source} has stages whose onset or duration is not a number of seconds: "
                f"{quote(str(column[number]))} is the {name} of {quote(events.label[number])}. "
                "Correct it, or export the stages again."
            )
    events["duration"] = events.duration.fillna(0.0)
    is_valid = events.onset.abs().le(_LONGEST_S) & events.duration.abs().le(_LONGEST_S)
    if not is_valid[is_scored].all():
        raise ValueError(
            f"{source} has stages that begin more than {_LONGEST_S / 86400:.0f} days from the "
            "start of the recording, last longer than that, or have no onset. Check its onsets and "
            "durations."
        )
    is_negative = events.duration.round(3) < 0
    if is_negative[is_scored].any():
        event = events[is_scored & is_negative].iloc[0]
        raise ValueError(
            f"{source} has {event.stage} at {event.onset:g} s with the negative duration "
            f"{event.duration:g} s. Correct it, or export the stages again."
        )
    # Stages of one scorer do not overlap, and these epochs would not fit into memory.
    total = events.duration[is_scored].clip(lower=EPOCH_S).sum()
    if total > _LONGEST_S:
        raise ValueError(
            f"{source} has {is_scored.sum()} stages that last {total / 86400:.1f} days together, "
            f"more than {_LONGEST_S / 86400:.0f}. Check its durations, and give stages of one "
            "scorer and one recording."
        )
    return events[is_valid & ~is_negative].copy()


def _find_phase(onset: pd.Series) -> float:
    """Find the onset of an epoch, modulo 30 s.

    The first event after a crop may begin within an epoch, so it comes from the majority.
    """
    onsets = onset.to_numpy()
    phases, counts = np.unique(np.round(onsets % EPOCH_S, 2), return_counts=True)
    nearest = np.argmin(np.abs(onsets % EPOCH_S - phases[counts.argmax()]))
    return float(onsets[nearest] % EPOCH_S)


def _find_whole(events: pd.DataFrame, phase: float) -> pd.Series:
    """Find events that begin and end at edges of epochs."""
    distances = [
        ((edge - phase + EPOCH_S / 2) % EPOCH_S - EPOCH_S / 2).abs()
        for edge in (events.onset, events.onset + events.duration)
    ]
    is_whole = (distances[1] <= _JITTER_S) & (events.duration >= EPOCH_S / 2)
    return (distances[0] <= _JITTER_S) & (is_whole | (events.duration == 0))


def _is_usual(found: pd.Series, label: pd.Series) -> pd.Series:
    """Find events with a label for which almost all are found."""
    # Labels of other events may contain numbers, such as the fall of a saturation.
    kind = label.str.slice(0, 80).str.replace(r"\d+", "", regex=True)
    return found.groupby(kind.to_numpy()).transform("mean") >= _ALMOST_ALL


def _find_unknown_stages(events: pd.DataFrame, phase: float) -> pd.Series:
    """Find events whose label is unknown, and which behave like stages."""
    scored = events[events.stage.notna()]
    n_scored = np.zeros(scored.end.max() + 1, dtype=int)
    for begin, end in zip(scored.begin, scored.end, strict=True):
        n_scored[begin + 1 : end + 1] = 1
    n_scored = n_scored.cumsum()
    last = n_scored.size - 1
    is_free = (
        n_scored[events.end.clip(0, last)] == n_scored[events.begin.clip(0, last)]
    ) & events.stage.isna()
    found = is_free & _find_whole(events, phase)
    labels = events.label[found].unique()
    found &= ~events.label.isin([label for label in labels if _MARKS.match(label)])
    if scored.duration.any():
        # A single one may be a mark, such as that of a start.
        found &= (events.duration > 0) | events.label.duplicated(keep=False)
        near = events[found | events.stage.notna()]
        found &= events.begin.isin(near.end) | events.end.isin(near.begin)
    is_unknown = events.stage.isna()
    is_usual = _is_usual(found[is_unknown], events.label[is_unknown])
    return found & is_usual.reindex(events.index, fill_value=False)


def _are_changes(scored: pd.DataFrame) -> bool:
    """Check whether events are changes of the stage, not stages of an epoch each."""
    if scored.duration.any():
        return False
    scored = scored.sort_values("begin", kind="stable")
    steps = scored.begin.diff()[1:]
    is_repeated = (scored.stage == scored.stage.shift())[1:]
    return bool((steps > 1).any()) and is_repeated.mean() <= _MOST_REPEATED


def _extend(events: pd.DataFrame) -> pd.DataFrame:
    """Let each stage last until the next."""
    begins = np.unique(events.begin)
    later = np.searchsorted(begins, events.begin, side="right")
    return events.assign(end=np.maximum(np.append(begins, 0)[later], events.begin + 1))


def _check_unknown_stages(events: pd.DataFrame, source: str, are_changes: bool) -> None:
    """Refuse events that are probably stages, or warn of a few."""
    unknown, scored = events[events.stage.isna()], events[events.stage.notna()]
    if unknown.empty:
        return
    counts: Counter[str] = Counter()
    for label, length in zip(unknown.label, unknown.end - unknown.begin, strict=True):
        counts[label] += int(length)
    share = counts.total() / (counts.total() + (scored.end - scored.begin).sum())
    names = ", ".join(
        f"{quote(label)} ({n} epoch{pluralize(n)})" for label, n in counts.most_common(10)
    )
    text = (
        f"{source} has events that look like stages, since they last whole epochs of 30 s that "
        f"have no known stage: {names}, {share:.0%} of all that is scored."
    )
    remedy = "Rename them to W, N1, N2, N3 or R if they are stages, and to ? if not."
    if len(unknown) > 1 and share > _LARGEST_SHARE:
        raise ValueError(f"{text} {remedy}")
    result = "ignored, and the stage before them lasts" if are_changes else "left unscored"
    warn(f"{text} They are {result}. {remedy}")


def _fill_epochs(scored: pd.DataFrame, source: str) -> NDArray[np.object_]:
    """Write stages into epochs; None in epochs without one."""
    epochs = np.full(scored.end.max(), None, dtype=object)
    # UNS and ART are written first, since they do not contradict a stage in the same epoch.
    order = np.argsort(~scored.stage.isin(_NO_STAGES), kind="stable")
    for event in scored.iloc[order].itertuples():
        span = slice(event.begin, event.end)
        if others := set(epochs[span]) - {None, event.stage, *_NO_STAGES}:
            raise ValueError(
                f"{source} has {event.stage} at {event.onset:g} s in an epoch of 30 s that is also "
                f"{others.pop()}. Give stages of one scorer, per 30 s."
            )
        epochs[span] = event.stage
    return epochs


def _check_holes(hyp: yasa.Hypnogram, epochs: NDArray[np.object_], source: str) -> None:
    """Warn of epochs between stages that have none, and are not marked as unscored."""
    span = epochs[np.flatnonzero(epochs)[0] :]
    n_holes = int(np.sum(span == None))  # noqa: E711 (of each element)
    share = n_holes / span.size
    if n_holes > 1 and share > _LARGEST_SHARE:
        hyp.hypno.attrs[HOLES] = share
        warn(
            f"{source} has no stage in {n_holes} of the {span.size} epochs ({share:.0%}) from its "
            "first stage to its last, and does not mark them as unscored. They are left unscored: "
            "check that no events are missing, and that each stage has its duration."
        )


def _find_stages(labels: Sequence[str], source: str) -> list[str | None]:
    """Convert labels to stages; None for events that are not stages, such as apneas."""
    parsed = {label: parse_label(label) for label in set(labels)}
    known = {label: stage for label, (stage, _) in parsed.items()}
    if set(known.values()) <= {None, "ART"}:
        found = sorted(known)[:10]
        raise ValueError(
            f"{source} has no sleep stage among its events: "
            f"{', '.join(map(quote, found)) or 'there are none'}. "
            "Label stages W, N1, N2, N3, R, or 'Sleep stage W' and so on."
        )
    # "Sleep stage X" is an unknown stage, not another kind of event.
    unknown = sorted(label for label, found in parsed.items() if found == (None, True))
    if unknown:
        raise ValueError(
            f"{source} has unknown stages: {', '.join(map(quote, unknown[:10]))}. Rename "
            "them to W, N1, N2, N3, R."
        )
    warn_of_words(known, source)
    return [known[label] for label in labels]


def warn_of_words(known: Mapping[str, str | None], source: str) -> None:
    """Warn of stages whose labels are not those of the AASM, EDF+, NSRR or YASA.

    Parameters
    ----------
    known : mapping of str to str or None
        Label -> YASA's name of its stage; None if it is not a stage.
    source : str
        Name of the source.
    """
    words = [
        f"{quote(label)} as {stage}"
        for label, stage in sorted(known.items())
        if stage not in (None, *_NO_STAGES) and not is_standard(label)
    ]
    if words:
        warn(
            f"{source} has names of stages that are not those of the AASM or EDF+, and are read "
            f"as follows: {', '.join(words[:10])}. If that is wrong, rename them to W, N1, N2, N3 "
            "and R."
        )
