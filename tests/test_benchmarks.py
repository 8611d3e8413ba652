"""The benchmark of a GPU runs where there is none, so that it is ready when one can be had."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
@pytest.mark.skipif(not FOLDER.exists(), reason="not a checkout")
def test_the_gpu_benchmark_runs_on_a_cpu(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    spec = importlib.util.spec_from_file_location("gpu", FOLDER / "gpu.py")
    monkeypatch.setitem(sys.modules, "gpu", gpu := importlib.util.module_from_spec(spec))
    spec.loader.exec_module(gpu)
    parts = ["machine", "golden", "agreement", "memory", "speed", "training", "staging"]
    options = ["--device", "cpu", "--quick", "--out", str(tmp_path), "--parts", *parts]
    assert gpu.main(options) == 0, (tmp_path / "gpu.md").read_text(encoding="utf-8")
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert max(row["from the original network"] for row in found["golden"][:3]) < 2e-4
    assert {row["equal stages, all signals"] for row in found["agreement"][:3]} == {"100 % of 30"}
    assert all(row["nights/s"] > 0 for row in found["speed"])
    assert [row["run"] for row in found["training"]] == ["train", "fine_tune", "train"]
    assert all(0.5 < row["loss"] < 3 and not row["error"] for row in found["training"])
