"""What every subset of the sensors says of a night, and so which sensor to trust."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import yasa
from matplotlib.axes import Axes

from .hypnogram import allow_absent_stages

Subset = tuple[str, ...]


def all_subsets(modalities: Sequence[str]) -> list[Subset]:
    """Every subset but the empty one, the smallest first.

    Examples
    --------
    >>> all_subsets(["ECG", "THX"])
    [('ECG',), ('THX',), ('ECG', 'THX')]
    """
    names = sorted(modalities)
    return [s for size in range(1, len(names) + 1) for s in combinations(names, size)]


@dataclass(frozen=True)
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
        Share of the other subsets that give an epoch the stage which all together give it; NaN
        where there is none.
    disputed : array of int, shape (n_disputed,)
        Epochs with less support than one half.
    """

    hypnograms: dict[str, yasa.Hypnogram]
    agreement: pd.DataFrame
    stages: pd.DataFrame
    support: pd.Series
    disputed: np.ndarray

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the agreement between subsets as a table in colours.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where; by default a new figure.

        Returns
        -------
        ax : matplotlib.axes.Axes
            Cohen's kappa of each pair of subsets, written and coloured.
        """
        if ax is None:
            size = 2.5 + 0.45 * len(self.agreement)
            _, ax = plt.subplots(figsize=(size + 1, size), layout="constrained")
        kappa = self.agreement.to_numpy()
        image = ax.imshow(kappa, cmap="cividis", vmin=0, vmax=1)
        for i, j in np.argwhere(np.isfinite(kappa)):
            colour = "black" if kappa[i, j] > 0.5 else "white"
            ax.text(j, i, f"{kappa[i, j]:.2f}", ha="center", va="center", color=colour, fontsize=7)
        ticks = range(len(self.agreement))
        ax.set_xticks(ticks, self.agreement.columns, rotation=90)
        ax.set_yticks(ticks, self.agreement.index)
        ax.set_title(
            f"Agreement of sensors: {self.disputed.size} of {self.support.size} epochs disputed",
            loc="left",
        )
        ax.figure.colorbar(image, ax=ax, label="Cohen's kappa")
        return ax


def compare_subsets(hypnograms: Mapping[str, yasa.Hypnogram]) -> Audit:
    """Compare what the subsets of the sensors say.

    Parameters
    ----------
    hypnograms : mapping of str to yasa.Hypnogram
        Subset -> its stages; the last is all of them.

    Returns
    -------
    audit : Audit
        Agreement, shares of the stages, and the epochs in dispute.
    """
    names = list(hypnograms)
    everything = hypnograms[names[-1]]
    staged = pd.DataFrame({name: list(hyp.hypno) for name, hyp in hypnograms.items()})
    known = staged != "UNS"
    agreement = pd.DataFrame(np.eye(len(names)), index=names, columns=names)
    pairs = [(a, b) for a, b in combinations(names, 2) if (known[a] & known[b]).any()]
    if pairs:
        # All pairs as sessions of one comparison, since each comparison costs YASA some time.
        sessions = [
            {
                f"{a} {b}": yasa.Hypnogram(
                    staged[(a, b)[side]].to_numpy(), everything.n_stages, scorer=f"{side}"
                )
                for a, b in pairs
            }
            for side in (0, 1)
        ]
        compared = yasa.EpochByEpochAgreement(*sessions)
        with allow_absent_stages(), np.errstate(invalid="ignore"):
            found = compared.get_agreement(scorers=["cohen_kappa"])
        kappa = dict(zip(sorted(sessions[0]), np.ravel(found), strict=True))
        for a, b in pairs:
            agreement.loc[a, b] = agreement.loc[b, a] = kappa[f"{a} {b}"]
    for a, b in set(combinations(names, 2)) - set(pairs):
        agreement.loc[a, b] = agreement.loc[b, a] = np.nan
    labels = [stage for stage in everything.labels if stage not in ("ART", "UNS")]
    stages = pd.DataFrame(
        {name: staged[name][known[name]].value_counts(normalize=True) * 100 for name in names}
    ).T.reindex(columns=labels, fill_value=0.0)
    others = names[:-1]
    same = staged[others].eq(staged[names[-1]], axis=0).astype(float).where(known[others])
    support = same.mean(axis=1).where(known[names[-1]]).rename("support")
    return Audit(
        dict(hypnograms),
        agreement,
        stages.fillna(0.0),
        support.rename_axis("Epoch"),
        np.flatnonzero(support < 0.5),
    )
