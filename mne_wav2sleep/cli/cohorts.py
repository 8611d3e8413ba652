"""Commands for many nights: evaluate, train, fine-tune."""

import re
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
import yaml
from pydantic import ValidationError

from ..cohorts import PreparedNight, evaluate, prepare_nights, read_nights
from ..cohorts.identity import check_apart
from ..errors import summarize_validation
from ..hypnograms.tables import hide_formula
from ..network.folder import read_info
from ..output import check_output, write_whole
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

commands = typer.Typer(rich_markup_mode=None)

_Table = Annotated[
    Path,
    typer.Argument(
        help="CSV with recording and subject; optional: hypnogram, dataset, ABD, ECG, PPG, THX.",
        show_default=False,
    ),
]
_ModelFolder = Annotated[Path, typer.Argument(help="Model folder to write.", show_default=False)]
_Validation = Annotated[
    Path | None, typer.Option(help="CSV of validation nights; default: some of the subjects.")
]
_Split = Annotated[
    Path | None,
    typer.Option(help="CSV: subject, part (training, validation or test); optional: dataset."),
]
_Cache = Annotated[
    Path | None,
    typer.Option(help="Folder of prepared nights, to share; default: nights in the model folder."),
]
_Jobs = Annotated[int, typer.Option("--jobs", help="Nights prepared at once; -1 for every CPU.")]
_SkipBroken = Annotated[
    bool, typer.Option("--skip-broken", help="Skip nights that cannot be used.")
]
_Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A training setting, such as learning_rate=1e-4; repeatable.",
    ),
]
_NDevices = Annotated[int, typer.Option(help="Number of such devices.")]


def _import_training() -> ModuleType:
    """Import the training package, which needs PyTorch Lightning."""
    try:
        from .. import training
    except ModuleNotFoundError as error:
        if error.name != "pytorch_lightning":
            raise
        raise ValueError(
            "Training needs PyTorch Lightning, which is not installed. Run "
            "`pip install 'pytorch-lightning>=2.6.4'`."
        ) from error
    return training


def _prepare(
    table: Path, validation: Path | None, cache: Path, jobs: int, skip_broken: bool
) -> tuple[list[PreparedNight], list[PreparedNight] | None]:
    """Read tables of nights and prepare them; together, so that none is in both."""
    nights = read_nights(table)
    apart = [] if validation is None else read_nights(validation)
    check_apart(nights, apart)
    on_error = "warn" if skip_broken else "raise"
    prepared = prepare_nights([*nights, *apart], cache, n_jobs=jobs, on_error=on_error)
    if validation is None:
        return prepared, None
    persons = {night.person for night in apart}
    return (
        [night for night in prepared if night.person not in persons],
        [night for night in prepared if night.person in persons],
    )


def _check_scores(out: Path, table: Path) -> None:
    """Refuse to write scores over the table of nights, or over a file that it names."""
    if not (out.exists() and table.exists()):
        return
    if out.samefile(table):
        raise ValueError(f"{out} is the table of nights, which would be lost. Choose another name.")
    for night in read_nights(table):
        for path in (night.recording, night.hypnogram):
            if isinstance(path, Path) and path.exists() and out.samefile(path):
                raise ValueError(
                    f"{out} belongs to the night {night.name}, and would be lost. Choose another "
                    "name."
                )


def _change_settings(settings: Any, assignments: Sequence[str] | None) -> Any:
    """Change settings by assignments name=value, whose values are YAML."""
    # Masking is not a single value.
    known = {f.name: getattr(settings, f.name) for f in fields(settings) if f.name != "masking"}
    changes = {}
    for assignment in assignments or []:
        name, _, value = assignment.partition("=")
        if not value or name not in known:
            shown = ", ".join(f"{k}={'null' if v is None else v}" for k, v in known.items())
            raise typer.BadParameter(
                f"takes name=value for a setting of TrainingSettings, got {assignment!r}. "
                f"Settings: {shown}.",
                param_hint="--set",
            )
        try:
            read = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise typer.BadParameter(
                f"{assignment} has no value that YAML can read.", param_hint="--set"
            ) from error
        # YAML reads 1e-4 as a string.
        changes[name] = float(value) if re.fullmatch(r"\d+e-?\d+", value) else read
    try:
        return replace(settings, **changes)
    except ValidationError as error:
        raise typer.BadParameter(f"{summarize_validation(error)}.", param_hint="--set") from error


