"""Which subjects are for training, which for validation, and which are kept for a test."""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..cautions import warn
from ..cohorts.identity import Person, check_apart, check_nights
from ..cohorts.nights import Night, PreparedNight, identify_person, sort_nights
from ..cohorts.preparing import prepare_nights
from ..cohorts.table import TableKind, read_rows
from ..errors import shorten
from ..output import write_whole
from ..verbosity import logger, pluralize

SPLIT_FILE = "split.csv"
_PARTS = ("training", "validation", "test")
_TABLE = TableKind("a table of a split", ("subject", "part"), ("dataset",))
_MOST_NAMES = 6
"""Number of names that a message lists at most."""


@dataclass(frozen=True)
class Split:
    """The nights of a training run.

    Attributes
    ----------
    training, validation, test : list of PreparedNight
        The nights of each part, sorted. Those of the test are not used.
    """

    training: list[PreparedNight]
    validation: list[PreparedNight]
    test: list[PreparedNight]

    def write(self, folder: Path) -> None:
        """Write the part of each subject to a folder, as :func:`read_split` reads it.

        Parameters
        ----------
        folder : Path
            The folder of the training run.
        """
        lines = {
            (night.dataset, night.subject, part) for part in _PARTS for night in getattr(self, part)
        }
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([("dataset", "subject", "part"), *sorted(lines)])
        # A name that is no text, such as that of a file in another encoding, cannot be read back.
        content = text.getvalue().encode("utf-8", "backslashreplace").replace(b"\0", b"\\0")
        path = folder / SPLIT_FILE
        if not path.exists() or path.read_bytes() != content:
            with write_whole(path, overwrite=True, is_result=False) as unfinished:
                unfinished.write_bytes(content)


