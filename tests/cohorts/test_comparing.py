"""Agreement with scorers: YASA's own figures, whatever the nights are given as."""

import importlib.util
from datetime import timedelta
from pathlib import Path

import edfio
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import yasa
from builders import START, make_hypnogram, make_raw, write_edf

from mne_wav2sleep import compare, write_hypnogram
from mne_wav2sleep.cohorts import load_cohort
from mne_wav2sleep.hypnograms.aligning import change_hypnogram

FOUR = ("WAKE", "LIGHT", "DEEP", "REM")
EVENING = START.replace(tzinfo=None)
pytestmark = pytest.mark.filterwarnings(
    "ignore:The(re are no)? intervals:RuntimeWarning",
    "ignore:Bias and limits of agreement:RuntimeWarning",
    r"ignore:\d nights? (is|are) staged but not scored:RuntimeWarning",
)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def stage(reference, seed, *, scorer="wav2sleep", share=0.3, n_stages=4):
    """Make stages that differ from a reference in some epochs."""
    rng = np.random.default_rng(seed)
    stages = reference.consolidate_stages(n_stages) if n_stages < reference.n_stages else reference
    values = stages.hypno.to_numpy(dtype=object).copy()
    names = [name for name in stages.labels if name not in ("UNS", "ART")]
    flip = rng.random(values.size) < share
    values[flip] = rng.choice(names, flip.sum())
    return yasa.Hypnogram(list(values), n_stages, start=reference.start, scorer=scorer)


def make_nights(n=4, n_epochs=60, start=None):
    """Make scored nights of five stages, and the same nights staged in four."""
    scored = {f"n{i}": make_hypnogram(n_epochs, seed=i, start=start) for i in range(n)}
    return scored, {name: stage(hyp, i) for i, (name, hyp) in enumerate(scored.items())}


def write_folders(folder):
    """Write nights to two folders: shifted starts, and epochs without a stage. Give their stages.

    All that is compared by hand in the test below is written out here: stages by epoch of the
    common time, four of them.
    """
    (folder / "scored").mkdir()
    (folder / "staged").mkdir()
    by_hand = {}
    for i in range(4):
        shift = (-7, 0, 5, 12)[i]  # epochs from the start of staging to that of scoring
        scored = make_hypnogram(60, seed=i).hypno.to_numpy(dtype=object).copy()
        staged = stage(make_hypnogram(70, seed=10 + i), i).hypno.to_numpy(dtype=object).copy()
        scored[[3, 30]], staged[[8, 40, 41]] = "UNS", "UNS"
        yasa.Hypnogram(
            list(scored), start=EVENING + timedelta(seconds=30 * shift), scorer="expert"
        ).to_json(folder / "scored" / f"P{i}_expert.json")
        yasa.Hypnogram(list(staged), 4, start=EVENING, scorer="wav2sleep").to_json(
            folder / "staged" / f"p{i}.json"
        )
        folded = {"N1": "LIGHT", "N2": "LIGHT", "N3": "DEEP"}
        first = [folded.get(s, s) for s in scored]
        begin, end = max(shift, 0), min(shift + 60, 70)
        pair = [(first[e - shift], staged[e]) for e in range(begin, end)]
        known = [e for e, both in enumerate(pair) if "UNS" not in both]
        by_hand[f"p{i}"] = pair[known[0] : known[-1] + 1]
    return by_hand


