"""Measure staging an 8-h EDF, and the commands: python benchmarks/bench_stage.py [--before COMMIT].

With --before, the package as it was at a commit is measured beside the present one, in turn, since
other programs disturb the times. Each measurement is a process of its own, so that its peak memory
is its own, and begins after the imports. Medians of --runs runs are printed.

The EDF+ file has ECG and PPG at 256 Hz, two belts at 32 Hz, and six EEG channels at 256 Hz that are
not used. By default, the network has the released architecture and random weights, as time does not
depend on their values.
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np

RATES = {"ECG": 256, "Pleth": 256, "Thor": 32, "Abdo": 32} | {f"EEG {i}": 256 for i in range(6)}
SAMPLES = {"ABD": 256, "ECG": 1024, "PPG": 1024, "THX": 256}
HOURS = (2, 4, 8, 16, 24, 48)
RUN = "from mne_wav2sleep.cli import main; main()"
COMMANDS = {
    "--help": ["-c", RUN, "--help"],
    "--version": ["-c", RUN, "--version"],
    "a wrong option": ["-c", RUN, "stage", "night.edf", "--precision", "int8"],
    "weights list": ["-c", RUN, "weights", "list"],
    "channels": ["-c", RUN, "channels", "{night}"],
    "import mne, yasa, torch": ["-c", "import mne, yasa, torch"],
    "import mne_wav2sleep": ["-c", "import mne_wav2sleep"],
    "import SleepStagerW2S": ["-c", "from mne_wav2sleep import SleepStagerW2S"],
}


def write_night(path: Path, hours: float = 8) -> None:
    """Write the EDF."""
    import edfio

    rng = np.random.default_rng(0)
    signals = []
    for label, sfreq in RATES.items():
        t = np.arange(int(hours * 3600 * sfreq)) / sfreq
        wave = 100 * np.sin(2 * np.pi * 0.9 * t) + 10 * rng.standard_normal(t.size)
        signals.append(edfio.EdfSignal(wave, sfreq, label=label, physical_dimension="uV"))
    # With annotations, MNE reads the whole file whenever it is opened.
    lights = [edfio.EdfAnnotation(60 * i, None, "Lights off") for i in range(100)]
    edfio.Edf(signals, annotations=lights).write(path)


def write_apart(path: Path, hours: float = 8) -> None:
    """Write the EDF in a process of its own: others inherit the peak memory of the one before."""
    writer = multiprocessing.get_context("spawn").Process(target=write_night, args=(path, hours))
    writer.start()
    writer.join()
    if writer.exitcode:
        raise RuntimeError(f"{path} was not written.")


def write_weights(folder: Path) -> str:
    """Write random weights of the released architecture."""
    from mne_wav2sleep import save_weights
    from mne_wav2sleep.network import Wav2Sleep, Wav2SleepConfig

    return str(save_weights(Wav2Sleep(Wav2SleepConfig()), folder))


def measure_peak() -> float:
    """Measure the peak memory of this process in MB."""
    unit = 1 if sys.platform == "darwin" else 1024  # KiB, but on macOS bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def stage(night: str, weights: str) -> dict[str, float]:
    """Stage a file, and measure the seconds from its path to its hypnogram."""
    from mne_wav2sleep import SleepStagerW2S, load_weights

    loaded = load_weights(weights, verbose="error")
    start = time.perf_counter()
    SleepStagerW2S(night, weights=loaded, verbose="error").predict()
    return {"path to hypnogram, s": time.perf_counter() - start, "peak, MB": measure_peak()}


def run_steps(night: str, weights: str) -> dict[str, float]:
    """Measure opening and reading a file, and what can be asked of a staged night."""
    from mne_wav2sleep import SleepStagerW2S, Validity
    from mne_wav2sleep.recordings import open_recording
    from mne_wav2sleep.recordings.channels import map_channels
    from mne_wav2sleep.recordings.opening import set_rates
    from mne_wav2sleep.recordings.reading import read_signals

    start = time.perf_counter()
    recording = open_recording(night)
    channels = set_rates(recording, map_channels(recording.raw))
    opened = time.perf_counter()
    read_signals(recording, channels, Validity())
    found = {"opening, s": opened - start, "reading, s": time.perf_counter() - opened}
    stager = SleepStagerW2S(night, weights=weights, verbose="error")
    stager.predict()
    for name in ("audit", "statistics", "quality"):
        start = time.perf_counter()
        getattr(stager, name)()
        found[f"{name}(), s"] = time.perf_counter() - start
    return found


def run_network(weights: str, n_threads: int, precision: str, padded: bool) -> dict[str, float]:
    """Measure the network on 10 h with four signals, of which 2 h may be padding."""
    import torch

    from mne_wav2sleep import load_weights
    from mne_wav2sleep.network import Engine

    torch.set_num_threads(n_threads)
    rng = np.random.default_rng(0)
    x = {m: rng.standard_normal((1, 1200 * n), np.float32) for m, n in SAMPLES.items()}
    for one in x.values() if padded else ():
        one[:, one.shape[1] * 4 // 5 :] = 0.0
    engine = Engine(load_weights(weights, verbose="error").network, "cpu", precision)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        engine.mix(engine.encode(x), {}, [tuple(sorted(x))])
        seconds.append(time.perf_counter() - start)
    what = f"network, {n_threads} threads, {precision}{', 2 h of padding' if padded else ''}, s"
    return {what: statistics.median(seconds[1:])}


def run_bits(weights: str) -> dict[str, float]:
    """Compare logits of two runs, and of one and two threads."""
    import torch

    from mne_wav2sleep import load_weights
    from mne_wav2sleep.network import Engine

    rng = np.random.default_rng(0)
    x = {m: rng.standard_normal((1, 1200 * n), np.float32) for m, n in SAMPLES.items()}
    logits = []
    for n_threads in (2, 2, 1):
        torch.set_num_threads(n_threads)
        engine = Engine(load_weights(weights, verbose="error").network, "cpu")
        everything = tuple(sorted(x))
        logits.append(engine.mix(engine.encode(x), {}, [everything])[everything])
    return {
        "difference of two runs": float((logits[1] - logits[0]).abs().max()),
        "difference of 1 and 2 threads": float((logits[2] - logits[0]).abs().max()),
    }


def measure(arguments: list[str], tree: Path) -> dict[str, float]:
    """Run a measurement of this file in a process, with the package in a tree."""
    found = subprocess.run(
        [sys.executable, __file__, "--measure", *arguments],
        env=os.environ | {"PYTHONPATH": str(tree)},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return json.loads(found.stdout.splitlines()[-1])


def time_command(arguments: list[str], tree: Path) -> float:
    """Measure the seconds of a command."""
    environment = os.environ | {"PYTHONPATH": str(tree)}
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, check=False)
    return time.perf_counter() - start


def compare(what: str, runs: dict[str, list[float]]) -> None:
    """Print the medians of one or two trees, and their ratio."""
    medians = {name: statistics.median(values) for name, values in runs.items()}
    text = ", ".join(f"{name} {value:.3g}" for name, value in medians.items())
    if len(medians) == 2:
        before, now = medians.values()
        text += f", ratio {now / before:.2f}" if before else ""
    print(f"{what}: {text}", flush=True)


def main() -> None:
    """Write files and weights, and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--before", help="a commit to compare with")
    parser.add_argument("--hours", type=float, nargs="*", default=HOURS)
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name, *rest = options.measure
        if name == "network":
            found = run_network(rest[0], int(rest[1]), rest[2], rest[3] == "padded")
        else:
            found = {"stage": stage, "steps": run_steps, "bits": run_bits}[name](*rest)
        print(json.dumps(found))
        return
    here = Path(__file__).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        trees = {"now": here}
        if options.before:
            before = Path(folder) / "before"
            add = ["git", "-C", str(here), "worktree", "add", "--detach", str(before)]
            subprocess.run([*add, options.before], check=True, capture_output=True)
            trees = {"before": before, **trees}
        try:
            run_all(Path(folder), trees, options)
        finally:
            if options.before:
                remove = ["git", "-C", str(here), "worktree", "remove", "--force"]
                subprocess.run([*remove, str(trees["before"])], check=True)


