"""Read the option ``--ch-name``, which may name signals that the weights define."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..modalities import MODALITIES

if TYPE_CHECKING:
    from ..recordings.channels import ChannelName


def read_ch_names(
    values: Sequence[str] | None, weights: str | None = None
) -> dict[str, "ChannelName"]:
    """Parse the values of ``--ch-name``.

    Parameters
    ----------
    values : sequence of str or None
        Values such as ``"ECG=EKG II"``.
    weights : str or None
        The weights, which may define modalities that are not built in if they are a folder.

    Returns
    -------
    ch_names : dict
        Modality -> channel, pair of channels or None, for
        :class:`~mne_wav2sleep.SleepStagerW2S`.

    Raises
    ------
    typer.BadParameter
        If a value is not MODALITY=CHANNEL, or a modality has too many channels.

    Examples
    --------
    >>> read_ch_names(["ECG=EKG II", "PPG=none"])
    {'ECG': 'EKG II', 'PPG': None}
    >>> read_ch_names(["ECG=EKG", "ECG=EKG2"])
    {'ECG': ('EKG', 'EKG2')}
    """
    given: dict[str, list[str]] = {}
    for value in values or ():
        modality, is_given, name = value.partition("=")
        modality = modality.strip().upper()
        if is_given and modality not in MODALITIES:
            _define_modalities(weights)
        if not is_given or not name.strip() or modality not in MODALITIES:
            raise typer.BadParameter(
                f"takes MODALITY=CHANNEL, with a modality of {', '.join(MODALITIES)}, got "
                f"{value!r}.",
                param_hint="--ch-name",
            )
        given.setdefault(modality, []).append(name)
    ch_names: dict[str, ChannelName] = {}
    for modality, names in given.items():
        words = {name.lower() for name in names} & {"auto", "none"}
        if len(names) > (1 if words else 1 + MODALITIES[modality].is_difference):
            raise typer.BadParameter(
                f"takes one channel for {modality}"
                + (", or two for their difference" if MODALITIES[modality].is_difference else "")
                + f", got {names}.",
                param_hint="--ch-name",
            )
        if len(names) == 2:
            ch_names[modality] = (names[0], names[1])
        else:
            ch_names[modality] = None if names[0].lower() == "none" else names[0]
    return ch_names


def _define_modalities(weights: str | None) -> None:
    """Add the modalities that a model folder defines; what is wrong with it is said later."""
    if weights is not None and Path(weights).expanduser().is_dir():
        from ..network.registry import describe_weights

        with suppress(RuntimeError, ValueError, OSError):
            describe_weights(weights)