def test_figures_of_two_folders_are_those_of_yasa_called_by_hand(tmp_path):
    by_hand = write_folders(tmp_path)
    found = compare(tmp_path / "scored", tmp_path / "staged")
    assert (found.reference, found.staged) == ("expert", "wav2sleep")
    hyps = [
        {
            night: yasa.Hypnogram([both[i] for both in pair], 4, scorer=name)
            for night, pair in by_hand.items()
        }
        for i, name in enumerate(("expert", "wav2sleep"))
    ]
    agreement = yasa.EpochByEpochAgreement(*hyps)
    pooled = agreement.get_agreement(pooled=True)
    pd.testing.assert_series_equal(found.pooled["value"], pooled, check_names=False)
    settings = {"method": "percentile", "n_resamples": 2000, "rng": 0}
    summary = agreement.summary(
        ci_method="boot", bootstrap_kwargs=settings, func=["mean", "std", "count"]
    ).set_axis(["mean", "std", "subjects", "mean_low", "mean_high"], axis=1)
    pd.testing.assert_frame_equal(found.pooled[list(summary)], summary)
    together = yasa.EpochByEpochAgreement(
        *([yasa.Hypnogram([s for h in one.values() for s in h.hypno], 4, scorer=name)]
          for name, one in zip("ab", hyps, strict=True))
    )  # fmt: skip
    by_stage = together.get_agreement_bystage()
    for ours, theirs in {"f1": "fbeta", "recall": "recall", "precision": "precision"}.items():
        np.testing.assert_array_equal(found.by_stage[ours], by_stage[theirs])
    np.testing.assert_array_equal(found.confusion, together.get_confusion_matrix())
    by_night = agreement.get_agreement()
    assert list(found.by_night["night"]) == list(by_night.index)
    np.testing.assert_array_equal(found.by_night["kappa"], by_night["kappa"])
    np.testing.assert_array_equal(found.by_night["accuracy"], by_night["accuracy"])
    f1 = agreement.get_agreement_bystage()["fbeta"].unstack("stage")[list(FOUR)]
    np.testing.assert_array_equal(found.by_night[[f"F1 {name}" for name in FOUR]], f1)
    # Bland-Altman: epochs without a stage by one of them have none by the other.
    for night, pair in by_hand.items():
        for i, one in enumerate(hyps):
            stages = ["UNS" if "UNS" in both else both[i] for both in pair]
            one[night] = yasa.Hypnogram(stages, 4, scorer=("expert", "wav2sleep")[i])
    statistics = yasa.EpochByEpochAgreement(*hyps).get_sleep_stats().drop(columns="UNS")
    expected = yasa.SleepStatsAgreement(
        statistics, bootstrap_kwargs={"method": "percentile", "rng": 0}
    ).summary()
    expected.columns = [".".join(names) for names in expected.columns]
    pd.testing.assert_frame_equal(found.sleep_stats, expected)


def test_nights_of_a_subject_are_averaged_and_drawn_together():
    scored, staged = make_nights(2)
    found = compare(scored, staged, subjects={"n0": "A", "n1": "A"})
    separate = compare(scored, staged)
    assert found.pooled["value"].equals(separate.pooled["value"])
    assert found.pooled[["low", "mean_low"]].isna().all(axis=None)
    assert separate.pooled.loc["accuracy", "low"] == pytest.approx(
        separate.by_night["accuracy"].min()
    )
    assert found.by_subject[["subject", "nights", "epochs"]].to_numpy().tolist() == [["A", 2, 120]]
    assert found.by_subject["kappa"].item() == pytest.approx(separate.by_night["kappa"].mean())


def test_repeated_nights_have_no_intervals_of_statistics_without_statsmodels():
    if importlib.util.find_spec("statsmodels"):
        pytest.skip("statsmodels is installed")
    scored, staged = make_nights(n_epochs=20)
    with pytest.warns(RuntimeWarning, match="for which YASA needs statsmodels"):
        found = compare(scored, staged, subjects=["A", "A", "B", "C"])
    assert list(found.sleep_stats.filter(like="lower")) == ["loa_lower.center"]
    differences = (
        found.sleep_stats_by_night.loc["wav2sleep"] - found.sleep_stats_by_night.loc["expert"]
    )
    assert found.sleep_stats.loc["TST", "bias_mean.center"] == pytest.approx(
        differences["TST"].mean()
    )


