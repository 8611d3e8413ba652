"""Nights to learn from: a recording with its stages, prepared once and kept on disk."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path

import joblib
import mne
import numpy as np
import yasa
from mne.utils import _pl, logger, use_log_level
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..cautions import keep_cautions, warn
from ..hypnograms.probabilities import STAGE_NAMES
from ..hypnograms.reading import read_stages
from ..modalities import EPOCH_S, MODALITIES
from ..progress import track
from ..recordings.channels import ChannelName, match_channels
from ..recordings.opening import Recording, count_epochs, find_rates, open_recording
from ..recordings.reading import open_sources, read_signals
from ..signals.grid import interpolate_to_grid
from ..signals.validity import MEASURED, Validity

_FORMAT = "mne-wav2sleep night 3"
_UNSCORED = -1
_MEASURED = "{} measured"


@dataclass(frozen=True)
class Night:
    """A recording with its stages.

    Parameters
    ----------
    recording : mne.io.BaseRaw, str or Path
        A Raw, or a file that :func:`mne.io.read_raw` reads.
    hypnogram : yasa.Hypnogram, str, Path or None
        The stages: a Hypnogram, a file (YASA's ``.json``, Profusion's or NSRR's ``.xml``, ``.csv``
        or ``.tsv``, a stage per line in a ``.txt``, or annotations that MNE reads), or None for the
        recording's own annotations.
    subject : str
        Whose night it is. Nights of one subject are never parted between training and validation.
    dataset : str
        The cohort that it belongs to.
    channels : mapping of str to str, (str, str) or None
        Modality -> channel name, where the mapping has to be overruled.
    """

    recording: mne.io.BaseRaw | str | Path
    hypnogram: yasa.Hypnogram | str | Path | None
    subject: str
    dataset: str = "cohort"
    channels: Mapping[str, ChannelName] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What errors call this night."""
        files = [self.recording] if isinstance(self.recording, str | Path) else []
        files = files or [f for f in getattr(self.recording, "filenames", []) if f is not None]
        return f"{self.dataset}/{self.subject}" + (f" ({Path(files[0]).name})" if files else "")


