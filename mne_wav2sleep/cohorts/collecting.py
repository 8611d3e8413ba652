"""Nights from wherever a lab has them: a folder, a table, or a BIDS dataset."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from ..cautions import keep_cautions, warn
from ..errors import describe_error
from ..hypnograms.clock_times import show_time
from ..hypnograms.lights import find_lights
from ..modalities import Modality, list_added
from ..network import LoadedWeights
from ..network.registry import describe_weights
from ..progress import track
from ..recordings import open_recording
from ..recordings.channels import ChannelName, map_channels
from ..recordings.labels import check_ch_names
from ..recordings.opening import set_rates
from ..showing import escape_lone
from ..staging.domain import warn_of_domain
from ..verbosity import Verbosity, check_type, use_log_level, verbose
from .bids.reading import read_bids
from .finding import find_recordings, is_named_as_recording, pair_hypnograms
from .identity import check_nights
from .naming import name_nights
from .nights import Night, make_absolute
from .notes import SEPARATOR, describe_lost_hypnogram
from .parallel import run_tasks
from .table import describe_nights, read_nights, read_text

_BIDS = "dataset_description.json"
"""File by which a folder is known to be a BIDS dataset."""


def find_nights(
    source: str | Path, *, ch_names: Mapping[str, ChannelName] | None = None
) -> list[Night]:
    """Find the nights of a folder, a table or a BIDS dataset.

    Parameters
    ----------
    source : str or Path
        A folder, which is searched for recordings with the folders in it; a table, as
        :func:`read_nights` reads it; a BIDS dataset, as :func:`read_bids` reads it; or a recording,
        by its suffix.
    ch_names : mapping of str to str, (str, str) or None, optional
        Overrides the mapping of channels of all nights, as in
        :class:`~mne_wav2sleep.SleepStagerW2S`; what a night names itself is kept.

    Returns
    -------
    nights : list of Night
        The nights, without opening the recordings. In a folder, each recording counts as a subject,
        named by its path without the suffix, and the hypnogram is a file beside it whose name
        shows that it belongs to it. Give a table if a person has several recordings.

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder.
    TypeError, ValueError
        If there are no nights, the table cannot be read, or ``ch_names`` is something else.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "p01.edf").touch()
    >>> [night.subject for night in find_nights(folder)]
    ['p01']
    """
    check_type(source, "path-like", "source")
    check_ch_names(ch_names)
    path = Path(source).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"There is no folder or table of nights at {path}. Check the path.")
    if is_named_as_recording(path):
        nights = _pair([path], path.absolute().parent)
    elif not path.is_dir():
        _check_table(path)
        nights = read_nights(path)
    elif (path / _BIDS).is_file():
        nights = read_bids(path)
    else:
        nights = _search(path)
    named = ch_names or {}
    return [replace(night, ch_names={**named, **night.ch_names}) for night in nights]


def _check_table(path: Path) -> None:
    """Refuse a file that has neither the suffix nor the columns of a table of nights."""
    if path.suffix.lower() in (".csv", ".tsv") or not path.is_file():  # it may be a pipe
        return
    kind = describe_nights()
    try:
        header = read_text(path, kind).split("\n", 1)[0]
    except ValueError:
        header = ""
    if not set(kind.needed) & set(re.findall(r"\w+", header)):
        raise ValueError(
            f"{path} is not a recording, a table of nights or a folder. Give one of them; a "
            f"recording whose suffix is not known must be in a table. {kind.advice}"
        )


@verbose
def preview_nights(
    nights: Sequence[Night],
    weights: str | Path | LoadedWeights = "wav2sleep",
    *,
    n_jobs: int | None = None,
    verbose: Verbosity = None,
) -> pd.DataFrame:
    """Show what would be staged, from the headers of the recordings alone.

    Parameters
    ----------
    nights : sequence of Night
        The nights, from :func:`find_nights`.
    weights : str, Path or LoadedWeights
        The weights, whose signals decide which channels are used. Nothing is downloaded.
    n_jobs : int or None
        Number of recordings that are opened at a time, as in :func:`stage_cohort`.
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    preview : pandas.DataFrame
        One row per night, by the name that it will have: ``subject``, ``dataset``, ``hours``, the
        channel of each modality, the file of the ``hypnogram``, ``lights_off`` and ``lights_on`` as
        far as they are known before staging (the first and the last, if there are several), the
        ``problem`` if it cannot be staged, and the ``warnings`` of opening it, separated by a
        vertical bar. Staging may give more, about the signals.

    Raises
    ------
    TypeError, ValueError
        If there are no nights, or a night is given twice.
    """
    modalities = describe_weights(weights).modalities  # first, as they may define some
    named = collect(nights)
    rows: dict[str, dict[str, Any]] = {}
    look = partial(_look, modalities=modalities, _added=list_added(modalities))
    results = run_tasks(look, list(named.values()), n_jobs)
    tasks = list(named.items())
    for number, found in track(results, "Opening", "night", total=len(tasks), is_long=True):
        name, night = tasks[number]
        scored = night.hypnogram
        values = {"problem": str(found)} if isinstance(found, Exception) else found
        given = {
            "subject": night.subject,
            "dataset": night.dataset,
            "hypnogram": Path(scored).name if isinstance(scored, str | Path) else None,
        }
        rows[name] = {what: escape_lone(value) for what, value in (given | values).items()}
    columns = ["subject", "dataset", "hours", *modalities, "hypnogram", "lights_off", "lights_on"]
    columns += ["problem", "warnings"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).astype(object)
    return table.loc[list(named)].rename_axis(index="night")


def _look(
    night: Night, modalities: Sequence[str], _added: Sequence[Modality] = ()
) -> dict[str, Any]:
    """Open a recording and map its channels, or give the reason why it cannot be staged."""
    # Added modalities are sent along, as they add themselves where they arrive.
    cautions: list[str] = []
    with use_log_level("error"), keep_cautions(cautions, show=False):
        try:
            found = _open(night, modalities)
        except Exception as error:  # no error of one night may stop the others
            found = {"problem": describe_error(error)}
    if (lost := describe_lost_hypnogram(night)) is not None:
        cautions.append(lost)
    return found | {"warnings": SEPARATOR.join(cautions) or None}


def _open(night: Night, modalities: Sequence[str]) -> dict[str, Any]:
    """Open a recording as for staging, and describe it."""
    recording = open_recording(night.recording)
    channels = set_rates(recording, map_channels(recording.raw, night.ch_names, modalities))
    warn_of_domain(recording)
    if recording.start is None:
        warn("The recording has no clock: lights can only be given in seconds from its start.")
    marks = find_lights(
        night.lights,
        start=recording.start,
        duration=recording.duration,
        annotations=recording.events,
    )
    found = {channel.modality: channel.label for channel in channels}
    lights = {
        name: show_time(at, recording.start)
        for name, times in (("lights_off", marks.off_times[:1]), ("lights_on", marks.on_times[-1:]))
        for at in times
    }
    return {"hours": round(recording.duration / 3600, 2)} | found | lights


def collect(nights: str | Path | Sequence[Night]) -> dict[str, Night]:
    """Find the nights of a source, check that each is there once, and name them.

    Parameters
    ----------
    nights : str, Path or sequence of Night
        As in :func:`stage_cohort`.

    Returns
    -------
    named : dict of str to Night
        Name -> night.

    Raises
    ------
    TypeError, ValueError
        If there are no nights, or a night is given twice.
    """
    found = find_nights(nights) if isinstance(nights, str | Path) else nights
    check_nights(found)
    if not found:
        raise ValueError("There are no nights to stage. Give a list of nights.")
    for night in found:
        check_type(night, Night, "each of nights")
    return name_nights([make_absolute(night) for night in found])


def _search(folder: Path) -> list[Night]:
    """Find the recordings of a folder, and the hypnograms beside them."""
    recordings = find_recordings(folder)
    if not recordings:
        raise ValueError(
            f"There are no recordings in {folder}. Give a folder with files such as EDF, FIF or "
            "BrainVision, or a table of nights."
        )
    return _pair(recordings, folder)


def _pair(recordings: Sequence[Path], folder: Path) -> list[Night]:
    """Make nights of recordings and the hypnograms beside them, named by their paths."""
    scored = pair_hypnograms(recordings)
    return [
        Night(
            path,
            scored[path],
            path.absolute().relative_to(folder.absolute()).with_suffix("").as_posix(),
            folder.name or "cohort",
        )
        for path in recordings
    ]
