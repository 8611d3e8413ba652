"""The command that adapts weights to scored nights, and tests whether that helps."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import (
    CacheOption,
    ConfigOption,
    FolderArgument,
    JobsOption,
    SettingsOption,
    SkipBrokenOption,
    TableArgument,
    TensorBoardOption,
    choose_config,
    choose_on_error,
    import_training,
)
from .shared import DebugOption, DeviceOption, WeightsOption, clean_errors, show_table, show_text

if TYPE_CHECKING:
    from ..training import CrossValidation

commands = typer.Typer(rich_markup_mode=None)


def _read_folds(text: str) -> str | int | Path:
    """Read the value of ``--folds``: "subject", a number, or the path of a table."""
    is_number = text.removeprefix("-").isdecimal()
    return int(text) if is_number else text if text == "subject" else Path(text)


def _show_result(found: "CrossValidation", folder: Path) -> None:
    """Print the scores, and what was written."""
    from ..training.cross_validation import SUBJECTS

    show_table(found.summary.round(3))
    show_text(f"{found.folder / SUBJECTS} contains the scores of each subject")
    if found.model is not None:
        show_text(f"{folder} contains the weights and their model card, README.md")
    else:
        show_text(
            "It is not shown that adapting helps (low is not above 0), and no model was trained. "
            "Repeat the command with --anyway to train it all the same."
        )


@commands.command("adapt")
def adapt_command(
    table: TableArgument,
    folder: FolderArgument,
    weights: WeightsOption = "wav2sleep",
    folds: Annotated[
        str, typer.Option(metavar="FOLDS", help="subject, a number, or a CSV of subject and fold.")
    ] = "subject",
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Train the model even if it does not help.")
    ] = False,
    trainable: Annotated[
        list[str] | None,
        typer.Option(metavar="PART", help="Part to train, such as classifier; repeatable."),
    ] = None,
    config: ConfigOption = None,
    settings: SettingsOption = None,
    cache: CacheOption = None,
    jobs: JobsOption = 1,
    device: DeviceOption = "auto",
    skip_broken: SkipBrokenOption = False,
    tensorboard: TensorBoardOption = False,
    debug: DebugOption = False,
) -> None:
    """Fine-tune if a cross-validation shows that it helps.

    Run the same command again to resume.
    Example: mne-wav2sleep adapt nights.csv model --weights wav2sleep
    """
    with clean_errors(debug=debug, table=table, resumes=True):
        from ..cohorts import read_nights
        from ..network.registry import describe_weights

        describe_weights(weights)  # before the table, as they may define modalities
        training = import_training()
        chosen = choose_config({"settings": training.FINE_TUNING}, config, settings)
        found = training.adapt(
            read_nights(table),
            folder,
            weights=weights,
            folds=_read_folds(folds),
            settings=chosen["settings"],
            anyway=anyway,
            cache=cache,
            n_jobs=jobs,
            device=device,
            on_error=choose_on_error(skip_broken),
            tensorboard=tensorboard,
            **({"trainable": trainable} if trainable else {}),
        )
    _show_result(found, folder)