@dataclass(frozen=True)
class PreparedNight:
    """A night on the network's grid, in a file whose samples are read when they are needed.

    Attributes
    ----------
    path : Path
        The safetensors file.
    subject, dataset : str
        Whose night it is, and of which cohort.
    modalities : tuple of str
        The signals in it, in alphabetical order.
    n_epochs : int
        Complete 30-s epochs.
    n_stages : int
        Number of stages it was scored with, 4 or 5.
    """

    path: Path
    subject: str
    dataset: str
    modalities: tuple[str, ...]
    n_epochs: int
    n_stages: int

    @property
    def name(self) -> str:
        """What errors call this night."""
        return f"{self.dataset}/{self.subject} ({self.path.name})"

    def check(self, modalities: Sequence[str], n_stages: int) -> None:
        """Raise ValueError if a network of these modalities and stages cannot use the night."""
        if not set(modalities) & set(self.modalities):
            raise ValueError(
                f"{self.name} has {', '.join(self.modalities)}, and the network reads "
                f"{', '.join(modalities)}: nothing in common. Leave the night out."
            )
        if n_stages > self.n_stages:
            raise ValueError(
                f"{self.name} was scored with {self.n_stages} stages and the network knows "
                f"{n_stages}. Score N1 and N2 apart, or train a network with {self.n_stages}."
            )

    def read_signals(
        self, modalities: Sequence[str], first: int = 0, n_epochs: int | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Read some epochs of some signals.

        Parameters
        ----------
        modalities : sequence of str
            The signals wanted, all of which the night must have.
        first : int
            The first epoch.
        n_epochs : int or None
            How many; None for all that follow. Fewer come where the night ends.

        Returns
        -------
        signals : dict of str to array of float32, shape (n_epochs * samples_per_epoch,)
            Signals on the network's grid, less their mean in the recording, so that 0 is what
            padding has to hold. The unit is the standard deviation of the recording.
        """
        last = self.n_epochs if n_epochs is None else min(first + n_epochs, self.n_epochs)
        signals = {}
        with safe_open(self.path, framework="numpy") as file:
            for name in modalities:
                samples = MODALITIES[name].samples_per_epoch
                piece = file.get_slice(name)[first * samples : last * samples]
                signals[name] = piece.astype(np.float32)
        return signals

    def read_measured(self, modality: str) -> NDArray[np.bool_]:
        """Read in which epochs a signal was measured, an array of shape (n_epochs,)."""
        with safe_open(self.path, framework="numpy") as file:
            return np.asarray(file.get_tensor(_MEASURED.format(modality)), dtype=bool)

    def read_stages(self, n_stages: int) -> NDArray[np.int64]:
        """Read the stages.

        Parameters
        ----------
        n_stages : int
            How many stages the network knows: 5 are folded to 4 where it asks.

        Returns
        -------
        stages : array of int, shape (n_epochs,)
            Positions in :data:`~mne_wav2sleep.hypnograms.probabilities.STAGE_NAMES`, -1 where unscored.

        Raises
        ------
        ValueError
            If the night was scored with 4 stages and the network knows 5.
        """
        self.check(self.modalities, n_stages)
        with safe_open(self.path, framework="numpy") as file:
            codes = file.get_tensor("stages")
        return _fold(self.n_stages, n_stages)[codes]

    def read_hypnogram(self, n_stages: int) -> yasa.Hypnogram:
        """Read the stages as a Hypnogram with 4 or 5 stages, as :meth:`read_stages` does."""
        names = [*STAGE_NAMES[n_stages], "UNS"]  # position -1 is the last
        stages = [names[i] for i in self.read_stages(n_stages)]
        return yasa.Hypnogram(stages, n_stages=n_stages, scorer="expert")


@cache
def _fold(n_scored: int, n_stages: int) -> NDArray[np.int64]:
    """Position of each scored stage among fewer ones, as YASA folds them; -1, the last, is kept."""
    hyp = yasa.Hypnogram(list(STAGE_NAMES[n_scored]), n_stages=n_scored)
    folded = hyp if n_stages == n_scored else hyp.consolidate_stages(n_stages)
    return np.array([*(STAGE_NAMES[n_stages].index(s) for s in folded.hypno), _UNSCORED])


def open_night(path: str | Path) -> PreparedNight:
    """Open a prepared night without reading its samples.

    Parameters
    ----------
    path : str or Path
        A file that :func:`prepare_nights` wrote.

    Returns
    -------
    night : PreparedNight
        The night.

    Raises
    ------
    ValueError
        If the file is damaged, or is none of ours.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {})["night"])
            names = set(file.keys())
        modalities = header["modalities"]
        expected = {"stages", *modalities, *map(_MEASURED.format, modalities)}
        if header["format"] != _FORMAT or names != expected:
            raise KeyError("format")
        return PreparedNight(
            path,
            str(header["subject"]),
            str(header["dataset"]),
            tuple(modalities),
            int(header["n_epochs"]),
            int(header["n_stages"]),
        )
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is no prepared night, or is damaged ({type(error).__name__}). Remove it, and "
            "prepare the night again."
        ) from error


