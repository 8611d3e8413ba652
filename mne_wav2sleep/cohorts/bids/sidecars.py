"""Files of a BIDS dataset beside a recording, and what they say about its channels."""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import mne
import numpy as np
import pandas as pd

from ...cautions import keep_cautions
from ...errors import quote, summarize_error
from ...recordings.channels import Channel, ChannelName, map_channels
from ...recordings.labels import find_lookalike, find_modality

_LARGEST = 2**24
"""Size in bytes of a table at most."""
_TYPES = {"ECG": ("ECG",), "PPG": ("PPG",), "RESP": ("THX",)}
"""Type of channels in BIDS -> modalities that they may be; a belt at an unknown position is used
as THX."""


def read_tsv(path: Path) -> pd.DataFrame:
    """Read a table as BIDS has it.

    Parameters
    ----------
    path : Path
        The table, separated by tabs, in UTF-8.

    Returns
    -------
    table : pandas.DataFrame
        Its texts.

    Raises
    ------
    ValueError
        If it is too large, is not text, has no header or a column twice, or rows differ in length.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise ValueError(f"it has more than {_LARGEST // 2**20} MiB")
        lines = io.StringIO(content.decode("utf-8-sig"), newline="")
        rows = [row for row in csv.reader(lines, delimiter="\t") if any(row)]
        if not rows:
            raise ValueError("it is empty")
        names = [name.strip() for name in rows[0]]
        if len(set(names)) < len(names):
            raise ValueError("it has a column twice")
        if wrong := next((i for i, row in enumerate(rows) if len(row) != len(names)), 0):
            raise ValueError(f"row {wrong} has {len(rows[wrong])} values for {len(names)} columns")
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(
            f"{path} cannot be read as a table of BIDS ({summarize_error(error)}). Separate its "
            "columns by tabs, and save it in UTF-8."
        ) from error
    return pd.DataFrame(rows[1:], columns=names, dtype=object)


def find_sidecar(root: Path, recording: Path, suffix: str) -> Path | None:
    """Find the table that applies to a recording.

    Parameters
    ----------
    root : Path
        The folder of the dataset.
    recording : Path
        The recording in it.
    suffix : str
        What the table is of, such as ``"events"``.

    Returns
    -------
    table : Path or None
        The table that is nearest to the recording, with the most of its entities, by the
        inheritance principle of BIDS: it has no entity that the recording does not have.
    """
    entities = set(recording.name.split("_")[:-1])
    for folder in (recording.parent, *recording.parent.parents):
        fitting = [
            (len(parts), path)
            for path in folder.glob(f"*{suffix}.tsv")
            if (parts := set(path.name.split("_")[:-1])) <= entities
            and re.fullmatch(rf"(.*_)?{suffix}\.tsv", path.name)
        ]
        if fitting:
            return max(fitting)[1]
        if folder == root:
            break
    return None


@dataclass(frozen=True)
class Choice:
    """What a table of channels changes in the mapping of channels.

    Attributes
    ----------
    ch_names : mapping of str to str or None
        Modality -> channel, or None for none.
    bad, type, ambiguous : tuple of str
        Modalities whose best channel is bad, whose channel is known by its type, and of whose type
        there are several channels.
    changes : tuple of str
        The changes in words.
    """

    ch_names: Mapping[str, ChannelName] = field(default_factory=dict)
    bad: tuple[str, ...] = ()
    type: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


def choose_channels(path: Path) -> Choice:
    """Choose channels by a table of channels, where it says more than their labels.

    Parameters
    ----------
    path : Path
        The table, ``channels.tsv``.

    Returns
    -------
    choice : Choice
        What it changes.

    Raises
    ------
    ValueError
        If the table cannot be read, or has no column ``name``.
    """
    table = read_tsv(path)
    if "name" not in table:
        raise ValueError(
            f"{path} has the columns {quote(list(table))}; it needs 'name', and may have 'type' "
            "and 'status'. Correct the header."
        )
    names = table["name"].tolist()
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{path} has the channel {quote(twice)} twice. Give each its own row.")
    status = table.get("status", pd.Series("", table.index)).str.strip().str.lower()
    types = table.get("type", pd.Series("", table.index)).str.strip().str.upper()
    bads = table.loc[status == "bad", "name"].tolist()
    plain, by_label = _map(tuple(names)), _map(tuple(names), tuple(bads))
    ch_names: dict[str, ChannelName] = {}
    changes, bad, typed, ambiguous = [], [], [], []
    for modality, channel in plain.items():
        if channel.name in bads:
            other = by_label.get(modality)
            ch_names[modality] = None if other is None else other.name
            bad.append(modality)
            changes.append(
                f"{modality}: {channel.label!r} is bad, and "
                f"{'none' if other is None else repr(other.label)} is used"
            )
    used = {channel.name for channel in by_label.values()}
    for kind, modality in ((kind, m) for kind, (m,) in _TYPES.items() if m not in by_label):
        of_kind = table.loc[(types == kind) & (status != "bad"), "name"].tolist()
        fitting = [name for name in of_kind if name not in used and _fits(name, modality)]
        if len(fitting) == 1:
            ch_names[modality] = fitting[0]
            typed.append(modality)
            changes.append(f"{modality}: {fitting[0]!r} has the type {kind}")
        elif fitting:
            ambiguous.append(modality)
            changes.append(f"{modality}: {quote(fitting)} have the type {kind}, none is used")
    return Choice(ch_names, tuple(bad), tuple(typed), tuple(ambiguous), tuple(changes))


def _fits(name: str, modality: str) -> bool:
    """Check that a label does not name another signal."""
    return find_modality(name) in (None, modality) and not find_lookalike(name)


@lru_cache(256)  # most recordings of a dataset have the same channels
def _map(names: tuple[str, ...], bads: tuple[str, ...] = ()) -> Mapping[str, Channel]:
    """Map channels by their labels, as those of a file without types."""
    if not names:
        return {}
    info = mne.create_info(list(names), 1.0, "eeg", verbose="error")
    info["bads"] = list(bads)
    raw = mne.io.RawArray(np.zeros((len(names), 1)), info, verbose="error")
    with keep_cautions([], show=False):
        try:
            return {channel.modality: channel for channel in map_channels(raw)}
        except ValueError:  # none is mapped
            return {}
