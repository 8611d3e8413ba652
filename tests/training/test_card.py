"""The model card."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from builders import toy_recordings

from mne_wav2sleep import load_weights
from mne_wav2sleep.training import fine_tune
from mne_wav2sleep.training.card import write_card
from mne_wav2sleep.training.run import TrainingRun
from mne_wav2sleep.training.schedule import Schedule

pytestmark = toy_recordings


def test_the_card_describes_nights_settings_and_agreement(trained):
    card = (trained / "README.md").read_text()
    assert "| first | 2 | 2 |" in card or "| first | 1 | 1 |" in card
    for fact in ("learning_rate: 0.01", "ECG", "kappa", f"torch: {torch.__version__}"):
        assert fact in card
    assert "Initial weights: random" in card
    # Eight steps, in a tenth of which nothing can rise.
    assert "With these nights: 2 steps per pass; the learning rate falls by" in card
    assert "Comparison with the initial weights" not in card
    assert f'weights="{trained.name}"' in card


def test_the_card_compares_with_the_initial_weights(nights, trained, quick, tmp_path):
    settings = replace(quick, max_passes=1)
    folder = fine_tune(nights, tmp_path / "m", weights=trained, settings=settings)
    card = (folder / "README.md").read_text()
    assert f"Initial weights: {Path(trained).name}" in card
    assert "Trained parts: sequence_mixer, classifier" in card
    assert "## Comparison with the initial weights" in card
    assert "Mean gain by subject" in card
    assert "kappa before | kappa after | gain" in card


@pytest.mark.parametrize(
    ("keep", "use"),
    [("best", "used for early stopping, so that"), ("last", "not used to select the weights")],
)
def test_the_card_says_what_validation_nights_were_used_for(
    keep, use, nights, trained, quick, tmp_path
):
    run = TrainingRun(replace(quick, keep=keep), ("classifier",), None)
    weights = load_weights(trained)
    path = write_card(tmp_path, weights, nights[:2], nights[2:3], run, Schedule(2, 1, 50), None)
    assert use in path.read_text()
