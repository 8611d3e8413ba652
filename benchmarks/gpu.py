"""Check and time the package on a GPU: python benchmarks/gpu.py [--device cuda] [--out DIR].

Takes less than 5 minutes and downloads nothing. Networks have the released architecture and random
weights, or are the bundled ``mini``; nights are simulated. What is found is printed in Markdown,
ready for docs/performance.md, and written to DIR at once: ``gpu.md`` and ``gpu.json``. A part that
fails does not stop the others. ``--device cpu --quick`` runs the same code where there is no GPU.
"""

import argparse
import copy
import gc
import json
import os
import platform
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import joblib
import mne
import numpy as np
import torch

from mne_wav2sleep import SleepStagerW2S, load_weights, save_weights, simulate_night
from mne_wav2sleep.cohorts import Night, PreparedNight, evaluate, prepare_nights
from mne_wav2sleep.cohorts.evaluation import run_night
from mne_wav2sleep.modalities import MODALITIES, PRECISIONS
from mne_wav2sleep.network import Engine, Preprocessing, Wav2Sleep, Wav2SleepConfig
from mne_wav2sleep.network.backends import choose_backend
from mne_wav2sleep.progress import show_bars
from mne_wav2sleep.verbosity import use_log_level

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests" / "data")]
import bench_stage
import golden_recipe
import gpu_training

MB = 2**20


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    signals: tuple[str, ...] = ("ABD", "ECG", "PPG", "THX")
    config: Wav2SleepConfig = field(default_factory=Wav2SleepConfig)
    padded_epochs: int = 1200
    hours: float = 8.0  # of simulated nights
    n_simulated: int = 4
    n_training: int = 16
    passes: int = 2
    batches: tuple[int, ...] = (1, 4, 16)
    training_precisions: tuple[str, ...] = ("32-true", "bf16-mixed")
    epochs: tuple[int, ...] = (960, 1200)  # 8 h and 10 h
    timed_batch: int = 8
    repeats: int = 5


TINY = Wav2SleepConfig(feature_dim=16, initial_channels=2, max_channels=4, mixer_dim_ff=16)
QUICK = Sizes(
    signals=("ECG", "THX"),
    config=TINY,
    padded_epochs=0,
    hours=0.25,
    n_simulated=1,
    n_training=2,
    batches=(2,),
    training_precisions=("32-true",),
    epochs=(10, 20),
    timed_batch=2,
    repeats=1,
)


class Log:
    """What was found, printed and written as it is found."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.text = ""
        self.results: dict[str, Any] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def write(self, text: str) -> None:
        """Print a text, and write all of them."""
        print(text, flush=True)
        self.text += text + "\n"
        if self.folder is not None:
            (self.folder / "gpu.md").write_text(self.text, encoding="utf-8")
            found = json.dumps(self.results, indent=1, default=str)
            (self.folder / "gpu.json").write_text(found, encoding="utf-8")

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows with the same columns as a table."""
        self.results[name] = list(rows)
        lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
        self.write("\n".join("| " + " | ".join(map(_format, line)) + " |" for line in lines) + "\n")


def _format(value: Any) -> str:
    """Format a cell."""
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 100 else f"{value}"


def _deviate(differences: Sequence[np.ndarray]) -> float:
    """Find the largest of some differences."""
    return max(float(np.abs(one).max()) for one in differences)


def _percent(same: Any) -> str:
    """Format a share of equal stages, without rounding it to 100 %."""
    same = np.asarray(same, dtype=bool)
    text = "100 %" if same.all() else f"{min(100 * same.mean(), 99.999):.3f} %"
    return f"{text} of {same.size}"


def _synchronize() -> None:
    """Wait for the GPU, if one is in use."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def _measure(compute: Callable[[], Any], repeats: int) -> float:
    """Measure the median duration in s, after a run that does not count."""
    times = []
    for _ in range(repeats + 1):
        _synchronize()
        start = time.perf_counter()
        compute()
        _synchronize()
        times.append(time.perf_counter() - start)
    return median(times[1:])


@contextmanager
def _convolve_in(tf32: bool) -> Iterator[None]:
    """Let cuDNN compute convolutions of float32 in TF32, torch's default, or not."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = tf32
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


MODES = {
    "float32, convolutions in TF32 (torch's default)": ("float32", True),
    "float32, without TF32": ("float32", False),
    "bfloat16": ("bfloat16", True),
    "float16": ("float16", True),
}


