"""Stage many nights, on joblib's backends, so that an interrupted run can be resumed."""

import logging
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import torch

from ..cautions import warn
from ..errors import shorten, summarize_error
from ..hypnograms.statistics import UNCALIBRATED, check_ci
from ..modalities import PRECISIONS
from ..network import Engine, LoadedWeights, load_weights
from ..network.backends import choose_device
from ..network.registry import describe_weights, resolve_weights
from ..network.serving import EngineServer
from ..output import TABLE_SUFFIXES, remove_leftovers
from ..progress import track
from ..reports.html import write_report
from ..signals import Validity
from ..staging.epochs import check_table_path, write_table
from ..verbosity import Verbosity, check_option, check_type, logger, pluralize, verbose
from .checking import remove_record, write_record
from .checksums import hash_whole
from .collecting import collect
from .locking import lock_file
from .nights import Night
from .notes import FAILED, ROWS, Row, find_renamed, list_changes, list_others, read_row, write_row
from .parallel import LostProcessError, check_n_jobs, run_tasks
from .results import EPOCHS, HYPNOGRAMS, PERIODS, TABLE, Cohort, open_cohort
from .rows import describe_failure, tabulate_rows
from .worker import Settings, make_fingerprint, make_key, stage_night

LOG = "log.txt"
_LOCK = ".lock"
_NEW = "new"


