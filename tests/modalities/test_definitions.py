"""Definitions of modalities, which may be from files of others."""

import copy
import json
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from mne_wav2sleep import Modality, Vocabulary, add_modality, remove_modality
from mne_wav2sleep.modalities import (
    CARDIO_RESPIRATORY,
    MODALITIES,
    adding,
    choose_prepared,
    is_built_in,
    list_by_wave,
    read_modalities,
)

EEG = Modality("EEG", "one derivation", 4096, 70.0, Vocabulary(names=("c4", "c3")), in_volts=True)
PLAIN = {"name": "EEG", "description": "x", "samples_per_epoch": 4096, "lowest_sfreq": 70.0}


def test_a_definition_survives_json_and_pickle():
    actigraphy = Modality("ACT", "counts", 32, 1 / 60, flat_s=None, allowed_lookalikes=("a rate",))
    for one in (EEG, actigraphy, *MODALITIES.values()):
        assert Modality.from_dict(json.loads(json.dumps(one.to_dict()))) == one
        assert pickle.loads(pickle.dumps(one)) == one
    assert EEG.to_dict() == PLAIN | {
        "description": "one derivation",
        "vocabulary": {"names": ["c4", "c3"]},
        "in_volts": True,
    }


def test_a_copy_adds_nothing_and_a_pickle_adds_itself_elsewhere():
    assert copy.copy(EEG) is EEG
    assert copy.deepcopy(EEG) is EEG
    assert "EEG" not in MODALITIES
    code = (
        "import pickle, sys; from mne_wav2sleep.modalities import MODALITIES\n"
        "one = pickle.load(sys.stdin.buffer); print(MODALITIES['EEG'] is one)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(EEG), capture_output=True, check=True
    )
    assert done.stdout.strip() == b"True"


def test_a_name_has_one_definition():
    assert add_modality(EEG) is EEG
    assert add_modality(replace(EEG)) is EEG  # an equal one
    other = replace(EEG, samples_per_epoch=1024)
    message = r"EEG is known with another definition: samples_per_epoch differs \(1024, not 4096\)"
    with pytest.raises(ValueError, match=message):
        add_modality(other)
    with pytest.raises(ValueError, match="vocabulary differs"):
        add_modality(replace(EEG, vocabulary=Vocabulary(names=("c4",))))
    with pytest.raises(ValueError, match="PPG is built in with another definition"):
        add_modality(replace(MODALITIES["PPG"], lowest_sfreq=2.0))
    message = r"choose another name, or remove it with remove_modality\('EEG'\)\.$"
    with pytest.raises(ValueError, match=message):
        add_modality(other)
    with pytest.raises(TypeError, match="must be a Modality, got str"):
        add_modality("EEG")
    assert MODALITIES["EEG"] is EEG


def test_no_file_can_add_any_number():
    names = [f"X{i}" for i in range(64)]
    for name in names:
        add_modality(replace(EEG, name=name))
    with pytest.raises(ValueError, match="No more than 64 modalities can be added, so that EEG"):
        add_modality(EEG)
    remove_modality("X5")
    assert add_modality(EEG) is EEG


def test_a_cell_of_a_notebook_can_be_run_again():
    cell = "add_modality(Modality('EEG', 'x', 4096, 70.0, Vocabulary(names=('c4',))))"
    for _ in range(2):
        exec(cell, globals().copy())
    with pytest.raises(ValueError, match="remove_modality"):
        exec(cell.replace("4096", "1024"), globals().copy())
    remove_modality("EEG")
    assert "EEG" not in MODALITIES
    exec(cell.replace("4096", "1024"), globals().copy())
    assert MODALITIES["EEG"].samples_per_epoch == 1024


def test_only_added_modalities_can_be_removed():
    with pytest.raises(ValueError, match=r"'ECG' is built in. There is none to remove"):
        remove_modality("ECG")
    add_modality(EEG)
    with pytest.raises(ValueError, match=r"'ACT' was not added. Use one of EEG"):
        remove_modality("ACT")
    assert list(MODALITIES) == [*(one for one in MODALITIES if is_built_in(one)), "EEG"]
    assert len(MODALITIES) == 7


