"""Training, validation and test: of lists of ids, as the authors have them, or drawn by subject."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...cautions import warn
from ...errors import quote
from ...output import write_whole
from ...verbosity import check_option, check_type, pluralize
from ..identity import Person, check_nights, draw_number
from ..nights import Night
from ..table import format_csv
from .layout import LAYOUTS, join_ids

Parts = dict[str, list[Night]]
"""``"training"``, ``"validation"`` and ``"test"`` -> nights."""

_WORDS = {
    **dict.fromkeys(("train", "training"), "training"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_SUFFIXES = (".txt", ".csv", ".lst", "")
_LARGEST = 2**22
"""Number of bytes of a list of ids at most: some 200,000 ids."""
_SHARES = (0.1, 0.2)
"""Shares of the nights for validation and test, unless the numbers are those of the paper."""


def read_parts(folder: str | Path, nights: Sequence[Night]) -> Parts:
    """Read the parts of nights from lists of ids, such as those of the authors.

    Parameters
    ----------
    folder : str or Path
        A folder with text files, or folders of them, in whose names is ``train``, ``val`` or
        ``test``, such as ``train.txt`` and ``shhs_test.txt``. A list whose name, or folder, names a
        cohort is of its nights alone. A line has the id of a night (``shhs1-200001``), which takes
        this night alone, or of a subject (``200001``), which takes all nights; ``#`` begins a
        comment.
    nights : sequence of Night
        The nights, from :func:`read_nsrr`.

    Returns
    -------
    parts : dict of str to list of Night
        ``"training"``, ``"validation"`` and ``"test"`` -> nights, in their order.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it has no lists.
    ValueError
        If a list is too large or not text, names none of the nights, or a subject who is in several
        cohorts without saying which; or if a subject is in two parts.

    Warns
    -----
    RuntimeWarning
        How many nights are in none of the lists, and are left out, and how many ids belong to no
        night.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for i, name in enumerate(("train", "val", "test")):
    ...     _ = (folder / f"{name}.txt").write_text(f"mesa-sleep-{i:04}")
    >>> nights = [Night(f"mesa-sleep-{i:04}.edf", None, f"{i:04}", "mesa") for i in range(3)]
    >>> parts = read_parts(folder, nights)
    >>> {part: [night.subject for night in some] for part, some in parts.items()}
    {'training': ['0000'], 'validation': ['0001'], 'test': ['0002']}
    """
    folder = Path(folder).expanduser()
    check_nights(nights)
    index = _index_nights(nights)
    chosen: dict[int, str] = {}
    owners: dict[Person, tuple[str, str]] = {}
    unknown: list[str] = []
    for path, words, part in _find_lists(folder):
        for name in _read_ids(path):
            found = _choose(index.get(_strip(name), []), path, words, name, nights)
            unknown += [name] * (not found)
            for number in found:
                person = nights[number].person
                other = owners.setdefault(person, (part, name))
                if other[0] != part:
                    raise ValueError(
                        f"The subject {person[1]!r} of {person[0]} is in two parts: {other[1]} is "
                        f"for {other[0]}, and {name} for {part} ({path.name}). Put all nights of a "
                        "subject in one part."
                    )
                chosen[number] = part
    if not chosen:
        raise ValueError(
            f"The lists in {folder} name none of the {len(nights)} nights: they have "
            f"{quote(unknown)}, and the nights are such as "
            f"{quote(Path(nights[0].file).stem)}. Give the lists of these cohorts."
        )
    if unknown:
        warn(
            f"{len(unknown)} id{pluralize(unknown)} in {folder} belong to no night, or to none of "
            f"the cohort that the list is named after: {join_ids(unknown)}. Download these nights; "
            "those that were left out, because they have no usable scoring, are among them."
        )
    others = [night.file for i, night in enumerate(nights) if i not in chosen]
    if others:
        warn(
            f"{len(others)} night{pluralize(others)} in none of the lists in {folder} are left "
            f"out: {join_ids(others)}. Add them to a list if they should be used."
        )
    return _collect({i: chosen[i] for i in sorted(chosen)}, nights)


def draw_parts(nights: Sequence[Night], sizes: str = "shares", *, seed: int = 0) -> Parts:
    """Draw the parts of nights by subject, for each dataset.

    Parameters
    ----------
    nights : sequence of Night
        The nights, from :func:`read_nsrr`.
    sizes : str
        ``"shares"``: of the nights of each dataset, 10 % for validation and 20 % for a test.
        ``"paper"``: the numbers of nights of the authors (arXiv 2411.04644), who use MrOS for a
        test alone; its other nights are left out.
    seed : int
        Seed of the draw.

    Returns
    -------
    parts : dict of str to list of Night
        ``"training"``, ``"validation"`` and ``"test"`` -> nights, in their order.

    Raises
    ------
    ValueError
        If a dataset is not one of the paper, or has too few nights for its numbers.

    Notes
    -----
    Subjects are in the order of a hash of the seed and their names, so that the draw of one does
    not depend on the others. Subjects are for the test until it has its nights, then for
    validation, and the rest for training. One with more nights than a part has room for is passed
    over, so that a part can be a night short.

    Examples
    --------
    >>> nights = [Night(f"mesa-sleep-{i:04}.edf", None, f"{i:04}", "mesa") for i in range(20)]
    >>> {part: len(some) for part, some in draw_parts(nights).items()}
    {'training': 14, 'validation': 2, 'test': 4}
    """
    check_nights(nights)
    check_option("sizes", sizes, ["shares", "paper"])
    check_type(seed, ("int-like",), "seed")
    by_person: dict[Person, list[int]] = {}
    for number, night in enumerate(nights):
        by_person.setdefault(night.person, []).append(number)
    chosen: dict[int, str] = {}
    for dataset in sorted({dataset for dataset, _ in by_person}):
        persons = [person for person in by_person if person[0] == dataset]
        persons.sort(key=lambda person: (draw_number(person, seed), person))
        n_nights = sum(len(by_person[person]) for person in persons)
        room, rest = _count(dataset, n_nights, sizes)
        for person in persons:
            numbers = by_person[person]
            part = next((name for name, n in room.items() if len(numbers) <= n), rest)
            if part is not None:
                chosen |= dict.fromkeys(numbers, part)
            if part in room:
                room[part] -= len(numbers)
    return _collect({i: chosen[i] for i in sorted(chosen)}, nights)


def _count(dataset: str, n_nights: int, sizes: str) -> tuple[dict[str, int], str | None]:
    """Count the nights of a dataset for test and validation, and say what the others are for."""
    if sizes == "shares":
        validation, test = (round(share * n_nights) for share in _SHARES)
        return {"test": test, "validation": validation}, "training"
    if dataset not in LAYOUTS:
        raise ValueError(
            f"The paper has no dataset {dataset!r}, only {', '.join(LAYOUTS)}. Draw shares "
            "instead, or leave its nights out."
        )
    layout = LAYOUTS[dataset]
    n_needed = layout.n_validation + layout.n_test
    if n_nights < n_needed + layout.is_for_training:
        raise ValueError(
            f"{dataset} has {n_nights} night{pluralize(n_nights)}, too few for the paper's "
            f"{layout.n_validation} for validation and {layout.n_test} for a test. Download all of "
            "them, or draw shares instead."
        )
    room = {"test": layout.n_test, "validation": layout.n_validation}
    return room, "training" if layout.is_for_training else None


def write_parts(
    parts: Mapping[str, Sequence[Night]], path: str | Path, *, overwrite: bool = False
) -> None:
    """Write the part of each subject, as a table that training takes as ``split=``.

    Parameters
    ----------
    parts : mapping of str to sequence of Night
        Part -> nights, from :func:`read_parts` or :func:`draw_parts`.
    path : str or Path
        The CSV to write.
    overwrite : bool
        Whether an existing file may be overwritten.

    Raises
    ------
    OSError
        If the file cannot be written, or exists and must not be overwritten.
    """
    rows = {(n.dataset, n.subject, part) for part, nights in parts.items() for n in nights}
    with write_whole(path, overwrite=overwrite) as unfinished:
        text = format_csv([("dataset", "subject", "part"), *sorted(rows)])
        unfinished.write_text(text, encoding="utf-8")


def _collect(chosen: Mapping[int, str], nights: Sequence[Night]) -> Parts:
    """Collect the nights of each part."""
    return {
        part: [nights[i] for i, name in chosen.items() if name == part]
        for part in ("training", "validation", "test")
    }


def _find_lists(folder: Path) -> list[tuple[Path, set[str], str]]:
    """Find lists of ids by the words of their names, and their parts."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"There is no folder {folder}. Give one with lists of ids such as train.txt."
        )
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).with_suffix("").as_posix().lower()
        words = set(re.findall(r"[a-z]+", name))
        parts = {part for word, part in _WORDS.items() if word in words}
        if path.suffix.lower() in _SUFFIXES and len(parts) == 1 and path.is_file():
            found.append((path, words, parts.pop()))
    if not found:
        raise FileNotFoundError(
            f"{folder} has no lists of ids, whose names contain train, val or test, such as "
            "train.txt. Give the folder that has them."
        )
    return found


