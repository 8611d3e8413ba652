"""The command mne-wav2sleep.

Exit codes: 0 done; 1 the recording, the weights, the device or the output cannot be used; 2 wrong
usage, which depends on none of them.
"""

import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import fields, replace
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import pandas as pd
import typer
import yaml
from mne.utils import use_log_level

from ..hypnograms.writing import SUFFIXES, write_hypnogram
from ..network.backends import PRECISIONS
from ..network.folder import read_config
from ..network.registry import (
    fetch_weights,
    list_weights,
    read_weights_config,
    verify_weights,
    weights_path,
)
from ..output import check_output, write_whole
from ..progress import show_bars
from ..recordings.channels import ChannelName, match_channels
from ..recordings.opening import find_rates, open_recording
from ..reports.html import write_report
from ..signals.validity import Validity
from ..stager import SleepStagerW2S
from ..staging.provenance import provenance_path, write_provenance
from .demo import stage_demo_night

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
weights_app = typer.Typer(
    help="Weights with a name: list, fetch, path, verify.", no_args_is_help=True
)
app.add_typer(weights_app, name="weights")

Night = Annotated[Path, typer.Argument(help="EDF, BDF, FIF, BrainVision, ...", show_default=False)]
WeightsName = Annotated[str, typer.Argument(help="Name of weights, of `weights list`.")]
WeightsOption = Annotated[str, typer.Option(help="Name, or model folder.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")]


