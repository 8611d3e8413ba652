"""The rooms of the house: in which order they import each other, and the walls between them."""

import ast
import graphlib
from functools import cache
from pathlib import Path

import pytest

import mne_wav2sleep

PACKAGE = Path(mne_wav2sleep.__file__).parent
ROOMS = [
    "foundation",
    "formats",
    "output",
    "signals",
    "recordings",
    "network",
    "hypnograms",
    "staging",
    "reports",
    "stager",
    "simulation",
    "cohorts",
    "training",
    "cli",
]
"""A room imports only rooms before it."""
FOUNDATION = {
    "calibration",
    "cautions",
    "clock",
    "errors",
    "modalities",
    "showing",
    "progress",
    "system",
    "verbosity",
}
"""Small modules that every room uses."""
LONGEST_FILE = 420


def find_modules():
    """Dotted names of all modules, the package itself as an empty one -> files."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        .removesuffix("__init__")
        .rstrip("."): path
        for path in PACKAGE.rglob("*.py")
    }


def room_of(module):
    first = module.split(".")[0]
    return "foundation" if first in FOUNDATION else first


@cache
def find_imports(module):
    """Modules that a module imports when it is run: ours after a dot, others by their top level."""
    path = find_modules()[module]
    modules = find_modules()
    home = path.relative_to(PACKAGE).parent.parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = home[: len(home) - node.level + 1]
            name = ".".join([*base, *(node.module.split(".") if node.module else [])])
            for alias in node.names:
                inner = f"{name}.{alias.name}".lstrip(".")
                found.add(f".{inner if inner in modules else name}")
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
    return found


MODULES = sorted(set(find_modules()) - {""})


def find_rooms(module):
    """Rooms that a module imports, its own among them."""
    return {room_of(name[1:]) for name in find_imports(module) if name.startswith(".")}


def test_every_module_is_in_a_room():
    assert {room_of(module) for module in MODULES} == set(ROOMS)


@pytest.mark.parametrize("module", MODULES)
def test_rooms_import_only_rooms_before_them(module):
    allowed = ROOMS[: ROOMS.index(room_of(module)) + 1]
    assert find_rooms(module) <= set(allowed)
    assert "mne_wav2sleep" not in find_imports(module)  # an absolute import would pass unseen


def test_no_module_imports_itself_through_others():
    graph = {
        module: {name[1:] for name in find_imports(module) if name.startswith(".")} - {module}
        for module in MODULES
    }
    # An __init__ imports from its own room, whose modules do not import it.
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(
    ("room", "others"),
    [
        ("foundation", set()),
        ("formats", {"foundation"}),
        ("signals", {"foundation"}),
        ("recordings", {"foundation", "formats", "signals"}),
        ("network", {"foundation"}),
        ("hypnograms", {"foundation", "formats", "output"}),
        ("simulation", {"foundation"}),
    ],
)
def test_walls_between_rooms(room, others):
    for module in MODULES:
        if room_of(module) == room:
            assert find_rooms(module) <= {*others, room}, module


@pytest.mark.parametrize(
    ("package", "may"),
    [
        # Small modules wrap what network and signals need of MNE: its logger and its warnings.
        ("mne", lambda room, module: room not in {"network", "signals"}),
        ("yasa", lambda room, module: room not in {"network", "signals", "recordings", "formats"}),
        ("torch", lambda room, module: room not in {"signals", "recordings", "formats"}),
        ("pooch", lambda room, module: module == "network.download"),
        ("requests", lambda room, module: module == "network.download"),
        ("pytorch_lightning", lambda room, module: room == "training"),
        ("filelock", lambda room, module: module == "cohorts.locking"),
        ("typer", lambda room, module: room == "cli"),
    ],
)
def test_walls_around_libraries(package, may):
    using = {module for module in MODULES if package in find_imports(module)}
    assert using, f"nothing uses {package} any more"
    assert {module for module in using if not may(room_of(module), module)} == set()


def test_simulations_need_no_network():
    assert not [m for m in MODULES if room_of(m) == "simulation" and "torch" in find_imports(m)]


@pytest.mark.parametrize("module", MODULES)
def test_files_are_short(module):
    lines = find_modules()[module].read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST_FILE


@pytest.mark.parametrize("room", sorted({m.split(".")[0] for m in MODULES if "." in m}))
def test_a_room_says_what_goes_in_and_what_comes_out(room):
    text = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text("utf-8")))
    assert "In:" in text
    assert "Out:" in text
