import shutil
import warnings
from os import PathLike

import edfio
import mne
import numpy as np
import pytest
from builders import make_wave

from mne_wav2sleep import match_channels
from mne_wav2sleep.formats import edf
from mne_wav2sleep.recordings.opening import count_epochs, find_rates, open_recording
from mne_wav2sleep.recordings.reading import open_sources, read_signals
from mne_wav2sleep.signals.validity import BAD, FLAT, MEASURED, NOT_RECORDED, Validity

RATES = {"ECG": 256.0, "Thor": 32.0}


def make_raw(sfreq=64.0, seconds=600.0, labels=("ECG", "Thor")):
    data = np.array([make_wave(sfreq, seconds, seed) for seed in range(len(labels))])
    return mne.io.RawArray(data, mne.create_info(list(labels), sfreq, "eeg"), verbose="error")


def write_edf(path, seconds=600, rates=RATES, note="Lights off"):
    """An EDF+ or BDF+ with annotations."""
    kind, signal = (
        (edfio.Bdf, edfio.BdfSignal) if path.suffix == ".bdf" else (edfio.Edf, edfio.EdfSignal)
    )
    signals = [
        signal(1e6 * make_wave(sfreq, seconds, seed), sfreq, label=label, physical_dimension="uV")
        for seed, (label, sfreq) in enumerate(rates.items())
    ]
    kind(signals, annotations=[edfio.EdfAnnotation(1, None, note)]).write(path)
    return path


def write_brainvision(folder):
    """A header beside its data, as BrainVision keeps them."""
    data = np.array([make_wave(64.0, 600, seed) for seed in range(2)])
    (1e6 * data.T).astype("<f4").tofile(folder / "night.eeg")
    (folder / "night.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nCodepage=UTF-8\n"
        "DataFile=night.eeg\n[Marker Infos]\n"
    )
    (folder / "night.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nCodepage=UTF-8\n"
        "DataFile=night.eeg\nMarkerFile=night.vmrk\nDataFormat=BINARY\n"
        "DataOrientation=MULTIPLEXED\nNumberOfChannels=2\nSamplingInterval=15625\n"
        "[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n"
        "[Channel Infos]\nCh1=ECG,,1,µV\nCh2=Thor,,1,µV\n",
        encoding="utf-8",
    )
    return folder / "night.vhdr", data


def read(source):
    opened = open_recording(source)
    channels = find_rates(opened, match_channels(opened.raw))
    return read_signals(opened, open_sources(opened, channels), Validity())


@pytest.mark.parametrize("lazy", [False, True])
def test_a_file_whose_data_are_beside_its_header(lazy, tmp_path):
    path, data = write_brainvision(tmp_path)
    signals = read(mne.io.read_raw_brainvision(path, verbose="error") if lazy else path)
    for signal, expected in zip((signals["ECG"], signals["THX"]), data, strict=True):
        assert signal.sfreq == 64
        np.testing.assert_allclose(signal.data, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("suffix", [".edf", ".bdf", ".EDF"])
def test_every_channel_at_its_own_rate_and_the_file_opened_once_per_rate(
    suffix, tmp_path, monkeypatch
):
    """Opening reads the whole file, for its annotations."""
    path = write_edf(tmp_path / f"night{suffix.lower()}")
    path = path.rename(tmp_path / f"night{suffix}")
    opened, read_raw = [], mne.io.read_raw
    monkeypatch.setattr(mne.io, "read_raw", lambda *a, **k: opened.append(a) or read_raw(*a, **k))
    signals = read(path)
    assert {name: signal.sfreq for name, signal in signals.items()} == {"ECG": 256, "THX": 32}
    np.testing.assert_allclose(signals["THX"].data, make_wave(32.0, 600, 1), rtol=0, atol=1e-7)
    assert len(opened) == 1 + 2


def test_a_pair_of_different_rates_has_no_difference(tmp_path):
    path = write_edf(tmp_path / "pair.edf", rates={"ECG L": 256.0, "ECG R": 128.0})
    opened = open_recording(path)
    mapping = match_channels(opened.raw, names={"ECG": ("ECG L", "ECG R")})
    with pytest.raises(ValueError, match="different rates"):
        find_rates(opened, mapping)


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("sfreq", [125.3, 34.1333, 99.9, 60 * np.pi])
def test_no_epoch_is_lost_at_odd_rates(sfreq, saved, tmp_path):
    """FIF keeps the rate as float32."""
    raw = make_raw(sfreq, 3600.0)
    if saved:
        raw.save(tmp_path / "odd_raw.fif", verbose="error")
        raw = tmp_path / "odd_raw.fif"
    assert open_recording(raw).n_epochs == 120


@pytest.mark.parametrize(("samples", "epochs"), [(7679, 1), (7680, 2), (7681, 2), (3839, 0)])
def test_only_complete_epochs_count(samples, epochs):
    assert count_epochs(samples, 128.0) == epochs


class _Fspath(PathLike):
    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        return str(self.path)


def test_paths_of_any_kind(tmp_path, monkeypatch):
    path = write_edf(tmp_path / "night.edf")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for given in ("~/night.edf", _Fspath(path), str(path)):
        assert open_recording(given).path == path


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("", None, r"is a folder.*Give the file in it"),
        ("empty_raw.fif", b"", r"is empty \(0 bytes\)"),
        ("text_raw.fif", b"text" * 100, r"cannot be read as a recording \(ValueError: .*[^.]\)\. "),
        ("night.txt", b"text", r"cannot be read as a recording \(.*\)\. Check"),
        ("night.eeg", b"text" * 1000, r"of a BrainVision recording, give the \.vhdr file"),
    ],
)
def test_what_is_no_recording_is_said_in_a_sentence(name, content, message, tmp_path):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MNE's
        with pytest.raises(ValueError, match=message):
            open_recording(tmp_path / name)