def read_split(path: Path) -> dict[tuple[str | None, str], str]:
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
        If it is not such a table, or gives a subject two parts or an unknown one.
    FileNotFoundError
        If it does not exist.
    """
    parts: dict[tuple[str | None, str], str] = {}
    for number, row in read_rows(path, _TABLE):
        part = row["part"].strip().casefold()
        dataset, subject = identify_person(row.get("dataset", ""), row["subject"])
        if not subject or part not in _PARTS:
            raise ValueError(
                f"{path}, line {number}: the subject {shorten(row['subject'], 40)!r} has the part "
                f"{shorten(row['part'], 40)!r}. Give each subject one of {', '.join(_PARTS)}."
            )
        if parts.setdefault((dataset or None, subject), part) != part:
            raise ValueError(
                f"{path}, line {number}: the subject {shorten(row['subject'], 40)!r} is in two "
                "parts, which makes validation meaningless. Put it in one."
            )
    return parts


def _match_parts(
    persons: Sequence[Person], parts: Mapping[tuple[str | None, str], str]
) -> dict[Person, str]:
    """Find the parts of those who are in a split."""
    found = {}
    for person in persons:
        dataset, subject = person
        part = parts.get(person, parts.get((None, subject)))
        if part is None:
            continue
        others = [other for other, name in persons if name == subject and other != dataset]
        if others and person not in parts:
            raise ValueError(
                f"The split does not say which subject {subject!r} it means, of the datasets "
                f"{', '.join(sorted({dataset, *others}))}. Add a column 'dataset' to it."
            )
        found[person] = part
    return found


def _draw(person: Person, seed: int) -> float:
    """Draw a number from 0 to 1 that depends on nobody else."""
    text = f"{seed}\n{person[0]}\n{person[1]}".encode(errors="surrogateescape")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") / 2**64


def assign_parts(
    persons: Sequence[Person],
    fraction: float,
    seed: int,
    known: Mapping[Person, str] | None = None,
) -> dict[Person, str]:
    """Assign subjects to training and validation.

    Parameters
    ----------
    persons : sequence of (str, str)
        Datasets and subjects, as they are compared.
    fraction : float
        Share of each dataset's subjects in validation, from 0 to 1; at least one subject of each
        dataset that has more than one.
    seed : int
        Seed of the split.
    known : mapping of (str, str) to str, optional
        The parts of some of them, which they keep.

    Returns
    -------
    parts : dict of (str, str) to str
        The part of each.

    Notes
    -----
    Each subject has a number, a hash of the seed and the names. Those with the lowest numbers of
    a dataset are for validation. If the parts of others in the dataset are known, a new subject is
    for validation if its number is below ``fraction``, or if there would be none.
    """
    everyone = set(persons)
    parts = {person: part for person, part in (known or {}).items() if person in everyone}
    for dataset in sorted({dataset for dataset, _ in everyone}):
        there = [part for (name, _), part in parts.items() if name == dataset]
        new = sorted(
            (p for p in everyone - set(parts) if p[0] == dataset),
            key=lambda person: (_draw(person, seed), person),
        )
        if {"training", "validation"} & set(there):
            n_apart = sum(_draw(person, seed) < fraction for person in new)
            n_apart = max(n_apart, int("validation" not in there))
        else:
            n_apart = min(max(round(fraction * len(new)), 1), len(new) - 1)
        parts |= {p: _PARTS[i < n_apart] for i, p in enumerate(new)}
    return parts


@dataclass(frozen=True)
class TrainingNights:
    """Nights to train with, and how they are prepared and split.

    Attributes
    ----------
    nights : sequence of Night or PreparedNight
        The nights.
    validation : sequence of Night or PreparedNight or None
        Those for validation; None for some of the subjects of ``nights``.
    split : str, Path or None
        A table of parts, as in :func:`read_split`; None for that of the run's folder, if there is
        one.
    cache : str, Path or None
        Folder of prepared nights; None for one in the run's folder.
    n_jobs : int
        Number of nights prepared in parallel.
    on_error : str
        What to do with nights that cannot be prepared, as in
        :func:`~mne_wav2sleep.cohorts.prepare_nights`.
    """

    nights: Sequence[Night | PreparedNight]
    validation: Sequence[Night | PreparedNight] | None = None
    split: str | Path | None = None
    cache: str | Path | None = None
    n_jobs: int = 1
    on_error: str = "raise"

    def prepare(self, folder: Path, fraction: float, seed: int) -> Split:
        """Prepare the nights, and split them.

        Parameters
        ----------
        folder : Path
            The run's folder.
        fraction : float
            Share of the subjects for validation.
        seed : int
            Seed of the split.

        Returns
        -------
        split : Split
            The nights of each part.

        Raises
        ------
        ValueError
            If a night cannot be used, is there twice, or has two subjects; if a subject is in both
            parts, or there are too few; or if the split cannot be read.
        """
        check_nights(self.nights)
        parts = self._read_parts(folder)
        if self.validation is not None:
            check_nights(self.validation)
            check_apart(self.nights, self.validation)
        nights = prepare_nights(
            [*self.nights, *(self.validation or [])],
            folder / "nights" if self.cache is None else self.cache,
            n_jobs=self.n_jobs,
            on_error=self.on_error,
        )
        if self.validation is None:
            split = split_by_subject(nights, fraction, seed, parts)
            check_apart(split.training, split.validation)
        else:
            apart = {night.person for night in self.validation}
            split = Split(
                sort_nights([night for night in nights if night.person not in apart]),
                sort_nights([night for night in nights if night.person in apart]),
                [],
            )
        if not split.training or not split.validation:
            raise ValueError(
                "Training needs at least one night each for training and validation, got "
                f"{len(split.training)} and {len(split.validation)}. Add nights."
            )
        return split

    def _read_parts(self, folder: Path) -> dict[tuple[str | None, str], str]:
        """Read the split, if there is one."""
        if self.validation is not None:
            if self.split is not None:
                raise ValueError(
                    "Validation nights and a split were both given. Give one of them: the split "
                    "says which of the nights are for validation."
                )
            return {}
        own = folder / SPLIT_FILE
        if self.split is not None:
            return read_split(Path(self.split).expanduser())
        return read_split(own) if own.exists() else {}


def split_by_subject(
    nights: Sequence[PreparedNight],
    fraction: float,
    seed: int,
    parts: Mapping[tuple[str | None, str], str] | None = None,
) -> Split:
    """Split nights by subject, within each dataset.

    Parameters
    ----------
    nights : sequence of PreparedNight
        The nights.
    fraction : float
        Share of each dataset's subjects in validation; see :func:`assign_parts`.
    seed : int
        Seed of the split.
    parts : mapping, optional
        A split from :func:`read_split`. Its subjects keep their parts; others are assigned, with a
        warning that names them.

    Returns
    -------
    split : Split
        The nights of each part, sorted.

    Raises
    ------
    ValueError
        If there are fewer than two subjects, or all are in one part.
    """
    persons = sorted({night.person for night in nights})
    known = _match_parts(persons, parts or {})
    assigned = assign_parts(persons, fraction, seed, known)
    if parts:
        _report(assigned, known, parts)
    found = {
        part: sort_nights([night for night in nights if assigned[night.person] == part])
        for part in _PARTS
    }
    if not found["validation"]:
        subjects = sorted({night.subject for night in nights})
        raise ValueError(
            "Training needs at least two subjects, one of them for validation, got "
            f"{subjects[:_MOST_NAMES]}. Add nights of other subjects."
            + (" Check the split, which has them in other parts." if parts else "")
        )
    return Split(**found)


def _report(
    assigned: Mapping[Person, str],
    known: Mapping[Person, str],
    parts: Mapping[tuple[str | None, str], str],
) -> None:
    """Say which subjects a split does not know, and which it keeps for a test."""
    new = [person for person in sorted(assigned) if person not in known]
    if new:
        names = ", ".join(f"{d}/{s} ({assigned[d, s]})" for d, s in new[:_MOST_NAMES])
        warn(
            f"The split has no part for {len(new)} subject{pluralize(new)}, which was chosen by "
            f"the seed: {names}{', ...' * (len(new) > _MOST_NAMES)}. Add them to the split, or "
            "correct its names."
        )
    subjects = {subject for _, subject in assigned}
    absent = [subject for _, subject in parts if subject not in subjects]
    n_test = sum(part == "test" for part in assigned.values())
    if n_test or absent:
        logger.info(
            f"The split keeps {n_test} subject{'s' * (n_test != 1)} for a test, and names "
            f"{len(absent)} without nights."
        )
