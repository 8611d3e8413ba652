"""The model card."""

import hashlib
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from builders import START, make_raw, toy_recordings

from mne_wav2sleep import SleepStagerW2S, load_weights, save_weights
from mne_wav2sleep.cohorts import Evaluation, evaluate
from mne_wav2sleep.network import BaseWeights
from mne_wav2sleep.network.registry import locate_bundled
from mne_wav2sleep.training import fine_tune
from mne_wav2sleep.training.card import _compare_kappas, _summarize_gains, write_card
from mne_wav2sleep.training.extension import Extension
from mne_wav2sleep.training.run import TrainingRun
from mne_wav2sleep.training.schedule import Schedule

pytestmark = [toy_recordings, pytest.mark.slow]
SUBSETS = list(load_weights("mini", verbose="error").calibration.temperatures)


def test_the_card_describes_nights_settings_and_agreement(trained):
    card = (trained / "README.md").read_text()
    assert "| training | first | 2 | 2 | 0.3 | ECG (2), THX (2) |" in card
    assert "| validation | first | 1 | 1 | 0.2 | ECG (1), THX (1) |" in card
    for fact in ("| learning_rate | 0.01 |", f"| torch | {torch.__version__} |"):
        assert fact in card
    sha256 = hashlib.sha256((trained / "model.safetensors").read_bytes()).hexdigest()
    assert f"SHA-256 of `model.safetensors`: {sha256}" in card
    assert "**Warning:**" not in card
    assert "Initial weights: random" in card
    # Eight steps, in a tenth of which nothing can rise.
    assert "With these nights: 2 steps per pass; the learning rate falls by" in card
    assert "Comparison with the initial weights" not in card
    assert f'weights="{trained.name}"' in card


def test_the_card_compares_with_the_initial_weights(nights, trained, quick, tmp_path):
    settings = replace(quick, max_passes=1)
    # As another lab may have it: without the list of nights, calibration and card.
    given = tmp_path / "given"
    given.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(trained / name, given)
    folder = fine_tune(nights, tmp_path / "m", weights=given, settings=settings)
    card = (folder / "README.md").read_text()
    sha256 = hashlib.sha256((trained / "model.safetensors").read_bytes()).hexdigest()
    assert f"Initial weights: given (SHA-256 {sha256})\n" in card
    assert "these weights" not in card  # nothing is known of their nights
    assert len(load_weights(folder).seen.training) == 4
    assert "Trained parts: sequence_mixer, classifier" in card
    assert "## Comparison with the initial weights" in card
    assert "Mean gain by subject" in card
    assert "kappa before | kappa after | gain" in card
    # Two subjects, of which an interval would be nonsense.
    gains = re.search(r"(\S+) \(2 subjects, too few for an interval\)\. .*: (.*)\.\n", card)
    values = [float(value) for value in gains[2].split(", ")]
    assert len(values) == 2
    assert values == sorted(values)
    assert float(gains[1]) == pytest.approx(np.mean(values), abs=2e-3)
    assert "bootstrap" not in card


def test_gains_are_those_of_people_whatever_the_spelling_of_their_names():
    def score(kappas):
        by_night = pd.DataFrame(
            {
                "dataset": ["a", "a", "a", "b"],
                "subset": "ECG",
                "night": [1, 2, 3, 4],
                "subject": ["p01", "P01 ", "p02", "p01"],
                "kappa": kappas,
            }
        )
        return Evaluation(pd.DataFrame(), by_night, {}, pd.DataFrame())

    text = _compare_kappas(score(0.5), score([0.6, 0.8, 0.4, 0.5]))
    # The two nights of p01 in dataset a, p02, and another p01 in dataset b.
    assert (
        "Mean gain by subject: 0.033 (3 subjects, too few for an interval). In ascending order: "
        "-0.100, 0.000, 0.200." in text
    )


def test_an_interval_needs_five_subjects():
    four = _summarize_gains(np.array([0.01, 0.02, 0.03, 0.04]))
    assert four == (
        "Mean gain by subject: 0.025 (4 subjects, too few for an interval). In ascending order: "
        "0.010, 0.020, 0.030, 0.040."
    )
    five = _summarize_gains(np.array([0.01, 0.02, 0.03, 0.04, 0.05]))
    interval = re.search(r"95% interval by bootstrap over 5 subjects: (\S+) to (\S+)\)", five)
    # The mean of five has a standard deviation of 0.0063.
    np.testing.assert_allclose([float(x) for x in interval.groups()], [0.0176, 0.0424], atol=0.002)
    many = _summarize_gains(np.linspace(0, 0.5, 101))
    assert many.endswith("In ascending order: 0.000 to 0.500, median 0.250.")
    assert "not defined" in _summarize_gains(np.array([]))


