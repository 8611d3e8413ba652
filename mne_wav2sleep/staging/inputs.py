"""Prepare the channels of a window for the network, while it encodes others."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..modalities import EPOCH_S
from ..network import Engine, LoadedWeights, Preprocessing
from ..recordings import Channel, Recording
from ..recordings.reading import group_channels, iterate_signals
from ..signals import Signal, Validity
from ..signals.batch import make_batch
from ..signals.beats import choose_epochs, cut_out, describe
from ..signals.quality import find_bursts
from .ahead import compute_ahead

_N_INSPECTED = 60
"""Epochs of a window in which beats and breaths are searched while staging: enough to notice a
channel without any, and few enough to add no noticeable time."""

_N_READ_AT_ONCE = 2
"""Channels that are read at once at most: more would take more memory."""


@dataclass(frozen=True)
class Input:
    """A modality in a window, prepared for the network.

    Attributes
    ----------
    name : str
        The modality.
    epochs : array of int8, shape (n_epochs,)
        Whether each epoch was measured, or why not, as a value of
        :class:`~mne_wav2sleep.signals.Reason`.
    x, available : dict
        What the network reads, from :func:`~mne_wav2sleep.signals.batch.make_batch`; empty if it
        reads nothing.
    bursts : array, shape (n_epochs,)
        What :func:`~mne_wav2sleep.signals.quality.find_bursts` has found in it.
    hum : tuple of float
        Frequencies in Hz at which hum was removed.
    """

    name: str
    epochs: NDArray[np.int8]
    x: dict[str, NDArray[np.float32]]
    available: dict[str, NDArray[np.bool_]]
    bursts: NDArray[np.float64]
    hum: tuple[float, ...]


@dataclass(frozen=True)
class Beats:
    """The beats or breaths of a modality in a window.

    Attributes
    ----------
    name : str
        The modality.
    table : pandas.DataFrame
        What :func:`~mne_wav2sleep.signals.beats.find_beats` has found in some of its epochs.
    """

    name: str
    table: pd.DataFrame


def find_span(recording: Recording, window: tuple[int, int]) -> tuple[float, float | None]:
    """Find the seconds that a window spans; None for the end of the recording."""
    first, last = window
    return first * EPOCH_S, None if last == recording.n_epochs else last * EPOCH_S


def prepare_inputs(
    recording: Recording,
    channels: Sequence[Channel],
    validity: Validity,
    weights: LoadedWeights,
    engine: Engine,
    window: tuple[int, int],
) -> Iterator[Input | Beats]:
    """Prepare the mapped channels in a window, each while the engine encodes the one before it.

    Parameters
    ----------
    recording, channels, weights, engine, validity
        As in :func:`~mne_wav2sleep.staging.pipeline.stage_recording`.
    window : tuple of int
        The first epoch, and the one after the last.

    Yields
    ------
    found : Input or Beats
        Each modality, and after it, its beats or breaths, which nothing waits for.
    """
    start, stop = find_span(recording, window)

    def prepare(group: Sequence[Channel]) -> Iterator[Input | Beats]:
        """Prepare channels one by one, as a night of one has 60 MB and more."""
        for one in iterate_signals(recording, group, validity, start=start, stop=stop):
            prepared = _prepare(*one, weights.preprocessing)
            del one  # a night of samples, which is not needed for long
            yield from prepared

    groups = group_channels(recording.reader, channels)
    tasks = [partial(prepare, group) for group in groups]
    if not engine.n_spare_threads:
        yield from chain.from_iterable(task() for task in tasks)
        return
    # Readers of MNE may share what they read from.
    at_once = _N_READ_AT_ONCE if recording.reader.is_by_channel else 1
    n_threads = min(engine.n_spare_threads, at_once)
    with compute_ahead(tasks, n_threads) as results:
        engine.warm_up()
        yield from results


def _prepare(name: str, signal: Signal, preprocessing: Preprocessing) -> Iterator[Input | Beats]:
    """Prepare a modality for the network, and look at some of its beats or breaths."""
    x, available = make_batch({name: signal}, **asdict(preprocessing))
    excerpts = cut_out(signal, name, choose_epochs(signal, _N_INSPECTED))
    bursts, epochs, hum = find_bursts(signal, name), signal.epochs, signal.hum
    found = [Input(name, epochs, x, available, bursts, hum)]
    del signal, x, available  # this generator waits while the network reads them
    yield found.pop()
    yield Beats(name, describe(excerpts))
