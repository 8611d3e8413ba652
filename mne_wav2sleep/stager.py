"""Sleep staging from heart and breathing, in one class."""

import copy
from typing import Any

import mne
import pandas as pd
import yasa
from matplotlib.figure import Figure

from .hypnograms.annotating import annotate_raw
from .hypnograms.folding import check_n_stages, fold_hypnogram
from .hypnograms.periods import find_sleep_periods
from .hypnograms.statistics import check_ci, statistics_with_intervals, warn_of_statistics
from .recordings.channels import tabulate_channels
from .reports.night import plot_night
from .signals.quality import summarize
from .staging.audit import Audit, compare_subsets
from .staging.epochs import tabulate_epochs
from .staging.pipeline import read_epoch, stage_subsets
from .staging.staged import Staged


class SleepStagerW2S(Staged):
    """Stage sleep from ECG, PPG and respiratory belts with wav2sleep.

    Parameters
    ----------
    raw : mne.io.BaseRaw or path-like
        A Raw, or a file of any format that :func:`mne.io.read_raw` reads. Prefer a path for EDF
        and BDF: each channel is then read at its own rate (of GDF, at the highest of all rates).
    weights : str, Path or LoadedWeights
        Name of weights (see :func:`~mne_wav2sleep.list_weights`), downloaded when first needed, or
        model folder; to stage many recordings, what :func:`~mne_wav2sleep.load_weights` returns.
    ch_names : mapping of str to str, (str, str) or None, optional
        Overrides the mapping of channels: modality (``"ABD"``, ``"ECG"``, ``"PPG"``, ``"THX"``,
        and ``"EOG-L"`` and ``"EOG-R"`` for weights that use them) -> channel name, ``"auto"`` (the
        default of each), None to leave the modality out, or, for ECG, a pair of names whose
        difference is used. A channel that is named here is not used for another modality.
    validity : Validity or None
        What counts as measured; None for ``Validity()``. An epoch in which a channel is mostly not
        finite, annotated ``BAD``, flat, saturated or not recorded is masked for that channel; in
        other epochs, lost samples are replaced by the mean.
    device : str or torch.device
        ``"auto"`` (CUDA, else MPS, else the CPU), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    precision : str
        ``"float32"``, or ``"bfloat16"`` or ``"float16"`` for autocast, which saves time only on a
        GPU; on a CPU, the convolutions of the encoders stay in float32.
    lights : "auto", (off, on) or None
        Lights off and on, between which is the time in bed: ``"auto"`` for the annotations of the
        recording (``"Lights off"``, ``"LON"``, ``"Licht an"``, ...), None for the whole recording,
        or a pair, each as clock time (``"22:45"``, ``"2024-03-01 22:45"``, a datetime or time), in
        seconds from the start of the recording, or None for its start or end.
    verbose : bool, str, int or None
        MNE's verbosity, for the constructor and all methods.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        If the recording or an argument cannot be used.
    WeightsError
        If a model folder has no usable config.

    See Also
    --------
    match_channels : The mapping of a Raw, without weights.
    load_weights : Load weights once for many recordings.

    Notes
    -----
    The constructor reads the header and maps the channels; weights and samples are read by the
    first method that needs them. The recording is staged once, whichever methods are called: to
    stage a Raw that was changed, create a new stager. All methods but :meth:`quality` stage the
    recording if this has not been done, and raise ValueError if none of the mapped channels
    contains a signal or samples cannot be read, RuntimeError if the length, date, rate or
    channels of the Raw were changed since, or the network gives NaN, and WeightsError if the
    weights cannot be found or downloaded, or do not fit their config.

    Several threads may use one stager; each step runs once, from a copy of the network, without the
    user's autocast. In a process that was forked (not spawned), torch computes in one thread,
    because the others of its parent are lost; a number of threads that is set there is used.

    Staging has not been validated on recordings of less than a night, on children, or on people
    with a pacemaker or an arrhythmia. The method is that of Carter and Tarassenko (arXiv
    2411.04644); the released weights are not those of the paper.

    Examples
    --------
    >>> from mne_wav2sleep import SleepStagerW2S, simulate_night
    >>> hyp = SleepStagerW2S("night.edf").predict()  # doctest: +SKIP

    A simulated hour with the bundled weights, which need no download:

    >>> import mne
    >>> raw = simulate_night(duration=3600, modalities=["ECG", "THX"], seed=0, verbose="error")
    >>> bad = mne.Annotations(600, 300, "BAD_loose", ch_names=[["ECG"]])
    >>> stager = SleepStagerW2S(raw.set_annotations(bad), weights="mini", verbose="error")
    >>> stager.channels["channel"].to_dict()
    {'ECG': 'ECG', 'THX': 'Thorax'}
    >>> hyp = stager.predict()
    >>> hyp.n_epochs, hyp.proba.shape
    (120, (120, 4))
    >>> stager.availability()["ECG"].value_counts().to_dict()
    {'measured': 110, 'bad': 10}
    >>> stager.quality()["rate"].round().to_dict()
    {'ECG': 72.0, 'THX': 16.0}
    >>> list(stager.audit().hypnograms)
    ['ECG', 'THX', 'ECG+THX']
    """

    def __repr__(self) -> str:
        mapping = ", ".join(f"{channel.modality}={channel.name!r}" for channel in self._channels)
        device = self._device if self._loaded is None else self._loaded[1].device
        return (
            f"<SleepStagerW2S | {mapping} | {self._recording.n_epochs} epochs, "
            f"device: {device}, weights: {self._info.name!r}>"
        )

    @property
    def channels(self) -> pd.DataFrame:
        """The mapping: which channel feeds which modality, and why.

        A copy with the columns ``channel``, ``reason``, ``sfreq`` (Hz) and ``alternatives``.
        """
        return tabulate_channels(self._channels)

    @property
    def cautions(self) -> list[str]:
        """Warnings so far. Each is shown once, and listed here whatever the verbosity."""
        return self._cautions.copy()

    def predict(self, n_stages: int | None = None) -> yasa.Hypnogram:
        """Stage the recording.

        Parameters
        ----------
        n_stages : int or None
            Number of stages to fold those of the weights to, as
            :func:`~mne_wav2sleep.fold_hypnogram` does: 3 (WAKE, NREM, REM), 2 (WAKE, SLEEP), or 4
            if the weights have 5; None for those of the weights.

        Returns
        -------
        hyp : yasa.Hypnogram
            One stage per complete 30-s epoch, ``UNS`` where nothing was measured, with
            probabilities (``hyp.proba``, one row per epoch that sums to 1). If the recording has a
            date, the hypnogram starts at its first sample, after any cropping.
        """
        if n_stages is None:
            return self.result().make_hypnogram()
        check_n_stages(n_stages, len(self._info.stage_names))
        return fold_hypnogram(self.result().make_hypnogram(), n_stages)

    def availability(self) -> pd.DataFrame:
        """Tell whether each modality was measured in each epoch, and if not, why.

        Returns
        -------
        availability : pandas.DataFrame, shape (n_epochs, n_modalities)
            ``"measured"``, ``"not recorded"``, ``"not finite"``, ``"bad"`` (annotated ``BAD``),
            ``"flat"``, ``"saturated"``, or ``"left out"`` if the epoch was measured, but so few
            others were that the modality is not used.
        """
        return self.result().availability.copy()

    def provenance(self) -> dict[str, Any]:
        """Describe where the stages come from, ready for JSON.

        Returns
        -------
        provenance : dict
            The weights and their hash, the recording, its gaps and channels, what was measured of
            each, the parameters, the versions of the packages, and the time, all as they were when
            the recording was staged; the time in bed; and the :attr:`cautions` so far.
        """
        with self._steps.run():
            time_in_bed = self.time_in_bed().to_dict()
            found = copy.deepcopy(dict(self.result().provenance))
            return found | {"time_in_bed": time_in_bed, "cautions": self.cautions}

    def audit(self) -> Audit:
        """Stage the recording from every subset of its signals, and compare.

        Returns
        -------
        audit : Audit
            The stages of each subset, their agreement, and the disputed epochs. If one modality
            disagrees with all others, inspect its channel first. Agreement means that sensors give
            the same stages, not that these are correct.
        """
        with self._steps.run():
            result = self.result()
            return compare_subsets(stage_subsets(result, *self._load()), result.measured)

    def quality(self) -> pd.DataFrame:
        """Measure the quality of the mapped channels by their beats and breaths.

        Returns
        -------
        quality : pandas.DataFrame, shape (n_modalities, 8)
            By modality: ``valid``, the share of epochs in which it was measured; ``plausible``, the
            share of these with beats or breaths at a possible rate and of similar shape; the
            medians of their ``rate`` (per minute) and ``noise`` (RMS of the differences between
            beats, over that of the mean beat); over all measured epochs, the median
            ``irregularity`` (root mean square of the differences of successive intervals, over the
            mean interval) and ``background`` (what is faster than the wave, over its height); the
            share of ``bursts`` among spans of 5 s; and the ``polarity``, which belts do not have.
            EOG and other modalities without such a wave, and channels whose rate is too low, lack
            what cannot be known.

        Notes
        -----
        After Orphanidou et al. (2015, IEEE J Biomed Health Inform 19:832); heart beats may be as
        irregular as in atrial fibrillation, and breaths as in apnea. A plausible wave is not
        always from the right sensor: a respiratory belt looks like a slow pulse. Polarity does not
        affect staging, since signals were flipped at random in training. Staging inspects 60 epochs
        of every window (up to 12 h), and warns if few are plausible, many have a background above
        0.1 (belts: 0.05), or bursts are frequent. Mains hum is removed before, with a warning.
        """
        with self._steps.run():
            rows = {name: summarize(beats) for name, beats in self._find_beats().items()}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis(index="modality")

    def statistics(self, ci: float = 0.95) -> pd.DataFrame:
        """Compute YASA's sleep statistics over the time in bed, with intervals.

        Parameters
        ----------
        ci : float
            Nominal coverage of the intervals, between 0 and 1.

        Returns
        -------
        statistics : pandas.DataFrame
            By statistic: its ``value`` in the hypnogram, its interval (``low``, ``high``) over 500
            nights drawn from the probabilities, and its ``unit``. The values are those of the
            hypnogram cropped to the time in bed (``statistics.attrs["time_in_bed"]``), or of the
            whole recording if lights off and on are not known.

        Raises
        ------
        ValueError
            If ``ci`` is not between 0 and 1.

        Notes
        -----
        Errors of neighboring epochs are correlated, some for the whole night; the weights include
        a :class:`~mne_wav2sleep.network.Calibration` of this, for all of their signals together.
        The intervals cover the network's uncertainty on nights like those that it was fitted to,
        not other cohorts, other sensors, the disagreement of human scorers, or ``UNS`` epochs.
        As the hypnogram takes the most probable stage of each epoch, rare stages are rarer in it
        than they should be, and a value can lie outside its interval. Drawn nights change stage
        more often than real ones: ``SFI`` has no interval, and intervals of ``WASO`` reach too
        high, those of latencies too low (they are over the drawn nights that have a latency).
        """
        check_ci(ci)
        in_bed = self.time_in_bed()
        hyp = in_bed.crop(self.predict())
        calibration = self._load()[0].calibration
        with self._steps.run():
            if ci not in self._statistics:
                warn_of_statistics(hyp, calibration)
                self._statistics[ci] = statistics_with_intervals(hyp, calibration, ci)
                self._statistics[ci].attrs["time_in_bed"] = in_bed.to_dict()
            return self._statistics[ci].copy()

    def sleep_periods(self) -> pd.DataFrame:
        """List the sleep periods of a recording, such as nights and naps of several days.

        Returns
        -------
        periods : pandas.DataFrame
            One row per period: ``start`` and ``end`` (clock), ``onset`` (s), ``day``, ``main`` (has
            most of the sleep from one noon to the next), ``unscored`` (min), and YASA's sleep
            statistics from its first to its last sleep. Periods have 60 min of wake between them,
            and at least 20 min of sleep (:func:`~mne_wav2sleep.hypnograms.find_sleep_periods`).
        """
        return find_sleep_periods(self.predict())

    def epoch_table(self, n_stages: int | None = None) -> pd.DataFrame:
        """Tabulate the epochs, one row each.

        Parameters
        ----------
        n_stages : int or None
            As in :meth:`predict`.

        Returns
        -------
        epochs : pandas.DataFrame
            ``epoch``, ``onset`` (s from the start of the recording), ``start`` (on its clock),
            ``stage``, ``proba_<STAGE>`` (NaN where nothing was measured), ``measured_<MODALITY>``
            as in :meth:`availability`, ``heart_rate`` and ``breathing_rate`` (per min, NaN where
            not plausible; from the sensor with more plausible epochs), and ``in_bed``.
        """
        hyp, in_bed = self.predict(n_stages), self.time_in_bed()
        return tabulate_epochs(hyp, self.availability(), self._find_beats(), in_bed)

    def plot(self, *, show: bool = True) -> Figure:
        """Plot the night: stages, probabilities, availability, heart and breathing rate.

        Parameters
        ----------
        show : bool
            Whether to show the figure. If False, it is closed, and can still be saved.

        Returns
        -------
        figure : matplotlib.figure.Figure
            Four panels on one time axis; dashed lines mark lights off and on if they are known.
        """
        found = self.predict(), self.availability(), self._find_beats(), self.time_in_bed()
        return plot_night(*found, show=show)

    def plot_signals(self, epoch: int, *, show: bool = True) -> Figure:
        """Plot one epoch of every mapped channel, as recorded and as the network sees it.

        Parameters
        ----------
        epoch : int
            Number of the epoch, from 0.
        show : bool
            As in :meth:`plot`.

        Returns
        -------
        figure : matplotlib.figure.Figure
            A row for each modality. Left: samples as recorded, hatched where they do not count as
            measured; in V, mV or µV if the file gives such a unit (or, without a file, the channel
            type implies volts for a signal of electrodes), else without a unit. Right: what the
            network sees, z-scored on its grid; empty if the epoch is masked or the modality not
            used.

        Raises
        ------
        IndexError
            If the recording has no such epoch.
        """
        from .reports.epoch import plot_epoch

        source = self._recording, self._channels, self._info.preprocessing, self._validity
        with self._steps.run():
            signals = read_epoch(*source, epoch)
        return plot_epoch(signals, self.predict(), epoch, show=show)

    def report(self) -> mne.Report:
        """Make a report of the night as one self-contained HTML file.

        Returns
        -------
        report : mne.Report
            What was staged and how certain it is, figures, statistics with intervals, the mapping,
            signal quality, the audit, provenance, and a methods paragraph with citations. Save it
            with ``report.save("night.html")``.
        """
        from .reports.html import find_least_certain, make_report

        hyp = self.predict()
        return make_report(
            hyp,
            channels=self._channels,
            night=self.plot(show=False),
            epoch=self.plot_signals(find_least_certain(hyp), show=False),
            quality=self.quality(),
            statistics=self.statistics(),
            audit=self.audit(),
            provenance=self.provenance(),  # last, since it lists the warnings of all others
        )

    def annotate(self, raw: mne.io.BaseRaw, *, overwrite: bool = False) -> mne.io.BaseRaw:
        """Add the stages to a Raw as annotations, so that ``raw.plot()`` shows them.

        Parameters
        ----------
        raw : mne.io.BaseRaw
            The recording that was staged, or a part of it, with at least one of the staged
            channels. Stages are placed by the clock; only the channel names distinguish the
            recording from another one of the same time.
        overwrite : bool
            Whether to replace annotations of sleep stages within the staged time; outside of it,
            annotations, or the parts of them that lie there, are kept.

        Returns
        -------
        raw : mne.io.BaseRaw
            The same object, changed in place: ``Sleep stage W``, ``N1``, ``N2``, ``N3``, ``R`` and
            ``?`` (nothing was measured) as in EDF+, and ``Sleep stage LIGHT`` and ``DEEP``, which
            EDF+ does not define.

        Raises
        ------
        ValueError
            If the Raw is not the staged recording, already has stages, was staged with gaps, or
            has a date where the staged recording had none, or the reverse.
        """
        return annotate_raw(
            raw,
            self.predict(),
            ch_names=[name for channel in self._channels for name in channel.electrodes],
            has_gaps=bool(self._recording.reader.gaps),
            overwrite=overwrite,
        )
