"""Scores from confusion matrices, and the intervals of their differences."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score

from mne_wav2sleep.training.paired import (
    compute_scores,
    describe_gain,
    find_interval,
    summarize_pairs,
    tabulate_subjects,
)
from mne_wav2sleep.training.pictures import plot_pairs

PERSONS = [("cohort", f"s{i}") for i in range(5)]


def draw(seed, n=5, n_stages=4):
    return np.random.default_rng(seed).integers(1, 40, (n, n_stages, n_stages))


@pytest.fixture
def pairs():
    """Confusion matrices before and after, the table of subjects, and the summary."""
    before, after = draw(0), draw(1) + 30 * np.eye(4, dtype=int)
    facts = {person: {"dataset": "cohort", "subject": person[1]} for person in PERSONS}
    counts = [dict(zip(PERSONS, one, strict=True)) for one in (before, after)]
    table = tabulate_subjects(facts, *counts)
    return before, after, table, summarize_pairs(table, before, after, seed=3)


def test_scores_are_those_of_scikit_learn():
    counts = draw(2, n=1)[0]
    counts[3] = counts[:, 3] = 0  # a stage that does not occur, which does not count
    rows, columns = np.indices(counts.shape)
    scored, staged = (one.repeat(counts.ravel()) for one in (rows.ravel(), columns.ravel()))
    found = compute_scores(counts)
    assert found["kappa"] == pytest.approx(cohen_kappa_score(scored, staged))
    assert found["accuracy"] == pytest.approx(100 * accuracy_score(scored, staged))
    assert found["f1"] == pytest.approx(100 * f1_score(scored, staged, average="macro"))
    only_wake = np.diag([7, 0, 0, 0])
    assert np.isnan(compute_scores(only_wake)["kappa"])
    assert compute_scores(only_wake)["f1"] == 100
    assert compute_scores(np.stack([counts, only_wake]))["kappa"].shape == (2,)


def test_the_interval_of_the_mean_gain_is_that_of_scipy(pairs):
    before, after, table, summary = pairs
    gains = [
        float(compute_scores(new)["kappa"] - compute_scores(old)["kappa"])
        for old, new in zip(before, after, strict=True)
    ]
    assert table["difference"].to_list() == pytest.approx(gains)
    expected = stats.bootstrap((gains,), np.mean, method="percentile", rng=3).confidence_interval
    row = summary.loc[("subjects", "kappa")]
    assert (row["low"], row["high"]) == pytest.approx(tuple(expected), abs=0.002)
    assert row["low"] < row["difference"] < row["high"]
    assert row["difference"] == pytest.approx(np.mean(gains))
    exact = stats.bootstrap(
        (gains,), np.mean, method="percentile", rng=3, batch=200
    ).confidence_interval
    assert find_interval(np.array(gains), np.mean, 3) == tuple(exact)


def test_pooled_scores_resample_subjects(pairs):
    before, after, _, summary = pairs
    row = summary.loc[("epochs", "kappa")]
    assert row["zero_shot"] == compute_scores(before.sum(0))["kappa"]
    assert row["adapted"] == compute_scores(after.sum(0))["kappa"]
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(4000):
        chosen = rng.integers(0, 5, 5)
        old, new = (compute_scores(one[chosen].sum(0))["kappa"] for one in (before, after))
        gains.append(new - old)
    assert (row["low"], row["high"]) == pytest.approx(np.percentile(gains, [2.5, 97.5]), abs=0.01)


def test_a_subject_whose_kappa_is_not_defined_is_left_out_of_the_mean(pairs):
    before, after, _, summary = pairs
    only_wake = np.diag([9, 0, 0, 0])
    facts = {person: {} for person in [*PERSONS, ("cohort", "x")]}
    counts = [dict(zip(facts, [*one, only_wake], strict=True)) for one in (before, after)]
    more = tabulate_subjects(facts, *counts)
    assert np.isnan(more["difference"].iloc[-1])
    stacked = [np.stack([*one, only_wake]) for one in (before, after)]
    found = summarize_pairs(more, *stacked, seed=3)
    assert found.loc[("subjects", "kappa")].equals(summary.loc[("subjects", "kappa")])
    assert found.loc[("subjects", "accuracy"), "subjects"] == 6
    assert plot_pairs(more, found).axes[0].get_title(loc="left") == "5 subjects"


def test_a_single_subject_has_no_interval(pairs):
    before, after, table, _ = pairs
    found = summarize_pairs(table[:1], before[:1], after[:1], seed=0)
    assert found[["low", "high"]].isna().all(axis=None)
    assert describe_gain(found).endswith("(an interval needs two subjects).")


def test_equal_gains_have_an_interval_without_width():
    same = np.stack([np.diag([5, 6, 7, 8])] * 3)
    table = tabulate_subjects(
        {person: {} for person in PERSONS[:3]}, *[dict(zip(PERSONS, same, strict=False))] * 2
    )
    found = summarize_pairs(table, same, same, seed=0)
    assert (found[["difference", "low", "high"]] == 0).all(axis=None)
    assert isinstance(found, pd.DataFrame)
