"""A lock, so that one run at a time works in a folder."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import summarize_error
from ..verbosity import logger


@contextmanager
def lock_file(path: Path, message: str) -> Iterator[None]:
    """Keep other runs out, as long as this one lasts.

    The lock is the operating system's: it ends with the process, also if that is killed, and not
    with the file. On a file system without locks, the run goes on without. Folders that are
    created here, and in which nothing is written, are removed again.

    Parameters
    ----------
    path : Path
        The file to lock, which is created with its folders.
    message : str
        What the error says first, such as that another run works in the folder.

    Raises
    ------
    RuntimeError
        If another run has locked it.
    """
    with ExitStack() as stack:
        created = [made for made in (path.parent, *path.parent.parents) if not made.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with warnings.catch_warnings():
                # Where the system has no locks, filelock would warn, and use the existence of the
                # file instead, which would lock the folder of a run that was killed.
                warnings.simplefilter("error", UserWarning)
                stack.enter_context(FileLock(path, timeout=0))
            stack.callback(_remove_unused, path, created)  # before another run can lock it
        except Timeout as error:
            raise RuntimeError(
                f"{message} Wait until it has ended, or choose another folder."
            ) from error
        except (OSError, NotImplementedError, UserWarning) as error:
            logger.info(
                f"{path.parent} cannot be locked ({summarize_error(error)}). Do not start another "
                "run in it."
            )
        yield


def _remove_unused(path: Path, created: Sequence[Path]) -> None:
    """Remove a lock and the folders that were created for it, if nothing else is there."""
    with suppress(OSError):  # Windows keeps open files
        if created and list(path.parent.iterdir()) == [path]:
            path.unlink()
            for folder in created:
                folder.rmdir()
