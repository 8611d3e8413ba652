"""The stager: from a path or a Raw to stages, and what its methods promise."""

import shutil
import sys
from dataclasses import replace

import edfio
import mne
import numpy as np
import pytest
import torch
import yasa
from builders import (
    DATA,
    HOUR,
    LABELS,
    SHARED,
    START,
    make_raw,
    make_wave,
    toy_recordings,
    write_edf,
)

from mne_wav2sleep import SleepStagerW2S, load_weights, save_weights
from mne_wav2sleep.network import Preprocessing, Wav2Sleep, Wav2SleepConfig
from mne_wav2sleep.recordings import opening, readers

pytestmark = toy_recordings

RATES = {"ECG": 256.0, "Pleth": 64.0, "Abdo": 32.0, "Thor": 32.0, "EEG": 256.0}


@pytest.fixture(scope="module")
def edf_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("edf") / "night.edf"
    recording = edfio.Recording(startdate=START.date())
    starttime = START.time()
    return write_edf(path, RATES, HOUR, notes=(), recording=recording, starttime=starttime)


@pytest.fixture
def raw():
    return make_raw(LABELS, 64.0, HOUR + 10, types="eeg", start=START)


def test_a_path_becomes_a_hypnogram_at_each_channels_own_rate(edf_path, small_folder):
    stager = SleepStagerW2S(str(edf_path), weights=small_folder)
    assert stager.channels["channel"].to_dict() == {
        "ABD": "Abdo",
        "ECG": "ECG",
        "PPG": "Pleth",
        "THX": "Thor",
    }
    assert stager.channels["sfreq"].to_dict() == {"ABD": 32, "ECG": 256, "PPG": 64, "THX": 32}
    hyp = stager.predict()
    assert isinstance(hyp, yasa.Hypnogram)
    assert (hyp.n_epochs, hyp.n_stages, hyp.scorer) == (120, 4, "wav2sleep")
    assert hyp.start.isoformat() == "2024-03-01T22:30:00+00:00"
    np.testing.assert_allclose(hyp.proba.sum(axis=1), 1)
    assert list(hyp.proba) == ["WAKE", "LIGHT", "DEEP", "REM"]
    assert (hyp.proba.idxmax(axis=1).to_numpy() == hyp.hypno.to_numpy()).all()
    assert "ECG='ECG'" in repr(stager)
    assert "device: cpu" in repr(stager)


def test_a_lazy_mixed_rate_raw_is_warned_about(edf_path, small_folder):
    raw = mne.io.read_raw_edf(edf_path, verbose="error")
    with pytest.warns(RuntimeWarning, match="Pass the path instead"):
        SleepStagerW2S(raw, weights=small_folder)


def test_end_to_end_numbers_of_a_real_recording(golden_folder):
    path = SHARED / "realdata" / "icu_ecg_ppg_resp_8min_125hz.npz"
    if not path.exists():
        pytest.skip("needs the shared recordings")
    recorded = np.load(path)
    expected = np.load(DATA / "golden_end_to_end.npz")
    info = mne.create_info(["ECG", "Pleth", "Chest"], 125.0, "eeg")
    raw = mne.io.RawArray(
        np.array([recorded[name] for name in ("ecg", "ppg", "resp")], dtype=float),
        info,
        verbose="error",
    )
    cases = {
        "ECG_PPG_THX": {},
        "ECG": {"ch_names": {"PPG": None, "THX": None}},
        "PPG_THX": {"ch_names": {"ECG": None}},
    }
    for case, leave_out in cases.items():
        with pytest.warns(RuntimeWarning, match="16 epochs"):
            stager = SleepStagerW2S(raw, weights=golden_folder, **leave_out)
        np.testing.assert_allclose(stager.predict().proba, expected[case], rtol=0, atol=1e-3)


def test_a_real_nox_file(small_folder):
    path = SHARED / "realdata" / "psg_nox_2min.edf"
    if not path.exists():
        pytest.skip("needs the shared recordings")
    with pytest.warns(RuntimeWarning, match="4 epochs"):
        stager = SleepStagerW2S(path, weights=small_folder)
    assert stager.channels["sfreq"].to_dict() == {"ABD": 25, "ECG": 200, "PPG": 75, "THX": 25}
    assert stager.predict().n_epochs == 4
    raw = mne.io.read_raw_edf(path, encoding="latin1", verbose="error")
    with pytest.warns(RuntimeWarning, match=r"4 epochs|Pass the path"):
        from_raw = SleepStagerW2S(raw, weights=small_folder)
    assert list(from_raw.channels["channel"]) == ["Abdomen", "ECG", "Pulse Waveform", "Chest"]
    assert from_raw.predict().n_epochs == 4


