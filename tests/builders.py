"""Signals, recordings, files and checks that several tests share."""

import traceback
from datetime import UTC, datetime
from pathlib import Path

import edfio
import mne.utils
import numpy as np
import pytest
import torch
import yaml
import yasa

import mne_wav2sleep
from mne_wav2sleep.formats.edf import open_edf
from mne_wav2sleep.signals import Signal

DATA = Path(__file__).parent / "data"
SHARED = Path(__file__).parents[2] / "shared"
START = datetime(2024, 3, 1, 22, 30, tzinfo=UTC)
LABELS = ("ECG", "Pleth", "Abdo", "Thor")
RATES = {"ECG": 256.0, "Thor": 32.0}
HOUR = 3600.0

# Recordings of tests are short, and most of their waves are noisy and have no heart in them. There
# are few of them, so that networks are tried on those they were trained on.
toy_recordings = pytest.mark.filterwarnings(
    r"ignore:The recording lasts (1\.\d h|\d+\.\d min):RuntimeWarning",
    r"ignore:\S+ \(channel .*\) shows (beats|pulses|breaths) in:RuntimeWarning",
    r"ignore:\S+ \(channel .*\) has noise above:RuntimeWarning",
    r"ignore:\d+ of the \d+ nights? (was|were) used to:RuntimeWarning",
    r"ignore:Fine-tuning on \d subjects?:RuntimeWarning",
    "ignore:The weights do not say how their errors go together:RuntimeWarning",
)


def make_wave(sfreq, seconds, seed=0):
    """Make a quasi-periodic wave in volts with noise, shape (n_samples,)."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(sfreq * seconds)) / sfreq
    f = rng.uniform(0.2, 1.2)
    return 1e-4 * (np.sin(2 * np.pi * f * t) + 0.2 * rng.standard_normal(t.size))


def make_signal(data, sfreq, n_epochs):
    """Make a signal that was measured throughout."""
    return Signal(data, sfreq, np.zeros(n_epochs, dtype=np.int8))


def make_raw(labels=LABELS, sfreq=64.0, seconds=HOUR, *, types="misc", start=None, seed=0):
    """Make a Raw with a wave per label, the first one of the seed, the next of seed + 1, ..."""
    data = np.array([make_wave(sfreq, seconds, seed + i) for i in range(len(labels))])
    info = mne.create_info(list(labels), sfreq, types)
    return mne.io.RawArray(data, info, verbose="error").set_meas_date(start)


def fail(raw, labels, first, last, value=0.0):
    """Let sensors stay at one value from one epoch to another."""
    rows = [raw.ch_names.index(label) for label in labels]
    sfreq = raw.info["sfreq"]
    raw._data[rows, round(first * 30 * sfreq) : round(last * 30 * sfreq)] = value
    return raw


def write_edf(path, rates=RATES, seconds=600, *, notes=("Lights off",), **options):
    """Write an EDF+ or BDF+ with a wave per label, in µV, and annotations at 1 s."""
    is_bdf = path.suffix.lower() == ".bdf"
    kind, signal = (edfio.Bdf, edfio.BdfSignal) if is_bdf else (edfio.Edf, edfio.EdfSignal)
    signals = [
        signal(1e6 * make_wave(sfreq, seconds, seed), sfreq, label=label, physical_dimension="uV")
        for seed, (label, sfreq) in enumerate(rates.items())
    ]
    annotations = [edfio.EdfAnnotation(1, None, note) for note in notes]
    kind(signals, annotations=annotations, **options).write(path)
    return path


def write_discontinuous(path, begins, *, rates=RATES, notes=""):
    """Write an EDF+D whose records of 1 s say that they began then."""
    write_edf(path, rates, len(begins), notes=("x" * 80,))  # which makes room for the notes
    content = bytearray(path.read_bytes())
    content[192:197] = b"EDF+D"
    file = open_edf(path)
    size = 2 * sum(file.counts)
    room = 2 * file.counts[-1]
    for i, begin in enumerate(begins):
        text = f"+{begin:.10g}\x14\x14\0{notes if i == 1 else ''}".encode()
        assert len(text) <= room
        at = file.size + (i + 1) * size - room
        content[at : at + room] = text.ljust(room, b"\0")
    path.write_bytes(content)
    return path


def make_paper_folder(folder, state, config=None):
    """Make a folder of the paper's model in the authors' form."""
    folder.mkdir()
    text = (DATA / "paper_config.yaml").read_text() if config is None else yaml.safe_dump(config)
    (folder / "config.yaml").write_text(text)
    torch.save(dict(state), folder / "state_dict.pth")
    return folder


def make_hypnogram(n_epochs=20, *, stages=("WAKE", "N1", "N2", "N3", "REM"), start=None, seed=0):
    """Make a hypnogram of random stages, all of which it has names for."""
    drawn = np.random.default_rng(seed).choice(np.array(stages, dtype=object), n_epochs)
    n_stages = 4 if {"LIGHT", "DEEP"} & set(stages) else 5
    return yasa.Hypnogram(list(drawn), n_stages=n_stages, start=start, scorer="expert")


def assert_clean(error):
    """Check that an error says what is wrong in one line, and comes from us or MNE's checks."""
    assert isinstance(
        error, ValueError | TypeError | FileNotFoundError | mne_wav2sleep.WeightsError
    ), repr(error)
    assert "\n" not in str(error), str(error)
    assert 20 < len(str(error)) < 600, str(error)
    # It comes from nowhere deep inside.
    raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    homes = [Path(module.__file__).parent for module in (mne_wav2sleep, mne.utils)]
    assert any(raised_in.is_relative_to(home) for home in homes), raised_in
