"""Agreement of weights with a human scorer, for every subset of the signals."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yasa
from numpy.typing import NDArray

from ..cautions import warn
from ..hypnograms.agreement import allow_absent_stages
from ..hypnograms.folding import check_n_stages, fold_hypnogram
from ..hypnograms.probabilities import find_temperatures, name_stages, to_hypnogram, to_proba
from ..network import Engine, LoadedWeights, load_weights
from ..network.backends import Subset, list_subsets
from ..progress import show_bars, track
from ..staging.windows import blend, join, plan_windows
from ..verbosity import Verbosity, check_option, verbose
from .batches import collate, read_item
from .comparison.pairs import (
    Pair,
    compute_sleep_stats,
    count_confusion,
    list_stages,
    name_f1,
    pool_pairs,
    score_nights,
)
from .identity import warn_of_seen
from .nights import Night, PreparedNight
from .preparing import open_prepared


@dataclass(frozen=True)
class Evaluation:
    """Agreement between weights and a human scorer, as YASA computes it.

    Attributes
    ----------
    pooled : pandas.DataFrame
        One row per ``dataset`` and ``subset`` of the signals, all epochs of all nights together:
        ``nights``, ``subjects``, ``epochs``, ``staged`` (% of the scored epochs; the others were
        not measured and are excluded), ``kappa``, ``accuracy`` (%), and the F1 (%) of each stage.
    by_night : pandas.DataFrame
        One row per ``dataset``, ``subset`` and ``night`` (its number among the nights, sorted by
        dataset and subject): ``subject``, ``recording`` (name of its file), ``epochs``, ``kappa``,
        ``accuracy`` (%), and the F1 (%) of each stage, NaN if it occurs neither in the scorer's
        stages nor in the network's.
    confusion : dict
        (dataset, subset) -> DataFrame with the number of epochs of each stage by the scorer (rows)
        and by the network (columns).
    confusion_by_night : pandas.DataFrame
        The same for each night: one row per ``dataset``, ``subset``, ``night`` and ``scored``
        stage, and a column for each stage of the network.
    cautions : tuple of str
        Warnings: how many of the nights the weights know from training.
    sleep_stats : pandas.DataFrame
        YASA's sleep statistics: one row per ``dataset``, ``subset``, ``scorer`` (``scored`` by the
        scorer, and ``staged`` by the network) and ``night``, from the epochs that have a stage of
        both. Those of a dataset and subset, ``sleep_stats.loc["cohort", "ECG"]``, are what
        :class:`yasa.SleepStatsAgreement` takes, for bias and limits of agreement.
    """

    pooled: pd.DataFrame
    by_night: pd.DataFrame
    confusion: dict[tuple[str, str], pd.DataFrame]
    confusion_by_night: pd.DataFrame
    cautions: tuple[str, ...] = ()
    sleep_stats: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __repr__(self) -> str:
        table = self.pooled[["nights", "epochs", "kappa", "accuracy"]].round(3)
        return f"<Evaluation |\n{table.to_string()}>"


@dataclass(frozen=True)
class NightOutput:
    """Output of a network for a night, from a subset of its signals.

    Attributes
    ----------
    logits : array, shape (n_epochs, n_stages)
        Unnormalized log-probabilities of the stages; of a recording that is staged in windows,
        those of the blended probabilities.
    measured : pandas.DataFrame of bool, shape (n_epochs, n_modalities)
        Where each modality of the subset was measured.
    """

    logits: NDArray[np.float32]
    measured: pd.DataFrame


def run_night(
    weights: LoadedWeights,
    engine: Engine,
    night: PreparedNight,
    subsets: Sequence[Subset] | str,
) -> dict[Subset, NightOutput]:
    """Run a network on subsets of a night's signals; each encoder runs once.

    Parameters
    ----------
    weights : LoadedWeights
        The weights.
    engine : Engine
        Runs their network.
    night : PreparedNight
        The night.
    subsets : sequence of tuple of str, or str
        As in :func:`evaluate`.

    Returns
    -------
    outputs : dict of tuple of str to NightOutput
        Subset -> output of the network; subsets that the night does not have are left out.
    """
    n_stages = len(weights.stage_names)
    night.check(weights.modalities, n_stages)
    names = sorted(set(weights.modalities) & set(night.modalities))
    if isinstance(subsets, str):
        wanted = list_subsets(names) if subsets == "all" else [tuple(names)]
    else:
        wanted = [tuple(sorted(s)) for s in subsets if set(s) <= set(names)]
    windows = plan_windows(night.n_epochs)
    found: dict[Subset, list[NDArray[np.float32]]] = {subset: [] for subset in wanted}
    measured: list[pd.DataFrame] = []
    for first, last in windows:
        length = max(last - first, weights.preprocessing.padded_epochs)
        options: dict[str, Any] = {"refill": len(windows) > 1}
        options |= {"first": first, "last": last, "length": length}
        options |= {"padding": weights.preprocessing.padding}
        with torch.device("cpu"):  # whatever a user's default device is
            item = read_item(night, names, n_stages, **options)
            batch = collate([item])
        masks = {n: mask[0, : last - first].numpy() for n, mask in batch["available"].items()}
        measured.append(pd.DataFrame(masks))
        with show_bars(False):  # the loop over nights has one
            logits = engine.mix(engine.encode(batch["x"]), batch["available"], wanted)
        for subset, logits_BSC in logits.items():
            found[subset].append(logits_BSC[0, : last - first].float().numpy())
    whole = join(measured, windows)
    outputs = {}
    for subset, parts in found.items():
        temperatures = find_temperatures(weights.calibration, whole[list(subset)])
        logits_SC = _blend_logits(parts, windows, temperatures)
        outputs[subset] = NightOutput(logits_SC, whole[list(subset)])
    return outputs


def _blend_logits(
    parts: Sequence[NDArray[np.float32]],
    windows: Sequence[tuple[int, int]],
    temperatures: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Find the logits whose probabilities are those of the windows, blended as in staging."""
    if len(parts) == 1:
        return parts[0]
    probas = [
        to_proba(torch.from_numpy(part), temperatures[first:last])
        for part, (first, last) in zip(parts, windows, strict=True)
    ]
    smallest = np.finfo(np.float64).tiny
    blended = np.maximum(blend(probas, windows), smallest)
    return (np.log(blended) * temperatures).astype(np.float32)


