"""Time and memory of a network on recordings of some length; each measurement is a process.

Run as a script, it reads measurements to make as lines of JSON, and writes what it found as such
lines. It imports little and starts no threads, so that processes can be forked from it, each with
the peak memory of its own work.
"""

import gc
import json
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter

from mne_wav2sleep.modalities import MODALITIES
from mne_wav2sleep.network.backends import Engine
from mne_wav2sleep.network.config import Wav2SleepConfig
from mne_wav2sleep.network.model import Wav2Sleep

_MB = 1e6
_MOST = 200
"""Most repeats of short work."""
_FEW_EPOCHS = 4
"""Epochs of a pass before memory is measured, which loads and compiles what all passes need."""

Windows = Sequence[tuple[int, int]]
_Make = Callable[[Wav2Sleep, Windows], Callable[[], object]]


def _prepare_mixer(network: Wav2Sleep, windows: Windows) -> Callable[[], object]:
    """Prepare the sequence mixer on the features of a recording."""
    features = torch.randn(1, windows[-1][1], network.config.feature_dim)
    network.eval()

    def mix() -> None:
        with torch.inference_mode():
            network.sequence_mixer(features)

    return mix


def _prepare_training(network: Wav2Sleep, windows: Windows) -> Callable[[], object]:
    """Prepare a training step of the sequence mixer, forward and backward."""
    features = torch.randn(1, windows[-1][1], network.config.feature_dim, requires_grad=True)
    network.train()

    def step() -> None:
        network.zero_grad()
        network.sequence_mixer(features).square().mean().backward()

    return step


def _prepare_network(network: Wav2Sleep, windows: Windows) -> Callable[[], object]:
    """Prepare the whole network on all its signals, window by window, as in staging."""
    rng = np.random.default_rng(0)
    signals = sorted(network.config.signals)
    sizes = {name: MODALITIES[name].samples_per_epoch for name in signals}
    x = {n: rng.standard_normal((1, windows[-1][1] * s), np.float32) for n, s in sizes.items()}
    engine = Engine(network, "cpu")

    def stage() -> list[torch.Tensor]:
        logits = []
        for first, last in windows:
            part = {name: x[name][:, first * s : last * s] for name, s in sizes.items()}
            found = engine.mix(engine.encode(part), {}, [tuple(signals)])
            logits.append(found[tuple(signals)])
        return logits

    return stage


PREPARE: Mapping[str, _Make] = {
    "mixer": _prepare_mixer,
    "training": _prepare_training,
    "network": _prepare_network,
    "staging": _prepare_network,
}
"""What is measured; ``network`` and ``staging`` differ in their windows."""
PARTS = tuple(PREPARE)
"""Names of what is measured."""


def _read_memory(name: str) -> float | None:
    """Read an entry of this process's memory in MB; None if the system has no such file."""
    try:
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) * 1024 / _MB for line in lines if line.startswith(name))


def read_peak() -> float:
    """Read the peak memory (RSS) of this process in MB."""
    peak = _read_memory("VmHWM")
    if peak is not None:
        return peak
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, else KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MB


def _start_peak() -> float:
    """Start to measure the peak memory anew if the system can do so; give the memory until now."""
    gc.collect()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    now = _read_memory("VmRSS")
    return read_peak() if now is None else now


def measure(
    config: Wav2SleepConfig,
    part: str,
    windows: Windows,
    n_threads: int,
    n_repeats: int,
    least_s: float,
) -> dict[str, float]:
    """Measure a part of a network with random weights in this process.

    Parameters
    ----------
    config : Wav2SleepConfig
        The architecture.
    part : str
        What is measured, one of :data:`PARTS`.
    windows : sequence of (int, int)
        First epoch of each window, and the one after its last. Only networks have several.
    n_threads : int
        Number of threads.
    n_repeats : int
        Number of repeats.
    least_s : float
        Work that took less in all, in s, is repeated more often, up to 200 times.

    Returns
    -------
    found : dict of str to float
        ``cpu_s`` and ``wall_s``, medians of the repeats; ``peak_mb``, the peak memory (RSS) of the
        process; ``memory_mb``, how much more that is than before the inputs were made; ``repeats``.
    """
    torch.set_num_threads(n_threads)
    torch.manual_seed(0)
    network = Wav2Sleep(config)
    prepare = PREPARE[part]
    prepare(network, [(0, _FEW_EPOCHS)])()
    before = _start_peak()
    work = prepare(network, windows)
    cpu_s, wall_s = [], []
    while len(wall_s) < n_repeats or (sum(wall_s) < least_s and len(wall_s) < _MOST):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        cpu_s.append(time.process_time() - cpu)
        wall_s.append(time.perf_counter() - wall)
    peak = read_peak()
    return {
        "cpu_s": round(statistics.median(cpu_s), 6),
        "wall_s": round(statistics.median(wall_s), 6),
        "memory_mb": round(max(peak - before, 0.0), 2),
        "peak_mb": round(peak, 1),
        "repeats": len(wall_s),
    }


def _send(sender: Connection, task: Mapping[str, Any]) -> None:
    """Measure, and send what was found."""
    config = TypeAdapter(Wav2SleepConfig).validate_json(json.dumps(task["config"]))
    windows = [(first, last) for first, last in task["windows"]]
    numbers = (task[name] for name in ("threads", "repeats", "least_s"))
    sender.send(measure(config, task["part"], windows, *numbers))


def main() -> int:
    """Make each measurement that is asked for, in a process of its own."""
    can_fork = sys.platform == "linux"  # which shares what was imported
    context: Any = multiprocessing.get_context("fork" if can_fork else "spawn")
    for line in sys.stdin:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_send, args=(sender, json.loads(line)))
        process.start()
        sender.close()
        try:
            found = receiver.recv()
        except EOFError:
            return 1
        finally:
            process.join()
        print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