def test_files_are_read_in_several_threads():
    """One thread adds what another one finds, and which the first then refuses."""
    is_seen, is_read = threading.Event(), threading.Event()
    found = []

    def refuse():
        with pytest.raises(ValueError, match="broken"), adding([EEG]):  # noqa: PT012 (waits)
            found.append(("first", "EEG" in MODALITIES))
            is_seen.set()
            assert is_read.wait(20)
            raise ValueError("broken")

    def accept():
        assert is_seen.wait(20)
        found.append(("second", "EEG" in MODALITIES))
        with adding([replace(EEG)]):
            found.append(("second", "EEG" in MODALITIES))
        is_read.set()

    with ThreadPoolExecutor(2) as pool:
        for one in [pool.submit(refuse), pool.submit(accept)]:
            one.result(30)
    assert found == [("first", True), ("second", False), ("second", True)]
    assert MODALITIES["EEG"] == EEG


def test_of_two_files_that_differ_the_first_that_is_read_counts():
    other = replace(EEG, samples_per_epoch=1024)
    message = "b.json: The modality EEG is known with another definition"
    with pytest.raises(ValueError, match=message), adding([EEG], "b.json: "):  # noqa: PT012
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(add_modality, other).result(20) is other
        assert MODALITIES["EEG"] is EEG  # what is read is checked against its own definition
    assert MODALITIES["EEG"] is other


def test_threads_may_read_while_others_add_and_remove():
    ends = time.monotonic() + 0.3

    def change(name):
        while time.monotonic() < ends:
            add_modality(replace(EEG, name=name))
            assert name in MODALITIES
            remove_modality(name)

    def read():
        while time.monotonic() < ends:
            assert {name: one.name for name, one in MODALITIES.items()}["ECG"] == "ECG"
            assert list_by_wave(["breaths"]) == ("THX", "ABD")
            assert all(one.samples_per_epoch for one in MODALITIES.values())

    with ThreadPoolExecutor(6) as pool:
        for one in [pool.submit(change, f"X{i}") for i in range(4)] + [pool.submit(read)] * 2:
            one.result(20)
    assert all(map(is_built_in, MODALITIES))


