"""Compare simulated nights with real ones: python benchmarks/simulator_realism.py.

Two comparisons of the beats of simulated nights, with seeds that were not used to tune the
simulator. First, can a stager trained on real nights stage them? SleepECG's wrn-gru-mesa, trained
on MESA, reached a three-class kappa (wake, NREM, REM) of 0.12 on the MIT-BIH polysomnographic
database and 0.19 on Sleep-Accel; simulated nights should give no less, and a value near 1 would
mean that their stages are too easy to classify. This needs `pip install sleepecg keras`. Second, do
stages change heart rate, LF/HF and RMSSD as they do in real nights?

With --real FOLDER (npz files with beat_times_s, stages and apnea, or with hr_times_s, hr_bpm and
stages), real nights are measured as well.
"""

import argparse
import contextlib
import io
import os
import warnings
from pathlib import Path

import numpy as np
from scipy import signal

from mne_wav2sleep.simulation import (
    beats_from_heart_rate,
    draw_subject,
    simulate_activity,
    simulate_beats,
    simulate_breathing,
    simulate_stages,
)

FIRST_SEED = 95_000
STAGES = ("W", "N1", "N2", "N3", "REM")
MEASURED = {
    "MIT-BIH PSG": {
        "heart rate (bpm)": ("+4.3 ± 3.5", "+0.2 ± 2.7", "", "+2.0 ± 1.9", "+1.6 ± 3.1"),
        "ln(LF/HF)": ("+0.55 ± 0.48", "+0.35 ± 0.35", "", "-0.08 ± 0.44", "+0.75 ± 0.45"),
        "RMSSD (ms)": ("-15 ± 13", "-1 ± 8", "", "-9 ± 9", "+2 ± 25"),
    },
    "Sleep-Accel": {"heart rate (bpm)": ("+4.1", "+2.1", "", "+1.4", "+3.6")},
}


def simulate(seed, apnea_index=0.0):
    """Simulate beats and stages of a night."""
    rng = np.random.default_rng(seed)
    subject = draw_subject(rng)
    stages = simulate_stages(960, rng=rng, subject=subject)
    breathing = simulate_breathing(stages, rng=rng, subject=subject, apnea_index=apnea_index)
    activity = simulate_activity(stages, rng=rng, subject=subject, events=breathing.events)
    beats, _ = simulate_beats(
        stages, rng=rng, subject=subject, breathing=breathing, activity=activity
    )
    return beats, stages


def read(path):
    """Read beats and stages of a real night; beats are simulated from a heart rate."""
    night = np.load(path)
    stages = night["stages"].astype(int)
    if "beat_times_s" in night:
        return night["beat_times_s"], np.where(night["apnea"] > 0, -1, stages)
    rng = np.random.default_rng(0)
    duration = stages.size * 30.0
    beats, _ = beats_from_heart_rate(
        night["hr_times_s"], night["hr_bpm"], duration=duration, rng=rng
    )
    return beats, stages


def compute_features(beats, n_epochs):
    """Compute heart rate, ln(LF/HF) and RMSSD of each epoch, shape (n_epochs, 3).

    LF/HF is computed from the 2.5 min around an epoch, since 30 s are shorter than two periods of
    LF.
    """
    rr, at = np.diff(beats), beats[1:]
    median = signal.medfilt(rr, 11)
    good = (rr > 0.3) & (rr < 2.0) & (np.abs(rr / median - 1) < 0.2)
    rr, at = rr[good], at[good]
    curve = np.interp(np.arange(n_epochs * 120) / 4, at, rr)
    table = np.full((n_epochs, 3), np.nan)
    change, when = np.diff(rr), at[1:]
    consecutive = np.diff(np.flatnonzero(good)) == 1
    for epoch in range(n_epochs):
        inside = (at >= 30 * epoch) & (at < 30 * epoch + 30)
        if inside.sum() < 15:
            continue
        table[epoch, 0] = 60 / rr[inside].mean()
        pairs = consecutive & (when >= 30 * epoch) & (when < 30 * epoch + 30)
        table[epoch, 2] = 1000 * np.sqrt(np.mean(change[pairs] ** 2)) if pairs.any() else np.nan
        around = curve[max(epoch - 2, 0) * 120 : (epoch + 3) * 120]
        f, power = signal.welch(signal.detrend(around), 4, nperseg=min(240, around.size))
        lf = power[(f >= 0.04) & (f < 0.15)].sum()
        hf = power[(f >= 0.15) & (f < 0.4)].sum()
        table[epoch, 1] = np.log(lf / hf)
    return table


