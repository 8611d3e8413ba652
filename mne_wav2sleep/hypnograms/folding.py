"""Folding hypnograms to fewer stages, by the sums of their probabilities."""

import numpy as np
import yasa

from ..verbosity import check_type

_FOLDED = {
    4: {"N1": "LIGHT", "N2": "LIGHT", "N3": "DEEP"},
    3: dict.fromkeys(("N1", "N2", "N3", "LIGHT", "DEEP"), "NREM"),
    2: dict.fromkeys(("N1", "N2", "N3", "LIGHT", "DEEP", "NREM", "REM"), "SLEEP"),
}
"""Number of stages -> those of more stages, and what they become."""


def check_n_stages(n_stages: int, n_available: int) -> None:
    """Check a number of stages to fold to.

    Parameters
    ----------
    n_stages : int
        The number.
    n_available : int
        Number of stages of the hypnogram, or of the weights.

    Raises
    ------
    TypeError, ValueError
        If it is not a number from 2 to that.
    """
    check_type(n_stages, "int-like", "n_stages")
    if not 2 <= n_stages <= n_available:
        raise ValueError(
            f"n_stages must be from 2 to {n_available}, the number of stages there are, got "
            f"{n_stages}. Stages cannot be told apart again."
        )


def fold_hypnogram(hyp: yasa.Hypnogram, n_stages: int) -> yasa.Hypnogram:
    """Fold a hypnogram to fewer stages.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram.
    n_stages : int
        Number of stages: 4 (WAKE, LIGHT, DEEP, REM), 3 (WAKE, NREM, REM) or 2 (WAKE, SLEEP), not
        more than it has.

    Returns
    -------
    folded : yasa.Hypnogram
        The hypnogram with that many stages, with the start, the scorer and the epochs of the other;
        the same object if it has no more stages than that.

    Raises
    ------
    TypeError
        If ``hyp`` is not a hypnogram, or ``n_stages`` not an integer.
    ValueError
        If the number of stages is less than 2, or larger than that of the hypnogram.

    Notes
    -----
    If the hypnogram has probabilities, those of stages that become one are added up, and the stage
    of an epoch is the most probable one of the sums: WAKE 0.4, LIGHT 0.35 and REM 0.25 become
    SLEEP. Stages that are not the most probable ones, because somebody has edited them, and those
    of a hypnogram without probabilities, are renamed, as
    :meth:`yasa.Hypnogram.consolidate_stages` does. ``UNS`` and ``ART`` stay as they are.

    Examples
    --------
    >>> import pandas as pd
    >>> proba = pd.DataFrame({"WAKE": [0.4, 0.6], "LIGHT": [0.35, 0.3], "REM": [0.25, 0.1]})
    >>> hyp = yasa.Hypnogram(["WAKE", "WAKE"], n_stages=4, proba=proba)
    >>> list(fold_hypnogram(hyp, 2).hypno), list(fold_hypnogram(hyp, 3).hypno)
    (['SLEEP', 'WAKE'], ['WAKE', 'WAKE'])
    """
    check_type(hyp, yasa.Hypnogram, "hyp")
    check_n_stages(n_stages, hyp.n_stages)
    if n_stages == hyp.n_stages:
        return hyp
    names = _FOLDED[n_stages]
    stages = hyp.hypno.to_numpy(dtype=object)
    folded = np.array([names.get(stage, stage) for stage in stages], dtype=object)
    proba = None
    if hyp.proba is not None:
        proba = hyp.proba.T.groupby(lambda name: names.get(name, name), sort=False).sum().T
        is_best = hyp.proba.idxmax(axis=1).to_numpy() == stages
        is_staged = ~np.isin(stages, ["UNS", "ART"])
        change = is_best & is_staged
        folded[change] = proba.idxmax(axis=1).to_numpy()[change]
    changed = yasa.Hypnogram(
        folded,
        n_stages=n_stages,
        freq=hyp.freq,
        start=hyp.start,
        scorer=hyp.scorer,
        proba=proba,
    )
    changed.hypno.attrs.update(hyp.hypno.attrs)
    return changed
