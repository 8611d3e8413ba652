"""Measure staging many nights: python benchmarks/bench_cohort.py NIGHTS [--jobs 1 2].

NIGHTS is a folder (benchmarks/make_nights.py). For a loop over the stager and for each number of
jobs, in processes of their own and in turn: nights per hour with imports, the start of workers and
the overview; seconds per night from a sixth of the nights to the last, without them; and the peak
memory of the process and of all its workers together, sampled each 0.5 s (PSS, in which shared
pages count once): until a sixth of the nights are done, until all are, and with the overview.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

LOOP = """
import sys
from pathlib import Path
from mne_wav2sleep import SleepStagerW2S, load_weights, write_hypnogram
from mne_wav2sleep.cohorts import find_nights
from mne_wav2sleep.staging.provenance import write_provenance
folder, out, weights = sys.argv[1:4]
loaded = load_weights(weights, verbose="error")
out = Path(out)
(out / "rows").mkdir(parents=True)
for number, night in enumerate(find_nights(folder)):
    try:
        stager = SleepStagerW2S(night.recording, loaded, verbose="error")
        hyp, statistics = stager.predict(), stager.statistics()
        write_hypnogram(hyp, out / f"{number}.json")
        write_provenance(stager.provenance(), out / f"{number}.json")
    except (ValueError, OSError) as error:
        print(error)
    (out / "rows" / f"{number}.json").touch()
"""
COHORT = """
import sys
from mne_wav2sleep.cohorts import stage_cohort
folder, out, weights, jobs = sys.argv[1:5]
if __name__ == "__main__":
    stage_cohort(folder, out, weights=weights, n_jobs=int(jobs), verbose="error")
"""
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


def measure_memory(pid: int) -> float:
    """Measure the memory in MiB of a process and of all that descend from it."""
    total, todo = 0.0, [pid]
    while todo:
        one = todo.pop()
        try:
            for task in Path(f"/proc/{one}/task").iterdir():
                todo += [int(child) for child in (task / "children").read_text().split()]
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) / 1024
        except OSError:  # it has ended
            continue
    return total


def run(code: str, arguments: list[str], folder: Path, environment: dict[str, str]) -> dict:
    """Run code in a process, and measure it."""
    script = folder / "script.py"
    script.write_text(code)
    out = folder / "out"
    begin = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, script, arguments[0], out, *arguments[1:]],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
    )
    samples: list[tuple[int, float]] = []
    times: dict[int, float] = {}

    def watch() -> None:
        while process.poll() is None:
            done = len(list((out / "rows").glob("*.json"))) if out.exists() else 0
            times.setdefault(done, time.monotonic())
            samples.append((done, measure_memory(process.pid)))
            time.sleep(0.5)

    thread = threading.Thread(target=watch)
    thread.start()
    code_ = process.wait()
    thread.join()
    seconds = time.monotonic() - begin
    n_nights = len(list((out / "rows").glob("*.json")))
    sixth = max(memory for done, memory in samples if done <= n_nights / 6)
    later = [done for done in times if n_nights / 6 <= done <= n_nights]
    return {
        "exit code": code_,
        "nights": n_nights,
        "s": seconds,
        "s/night": (times[later[-1]] - times[later[0]]) / (later[-1] - later[0]),
        "peak MiB": max(memory for _, memory in samples),
        "peak MiB, staging": max(memory for done, memory in samples if done < n_nights),
        "peak MiB, first sixth": sixth,
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nights", type=Path)
    parser.add_argument("--weights", default="mini")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--runs", type=int, default=1)
    arguments = parser.parse_args()
    given = [str(arguments.nights.absolute()), arguments.weights]
    ways = {
        "loop over the stager, all threads": (LOOP, given, {}),
        "loop over the stager, one thread": (LOOP, given, ONE_THREAD),
        "1 job, one thread": (COHORT, [*given, "1"], ONE_THREAD),
    } | {
        f"{jobs} jobs" if jobs > 1 else "1 job": (COHORT, [*given, str(jobs)], {})
        for jobs in arguments.jobs
    }
    found: dict[str, list[dict]] = {name: [] for name in ways}
    for _ in range(arguments.runs):
        for name, (code, values, environment) in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                found[name].append(run(code, values, Path(folder), environment))
            print(
                name, {key: round(value, 1) for key, value in found[name][-1].items()}, flush=True
            )
    print(
        f"\n{'':36}{'s in all':>9}{'nights/h':>9}{'s/night':>9}{'first MiB':>10}{'all MiB':>9}"
        f"{'peak MiB':>9}{'10,000 nights':>15}"
    )
    for name, rows in found.items():
        whole, night, first, staging, peak = (
            statistics.median(row[what] for row in rows)
            for what in (
                *("s", "s/night"),
                *("peak MiB, first sixth", "peak MiB, staging", "peak MiB"),
            )
        )
        print(
            f"{name:36}{whole:9.1f}{3600 * rows[0]['nights'] / whole:9.0f}{night:9.2f}{first:10.0f}"
            f"{staging:9.0f}{peak:9.0f}{10_000 * night / 3600:13.1f} h"
        )


if __name__ == "__main__":
    main()
