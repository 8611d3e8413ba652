"""A recording through all steps, window by window, with each encoder run once per window."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import yasa
from numpy.typing import NDArray

from ..cautions import keep_cautions, warn
from ..hypnograms.probabilities import find_temperatures, name_stages, to_proba
from ..modalities import EPOCH_S, MODALITIES
from ..network import Engine, LoadedWeights, Preprocessing
from ..network.backends import Subset, list_subsets
from ..progress import track
from ..recordings import Channel, Recording
from ..recordings.reading import (
    fill_in,
    is_in_volts,
    iterate_signals,
    read_recorded,
    warn_of_slow_channels,
)
from ..signals import Reason, Validity
from ..signals.batch import make_batch
from ..signals.beats import choose_epochs, find_beats
from ..signals.quality import find_bursts, find_doubts, summarize
from ..verbosity import check_type, logger
from .inputs import Beats, find_span, prepare_inputs
from .provenance import make_provenance
from .result import EncodedWindow, StagingResult
from .windows import blend, divide, join, plan_windows


@dataclass(frozen=True)
class EpochSignal:
    """One epoch of a modality.

    Attributes
    ----------
    data : array, shape (n_samples,)
        Samples as recorded, in MNE's units, before lost ones are filled in; fewer than an epoch
        holds if the channel ends in it.
    reasons : array of int8, shape (n_samples,)
        Whether each was measured, or why not, as a value of :class:`~mne_wav2sleep.signals.Reason`.
    sfreq : float
        Their rate in Hz.
    channel : str
        Name of the channel, or of the pair, as figures show it.
    in_volts : bool
        Whether the samples are known to be in volts.
    grid : array of float32, shape (samples_per_epoch,), or None
        z-scored samples on the network's grid; None if the modality is not used.
    availability : str
        Whether the epoch was measured, or why not, in words. The network's mixer ignores the
        grid of an epoch that was not measured.
    """

    data: NDArray[np.float64]
    reasons: NDArray[np.int8]
    sfreq: float
    channel: str
    in_volts: bool
    grid: NDArray[np.float32] | None
    availability: str


def stage_recording(
    recording: Recording,
    channels: Sequence[Channel],
    weights: LoadedWeights,
    engine: Engine,
    validity: Validity,
) -> StagingResult:
    """Stage a recording from all of its mapped modalities.

    Parameters
    ----------
    recording : Recording
        The opened recording.
    channels : sequence of Channel
        The mapping, with its rates.
    weights : LoadedWeights
        The weights.
    engine : Engine
        What runs their network.
    validity : Validity
        What counts as measured.

    Returns
    -------
    result : StagingResult
        Probabilities, availability and provenance. Samples are not kept: memory does not grow with
        the length of the recording beyond one window and the features.

    Raises
    ------
    ValueError
        If no channel has a signal in it.
    RuntimeError
        If the network gives NaN.
    """
    warn_of_slow_channels(channels)
    windows = plan_windows(recording.n_epochs)
    encoded, parts = [], []
    beats: dict[str, list[pd.DataFrame]] = {channel.modality: [] for channel in channels}
    bursts: dict[str, list[NDArray[np.float64]]] = {channel.modality: [] for channel in channels}
    hum: dict[str, list[float]] = {channel.modality: [] for channel in channels}
    for window in track(windows, "Staging", "window"):
        reasons, features, available = {}, {}, {}
        for one in prepare_inputs(recording, channels, validity, weights, engine, window):
            if isinstance(one, Beats):
                beats[one.name].append(one.table)
                continue
            bursts[one.name].append(one.bursts)
            hum[one.name] = sorted({*hum[one.name], *one.hum})
            reasons[one.name] = one.epochs
            available.update(one.available)
            features.update(engine.encode(one.x) if one.x else {})
        parts.append(_tabulate(reasons, used=features))
        measured = parts[-1] == Reason.MEASURED.label
        encoded.append(EncodedWindow(features, available, measured))
    availability = join(parts, windows)
    quality = {}
    for channel in channels:
        name = channel.modality
        found, spans = pd.concat(beats[name]), np.concatenate(bursts[name])
        for doubt in find_doubts(found, name, channel.name, spans):
            warn(doubt)
        quality[name] = summarize(found.assign(measured=np.nan, bursts=np.nan)) | {
            "valid": float((availability[name] == Reason.MEASURED.label).mean()),
            "bursts": float(pd.Series(spans).mean()),
        }
    measured = availability == Reason.MEASURED.label
    _check_measured(measured, channels)
    everything = tuple(channel.modality for channel in channels)
    proba = _stage(encoded, windows, measured, weights, engine, [everything])[everything]
    parameters = _describe_parameters(weights, engine, validity) | {"hum_removed_hz": hum}
    return StagingResult(
        proba=proba,
        start=recording.start,
        scorer=weights.scorer,
        availability=availability,
        quality=pd.DataFrame.from_dict(quality, orient="index").rename_axis(index="modality"),
        windows=tuple(windows),
        encoded=tuple(encoded),
        provenance=make_provenance(recording, channels, availability, weights, parameters),
    )


def _describe_parameters(
    weights: LoadedWeights, engine: Engine, validity: Validity
) -> dict[str, Any]:
    """Describe how a recording is staged, ready for JSON."""
    return {
        "device": str(engine.device),
        "precision": engine.precision,
        # What torch makes of float32 in matrix products, which users may lower for all programs.
        "matmul_precision": torch.get_float32_matmul_precision(),
        "validity": asdict(validity),
        "calibration": asdict(weights.calibration),
        "preprocessing": asdict(weights.preprocessing),
    }


def stage_subsets(
    result: StagingResult, weights: LoadedWeights, engine: Engine
) -> dict[Subset, yasa.Hypnogram]:
    """Stage every subset of the modalities, without running an encoder again.

    Parameters
    ----------
    result : StagingResult
        What staging the recording gave.
    weights : LoadedWeights
        The weights with which it was staged.
    engine : Engine
        What runs their network.

    Returns
    -------
    hypnograms : dict of tuple of str to yasa.Hypnogram
        Subset of the modalities that were measured in any epoch -> its stages, the smallest subset
        first and all of them last.
    """
    measured = result.measured
    subsets = list_subsets([name for name in measured if measured[name].any()])
    probas = _stage(result.encoded, result.windows, measured, weights, engine, subsets)
    return {subset: result.make_hypnogram(proba) for subset, proba in probas.items()}


def find_all_beats(
    recording: Recording, channels: Sequence[Channel], validity: Validity
) -> dict[str, pd.DataFrame]:
    """Find the beats and breaths of every measured epoch of a recording.

    Parameters
    ----------
    recording, channels, validity
        As in :func:`stage_recording`.

    Returns
    -------
    beats : dict of str to pandas.DataFrame
        Modality -> one row per epoch, NaN if it was not measured, with the columns of
        :func:`~mne_wav2sleep.signals.beats.find_beats`, ``measured`` and ``bursts``.
    """
    windows = plan_windows(recording.n_epochs)
    found: dict[str, list[pd.DataFrame]] = {channel.modality: [] for channel in channels}
    for window in track(windows, "Finding beats", "window"):
        start, stop = find_span(recording, window)
        signals = iterate_signals(recording, channels, validity, start=start, stop=stop)
        for name, signal in signals:
            beats = find_beats(signal, name, choose_epochs(signal))
            beats = beats.reindex(range(signal.epochs.size))
            measured, bursts = signal.epochs == Reason.MEASURED, find_bursts(signal, name)
            found[name].append(beats.assign(measured=measured, bursts=bursts))
    if without := [name for name in found if MODALITIES[name].wave is None]:
        logger.info(
            f"{' and '.join(without)} {'have' if len(without) > 1 else 'has'} no beats, pulses or "
            "breaths, so that there is no rate, and nothing by which quality could be measured."
        )
    return {name: join(parts, windows) for name, parts in found.items()}


def read_epoch(
    recording: Recording,
    channels: Sequence[Channel],
    preprocessing: Preprocessing,
    validity: Validity,
    epoch: int,
) -> dict[str, EpochSignal]:
    """Read an epoch as it was recorded, and as the network sees it.

    Parameters
    ----------
    recording, channels, validity
        As in :func:`stage_recording`.
    preprocessing : Preprocessing
        How the weights want signals prepared.
    epoch : int
        Number of the epoch, from 0.

    Returns
    -------
    signals : dict of str to EpochSignal
        Modality -> the epoch in the window that decides its availability. No warning is given
        about the samples, since staging does so.

    Raises
    ------
    TypeError
        If the number is not an integer.
    IndexError
        If the recording has no such epoch.
    """
    check_type(epoch, "int-like", "epoch")
    if not 0 <= epoch < recording.n_epochs:
        raise IndexError(
            f"There is no epoch {epoch}; the recording has {recording.n_epochs}, from 0 on."
        )
    windows = plan_windows(recording.n_epochs)
    number = next(i for i, (_, end) in enumerate(divide(windows)) if epoch < end)
    start, stop = find_span(recording, windows[number])
    with keep_cautions([], show=False):
        recorded = dict(read_recorded(recording, channels, validity, start=start, stop=stop))
        signals = {name: fill_in(one, validity) for name, one in recorded.items()}
        x, _ = make_batch(signals, **asdict(preprocessing))
    reasons = {name: signal.epochs for name, signal in signals.items()}
    availability = _tabulate(reasons, used=x)
    epoch -= windows[number][0]
    found = {}
    for channel in sorted(channels, key=lambda one: one.modality):
        name = channel.modality
        one, samples = recorded[name], MODALITIES[name].samples_per_epoch
        begin, end = (round((epoch + i) * EPOCH_S * one.sfreq) for i in (0, 1))
        found[name] = EpochSignal(
            data=one.data[begin:end].astype(np.float64),
            reasons=one.reasons[begin:end],
            sfreq=one.sfreq,
            channel=channel.label,
            in_volts=is_in_volts(recording.raw, channel),
            grid=x[name][0, epoch * samples : (epoch + 1) * samples] if name in x else None,
            availability=availability.loc[epoch, name],
        )
    return found


def _tabulate(reasons: Mapping[str, NDArray[np.int8]], used: Container[str]) -> pd.DataFrame:
    """Put into words whether each epoch of each modality was measured, or why not."""
    words = np.array([reason.label for reason in Reason], dtype=object)
    columns = {}
    for name in sorted(reasons):
        epochs = reasons[name]
        if name not in used:
            epochs = np.where(epochs == Reason.MEASURED, Reason.LEFT_OUT, epochs)
        columns[name] = words[epochs]
    return pd.DataFrame(columns).rename_axis(index="Epoch")


def _check_measured(measured: pd.DataFrame, channels: Sequence[Channel]) -> None:
    """Refuse a recording in which nothing was measured."""
    if not measured.any(axis=None):
        names = ", ".join(repr(channel.name) for channel in channels)
        raise ValueError(
            f"None of the mapped channels ({names}) has a signal in it, so there is nothing to "
            "stage. Check the recording (stager.cautions lists what was found), or name other "
            "channels."
        )


def _stage(
    encoded: Sequence[EncodedWindow],
    windows: Sequence[tuple[int, int]],
    measured: pd.DataFrame,
    weights: LoadedWeights,
    engine: Engine,
    subsets: Sequence[Subset],
) -> dict[Subset, pd.DataFrame]:
    """Compute the probabilities of subsets in each window, and blend the windows."""
    parts = [_stage_window(window, weights, engine, subsets) for window in encoded]
    named = {}
    for subset in subsets:
        proba = blend([part[subset] for part in parts], windows)
        proba[~measured[list(subset)].any(axis=1)] = np.nan
        named[subset] = name_stages(proba, weights.stage_names)
    return named


def _stage_window(
    window: EncodedWindow, weights: LoadedWeights, engine: Engine, subsets: Sequence[Subset]
) -> dict[Subset, NDArray[np.float64]]:
    """Compute the probabilities of subsets in a window, NaN where nothing was measured."""
    n_epochs = len(window.measured)
    used = {subset: tuple(name for name in subset if name in window.features) for subset in subsets}
    wanted = sorted({names for names in used.values() if names})
    logits = engine.mix(window.features, window.available, wanted) if wanted else {}
    probas = {}
    for subset, names in used.items():
        probas[subset] = np.full((n_epochs, len(weights.stage_names)), np.nan)
        if names:
            measured = window.measured[list(names)]
            temperatures = find_temperatures(weights.calibration, measured)
            proba = to_proba(logits[names][0, :n_epochs], temperatures)
            probas[subset][measured.any(axis=1)] = proba[measured.any(axis=1)]
    return probas
