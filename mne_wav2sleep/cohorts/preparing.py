"""Nights put on the network's grid, once, and kept on disk."""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import joblib
import mne
import numpy as np
import yasa
from numpy.typing import NDArray
from safetensors.numpy import save_file

from ..cautions import keep_cautions, warn
from ..clock import count_epochs
from ..errors import summarize_error
from ..formats.edf import SUFFIXES
from ..hypnograms.aligning import HOLES, cut_hypnogram
from ..hypnograms.reading import locate_hypnogram
from ..modalities import EPOCH_S, MODALITIES, STAGE_NAMES
from ..progress import track
from ..recordings import Recording, open_recording
from ..recordings.channels import map_channels
from ..recordings.opening import set_rates
from ..recordings.reading import read_signals, warn_of_slow_channels
from ..signals import Reason, Validity
from ..signals.batch import resample_signal
from ..verbosity import (
    Verbosity,
    check_option,
    check_type,
    logger,
    pluralize,
    use_log_level,
    verbose,
)
from .nights import FORMAT, MEASURED, UNSCORED, Night, PreparedNight, open_night

_LONGEST_NAME = 60
"""Characters of a subject and a dataset in the name of a file, of up to 4 bytes each."""


def _align(night: Night, recording: Recording) -> tuple[yasa.Hypnogram, float]:
    """Cut and pad the stages to the recording; its epochs are shifted to those of the stages.

    Returns the stages, and the duration before the first epoch in s, under 30.
    """
    # For a recording with gaps, MNE has the annotations only in the file.
    own = recording.reader.path if recording.reader.gaps else None
    if own is not None and night.hypnogram is None and own.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"the recording was paused, first after {recording.reader.gaps[0][0] / 60:.1f} min, "
            "and the stages in its own annotations do not count the pauses. Give a hypnogram with "
            "clock times."
        )
    # Lengths that differ are errors here.
    hyp, onset = locate_hypnogram(
        night.hypnogram or own,
        recording.raw,
        onsets_from=night.onsets_from,
        meas_date_is_local=night.meas_date_is_local,
        check_length=False,
    )
    holes = hyp.hypno.attrs.get(HOLES, 0.0)
    if holes > 0.5:
        raise ValueError(
            f"its hypnogram has no stage in {holes:.0%} of the epochs from its first stage to its "
            "last, and does not mark them as unscored, so that most of its stages may be lost. "
            "Check that no events are missing and that each stage has its duration, or label what "
            "was not scored '?'."
        )
    n_samples, sfreq = recording.reader.n_samples, recording.raw.info["sfreq"]
    if onset is None:
        # Only the lengths can show whether the two belong together.
        excess = hyp.n_epochs - recording.n_epochs
        if abs(excess) > 1:
            raise ValueError(
                f"the hypnogram has {hyp.n_epochs} epochs of 30 s, {abs(excess)} "
                f"{'more' if excess > 0 else 'fewer'} than the recording, and cannot be aligned "
                "without a start time. Give it a start (and the recording a date), or cut both "
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
            f"the hypnogram has {hyp.n_epochs} epochs of 30 s, but the recording has {n_epochs}. "
            "Check that they belong together, and crop the hypnogram if they do."
        )
    return cut_hypnogram(hyp, first, n_epochs), shift