@pytest.fixture(scope="module")
def short_folder(golden_folder, tmp_path_factory):
    """The golden network for nights padded to 75 min, so that tests of numbers stay quick."""
    weights = load_weights(golden_folder)
    shorter = replace(weights, preprocessing=Preprocessing(padded_epochs=150))
    return save_weights(shorter, tmp_path_factory.mktemp("short"))


def test_gain_and_offset_change_nothing(raw, short_folder):
    def logits(raw):
        return np.log(SleepStagerW2S(raw, weights=short_folder).predict().proba.to_numpy())

    before = logits(raw)
    gain, offset = np.array([37.0, 1e6, 1e-6, 0.5]), np.array([-0.02, 3e4, 1e-8, 0.04])
    raw._data = gain[:, np.newaxis] * raw._data + offset[:, np.newaxis]
    assert np.abs(logits(raw) - before).max() < 1e-3


def test_a_cropped_raw_stays_on_the_clock(raw, small_folder):
    with pytest.warns(RuntimeWarning, match="117 epochs"):
        cropped = SleepStagerW2S(raw.copy().crop(95), weights=small_folder)
    hyp = cropped.predict()
    assert hyp.start.isoformat() == "2024-03-01T22:31:35+00:00"
    assert (hyp.n_epochs, hyp.freq) == (117, "30s")


def test_without_a_date_the_hypnogram_has_no_start(raw, small_folder):
    hyp = SleepStagerW2S(raw.set_meas_date(None), weights=small_folder).predict()
    assert hyp.start is None
    assert hyp.hypno.index.name == "Epoch"


def test_other_names_of_the_vocabulary_change_nothing(raw, small_folder):
    before = SleepStagerW2S(raw, weights=small_folder).predict().proba
    other = {"ECG": "EKG1-EKG2", "Pleth": "Pulswelle", "Abdo": "ABDO RES", "Thor": "Torace"}
    after = SleepStagerW2S(raw.rename_channels(other), weights=small_folder).predict().proba
    assert before.equals(after)


def test_labels_that_are_also_channel_types(raw, small_folder):
    before = SleepStagerW2S(raw, weights=small_folder).predict().proba
    renamed = raw.rename_channels({"ECG": "ecg", "Thor": "thorax"})
    assert before.equals(SleepStagerW2S(renamed, weights=small_folder).predict().proba)
    renamed.set_channel_types({"ecg": "ecg", "thorax": "resp"}, verbose="error")
    assert before.equals(SleepStagerW2S(renamed, weights=small_folder).predict().proba)


def test_a_pair_of_electrodes_is_their_difference(raw, small_folder):
    both = raw.copy().pick(["ECG", "Pleth"]).rename_channels({"Pleth": "other"})
    ch_names = {"ECG": ("ECG", "other"), "PPG": None}
    pair = SleepStagerW2S(both, weights=small_folder, ch_names=ch_names).predict().proba
    data = both.get_data()
    info = mne.create_info(["ECG"], 64.0, "ecg")
    one = mne.io.RawArray(data[:1] - data[1:], info, verbose="error")
    assert pair.equals(SleepStagerW2S(one, weights=small_folder).predict().proba)


def test_five_classes_from_eog(tmp_path):
    torch.manual_seed(0)
    config = Wav2SleepConfig(
        signals={"EOG-L": "EOG-L", "EOG-R": "EOG-R"},
        n_classes=5,
        initial_channels=2,
        max_channels=4,
        feature_dim=16,
        mixer_heads=2,
        mixer_dim_ff=16,
    )
    folder = save_weights(Wav2Sleep(config), tmp_path / "eog")
    raw = make_raw(["E1-M2", "E2-M2", "ECG"], types="eeg")
    hyp = SleepStagerW2S(raw, weights=folder).predict()
    assert hyp.n_stages == 5
    assert list(hyp.proba) == ["WAKE", "N1", "N2", "N3", "REM"]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_low_precision_stays_close(precision, raw, short_folder):
    raw.pick(["Thor"])
    exact = SleepStagerW2S(raw, weights=short_folder, device="cpu").predict().proba
    stager = SleepStagerW2S(raw, weights=short_folder, device="cpu", precision=precision)
    close = stager.predict().proba
    assert not exact.equals(close)
    assert np.abs(exact - close).to_numpy().mean() < 0.05