def test_repeated_nights_are_left_to_the_mixed_model_of_yasa():
    pytest.importorskip("statsmodels")
    scored, staged = make_nights()
    found = compare(scored, staged, subjects=["A", "A", "B", "C"])
    statistics = found.sleep_stats_by_night
    expected = yasa.SleepStatsAgreement(
        statistics.loc["expert"][["TST"]],
        statistics.loc["wav2sleep"][["TST"]],
        subjects=["A", "A", "B", "C"],
    ).summary(ci_method="param")
    lower = expected.loc["TST", ("bias_mean", "lower")]
    assert found.sleep_stats.loc["TST", "bias_mean.lower"] == pytest.approx(lower)


def test_a_single_night_without_a_clock():
    reference = make_hypnogram(60, seed=1)
    with pytest.warns(RuntimeWarning, match="there is only one subject"):
        found = compare(reference, stage(reference, 2))
    assert found.pooled["value"].notna().all()
    assert found.pooled[["low", "high", "mean", "mean_low"]].isna().all(axis=None)
    assert found.sleep_stats.empty
    assert found.by_night["night"].tolist() == ["1"]
    assert len(found.sleep_stats_by_night) == 2
    with pytest.raises(ValueError, match="at least two nights"):
        found.plot_bland_altman(show=False)
    assert "1 night of 1 subject" in repr(found)


@pytest.mark.parametrize("n", [1, 3])
def test_a_night_of_one_stage_has_no_kappa(n):
    wake = yasa.Hypnogram(["WAKE"] * 20, 4, scorer="expert")
    found = compare([wake] * n, [change_hypnogram(wake, scorer="staged")] * n)
    assert found.pooled.loc[["kappa", "mcc"]].drop(columns="subjects").isna().all(axis=None)
    assert found.pooled.loc["accuracy", "value"] == 100
    assert found.by_stage["epochs"].to_dict() == {"WAKE": 20 * n, "LIGHT": 0, "DEEP": 0, "REM": 0}
    assert found.by_stage.loc["REM"].drop("epochs").isna().all()
    assert np.isnan(found.confusion_percent.loc["REM", "REM"])
    assert found.sleep_stats.empty


@pytest.mark.parametrize("n_stages", [2, 3])
def test_stages_can_be_fewer(n_stages):
    scored, staged = make_nights(2)
    proba = pd.DataFrame({"WAKE": 0.4, "LIGHT": 0.35, "DEEP": 0.0, "REM": 0.25}, index=range(60))
    staged["n1"] = yasa.Hypnogram(["WAKE"] * 60, 4, proba=proba, scorer="wav2sleep")
    found = compare(scored, staged, n_stages=n_stages)
    summed = yasa.Hypnogram([{2: "SLEEP", 3: "WAKE"}[n_stages]] * 60, n_stages, scorer="wav2sleep")
    folded = {"n0": staged["n0"].consolidate_stages(n_stages), "n1": summed}
    expected = compare(
        {name: hyp.consolidate_stages(n_stages) for name, hyp in scored.items()}, folded
    )
    pd.testing.assert_frame_equal(found.pooled, expected.pooled)
    by_staged = compare(staged, scored, n_stages=n_stages)  # a reference with probabilities
    pd.testing.assert_frame_equal(by_staged.confusion.T, found.confusion, check_names=False)


def test_stages_that_are_fewer_in_some_files_fold_all_of_them(tmp_path):
    scored, staged = make_nights(3)
    staged["n1"].consolidate_stages(2).to_json(tmp_path / "n1.json")
    staged["n1"] = tmp_path / "n1.json"
    with pytest.warns(RuntimeWarning, match="1 of the 3 staged hypnograms have only 2 stages"):
        found = compare(scored, staged)
    assert list(found.confusion) == ["WAKE", "SLEEP"]
    with pytest.raises(ValueError, match="n_stages is 3, but there are hypnograms of 2 stages"):
        compare(scored, staged, n_stages=3)


