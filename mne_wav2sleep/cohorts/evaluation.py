"""How well weights stage nights that somebody scored, for every subset of the signals."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yasa
from numpy.typing import NDArray

from ..cautions import warn
from ..hypnograms.probabilities import STAGE_NAMES, allow_absent_stages
from ..network.backends import Subset, all_subsets, run_subsets
from ..network.model import Wav2Sleep
from ..network.registry import load_model
from ..progress import show_bars, track
from .batches import collate, read_item
from .nights import PreparedNight


@dataclass(frozen=True)
class Evaluation:
    """Agreement between weights and scorers, as YASA computes it.

    Attributes
    ----------
    pooled : pandas.DataFrame
        One row per ``dataset`` and ``subset`` of the signals, all epochs of all nights together:
        ``nights``, ``subjects``, ``epochs``, ``staged`` (%: the others were not measured, and do
        not count in what follows), ``kappa``, ``accuracy`` (%), and the F1 (%) of each stage.
    by_night : pandas.DataFrame
        One row per ``dataset``, ``subset`` and ``night``: ``subject``, ``kappa``, ``accuracy`` (%).
    confusion : dict
        (dataset, subset) -> DataFrame of epochs, a row for each stage of the scorer's.
    """

    pooled: pd.DataFrame
    by_night: pd.DataFrame
    confusion: dict[tuple[str, str], pd.DataFrame]


@dataclass(frozen=True)
class Said:
    """What a network says of a night from a subset of its signals.

    Attributes
    ----------
    logits : array, shape (n_epochs, n_stages)
        Its output.
    measured : pandas.DataFrame of bool, shape (n_epochs, n_signals)
        Where each signal of the subset was measured.
    """

    logits: NDArray[np.float32]
    measured: pd.DataFrame


def run_night(
    model: Wav2Sleep, night: PreparedNight, wanted: Sequence[Subset] | str
) -> dict[Subset, Said]:
    """Run a network on each subset of a night's signals; every encoder runs once."""
    config = model.config
    night.check(sorted(config.signals), config.n_classes)
    names = sorted(set(config.signals) & set(night.modalities))
    length = max(night.n_epochs, config.padded_epochs)
    batch = collate([read_item(night, names, config.n_classes, length=length)])
    present = sorted(batch["x"])
    if isinstance(wanted, str):
        subsets = all_subsets(present) if wanted == "all" else [tuple(present)]
    else:
        subsets = [tuple(sorted(s)) for s in wanted if set(s) <= set(present)]
    there = {name: mask[0, : night.n_epochs].numpy() for name, mask in batch["available"].items()}
    with show_bars(False):  # nights have a bar
        found = run_subsets(model, batch["x"], batch["available"], subsets, "float32")
    return {
        subset: Said(
            logits_BSC[0, : night.n_epochs].float().cpu().numpy(),
            pd.DataFrame({name: there[name] for name in subset}),
        )
        for subset, logits_BSC in found.items()
    }


def _agree(
    nights: Sequence[PreparedNight],
    scored: Sequence[yasa.Hypnogram],
    staged: Sequence[yasa.Hypnogram],
) -> tuple[dict[str, float], pd.DataFrame, pd.DataFrame]:
    """Agreement of all nights together, of each, and the confusion matrix."""
    names = [night.path.stem for night in nights]
    agreement = yasa.EpochByEpochAgreement(
        dict(zip(names, scored, strict=True)), dict(zip(names, staged, strict=True))
    )
    by_night = agreement.get_agreement()
    if isinstance(by_night, pd.Series):  # YASA's answer for a single night
        by_night = by_night.to_frame(names[0]).T
    by_night = by_night[["kappa", "accuracy"]].rename_axis("night").reset_index()
    by_night.insert(1, "subject", [night.subject for night in nights])
    together = yasa.EpochByEpochAgreement(*([_join(hyps)] for hyps in (scored, staged)))
    pooled = agreement.get_agreement(pooled=True)
    f1 = together.get_agreement_bystage()["fbeta"]
    row = {
        "nights": len(nights),
        "subjects": len({night.subject for night in nights}),
        "epochs": len(agreement.data),
        "staged": 100 * len(agreement.data) / sum((hyp.hypno != "UNS").sum() for hyp in scored),
        "kappa": pooled["kappa"],
        "accuracy": pooled["accuracy"],
        **{f"F1 {stage}": value for stage, value in f1.items()},
    }
    return row, by_night, together.get_confusion_matrix()


