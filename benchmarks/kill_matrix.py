"""Stop training in every way at every place, and resume it: python benchmarks/kill_matrix.py.

Each cell is a process that runs `mne-wav2sleep fine-tune`, and at one place sends a signal to
itself or finds its disk full; the same command then runs again. The table has the exit code, the
last message, whether the second run ended well, and whether its files are those of a run that was
not stopped, bit for bit. A full disk is a tmpfs in a mount namespace of the process (Linux).
"""

import argparse
import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

RESULT = ("model.safetensors", "calibration.json", "config.json", "nights.json", "README.md")
MEGABYTES = 24
"""Size of the disk that gets full."""
HOWS = ("SIGKILL", "SIGTERM", "SIGINT", "full disk")
CODES = {"SIGKILL": -signal.SIGKILL, "SIGTERM": 143, "SIGINT": 130, "full disk": 1}

# Place: a function of the package, and at which of its calls the run stops. A file that is being
# written is half written then.
PLACES = {
    "preparing nights": ("cohorts.preparing", "open_recording", 3),
    "evaluating before": ("training.fit", "evaluate", 1),
    "first pass": ("training.module", "Wav2SleepModule.on_train_batch_start", 2),
    "writing a checkpoint": ("training.checkpoints", "Path.write_bytes", 4),
    "calibrating": ("cohorts.calibration", "run_night", 1),
    "writing the card": ("training.card", "write_whole", 1),
    "writing the model": ("network.folder", "Path.write_bytes", 1),
}
HALF_WRITTEN = {"writing a checkpoint": "*.ckpt", "writing the model": "model.safetensors"}
"""Name of the file that the place is about, of all that the function writes."""


