"""Names of staged nights in a BIDS dataset."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..nights import identify_person
from .reading import parse_entities

_DATATYPES = ("eeg", "ieeg", "meg", "nirs")
"""Folders in which BIDS has events of derivatives; those of others are put into the first."""
_NOT_KEPT = ("sub", "split", "desc")
"""Entities of a recording that its stages have not, or another one of."""


@dataclass(frozen=True)
class BidsName:
    """The name of a night.

    Attributes
    ----------
    entities : mapping of str to str
        Entity -> label, from the subject on.
    datatype : str
        The folder of the files.
    """

    entities: Mapping[str, str]
    datatype: str

    @property
    def participant(self) -> str:
        """The subject, as in ``participant_id``."""
        return f"sub-{self.entities['sub']}"

    @property
    def path(self) -> Path:
        """Path of its files in the dataset, without suffix."""
        parts = [f"{key}-{label}" for key, label in self.entities.items()]
        folders = [part for part in parts if part.startswith(("sub-", "ses-"))]
        return Path(*folders, self.datatype, "_".join([*parts, "desc-wav2sleep"]))


def name_in_bids(table: pd.DataFrame) -> dict[str, BidsName]:
    """Name the nights of a cohort as BIDS does.

    Parameters
    ----------
    table : pandas.DataFrame
        The table of a cohort, with ``subject``, ``dataset`` and ``recording``.

    Returns
    -------
    names : dict of str to BidsName
        Night -> name. Recordings with names of BIDS keep their entities. Others have the letters
        and digits of the subject, and sessions 1, 2, ... if there are several nights of it. If two
        people would have the same label, the name of the dataset comes before it, or a number
        after it.

    Raises
    ------
    ValueError
        If two recordings have the same name in BIDS.

    Examples
    --------
    >>> row = {"subject": "P-1", "dataset": "lab", "recording": "n.edf"}
    >>> table = pd.DataFrame([row], ["n"])
    >>> name_in_bids(table)["n"].path.as_posix()
    'sub-P1/eeg/sub-P1_task-sleep_desc-wav2sleep'
    """
    people = {
        night: identify_person(str(row["dataset"]), str(row["subject"]))
        for night, row in table.iterrows()
    }
    recordings = {night: Path(str(path)) for night, path in table["recording"].items()}
    found = {night: parse_entities(path) for night, path in recordings.items()}
    labels = _label_people(table, people, found)
    sessions: Counter[tuple[str, str]] = Counter()
    counts = Counter(people[night] for night in table.index if found[night] is None)
    names: dict[str, BidsName] = {}
    for night, person in people.items():
        entities = {"sub": labels[person]}
        datatype = recordings[night].parent.name
        if (fields := found[night]) is None:
            datatype = _DATATYPES[0]
            sessions[person] += 1
            if counts[person] > 1:
                entities["ses"] = str(sessions[person])
            fields = {}
        entities |= {"ses": _clean(fields["ses"])} if "ses" in fields else {}
        entities["task"] = "sleep"
        entities |= {key: _clean(fields[key]) for key in fields if key not in _NOT_KEPT}
        names[night] = BidsName(entities, datatype if datatype in _DATATYPES else _DATATYPES[0])
    _check_unique(names)
    return names


def _clean(label: str) -> str:
    """Keep the letters and digits of a label, which BIDS allows."""
    plain = unicodedata.normalize("NFKD", label)
    return re.sub(r"[^0-9A-Za-z]", "", plain) or "unnamed"


def _label_people(
    table: pd.DataFrame,
    people: Mapping[str, tuple[str, str]],
    found: Mapping[str, dict[str, str] | None],
) -> dict[tuple[str, str], str]:
    """Give each person a label of their own."""
    labels: dict[tuple[str, str], str] = {}
    for night, person in people.items():
        fields = found[night]
        label = table.loc[night, "subject"] if fields is None else fields["sub"]
        labels.setdefault(person, _clean(str(label)))
    datasets = {people[night]: str(name) for night, name in table["dataset"].items()}
    for person in _find_shared(labels):
        labels[person] = _clean(datasets[person]) + labels[person]
    for number, person in enumerate(_find_shared(labels), start=1):
        labels[person] = f"{labels[person]}x{number}"
    return labels


def _find_shared(labels: Mapping[tuple[str, str], str]) -> list[tuple[str, str]]:
    """Find the people whose label others have as well, whatever its case."""
    counts = Counter(label.casefold() for label in labels.values())
    return [person for person, label in labels.items() if counts[label.casefold()] > 1]


def _check_unique(names: Mapping[str, BidsName]) -> None:
    """Refuse two nights of one name."""
    by_path: dict[str, str] = {}
    for night, name in names.items():
        other = by_path.setdefault(str(name.path).casefold(), night)
        if other != night:
            raise ValueError(
                f"The nights {other!r} and {night!r} would both be {name.path.name} in BIDS. Give "
                "their recordings different names, or leave one of them out."
            )
