"""Sleep staging from heart and breathing, in one class."""

import copy
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd
import torch
import yasa
from mne.utils import _pl, _validate_type, logger, use_log_level, verbose, warn
from numpy.typing import NDArray

from .audit import Audit, compare_subsets
from .channels import ChannelName, match_channels
from .hypnogram import STAGE_NAMES, name_stages, to_hypnogram, to_proba
from .inference import PRECISIONS, Subset, all_subsets, choose_device, run_subsets
from .modalities import EPOCH_S
from .provenance import make_provenance
from .reading import Source, open_sources, read_signals
from .recording import find_rates, open_recording
from .signals import LEFT_OUT, MEASURED, REASONS, Signal, Validity
from .tensors import make_batch
from .weights import REGISTRY, hash_weights, load_model
from .windows import LONGEST, blend, join, plan_windows

_SHORT = 120
"""Epochs, 1 h, under which a recording warns. No source says what is too short; an hour holds no
whole sleep cycle, and is a tenth of what the network always saw."""


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


class SleepStagerW2S:
    """Stage sleep from ECG, PPG and respiratory belts with wav2sleep.

    Parameters
    ----------
    raw : mne.io.BaseRaw or path-like
        A Raw, or a file of any format that :func:`mne.io.read_raw` reads. A path is the better way
        for EDF and BDF: each channel is read at its own recorded rate. GDF, whose channels may
        differ as well, is read at the highest of their rates.
    ecg_name : str, (str, str) or None
        Channel that carries the ECG, a pair of them whose difference is used, ``"auto"``, or None
        to leave it out. A channel named here or below is no longer taken for another modality.
    ppg_name, abd_name, thx_name : str or None
        The same for the pulse wave and the two belts, without pairs.
    eog_l_name, eog_r_name : str or None
        The same for weights that read the EOG.
    weights : str or Path
        Name of weights (see :func:`~mne_wav2sleep.list_weights`), or a model folder.
    validity : Validity or None
        What counts as measured. Epochs in which a channel is mostly not finite, annotated ``BAD``,
        flat, saturated or not recorded are masked, for that channel; what is lost of others is
        filled in with the mean. None for ``Validity()``.
    device : str or torch.device
        ``"auto"`` takes CUDA, then MPS, then the CPU.
    precision : str
        ``"float32"``, or ``"bfloat16"`` or ``"float16"`` for autocast to that type, which is
        faster only where the device computes in it: a CPU that has no more than AVX2 gets slower.
    verbose : bool, str, int or None
        MNE's verbosity.

    Attributes
    ----------
    model : Wav2Sleep
        The network.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        If the recording cannot be used.
    WeightsError
        If the weights cannot be had, or do not fit their config.

    Notes
    -----
    Stages of less than a night, of children, and of people with a pacemaker or an arrhythmia have
    not been validated. The method is that of Carter and Tarassenko (arXiv 2411.04644); the
    released weights are not those of the paper.

    Examples
    --------
    >>> from mne_wav2sleep import SleepStagerW2S
    >>> hyp = SleepStagerW2S("night.edf").predict()  # doctest: +SKIP

    A simulated night, and the bundled weights, which need no network:

    >>> from mne_wav2sleep import simulate_night
    >>> raw = simulate_night(duration=3600, seed=0, verbose="error")
    >>> stager = SleepStagerW2S(raw, weights="mini", verbose="error")
    >>> stager.channels["channel"].to_dict()
    {'ABD': 'Abdomen', 'ECG': 'ECG', 'PPG': 'Pleth', 'THX': 'Thorax'}
    """

    @verbose
    def __init__(
        self,
        raw: mne.io.BaseRaw | str | PathLike[str],
        *,
        ecg_name: ChannelName = "auto",
        ppg_name: str | None = "auto",
        abd_name: str | None = "auto",
        thx_name: str | None = "auto",
        eog_l_name: str | None = "auto",
        eog_r_name: str | None = "auto",
        weights: str | Path = "wav2sleep",
        validity: Validity | None = None,
        device: str | torch.device = "auto",
        precision: str = "float32",
        verbose: bool | str | int | None = None,
    ) -> None:
        mne.utils._check_option("precision", precision, list(PRECISIONS))
        chosen = choose_device(device)
        self._precision = precision
        self._weights = weights
        _validate_type(validity, (Validity, None), "validity")
        self._validity = Validity() if validity is None else validity
        self._verbose = verbose
        self._recording = open_recording(raw)
        self.model = load_model(weights).to(chosen)
        self._weights_hash = dict(zip(("file", "sha256"), hash_weights(weights), strict=True))
        self._scorer = REGISTRY[weights].scorer if weights in REGISTRY else "wav2sleep"
        names: dict[str, ChannelName] = {
            "ABD": abd_name,
            "ECG": ecg_name,
            "EOG-L": eog_l_name,
            "EOG-R": eog_r_name,
            "PPG": ppg_name,
            "THX": thx_name,
        }
        modalities = sorted(self.model.config.signals)
        if unread := [
            m for m, n in names.items() if n not in ("auto", None) and m not in modalities
        ]:
            raise ValueError(
                f"The weights {str(weights)!r} read {', '.join(modalities)}; a channel was named "
                f"for {', '.join(unread)}. Leave it out, or give other weights."
            )
        self._channels = find_rates(
            self._recording,
            match_channels(
                self._recording.raw,
                names={m: n for m, n in names.items() if m in modalities},
                modalities=modalities,
            ),
        )
        for modality, row in self._channels.iterrows():
            logger.info(f"{modality}: {row['channel']!r} ({row['reason']}, {row['sfreq']:g} Hz)")
        n_epochs = self._recording.n_epochs
        if n_epochs > LONGEST:
            warn(
                f"The recording lasts {n_epochs / 120:.1f} h and is staged in overlapping windows "
                "of 10 h. The network was trained on nights: what it says of daytime is not "
                "validated."
            )
        if n_epochs < _SHORT:
            warn(
                f"The recording has {n_epochs} epoch{_pl(n_epochs)} of 30 s. The network was "
                "trained on whole nights; less than an hour gives doubtful stages."
            )
        self._proba: pd.DataFrame | None = None
        self._availability = pd.DataFrame()
        self._provenance: dict[str, Any] = {}

    def __repr__(self) -> str:
        """Say which channels, device and weights are used."""
        mapping = ", ".join(f"{m}={c!r}" for m, c in self._channels["channel"].items())
        return (
            f"<SleepStagerW2S | {mapping} | {self._recording.n_epochs} epochs, "
            f"device: {self._device}, weights: {str(self._weights)!r}>"
        )

    @property
    def _device(self) -> torch.device:
        """Where the network is."""
        return next(self.model.parameters()).device

    @property
    def channels(self) -> pd.DataFrame:
        """Which channel feeds which modality, why, its rate in Hz, and what else was possible.

        A report, and a copy: the arguments ``ecg_name`` and so on overrule the mapping.
        """
        return self._channels.copy()

    @property
    def availability(self) -> pd.DataFrame:
        """What was measured of each modality in each epoch, and if nothing was, why.

        A row per epoch and a column per mapped modality: ``"measured"``, ``"not recorded"``,
        ``"not finite"``, ``"bad"`` (annotated ``BAD``), ``"flat"``, ``"saturated"``, or ``"left
        out"``, where a modality is not used although it was measured, because most of it was not.

        Examples
        --------
        >>> from mne_wav2sleep import simulate_night
        >>> raw = simulate_night(duration=3600, seed=0, verbose="error")
        >>> raw = raw.set_annotations(mne.Annotations(600, 300, "BAD", raw.info["meas_date"]))
        >>> stager = SleepStagerW2S(raw, weights="mini", verbose="error")
        >>> stager.availability["ECG"].value_counts().to_dict()
        {'measured': 110, 'bad': 10}
        """
        if self._availability.empty:
            self.predict_proba()
        return self._availability.copy()

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the stages come from, ready for JSON.

        The weights and their hash, the recording, its gaps and its channels, what was measured of
        them, the parameters, the versions of what did it, and when: as it was when it was staged.

        Examples
        --------
        >>> from mne_wav2sleep import simulate_night
        >>> raw = simulate_night(duration=3600, seed=0, verbose="error")
        >>> stager = SleepStagerW2S(raw, weights="mini", verbose="error")
        >>> stager.provenance["channels"]["ECG"]["channel"]
        'ECG'
        """
        self.predict_proba()
        return copy.deepcopy(self._provenance)

    def predict_proba(self) -> pd.DataFrame:
        """Compute the probability of each stage for each epoch.

        It is computed once: a Raw that is changed after that needs another stager.

        Returns
        -------
        proba : pandas.DataFrame, shape (n_epochs, n_stages) or (n_epochs, n_stages + 1)
            Probabilities by stage, in YASA's names; every row sums to 1. If there are epochs in
            which nothing was measured, there is a column ``UNS``, 1 in these and 0 in all others.

        Raises
        ------
        ValueError
            If none of the mapped channels has a signal in it.
        RuntimeError
            If the network gives something that is not a number.

        Examples
        --------
        >>> from mne_wav2sleep import simulate_night
        >>> raw = simulate_night(duration=3600, seed=0, verbose="error")
        >>> stager = SleepStagerW2S(raw, weights="mini", verbose="error")
        >>> stager.predict_proba().shape
        (120, 4)
        """
        if self._proba is None:
            with use_log_level(self._verbose):
                everything = tuple(self._channels.index)
                self._proba = self._stage([everything])[everything]
        return self._proba.copy()

    def predict(self) -> yasa.Hypnogram:
        """Stage the recording.

        Returns
        -------
        hyp : yasa.Hypnogram
            One stage per complete 30-s epoch, with probabilities, ``UNS`` where nothing was
            measured; it starts when the recording does, cropping considered, if the recording has
            a date.

        Raises
        ------
        ValueError
            If none of the mapped channels has a signal in it.
        RuntimeError
            If the network gives something that is not a number.

        Examples
        --------
        >>> from mne_wav2sleep import simulate_night
        >>> raw = simulate_night(duration=3600, seed=0, verbose="error")
        >>> stager = SleepStagerW2S(raw, weights="mini", verbose="error")
        >>> hyp = stager.predict()
        >>> hyp.n_epochs, hyp.n_stages
        (120, 4)
        """
        return to_hypnogram(self.predict_proba(), self._recording.start, self._scorer)

    def audit(self) -> Audit:
        """Stage the recording from every subset of its modalities, and compare.

        Returns
        -------
        audit : Audit
            The stages of each subset, how well they agree, and the epochs in dispute. A modality
            that disagrees with all others is the one to look at.

        Raises
        ------
        ValueError
            If none of the mapped channels has a signal in it.
        RuntimeError
            If the network gives something that is not a number.

        Notes
        -----
        Each encoder runs once. Agreement says that sensors see the same, not that it is true.

        Examples
        --------
        >>> from mne_wav2sleep import simulate_night
        >>> raw = simulate_night(duration=3600, modalities=["ECG", "THX"], seed=0, verbose="error")
        >>> audit = SleepStagerW2S(raw, weights="mini", verbose="error").audit()
        >>> list(audit.hypnograms)
        ['ECG', 'THX', 'ECG+THX']
        """
        with use_log_level(self._verbose):
            probas = self._stage(all_subsets(self._channels.index))
        self._proba = probas[tuple(self._channels.index)]
        measured = self._availability == REASONS[MEASURED]
        # Of a modality that is left out, nothing is to be said.
        used = [name for name in measured if measured[name].any()]
        hypnograms = {
            subset: to_hypnogram(probas[subset], self._recording.start, self._scorer)
            for subset in all_subsets(used)
        }
        return compare_subsets(hypnograms, measured[used])

    def _stage(self, subsets: Sequence[Subset]) -> dict[Subset, pd.DataFrame]:
        """Stage window by window, of which most recordings have one.

        Nothing but the probabilities of a window is kept, so that days take the memory of a night.
        """
        sources = open_sources(self._recording, self._channels)
        windows = plan_windows(self._recording.n_epochs)
        parts: dict[Subset, list[NDArray[np.float64]]] = {subset: [] for subset in subsets}
        availabilities = []
        for first, last in windows:
            stop = None if last == self._recording.n_epochs else last * EPOCH_S
            probas, availability = self._stage_window(sources, first * EPOCH_S, stop, subsets)
            for subset in subsets:
                parts[subset].append(probas[subset])
            availabilities.append(availability)
        self._availability = join(availabilities, windows)
        measured = self._availability == REASONS[MEASURED]
        if not measured.any(axis=None):
            names = ", ".join(map(repr, self._channels["channel"]))
            raise ValueError(
                f"None of the mapped channels ({names}) has a signal in it, so there is nothing to "
                "stage. Check the recording (stager.availability says what was found), or name "
                "other channels."
            )
        stages = STAGE_NAMES[self.model.config.n_classes]
        probas = {}
        for subset in subsets:
            proba = blend(parts[subset], windows)
            proba[~measured[list(subset)].any(axis=1)] = np.nan
            probas[subset] = name_stages(proba, stages)
        parameters = {
            "device": str(self._device),
            "precision": self._precision,
            "validity": asdict(self._validity),
        }
        self._provenance = make_provenance(
            self._recording,
            self._channels,
            self._availability,
            {"name": str(self._weights), **self._weights_hash},
            self.model.config,
            parameters,
        )
        return probas

    def _stage_window(
        self, sources: list[Source], start: float, stop: float | None, subsets: Sequence[Subset]
    ) -> tuple[dict[Subset, NDArray[np.float64]], pd.DataFrame]:
        """Probabilities of some hours, NaN where nothing was measured, and what was."""
        config = self.model.config
        signals = read_signals(self._recording, sources, self._validity, start=start, stop=stop)
        x, available = make_batch(signals, padded_epochs=config.padded_epochs)
        availability = _tabulate(signals, used=list(x))
        del signals  # not needed while the network runs, and large
        shape = (len(availability), config.n_classes)
        probas = {subset: np.full(shape, np.nan) for subset in subsets}
        used = {subset: tuple(name for name in subset if name in x) for subset in subsets}
        wanted = sorted({names for names in used.values() if names})
        logits = run_subsets(self.model, x, available, wanted, self._precision)
        for subset, names in used.items():
            if names:
                measured = (availability[list(names)] == REASONS[MEASURED]).to_numpy().any(axis=1)
                probas[subset][measured] = to_proba(logits[names][0, : shape[0]])[measured]
        return probas, availability
