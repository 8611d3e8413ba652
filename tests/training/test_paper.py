"""The paper's own model is trained with its architecture, its padding and its settings."""

import json
from dataclasses import replace

import pytest
from builders import toy_recordings

from mne_wav2sleep import load_weights
from mne_wav2sleep.network import Preprocessing, Wav2SleepConfig
from mne_wav2sleep.training import PAPER_TRAINING, fine_tune, fit, train

pytestmark = toy_recordings


def test_a_pooled_network_is_trained_with_its_padding(nights, tiny, quick, tmp_path):
    config = replace(tiny, encoder_downsampling="max_pool", sequence_norm="channels_last")
    settings = replace(quick, crop=None, max_passes=2)
    padding = Preprocessing(padded_epochs=25, padding="last")
    options = {"config": config, "preprocessing": padding, "settings": settings}
    folder = train(nights, tmp_path / "m", architecture="paper", **options)
    saved = json.loads((folder / "config.json").read_text())
    assert saved["preprocessing"] == {"padded_epochs": 25, "padding": "last"}
    weights = load_weights(folder)
    assert weights.config == config
    names = weights.network.state_dict()
    assert "sequence_mixer.dilated_convs.0.conv_layers.0.norm.norm.weight" in names
    tuned = fine_tune(nights, tmp_path / "tuned", weights=weights, settings=settings)
    assert load_weights(tuned).preprocessing == padding


def test_the_paper_is_trained_as_it_was_by_default(nights, tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(fit, "train_in_folder", lambda *args: begun.append(args))
    train(nights, tmp_path / "m", architecture="paper")
    start, _, _, run = begun[0]
    assert (start.config, start.preprocessing) == (
        Wav2SleepConfig.of_paper(),
        Preprocessing.of_paper(),
    )
    assert run.settings == PAPER_TRAINING
    assert PAPER_TRAINING.clip == 0  # no limit
    with pytest.raises(ValueError, match=r"'architecture' parameter\. Allowed values are"):
        train(nights, tmp_path / "m", architecture="original")
