"""A lock, so that one run at a time trains in a folder."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from pytorch_lightning.utilities import rank_zero_only

from ..cohorts.locking import lock_file

_LOCK = Path("checkpoints", "training.lock")  # in the folder that is not handed on


def lock_folder(folder: Path, n_devices: int) -> AbstractContextManager[None]:
    """Keep other runs out of a folder, as long as this one lasts.

    Parameters
    ----------
    folder : Path
        The model folder, which is created.
    n_devices : int
        Number of devices. Of the processes that train on several, only the first takes the lock.

    Returns
    -------
    lock : context manager
        As from :func:`~mne_wav2sleep.cohorts.locking.lock_file`.

    Raises
    ------
    RuntimeError
        If another run has locked the folder.
    """
    if n_devices > 1 and getattr(rank_zero_only, "rank", 0) > 0:
        return nullcontext()
    return lock_file(folder / _LOCK, f"Another run is training in {folder}.")
