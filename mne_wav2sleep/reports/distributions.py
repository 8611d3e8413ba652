"""Distributions of sleep statistics and of what was measured, over the nights of a cohort."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..showing import WIDTH, finish_figure, wrap_name
from .screening import find_modalities, find_stages, get_numbers, get_texts

_COLOR = "#0072B2"
_N_COLUMNS = 3
_MOST_DATASETS = 8
_FEW = 100
"""Number of nights up to which each of them is marked."""
_OTHERS = "other datasets"
_UNITS = {"SE": "%", "SME": "%", "SFI": "per h"}


def _find_unit(name: str) -> str:
    """Find the unit of one of YASA's statistics."""
    return "%" if name.startswith("%") else _UNITS.get(name, "min")


def _find_statistics(table: pd.DataFrame) -> list[str]:
    """Find the statistics that are drawn, of those that a night has."""
    names = ["TST", "SE", "WASO", "SOL", "Lat_REM"]
    there = [name for name in names if get_numbers(table, name).notna().any()]
    return [*there, *find_stages(table)]


def split_datasets(table: pd.DataFrame) -> dict[str, pd.Series]:
    """Split the nights by dataset.

    Parameters
    ----------
    table : pandas.DataFrame
        The table of nights.

    Returns
    -------
    datasets : dict of str to pandas.Series of bool
        Name -> its nights. The smallest of more than 8 datasets are one.
    """
    names = get_texts(table, "dataset").replace("", "no dataset")
    counts = names.value_counts()
    order = sorted(counts.index, key=lambda name: (-counts[name], name))
    if len(order) > _MOST_DATASETS:
        names = names.where(names.isin(order[: _MOST_DATASETS - 1]), _OTHERS)
        order = [*order[: _MOST_DATASETS - 1], _OTHERS]
    return {name: names == name for name in order}


def plot_statistics(table: pd.DataFrame) -> Figure | None:
    """Plot the distribution of sleep statistics.

    Parameters
    ----------
    table : pandas.DataFrame
        The table of nights.

    Returns
    -------
    figure : matplotlib.figure.Figure or None
        A panel for each statistic: a histogram, or boxes by dataset if there are several. None if
        no night has statistics.
    """
    names = _find_statistics(table)
    if not names:
        return None
    masks = split_datasets(table)
    height = 2.0 if len(masks) == 1 else 1.0 + 0.5 * np.ceil(len(masks) / 2)
    values = {name: get_numbers(table, name) for name in names}
    titles = [
        f"{name.strip('%')} [% of TST]" if name[0] == "%" else f"{name} [{_find_unit(name)}]"
        for name in names
    ]
    groups = [[values[name][mask] for mask in masks.values()] for name in names]
    return _plot_panels(dict(zip(titles, groups, strict=True)), list(masks), height)


def plot_measured(table: pd.DataFrame) -> Figure | None:
    """Plot the distribution of the share of the night in which each signal was measured.

    Parameters
    ----------
    table : pandas.DataFrame
        The table of nights.

    Returns
    -------
    figure : matplotlib.figure.Figure or None
        A histogram for each signal. None if none was measured.
    """
    shares = {
        f"{m} [% of the night]": 100 * get_numbers(table, f"measured_{m}")
        for m in find_modalities(table)
    }
    groups = {title: [share] for title, share in shares.items() if share.notna().any()}
    return _plot_panels(groups, [""], 2.0, limits=(0, 100)) if groups else None


