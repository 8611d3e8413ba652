"""Stochastic masking: probabilities and backups."""

import numpy as np
import pytest
from pydantic import ValidationError

from mne_wav2sleep import Modality, add_modality
from mne_wav2sleep.modalities import MODALITIES
from mne_wav2sleep.training import Masking


def test_masking_follows_its_probabilities():
    masking, rng, n = Masking(), np.random.default_rng(0), 10_000
    drop = {"ABD": 0.7, "THX": 0.7, "ECG": 0.5, "PPG": 0.1}
    for available, backups in (
        (("ABD", "ECG", "PPG", "THX"), ("ECG", "PPG")),
        (("ABD", "ECG", "THX"), ("ECG",)),
        (("ABD", "THX"), ("ABD", "THX")),
        (("PPG",), ("PPG",)),
    ):
        draws = [masking.draw(available, rng) for _ in range(n)]
        assert all(draws)
        nothing = np.prod([drop[name] for name in available])
        for name in available:
            p = 1 - drop[name] + nothing / len(backups) * (name in backups)
            found = np.mean([name in kept for kept in draws])
            assert abs(found - p) < 4 * np.sqrt(p * (1 - p) / n) + 1e-12, (available, name)
    signs = [masking.draw_sign("ECG", rng) for _ in range(n)]
    assert abs(np.mean(signs)) < 4 / np.sqrt(n)


def test_masking_that_is_off_changes_nothing():
    rng = np.random.default_rng(0)
    assert Masking.off().draw(["ECG", "ABD"], rng) == ["ABD", "ECG"]
    assert {Masking.off().draw_sign("ECG", rng) for _ in range(100)} == {1}


def test_only_signals_of_arbitrary_polarity_are_flipped():
    add_modality(Modality("ACT", "activity counts", 32, 1 / 60))
    add_modality(Modality("EEG", "one derivation", 4096, 70.0, is_invertible=True))
    always = Masking(flip=1.0)
    rng = np.random.default_rng(0)
    assert {name for name in MODALITIES if always.draw_sign(name, rng) == -1} == {
        *("ABD", "ECG", "EOG-L", "EOG-R", "PPG", "THX"),
        "EEG",
    }
    # The signs of the others are those that they would be if it were.
    names = ["ABD", "ACT", "ECG"] * 50
    numbers = np.random.default_rng(1).random(len(names))
    rng = np.random.default_rng(1)
    signs = [Masking().draw_sign(name, rng) for name in names]
    for name, number, sign in zip(names, numbers, signs, strict=True):
        assert sign == (-1 if number < 0.5 and name != "ACT" else 1)


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"drop": {"ECG": 2.0}}, "drop.ECG"),
        ({"drop": {"ECG": "0.5"}}, "drop.ECG"),
        ({"drop": {"EEG": 0.5}}, "drop"),
        ({"drop": [("ECG", 0.5)]}, "drop"),
        ({"backups": ("EKG",)}, "backups"),
        ({"backups": "ECG"}, "backups"),
        ({"flip": -0.1}, "flip"),
        ({"flip": True}, "flip"),
        ({"dropped": {}}, "dropped"),
    ],
)
def test_masking_is_checked_when_it_is_made(wrong, place):
    with pytest.raises(ValidationError, match=rf"(?m)^{place}$") as caught:
        Masking(**wrong)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name", ["drop", "backups"])
def test_a_name_that_is_not_a_modality_is_refused(name):
    with pytest.raises(ValueError, match=rf"{name}\n  Value error, EKG should be among ABD, ECG"):
        Masking(**{name: {"EKG": 0.5} if name == "drop" else ("ECG", "EKG")})


def test_backups_from_yaml_are_a_list():
    assert Masking(backups=["PPG"]) == Masking(backups=("PPG",))