@commands.command("evaluate")
def evaluate_command(
    table: _Table,
    weights: WeightsOption = "wav2sleep",
    cache: Annotated[Path, typer.Option(help="Folder of prepared nights, to share.")] = Path(
        "prepared-nights"
    ),
    jobs: _Jobs = 1,
    subsets: Annotated[str, typer.Option(help="Subsets of the signals: all or recorded.")] = "all",
    out: Annotated[Path | None, typer.Option(help="Scores of each night to write, .csv.")] = None,
    device: DeviceOption = "auto",
    skip_broken: _SkipBroken = False,
    overwrite: OverwriteOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure agreement with a scorer, for every subset of the signals.

    Example: mne-wav2sleep evaluate nights.csv --weights model
    """
    out = check_suffix(out, [".csv"], "--out")
    check_choice(subsets, ["all", "recorded"], "--subsets")
    with clean_errors(debug=debug):
        if out is not None:  # checked before hours of work
            _check_scores(out, table)
            check_output(out, overwrite=overwrite)
        nights, _ = _prepare(table, None, cache, jobs, skip_broken)
        found = evaluate(nights, weights, subsets=subsets, device=device)
        if out is not None:
            with write_whole(out, overwrite=overwrite) as unfinished:
                names = found.by_night[["dataset", "subject", "night"]].map(hide_formula)
                found.by_night.assign(**names).to_csv(unfinished, index=False)
    show_table(found.pooled.round(3))


@commands.command("train")
def train_command(
    table: _Table,
    folder: _ModelFolder,
    validation: _Validation = None,
    split: _Split = None,
    config_from: Annotated[
        Path | None, typer.Option(help="Model folder with the architecture to use.")
    ] = None,
    skip_broken: _SkipBroken = False,
    settings: _Settings = None,
    cache: _Cache = None,
    jobs: _Jobs = 1,
    device: DeviceOption = "auto",
    n_devices: _NDevices = 1,
    debug: DebugOption = False,
) -> None:
    """Train a network. Run the same command again to resume.

    Example: mne-wav2sleep train nights.csv model
    """
    with clean_errors(debug=debug):
        training = _import_training()
        chosen = _change_settings(training.TrainingSettings(), settings)
        info = None if config_from is None else read_info(config_from)
        if split is not None:  # before hours of work
            training.splitting.read_split(split)
        nights, apart = _prepare(table, validation, cache or folder / "nights", jobs, skip_broken)
        training.train(
            nights,
            folder,
            config=info and info.config,
            preprocessing=info and info.preprocessing,
            validation=apart,
            split=split,
            cache=cache,
            n_jobs=jobs,
            settings=chosen,
            device=device,
            n_devices=n_devices,
        )
    show_text(f"{folder} contains the weights and their model card, README.md")


@commands.command("fine-tune")
def fine_tune_command(
    table: _Table,
    folder: _ModelFolder,
    weights: WeightsOption = "wav2sleep",
    trainable: Annotated[
        list[str] | None,
        typer.Option(help="Part to train, such as sequence_mixer; repeatable."),
    ] = None,
    validation: _Validation = None,
    split: _Split = None,
    skip_broken: _SkipBroken = False,
    settings: _Settings = None,
    cache: _Cache = None,
    jobs: _Jobs = 1,
    device: DeviceOption = "auto",
    n_devices: _NDevices = 1,
    debug: DebugOption = False,
) -> None:
    """Adapt weights to scored nights. Run the same command again to resume.

    Example: mne-wav2sleep fine-tune nights.csv model --weights wav2sleep
    """
    with clean_errors(debug=debug):
        training = _import_training()
        chosen = _change_settings(training.FINE_TUNING, settings)
        if split is not None:  # before hours of work
            training.splitting.read_split(split)
        nights, apart = _prepare(table, validation, cache or folder / "nights", jobs, skip_broken)
        training.fine_tune(
            nights,
            folder,
            weights=weights,
            trainable=trainable or ("sequence_mixer", "classifier"),
            validation=apart,
            split=split,
            cache=cache,
            n_jobs=jobs,
            settings=chosen,
            device=device,
            n_devices=n_devices,
        )
    show_text(f"{folder} contains the weights and their model card, README.md")
