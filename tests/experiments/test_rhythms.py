"""Nights with a rhythm at rising burden: the rhythm alone differs."""

import numpy as np
import pytest
import rhythms
import run
from arms import Place
from builders import toy_recordings
from experiment_results import make_result
from pages import write_page
from results import ResultStore
from rhythm_pages import describe_warnings
from scales import SCALES, read_scale
from study import CONFIGS, read_study

from mne_wav2sleep import SleepStagerW2S

STAGES = np.repeat([0, 2, 3, 4], 60)


@pytest.fixture(scope="module")
def size():
    return read_scale(SCALES / "quick.yaml").cohorts["B"]


def test_episodes_of_a_lower_burden_are_some_of_those_of_a_higher_one():
    quarter, half, whole = (
        rhythms.place_episodes(960, share, np.random.default_rng(3)) for share in (0.25, 0.5, 1.0)
    )
    assert (quarter.sum(), half.sum(), whole.sum()) == (240, 480, 960)
    assert half[quarter].all()
    assert np.abs(np.diff(quarter.astype(int))).sum() <= 2 * 240 / 60  # whole episodes


def test_only_the_heart_differs(size):
    sinus, stages = rhythms.simulate_rhythm(size, STAGES, "sinus", 0.0, (1, 2))
    half, again = rhythms.simulate_rhythm(size, STAGES, "atrial_fibrillation", 0.5, (1, 2))
    assert stages.tolist() == again.tolist() == STAGES.tolist()
    inside = rhythms.place_episodes(STAGES.size, 0.5, np.random.default_rng((1, 2)).spawn(7)[2])
    irregularity = {
        name: SleepStagerW2S(raw, weights="mini", verbose="error")
        ._find_beats()["ECG"]["irregularity"]
        .to_numpy()
        for name, raw in (("sinus", sinus), ("half", half))
    }
    assert np.nanmedian(irregularity["half"][inside]) > 0.15
    assert np.nanmedian(irregularity["half"][~inside]) < 0.1
    assert np.nanmedian(irregularity["sinus"]) < 0.1
    # Belts show a trace of the heart, but the same breaths.
    thorax = [raw.get_data("Thorax")[0] for raw in (sinus, half)]
    assert np.corrcoef(thorax)[0, 1] > 0.98


@toy_recordings
@pytest.mark.filterwarnings("ignore:.*mini.*:RuntimeWarning", "ignore:The heart:RuntimeWarning")
def test_a_study_of_rhythms_says_what_was_noticed(tmp_path):
    study = read_study(CONFIGS / "rhythm.yaml")
    arms = {name: study.arms[name] for name in ("sinus", "atrial_fibrillation-100")}
    study = study.model_copy(update={"arms": arms})
    store, scale = ResultStore(tmp_path / "results"), read_scale(SCALES / "quick.yaml")
    place = Place("rhythm", study, "quick", scale, {}, tmp_path, store)
    sinus, fibrillation = (rhythms.run_rhythm(place, arm, 0) for arm in arms)
    assert sinus.noticed == []
    assert fibrillation.noticed == ["B000", "B001"]
    # Breathing is the same, and so are stages from belts, but for the heart in them.
    belts = [
        [n.kappa for n in one.nights if n.subset == "ABD+THX"] for one in (sinus, fibrillation)
    ]
    assert belts[0] == pytest.approx(belts[1], abs=0.1)
    assert rhythms.run_rhythm(place, "sinus", 0) == sinus  # read, not staged again
    page = write_page("rhythm", store.read("rhythm"), study, tmp_path).read_text("utf-8")
    assert "| atrial fibrillation in 100 % of the night | 2 | 2 |" in page
    assert "Encoders" not in page


def test_recorded_nights_have_no_simulated_rhythm(tmp_path, capsys):
    options = ["--quick", "--out", str(tmp_path), "--cohort", "B=x.csv"]
    assert run.main(["rhythm", *options]) == 2
    assert "Leave out --cohort" in capsys.readouterr().err


def test_a_page_needs_no_plausibility_of_beats():
    study = read_study(CONFIGS / "rhythm.yaml")
    study = study.model_copy(update={"arms": {"sinus": study.arms["sinus"]}})
    result = make_result(study, "sinus", 0, {"ECG": 0.2}, staging_s=2.0)
    assert "| 12 | 0 |  | 2.0 |" in describe_warnings([result], study)
    known = result.model_copy(update={"implausible": {"B000": 0.25, "B001": 0.75}})
    assert "| 12 | 0 | 50.0 (at most 75.0) | 2.0 |" in describe_warnings([known], study)