def test_scorers_of_one_name_are_told_apart():
    scored, staged = make_nights(2)
    found = compare(scored, {k: change_hypnogram(h, scorer="expert") for k, h in staged.items()})
    assert (found.reference, found.staged) == ("expert (reference)", "expert (staged)")
    mixed = {"n0": staged["n0"], "n1": change_hypnogram(staged["n1"], scorer="other")}
    assert compare(scored, mixed).staged == "staged"
    scored, staged = scored["n0"], change_hypnogram(mixed["n0"], scorer="consensus")
    scorers = {"consensus": scored, "B": scored}
    for one, named in ((staged, "consensus (reference)"), (mixed["n0"], "consensus (scorer)")):
        found = compare(scorers, one)
        assert found.by_scorer["reference"].tolist() == [named, named, "B", "consensus"]
    assert compare({"A": scored, "B": scored}, staged).staged == "consensus (staged)"


def test_broken_files_are_rows_with_their_reasons(tmp_path):
    scored, staged = make_nights(4, start=EVENING)
    (tmp_path / "n0.json").write_text("{}")
    scored["n0"] = tmp_path / "n0.json"
    scored["n1"] = change_hypnogram(scored["n1"], start=EVENING + timedelta(days=1))
    staged["n2"] = tmp_path / "nothing.json"
    with pytest.warns(RuntimeWarning, match="3 hypnograms cannot be compared; the first one is of"):
        found = compare(scored, staged)
    assert list(found.by_night["night"]) == ["n3"]
    reasons = found.failed.set_index("night")["reason"]
    assert "is not a hypnogram in YASA's format" in reasons["n0"]
    assert "has no epoch in common" in reasons["n1"]
    assert "There is no hypnogram at" in reasons["n2"]
    with pytest.raises(ValueError, match="The night cannot be compared: The reference"):
        compare({"n1": scored["n1"]}, {"n1": staged["n1"]})


def test_epochs_without_a_common_stage_are_a_reason():
    scored = yasa.Hypnogram(["WAKE"] * 10 + ["UNS"] * 10, 4, scorer="expert")
    staged = yasa.Hypnogram(["UNS"] * 10 + ["WAKE"] * 10, 4, scorer="staged")
    with pytest.raises(ValueError, match="No epoch has a stage in both hypnograms"):
        compare(scored, staged)


def test_groups_are_compared_as_if_they_were_alone(tmp_path):
    scored, staged = make_nights(3)
    nights = ["sub-00_ses-1", "sub-00_ses-2", "sub-02"]
    scored = dict(zip(nights, scored.values(), strict=True))
    staged = dict(zip(nights, staged.values(), strict=True))
    table = tmp_path / "participants.tsv"
    table.write_text("participant_id\tage\tsex\nsub-00\t17\tF\nsub-02\t40\tn/a\n")
    with pytest.warns(RuntimeWarning, match="1 night of sub-02 has no value of 'sex'"):
        found = compare(scored, staged, by=["age", "sex"], participants=table)
    rows = found.by_group.set_index(["column", "group"])
    assert list(rows.index) == [
        *(("age", "<18"), ("age", "40 to <60")),
        *(("sex", "F"), ("sex", "unknown")),
    ]
    alone = compare({k: scored[k] for k in nights[:2]}, {k: staged[k] for k in nights[:2]})
    women = rows.loc[("sex", "F")]
    assert women["kappa"] == alone.pooled.loc["kappa", "value"]
    assert (women["nights"], women["subjects"]) == (2, 1)
    assert np.isnan(women["kappa_low"])
    assert list(found.by_night["sex"]) == ["F", "F", "unknown"]


