"""Recordings as they should not be: each ends in a right hypnogram or in one clear sentence."""

import datetime
import re
import shutil
import warnings

import edfio
import mne
import numpy as np
import pytest
from builders import assert_clean, make_wave

from mne_wav2sleep import SleepStagerW2S

N = 10
"""Epochs of most recordings here."""
LABELS = ("ECG", "Pleth", "Abdo", "Thor")
START = datetime.datetime(2024, 3, 1, 22, 30, tzinfo=datetime.UTC)


def make_raw(sfreq=64.0, seconds=30 * N, labels=LABELS, kinds="misc", start=START):
    data = np.array([make_wave(sfreq, seconds, seed) for seed in range(len(labels))])
    raw = mne.io.RawArray(data, mne.create_info(list(labels), sfreq, kinds), verbose="error")
    return raw.set_meas_date(start)


def with_values(values, first=0, last=None, rows=slice(None), **kwargs):
    """A Raw with other values from one second to another."""
    raw = make_raw(**kwargs)
    sfreq = raw.info["sfreq"]
    span = slice(round(first * sfreq), None if last is None else round(last * sfreq))
    raw._data[rows, span] = values
    return raw


def transformed(change, rows=slice(None), **kwargs):
    raw = make_raw(**kwargs)
    raw._data[rows] = change(raw._data[rows])
    return raw


def annotated(onset, duration, text, **kwargs):
    return make_raw(**kwargs).set_annotations(mne.Annotations(onset, duration, text, START))


def write_edf(folder, labels=LABELS, seconds=30 * N, record=1.0, sfreq=64.0, **kwargs):
    """An EDF+ with a wave per label."""
    signals = [
        edfio.EdfSignal(
            1e6 * make_wave(sfreq, seconds, seed), sfreq, label=label, physical_dimension="uV"
        )
        for seed, label in enumerate(labels)
    ]
    annotations = [edfio.EdfAnnotation(1, None, "Lights off")]
    edf = edfio.Edf(signals, data_record_duration=record, annotations=annotations, **kwargs)
    edf.write(folder / "night.edf")
    return folder / "night.edf"


def patched(folder, position, content, **kwargs):
    """An EDF with other bytes in its header."""
    path = write_edf(folder, **kwargs)
    data = bytearray(path.read_bytes())
    data[position : position + len(content)] = content
    path.write_bytes(data)
    return path


def field(number, width, offset, n_signals=5):
    """Where a field of a signal is in an EDF header: its signals' fields lie side by side."""
    return 256 + n_signals * offset + number * width


def written(folder, name, content):
    (folder / name).write_bytes(content)
    return folder / name


def split_fif(folder):
    make_raw(sfreq=256.0, seconds=1800).save(
        folder / "night_raw.fif", split_size="2MB", verbose="error"
    )
    assert len(list(folder.glob("night_raw*.fif"))) > 1
    return folder / "night_raw.fif"


def cut_fif(folder):
    path = folder / "night_raw.fif"
    make_raw().save(path, verbose="error")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def lost_split(folder):
    path = split_fif(folder)
    (folder / "night_raw-1.fif").unlink()
    return path


def gone(folder):
    """A Raw whose file is deleted before its samples are read."""
    path = folder / "night_raw.fif"
    make_raw().save(path, verbose="error")
    raw = mne.io.read_raw(path, preload=False, verbose="error")
    path.unlink()
    return raw


def two_ecgs(folder):
    return write_edf(folder, labels=("ECG", "ECG", "Abdo", "Thor"))


