"""Runs that are stopped (Ctrl-C, SIGTERM, SIGKILL, a full disk, a cluster), and then resumed."""

import errno
import importlib.util
import os
import pickle
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import toy_recordings
from safetensors.numpy import load_file

from mne_wav2sleep.cohorts import preparing
from mne_wav2sleep.output import write_whole
from mne_wav2sleep.training import fine_tune
from mne_wav2sleep.training.module import Wav2SleepModule
from mne_wav2sleep.training.stopping import explain_stop

pytestmark = [toy_recordings, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


def is_same(one, other):
    a, b = (load_file(folder / "model.safetensors") for folder in (one, other))
    return all(np.array_equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="session")
def matrix(tmp_path_factory):
    """The kill matrix of the benchmarks, whose cells are processes of the command."""
    spec = importlib.util.spec_from_file_location(
        "kill_matrix", ROOT / "benchmarks" / "kill_matrix.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["kill_matrix"] = module  # dataclasses look for it
    spec.loader.exec_module(module)
    return module.Matrix(tmp_path_factory.mktemp("matrix"))


def test_a_run_with_a_full_disk_is_resumed_to_the_same_bits(matrix):
    """One cell of the matrix, of which ``benchmarks/kill_matrix.py`` shows all."""
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode
    ):
        pytest.skip("needs a mount namespace")
    cell = matrix.stop_and_resume("writing a checkpoint", "full disk")
    assert "was stopped by a full disk" in cell.message
    assert "Traceback" not in cell.message
    assert cell.is_right, cell


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is full")
def test_a_full_disk_is_explained_wherever_it_was_noticed(tmp_path):
    with pytest.raises(OSError, match="No space left") as caught, write_whole("/dev/full") as path:
        path.write_text("x")
    assert caught.value.errno == errno.ENOSPC
    # As in the report of a night that another process prepared, which loses the cause.
    error = pickle.loads(pickle.dumps(caught.value))
    assert str(error) == str(caught.value)
    full = r"m was stopped by a full disk \(full could not be written to /dev/full .*No space left"
    with pytest.raises(OSError, match=full) as caught, explain_stop(tmp_path / "m"):
        raise ValueError("1 of 2 nights cannot be used.") from error
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(ValueError, match="another"), explain_stop(tmp_path / "m"):
        raise ValueError("another")


@pytest.fixture
def terminate_at(monkeypatch):
    """Send SIGTERM to this process at a step of training."""
    begin = Wav2SleepModule.on_train_batch_start

    def choose(step):
        def terminate(self, batch, batch_idx):
            if self.global_step == step:
                os.kill(os.getpid(), signal.SIGTERM)
            begin(self, batch, batch_idx)

        monkeypatch.setattr(Wav2SleepModule, "on_train_batch_start", terminate)

    return choose


def test_sigterm_exits_with_143_and_says_how_to_resume(
    nights, train_tiny, trained, tmp_path, terminate_at, capsys
):
    terminate_at(3)
    with pytest.raises(SystemExit) as caught:
        train_tiny(nights, tmp_path / "m", device="cpu", verbose="error")
    assert caught.value.code == 143
    assert "run the same command again to resume" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert not (tmp_path / "m" / "config.json").exists()
    terminate_at(None)
    assert is_same(train_tiny(nights, tmp_path / "m", device="cpu"), trained)


def test_sigterm_while_nights_are_prepared_keeps_those_that_are(
    make_nights, train_tiny, tmp_path, monkeypatch, capsys
):
    opened = []

    def open_or_stop(task, **options):
        opened.append(task[0].subject)
        if len(opened) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return prepare(task, **options)

    prepare = preparing._prepare_file
    monkeypatch.setattr(preparing, "_prepare_file", open_or_stop)
    nights = make_nights()
    with pytest.raises(SystemExit) as caught:
        train_tiny(nights, tmp_path / "m", device="cpu")
    assert caught.value.code == 143
    assert "was stopped by SIGTERM. What is complete is kept" in capsys.readouterr().out
    kept = sorted((tmp_path / "m" / "nights").glob("*.safetensors"))
    assert [path.name[:8] for path in kept] == [f"cohort-{subject}" for subject in opened[:2]]


def test_a_handler_of_the_user_is_called_and_kept(nights, train_tiny, tmp_path, terminate_at):
    heard = []

    def hear(signum, frame):
        heard.append(signum)

    before = signal.signal(signal.SIGTERM, hear)
    try:
        terminate_at(3)
        with pytest.raises(SystemExit) as caught:
            train_tiny(nights, tmp_path / "m", device="cpu")
        assert caught.value.code == 143
        assert heard == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is hear
    finally:
        signal.signal(signal.SIGTERM, before)


PAIR = """
import os, signal
from mne_wav2sleep.cohorts import open_night
from mne_wav2sleep.network import Wav2SleepConfig
from mne_wav2sleep.training import Masking, TrainingSettings, train
from mne_wav2sleep.training.module import Wav2SleepModule
begin = Wav2SleepModule.on_train_batch_start
def begin_or_stop(self, batch, batch_idx):
    if self.global_step == 3 and self.trainer.global_rank == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    begin(self, batch, batch_idx)
Wav2SleepModule.on_train_batch_start = begin_or_stop
if __name__ == "__main__":
    nights = [open_night(p) for p in {paths}]
    train(nights, "m", config={config}, settings={settings}, device="cpu", n_devices=2)
"""


def test_sigterm_of_one_process_stops_all_after_the_same_step(nights, tiny, quick, tmp_path):
    paths, settings = [str(night.path) for night in nights], replace(quick, batch_size=1)
    (tmp_path / "run.py").write_text(PAIR.format(paths=paths, config=tiny, settings=settings))
    result = subprocess.run(
        [sys.executable, "run.py"],
        cwd=tmp_path,
        env=os.environ | {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 143, result.stderr
    assert (tmp_path / "m" / "checkpoints" / "last.ckpt").exists()
    assert not (tmp_path / "m" / "config.json").exists()


GROUP = """
import os
from mne_wav2sleep.cohorts import open_night
from mne_wav2sleep.network import Preprocessing, Wav2SleepConfig
from mne_wav2sleep.training import Masking, TrainingSettings, train
from mne_wav2sleep.training.module import Wav2SleepModule
begin = Wav2SleepModule.on_train_batch_start
def begin_or_stop(self, batch, batch_idx):
    if self.global_step == 3:
        os.killpg(0, {signum})
    begin(self, batch, batch_idx)
Wav2SleepModule.on_train_batch_start = begin_or_stop
if __name__ == "__main__":
    nights = [open_night(p) for p in {paths}]
    train(nights, "m", config={config}, settings={settings}, device="cpu",
          preprocessing=Preprocessing(padded_epochs=0))
"""


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -2)])
def test_a_signal_that_also_ends_the_workers_stops_as_if_there_were_none(
    signum, code, nights, train_tiny, trained, tiny, quick, tmp_path
):
    """Ctrl-C in a terminal, ``timeout`` and clusters send a signal to all processes of a job."""
    script = GROUP.format(
        paths=[str(night.path) for night in nights],
        config=tiny,
        settings=replace(quick, n_workers=1),
        signum=int(signum),
    )
    (tmp_path / "run.py").write_text(script)
    result = subprocess.run(
        [sys.executable, "run.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        start_new_session=True,
    )
    assert result.returncode == code, result.stderr
    assert "run the same command again to resume" in result.stdout + result.stderr
    assert "DataLoader" not in result.stderr
    assert is_same(train_tiny(nights, tmp_path / "m", device="cpu"), trained)


SLURM = {
    "SLURM_JOB_ID": "4711",
    "SLURM_JOB_NAME": "training",
    "SLURM_NTASKS": "1",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "SLURM_NODELIST": "node1",
}


def test_a_job_of_slurm_reads_no_checkpoint_but_those_of_its_folder(
    nights, train_tiny, trained, quick, tmp_path, monkeypatch
):
    other = train_tiny(nights, tmp_path / "other", settings=replace(quick, seed=1, max_passes=2))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    folder = tmp_path / "work" / "m"
    for place in (Path(), folder, folder / "checkpoints"):
        place.mkdir(exist_ok=True)
        shutil.copy(other / "checkpoints" / "last.ckpt", place / "hpc_ckpt_3.ckpt")
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    train_tiny(nights, folder, device="cpu")
    assert is_same(folder, trained)
    assert sorted(p.name for p in Path().iterdir()) == ["hpc_ckpt_3.ckpt", "m"]


def test_the_batch_script_of_the_docs_requeues_a_job_that_is_resumed(
    nights, trained, quick, tmp_path
):
    text = (ROOT / "docs" / "fine_tuning.md").read_text(encoding="utf-8")
    script = text.partition("```bash\n")[2].partition("```")[0]
    assert "scontrol requeue" in script
    # What the cluster has: srun runs a command, scontrol starts the job again later.
    commands = {
        "srun": 'exec "$@"',
        "scontrol": f'echo "$@" >> {tmp_path}/requeued',
        "mne-wav2sleep": f'exec {sys.executable} {tmp_path}/run.py "$@"',
    }
    (tmp_path / "bin").mkdir()
    for name, line in commands.items():
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)
    settings = replace(quick, max_passes=2)
    (tmp_path / "run.py").write_text(
        f"""
import os, pathlib, signal
from mne_wav2sleep.cohorts import open_night
from mne_wav2sleep.training import Masking, TrainingSettings, fine_tune
from mne_wav2sleep.training.module import Wav2SleepModule
begin = Wav2SleepModule.on_train_batch_start
def begin_or_stop(self, batch, batch_idx):
    if self.global_step == 3 and not pathlib.Path("requeued").exists():
        os.kill(os.getpid(), signal.SIGTERM)
    begin(self, batch, batch_idx)
Wav2SleepModule.on_train_batch_start = begin_or_stop
nights = [open_night(p) for p in {[str(night.path) for night in nights]}]
fine_tune(nights, "m", weights={str(trained)!r}, settings={settings}, device="cpu")
"""
    )
    environment = os.environ | SLURM | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    codes = []
    for _ in range(2):
        result = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        codes.append(result.returncode)
        assert (tmp_path / "requeued").read_text() == "requeue 4711\n", result.stderr
    assert codes == [0, 0]
    whole = fine_tune(nights, tmp_path / "w", weights=trained, settings=settings, device="cpu")
    assert is_same(tmp_path / "m", whole)
