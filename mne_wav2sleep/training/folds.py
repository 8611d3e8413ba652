"""Folds of a cross-validation: which subjects are tested together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ..cautions import keep_cautions, warn
from ..cohorts import Night, PreparedNight
from ..cohorts.identity import Person, check_nights, draw_number, strip_zeros
from ..cohorts.nights import identify_person, sort_nights
from ..cohorts.preparing import prepare_nights
from ..cohorts.table import TableKind, format_csv, read_rows
from ..errors import quote, shorten
from ..network import LoadedWeights
from ..output import write_whole
from ..verbosity import check_option, pluralize
from .settings import TrainingSettings, check_datasets
from .split_tables import MOST_NAMES, Key, join_names, match_parts
from .splitting import split_by_subject

FOLDS_FILE = "folds.csv"
BY_SUBJECT = "subject"
_TABLE = TableKind("a table of folds", ("subject", "fold"), ("dataset",))
_FEWEST = 3
"""Subjects that a cross-validation needs: one to test, and two of whom one is for validation."""

AnyNight = TypeVar("AnyNight", bound=Night | PreparedNight)
Folds = dict[str, list[PreparedNight]]
"""Fold -> the nights that are tested in it, sorted."""


def check_folds(folds: str | int | Path) -> None:
    """Refuse what does not say how to make folds, before nights are prepared.

    Parameters
    ----------
    folds : "subject", int, str or Path
        As in :func:`~mne_wav2sleep.training.cross_validate`.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        If it is of another type, fewer than two, or no table of folds.
    """
    if isinstance(folds, bool) or not isinstance(folds, str | int | Path):
        raise TypeError(
            f"folds must be 'subject', a number of folds, or a table of folds, got {quote(folds)}. "
            "Give one of these."
        )
    if isinstance(folds, int):
        if folds < 2:
            raise ValueError(
                f"folds must be 2 or more, or 'subject', got {folds}. Choose another number."
            )
    elif folds != BY_SUBJECT:
        read_folds(Path(folds).expanduser())


def make_folds(
    nights: Sequence[AnyNight], folds: str | int | Path, seed: int
) -> dict[str, list[AnyNight]]:
    """Assign the subjects to folds.

    Parameters
    ----------
    nights : sequence of Night or PreparedNight
        The nights.
    folds : "subject", int, str or Path
        As in :func:`~mne_wav2sleep.training.cross_validate`.
    seed : int
        Seed of the order in which subjects are assigned to a number of folds.

    Returns
    -------
    folds : dict of str to list of Night or PreparedNight
        Fold -> the nights that are tested in it, in the order given.

    Raises
    ------
    ValueError
        If there are too few subjects, or the table does not have all of them.
    """
    persons = sorted({night.person for night in nights})
    if len(persons) < _FEWEST:
        raise ValueError(
            f"A cross-validation needs {_FEWEST} subjects or more (one to test, and others to "
            f"train and to validate on), got {len(persons)}. Add nights of other subjects."
        )
    if folds == BY_SUBJECT:
        assigned = {person: str(i) for i, person in enumerate(persons, start=1)}
    elif isinstance(folds, int):
        assigned = deal_folds(persons, folds, seed)
    else:
        assigned = _look_up(persons, Path(folds).expanduser())
    names = sorted(set(assigned.values()), key=_sort_key)
    found = {name: [n for n in nights if assigned[n.person] == name] for name in names}
    _check(found, persons)
    return found


def deal_folds(persons: Sequence[Person], n_folds: int, seed: int) -> dict[Person, str]:
    """Deal subjects to folds, so that subjects of each dataset are spread over the folds.

    Not scikit-learn's StratifiedGroupKFold, which refuses datasets with fewer subjects than folds.

    Parameters
    ----------
    persons : sequence of (str, str)
        Datasets and subjects, as they are compared.
    n_folds : int
        Number of folds.
    seed : int
        Seed of the order.

    Returns
    -------
    folds : dict of (str, str) to str
        Subject -> fold, from ``"1"``; their sizes differ by one at most.

    Raises
    ------
    ValueError
        If there are fewer subjects than folds.
    """
    if len(persons) < n_folds:
        raise ValueError(
            f"{len(persons)} subjects cannot be in {n_folds} folds. Choose fewer folds, or add "
            "nights of other subjects."
        )
    order = sorted(persons, key=lambda person: (person[0], draw_number(person, seed), person))
    return {person: str(i % n_folds + 1) for i, person in enumerate(order)}


def read_folds(path: Path) -> dict[Key, str]:
    """Read which subjects are in which fold.

    Parameters
    ----------
    path : Path
        A CSV with the columns ``subject``, ``fold``, and, if subjects of several datasets have the
        same names, ``dataset``.

    Returns
    -------
    folds : dict of (str or None, str) to str
        Dataset and subject, as they are compared -> fold; the dataset is None if the table has
        none.

    Raises
    ------
    ValueError, FileNotFoundError
        If it is not such a table, lists nobody, or has a subject in two folds or in none.
    """
    found: dict[Key, str] = {}
    for number, row in read_rows(path, _TABLE):
        fold = row["fold"].strip()
        dataset, subject = identify_person(row.get("dataset", ""), row["subject"])
        if not subject or not fold:
            raise ValueError(f"{path}, line {number}: the subject or the fold is missing. Add it.")
        if found.setdefault((dataset or None, subject), fold) != fold:
            raise ValueError(
                f"{path}, line {number}: the subject {shorten(row['subject'], 40)!r} is in two "
                "folds, so that it would be both trained and tested on. Put it in one."
            )
    if not found:
        raise ValueError(f"{path} lists no subjects. Add a line for each, with its fold.")
    return found


def write_folds(folder: Path, folds: Folds) -> None:
    """Write the fold of each subject, as a table that ``folds=`` takes.

    Parameters
    ----------
    folder : Path
        The folder of the cross-validation.
    folds : dict of str to list of PreparedNight
        Fold -> nights.
    """
    rows = {(n.dataset, n.subject, name) for name, nights in folds.items() for n in nights}
    text = format_csv([("dataset", "subject", "fold"), *sorted(rows)])
    with write_whole(folder / FOLDS_FILE, overwrite=True, is_result=False) as unfinished:
        unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")


def _look_up(persons: Sequence[Person], path: Path) -> dict[Person, str]:
    """Look up the fold of each subject in a table."""
    assigned = match_parts(persons, read_folds(path), "table of folds")
    if missing := [person for person in persons if person not in assigned]:
        raise ValueError(
            f"{path} has no fold for {len(missing)} of the {len(persons)} subjects "
            f"({join_names(missing)}). Add a line for each, or leave their nights out."
        )
    return assigned


def _sort_key(name: str) -> tuple[bool, int, str]:
    """Sort numbers by their value, before other names."""
    is_number = name.isascii() and name.isdigit() and len(name) < 10
    return not is_number, int(name) if is_number else 0, name


def _check(folds: Mapping[str, Sequence[Night | PreparedNight]], persons: Sequence[Person]) -> None:
    """Refuse folds with too few others to train on; warn of names that may be one person's."""
    for name, nights in folds.items():
        n_others = len(persons) - len({night.person for night in nights})
        if n_others < _FEWEST - 1:
            raise ValueError(
                f"Fold {name!r} leaves {n_others} subject{'s' * (n_others != 1)} to train and to "
                "validate on. Make folds that leave two or more."
            )
    first: dict[Person, tuple[str, str]] = {}
    alike: list[str] = []
    for name, nights in folds.items():
        for night in nights:
            other = first.setdefault(strip_zeros(night.person), (name, night.subject))
            if other[0] != name:
                alike.append(f"{other[1]!r} and {night.subject!r} ({night.dataset})")
    if alike:
        shown = ", ".join(dict.fromkeys(alike[:MOST_NAMES]))
        warn(
            f"Subjects with similar names are in different folds: {shown}. If they are one person, "
            "write the name in one way."
        )


