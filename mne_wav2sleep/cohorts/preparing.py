"""Nights put on the network's grid, once, and kept on disk."""

import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yasa
from numpy.typing import NDArray
from safetensors.numpy import save

from ..cautions import keep_cautions, warn
from ..clock import count_epochs
from ..errors import describe_error, find_full_disk, summarize_error
from ..formats.edf import SUFFIXES
from ..hypnograms.aligning import HOLES, cut_hypnogram
from ..hypnograms.reading import locate_hypnogram
from ..modalities import (
    EPOCH_S,
    MODALITIES,
    STAGE_NAMES,
    Modality,
    choose_prepared,
    describe_added,
)
from ..output import remove_leftovers, write_whole
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
    logger,
    pluralize,
    use_log_level,
    verbose,
)
from .checksums import compute_checksum
from .identity import check_contents, check_nights
from .nights import (
    FORMAT,
    MEASURED,
    UNSCORED,
    Night,
    PreparedNight,
    make_absolute,
    open_night,
    sort_nights,
)
from .parallel import LostProcessError, check_n_jobs, run_tasks
from .sources import hash_sources, shorten_hash

_LONGEST_NAME = 60
"""Characters of a subject and a dataset in the name of a file, of up to 4 bytes each."""
_Outcome = tuple[PreparedNight | Exception, list[str]]
"""A prepared night, or why there is none, and the warnings about it."""
_LEFTOVER_S = 3600.0
"""Age in seconds of an unfinished file that no process can still be writing."""


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
    night: Night, dtype: str, validity: Validity, modalities: Collection[str]
) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """Resample a night to the network's grid; give tensors by name, and the header."""
    recording = open_recording(night.recording)
    channels = set_rates(recording, map_channels(recording.raw, night.ch_names, modalities))
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
    ends: dict[str, float] = {}
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
        ends[modality] = float(data[-1:].astype(dtype)[0])
        tensors[MEASURED.format(modality)] = measured
    if set(tensors) == {"stages"}:
        raise ValueError("none of its channels contains a signal. Check the recording.")
    start = recording.start and recording.start + timedelta(seconds=shift)
    return tensors, {
        "format": FORMAT,
        "subject": night.subject,
        "dataset": night.dataset,
        "modalities": (found := sorted(set(MODALITIES) & set(tensors))),
        "channels": {channel.modality: str(channel.name) for channel in channels},
        "ends": ends,
        "n_epochs": n_epochs,
        "n_stages": hyp.n_stages,
        "start": start and start.isoformat(),
        "recording": night.file,
        **({"definitions": added["modalities"]} if (added := describe_added(found)) else {}),
    }


def _describe_contents(
    tensors: dict[str, NDArray], modalities: Sequence[str], recording: str
) -> dict[str, object]:
    """Hash the recording, its signals and the stages, by which copies are found."""
    # In half precision, so that a night is the same in both.
    signals = [hashlib.sha256(tensors[m].astype(np.float16).tobytes()) for m in modalities]
    contents = [recording] * bool(recording) + [shorten_hash(digest) for digest in signals]
    scoring = shorten_hash(hashlib.sha256(tensors["stages"].tobytes()))
    return {"contents": list(dict.fromkeys(contents)), "scoring": scoring}


def _write_night(path: Path, tensors: dict[str, NDArray], header: dict[str, Any]) -> None:
    """Write a prepared night atomically, as a file that others may read as the umask allows."""
    header["checksum"] = compute_checksum(header, tensors)
    with write_whole(path, overwrite=True, is_result=False) as unfinished:
        # Not save_file, which makes files that only their owner may read.
        unfinished.write_bytes(save(tensors, metadata={"night": json.dumps(header)}))


def _open_or_none(path: Path) -> PreparedNight | None:
    """Open a prepared night; None if there is none, or it is damaged."""
    if not path.exists():
        return None
    try:
        return open_night(path)
    except ValueError:
        warn(f"{path} is damaged. The night is prepared again.")
        return None


def _prepare_file(
    task: tuple[Night, Sequence[Modality]], folder: Path, dtype: str, validity: Validity
) -> _Outcome:
    """Prepare a night, unless its file exists; return it or its error, and its warnings."""
    night, wanted = task  # modalities that were added have added themselves to this process
    modalities = [one.name for one in wanted]
    cautions: list[str] = []
    try:
        # MNE logs each file that it opens.
        with (
            use_log_level(max(logger.level, logging.WARNING)),
            keep_cautions(cautions, show=False),
        ):
            key, recording = hash_sources(night, folder, dtype, validity, modalities)
            safe = "".join(c if c.isalnum() else "-" for c in f"{night.dataset}-{night.subject}")
            path = folder / f"{safe[:_LONGEST_NAME]}-{key}.safetensors"
            prepared = _open_or_none(path)
            if prepared is None:
                tensors, header = _resample_night(night, dtype, validity, modalities)
                header |= _describe_contents(tensors, header["modalities"], recording)
                _write_night(path, tensors, header)
                prepared = open_night(path)
        # A copy may have another name.
        return replace(prepared, recording=night.file), cautions
    except Exception as error:  # no error of one night may stop the others
        return error, cautions


