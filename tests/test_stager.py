import datetime
import hashlib
import json
import shutil
from dataclasses import replace

import edfio
import mne
import numpy as np
import pytest
import torch
import yasa
from builders import DATA, SHARED, make_signal, make_wave, toy_recordings

from mne_wav2sleep import SleepStagerW2S, save_model
from mne_wav2sleep.network.config import Wav2SleepConfig
from mne_wav2sleep.network.model import Wav2Sleep
from mne_wav2sleep.signals.batch import make_batch
from mne_wav2sleep.signals.validity import FLAT

pytestmark = toy_recordings

CHANNELS = {"ECG": 256.0, "Pleth": 64.0, "Abdo": 32.0, "Thor": 32.0, "EEG": 256.0}
HOUR = 3600


def write_edf(path, seconds=HOUR, channels=CHANNELS, gain=1.0, offset=0.0):
    signals = []
    for seed, (label, sfreq) in enumerate(channels.items()):
        wave = 1e6 * make_wave(sfreq, seconds, seed) * gain + offset
        signals.append(edfio.EdfSignal(wave, sfreq, label=label, physical_dimension="uV"))
    edf = edfio.Edf(
        signals,
        recording=edfio.Recording(startdate=datetime.date(2024, 3, 1)),
        starttime=datetime.time(22, 30),
    )
    edf.write(path)
    return path


@pytest.fixture(scope="module")
def edf_path(tmp_path_factory):
    return write_edf(tmp_path_factory.mktemp("edf") / "night.edf")


@pytest.fixture
def raw():
    labels = [name for name in CHANNELS if name != "EEG"]
    info = mne.create_info(labels, 64.0, "eeg")
    data = [make_wave(64.0, HOUR + 10, seed) for seed in range(len(labels))]
    raw = mne.io.RawArray(np.array(data), info, verbose="error")
    return raw.set_meas_date(datetime.datetime(2024, 3, 1, 22, 30, tzinfo=datetime.UTC))


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
    with pytest.warns(RuntimeWarning, match="Give the path instead"):
        SleepStagerW2S(raw, weights=small_folder)


def test_the_end_to_end_numbers_of_a_real_recording(golden_folder):
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
        "ECG": {"ppg_name": None, "thx_name": None},
        "PPG_THX": {"ecg_name": None},
    }
    for case, leave_out in cases.items():
        with pytest.warns(RuntimeWarning, match="16 epochs"):
            stager = SleepStagerW2S(raw, weights=golden_folder, **leave_out)
        np.testing.assert_allclose(stager.predict_proba(), expected[case], rtol=0, atol=1e-3)


def test_the_real_nox_file(small_folder):
    path = SHARED / "realdata" / "psg_nox_2min.edf"
    if not path.exists():
        pytest.skip("needs the shared recordings")
    with pytest.warns(RuntimeWarning, match="4 epochs"):
        stager = SleepStagerW2S(path, weights=small_folder)
    assert stager.channels["sfreq"].to_dict() == {"ABD": 25, "ECG": 200, "PPG": 75, "THX": 25}
    assert stager.predict().n_epochs == 4
    raw = mne.io.read_raw_edf(path, encoding="latin1", verbose="error")
    with pytest.warns(RuntimeWarning, match=r"4 epochs|Give the path"):
        from_raw = SleepStagerW2S(raw, weights=small_folder)
    assert list(from_raw.channels["channel"]) == ["Abdomen", "ECG", "Pulse Waveform", "Chest"]
    assert from_raw.predict().n_epochs == 4


@pytest.fixture(scope="module")
def short_folder(golden_model, tmp_path_factory):
    """The golden network for nights padded to 75 min, so that tests of numbers stay quick."""
    model = Wav2Sleep(replace(golden_model.config, padded_epochs=150))
    model.load_state_dict(golden_model.state_dict())
    return save_model(model, tmp_path_factory.mktemp("short"))


def test_gain_and_offset_change_nothing(raw, short_folder):
    def logits(raw):
        return np.log(SleepStagerW2S(raw, weights=short_folder).predict_proba().to_numpy())

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


def test_no_date_no_clock(raw, small_folder):
    hyp = SleepStagerW2S(raw.set_meas_date(None), weights=small_folder).predict()
    assert hyp.start is None
    assert hyp.hypno.index.name == "Epoch"


