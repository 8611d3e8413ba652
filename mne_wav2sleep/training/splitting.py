"""Which subjects are for training, which for validation, and which are kept for a test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..cautions import warn
from ..cohorts.identity import (
    Person,
    check_apart,
    check_left_out,
    check_nights,
    draw_number,
)
from ..cohorts.nights import Night, PreparedNight, sort_nights
from ..cohorts.preparing import prepare_nights
from ..cohorts.table import format_csv
from ..output import write_whole
from ..verbosity import logger, pluralize
from .split_tables import (
    MOST_NAMES,
    PARTS,
    Key,
    Row,
    find_absent,
    join_names,
    list_parts,
    match_parts,
    read_split_rows,
)

SPLIT_FILE = "split.csv"


@dataclass(frozen=True)
class Split:
    """The nights of a training run.

    Attributes
    ----------
    training, validation : list of PreparedNight
        The nights of each part, sorted.
    test : list of Night or PreparedNight
        The nights that are kept for a test. They are not used, and need not be prepared.
    absent : tuple of (str, str, str)
        Dataset, subject and part of those who have a part, but no nights.
    """

    training: list[PreparedNight]
    validation: list[PreparedNight]
    test: list[Night | PreparedNight]
    absent: tuple[Row, ...] = ()

    def write(self, folder: Path) -> None:
        """Write the part of each subject to a folder, also of those without nights.

        Parameters
        ----------
        folder : Path
            The folder of the training run.
        """
        rows = {
            (_make_text(night.dataset), _make_text(night.subject), part)
            for part in PARTS
            for night in getattr(self, part)
        }
        header = ("dataset", "subject", "part")
        content = format_csv([header, *sorted(rows | set(self.absent))]).encode()
        path = folder / SPLIT_FILE
        if not path.exists() or path.read_bytes() != content:
            with write_whole(path, overwrite=True, is_result=False) as unfinished:
                unfinished.write_bytes(content)


def _make_text(name: str) -> str:
    """Make a text of a name that is none, such as that of a file in another encoding."""
    return name.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


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
            key=lambda person: (draw_number(person, seed), person),
        )
        if {"training", "validation"} & set(there):
            n_apart = sum(draw_number(person, seed) < fraction for person in new)
            n_apart = max(n_apart, int("validation" not in there))
        else:
            n_apart = min(max(round(fraction * len(new)), 1), len(new) - 1)
        parts |= {p: PARTS[i < n_apart] for i, p in enumerate(new)}
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
        A table of parts, as in :func:`~.split_tables.read_split`; None for that of the run's
        folder, if there is one.
    cache : str, Path or None
        Folder of prepared nights; None for one in the run's folder.
    n_jobs : int
        Number of nights prepared in parallel.
    on_error : str
        What to do with nights that cannot be prepared, as in
        :func:`~mne_wav2sleep.cohorts.prepare_nights`.
    modalities : tuple of str or None
        Modalities of the network; None for those of the released weights.
    """

    nights: Sequence[Night | PreparedNight]
    validation: Sequence[Night | PreparedNight] | None = None
    split: str | Path | None = None
    cache: str | Path | None = None
    n_jobs: int = 1
    on_error: str = "raise"
    modalities: tuple[str, ...] | None = None

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
        TypeError
            If the nights are not a list of nights.
        ValueError
            If a night cannot be used, is there twice, or has two subjects; if a subject is in both
            parts, or there are too few; or if the split cannot be read, or is that of others.

        Notes
        -----
        Nights of the part ``test`` are not prepared, and may be broken.
        """
        check_nights(self.nights)
        given, kept = self._read_rows(folder)
        parts = list_parts(given)
        if self.validation is not None:
            check_nights(self.validation, "validation")
            check_apart(self.nights, self.validation)
        known = match_parts({night.person for night in self.nights}, parts)
        test = [night for night in self.nights if known.get(night.person) == "test"]
        used = [night for night in self.nights if known.get(night.person) != "test"]
        cache = Path(folder / "nights" if self.cache is None else self.cache).expanduser()
        prepared = prepare_nights(
            [*used, *(self.validation or [])],
            cache,
            modalities=self.modalities,
            n_jobs=self.n_jobs,
            on_error=self.on_error,
        )
        if self.validation is None:
            check_left_out(test, prepared, cache)
            split = split_by_subject([*prepared, *test], fraction, seed, parts)
            check_apart(split.training, split.validation)
        else:
            apart = {night.person for night in self.validation}
            split = Split(
                sort_nights([night for night in prepared if night.person not in apart]),
                sort_nights([night for night in prepared if night.person in apart]),
                [],
            )
        if not split.training or not split.validation:
            raise ValueError(
                "Training needs at least one night each for training and validation, got "
                f"{len(split.training)} and {len(split.validation)}. Add nights."
            )
        persons = {n.person for n in (*split.training, *split.validation, *split.test)}
        # A row without a dataset counts for all of them.
        renewed = {subject for dataset, subject in find_absent(given, persons) if dataset is None}
        absent = [k for k in find_absent(kept, persons) if k in given or k[1] not in renewed]
        return replace(split, absent=tuple(kept[key] for key in absent))

    def _read_rows(self, folder: Path) -> tuple[dict[Key, Row], dict[Key, Row]]:
        """Read the rows of the split that is used, and those that the run's folder keeps."""
        if self.validation is not None and self.split is not None:
            raise ValueError(
                "Validation nights and a split were both given. Give one of them: the split "
                "says which of the nights are for validation."
            )
        path = folder / SPLIT_FILE
        own = read_split_rows(path) if path.exists() else {}
        if self.validation is not None:
            return {}, own
        if self.split is None:
            return own, own
        given = read_split_rows(Path(self.split).expanduser())
        return given, {**own, **given}