class Benchmark:
    """The parts, and what they share."""

    def __init__(self, device: str, sizes: Sizes, log: Log, folder: Path, deadline: float) -> None:
        self.device = device
        self.sizes = sizes
        self.log = log
        self.folder = folder
        self.deadline = deadline
        self.is_cuda = torch.device(device).type == "cuda"
        if self.is_cuda:
            torch.cuda.init()
        torch.manual_seed(0)
        network = Wav2Sleep(sizes.config)
        released = load_weights(save_weights(network, folder / "released"))
        self.released = replace(released, preprocessing=Preprocessing(sizes.padded_epochs))
        self.mini = load_weights("mini", verbose="error")
        self._nights: list[PreparedNight] = []

    def is_late(self) -> bool:
        """Check whether the time is used up."""
        return time.monotonic() > self.deadline

    def get_nights(self, n: int) -> list[PreparedNight]:
        """Simulate nights and prepare them."""
        first = len(self._nights)
        jobs = (joblib.delayed(_simulate)(i, self.sizes) for i in range(first, n))
        raws = joblib.Parallel(n_jobs=-1)(jobs) if n > first else []
        self._nights += prepare_nights(
            [Night(raw, None, f"s{i}") for i, raw in enumerate(raws, start=first)],
            self.folder / "nights",
            n_jobs=-1,
        )
        return self._nights[:n]

    def describe_machine(self) -> None:
        """Name the card, its driver, and the versions."""
        cpu = platform.processor()
        if Path("/proc/cpuinfo").exists():
            lines = Path("/proc/cpuinfo").read_text().splitlines()
            cpu = next((s.split(":")[1].strip() for s in lines if s.startswith("model name")), cpu)
        found = {
            "CPU": f"{cpu}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
            "Python": platform.python_version(),
            "torch": torch.__version__,
        }
        if self.is_cuda:
            card = torch.cuda.get_device_properties(self.device)
            driver = os.popen("nvidia-smi --query-gpu=driver_version --format=csv,noheader").read()
            found |= {
                "card": f"{card.name}, {card.total_memory / 2**30:.0f} GiB",
                "driver": driver.strip(),
                "CUDA, cuDNN": f"{torch.version.cuda}, {torch.backends.cudnn.version()}",
            }
        self.log.table("machine", [{"": name, "found": value} for name, value in found.items()])

    def check_golden(self) -> None:
        """Compare logits with those of the original network, and with the CPU's."""
        network = Wav2Sleep(Wav2SleepConfig()).eval()
        shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        weights = golden_recipe.fill_weights(shapes)
        network.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})
        expected = np.load(Path(golden_recipe.__file__).parent / "golden_logits.npz")
        x = {case: golden_recipe.make_inputs(*of) for case, of in golden_recipe.LOGITS.items()}
        masks = {case: {} for case in x}
        masks["batch2_ppg_missing_in_second_16"] = {"PPG": np.array([True, False])}

        def run(engine: Engine) -> dict[str, np.ndarray]:
            found = {}
            for case, signals in x.items():
                names = tuple(sorted(signals))
                logits = engine.mix(engine.encode(signals), masks[case], [names])[names]
                found[case] = logits.float().numpy()
            return found

        def compare(what: str, found: dict[str, np.ndarray]) -> dict[str, Any]:
            same = [found[c].argmax(-1) == cpu[c].argmax(-1) for c in x]
            return {
                "on": what,
                "from the original network": _deviate([found[c] - expected[c] for c in x]),
                "from the CPU in float32": _deviate([found[c] - cpu[c] for c in x]),
                "equal stages": _percent(np.concatenate([s.ravel() for s in same])),
            }

        cpu = run(Engine(network, "cpu"))
        rows = [compare("CPU, float32", cpu)]
        for mode, (precision, tf32) in MODES.items():
            with _convolve_in(tf32):
                engine = Engine(network, self.device, precision)
                found, again = run(engine), run(engine)
            repeats = all((found[c] == again[c]).all() for c in x)
            rows.append(
                compare(f"{self.device}, {mode}", found)
                | {"twice the same bits": "yes" if repeats else "no"}
            )
        rows[0]["twice the same bits"] = ""
        scale = np.concatenate([expected[case].ravel() for case in x]).std()
        self.log.write(f"Largest deviations of logits, whose standard deviation is {scale:.2f}:\n")
        self.log.table("golden", rows)

    def check_agreement(self) -> None:
        """Compare stages and scores of trained weights on whole nights with the CPU's."""
        nights, names = self.get_nights(self.sizes.n_simulated), self.sizes.signals

        def run(device: str, precision: str = "float32") -> tuple[list[Any], float]:
            engine = Engine(self.mini.network, device, precision)
            start = time.perf_counter()
            outputs = [run_night(self.mini, engine, night, "all") for night in nights]
            return outputs, time.perf_counter() - start

        expected, seconds = run("cpu")
        rows = []
        for mode, (precision, tf32) in {"CPU": ("", True), **MODES}.items():
            found = expected
            if precision:
                with _convolve_in(tf32):
                    found, seconds = run(self.device, precision)
            whole = [(one[names], other[names]) for one, other in zip(found, expected, strict=True)]
            every = [
                (one[subset], other[subset])
                for one, other in zip(found, expected, strict=True)
                for subset in other
            ]
            rows.append(
                {
                    "on": f"{self.device}, {mode}" if precision else mode,
                    "largest deviation of logits": _deviate(
                        [a.logits - b.logits for a, b in every]
                    ),
                    "equal stages, all signals": _compare_stages(whole),
                    "equal stages, every subset": _compare_stages(every),
                    "s for all": seconds,
                }
            )
        self.log.write(f"`mini` on {len(nights)} simulated nights of {self.sizes.hours:g} h:\n")
        self.log.table("agreement", rows)
        scores = [evaluate(nights, self.mini, device=d).pooled for d in ("cpu", self.device)]
        difference = (scores[0] - scores[1]).abs().max()
        self.log.write(
            f"`evaluate`: kappa differs by {difference['kappa']:.2g} at most, accuracy by "
            f"{difference['accuracy']:.2g} %, over {len(scores[0])} subsets.\n"
        )
        self.log.results["evaluate"] = difference.to_dict()

    def check_memory(self) -> None:
        """Let the GPU's memory run out, and check what is staged then."""
        if not self.is_cuda:
            self.log.write("Only CUDA can be given less memory.\n")
            return
        names = self.sizes.signals
        x = _draw(names, 1, self.sizes.epochs[-1])
        engine = Engine(self.released.network, "cpu")
        expected = engine.mix(engine.encode(x), {}, [names])[names]
        total = torch.cuda.get_device_properties(self.device).total_memory
        rows = []
        for room, extra in (("the weights", 64 * MB), ("nothing", MB), ("everything", total)):
            engine = Engine(self.released.network, self.device)
            gc.collect()
            torch.cuda.empty_cache()
            limit = min((torch.cuda.memory_reserved() + extra) / total, 1.0)
            torch.cuda.set_per_process_memory_fraction(limit)
            try:
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    found = engine.mix(engine.encode(x), {}, [names])[names]
            finally:
                torch.cuda.set_per_process_memory_fraction(1.0)
            rows.append(
                {
                    "memory for": room,
                    "staged on": str(engine.device),
                    "deviation from the CPU": (found - expected).abs().max().item(),
                    "warning": " ".join(str(w.message) for w in caught) or "none",
                }
            )
        self.log.table("memory", rows)

    def time_network(self) -> None:
        """Time nights one by one and in batches, with and without transfers."""
        # A CPU takes the recordings of a batch one after another.
        devices = {"cpu": (["float32"], (1,))}
        if self.is_cuda:
            devices = {self.device: (list(PRECISIONS), (1, self.sizes.timed_batch))} | devices
        cases = [
            (device, *case)
            for device, (precisions, batches) in devices.items()
            for case in product(
                (self.sizes.signals, ("ECG",)), self.sizes.epochs, precisions, batches
            )
        ]
        rows = []
        for device, names, n_epochs, precision, batch in cases:
            if self.is_late():
                self.log.write("Stopped here: no time left.\n")
                break
            x = _draw(names, batch, n_epochs)
            rows.append(
                {
                    "device": device,
                    "signals": "+".join(names),
                    "h": n_epochs / 120,
                    "precision": precision,
                    "batch": batch,
                    "nights/s": batch / self._time_engine(device, precision, x),
                    "nights/s without transfers": ""
                    if self.is_cuda and device == "cpu"
                    else batch / self._time_alone(device, precision, x),
                }
            )
        self.log.write(
            f"Nights per second through the network, medians of {self.sizes.repeats} after a first "
            "that does not count; float32 as torch has it by default (convolutions in TF32):\n"
        )
        self.log.table("speed", rows)

    def _time_engine(self, device: str, precision: str, x: Mapping[str, np.ndarray]) -> float:
        """Time a batch from arrays to logits on the CPU."""
        engine = Engine(self.released.network, device, precision)
        names = tuple(sorted(x))
        return _measure(lambda: engine.mix(engine.encode(x), {}, [names]), self.sizes.repeats)

    def _time_alone(self, device: str, precision: str, x: Mapping[str, np.ndarray]) -> float:
        """Time a batch from tensors on the device to logits on the device."""
        kind = torch.device(device)
        there = {name: torch.as_tensor(one, device=kind) for name, one in x.items()}
        backend = choose_backend(copy.deepcopy(self.released.network).to(kind), kind)
        autocast = (
            nullcontext()
            if precision == "float32"
            else torch.autocast(kind.type, getattr(torch, precision))
        )
        with torch.inference_mode(), autocast:
            return _measure(lambda: backend.mix(backend.encode(there)), self.sizes.repeats)

    def profile(self) -> None:
        """Show what the GPU does in one night."""
        kind = torch.device(self.device)
        network = copy.deepcopy(self.released.network).to(kind)
        x = {
            name: torch.as_tensor(one, device=kind)
            for name, one in _draw(self.sizes.signals, 1, self.sizes.epochs[-1]).items()
        }
        activities = [torch.profiler.ProfilerActivity.CPU]
        if self.is_cuda:
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        with torch.inference_mode():
            network(x)
            with torch.profiler.profile(activities=activities) as profiler:
                network(x)
                _synchronize()
        table = profiler.key_averages().table(
            sort_by="self_cuda_time_total" if self.is_cuda else "self_cpu_time_total",
            row_limit=10,
            max_name_column_width=60,
        )
        self.log.write(f"```\n{table}\n```\n")

    def time_staging(self) -> None:
        """Time the whole way from an 8-h EDF to a hypnogram."""
        path = self.folder / "night.edf"
        if self.sizes.hours < 1:
            simulate_night(duration=900, sfreq=64, seed=0, verbose="error").export(
                path, verbose="error"
            )
        else:
            bench_stage.write_night(path)
        rows = []
        stages = {}
        for device in dict.fromkeys([self.device, "cpu"]):

            def stage(device: str = device) -> None:
                stager = SleepStagerW2S(path, weights=self.released, device=device, verbose="error")
                stages[device] = stager.predict().hypno

            rows.append({"device": device, "s": _measure(stage, min(self.sizes.repeats, 3))})
        same = _percent(stages[self.device].to_numpy() == stages["cpu"].to_numpy())
        self.log.write("From the path of an EDF to its hypnogram, weights loaded before:\n")
        self.log.table("staging", rows)
        self.log.write(f"Equal stages on both: {same}.\n")


