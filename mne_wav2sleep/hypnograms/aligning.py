"""Aligning hypnograms to the epochs of a recording, or of another hypnogram."""

from datetime import datetime

import pandas as pd
import yasa

from ..clock import subtract_clocks
from ..modalities import EPOCH_S
from ..verbosity import check_type

HOLES = "holes"
"""Name in ``hyp.hypno.attrs`` of the share of epochs without a stage that reading left, if large:
those from the first to the last stage that are not marked as unscored."""


def change_hypnogram(
    hyp: yasa.Hypnogram, *, start: datetime | None = None, scorer: str | None = None
) -> yasa.Hypnogram:
    """Copy a hypnogram and change its start or scorer.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram, which is not modified.
    start : datetime or None
        Start of the first epoch; None to keep it.
    scorer : str or None
        Name of the scorer; None to keep it.

    Returns
    -------
    changed : yasa.Hypnogram
        The copy, including probabilities.

    Examples
    --------
    >>> change_hypnogram(yasa.Hypnogram(["WAKE", "N2"]), scorer="expert").scorer
    'expert'
    """
    changed = yasa.Hypnogram(
        hyp.hypno.to_numpy(dtype=object),
        n_stages=hyp.n_stages,
        freq=hyp.freq,
        start=hyp.start if start is None else start,
        scorer=hyp.scorer if scorer is None else scorer,
        proba=hyp.proba,
    )
    changed.hypno.attrs.update(hyp.hypno.attrs)
    return changed


def cut_hypnogram(hyp: yasa.Hypnogram, first: int, n_epochs: int) -> yasa.Hypnogram:
    """Crop and pad a hypnogram to the epochs of a recording.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram.
    first : int
        Epoch of the recording at which the hypnogram begins; it may be negative.
    n_epochs : int
        Number of epochs of the recording; at least one must be in the hypnogram.

    Returns
    -------
    cut : yasa.Hypnogram
        The hypnogram with ``n_epochs`` epochs, padded with ``UNS``, without probabilities.

    Examples
    --------
    >>> list(cut_hypnogram(yasa.Hypnogram(["WAKE", "N1", "N2"]), -1, 4).hypno)
    ['N1', 'N2', 'UNS', 'UNS']
    """
    before, after = max(first, 0), max(n_epochs - first - hyp.n_epochs, 0)
    begin = max(-first, 0)
    cut = hyp.pad(before, after).crop(begin, begin + n_epochs - 1)
    cut.hypno.attrs.update(hyp.hypno.attrs)
    return cut


def align_hypnogram(
    reference: yasa.Hypnogram, hyp: yasa.Hypnogram, *, meas_date_is_local: bool | None = None
) -> yasa.Hypnogram:
    """Align a reference hypnogram to the epochs of another one, by their start times.

    Parameters
    ----------
    reference : yasa.Hypnogram
        The reference, such as the stages of an expert.
    hyp : yasa.Hypnogram
        A hypnogram of the same night, for example from
        :meth:`SleepStagerW2S.predict <mne_wav2sleep.SleepStagerW2S.predict>`.
    meas_date_is_local : bool or None
        Whether a start without a time zone, or labeled UTC as MNE does, is local time, as in
        :meth:`yasa.Hypnogram.upsample_to_data`. It only matters if the other start has another
        time zone. None for local time, with a warning then. False raises an error if only one start
        has a time zone, of which UTC is one.

    Returns
    -------
    aligned : yasa.Hypnogram
        The reference with the epochs, the number of stages and the start of ``hyp``, and with its
        own scorer; ``UNS`` in epochs that it does not cover.

    Raises
    ------
    ValueError
        If the epochs of either are not 30 s long, if the two have no epoch in common or their
        epochs do not coincide, or if the reference has fewer stages. Also if ``meas_date_is_local``
        is False, and only one of the starts has a time zone.

    See Also
    --------
    plot_agreement : Plot two hypnograms and their agreement.

    Notes
    -----
    If either has no start, both must have the same number of epochs. Two time zones are honored.

    Examples
    --------
    >>> hyp = yasa.Hypnogram(["WAKE", "LIGHT", "DEEP"], n_stages=4, start="2024-03-01 22:30:00")
    >>> reference = yasa.Hypnogram(["N2", "N3"], start="2024-03-01 22:30:30", scorer="expert")
    >>> aligned = align_hypnogram(reference, hyp)
    >>> list(aligned.hypno), aligned.scorer
    (['UNS', 'LIGHT', 'DEEP'], 'expert')
    """
    check_type(reference, yasa.Hypnogram, "reference")
    check_type(hyp, yasa.Hypnogram, "hyp")
    for name, one in (("reference", reference), ("hypnogram", hyp)):
        if pd.Timedelta(one.freq).total_seconds() != EPOCH_S:
            raise ValueError(
                f"The {name} has epochs of {one.freq}; wav2sleep's are 30 s long. Give one with "
                "epochs of 30 s."
            )
    if reference.n_stages > hyp.n_stages:
        reference = reference.consolidate_stages(hyp.n_stages)
    if reference.n_stages != hyp.n_stages:
        raise ValueError(
            f"The reference has {reference.n_stages} stages, and {hyp.n_stages} were staged. If "
            "the arguments are not in the wrong order, consolidate what was staged: "
            f"hyp.consolidate_stages({reference.n_stages})."
        )
    first = _find_first(reference, hyp, meas_date_is_local)
    if first >= hyp.n_epochs or first + reference.n_epochs <= 0:
        raise ValueError(
            f"The reference begins at {reference.start} and has no epoch in common with the "
            f"hypnogram, which begins at {hyp.start}. Check both start times."
        )
    aligned = cut_hypnogram(reference, first, hyp.n_epochs)
    return yasa.Hypnogram(
        aligned.hypno.to_numpy(dtype=object),
        n_stages=hyp.n_stages,
        freq="30s",
        start=hyp.start,
        scorer=reference.scorer or "reference",
    )


def _find_first(
    reference: yasa.Hypnogram, hyp: yasa.Hypnogram, meas_date_is_local: bool | None
) -> int:
    """Find the epoch of a hypnogram at which a reference begins."""
    if reference.start is None or hyp.start is None:
        if reference.n_epochs != hyp.n_epochs:
            raise ValueError(
                f"The reference has {reference.n_epochs} epochs, and {hyp.n_epochs} were staged; "
                "unless both have a start, it is unknown which epochs correspond. Give start= to "
                "yasa.Hypnogram, or the same number of epochs."
            )
        return 0
    seconds = subtract_clocks(reference.start, hyp.start, meas_date_is_local=meas_date_is_local)
    offset = seconds / EPOCH_S
    if abs(offset - round(offset)) > 1 / EPOCH_S:
        raise ValueError(
            f"The reference begins {abs(offset) * EPOCH_S:.1f} s "
            f"{'after' if offset > 0 else 'before'} what was staged, which is not a multiple of "
            "30 s, so that their epochs do not coincide. Crop the recording by "
            f"{offset * EPOCH_S % EPOCH_S:.1f} s at its start, and stage it again."
        )
    return round(offset)
