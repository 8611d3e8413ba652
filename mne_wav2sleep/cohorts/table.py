"""Tables of nights, the input of the commands; and how such tables are read."""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import shorten
from ..formats.edf import SUFFIXES
from ..hypnograms.lights import Lights
from ..modalities import CARDIO_RESPIRATORY
from ..output import write_whole
from ..verbosity import pluralize
from .nights import Night, make_absolute

_LARGEST = 2**26
"""Number of bytes of a table at most: some 500,000 nights."""
_LONGEST = 4096
"""Number of characters of a value at most: that of a path on Linux."""


@dataclass(frozen=True)
class TableKind:
    """What a table has.

    Attributes
    ----------
    what : str
        What it is called.
    needed, optional : tuple of str
        Its columns.
    """

    what: str
    needed: tuple[str, ...]
    optional: tuple[str, ...]

    @property
    def advice(self) -> str:
        """What to give, at the end of an error."""
        columns = f"column{pluralize(len(self.needed))} {_join(self.needed)}"
        return f"Give a CSV in UTF-8 with the {columns}."


def _join(names: tuple[str, ...]) -> str:
    """Join names in a sentence."""
    *rest, last = map(repr, names)
    return f"{', '.join(rest)} and {last}" if rest else last


NIGHTS = TableKind(
    "a table of nights",
    ("recording", "subject"),
    ("hypnogram", "dataset", *CARDIO_RESPIRATORY, "lights_off", "lights_on"),
)


def read_text(path: Path, kind: TableKind) -> str:
    """Read a CSV as text.

    Parameters
    ----------
    path : Path
        The CSV.
    kind : TableKind
        What it should have.

    Returns
    -------
    text : str
        Its text, without a byte order mark.

    Raises
    ------
    ValueError
        If it is something else; the error says what.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not {kind.what}. Give the CSV in it.")
    if path.suffix.lower() in SUFFIXES:
        raise ValueError(f"{path} is a recording, not {kind.what}. {kind.advice}")
    with path.open("rb") as file:  # once, since it may be a pipe
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError(
            f"{path} has more than {_LARGEST // 2**20} MiB, which is too large for "
            f"{kind.what}. {kind.advice}"
        )
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"{path} is in UTF-16, not in UTF-8. {kind.advice}")
    if (null := content.find(b"\0")) >= 0:
        raise ValueError(
            f"{path}, line {_count_lines(content, null)}: there is a null byte, so that it is a "
            f"binary file, or damaged. {kind.advice}"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = _count_lines(content, error.start)
        raise ValueError(
            f"{path}, line {line}: the byte {content[error.start]:#x} is not UTF-8. Save the table "
            f"in UTF-8. {kind.advice}"
        ) from error
    if not text.strip():
        raise ValueError(f"{path} is empty. {kind.advice}")
    return text


def _count_lines(content: bytes, at: int) -> int:
    """Count the lines up to a position."""
    return content.count(b"\n", 0, at) + 1


def read_rows(path: Path, kind: TableKind) -> list[tuple[int, dict[str, str]]]:
    """Read the rows of a table as text.

    Parameters
    ----------
    path : Path
        A CSV, separated by commas, semicolons or tabs.
    kind : TableKind
        What the table has.

    Returns
    -------
    rows : list of (int, dict of str to str)
        For each row, the number of its last line, and its values by column; columns of the file
        only.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no such table; the message has the number of the line, if it is one of them.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"There is no {kind.what.partition(' ')[2]} at {path}. Check the path."
        )
    text = read_text(path, kind)
    header = text.split("\n", 1)[0]
    separator = next((mark for mark in ";\t" if mark in header), ",")
    # Not pandas, which takes a subject "NA" and a channel "None" for missing, names a repeated
    # column anew, and the columns of longer rows by those beside them.
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True
    )
    try:
        lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {reader.line_num}: {error}. Correct the quotes of the table. "
            f"{kind.advice}"
        ) from error
    columns = [name.strip() for name in lines[0][1]] if lines else []
    while columns and not columns[-1]:  # separators at the end of the line
        columns.pop()
    _check_columns(path, columns, kind)
    rows = []
    for number, row in lines[1:]:
        if any(cell.strip() for cell in row[len(columns) :]):
            raise ValueError(
                f"{path}, line {number}: there are {len(row)} values for {len(columns)} columns. "
                f"Quote values that contain {separator!r}."
            )
        if longest := max((len(cell) for cell in row if len(cell) > _LONGEST), default=0):
            raise ValueError(
                f"{path}, line {number}: a value has {longest} characters, too many for a path or "
                "a name. Correct the quotes of the table."
            )
        rows.append((number, dict.fromkeys(columns, "") | dict(zip(columns, row, strict=False))))
    return rows


