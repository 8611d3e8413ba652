"""Make a folder of simulated nights: python benchmarks/make_nights.py FOLDER [--nights 60].

They last 1 to 10 h, and differ in rate, labels, signals and format: EDF, BDF, FIF and BrainVision.
Five of them are broken, each in another way. Their hypnograms are beside the others, in several
formats. What is there already is not made again.
"""

import argparse
from datetime import datetime
from pathlib import Path

import edfio
import mne
import numpy as np

from mne_wav2sleep import read_hypnogram, simulate_night, write_hypnogram

LABELS = (
    {},
    {"ECG": "EKG II", "Pleth": "SpO2 Pleth", "Abdomen": "Abdo", "Thorax": "Thor"},
    {"ECG": "ECG1-ECG2", "Pleth": "PPG", "Abdomen": "RIP Abdom", "Thorax": "RIP Thorax"},
)
SIGNALS = (
    ("ABD", "ECG", "PPG", "THX"),
    ("ECG", "THX"),
    ("PPG",),
    ("ABD", "ECG", "THX"),
)
RATES = (64.0, 100.0, 128.0, 200.0)
SUFFIXES = (".edf", ".edf", ".bdf", ".fif", ".vhdr")
SCORED = (".json", ".csv", ".tsv", ".txt")
N_BROKEN = 5


def write_recording(raw: mne.io.BaseRaw, path: Path) -> None:
    """Write a recording in the format of its suffix."""
    if path.suffix == ".fif":
        raw.save(path, overwrite=True, verbose="error")
    elif path.suffix == ".bdf":
        signals = [
            edfio.BdfSignal(row, raw.info["sfreq"], label=name)
            for name, row in zip(raw.ch_names, raw.get_data(), strict=True)
        ]
        start = raw.info["meas_date"]
        edfio.Bdf(
            signals,
            recording=edfio.Recording(startdate=start.date()),
            starttime=start.time().replace(tzinfo=None),
        ).write(path)
    elif path.suffix == ".vhdr":
        write_brainvision(raw, path)
    else:
        raw.export(path, physical_range="channelwise", overwrite=True, verbose="error")


def write_brainvision(raw: mne.io.BaseRaw, path: Path) -> None:
    """Write a BrainVision file, for which MNE would need another package."""
    channels = "".join(f"Ch{i}={name},,1,\u00b5V\n" for i, name in enumerate(raw.ch_names, 1))
    path.write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={path.stem}.eeg\nMarkerFile={path.stem}.vmrk\nDataFormat=BINARY\n"
        f"DataOrientation=MULTIPLEXED\nNumberOfChannels={len(raw.ch_names)}\n"
        f"SamplingInterval={1e6 / raw.info['sfreq']:g}\n"
        f"[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n[Channel Infos]\n{channels}",
        encoding="utf-8",
    )
    start = raw.info["meas_date"] or datetime(2024, 3, 1, 22, 30)
    path.with_suffix(".vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile={path.stem}.eeg\n[Marker Infos]\n"
        f"Mk1=New Segment,,1,1,0,{start:%Y%m%d%H%M%S%f}\n",
        encoding="utf-8",
    )
    (1e6 * raw.get_data().T).astype("<f4").tofile(path.with_suffix(".eeg"))


def make_night(folder: Path, number: int) -> None:
    """Make a recording and its hypnogram."""
    rng = np.random.default_rng(number)
    suffix = SUFFIXES[number % len(SUFFIXES)]
    path = (
        folder / f"site{number % 3}" / f"p{number:04}{'_raw' if suffix == '.fif' else ''}{suffix}"
    )
    scored = path.with_name(f"p{number:04}_hypnogram{SCORED[number % len(SCORED)]}")
    if scored.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = simulate_night(
        duration=30 * round(120 * rng.uniform(1, 10)),
        modalities=SIGNALS[number % len(SIGNALS)],
        sfreq=RATES[number % len(RATES)],
        seed=number,
        sensor_failures=int(rng.integers(0, 3)),
        apnea_index=float(rng.uniform(0, 30)),
        verbose="error",
    )
    hyp = read_hypnogram(None, raw)
    raw.set_annotations(None)
    names = {old: new for old, new in LABELS[number % len(LABELS)].items() if old in raw.ch_names}
    write_recording(raw.rename_channels(names), path)
    write_hypnogram(hyp, scored)  # the last, by which the night is known to be complete


def make_broken(folder: Path) -> None:
    """Make five recordings that cannot be staged."""
    folder = folder / "broken"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "empty.edf").touch()
    (folder / "text.edf").write_text("This is not a recording.\n" * 100)
    info = mne.create_info(["EEG C3", "EEG C4"], 100.0, "eeg")
    raw = mne.io.RawArray(
        np.random.default_rng(0).normal(0, 1e-5, (2, 360_000)), info, verbose="error"
    )
    raw.export(folder / "eeg.edf", overwrite=True, verbose="error")
    flat = mne.create_info(["ECG", "Thor"], 100.0, "misc")
    raw = mne.io.RawArray(np.zeros((2, 360_000)), flat, verbose="error")
    raw.save(folder / "flat_raw.fif", overwrite=True, verbose="error")
    write_brainvision(raw, folder / "lost.vhdr")
    (folder / "lost.eeg").unlink()


def make_nights(folder: Path, n_nights: int) -> None:
    """Make nights, of which the last five are broken."""
    for number in range(n_nights - N_BROKEN):
        make_night(folder, number)
    make_broken(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nights", type=int, default=60)
    arguments = parser.parse_args()
    make_nights(arguments.folder, arguments.nights)