def _resample_night(
    night: Night, dtype: str, validity: Validity
) -> tuple[dict[str, NDArray], dict[str, object]]:
    """Resample a night to the network's grid; give tensors by name, and the header."""
    recording = open_recording(night.recording)
    channels = set_rates(recording, map_channels(recording.raw, night.ch_names))
    hyp, shift = _align(night, recording)
    n_epochs = hyp.n_epochs
    codes = {stage: i for i, stage in enumerate(STAGE_NAMES[hyp.n_stages])}
    stages = np.array([codes.get(stage, UNSCORED) for stage in hyp.hypno], dtype=np.int8)
    if (stages == UNSCORED).all():
        raise ValueError(
            "none of its epochs is scored. Check the hypnogram, and that its clock is that of the "
            "recording."
        )
    tensors: dict[str, NDArray] = {"stages": stages}
    warn_of_slow_channels(channels)
    for modality, signal in read_signals(recording, channels, validity, start=shift).items():
        measured = signal.epochs == Reason.MEASURED
        if not measured.any():
            continue
        data = signal.data - signal.data.mean()
        data /= data.std() or 1.0
        grid = resample_signal(modality, data, signal.sfreq, n_epochs)
        if grid is None:
            continue
        tensors[modality] = grid.astype(dtype)
        tensors[MEASURED.format(modality)] = measured
    if set(tensors) == {"stages"}:
        raise ValueError("none of its channels contains a signal. Check the recording.")
    start = recording.start and recording.start + timedelta(seconds=shift)
    return tensors, {
        "format": FORMAT,
        "subject": night.subject,
        "dataset": night.dataset,
        "modalities": sorted(set(MODALITIES) & set(tensors)),
        "channels": {channel.modality: str(channel.name) for channel in channels},
        "n_epochs": n_epochs,
        "n_stages": hyp.n_stages,
        "start": start and start.isoformat(),
        "source": night.name,
    }


