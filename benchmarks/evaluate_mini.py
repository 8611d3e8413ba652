"""Evaluate weights on nights held out from "mini": python benchmarks/evaluate_mini.py --help.

Simulated nights of held-out seeds, staged from every subset of the signals and compared with random
stages of the same frequencies; and waves rendered from real beats and heart rates of the test
subjects of train_mini_teacher.py, staged from the ECG. --bidsleep adds the heart rates of BIDSleep,
another watch, on which nothing may be trained or chosen. SleepECG stages the same beats, if it is
installed (pip install sleepecg keras).
"""

import argparse
import importlib.util
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import yasa
from simulator_realism import evaluate_sleepecg
from train_mini_teacher import (
    Plan,
    find_records,
    make_beats,
    plan_real,
    prepare,
    split_subjects,
    start_record,
)

from mne_wav2sleep.cohorts import evaluate

FIRST_HELD_OUT = 90_000


def guess_by_prior(nights, seed=0):
    """Compute kappa and accuracy (%) of random stages, and of the most frequent stage."""
    rng = np.random.default_rng(seed)
    scored = {night.subject: night.read_hypnogram(4) for night in nights}
    stages = np.concatenate([hyp.hypno.to_numpy(dtype=object) for hyp in scored.values()])
    rows = {}
    for name, draw in (
        ("random stages", lambda n: rng.choice(stages, n)),
        ("most frequent stage", lambda n: np.full(n, pd.Series(stages).mode()[0], dtype=object)),
    ):
        guessed = {
            subject: yasa.Hypnogram(list(draw(hyp.n_epochs)), n_stages=4, scorer=name)
            for subject, hyp in scored.items()
        }
        agreement = yasa.EpochByEpochAgreement(scored, guessed).get_agreement(pooled=True)
        rows[name] = agreement[["kappa", "accuracy"]]
    return pd.DataFrame(rows).T


def describe_renderings(real, nights, weights):
    """Describe how pooled kappa of three stages varies over renderings of the records."""
    rows = []
    for copy in sorted({plan.number % 1000 for plan in real}):
        some = [
            night for plan, night in zip(real, nights, strict=True) if plan.number % 1000 == copy
        ]
        rows.append(evaluate(some, weights, subsets=[("ECG",)], n_stages=3).pooled["kappa"])
    return pd.concat(rows, axis=1).T.describe().loc[["count", "mean", "std", "min", "max"]]


def compare_sleepecg(real):
    """Compute the pooled kappa of three stages of SleepECG, from the beats of the renderings."""
    if importlib.util.find_spec("sleepecg") is None:
        return "SleepECG is not installed, so that its kappa is not computed."
    rows = {}
    for dataset in dict.fromkeys(plan.dataset for plan in real):
        pairs = []
        for plan in real:
            if plan.dataset == dataset:
                beats, _, stages, _ = make_beats(plan, start_record(plan))
                pairs.append((beats, stages))
        pooled, each = evaluate_sleepecg(pairs)
        rows[dataset] = {"kappa": pooled, "nights": len(pairs), "mean of nights": each.mean()}
    return pd.DataFrame(rows).T.round(3).to_string()


def main() -> None:
    """Prepare the held-out nights, evaluate the weights, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="mini")
    parser.add_argument("--slpdb", type=Path, required=True)
    parser.add_argument("--sleep-accel", type=Path, required=True)
    parser.add_argument("--bidsleep", type=Path, help="four nights of another watch")
    parser.add_argument("--work", type=Path, default=Path("mini-work"))
    parser.add_argument("--simulated", type=int, default=20)
    parser.add_argument("--part", default="test", choices=["test", "validation"])
    parser.add_argument("--copies", type=int, default=1, help="renderings of each real night")
    options = parser.parse_args()
    folders = {"slpdb": options.slpdb, "sleep-accel": options.sleep_accel}
    split = split_subjects(folders)
    first = FIRST_HELD_OUT if options.part == "test" else FIRST_HELD_OUT // 2
    simulated = [
        Plan("simulated", f"s{first + i}", None, first + i) for i in range(options.simulated)
    ]
    if options.bidsleep is not None:
        folders["bidsleep"] = options.bidsleep
        split["bidsleep"] = {options.part: sorted(find_records(options.bidsleep, "bidsleep"))}
    real = plan_real(folders, split, options.part, options.copies)
    apart = joblib.Parallel(n_jobs=2)(
        joblib.delayed(prepare)(plan, options.work / "held-out", augment=False)
        for plan in simulated + real
    )
    print(f"{len(simulated)} simulated nights, first seed {first}, four stages, pooled\n")
    nights = apart[: len(simulated)]
    found = evaluate(nights, options.weights)
    print(found.pooled.round(3).to_string(), "\n")
    print(guess_by_prior(nights).round(3).to_string(), "\n")
    subjects = {d: split[d][options.part] for d in folders}
    n_records = {
        d: len([p for s in subjects[d] for p in find_records(folders[d], d)[s]]) for d in folders
    }
    print(f"Waves rendered from real beats, ECG only, subjects {subjects}, records {n_records}\n")
    for n_stages in (3, 4):
        found = evaluate(
            apart[len(simulated) :], options.weights, subsets=[("ECG",)], n_stages=n_stages
        )
        print(f"{n_stages} stages, pooled\n{found.pooled.round(3).to_string()}\n")
        spread = found.by_night.groupby(["dataset", "subject"])["kappa"].mean()
        print(f"kappa by subject\n{spread.round(3).to_string()}")
        print(
            spread.groupby("dataset").agg(["mean", "std", "min", "max"]).round(3).to_string(), "\n"
        )
    print(f"SleepECG, 3 stages, from the same beats\n{compare_sleepecg(real)}\n")
    if options.copies > 1:
        table = describe_renderings(real, apart[len(simulated) :], options.weights)
        print(f"3 stages, pooled kappa by rendering\n{table.round(3).to_string()}")


if __name__ == "__main__":
    main()
