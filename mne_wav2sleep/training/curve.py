"""The learning curve: losses and agreement of each pass."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..modalities import MODALITIES
from ..output import write_whole
from ..showing import WIDTH

CURVE = "learning-curve.png"
"""The picture in the model folder."""


def plot_curve(rows: Sequence[Mapping[str, Any]], kept: int) -> Figure:
    """Plot losses and kappas of each pass.

    Parameters
    ----------
    rows : sequence of mapping
        The rows of ``metrics.csv``.
    kept : int
        Number of the pass whose weights are kept, from 1.

    Returns
    -------
    figure : matplotlib.figure.Figure
        The figure; pyplot does not know it.
    """
    table = pd.DataFrame(rows)
    figure = Figure(figsize=(WIDTH, 4), layout="constrained")
    losses, kappas = figure.subplots(1, 2)
    for name, color in (("training", "C7"), ("validation", "k")):
        losses.plot(table["pass"], table[f"{name}_loss"], ".-", color=color, label=name)
    named = {"kappa": "all signals"} | {f"kappa_{name}": f"{name} alone" for name in MODALITIES}
    for i, (name, label) in enumerate(named.items()):
        if name in table:
            style = {"color": "k", "zorder": 3} if name == "kappa" else {"color": f"C{i - 1}"}
            values = table[name].astype(float)
            kappas.plot(table["pass"], values, ".-", label=label, **style)
    for axes, title in (
        (losses, "Loss (cross-entropy)"),
        (kappas, "Kappa on the validation nights"),
    ):
        axes.axvline(kept, color="0.7", linestyle="--", label="kept")
        axes.set(title=title, xlabel="Pass")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        # Below, where no line can be under it.
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3, frameon=False)
    return figure


def write_curve(folder: Path, rows: Sequence[Mapping[str, Any]], kept: int) -> Path:
    """Write the picture of the learning curve.

    Parameters
    ----------
    folder : Path
        The model folder.
    rows : sequence of mapping
        The rows of ``metrics.csv``.
    kept : int
        Number of the pass whose weights are kept, from 1.

    Returns
    -------
    path : Path
        ``learning-curve.png`` in the folder.
    """
    path = folder / CURVE
    with write_whole(path, overwrite=True) as unfinished:
        plot_curve(rows, kept).savefig(unfinished, dpi=100)
    return path
