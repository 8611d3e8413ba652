"""Measure time and memory of training: python benchmarks/bench_training.py --before HEAD~1.

Each run is a process of its own. With ``--before``, the same runs are made with that revision of
the repository as well, in turn.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import fields
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

from safetensors import safe_open
from safetensors.numpy import load_file, save_file

SMALL = {"feature_dim": 32, "initial_channels": 4, "max_channels": 16, "mixer_dim_ff": 32}
RUNS = {
    # Nights of 8 h of which 1 h is seen in a step, and a small network: reading counts.
    **{
        f"{n} worker{'s' * (n != 1)}": {"hours": 8, "nights": 10, "small": True}
        | {"settings": {"n_workers": n, "crop": 120, "max_passes": 3}}
        for n in (0, 1, 2)
    },
    "20 nights": {"hours": 8, "nights": 20, "small": True, "settings": {"crop": 240}},
    "200 nights": {"hours": 8, "nights": 200, "small": True, "settings": {"crop": 240}},
    # The released size, 10 h of four signals, as few nights as there are in a step.
    "10 h, 1 recording": {"hours": 10, "nights": 3, "small": False, "settings": {"max_passes": 1}},
    **{
        f"10 h, 2 recordings{name}": {"hours": 10, "nights": 4, "small": False}
        | {"settings": {"batch_size": 2, **settings}}
        for name, settings in {
            "": {},
            ", micro_batch_size=1": {"micro_batch_size": 1},
            ", gradient_checkpointing": {"gradient_checkpointing": True},
            ", both": {"micro_batch_size": 1, "gradient_checkpointing": True},
        }.items()
    },
}


def make_nights(n: int, hours: int, folder: Path) -> None:
    """Write n files with the same simulated night of four signals."""
    from mne_wav2sleep import simulate_night
    from mne_wav2sleep.cohorts import Night, prepare_nights

    raw = simulate_night(seed=0, duration=hours * 3600, sfreq=64, verbose="error")
    first = prepare_nights([Night(raw, None, "p000")], folder)[0].path
    tensors = load_file(first)
    with safe_open(first, framework="numpy") as file:
        header = json.loads(file.metadata()["night"])
    for i in range(1, n):
        # Copies of one night are refused, so each has the hash of other contents.
        header |= {"subject": f"p{i:03d}", "contents": [sha256(b"%d" % i).hexdigest()[:16]]}
        if "checksum" in header:
            from mne_wav2sleep.cohorts.nights import compute_checksum

            header["checksum"] = compute_checksum(header, tensors)
        metadata = {"night": json.dumps(header)}
        save_file(tensors, folder / f"p{i:03d}.safetensors", metadata=metadata)


def train_once(name: str, nights_folder: Path) -> None:
    """Train, and print the seconds of a pass and the peak memory."""
    from mne_wav2sleep.cohorts import open_night
    from mne_wav2sleep.network import Preprocessing, Wav2SleepConfig
    from mne_wav2sleep.training import Masking, TrainingSettings, train
    from mne_wav2sleep.training.module import Wav2SleepModule

    run = RUNS[name]
    settings = {"batch_size": 1, "max_passes": 1, "masking": Masking.off()} | run["settings"]
    if unknown := set(settings) - {field.name for field in fields(TrainingSettings)}:
        print(f"{name}: no {', '.join(sorted(unknown))}")
        return
    starts: list[float] = []
    begin = Wav2SleepModule.on_train_epoch_start

    def note(self: Wav2SleepModule) -> None:
        starts.append(time.perf_counter())
        begin(self)

    Wav2SleepModule.on_train_epoch_start = note
    Wav2SleepModule.on_fit_end = lambda self: starts.append(time.perf_counter())
    nights = [open_night(p) for p in sorted(nights_folder.glob("*.safetensors"))[: run["nights"]]]
    with tempfile.TemporaryDirectory() as folder:
        train(
            nights[2:],
            folder,
            config=Wav2SleepConfig(**(SMALL if run["small"] else {})),
            preprocessing=Preprocessing(padded_epochs=0),
            validation=nights[:2],
            settings=TrainingSettings(**settings),
            device="cpu",
            verbose="warning",
        )
    passes = [f"{b - a:.1f}" for a, b in pairwise(starts)]
    # In KiB, but on macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    print(f"{name}: {', '.join(passes)} s per pass, with validation; peak memory {peak:.2f} GB")


def call(tree: Path, folder: Path, *arguments: str) -> None:
    """Run this script with the package of a tree."""
    subprocess.run(
        [sys.executable, "-W", "ignore", __file__, "--folder", folder, *arguments],
        check=True,
        env=os.environ | {"PYTHONPATH": str(tree)},
    )


def main() -> None:
    """Write the nights, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", help="revision to measure as well, such as HEAD~1")
    parser.add_argument("--only", default="", help="runs whose name contains this")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    parser.add_argument("--make", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        train_once(options.run, options.folder)
        return
    if options.make:
        make_nights(*options.make, options.folder)
        return
    here = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        trees = {"now": here}
        if options.before:
            trees = {options.before: Path(folder, "before"), **trees}
            add = ["git", "-C", here, "worktree", "add", "--detach", trees[options.before]]
            subprocess.run([*add, options.before], check=True, capture_output=True)
        try:
            runs = {name: run for name, run in RUNS.items() if options.only in name}
            most: dict[int, int] = {}
            for run in runs.values():
                most[run["hours"]] = max(run["nights"], most.get(run["hours"], 0))
            for tree, path in trees.items():
                for hours, n in most.items():
                    call(path, Path(folder, tree, str(hours)), "--make", str(n), str(hours))
            for name, run in runs.items():
                for tree, path in trees.items():
                    print(f"{tree:10}", end=" ", flush=True)
                    call(path, Path(folder, tree, str(run["hours"])), "--run", name)
        finally:
            if options.before:
                remove = ["git", "-C", here, "worktree", "remove", "--force"]
                subprocess.run([*remove, trees[options.before]], check=True)


if __name__ == "__main__":
    main()