def test_what_is_handed_on_names_no_subject_recording_or_folder(
    make_nights, trained, quick, tmp_path
):
    names = ["Ada Lovelace", "Blaise Pascal", "Carl Gauss", "Dido Karthago"]
    nights = []
    for i, night in enumerate(make_nights(subjects=names)):
        path = tmp_path / "ward7" / f"mustermann{i}_raw.fif"
        path.parent.mkdir(exist_ok=True)
        night.recording.save(path, verbose="error")
        nights.append(replace(night, recording=path, dataset="a|b <i>"))
    settings = replace(quick, max_passes=1)
    with pytest.warns(RuntimeWarning, match="on 3 subjects"):
        folder = fine_tune(nights, tmp_path / "m", weights=trained, settings=settings)
    for name in ("README.md", "config.json", "calibration.json", "model.safetensors"):
        content = (folder / name).read_bytes()
        for secret in (
            *names,
            "Lovelace",
            "mustermann",
            "ward7",
            str(tmp_path),
            trained.parent.name,
        ):
            assert secret.encode() not in content, (name, secret)
    assert "| a\\|b &lt;i&gt; | 3 | 3 |" in (folder / "README.md").read_text()


def test_weights_know_what_they_were_fine_tuned_from(nights, quick, tmp_path):
    mini = load_weights("mini", verbose="error")
    settings = replace(quick, max_passes=1, averaging=0.0, crop=None)
    first = load_weights(
        fine_tune(nights, tmp_path / "first", weights="mini", settings=settings, verbose="error"),
        verbose="error",
    )
    # From memory, and from a folder that it was saved to.
    copy = save_weights(first, tmp_path / "copy")
    folder = fine_tune(
        nights, tmp_path / "second", weights=copy, settings=settings, verbose="error"
    )
    second = load_weights(folder, verbose="error")
    hashes = [
        hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()
        for path in (copy, locate_bundled("mini"))
    ]
    assert first.bases == (BaseWeights("mini", hashes[1]),)
    assert second.bases == (BaseWeights("copy", hashes[0]), BaseWeights("mini", hashes[1]))
    assert hashes[1] == mini.sha256
    assert second.caution == mini.caution
    card = (folder / "README.md").read_text()
    assert (
        f"- Initial weights: copy (SHA-256 {hashes[0]}), which were fine-tuned from mini (SHA-256 "
        f"{hashes[1]})\n" in card
    )
    assert f"> **Warning:** {mini.caution}" in card
    # What was measured on the validation nights, and what is mini's.
    assert "| ABD+THX | " in card
    origins = {subset: second.calibration.source(subset.split("+")).origin for subset in SUBSETS}
    assert set(origins.values()) == {"scored nights", "earlier calibration"}
    for subset, origin in origins.items():
        kept = second.calibration.temperatures[subset] == mini.calibration.temperatures[subset]
        assert kept == (origin == "earlier calibration"), subset
        place = {"scored nights": "validation nights"}.get(origin, "initial weights")
        assert re.search(rf"^\| {re.escape(subset)} \| \d\.\d\d \| {place} \|", card, re.M)
    n_nights = mini.calibration.n_nights
    assert f"(from the initial weights, fitted to {n_nights} nights)" in card
    stager = SleepStagerW2S(make_raw(("ECG",), seconds=600, start=START), folder, verbose="error")
    assert mini.caution in stager.cautions
    found = json.loads(json.dumps(stager.provenance()["weights"]))
    assert [base["sha256"] for base in found["bases"]] == hashes


@pytest.mark.parametrize(
    ("keep", "use"),
    [("best", "used for early stopping, so that"), ("last", "not used to select the weights")],
)
def test_the_card_says_what_validation_nights_were_used_for(
    keep, use, nights, trained, quick, tmp_path
):
    # Also without scores of the initial weights, whose new part is of no use before training.
    extension = Extension(("classifier",), (), "a head for 5 stages")
    run = TrainingRun(replace(quick, keep=keep), ("classifier",), (), extension=extension)
    weights = load_weights(trained)
    splits = {"training": nights[:2], "validation": nights}
    after = evaluate(nights, weights)
    signs = ["PPG was not learned."]
    path = write_card(tmp_path, weights, splits, run, Schedule(2, 1, 50), (None, after), signs)
    card = path.read_text()
    assert "> **Warning:** PPG was not learned.\n" in card
    assert use in card
    cautions = evaluate(nights, weights, subsets="recorded").cautions
    assert len(cautions) == 2
    for caution in cautions:
        assert card.count(f"> **Warning**, of the initial weights: {caution}\n") == 1
