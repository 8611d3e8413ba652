"""The walls of the house: what a module may import."""

import ast
from pathlib import Path

import pytest

import mne_wav2sleep

ORDER = [
    "modalities",
    "channels",
    "signals",
    "recording",
    "tensors",
    "model",
    "hypnogram",
    "model_folder",
    "weights",
    "staging",
    "subjects",
    "physiology",
    "beats",
    "waves",
    "simulate",
    "stages",
    "cli",
]
PACKAGE = Path(mne_wav2sleep.__file__).parent


def imports_of(module):
    """Names of the modules that a module imports: "." marks our own."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {"." * node.level + name.split(".")[0] for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
    return found


def test_every_module_has_its_place():
    assert {p.stem for p in PACKAGE.glob("*.py")} == {*ORDER, "__init__"}


@pytest.mark.parametrize("module", ORDER)
def test_imports_run_one_way(module):
    assert "mne_wav2sleep" not in imports_of(module)  # our own are imported relatively
    own = {name[1:] for name in imports_of(module) if name.startswith(".")}
    optional = {"training"} if module == "cli" else set()
    assert own - optional <= set(ORDER[: ORDER.index(module)])


@pytest.mark.parametrize(
    ("module", "foreign"),
    [
        ("model", {"mne", "numpy", "yasa", "pooch"}),
        ("signals", {"torch", "mne"}),
        *((m, {"pooch", "requests"}) for m in ORDER if m != "weights"),
    ],
)
def test_walls(module, foreign):
    assert not imports_of(module) & foreign
