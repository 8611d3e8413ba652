"""What the README says to type, works."""

import re
import shutil
import webbrowser
from pathlib import Path

import mne
import numpy as np
import pytest

from mne_wav2sleep import SleepStagerW2S, simulate_night

README = Path(__file__).parents[1] / "README.md"
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def read_blocks(language="python"):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def write_profusion(raw, path):
    """A scorer's file: the stages of a simulated night by Rechtschaffen and Kales' numbers."""
    numbers = {"Sleep stage W": 0, "Sleep stage N1": 1, "Sleep stage N2": 2, "Sleep stage N3": 3}
    stages = "".join(
        f"<SleepStage>{numbers.get(a['description'], 5)}</SleepStage>"
        for a in raw.annotations
        if a["description"].startswith("Sleep stage")
        for _ in range(round(a["duration"] / 30))
    )
    path.write_text(
        f"<CMPStudyConfig><EpochLength>30</EpochLength><SleepStages>{stages}</SleepStages>"
        "</CMPStudyConfig>"
    )


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(webbrowser, "open_new_tab", lambda *_: None)  # nobody looks
    return tmp_path


def test_the_lines_of_python_run_as_they_are(here):
    first, make, second, many, _ = read_blocks()
    assert "8 * 3600" in make
    scope = {}
    exec(make.replace("8 * 3600", "3600"), scope)
    assert sum(line.strip() != "" for line in first.splitlines()) <= 10
    exec(first, scope)
    assert scope["hyp"].n_epochs == 120
    assert (here / "night.png").stat().st_size > 10_000
    assert "Methods, to paste" in (here / "night.html").read_text(encoding="utf-8")
    exec(second, scope)
    assert "Sleep stage W" in set(scope["raw"].annotations.description)
    assert list(scope["stager"].channels.index) == ["ABD", "ECG", "THX"]
    (here / "recordings").mkdir()
    shutil.copy("night.edf", "recordings")
    exec(many, scope)
    assert scope["cohort"].table["status"].to_dict() == {"night": "staged"}
    assert scope["hyp"].n_epochs == 120


def test_the_lines_that_train_run_as_they_are(here):
    for i, name in enumerate(("p01", "p02", "p03")):
        raw = simulate_night(duration=1800, sfreq=32, seed=i, verbose="error")
        write_profusion(raw, here / f"{name}.xml")
        raw.set_annotations(None)
        raw.export(here / f"{name}.edf", physical_range="channelwise", verbose="error")
    # The released weights cannot be had in a test.
    block = read_blocks()[4].replace('weights="wav2sleep"', 'weights="mini"')
    scope = {}
    exec(block, scope)
    hyp = SleepStagerW2S("p03.edf", weights=scope["folder"], verbose="error").predict()
    assert hyp.n_epochs == 60
    assert np.isfinite(mne.io.read_raw("p03.edf", verbose="error").get_data()).all()


def test_every_command_that_the_readme_names_exists():
    from typer.testing import CliRunner

    from mne_wav2sleep.cli import app

    text = README.read_text(encoding="utf-8")
    commands = {
        tuple(found.split()) for found in re.findall(r"mne-wav2sleep ([a-z-]+(?: [a-z-]+)?)", text)
    }
    assert {("demo",), ("weights", "fetch")} <= {
        c[:2] if c[0] == "weights" else c[:1] for c in commands
    }
    for command in {c[:2] if c[0] == "weights" else c[:1] for c in commands}:
        assert CliRunner().invoke(app, [*command, "--help"]).exit_code == 0, command


def test_every_option_of_fine_tuning_that_its_page_names_exists():
    from typer.main import get_command

    from mne_wav2sleep.cli import app

    text = (README.parent / "docs" / "fine_tuning.md").read_text(encoding="utf-8")
    commands = get_command(app).commands
    known = {option for c in commands.values() for one in c.params for option in one.opts}
    used = set(re.findall("`(--[a-z-]+)", text))
    for name, rest in re.findall("^mne-wav2sleep ([a-z-]+)(.*)$", text, re.MULTILINE):
        options = {option for one in commands[name].params for option in one.opts}
        assert set(re.findall(" (--[a-z-]+)", rest)) <= options, name
    assert {"--trainable", "--validation", "--confusion"} <= used <= known


def test_what_the_page_on_reproducing_says_to_type_exists():
    from typer.main import get_command

    from mne_wav2sleep.cli import app

    path = README.parent / "docs" / "reproduce.md"
    text = path.read_text(encoding="utf-8")
    found = re.findall("mne-wav2sleep (dataset nsrr|[a-z-]+) ([^`\n]*--.*)$", text, re.MULTILINE)
    names = ["dataset nsrr", "write-config", "train", "train", "train", "evaluate"]
    assert [name for name, _ in found] == names
    for name, rest in found:
        command = get_command(app)
        for word in name.split():
            command = command.commands[word]
        options = {option for one in command.params for option in one.opts}
        typed = rest.partition("`")[0]
        assert set(re.findall(" (--[a-z-]+)", f" {typed}")) <= options, name


def test_every_file_that_the_readme_links_to_exists():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / target).exists(), target
