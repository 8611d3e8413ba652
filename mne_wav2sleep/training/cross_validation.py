"""Cross-validation: whether fine-tuning helps subjects that it has not seen."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..cautions import keep_cautions, warn
from ..cohorts import Evaluation, Night, PreparedNight, evaluate
from ..cohorts.comparison.intervals import FEW_SUBJECTS
from ..cohorts.identity import Person
from ..hypnograms.tables import hide_formula
from ..network import LoadedWeights, load_weights
from ..output import write_whole
from ..verbosity import Verbosity, check_type, logger, verbose
from .checkpoints import has_checkpoint
from .extension import Extension, choose_parts
from .fit import check_run, describe_training, train_in_folder
from .folds import Folds, NightsToFold, describe_folds, list_others, write_folds
from .locking import lock_folder
from .monitoring import METRICS
from .paired import count_by_subject, describe_gain, join_counts, summarize_pairs, tabulate_subjects
from .pictures import plot_fold_curves, plot_pairs
from .run import FREE, TrainingRun, compare_records, read_record, write_record
from .settings import FINE_TUNING, TrainingSettings
from .splitting import SPLIT_FILE, TrainingNights
from .stopping import explain_stop
from .trainer import use_plain_modes

_RECORD = "cross-validation.json"
SUBJECTS, SUMMARY = "subjects.csv", "summary.csv"
PAIRS, CURVES = "cross-validation.png", "cross-validation-curves.png"
_FREE = FREE - {"max_passes", "patience"}
"""Settings that may change when a cross-validation is resumed: those that do not change results."""
_MOST_CHANGES = 6
"""Number of differences that a message lists at most."""
_TYPICAL_SD = 0.06
"""Standard deviation of the subjects' gains in kappa on Sleep-Accel (docs/fine_tuning.md), for the
width to expect."""


@dataclass(frozen=True)
class CrossValidation:
    """Agreement of initial and fine-tuned weights on subjects that these were not trained on.

    Attributes
    ----------
    by_subject : pandas.DataFrame
        One row per subject: ``dataset``, ``subject``, ``fold``, number of ``nights``, scored and
        staged ``epochs``, and, from all epochs of the subject, ``kappa``, ``accuracy`` (%) and
        ``f1`` (%, mean of the stages), each ``_zero_shot`` (by the initial weights) and
        ``_adapted`` (by weights that were fine-tuned on the other subjects), and ``difference``,
        that of kappa.
    summary : pandas.DataFrame
        By ``over`` (``"subjects"``: the mean of their scores; ``"epochs"``: the score of all epochs
        together) and ``score``: ``zero_shot``, ``adapted``, their ``difference``, its 95% interval
        from ``low`` to ``high`` (paired, by a percentile bootstrap over subjects), and number of
        ``subjects``.
    curves : pandas.DataFrame
        Losses and kappas of each ``fold`` and ``pass``, on the fold's own validation subjects.
    cautions : tuple of str
        Warnings about the comparison, such as nights that the initial weights had seen.
    folder : Path
        The folder of the folds and tables.
    model : Path or None
        The model folder that :func:`adapt` wrote; None if it wrote none.
    """

    by_subject: pd.DataFrame
    summary: pd.DataFrame
    curves: pd.DataFrame
    cautions: tuple[str, ...]
    folder: Path
    model: Path | None = None

    @property
    def helps(self) -> bool:
        """Whether the interval of the subjects' mean gain in kappa lies above 0."""
        return bool(self.summary.loc[("subjects", "kappa"), "low"] > 0)

    def plot(self) -> Figure:
        """Plot kappa of each subject zero-shot and adapted, and the differences.

        Returns
        -------
        figure : matplotlib.figure.Figure
            The figure, without names of subjects.
        """
        return plot_pairs(self.by_subject, self.summary)

    def plot_curves(self) -> Figure:
        """Plot losses and kappa of each fold by pass.

        Returns
        -------
        figure : matplotlib.figure.Figure
            The figure.
        """
        return plot_fold_curves(self.curves)

    def __repr__(self) -> str:
        return f"<CrossValidation | {describe_gain(self.summary)}>"


def _claim(folder: Path, folds: Folds, described: Mapping[str, object]) -> None:
    """Write down what is cross-validated in a folder; refuse that of another one."""
    record = {
        **described,
        "folds": describe_folds(folds),
        "training": sorted(night.path.name for nights in folds.values() for night in nights),
    }
    old = read_record(folder, _RECORD)
    changed = [] if old is None else compare_records(old, record, _FREE)
    if changed and any(_has_begun(one) for one in folder.glob("fold-*")):
        more = f"; and {len(changed) - _MOST_CHANGES} more" * (len(changed) > _MOST_CHANGES)
        raise ValueError(
            f"{folder} contains another cross-validation ({'; '.join(changed[:_MOST_CHANGES])}"
            f"{more}). Choose another folder, or resume it with what it began with."
        )
    write_record(folder, record, _RECORD)
    write_folds(folder, folds)


