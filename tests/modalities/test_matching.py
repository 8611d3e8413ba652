"""Added modalities are matched by their words, and change nothing for the others."""

import csv
import warnings
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest
import torch
from builders import DATA, make_raw

from mne_wav2sleep import (
    Modality,
    Validity,
    Vocabulary,
    add_modality,
    match_channels,
    remove_modality,
)
from mne_wav2sleep.cohorts import Night
from mne_wav2sleep.modalities import CARDIO_RESPIRATORY, MODALITIES
from mne_wav2sleep.network import Wav2Sleep, Wav2SleepConfig
from mne_wav2sleep.network.backends import Engine
from mne_wav2sleep.recordings.labels import find_modality
from mne_wav2sleep.signals import Reason
from mne_wav2sleep.signals.beats import COLUMNS, find_beats
from mne_wav2sleep.signals.hum import find_hum
from mne_wav2sleep.signals.quality import find_bursts, find_doubts
from mne_wav2sleep.signals.validity import Signal, find_invalid

EEG = Modality(
    "EEG",
    "one derivation",
    4096,
    70.0,
    Vocabulary(
        # "ecg" is a name of a built-in modality as well, which comes first.
        names=("c4", "c3", "f4", "fpz", "ecg"),
        mne_types=("eeg", "ecg", "resp"),
        labels=("eeg sec",),
        preferred=("c4", "c3"),
    ),
    is_difference=True,
)
ACT = Modality(
    "ACT",
    "activity counts",
    32,
    1 / 60,
    Vocabulary(names=("activity",), mne_types=("misc", "gsr")),
    flat_s=None,
    allowed_lookalikes=("another sensor",),
)


@pytest.fixture
def added():
    return [add_modality(EEG), add_modality(ACT)]


