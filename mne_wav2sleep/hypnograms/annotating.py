"""Writing stages to a Raw, as annotations."""

from collections.abc import Collection
from datetime import timedelta

import mne
import yasa

from ..clock import subtract_clocks
from ..formats.meas_date import find_start
from ..modalities import EPOCH_S
from ..verbosity import check_type, pluralize
from .names import is_stage
from .writing import find_runs

_CLOCK_S = 2e-6
"""Largest difference in s between equal times, which are stored to the microsecond."""


def annotate_raw(
    raw: mne.io.BaseRaw,
    hyp: yasa.Hypnogram,
    *,
    ch_names: Collection[str] = (),
    has_gaps: bool = False,
    overwrite: bool = False,
) -> mne.io.BaseRaw:
    """Add stages to a Raw as annotations.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording that was staged, or a part of it.
    hyp : yasa.Hypnogram
        Its stages.
    ch_names : collection of str
        Channels that were staged. If any are given, the Raw must have at least one of them.
    has_gaps : bool
        Whether the recording was staged with gaps, which a Raw does not represent.
    overwrite : bool
        Whether to replace annotations of sleep stages within the hypnogram; those before and after
        it are kept.

    Returns
    -------
    raw : mne.io.BaseRaw
        The same object, modified in place.

    Raises
    ------
    ValueError
        If the Raw is not the recording that was staged, or already has stages within the
        hypnogram.

    Examples
    --------
    >>> import numpy as np
    >>> info = mne.create_info(["Thorax"], 10.0, "misc")
    >>> raw = mne.io.RawArray(np.zeros((1, 900)), info, verbose="error")
    >>> hyp = yasa.Hypnogram(["WAKE", "N2", "N2"])
    >>> annotate_raw(raw, hyp).annotations.description.tolist()
    ['Sleep stage W', 'Sleep stage N2']
    """
    check_type(raw, mne.io.BaseRaw, "raw")
    if ch_names and not set(ch_names) & set(raw.ch_names):
        raise ValueError(
            f"The Raw has none of the channels that were staged, {', '.join(sorted(ch_names))}, "
            f"but {', '.join(raw.ch_names[:5])}. Give the Raw of the same recording."
        )
    if has_gaps:
        raise ValueError(
            "The recording was staged with its gaps, which MNE's Raw does not represent, so that "
            "stages after a gap would be misplaced. Write them with write_hypnogram instead."
        )
    sfreq = raw.info["sfreq"]
    offset = _find_offset(raw, hyp)
    end = raw.n_times / sfreq
    pieces = []
    for onset, duration, text in zip(*find_runs(hyp), strict=True):
        begin, stop = max(onset + offset, 0.0), min(onset + offset + duration, end)
        if stop > begin:
            pieces.append((begin + raw.first_time, stop - begin, text))
    if not pieces:
        raise ValueError(
            f"The Raw begins at {raw.info['meas_date']} + {raw.first_time:.0f} s and the hypnogram "
            f"at {hyp.start}: they have no time in common. Give the Raw that was staged."
        )
    old, remains = _find_stages(raw, pieces[0][0], pieces[-1][0] + pieces[-1][1])
    if old and not overwrite:
        raise ValueError(
            f"The Raw already has {len(old)} annotation{pluralize(old)} of sleep stages, the first "
            f"{raw.annotations.description[old[0]]!r}. Give overwrite=True to replace them, or a "
            "copy without them."
        )
    annotations = raw.annotations
    annotations.delete(old)
    for remain in remains:
        annotations += remain
    annotations.append(*map(list, zip(*pieces, strict=True)))
    return raw


def _find_offset(raw: mne.io.BaseRaw, hyp: yasa.Hypnogram) -> float:
    """Find the onset of a hypnogram in s, relative to the first sample of a Raw."""
    begin, sfreq = find_start(raw), raw.info["sfreq"]
    if hyp.start is not None and begin is not None:
        date = begin - timedelta(seconds=raw.first_time)
        offset = subtract_clocks(hyp.start, date) - raw.first_time
        # Times are stored to the microsecond, and most samples lie between two of them.
        sample = round(offset * sfreq) / sfreq
        return sample if abs(offset - sample) < _CLOCK_S else offset
    if hyp.start is not None:
        raise ValueError(
            f"The stages begin at {hyp.start} and the Raw has no date, so their position is "
            "unknown. Restore the date with which it was staged, raw.set_meas_date."
        )
    if begin is not None:
        raise ValueError(
            f"The Raw begins at {begin} and the stages have no date, so their position is "
            "unknown. Give the Raw as it was staged, or stage it with its date."
        )
    if not 0 <= raw.n_times / sfreq - hyp.n_epochs * EPOCH_S < EPOCH_S:
        raise ValueError(
            f"The Raw lasts {raw.n_times / sfreq:.1f} s, and {hyp.n_epochs} epochs of 30 s were "
            "staged; without a date in both, their position is unknown. Give the Raw that was "
            "staged, or set its date before staging it."
        )
    return 0.0


def _find_stages(
    raw: mne.io.BaseRaw, begin: float, end: float
) -> tuple[list[int], list[mne.Annotations]]:
    """Find annotations of stages that overlap a span, and their parts outside of it."""
    annotations, least = raw.annotations, 0.5 / raw.info["sfreq"]
    found, remains = [], []
    for i, text in enumerate(annotations.description):
        first = annotations.onset[i]
        last = first + annotations.duration[i]
        # Some formats give stages no duration.
        overlaps = first < end - least and (last > begin + least or first >= begin - least)
        if not is_stage(text) or not overlaps:
            continue
        found.append(i)
        for onset, stop in ((first, begin), (end, last)):
            if stop - onset > least:
                remain = annotations[[i]]
                remain.onset[0], remain.duration[0] = onset, stop - onset
                remains.append(remain)
    return found, remains