def _join(hyps: Sequence[yasa.Hypnogram]) -> yasa.Hypnogram:
    """Put nights end to end, for scores of all epochs together."""
    stages = [stage for hyp in hyps for stage in hyp.hypno]
    return yasa.Hypnogram(stages, n_stages=hyps[0].n_stages, scorer=hyps[0].scorer)


def evaluate(
    nights: Sequence[PreparedNight],
    weights: str | Path | Wav2Sleep,
    *,
    subsets: Sequence[Subset] | str = "all",
    n_stages: int | None = None,
    device: str = "cpu",
) -> Evaluation:
    """Compare weights with the stages that somebody scored.

    Parameters
    ----------
    nights : sequence of PreparedNight
        The nights, from :func:`~mne_wav2sleep.training.prepare_nights`; none that the weights have
        learnt from.
    weights : str, Path or Wav2Sleep
        Name of weights, a model folder, or a network.
    subsets : sequence of tuple of str, or str
        The subsets of the signals to stage from, each on the nights that have all of it; or
        ``"all"``, every one, or ``"recorded"``, all that a night has.
    n_stages : int or None
        Fold the stages to 3 (Wake, NREM, REM) or 2 (Wake, Sleep) for the comparison; None for
        those of the network.
    device : str
        Where the network runs.

    Returns
    -------
    evaluation : Evaluation
        Agreement by dataset and subset.

    Raises
    ------
    ValueError
        If there is nothing to compare.
    """
    model = weights if isinstance(weights, Wav2Sleep) else load_model(weights)
    model = model.eval().to(device)
    config = model.config
    found: dict[tuple[str, str], list[tuple[PreparedNight, yasa.Hypnogram, yasa.Hypnogram]]] = {}
    known = np.array(STAGE_NAMES[config.n_classes], dtype=object)
    for night in track(nights, "Evaluating", "night"):
        scored = night.read_hypnogram(config.n_classes)
        for names, said in run_night(model, night, subsets).items():
            subset = "+".join(names)
            stages = np.where(said.measured.any(axis=1), known[said.logits.argmax(-1)], "UNS")
            staged = yasa.Hypnogram(stages, n_stages=config.n_classes, scorer="wav2sleep")
            if not ((scored.hypno != "UNS") & (staged.hypno != "UNS")).any():
                warn(
                    f"{night.name} is left out for {subset}: in the epochs that were scored, "
                    "nothing was measured."
                )
                continue
            pair = (scored, staged)
            if n_stages is not None and n_stages != config.n_classes:
                pair = tuple(hyp.consolidate_stages(n_stages) for hyp in pair)
            found.setdefault((night.dataset, subset), []).append((night, *pair))
    if not found:
        raise ValueError(
            f"There is nothing to evaluate: {len(nights)} nights, none with all signals of one of "
            f"the subsets {subsets!r}. Give other subsets, or other nights."
        )
    pooled, by_night, confusion = {}, {}, {}
    with allow_absent_stages():
        for key, triples in found.items():
            pooled[key], by_night[key], confusion[key] = _agree(*zip(*triples, strict=True))
    return Evaluation(
        pd.DataFrame.from_dict(pooled, orient="index").rename_axis(["dataset", "subset"]),
        pd.concat(by_night, names=["dataset", "subset"]).droplevel(-1).reset_index(),
        confusion,
    )
