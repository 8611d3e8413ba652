"""Adapting weights to one's own nights: a cross-validation, and then a model if it helps."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ..cautions import keep_cautions
from ..cohorts import Night, PreparedNight
from ..network import LoadedWeights, load_weights
from ..verbosity import Verbosity, check_type, logger, verbose
from .card import format_number, format_table
from .cross_validation import (
    CURVES,
    PAIRS,
    CrossValidation,
    NightsToFold,
    make_run,
    run_folds,
    write_figures,
)
from .fit import describe_training, train_in_folder
from .paired import describe_gain
from .run import check_folder
from .settings import FINE_TUNING, TrainingSettings
from .splitting import TrainingNights
from .stopping import explain_stop
from .trainer import use_plain_modes

FOLDER = "cross-validation"
"""Folder of the cross-validation in the model folder."""
_WEIGHTS = "model.safetensors"
_MOST_ROWS = 100
"""Number of subjects up to which the card has a row for each."""


def describe_for_card(found: CrossValidation) -> str:
    """Describe a cross-validation for the model card, without the names of subjects.

    Parameters
    ----------
    found : CrossValidation
        The cross-validation.

    Returns
    -------
    text : str
        A section in Markdown.
    """
    table = found.by_subject.sort_values("difference", ignore_index=True)
    n_folds = table["fold"].nunique()
    parts = [
        "## Cross-validation",
        f"Before this network was trained, {len(table)} subjects were tested in {n_folds} folds. "
        "Each fold was fine-tuned from the same initial weights, with the same settings, on the "
        "other subjects (adapted), and compared with the initial weights as they are (zero-shot), "
        "on all scored epochs of the fold's subjects, from all signals of each night. No fold was "
        "trained, selected or calibrated on the subjects that it was tested on. Intervals are of "
        "the paired difference, by a percentile bootstrap over subjects.",
        describe_gain(found.summary),
    ]
    if not found.helps:
        parts.append(
            "> **Warning:** this interval does not lie above 0, so that it is not shown that this "
            "network is better than the initial weights on other subjects."
        )
    parts += [f"> **Warning**, of the initial weights: {caution}" for caution in found.cautions]
    scores = []
    for (over, score), row in found.summary.iterrows():
        digits = 3 if score == "kappa" else 1
        values = (row[name] for name in ("zero_shot", "adapted", "difference", "low", "high"))
        shown = {"kappa": "kappa", "accuracy": "accuracy (%)", "f1": "F1 (%), mean of stages"}
        name = (
            f"{shown[score]}: {'mean of subjects' if over == 'subjects' else 'all epochs together'}"
        )
        scores.append([name, *(format_number(value, digits) for value in values)])
    columns = ["", "zero-shot", "adapted", "difference", "95% from", "to"]
    parts.append(format_table(columns, scores))
    if len(table) <= _MOST_ROWS:
        names = ["kappa_zero_shot", "kappa_adapted", "difference"]
        rows = [
            [i, row["dataset"], row["nights"], row["epochs"]]
            + [format_number(row[name], 3) for name in names]
            for i, row in table.iterrows()
        ]
        columns = ["", "dataset", "nights", "epochs", "kappa zero-shot", "adapted", "difference"]
        parts.append("Subjects, in the order of the difference:")
        parts.append(format_table(columns, [[row[0] + 1, *row[1:]] for row in rows]))
    parts.append(f"![Kappa of each subject, zero-shot and adapted]({PAIRS})")
    parts.append(f"![Losses and kappa of the folds by pass]({CURVES})")
    return "\n" + "\n\n".join(parts) + "\n"


@verbose
def adapt(  # noqa: PLR0913 (keywords that users set)
    nights: Sequence[Night | PreparedNight],
    folder: str | Path,
    *,
    weights: str | Path | LoadedWeights = "wav2sleep",
    folds: str | int | Path = "subject",
    trainable: Sequence[str] = ("sequence_mixer", "classifier"),
    settings: TrainingSettings = FINE_TUNING,
    anyway: bool = False,
    cache: str | Path | None = None,
    n_jobs: int = 1,
    device: str | torch.device = "auto",
    on_error: str = "raise",
    tensorboard: bool = False,
    verbose: Verbosity = None,
) -> CrossValidation:
    """Fine-tune weights on all of your nights, if a cross-validation shows that it helps.

    Parameters
    ----------
    nights : sequence of Night or PreparedNight
        Your own scored nights, of at least three subjects.
    folder : str or Path
        The model folder to write, as in :func:`fine_tune`; the cross-validation is in its folder
        ``cross-validation``. Call the function again with the same arguments to resume.
    weights : str, Path or LoadedWeights
        The initial weights, as in :func:`fine_tune`.
    folds : "subject", int, str or Path
        Folds of the cross-validation, as in :func:`cross_validate`.
    trainable : sequence of str
        The parts that are trained, as in :func:`fine_tune`.
    settings : TrainingSettings
        Settings of the folds and of the model.
    anyway : bool
        Whether to train the model even if the cross-validation does not show that it helps.
    cache : str, Path or None
        Folder of prepared nights, which several runs can share; None for ``nights`` in the folder.
    n_jobs : int
        Number of nights prepared in parallel, as in :func:`~mne_wav2sleep.cohorts.prepare_nights`.
    device : str or torch.device
        As in :class:`~mne_wav2sleep.SleepStagerW2S`.
    on_error : str
        What to do with nights that cannot be used, as in :func:`cross_validate`.
    tensorboard : bool
        Whether to log folds and model for TensorBoard as well, as in :func:`fine_tune`.
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    found : CrossValidation
        The cross-validation. ``model`` is the model folder, or None if none was written, because
        the interval of the gain in kappa does not lie above 0, now or by an earlier run.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As in :func:`cross_validate`, and if the folder contains another training run.

    See Also
    --------
    cross_validate : The cross-validation alone.
    fine_tune : Fine-tuning without one.

    Notes
    -----
    The model is fine-tuned as each fold was, with the same settings: a share of the subjects
    (``validation_fraction``) is kept for its calibration, and to choose the pass to keep if the
    settings have ``keep="best"``. So the cross-validation measures the whole procedure, with
    somewhat fewer subjects. Its results are a section of the model card.
    """
    check_type(settings, (TrainingSettings,), "settings")
    folder = Path(folder).expanduser()
    cache = folder / "nights" if cache is None else cache
    with explain_stop(folder), use_plain_modes(), keep_cautions([]):  # each is shown once
        to_fold = NightsToFold(nights, folds, cache, n_jobs, on_error)
        to_fold.check()
        start = load_weights(weights)
        run = make_run(start, trainable, settings, device, tensorboard=tensorboard)
        final = replace(run, is_fold=False, cross_validation="")
        check_folder(folder, describe_training(start, final))  # before hours of work
        found, assigned = run_folds(to_fold, folder / FOLDER, start, run)
        if not (found.helps or anyway):
            is_there = (folder / _WEIGHTS).is_file()
            logger.info(
                f"The interval does not lie above 0. The model in {folder} is that of an earlier "
                "run with anyway=True (--anyway)."
                if is_there
                else "No model was trained, because the interval does not lie above 0. Use "
                "anyway=True (--anyway) to train it all the same."
            )
            return replace(found, model=folder if is_there else None)
        write_figures(found, folder)
        everyone = [night for some in assigned.values() for night in some]
        final = replace(final, cross_validation=describe_for_card(found))
        train_in_folder(start, TrainingNights(everyone, cache=cache), folder, final)
        return replace(found, model=folder)
