"""The nights that weights have seen: written, read within limits, and found again."""

import json
from dataclasses import replace

import pytest

from mne_wav2sleep import WeightsError, load_weights, save_weights
from mne_wav2sleep.network.seen import SeenNights

ONE, TWO, THREE = ("0" * 15 + digit for digit in "123")
SEEN = SeenNights(training=((ONE, TWO),), validation=((THREE,),))


def test_seen_nights_are_kept_with_the_weights(small_folder, tmp_path):
    weights = load_weights(small_folder)
    assert not weights.seen
    folder = save_weights(replace(weights, seen=SEEN), tmp_path / "m")
    assert load_weights(folder).seen == SEEN
    # Other weights in the same folder have not seen them.
    save_weights(weights, folder)
    assert not load_weights(folder).seen
    assert not (save_weights(weights, tmp_path / "other") / "nights.json").exists()


def test_seen_nights_are_extended_in_any_order():
    found = SEEN.extend([(TWO, ONE), (THREE,)], [(ONE,), ()])
    assert found == SEEN.extend([(THREE,), (ONE, TWO)], [(), (ONE,)])
    assert found.training == ((ONE, TWO), (THREE,))
    assert found.validation == ((ONE,), (THREE,))


def test_nights_are_found_by_any_hash_they_have_in_common():
    nights = [(TWO, "f" * 16), (THREE,), ()]
    assert SEEN.find("training", nights) == [0]
    assert SEEN.find("validation", nights) == [1]
    assert SeenNights().find("training", nights) == []


@pytest.mark.parametrize("wrong", ["001", "Anna, born 1961", "A" * 16, "a" * 17, "a" * 16 + "\n"])
def test_nothing_but_hashes_is_kept(wrong):
    with pytest.raises(ValueError, match="night of training should be a list of hashes of 16"):
        SEEN.extend([(ONE, wrong)], [])
    with pytest.raises(ValueError, match="night of validation should be a list of hashes of 16"):
        SEEN.extend([], [(wrong,)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "it is not JSON"),
        ("\xff", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[]", "it should have the format"),
        ('{"format": "other"}', "it should have the format"),
        ({"validation": []}, "training should be a list of nights"),
        ({"training": [[]], "validation": []}, "each night of training should be a list of hashes"),
        ({"training": [], "validation": [["Anna, born 1961"]]}, "each night of validation should"),
        ({"training": [[ONE] * 1000], "validation": []}, "each night of training should be a"),
    ],
)
def test_a_list_that_is_none_is_refused(text, message, small_folder, tmp_path):
    folder = save_weights(load_weights(small_folder), tmp_path / "m")
    if isinstance(text, dict):
        text = json.dumps({"format": SEEN.to_json()["format"], **text})
    (folder / "nights.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(WeightsError, match=rf"nights\.json does not list nights.*{message}"):
        load_weights(folder)


def test_a_list_of_any_size_is_not_read(small_folder, tmp_path):
    folder = save_weights(load_weights(small_folder), tmp_path / "m")
    with (folder / "nights.json").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(WeightsError, match="at most"):
        load_weights(folder)