def test_what_is_not_valid_after_all_is_not_added():
    with pytest.raises(ValueError, match="broken"), adding([EEG]):  # noqa: PT012 (what follows)
        assert "EEG" in MODALITIES
        with adding([replace(EEG, name="ACT")]):
            assert {"ACT", "EEG"} <= set(MODALITIES)
        raise ValueError("broken")
    assert "EEG" not in MODALITIES
    remove_modality("ACT")
    add_modality(EEG)
    other = replace(EEG, name="ACT"), replace(EEG, wave="pulses")
    message = "in the file: The modality EEG is known"
    with pytest.raises(ValueError, match=message), adding(other, "in the file: "):
        pass
    assert MODALITIES["EEG"] is EEG
    assert "ACT" not in MODALITIES


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "eeg"}, "must be capital letters"),
        ({"name": "E" * 17}, "16 at most"),
        ({"name": "A+B"}, "must be capital letters"),
        ({"name": "A.B"}, "must be capital letters"),
        ({"name": "../EEG"}, "must be capital letters"),
        ({"name": "REM"}, "not that of a stage"),
        ({"name": 1}, "must be capital letters"),
        ({"description": ""}, "must be a text on one line"),
        ({"description": "a\x1b[31m"}, "must be a text on one line"),
        ({"description": "a\nb"}, "must be a text on one line"),
        ({"description": "x" * 101}, "100 characters at most"),
        ({"samples_per_epoch": 1000}, "a power of two from 16 to 8192, got 1000"),
        ({"samples_per_epoch": 8}, "from 16"),
        ({"samples_per_epoch": 2**40}, "to 8192"),
        ({"samples_per_epoch": 4096.0}, r"got 4096\.0"),
        ({"samples_per_epoch": True}, "got True"),
        ({"lowest_sfreq": 0}, "lowest_sfreq of the modality EEG must be a number above 0"),
        ({"lowest_sfreq": float("nan")}, "got nan"),
        ({"lowest_sfreq": float("inf")}, "got inf"),
        ({"lowest_sfreq": None}, "got None. Give it in Hz"),
        ({"flat_s": -1}, "in seconds, or None"),
        ({"rail_s": "2"}, "got '2'"),
        ({"wave": "alpha"}, "one of beats, pulses, breaths or None, got 'alpha'"),
        ({"wave": ["beats"]}, "one of beats"),
        (
            {"wave": "beats", "lowest_sfreq": 4},
            r"above 5 Hz, .* of 4 Hz, a channel holds only those below 2 Hz\. Use a .* above 10 Hz",
        ),
        ({"wave": "beats", "lowest_sfreq": 10}, "Use a lowest_sfreq above 10 Hz, or None for"),
        ({"wave": "pulses", "lowest_sfreq": 1}, r"frequencies are above 0\.5 Hz"),
        ({"wave": "breaths", "lowest_sfreq": 0.1}, r"Use a lowest_sfreq above 0\.1 Hz"),
        ({"in_volts": 1}, "must be True or False, got 1"),
        ({"is_invertible": "yes"}, "is_invertible of the modality EEG must be True or False"),
        ({"allowed_lookalikes": ["x" * 101]}, "kinds of lookalikes"),
        ({"allowed_lookalikes": "another sensor"}, "must be a tuple of texts"),
        ({"vocabulary": []}, "a vocabulary should be a mapping, got a list"),
        ({"vocabulary": {"words": []}}, "a vocabulary has 'words', but takes names"),
        ({"vocabulary": {"names": ["C4"]}}, "has 'C4', but takes words in lower case"),
        ({"vocabulary": {"names": ["(a+)+$"]}}, "takes words in lower case"),
        ({"vocabulary": {"names": ["a  b"]}}, "single spaces"),
        ({"vocabulary": {"names": [""]}}, "takes words"),
        ({"vocabulary": {"names": ["x" * 61]}}, "60 characters at most"),
        ({"vocabulary": {"names": ["x"] * 501}}, "501 words, but 500 at most"),
        ({"vocabulary": {"names": [1]}}, "must be a tuple of texts"),
        ({"vocabulary": {"names": "c4"}}, "must be a tuple of texts"),
        ({"vocabulary": {"mne_types": ["EEG"]}}, "vocabulary.mne_types has 'EEG'"),
        ({"sfreq": 1}, "a modality has 'sfreq', but takes name, description"),
    ],
)
def test_definitions_of_others_are_checked(change, message):
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        Modality.from_dict(PLAIN | change)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=message):
        read_modalities([PLAIN | change])


def test_lists_of_definitions_are_checked():
    assert read_modalities([PLAIN], ["ECG", "EEG"])[0].name == "EEG"
    for data, names, message in (
        ({}, None, "should be a list of 16 definitions at most, got a dict"),
        ([PLAIN] * 17, None, "16 definitions at most, got 17"),
        ([PLAIN, PLAIN], None, "defines EEG twice"),
        ([PLAIN], ["ECG"], "defines EEG beside 'ECG'"),
        ([None], None, "a modality should be a mapping, got a NoneType"),
        ([{"name": "EEG"}], None, "a modality has no description"),
    ):
        with pytest.raises(ValueError, match=message):
            read_modalities(data, names)
    with pytest.raises(TypeError, match="must be a Vocabulary, got tuple"):
        Modality("EEG", "x", 4096, 70.0, ("c4",))


def test_signals_that_nights_are_prepared_with():
    add_modality(EEG)
    assert choose_prepared(None) == CARDIO_RESPIRATORY
    assert choose_prepared(["ECG"]) == CARDIO_RESPIRATORY  # for all networks that read some
    assert choose_prepared(["ECG", "EEG"]) == ("ABD", "ECG", "EEG", "PPG", "THX")
    assert choose_prepared(["EEG"]) == ("EEG",)
    assert choose_prepared(None, {"EOG-L": "E1", "XYZ": "a"}) == (
        "ABD",
        "ECG",
        "EOG-L",
        "PPG",
        "THX",
    )


def test_preferred_sensors_of_a_rate_come_first():
    assert list_by_wave(["beats", "pulses"]) == ("ECG", "PPG")
    assert list_by_wave(["breaths"]) == ("THX", "ABD")
    add_modality(replace(EEG, name="ABP", wave="pulses"))
    assert list_by_wave(["beats", "pulses"]) == ("ECG", "PPG", "ABP")
    assert not is_built_in("ABP")