def _check_columns(path: Path, columns: list[str], kind: TableKind) -> None:
    """Refuse a table that lacks columns, or has others, or one twice."""
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise ValueError(f"{path} has the column {shorten(twice[0])!r} twice. Remove one of them.")
    if unknown := [name for name in columns if name and name not in (*kind.needed, *kind.optional)]:
        raise ValueError(
            f"{path} has the column {shorten(unknown[0], 40)!r}, which is not known. Remove it, or "
            f"rename it to one of {', '.join((*kind.needed, *kind.optional))}."
        )
    if not set(kind.needed) <= set(columns):
        raise ValueError(
            f"{path} has the columns {[shorten(name, 40) for name in columns[:10]]}. It needs "
            f"{_join(kind.needed)}; optional: {', '.join(kind.optional)}."
        )


def read_nights(table: str | Path) -> list[Night]:
    """Read a list of nights from a table.

    Parameters
    ----------
    table : str or Path
        A CSV (separated by commas, semicolons or tabs) with the columns ``recording`` and
        ``subject``. Optional columns are ``hypnogram`` (by default the recording's own
        annotations), ``dataset``, ``ABD``, ``ECG``, ``PPG``, ``THX`` for channel names
        (``none`` leaves a modality out), and ``lights_off`` and ``lights_on`` for clock times
        (``22:45``, ``2024-03-01 22:45``; ``none`` for the start or the end of the recording; by
        default as annotated). Paths are relative to the table's folder; ``~`` is the home folder.

    Returns
    -------
    nights : list of Night
        One night per row.

    Raises
    ------
    ValueError
        If it is not a table of nights, or a column or a value is missing.
    FileNotFoundError
        If the table does not exist.
    """
    table = Path(table).expanduser()
    rows = read_rows(table, NIGHTS)
    if not rows:
        raise ValueError(f"{table} lists no nights. Add a line for each.")
    nights = []
    for number, row in rows:
        recording, subject = row["recording"], row["subject"].strip()
        if not recording.strip() or not subject:
            raise ValueError(
                f"{table}, line {number}: the recording or the subject is missing. Add it."
            )
        channels = {m: row[m] for m in CARDIO_RESPIRATORY if row.get(m, "").strip()}
        nights.append(
            Night(
                _locate(recording, table),
                _locate(row["hypnogram"], table) if row.get("hypnogram", "").strip() else None,
                subject,
                row.get("dataset", "").strip() or "cohort",
                {m: None if c.strip().lower() == "none" else c for m, c in channels.items()},
                lights=read_lights(row.get("lights_off", ""), row.get("lights_on", "")),
            )
        )
    return nights


def read_lights(off: str, on: str) -> Lights:
    """Read lights off and on from the cells of a table.

    Parameters
    ----------
    off, on : str
        Times; ``"none"`` for the start or the end of the recording; empty if not known.

    Returns
    -------
    lights : "auto" or tuple of (str or None, str or None)
        ``"auto"`` if both are empty.

    Examples
    --------
    >>> read_lights("", " "), read_lights("22:45 ", ""), read_lights("none", "06:30")
    ('auto', ('22:45', None), (None, '06:30'))
    """
    texts = off.strip(), on.strip()
    if not any(texts):
        return "auto"
    first, last = (None if text.lower() in ("", "none") else text for text in texts)
    return first, last


def _locate(name: str, table: Path) -> Path:
    """Locate a file that a table names."""
    # Not Path.expanduser, which refuses names such as "~a.edf" that have no such user.
    return table.parent / os.path.expanduser(name)  # noqa: PTH111


