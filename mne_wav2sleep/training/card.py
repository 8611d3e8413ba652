"""The model card: training data, settings and performance of trained weights."""

import html
import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ..cohorts import Evaluation, PreparedNight
from ..cohorts.nights import identify_person
from ..network import Calibration, LoadedWeights
from ..network.backends import list_subsets
from ..output import write_whole
from ..showing import flatten
from ..verbosity import pluralize
from .curve import CURVE
from .run import TrainingRun
from .schedule import Schedule

_PACKAGES = ("mne-wav2sleep", "mne", "yasa", "torch", "pytorch-lightning", "numpy")
_FEW_SUBJECTS = 5
"""Number of subjects below which there is no interval: their values say as much."""
_MOST_VALUES = 30
"""Number of subjects up to which the gain of each is listed."""
_ORIGINS = {"scored nights": "validation nights", "earlier calibration": "initial weights"}
_TEMPLATE = """# A wav2sleep network

Classifies {n_stages} stages ({stages}) from {modalities}. Written by mne-wav2sleep; use it with
`SleepStagerW2S(raw, weights="{name}")`.
{caution}
{facts}

## Data

{nights}

The validation nights are of {use}.

## Agreement on the validation nights

By dataset and subset of the signals: kappa, accuracy (%) and F1 (%) over all epochs, and the kappa
of single nights, as median (lowest to highest). Of the scored epochs, those that were measured are
staged (%). A dash stands for what is not defined, such as the F1 of a stage that does not occur.

{agreement}
{cautions}{comparison}{cross_validation}
## Calibration

{calibration}
{curve}
## Settings

{settings}

With these nights: {schedule}

## Network

{network}

## Versions

{versions}
"""