def _compute_pooled(
    pairs: Sequence[Pair], n_subjects: int
) -> tuple[dict[str, float], pd.DataFrame]:
    """Compute the agreement of all nights together, and the confusion matrix."""
    together = pool_pairs(pairs)
    pooled = together.get_agreement()
    n_scored = sum((one.reference.hypno != "UNS").sum() for one in pairs)
    row = {
        "nights": len(pairs),
        "subjects": n_subjects,
        "epochs": len(together.data),
        "staged": 100 * len(together.data) / n_scored,
        "kappa": pooled["kappa"],
        "accuracy": pooled["accuracy"],
        **name_f1(together.get_agreement_bystage()["fbeta"]),
    }
    return row, count_confusion(together, list_stages(pairs))


@verbose
def evaluate(
    nights: Sequence[Night | PreparedNight],
    weights: str | Path | LoadedWeights,
    *,
    subsets: Sequence[Subset] | str = "all",
    n_stages: int | None = None,
    cache: str | Path | None = None,
    n_jobs: int = 1,
    device: str | torch.device = "auto",
    verbose: Verbosity = None,
) -> Evaluation:
    """Measure the agreement of weights with a human scorer.

    Parameters
    ----------
    nights : sequence of Night or PreparedNight
        Scored nights that the weights were not trained on.
    weights : str, Path or LoadedWeights
        Name of weights, a model folder, or loaded weights.
    subsets : sequence of tuple of str, or str
        Subsets of the signals to stage from, each on the nights that have all of its signals;
        ``"all"`` for every subset, or ``"recorded"`` for all signals that a night has.
    n_stages : int or None
        Number of stages to compare: 4 (WAKE, LIGHT, DEEP, REM), 3 (WAKE, NREM, REM) or 2 (WAKE,
        SLEEP) fold those of the network as :func:`~mne_wav2sleep.fold_hypnogram` does; None
        compares them as they are.
    cache : str, Path or None
        Where to keep nights that are prepared here; None for a temporary folder.
    n_jobs : int
        Number of nights prepared in parallel, as in :func:`~mne_wav2sleep.cohorts.prepare_nights`.
    device : str or torch.device
        As in :class:`~mne_wav2sleep.SleepStagerW2S`.
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    evaluation : Evaluation
        Agreement for each dataset and subset.

    Raises
    ------
    TypeError
        If ``nights`` is not a sequence of nights, or ``n_stages`` not an integer.
    ValueError
        If ``n_stages`` is less than 2, or more than the network has, no night has a subset with all
        of its signals, a night is given twice, or a night cannot be used.

    See Also
    --------
    prepare_nights : Prepare nights once, for several evaluations.

    Examples
    --------
    A simulated hour, with its true stages and the bundled weights:

    >>> from mne_wav2sleep import simulate_night
    >>> raw = simulate_night(duration=3600, modalities=["ECG", "THX"], seed=0, verbose="error")
    >>> night = Night(raw, None, subject="simulated")
    >>> found = evaluate([night], "mini", subsets=[("ECG",)], verbose="error")
    >>> found.pooled[["nights", "epochs"]].to_dict("records")
    [{'nights': 1, 'epochs': 120}]
    """
    if isinstance(subsets, str):
        check_option("subsets", subsets, ["all", "recorded"])
    loaded = load_weights(weights)
    if n_stages is not None:
        check_n_stages(n_stages, len(loaded.stage_names))
    engine = Engine(loaded.network, device)
    found: dict[tuple[str, str], list[Pair]] = {}
    people: dict[tuple[str, str], set[tuple[str, str]]] = {}
    with open_prepared(nights, cache, n_jobs, loaded.modalities) as prepared:
        cautions = warn_of_seen(prepared, loaded)
        for number, night in enumerate(
            track(prepared, "Evaluating", "night", is_long=True), start=1
        ):
            staged = _stage_night(night, loaded, engine, subsets, n_stages)
            for subset, pair in staged.items():
                facts = {"night": number, "subject": night.subject, "recording": night.recording}
                found.setdefault((night.dataset, subset), []).append(Pair(facts, *pair))
                people.setdefault((night.dataset, subset), set()).add(night.person)
        if not found:
            raise ValueError(
                f"There is nothing to evaluate: none of the {len(prepared)} nights has all signals "
                f"of a subset in {subsets!r}. Give other subsets, or other nights."
                if prepared
                else "There is nothing to evaluate, because no night was given, or none of them "
                "can be used. Give other nights."
            )
    pooled, confusion, by_night, matrices, sleep_stats = {}, {}, {}, {}, {}
    with allow_absent_stages():
        # The smallest subset first.
        for key in sorted(found, key=lambda one: (one[0], one[1].count("+"), one[1])):
            pooled[key], confusion[key] = _compute_pooled(found[key], len(people[key]))
            by_night[key], matrices[key] = score_nights(found[key])
            sleep_stats[key] = compute_sleep_stats(found[key])
    names = ["dataset", "subset"]
    return Evaluation(
        pd.DataFrame.from_dict(pooled, orient="index").rename_axis(names),
        pd.concat(by_night, names=names).droplevel(-1).reset_index(),
        confusion,
        pd.concat(matrices, names=names),
        cautions,
        pd.concat(sleep_stats, names=names),
    )


