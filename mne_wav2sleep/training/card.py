"""The model card of trained weights: what they learnt from, how, and how well they do."""

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ..cohorts.evaluation import Evaluation, evaluate
from ..cohorts.nights import PreparedNight
from ..network.config import Calibration
from ..network.model import Wav2Sleep

_VERSIONS = ("mne-wav2sleep", "mne", "yasa", "torch", "pytorch-lightning", "numpy")


def _describe(nights: Sequence[PreparedNight], n_stages: int) -> str:
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
        subjects = len({night.subject for night in some})
        rows.append(
            f"| {dataset} | {len(some)} | {subjects} | {hours:.1f} | {', '.join(signals)} "
            f"| {counts} |"
        )
    return "\n".join(rows)


def _table(frame: pd.DataFrame) -> str:
    """Write a table in Markdown."""
    rows = [frame.columns, ["---"] * frame.shape[1], *frame.round(3).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def _compare(before: Evaluation, after: Evaluation) -> str:
    """Set kappa before and after side by side, night by night, from all signals of each."""
    nights = ["dataset", "subset", "night", "subject"]
    both = before.by_night.merge(after.by_night, on=nights, suffixes=(" before", " after"))
    both["gain"] = both["kappa after"] - both["kappa before"]
    gain = both.groupby("subject")["gain"].mean().to_numpy()
    text = f"Mean gain by subject: {gain.mean():.3f}"
    if gain.size > 1 and np.ptp(gain) > 0:
        interval = stats.bootstrap((gain,), np.mean, method="percentile", rng=0)
        low, high = interval.confidence_interval
        text += f" (95% interval by bootstrap over {gain.size} subjects: {low:.3f} to {high:.3f})"
    return (
        "\n## Against the weights it began with\n\n"
        + _table(both[["dataset", "subject", "subset", "kappa before", "kappa after", "gain"]])
        + f"\n\n{text}.\n"
    )


def _describe_calibration(calibration: Calibration) -> str:
    """Say what divides the logits of each subset, and how errors go together."""
    rows = pd.DataFrame(calibration.temperatures.items(), columns=["subset", "temperature"])
    return (
        f"{_table(rows)}\n\nOf the variance of errors, {calibration.night_share:.2f} is common to "
        f"a night; the rest correlates by {calibration.epoch_correlation:.3f} from epoch to epoch. "
        f"Nights: {calibration.n_nights}."
    )


def _settings(values: Mapping[str, Any]) -> str:
    """List settings in Markdown."""
    return "\n".join(f"- {name}: {value}" for name, value in values.items())


def write_card(
    folder: Path,
    model: Wav2Sleep,
    training: Sequence[PreparedNight],
    validation: Sequence[PreparedNight],
    run: Mapping[str, Any],
    before: Evaluation | None,
) -> Path:
    """Write the model card.

    Parameters
    ----------
    folder : Path
        The model folder.
    model : Wav2Sleep
        The trained network.
    training, validation : sequence of PreparedNight
        What it learnt from, and what it was chosen by.
    run : mapping
        ``base`` weights, ``trainable`` parts and ``settings``.
    before : Evaluation or None
        How the weights that fine-tuning began with did on the validation nights.

    Returns
    -------
    path : Path
        ``README.md`` in the folder.
    """
    n_stages = model.config.n_classes
    after = evaluate(validation, model)
    chosen = (
        "other subjects; they decided when to stop, so that the scores below are optimistic"
        if run["settings"]["keep"] == "best"
        else "other subjects, by whom nothing was chosen"
    )
    n_parameters = sum(p.numel() for p in model.parameters())
    versions = {name: version(name) for name in _VERSIONS} | {"python": platform.python_version()}
    path = folder / "README.md"
    path.write_text(
        f"""# A wav2sleep network

Stages {n_stages} classes from {", ".join(sorted(model.config.signals))}; {n_parameters:,}
parameters. Written by mne-wav2sleep; use it with
`SleepStagerW2S(raw, weights="{folder.name}")`.

- Begun with: {run["base"] or "random weights"}
- Parts that learnt: {", ".join(run["trainable"])}

## Nights

Training:

{_describe(training, n_stages)}

Validation ({chosen}):

{_describe(validation, n_stages)}

## Agreement on the validation nights

Pooled over epochs, by dataset and by the subset of signals staged from.

{_table(after.pooled.reset_index())}
{"" if before is None else _compare(before, after)}
## Calibration

Fitted on the validation nights: what the logits of each subset of the signals are divided by.

{_describe_calibration(model.calibration)}

## Settings

{_settings(run["settings"])}

## Network

{_settings(run["config"])}

## Versions

{_settings(versions)}
""",
        encoding="utf-8",
    )
    return path
