"""Measure peak memory of training on 20 and 200 nights: python benchmarks/bench_training_memory.py.

Each run is a separate process that makes one pass over the nights.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from safetensors import safe_open
from safetensors.numpy import load_file, save_file


def make_nights(n: int, folder: Path) -> None:
    """Write n files with the same simulated 8-h night of four signals."""
    from mne_wav2sleep import simulate_night
    from mne_wav2sleep.cohorts import Night, prepare_nights
    from mne_wav2sleep.cohorts.nights import compute_checksum

    raw = simulate_night(seed=0, sfreq=64, verbose="error")
    first = prepare_nights([Night(raw, None, "p0")], folder)[0].path
    tensors = load_file(first)
    with safe_open(first, framework="numpy") as file:
        header = json.loads(file.metadata()["night"])
    for i in range(1, n):
        header |= {"subject": f"p{i}", "contents": [f"{i:016x}"]}  # as if it were another
        header["checksum"] = compute_checksum(header, tensors)
        metadata = {"night": json.dumps(header)}
        save_file(tensors, folder / f"p{i}.safetensors", metadata=metadata)


def train_once(n: int, nights_folder: Path) -> None:
    """Make one pass over the nights, and print the peak memory."""
    from mne_wav2sleep.cohorts import open_night
    from mne_wav2sleep.network import Preprocessing, Wav2SleepConfig
    from mne_wav2sleep.training import TrainingSettings, train

    nights = [open_night(path) for path in sorted(nights_folder.glob("*.safetensors"))[:n]]
    config = Wav2SleepConfig(feature_dim=32, initial_channels=4, max_channels=16, mixer_dim_ff=32)
    settings = TrainingSettings(batch_size=1, max_passes=1, crop=240)
    with tempfile.TemporaryDirectory() as folder:
        train(
            nights[2:],
            folder,
            config=config,
            preprocessing=Preprocessing(padded_epochs=0),
            validation=nights[:2],
            settings=settings,
        )
    # In KiB, but on macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    print(f"{n} nights, {(n - 2)} steps: peak memory {peak:.2f} GB")


def main() -> None:
    """Write the nights, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nights", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.nights:
        train_once(options.nights, options.folder)
        return
    folder = Path(tempfile.mkdtemp())
    try:
        make_nights(200, folder)
        for n in (20, 200):
            command = [sys.executable, __file__, "--nights", str(n), "--folder", str(folder)]
            subprocess.run(command, check=True)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