def compute_stage_effects(nights):
    """Compute the mean of each feature in a stage minus that in N2, shape (n_nights, 5, 3)."""
    effects = []
    for beats, stages in nights:
        table = compute_features(beats, stages.size)
        rows = [
            np.nanmean(table[stages == s], axis=0) if (stages == s).sum() >= 10 else [np.nan] * 3
            for s in range(5)
        ]
        effects.append(np.array(rows) - rows[2])
    return np.array(effects)


def print_effects(title, nights):
    """Print effects of stages as mean ± SD over nights."""
    effects = compute_stage_effects(nights)
    for column, name in enumerate(("heart rate (bpm)", "ln(LF/HF)", "RMSSD (ms)")):
        mean, sd = np.nanmean(effects[..., column], 0), np.nanstd(effects[..., column], 0)
        cells = [
            f"{m:+.2f} ± {s:.2f}" if i != 2 else ""
            for i, (m, s) in enumerate(zip(mean, sd, strict=True))
        ]
        print(f"{title:23} {name:17}" + "".join(f"{cell:>16}" for cell in cells))


def fold_stages(stages):
    """Fold stages to 0 wake, 1 NREM, 2 REM, -1 unscored."""
    return np.array([0, 1, 1, 1, 2, -1])[stages]


def compute_kappa(truth, guess):
    """Compute Cohen's kappa."""
    table = np.histogram2d(truth, guess, bins=[np.arange(-0.5, 3)] * 2)[0]
    table /= table.sum()
    chance = (table.sum(0) * table.sum(1)).sum()
    return (np.trace(table) - chance) / (1 - chance)


def evaluate_sleepecg(nights):
    """Compute the pooled three-class kappa of SleepECG, and that of each night."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import sleepecg

    classifier = sleepecg.load_classifier("wrn-gru-mesa", "SleepECG")
    truths, guesses = [], []
    for beats, stages in nights:
        record = sleepecg.SleepRecord(sleep_stage_duration=30, heartbeat_times=beats)
        # Keras draws a progress bar; empty windows warn.
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            guess = np.asarray(sleepecg.stage(classifier, record, return_mode="int"))
        n = min(guess.size, stages.size)
        # SleepECG's integers: 1 NREM, 2 REM, 3 wake; 0 undefined.
        guess = np.array([-1, 1, 2, 0])[guess[:n]]
        truth = fold_stages(stages[:n])
        scored = (truth >= 0) & (guess >= 0)
        truths.append(truth[scored])
        guesses.append(guess[scored])
    each = [compute_kappa(t, g) for t, g in zip(truths, guesses, strict=True)]
    return compute_kappa(np.concatenate(truths), np.concatenate(guesses)), np.array(each)


def main():
    """Print both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nights", type=int, default=24)
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--real", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.nights)
    cohorts = {
        "simulated": [simulate(seed) for seed in seeds],
        "simulated, 20 apneas/h": [simulate(seed, 20.0) for seed in seeds],
    }
    for folder in options.real:
        cohorts[folder.name] = [read(path) for path in sorted(folder.glob("*.npz"))]
    print(f"{'Stage minus N2, mean ± SD over nights':41}" + "".join(f"{s:>16}" for s in STAGES))
    for title, nights in cohorts.items():
        print_effects(title, nights)
    for title, rows in MEASURED.items():
        for name, cells in rows.items():
            print(
                f"{title + ', published':23} {name:17}" + "".join(f"{cell:>16}" for cell in cells)
            )
    try:
        import sleepecg  # noqa: F401 (only checks that it is installed)
    except ImportError:
        print("SleepECG is not installed, so that its kappa is not computed.")
        return
    for title, nights in cohorts.items():
        pooled, each = evaluate_sleepecg(nights)
        print(
            f"{title}: SleepECG's kappa {pooled:.2f} pooled over {len(nights)} nights, "
            f"by night {each.mean():.2f} ± {each.std():.2f} ({each.min():.2f} to {each.max():.2f})"
        )


if __name__ == "__main__":
    main()