def mixed_rate_warnings(raw):
    opened = open_recording(raw)
    with pytest.warns(RuntimeWarning) as caught:
        find_rates(opened, match_channels(raw))
    return [str(w.message) for w in caught]


def test_a_raw_that_resampled_its_channels_is_said(tmp_path):
    paths = [write_edf(tmp_path / f"{name}.edf") for name in ("first", "second")]
    raws = [mne.io.read_raw(path, verbose="error") for path in paths]
    message = mixed_rate_warnings(raws[0].copy().load_data())[0]
    assert "[32.0, 256.0] Hz" in message
    assert "new names, dates and bad channels of the Raw do not carry over" in message
    both = mne.concatenate_raws(raws, verbose="error")
    both.annotations.delete(range(len(both.annotations)))
    first, second = mixed_rate_warnings(both)
    assert "first.edf" in first
    assert "second.edf" in second
    one_rate = mne.io.read_raw_edf(paths[0], include=["Thor"], verbose="error")
    renamed = raws[1].copy().rename_channels({"Thor": "Chest"})
    decimated = one_rate.copy().load_data().resample(16, verbose="error")
    for raw in (one_rate, renamed, decimated):
        opened = open_recording(raw)
        find_rates(opened, match_channels(raw))
    shutil.copy(__file__, paths[1])
    opened = open_recording(raws[1])
    find_rates(opened, match_channels(raws[1]))  # the file is no EDF any more


def write_discontinuous(path, begins, *, rates=RATES, notes=""):
    """An EDF+D whose records of 1 s say that they began then."""
    write_edf(path, len(begins), rates=rates, note="x" * 80)  # which makes room for the notes
    content = bytearray(path.read_bytes())
    content[192:197] = b"EDF+D"
    header = edf._read_header(path)
    size = 2 * sum(header.counts)
    room = 2 * header.counts[-1]
    for i, begin in enumerate(begins):
        text = f"+{begin:.10g}\x14\x14\0{notes if i == 1 else ''}".encode()
        assert len(text) <= room
        at = header.size + (i + 1) * size - room
        content[at : at + room] = text.ljust(room, b"\0")
    path.write_bytes(content)
    return path