@verbose
def stage_cohort(  # noqa: PLR0913 (keywords that users set)
    nights: str | Path | Sequence[Night],
    out_dir: str | Path,
    *,
    weights: str | Path | LoadedWeights = "wav2sleep",
    validity: Validity | None = None,
    ci: float = 0.95,
    epochs: str | None = None,
    n_jobs: int | None = None,
    device: str | torch.device = "auto",
    precision: str = "float32",
    retry_failed: bool = False,
    verbose: Verbosity = None,
) -> Cohort:
    """Stage many nights. Run it again to resume.

    Parameters
    ----------
    nights : str, Path or sequence of Night
        Nights, or what :func:`find_nights` takes: a folder, a table of nights, or a BIDS dataset.
    out_dir : str or Path
        Folder to write, which is created: ``nights.csv``, a row for each night; ``report.html``, an
        overview; ``hypnograms/``, a hypnogram in YASA's format and its provenance for each night;
        ``periods.csv``, the sleep periods of recordings that are longer than a night; ``log.txt``;
        ``rows/`` and ``sources/``, from which an interrupted run is resumed; and ``complete.json``,
        which is written last.
    weights : str, Path or LoadedWeights
        Name of weights, a model folder, or loaded weights. Each process loads a name or a folder
        once; loaded weights are sent with each night.
    validity : Validity or None
        What counts as measured; None for ``Validity()``.
    ci : float
        Nominal coverage of the intervals of sleep statistics, between 0 and 1.
    epochs : str or None
        ``"csv"``, ``"tsv"`` or ``"parquet"`` to write a table of the epochs of each night to
        ``epochs/``, as from :meth:`SleepStagerW2S.epoch_table
        <mne_wav2sleep.SleepStagerW2S.epoch_table>`, which takes half as long again. With
        ``"parquet"``, there is ``nights.parquet`` as well. None for no such tables.
    n_jobs : int or None
        Number of nights at a time, with joblib's current backend; -1 for as many as there are CPUs,
        -2 for one less, and so on. None for that of ``joblib.parallel_config``, or 1.
    device : str or torch.device
        As in :class:`~mne_wav2sleep.SleepStagerW2S`, in each process.
    precision : str
        As in :class:`~mne_wav2sleep.SleepStagerW2S`.
    retry_failed : bool
        Whether nights that could not be staged are tried again although nothing has changed.
        Those that lacked memory, or whose files could not be read for a while, always are.
    verbose : bool, str, int or None
        MNE's verbosity. Warnings about nights are not shown, but are in the table.

    Returns
    -------
    cohort : Cohort
        The table and the hypnograms.

    Raises
    ------
    TypeError, ValueError
        If there are no nights, or an argument cannot be used.
    WeightsError
        If the weights cannot be used.
    RuntimeError
        If another run works in the folder.
    OSError
        If files cannot be written.

    See Also
    --------
    find_nights : See which nights would be staged.
    load_cohort : Load the table and the hypnograms again.

    Notes
    -----
    A night that cannot be staged is a row with its reason. A night is not staged again if the
    contents of its recording, the weights, the parameters and the version of the package are the
    same; otherwise it is, and the log says what has changed. Files are written atomically, and the
    row of a night last, so that a run can be stopped at any time: only nights that are being staged
    are lost.

    On a GPU, the processes of one machine read the recordings, and this one stages what they have
    read, several nights at a time.

    With ``n_jobs``, joblib divides the CPUs among processes. ``joblib.parallel_config`` takes the
    nights to a cluster, whose machines must see the recordings and ``out_dir`` by the same paths::

        client = dask.distributed.Client(...)
        with joblib.parallel_config(backend="dask"):
            stage_cohort("nights.csv", "staged")

    Memory depends on the number of jobs, not on that of nights.

    Examples
    --------
    Two simulated hours, with the bundled weights:

    >>> import tempfile
    >>> from mne_wav2sleep import simulate_night
    >>> raws = [
    ...     simulate_night(duration=3600, modalities=["THX"], seed=seed, verbose="error")
    ...     for seed in range(2)
    ... ]
    >>> nights = [Night(raw, None, f"p{i}") for i, raw in enumerate(raws)]
    >>> cohort = stage_cohort(nights, tempfile.mkdtemp(), weights="mini", verbose="error")
    >>> cohort.table[["status", "epochs"]].to_dict("index")
    {'p0': {'status': 'staged', 'epochs': 120}, 'p1': {'status': 'staged', 'epochs': 120}}
    """
    check_ci(ci)
    check_n_jobs(n_jobs)
    check_type(out_dir, "path-like", "out_dir")
    check_option("precision", precision, list(PRECISIONS))
    check_type(validity, (Validity, None), "validity")
    if epochs is not None:
        check_option("epochs", epochs, [suffix[1:] for suffix in TABLE_SUFFIXES])
        check_table_path(f"nights.{epochs}")
    choose_device(device)  # which raises an error if there is none
    describe_weights(weights)  # first, as they may define modalities
    named = collect(nights)
    folder = Path(out_dir).expanduser().absolute()
    loaded = load_weights(weights)
    if not loaded.calibration.n_nights:
        warn(UNCALIBRATED)
    settings = Settings(
        folder=folder,
        weights=weights if isinstance(weights, LoadedWeights) else _locate(weights),
        fingerprint=make_fingerprint(loaded),
        validity=Validity() if validity is None else validity,
        device=device,
        precision=precision,
        ci=ci,
        epochs=epochs,
        parent=os.getpid(),
    )
    _create(folder)
    with (
        lock_file(folder / _LOCK, f"Another run stages a cohort in {folder}."),
        _open_log(folder / LOG) as log,
    ):
        for one in (folder, *(folder / name for name in (HYPNOGRAMS, EPOCHS, ROWS, "sources"))):
            remove_leftovers(one)
        todo = _plan(named, settings, retry_failed=retry_failed)
        _say_plan(named, todo, log)
        _say_others(named, folder, log)
        if todo:
            remove_record(folder)
        with _serve(loaded, settings, n_jobs) as served:
            _stage_all({name: named[name] for name in todo}, served, n_jobs, log)
        return _finish(named, settings, loaded, log)


