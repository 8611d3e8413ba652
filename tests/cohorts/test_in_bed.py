"""Sleep statistics of a comparison are of the time in bed that the cohort knows."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yasa

from mne_wav2sleep import compare, read_hypnogram, simulate_night
from mne_wav2sleep.cohorts import Night, stage_cohort

pytestmark = pytest.mark.filterwarnings(
    "ignore:The(re are no)? intervals:RuntimeWarning", "ignore:1 night is staged:RuntimeWarning"
)


@pytest.fixture
def staged(tmp_path, small_folder):
    """A cohort of two nights of an hour, one with lights off and on; and the true stages."""
    truth, nights = {}, []
    for i, lights in enumerate([("600 s", "2400 s"), "auto"]):
        raw = simulate_night(duration=3600, modalities=["THX"], seed=i, verbose="error")
        truth[f"p{i}"] = read_hypnogram(None, raw, scorer="expert")
        nights.append(Night(raw, None, f"p{i}", lights=lights))
    return stage_cohort(nights, tmp_path / "out", weights=small_folder, verbose="error"), truth


def compute_stats(hyp, epochs):
    """Compute YASA's statistics of some epochs."""
    stages = hyp.hypno.to_numpy(dtype=object)[epochs]
    return yasa.Hypnogram(stages, n_stages=4).sleep_statistics()


def test_statistics_are_of_the_epochs_in_bed_by_both(staged):
    cohort, truth = staged
    found = compare(truth, cohort)
    nights = found.by_night.set_index("night")
    assert nights["epochs"].to_dict() == {"p0": 120, "p1": 120}
    assert nights.at["p0", "in_bed"] == 60
    assert nights.at["p1", "in_bed"] is pd.NA
    for night, epochs in {"p0": slice(20, 80), "p1": slice(None)}.items():
        for scorer, hyp in (("expert", truth[night]), (found.staged, cohort.hypnograms[night])):
            hyp = hyp.consolidate_stages(4) if hyp.n_stages > 4 else hyp
            expected = compute_stats(hyp, epochs)
            given = found.sleep_stats_by_night.loc[(scorer, night)]
            for name in ("TIB", "TST", "SE", "SOL", "WASO"):
                assert given[name] == pytest.approx(expected[name], nan_ok=True), (night, name)
    whole = compare(truth, dict(cohort.hypnograms))
    assert whole.pooled.equals(found.pooled)
    assert "in_bed" not in whole.by_night
    methods = str(found.report()._content[-1].html)
    assert "epoch in bed, where known (1 of 2 nights), with a stage by both" in methods


def test_a_time_in_bed_that_cannot_be_used_is_warned_of(staged):
    cohort, truth = staged
    cut = {"p0": yasa.Hypnogram(["UNS"] * 90 + ["N2"] * 30, start=truth["p0"].start)}
    with pytest.warns(RuntimeWarning, match="No epoch in bed has a stage by both in 1 night, such"):
        found = compare(cut, cohort)
    assert found.sleep_stats_by_night["TIB"].tolist() == [15, 15]
    assert found.by_night["in_bed"].tolist() == [0]
    assert "where known (0 of 1 nights)" in str(found.report()._content[-1].html)
    for first, n_epochs in ((-1, 5), (0, np.nan), ("x", 5), (0, np.inf)):
        table = cohort.table.astype({"first_epoch": object, "epochs_in_bed": object})
        table.loc["p0", ["first_epoch", "epochs_in_bed"]] = [first, n_epochs]
        with pytest.warns(RuntimeWarning, match="bed of 1 night, such as 'p0', is not known"):
            found = compare(truth, replace(cohort, table=table))
        assert "in_bed" not in found.by_night
    table = cohort.table.drop(columns="first_epoch")  # as earlier versions wrote it
    with pytest.warns(RuntimeWarning, match="bed of 1 night, such as 'p0', is not known"):
        compare(truth, replace(cohort, table=table))
