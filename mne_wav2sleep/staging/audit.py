"""What every subset of the sensors says of a night, and so which sensor to trust."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import yasa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import cohen_kappa_score

from ..hypnograms.probabilities import allow_absent_stages
from ..network.backends import Subset


@dataclass(frozen=True, repr=False)
class Audit:
    """A night staged from every subset of its modalities.

    Attributes
    ----------
    hypnograms : dict of str to yasa.Hypnogram
        Subset, such as ``"ECG+THX"`` -> its stages with probabilities; the last is all of them.
    agreement : pandas.DataFrame, shape (n_subsets, n_subsets)
        Cohen's kappa between subsets, over the epochs that both have staged.
    stages : pandas.DataFrame, shape (n_subsets, n_stages)
        Share of each stage in the staged epochs, in %.
    support : pandas.Series, shape (n_epochs,)
        Share of the smaller subsets, of the sensors that were on, that give an epoch the stage
        which all of these together give it; NaN where there are none, so that there is nothing
        to compare.
    disputed : array of int, shape (n_disputed,)
        Epochs with less support than one half.
    """

    hypnograms: dict[str, yasa.Hypnogram]
    agreement: pd.DataFrame
    stages: pd.DataFrame
    support: pd.Series
    disputed: np.ndarray

    @property
    def n_comparable(self) -> int:
        """Epochs of which two sensors or more were on, so that there is something to compare."""
        return int(self.support.notna().sum())

    def _say(self) -> str:
        """Say how many of the epochs that can be are in dispute."""
        if len(self.hypnograms) == 1:
            return "one sensor, nothing to compare"
        if not self.n_comparable:
            return "no two sensors on at once, nothing to compare"
        return f"{self.disputed.size} of {self.n_comparable} comparable epochs disputed"

    def __repr__(self) -> str:
        """Say how many subsets there are, and how many epochs are in dispute."""
        count, everything = len(self.hypnograms), list(self.hypnograms)[-1]
        subsets = everything if count == 1 else f"{count} subsets of {everything}"
        return f"<Audit | {subsets}, {self._say()}>"

    def plot(self, ax: Axes | None = None) -> Figure:
        """Draw the agreement between subsets as a table in colours.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where; by default a new figure.

        Returns
        -------
        figure : matplotlib.figure.Figure
            Cohen's kappa of each pair of subsets, written and coloured.
        """
        n_subsets = len(self.agreement)
        if ax is None:
            # As mne.Report shows 850 pixels, these are whole pixels there.
            width = float(np.clip(np.ceil(5 + 0.8 * n_subsets) / 2, 5.5, 8.5))
            width = width if n_subsets <= 15 else 17.0
            _, ax = plt.subplots(figsize=(width, width - 0.5), layout="constrained")
        kappa = self.agreement.to_numpy()
        image = ax.imshow(kappa, cmap="cividis", vmin=0, vmax=1)
        for i, j in np.argwhere(np.isfinite(kappa)):
            colour = "black" if kappa[i, j] > 0.5 else "white"
            ax.text(j, i, f"{kappa[i, j]:.2f}", ha="center", va="center", color=colour, fontsize=7)
        ticks = range(n_subsets)
        ax.set_xticks(ticks, self.agreement.columns, rotation=90)
        ax.set_yticks(ticks, self.agreement.index)
        ax.set_title(f"Agreement of sensors:\n{self._say()}", loc="left")
        ax.figure.colorbar(image, ax=ax, label="Cohen's kappa")
        return ax.figure.figure  # of a part of a figure, the whole


def compare_subsets(hypnograms: Mapping[Subset, yasa.Hypnogram], measured: pd.DataFrame) -> Audit:
    """Compare what the subsets of the sensors say.

    Parameters
    ----------
    hypnograms : mapping of tuple of str to yasa.Hypnogram
        Subset -> its stages; the last is all of them.
    measured : pandas.DataFrame of bool, shape (n_epochs, n_modalities)
        Where each modality was measured.

    Returns
    -------
    audit : Audit
        Agreement, shares of the stages, and the epochs in dispute.
    """
    named = {"+".join(subset): hyp for subset, hyp in hypnograms.items()}
    everything = list(named)[-1]
    staged = pd.DataFrame({name: list(hyp.hypno) for name, hyp in named.items()})
    known = staged != "UNS"
    labels = [stage for stage in named[everything].labels if stage not in ("ART", "UNS")]
    shares = {name: staged[name][known[name]].value_counts(normalize=True) for name in named}
    # Where a sensor of a subset was off, the subset is another one, which has its own vote; and
    # all that were on are what the others are compared with.
    n_on = measured.sum(axis=1)
    votes = pd.DataFrame(
        {
            "+".join(subset): measured[list(subset)].all(axis=1) & (n_on > len(subset))
            for subset in hypnograms
        }
    )
    same = staged.eq(staged[everything], axis=0).astype(float).where(votes)
    support = same.mean(axis=1).rename("support").rename_axis("Epoch")
    return Audit(
        named,
        _find_kappa(staged, known),
        (pd.DataFrame(shares).T.reindex(columns=labels).fillna(0.0) * 100),
        support,
        np.flatnonzero(support < 0.5),
    )


def _find_kappa(staged: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Cohen's kappa of every two subsets; NaN where they have no epoch in common.

    Straight from scikit-learn, as YASA has it, whose comparison takes as long as the network.
    """
    names = list(staged)
    agreement = pd.DataFrame(np.nan, index=names, columns=names)
    labels, _ = pd.factorize(staged.to_numpy().ravel())
    codes = dict(zip(names, labels.reshape(staged.shape).T, strict=True))
    for name in names:
        agreement.loc[name, name] = 1.0
    with allow_absent_stages(), np.errstate(invalid="ignore"):
        for a, b in combinations(names, 2):
            both = (known[a] & known[b]).to_numpy()
            if both.any():
                kappa = cohen_kappa_score(codes[a][both], codes[b][both])
                agreement.loc[a, b] = agreement.loc[b, a] = kappa
    return agreement