def make_cohort(folder, scored, staged, recording="{}.edf"):
    """Write a staged cohort, as stage_cohort does; nights that have no scorer are None."""
    (folder / "hypnograms").mkdir(parents=True)
    for name, hyp in staged.items():
        write_hypnogram(hyp, folder / "hypnograms" / f"{name}.json")
    pd.DataFrame(
        {
            "night": list(staged),
            "status": "staged",
            "reason": "",
            "subject": [f"s{i // 2}" for i in range(len(staged))],
            "dataset": [("x", "y")[i % 2] for i in range(len(staged))],
            "recording": [str(folder.parent / recording.format(name)) for name in staged],
            "hypnogram": [scored.get(name) for name in staged],
        }
    ).to_csv(folder / "nights.csv", index=False)
    return folder


def test_a_cohort_is_compared_with_the_scorers_of_its_table(tmp_path):
    scored, staged = make_nights(3, n_epochs=20, start=EVENING)
    dated = {"starttime": EVENING.time(), "recording": edfio.Recording(startdate=EVENING.date())}
    paths = {"n0": str(tmp_path / "n0.json"), "n1": str(tmp_path / "n1.csv")}
    for name in paths:
        write_edf(tmp_path / f"{name}.edf", {"Thor": 8.0}, 600, **dated)
    scored["n0"].to_json(paths["n0"])
    # Onsets count from the recording: the first stage is that of its third epoch.
    rows = [f"{30 * e},30,{s}" for e, s in enumerate(scored["n1"].hypno) if e >= 2]
    Path(paths["n1"]).write_text("\n".join(["onset,duration,stage", *rows]))
    cohort = make_cohort(tmp_path / "out", paths, staged)
    with pytest.warns(RuntimeWarning, match="1 night is staged but not scored: n2"):
        found = compare(cohort, by="dataset", verbose="warning")
    nights = found.by_night.set_index("night")
    assert nights["epochs"].to_dict() == {"n0": 20, "n1": 18}
    assert nights["subject"].to_dict() == {"n0": "x/s0", "n1": "y/s0"}
    assert nights.loc["n1", "reference_file"] == "n1.csv"
    for name, first in (("n0", 0), ("n1", 2)):
        folded = scored[name].consolidate_stages(4).hypno.to_numpy(dtype=object)
        same = folded == staged[name].hypno.to_numpy(dtype=object)
        assert nights.loc[name, "accuracy"] == pytest.approx(100 * same[first:].mean())
    assert list(found.by_group["group"]) == ["x", "y"]


def test_a_recording_without_a_date_places_onsets_as_well(tmp_path):
    scored, staged = make_nights(1, n_epochs=20)
    raw = make_raw(["Thor"], sfreq=8.0, seconds=600)
    raw.save(tmp_path / "n0_raw.fif", verbose="error")
    rows = [f"{30 * e},30,{s}" for e, s in enumerate(scored["n0"].hypno) if e >= 2]
    (tmp_path / "n0.csv").write_text("\n".join(["onset,duration,stage", *rows]))
    cohort = make_cohort(tmp_path / "out", {"n0": tmp_path / "n0.csv"}, staged, "{}_raw.fif")
    found = compare(load_cohort(cohort), verbose="warning")
    folded = scored["n0"].consolidate_stages(4).hypno.to_numpy(dtype=object)
    same = folded == staged["n0"].hypno.to_numpy(dtype=object)
    assert found.by_night["epochs"].item() == 18
    assert found.by_night["accuracy"].item() == pytest.approx(100 * same[2:].mean())


def test_a_cohort_without_scorers(tmp_path):
    _, staged = make_nights(1)
    cohort = make_cohort(tmp_path / "out", {}, staged)
    with pytest.raises(ValueError, match="names no scorer's hypnogram"):
        compare(cohort)
    with pytest.raises(TypeError, match="only one argument was given"):
        compare(tmp_path)