def _create(folder: Path) -> None:
    """Create the folder of a cohort, unless it is one already; refuse one with other files."""
    try:
        is_new = not (folder / ROWS).is_dir()
        other = next(folder.iterdir(), None) if is_new and folder.is_dir() else None
        if other is None:
            for name in (ROWS, HYPNOGRAMS):  # by the first of which it is known
                (folder / name).mkdir(parents=True, exist_ok=True)
            return
    except OSError as error:
        raise OSError(
            f"{folder} cannot be the folder of a cohort ({summarize_error(error)}). Choose another "
            "folder, which exists or can be created."
        ) from error
    raise FileExistsError(
        f"{folder} has other files in it, such as {shorten(other.name)}, and is not a staged "
        "cohort. Choose a new folder, or that of an earlier run."
    )


def _locate(weights: str | Path) -> str | Path:
    """Make a model folder absolute, as other processes may work in another folder."""
    found = resolve_weights(weights)  # by which a name comes before a folder of that name
    return found.absolute() if isinstance(found, Path) else weights


def _plan(named: Mapping[str, Night], settings: Settings, *, retry_failed: bool) -> dict[str, str]:
    """Find the nights that are not complete, and why each of them has to be staged."""
    todo = {}
    for name, night in track(named.items(), "Comparing", "night"):
        row = read_row(settings.folder, name)
        if row is None:
            todo[name] = _NEW
        elif not row.is_final or (retry_failed and not row.is_staged):
            todo[name] = "it failed"
        elif changes := list_changes(row.key, make_key(night, settings)):
            todo[name] = f"changed: {', '.join(changes)}"
        elif _find_lost(settings.folder, row.files):
            todo[name] = "changed: its files here"
    return todo


