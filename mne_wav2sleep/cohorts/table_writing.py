"""How tables of nights are written."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import shorten
from ..hypnograms.lights import Lights
from ..output import write_whole
from .nights import Night, make_absolute
from .table import describe_nights, format_csv


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
    >>> from mne_wav2sleep.cohorts import read_nights
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
    kind = describe_nights()
    names = [n for n in (*kind.needed, *kind.optional) if any(row.get(n) for row in rows)]
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