def _simulate(seed: int, sizes: Sizes) -> mne.io.BaseRaw:
    """Simulate a night."""
    return simulate_night(
        duration=3600 * sizes.hours,
        modalities=sizes.signals,
        sfreq=64,
        seed=seed,
        verbose="error",
    )


def _compare_stages(pairs: Sequence[tuple[Any, Any]]) -> str:
    """Compare stages where anything was measured."""
    same = [
        (a.logits.argmax(-1) == b.logits.argmax(-1))[b.measured.any(axis=1).to_numpy()]
        for a, b in pairs
    ]
    return _percent(np.concatenate(same))


def _draw(names: Sequence[str], batch: int, n_epochs: int) -> dict[str, np.ndarray]:
    """Draw z-scored noise."""
    rng = np.random.default_rng(0)
    shapes = {name: (batch, n_epochs * MODALITIES[name].samples_per_epoch) for name in names}
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


PARTS: dict[str, tuple[str, Callable[[Benchmark], None]]] = {
    "machine": ("Machine", Benchmark.describe_machine),
    "golden": ("Golden numbers", Benchmark.check_golden),
    "agreement": ("Stages of trained weights", Benchmark.check_agreement),
    "memory": ("Lack of memory", Benchmark.check_memory),
    "speed": ("Network", Benchmark.time_network),
    "staging": ("Staging", Benchmark.time_staging),
    "profile": ("Profile", Benchmark.profile),
    "resuming": ("Resumed training", gpu_training.check_resuming),
    "training": ("Training", gpu_training.time_training),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts; give the number of those that failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, help="folder for gpu.md and gpu.json")
    parser.add_argument("--quick", action="store_true", help="small networks and short nights")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seconds", type=float, default=280, help="after which no run is begun")
    options = parser.parse_args(arguments)
    log = Log(options.out)
    start = time.monotonic()
    n_failed = 0
    with tempfile.TemporaryDirectory() as folder, use_log_level("warning"):
        sizes = QUICK if options.quick else Sizes()
        benchmark = Benchmark(options.device, sizes, log, Path(folder), start + options.seconds)
        for name in options.parts:
            title, run = PARTS[name]
            log.write(f"## {title}\n")
            begun = time.monotonic()
            with warnings.catch_warnings(record=True) as caught, show_bars(False):
                warnings.simplefilter("always")
                try:
                    if benchmark.is_late():
                        log.write("Left out: no time left.\n")
                    else:
                        run(benchmark)
                except Exception:
                    n_failed += 1
                    log.results[f"{name} failed"] = traceback.format_exc()
                    log.write(f"FAILED\n\n```\n{traceback.format_exc()}```\n")
            log.results[f"{name} warnings"] = sorted({str(w.message) for w in caught})
            log.write(f"({time.monotonic() - begun:.0f} s)\n")
    return n_failed


if __name__ == "__main__":
    sys.exit(main())
