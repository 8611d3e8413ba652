"""Peak memory of training on 20 and on 200 nights: python benchmarks/bench_training_memory.py.

Each run is a process of its own and takes the same number of steps.
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

STEPS = 10


def make_nights(n: int, folder: Path) -> None:
    """Write n different files of one simulated 8-h night of four signals."""
    from mne_wav2sleep.simulation.night import simulate_night
    from mne_wav2sleep.training import Night, prepare_nights

    raw = simulate_night(seed=0, sfreq=64, verbose="error")
    first = prepare_nights([Night(raw, None, "p0")], folder)[0].path
    tensors = load_file(first)
    with safe_open(first, framework="numpy") as file:
        header = json.loads(file.metadata()["night"])
    for i in range(1, n):
        metadata = {"night": json.dumps(header | {"subject": f"p{i}"})}
        save_file(tensors, folder / f"p{i}.safetensors", metadata=metadata)


def train_once(n: int, nights_folder: Path) -> None:
    """Train for a number of steps, print the peak memory."""
    from mne_wav2sleep.network.config import Wav2SleepConfig
    from mne_wav2sleep.training import TrainingSettings, open_night, train

    nights = [open_night(path) for path in sorted(nights_folder.glob("*.safetensors"))[:n]]
    config = Wav2SleepConfig(
        feature_dim=32, initial_channels=4, max_channels=16, mixer_dim_ff=32, padded_epochs=0
    )

    settings = TrainingSettings(batch_size=1, max_passes=1, crop=240)
    with tempfile.TemporaryDirectory() as folder:
        train(nights[2:], folder, config=config, validation=nights[:2], settings=settings)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{n} nights, {(n - 2)} steps: peak memory {peak:.2f} GB")


def main() -> None:
    """Make the nights, then measure."""
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