def _align(night: Night, recording: Recording) -> tuple[yasa.Hypnogram, float]:
    """Cut and pad the stages to the recording's epochs, which begin with the stages' own.

    Returns the stages and the seconds of the recording before its first epoch, under 30.
    """
    # Of a recording with gaps, MNE keeps the annotations in the file alone.
    own = recording.path if recording.gaps else None
    with keep_cautions([], say=False):  # what is warned of there, is refused here
        hyp, onset = read_stages(night.hypnogram or own, recording.raw)
    n_samples, sfreq = recording.n_samples, recording.raw.info["sfreq"]
    if onset is None:
        # Nothing but the lengths can tell whether the two belong together.
        excess = hyp.n_epochs - recording.n_epochs
        if abs(excess) > 1:
            raise ValueError(
                f"the hypnogram has {hyp.n_epochs} epochs of 30 s, {abs(excess)} "
                f"{'more' if excess > 0 else 'fewer'} than the recording, and no common clock "
                "says where it belongs. Give it a start (and the recording a date), or cut both "
                "to the same length."
            )
        onset = 0.0
    shift = onset % EPOCH_S
    if EPOCH_S - shift < 0.01:  # clocks are kept to the microsecond
        shift = 0.0
    n_epochs = count_epochs(n_samples - shift * sfreq, sfreq)
    first = round((onset - shift) / EPOCH_S)
    if first >= n_epochs or first + hyp.n_epochs <= 0:
        raise ValueError(
            f"the hypnogram (begins {onset / 60:.1f} min after the recording, lasts "
            f"{hyp.n_epochs / 2:.1f} min) and the recording ({n_samples / sfreq / 60:.1f} min) do "
            "not overlap. Check the dates of both."
        )
    if hyp.n_epochs > n_epochs + 1 and first == 0:
        raise ValueError(
            f"the hypnogram has {hyp.n_epochs} epochs of 30 s and the recording {n_epochs}. Check "
            "that the two belong together; crop the hypnogram if they do."
        )
    begin, end = max(-first, 0), min(hyp.n_epochs, n_epochs - first)
    stages = ["UNS"] * max(first, 0) + list(hyp.hypno)[begin:end]
    stages += ["UNS"] * (n_epochs - len(stages))
    return yasa.Hypnogram(stages, n_stages=hyp.n_stages, scorer="expert"), shift


def _prepare(
    night: Night, dtype: str, validity: Validity
) -> tuple[dict[str, NDArray], dict[str, object]]:
    """Put a night on the network's grid: tensors by name, and the header."""
    recording = open_recording(night.recording)
    channels = find_rates(recording, match_channels(recording.raw, names=night.channels))
    hyp, shift = _align(night, recording)
    n_epochs = hyp.n_epochs
    codes = {stage: i for i, stage in enumerate(STAGE_NAMES[hyp.n_stages])}
    stages = np.array([codes.get(stage, _UNSCORED) for stage in hyp.hypno], dtype=np.int8)
    if (stages == _UNSCORED).all():
        raise ValueError(
            "not one epoch of it is scored. Check the hypnogram, and that its clock is the "
            "recording's."
        )
    tensors: dict[str, NDArray] = {"stages": stages}
    sources = open_sources(recording, channels)
    for modality, signal in read_signals(recording, sources, validity, start=shift).items():
        measured = signal.epochs == MEASURED
        if not measured.any():
            continue
        data = signal.data - signal.data.mean()
        data /= data.std() or 1.0
        samples = MODALITIES[modality].samples_per_epoch
        grid = interpolate_to_grid(data, signal.sfreq, samples, n_epochs)
        tensors[modality] = grid.astype(dtype)
        tensors[_MEASURED.format(modality)] = measured
    if set(tensors) == {"stages"}:
        raise ValueError("none of its channels has a signal in it. Check the recording.")
    start = recording.start and recording.start + timedelta(seconds=shift)
    return tensors, {
        "format": _FORMAT,
        "subject": night.subject,
        "dataset": night.dataset,
        "modalities": sorted(set(MODALITIES) & set(tensors)),
        "channels": {m: str(c) for m, c in channels["channel"].items()},
        "n_epochs": n_epochs,
        "n_stages": hyp.n_stages,
        "start": start and start.isoformat(),
        "source": night.name,
    }


def _fingerprint(night: Night, dtype: str, validity: Validity) -> str:
    """Hash of all that decides what a prepared night holds, so that no stale file is taken."""
    parts: list[str] = [_FORMAT, dtype, night.subject, night.dataset, str(dict(night.channels))]
    parts.append(str(validity))
    digest = hashlib.sha256()
    for source in (night.recording, night.hypnogram):
        if isinstance(source, str | Path) and Path(source).exists():
            stat = Path(source).stat()
            parts.append(f"{Path(source).absolute()} {stat.st_size} {stat.st_mtime_ns}")
        elif isinstance(source, mne.io.BaseRaw):
            parts.append(f"{source.ch_names} {source.info['sfreq']} {source.info['meas_date']}")
            parts.append(f"{source.info['bads']} {list(source.annotations)}")
            for block in range(0, source.n_times, 1_000_000):
                digest.update(source[:, block : block + 1_000_000][0].tobytes())
        elif isinstance(source, yasa.Hypnogram):
            parts.append(json.dumps(list(source.hypno)) + f"{source.start} {source.freq}")
        else:
            parts.append(str(source))
    digest.update("\n".join(parts).encode())
    return digest.hexdigest()[:16]


