"""A test draws the same random numbers whenever it is run: what fails once fails again."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
RANDOM = {"simulate_night": "seed", "simulate_hypnogram": "seed"}
"""Functions that draw anew in each call, unless they are given this keyword."""
GENERATORS = {"default_rng", "RandomState", "Random"}


def list_unseeded(code):
    """List the lines with calls that draw other random numbers in each run."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        keywords = {keyword.arg for keyword in node.keywords}
        is_seeded = RANDOM.get(name) in keywords or None in keywords  # or in **keywords
        if name in RANDOM and not is_seeded:
            found.append(node.lineno)
        if name in GENERATORS and not (node.args or node.keywords):
            found.append(node.lineno)
    return found


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda p: p.stem)
def test_random_numbers_have_a_seed(path):
    allowed = "simulate_night([" if path.stem == "test_night" else None  # that raises an error
    lines = path.read_text("utf-8").splitlines()
    unseeded = [
        n for n in list_unseeded("\n".join(lines)) if not (allowed and allowed in lines[n - 1])
    ]
    assert not unseeded, f"{path}: give a seed in lines {unseeded}"


@pytest.mark.parametrize(
    "code",
    ["simulate_night(duration=60)", "np.random.default_rng()", "yasa.simulate_hypnogram(tib=9)"],
)
def test_what_draws_anew_is_found(code):
    assert list_unseeded(code) == [1]


def test_what_is_seeded_is_not():
    code = "simulate_night(seed=1)\ndefault_rng(3)\nsimulate_night(**options)"
    assert not list_unseeded(code)
