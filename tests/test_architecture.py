"""The walls of the house: what a module may import."""

import ast
from pathlib import Path

import pytest

import mne_wav2sleep

ORDER = [
    "modalities",
    "cautions",
    "progress",
    "config",
    "channels",
    "signals",
    "edf",
    "output",
    "recording",
    "reading",
    "quality",
    "tensors",
    "model",
    "hypnogram",
    "uncertainty",
    "windows",
    "domain",
    "inference",
    "pipeline",
    "audit",
    "stage_names",
    "stages",
    "annotations",
    "figures",
    "epoch_figure",
    "report",
    "model_folder",
    "weights",
    "provenance",
    "staging",
    "simulation.subjects",
    "simulation.physiology",
    "simulation.beats",
    "simulation.waves",
    "simulation",
    "simulate",
    "demo",
    "training.nights",
    "training.table",
    "training.masking",
    "training.settings",
    "training.loading",
    "training.evaluate",
    "training.calibrate",
    "training.card",
    "training.fit",
    "training",
    "cli",
]
PACKAGE = Path(mne_wav2sleep.__file__).parent


def path_of(module):
    path = PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports_of(module):
    """Names of the modules that a module imports; our own as in ORDER, after a dot."""
    path = path_of(module)
    home = path.relative_to(PACKAGE).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = home[: len(home) - node.level + 1]
            name = ".".join([*base, *(node.module.split(".") if node.module else [])])
            # "from . import training" names the module itself.
            found |= {f".{name}"} if name else {f".{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
    return found


def test_every_module_has_its_place():
    found = {
        ".".join(p.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        for p in PACKAGE.rglob("*.py")
    }
    assert found == {*ORDER, "__init__"}


@pytest.mark.parametrize("module", ORDER)
def test_imports_run_one_way(module):
    found = imports_of(module)
    own = {name[1:] for name in found if name.startswith(".")}
    assert own <= set(ORDER[: ORDER.index(module)])
    assert "mne_wav2sleep" not in found  # an absolute import would pass unseen


@pytest.mark.parametrize(
    ("module", "foreign"),
    [
        ("model", {"mne", "numpy", "yasa", "pooch"}),
        ("config", {"mne", "numpy", "yasa", "pooch"}),
        ("signals", {"torch", "mne"}),
        *((m, {"pooch", "requests"}) for m in ORDER if m != "weights"),
        *((m, {"pytorch_lightning"}) for m in ORDER if not m.startswith("training")),
        *((m, {"torch"}) for m in ORDER if m.startswith("simul")),
    ],
)
def test_walls(module, foreign):
    assert not imports_of(module) & foreign
