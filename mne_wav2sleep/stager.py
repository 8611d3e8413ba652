"""Sleep staging from heart and breathing, in one class."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import mne
import pandas as pd
import torch
import yasa
from matplotlib.figure import Figure
from mne.utils import _validate_type, logger, use_log_level, verbose

from .cautions import keep_cautions
from .hypnograms.probabilities import to_hypnogram
from .hypnograms.statistics import check_ci, statistics_with_intervals, warn_of_statistics
from .hypnograms.writing import annotate_raw
from .network.backends import PRECISIONS, Subset, all_subsets, choose_device
from .network.registry import REGISTRY, hash_weights, load_model
from .recordings.channels import ChannelName, electrodes, match_channels
from .recordings.opening import find_rates, open_recording
from .recordings.reading import is_in_volts
from .reports.epoch import plot_epoch
from .reports.html import make_report
from .reports.night import plot_night
from .signals.quality import summarise
from .signals.validity import MEASURED, REASONS, Validity
from .staging.audit import Audit, compare_subsets
from .staging.domain import warn_of_domain
from .staging.pipeline import Staged, find_all_beats, read_epoch, stage_recording
from .staging.provenance import make_provenance


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
        self._cautions: list[str] = []
        self._proba = pd.DataFrame()
        self._availability = pd.DataFrame()
        self._beats: dict[str, pd.DataFrame] | None = None
        self._statistics: dict[float, pd.DataFrame] = {}
        self._provenance: dict[str, Any] = {}
        with keep_cautions(self._cautions):
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
        with keep_cautions(self._cautions):
            mapping = match_channels(
                self._recording.raw,
                names={m: n for m, n in names.items() if m in modalities},
                modalities=modalities,
            )
            self._channels = find_rates(self._recording, mapping)
            warn_of_domain(self._recording)
        for modality, row in self._channels.iterrows():
            logger.info(f"{modality}: {row['channel']!r} ({row['reason']}, {row['sfreq']:g} Hz)")

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
    def cautions(self) -> list[str]:
        """What was warned of so far: of the recording, the weights, the signals, the statistics.

        Each is warned of once, and kept here whatever the verbosity.

        Examples
        --------
        >>> from mne_wav2sleep import simulate_night
        >>> raw = simulate_night(duration=3600, seed=0, verbose="error")
        >>> stager = SleepStagerW2S(raw, weights="mini", verbose="error")
        >>> stager.cautions[1][:58]
        'The recording lasts 1.0 h (120 epochs of 30 s). The networ'
        """
        return self._cautions.copy()

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Speak as loud as wanted, and keep what is warned of."""
        # Without one, not even the present level, which other threads share, is set.
        loudness = nullcontext() if self._verbose is None else use_log_level(self._verbose)
        with loudness, keep_cautions(self._cautions):
            yield

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
        them, the parameters, the versions of what did it, and when: as it was when it was staged;
        and the :attr:`cautions`.

        Examples
        --------
        >>> from mne_wav2sleep import simulate_night
        >>> raw = simulate_night(duration=3600, seed=0, verbose="error")
        >>> stager = SleepStagerW2S(raw, weights="mini", verbose="error")
        >>> stager.provenance["channels"]["ECG"]["channel"]
        'ECG'
        """
        self.predict_proba()
        return copy.deepcopy(self._provenance) | {"cautions": self.cautions}

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
        if self._proba.empty:
            everything = tuple(self._channels.index)
            with self._speaking():
                self._stage([everything])
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
        with self._speaking():
            staged = self._stage(all_subsets(self._channels.index))
        measured = staged.availability == REASONS[MEASURED]
        # Of a modality that is left out, nothing is to be said.
        used = [name for name in measured if measured[name].any()]
        hypnograms = {
            subset: to_hypnogram(staged.probas[subset], self._recording.start, self._scorer)
            for subset in all_subsets(used)
        }
        return compare_subsets(hypnograms, measured[used])

    def quality(self) -> pd.DataFrame:
        """Say what the waves of the mapped channels look like.

        Returns
        -------
        quality : pandas.DataFrame, shape (n_modalities, 6)
            By modality: ``valid``, the share of epochs in which it was measured; ``plausible``, the
            share of these with beats or breaths at a possible rate and alike in shape; the medians
            of their ``rate`` (per minute) and ``noise`` (RMS of what differs from beat to beat,
            over that of the mean beat); over all measured epochs, the median ``irregularity``
            (root mean square of the differences of successive intervals, over the mean interval);
            and the ``polarity``, which belts do not have. Of the EOG, and of channels too slow to
            tell, nothing but ``valid`` is known.

        Notes
        -----
        After Orphanidou et al. (2015, IEEE J Biomed Health Inform 19:832); heart beats may be as
        irregular as in atrial fibrillation, and breaths as in apnoea. A plausible wave need not be
        that of the right sensor: a breathing belt looks like a pulse that is slow. Polarity does
        not matter to staging, as training turned signals over at random. :meth:`predict` looks at
        60 epochs of every 10 h, and warns where most are not plausible.

        Examples
        --------
        >>> from mne_wav2sleep import simulate_night
        >>> raw = simulate_night(duration=3600, seed=0, verbose="error")
        >>> quality = SleepStagerW2S(raw, weights="mini", verbose="error").quality()
        >>> quality["rate"].round().to_dict()
        {'ABD': 16.0, 'ECG': 72.0, 'PPG': 72.0, 'THX': 16.0}
        """
        rows = {name: summarise(beats) for name, beats in self._find_beats().items()}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis(index="modality")

    def _find_beats(self) -> dict[str, pd.DataFrame]:
        """Find the beats and breaths of all epochs, once; NaN where nothing was measured."""
        if self._beats is None:
            with self._speaking():
                self._beats = find_all_beats(self._recording, self._channels, self._validity)
        return self._beats

    def statistics(self, ci: float = 0.95) -> pd.DataFrame:
        """Compute YASA's sleep statistics, and how sure they are.

        Parameters
        ----------
        ci : float
            Probability that an interval is to hold, between 0 and 1.

        Returns
        -------
        statistics : pandas.DataFrame
            One row per statistic: its ``value`` in the hypnogram; its interval (``low``,
            ``high``) over 500 nights drawn from the probabilities; its ``unit``.

        Raises
        ------
        ValueError
            If ``ci`` is not between 0 and 1, or none of the mapped channels has a signal in it.

        Notes
        -----
        Errors of neighbouring epochs go together, and some last the whole night; how much so comes
        with the weights (``model.calibration``), for all of their signals together. The intervals
        hold what the network cannot tell on nights like those that this was fitted on. They do
        not know of other cohorts, other sensors, the disagreement of human scorers, or epochs that
        are ``UNS``. The hypnogram takes the most probable stage, so that rare stages are rarer in
        it than they should be, and a value can lie outside its interval. Drawn nights change stage
        more often than real ones: there is no interval of ``SFI``, and those of ``WASO`` reach too
        high, those of latencies too low. A latency's is that of the nights that have one.

        Examples
        --------
        >>> from mne_wav2sleep import simulate_night
        >>> raw = simulate_night(duration=3600, seed=0, verbose="error")
        >>> statistics = SleepStagerW2S(raw, weights="mini", verbose="error").statistics()
        >>> bool((statistics["low"] <= statistics["high"])["TST"])
        True
        """
        check_ci(ci)
        hyp = self.predict()
        if ci not in self._statistics:
            with self._speaking():
                warn_of_statistics(hyp, self.model.calibration)
            self._statistics[ci] = statistics_with_intervals(hyp, self.model.calibration, ci)
        return self._statistics[ci].copy()

    def plot(self) -> Figure:
        """Draw the night: stages, probabilities, what was measured, heart and breathing rate.

        Returns
        -------
        figure : matplotlib.figure.Figure
            Four axes above each other, on the clock.

        Raises
        ------
        ValueError
            If none of the mapped channels has a signal in it.

        Examples
        --------
        >>> from mne_wav2sleep import simulate_night
        >>> raw = simulate_night(duration=3600, seed=0, verbose="error")
        >>> figure = SleepStagerW2S(raw, weights="mini", verbose="error").plot()
        >>> len(figure.axes)  # the breathing rate has an axis of its own
        5
        """
        return plot_night(self.predict(), self._availability, self._find_beats())

    def plot_signals(self, epoch: int) -> Figure:
        """Draw an epoch of every mapped channel, as recorded and as the network sees it.

        Parameters
        ----------
        epoch : int
            Which one, from 0.

        Returns
        -------
        figure : matplotlib.figure.Figure
            A row for each modality. On the left what was recorded, hatched where it does not
            count as measured; in volts, or parts of them, where the file says so (or, of ECG and
            EOG that come from no file, the type of the channel), else without a unit, as MNE gives
            it. On the right what the network sees: z-scored on its grid, nothing where the epoch
            is masked or the modality is not used.

        Raises
        ------
        IndexError
            If the recording has no such epoch.

        Examples
        --------
        >>> from mne_wav2sleep import simulate_night
        >>> raw = simulate_night(duration=3600, seed=0, verbose="error")
        >>> figure = SleepStagerW2S(raw, weights="mini", verbose="error").plot_signals(60)
        >>> len(figure.axes)
        8
        """
        _validate_type(epoch, "int-like", "epoch")
        hyp = self.predict()
        if not 0 <= epoch < hyp.n_epochs:
            raise IndexError(
                f"There is no epoch {epoch}; the recording has {hyp.n_epochs}, from 0 on."
            )
        with keep_cautions([], say=False):  # what is wrong with the samples, staging says
            signals = read_epoch(self._recording, self._channels, self.model, self._validity, epoch)
        stage = hyp.hypno.iloc[epoch]
        likely = ", ".join(f"{name} {p:.2f}" for name, p in hyp.proba.iloc[epoch].items() if p)
        when = "" if hyp.start is None else f" at {hyp.hypno.index[epoch]:%H:%M:%S}"
        mapped = self._channels["channel"].to_dict()
        return plot_epoch(
            signals,
            names={m: " - ".join(electrodes(channel)) for m, channel in mapped.items()},
            in_volts=[m for m in mapped if is_in_volts(self._recording.raw, m, mapped[m])],
            title=f"Epoch {epoch}{when}: {stage} ({likely})",
        )

    def report(self) -> mne.Report:
        """Make a report of the night, one HTML file with nothing fetched from elsewhere.

        Returns
        -------
        report : mne.Report
            What was staged and how sure it is, pictures, statistics with intervals, the mapping,
            the quality of the signals, the audit, provenance, and a paragraph of methods with
            citations; for ``report.save("night.html")``.

        Raises
        ------
        ValueError
            If none of the mapped channels has a signal in it.

        Examples
        --------
        >>> report = SleepStagerW2S("night.edf").report()  # doctest: +SKIP
        >>> report.save("night.html")  # doctest: +SKIP
        """
        audit = self.audit()
        hyp = self.predict()
        figures = {"The night": self.plot()}
        surest = hyp.proba.drop(columns="UNS", errors="ignore").max(axis=1)
        least = int(surest[(hyp.hypno != "UNS").to_numpy()].idxmin())
        figures["The least sure epoch"] = self.plot_signals(least)
        return make_report(
            hyp,
            channels=self._channels,
            quality=self.quality(),
            statistics=self.statistics(),
            audit=audit,
            provenance=self.provenance,
            figures=figures,
        )

    def annotate(self, raw: mne.io.BaseRaw, *, overwrite: bool = False) -> mne.io.BaseRaw:
        """Add the stages to a Raw as annotations, so that ``raw.plot()`` shows them.

        Parameters
        ----------
        raw : mne.io.BaseRaw
            The recording that was staged, or a part of it, with one at least of the channels that
            were staged; put in place by the clock, which nothing but its channels tells from
            another night at the same time.
        overwrite : bool
            Replace annotations of sleep stages in the time that was staged; those before and
            after it are kept, and of those that are partly in it, what lies outside.

        Returns
        -------
        raw : mne.io.BaseRaw
            The same, changed in place: ``Sleep stage W``, ``N1``, ``N2``, ``N3`` and ``R`` as in
            EDF+, ``Sleep stage LIGHT`` and ``DEEP``, which it does not know, and ``Sleep stage
            ?`` where nothing was measured.

        Raises
        ------
        ValueError
            If the Raw is not what was staged, has stages there already, was staged with gaps, or
            has a date where it had none when it was staged, or the reverse.

        Examples
        --------
        >>> from mne_wav2sleep import simulate_night
        >>> raw = simulate_night(duration=3600, seed=0, verbose="error")
        >>> stager = SleepStagerW2S(raw, weights="mini", verbose="error")
        >>> stager.annotate(raw, overwrite=True).annotations.description[0]
        'Sleep stage W'
        """
        gaps = bool(self._recording.gaps)
        _validate_type(raw, mne.io.BaseRaw, "raw")
        mapped = {name for channel in self._channels["channel"] for name in electrodes(channel)}
        if not mapped & set(raw.ch_names):
            raise ValueError(
                f"The Raw has none of the channels that were staged, {', '.join(sorted(mapped))}, "
                f"but {', '.join(raw.ch_names[:5])}. Give the Raw of the same recording."
            )
        return annotate_raw(raw, self.predict(), has_gaps=gaps, overwrite=overwrite)

    def _stage(self, subsets: Sequence[Subset]) -> Staged:
        """Stage, all modalities among the subsets; what comes of these is kept the first time."""
        staged = stage_recording(
            self._recording,
            self._channels,
            self.model,
            subsets,
            validity=self._validity,
            precision=self._precision,
        )
        if not self._proba.empty:
            return staged
        self._proba = staged.probas[tuple(self._channels.index)]
        self._availability = staged.availability
        self._provenance = make_provenance(
            self._recording,
            self._channels,
            self._availability,
            {"name": str(self._weights), **self._weights_hash},
            self.model.config,
            {
                "device": str(self._device),
                "precision": self._precision,
                "validity": asdict(self._validity),
                "calibration": asdict(self.model.calibration),
            },
        )
        return staged
