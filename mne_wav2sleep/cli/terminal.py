"""What reaches the terminal: text that it can encode, and nothing that it would act on."""

import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ..output import keep_written
from ..showing import escape_hidden

_LAYOUT = re.compile("([\n\r\t]|\x1b\\[A)")
"""What lays out tables, and progress bars, which move up a line."""


class _StdoutError(Exception):
    """Standard output is full, or was closed by its reader."""


class _Terminal(io.TextIOBase):
    """A stream that shows characters escaped if they cannot be encoded, or are controls.

    It has no ``buffer``, since typer writes UTF-8 to that if the encoding is ASCII.
    """

    def __init__(self, stream: TextIO, *, is_stdout: bool) -> None:
        self._stream = stream
        self._is_stdout = is_stdout
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        parts = _LAYOUT.split(text)  # every second one is layout
        shown = [part if i % 2 else escape_hidden(part) for i, part in enumerate(parts)]
        with self._handle_errors():
            self._stream.write("".join(shown))
        return len(text)

    def flush(self) -> None:
        with self._handle_errors():
            self._stream.flush()

    @contextmanager
    def _handle_errors(self) -> Iterator[None]:
        """Do without messages if stderr is full, but not without tables."""
        try:
            yield
        except OSError as error:
            if self._is_stdout:
                raise _StdoutError(str(error)) from error


def list_files(paths: list[Path]) -> str:
    """List the files that were written, as the end of an error message.

    Parameters
    ----------
    paths : list of Path
        The files.

    Returns
    -------
    text : str
        A sentence after a space; empty if there are none.
    """
    names = ", ".join(escape_hidden(str(path)) for path in paths)
    return f" Complete: {names}." if paths else ""


@contextmanager
def use_terminal() -> Iterator[None]:
    """Print to the terminal of the user, whatever it can encode, until it is full or closed.

    Raises
    ------
    SystemExit
        With exit code 1 if standard output cannot be written to completely.
    """
    # Without streams (">&-"), files would get their numbers, and what is printed.
    old = sys.stdout, sys.stderr
    try:
        with (
            Path(os.devnull).open("w", encoding="utf-8") as no_out,
            Path(os.devnull).open("w", encoding="utf-8") as no_err,
            keep_written() as written,
        ):
            sys.stdout = _Terminal(old[0] or no_out, is_stdout=True)
            sys.stderr = _Terminal(old[1] or no_err, is_stdout=False)
            try:
                yield
            finally:
                sys.stdout.flush()
                sys.stdout, sys.stderr = old
    except _StdoutError as error:
        # With the old stdout, Python would try to write the rest of it again.
        sys.stdout, sys.stderr = None, old[1]
        remedy = (
            "Do not close the pipe early"
            if isinstance(error.__cause__, BrokenPipeError)
            else "Free some space, or redirect it elsewhere"
        )
        _Terminal(old[1] or io.StringIO(), is_stdout=False).write(
            f"Error: Not everything could be printed to standard output ({error}). {remedy}."
            f"{list_files(written)}\n"
        )
        sys.exit(1)