def test_names_within_the_vocabulary_change_nothing(raw, small_folder):
    before = SleepStagerW2S(raw, weights=small_folder).predict_proba()
    other = {"ECG": "EKG1-EKG2", "Pleth": "Pulswelle", "Abdo": "ABDO RES", "Thor": "Torace"}
    after = SleepStagerW2S(raw.rename_channels(other), weights=small_folder).predict_proba()
    assert before.equals(after)


def test_labels_that_are_also_channel_types(raw, small_folder):
    before = SleepStagerW2S(raw, weights=small_folder).predict_proba()
    renamed = raw.rename_channels({"ECG": "ecg", "Thor": "thorax"})
    assert before.equals(SleepStagerW2S(renamed, weights=small_folder).predict_proba())
    renamed.set_channel_types({"ecg": "ecg", "thorax": "resp"}, verbose="error")
    assert before.equals(SleepStagerW2S(renamed, weights=small_folder).predict_proba())


def test_a_pair_of_electrodes_is_their_difference(raw, small_folder):
    both = raw.copy().pick(["ECG", "Pleth"]).rename_channels({"Pleth": "other"})
    pair = SleepStagerW2S(
        both, weights=small_folder, ecg_name=("ECG", "other"), ppg_name=None
    ).predict_proba()
    data = both.get_data()
    info = mne.create_info(["ECG"], 64.0, "ecg")
    one = mne.io.RawArray(data[:1] - data[1:], info, verbose="error")
    assert pair.equals(SleepStagerW2S(one, weights=small_folder).predict_proba())


def test_only_the_encoders_that_are_needed_run(raw, small_folder):
    stager = SleepStagerW2S(raw.copy().pick(["Thor"]), weights=small_folder)
    ran = []
    for name, encoder in stager.model.signal_encoders.encoders.items():
        encoder.register_forward_hook(lambda *_, name=name: ran.append(name))
    stager.predict()
    stager.predict_proba()
    assert ran == ["THX"]


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
    folder = save_model(Wav2Sleep(config), tmp_path / "eog")
    info = mne.create_info(["E1-M2", "E2-M2", "ECG"], 64.0, "eeg")
    data = np.array([make_wave(64.0, HOUR, seed) for seed in range(3)])
    hyp = SleepStagerW2S(mne.io.RawArray(data, info, verbose="error"), weights=folder).predict()
    assert hyp.n_stages == 5
    assert list(hyp.proba) == ["WAKE", "N1", "N2", "N3", "REM"]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_low_precision_stays_close(precision, raw, short_folder):
    raw.pick(["Thor"])
    exact = SleepStagerW2S(raw, weights=short_folder, device="cpu").predict_proba()
    close = SleepStagerW2S(
        raw, weights=short_folder, device="cpu", precision=precision
    ).predict_proba()
    assert not exact.equals(close)
    assert np.abs(exact - close).to_numpy().mean() < 0.05


def test_nan_and_dead_channels_are_said(raw, small_folder):
    broken = raw.copy()
    broken._data[broken.ch_names.index("ECG"), 1000:5000] = np.nan
    broken._data[broken.ch_names.index("Thor")] = 3.0
    stager = SleepStagerW2S(broken, weights=small_folder)
    with pytest.warns(RuntimeWarning) as caught:
        proba = stager.predict_proba()
    messages = " ".join(str(w.message) for w in caught)
    assert "'ECG') was not measured for 1.04 min (1.04 min not finite): 2 of 120" in messages
    assert "'Thor') was not measured for 60.2 min (60.2 min flat): it is left out" in messages
    assert np.isfinite(proba.to_numpy()).all()
    assert stager.availability["THX"].eq("flat").all()
    assert np.flatnonzero(stager.availability["ECG"] == "not finite").tolist() == [1, 2]
    broken._data[:] = np.nan
    with (
        pytest.warns(RuntimeWarning, match="60.2 min not finite"),
        pytest.raises(ValueError, match="nothing to stage"),
    ):
        SleepStagerW2S(broken, weights=small_folder).predict()


def test_a_recording_without_an_epoch_is_refused(raw, small_folder):
    with pytest.raises(ValueError, match=r"29\.91 s long"):
        SleepStagerW2S(raw.crop(0, 29.9, include_tmax=False), weights=small_folder)