def run_all(folder: Path, trees: dict[str, Path], options: argparse.Namespace) -> None:
    """Measure everything, and print it."""
    weights = options.weights or write_weights(folder / "weights")
    night = str(folder / "night.edf")
    write_apart(Path(night))
    measurements = [["stage", night, weights], ["steps", night, weights]]
    measurements += [["network", weights, n, "float32", "whole"] for n in ("1", "2")]
    measurements += [["network", weights, "2", "float32", "padded"]]
    measurements += [["network", weights, "2", "bfloat16", "whole"]]
    for arguments in measurements:
        runs: dict[str, dict[str, list[float]]] = {}
        for _, (name, tree) in product(range(options.runs), trees.items()):
            for what, value in measure(arguments, tree).items():
                runs.setdefault(what, {}).setdefault(name, []).append(value)
        for what, by_tree in runs.items():
            compare(what, by_tree)
    for what, values in measure(["bits", weights], trees["now"]).items():
        print(f"{what}: {values:.2g}")
    for what, command in COMMANDS.items():
        command = [one.format(night=night) for one in command]
        times: dict[str, list[float]] = {name: [] for name in trees}
        for _, (name, tree) in product(range(options.runs), trees.items()):
            times[name].append(time_command(command, tree))
        compare(f"{what}, s", times)
    scale(folder, weights, options.hours, trees["now"])


def scale(folder: Path, weights: str, hours: list[float], tree: Path) -> None:
    """Measure nights of several durations, and fit the exponents of time and memory."""
    found = []
    for one in hours:
        night = folder / "scaled.edf"
        write_apart(night, one)
        found.append(measure(["stage", str(night), weights], tree))
        print(f"{one:g} h: " + ", ".join(f"{k} {v:.3g}" for k, v in found[-1].items()), flush=True)
    for what in found[0] if len(found) > 1 else ():
        slope = np.polyfit(np.log(hours), np.log([one[what] for one in found]), 1)[0]
        print(f"exponent of {what.split(',')[0]}: {slope:.2f}")


if __name__ == "__main__":
    main()
