"""Record everything that is computed from a fixed set of nights, to compare two versions.

Run it with each version, then compare::

    python benchmarks/fingerprint.py before.npz
    python benchmarks/fingerprint.py after.npz
    python benchmarks/fingerprint.py --compare before.npz after.npz

Every array is compared bit for bit; the exit code is 1 if any of them differs. Nights are
simulated; ``--recordings`` adds a folder with real ones (``psg_nox_2min.edf``,
``icu_ecg_ppg_resp_8min_125hz.npz``), which are skipped if they are missing.
"""

import argparse
import sys
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import edfio
import mne
import numpy as np
import safetensors.numpy
import torch

from mne_wav2sleep import SleepStagerW2S, simulate_night

try:
    from mne_wav2sleep.cohorts import Night, evaluate, prepare_nights
except ImportError:  # the layout of the first version
    from mne_wav2sleep.training import Night, evaluate, prepare_nights
from mne_wav2sleep.training import FINE_TUNING, TrainingSettings, fine_tune, train

HOUR = 3600.0


def get_values(found):
    """Return what is an attribute in one version, and a method in another."""
    return found() if callable(found) else found


def describe_night(source, **options):
    """Stage a night and return all that comes of it as arrays, by name."""
    stager = SleepStagerW2S(source, weights="mini", device="cpu", **options)
    hyp = stager.predict()
    availability = get_values(stager.availability)
    found = {
        "stages": hyp.hypno.to_numpy(dtype=str),
        "start": np.array([str(hyp.start)]),
        "proba": hyp.proba.to_numpy(),
        "columns": hyp.proba.columns.to_numpy(dtype=str),
        "availability": availability.to_numpy(dtype=str),
        "modalities": availability.columns.to_numpy(dtype=str),
        "sfreq": stager.channels["sfreq"].to_numpy(dtype=float),
    }
    statistics = stager.statistics(ci=0.95)
    found |= {
        f"statistics {c}": statistics[c].to_numpy(dtype=float) for c in ("value", "low", "high")
    }
    quality = stager.quality()
    found["quality"] = quality.drop(columns="polarity").to_numpy(dtype=float)
    audit = stager.audit()
    found |= {
        "agreement": audit.agreement.to_numpy(),
        "shares": audit.stages.to_numpy(),
        "support": audit.support.to_numpy(),
        "disputed": audit.disputed,
    }
    for subset, one in audit.hypnograms.items():
        found[f"proba {subset}"] = one.proba.to_numpy()
    return found


