"""Commands for many nights: evaluate, train, fine-tune."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from ..output import check_output, write_whole
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
from .shared import (
    DebugOption,
    DeviceOption,
    OverwriteOption,
    WeightsOption,
    check_choice,
    check_suffix,
    clean_errors,
    show_table,
    show_text,
)

if TYPE_CHECKING:
    import pandas as pd

    from ..cohorts import Evaluation
    from .configs import Config

commands = typer.Typer(rich_markup_mode=None)

_Validation = Annotated[
    Path | None, typer.Option(metavar="TABLE", help="CSV of nights to validate on.")
]
_Split = Annotated[
    Path | None,
    typer.Option(metavar="TABLE", help="CSV of the part of each subject."),
]
_NDevices = Annotated[int, typer.Option(metavar="N", help="Number of such devices.")]


def _check_scores(out: Path, table: Path) -> None:
    """Refuse to write scores over the table of nights, or over a file that it names."""
    table = table.expanduser()
    try:
        if not (out.exists() and table.exists()):
            return
    except OSError:  # names that are too long, which are refused later
        return
    if out.samefile(table):
        raise ValueError(f"{out} is the table of nights, which would be lost. Choose another name.")
    from ..cohorts import read_nights

    for night in read_nights(table):
        for path in (night.recording, night.hypnogram):
            if isinstance(path, Path) and path.exists() and out.samefile(path):
                raise ValueError(
                    f"{out} belongs to the night {night.name}, and would be lost. Choose another "
                    "name."
                )


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, which need not exist."""
    if one.resolve() == other.resolve():
        return True
    return one.exists() and other.exists() and one.samefile(other)


def _split_signals(added: Sequence[str] | None) -> dict[str, str | None]:
    """Split NAME or NAME=SOURCE; a signal without a source begins with random values."""
    pairs = [one.partition("=") for one in added or []]
    return {name.strip(): source.strip() or None for name, _, source in pairs}


def _tabulate_scores(found: "Evaluation", confusion: bool) -> "pd.DataFrame":
    """Tabulate the scores of each night, with its confusion matrix if that is wanted."""
    from ..hypnograms.tables import hide_formula

    scores = found.by_night
    if confusion:
        wide = found.confusion_by_night.stack().unstack(["scored", "staged"])
        wide.columns = [f"{scored} as {staged}" for scored, staged in wide.columns]
        scores = scores.merge(wide.reset_index(), on=["dataset", "subset", "night"])
    return scores.assign(**scores[["dataset", "subject", "recording"]].map(hide_formula))


def _choose_parts(names: Sequence[str] | None, *, has_new: bool) -> tuple[str, ...]:
    """Choose the parts that fine-tuning trains; "none" for new ones alone."""
    if not names:
        return ("sequence_mixer", "classifier")
    if list(names) == ["none"] and not has_new:
        raise typer.BadParameter(
            "none trains only what --n-stages or --add-signal adds. Add one of them, or name a "
            "part.",
            param_hint="--trainable",
        )
    return () if list(names) == ["none"] else tuple(names)


_Architecture = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="released or paper: network and settings to begin with."),
]


def _describe_new(
    training: ModuleType, architecture: str | None, folder: Path | None, option: str
) -> "Config":
    """Give the defaults of a training: of a named architecture, or with that of a model folder."""
    check_choice(architecture or "released", ["released", "paper"], "--architecture")
    if folder is None:
        return dict(training.settings.describe_architecture(architecture or "released"))
    if architecture is not None:
        raise typer.BadParameter(
            f"cannot be given with {option}, which names a model folder with an architecture. Give "
            "one of them.",
            param_hint="--architecture",
        )
    from ..network.info import read_info

    info = read_info(folder.expanduser())
    network = {"architecture": info.config, "preprocessing": info.preprocessing}
    return {"settings": training.TrainingSettings(), **network}


