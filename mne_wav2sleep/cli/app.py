"""The command, assembled from its groups."""

import sys
from importlib import metadata
from typing import Annotated

import typer

from . import adapting, bids, cohort, cohorts, compare, datasets, staging, weights
from .shared import show_text
from .terminal import use_terminal

# Without Rich's boxes, every help text fits a terminal of 80 columns and 30 lines.
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
for _group in (staging, cohort, cohorts, compare, adapting, bids):
    app.add_typer(_group.commands)
app.add_typer(weights.commands, name="weights")
app.add_typer(datasets.commands, name="dataset")


def _show_version(wanted: bool) -> None:
    """Print the version and exit."""
    if wanted:
        show_text(metadata.version("mne-wav2sleep"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Stage sleep from ECG, PPG and respiratory belts.

    Example: mne-wav2sleep demo
    """


@app.command("sys-info")
def sys_info_command() -> None:
    """Print system information for bug reports. Example: mne-wav2sleep sys-info."""
    from ..system import sys_info

    sys_info(sys.stdout)


def main() -> None:
    """Run the command line."""
    with use_terminal():
        app()