def test_a_device_without_memory_falls_back_to_the_cpu(raw, small_folder, monkeypatch):
    """What CUDA does where its memory is full; torch's meta device stands in for it."""
    expected = SleepStagerW2S(raw, weights=small_folder).predict_proba()
    stager = SleepStagerW2S(raw, weights=small_folder)
    weights, encode, seen = stager.model.state_dict(), stager.model.encode, []

    def raises(x):
        seen.append(next(iter(x.values())).device.type)
        if seen[-1] == "meta":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        stager.model.load_state_dict(weights, assign=True)  # which the meta device has forgotten
        return encode(x)

    stager.model.to("meta")
    monkeypatch.setattr(stager.model, "encode", raises)
    monkeypatch.setattr(stager.model, "to", lambda device: stager.model.to_empty(device=device))
    with pytest.warns(RuntimeWarning, match="'meta' has too little free memory.*on the CPU"):
        proba = stager.predict_proba()
    np.testing.assert_array_equal(proba, expected)
    assert seen == ["meta", "cpu"]
    assert "device: cpu" in repr(stager)


def test_provenance_is_json_and_says_all_of_it(edf_path, small_folder):
    stager = SleepStagerW2S(edf_path, weights=small_folder, verbose="error", thx_name=None)
    before = datetime.datetime.now(datetime.UTC)
    found = json.loads(json.dumps(stager.provenance))
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


def test_from_signals_to_logits_nothing_is_made_on_the_wrong_device():
    """On torch's meta device a tensor that strays to the CPU raises."""
    signals = {
        name: make_signal(make_wave(64.0, 300), 64.0, 10) for name in ("ABD", "ECG", "PPG", "THX")
    }
    signals["PPG"].epochs[3] = FLAT
    x, available = make_batch(signals, torch.device("meta"))
    with torch.device("meta"):
        model = Wav2Sleep(Wav2SleepConfig()).eval()
    logits = model(x, available)
    assert {t.device.type for t in (*x.values(), *available.values(), logits)} == {"meta"}
    assert logits.shape == (1, 1200, 4)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"device": "cuda:7"}, ValueError, "cannot be used here"),
        ({"device": "toaster"}, ValueError, r"cannot be used here \(RuntimeError: [^.]*\)\. Use"),
        ({"device": "meta"}, ValueError, "cannot be used here"),
        ({"device": None}, TypeError, "device must be"),
        ({"precision": "int4"}, ValueError, "precision"),
        ({"eog_l_name": "ECG"}, ValueError, "EOG-L"),
        ({"ecg_name": "nope"}, ValueError, "does not have"),
    ],
)
def test_wrong_arguments(raw, small_folder, settings, error, message):
    with pytest.raises(error, match=message):
        SleepStagerW2S(raw, weights=small_folder, **settings)


def test_the_mapping_is_a_report(raw, small_folder):
    stager = SleepStagerW2S(raw, weights=small_folder)
    report = stager.channels
    report.loc["ECG", "channel"] = "Pleth"
    assert stager.channels.loc["ECG", "channel"] == "ECG"
    with pytest.raises(AttributeError):
        stager.channels = None


def test_files_that_are_none(tmp_path, small_folder, edf_path):
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


def test_a_file_that_was_cut_off_is_said(tmp_path, edf_path, small_folder):
    path = tmp_path / "cut.edf"
    path.write_bytes(edf_path.read_bytes()[:-1_000_000])
    with pytest.warns(RuntimeWarning, match="the file was cut off|93 epochs") as caught:
        assert SleepStagerW2S(path, weights=small_folder).predict().n_epochs == 93
    assert len([w for w in caught if "shows beats" not in str(w.message)]) == 2
    SleepStagerW2S(path, weights=small_folder, verbose="error").predict()  # MNE's way to be quiet


def test_float32_needs_no_autocast(raw, small_folder, monkeypatch):
    """Some devices have none."""
    stager = SleepStagerW2S(raw.pick(["Thor"]), weights=small_folder)
    monkeypatch.setattr(torch, "autocast", None)
    stager.predict()


def test_a_rate_that_passes_for_a_waveform_is_said(tmp_path, small_folder):
    path = write_edf(tmp_path / "slow.edf", channels={"PPG": 1.0, "ECG": 128.0})
    stager = SleepStagerW2S(path, weights=small_folder)
    with pytest.warns(RuntimeWarning, match="'PPG' was recorded at 1 Hz, too slowly"):
        stager.predict()


def test_a_raw_that_was_changed_since_is_not_staged(raw, small_folder):
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
