"""How tables of nights are written."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import put_on_line, quote, shorten
from ..hypnograms.lights import Lights
from ..output import write_whole
from ..recordings.channels import ChannelName
from .nights import Night, make_absolute
from .table import describe_nights, format_csv, parse_nights

_WRITABLE = {
    "recording": "the path of a file",
    "hypnogram": "the path of a file, or None for the annotations of the recording",
    "subject": "a text without spaces around it",
    "dataset": "a text without spaces around it",
    "ch_names": "for each signal the name of a channel other than 'none', or None to leave it out",
    "onsets_from": "None",
    "meas_date_is_local": "None",
    "lights": (
        "'auto', or a pair of times as texts or None, such as ('22:45', None), and (None, None) "
        "for the whole recording"
    ),
}
"""What a table can hold of a night."""


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
        day, a name that is not text in UTF-8, or a value that would be read as another one, such
        as a subject with spaces around it, or a channel that is called "None".
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
    _check_read_back(nights, text, table.absolute())
    with write_whole(table, overwrite=overwrite) as unfinished:
        unfinished.write_bytes(content)


def _to_row(night: Night, folder: Path) -> dict[str, str]:
    """Give the values of a night in a table."""
    lights = _format_lights(night.lights)
    is_writable = {
        "recording": isinstance(night.recording, str | Path),
        "hypnogram": isinstance(night.hypnogram, str | Path | None),
        "ch_names": all(isinstance(one, str | None) for one in _list_channels(night).values()),
        "onsets_from": night.onsets_from is None,
        "meas_date_is_local": night.meas_date_is_local is None,
        "lights": lights is not None,
    }
    for name, is_fine in is_writable.items():
        if not is_fine:
            raise _refuse(night, name, getattr(night, name))
    night, (off, on) = make_absolute(night), lights or ("", "")
    return {
        "recording": _relate(night.recording, folder),
        "subject": night.subject,
        "dataset": night.dataset,
        "hypnogram": "" if night.hypnogram is None else _relate(night.hypnogram, folder),
        "lights_off": off,
        "lights_on": on,
        **{m: "none" if one is None else str(one) for m, one in _list_channels(night).items()},
    }


def _refuse(night: Night, name: str, value: object, read: str = "") -> ValueError:
    """Make an error that says which value of a night a table cannot hold, and what it can."""
    return ValueError(
        f"A table of nights cannot hold {name}={quote(value)} of "
        f"{put_on_line(night.name)}{read}. Give {_WRITABLE[name]}."
    )


def _list_channels(night: Night) -> dict[str, ChannelName]:
    """List the channels that are named for a night."""
    return dict(night.ch_names or {})


def _check_read_back(nights: Sequence[Night], text: str, table: Path) -> None:
    """Refuse nights that would be read as others."""
    try:
        found = parse_nights(text.replace("\0", ""), table)  # tables have no null bytes
    except ValueError as error:
        raise ValueError(
            f"These nights cannot be written to a table, as it could not be read: {error}"
        ) from error
    for night, read in zip(nights, found, strict=True):
        given = make_absolute(night)
        for name in ("recording", "hypnogram", "subject", "dataset"):
            if getattr(given, name) != (other := getattr(read, name)):
                value = getattr(night, name)
                raise _refuse(night, name, value, f", which would be read as {quote(other)}")
        channels = _list_channels(night)
        for modality, channel in channels.items():
            if modality not in read.ch_names or read.ch_names[modality] != channel:
                other = quote(read.ch_names.get(modality, "auto"))
                reading = f", which would be read as {other}"
                raise _refuse(night, "ch_names", {modality: channel}, reading)
        if night.lights != "auto" and tuple(night.lights or ()) != read.lights:
            reading = f", which would be read as {quote(read.lights)}"
            raise _refuse(night, "lights", night.lights, reading)


def _format_lights(lights: Lights) -> tuple[str, str] | None:
    """Format lights as :func:`read_lights` reads them; None if it cannot."""
    if lights == "auto":
        return "", ""
    if not isinstance(lights, tuple | list) or not all(isinstance(at, str | None) for at in lights):
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