@commands.command("evaluate")
def evaluate_command(
    table: TableArgument,
    weights: WeightsOption = "wav2sleep",
    cache: Annotated[Path, typer.Option(help="Folder of prepared nights, to share.")] = Path(
        "prepared-nights"
    ),
    jobs: JobsOption = 1,
    subsets: Annotated[str, typer.Option(help="Subsets of the signals: all or recorded.")] = "all",
    out: Annotated[Path | None, typer.Option(help="Scores of each night to write, .csv.")] = None,
    summary: Annotated[
        Path | None, typer.Option(help="Table that is printed, to write as .csv.")
    ] = None,
    confusion: Annotated[
        bool, typer.Option("--confusion", help="Add the confusion matrix of each night to --out.")
    ] = False,
    device: DeviceOption = "auto",
    skip_broken: SkipBrokenOption = False,
    overwrite: OverwriteOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure agreement with a scorer, for every subset of signals.

    Example: mne-wav2sleep evaluate nights.csv --weights model
    """
    out, summary = (
        check_suffix(path, [".csv"], option)
        for path, option in ((out, "--out"), (summary, "--summary"))
    )
    check_choice(subsets, ["all", "recorded"], "--subsets")
    if confusion and out is None:
        raise typer.BadParameter("needs a file, --out.", param_hint="--confusion")
    with clean_errors(debug=debug, table=table):
        from ..cohorts import evaluate, prepare_nights, read_nights
        from ..network.registry import describe_weights

        modalities = describe_weights(weights).modalities  # first, as they may define some
        for path in (out, summary):  # checked before hours of work
            if path is not None:
                _check_scores(path, table)
                check_output(path, overwrite=overwrite)
        if out is not None and summary is not None and _is_same(out, summary):
            raise typer.BadParameter(
                f"is the file of --out, {out}. Give them different names.", param_hint="--summary"
            )
        nights = prepare_nights(
            read_nights(table),
            cache,
            modalities=modalities,
            n_jobs=jobs,
            on_error=choose_on_error(skip_broken),
        )
        found = evaluate(nights, weights, subsets=subsets, device=device)
    try:
        show_table(found.pooled.round(3))  # before a file that cannot be written
    finally:  # also if what reads the output has ended, as head does
        with clean_errors(debug=debug, table=table):
            if out is not None:
                with write_whole(out, overwrite=overwrite) as unfinished:
                    _tabulate_scores(found, confusion).to_csv(unfinished, index=False)
            if summary is not None:
                with write_whole(summary, overwrite=overwrite) as unfinished:
                    found.pooled.to_csv(unfinished)


@commands.command("train")
def train_command(
    table: TableArgument,
    folder: FolderArgument,
    validation: _Validation = None,
    split: _Split = None,
    architecture: _Architecture = None,
    config_from: Annotated[
        Path | None, typer.Option(help="Model folder with the architecture to use.")
    ] = None,
    skip_broken: SkipBrokenOption = False,
    config: ConfigOption = None,
    settings: SettingsOption = None,
    cache: CacheOption = None,
    jobs: JobsOption = 1,
    device: DeviceOption = "auto",
    n_devices: _NDevices = 1,
    tensorboard: TensorBoardOption = False,
    debug: DebugOption = False,
) -> None:
    """Train a network. Run the same command again to resume.

    Example: mne-wav2sleep train nights.csv model
    """
    with clean_errors(debug=debug, table=table, resumes=True):
        from ..cohorts import read_nights

        training = import_training()
        defaults = _describe_new(training, architecture, config_from, "--config-from")
        chosen = choose_config(defaults, config, settings)
        training.train(
            read_nights(table),
            folder,
            config=chosen["architecture"],
            preprocessing=chosen["preprocessing"],
            validation=validation and read_nights(validation),
            split=split,
            cache=cache,
            n_jobs=jobs,
            settings=chosen["settings"],
            device=device,
            n_devices=n_devices,
            tensorboard=tensorboard,
            on_error=choose_on_error(skip_broken),
        )
    show_text(f"{folder} contains the weights and their model card, README.md")


@commands.command("fine-tune")
def fine_tune_command(
    table: TableArgument,
    folder: FolderArgument,
    weights: WeightsOption = "wav2sleep",
    trainable: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PART",
            help="Part to train, such as classifier; repeatable. none: only what is added.",
        ),
    ] = None,
    n_stages: Annotated[
        int | None, typer.Option(metavar="N", help="Stages, 4 or 5; default: as before.")
    ] = None,
    add_signal: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=SOURCE]",
            help="Signal to add; repeatable.",
        ),
    ] = None,
    validation: _Validation = None,
    split: _Split = None,
    skip_broken: SkipBrokenOption = False,
    config: ConfigOption = None,
    settings: SettingsOption = None,
    cache: CacheOption = None,
    jobs: JobsOption = 1,
    device: DeviceOption = "auto",
    n_devices: _NDevices = 1,
    tensorboard: TensorBoardOption = False,
    debug: DebugOption = False,
) -> None:
    """Adapt weights to scored nights. Run the same command again to resume.

    Example: mne-wav2sleep fine-tune nights.csv model --weights wav2sleep
    """
    with clean_errors(debug=debug, table=table, resumes=True):
        from ..cohorts import read_nights
        from ..network.registry import describe_weights

        describe_weights(weights)  # before the table, as they may define modalities
        training = import_training()
        chosen = choose_config({"settings": training.FINE_TUNING}, config, settings)
        training.fine_tune(
            read_nights(table),
            folder,
            weights=weights,
            trainable=_choose_parts(trainable, has_new=bool(n_stages or add_signal)),
            n_stages=n_stages,
            add_signals=_split_signals(add_signal),
            validation=validation and read_nights(validation),
            split=split,
            cache=cache,
            n_jobs=jobs,
            settings=chosen["settings"],
            device=device,
            n_devices=n_devices,
            tensorboard=tensorboard,
            on_error=choose_on_error(skip_broken),
        )
    show_text(f"{folder} contains the weights and their model card, README.md")


@commands.command("write-config")
def write_config_command(
    file: Annotated[Path, typer.Argument(help="YAML file to write.", show_default=False)],
    command: Annotated[
        str, typer.Option("--for", metavar="COMMAND", help="train or fine-tune.")
    ] = "train",
    model: Annotated[
        Path | None,
        typer.Option("--from", metavar="FOLDER", help="Model folder whose configuration to write."),
    ] = None,
    architecture: _Architecture = None,
    overwrite: OverwriteOption = False,
    debug: DebugOption = False,
) -> None:
    """Write a file of settings for training.

    Example: mne-wav2sleep write-config train.yaml
    """
    check_suffix(file, [".yaml", ".yml"], "FILE")
    check_choice(command, ["train", "fine-tune"], "--for")
    with clean_errors(debug=debug):
        from .configs import format_config, read_run_config

        training = import_training()
        is_new = command == "train"
        model = model and model.expanduser()
        record = None if model is None else training.run.read_record(model)
        config: Config = {"settings": training.FINE_TUNING}
        if is_new:
            # The record of a run has its architecture.
            folder = None if record is not None and architecture is None else model
            config = _describe_new(training, architecture, folder, "--from")
        elif architecture is not None:
            raise typer.BadParameter(
                "goes with --for train; fine-tuning takes it from the initial weights.",
                param_hint="--architecture",
            )
        if record is not None:
            config = read_run_config(record, config)
        elif model is not None and not is_new:
            raise ValueError(
                f"{model} has no training.json, from which the settings of a run are known. Give "
                "the folder of a run, or leave out --from for the default settings."
            )
        with write_whole(file, overwrite=overwrite) as unfinished:
            unfinished.write_text(format_config(config), encoding="utf-8")
    which = "settings"
    if model is not None and record is None:
        which = f"architecture of {model} and, without its training.json, default settings"
    show_text(f"{file} contains the {which}; change them, and pass it to --config")
