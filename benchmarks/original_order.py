"""Measure the effect of the order of samples: python benchmarks/original_order.py.

The original package's ``predict_on_folder`` (as of February 2026) joins signals on their time
stamps, those of the belts first, without sorting them: if the recording has a belt, the network
gets every fourth sample of ECG and PPG first and all others after them. The released weights were
trained with samples in order. This measures the effect on the stages of the bundled weights, on
simulated nights of held-out seeds.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yasa
from train_mini_teacher import Plan, prepare

from mne_wav2sleep import load_weights
from mne_wav2sleep.cohorts.batches import collate, read_item
from mne_wav2sleep.hypnograms.agreement import allow_absent_stages
from mne_wav2sleep.network import Engine

FIRST_HELD_OUT = 90_000
SUBSETS = [("ABD", "ECG", "PPG", "THX"), ("ECG", "THX"), ("PPG", "THX")]


def put_coarse_first(x: torch.Tensor) -> torch.Tensor:
    """Move samples that coincide with those of a belt to the front."""
    # The grid starts one step after the recording; every fourth point is one of the belts' grid.
    coarse = np.arange(3, x.shape[1], 4)
    return x[:, np.r_[coarse, np.setdiff1d(np.arange(x.shape[1]), coarse)]]


def main() -> None:
    """Stage each night in both orders, and compare with the true stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="mini")
    parser.add_argument("--nights", type=int, default=20)
    parser.add_argument("--work", type=Path, default=Path("mini-work"))
    options = parser.parse_args()
    weights = load_weights(options.weights)
    engine = Engine(weights.network)
    stages, n_stages = np.array(weights.stage_names, dtype=object), len(weights.stage_names)
    truth: dict[str, yasa.Hypnogram] = {}
    staged: dict[tuple[str, str], dict[str, yasa.Hypnogram]] = {}
    for i in range(FIRST_HELD_OUT, FIRST_HELD_OUT + options.nights):
        night = prepare(
            Plan("simulated", f"s{i}", None, i), options.work / "held-out", augment=False
        )
        truth[night.subject] = night.read_hypnogram(n_stages)
        length = max(night.n_epochs, weights.preprocessing.padded_epochs)
        filled = {"length": length, "padding": weights.preprocessing.padding}
        x = collate([read_item(night, weights.modalities, n_stages, **filled)])["x"]
        orders = {
            "in order": x,
            "coarse first": x | {name: put_coarse_first(x[name]) for name in ("ECG", "PPG")},
        }
        for order, signals in orders.items():
            for subset, logits in engine.mix(engine.encode(signals), {}, SUBSETS).items():
                staged_as = stages[logits[0, : night.n_epochs].argmax(-1).numpy()]
                hyp = yasa.Hypnogram(staged_as, n_stages=n_stages, scorer=order)
                staged.setdefault(("+".join(subset), order), {})[night.subject] = hyp
    rows = {}
    with allow_absent_stages():
        for key, hyps in staged.items():
            agreement = yasa.EpochByEpochAgreement(truth, hyps)
            rows[key] = agreement.get_agreement(pooled=True)[["kappa", "accuracy"]]
    print(pd.DataFrame(rows).T.round(3).to_string())


if __name__ == "__main__":
    main()