def _find_lost(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Find files that are no longer there as they were written."""
    return [
        name
        for name, digest in files.items()
        if not (folder / name).is_file() or (digest and hash_whole(folder / name) != digest)
    ]


def _say_plan(named: Mapping[str, Night], todo: Mapping[str, str], log: logging.Logger) -> None:
    """Say how many nights are staged, and what has changed of those that were."""
    kept = len(named) - len(todo)
    text = f"{len(todo)} of {_count(named)} to stage"
    _say(log, f"{text}, {kept} complete before." if kept else f"{text}.")
    reasons: dict[str, list[str]] = {}
    for name, reason in todo.items():
        if reason != _NEW:
            reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        _say(log, f"Again, as {reason}: {_count(names)} ({_name_some(names)}).")


def _say_others(named: Mapping[str, Night], folder: Path, log: logging.Logger) -> None:
    """Say which nights of earlier runs are not among these."""
    if others := list_others(named, folder):
        text = (
            f"{_count(others)} of earlier runs in {folder} ({_name_some(others)}) "
            f"{'are' if len(others) > 1 else 'is'} not among these, and left out of the table. "
            "Their files are kept; remove them, or choose another folder, if they are not wanted."
        )
        warn(text)
        log.info(text)


def _count(names: Collection[str]) -> str:
    """Count nights in words."""
    return f"{len(names)} night{pluralize(names)}"


def _name_some(names: Sequence[str]) -> str:
    """Name the first of some nights."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _say(log: logging.Logger, text: str) -> None:
    """Say something to the user, and in the log."""
    logger.info(text)
    log.info(text)


@contextmanager
def _open_log(path: Path) -> Iterator[logging.Logger]:
    """Open the log of a cohort, to which each run appends."""
    log = logging.Logger("mne-wav2sleep cohort")  # of its own, so that no setting of others counts
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    try:
        yield log
    except BaseException as error:
        log.error(f"Stopped: {summarize_error(error)}")
        raise
    finally:
        handler.close()


@contextmanager
def _serve(weights: LoadedWeights, settings: Settings, n_jobs: int | None) -> Iterator[Settings]:
    """Serve one engine to all processes if it is on a GPU, so that these only read."""
    if not _is_shared(settings.device, n_jobs):
        yield settings
        return
    engine = Engine(weights.network, settings.device, settings.precision)
    with EngineServer(engine) as server:
        yield replace(settings, served=server.address)


def _is_shared(device: str | torch.device, n_jobs: int | None) -> bool:
    """Whether several processes of this machine would compute on one GPU."""
    if choose_device(device).type == "cpu" or joblib.effective_n_jobs(n_jobs) == 1:
        return False
    backend, _ = joblib.parallel.get_active_backend()
    return type(backend).__name__ in ("LokyBackend", "MultiprocessingBackend")


def _stage_all(
    todo: Mapping[str, Night], settings: Settings, n_jobs: int | None, log: logging.Logger
) -> None:
    """Stage nights. Their rows are in files, so that memory does not grow with the nights."""
    tasks = list(todo.items())
    results = run_tasks(partial(stage_night, settings=settings), tasks, n_jobs)
    for number, result in track(results, "Staging", "night", total=len(tasks), is_long=True):
        name, night = tasks[number]
        if isinstance(result, LostProcessError):
            row = Row(make_key(night, settings), describe_failure(str(result)), is_final=False)
            write_row(settings.folder, name, row)
        else:
            row = result
        text = "staged" if row.is_staged else f"failed: {shorten(str(row.values['reason']))}"
        log.info(f"{name}: {text}".replace("\n", " "))


def _finish(
    named: Mapping[str, Night],
    settings: Settings,
    weights: LoadedWeights,
    log: logging.Logger,
) -> Cohort:
    """Write the table and the overview."""
    from ..reports.cohort import make_overview

    made = tabulate_rows(named, settings.folder, weights.stage_names)
    table, periods = made.nights, made.periods
    nights = settings.folder / TABLE
    before = _list_tabulated(settings.folder)
    tables = {
        nights: table,
        nights.with_suffix(".parquet"): table if settings.epochs == "parquet" else None,
        settings.folder / PERIODS: periods if len(periods) else None,
    }
    for path, one in tables.items():
        if one is None:  # that of an earlier run would not belong to the others
            path.unlink(missing_ok=True)
        else:
            write_table(one, path, overwrite=True)
    for name, old in find_renamed(named, made.contents, settings.folder, before).items():
        _say(log, f"{name}: new name of the recording that was staged as {old} before.")
    del made, table, periods, tables
    cohort = open_cohort(settings.folder)
    report = make_overview(
        cohort.table,
        cohort.hypnograms,
        title=settings.folder.name,
        parameters=_describe(settings, weights),
    )
    write_report(report, settings.folder / "report.html", overwrite=True)
    write_record(settings.folder, nights)
    failed = list(cohort.table.index[cohort.table["status"] == FAILED])
    n_staged = len(named) - len(failed)
    _say(log, f"{n_staged} staged, {len(failed)} failed: {settings.folder / TABLE}")
    if failed:
        warn(
            f"{len(failed)} of {_count(named)} could not be staged ({_name_some(failed)}). "
            f"The column 'reason' of {settings.folder / TABLE} says why."
        )
    _warn_of_copies(cohort)
    return cohort


def _list_tabulated(folder: Path) -> Collection[str]:
    """List the nights in the table of the last run; none without one, or if it was damaged."""
    try:
        return set(open_cohort(folder).table.index)
    except (OSError, ValueError):
        return set()


def _warn_of_copies(cohort: Cohort) -> None:
    """Warn of nights whose recordings have the same contents."""
    copies = cohort.table["copies"].dropna()
    if len(copies):
        warn(
            f"{len(copies)} nights have a recording whose contents are those of another night "
            f"({_name_some(list(copies.index))}), so that a person may count twice. The column "
            f"'copies' of {cohort.folder / TABLE} names the others. Leave the copies out."
        )


def _describe(settings: Settings, weights: LoadedWeights) -> dict[str, Any]:
    """Describe how the cohort was staged, ready for JSON."""
    return {
        "weights": {
            "name": weights.name,
            "sha256": weights.sha256,
            "scorer": weights.scorer,
            "caution": weights.caution,
            "calibration_nights": weights.calibration.n_nights,
        },
        **settings.describe(),
    }
