import re

import pytest

from mne_wav2sleep import __version__


@pytest.mark.parametrize(
    "command",
    [
        *([name] for name in ("channels", "stage", "demo", "train", "fine-tune", "evaluate")),
        *([name] for name in ("cohort", "adapt", "derivatives")),
        ["sys-info"],
        ["dataset", "nsrr"],
        *(["weights", name] for name in ("list", "fetch", "path", "verify")),
        [],
        ["weights"],
        ["dataset"],
    ],
)
def test_help_fits_a_terminal_and_shows_an_example(command, invoke):
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    assert "Example: mne-wav2sleep" in " ".join(result.output.split())
    lines = result.output.splitlines()
    assert len(lines) <= 30
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("Usage: ")
    assert not any(line.endswith("...") for line in lines[1:])  # no text is truncated


@pytest.mark.parametrize("command", [[], ["weights"], ["dataset"]])
def test_a_group_without_a_command_shows_its_help(command, invoke):
    result = invoke(*command)
    assert result.exit_code == 2
    assert "Example: mne-wav2sleep" in result.output


def test_version_is_printed(invoke):
    result = invoke("--version")
    assert (result.exit_code, result.stdout.strip()) == (0, __version__)


def test_sys_info_is_printed(invoke):
    result = invoke("sys-info")
    assert result.exit_code == 0
    assert re.search(rf"mne-wav2sleep +{re.escape(__version__)}", result.stdout)
    assert "torch" in result.stdout
