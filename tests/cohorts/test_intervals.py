"""The bootstrap by subject."""

import numpy as np
import pytest
import yasa

from mne_wav2sleep.cohorts.comparison.intervals import bootstrap, score_counts
from mne_wav2sleep.cohorts.comparison.pairs import Pair, count_nights
from mne_wav2sleep.hypnograms.agreement import allow_absent_stages

BY_STAGE = ("fbeta", "precision", "recall", "specificity", "npv")
FOUR = ("WAKE", "LIGHT", "DEEP", "REM")


def make_pair(seed, stages=(FOUR, FOUR), n_epochs=200):
    """Make a night by two scorers who give only some stages."""
    rng = np.random.default_rng(seed)
    hyps = [
        yasa.Hypnogram([*rng.choice([*names, "UNS"], n_epochs)], 4, scorer=scorer)
        for names, scorer in zip(stages, "ab", strict=True)
    ]
    return Pair({"night": seed}, *hyps)


@pytest.mark.parametrize(
    "stages",
    [(FOUR, FOUR), (FOUR[:2], FOUR), (FOUR, FOUR[2:]), (FOUR[:2], FOUR[:2]), (FOUR[:1], FOUR[:1])],
)
def test_scores_of_counts_are_those_of_yasa(stages):
    pair = make_pair(1, stages)
    agreement = yasa.EpochByEpochAgreement([pair.reference], [pair.staged])
    with allow_absent_stages():
        expected = agreement.get_agreement()
        by_stage = agreement.get_agreement_bystage().reindex(FOUR)
    by_stage = by_stage.reindex(columns=["support", *BY_STAGE])
    found = score_counts(count_nights([pair])[0])
    names = {"precision": "weighted_precision", "f1": "weighted_f1"}
    if np.isnan(expected["kappa"]):  # YASA gives 0 for a correlation that is 0/0 as well
        expected["mcc"] = np.nan
    for name, value in expected.items():
        assert found[names.get(name, name)] == pytest.approx(value, nan_ok=True), name
    occurs = by_stage["support"].notna().to_numpy()
    for name in BY_STAGE:
        np.testing.assert_allclose(found[name][occurs], by_stage[name][occurs], err_msg=name)


def test_nights_of_a_subject_are_drawn_together():
    pairs = [make_pair(seed) for seed in range(4)]
    counts = count_nights(pairs)
    counts[:2] = np.eye(4) * 10  # two nights agree wholly
    low, high = bootstrap(counts, ["A", "A", "B", "B"])["kappa"]
    # Of two subjects, one in four draws has only A, and one in four only B.
    assert high == 1
    assert low == pytest.approx(score_counts(counts[2:].sum(axis=0))["kappa"])
    mixed, _ = bootstrap(counts, ["A", "B", "B", "A"])["kappa"]
    assert mixed > low + 0.1
    assert bootstrap(counts, ["A", "A", "B", "B"])["kappa"] == (low, high)  # seeded


def test_intervals_cover_as_often_as_they_should():
    # Subjects whose accuracies differ: a bootstrap of epochs or nights would be too narrow.
    rng = np.random.default_rng(1)
    n_covered = 0
    for _ in range(100):
        rate = rng.beta(8, 2, 30)
        agreed = rng.binomial(100, np.repeat(rate, 3))
        counts = np.zeros((90, 2, 2), dtype=int)
        counts[:, 0, 0], counts[:, 0, 1] = agreed, 100 - agreed
        low, high = bootstrap(counts, np.repeat(np.arange(30), 3))["accuracy"]
        n_covered += low < 80 < high
    assert 88 <= n_covered <= 99


def test_stages_that_few_draws_have_count_where_they_occur():
    counts = np.zeros((2, 4, 4), dtype=int)
    counts[0, 0, 0] = counts[1, 1, 1] = 10
    low, high = bootstrap(counts, ["A", "B"])["fbeta"]
    np.testing.assert_array_equal(low, [100, 100, np.nan, np.nan])
    np.testing.assert_array_equal(high, [100, 100, np.nan, np.nan])
    assert np.isnan(bootstrap(counts, ["A", "A"])["kappa"][0])
