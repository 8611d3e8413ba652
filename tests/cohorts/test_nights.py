"""Nights: what they read, and what they refuse."""

import pytest
from builders import START, make_hypnogram, make_raw, toy_recordings
from safetensors.numpy import load_file, save_file

from mne_wav2sleep.cohorts import Night, open_night, prepare_nights

pytestmark = toy_recordings


def prepare(folder, raw=None, hyp=None, **options):
    """Prepare one night of 20 epochs."""
    raw = make_raw(("ECG", "Thor"), seconds=600, start=START) if raw is None else raw
    hyp = make_hypnogram(20) if hyp is None else hyp
    return prepare_nights([Night(raw, hyp, "a", **options)], folder)[0]


def test_five_stages_fold_to_four_but_not_back(tmp_path):
    night = prepare(tmp_path)
    fold = {"WAKE": 0, "N1": 1, "N2": 1, "N3": 2, "REM": 3}
    expected = [fold[stage] for stage in night.read_hypnogram(5).hypno]
    assert night.read_stages(4).tolist() == expected
    four = prepare(tmp_path, hyp=make_hypnogram(20).consolidate_stages(4))
    assert four.read_stages(4).tolist() == expected
    with pytest.raises(ValueError, match=r"cohort/a.*scored with 4 stages, but the network has 5"):
        four.read_stages(5)


def test_a_night_without_the_networks_modalities_is_refused(tmp_path):
    night = prepare(tmp_path)
    night.check(["THX", "PPG"], 5)
    with pytest.raises(ValueError, match=r"has ECG, THX, but the network reads ABD, PPG\. Leave"):
        night.check(["ABD", "PPG"], 5)


def test_opened_nights_equal_prepared_ones(tmp_path):
    night = prepare(tmp_path, dataset="first", ch_names={"ECG": None})
    assert (night.modalities, night.n_epochs, night.n_stages) == (("THX",), 20, 5)
    assert (night.subject, night.dataset) == ("a", "first")
    assert open_night(str(night.path)) == night
    assert night.read_measured("THX").tolist() == [True] * 20
    assert night.read_signals(["THX"], 18, 5)["THX"].shape == (2 * 256,)  # the night ends there
    save_file(load_file(night.path), tmp_path / "other.safetensors")  # without the header
    with pytest.raises(ValueError, match="is not a prepared night, or is damaged"):
        open_night(tmp_path / "other.safetensors")


def test_a_night_has_a_subject_and_a_dataset():
    for wrong in (1, None):
        with pytest.raises(TypeError, match="subject must be an instance of str, got"):
            Night("a.edf", None, wrong)
    with pytest.raises(ValueError, match=r"subject must not be empty, got ' '\. Give each night"):
        Night("a.edf", None, " ")
    with pytest.raises(ValueError, match="dataset must not be empty, got ''"):
        Night("a.edf", None, "a", "")


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((5, None, "s"), {}, TypeError, "recording must be an instance of"),
        (("a.edf", 5, "s"), {}, TypeError, "hypnogram must be an instance of"),
        (("a.edf", None, "s"), {"ch_names": "ECG"}, TypeError, "ch_names must be a mapping"),
        (
            ("a.edf", None, "s"),
            {"ch_names": {"ecg": "EKG"}},
            ValueError,
            r"contains ecg, but networks read only ABD, .*\. Write 'ECG'\.",
        ),
        (
            ("a.edf", None, "s"),
            {"lights": ("x", "y")},
            ValueError,
            "Lights off is 'x', which is not a time",
        ),
        (("a.edf", None, "s"), {"lights": (None, [])}, TypeError, "Lights on is of type list"),
    ],
)
def test_what_cannot_be_part_of_a_night_is_refused(arguments, options, error, message):
    with pytest.raises(error, match=message):
        Night(*arguments, **options)


def test_names_of_nights_have_the_file(tmp_path):
    path = tmp_path / "night_raw.fif"
    raw = make_raw(("ECG",), seconds=60)
    assert Night(raw, None, "a", "first").name == "first/a"
    raw.save(path, verbose="error")
    assert Night(path, None, "a").name == Night(str(path), None, "a").name
    assert Night(path, None, "a").name == "cohort/a (night_raw.fif)"
