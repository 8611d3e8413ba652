"""The command that writes a staged cohort as a BIDS dataset."""

from pathlib import Path
from typing import Annotated

import typer

from .shared import DebugOption, OverwriteOption, clean_errors, show_text

commands = typer.Typer(rich_markup_mode=None)


@commands.command("derivatives")
def derivatives_command(
    cohort: Annotated[Path, typer.Argument(help="Folder of a staged cohort.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write.", show_default=False)],
    source: Annotated[
        Path | None,
        typer.Option(metavar="BIDS", help="Dataset with the recordings.", show_default=False),
    ] = None,
    overwrite: OverwriteOption = False,
    debug: DebugOption = False,
) -> None:
    """Write a staged cohort as derivatives in BIDS.

    Example: mne-wav2sleep derivatives staged --out study/derivatives/wav2sleep --source study
    """
    with clean_errors(debug=debug):
        from ..cohorts import load_cohort, write_bids_derivatives

        loaded = load_cohort(cohort)
        folder = write_bids_derivatives(loaded, out, source=source, overwrite=overwrite)
    show_text(f"{len(loaded.hypnograms)} of {len(loaded.table)} nights are in {folder}")
