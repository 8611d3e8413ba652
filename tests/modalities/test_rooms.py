"""Adding a modality changes no file of the rooms that read, prepare and stage signals."""

import ast
import json
import re
from pathlib import Path

import pytest

import mne_wav2sleep
from mne_wav2sleep import load_weights, save_weights
from mne_wav2sleep.modalities import MODALITIES

PACKAGE = Path(mne_wav2sleep.__file__).parent
NAMES = re.compile(rf"\b({'|'.join(map(re.escape, MODALITIES))}|EOG)\b")
EXAMPLES = {
    # A message that shows how to write the argument.
    "recordings/labels.py": {
        "ch_names must be a mapping of modalities to channels, such as {'ECG': 'EKG'}, got "
    },
}
"""Texts that name a modality as an example."""


def find_names(path):
    """Texts of a module, but for docstrings, in which a modality is named."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    explained = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for one in body if isinstance(body, list) else []:
            # Docstrings, also those of constants.
            if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant):
                explained.add(one.value)
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node not in explained
        and NAMES.search(node.value)
    }


@pytest.mark.parametrize("room", ["recordings", "signals", "staging", "formats"])
def test_no_modality_is_named_where_it_could_be_data(room):
    files = sorted((PACKAGE / room).glob("*.py"))
    assert len(files) > 3
    for path in files:
        name = path.relative_to(PACKAGE).as_posix()
        assert find_names(path) == EXAMPLES.get(name, set()), name


def test_the_search_finds_names(tmp_path):
    (tmp_path / "a.py").write_text('"""ECG"""\nX = {"PPG": 1}\n"""THX"""\ny = f"{X} of ABD"\n')
    assert find_names(tmp_path / "a.py") == {"PPG", " of ABD"}


def test_configs_of_built_in_modalities_are_as_before(tmp_path):
    before = json.loads((PACKAGE / "data" / "mini" / "config.json").read_text("utf-8"))
    save_weights(load_weights("mini", verbose="error"), tmp_path)
    after = json.loads((tmp_path / "config.json").read_text("utf-8"))
    assert list(after) == list(before)  # no definitions
    assert all(after["model"][name] == value for name, value in before["model"].items())