@verbose
def prepare_nights(
    nights: Sequence[Night | PreparedNight],
    folder: str | Path,
    *,
    dtype: str = "float16",
    validity: Validity | None = None,
    modalities: Collection[str] | None = None,
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
        Where the files are written; several runs, also at once, can share it. A night that was
        prepared there is not prepared again, unless the contents of a file of its recording or of
        its hypnogram have changed, or the prepared file is damaged; call the function again to
        resume an interrupted run.
    dtype : str
        ``"float16"`` (5 MB for 8 h of four signals) or ``"float32"`` (10 MB).
    validity : Validity or None
        What counts as measured; None for ``Validity()``. Epochs that were not measured are
        ignored in training and evaluation.
    modalities : collection of str or None
        Modalities of a network for which the nights are prepared, such as ``weights.modalities``;
        None for those of the released weights. Nights are also prepared with the other modalities
        of the released weights, unless the network reads none of these, and with those that
        ``ch_names`` of a night names.
    n_jobs : int
        Number of nights prepared in parallel, with joblib's current backend; -1 for as many as
        there are CPUs, -2 for one less, and so on.
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
        If a night is given twice, a recording, or a copy of it, has two subjects, or nights cannot
        be prepared; the message gives the reason for each, and the first error is its cause.
    OSError
        If the folder cannot be written to. A full disk ends preparing, whatever ``on_error`` is.

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
    check_nights(nights)
    check_option("dtype", dtype, ["float16", "float32"])
    check_option("on_error", on_error, ["raise", "warn"])
    check_n_jobs(n_jobs)
    folder = Path(folder).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"{folder} cannot be a folder of prepared nights ({summarize_error(error)}). Choose "
            "another folder, which exists or can be created."
        ) from error
    for one in (folder, folder / "sources"):
        remove_leftovers(one, age_s=_LEFTOVER_S)
    todo = [
        (
            make_absolute(night),
            [MODALITIES[name] for name in choose_prepared(modalities, night.ch_names)],
        )
        for night in nights
        if isinstance(night, Night)
    ]
    limits = Validity() if validity is None else validity
    prepare = partial(_prepare_file, folder=folder, dtype=dtype, validity=limits)
    results = run_tasks(prepare, todo, n_jobs)
    found: dict[int, _Outcome | LostProcessError] = {}
    for number, outcome in track(results, "Preparing", "night", total=len(todo), is_long=True):
        found[number] = outcome
        result = outcome[0] if isinstance(outcome, tuple) else outcome
        if isinstance(result, Exception) and find_full_disk(result) is not None:
            raise result  # which is not the fault of this night
    done = iter(found[number] for number in range(len(todo)))
    prepared: list[PreparedNight] = []
    failed: list[tuple[Night | PreparedNight, Exception]] = []
    for night in nights:
        outcome = (night, []) if isinstance(night, PreparedNight) else next(done)
        result, cautions = outcome if isinstance(outcome, tuple) else (outcome, [])
        for caution in cautions:
            warn(f"{night.name}: {caution}")
        if isinstance(result, PreparedNight):
            prepared.append(result)
        else:
            failed.append((night, result))
    if failed:
        message = (
            f"{len(failed)} of {len(nights)} night{pluralize(nights)} cannot be used. "
            + "\n".join(f"{night.name}: {describe_error(error)}" for night, error in failed)
        )
        if on_error == "raise":
            raise ValueError(message) from failed[0][1]
        warn(message)
    check_contents(prepared)
    return prepared


@contextmanager
def open_prepared(
    nights: Sequence[Night | PreparedNight],
    cache: str | Path | None,
    n_jobs: int = 1,
    modalities: Collection[str] | None = None,
) -> Iterator[list[PreparedNight]]:
    """Prepare nights that are not prepared yet, for as long as they are needed.

    Parameters
    ----------
    nights : sequence of Night or PreparedNight
        The nights.
    cache : str, Path or None
        Where to keep prepared nights; None for a temporary folder, which is removed at the end.
    n_jobs : int
        Number of nights prepared in parallel, as in :func:`prepare_nights`.
    modalities : collection of str or None
        Modalities of the network, as in :func:`prepare_nights`.

    Yields
    ------
    prepared : list of PreparedNight
        The nights, sorted by dataset and subject.
    """
    with ExitStack() as stack:
        if cache is None:
            cache = stack.enter_context(TemporaryDirectory(prefix="mne-wav2sleep-"))
        yield sort_nights(prepare_nights(nights, cache, n_jobs=n_jobs, modalities=modalities))