def write_gap(raw, path, gap_s=2400):
    """Write a Raw as an EDF+D whose second half begins later than its first half ends."""
    signals = [
        edfio.EdfSignal(row, raw.info["sfreq"], label=name)
        for name, row in zip(raw.ch_names, raw.get_data() * 1e6, strict=True)
    ]
    note = edfio.EdfAnnotation(1, None, "x" * 40)
    edfio.Edf(signals, annotations=[note], data_record_duration=1).write(path)
    content = bytearray(path.read_bytes())
    content[192:197] = b"EDF+D"
    n_signals = len(signals) + 1
    counts = [int(content[256 + 216 * n_signals + 8 * i :][:8]) for i in range(n_signals)]
    room, size = 2 * counts[-1], 2 * sum(counts)
    n_records = int(content[236:244])
    for i in range(n_records):
        begin = i + (gap_s if i >= n_records // 2 else 0)
        at = 256 * (n_signals + 1) + (i + 1) * size - room
        content[at : at + room] = f"+{begin}\x14\x14\0".encode().ljust(room, b"\0")
    path.write_bytes(content)
    return path


def simulate_recordings(folder):
    """Yield names, recordings and options of simulated nights: from 1 h to 26 h, with faults."""
    bad = simulate_night(seed=1, sensor_failures=3, verbose="error")
    bad.annotations.append([5000.0, 9000.0], [900.0, 40.0], "BAD_movement")
    yield "8 h, failing sensors and BAD spans", bad, {}
    part = simulate_night(duration=2 * HOUR, sfreq=64, seed=2, verbose="error")
    yield "gap of 40 min", write_gap(part, folder / "gap.edf"), {}
    cropped = simulate_night(duration=4 * HOUR, sfreq=64, seed=3, verbose="error")
    yield "cropped", cropped.crop(1234.5, 3 * HOUR), {}
    hour = simulate_night(duration=HOUR, sfreq=100, seed=4, verbose="error")
    path = folder / "hour.edf"
    hour.export(path, physical_range="channelwise", verbose="error")
    yield "1 h, EDF", path, {}
    day = simulate_night(
        duration=26 * HOUR, modalities=["ECG", "THX"], sfreq=64, seed=5, verbose="error"
    )
    yield "26 h", day, {}
    for modality in ("ABD", "ECG", "PPG", "THX"):
        one = simulate_night(
            duration=3 * HOUR, modalities=[modality], sfreq=64, seed=6, verbose="error"
        )
        yield f"{modality} alone", one, {}


def find_recordings(folder):
    """Yield names, recordings and options of the real recordings that are in a folder."""
    nox, icu = folder / "psg_nox_2min.edf", folder / "icu_ecg_ppg_resp_8min_125hz.npz"
    if nox.exists():
        yield "Nox, path", nox, {}
        raw = mne.io.read_raw_edf(nox, encoding="latin1", preload=True, verbose="error")
        yield "Nox, Raw", raw, {}
    if icu.exists():
        recorded = np.load(icu)
        data = np.array([recorded[name] for name in ("ecg", "ppg", "resp")], dtype=float)
        info = mne.create_info(["ECG", "Pleth", "Chest"], 125.0, "eeg")
        yield "intensive care", mne.io.RawArray(data, info, verbose="error"), {}


def train_briefly(folder):
    """Return the tensors of a short seeded training, and of fine-tuning, and their scores."""
    nights = [
        Night(simulate_night(duration=1800, sfreq=32, seed=i, verbose="error"), None, f"s{i}")
        for i in range(5)
    ]
    prepared = prepare_nights(nights, folder / "nights")
    settings = TrainingSettings(max_passes=2, batch_size=2, warmup_steps=2, crop=40, seed=3)
    scratch = train(prepared, folder / "scratch", settings=settings)
    tuned = fine_tune(
        prepared, folder / "tuned", weights="mini", settings=replace(FINE_TUNING, max_passes=3)
    )
    found = {}
    for name, model in (("train", scratch), ("fine_tune", tuned)):
        tensors = safetensors.numpy.load_file(model / "model.safetensors")
        found |= {f"{name} {key}": value for key, value in tensors.items()}
    scores = evaluate(prepared, tuned)
    numbers = scores.pooled.select_dtypes("number")
    return found | {"evaluate": numbers.to_numpy(dtype=float)}


def compare(before, after):
    """Print what differs between two files; return how many arrays do."""
    first, second = np.load(before), np.load(after)
    names, missing = sorted(set(first) & set(second)), sorted(set(first) ^ set(second))
    different = 0
    for name in names:
        a, b = first[name], second[name]
        same = a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        if not same:
            different += 1
            detail = f"shapes {a.shape} and {b.shape}"
            if a.shape == b.shape and a.dtype.kind == b.dtype.kind == "f":
                detail = f"largest difference {np.nanmax(np.abs(a - b)):.3g}"
            elif a.shape == b.shape:
                detail = f"{(a != b).sum()} of {a.size} values"
            print(f"different: {name}: {detail}")
    for name in missing:
        print(f"in one file alone: {name}")
    print(f"{len(names)} arrays compared, {different} different, {len(missing)} in one file alone")
    return different + len(missing)


def main():
    """Fingerprint this version, or compare two fingerprints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--recordings", type=Path)
    arguments = parser.parse_args()
    if arguments.compare:
        sys.exit(bool(compare(*arguments.files)))
    warnings.simplefilter("ignore")
    torch.set_num_threads(2)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        recordings = list(find_recordings(arguments.recordings)) if arguments.recordings else []
        for name, source, options in (*recordings, *simulate_recordings(Path(folder))):
            print(name, flush=True)
            for key, value in describe_night(source, verbose="error", **options).items():
                found[f"{name} | {key}"] = value
        print("training", flush=True)
        found |= {f"training | {k}": v for k, v in train_briefly(Path(folder)).items()}
    np.savez(arguments.files[0], **found)


if __name__ == "__main__":
    main()