def _has_begun(fold: Path) -> bool:
    """Check whether anything of a fold is trained."""
    return has_checkpoint(fold) or (fold / "model.safetensors").exists()


def _train_fold(
    start: LoadedWeights, others: list[PreparedNight], fold: Path, run: TrainingRun
) -> None:
    """Fine-tune on the other subjects, unless that is done; keep the weights, not checkpoints."""
    if not _has_begun(fold):
        (fold / SPLIT_FILE).unlink(missing_ok=True)  # of a run that was another one
    # They are prepared already. Without a folder for that, an empty one would be made.
    train_in_folder(start, TrainingNights(others, cache=fold), fold, run)
    shutil.rmtree(fold / "checkpoints", ignore_errors=True)


def run_folds(
    nights: NightsToFold, folder: Path, start: LoadedWeights, run: TrainingRun
) -> tuple[CrossValidation, Folds]:
    """Fine-tune and test fold by fold.

    Parameters
    ----------
    nights : NightsToFold
        The nights.
    folder : Path
        The folder of the cross-validation.
    start : LoadedWeights
        The initial weights.
    run : TrainingRun
        How each fold is trained.

    Returns
    -------
    found : CrossValidation
        The comparison, whose tables and figures are written to the folder.
    folds : dict of str to list of PreparedNight
        Fold -> its nights.
    """
    with lock_folder(folder, run.n_devices):
        folds = nights.prepare(folder, start, run.settings)
        _claim(folder, folds, describe_training(start, run))
        everyone = [night for some in folds.values() for night in some]
        n_subjects = len({night.person for night in everyone})
        if n_subjects < FEW_SUBJECTS:
            warn(_warn_of_width(n_subjects))
        logger.info("Staging all nights with the initial weights (zero-shot).")
        zero_shot = evaluate(everyone, start, subsets="recorded", device=run.device)
        before = count_by_subject(zero_shot)
        after: dict[Person, NDArray[np.int64]] = {}
        curves: dict[str, pd.DataFrame] = {}
        for i, (name, some) in enumerate(folds.items(), start=1):
            tested = [night for night in some if night.person in before]
            if not tested:
                continue
            subjects = ", ".join(dict.fromkeys(night.subject for night in tested))
            logger.info(f"Fold {i} of {len(folds)}, to be tested on {subjects}.")
            fold = folder / f"fold-{i:02d}"
            _train_fold(start, list_others(folds, name), fold, run)
            adapted = evaluate(tested, fold, subsets="recorded", device=run.device)
            after |= count_by_subject(adapted)
            curves[name] = pd.read_csv(fold / METRICS)
        found = _compare(folds, zero_shot, after, curves, folder, run.settings.seed)
        write_figures(found, folder)
    logger.info(describe_gain(found.summary))
    return found, folds


def _warn_of_width(n_subjects: int) -> str:
    """Say how wide the interval of so few subjects is."""
    width = 2 * 1.96 * _TYPICAL_SD / np.sqrt(n_subjects)
    return (
        f"{n_subjects} subjects are few to tell whether adapting helps: if their gains in kappa "
        f"have a standard deviation of {_TYPICAL_SD} (as on Sleep-Accel), the 95% interval of "
        f"the mean gain is about {width:.2f} wide. Add subjects if you can."
    )


def _compare(
    folds: Folds,
    zero_shot: Evaluation,
    after: Mapping[Person, NDArray[np.int64]],
    curves: Mapping[str, pd.DataFrame],
    folder: Path,
    seed: int,
) -> CrossValidation:
    """Compare the scores of subjects, and write the tables."""
    before = count_by_subject(zero_shot)
    n_nights = zero_shot.by_night.groupby(["dataset", "subject"]).size()
    facts = {}
    for name, nights in folds.items():
        for night in nights:
            if night.person in after and night.person not in facts:
                alike = {n.subject for n in nights if n.person == night.person}
                facts[night.person] = {
                    "dataset": night.dataset,
                    "subject": night.subject,
                    "fold": name,
                    "nights": sum(
                        int(n)
                        for (d, s), n in n_nights.items()
                        if d == night.dataset and s in alike
                    ),
                }
    facts = dict(sorted(facts.items()))
    by_subject = tabulate_subjects(facts, before, after)
    persons = list(facts)
    summary = summarize_pairs(
        by_subject, join_counts(persons, before), join_counts(persons, after), seed
    )
    table = pd.concat(curves, names=["fold"]).reset_index("fold").reset_index(drop=True)
    safe = by_subject.assign(**by_subject[["dataset", "subject", "fold"]].map(hide_formula))
    for name, one, index in ((SUBJECTS, safe, False), (SUMMARY, summary, True)):
        with write_whole(folder / name, overwrite=True) as unfinished:
            one.to_csv(unfinished, index=index, errors="backslashreplace")
    return CrossValidation(by_subject, summary, table, zero_shot.cautions, folder)