def describe_folds(folds: Mapping[str, Sequence[PreparedNight]]) -> dict[str, str]:
    """Describe the fold of each subject, for the record of a cross-validation.

    Parameters
    ----------
    folds : mapping of str to sequence of PreparedNight
        Fold -> nights.

    Returns
    -------
    described : dict of str to str
        Dataset and subject -> fold.
    """
    return {
        "/".join(person): name
        for name, nights in folds.items()
        for person in sorted({night.person for night in nights})
    }


@dataclass(frozen=True)
class NightsToFold:
    """Nights of a cross-validation, and how they are prepared and assigned to folds.

    Attributes
    ----------
    nights : sequence of Night or PreparedNight
        The nights.
    folds : "subject", int, str or Path
        As in :func:`~mne_wav2sleep.training.cross_validate`.
    cache : str, Path or None
        Folder of prepared nights; None for one in the folder of the cross-validation.
    n_jobs : int
        Number of nights prepared in parallel.
    on_error : str
        What to do with nights that cannot be used: ``"raise"`` or ``"warn"``.
    """

    nights: Sequence[Night | PreparedNight]
    folds: str | int | Path = BY_SUBJECT
    cache: str | Path | None = None
    n_jobs: int = 1
    on_error: str = "raise"

    def check(self) -> None:
        """Check all that can be checked before nights are prepared."""
        check_nights(self.nights)
        check_folds(self.folds)
        check_option("on_error", self.on_error, ["raise", "warn"])
        with keep_cautions([], show=False):  # they are shown once nights are prepared
            make_folds(self.nights, self.folds, seed=0)

    def prepare(self, folder: Path, start: LoadedWeights, settings: TrainingSettings) -> Folds:
        """Prepare the nights, leave out what cannot be used, and assign subjects to folds.

        Parameters
        ----------
        folder : Path
            The folder of the cross-validation.
        start : LoadedWeights
            The initial weights, for what they can use.
        settings : TrainingSettings
            The settings of each fold.

        Returns
        -------
        folds : dict of str to list of PreparedNight
            Fold -> its nights, sorted.

        Raises
        ------
        ValueError
            If nights cannot be used, subjects have a recording in common, or what a fold leaves
            cannot be split into training and validation.
        """
        cache = Path(folder / "nights" if self.cache is None else self.cache).expanduser()
        prepared = prepare_nights(
            self.nights,
            cache,
            modalities=start.modalities,
            n_jobs=self.n_jobs,
            on_error=self.on_error,
        )
        usable = _keep_usable(prepared, start, self.on_error)
        folds = make_folds(sort_nights(usable), self.folds, settings.seed)
        for name in folds:
            others = list_others(folds, name)
            try:
                split = split_by_subject(others, settings.validation_fraction, settings.seed)
                check_datasets(settings, split.training)
            except ValueError as error:
                raise ValueError(f"Fold {name!r} cannot be trained. {error}") from error
        return folds


def list_others(folds: Folds, name: str) -> list[PreparedNight]:
    """List the nights that are not in a fold.

    Parameters
    ----------
    folds : dict of str to list of PreparedNight
        Fold -> nights.
    name : str
        The fold.

    Returns
    -------
    others : list of PreparedNight
        The nights of the other folds.
    """
    return [night for other, nights in folds.items() if other != name for night in nights]


def _keep_usable(
    nights: Sequence[PreparedNight], start: LoadedWeights, on_error: str
) -> list[PreparedNight]:
    """Leave out nights with signals or stages that the weights cannot use."""
    usable, reasons = [], []
    for night in nights:
        try:
            night.check(start.modalities, len(start.stage_names))
            usable.append(night)
        except ValueError as error:
            reasons.append(str(error))
    if reasons:
        n = len(nights)
        message = f"{len(reasons)} of {n} night{pluralize(nights)} cannot be used. " + "\n".join(
            reasons
        )
        if on_error == "raise":
            raise ValueError(message)
        warn(message)
    return usable
