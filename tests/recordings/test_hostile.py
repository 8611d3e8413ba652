"""Malformed recordings: each gives a correct hypnogram or one clear sentence."""

import re
import shutil
import warnings
from functools import partial

import builders
import mne
import numpy as np
import pytest
from builders import LABELS, START, assert_clean

from mne_wav2sleep import SleepStagerW2S

N = 10
"""Number of epochs in most recordings here."""

make_raw = partial(builders.make_raw, seconds=30 * N, start=START)


def set_values(values, first=0, last=None, rows=slice(None)):
    """Make a Raw with other values between two times in seconds."""
    raw = make_raw()
    sfreq = raw.info["sfreq"]
    span = slice(round(first * sfreq), None if last is None else round(last * sfreq))
    raw._data[rows, span] = values
    return raw


def transform(change, rows=slice(None)):
    """Make a Raw with transformed samples."""
    raw = make_raw()
    raw._data[rows] = change(raw._data[rows])
    return raw


def annotate(onset, duration, text):
    """Make a Raw with annotations."""
    return make_raw().set_annotations(mne.Annotations(onset, duration, text, START))


def write_edf(folder, seconds=30 * N, record_s=1.0):
    """Write an EDF+ with four signals of 64 Hz and an annotation channel."""
    rates = dict.fromkeys(LABELS, 64.0)
    path = folder / "night.edf"
    return builders.write_edf(path, rates, seconds, data_record_duration=record_s)


def patch_edf(folder, *patches):
    """Write an EDF+ with other bytes at some positions of the header."""
    path = write_edf(folder)
    data = bytearray(path.read_bytes())
    for position, content in patches:
        data[position : position + len(content)] = content
    path.write_bytes(data)
    return path


def locate_field(signal, width, offset, n_signals=5):
    """Locate a field of a signal in an EDF header, which stores each field for all signals."""
    return 256 + n_signals * offset + signal * width


def write_bytes(folder, name, content):
    (folder / name).write_bytes(content)
    return folder / name


def mark_all_bad():
    raw = make_raw()
    raw.info["bads"] = list(LABELS)
    return raw


def make_complex():
    info = mne.create_info(list(LABELS), 64.0, "misc")
    return mne.io.RawArray(make_raw()._data * (1 + 1j), info, verbose="error")


def split_fif(folder):
    """Write a FIF that is split into several files."""
    make_raw(sfreq=256.0, seconds=1800).save(
        folder / "night_raw.fif", split_size="2MB", verbose="error"
    )
    assert len(list(folder.glob("night_raw*.fif"))) > 1
    return folder / "night_raw.fif"


def cut_fif(folder):
    """Write a FIF, and truncate it."""
    path = folder / "night_raw.fif"
    make_raw().save(path, verbose="error")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def lose_part_of_fif(folder):
    """Write a FIF in several files, and delete the second one."""
    path = split_fif(folder)
    (folder / "night_raw-1.fif").unlink()
    return path


def lose_file(folder):
    """Open a FIF as a Raw, and delete the file before its samples are read."""
    path = folder / "night_raw.fif"
    make_raw().save(path, verbose="error")
    raw = mne.io.read_raw(path, preload=False, verbose="error")
    path.unlink()
    return raw