def format_csv(rows: Iterable[Sequence[str]]) -> str:
    """Format rows as a CSV that :func:`read_rows` reads.

    Parameters
    ----------
    rows : iterable of sequence of str
        The rows, the names of the columns first.

    Returns
    -------
    text : str
        The text, with a newline at the end of each row.
    """
    rows = list(rows)
    # Spaces at the beginning of a value are only read if it is quoted.
    is_spaced = any(cell != cell.lstrip() for row in rows for cell in row)
    text = io.StringIO(newline="")
    dialect = csv.unix_dialect if is_spaced else csv.excel  # which quotes all values
    csv.writer(text, dialect, lineterminator="\n").writerows(rows)
    return text.getvalue()


def write_nights(nights: Sequence[Night], table: str | Path, *, overwrite: bool = False) -> None:
    """Write a list of nights to a table.

    Parameters
    ----------
    nights : sequence of Night
        The nights, whose recordings and hypnograms are files.
    table : str or Path
        The CSV to write, which :func:`read_nights` reads as the same nights. Paths in the folder
        of the table are relative to it, so that both can be moved together.
    overwrite : bool
        Whether an existing file may be overwritten. Recordings never are.

    Raises
    ------
    ValueError
        If there are no nights, or one has what a table cannot hold: a Raw or a hypnogram in memory,
        a pair of channels, ``onsets_from`` or ``meas_date_is_local``, other lights than times of
        day, or a name that is not text in UTF-8.
    OSError
        If the file cannot be written, or exists and must not be overwritten.

    Examples
    --------
    >>> import tempfile
    >>> table = Path(tempfile.mkdtemp()) / "nights.csv"
    >>> write_nights([Night("s1.edf", "s1.xml", "s1", "clinic", {"PPG": None})], table)
    >>> [(night.name, dict(night.ch_names)) for night in read_nights(table)]
    [('clinic/s1 (s1.edf)', {'PPG': None})]
    """
    table = Path(table).expanduser()
    if not nights:
        raise ValueError(f"There are no nights to write to {table}. Give at least one.")
    folder = table.absolute().parent
    rows = [_to_row(night, folder) for night in nights]
    names = [n for n in (*NIGHTS.needed, *NIGHTS.optional) if any(row.get(n) for row in rows)]
    text = format_csv([names, *([row.get(name, "") for name in names] for row in rows)])
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{shorten(repr(error.object[error.start - 20 : error.end]))} is in the name of a "
            "night, which is not text in UTF-8. Rename its files."
        ) from error
    with write_whole(table, overwrite=overwrite) as unfinished:
        unfinished.write_bytes(content)


def _to_row(night: Night, folder: Path) -> dict[str, str]:
    """Give the values of a night in a table."""
    lights = _format_lights(night.lights)
    in_memory = not isinstance(night.recording, str | Path) or not isinstance(
        night.hypnogram, str | Path | None
    )
    is_paired = any(not isinstance(name, str | None) for name in night.ch_names.values())
    extra = night.onsets_from, night.meas_date_is_local
    if lights is None or in_memory or is_paired or extra != (None, None):
        raise ValueError(
            f"{night.name} has what a table of nights cannot hold: something in memory, a pair of "
            "channels, onsets_from, meas_date_is_local, or lights other than times. Save its "
            "recording and its hypnogram to files, and leave the rest out."
        )
    night = make_absolute(night)
    return {
        "recording": _relate(night.recording, folder),
        "subject": night.subject,
        "dataset": night.dataset,
        "hypnogram": "" if night.hypnogram is None else _relate(night.hypnogram, folder),
        "lights_off": lights[0],
        "lights_on": lights[1],
        **{m: "none" if name is None else str(name) for m, name in night.ch_names.items()},
    }


def _format_lights(lights: Lights) -> tuple[str, str] | None:
    """Format lights as :func:`read_lights` reads them; None if it cannot."""
    if lights == "auto":
        return "", ""
    if not isinstance(lights, tuple) or not all(isinstance(at, str | None) for at in lights):
        return None
    off, on = ("none" if at is None else str(at) for at in lights)
    return off, on


def _relate(path: object, folder: Path) -> str:
    """Give a path relative to a folder, if it is in it."""
    path = Path(str(path))
    if not path.is_relative_to(folder):
        return str(path)
    related = str(path.relative_to(folder))
    return f"./{related}" if related.startswith("~") else related
