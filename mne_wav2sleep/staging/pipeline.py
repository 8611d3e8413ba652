"""A recording through all steps, window by window, each encoder once."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..cautions import warn
from ..hypnograms.probabilities import STAGE_NAMES, find_temperatures, name_stages, to_proba
from ..modalities import EPOCH_S, MODALITIES
from ..network.backends import Subset, run_subsets
from ..network.model import Wav2Sleep
from ..progress import track
from ..recordings.opening import Recording
from ..recordings.reading import Source, fill, judge_signals, open_sources, read_signals
from ..signals.batch import make_batch
from ..signals.quality import choose_epochs, find_beats, find_doubts
from ..signals.validity import LEFT_OUT, MEASURED, REASONS, Signal, Validity
from .windows import blend, divide, join, plan_windows

_LOOKED_AT = 60
"""Epochs of a window whose beats and breaths are looked at: enough to find a channel that has none,
and few enough to cost nothing."""


@dataclass(frozen=True)
class Staged:
    """What a recording came to.

    Attributes
    ----------
    probas : dict of tuple of str to pandas.DataFrame
        Subset of the modalities -> probabilities by epoch and stage.
    availability : pandas.DataFrame, shape (n_epochs, n_modalities)
        In words, whether an epoch of a modality was measured, and if not, why.
    """

    probas: dict[Subset, pd.DataFrame]
    availability: pd.DataFrame


@dataclass(frozen=True)
class EpochSignal:
    """An epoch of a modality.

    Attributes
    ----------
    data : array, shape (n_samples,)
        Samples as recorded, in MNE's units, lost ones not filled in; fewer than an epoch's where
        the channel ends in it.
    reasons : array of int8, shape (n_samples,)
        What is to be said of each, as a position in ``REASONS``.
    sfreq : float
        Their rate in Hz.
    grid : array of float32, shape (samples_per_epoch,), or None
        The z-scored samples on the network's grid; None if the modality is not used.
    availability : str
        What is to be said of the epoch; of the grid of one that is not measured, the network's
        mixer sees nothing.
    """

    data: NDArray[np.float64]
    reasons: NDArray[np.int8]
    sfreq: float
    grid: NDArray[np.float32] | None
    availability: str


def stage_recording(
    recording: Recording,
    channels: pd.DataFrame,
    model: Wav2Sleep,
    subsets: Sequence[Subset],
    *,
    validity: Validity,
    precision: str,
) -> Staged:
    """Stage a recording from subsets of its modalities.

    Parameters
    ----------
    recording : Recording
        The opened recording.
    channels : pandas.DataFrame
        The mapping, its rates filled in.
    model : Wav2Sleep
        The network, on the device that it is to run on.
    subsets : sequence of tuple of str
        Subsets of the mapped modalities.
    validity : Validity
        What counts as measured.
    precision : str
        One of :data:`~mne_wav2sleep.network.backends.PRECISIONS`.

    Returns
    -------
    staged : Staged
        Probabilities and availability. Nothing but these is kept of a window, so that days take
        the memory of a night.

    Raises
    ------
    ValueError
        If no channel has a signal in it.
    RuntimeError
        If the network gives something that is not a number.
    """
    sources = open_sources(recording, channels)
    windows = plan_windows(recording.n_epochs)
    parts: dict[Subset, list[NDArray[np.float64]]] = {subset: [] for subset in subsets}
    availabilities = []
    beats: dict[str, list[pd.DataFrame]] = {str(modality): [] for modality in channels.index}
    for window in track(windows, "Staging", "window"):
        signals = _read_window(recording, sources, validity, window)
        for name, some in _look(signals).items():
            beats[name].append(some)
        probas, availability = _stage_window(signals, model, subsets, precision)
        for subset in subsets:
            parts[subset].append(probas[subset])
        availabilities.append(availability)
    _check_beats(beats, channels)
    availability = join(availabilities, windows)
    measured = availability == REASONS[MEASURED]
    if not measured.any(axis=None):
        names = ", ".join(map(repr, channels["channel"]))
        raise ValueError(
            f"None of the mapped channels ({names}) has a signal in it, so there is nothing to "
            "stage. Check the recording (stager.cautions says what was found), or name other "
            "channels."
        )
    stages = STAGE_NAMES[model.config.n_classes]
    named = {}
    for subset in subsets:
        proba = blend(parts[subset], windows)
        proba[~measured[list(subset)].any(axis=1)] = np.nan
        named[subset] = name_stages(proba, stages)
    return Staged(named, availability)


def _read_window(
    recording: Recording,
    sources: Sequence[Source],
    validity: Validity,
    window: tuple[int, int],
) -> dict[str, Signal]:
    """Read the signals of a window, the last one to the very end of the recording."""
    start, stop = _find_span(recording, window)
    return read_signals(recording, sources, validity, start=start, stop=stop)


def _find_span(recording: Recording, window: tuple[int, int]) -> tuple[float, float | None]:
    """Seconds from which and to which a window reaches; None for the end of the recording."""
    first, last = window
    return first * EPOCH_S, None if last == recording.n_epochs else last * EPOCH_S


def find_all_beats(
    recording: Recording, channels: pd.DataFrame, validity: Validity
) -> dict[str, pd.DataFrame]:
    """Find the beats and breaths of every measured epoch of a recording.

    Parameters
    ----------
    recording, channels, validity
        As in :func:`stage_recording`.

    Returns
    -------
    beats : dict of str to pandas.DataFrame
        Modality -> what was found, a row per epoch, NaN where it was not measured; and where it
        was (``measured``).
    """
    sources = open_sources(recording, channels)
    windows = plan_windows(recording.n_epochs)
    found: dict[str, list[pd.DataFrame]] = {str(modality): [] for modality in channels.index}
    for window in track(windows, "Looking at the waves", "window"):
        for name, signal in _read_window(recording, sources, validity, window).items():
            beats = find_beats(signal, name, choose_epochs(signal))
            beats = beats.reindex(range(signal.epochs.size))
            found[name].append(beats.assign(measured=signal.epochs == MEASURED))
    return {name: join(parts, windows) for name, parts in found.items()}


def read_epoch(
    recording: Recording, channels: pd.DataFrame, model: Wav2Sleep, validity: Validity, epoch: int
) -> dict[str, EpochSignal]:
    """Read an epoch as it was recorded, and as the network sees it.

    Parameters
    ----------
    recording, channels, model, validity
        As in :func:`stage_recording`.
    epoch : int
        Which one.

    Returns
    -------
    found : dict of str to EpochSignal
        Modality -> what there is of it, by the window that speaks for the epoch, as availability
        has it.
    """
    windows = plan_windows(recording.n_epochs)
    speaks = next(i for i, (_, end) in enumerate(divide(windows)) if epoch < end)
    start, stop = _find_span(recording, windows[speaks])
    sources = open_sources(recording, channels)
    judged = dict(judge_signals(recording, sources, validity, start=start, stop=stop))
    signals = {name: fill(one, validity) for name, one in judged.items()}
    x, _ = make_batch(signals, padded_epochs=model.config.padded_epochs)
    said = _tabulate(signals, used=x)
    epoch -= windows[speaks][0]
    found = {}
    for name, one in sorted(judged.items()):
        samples = MODALITIES[name].samples_per_epoch
        begin, end = (round((epoch + i) * EPOCH_S * one.sfreq) for i in (0, 1))
        found[name] = EpochSignal(
            one.data[begin:end],
            one.reasons[begin:end],
            one.sfreq,
            x[name][0, epoch * samples : (epoch + 1) * samples].numpy() if name in x else None,
            said.loc[epoch, name],
        )
    return found


def _look(signals: Mapping[str, Signal]) -> dict[str, pd.DataFrame]:
    """Find the beats and breaths of some epochs."""
    return {
        name: find_beats(signal, name, choose_epochs(signal, _LOOKED_AT))
        for name, signal in signals.items()
    }


def _check_beats(beats: Mapping[str, Sequence[pd.DataFrame]], channels: pd.DataFrame) -> None:
    """Warn of channels whose beats or breaths make no sense, and of hearts unlike most."""
    for name, parts in beats.items():
        for doubt in find_doubts(pd.concat(parts), name, channels["channel"][name]):
            warn(doubt)


def _tabulate(signals: Mapping[str, Signal], used: Container[str]) -> pd.DataFrame:
    """Say of each epoch in words whether it was measured."""
    words = np.array(REASONS, dtype=object)
    columns = {}
    for name in sorted(signals):
        epochs = signals[name].epochs
        if name not in used:
            epochs = np.where(epochs == MEASURED, LEFT_OUT, epochs)
        columns[name] = words[epochs]
    return pd.DataFrame(columns).rename_axis(index="Epoch")


def _stage_window(
    signals: dict[str, Signal], model: Wav2Sleep, subsets: Sequence[Subset], precision: str
) -> tuple[dict[Subset, NDArray[np.float64]], pd.DataFrame]:
    """Stage some hours: NaN where nothing was measured, and what was; empties ``signals``."""
    x, available = make_batch(signals, padded_epochs=model.config.padded_epochs)
    availability = _tabulate(signals, used=list(x))
    signals.clear()  # not needed while the network runs, and large
    measured = availability == REASONS[MEASURED]
    shape = (len(availability), model.config.n_classes)
    probas = {subset: np.full(shape, np.nan) for subset in subsets}
    used = {subset: tuple(name for name in subset if name in x) for subset in subsets}
    wanted = sorted({names for names in used.values() if names})
    logits = run_subsets(model, x, available, wanted, precision)
    for subset, names in used.items():
        if names:
            there = measured[list(names)]
            temperatures = find_temperatures(model.calibration, there)
            proba = to_proba(logits[names][0, : shape[0]], temperatures)
            probas[subset][there.any(axis=1)] = proba[there.any(axis=1)]
    return probas, availability
