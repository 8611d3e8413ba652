"""Tables of who is for training, who for validation, and who is kept for a test."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from pathlib import Path

from ..cohorts.identity import Person
from ..cohorts.nights import identify_person
from ..cohorts.table import TableKind, read_rows
from ..errors import shorten

PARTS = ("training", "validation", "test")
_TABLE = TableKind("a table of a split", ("subject", "part"), ("dataset",))
MOST_NAMES = 6
"""Number of names that a message lists at most."""

Key = tuple[str | None, str]
"""A dataset, None for any, and a subject, as they are compared."""
Row = tuple[str, str, str]
"""A dataset, empty for any, a subject and a part, as they are written."""


def read_split(path: Path) -> dict[Key, str]:
    """Read which subjects are in which part.

    Parameters
    ----------
    path : Path
        A CSV with the columns ``subject``, ``part`` (``training``, ``validation`` or ``test``),
        and, if subjects of several datasets have the same names, ``dataset``.

    Returns
    -------
    parts : dict of (str or None, str) to str
        Dataset and subject, as they are compared -> part; the dataset is None if the table has
        none.

    Raises
    ------
    ValueError
        If it is not such a table, lists nobody, or gives a subject two parts or an unknown one.
    FileNotFoundError
        If it does not exist.
    """
    return list_parts(read_split_rows(path))


def list_parts(rows: Mapping[Key, Row]) -> dict[Key, str]:
    """List the parts of the subjects in rows.

    Parameters
    ----------
    rows : dict of (str or None, str) to (str, str, str)
        The rows, from :func:`read_split_rows`.

    Returns
    -------
    parts : dict of (str or None, str) to str
        Dataset and subject, as they are compared -> part.
    """
    return {key: part for key, (_, _, part) in rows.items()}


def read_split_rows(path: Path) -> dict[Key, Row]:
    """Read the rows of a split, with the names as they are written.

    Parameters
    ----------
    path : Path
        The table, as in :func:`read_split`.

    Returns
    -------
    rows : dict of (str or None, str) to (str, str, str)
        Dataset and subject, as they are compared -> dataset, subject and part of the first row.

    Raises
    ------
    ValueError, FileNotFoundError
        As in :func:`read_split`.
    """
    rows: dict[Key, Row] = {}
    for number, row in read_rows(path, _TABLE):
        part = row["part"].strip().casefold()
        dataset, subject = identify_person(row.get("dataset", ""), row["subject"])
        if not subject:
            raise ValueError(f"{path}, line {number}: the subject is missing. Add it.")
        if part not in PARTS:
            raise ValueError(
                f"{path}, line {number}: the subject {shorten(row['subject'], 40)!r} has the part "
                f"{shorten(row['part'], 40)!r}. Give each subject one of {', '.join(PARTS)}."
            )
        names = row.get("dataset", "").strip(), row["subject"].strip()
        if rows.setdefault((dataset or None, subject), (*names, part))[2] != part:
            raise ValueError(
                f"{path}, line {number}: the subject {shorten(row['subject'], 40)!r} is in two "
                "parts, which makes validation meaningless. Put it in one."
            )
    if not rows:
        raise ValueError(f"{path} lists no subjects. Add a line for each, with its part.")
    return rows


def match_parts(
    persons: Collection[Person], parts: Mapping[Key, str], what: str = "split"
) -> dict[Person, str]:
    """Find the parts of those who are in a split.

    Parameters
    ----------
    persons : collection of (str, str)
        Datasets and subjects, as they are compared.
    parts : mapping of (str or None, str) to str
        The split, from :func:`read_split`; empty for none.
    what : str
        What it is, for messages.

    Returns
    -------
    found : dict of (str, str) to str
        The parts of those who have one.

    Raises
    ------
    ValueError
        If none of them is in the split, or it names one without a dataset, and two have the name.
    """
    n_datasets = Counter(subject for _, subject in set(persons))
    found = {}
    for person in persons:
        subject = person[1]
        part = parts.get(person, parts.get((None, subject)))
        if part is None:
            continue
        if person not in parts and n_datasets[subject] > 1:
            datasets = sorted({dataset for dataset, name in persons if name == subject})
            raise ValueError(
                f"The {what} does not say which subject {subject!r} it means, of the datasets "
                f"{', '.join(datasets)}. Add a column 'dataset' to it."
            )
        found[person] = part
    if parts and not found:
        raise ValueError(
            f"The {what} names none of the subjects: it has {join_names(parts)}, and the nights "
            f"are of {join_names(sorted(persons))}. Give the {what} of these subjects, or correct "
            "its names."
        )
    return found


def find_absent(keys: Iterable[Key], persons: Collection[Person]) -> list[Key]:
    """Find those of a split who are none of the subjects.

    Parameters
    ----------
    keys : iterable of (str or None, str)
        Datasets, None for any, and subjects of the split.
    persons : collection of (str, str)
        Datasets and subjects that have nights.

    Returns
    -------
    absent : list of (str or None, str)
        Those without nights, in the order given.
    """
    present = {*persons, *((None, subject) for _, subject in persons)}
    return [key for key in keys if key not in present]


def join_names(keys: Collection[Key]) -> str:
    """List subjects for a message, and how many more there are.

    Parameters
    ----------
    keys : collection of (str or None, str)
        Datasets, None for any, and subjects.

    Returns
    -------
    names : str
        The first names, separated by commas.
    """
    names = [shorten(f"{d}/{s}" if d else s, 80) for d, s in islice(keys, MOST_NAMES)]
    n_more = len(keys) - len(names)
    return ", ".join(names) + (f" and {n_more} more" if n_more else "")