def stop(how: str, folder: Path) -> None:
    """Stop this process, or fill its disk."""
    if how != "full disk":
        os.kill(os.getpid(), getattr(signal, how))
        return
    with (folder.parent / "filler").open("wb", buffering=0) as file:
        for size in (2**16, 2**12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass


def set_trap(place: str, how: str, folder: Path) -> None:
    """Let a function of the package stop the process at one of its calls."""
    module, path, last = PLACES[place]
    owner = importlib.import_module(f"mne_wav2sleep.{module}")
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original: Callable = getattr(owner, name)
    n_calls = 0

    def call(*args, **options):
        nonlocal n_calls
        # Path.write_bytes also writes prepared nights and the split.
        if place in HALF_WRITTEN and not args[0].match(HALF_WRITTEN[place]):
            return original(*args, **options)
        n_calls += 1
        if n_calls == last:
            if place in HALF_WRITTEN:
                original(*args, **options)
                os.truncate(args[0], args[0].stat().st_size // 2)
            stop(how, folder)
        return original(*args, **options)

    setattr(owner, name, call)


def work(folder: Path, place: str, how: str, command: Sequence[str]) -> None:
    """Run the command in this process, which stops at a place."""
    if place in PLACES:
        set_trap(place, how, folder)
    from mne_wav2sleep.cli import main

    sys.argv = ["mne-wav2sleep", *command]
    main()


def make_cohort(work: Path) -> list[str]:
    """Write a table of nights, their files and initial weights; give the command's arguments."""
    from mne_wav2sleep import load_weights, save_weights, simulate_night
    from mne_wav2sleep.network import Preprocessing, Wav2Sleep, Wav2SleepConfig

    rows = ["recording,subject"]
    for i in range(5):
        path = work / f"{i}_raw.fif"
        raw = simulate_night(
            duration=1200, modalities=["ECG", "THX"], sfreq=64, seed=i, verbose="error"
        )
        raw.save(path, verbose="error")
        rows.append(f"{path.name},s{i}")
    (work / "nights.csv").write_text("\n".join(rows) + "\n")
    config = Wav2SleepConfig(
        feature_dim=8,
        initial_channels=2,
        max_channels=4,
        mixer_layers=1,
        mixer_heads=2,
        mixer_dim_ff=8,
        sequence_blocks=1,
        sequence_dilations=2,
    )
    import torch

    torch.manual_seed(0)
    base = load_weights(save_weights(Wav2Sleep(config), work / "base"))
    save_weights(replace(base, preprocessing=Preprocessing(padded_epochs=0)), work / "base")
    settings = ("max_passes=3", "crop=12", "keep=best", "learning_rate=1e-2")
    options = [text for one in settings for text in ("--set", one)]
    base_options = ["--weights", str(work / "base"), "--device", "cpu"]
    return ["fine-tune", str(work / "nights.csv"), "{folder}", *base_options, *options]


@dataclass(frozen=True)
class Cell:
    """What happened in a cell of the matrix."""

    place: str
    how: str
    code: int
    message: str
    resumed: int
    is_same: bool
    leftovers: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        """Whether the run stopped with the right exit code, and was resumed to the same files."""
        return self.code == CODES[self.how] and self.resumed == 0 and self.is_same


class Matrix:
    """Runs of one command on one cohort.

    Parameters
    ----------
    work : Path
        An empty folder.
    """

    def __init__(self, work: Path) -> None:
        self.work = work
        self.command = make_cohort(work)
        self.run(self._fill(work / "whole" / "model"))
        self.expected = self._read(work / "whole" / "model")

    def _fill(self, folder: Path, place: str = "nowhere", how: str = "") -> list[str]:
        """Make the command for a folder."""
        arguments = [str(folder) if part == "{folder}" else part for part in self.command]
        return [__file__, "--work", place, how, *arguments]

    @staticmethod
    def run(command: Sequence[str], *, disk: Path | None = None) -> subprocess.CompletedProcess:
        """Run Python; with a small disk, keep what it holds at the end."""
        command = [sys.executable, *command]
        if disk is not None:
            kept = disk.with_name("kept")
            script = (
                f"mount -t tmpfs -o size={MEGABYTES}m tmpfs {disk} || exit 99\n"
                f'"$@"; code=$?\nrm -f {disk}/filler; cp -a {disk} {kept}; exit $code'
            )
            command = ["unshare", "-rm", "sh", "-c", script, "sh", *command]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        result = subprocess.run(command, capture_output=True, text=True, env=environment)
        if disk is not None:
            disk.rmdir()
            kept.rename(disk)
        return result

    def _read(self, folder: Path) -> dict[str, bytes]:
        return {n: (folder / n).read_bytes() for n in RESULT if (folder / n).exists()}

    def stop_and_resume(self, place: str, how: str) -> Cell:
        """Run a cell."""
        place_folder = self.work / f"{place}-{how}".replace(" ", "-")
        place_folder.mkdir()
        folder = place_folder / "model"  # the card contains the name
        trapped = self._fill(folder, place, how)
        stopped = self.run(trapped, disk=place_folder if how == "full disk" else None)
        lines = [line for line in stopped.stderr.splitlines() if not line.startswith(" ")]
        resumed = self.run(self._fill(folder))
        found = self._read(folder)
        names = (str(p.relative_to(folder)) for p in folder.rglob(".unfinished-*"))
        cell = Cell(
            place,
            how,
            stopped.returncode,
            lines[-1].replace(str(place_folder), "...") if lines else "",
            resumed.returncode,
            set(found) == set(RESULT) and found == self.expected,
            tuple(names),
        )
        if not cell.is_right:
            sys.stderr.write(f"{stopped.stderr}\n--- resumed:\n{resumed.stderr}\n")
        return cell


def run_matrix(places: Sequence[str], hows: Sequence[str], work: Path) -> Iterator[Cell]:
    """Run the cells of some places and ways to stop."""
    matrix = Matrix(work)
    for place in places:
        for how in hows:
            yield matrix.stop_and_resume(place, how)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--place", action="append", choices=PLACES)
    parser.add_argument("--how", action="append", choices=HOWS)
    options = parser.parse_args()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # In the background of a shell, Ctrl-C is ignored, also by the runs that are stopped here.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    work = Path(tempfile.mkdtemp(prefix="kill-matrix-"))
    print("| place | stopped by | exit code | message | resumed | same bits | left over |")
    print("|---|---|---|---|---|---|---|")
    n_wrong = 0
    for cell in run_matrix(options.place or list(PLACES), options.how or HOWS, work):
        n_wrong += not cell.is_right
        same = "yes" if cell.is_same else "NO"
        print(
            f"| {cell.place} | {cell.how} | {cell.code} | {cell.message} | {cell.resumed} | {same} "
            f"| {len(cell.leftovers)} |",
            flush=True,
        )
    shutil.rmtree(work)
    print(f"\n{n_wrong} cells are wrong.")
    sys.exit(n_wrong > 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        _, _, place, how, *command = sys.argv
        work(Path(command[2]), place, how, command)
    else:
        main()
