"""Sizes that a header claims, and places of annotations, are checked before memory is taken."""

import struct
from contextlib import nullcontext
from functools import partial

import builders
import mne
import numpy as np
import pytest
from builders import START, write_discontinuous, write_edf

from mne_wav2sleep import SleepStagerW2S
from mne_wav2sleep.recordings.channels import map_channels
from mne_wav2sleep.recordings.opening import LONGEST_DAYS, open_recording, set_rates
from mne_wav2sleep.recordings.reading import read_signals
from mne_wav2sleep.signals import Reason, Validity

make_raw = partial(builders.make_raw, ("ECG", "Thor"), seconds=120.0, types="eeg", start=START)
HOUR = 3600.0


def change_header(path, **fields):
    """Change fields of the fixed header of an EDF."""
    places = {"kind": 192, "n_records": 236, "record_s": 244, "n_channels": 252}
    content = bytearray(path.read_bytes())
    for name, value in fields.items():
        width = 4 if name == "n_channels" else 8
        content[places[name] : places[name] + width] = str(value).encode().ljust(width)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("record_s", "message"),
    [
        ("1e9", r"lasts 2\.3148e\+05 days according to its header; up to 31 days"),
        (133920, r"has less than one sample per epoch of 30 s: its rate is 0\.0004\d+ Hz"),
        (99999999, r"lasts 23,148 days"),
        ("1e300", r"lasts \S+ days according to its header"),
        ("inf", r"cannot be read as a recording \(ZeroDivisionError"),
        ("nan", r"gives a sampling rate of nan Hz"),
        ("-1", r"gives a sampling rate of -\d+ Hz"),
        ("1e-9", r"is 0\.00 s long; staging needs at least"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_duration_of_a_record_is_not_believed(record_s, message, tmp_path):
    path = write_edf(tmp_path / "night.edf", {"ECG": 64.0}, 20, notes=())
    change_header(path, record_s=record_s)
    with pytest.raises(ValueError, match=message):
        SleepStagerW2S(path, weights="mini")


def test_a_recording_of_a_month_is_not_too_long(tmp_path):
    """At 1 Hz, since no more is needed to plan its epochs."""
    seconds = LONGEST_DAYS * 86400
    write = partial(write_edf, rates={"ECG": 1.0}, notes=(), data_record_duration=3600)
    path = write(tmp_path / "month.edf", seconds=seconds)
    assert open_recording(path).n_epochs == LONGEST_DAYS * 2880
    path = write(tmp_path / "more.edf", seconds=seconds + 3600)
    with pytest.raises(ValueError, match=r"lasts 31\.042 days .*export it in parts"):
        open_recording(path)


@pytest.mark.parametrize(
    ("begins", "days"),
    [
        (np.arange(40) * 20 * HOUR, "32.5"),
        (np.r_[0, np.arange(1, 17) * 47.5 * HOUR], "31.667"),
        (np.r_[0, np.cumsum(np.linspace(10, 40, 60))] * HOUR, "62.5"),
    ],
)
def test_the_sum_of_gaps_has_a_limit(begins, days, tmp_path):
    path = write_discontinuous(tmp_path / "gaps.edf", begins)
    message = rf"lasts {days} days according to its header, of which \S+ were not recorded"
    with pytest.raises(ValueError, match=message):
        open_recording(path)


@pytest.mark.parametrize(("rate", "last"), [(2000.0, 12 * HOUR), (4000.0, 6 * HOUR)])
def test_gaps_do_not_take_more_memory_than_is_stated(rate, last, tmp_path):
    begins = np.r_[0:40, last : last + 10]
    path = write_discontinuous(tmp_path / "gap.edf", begins, rates={"ECG": rate, "Thor": 32.0})
    with pytest.raises(ValueError, match=rf"claims \S+ samples of a channel \({rate:,.0f} Hz\)"):
        open_recording(path)
    write_discontinuous(path, np.r_[0:40, 3600:3610], rates={"ECG": rate, "Thor": 32.0})
    assert open_recording(path).n_epochs == 120


def test_windows_within_a_gap_are_not_filled(tmp_path):
    path = write_discontinuous(tmp_path / "gap.edf", np.r_[0:60, 40 * HOUR : 40 * HOUR + 60])
    reader = open_recording(path).reader
    data, recorded = reader.read(["ECG"], 10 * HOUR, 20 * HOUR)
    assert data["ECG"].size == recorded.size == 0
    recording = open_recording(path)
    channels = set_rates(recording, map_channels(recording.raw))
    with pytest.warns(RuntimeWarning, match=r"\(600 min not recorded\): it is left out"):
        signals = read_signals(recording, channels, Validity(), start=10 * HOUR, stop=20 * HOUR)
    assert (signals["ECG"].epochs == Reason.NOT_RECORDED).all()
    assert signals["ECG"].epochs.size == 1200


@pytest.mark.parametrize(
    ("n_records", "message"),
    [("99999999", "gives a duration of 1,157 days"), ("7200", "gives a duration of 2:00:00")],
)
def test_more_records_than_there_are_warn(n_records, message, tmp_path):
    path = write_edf(tmp_path / "night.edf", seconds=60)
    with pytest.warns(RuntimeWarning, match=message):
        recording = open_recording(change_header(path, n_records=n_records))
    assert recording.n_epochs == 2


def patch_fif(path, kind, value, form, *, code):
    """Change a tag of a FIF file."""
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack(">iii", kind, code, 4)) + 16
    struct.pack_into(form, content, at, value)
    path.write_bytes(content)


@pytest.mark.parametrize("first", [2**31 - 10_000, -(2**30), 40 * 86400 * 64])
def test_a_first_sample_far_from_the_date_is_no_start(first, tmp_path):
    path = tmp_path / "night_raw.fif"
    raw = make_raw()
    mne.io.RawArray(raw.get_data(), raw.info, first_samp=64, verbose="error").save(path)
    assert open_recording(path).start.isoformat() == "2024-03-01T22:30:01+00:00"
    patch_fif(path, 208, first, ">i", code=3)
    with pytest.warns(RuntimeWarning, match=r"start of the recording is unknown: .* days after"):
        recording = open_recording(path)
    assert recording.start is None
    assert recording.n_epochs == 4


@pytest.mark.parametrize(
    ("sfreq", "message"),
    [(np.inf, "a sampling rate of inf Hz"), (np.nan, "of nan Hz"), (1e-5, "lasts 8,888.9 days")],
)
def test_the_sampling_rate_of_a_fif_is_not_believed(sfreq, message, tmp_path):
    path = tmp_path / "night_raw.fif"
    make_raw().save(path, verbose="error")
    patch_fif(path, 201, sfreq, ">f", code=4)
    with pytest.raises(ValueError, match=message):
        open_recording(path)


@pytest.mark.parametrize(
    ("onset", "duration"),
    [(3.0, np.inf), (np.nan, 5.0), (7.0, np.nan), (-np.inf, 9.0), (np.inf, np.inf)],
)
def test_bad_annotations_without_a_place_raise(onset, duration):
    raw = make_raw()
    raw.annotations.append(5, 1, "Bad cable")
    raw.annotations.onset[0], raw.annotations.duration[0] = onset, duration
    message = rf"annotation 'Bad cable' has the onset {onset:g} s and the duration {duration:g} s"
    with pytest.raises(ValueError, match=message):
        open_recording(raw)
    raw.annotations.description[0] = "Cable"  # which excludes nothing
    open_recording(raw)


@pytest.mark.parametrize(
    ("onset", "duration", "epochs"),
    [(60, 1e300, [2, 3]), (-1e200, 1e200, []), (-40, 70, [0]), (90, 1e12, [3]), (1e250, 1, [])],
)
def test_bad_annotations_may_extend_beyond_the_recording(onset, duration, epochs):
    raw = make_raw()
    raw.annotations.append(5, 1, "BAD")
    first_time = (START - raw.annotations.orig_time).total_seconds()
    raw.annotations.onset[0], raw.annotations.duration[0] = onset + first_time, duration
    recording = open_recording(raw)
    channels = set_rates(recording, map_channels(raw))
    with pytest.warns(RuntimeWarning, match="bad") if epochs else nullcontext():
        signals = read_signals(recording, channels, Validity())
    assert np.flatnonzero(signals["THX"].epochs == Reason.BAD).tolist() == epochs


@pytest.mark.parametrize("text", ["+1\x15" + "9" * 40, "+" + "9" * 30 + "\x151", "-" + "8" * 25])
@pytest.mark.parametrize("kind", ["EDF+C", "EDF+D"])
def test_annotations_at_impossible_times_raise(kind, text, tmp_path):
    path = write_discontinuous(tmp_path / "far.edf", np.arange(60.0), notes=f"{text}\x14BAD\x14\0")
    with pytest.raises(ValueError, match=r"Check .* that its dates and the times of its annot"):
        open_recording(change_header(path, kind=kind))


def test_annotations_are_not_iterated_over(monkeypatch):
    """With a million of them, that took minutes for each sampling rate."""
    raw = make_raw()
    onsets = np.linspace(0, 119, 20_000)
    texts = np.where(np.arange(20_000) % 5000 == 4999, "BAD beat", "beat")
    raw.set_annotations(mne.Annotations(onsets, 7.6, texts, orig_time=START), emit_warning=False)

    def iterate(annotations):
        raise AssertionError

    monkeypatch.setattr(mne.Annotations, "__iter__", iterate)
    recording = open_recording(raw)
    assert [round(onset, 1) for onset, _, _ in recording.reader.find_bad()] == [
        29.7,
        59.5,
        89.2,
        119.0,
    ]
    channels = set_rates(recording, map_channels(raw))
    with pytest.warns(RuntimeWarning, match=r"\(0\.39[67] min bad\)"):
        read_signals(recording, channels, Validity())