def _prepare_file(
    night: Night, folder: Path, dtype: str, validity: Validity
) -> tuple[PreparedNight | Exception, list[str]]:
    """Prepare one night, unless it is there, and keep the warnings; an error is an answer too."""
    cautions: list[str] = []
    try:
        safe = "".join(c if c.isalnum() else "-" for c in f"{night.dataset}-{night.subject}")
        path = folder / f"{safe}-{_fingerprint(night, dtype, validity)}.safetensors"
        if not path.exists():
            # What MNE logs of each file it opens would drown all else.
            with (
                use_log_level(max(logger.level, logging.WARNING)),
                keep_cautions(cautions, say=False),
            ):
                tensors, header = _prepare(night, dtype, validity)
            # Written under another name first: a file that is there is whole.
            unfinished = path.with_suffix(".unfinished")
            save_file(tensors, unfinished, metadata={"night": json.dumps(header)})
            unfinished.rename(path)
        return open_night(path), cautions
    except Exception as error:  # whatever breaks one night must not stop the others
        return error, cautions


def _check_subjects(nights: Sequence[Night]) -> None:
    """Refuse one recording under two subjects, which would be parted from itself."""
    subjects: dict[Path, str] = {}
    for night in nights:
        if isinstance(night.recording, mne.io.BaseRaw):
            continue
        path = Path(night.recording).absolute()
        if (other := subjects.setdefault(path, night.subject)) != night.subject:
            raise ValueError(
                f"{path} is a night of two subjects, {other!r} and {night.subject!r}, so that "
                "training and validation could share it. Name one."
            )


def prepare_nights(
    nights: Sequence[Night | PreparedNight],
    folder: str | Path,
    *,
    dtype: str = "float16",
    validity: Validity | None = None,
    n_jobs: int = 1,
    on_error: str = "raise",
) -> list[PreparedNight]:
    """Put nights on the network's grid, once.

    Parameters
    ----------
    nights : sequence of Night or PreparedNight
        The nights. What is prepared already is handed through.
    folder : str or Path
        Where the files go. A night whose file is there and whose sources have not changed is not
        prepared again, so that an interrupted run goes on where it stopped.
    dtype : str
        ``"float16"`` (10 MB for 8 h of four signals take 5) or ``"float32"``.
    validity : Validity or None
        What counts as measured; None for ``Validity()``. What was not measured teaches nothing.
    n_jobs : int
        How many nights at a time, on joblib's current backend.
    on_error : str
        ``"raise"``: after all the others, name the nights that could not be prepared;
        ``"warn"``: leave them out.

    Returns
    -------
    prepared : list of PreparedNight
        The nights, in the order given.

    Raises
    ------
    ValueError
        If nights could not be prepared; the message names each with its reason.
    """
    mne.utils._check_option("dtype", dtype, ["float16", "float32"])
    mne.utils._check_option("on_error", on_error, ["raise", "warn"])
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    todo = [night for night in nights if isinstance(night, Night)]
    _check_subjects(todo)
    limits = Validity() if validity is None else validity
    jobs = (joblib.delayed(_prepare_file)(night, folder, dtype, limits) for night in todo)
    results = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    done = iter(track(results, "Preparing", "night", total=len(todo)))
    prepared, failed = [], []
    for night in nights:
        result, cautions = (night, []) if isinstance(night, PreparedNight) else next(done)
        for caution in cautions:
            warn(f"{night.name}: {caution}")
        if isinstance(result, PreparedNight):
            prepared.append(result)
        else:
            failed.append(f"{night.name}: {result}")
    if failed:
        message = f"{len(failed)} of {len(nights)} night{_pl(nights)} cannot be used. " + "\n".join(
            failed
        )
        if on_error == "raise":
            raise ValueError(message)
        warn(message)
    return prepared
