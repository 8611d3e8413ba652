"""Writing hypnograms to files that MNE, YASA and scoring software can read."""

import csv
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd
import yasa
from numpy.typing import NDArray

from ..formats.start import NO_DATE
from ..modalities import EPOCH_S
from ..output import HYPNOGRAM_SUFFIXES, write_whole
from ..verbosity import check_type
from .tables import hide_formula

TEXTS = {
    "WAKE": "Sleep stage W",
    "N1": "Sleep stage N1",
    "N2": "Sleep stage N2",
    "N3": "Sleep stage N3",
    "REM": "Sleep stage R",
    "LIGHT": "Sleep stage LIGHT",
    "DEEP": "Sleep stage DEEP",
    "UNS": "Sleep stage ?",
    "ART": "Sleep stage ?",
}
"""YASA's names -> EDF+'s standard texts (edfplus.info); LIGHT and DEEP have none of their own."""


def find_runs(hyp: yasa.Hypnogram) -> tuple[NDArray, NDArray, list[str]]:
    """Find runs of the same stage.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram.

    Returns
    -------
    onsets, durations : array, shape (n_runs,)
        In seconds from the start of the hypnogram.
    texts : list of str
        Texts of the annotations, from :data:`TEXTS`.

    Examples
    --------
    >>> onsets, durations, texts = find_runs(yasa.Hypnogram(["WAKE", "N2", "N2"]))
    >>> onsets.tolist(), durations.tolist(), texts
    ([0.0, 30.0], [30.0, 60.0], ['Sleep stage W', 'Sleep stage N2'])
    """
    stages = hyp.hypno.to_numpy(dtype=object)
    first = np.flatnonzero(np.r_[True, stages[1:] != stages[:-1]])
    lengths = np.diff(np.r_[first, stages.size])
    return first * EPOCH_S, lengths * EPOCH_S, [TEXTS[stages[i]] for i in first]


def write_hypnogram(
    hyp: yasa.Hypnogram, path: str | PathLike[str], *, overwrite: bool = False
) -> None:
    """Write a hypnogram to a file.

    Parameters
    ----------
    hyp : yasa.Hypnogram
        The hypnogram.
    path : path-like
        The file. Its suffix chooses the format:

        - ``.json``: everything, in YASA's format, also of 2 or 3 stages;
        - ``.csv`` or ``.tsv``: stages as BIDS events, with onset and duration in s from the start
          of the hypnogram, which is the start of the recording if the hypnogram is from a stager;
        - ``.edf``: EDF+ annotations without signals, ``Sleep stage W`` and so on, with the date;
        - ``.txt``: one stage per line, W, N1, N2, N3, R, LIGHT, DEEP, or ``?`` for unscored epochs.

        ``.edf`` and ``.txt`` do not keep the scorer; only ``.json`` keeps probabilities. In
        ``.csv`` and ``.tsv``, a scorer whose name begins like a formula of a spreadsheet (with
        ``=``, for example) is quoted by ``'``, which :func:`read_hypnogram` removes.
    overwrite : bool
        Whether to replace an existing file. Recordings are never replaced.

    Raises
    ------
    TypeError, ValueError
        If ``hyp`` is not a hypnogram with 4 or 5 stages (``.json``: 2 to 5) and epochs of 30 s, the
        suffix is another one, the start is in a year that EDF cannot represent, or the file is a
        recording.
    FileNotFoundError
        If the folder does not exist.
    FileExistsError
        If the file exists, and ``overwrite`` is False.
    OSError
        If writing fails; an existing file is kept then.

    See Also
    --------
    read_hypnogram : Read a hypnogram from a file.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "stages.txt"
    >>> write_hypnogram(yasa.Hypnogram(["WAKE", "UNS"]), path)
    >>> path.read_text().split()
    ['W', '?']
    """
    check_type(hyp, yasa.Hypnogram, "hyp")
    check_type(path, "path-like", "path")
    suffix = Path(path).suffix.lower()
    if suffix not in HYPNOGRAM_SUFFIXES:
        raise ValueError(
            f"{path} must end in {', '.join(HYPNOGRAM_SUFFIXES)}. Choose one of these formats."
        )
    is_folded = hyp.n_stages not in (4, 5)
    if pd.Timedelta(hyp.freq).total_seconds() != EPOCH_S or (is_folded and suffix != ".json"):
        raise ValueError(
            f"The hypnogram has {hyp.n_stages} stages, per {hyp.freq}; 4 or 5 stages per 30 s can "
            f"be written as {suffix}, and 2 or 3 as .json. Write hypnograms with other epochs with "
            "yasa.Hypnogram.to_json."
        )
    if suffix == ".edf" and hyp.start is not None and not 1985 <= hyp.start.year <= 2084:
        raise ValueError(
            f"EDF+ has dates from 1985 to 2084, and the hypnogram begins in {hyp.start.year}. "
            "Write a .json instead, or give it another start."
        )
    with write_whole(path, overwrite=overwrite) as unfinished:
        if suffix == ".json":
            hyp.to_json(unfinished)
        elif suffix == ".edf":
            _write_edf(hyp, unfinished)
        elif suffix == ".txt":
            lines = [TEXTS[stage].removeprefix("Sleep stage ") for stage in hyp.hypno]
            unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8")
        else:
            events = hyp.as_events().rename(columns={"description": "trial_type"})
            scorer = "" if hyp.scorer is None else str(hyp.scorer)
            if hyp.scorer is not None:
                events["scorer"] = hide_formula(scorer)
            # Python's csv does not quote a carriage return, which would end the row.
            quoting = csv.QUOTE_NONNUMERIC if "\r" in scorer else csv.QUOTE_MINIMAL
            separator = "\t" if suffix == ".tsv" else ","
            events.to_csv(unfinished, sep=separator, index=False, quoting=quoting)


def _write_edf(hyp: yasa.Hypnogram, path: Path) -> None:
    """Write an EDF+ file of annotations without signals."""
    import edfio  # which staging does not need

    runs = [edfio.EdfAnnotation(*run) for run in zip(*find_runs(hyp), strict=True)]
    start = NO_DATE if hyp.start is None else hyp.start
    day = None if start.date() == NO_DATE.date() else start.date()
    edfio.Edf(
        [],
        annotations=runs,
        starttime=start.time().replace(tzinfo=None),
        recording=edfio.Recording(startdate=day),
    ).write(path)
