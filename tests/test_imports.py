"""The package and its commands import what they need, when they need it."""

import importlib
import pkgutil
import subprocess
import sys

import pytest
from builders import make_raw

import mne_wav2sleep

HEAVY = ("torch", "mne", "yasa", "pandas", "scipy", "matplotlib", "sklearn", "pytorch_lightning")
LAZY = ["", "cohorts", "hypnograms", "network", "recordings", "reports", "signals"]
LAZY += ["simulation", "staging"]

COMMAND = """
import sys
from mne_wav2sleep.cli import main
sys.argv = ["mne-wav2sleep", *{arguments!r}]
try:
    main()
except SystemExit as error:
    code = error.code or 0
print(code, *sorted(set(sys.modules) & set({heavy!r})))
"""


def run(code):
    """Run code in a new process; give the last line that it prints."""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()[-1].split()


def run_command(*arguments):
    """Run a command in a new process; give its exit code and the packages that it imports."""
    code, *imported = run(COMMAND.format(arguments=list(map(str, arguments)), heavy=HEAVY))
    return int(code), set(imported)


def test_importing_the_package_imports_nothing_else():
    code = "import sys, mne_wav2sleep; mne_wav2sleep.cohorts, mne_wav2sleep.network\n"
    found = run(f"{code}print('none', *set(sys.modules) & set({HEAVY!r}))")
    assert found == ["none"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["stage", "--help"], 0),
        (["fine-tune", "--help"], 0),
        (["stage"], 2),
        (["stage", "night.edf", "--out", "night.png"], 2),
        (["stage", "night.edf", "--precision", "int8"], 2),
        (["stage", "night.edf", "--ch-name", "EKG"], 2),
        (["evaluate", "nights.csv", "--subsets", "some"], 2),
        (["fine-tune", "nights.csv", "model", "--n-stages", "five"], 2),
        (["derivatives", "staged"], 2),
        (["demos"], 2),
    ],
)
def test_help_and_wrong_options_are_answered_without_imports(arguments, code):
    assert run_command(*arguments) == (code, set())


def test_weights_are_listed_without_torch():
    code, imported = run_command("weights", "list")
    assert code == 0
    assert imported <= {"pandas"}


def test_channels_are_shown_without_torch(tmp_path):
    path = tmp_path / "night_raw.fif"
    make_raw(["EKG", "Thor"], seconds=60).save(path, verbose="error")
    code, imported = run_command("channels", path)
    assert code == 0
    assert not imported & {"torch", "yasa", "sklearn", "pytorch_lightning"}


@pytest.mark.parametrize("room", LAZY)
def test_every_public_name_is_there(room):
    module = importlib.import_module(f"mne_wav2sleep.{room}".rstrip("."))
    assert len(module.__all__) > 0
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) <= set(dir(module))


def test_no_submodule_has_the_name_of_a_public_function():
    """Importing the submodule would replace the function."""
    for room in LAZY:
        module = importlib.import_module(f"mne_wav2sleep.{room}".rstrip("."))
        own = {one.name for one in pkgutil.iter_modules(module.__path__)}
        rooms = {one.name for one in pkgutil.iter_modules(mne_wav2sleep.__path__) if one.ispkg}
        assert own & set(module.__all__) <= rooms


def test_loading_weights_does_not_import_a_compiler():
    """Torch would import it, and sympy, to draw a parameter on its device "meta"."""
    code = """
import sys
from mne_wav2sleep import load_weights
load_weights("mini", verbose="error")
print("none", *set(sys.modules) & {"sympy", "torch._dynamo", "requests"})
"""
    assert run(code) == ["none"]