def test_several_scorers_and_their_consensus():
    truth, _ = make_nights(2)
    scorers = {
        name: {night: stage(hyp, s, share=share, scorer=name, n_stages=5)
               for s, (night, hyp) in enumerate(truth.items(), start=10 * n)}
        for n, (name, share) in enumerate({"A": 0.2, "B": 0.3, "C": 0.25}.items(), start=1)
    }  # fmt: skip
    staged = {night: stage(hyp, 99, share=0.3) for night, hyp in truth.items()}
    found = compare(scorers, staged)
    assert (found.reference, found.staged) == ("consensus", "wav2sleep")
    pairs = list(zip(found.by_scorer["reference"], found.by_scorer["other"], strict=True))
    assert pairs == [
        *[("A", "B"), ("A", "C"), ("B", "C")],
        *[(name, "wav2sleep") for name in ("A", "B", "C", "consensus")],
    ]
    kappa = found.by_scorer.set_index(["reference", "other"])["kappa"]
    alone = compare(scorers["B"], staged).pooled.loc["kappa", "value"]
    assert kappa[("B", "wav2sleep")] == alone
    assert kappa[("consensus", "wav2sleep")] == found.pooled.loc["kappa", "value"]
    # By hand: the stage of two or three, else that of the scorer who agrees most with the others.
    means = {s: kappa[[p for p in pairs[:3] if s in p]].mean() for s in "ABC"}
    ranking = sorted(means, key=means.get, reverse=True)
    agreed = []
    for night in truth:
        four = {
            s: scorers[s][night].consolidate_stages(4).hypno.to_numpy(dtype=object) for s in "ABC"
        }
        for e, other in enumerate(staged[night].hypno):
            votes = [four[s][e] for s in ranking]
            most = max(map(votes.count, votes))
            agreed.append(next(v for v in votes if votes.count(v) == most) == other)
    assert found.pooled.loc["accuracy", "value"] == pytest.approx(100 * np.mean(agreed))


def test_two_scorers_have_a_consensus_where_they_agree():
    stages = {"A": ["WAKE", "LIGHT", "DEEP", "REM"], "B": ["WAKE", "LIGHT", "REM", "UNS"]}
    scorers = {name: yasa.Hypnogram(one, 4, scorer=name) for name, one in stages.items()}
    staged = yasa.Hypnogram(["WAKE", "REM", "DEEP", "REM"], 4, scorer="wav2sleep")
    with pytest.warns(RuntimeWarning, match="two scorers differ in 1 of 3 epochs"):
        found = compare(scorers, staged)
    assert found.by_night["epochs"].tolist() == [2]
    assert found.pooled.loc["accuracy", "value"] == 50


def test_scorers_who_share_no_night():
    scored, staged = make_nights(2)
    with pytest.warns(RuntimeWarning, match="No night has two scorers"):
        found = compare({"A": {"n0": scored["n0"]}, "B": {"n1": scored["n1"]}}, staged)
    assert (found.reference, found.by_scorer["reference"].tolist()) == ("A and B", ["A", "B"])
    both = compare(scored, staged)
    pd.testing.assert_frame_equal(found.pooled, both.pooled)
    assert found.by_scorer["kappa"].tolist() == both.by_night["kappa"].tolist()
    apart = {name: yasa.Hypnogram([name] * 9, 4) for name in ("WAKE", "REM")}
    warned = pytest.warns(RuntimeWarning, match="differ in 9 of 9 epochs")
    with pytest.raises(ValueError, match="there is no consensus"), warned:
        compare(apart, yasa.Hypnogram(["WAKE"] * 9, 4, scorer="staged"))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_stages": 7}, ValueError, "n_stages"),
        ({"subjects": ["a"]}, ValueError, "subjects has 1 values, and there are 2 nights"),
        ({"subjects": {"n0": "a"}}, ValueError, r"subjects lacks the nights \['n1'\]"),
        ({"subjects": 3}, TypeError, "subjects must be"),
        ({"meas_date_is_local": "yes"}, TypeError, "meas_date_is_local must be"),
        ({"by": "age"}, ValueError, "There is no column 'age' to group by"),
        ({"participants": 3}, TypeError, "participants must be"),
    ],
)
def test_wrong_options(options, error, message):
    scored, staged = make_nights(2)
    with pytest.raises(error, match=message):
        compare(scored, staged, **options)
