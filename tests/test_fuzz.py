"""Inputs that the fuzzer (tests/fuzz.py) has found, and valid files to check the targets."""

import pytest
from fuzz import DATA, STAGES, TARGETS, make_folder, make_seeds, run_clean


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("weights"))


@pytest.mark.parametrize("path", sorted(DATA.iterdir()), ids=lambda path: path.name)
def test_inputs_that_were_found_give_a_clear_error(path, weights, tmp_path):
    run_clean(path.name.split("-")[0], path.read_bytes(), tmp_path, weights)


def test_deep_nesting_gives_a_clear_error(weights, tmp_path):
    run_clean("config", b"\0" + b"[" * 100_000, tmp_path, weights)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.filterwarnings("ignore")
def test_valid_files_are_read(target, weights, tmp_path):
    for data in make_seeds(target, weights)[: None if target in STAGES else 1]:
        TARGETS[target](data, tmp_path, weights)
