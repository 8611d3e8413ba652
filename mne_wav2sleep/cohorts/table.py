"""How tables of nights, the input of the commands, and such tables are read."""

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import shorten
from ..formats.edf import SUFFIXES
from ..hypnograms.files import MISSING
from ..hypnograms.lights import Lights
from ..modalities import MODALITIES
from ..verbosity import pluralize
from .nights import Night

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


def describe_nights() -> TableKind:
    """Describe tables of nights, with a column for each modality that is known."""
    return TableKind(
        "a table of nights",
        ("recording", "subject"),
        ("hypnogram", "dataset", *MODALITIES, "lights_off", "lights_on"),
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
    return _parse_rows(read_text(path, kind), path, kind)


def _parse_rows(text: str, path: Path, kind: TableKind) -> list[tuple[int, dict[str, str]]]:
    """Parse the text of a table; as :func:`read_rows`."""
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
        annotations), ``dataset``, names of modalities such as ``ECG`` for channel names
        (``auto`` to find it, ``none`` to leave the modality out), and ``lights_off`` and
        ``lights_on`` for clock times (``22:45``, ``2024-03-01 22:45``; ``none`` for the start or
        the end of the recording; by default as annotated). Paths are relative to the table's
        folder; ``~`` is the home folder.
        Words for missing values, such as ``NA``, ``n/a`` and ``nan``, are missing lights and
        hypnograms, but names of subjects, datasets and channels.

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
    nights = _make_nights(read_rows(table, describe_nights()), table)
    if not nights:
        raise ValueError(f"{table} lists no nights. Add a line for each.")
    return nights


def parse_nights(text: str, table: Path) -> list[Night]:
    """Parse the text of a table of nights.

    Parameters
    ----------
    text : str
        The text.
    table : Path
        Where the table is, or will be.

    Returns
    -------
    nights : list of Night
        One night per row.

    Raises
    ------
    ValueError
        As in :func:`read_nights`.
    """
    return _make_nights(_parse_rows(text, table, describe_nights()), table)


def _make_nights(rows: Iterable[tuple[int, Mapping[str, str]]], table: Path) -> list[Night]:
    """Make nights of the rows of a table."""
    nights = []
    for number, row in rows:
        recording, subject = row["recording"], row["subject"].strip()
        if not recording.strip() or not subject:
            raise ValueError(
                f"{table}, line {number}: the recording or the subject is missing. Add it."
            )
        channels = {m: row[m] for m in MODALITIES if row.get(m, "").strip()}
        try:
            night = Night(
                _locate(recording, table),
                _locate_hypnogram(row.get("hypnogram", ""), table),
                subject,
                row.get("dataset", "").strip() or "cohort",
                {m: None if c.strip().lower() == "none" else c for m, c in channels.items()},
                lights=read_lights(row.get("lights_off", ""), row.get("lights_on", "")),
            )
        except ValueError as error:  # of the lights
            raise ValueError(f"{table}, line {number}: {error}") from error
        nights.append(night)
    return nights


def is_missing(text: str) -> bool:
    """Whether a cell is empty, or has a word by which R, pandas and BIDS say so.

    Parameters
    ----------
    text : str
        The cell.

    Returns
    -------
    is_missing : bool
        Whether it has no value.

    Examples
    --------
    >>> [is_missing(text) for text in (" ", "NA", "n/a", "NaN", "none", "NaT", "22:45")]
    [True, True, True, True, True, True, False]
    """
    return text.strip().lower() in (*MISSING, "nat")


def _locate_hypnogram(name: str, table: Path) -> Path | None:
    """Locate the hypnogram that a table names; None if it names none."""
    if not name.strip():
        return None
    path = _locate(name, table)
    return None if is_missing(name) and not path.is_file() else path


def read_lights(off: str, on: str) -> Lights:
    """Read lights off and on from the cells of a table.

    Parameters
    ----------
    off, on : str
        Times; ``"none"`` for the start or the end of the recording; empty, or another word for a
        missing value such as ``NA``, if not known.

    Returns
    -------
    lights : "auto" or tuple of (str or None, str or None)
        ``"auto"`` if both are empty.

    Examples
    --------
    >>> read_lights("", " "), read_lights("22:45 ", ""), read_lights("none", "06:30")
    ('auto', ('22:45', None), (None, '06:30'))
    >>> read_lights("NA", "nan")
    'auto'
    """
    texts = [
        "" if is_missing(text) and text.lower() != "none" else text
        for text in (off.strip(), on.strip())
    ]
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
