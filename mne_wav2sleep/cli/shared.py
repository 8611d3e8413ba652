"""What the commands share: options, tables, warnings and errors."""

import ast
import dis
import re
import shlex
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import shorten, summarize_validation
from ..output import keep_written
from ..showing import escape_hidden
from .options import check_device
from .terminal import list_files

if TYPE_CHECKING:
    import pandas as pd

    from ..recordings.channels import ChannelName


_BUG = 70
"""Exit code for a bug in the package: EX_SOFTWARE of sysexits.h."""

_INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells give it: 128 and the number of SIGINT."""

_OUTSIDE = (OSError, MemoryError)
"""Errors that the system raises; whoever called it, they are not bugs."""

_RAISED = (ValueError, TypeError, RuntimeError)
"""Errors that we and MNE raise for the user; an assertion or a KeyError is a bug."""

_LONGEST = 10_000
"""Number of characters of a message at most; some repeat the text of a file."""

RecordingArgument = Annotated[
    Path, typer.Argument(help="EDF, BDF, FIF, BrainVision, ...", show_default=False)
]
WeightsOption = Annotated[str, typer.Option(metavar="WEIGHTS", help="Name, or a model folder.")]
DeviceOption = Annotated[
    str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.", callback=check_device)
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", help="Show MNE's log as well.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of errors.")]
LightsOffOption = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="22:45, or none; else as annotated.", show_default=False),
]
LightsOnOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="The same of lights on.", show_default=False)
]
ChannelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--ch-name",
        metavar="MODALITY=CHANNEL",
        help="Channel of a modality, such as ECG='EKG II' or PPG=none; repeatable. ECG twice: the "
        "difference of two channels.",
        show_default=False,
    ),
]


def show_text(text: str) -> None:
    """Print a line.

    Parameters
    ----------
    text : str
        The line, whose control characters are shown escaped.
    """
    sys.stdout.write(f"{escape_hidden(text)}\n")
    sys.stdout.flush()


def _show_message(text: str, table: Path | None = None) -> None:
    """Print a warning or an error; further lines are indented, so that none passes for another."""
    from ..progress import leave_bars

    lines = _in_options(shorten(text, _LONGEST), table).split("\n")
    with leave_bars():
        sys.stderr.write("\n  ".join(map(escape_hidden, lines)) + "\n")
        sys.stderr.flush()


def show_table(table: "pd.DataFrame") -> None:
    """Print a table without truncating it.

    Parameters
    ----------
    table : pandas.DataFrame
        The table.
    """
    import pandas as pd

    with pd.option_context("display.max_colwidth", None, "display.width", None):
        text = table.to_string()
    for line in text.split("\n"):  # pandas escapes line ends within cells
        show_text(line)


def show_mapping(mapping: "pd.DataFrame", modalities: Sequence[str]) -> None:
    """Print a channel mapping, and the network's modalities without a channel.

    Parameters
    ----------
    mapping : pandas.DataFrame
        One row per modality, as in :func:`~mne_wav2sleep.match_channels`.
    modalities : sequence of str
        Modalities that the network reads.
    """
    show_table(mapping)
    for modality in sorted(set(modalities) - set(mapping.index)):
        show_text(f"{modality}: none; name a channel with --ch-name {modality}=...")


def _is_deliberate(error: BaseException) -> bool:
    """Tell errors meant for the user, which we or MNE raise, from bugs in the package."""
    from pydantic import ValidationError

    if isinstance(error, (*_OUTSIDE, ValidationError)):
        return True
    if not isinstance(error, _RAISED):
        return False
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    if tb is None:
        return False
    # Extension modules have no frame: an error from NumPy seems to come from our line that called
    # it, but that line is not a `raise` statement.
    is_raise = any(
        one.offset == tb.tb_lasti and one.opname == "RAISE_VARARGS"
        for one in dis.get_instructions(tb.tb_frame.f_code)
    )
    package = str(tb.tb_frame.f_globals.get("__name__")).partition(".")[0]
    return is_raise and package in ("mne", "mne_wav2sleep")


def _parse_ch_names(text: str) -> tuple[dict[str, "ChannelName"], str] | None:
    """Split a text into the channel names that it begins with, as a dict, and the rest."""
    for end in (match.end() for match in re.finditer("}", text)):
        try:
            ch_names = ast.literal_eval(text[:end])
        except (SyntaxError, TypeError, ValueError):  # a brace within the name of a channel
            continue
        values = [
            value
            for given in ch_names.values()
            for value in (given if isinstance(given, tuple) else (given,))
        ]
        is_known = values and all(value is None or isinstance(value, str) for value in values)
        return (ch_names, text[end:]) if is_known else None
    return None


def _write_options(ch_names: Mapping[str, "ChannelName"], table: Path | None) -> str:
    """Write channel names as options of the command, or as the columns of a table of nights."""
    options = []
    for modality, given in ch_names.items():
        for name in given if isinstance(given, tuple) else (given,):
            shown = "none" if name is None else name
            options.append(
                f"--ch-name {modality}={shlex.quote(shown)}"
                if table is None
                else f"{shown!r} in the column {modality} of {table.name}"
            )
    return " ".join(options) if table is None else " and ".join(options)


def _name_option(match: re.Match[str]) -> str:
    """Name the option of an argument of fine-tuning."""
    return {"trainable": "--trainable", "add_signals": "--add-signal"}[match[1]]


def _in_options(text: str, table: Path | None = None) -> str:
    """Replace Python arguments in a message by the options of the command."""
    first, *others = re.split(r"\bch_names=(?=\{)", text)
    for other in others:
        found = _parse_ch_names(other)
        first += (
            f"ch_names={other}" if found is None else _write_options(found[0], table) + found[1]
        )
    names = "--ch-name" if table is None else f"the columns of {table.name}"
    text = re.sub(r"(?<![\w.'\"])ch_names(?![\w=.'\"])", lambda _: names, first)
    text = re.sub(r"(?<![\w./-])trainable=\['([^']*)'\]", r"--trainable \1", text)
    text = re.sub(r"(?<![\w./'-])(trainable|add_signals)(?![\w=/'-]|\.\w)", _name_option, text)
    text = re.sub(
        r"(?<![\w./-])(device|weights|precision)='([^']*)'",
        lambda match: f"--{match[1]} {shlex.quote(match[2])}",
        text,
    )
    text = re.sub(r"(?<![\w.])lights=(?![\w('])", "--lights-off and --lights-on", text)
    text = re.sub(r"(?<![\w.])(participants|diary)=(?![\w('])", r"--\1", text)
    return re.sub(r"\boverwrite=True(?: \(--overwrite [^)]*\))?", "--overwrite", text)


def _describe(error: Exception) -> str:
    """Describe an error that is meant for the user, or that the system raised."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        return f"{summarize_validation(error)}."
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{shorten(str(error.filename))} cannot be used ({error.strerror}). Check the path."
    return str(error)


