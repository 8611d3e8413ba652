"""Provenance of a hypnogram."""

import datetime
import hashlib
import json

import pytest
import torch
from builders import toy_recordings, write_edf

from mne_wav2sleep import SleepStagerW2S
from mne_wav2sleep.staging.provenance import provenance_path, write_provenance

pytestmark = toy_recordings
RATES = {"ECG": 256.0, "Pleth": 64.0, "Abdo": 32.0, "Thor": 32.0}


def test_provenance_is_complete_and_ready_for_json(small_folder, tmp_path):
    edf_path = write_edf(tmp_path / "night.edf", RATES, 3600)
    stager = SleepStagerW2S(edf_path, weights=small_folder, verbose="error", ch_names={"THX": None})
    before = datetime.datetime.now(datetime.UTC)
    found = json.loads(json.dumps(stager.provenance()))
    tensors = (small_folder / "model.safetensors").read_bytes()
    assert found["weights"]["sha256"] == hashlib.sha256(tensors).hexdigest()
    assert found["weights"]["name"] == str(small_folder)
    assert found["recording"]["files"] == [str(edf_path)]
    assert found["recording"]["epochs"] == stager.predict().n_epochs
    assert set(found["channels"]) == set(stager.channels.index)
    for modality, row in stager.channels.iterrows():
        assert found["channels"][modality]["sfreq"] == row["sfreq"]
        assert found["channels"][modality]["epochs"] == {"measured": stager.predict().n_epochs}
    assert found["unscored_epochs"] == 0
    assert found["parameters"]["validity"]["epoch_share"] == 0.5
    assert found["versions"]["torch"] == torch.__version__
    assert abs(datetime.datetime.fromisoformat(found["time"]) - before).total_seconds() < 60


def test_provenance_is_written_beside_the_hypnogram(tmp_path):
    hypnogram = tmp_path / "night.json"
    path = write_provenance({"weights": {"name": "mini"}}, hypnogram)
    assert path == provenance_path(hypnogram)
    assert path.parent == tmp_path
    assert json.loads(path.read_text(encoding="utf-8")) == {"weights": {"name": "mini"}}
    with pytest.raises(FileExistsError):
        write_provenance({}, hypnogram)
    write_provenance({}, hypnogram, overwrite=True)
    assert json.loads(path.read_text(encoding="utf-8")) == {}
    assert list(tmp_path.iterdir()) == [path]