def write_figures(found: CrossValidation, folder: Path) -> None:
    """Write the figures of a cross-validation.

    Parameters
    ----------
    found : CrossValidation
        The cross-validation.
    folder : Path
        The folder to write to.
    """
    for name, figure in ((PAIRS, found.plot()), (CURVES, found.plot_curves())):
        with write_whole(folder / name, overwrite=True) as unfinished:
            figure.savefig(unfinished, dpi=100)


def make_run(
    start: LoadedWeights,
    trainable: Sequence[str],
    settings: TrainingSettings,
    device: str | torch.device,
    *,
    tensorboard: bool,
) -> TrainingRun:
    """Describe how each fold is trained, and check that it can be."""
    run = TrainingRun(
        settings=settings,
        trainable=choose_parts(start, trainable, Extension()),
        bases=start.lineage,
        device=device,
        tensorboard=tensorboard,
        is_fold=True,
    )
    check_run(run)
    return run


@verbose
def cross_validate(  # noqa: PLR0913 (keywords that users set)
    nights: Sequence[Night | PreparedNight],
    out_dir: str | Path,
    *,
    weights: str | Path | LoadedWeights = "wav2sleep",
    folds: str | int | Path = "subject",
    trainable: Sequence[str] = ("sequence_mixer", "classifier"),
    settings: TrainingSettings = FINE_TUNING,
    cache: str | Path | None = None,
    n_jobs: int = 1,
    device: str | torch.device = "auto",
    on_error: str = "raise",
    tensorboard: bool = False,
    verbose: Verbosity = None,
) -> CrossValidation:
    """Measure on subjects that were not trained on whether fine-tuning helps.

    Parameters
    ----------
    nights : sequence of Night or PreparedNight
        Your own scored nights, of at least three subjects.
    out_dir : str or Path
        The folder to write: tables, figures, and a model folder for each fold. Call the function
        again with the same arguments to resume: folds that are complete are not trained again.
    weights : str, Path or LoadedWeights
        The initial weights, as in :func:`fine_tune`. Each fold starts from them.
    folds : "subject", int, str or Path
        ``"subject"`` to leave out one subject at a time; a number of folds, to which subjects are
        assigned by the seed, those of each dataset spread over all of them; or a table (CSV) with
        the columns ``subject``, ``fold`` and, optionally, ``dataset``.
    trainable : sequence of str
        The parts that are trained, as in :func:`fine_tune`.
    settings : TrainingSettings
        Settings of each fold. Its ``seed`` is also that of folds and intervals.
    cache : str, Path or None
        Folder of prepared nights, which several runs can share; None for ``nights`` in the folder.
    n_jobs : int
        Number of nights prepared in parallel, as in :func:`~mne_wav2sleep.cohorts.prepare_nights`.
    device : str or torch.device
        As in :class:`~mne_wav2sleep.SleepStagerW2S`.
    on_error : str
        What to do with nights that cannot be used: ``"raise"`` an error that names them, or
        ``"warn"`` and leave them out of all folds.
    tensorboard : bool
        Whether to log each fold for TensorBoard as well, as in :func:`fine_tune`.
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    found : CrossValidation
        Scores of each subject before and after, and the interval of the gain.

    Raises
    ------
    TypeError, ValueError
        If nights, folds, settings or the device cannot be used, if two subjects have a recording in
        common, or if the folder contains another cross-validation.
    RuntimeError
        As in :func:`fine_tune`.

    See Also
    --------
    adapt : The same, and then a model from all nights.

    Notes
    -----
    The subjects of a fold are in no part of its training. Of the others, a share
    (``validation_fraction``) is for validation, by which the pass to keep is chosen if the settings
    have ``keep="best"``, as :func:`fine_tune` does it with all nights. Folds keep the calibration
    of the initial weights, since stages do not depend on it.
    """
    check_type(settings, (TrainingSettings,), "settings")
    folder = Path(out_dir).expanduser()
    with explain_stop(folder), use_plain_modes(), keep_cautions([]):  # each is shown once
        to_fold = NightsToFold(nights, folds, cache, n_jobs, on_error)
        to_fold.check()
        start = load_weights(weights)
        run = make_run(start, trainable, settings, device, tensorboard=tensorboard)
        return run_folds(to_fold, folder, start, run)[0]