def test_a_gap_of_a_file_stays_a_gap(tmp_path):
    begins = np.r_[0:200, 300:700]
    path = write_discontinuous(tmp_path / "gap.edf", begins)
    assert edf.find_gaps(path) == [(200.0, 100.0)]
    opened = open_recording(path)
    assert opened.n_epochs == 23
    with pytest.warns(RuntimeWarning, match=r"\(1\.67 min not recorded\): 3 of 23 epochs"):
        signals = read(path)
    wave = make_wave(32.0, 600, 1)
    thorax = signals["THX"].data
    np.testing.assert_allclose(thorax[: 200 * 32], wave[: 200 * 32], rtol=0, atol=1e-7)
    np.testing.assert_allclose(thorax[300 * 32 :], wave[200 * 32 :], rtol=0, atol=1e-7)
    # Of epoch 6, from 180 to 210 s, two thirds were.
    assert np.flatnonzero(signals["THX"].epochs != MEASURED).tolist() == [7, 8, 9]
    assert set(signals["THX"].epochs[7:10]) == {NOT_RECORDED}
    sources = open_sources(opened, find_rates(opened, match_channels(opened.raw)))
    with pytest.warns(RuntimeWarning, match="hours 0.1 to 0.1"):
        part = read_signals(opened, sources, Validity(), start=270.0, stop=390.0)
    np.testing.assert_allclose(part["THX"].data[30 * 32 :], thorax[300 * 32 : 390 * 32 + 1])
    with pytest.warns(RuntimeWarning, match="stages after a gap come too early"):
        open_recording(mne.io.read_raw(path, verbose="error"))


def test_many_small_gaps_leave_all_channels_on_one_clock(tmp_path):
    begins = np.arange(300) * 1.16  # at 8 Hz, 0.16 s are no whole number of samples
    path = write_discontinuous(tmp_path / "gaps.edf", begins, rates={"ECG": 64.0, "Thor": 8.0})
    assert len(edf.find_gaps(path)) == 299
    with pytest.warns(RuntimeWarning, match="not recorded"):
        signals = read(path)
    for name, sfreq in (("ECG", 64.0), ("THX", 8.0)):
        assert abs(signals[name].data.size / sfreq - (begins[-1] + 1)) < 1 / sfreq
        wave = make_wave(sfreq, 300, name == "THX")
        last = signals[name].data[-round(sfreq) :]
        np.testing.assert_allclose(last, wave[-round(sfreq) :], rtol=0, atol=1e-7)


def test_time_stamps_that_jitter_or_drift_are_no_gaps(tmp_path):
    rng = np.random.default_rng(0)
    jitter = np.r_[0, np.arange(1, 600) + rng.uniform(-0.02, 0.02, 599)].round(3)
    assert edf.find_gaps(write_discontinuous(tmp_path / "jitter.edf", jitter)) == []
    drift = (np.arange(600) * 1.001).round(3)
    gaps = edf.find_gaps(write_discontinuous(tmp_path / "drift.edf", drift))
    assert sum(length for _, length in gaps) == pytest.approx(0.6, abs=0.11)


@pytest.mark.parametrize(("jump", "message"), [(-50, "50 s earlier"), (2_600_000, "s later")])
def test_a_clock_that_was_changed_is_said(jump, message, tmp_path):
    begins = np.r_[0:200, 200 + jump : 600 + jump]
    path = write_discontinuous(tmp_path / "clock.edf", begins)
    with pytest.raises(ValueError, match=f"record 201 begins .*{message}.*its clock was changed"):
        open_recording(path)


def test_annotations_after_a_gap_are_kept(tmp_path):
    """MNE drops what lies after the samples, gaps left out."""
    path = write_discontinuous(
        tmp_path / "notes.edf", np.r_[0:200, 300:700], notes="+630\x1560\x14BAD\x14\0"
    )
    with pytest.warns(RuntimeWarning):
        signals = read(path)
    assert np.flatnonzero(signals["THX"].epochs == BAD).tolist() == [21, 22]


def test_bad_spans_are_masked_where_they_are_and_of_the_channels_they_name():
    raw = make_raw()
    raw.set_annotations(
        mne.Annotations([60, 200, 400], [45, 60, 30], ["BAD_ACQ_SKIP", "bad cable", "Bad one"])
    )
    raw.annotations.append(500, 60, "BAD", ch_names=[("ECG",)])
    with pytest.warns(RuntimeWarning, match="bad"):
        signals = read(raw)
    common = [2, 7, 8, 13]  # of epoch 3, just half is bad
    assert np.flatnonzero(signals["THX"].epochs == BAD).tolist() == common
    assert np.flatnonzero(signals["ECG"].epochs == BAD).tolist() == [*common, 17, 18]
    later = raw.copy().crop(60)  # annotations stay on the clock
    with pytest.warns(RuntimeWarning, match="bad"):
        assert np.flatnonzero(read(later)["THX"].epochs == BAD).tolist() == [0, 5, 6, 11]


