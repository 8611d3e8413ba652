from functools import partial

import pandas as pd
import pytest
import yasa
from builders import HOUR

from mne_wav2sleep import simulate_night

DEMO_FILES = [
    "agreement.png",
    "epochs.csv",
    "hypnogram.json",
    "hypnogram.json.provenance.json",
    "hypnogram.tsv",
    "night.png",
    "report.html",
]


@pytest.fixture
def demo(small_mini, monkeypatch, tmp_path, invoke):
    """The demo with a small network of random weights, on a simulated night of an hour."""
    monkeypatch.setattr(
        "mne_wav2sleep.cli.demo.simulate_night", partial(simulate_night, duration=HOUR, sfreq=64)
    )
    return lambda *options: invoke("demo", "--folder", tmp_path / "demo", *options)


def test_the_demo_stages_a_simulated_night(demo, tmp_path):
    result = demo("--seed", "3")
    assert result.exit_code == 0, result.output
    assert sorted(file.name for file in (tmp_path / "demo").iterdir()) == DEMO_FILES
    assert "against the simulated truth" in result.stdout
    assert "expert" not in result.stdout
    weights, short, errors = result.stderr.split("Warning: ")[1:]
    assert weights.startswith("The weights 'mini' were trained on")
    assert short.startswith("The recording lasts 1.0 h")
    assert "do not say how their errors go together" in errors  # the replaced weights
    hyp = yasa.Hypnogram.from_json(tmp_path / "demo" / "hypnogram.json")
    assert (hyp.n_epochs, hyp.scorer) == (120, "wav2sleep-mini")
    epochs = pd.read_csv(tmp_path / "demo" / "epochs.csv", index_col="Epoch")
    assert list(epochs) == ["clock", "WAKE", "LIGHT", "DEEP", "REM", "stage"]
    assert epochs["clock"].iloc[[0, 1]].tolist() == ["2000-01-01 22:30:00", "2000-01-01 22:30:30"]
    assert list(epochs["stage"]) == list(hyp.hypno)


def test_the_demo_stages_a_recording_without_a_date(demo, night, tmp_path):
    (tmp_path / "demo").mkdir()
    for name in DEMO_FILES:
        (tmp_path / "demo" / name).write_text("of a simulated night")
    provenance = tmp_path / "demo" / "hypnogram.json.provenance.json"
    provenance.write_text('{"recording": {"files": []}, "about": "of a simulated night"}')
    result = demo(night)
    assert result.exit_code == 0, result.output
    assert b"of a simulated night" not in b"".join(
        (tmp_path / "demo" / name).read_bytes() for name in DEMO_FILES[1:]
    )
    assert "truth" not in result.stdout
    assert sorted(file.name for file in (tmp_path / "demo").iterdir()) == DEMO_FILES[1:]
    assert "clock" not in pd.read_csv(tmp_path / "demo" / "epochs.csv")
    again = demo()
    assert again.exit_code == 1
    assert f"contains the results of {night}, which are not replaced" in again.stderr
    (tmp_path / "demo" / "report.html").unlink()  # so that it is no longer the folder of a demo
    assert "contains files that are not from an earlier demo" in demo().stderr
    assert demo(tmp_path / "none.edf").exit_code == 1
    assert demo("--seed", "three").exit_code == 2


def test_a_file_in_place_of_the_folder_is_refused(demo, tmp_path):
    (tmp_path / "demo").write_text("a file")
    result = demo()
    assert result.exit_code == 1
    assert "is a file, and results need a folder" in result.stderr
