"""What the order of samples is worth: python benchmarks/original_order.py.

The original package's ``predict_on_folder`` (as of February 2026) joins signals on their time
stamps, those of the belts first, and does not sort them: with a belt in the recording, ECG and PPG
reach the network with every fourth sample first and all others after them. The released weights
learnt from the right order. This shows with the bundled weights, on simulated nights of held-out
seeds, what becomes of the stages.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yasa
from train_mini import Plan, prepare

from mne_wav2sleep import load_model
from mne_wav2sleep.cohorts.batches import collate
from mne_wav2sleep.hypnograms.probabilities import STAGE_NAMES, allow_absent_stages
from mne_wav2sleep.network.backends import run_subsets
from mne_wav2sleep.training import Masking
from mne_wav2sleep.training.sampling import NightDataset

FIRST_HELD_OUT = 90_000
SUBSETS = [("ABD", "ECG", "PPG", "THX"), ("ECG", "THX"), ("PPG", "THX")]


def put_coarse_first(x: torch.Tensor) -> torch.Tensor:
    """Put samples that coincide with those of a belt first, then the others."""
    # Sample k of the grid, from 1 on, lies at k steps, and every fourth is a belt's as well.
    coarse = np.arange(3, x.shape[1], 4)
    return x[:, np.r_[coarse, np.setdiff1d(np.arange(x.shape[1]), coarse)]]


def main() -> None:
    """Stage each night in both orders, and compare with the truth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="mini")
    parser.add_argument("--nights", type=int, default=20)
    parser.add_argument("--work", type=Path, default=Path("mini-work"))
    options = parser.parse_args()
    model = load_model(options.weights)
    names, n_classes = sorted(model.config.signals), model.config.n_classes
    stages = np.array(STAGE_NAMES[n_classes], dtype=object)
    truth: dict[str, yasa.Hypnogram] = {}
    staged: dict[tuple[str, str], dict[str, yasa.Hypnogram]] = {}
    for i in range(FIRST_HELD_OUT, FIRST_HELD_OUT + options.nights):
        night = prepare(
            Plan("simulated", f"s{i}", None, i), options.work / "held-out", augment=False
        )
        truth[night.subject] = night.read_hypnogram(n_classes)
        padded = model.config.padded_epochs
        x = collate(
            [
                NightDataset(
                    [night],
                    names,
                    n_classes,
                    crop=None,
                    padded_epochs=padded,
                    masking=Masking.off(),
                )[0]
            ]
        )["x"]
        orders = {
            "in order": x,
            "coarse first": x | {name: put_coarse_first(x[name]) for name in ("ECG", "PPG")},
        }
        for order, signals in orders.items():
            for subset, logits in run_subsets(model, signals, {}, SUBSETS, "float32").items():
                said = stages[logits[0, : night.n_epochs].argmax(-1).numpy()]
                hyp = yasa.Hypnogram(said, n_stages=n_classes, scorer=order)
                staged.setdefault(("+".join(subset), order), {})[night.subject] = hyp
    rows = {}
    with allow_absent_stages():
        for key, hyps in staged.items():
            agreement = yasa.EpochByEpochAgreement(truth, hyps)
            rows[key] = agreement.get_agreement(pooled=True)[["kappa", "accuracy"]]
    print(pd.DataFrame(rows).T.round(3).to_string())


if __name__ == "__main__":
    main()
