"""The nights of a cohort of NSRR."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...cautions import keep_cautions, warn
from ...errors import describe_error, put_on_line, shorten
from ...hypnograms.reading import locate_hypnogram
from ...progress import track
from ...verbosity import Verbosity, check_type, logger, pluralize, use_log_level, verbose
from ..nights import Night
from ..parallel import check_n_jobs, run_tasks
from .layout import LAYOUTS, check_cohort, find_files, find_subject, join_ids

_MOST_NAMES = 6
"""Number of files that a message names at most."""
_STAGED = {"N1", "N3", "REM"}
"""Stages of which a night that was staged has at least one."""


@verbose
def read_nsrr(
    folder: str | Path,
    cohort: str,
    *,
    n_jobs: int | None = None,
    verbose: Verbosity = None,
) -> list[Night]:
    """List the nights of a cohort of the National Sleep Research Resource (NSRR).

    Parameters
    ----------
    folder : str or Path
        The folder of all downloads, that of the cohort, or ``polysomnography`` in it.
    cohort : str
        One of ``"shhs"``, ``"mesa"``, ``"wsc"``, ``"cfs"``, ``"ccshs"``, ``"chat"`` and
        ``"mros"``.
    n_jobs : int or None
        Number of scorings that are read at a time.
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    nights : list of Night
        The nights that have a recording and a scoring with stages, in the order of their ids.
        ``subject`` is the person, who is the same in all visits; ``dataset`` is the cohort.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If there is no such folder.
    ValueError
        If the cohort is unknown, or the folder has no nights of it.

    Warns
    -----
    RuntimeWarning
        How many nights are left out, which, and why: recordings without a scoring, scorings
        without a recording, scorings that cannot be read, and nights that were scored as sleep and
        wake alone, without a single epoch of N1, N3 or REM, as the authors of wav2sleep did.

    See Also
    --------
    write_nights : Write the nights to a table.

    Notes
    -----
    NSRR documents the layout (https://sleepdata.org): recordings are
    ``polysomnography/edfs/[visit/]ID.edf``, and scorings
    ``polysomnography/annotations-events-nsrr/[visit/]ID-nsrr.xml``; WSC has ``ID.edf`` and, beside
    it, ``ID.stg.txt`` or ``ID.allscore.txt``, either of which may lack the ``-nsrr`` of its id. It
    also documents the ids, such as
    ``shhs1-200001``, ``mesa-sleep-0001``, ``wsc-visit1-10119-nsrr``, ``cfs-visit5-800002``,
    ``ccshs-trec-1800001``, ``chat-baseline-300001`` and ``mros-visit1-aa0001``.

    It is assumed that the last part of an id is the person in each cohort, and that files belong
    together if their ids do, whatever the folder. Relatives, as in CFS, count as different people.

    Recordings are not opened.
    """
    check_type(folder, "path-like", "folder")
    cohort = check_cohort(cohort)
    check_n_jobs(n_jobs)
    recordings, scorings = find_files(Path(folder).expanduser(), cohort)
    _warn_of_unpaired(cohort, recordings, scorings)
    both = sorted(recordings.keys() & scorings.keys())
    paths = [scorings[key] for key in both]
    reasons: dict[str, str | None] = {}
    results = run_tasks(_check_scoring, paths, n_jobs)
    for number, found in track(results, f"Reading {cohort}", "night", len(both), is_long=True):
        reasons[both[number]] = str(found) if isinstance(found, Exception) else found
    _warn_of_left_out(cohort, scorings, reasons)
    nights = [
        Night(recordings[key], scorings[key], find_subject(cohort, key) or key, cohort)
        for key in both
        if reasons[key] is None
    ]
    if not nights:
        raise ValueError(
            f"No night of {cohort} in {folder} can be used, of {len(recordings)} "
            f"recording{pluralize(recordings)} and {len(scorings)} scoring{pluralize(scorings)}"
            f"{_show_first(reasons)}. Download the recordings, and the folder "
            f"annotations-events-nsrr{' or files such as ID.stg.txt' if cohort == 'wsc' else ''}."
        )
    n_subjects = len({night.person for night in nights})
    logger.info(
        f"{cohort}: {len(nights)} night{pluralize(nights)} of {n_subjects} "
        f"subject{'s' * (n_subjects != 1)}."
    )
    return nights


_ALONE = "sleep and wake alone"


def _check_scoring(path: Path) -> str | None:
    """Give the reason why a scoring cannot be used; None if it can."""
    with use_log_level("error"), keep_cautions([], show=False):
        try:
            hyp, _ = locate_hypnogram(path, None)
        except Exception as error:  # no error of one night may stop the others
            return put_on_line(describe_error(error))
    return None if _STAGED & set(hyp.hypno) else _ALONE


def _show_first(reasons: Mapping[str, str | None]) -> str:
    """Show a reason in parentheses, if there is one."""
    reason = next((reason for reason in reasons.values() if reason is not None), None)
    return "" if reason is None else f" ({shorten(reason, 200)})"


def _warn_of_unpaired(
    cohort: str, recordings: Mapping[str, Path], scorings: Mapping[str, Path]
) -> None:
    """Warn of recordings without scorings, and the reverse."""
    expected = " or ".join(f"ID{ending}" for ending in LAYOUTS[cohort].scorings)
    for these, those, what, remedy in (
        (recordings, scorings, "recordings have no scoring", f"scorings ({expected})"),
        (scorings, recordings, "scorings have no recording", "recordings (ID.edf)"),
    ):
        if alone := these.keys() - those.keys():
            warn(
                f"{cohort}: {len(alone)} of {len(these)} {what} and are left out: "
                f"{join_ids(alone)}. Download their {remedy} if they exist."
            )


def _warn_of_left_out(
    cohort: str, scorings: Mapping[str, Path], reasons: Mapping[str, str | None]
) -> None:
    """Warn of scorings that cannot be used."""
    alone = [key for key, reason in reasons.items() if reason == _ALONE]
    if alone:
        warn(
            f"{cohort}: {len(alone)} night{pluralize(alone)} without a single epoch of N1, N3 or "
            f"REM, scored as sleep and wake alone, are left out: {join_ids(alone)}."
        )
    damaged: Sequence[tuple[str, str]] = [
        (key, reason) for key, reason in sorted(reasons.items()) if reason not in (None, _ALONE)
    ]
    for key, reason in damaged[:_MOST_NAMES]:
        # Errors begin with the path, which is the file's.
        warn(f"{cohort}: {key} is left out, since its scoring cannot be read: {reason}")
    if rest := damaged[_MOST_NAMES:]:
        warn(
            f"{cohort}: {len(rest)} more are left out, since their scorings cannot be read: "
            f"{', '.join(key for key, _ in rest[:100])}{', ...' * (len(rest) > 100)}. The log at "
            "the level 'info' has the reasons."
        )
        for key, reason in rest:
            logger.info(f"{scorings[key].name}: {reason}")