@contextmanager
def clean_errors(
    verbose: str | None = None,
    *,
    debug: bool = False,
    table: Path | None = None,
    resumes: bool = False,
) -> Iterator[None]:
    """Turn errors into a message on stderr and an exit code.

    The exit code is 1, 70 with a traceback for a bug in the package, or 130 after Ctrl-C.
    Warnings, each once, and MNE's log go to stderr; so do progress bars, on a terminal.

    Parameters
    ----------
    verbose : str or None
        MNE's verbosity.
    debug : bool
        Whether to print the traceback of every error.
    table : Path or None
        The table that names channels; None if they are named by options.
    resumes : bool
        Whether the command goes on where it was stopped if it is run again.
    """
    from ..progress import show_bars
    from ..verbosity import use_log_level

    shown = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) not in shown:
            _show_message(f"Warning: {message}", table)
        shown.add(str(message))

    try:
        with (
            keep_written() as written,
            show_bars(sys.stderr.isatty()),
            redirect_stdout(sys.stderr),
            use_log_level(verbose),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("always", RuntimeWarning)  # MNE's and ours
            warnings.showwarning = show
            yield
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except KeyboardInterrupt as error:  # of which typer would make a plain error
        again = " Run the same command again to resume." if resumes else ""
        _show_message(str(error) or f"Stopped by Ctrl-C (SIGINT).{again}")
        raise typer.Exit(_INTERRUPTED) from error
    except Exception as error:
        is_deliberate = _is_deliberate(error)
        if debug or not is_deliberate:
            lines = traceback.format_exc().split("\n")
            sys.stderr.write("\n".join(map(escape_hidden, lines)))
        if not is_deliberate:
            _show_message(
                "This is a bug in mne-wav2sleep. Please report it, with the lines above and the "
                "output of `mne-wav2sleep sys-info`."
            )
            raise typer.Exit(_BUG) from error
        _show_message(f"Error: {_describe(error)}{list_files(written)}", table)
        raise typer.Exit(1) from error


def check_suffix(path: Path | None, suffixes: Sequence[str], option: str) -> Path | None:
    """Check the suffix of an output file.

    Parameters
    ----------
    path : Path or None
        The output file, or None for no output.
    suffixes : sequence of str
        Allowed suffixes.
    option : str
        Name of the option.

    Returns
    -------
    path : Path or None
        The absolute path.

    Raises
    ------
    typer.BadParameter
        If the suffix is another one.
    """
    if path is None:
        return None
    if path.suffix.lower() not in suffixes:
        raise typer.BadParameter(
            f"must end in {', '.join(suffixes)}, got {path}.", param_hint=option
        )
    return path.expanduser().absolute()


def check_n_stages(n_stages: int | None, most: int) -> None:
    """Check the number of stages, before the work.

    Parameters
    ----------
    n_stages : int or None
        Value of the option.
    most : int
        Largest number.

    Raises
    ------
    typer.BadParameter
        If it is less than 2, or larger.
    """
    if n_stages is not None and not 2 <= n_stages <= most:
        raise typer.BadParameter(
            f"must be from 2 to {most}, got {n_stages}.", param_hint="--n-stages"
        )


def check_choice(value: str, choices: Sequence[str] | Mapping[str, Any], option: str) -> None:
    """Check that the value of an option is one of its choices.

    Parameters
    ----------
    value : str
        Value of the option.
    choices : sequence of str, or mapping
        Allowed values.
    option : str
        Name of the option.

    Raises
    ------
    typer.BadParameter
        If it is another value.
    """
    if value not in choices:
        raise typer.BadParameter(
            f"must be one of {', '.join(choices)}, got {value!r}.", param_hint=option
        )
