"""The command mne-wav2sleep.

Exit codes: 0 done, 1 the recording, the weights or the output cannot be used, 2 wrong usage.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from .channels import ChannelName, match_channels
from .model_folder import WeightsError
from .recording import find_rates, open_recording
from .staging import SleepStagerW2S
from .weights import fetch_weights, list_weights, verify_weights, weights_path

app = typer.Typer(
    help="Stage sleep from ECG, PPG and respiratory belts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
weights_app = typer.Typer(
    help="Published weights: list, fetch, path, verify.", no_args_is_help=True
)
app.add_typer(weights_app, name="weights")

Night = Annotated[Path, typer.Argument(help="EDF, BDF, FIF, BrainVision, ...", show_default=False)]
WeightsName = Annotated[str, typer.Argument(help="Name of published weights.")]


@contextmanager
def _clean_errors() -> Iterator[None]:
    """End with one sentence and exit code 1, not with a traceback."""
    try:
        yield
    except (ValueError, TypeError, WeightsError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error


def _name(value: str) -> ChannelName:
    """Read a channel option: "none" leaves the modality out."""
    return None if value.lower() == "none" else value


def _pair(values: list[str] | None) -> ChannelName:
    """Read --ecg, given once for a channel or twice for a difference."""
    if not values:
        return "auto"
    if len(values) > 2:
        raise ValueError(f"--ecg takes one channel, or two for their difference, got {values}.")
    return _name(values[0]) if len(values) == 1 else (values[0], values[1])


def _show_mapping(mapping: pd.DataFrame) -> None:
    """Print the mapping, and what is not in it."""
    _show(mapping)
    for modality in sorted({"ABD", "ECG", "PPG", "THX"} - set(mapping.index)):
        typer.echo(
            f"{modality}: none; name a channel with --{modality.lower()} of the stage command"
        )


def _show(table: pd.DataFrame) -> None:
    """Print a table in full."""
    with pd.option_context("display.max_colwidth", None, "display.width", None):
        typer.echo(table.to_string())


@app.command()
def channels(night: Night) -> None:
    """Show which channel feeds which modality, without staging.

    Example: mne-wav2sleep channels night.edf
    """
    with _clean_errors():
        recording = open_recording(night)
        found = find_rates(recording, match_channels(recording.raw))
    _show_mapping(found)


@app.command()
def stage(
    night: Night,
    out: Annotated[
        Path | None,
        typer.Option(help="Write the hypnogram: .json (YASA) or .csv / .tsv (events as in BIDS)."),
    ] = None,
    ecg: Annotated[
        list[str] | None, typer.Option(help="ECG channel; twice for a difference; none.")
    ] = None,
    ppg: Annotated[str, typer.Option(help="PPG channel, auto or none.")] = "auto",
    abd: Annotated[str, typer.Option(help="Abdominal belt, auto or none.")] = "auto",
    thx: Annotated[str, typer.Option(help="Thoracic belt, auto or none.")] = "auto",
    weights: Annotated[str, typer.Option(help="Name, or model folder.")] = "wav2sleep",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="float32, bfloat16, float16.")] = "float32",
) -> None:
    """Stage a recording and print its sleep statistics.

    Example: mne-wav2sleep stage night.edf --out hyp.json
    """
    with _clean_errors():
        if out is not None and out.suffix not in (".json", ".csv", ".tsv"):
            raise ValueError(f"--out must end in .json, .csv or .tsv, got {out.name!r}.")
        if out is not None and not out.absolute().parent.is_dir():
            raise ValueError(f"There is no folder {out.absolute().parent} to write {out.name} to.")
        stager = SleepStagerW2S(
            night,
            ecg_name=_pair(ecg),
            ppg_name=_name(ppg),
            abd_name=_name(abd),
            thx_name=_name(thx),
            weights=weights,
            device=device,
            precision=precision,
        )
        hyp = stager.predict()
        if out is not None and out.suffix == ".json":
            hyp.to_json(out)
        elif out is not None:
            events = hyp.as_events().rename(columns={"description": "trial_type"})
            events.to_csv(out, sep="\t" if out.suffix == ".tsv" else ",", index=False)
    _show(stager.channels)
    _show(pd.Series(hyp.sleep_statistics(), name="value").to_frame().round(2))


@weights_app.command("list")
def list_command() -> None:
    """List the published weights. Example: mne-wav2sleep weights list."""
    _show(list_weights().T)


@weights_app.command("fetch")
def fetch_command(name: WeightsName = "wav2sleep") -> None:
    """Download weights into the cache. Example: mne-wav2sleep weights fetch."""
    with _clean_errors():
        typer.echo(fetch_weights(name))


@weights_app.command("path")
def path_command(name: WeightsName = "wav2sleep") -> None:
    """Print where weights are kept. Example: mne-wav2sleep weights path."""
    with _clean_errors():
        typer.echo(weights_path(name))


@weights_app.command("verify")
def verify_command(name: WeightsName = "wav2sleep") -> None:
    """Check the hash of downloaded weights. Example: mne-wav2sleep weights verify."""
    with _clean_errors():
        typer.echo(f"{verify_weights(name)}: the SHA-256 is right")


def main() -> None:
    """Run the command line."""
    sys.exit(app())
