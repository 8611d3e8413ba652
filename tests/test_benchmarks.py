"""The benchmark of a GPU runs where there is none, so that it is ready when one can be had."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
@pytest.mark.skipif(not FOLDER.exists(), reason="not a checkout")
def test_the_gpu_benchmark_runs_on_a_cpu(tmp_path):
    # As a script, as it is run: its jobs are pickled for processes that may know no folder of ours.
    parts = ["machine", "golden", "agreement", "memory", "speed", "training", "staging"]
    options = ["--device", "cpu", "--quick", "--out", tmp_path, "--parts", *parts]
    command = [sys.executable, FOLDER / "gpu.py", *map(str, options)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert max(row["from the original network"] for row in found["golden"][:3]) < 2e-4
    assert {row["equal stages, all signals"] for row in found["agreement"][:3]} == {"100 % of 30"}
    assert all(row["nights/s"] > 0 for row in found["speed"])
    assert [row["run"] for row in found["training"]] == ["train", "fine_tune", "train"]
    assert all(0.5 < row["loss"] < 3 and not row["error"] for row in found["training"])