@contextmanager
def _clean_errors(verbose: str | None = None) -> Iterator[None]:
    """End with one sentence and exit code 1, not with a traceback.

    Warnings, each once, and MNE's log go to stderr; so do bars, where somebody looks at it.
    """
    shown = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) not in shown:
            typer.echo(f"Warning: {message}", err=True)
        shown.add(str(message))

    try:
        with (
            show_bars(sys.stderr.isatty()),
            redirect_stdout(sys.stderr),
            use_log_level(verbose),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("always", RuntimeWarning)  # MNE's and ours
            warnings.showwarning = show
            yield
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error


def _name(value: str) -> ChannelName:
    """Read a channel option: "none" leaves the modality out."""
    return None if value.lower() == "none" else value


def _pair(values: list[str] | None) -> ChannelName:
    """Read --ecg, given once for a channel or twice for a difference."""
    first, *second = values or ["auto"]
    if not second:
        return _name(first)
    if len(second) > 1 or {first.lower(), second[0].lower()} & {"auto", "none"}:
        raise typer.BadParameter(
            f"takes one channel, auto or none, or two channels for their difference, got {values}.",
            param_hint="--ecg",
        )
    return first, second[0]


def _version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        typer.echo(metadata.version("mne-wav2sleep"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Stage sleep from ECG, PPG and respiratory belts.

    Example: mne-wav2sleep demo
    """


def _show_mapping(mapping: pd.DataFrame, signals: Iterable[str]) -> None:
    """Print the mapping, and which of the network's signals are not in it."""
    _show(mapping)
    for modality in sorted(set(signals) - set(mapping.index)):
        typer.echo(
            f"{modality}: none; name a channel with --{modality.lower()} of the stage command"
        )


def _show(table: pd.DataFrame) -> None:
    """Print a table in full."""
    with pd.option_context("display.max_colwidth", None, "display.width", None):
        typer.echo(table.to_string())


@app.command()
def channels(night: Night, weights: WeightsOption = "wav2sleep") -> None:
    """Show which channel feeds which modality, without staging.

    Example: mne-wav2sleep channels night.edf
    """
    with _clean_errors("warning"):
        signals = sorted(read_weights_config(weights).signals)
        recording = open_recording(night)
        found = find_rates(recording, match_channels(recording.raw, modalities=signals))
    _show_mapping(found, signals)


@app.command()
def stage(
    night: Night,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the hypnogram: .json (YASA), .csv / .tsv (events as in BIDS), .edf (EDF+ "
            "annotations) or .txt (a stage per line); beside it, where it comes from."
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write a report of the night, .html.")] = None,
    ecg: Annotated[
        list[str] | None,
        typer.Option(
            help="ECG channel, auto or none; twice for a difference.", show_default="auto"
        ),
    ] = None,
    ppg: Annotated[str, typer.Option(help="PPG channel, auto or none.")] = "auto",
    abd: Annotated[str, typer.Option(help="Abdominal belt, auto or none.")] = "auto",
    thx: Annotated[str, typer.Option(help="Thoracic belt, auto or none.")] = "auto",
    eog_l: Annotated[str, typer.Option(help="Left EOG, for weights that read it.")] = "auto",
    eog_r: Annotated[str, typer.Option(help="Right EOG, for weights that read it.")] = "auto",
    weights: WeightsOption = "wav2sleep",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help=f"{', '.join(PRECISIONS)}.")] = "float32",
    checks: Annotated[bool, typer.Option(help="Mask flat and saturated spans.")] = True,
    overwrite: Overwrite = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show MNE's log as well.")] = False,
) -> None:
    """Stage a recording and print its sleep statistics.

    Example: mne-wav2sleep stage night.edf --out hyp.json
    """
    out = None if out is None else out.expanduser().absolute()
    if out is not None and out.suffix.lower() not in SUFFIXES:
        raise typer.BadParameter(
            f"must end in {', '.join(SUFFIXES)}, got {out}.", param_hint="--out"
        )
    report = None if report is None else report.expanduser().absolute()
    if report is not None and report.suffix.lower() != ".html":
        raise typer.BadParameter(f"must end in .html, got {report}.", param_hint="--report")
    if precision not in PRECISIONS:
        raise typer.BadParameter(
            f"must be one of {', '.join(PRECISIONS)}, got {precision!r}.", param_hint="--precision"
        )
    with _clean_errors("info" if verbose else "warning"):
        for path in (out, report):
            if path is not None and path.exists() and night.exists() and path.samefile(night):
                raise ValueError(f"{path} is the recording, which would be lost. Choose another.")
        # Before the work, which takes minutes.
        for path in (out, out and provenance_path(out), report):
            if path is not None:
                check_output(path, overwrite=overwrite)
        stager = SleepStagerW2S(
            night,
            ecg_name=_pair(ecg),
            ppg_name=_name(ppg),
            abd_name=_name(abd),
            thx_name=_name(thx),
            eog_l_name=_name(eog_l),
            eog_r_name=_name(eog_r),
            weights=weights,
            validity=None if checks else Validity.off(),
            device=device,
            precision=precision,
        )
        hyp = stager.predict()
        statistics = stager.statistics()  # before provenance, which has what is warned of
        if out is not None:
            write_hypnogram(hyp, out, overwrite=overwrite)
            write_provenance(stager.provenance, out, overwrite=overwrite)
        if report is not None:
            write_report(stager.report(), report, overwrite=overwrite)
    _show_mapping(stager.channels, stager.model.config.signals)
    _show(statistics)


@app.command()
def demo(
    edf: Annotated[
        Path | None, typer.Option(help="A recording of yours instead of a simulated night.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("wav2sleep-demo"),
    seed: Annotated[int, typer.Option(help="Which night is simulated.")] = 0,
) -> None:
    """Stage a simulated night with the bundled weights, and compare with its true stages.

    Example: mne-wav2sleep demo
    """
    out = out.expanduser()
    with _clean_errors("warning"):
        stager, agreement = stage_demo_night(out, recording=edf, seed=seed)
        statistics = stager.statistics()
    for table in (stager.channels, statistics, *agreement):
        _show(table)
    typer.echo(f"Hypnogram, provenance, epochs, pictures and report.html are in {out}")


def _training() -> ModuleType:
    """Import the optional training module, or say how to install it."""
    try:
        from .. import training
    except ModuleNotFoundError as error:
        if error.name != "pytorch_lightning":
            raise
        raise ValueError(
            "Training needs PyTorch Lightning, which is not installed. Run "
            "`pip install pytorch-lightning`."
        ) from error
    return training


Table = Annotated[
    Path,
    typer.Argument(
        help="CSV of nights: recording, subject; and hypnogram, dataset, ABD, ECG, PPG, THX.",
        show_default=False,
    ),
]
ModelFolder = Annotated[Path, typer.Argument(help="Model folder to write.", show_default=False)]
Validation = Annotated[
    Path | None, typer.Option(help="CSV of validation nights; else a part of the subjects.")
]
SkipBroken = Annotated[bool, typer.Option(help="Leave out nights that cannot be used.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="A setting of TrainingSettings, such as learning_rate=1e-4; repeatable."
    ),
]
Accelerator = Annotated[str, typer.Option(help="Lightning's: auto, cpu, gpu, mps.")]
Devices = Annotated[int, typer.Option(help="How many of them.")]


def _prepare(table: Path | None, folder: Path, skip_broken: bool) -> list | None:
    """Read a table of nights and prepare them."""
    if table is None:
        return None
    training = _training()
    on_error = "warn" if skip_broken else "raise"
    return training.prepare_nights(training.read_nights(table), folder, on_error=on_error)


def _set(settings: Any, assignments: list[str] | None) -> Any:
    """Change settings by name=value, the value as YAML writes it."""
    # What masks has parts of its own, which one value cannot say.
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
        # YAML reads 1e-4 as text.
        changes[name] = float(value) if re.fullmatch(r"\d+e-?\d+", value) else read
    changed = replace(settings, **changes)
    try:
        _training().settings.check_settings(changed)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--set") from error
    return changed


@app.command("train")
def train_command(
    table: Table,
    out: ModelFolder,
    validation: Validation = None,
    config: Annotated[
        Path | None, typer.Option(help="Folder with the config.json or config.yaml to build.")
    ] = None,
    skip_broken: SkipBroken = False,
    settings: Settings = None,
    accelerator: Accelerator = "auto",
    devices: Devices = 1,
) -> None:
    """Train a network from scratch; the same command again goes on where it stopped.

    Example: mne-wav2sleep train nights.csv model
    """
    with _clean_errors():
        training = _training()
        chosen = _set(training.TrainingSettings(), settings)
        folder = training.train(
            _prepare(table, out / "nights", skip_broken),
            out,
            config=None if config is None else read_config(config),
            validation=_prepare(validation, out / "nights", skip_broken),
            settings=chosen,
            accelerator=accelerator,
            devices=devices,
        )
    typer.echo(f"{folder} holds the weights and their model card, README.md")


@app.command("finetune")
def finetune_command(
    table: Table,
    out: ModelFolder,
    weights: Annotated[str, typer.Option(help="Weights to begin with.")] = "wav2sleep",
    trainable: Annotated[
        list[str] | None,
        typer.Option(help="Parts that learn: signal_encoders, epoch_mixer, sequence_mixer, ..."),
    ] = None,
    validation: Validation = None,
    skip_broken: SkipBroken = False,
    settings: Settings = None,
    accelerator: Accelerator = "auto",
    devices: Devices = 1,
) -> None:
    """Fit weights to your own scored nights.

    Example: mne-wav2sleep finetune nights.csv model --weights wav2sleep
    """
    with _clean_errors():
        training = _training()
        chosen = _set(training.FINE_TUNING, settings)
        folder = training.fine_tune(
            _prepare(table, out / "nights", skip_broken),
            out,
            weights=weights,
            trainable=trainable or ("sequence_mixer", "classifier"),
            validation=_prepare(validation, out / "nights", skip_broken),
            settings=chosen,
            accelerator=accelerator,
            devices=devices,
        )
    typer.echo(f"{folder} holds the weights and their model card, README.md")


@app.command("evaluate")
def evaluate_command(
    table: Table,
    weights: Annotated[str, typer.Option(help="Name, or model folder.")] = "wav2sleep",
    cache: Annotated[Path, typer.Option(help="Folder for prepared nights.")] = Path(
        "prepared-nights"
    ),
    subsets: Annotated[str, typer.Option(help="all subsets of the signals, or recorded.")] = "all",
    out: Annotated[Path | None, typer.Option(help="Write scores by night, as .csv.")] = None,
    skip_broken: SkipBroken = False,
    overwrite: Overwrite = False,
) -> None:
    """Compare weights with the scorer, for every subset of the signals.

    Example: mne-wav2sleep evaluate nights.csv --weights model
    """
    if out is not None and out.suffix.lower() != ".csv":
        raise typer.BadParameter(f"must end in .csv, got {out}.", param_hint="--out")
    if subsets not in ("all", "recorded"):
        raise typer.BadParameter(
            f"must be all or recorded, got {subsets!r}.", param_hint="--subsets"
        )
    with _clean_errors():
        if out is not None:  # before hours of work
            if out.exists() and table.exists() and out.samefile(table):
                raise ValueError(f"{out} is the table of nights, which would be lost.")
            check_output(out, overwrite=overwrite)
        nights = _prepare(table, cache, skip_broken)
        found = _training().evaluate(nights, weights, subsets=subsets)
        if out is not None:
            with write_whole(out, overwrite=overwrite) as unfinished:
                found.by_night.to_csv(unfinished, index=False)
    _show(found.pooled.round(3))


@weights_app.command("list")
def list_command() -> None:
    """List the weights that have a name. Example: mne-wav2sleep weights list."""
    for name, row in list_weights().iterrows():
        typer.echo(name)
        for what, value in row.dropna().items():
            if value != "":
                typer.echo(f"  {what}: {value}")


@weights_app.command("fetch")
def fetch_command(name: WeightsName = "wav2sleep") -> None:
    """Download weights into the cache. Example: mne-wav2sleep weights fetch."""
    with _clean_errors():
        path = fetch_weights(name, verbose=True)
    typer.echo(path)


@weights_app.command("path")
def path_command(name: WeightsName = "wav2sleep") -> None:
    """Print where weights are kept. Example: mne-wav2sleep weights path."""
    with _clean_errors():
        path = weights_path(name)
    typer.echo(path)


@weights_app.command("verify")
def verify_command(name: WeightsName = "wav2sleep") -> None:
    """Check downloaded or bundled weights. Example: mne-wav2sleep weights verify."""
    with _clean_errors():
        path = verify_weights(name)
    typer.echo(f"{path} is as it should be")


def main() -> None:
    """Run the command line."""
    sys.exit(app())
