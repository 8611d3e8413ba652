"""Fixtures that the tests of the commands share."""

import pytest
from builders import make_raw
from typer.testing import CliRunner

from mne_wav2sleep.cli import app


@pytest.fixture(scope="session")
def invoke():
    """Run the command with arguments, in a terminal of 80 columns."""

    def run(*arguments):
        return CliRunner(env={"COLUMNS": "80"}).invoke(app, [str(a) for a in arguments])

    return run


@pytest.fixture(scope="session")
def night(tmp_path_factory):
    """A FIF file of an hour, with two ECG channels and a belt, and no PPG."""
    path = tmp_path_factory.mktemp("fif") / "night_raw.fif"
    make_raw(["EKG", "EKG2", "Thor"], types="eeg").save(path, verbose="error")
    return path


@pytest.fixture
def no_work(monkeypatch):
    """Fail if staging or the preparation of nights, which take long, begin."""

    def begin(*_, **__):
        raise AssertionError("the work has begun")

    monkeypatch.setattr("mne_wav2sleep.stager.SleepStagerW2S", begin)
    monkeypatch.setattr("mne_wav2sleep.cohorts.prepare_nights", begin)


@pytest.fixture
def small_mini(small_folder, monkeypatch):
    """Replace the bundled weights "mini" by a small network with random weights."""
    for module in ("download", "registry", "load"):
        monkeypatch.setattr(
            f"mne_wav2sleep.network.{module}.locate_bundled", lambda _: small_folder, raising=False
        )
    return small_folder
