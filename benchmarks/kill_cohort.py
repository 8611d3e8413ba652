"""Kill a run of a cohort at random moments: python benchmarks/kill_cohort.py NIGHTS --out DIR.

A folder of nights (benchmarks/make_nights.py) is staged whole, then once more with `kill -9` at
random moments and started again each time, and all files of the two are compared byte for byte,
apart from times. Then it is started once more, which must not change a file.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

RUN = "from mne_wav2sleep.cli import main; main()"


def read_files(folder: Path) -> dict[str, bytes]:
    """Read all files but the log, without the times in them."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in ("log.txt", ".lock"):
            content = path.read_bytes()
            if path.name.endswith(".provenance.json"):
                values = json.loads(content)
                del values["time"]
                content = json.dumps(values).encode()
            elif path.name == "report.html":  # mne.Report writes when it was made
                content = re.sub(rb"Created on [-0-9: ]+", b"", content)
            found[path.relative_to(folder).as_posix()] = content
    return found


def start(nights: Path, folder: Path, arguments: argparse.Namespace) -> subprocess.Popen:
    """Start the command, with the name of the folder the same in all runs."""
    command = [sys.executable, "-c", RUN, "cohort", nights, "--out", folder]
    command += ["--weights", arguments.weights, "--jobs", str(arguments.jobs)]
    log = (folder.parent / "messages.txt").open("a")
    return subprocess.Popen(command, stdout=log, stderr=log)


def count_rows(folder: Path) -> int:
    """Count the nights that are complete."""
    return len(list((folder / "rows").glob("*.json")))


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nights", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", default="mini")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    whole, killed = arguments.out / "whole" / "cohort", arguments.out / "killed" / "cohort"
    for folder in (whole, killed):
        folder.parent.mkdir(parents=True)

    begin = time.monotonic()
    if start(arguments.nights, whole, arguments).wait() != 0:
        raise SystemExit("The whole run failed; see messages.txt.")
    duration = time.monotonic() - begin
    print(f"whole: {count_rows(whole)} nights in {duration:.0f} s", flush=True)

    rng = random.Random(arguments.seed)
    for number in range(1, arguments.kills + 1):
        run = start(arguments.nights, killed, arguments)
        delay = rng.uniform(0.2, 1.2) * duration / arguments.kills
        time.sleep(delay)
        before = run.poll()
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        state = "running" if before is None else f"over (exit code {before})"
        print(
            f"kill {number}: after {delay:.1f} s, {state}, {count_rows(killed)} nights complete",
            flush=True,
        )
    code = start(arguments.nights, killed, arguments).wait()
    print(f"last start: exit code {code}, {count_rows(killed)} nights complete")

    one, other = read_files(whole), read_files(killed)
    lost = sorted(set(one) - set(other))
    more = sorted(set(other) - set(one))
    different = sorted(name for name in set(one) & set(other) if one[name] != other[name])
    print(f"{len(one)} files; lost {lost}, more {more}, different {different}")

    log = (killed / "log.txt").read_text(encoding="utf-8").splitlines()
    staged = [line.split(" ", 2)[2] for line in log if line.endswith(": staged")]
    twice = sorted({line for line in staged if staged.count(line) > 1})
    print(f"{len(staged)} nights reported as staged, {len(twice)} of them twice")

    times = {path: path.stat().st_mtime_ns for path in (killed / "rows").iterdir()}
    begin = time.monotonic()
    start(arguments.nights, killed, arguments).wait()
    changed = [path.name for path, then in times.items() if path.stat().st_mtime_ns != then]
    print(f"second start: {time.monotonic() - begin:.1f} s, {len(changed)} nights staged again")
    if lost or more or different or changed or code:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
