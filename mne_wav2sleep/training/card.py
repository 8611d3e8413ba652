"""The model card: training data, settings and performance of trained weights."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ..cohorts import Evaluation, PreparedNight, evaluate
from ..network import Calibration, LoadedWeights
from .run import TrainingRun

_PACKAGES = ("mne-wav2sleep", "mne", "yasa", "torch", "pytorch-lightning", "numpy")
_TEMPLATE = """# A wav2sleep network

Classifies {n_stages} stages from {modalities}; {n_parameters:,} parameters. Written by
mne-wav2sleep; use it with `SleepStagerW2S(raw, weights="{name}")`.

- Initial weights: {base}
- Trained parts: {trainable}

## Nights

Training:

{training}

Validation ({use}):

{validation}

## Agreement on the validation nights

Pooled over epochs, by dataset and subset of the signals.

{agreement}
{comparison}
## Calibration

Fitted on the validation nights. The logits of each subset of the signals are divided by its
temperature.

{calibration}

## Settings

{settings}

## Network

{network}

## Versions

{versions}
"""


def _describe_nights(nights: Sequence[PreparedNight], n_stages: int) -> str:
    """Make a table of nights, one row per dataset."""
    rows = [
        "| dataset | nights | subjects | hours | signals | stages (epochs) |",
        "|---|---|---|---|---|---|",
    ]
    for dataset in sorted({night.dataset for night in nights}):
        some = [night for night in nights if night.dataset == dataset]
        signals = sorted({name for night in some for name in night.modalities})
        stages: Counter[str] = Counter()
        for night in some:
            stages.update(night.read_hypnogram(n_stages).hypno)
        counts = ", ".join(f"{stage} {count}" for stage, count in stages.most_common() if count)
        hours = sum(night.n_epochs for night in some) / 120
        subjects = len({night.person for night in some})
        rows.append(
            f"| {dataset} | {len(some)} | {subjects} | {hours:.1f} | {', '.join(signals)} "
            f"| {counts} |"
        )
    return "\n".join(rows)


def _format_table(frame: pd.DataFrame) -> str:
    """Format a table in Markdown."""
    rows = [frame.columns, ["---"] * frame.shape[1], *frame.round(3).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def _compare_kappas(before: Evaluation, after: Evaluation) -> str:
    """Compare kappa before and after fine-tuning, night by night, from all signals of each."""
    nights = ["dataset", "subset", "night", "subject"]
    both = before.by_night.merge(after.by_night, on=nights, suffixes=(" before", " after"))
    both["gain"] = both["kappa after"] - both["kappa before"]
    gain = both.groupby(["dataset", "subject"])["gain"].mean().to_numpy()
    text = f"Mean gain by subject: {gain.mean():.3f}"
    if gain.size > 1 and np.ptp(gain) > 0:
        interval = stats.bootstrap((gain,), np.mean, method="percentile", rng=0)
        low, high = interval.confidence_interval
        text += f" (95% interval by bootstrap over {gain.size} subjects: {low:.3f} to {high:.3f})"
    return (
        "\n## Comparison with the initial weights\n\n"
        + _format_table(
            both[["dataset", "subject", "subset", "kappa before", "kappa after", "gain"]]
        )
        + "\n\n".join(["", f"{text}.", *before.cautions])
        + "\n"
    )


def _describe_calibration(calibration: Calibration) -> str:
    """Describe temperatures and the correlation of errors."""
    rows = pd.DataFrame(calibration.temperatures.items(), columns=["subset", "temperature"])
    return (
        f"{_format_table(rows)}\n\nA share of {calibration.night_share:.2f} of the variance of "
        f"errors is common to all epochs of a night; the rest is correlated from epoch to epoch by "
        f"{calibration.epoch_correlation:.3f}. Nights: {calibration.n_nights}."
    )


def _list_values(values: Mapping[str, Any]) -> str:
    """List values by name in Markdown."""
    return "\n".join(f"- {name}: {value}" for name, value in values.items())


def write_card(
    folder: Path,
    weights: LoadedWeights,
    training: Sequence[PreparedNight],
    validation: Sequence[PreparedNight],
    run: TrainingRun,
    before: Evaluation | None,
) -> Path:
    """Write the model card.

    Parameters
    ----------
    folder : Path
        The model folder.
    weights : LoadedWeights
        The trained weights.
    training, validation : sequence of PreparedNight
        The nights of the two splits.
    run : TrainingRun
        How it was trained.
    before : Evaluation or None
        Agreement of the initial weights on the validation nights; None for random weights.

    Returns
    -------
    path : Path
        ``README.md`` in the folder.
    """
    n_stages = len(weights.stage_names)
    after = evaluate(validation, weights, device="cpu")
    versions = {name: version(name) for name in _PACKAGES} | {"python": platform.python_version()}
    text = _TEMPLATE.format(
        n_stages=n_stages,
        modalities=", ".join(weights.modalities),
        n_parameters=sum(p.numel() for p in weights.network.parameters()),
        name=folder.name,
        base=run.base or "random",
        trainable=", ".join(run.trainable),
        training=_describe_nights(training, n_stages),
        use=(
            "other subjects, used for early stopping, so that the scores below are optimistic"
            if run.settings.keep == "best"
            else "other subjects, not used to select the weights"
        ),
        validation=_describe_nights(validation, n_stages),
        agreement=_format_table(after.pooled.reset_index()),
        comparison="" if before is None else _compare_kappas(before, after),
        calibration=_describe_calibration(weights.calibration),
        settings=_list_values(asdict(run.settings)),
        network=_list_values(asdict(weights.config) | asdict(weights.preprocessing)),
        versions=_list_values(versions),
    )
    path = folder / "README.md"
    path.write_text(text, encoding="utf-8")
    return path
