"""Agreement between hypnograms."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import combinations

import numpy as np
import pandas as pd
import yasa
from sklearn.metrics import cohen_kappa_score

from ..cautions import catch_warnings


@contextmanager
def allow_absent_stages() -> Iterator[None]:
    """Silence scikit-learn's warnings about stages that do not occur."""
    # The kappa of a single stage is 0/0, for which scikit-learn has a warning only from 1.9 on.
    with catch_warnings(), np.errstate(invalid="ignore"):
        warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
        warnings.filterwarnings("ignore", "A single label was found")
        warnings.filterwarnings("ignore", "`y1`, `y2` and `labels` have only one label in common")
        yield


def compute_kappa(hypnograms: Mapping[str, yasa.Hypnogram]) -> pd.DataFrame:
    """Compute Cohen's kappa for all pairs of hypnograms of one night.

    Parameters
    ----------
    hypnograms : mapping of str to yasa.Hypnogram
        Name -> hypnogram, all with the same epochs.

    Returns
    -------
    agreement : pandas.DataFrame, shape (n_hypnograms, n_hypnograms)
        Kappa over the epochs that have a stage in both; NaN if there are none.

    Notes
    -----
    This calls scikit-learn, as YASA does, but computes nothing else: for 15 hypnograms, YASA's
    comparison of all pairs takes as long as the network.

    Examples
    --------
    >>> night = yasa.Hypnogram(["WAKE", "N2", "N2", "REM"])
    >>> other = yasa.Hypnogram(["WAKE", "N2", "N3", "UNS"])
    >>> float(compute_kappa({"A": night, "B": other}).loc["A", "B"].round(2))
    0.5
    """
    names = list(hypnograms)
    staged = np.array([hyp.hypno.to_numpy(dtype=str) for hyp in hypnograms.values()])
    known = staged != "UNS"
    agreement = pd.DataFrame(np.nan, index=names, columns=names)
    codes = pd.factorize(staged.T.ravel())[0].reshape(staged.T.shape).T
    for name in names:
        agreement.loc[name, name] = 1.0
    with allow_absent_stages():
        for i, j in combinations(range(len(names)), 2):
            both = known[i] & known[j]
            if both.any():
                kappa = cohen_kappa_score(codes[i][both], codes[j][both])
                agreement.iloc[i, j] = agreement.iloc[j, i] = kappa
    return agreement
