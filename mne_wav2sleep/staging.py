"""Sleep staging from heart and breathing, in one class."""

from pathlib import Path

import mne
import pandas as pd
import torch
import yasa
from mne.utils import logger, use_log_level, verbose, warn

from .channels import ChannelName, match_channels
from .hypnogram import STAGE_NAMES, to_hypnogram, to_proba
from .modalities import N_EPOCHS_TRAINED
from .recording import find_rates, open_recording, read_signals
from .tensors import make_batch
from .weights import load_model

_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_SHORT = 120


def _choose_device(device: str | torch.device) -> torch.device:
    """Resolve "auto", and refuse a device that is not there."""
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device={device!r} cannot be used here: {reason} Use 'auto', 'cpu', or a device that "
            "torch finds."
        ) from error
    return chosen


class SleepStagerW2S:
    """Stage sleep from ECG, PPG and respiratory belts with wav2sleep.

    Parameters
    ----------
    raw : mne.io.BaseRaw, str or Path
        A Raw, or a file of any format that :func:`mne.io.read_raw` reads. A path is the better way
        for EDF and BDF: each channel is read at its own recorded rate.
    ecg_name, ppg_name, abd_name, thx_name : str or None
        Channel that carries the modality, ``"auto"``, or None to leave it out. ``ecg_name`` also
        takes a pair of names, whose difference is used.
    eog_l_name, eog_r_name : str or None
        The same for weights that read the EOG.
    weights : str or Path
        Name of published weights (see :func:`~mne_wav2sleep.list_weights`), or a model folder.
    device : str or torch.device
        ``"auto"`` takes CUDA, then MPS, then the CPU.
    precision : str
        ``"float32"``, or ``"bfloat16"`` or ``"float16"`` for autocast to that type, which is
        faster only where the device computes in it: a CPU that has no more than AVX2 gets slower.
    verbose : bool, str, int or None
        MNE's verbosity.

    Attributes
    ----------
    channels : pandas.DataFrame
        Which channel feeds which modality, why, its rate in Hz, and what else was possible.
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
    >>> hyp.sleep_statistics()  # doctest: +SKIP
    """

    @verbose
    def __init__(
        self,
        raw: mne.io.BaseRaw | str | Path,
        *,
        ecg_name: ChannelName = "auto",
        ppg_name: ChannelName = "auto",
        abd_name: ChannelName = "auto",
        thx_name: ChannelName = "auto",
        eog_l_name: ChannelName = "auto",
        eog_r_name: ChannelName = "auto",
        weights: str | Path = "wav2sleep",
        device: str | torch.device = "auto",
        precision: str = "float32",
        verbose: bool | str | int | None = None,
    ) -> None:
        mne.utils._check_option("precision", precision, list(_PRECISIONS))
        self._device = _choose_device(device)
        self._precision = precision
        self._weights = weights
        self._verbose = verbose
        self._recording = open_recording(raw)
        self.model = load_model(weights).to(self._device)
        names = {
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
        self.channels = find_rates(
            self._recording,
            match_channels(
                self._recording.raw,
                names={m: n for m, n in names.items() if m in modalities},
                modalities=modalities,
            ),
        )
        for modality, row in self.channels.iterrows():
            logger.info(f"{modality}: {row['channel']!r} ({row['reason']}, {row['sfreq']:g} Hz)")
        if self._recording.n_epochs < _SHORT:
            warn(
                f"The recording has {self._recording.n_epochs} epochs of 30 s. The network was "
                "trained on whole nights; less than an hour gives doubtful stages."
            )
        self._proba: pd.DataFrame | None = None

    def __repr__(self) -> str:
        """Say which channels, device and weights are used."""
        mapping = ", ".join(f"{m}={c!r}" for m, c in self.channels["channel"].items())
        return (
            f"<SleepStagerW2S | {mapping} | {self._recording.n_epochs} epochs, "
            f"device: {self._device}, weights: {str(self._weights)!r}>"
        )

    def predict_proba(self) -> pd.DataFrame:
        """Compute the probability of each stage for each epoch.

        Returns
        -------
        proba : pandas.DataFrame, shape (n_epochs, n_stages)
            Probabilities by stage, in YASA's names; every row sums to 1.

        Raises
        ------
        ValueError
            If none of the mapped channels has a signal in it.
        """
        if self._proba is None:
            with use_log_level(self._verbose):
                signals = read_signals(self._recording, self.channels)
                x = make_batch(signals, self._recording.n_epochs, self._device)
                self._proba = to_proba(self._run(x), STAGE_NAMES[self.model.config.n_classes])
        return self._proba.copy()

    def predict(self) -> yasa.Hypnogram:
        """Stage the recording.

        Returns
        -------
        hyp : yasa.Hypnogram
            One stage per complete 30-s epoch, with probabilities; it starts when the recording
            does, cropping considered, if the recording has a date.

        Raises
        ------
        ValueError
            If none of the mapped channels has a signal in it.
        """
        return to_hypnogram(self.predict_proba(), self._recording.start, "wav2sleep")

    def _run(self, x: dict[str, torch.Tensor]) -> torch.Tensor:
        """Run the network on one recording and cut the padded epochs off."""
        if self._recording.n_epochs > N_EPOCHS_TRAINED:
            warn(
                f"The recording has {self._recording.n_epochs} epochs, more than the "
                f"{N_EPOCHS_TRAINED} (10 h) that the network was trained on."
            )
        dtype = _PRECISIONS[self._precision]
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, dtype, enabled=dtype != torch.float32),
        ):
            return self.model(x)[0, : self._recording.n_epochs]