def test_joins_are_said():
    joined = mne.concatenate_raws([make_raw(), make_raw()], verbose="error")
    with pytest.warns(RuntimeWarning, match=r"1 place, the first after 10\.0 min.*clock is wrong"):
        open_recording(joined)
    with pytest.warns(RuntimeWarning, match=r"first after 5\.0 min.*clock is wrong"):
        open_recording(joined.copy().crop(300))
    open_recording(joined.crop(660))


def test_a_channel_that_is_flat_but_for_rounding_is_left_out():
    raw = make_raw()
    raw._data[0] = 0.1 + 1e-17 * np.random.default_rng(0).standard_normal(raw.n_times)
    raw._data[0, ::2] += 2e-17
    raw._data[0, 5] = np.nextafter(0.1, 1)
    with pytest.warns(RuntimeWarning, match=r"ECG .* was not measured .* it is left out"):
        signals = read(raw)
    assert (signals["ECG"].epochs == FLAT).all()
    assert (signals["THX"].epochs == MEASURED).all()


@pytest.mark.parametrize("header", [[("ECG", 256.0)], ValueError("not a number")])
def test_a_header_that_mne_reads_otherwise(header, tmp_path, monkeypatch):
    path = write_edf(tmp_path / "night.edf", rates={**RATES, "EEG": 512.0})

    def rates(_):
        if isinstance(header, Exception):
            raise header
        return header

    monkeypatch.setattr(edf, "read_rates", rates)
    with pytest.warns(RuntimeWarning, match=r"signals, MNE 3 channels.*read at 256 Hz"):
        signals = read(path)
    assert {name: (signal.data.size, signal.sfreq) for name, signal in signals.items()} == {
        "ECG": (600 * 256, 256),
        "THX": (600 * 256, 256),
    }


@pytest.mark.parametrize(("count", "value"), [(1, 32767.0), (3, 1e30), (1, -1e200)])
def test_extreme_samples_are_said_and_kept(count, value):
    raw = make_raw()
    raw._data[0, 5000 : 5000 + count] = value
    with pytest.warns(RuntimeWarning, match=rf"ECG .* has {count} extreme sample.*nearly flat"):
        signals = read(raw)
    assert (signals["ECG"].data == raw._data[0]).all()


def test_a_movement_is_not_extreme():
    raw = make_raw()
    raw._data[0, 5000:5200] *= 20  # 3 s
    read(raw)


def test_the_rates_of_a_header(tmp_path):
    path = write_edf(tmp_path / "night.edf", rates={"ECG": 256.0, "Thor": 32.0, "Temp": 0.5})
    assert edf.read_rates(path) == [("ECG", 256), ("Thor", 32), ("Temp", 0.5)]


def test_a_file_that_was_cut_off_says_how_much_is_there_once(tmp_path):
    path = write_edf(tmp_path / "night.edf", seconds=7200)
    content = path.read_bytes()
    path.write_bytes(content[: round(len(content) * 0.7)])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        opened = open_recording(path)
    assert [str(warning.message) for warning in caught] == [
        "night.edf says it lasts 2:00:00 (h:min:s), and 1:23:59 of it are there: the file was cut "
        "off. Copy or export it again, or go on with that part."
    ]
    assert opened.n_epochs == 167  # of 5039 s
    path.write_bytes(content[:236] + b"-1      " + content[244:])
    with pytest.warns(RuntimeWarning, match="Number of records"):  # MNE's, of one not stopped
        open_recording(path)


def test_an_edf_of_annotations_alone_is_no_recording(tmp_path):
    path = tmp_path / "hyp.edf"
    edfio.Edf([], annotations=[edfio.EdfAnnotation(0, 3600, "Sleep stage W")]).write(path)
    with pytest.raises(ValueError, match=r"hyp\.edf has no signals"):
        open_recording(path)
