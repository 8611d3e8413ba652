"""Nights and participants of a dataset in BIDS, the Brain Imaging Data Structure."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ...cautions import warn
from ...errors import quote, summarize_error
from ...hypnograms.light_marks import find_kind, list_marks
from ...hypnograms.lights import EventLights, Lights
from ...hypnograms.tables import has_stages
from ...verbosity import Verbosity, check_type, logger, pluralize, verbose
from ..finding import drop_parts, is_named_as_recording
from ..nights import Night
from .sidecars import Choice, choose_channels, find_sidecar, read_tsv

DESCRIPTION = "dataset_description.json"
"""Name of the file that makes a folder a dataset."""
_LARGEST = 2**20
"""Size in bytes of a description at most."""
DATATYPES = ("eeg", "emg", "ieeg", "meg", "nirs")
"""Folders of recordings, and their suffixes."""
_NO_NAME = "[Unspecified]"
"""Name that MNE-BIDS gives to datasets that are not named; two of them are not one."""

Labels = str | Sequence[str] | None
"""A label, several of them, or None for all."""


@verbose
def read_bids(
    root: str | Path,
    *,
    subjects: Labels = None,
    sessions: Labels = None,
    tasks: Labels = None,
    datatypes: Labels = None,
    verbose: Verbosity = None,
) -> list[Night]:
    """List the nights of a BIDS dataset.

    Parameters
    ----------
    root : str or Path
        The folder of the dataset, which contains ``dataset_description.json``.
    subjects, sessions, tasks : str, sequence of str or None
        Labels to keep, such as ``"01"``; None for all.
    datatypes : str, sequence of str or None
        Some of ``"eeg"``, ``"emg"``, ``"ieeg"``, ``"meg"`` and ``"nirs"``; None for all.
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    nights : list of Night
        One night per recording, in the order of the paths. ``recording`` is the path of the file,
        ``subject`` the label, ``dataset`` the name in ``dataset_description.json``, or that of the
        folder if there is none. ``hypnogram`` is the ``events.tsv`` of the recording if it names
        stages, in ``trial_type`` or ``value``; otherwise it is None. ``lights`` are the first event
        of lights off, and the last one of lights on, in the same columns; when the night is staged,
        they are limited to the recording, with a warning.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it is not a dataset.
    ValueError
        If no recording matches, or a description or a table of channels cannot be read.

    See Also
    --------
    read_participants : Read the table of participants.
    write_bids_derivatives : Write a staged cohort as a dataset.

    Notes
    -----
    Recordings are the files ``sub-*/[ses-*/]eeg/*_eeg.*``, and likewise for the other types. They
    are not opened; ``sourcedata``, ``derivatives`` and ``code`` are not searched.

    ``channels.tsv`` changes the mapping of channels (``ch_names`` of the night) where a channel is
    ``bad``, or where its ``type`` (ECG, PPG, RESP) is that of a modality that no label names,
    unless several channels are of that type. What is changed is warned of, and logged for each
    recording.

    Onsets in ``events.tsv`` count from the start of the recording, whose file may have a date. The
    ``acq_time`` of ``scans.tsv`` is not used, because BIDS allows it to be shifted.
    """
    root = check_root(root)
    wanted = {
        "subjects": _list_labels(subjects, "subjects", "sub-"),
        "sessions": _list_labels(sessions, "sessions", "ses-"),
        "tasks": _list_labels(tasks, "tasks", "task-"),
        "datatypes": _list_labels(datatypes, "datatypes", ""),
    }
    dataset = name_dataset(root)
    found = _find_recordings(root, wanted)
    nights, choices = [], []
    for path, fields in found:
        events = find_sidecar(root, path, "events")
        channels = find_sidecar(root, path, "channels")
        choice = Choice() if channels is None else choose_channels(channels)
        if choice.changes:
            logger.info(f"{path.name}: {'; '.join(choice.changes)}.")
        choices.append(choice)
        nights.append(
            Night(
                path,
                events if events is not None and has_stages(events) else None,
                fields["sub"],
                dataset,
                choice.ch_names,
                lights="auto" if events is None else _find_lights(events),
            )
        )
    _warn_of_changes(root, choices)
    return nights


def _find_lights(events: Path) -> Lights:
    """Find lights off and on among the events of a recording."""
    try:
        table = read_tsv(events)
        texts = [name for name in ("trial_type", "value") if name in table]
        found = [
            (pd.to_numeric(row["onset"], errors="coerce"), 0.0, text)
            for row in table.to_dict("records")
            for text in (row[name] for name in texts)
            if find_kind(text) is not None
        ]
    except (ValueError, KeyError):  # whose reason is told when the stages are read
        return "auto"
    rows = [row for row in found if math.isfinite(row[0])]
    if n_lost := len(found) - len(rows):
        warn(
            f"{events} has {n_lost} event{pluralize(n_lost)} of lights off or on without an "
            "onset in seconds, which cannot be used. Correct the onset."
        )
    off, on = list_marks(rows, duration=math.inf)
    pair = EventLights((off[0] if off else None, on[-1] if on else None))
    return pair if off or on else "auto"


def check_root(root: str | Path) -> Path:
    """Check that a folder is a dataset.

    Parameters
    ----------
    root : str or Path
        The folder.

    Returns
    -------
    root : Path
        The folder.

    Raises
    ------
    FileNotFoundError
        If there is none, or it is not a dataset.
    """
    check_type(root, ("path-like",), "root")
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder at {root}. Give the folder of a BIDS dataset.")
    if not (root / DESCRIPTION).is_file():
        raise FileNotFoundError(
            f"There is no {DESCRIPTION} in {root}, so that it is not a BIDS dataset. Give the "
            "folder that contains it and the folders sub-..."
        )
    return root


def _list_labels(labels: Labels, name: str, prefix: str) -> list[str] | None:
    """List the labels to keep, without the name of their entity."""
    if labels is None:
        return None
    given = [labels] if isinstance(labels, str) else list(labels)
    for label in given:
        check_type(label, (str,), f"each of {name}")  # 1 and "01" are not the same
    if not given:
        raise ValueError(f"{name} is empty, so that nothing would be read. Use None for all.")
    if name == "datatypes" and (unknown := sorted(set(given) - set(DATATYPES))):
        raise ValueError(
            f"datatypes contains {quote(unknown[0])}; recordings are in {', '.join(DATATYPES)}."
        )
    return [label.removeprefix(prefix) for label in given]


def read_description(root: Path) -> dict[str, Any]:
    """Read the description of a dataset.

    Parameters
    ----------
    root : Path
        The folder of the dataset.

    Returns
    -------
    description : dict
        Its contents.

    Raises
    ------
    ValueError
        If it is not a JSON object, or is too large.
    """
    path = root / DESCRIPTION
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise ValueError(f"it has more than {_LARGEST // 2**20} MiB")
        description = json.loads(content)
        if not isinstance(description, dict):
            raise TypeError("it is not an object")
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} cannot be read ({summarize_error(error)}). Correct it, or export the dataset "
            "again."
        ) from error
    return description


def name_dataset(root: Path) -> str:
    """Name a dataset as described, or by its folder.

    Parameters
    ----------
    root : Path
        The folder of the dataset.

    Returns
    -------
    name : str
        The name.

    Raises
    ------
    ValueError
        If the description cannot be read.
    """
    name = read_description(root).get("Name")
    is_named = isinstance(name, str) and name.strip() not in ("", _NO_NAME)
    return str(name).strip() if is_named else root.absolute().name or "cohort"


def _find_recordings(
    root: Path, wanted: dict[str, list[str] | None]
) -> list[tuple[Path, dict[str, str]]]:
    """Find the recordings that match, with their entities."""
    # Not mne_bids.find_matching_paths, which leaves out recordings with an entity that it does not
    # know without a word, fails if a label has a hyphen, and takes only one datatype up to 0.16.
    datatypes = wanted["datatypes"] or DATATYPES
    named, misnamed = {}, []
    for datatype in datatypes:
        for path in (
            p for folder in ("", "ses-*/") for p in root.glob(f"sub-*/{folder}{datatype}/*")
        ):
            if not is_named_as_recording(path):
                continue
            fields = parse_entities(path)
            if fields is None or not path.name.partition(".")[0].endswith(f"_{datatype}"):
                misnamed.append(path)
            elif fields["sub"] != "emptyroom" and fields.get("task") != "noise":
                named[path] = fields
    if misnamed:
        warn(
            f"{len(misnamed)} recording{pluralize(misnamed)} in {root.name} "
            f"{'is' if len(misnamed) == 1 else 'are'} not named as in BIDS and left out, such as "
            f"{min(misnamed).relative_to(root)}. Rename or remove them."
        )
    if not named:
        raise ValueError(
            f"There are no recordings in {root}, that is, files such as "
            f"sub-01/eeg/sub-01_task-sleep_eeg.edf in the folders {', '.join(datatypes)}. Check "
            "the names."
        )
    return [(path, named[path]) for path in sorted(drop_parts(_select(root, named, wanted)))]


def _select(
    root: Path, named: Mapping[Path, dict[str, str]], wanted: dict[str, list[str] | None]
) -> set[Path]:
    """Select recordings by their entities."""
    kept = set(named)
    for plural, key in (("subjects", "sub"), ("sessions", "ses"), ("tasks", "task")):
        if (labels := wanted[plural]) is None:
            continue
        there = {fields[key] for fields in named.values() if key in fields}
        if missing := sorted(set(labels) - there):
            raise ValueError(
                f"{root} has no recording of the {plural[:-1]} {quote(missing[0])}; it has "
                f"{quote(sorted(there))}. Correct {plural}."
            )
        kept &= {path for path, fields in named.items() if fields.get(key) in labels}
    if not kept:
        raise ValueError(
            f"No recording in {root} matches {', '.join(k for k in wanted if wanted[k])} together. "
            "Leave one of them out."
        )
    return kept


def parse_entities(path: Path) -> dict[str, str] | None:
    """Read the entities in the name of a recording in a BIDS dataset.

    Parameters
    ----------
    path : Path
        The recording.

    Returns
    -------
    entities : dict of str to str or None
        Entity -> label, in their order. None if the name is not one of BIDS, or if the folder is
        that of another subject.

    Examples
    --------
    >>> parse_entities(Path("sub-01/eeg/sub-01_task-sleep_eeg.edf"))
    {'sub': '01', 'task': 'sleep'}
    """
    parts = [part.partition("-") for part in path.name.partition(".")[0].split("_")[:-1]]
    fields = {key: label for key, _, label in parts}
    is_named = parts and parts[0][0] == "sub" and len(fields) == len(parts)
    if not is_named or not all(fields.values()) or f"sub-{fields['sub']}" not in path.parts[:-1]:
        return None
    return fields


def _warn_of_changes(root: Path, choices: Sequence[Choice]) -> None:
    """Warn once of what tables of channels have changed."""
    for what in ("bad", "type", "ambiguous"):
        concerned = [choice for choice in choices if getattr(choice, what)]
        counts = Counter(m for choice in concerned for m in getattr(choice, what))
        if not counts:
            continue
        text = {
            "bad": "mark channels as bad, which are replaced by others or not used",
            "type": "say by their types which channels to use",
            "ambiguous": "give several channels the type of a modality, so that none is used",
        }[what]
        which = ", ".join(f"{modality} ({n})" for modality, n in sorted(counts.items()))
        warn(
            f"The tables of channels (channels.tsv) of {len(concerned)} "
            f"recording{pluralize(concerned)} in {root.name} {text}: {which}. See ch_names of the "
            "nights, and change it if it is wrong."
        )


def read_participants(root: str | Path) -> pd.DataFrame:
    """Read the table of participants of a BIDS dataset.

    Parameters
    ----------
    root : str or Path
        The folder of the dataset.

    Returns
    -------
    participants : pandas.DataFrame
        One row per participant, with the columns of ``participants.tsv``, and before them
        ``subject``, the label without ``sub-``, as in :func:`read_bids`. ``n/a`` is missing, and
        columns of numbers are numbers.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, it is not a dataset, or it has no such table.
    ValueError
        If the table cannot be read, has no participants, or has one twice.
    """
    path = check_root(root) / "participants.tsv"
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {path.name} in {path.parent}. Write one, with the column "
            "'participant_id', or give another table."
        )
    table = read_tsv(path)
    if "participant_id" not in table or not len(table):
        raise ValueError(
            f"{path} has the columns {quote(list(table))} and {len(table)} rows; it "
            "needs 'participant_id' (sub-01 and so on), and a row for each participant."
        )
    subjects = [label.strip().removeprefix("sub-") for label in table["participant_id"]]
    if twice := [label for label, n in Counter(subjects).items() if n > 1 or not label]:
        raise ValueError(
            f"{path} has the participant {quote(twice[0])} twice, or without a label. Correct it."
        )
    table = table.replace({"n/a": None, "": None})
    for name in table.columns.drop("participant_id"):
        numbers = pd.to_numeric(table[name], errors="coerce")
        if numbers.notna().equals(table[name].notna()):
            table[name] = numbers
    table.insert(0, "subject", subjects)
    return table