def _hash_sources(night: Night, dtype: str, validity: Validity) -> str:
    """Hash everything that a prepared night depends on, so that no stale file is used."""
    parts: list[str] = [FORMAT, dtype, night.subject, night.dataset, str(dict(night.ch_names))]
    parts.append(f"{validity} {night.onsets_from} {night.meas_date_is_local}")
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
    digest.update("\n".join(parts).encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def _prepare_file(
    night: Night, folder: Path, dtype: str, validity: Validity
) -> tuple[PreparedNight | Exception, list[str]]:
    """Prepare a night, unless its file exists; return it or its error, and its warnings."""
    cautions: list[str] = []
    try:
        safe = "".join(c if c.isalnum() else "-" for c in f"{night.dataset}-{night.subject}")
        path = (
            folder / f"{safe[:_LONGEST_NAME]}-{_hash_sources(night, dtype, validity)}.safetensors"
        )
        if not path.exists():
            # MNE logs each file that it opens.
            with (
                use_log_level(max(logger.level, logging.WARNING)),
                keep_cautions(cautions, show=False),
            ):
                tensors, header = _resample_night(night, dtype, validity)
            # Renamed when complete, so that every file that exists is complete.
            unfinished = path.with_suffix(".unfinished")
            save_file(tensors, unfinished, metadata={"night": json.dumps(header)})
            unfinished.rename(path)
        return open_night(path), cautions
    except Exception as error:  # no error of one night may stop the others
        return error, cautions


def _describe(error: Exception) -> str:
    """Describe why a night cannot be prepared; other types of errors may be faults of the code."""
    expected = isinstance(error, ValueError | OSError | RuntimeError)
    return str(error) if expected else summarize_error(error)


def _check_nights(nights: Sequence[Night | PreparedNight]) -> None:
    """Check that there are only nights, each once."""
    if isinstance(nights, Night | PreparedNight):
        raise TypeError("nights must be a list of nights, got a single one. Put it in a list.")
    for night in nights:
        check_type(night, (Night, PreparedNight), "each of the nights")
    seen = set()
    for night in nights:
        if isinstance(night, PreparedNight):
            key = str(night.path)
        else:  # Raws and hypnograms have no useful equality
            sources = (night.recording, night.hypnogram)
            names = [str(s) if isinstance(s, str | Path) else str(id(s)) for s in sources]
            key = f"{names} {night.subject} {night.dataset} {dict(night.ch_names)}"
        if key in seen:
            raise ValueError(
                f"{night.name} is given twice and would count twice. Give each night once."
            )
        seen.add(key)


def _check_subjects(nights: Sequence[Night]) -> None:
    """Refuse a recording of two subjects, which could end up in both splits."""
    subjects: dict[Path, str] = {}
    for night in nights:
        if isinstance(night.recording, mne.io.BaseRaw):
            continue
        path = Path(night.recording).absolute()
        if (other := subjects.setdefault(path, night.subject)) != night.subject:
            raise ValueError(
                f"{path} is listed for two subjects, {other!r} and {night.subject!r}, so that it "
                "could be used for both training and validation. Give it one subject."
            )


@verbose
def prepare_nights(
    nights: Sequence[Night | PreparedNight],
    folder: str | Path,
    *,
    dtype: str = "float16",
    validity: Validity | None = None,
    n_jobs: int = 1,
    on_error: str = "raise",
    verbose: Verbosity = None,
) -> list[PreparedNight]:
    """Resample nights to the network's grid and save them, to be read many times.

    Parameters
    ----------
    nights : sequence of Night or PreparedNight
        The nights. Prepared ones are returned as they are.
    folder : str or Path
        Where the files are written. A night whose file exists and whose sources have not changed
        is not prepared again; call the function again to resume an interrupted run.
    dtype : str
        ``"float16"`` (5 MB for 8 h of four signals) or ``"float32"`` (10 MB).
    validity : Validity or None
        What counts as measured; None for ``Validity()``. Epochs that were not measured are
        ignored in training and evaluation.
    n_jobs : int
        Number of nights prepared in parallel, with joblib's current backend.
    on_error : str
        What to do with nights that cannot be prepared, after all others were: ``"raise"`` an
        error that names them, or ``"warn"`` and leave them out.
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    prepared : list of PreparedNight
        The nights, in the order given.

    Raises
    ------
    TypeError
        If ``nights`` is not a sequence of nights.
    ValueError
        If a night is given twice, or nights cannot be prepared; the message gives the reason for
        each, and the first error is its cause.

    Examples
    --------
    >>> import tempfile
    >>> from mne_wav2sleep import simulate_night
    >>> raw = simulate_night(duration=3600, modalities=["THX"], seed=0, verbose="error")
    >>> night = Night(raw, None, subject="simulated")
    >>> [prepared] = prepare_nights([night], tempfile.mkdtemp(), verbose="error")
    >>> prepared.modalities, prepared.n_epochs
    (('THX',), 120)
    """
    _check_nights(nights)
    check_option("dtype", dtype, ["float16", "float32"])
    check_option("on_error", on_error, ["raise", "warn"])
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"{folder} cannot be a folder of prepared nights ({summarize_error(error)}). Choose "
            "another folder, which exists or can be created."
        ) from error
    todo = [night for night in nights if isinstance(night, Night)]
    _check_subjects(todo)
    limits = Validity() if validity is None else validity
    jobs = (joblib.delayed(_prepare_file)(night, folder, dtype, limits) for night in todo)
    results = joblib.Parallel(n_jobs=n_jobs, return_as="generator")(jobs)
    done = iter(track(results, "Preparing", "night", total=len(todo)))
    prepared: list[PreparedNight] = []
    failed: dict[str, Exception] = {}
    for night in nights:
        result, cautions = (night, []) if isinstance(night, PreparedNight) else next(done)
        for caution in cautions:
            warn(f"{night.name}: {caution}")
        if isinstance(result, PreparedNight):
            prepared.append(result)
        else:
            failed[night.name] = result
    if failed:
        message = (
            f"{len(failed)} of {len(nights)} night{pluralize(nights)} cannot be used. "
            + "\n".join(f"{name}: {_describe(error)}" for name, error in failed.items())
        )
        if on_error == "raise":
            raise ValueError(message) from next(iter(failed.values()))
        warn(message)
    return prepared


@contextmanager
def open_prepared(
    nights: Sequence[Night | PreparedNight], folder: str | Path | None
) -> Iterator[list[PreparedNight]]:
    """Prepare nights that are not prepared yet, for as long as they are needed.

    Parameters
    ----------
    nights : sequence of Night or PreparedNight
        The nights.
    folder : str, Path or None
        Where to keep prepared nights; None for a temporary folder, which is removed at the end.

    Yields
    ------
    prepared : list of PreparedNight
        The nights, in the order given.
    """
    with ExitStack() as stack:
        if folder is None:
            folder = stack.enter_context(TemporaryDirectory(prefix="mne-wav2sleep-"))
        yield prepare_nights(nights, folder)