def split_by_subject(
    nights: Sequence[Night | PreparedNight],
    fraction: float,
    seed: int,
    parts: Mapping[Key, str] | None = None,
) -> Split:
    """Split nights by subject, within each dataset.

    Parameters
    ----------
    nights : sequence of Night or PreparedNight
        The nights; those that the split has in the part ``test`` need not be prepared.
    fraction : float
        Share of each dataset's subjects in validation; see :func:`assign_parts`.
    seed : int
        Seed of the split.
    parts : mapping, optional
        A split from :func:`~.split_tables.read_split`. Its subjects keep their parts; others are
        assigned, with a warning that names them.

    Returns
    -------
    split : Split
        The nights of each part, sorted.

    Raises
    ------
    ValueError
        If there are fewer than two subjects, all are in one part, or the split has none of them.
    """
    persons = sorted({night.person for night in nights})
    known = match_parts(persons, parts or {})
    assigned = assign_parts(persons, fraction, seed, known)
    if parts:
        _report(assigned, known, parts)
    found: dict[str, list[PreparedNight]] = {"training": [], "validation": []}
    test = []
    for night in nights:
        if (part := assigned[night.person]) == "test":
            test.append(night)
        elif isinstance(night, PreparedNight):
            found[part].append(night)
    if not found["validation"]:
        subjects = sorted({night.subject for night in nights})
        raise ValueError(
            "Training needs at least two subjects, one of them for validation, got "
            f"{subjects[:MOST_NAMES]}. Add nights of other subjects."
            + (" Check the split, which has them in other parts." if parts else "")
        )
    training, validation = (sort_nights(found[part]) for part in ("training", "validation"))
    test.sort(key=lambda night: (night.dataset, night.subject, night.name))
    return Split(training, validation, test)


def _report(
    assigned: Mapping[Person, str], known: Mapping[Person, str], parts: Mapping[Key, str]
) -> None:
    """Say which subjects a split does not know, which have no nights, and how many it keeps."""
    new = [person for person in sorted(assigned) if person not in known]
    absent = find_absent(parts, assigned)
    names = f" ({join_names(absent)})" if absent else ""
    if new:
        found = ", ".join(f"{d}/{s} ({assigned[d, s]})" for d, s in new[:MOST_NAMES])
        others = f" It names {len(absent)} without nights{names}." if absent else ""
        warn(
            f"The split has no part for {len(new)} subject{pluralize(new)}. The seed has chosen: "
            f"{found}{', ...' * (len(new) > MOST_NAMES)}.{others} Add them to the split, or "
            "correct its names."
        )
    n_test = sum(part == "test" for part in assigned.values())
    if n_test or absent:
        logger.info(
            f"The split keeps {n_test} subject{'s' * (n_test != 1)} for a test, and names "
            f"{len(absent)} without nights{names}."
        )