def test_nan_and_dead_channels_are_warned_about(raw, small_folder):
    broken = raw.copy()
    broken._data[broken.ch_names.index("ECG"), 1000:5000] = np.nan
    broken._data[broken.ch_names.index("Thor")] = 3.0
    stager = SleepStagerW2S(broken, weights=small_folder)
    with pytest.warns(RuntimeWarning) as caught:
        proba = stager.predict().proba
    messages = " ".join(str(w.message) for w in caught)
    assert "'ECG') was not measured for 1.04 min (1.04 min not finite): 2 of 120" in messages
    assert "'Thor') was not measured for 60.2 min (60.2 min flat): it is left out" in messages
    assert np.isfinite(proba.to_numpy()).all()
    assert stager.availability()["THX"].eq("flat").all()
    assert np.flatnonzero(stager.availability()["ECG"] == "not finite").tolist() == [1, 2]
    broken._data[:] = np.nan
    with (
        pytest.warns(RuntimeWarning, match="60.2 min not finite"),
        pytest.raises(ValueError, match="nothing to stage"),
    ):
        SleepStagerW2S(broken, weights=small_folder).predict()


def test_a_recording_without_an_epoch_is_refused(raw, small_folder):
    with pytest.raises(ValueError, match=r"29\.91 s long"):
        SleepStagerW2S(raw.crop(0, 29.9, include_tmax=False), weights=small_folder)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"device": "cuda:7"}, ValueError, "cannot be used here"),
        ({"device": "toaster"}, ValueError, r"cannot be used here \(RuntimeError: [^.]*\)\. Use"),
        ({"device": "meta"}, ValueError, "cannot be used here"),
        ({"device": None}, TypeError, "device must be"),
        ({"precision": "int4"}, ValueError, "precision"),
        ({"ch_names": {"EOG-L": "ECG"}}, ValueError, "EOG-L"),
        ({"ch_names": {"ECG": "nope"}}, ValueError, "does not have"),
    ],
)
def test_wrong_arguments_are_refused(raw, small_folder, settings, error, message):
    with pytest.raises(error, match=message):
        SleepStagerW2S(raw, weights=small_folder, **settings)


def test_the_mapping_is_a_copy(raw, small_folder):
    stager = SleepStagerW2S(raw, weights=small_folder)
    report = stager.channels
    report.loc["ECG", "channel"] = "Pleth"
    assert stager.channels.loc["ECG", "channel"] == "ECG"
    with pytest.raises(AttributeError):
        stager.channels = None


def test_files_that_are_not_recordings_are_refused(tmp_path, small_folder, edf_path):
    with pytest.raises(FileNotFoundError, match="Check the path"):
        SleepStagerW2S(tmp_path / "none.edf", weights=small_folder)
    (tmp_path / "text.edf").write_text("not an EDF")
    with pytest.raises(ValueError, match="cannot be read"):
        SleepStagerW2S(tmp_path / "text.edf", weights=small_folder)
    shutil.copy(edf_path, tmp_path / "night.xyz")
    with pytest.raises(ValueError, match="cannot be read"):
        SleepStagerW2S(tmp_path / "night.xyz", weights=small_folder)
    with pytest.raises(TypeError, match="must be an instance of BaseRaw or path-like"):
        SleepStagerW2S(3, weights=small_folder)


def test_duplicate_labels_of_different_rates(tmp_path, small_folder):
    path = tmp_path / "twice.edf"
    signals = [
        edfio.EdfSignal(1e6 * make_wave(f, HOUR, s), f, label="ECG", physical_dimension="uV")
        for s, f in enumerate((128, 256))
    ]
    edfio.Edf(signals).write(path)
    with pytest.warns(RuntimeWarning, match="unique"):
        stager = SleepStagerW2S(path, weights=small_folder)
    assert stager.channels.loc["ECG", "channel"] == "ECG-0"
    assert stager.channels.loc["ECG", "sfreq"] == 128
    stager.predict()


def test_a_file_that_was_cut_off_is_warned_about(tmp_path, edf_path, small_folder):
    path = tmp_path / "cut.edf"
    path.write_bytes(edf_path.read_bytes()[:-1_020_000])
    with pytest.warns(RuntimeWarning, match="the file was cut off|93 epochs") as caught:
        assert SleepStagerW2S(path, weights=small_folder).predict().n_epochs == 93
    said = [str(w.message) for w in caught]
    assert len([text for text in said if "shows beats" not in text and "noise" not in text]) == 2
    SleepStagerW2S(path, weights=small_folder, verbose="error").predict()  # MNE's way to be quiet