def _read_ids(path: Path) -> list[str]:
    """Read the ids in a list."""
    with path.open("rb") as file:
        content = file.read(_LARGEST + 1)
    try:
        if len(content) > _LARGEST or b"\0" in content:
            raise ValueError("it is too large, or not text")
        text = content.decode("utf-8-sig")
    except ValueError as error:
        raise ValueError(
            f"{path} is not a list of ids, one a line in UTF-8, of {_LARGEST // 2**20} MiB at "
            "most. Correct it, or remove it from the folder."
        ) from error
    lines = (line.partition("#")[0].split(",")[0].strip().strip("'\"") for line in text.split("\n"))
    return [line for line in lines if line]


def _strip(name: str) -> str:
    """Strip what an id may have around it: folders, and the ends of files."""
    name = name.replace("\\", "/").rsplit("/", 1)[-1].lower()
    for ending in (".edf", ".xml", "-nsrr"):
        name = name.removesuffix(ending)
    return name


def _index_nights(nights: Sequence[Night]) -> dict[str, list[int]]:
    """Index nights by their ids, and by their subjects."""
    index: dict[str, list[int]] = {}
    for number, night in enumerate(nights):
        for key in {_strip(night.file), night.subject.lower(), f"{night.dataset}-{night.subject}"}:
            index.setdefault(key.lower(), []).append(number)
    return index


def _choose(
    found: Sequence[int], path: Path, words: set[str], name: str, nights: Sequence[Night]
) -> Sequence[int]:
    """Choose the nights of an id, of the cohort that the name of the list says, if any."""
    # Also of a cohort that has no nights here: its subjects may have the ids of others.
    cohorts = words & ({*LAYOUTS, *(night.dataset.lower() for night in nights)} - set(_WORDS))
    chosen = [i for i in found if not cohorts or nights[i].dataset.lower() in cohorts]
    datasets = {nights[i].dataset for i in chosen}
    if len(datasets) > 1:
        raise ValueError(
            f"{path} has the subject {name!r}, who is in {' and '.join(sorted(datasets))}. Write "
            "the id of a night, such as shhs1-200001, or name the list by its cohort, such as "
            "shhs_train.txt."
        )
    return chosen