def _stage_night(
    night: PreparedNight,
    weights: LoadedWeights,
    engine: Engine,
    subsets: Sequence[Subset] | str,
    n_folded: int | None,
) -> dict[str, tuple[yasa.Hypnogram, yasa.Hypnogram]]:
    """Stage a night from subsets of its signals; give the scorer's and the network's stages."""
    n_stages = len(weights.stage_names)
    names = np.array(weights.stage_names, dtype=object)
    scored = fold_hypnogram(night.read_hypnogram(n_stages), n_folded or n_stages)
    pairs = {}
    for modalities, output in run_night(weights, engine, night, subsets).items():
        subset = "+".join(modalities)
        if n_folded is None or n_folded == n_stages:
            stages = np.where(output.measured.any(axis=1), names[output.logits.argmax(-1)], "UNS")
            staged = yasa.Hypnogram(stages, n_stages=n_stages, scorer=weights.scorer)
        else:
            staged = fold_hypnogram(_make_hypnogram(output, weights), n_folded)
        if not ((scored.hypno != "UNS") & (staged.hypno != "UNS")).any():
            warn(
                f"{night.name} is left out for {subset}, since none of it was measured in the "
                "scored epochs. Check the recording and its hypnogram."
            )
            continue
        pairs[subset] = (scored, staged)
    return pairs


def _make_hypnogram(output: NightOutput, weights: LoadedWeights) -> yasa.Hypnogram:
    """Make the hypnogram of a network's output, with its probabilities."""
    temperatures = find_temperatures(weights.calibration, output.measured)
    proba = to_proba(torch.from_numpy(output.logits), temperatures)
    proba[~output.measured.any(axis=1)] = np.nan
    return to_hypnogram(name_stages(proba, weights.stage_names), None, weights.scorer)