def read_montages():
    """Source -> labels of all data sets and systems that are known."""
    montages = {}
    with Path(DATA / "channel_labels.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            montages.setdefault(row["source"], {})[row["label"]] = None
    return montages


def make_info(labels, types="eeg"):
    info = mne.create_info(list(labels), 100.0, types)
    return mne.io.RawArray(np.zeros((len(labels), 10)), info, verbose="error")


@pytest.mark.parametrize(
    ("label", "modality"),
    [
        ("C4-M1", "EEG"),
        ("EEG C4-A1", "EEG"),
        ("C4M1", "EEG"),
        ("EEG Fpz-Cz", "EEG"),
        ("EEG(sec)", "EEG"),
        ("Activity", "ACT"),
        ("ECG", "ECG"),
        ("E1-M2", "EOG-L"),
        ("C4 Impedance", None),
        ("Flow", None),
    ],
)
def test_labels(added, label, modality):
    assert find_modality(label, tuple(added)) == modality


def test_labels_of_all_data_sets_are_matched_as_before():
    montages = read_montages()
    assert sum(map(len, montages.values())) > 1000

    def match(kind, names=CARDIO_RESPIRATORY):
        """Map each montage: what is used, or the error, and the warnings."""
        found = {}
        for source, labels in montages.items():
            with warnings.catch_warnings(record=True) as cautions:
                warnings.simplefilter("always")
                try:
                    table = match_channels(make_info(labels, kind), modalities=sorted(names))
                    found[source] = table.to_dict("index")
                except ValueError as error:
                    found[source] = {"error": str(error)}
            found[source]["cautions"] = [str(one.message) for one in cautions]
        return found

    kinds = ("eeg", "ecg", "resp", "misc")
    before = [match(kind) for kind in kinds]
    assert sum("ECG" in one for one in before[0].values()) > 20
    add_modality(EEG)
    add_modality(ACT)
    assert [match(kind) for kind in kinds] == before
    # Neither are they by a network that reads all of them.
    for kind, old in zip(kinds, before, strict=True):
        new = match(kind, (*CARDIO_RESPIRATORY, "EEG", "ACT"))
        for source, one in old.items():
            for name in set(one) & set(CARDIO_RESPIRATORY):
                assert new[source][name] == one[name]


def test_warnings_are_those_of_before(added):
    raw = make_info(["Thor", "C4-M1", "Activity"])
    with pytest.warns(RuntimeWarning, match="If one of 'C4-M1' is such a channel"):
        match_channels(raw)
    with pytest.warns(RuntimeWarning, match="'Activity' looks like another sensor"):
        match_channels(raw, ch_names={"ECG": "Activity", "PPG": None})


def test_the_preferred_derivation_is_used(added):
    raw = make_info(["ECG", "F4-M1", "EEG C3-M2", "EEG C4-M1", "EEG(sec)"])
    found = match_channels(raw, modalities=("ECG", "EEG"))
    assert found["channel"].to_dict() == {"ECG": "ECG", "EEG": "EEG C4-M1"}
    assert found.loc["EEG", "alternatives"] == ["EEG C3-M2", "F4-M1", "EEG(sec)"]
    # Labels alone: the type "eeg" is that of any channel of an EDF file.
    with pytest.raises(ValueError, match=r"No channel for EEG was recognized"):
        match_channels(make_info(["ECG", "Var"]), modalities=("EEG",))


def test_a_type_of_its_own_identifies_a_channel(added):
    raw = make_info(["ECG", "W"], ["ecg", "gsr"])
    found = match_channels(raw, modalities=("ACT", "ECG", "EEG"))
    assert found["channel"].to_dict() == {"ACT": "W", "ECG": "ECG"}


def test_a_channel_of_a_signal_that_is_not_defined():
    with pytest.raises(ValueError, match="or define the signal first with add_modality"):
        Night("a.edf", None, "a", ch_names={"EEG": "C4"})
    with pytest.raises(ValueError, match="Write 'ECG'"):
        Night("a.edf", None, "a", ch_names={"ecg": "C4"})
    add_modality(EEG)
    assert Night("a.edf", None, "a", ch_names={"EEG": "C4"}).ch_names == {"EEG": "C4"}
    with pytest.raises(ValueError, match="or use other weights"):
        match_channels(make_info(["ECG", "C4"]), ch_names={"EEG": "C4"})


def test_weights_are_loaded_again_if_a_definition_changes():
    sizes = {"feature_dim": 8, "initial_channels": 2, "max_channels": 4, "mixer_heads": 2}
    eeg = add_modality(replace(EEG, vocabulary=Vocabulary(names=("c4",))))
    network = Wav2Sleep(Wav2SleepConfig(signals={"EEG": "EEG"}, **sizes)).eval()
    engine = Engine(network, "cpu")
    x = {"EEG": np.zeros((1, 4 * 4096), dtype=np.float32)}
    assert engine.encode(x)["EEG"].shape == (1, 4, 8)
    uses = (
        lambda: engine.encode(x),
        lambda: Engine(network, "cpu"),
        lambda: network({"EEG": torch.from_numpy(x["EEG"])}),
    )
    remove_modality("EEG")
    for use in uses:
        with pytest.raises(ValueError, match="4096 samples per epoch, but EEG was removed"):
            use()
    add_modality(replace(eeg, samples_per_epoch=1024))
    for use in uses:
        with pytest.raises(ValueError, match=r"EEG now has 1024\. Call remove_modality\('EEG'\)"):
            use()
    remove_modality("EEG")
    add_modality(eeg)
    for use in uses:
        use()


def test_named_channels(added):
    raw = make_info(["ECG", "C4", "M1", "Accel"])
    names = {"EEG": ("C4", "M1"), "ACT": "Accel"}
    found = match_channels(raw, ch_names=names, modalities=("ACT", "ECG", "EEG"))
    assert found["channel"].to_dict() == {"ACT": "Accel", "ECG": "ECG", "EEG": ("C4", "M1")}
    with pytest.warns(RuntimeWarning, match="'ECG' is labeled as ECG"):
        match_channels(raw, ch_names={"EEG": "ECG"}, modalities=("EEG",))
    with pytest.raises(ValueError, match="'ACT' in ch_names must be a channel name, 'auto' or"):
        match_channels(raw, ch_names={"ACT": ("C4", "M1")}, modalities=("ACT",))
    with pytest.raises(ValueError, match="ch_names contains EEG, but the network reads only"):
        match_channels(raw, ch_names={"EEG": "C4"})


def test_limits_are_those_of_the_definition(added):
    before = Validity()
    flat = np.r_[make_raw(("a",), 10.0, 300)[0][0][0], np.zeros(1200)]
    for validity in (before, Validity(), Validity(rail_s={"ECG": None})):
        assert (find_invalid(flat, 10.0, "EEG", validity)[3100:] == Reason.FLAT).all()
        assert (find_invalid(flat, 10.0, "ACT", validity) == Reason.MEASURED).all()
    for validity in (Validity.off(), Validity(flat_s={"EEG": None})):
        assert (find_invalid(flat, 10.0, "EEG", validity) == Reason.MEASURED).all()
    # Hashes of prepared nights have this text.
    assert "flat_s={'ECG': 5.0, 'PPG': 5.0, 'ABD': 60.0, 'THX': 60.0, 'EOG-L': 60.0" in str(before)
    assert "rail_s={'ECG': 2.0, 'PPG': 2.0}" in str(before)


def test_a_signal_without_a_known_wave_has_no_rate(added):
    wave = make_raw(("a",), 128.0, 1800)[0][0][0]
    signal = Signal(wave, 128.0, np.zeros(60, dtype=np.int8))
    beats = find_beats(signal, "EEG", np.arange(60))
    assert beats.shape == (60, len(COLUMNS))
    assert beats.isna().all(axis=None)
    assert np.isnan(find_bursts(signal, "EEG")).all()
    assert find_doubts(beats, "EEG", "C4") == []
    hum = wave + np.sin(2 * np.pi * 50 * np.arange(wave.size) / 128)
    assert find_hum(hum, 128.0, "EEG") == {}


def test_a_signal_with_a_known_wave_is_analyzed_as_those_that_have_it(added):
    add_modality(replace(MODALITIES["PPG"], name="ABP", vocabulary=Vocabulary()))
    t = np.arange(1800 * 64) / 64
    signal = Signal(np.sin(2 * np.pi * 1.1 * t) ** 3, 64.0, np.zeros(60, dtype=np.int8))
    found = [find_beats(signal, name, np.arange(60)) for name in ("ABP", "PPG")]
    assert found[0].equals(found[1])
    assert found[0]["rate"].notna().all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("wave", "lowest", "rates", "analyzed"),
    [
        ("beats", 10.5, (1.0, 10.0, 10.5, 11.1), 11.2),
        ("pulses", 1.05, (0.02, 1.0, 1.1), 1.2),
        ("breaths", 0.12, (1 / 60, 0.12, 0.2, 0.25), 0.3),
    ],
)
def test_a_channel_that_is_too_slow_for_the_wave_of_its_modality(wave, lowest, rates, analyzed):
    name = add_modality(Modality("SCG", "chest", 1024, lowest, wave=wave)).name
    rng = np.random.default_rng(0)
    for sfreq in (*rates, analyzed):
        data = rng.standard_normal(max(int(1800 * sfreq), 1))
        signal = Signal(data, sfreq, np.zeros(60, dtype=np.int8))
        beats = find_beats(signal, name, np.arange(60))
        assert beats.shape == (60, len(COLUMNS))
        assert beats["plausible"].isna().all() == (sfreq != analyzed), sfreq
        assert find_bursts(signal, name).shape == (60,)
        assert find_doubts(beats, name, "chest") == [] or sfreq == analyzed
        assert isinstance(find_hum(data, sfreq, name), dict)


@pytest.mark.parametrize(
    ("samples", "cutoff"), [(32, "0.5"), (256, "4"), (1024, "15"), (4096, "65"), (8192, "100")]
)
def test_the_cutoff_that_is_advised_is_that_of_the_grid(samples, cutoff):
    name = add_modality(Modality("ABP", "arterial pressure", samples, 10.0, wave="pulses")).name
    t = np.arange(1800 * 64) / 64
    data = np.sin(2 * np.pi * 1.1 * t) + np.sin(2 * np.pi * 20 * t)
    signal = Signal(data, 64.0, np.zeros(60, dtype=np.int8))
    [doubt] = find_doubts(find_beats(signal, name, np.arange(60)), name, "art")[:1]
    assert "noise above 8 Hz in 100 % of its epochs" in doubt
    assert f"a Raw in which it is low-passed at {cutoff} Hz (raw.filter)." in doubt
