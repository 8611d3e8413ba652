"""Adapt "mini" to the 20 nights of Sleep-Accel: python benchmarks/adapt_sleep_accel.py DIR.

An ECG is rendered from the heart rate of each night, as in train_mini_teacher.py, which is staged
zero-shot and by weights that were fine-tuned on other subjects. The weights were trained on other
renderings of these nights: the table has the part of each subject in the split of
train_mini_teacher.py, of which only "test" is new to them; train_mini.py learns from "validation"
too. DIR has an npz per subject, with ``hr_times_s``, ``hr_bpm`` and ``stages``. Run the same
command again to resume.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import mne
import yasa
from train_mini_teacher import STAGES, Plan, find_records, render_record, split_subjects

from mne_wav2sleep.cohorts import Night, PreparedNight, open_night, prepare_nights
from mne_wav2sleep.training import FINE_TUNING, cross_validate
from mne_wav2sleep.training.paired import find_interval

RENDERING = 500  # "mini" was trained on renderings 0 to 11, and tested on 0 and more


def prepare_ecg(plan: Plan, folder: Path) -> PreparedNight:
    """Render and prepare the ECG of a night, unless its file exists."""
    here = folder / plan.subject
    if done := list(here.glob("*.safetensors")):
        return open_night(done[0])
    raw, stages = render_record(plan, augment=False)
    hyp = yasa.Hypnogram([STAGES[i] for i in stages], n_stages=5)
    return prepare_nights([Night(raw.pick(["ECG"]), hyp, plan.subject, plan.dataset)], here)[0]


def main() -> None:
    """Cross-validate, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sleep_accel", type=Path)
    parser.add_argument("--weights", default="mini")
    parser.add_argument("--folds", default="5", help="a number, or subject")
    parser.add_argument("--keep", default=FINE_TUNING.keep, choices=["last", "best"])
    parser.add_argument("--work", type=Path, default=Path("adapt-work"))
    options = parser.parse_args()
    mne.set_log_level("error")
    records = find_records(options.sleep_accel, "sleep-accel")
    nights = [
        prepare_ecg(Plan("sleep-accel", subject, path, RENDERING), options.work / "nights")
        for subject, [path] in records.items()
    ]
    found = cross_validate(
        nights,
        options.work / f"folds-{options.folds}-{options.keep}",
        weights=options.weights,
        folds=int(options.folds) if options.folds.isdigit() else options.folds,
        settings=replace(FINE_TUNING, keep=options.keep),
        verbose="info",
    )
    split = split_subjects({"sleep-accel": options.sleep_accel})["sleep-accel"]
    parts = {subject: part for part, subjects in split.items() for subject in subjects}
    table = found.by_subject.assign(mini=found.by_subject["subject"].map(parts))
    columns = ["mini", "subject", "fold", "epochs", "kappa_zero_shot", "kappa_adapted"]
    table = table[[*columns, "difference"]].sort_values(["mini", "subject"])
    print(table.round(3).to_string(index=False), "\n")
    print(found.summary.round(3).to_string(), "\n")
    for part, some in table.groupby("mini"):
        gains = some["difference"].to_numpy()
        low, high = find_interval(gains, lambda x, axis: x.mean(axis), 0)
        means = some[["kappa_zero_shot", "kappa_adapted"]].mean()
        print(
            f"{part} subjects of the split: {len(some)}, kappa {means.iloc[0]:.3f} zero-shot, "
            f"{means.iloc[1]:.3f} adapted, difference {gains.mean():+.3f} ({low:+.3f} to "
            f"{high:+.3f}), standard deviation {gains.std(ddof=1):.3f}"
        )


if __name__ == "__main__":
    main()