def _plot_panels(
    groups: Mapping[str, Sequence[pd.Series]],
    names: Sequence[str],
    height: float,
    limits: tuple[float, float] | None = None,
) -> Figure:
    """Plot a panel for each title, with the values of one or several groups."""
    n_columns = min(_N_COLUMNS, len(groups)) if len(groups) != 4 else 2
    n_rows = -(-len(groups) // n_columns)
    figure, axes = plt.subplots(
        n_rows, n_columns, figsize=(WIDTH, height * n_rows), layout="constrained", squeeze=False
    )
    for ax, (title, values) in zip(axes.flat, groups.items(), strict=False):
        ax.set_title(title, loc="left", fontsize="medium")
        ax.spines[["top", "right"]].set_visible(False)
        if len(values) == 1:
            _draw_histogram(values[0].dropna(), ax, limits)
        else:
            _draw_boxes(values, names, ax)
    for ax in axes.flat[len(groups) :]:
        ax.set_axis_off()
    for ax in axes[:, 1:].flat if len(names) > 1 else ():
        ax.set_yticklabels([])
    return finish_figure(figure, show=False)


def _draw_histogram(values: pd.Series, ax: Axes, limits: tuple[float, float] | None) -> None:
    """Draw a histogram, with the median, and marks of the nights if they are few."""
    ax.hist(values, bins=20, range=limits, color=_COLOR, alpha=0.6)
    ax.axvline(values.median(), color="black", linewidth=1)
    if len(values) <= _FEW:
        ax.plot(values, np.zeros(len(values)), "|", color="black", clip_on=False)
    ax.set_ylabel("nights")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_boxes(values: Sequence[pd.Series], names: Sequence[str], ax: Axes) -> None:
    """Draw a box for each group, the first of them at the top."""
    ax.boxplot(
        [one.dropna() for one in values],
        orientation="horizontal",
        widths=0.6,
        flierprops={"marker": ".", "markersize": 3, "markeredgecolor": "0.4"},
        medianprops={"color": "black"},
        boxprops={"facecolor": _COLOR, "alpha": 0.6},
        patch_artist=True,
    )
    labels = [wrap_name(name[:60], 20) for name in names]
    ax.set_yticks(range(1, len(names) + 1), labels, parse_math=False, fontsize="small")
    ax.invert_yaxis()


def tabulate_distributions(table: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the distribution of sleep statistics.

    Parameters
    ----------
    table : pandas.DataFrame
        The table of nights.

    Returns
    -------
    distributions : pandas.DataFrame
        One row per statistic: unit, median and quartiles, minimum, maximum and number of nights;
        for several datasets, the median, quartiles and number of each.
    """
    more = [name for name in ("TIB", "SPT", "SME", "SFI") if get_numbers(table, name).notna().any()]
    masks = split_datasets(table)
    rows = {}
    for name in [*_find_statistics(table), *more]:
        values = get_numbers(table, name)
        decimals = 0 if name in ("TST", "TIB", "SPT") else 1
        row = {
            "unit": _find_unit(name),
            "median [IQR]": _describe(values, decimals),
            "min": f"{values.min():.{decimals}f}",
            "max": f"{values.max():.{decimals}f}",
            "nights": str(values.count()),
        }
        if len(masks) > 1:
            for dataset, mask in masks.items():
                own = values[mask]
                row[f"{dataset} (nights)"] = f"{_describe(own, decimals)} ({own.count()})"
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def _describe(values: pd.Series, decimals: int = 1) -> str:
    """Give the median and the quartiles."""
    low, median, high = (f"{x:.{decimals}f}" for x in values.quantile([0.25, 0.5, 0.75]))
    return f"{median} [{low}, {high}]" if values.notna().any() else ""


def tabulate_signals(table: pd.DataFrame) -> pd.DataFrame:
    """Tabulate which signals the nights have, and how much of them was measured.

    Parameters
    ----------
    table : pandas.DataFrame
        The table of nights that were staged.

    Returns
    -------
    signals : pandas.DataFrame
        One row per modality that a night has.
    """
    rows = {}
    for name in find_modalities(table):
        measured = 100 * get_numbers(table, f"measured_{name}")
        there = (get_texts(table, f"channel_{name}") != "") | measured.notna()
        if there.any():
            good = 100 * get_numbers(table, f"plausible_{name}")
            rows[name] = {
                "nights": str(there.sum()),
                "% of nights": f"{100 * there.mean():.0f}",
                "% measured, median [IQR]": _describe(measured),
                "min": "" if measured.isna().all() else f"{measured.min():.1f}",
                "nights with less than half": str((measured < 50).sum()),
                "% plausible, median [IQR]": _describe(good),
            }
    return pd.DataFrame.from_dict(rows, orient="index")
