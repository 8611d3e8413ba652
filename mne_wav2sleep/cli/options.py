"""What the commands for many nights share: options, and what they choose."""

import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer
from typer.models import OptionInfo

if TYPE_CHECKING:
    from .configs import Config

_DEVICES = r"auto|(cpu|cuda|mps|xpu|hpu|mtia|xla)(:\d+)?"
"""Devices that networks may run on; the last four are of torch's other backends."""


def make_jobs_option(what: str) -> OptionInfo:
    """Make the option ``--jobs``, which refuses 0.

    Parameters
    ----------
    what : str
        What is done at once.

    Returns
    -------
    option : typer.models.OptionInfo
        The option, for ``Annotated[int, ...]``.
    """
    text = f"{what} at once; -1: all CPUs, -2: but one."
    option: OptionInfo = typer.Option("--jobs", metavar="N", help=text, callback=_check_jobs)
    return option


def _check_jobs(jobs: int) -> int:
    """Check the value of ``--jobs``."""
    if jobs == 0:
        raise typer.BadParameter(
            "must be 1 or more, or -1 for all CPUs, -2 for all but one, and so on, got 0."
        )
    return jobs


def check_device(device: str) -> str:
    """Check the value of ``--device``, before torch is imported.

    Parameters
    ----------
    device : str
        The value.

    Returns
    -------
    device : str
        The same.

    Raises
    ------
    typer.BadParameter
        If torch has no such kind of device. Whether it is there is known later.
    """
    if re.fullmatch(_DEVICES, device) is None:
        raise typer.BadParameter(f"must be auto, cpu, cuda, cuda:1 or mps, got {device!r}.")
    return device


TableArgument = Annotated[
    Path,
    typer.Argument(
        help="CSV with recording and subject; optional: hypnogram, dataset, ABD, ECG, PPG, THX.",
        show_default=False,
    ),
]
FolderArgument = Annotated[Path, typer.Argument(help="Model folder to write.", show_default=False)]
CacheOption = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Folder of prepared nights, to share."),
]
JobsOption = Annotated[int, make_jobs_option("Nights prepared")]
SkipBrokenOption = Annotated[
    bool, typer.Option("--skip-broken", help="Skip nights that cannot be used.")
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Such as masking.drop.ECG=0.3; repeatable.",
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings in YAML; see write-config."),
]
TensorBoardOption = Annotated[
    bool, typer.Option("--tensorboard", help="Log for TensorBoard as well.")
]


def import_training() -> ModuleType:
    """Import the training package, which needs PyTorch Lightning.

    Returns
    -------
    training : module
        ``mne_wav2sleep.training``.

    Raises
    ------
    ValueError
        If PyTorch Lightning is not installed.
    """
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


def choose_on_error(skip_broken: bool) -> str:
    """Choose what is done with nights that cannot be prepared.

    Parameters
    ----------
    skip_broken : bool
        Whether they are left out.

    Returns
    -------
    on_error : str
        ``"warn"`` or ``"raise"``.
    """
    return "warn" if skip_broken else "raise"


def choose_config(
    defaults: "Config", file: Path | None, assignments: Sequence[str] | None
) -> "Config":
    """Choose the configuration of a run: that of a file, changed by assignments.

    Parameters
    ----------
    defaults : dict
        The sections, with the values of settings that are not given.
    file : Path or None
        The file.
    assignments : sequence of str or None
        Assignments, ``"name=value"``.

    Returns
    -------
    config : dict
        The sections.

    Raises
    ------
    typer.BadParameter
        If an assignment is not valid.
    """
    from .configs import change_config, read_config

    chosen = defaults if file is None else read_config(file, defaults)
    try:
        return change_config(chosen, assignments or [])
    except ValueError as error:
        raise typer.BadParameter(f"{error}.", param_hint="--set") from error
