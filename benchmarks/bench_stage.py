"""Time and memory of staging one 8-h EDF: python benchmarks/bench_stage.py [--weights FOLDER].

The file, an EDF+, has ECG and PPG at 256 Hz, two belts at 32 Hz and six EEG channels at 256 Hz that
are not wanted. Without --weights the network has the released size and random weights: time does
not depend on their values. Each run is a process of its own, so that peak memory is that of staging
alone.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HOURS = 8
RATES = {"ECG": 256, "Pleth": 256, "Thor": 32, "Abdo": 32} | {f"EEG {i}": 256 for i in range(6)}


def write_night(path: Path) -> None:
    """Write the EDF."""
    import edfio

    rng = np.random.default_rng(0)
    signals = []
    for label, sfreq in RATES.items():
        t = np.arange(HOURS * 3600 * sfreq) / sfreq
        wave = 100 * np.sin(2 * np.pi * 0.9 * t) + 10 * rng.standard_normal(t.size)
        signals.append(edfio.EdfSignal(wave, sfreq, label=label, physical_dimension="uV"))
    # MNE reads the whole file for its annotations whenever it is opened.
    lights = [edfio.EdfAnnotation(60 * i, None, "Lights off") for i in range(100)]
    edfio.Edf(signals, annotations=lights).write(path)


def stage_once(night: Path, weights: str) -> None:
    """Stage the file step by step, and print what each step took."""
    import torch

    from mne_wav2sleep import SleepStagerW2S, Validity
    from mne_wav2sleep.recordings.reading import open_sources, read_signals
    from mne_wav2sleep.signals.batch import make_batch

    start = time.perf_counter()
    stager = SleepStagerW2S(night, weights=weights, verbose="error")
    t0 = time.perf_counter()
    sources = open_sources(stager._recording, stager.channels)
    signals = read_signals(stager._recording, sources, Validity())
    t1 = time.perf_counter()
    x, available = make_batch(signals)
    t2 = time.perf_counter()
    with torch.inference_mode():
        stager.model(x, available)
    t3 = time.perf_counter()
    del signals, x
    stager.predict()
    t4 = time.perf_counter()
    stager.audit()
    t5 = time.perf_counter()
    stager.statistics()
    t6 = time.perf_counter()
    # In KiB, but on macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    print(
        f"opening {t0 - start:.2f} s, reading {t1 - t0:.2f} s, preparing {t2 - t1:.2f} s, "
        f"network {t3 - t2:.2f} s, predict() as a whole {t4 - t3:.2f} s, audit() {t5 - t4:.2f} s "
        f"({(t5 - t4) / (t4 - t3):.2f} predictions), statistics() {t6 - t5:.2f} s, "
        f"peak memory {peak:.2f} GB"
    )


def main() -> None:
    """Make the file and a model folder, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--night", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.night:
        stage_once(options.night, options.weights)
        return
    with tempfile.TemporaryDirectory() as folder:
        weights = options.weights
        if weights is None:
            from mne_wav2sleep import save_model
            from mne_wav2sleep.network.config import Wav2SleepConfig
            from mne_wav2sleep.network.model import Wav2Sleep

            weights = str(save_model(Wav2Sleep(Wav2SleepConfig()), Path(folder) / "weights"))
        night = Path(folder) / "night.edf"
        write_night(night)
        for _ in range(options.runs):
            subprocess.run(
                [sys.executable, __file__, "--night", str(night), "--weights", weights], check=True
            )


if __name__ == "__main__":
    main()