def format_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Format a table in Markdown; text of users cannot break it.

    Parameters
    ----------
    columns : sequence of str
        Names of the columns.
    rows : iterable of sequence
        The values of each row.

    Returns
    -------
    table : str
        The table.
    """
    lines = [list(columns), ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(map(_escape, line)) + " |" for line in lines)


def _escape(value: Any) -> str:
    """Escape a value for a table in Markdown."""
    return html.escape(" ".join(str(value).split()), quote=False).replace("|", "\\|")


def _show_curve(folder: Path) -> str:
    """Show the learning curve, if there is one."""
    if not (folder / CURVE).exists():
        return ""
    return f"\n## Learning curve\n\n![Losses and kappas by pass]({CURVE})\n"


def format_number(value: float, digits: int) -> str:
    """Format a number, a dash if it is not defined.

    Parameters
    ----------
    value : float
        The number.
    digits : int
        Digits after the point.

    Returns
    -------
    text : str
        The number, or the dash.
    """
    return "-" if np.isnan(value) else f"{value:.{digits}f}"


def _list_values(values: Mapping[str, Any]) -> str:
    """Tabulate values by name."""
    rows: list[tuple[str, Any]] = []
    for name, value in flatten(values).items():
        shown = ", ".join(map(str, value)) if isinstance(value, tuple) else value
        rows.append((name, "none" if value is None else shown))
    return format_table(["name", "value"], rows)


def _describe_nights(splits: Mapping[str, Sequence[PreparedNight]], stages: Sequence[str]) -> str:
    """Make a table of nights, one row per split and dataset."""
    rows = []
    for split, nights in splits.items():
        for dataset in sorted({night.dataset for night in nights}):
            some = [night for night in nights if night.dataset == dataset]
            signals = Counter(name for night in some for name in night.modalities)
            counts: Counter[str] = Counter()
            for night in some:
                counts.update(night.read_hypnogram(len(stages)).hypno)
            rows.append(
                [
                    split,
                    dataset,
                    len(some),
                    len({night.person for night in some}),
                    f"{sum(night.n_epochs for night in some) / 120:.1f}",
                    ", ".join(f"{name} ({n})" for name, n in sorted(signals.items())),
                    *(counts[stage] for stage in (*stages, "UNS")),
                ]
            )
    columns = ["split", "dataset", "nights", "subjects", "hours", "signals (nights)"]
    return (
        format_table([*columns, *stages, "unscored"], rows)
        + "\n\nStages are numbers of epochs of 30 s, by the scorer."
    )


def _describe_agreement(found: Evaluation) -> str:
    """Make a table of the agreement by dataset and subset, with its spread over the nights."""
    rows = []
    by_night = found.by_night.groupby(["dataset", "subset"])["kappa"]
    scores = [name for name in found.pooled if name.startswith("F1 ")]
    for (dataset, subset), row in found.pooled.iterrows():
        kappas = by_night.get_group((dataset, subset)).dropna()
        spread = "-"
        if not kappas.empty:
            low, middle, high = (format_number(f(kappas), 2) for f in (min, np.median, max))
            spread = f"{middle} ({low} to {high})" if kappas.size > 1 else middle
        rows.append(
            [dataset, subset, f"{row['nights']:.0f}", f"{row['epochs']:.0f}"]
            + [format_number(row["staged"], 0), format_number(row["kappa"], 2), spread]
            + [format_number(row["accuracy"], 0)]
            + [format_number(row[name], 0) for name in scores]
        )
    columns = ["dataset", "signals", "nights", "epochs", "staged", "kappa", "kappa of nights"]
    return format_table([*columns, "accuracy", *scores], rows)


def _compare_kappas(before: Evaluation, after: Evaluation) -> str:
    """Compare kappa before and after fine-tuning, from all signals of each night.

    Subjects have no names, since the card is handed on.
    """
    nights = ["dataset", "subset", "night", "subject"]
    both = before.by_night.merge(after.by_night, on=nights, suffixes=(" before", " after"))
    both["gain"] = both["kappa after"] - both["kappa before"]
    scores = ["kappa before", "kappa after", "gain"]
    rows = [
        [*key, len(some), *(format_number(mean, 3) for mean in some[scores].mean())]
        for key, some in both.groupby(["dataset", "subset"])
    ]
    persons = [identify_person(*names) for names in both[["dataset", "subject"]].to_numpy()]
    gains = both["gain"].groupby(pd.Series(persons)).mean().dropna().sort_values().to_numpy()
    columns = ["dataset", "signals", "nights", *scores]
    return (
        "\n## Comparison with the initial weights\n\nMean kappa of the nights, from all signals of "
        f"each.\n\n{format_table(columns, rows)}\n\n{_summarize_gains(gains)}\n"
    )


def _summarize_gains(gains: np.ndarray) -> str:
    """Summarize the gains of subjects, in ascending order."""
    if not gains.size:
        return "Kappa is not defined for any of the nights."
    text = f"Mean gain by subject: {gains.mean():.3f}"
    if gains.size < _FEW_SUBJECTS:
        text += f" ({gains.size} subject{pluralize(gains)}, too few for an interval)"
    elif np.ptp(gains) > 0:
        interval = stats.bootstrap((gains,), np.mean, method="percentile", rng=0)
        low, high = interval.confidence_interval
        text += f" (95% interval by bootstrap over {gains.size} subjects: {low:.3f} to {high:.3f})"
    shown = ", ".join(f"{gain:.3f}" for gain in gains)
    if gains.size > _MOST_VALUES:
        shown = f"{gains[0]:.3f} to {gains[-1]:.3f}, median {np.median(gains):.3f}"
    return f"{text}. In ascending order: {shown}."


def _describe_calibration(calibration: Calibration, modalities: Sequence[str]) -> str:
    """Describe temperatures and the correlation of errors, and where they come from."""
    rows = []
    for subset in list_subsets(modalities):
        source = calibration.source(subset)
        rows.append(
            [
                "+".join(subset),
                f"{calibration.temperature(subset):.2f}",
                _ORIGINS.get(source.origin, source.origin),
                source.n_nights or "-",
                source.n_epochs or "-",
            ]
        )
    known = calibration.correlation_source
    origin = _ORIGINS.get(known.origin, "weights") if known else "weights"
    where = (
        f"from the {origin}, fitted to {calibration.n_nights} nights"
        if calibration.n_nights
        else "not fitted: the values of other weights, on simulated nights"
    )
    return (
        "The logits of each subset of the signals are divided by its temperature, which comes from "
        "the validation nights if they have the subset. Where they are few, it is kept near that "
        "of the initial weights, or near 1 if those have none.\n\n"
        + format_table(["signals", "temperature", "from", "nights", "epochs"], rows)
        + f"\n\nA share of {calibration.night_share:.2f} of the variance of errors is common to "
        "all epochs of a night; the rest is correlated from epoch to epoch by "
        f"{calibration.epoch_correlation:.3f} ({where})."
    )


def _list_facts(weights: LoadedWeights, run: TrainingRun) -> str:
    """List what the network is, and what it was trained from."""
    n_parameters = sum(p.numel() for p in weights.network.parameters())
    bases = map(_escape, weights.bases)
    facts = {
        "Initial weights": ", which were fine-tuned from ".join(bases) or "random",
        **({"Added": run.extension.text} if run.extension else {}),
        "Trained parts": ", ".join(run.trainable),
        "Parameters": f"{n_parameters:,}",
        "SHA-256 of `model.safetensors`": weights.lineage[0].sha256,
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def write_card(
    folder: Path,
    weights: LoadedWeights,
    nights: Mapping[str, Sequence[PreparedNight]],
    run: TrainingRun,
    schedule: Schedule,
    agreement: tuple[Evaluation | None, Evaluation],
    signs: Sequence[str] = (),
) -> Path:
    """Write the model card, without the names of subjects, recordings and folders.

    Parameters
    ----------
    folder : Path
        The model folder.
    weights : LoadedWeights
        The trained weights.
    nights : mapping of str to sequence of PreparedNight
        The nights of the two splits, ``"training"`` and ``"validation"``.
    run : TrainingRun
        How it was trained.
    schedule : Schedule
        What the settings came to with these nights.
    agreement : tuple of (Evaluation or None, Evaluation)
        Agreement of the initial and of the trained weights on the validation nights. The first is
        None if they are random, or have no use before their new parts are trained.
    signs : sequence of str
        Signs that training failed.

    Returns
    -------
    path : Path
        ``README.md`` in the folder.
    """
    stages = weights.stage_names
    before, after = agreement
    versions = {name: version(name) for name in _PACKAGES} | {"python": platform.python_version()}
    text = _TEMPLATE.format(
        n_stages=len(stages),
        stages=", ".join(stages),
        modalities=", ".join(weights.modalities),
        name=folder.name,
        caution=f"\n> **Warning:** {weights.caution}\n" if weights.caution else "",
        facts=_list_facts(weights, run),
        nights=_describe_nights(nights, stages),
        use=(
            "other subjects, used for early stopping, so that the scores below are optimistic"
            if run.settings.keep == "best"
            else "other subjects, not used to select the weights"
        ),
        agreement=_describe_agreement(after),
        cautions="".join(
            [f"\n> **Warning**, of the initial weights: {c}\n" for c in after.cautions]
            + [f"\n> **Warning:** {sign}\n" for sign in signs]
        ),
        comparison="" if before is None else _compare_kappas(before, after),
        cross_validation=run.cross_validation or "",
        calibration=_describe_calibration(weights.calibration, weights.modalities),
        curve=_show_curve(folder),
        settings=_list_values(asdict(run.settings)),
        schedule=schedule.describe(),
        network=_list_values(asdict(weights.config) | asdict(weights.preprocessing)),
        versions=_list_values(versions),
    )
    path = folder / "README.md"
    with write_whole(path, overwrite=True) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    return path
