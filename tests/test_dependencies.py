"""The lower bounds of the dependencies are the versions that CI tests."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(not (ROOT / ".ci").exists(), reason="not a checkout")
def test_ci_tests_the_lower_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["train"]]
    lines = (ROOT / ".ci" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    tested = [line.replace("==", " >= ") for line in lines if not line.startswith("#")]
    assert sorted(tested) == sorted(one for one in needed if not one.startswith("torch "))