# A function that makes a recording, and the expected number of epochs and warning, or the expected
# error.
CASES = {
    # Samples
    "NaN for 20 s": (lambda _: set_values(np.nan, 40, 60), N, "not finite.*1 of 10"),
    "infinity for 20 s": (lambda _: set_values(-np.inf, 40, 60), N, "not finite.*1 of 10"),
    "NaN in every second sample": (
        lambda _: transform(lambda x: np.where(np.arange(x.shape[1]) % 2, x, np.nan), [0]),
        N,
        "2.5 min not finite.*0 of 10",
    ),
    "one channel all NaN": (lambda _: set_values(np.nan, rows=1), N, "PPG.*left out"),
    "all NaN": (lambda _: set_values(np.nan), ValueError, "nothing to stage"),
    "one channel constant": (lambda _: set_values(7.0, rows=0), N, "ECG.*flat.*left out"),
    "all constant": (lambda _: set_values(7.0), ValueError, "nothing to stage"),
    "all zero": (lambda _: set_values(0.0), ValueError, "nothing to stage"),
    "flat at the start, then a step": (
        lambda _: set_values([0.0] * 4999 + [1.0], 0, 5000 / 64, rows=0),
        N,
        "ECG.*flat.*3 of 10",
    ),
    "one bit": (lambda _: transform(np.sign), N, None),
    "one bit of ECG": (lambda _: transform(np.sign, [0]), N, None),
    "clipped": (lambda _: transform(lambda x: np.clip(x, -5e-5, 5e-5)), N, None),
    "clipped on one side": (lambda _: transform(lambda x: np.maximum(x, 0), [1, 2]), N, None),
    "8 bits": (lambda _: transform(lambda x: np.round(x / np.ptp(x) * 255)), N, None),
    "a spike of 1e30": (lambda _: set_values(1e30, 100, 100.02, rows=0), N, "extreme"),
    "spikes of 1e300": (lambda _: set_values(1e300, 100, 100.02), N, "extreme"),
    "values of 1e-300": (lambda _: transform(lambda x: x * 1e-300), N, None),
    "values of 1e300": (lambda _: transform(lambda x: x * 1e300), N, None),
    "an offset of 1e6": (lambda _: transform(lambda x: x + 1e6), N, None),
    "complex numbers": (
        lambda _: make_complex(),
        ValueError,
        "complex",
    ),
    "unplugged for half of the night": (lambda _: set_values(0.0, 150), N, "5 of 10"),
    "a sensor attached late": (lambda _: set_values(0.0, 0, 280, rows=3), N, "THX.*9 of 10"),
    # Length and rate
    "one sample": (lambda _: make_raw(seconds=1 / 64), ValueError, "0.02 s long"),
    "29.9 s": (lambda _: make_raw(sfreq=100.0, seconds=29.9), ValueError, "29.90 s long"),
    "30.0 s": (lambda _: make_raw(seconds=30), 1, "1 epoch of 30 s"),
    "belts at 1 Hz": (lambda _: make_raw(sfreq=1.0, labels=LABELS[2:]), N, "1 Hz, too slowly"),
    "ECG at 5 kHz": (lambda _: make_raw(sfreq=5000.0, labels=LABELS[:1]), N, None),
    "125.3 Hz": (lambda _: make_raw(sfreq=125.3), N, None),
    "a rate of 0.01 Hz": (lambda _: make_raw(sfreq=0.01), ValueError, "one sample per epoch"),
    # Dates and clocks
    "before 1970": (lambda _: make_raw(start=START.replace(year=1955)), N, None),
    "the year 2090": (lambda _: make_raw(start=START.replace(year=2090)), N, None),
    "no date": (lambda _: make_raw(start=None), N, None),
    "over midnight, cropped": (
        lambda _: make_raw(start=START.replace(hour=23, minute=59)).crop(45),
        8,
        None,
    ),
    "a first sample": (lambda _: make_raw().crop(30), 9, None),
    "EDF with an invalid date and time": (
        lambda f: patch_edf(f, (168, b"99.99.9999.99.99")),
        N,
        None,
    ),
    # Annotations
    "BAD throughout": (lambda _: annotate(0, 400, "BAD"), ValueError, "nothing to stage"),
    "BAD with a duration of 0": (lambda _: annotate(100, 0, "BAD boundary"), N, "concatenated"),
    "BAD beyond both ends": (
        lambda _: annotate(200, 1000, "bad_late").crop(100),
        6,
        "3 of 6 epochs",
    ),
    "a thousand BAD spans": (
        lambda _: annotate(np.linspace(0, 299, 1000), np.full(1000, 0.1), ["BAD"] * 1000),
        N,
        "0 of 10",
    ),
    "BAD_ACQ_SKIP": (lambda _: annotate(60, 60, "BAD_ACQ_SKIP"), N, "2 of 10"),
    # Labels and channels
    "labels in other scripts": (
        lambda _: make_raw(labels=("心電図 ECG", "Θώρακας", "Thor")),
        N,
        None,
    ),
    "labels with line breaks": (
        lambda _: make_raw(labels=("ECG\n1", "x" * 300, "Thor\t", "💔")),
        N,
        None,
    ),
    "two channels with the same label": (
        lambda f: patch_edf(f, (locate_field(1, 16, 0), b"ECG             ")),
        N,
        None,
    ),
    "bad channels only": (
        lambda _: mark_all_bad(),
        ValueError,
        "bad",
    ),
    "stimulus channels only": (
        lambda _: make_raw(labels=("STI 014", "Trigger"), types="stim"),
        ValueError,
        "No channel",
    ),
    "references only": (
        lambda _: make_raw(labels=("M1", "M2"), types="eeg"),
        ValueError,
        "No channel",
    ),
    "labels that are numbers": (lambda _: make_raw(labels=("1", "2")), ValueError, "No channel"),
    "microvolts declared as volts": (lambda _: transform(lambda x: x * 1e6), N, None),
    # EDF
    "records of 0.5 s": (lambda f: write_edf(f, record_s=0.5), N, None),
    "records of 7 s": (lambda f: write_edf(f, seconds=301, record_s=7.0), N, None),
    "a continuous file declared as discontinuous": (
        lambda f: patch_edf(f, (192, b"EDF+D")),
        N,
        None,
    ),
    "fewer records than in the header": (
        lambda f: patch_edf(f, (236, b"9999    ")),
        N,
        r"gives a duration of \d.*, but the file contains \d.*: the file was cut off",
    ),
    "an unknown number of records": (lambda f: patch_edf(f, (236, b"-1      ")), N, None),
    "more signals in the header than in the file": (
        lambda f: patch_edf(f, (252, b"200 ")),
        ValueError,
        "cannot be read",
    ),
    "number of signals is text": (
        lambda f: patch_edf(f, (252, b"many")),
        ValueError,
        "cannot be read",
    ),
    "no signals": (lambda f: patch_edf(f, (252, b"0   ")), ValueError, "has no signals"),
    "a physical range of zero": (
        lambda f: patch_edf(
            f, (locate_field(0, 8, 104), b"1       "), (locate_field(0, 8, 112), b"1       ")
        ),
        N,
        None,
    ),
    "a digital range of zero": (
        lambda f: patch_edf(
            f, (locate_field(0, 8, 120), b"5       "), (locate_field(0, 8, 128), b"5       ")
        ),
        N,
        None,
    ),
    "no samples per record": (
        lambda f: patch_edf(f, (locate_field(0, 8, 216), b"0       ")),
        ValueError,
        "has less than one sample per epoch",
    ),
    "records of 0 s": (lambda f: patch_edf(f, (244, b"0       ")), N, None),
    "truncated in the data": (
        lambda f: write_bytes(f, "cut.edf", write_edf(f).read_bytes()[:-5000]),
        9,
        None,
    ),
    "truncated in the header": (
        lambda f: write_bytes(f, "cut.edf", write_edf(f).read_bytes()[:700]),
        ValueError,
        "cannot be read",
    ),
    # Files
    "an empty file": (lambda f: write_bytes(f, "night.edf", b""), ValueError, "is empty"),
    "a text": (
        lambda f: write_bytes(f, "night.edf", b"Dear Sir,\n" * 99),
        ValueError,
        "cannot be read",
    ),
    "noise with the suffix of EDF": (
        lambda f: write_bytes(f, "night.edf", np.random.default_rng(0).bytes(9999)),
        ValueError,
        "cannot be read",
    ),
    "noise with the suffix of FIF": (
        lambda f: write_bytes(f, "night_raw.fif", np.random.default_rng(0).bytes(9999)),
        ValueError,
        "cannot be read",
    ),
    "an EDF with the suffix of FIF": (
        lambda f: shutil.copy(write_edf(f), f / "night_raw.fif"),
        ValueError,
        "cannot be read",
    ),
    "a file of another format": (
        lambda f: write_bytes(f, "night.docx", b"PK"),
        ValueError,
        "cannot be",
    ),
    "a folder": (lambda f: f, ValueError, "is a folder"),
    "a path that does not exist": (lambda f: f / "night.edf", FileNotFoundError, "no recording at"),
    "a FIF in several files": (split_fif, 60, None),
    "a FIF without its second file": (
        lose_part_of_fif,
        ValueError,
        "night_raw-1.fif does not exist",
    ),
    "half a FIF": (cut_fif, ValueError, "samples of .* cannot be read"),
    "a file that was deleted": (lose_file, ValueError, "still exists"),
    "an array": (lambda _: np.zeros((4, 1000)), TypeError, "raw must be an instance of"),
    "None": (lambda _: None, TypeError, "raw must be an instance of"),
}


@pytest.mark.parametrize("name", CASES)
def test_malformed_recordings(name, tmp_path, small_folder):
    make, outcome, pattern = CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = make(tmp_path)
    if isinstance(outcome, int):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            stager = SleepStagerW2S(source, weights=small_folder)
            hyp = stager.predict()
        assert hyp.n_epochs == outcome
        assert len(stager.availability()) == outcome
        np.testing.assert_allclose(hyp.proba.sum(axis=1), 1)
        unmeasured = (stager.availability() != "measured").all(axis=1).to_numpy()
        assert ((hyp.hypno == "UNS").to_numpy() == unmeasured).all()
        messages = " ".join(str(w.message) for w in caught)
        assert re.search(pattern or "", messages), messages
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(outcome, match=pattern) as caught:
            SleepStagerW2S(source, weights=small_folder).predict()
    assert_clean(caught.value)


def test_number_of_cases():
    assert len(CASES) >= 60