def test_float32_needs_no_autocast(raw, small_folder, monkeypatch):
    """Some devices do not support it."""
    stager = SleepStagerW2S(raw.pick(["Thor"]), weights=small_folder)
    monkeypatch.setattr(torch, "autocast", None)
    stager.predict()


def test_a_rate_that_is_labeled_as_a_waveform_is_warned_about(tmp_path, small_folder):
    path = write_edf(tmp_path / "slow.edf", {"PPG": 1.0, "ECG": 128.0}, HOUR, notes=())
    stager = SleepStagerW2S(path, weights=small_folder)
    with pytest.warns(RuntimeWarning, match="'PPG' was recorded at 1 Hz, too slowly"):
        stager.predict()


def test_a_raw_that_was_changed_is_not_staged(raw, small_folder):
    for change in (
        lambda one: one.crop(600),
        lambda one: one.set_meas_date(None),
        lambda one: one.rename_channels({"ECG": "Pleth", "Pleth": "ECG"}),
        lambda one: one.drop_channels(["ECG"]),
    ):
        mine = raw.copy()
        stager = SleepStagerW2S(mine, weights=small_folder, verbose="error")
        change(mine)
        with pytest.raises(RuntimeError, match="The Raw was changed since the stager was made"):
            stager.predict()


def test_the_caution_of_weights_is_shown_once_and_kept(raw):
    with pytest.warns(RuntimeWarning, match="The weights 'mini'"):
        weights = load_weights("mini")
    for _ in range(2):  # loaded weights have been warned about, whatever is staged with them
        stager = SleepStagerW2S(raw, weights=weights)
        stager.predict()
        assert stager.cautions[0] == weights.caution
    with pytest.warns(RuntimeWarning, match="The weights 'mini'") as caught:
        stager = SleepStagerW2S(raw, weights="mini")
    assert [str(w.message) for w in caught].count(weights.caution) == 1
    stager.predict()  # loads the weights; a second warning would be an error
    assert stager.cautions.count(weights.caution) == 1


def test_loaded_weights_give_the_same_stages(raw, small_folder):
    expected = SleepStagerW2S(raw, weights=small_folder)
    weights = load_weights(small_folder)
    stager = SleepStagerW2S(raw, weights=weights)
    assert stager.predict().proba.equals(expected.predict().proba)
    assert stager.predict().scorer == expected.predict().scorer
    assert stager.provenance()["weights"] == expected.provenance()["weights"]
    assert load_weights(weights) is weights


def test_what_methods_return_may_be_changed(raw, small_folder):
    """What a user does with it changes neither the stager nor what it returns later."""
    stager = SleepStagerW2S(raw, weights=small_folder, verbose="error")
    before = stager.report().html
    for table in (stager.predict().proba, stager.statistics(), stager.channels):
        del table[table.columns[0]], table[table.columns[1]]
    availability = stager.availability()
    availability.iloc[:] = "flat"
    stager.cautions.append("nothing")
    changed = stager.provenance()
    changed["weights"]["name"] = "others"
    changed["channels"].clear()
    changed["cautions"].clear()
    assert (stager.availability() == "measured").all(axis=None)
    assert stager.provenance()["weights"]["name"] == str(small_folder)
    assert list(stager.provenance()["channels"]) == ["ABD", "ECG", "PPG", "THX"]
    assert stager.provenance()["cautions"] == stager.cautions != []
    assert "nothing" not in stager.cautions
    again = stager.report().html
    tables = [i for i, page in enumerate(before) if "<table" in page]
    assert len(tables) == 4
    assert [again[i] for i in tables] == [before[i] for i in tables]


opened = []  # by any code, as Python has no way to remove an audit hook
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)


def count(calls, function):
    """Wrap a function so that its calls are counted."""

    def wrapped(*args, **kwargs):
        calls.append(function.__name__)
        return function(*args, **kwargs)

    return wrapped


def test_a_file_is_opened_once_by_each_reader(edf_path, small_folder, monkeypatch):
    """Its header is parsed once by MNE, and once by us, and nothing is parsed while staging.

    It is opened 4 times: for the header and for the memory map of its samples by us, for the
    header and for the annotations by MNE.
    """
    calls = []
    for module in (readers, opening):
        monkeypatch.setattr(module, "open_edf", count(calls, module.open_edf))
    monkeypatch.setattr(mne.io, "read_raw", count(calls, mne.io.read_raw))
    opened.clear()
    stager = SleepStagerW2S(edf_path, weights=small_folder, verbose="error")
    stager.predict()
    stager.quality()
    stager.plot_signals(60, show=False)
    assert sorted(calls) == ["open_edf", "read_raw"]
    assert opened.count(str(edf_path)) == 4
