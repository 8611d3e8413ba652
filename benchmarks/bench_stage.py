"""Measure time and memory of staging an 8-h EDF: python benchmarks/bench_stage.py [--weights NAME].

The EDF+ file has ECG and PPG at 256 Hz, two belts at 32 Hz, and six EEG channels at 256 Hz that are
not used. By default, the network has the released architecture and random weights, as time does not
depend on their values. Each run is a separate process, so that its peak memory is that of staging.
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
    # With annotations, MNE reads the whole file whenever it is opened.
    lights = [edfio.EdfAnnotation(60 * i, None, "Lights off") for i in range(100)]
    edfio.Edf(signals, annotations=lights).write(path)


def stage_once(night: Path, weights: str) -> None:
    """Stage the file step by step, and print what each step took."""
    import mne

    from mne_wav2sleep import SleepStagerW2S, Validity, load_weights
    from mne_wav2sleep.network import Engine
    from mne_wav2sleep.recordings import open_recording
    from mne_wav2sleep.recordings.channels import map_channels
    from mne_wav2sleep.recordings.opening import set_rates
    from mne_wav2sleep.recordings.reading import read_signals
    from mne_wav2sleep.signals.batch import make_batch

    mne.set_log_level("error")
    loaded = load_weights(weights)
    start = time.perf_counter()
    recording = open_recording(night)
    channels = set_rates(recording, map_channels(recording.raw))
    t0 = time.perf_counter()
    signals = read_signals(recording, channels, Validity())
    t1 = time.perf_counter()
    x, available = make_batch(signals, padded_epochs=loaded.preprocessing.padded_epochs)
    t2 = time.perf_counter()
    engine = Engine(loaded.network)
    engine.mix(engine.encode(x), available, [tuple(sorted(x))])
    t3 = time.perf_counter()
    del signals, x
    stager = SleepStagerW2S(night, weights=loaded)
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
        f"network {t3 - t2:.2f} s, SleepStagerW2S and predict() {t4 - t3:.2f} s, "
        f"audit() {t5 - t4:.2f} s ({(t5 - t4) / (t4 - t3):.2f} predictions), "
        f"statistics() {t6 - t5:.2f} s, peak memory {peak:.2f} GB"
    )


def main() -> None:
    """Write the file and a model folder, then measure."""
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
            from mne_wav2sleep import save_weights
            from mne_wav2sleep.network import Wav2Sleep, Wav2SleepConfig

            weights = str(save_weights(Wav2Sleep(Wav2SleepConfig()), Path(folder) / "weights"))
        night = Path(folder) / "night.edf"
        write_night(night)
        for _ in range(options.runs):
            subprocess.run(
                [sys.executable, __file__, "--night", str(night), "--weights", weights], check=True
            )


if __name__ == "__main__":
    main()
