"""Sleep diaries: lights off and on of many nights, in a table of their own."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path, PurePath

import mne

from ..cautions import warn
from ..errors import quote
from ..hypnograms.lights import Lights
from ..recordings import open_recording
from ..verbosity import Verbosity, check_type, pluralize, use_log_level, verbose
from .nights import Night, identify_person
from .table import TableKind, is_missing, read_lights, read_rows

_DIARY = TableKind(
    "a sleep diary",
    ("lights_off", "lights_on"),
    ("recording", "subject", "dataset", "date"),
)


@dataclass(frozen=True)
class DiaryEntry:
    """A night in a sleep diary.

    Attributes
    ----------
    place : str
        Where it is, as messages name it.
    recording, subject, dataset : str
        What the night is known by; empty if not given.
    date : datetime.date or None
        The day of the evening: the night is most of what follows in 24 h from its noon.
    lights : "auto" or (off, on)
        Lights off and on; ``"auto"`` if neither is given.
    """

    place: str
    recording: str
    subject: str
    dataset: str
    date: date | None
    lights: Lights


def read_diary(path: str | Path) -> list[DiaryEntry]:
    """Read a sleep diary.

    Parameters
    ----------
    path : str or Path
        A CSV or TSV with the columns ``lights_off`` and ``lights_on`` (``22:45``, ``10:45 pm``,
        ``2024-03-01 22:45``), and ``recording`` (a file) or ``subject``, with the ``date`` of the
        evening (``2024-03-01``) if a subject has several nights, and ``dataset`` if several have a
        subject of that name. ``NA``, ``n/a`` and the like are missing times, dates and recordings.

    Returns
    -------
    diary : list of DiaryEntry
        One entry per row.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a diary, or a row lacks a recording and a subject, or has no such date.

    See Also
    --------
    add_diary : Add the diary to nights.
    """
    path = Path(path).expanduser()
    entries = []
    for number, row in read_rows(path, _DIARY):
        place = f"{path.name}, line {number}"
        cells = {name: row.get(name, "").strip() for name in _DIARY.optional}
        # A subject may be called NA, and so may its recording.
        cells["date"] = "" if is_missing(cells["date"]) else cells["date"]
        if is_missing(cells["recording"]) and cells["subject"]:
            cells["recording"] = ""
        if not cells["recording"] and not cells["subject"]:
            raise ValueError(
                f"{place}: there is no recording and no subject, so that it is unknown which night "
                "this is. Add a column 'recording' or 'subject'."
            )
        entries.append(
            DiaryEntry(
                place,
                cells["recording"],
                cells["subject"],
                cells["dataset"],
                _read_date(cells["date"], place),
                read_lights(row["lights_off"], row["lights_on"]),
            )
        )
    if not entries:
        raise ValueError(f"{path} lists no nights. Add a line for each.")
    return entries


def _read_date(text: str, place: str) -> date | None:
    """Read the date of an entry."""
    try:
        return date.fromisoformat(text[:10]) if text else None
    except ValueError as error:
        raise ValueError(
            f"{place}: {quote(text)} is not a date such as 2024-03-01. Write year, month and day."
        ) from error


@verbose
def add_diary(
    nights: Sequence[Night],
    diary: str | Path | Sequence[DiaryEntry],
    *,
    verbose: Verbosity = None,
) -> list[Night]:
    """Add lights off and on from a sleep diary to nights.

    Parameters
    ----------
    nights : sequence of Night
        The nights.
    diary : str, Path or sequence of DiaryEntry
        A file that :func:`read_diary` reads, or what it returns.
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    nights : list of Night
        The nights, those in the diary with its lights. Entries without lights change nothing. A
        warning lists entries of other nights.

    Raises
    ------
    TypeError
        If ``nights`` or ``diary`` is something else.
    ValueError
        If it is not clear which night an entry is about, or two are about one night.

    Notes
    -----
    An entry with a recording belongs to the night whose path ends with it, with or without the
    suffix; case counts. An entry with a date belongs to the recording of which most is in the 24 h
    from noon of that day; only then are the headers of recordings read.

    Examples
    --------
    >>> nights = [Night("p01.edf", None, "p01"), Night("p02.edf", None, "p02")]
    >>> entry = DiaryEntry("line 2", "", "P02", "", None, ("22:45", "06:30"))
    >>> [night.lights for night in add_diary(nights, [entry])]
    ['auto', ('22:45', '06:30')]
    """
    for night in nights:
        check_type(night, (Night,), "Each of nights")
    entries = read_diary(diary) if isinstance(diary, str | Path) else list(diary)
    index = _index_nights(nights)
    dates: dict[int, date | None] = {}
    found: dict[int, DiaryEntry] = {}
    unmatched = []
    for entry in entries:
        check_type(entry, (DiaryEntry,), "Each entry of diary")
        number = _find_night(entry, nights, index, dates)
        if number is None:
            unmatched.append(entry.place)
        elif number in found:
            is_dated = entry.date is not None and found[number].date is not None
            remedy = "name the recording of each" if is_dated else "give each its date"
            raise ValueError(
                f"{found[number].place} and {entry.place} are both about "
                f"{_show([nights[number]])}. Remove one of them, or {remedy}."
            )
        else:
            found[number] = entry
    if unmatched:
        some = ", ".join(unmatched[:5]) + (", ..." if len(unmatched) > 5 else "")
        count = len(unmatched)
        warn(
            f"{count} entr{pluralize(count, 'y', 'ies')} of the sleep diary belong"
            f"{'s' if count == 1 else ''} to none of the {len(nights)} nights ({some}). Check the "
            "recordings, subjects and dates in it."
        )
    return [
        _add_lights(night, found[number]) if number in found else night
        for number, night in enumerate(nights)
    ]


def _add_lights(night: Night, entry: DiaryEntry) -> Night:
    """Add the lights of an entry, if it has some, to a night."""
    if entry.lights == "auto":
        return night
    try:
        return replace(night, lights=entry.lights)
    except ValueError as error:
        raise ValueError(f"{entry.place}: {error}") from error


@dataclass(frozen=True)
class _Index:
    """The numbers of nights by person and by the name of the file, and the datasets."""

    by_person: dict[tuple[str, str], list[int]]
    by_file: dict[str, list[int]]
    datasets: list[str]


def _index_nights(nights: Sequence[Night]) -> _Index:
    """Index nights, so that not each of them is compared with each entry."""
    by_person: dict[tuple[str, str], list[int]] = {}
    by_file: dict[str, list[int]] = {}
    for n, night in enumerate(nights):
        by_person.setdefault(night.person, []).append(n)
        path = _find_path(night)
        for name in {path.name, path.stem}:
            by_file.setdefault(name, []).append(n)
    return _Index(by_person, by_file, list(dict.fromkeys(night.dataset for night in nights)))


def _list_candidates(entry: DiaryEntry, index: _Index) -> list[int]:
    """List the nights that an entry may be about, by the file or by the person."""
    if entry.recording:
        return index.by_file.get(PurePath(entry.recording.replace("\\", "/")).name, [])
    datasets = [entry.dataset] if entry.dataset else index.datasets
    people = dict.fromkeys(identify_person(dataset, entry.subject) for dataset in datasets)
    return sorted(n for person in people for n in index.by_person.get(person, ()))


def _find_night(
    entry: DiaryEntry,
    nights: Sequence[Night],
    index: _Index,
    dates: dict[int, date | None],
) -> int | None:
    """Find the night of an entry by its recording, its subject, and its date."""
    matching = [n for n in _list_candidates(entry, index) if _is_subject(entry, nights[n])]
    if entry.recording:
        named = [n for n in matching if _is_recording(entry.recording, nights[n], with_suffix=True)]
        matching = named or [
            n for n in matching if _is_recording(entry.recording, nights[n], with_suffix=False)
        ]
    if entry.date is not None:
        for n in matching:
            if n not in dates:
                dates[n] = _find_date(nights[n])
        matching = [n for n in matching if dates[n] == entry.date]
    if len(matching) > 1:
        raise ValueError(
            f"{entry.place} may be about several nights ({_show([nights[n] for n in matching])}). "
            f"{_advise(entry)}"
        )
    return matching[0] if matching else None


def _advise(entry: DiaryEntry) -> str:
    """Advise what makes it clear which night an entry is about."""
    if entry.recording:
        advice = "Name the recording with its folder, as shown here"
    else:
        advice = "Add a column 'recording' with the file, and its folder if files have one name"
    if entry.date is None:
        advice += ", or give the date of the evening, as YYYY-MM-DD"
    return f"{advice}."


def _show(nights: Sequence[Night]) -> str:
    """Name the first of some nights, with as many folders as tell their recordings apart."""
    paths = [_find_path(night).parts for night in nights]
    lengths = range(2, max(map(len, paths)) + 1)
    n_parts = next((n for n in lengths if len({path[-n:] for path in paths}) == len(paths)), 2)
    names = [
        f"{night.dataset}/{night.subject} ({PurePath(*path[-n_parts:])})" if path else night.name
        for night, path in zip(nights[:3], paths, strict=False)
    ]
    return ", ".join(names) + (", ..." if len(nights) > 3 else "")


def _is_subject(entry: DiaryEntry, night: Night) -> bool:
    """Whether a night is of the subject and the dataset of an entry, if these are given."""
    given = identify_person(entry.dataset or night.dataset, entry.subject or night.subject)
    return given == night.person


def _find_path(night: Night) -> PurePath:
    """Find the path of a night's recording, or the name of its file."""
    source = night.recording
    return PurePath(night.file if isinstance(source, mne.io.BaseRaw) else source)


def _is_recording(name: str, night: Night, *, with_suffix: bool) -> bool:
    """Whether the path of a night's recording ends with a name."""
    path = _find_path(night)
    parts = PurePath(name.replace("\\", "/")).parts
    path = path if with_suffix else path.with_suffix("") if path.name else path
    parts = tuple(part for part in parts if part != ".")
    return bool(parts) and path.parts[-len(parts) :] == parts


def _find_date(night: Night) -> date | None:
    """Find the day from whose noon on the next 24 h have most of a night; None without a date."""
    with use_log_level("error"):  # warnings are shown when it is staged
        try:
            recording = open_recording(night.recording)
        except (OSError, ValueError):  # which staging explains
            return None
    if recording.start is None:
        return None
    start = recording.start.replace(tzinfo=None)
    end = start + timedelta(seconds=recording.duration)
    noon = datetime.combine((start - timedelta(hours=12)).date(), time(12))
    covered = {}
    while noon < end:
        covered[noon.date()] = min(end, noon + timedelta(days=1)) - max(start, noon)
        noon += timedelta(days=1)
    return max(covered, key=lambda day: covered[day])