# What to make, and the number of epochs (and the warning) or the error that must come of it.
CASES = {
    # Samples
    "NaN for 20 s": (lambda _: with_values(np.nan, 40, 60), N, "not finite.*1 of 10"),
    "infinity for 20 s": (lambda _: with_values(-np.inf, 40, 60), N, "not finite.*1 of 10"),
    "NaN in every second sample": (
        lambda _: transformed(lambda x: np.where(np.arange(x.shape[1]) % 2, x, np.nan), [0]),
        N,
        "2.5 min not finite.*0 of 10",
    ),
    "one channel all NaN": (lambda _: with_values(np.nan, rows=1), N, "PPG.*left out"),
    "all NaN": (lambda _: with_values(np.nan), ValueError, "nothing to stage"),
    "one channel constant": (lambda _: with_values(7.0, rows=0), N, "ECG.*flat.*left out"),
    "all constant": (lambda _: with_values(7.0), ValueError, "nothing to stage"),
    "all zero": (lambda _: with_values(0.0), ValueError, "nothing to stage"),
    "a flat start that ends in a step": (
        lambda _: with_values([0.0] * 4999 + [1.0], 0, 5000 / 64, rows=0),
        N,
        "ECG.*flat.*3 of 10",
    ),
    "one bit": (lambda _: transformed(np.sign), N, None),
    "one bit of ECG": (lambda _: transformed(np.sign, [0]), N, None),
    "clipped": (lambda _: transformed(lambda x: np.clip(x, -5e-5, 5e-5)), N, None),
    "clipped on one side": (lambda _: transformed(lambda x: np.maximum(x, 0), [1, 2]), N, None),
    "8 bits": (lambda _: transformed(lambda x: np.round(x / np.ptp(x) * 255)), N, None),
    "a spike of 1e30": (lambda _: with_values(1e30, 100, 100.02, rows=0), N, "extreme"),
    "spikes of 1e300": (lambda _: with_values(1e300, 100, 100.02), N, "extreme"),
    "values of 1e-300": (lambda _: transformed(lambda x: x * 1e-300), N, None),
    "values of 1e300": (lambda _: transformed(lambda x: x * 1e300), N, None),
    "an offset of 1e6": (lambda _: transformed(lambda x: x + 1e6), N, None),
    "complex numbers": (
        lambda _: mne.io.RawArray(
            make_raw()._data * (1 + 1j), mne.create_info(list(LABELS), 64.0, "misc"), verbose=False
        ),
        ValueError,
        "complex",
    ),
    "unplugged for half of the night": (lambda _: with_values(0.0, 150), N, "5 of 10"),
    "a sensor that came late": (lambda _: with_values(0.0, 0, 280, rows=3), N, "THX.*9 of 10"),
    # Length and rate
    "one sample": (lambda _: make_raw(seconds=1 / 64), ValueError, "0.02 s long"),
    "29.9 s": (lambda _: make_raw(sfreq=100.0, seconds=29.9), ValueError, "29.90 s long"),
    "30.0 s": (lambda _: make_raw(seconds=30), 1, "1 epoch of 30 s"),
    "belts at 1 Hz": (lambda _: make_raw(sfreq=1.0, labels=LABELS[2:]), N, "1 Hz, too slowly"),
    "ECG at 5 kHz": (lambda _: make_raw(sfreq=5000.0, labels=LABELS[:1]), N, None),
    "125.3 Hz": (lambda _: make_raw(sfreq=125.3), N, None),
    "one sample in 100 s": (lambda _: make_raw(sfreq=0.01), ValueError, "nothing to stage"),
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
    "EDF of a time that is none": (
        lambda f: patched(f, 168, b"99.99.9999.99.99"),
        N,
        None,
    ),
    # Annotations
    "BAD all night": (lambda _: annotated(0, 400, "BAD"), ValueError, "nothing to stage"),
    "BAD for no time": (lambda _: annotated(100, 0, "BAD boundary"), N, "joined"),
    "BAD before and after": (
        lambda _: annotated(200, 1000, "bad_late").crop(100),
        6,
        "3 of 6 epochs",
    ),
    "a thousand BAD spans": (
        lambda _: annotated(np.linspace(0, 299, 1000), np.full(1000, 0.1), ["BAD"] * 1000),
        N,
        "0 of 10",
    ),
    "BAD_ACQ_SKIP": (lambda _: annotated(60, 60, "BAD_ACQ_SKIP"), N, "2 of 10"),
    # Labels and channels
    "labels of other letters": (
        lambda _: make_raw(labels=("心電図 ECG", "Θώρακας", "Thor")),
        N,
        None,
    ),
    "labels with line breaks": (
        lambda _: make_raw(labels=("ECG\n1", "x" * 300, "Thor\t", "💔")),
        N,
        None,
    ),
    "two channels of one label": (two_ecgs, N, None),
    "bad channels only": (
        lambda _: _with_bads(make_raw()),
        ValueError,
        "bad",
    ),
    "stimulus channels only": (
        lambda _: make_raw(labels=("STI 014", "Trigger"), kinds="stim"),
        ValueError,
        "No channel",
    ),
    "references only": (
        lambda _: make_raw(labels=("M1", "M2"), kinds="eeg"),
        ValueError,
        "No channel",
    ),
    "numbers for labels": (lambda _: make_raw(labels=("1", "2")), ValueError, "No channel"),
    "volts that are microvolts": (lambda _: transformed(lambda x: x * 1e6), N, None),
    # EDF
    "records of 0.5 s": (lambda f: write_edf(f, record=0.5), N, None),
    "records of 7 s": (lambda f: write_edf(f, seconds=301, record=7.0), N, None),
    "interrupted, records not in order": (
        lambda f: patched(f, 192, b"EDF+D"),
        N,
        None,
    ),
    "fewer records than the header says": (
        lambda f: patched(f, 236, b"9999    "),
        N,
        r"says it lasts \d.* of it are there: the file was cut off",
    ),
    "an unknown number of records": (lambda f: patched(f, 236, b"-1      "), N, None),
    "more signals than there are": (
        lambda f: patched(f, 252, b"200 "),
        ValueError,
        "cannot be read",
    ),
    "no number of signals": (lambda f: patched(f, 252, b"many"), ValueError, "cannot be read"),
    "no signals": (lambda f: patched(f, 252, b"0   "), ValueError, "has no signals"),
    "a physical range of zero": (
        lambda f: patched(f, field(0, 8, 104), b"1       1       "),
        N,
        None,
    ),
    "a digital range of zero": (
        lambda f: patched(f, field(0, 8, 120), b"5       "),
        N,
        None,
    ),
    "no samples per record": (
        lambda f: patched(f, field(0, 8, 216), b"0       "),
        ValueError,
        "cannot be read",
    ),
    "a record of no time": (lambda f: patched(f, 244, b"0       "), N, None),
    "cut off in the data": (
        lambda f: written(f, "cut.edf", write_edf(f).read_bytes()[:-5000]),
        9,
        None,
    ),
    "cut off in the header": (
        lambda f: written(f, "cut.edf", write_edf(f).read_bytes()[:700]),
        ValueError,
        "cannot be read",
    ),
    # Files
    "an empty file": (lambda f: written(f, "night.edf", b""), ValueError, "is empty"),
    "a text": (
        lambda f: written(f, "night.edf", b"Dear Sir,\n" * 99),
        ValueError,
        "cannot be read",
    ),
    "noise called EDF": (
        lambda f: written(f, "night.edf", np.random.default_rng(0).bytes(9999)),
        ValueError,
        "cannot be read",
    ),
    "noise called FIF": (
        lambda f: written(f, "night_raw.fif", np.random.default_rng(0).bytes(9999)),
        ValueError,
        "cannot be read",
    ),
    "an EDF called FIF": (
        lambda f: shutil.copy(write_edf(f), f / "night_raw.fif"),
        ValueError,
        "cannot be read",
    ),
    "a file of another kind": (lambda f: written(f, "night.docx", b"PK"), ValueError, "cannot be"),
    "a folder": (lambda f: f, ValueError, "is a folder"),
    "nothing there": (lambda f: f / "night.edf", FileNotFoundError, "no recording at"),
    "a FIF in parts": (split_fif, 60, None),
    "a FIF whose second part is lost": (lost_split, ValueError, "night_raw-1.fif does not exist"),
    "half a FIF": (cut_fif, ValueError, "samples of .* cannot be read"),
    "a file that is gone": (gone, ValueError, "still there"),
    "an array": (lambda _: np.zeros((4, 1000)), TypeError, "raw must be an instance of"),
    "None": (lambda _: None, TypeError, "raw must be an instance of"),
}


def _with_bads(raw):
    raw.info["bads"] = list(LABELS)
    return raw


@pytest.mark.parametrize("name", CASES)
def test_hostile_recordings(name, tmp_path, small_folder):
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
        assert len(stager.availability) == outcome
        np.testing.assert_allclose(hyp.proba.sum(axis=1), 1)
        unmeasured = (stager.availability != "measured").all(axis=1).to_numpy()
        assert ((hyp.hypno == "UNS").to_numpy() == unmeasured).all()
        messages = " ".join(str(w.message) for w in caught)
        assert re.search(pattern or "", messages), messages
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(outcome, match=pattern) as caught:
            SleepStagerW2S(source, weights=small_folder).predict()
    assert_clean(caught.value)


def test_there_are_enough_of_them():
    assert len(CASES) >= 60
