"""Scores of nights in which both scorers gave one and the same stage."""

import numpy as np
import pytest
import yasa
from builders import make_hypnogram

from mne_wav2sleep import compare
from mne_wav2sleep.cohorts.comparison.intervals import score_counts

pytestmark = pytest.mark.filterwarnings("ignore:The intervals:RuntimeWarning")


def test_such_a_night_does_not_count_for_means_of_kappa_and_correlation():
    scored = {f"n{i}": make_hypnogram(60, seed=i) for i in range(3)}
    staged = {f"n{i}": make_hypnogram(60, seed=i + 5) for i in range(3)}
    before = compare(scored, staged).pooled
    wake = yasa.Hypnogram(["WAKE"] * 60, scorer="expert")
    found = compare({**scored, "w": wake}, {**staged, "w": wake})
    assert found.pooled["subjects"].to_dict() == {
        name: 3 if name in ("kappa", "mcc") else 4 for name in found.pooled.index
    }
    for name in ("kappa", "mcc"):
        assert found.pooled.loc[name, "mean"] == pytest.approx(before.loc[name, "mean"])
    assert found.pooled.loc["accuracy", "mean"] > before.loc["accuracy", "mean"]
    table = found.report()._content[1].html
    assert "<th>subjects</th>" in table
    assert "<td>3</td>" in table


def test_a_mean_of_one_subject_has_no_spread():
    wake = yasa.Hypnogram(["WAKE"] * 60)
    found = compare({"a": make_hypnogram(60, seed=1), "w": wake},
                    {"a": make_hypnogram(60, seed=2), "w": wake})  # fmt: skip
    assert found.pooled.loc["kappa", "subjects"] == 1
    assert "± - [" in found.report()._content[1].html


def test_the_correlation_of_one_stage_by_one_scorer_only_is_0():
    counts = np.array([[[9.0, 0], [0, 0]], [[5.0, 0], [4, 0]], [[5.0, 1], [1, 3]]])
    scores = score_counts(counts)
    assert np.isnan([scores["mcc"][0], scores["kappa"][0]]).all()
    assert scores["mcc"][1] == 0
    assert scores["mcc"][2] > 0.5
