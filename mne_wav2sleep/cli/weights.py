"""Commands for named weights: list, fetch, path, verify."""

from typing import Annotated

import typer

from .shared import DebugOption, clean_errors, show_text

commands = typer.Typer(
    help="List, fetch, locate and verify weights. Example: mne-wav2sleep weights list",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_Name = Annotated[str, typer.Argument(help="Name of weights, from `weights list`.")]


@commands.command("list")
def list_command() -> None:
    """List the named weights. Example: mne-wav2sleep weights list."""
    from ..network import list_weights

    for name, row in list_weights().iterrows():
        show_text(name)
        for what, value in row.dropna().items():
            if value != "":
                show_text(f"  {what}: {value}")


@commands.command()
def fetch(name: _Name = "wav2sleep", debug: DebugOption = False) -> None:
    """Download weights into the cache. Example: mne-wav2sleep weights fetch."""
    with clean_errors(debug=debug):
        from ..network.download import fetch_weights

        path = fetch_weights(name, verbose=True)
    show_text(str(path))


@commands.command()
def path(name: _Name = "wav2sleep", debug: DebugOption = False) -> None:
    """Print where weights are stored. Example: mne-wav2sleep weights path."""
    with clean_errors(debug=debug):
        from ..network.download import weights_path

        found = weights_path(name)
    show_text(str(found))


@commands.command()
def verify(name: _Name = "wav2sleep", debug: DebugOption = False) -> None:
    """Check downloaded or bundled weights. Example: mne-wav2sleep weights verify."""
    with clean_errors(debug=debug):
        from ..network.download import verify_weights

        found = verify_weights(name)
    show_text(f"{found} is intact")
