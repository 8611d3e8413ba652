"""Agreement between the subsets of the sensors of a night, to find a sensor that is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import yasa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..hypnograms.agreement import compute_kappa
from ..network.backends import Subset
from ..showing import WIDTH, finish_figure


@dataclass(frozen=True, repr=False)
class Audit:
    """A night staged from every subset of its signals.

    Attributes
    ----------
    hypnograms : dict of str to yasa.Hypnogram
        Subset, such as ``"ECG+THX"`` -> its stages with probabilities; the last subset is all of
        the modalities.
    agreement : pandas.DataFrame, shape (n_subsets, n_subsets)
        Cohen's kappa between subsets, over the epochs that both have staged.
    stages : pandas.DataFrame, shape (n_subsets, n_stages)
        Share of each stage in the staged epochs, in %.
    support : pandas.Series, shape (n_epochs,)
        For each epoch, the share of votes for the stage that all measured sensors together give
        it. Each smaller subset of the measured sensors has a vote. NaN if there are no votes
        because fewer than two sensors were measured.
    disputed : array of int, shape (n_disputed,)
        Epochs with a support of less than one half.
    """

    hypnograms: dict[str, yasa.Hypnogram]
    agreement: pd.DataFrame
    stages: pd.DataFrame
    support: pd.Series
    disputed: np.ndarray

    @property
    def n_comparable(self) -> int:
        """Number of epochs in which two or more sensors were measured."""
        return int(self.support.notna().sum())

    def _summarize(self) -> str:
        """Summarize how many of the comparable epochs are disputed."""
        if len(self.hypnograms) == 1:
            return "one sensor, nothing to compare"
        if not self.n_comparable:
            return "no two sensors measured at once, nothing to compare"
        return f"{self.disputed.size} of {self.n_comparable} comparable epochs disputed"

    def __repr__(self) -> str:
        """Show the number of subsets and of disputed epochs."""
        count, everything = len(self.hypnograms), list(self.hypnograms)[-1]
        subsets = everything if count == 1 else f"{count} subsets of {everything}"
        return f"<Audit | {subsets}, {self._summarize()}>"

    def plot(self, ax: Axes | None = None, *, show: bool = True) -> Figure:
        """Plot the agreement between subsets as a matrix.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Axes to draw in; by default those of a new figure.
        show : bool
            Whether to show the figure. If False, a new figure is closed, and can still be saved.

        Returns
        -------
        figure : matplotlib.figure.Figure
            Cohen's kappa of each pair of subsets, as a number and a color.
        """
        n_subsets = len(self.agreement)
        is_new = ax is None
        if ax is None:
            # Whole pixels in mne.Report, which scales figures to a width of 850 pixels.
            width = float(np.clip(np.ceil(5 + 0.8 * n_subsets) / 2, 5.5, WIDTH))
            width = width if n_subsets <= 15 else 2 * WIDTH
            _, ax = plt.subplots(figsize=(width, width - 0.5), layout="constrained")
        kappa = self.agreement.to_numpy()
        image = ax.imshow(kappa, cmap="cividis", vmin=0, vmax=1)
        for i, j in np.argwhere(np.isfinite(kappa)):
            color = "black" if kappa[i, j] > 0.5 else "white"
            ax.text(j, i, f"{kappa[i, j]:.2f}", ha="center", va="center", color=color, fontsize=7)
        ticks = range(n_subsets)
        ax.set_xticks(ticks, self.agreement.columns, rotation=90)
        ax.set_yticks(ticks, self.agreement.index)
        ax.set_title(f"Agreement of sensors:\n{self._summarize()}", loc="left")
        ax.figure.colorbar(image, ax=ax, label="Cohen's kappa")
        # ax.figure may be a subfigure; its figure is the whole one.
        return finish_figure(ax.figure.figure, show=show, close=is_new)


def compare_subsets(hypnograms: Mapping[Subset, yasa.Hypnogram], measured: pd.DataFrame) -> Audit:
    """Compare the stages that subsets of the sensors give.

    Parameters
    ----------
    hypnograms : mapping of tuple of str to yasa.Hypnogram
        Subset -> its stages; the last subset is all of the modalities.
    measured : pandas.DataFrame of bool, shape (n_epochs, n_modalities)
        Where each modality was measured.

    Returns
    -------
    audit : Audit
        Agreement, shares of the stages, and disputed epochs.
    """
    named = {"+".join(subset): hyp for subset, hyp in hypnograms.items()}
    everything = list(named)[-1]
    staged = pd.DataFrame({name: list(hyp.hypno) for name, hyp in named.items()})
    known = staged != "UNS"
    labels = [stage for stage in named[everything].labels if stage not in ("ART", "UNS")]
    shares = {name: staged[name][known[name]].value_counts(normalize=True) for name in named}
    # Where a sensor of a subset was not measured, the rest of it is a smaller subset, which has
    # its own vote; and the subset of all measured sensors is what the others are compared with.
    n_measured = measured.sum(axis=1)
    votes = pd.DataFrame(
        {
            "+".join(subset): measured[list(subset)].all(axis=1) & (n_measured > len(subset))
            for subset in hypnograms
        }
    )
    same = staged.eq(staged[everything], axis=0).astype(float).where(votes)
    support = same.mean(axis=1).rename("support").rename_axis("Epoch")
    return Audit(
        named,
        compute_kappa(named),
        (pd.DataFrame(shares).T.reindex(columns=labels).fillna(0.0) * 100),
        support,
        np.flatnonzero(support < 0.5),
    )
