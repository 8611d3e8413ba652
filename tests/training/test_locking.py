"""One run at a time in a folder."""

import errno
import subprocess
import sys

import pytest
from builders import toy_recordings
from pytorch_lightning.utilities import rank_zero_only

from mne_wav2sleep.training.locking import lock_folder

pytestmark = toy_recordings

HOLDER = """
from pathlib import Path
from mne_wav2sleep.training.locking import lock_folder
with lock_folder(Path("m"), 1):
    print("locked", flush=True)
    input()
"""


def test_a_second_run_in_a_folder_is_refused_until_the_first_has_ended(
    nights, train_tiny, quick, tmp_path
):
    command = [sys.executable, "-c", HOLDER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, **pipes) as holder:
        assert holder.stdout.readline() == b"locked\n"
        with pytest.raises(RuntimeError, match="Another run is training in"):
            train_tiny(nights, tmp_path / "m")
        assert not (tmp_path / "m" / "training.json").exists()
        with lock_folder(tmp_path / "other", 1):
            pass
        assert not (tmp_path / "other").exists()  # nothing was written there
        holder.kill()  # as a run that is killed, which is resumed at once
    for _ in range(2):
        with lock_folder(tmp_path / "m", 1):
            pass


def test_only_the_first_process_of_a_run_takes_the_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    with (
        lock_folder(tmp_path, 2),
        lock_folder(tmp_path, 1),
        # On one device each, two processes are two runs.
        pytest.raises(RuntimeError, match="Another run"),
        lock_folder(tmp_path, 1),
    ):
        pass


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_used_without(code, tmp_path, monkeypatch, caplog):
    fcntl = pytest.importorskip("fcntl")

    def fail(*args):
        raise OSError(code, "no locks here")

    monkeypatch.setattr(fcntl, "flock", fail)
    caplog.set_level("INFO", "mne")
    for _ in range(2):  # also after a run that was killed
        with lock_folder(tmp_path, 1), lock_folder(tmp_path, 1):
            pass
    assert "cannot be locked" in caplog.text
