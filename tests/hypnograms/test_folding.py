"""Folding stages, and files of folded hypnograms."""

import numpy as np
import pandas as pd
import pytest
import yasa
from builders import START, make_hypnogram

from mne_wav2sleep import fold_hypnogram, read_hypnogram, write_hypnogram
from mne_wav2sleep.hypnograms.probabilities import name_stages, to_hypnogram
from mne_wav2sleep.modalities import STAGE_NAMES

GROUPS = {
    2: {"WAKE": ["WAKE"], "SLEEP": ["N1", "N2", "N3", "LIGHT", "DEEP", "REM"]},
    3: {"WAKE": ["WAKE"], "NREM": ["N1", "N2", "N3", "LIGHT", "DEEP"], "REM": ["REM"]},
    4: {"WAKE": ["WAKE"], "LIGHT": ["N1", "N2"], "DEEP": ["N3"], "REM": ["REM"]},
}


def stage(n_stages, n_epochs=200, unknown=(3, 4)):
    proba = np.random.default_rng(0).dirichlet(np.ones(n_stages), n_epochs)
    proba[list(unknown)] = np.nan
    return to_hypnogram(name_stages(proba, STAGE_NAMES[n_stages]), START, "wav2sleep")


@pytest.mark.parametrize(("n_stages", "to"), [(5, 4), (5, 3), (5, 2), (4, 3), (4, 2)])
def test_probabilities_are_added_up(n_stages, to):
    hyp = stage(n_stages)
    folded = fold_hypnogram(hyp, to)
    assert (folded.n_stages, folded.n_epochs, folded.freq) == (to, 200, "30s")
    assert (folded.start, folded.scorer) == (hyp.start, "wav2sleep")
    known = hyp.hypno.to_numpy() != "UNS"
    sums = pd.DataFrame(
        {
            name: hyp.proba.reindex(columns=parts, fill_value=0).sum(axis=1)
            for name, parts in GROUPS[to].items()
        }
    )
    assert set(folded.proba) == {*GROUPS[to], "UNS"}
    np.testing.assert_allclose(folded.proba[list(sums)], sums, atol=1e-12)
    assert list(folded.hypno[known]) == list(sums[known].idxmax(axis=1))
    assert set(folded.hypno[~known]) == {"UNS"}
    # That is not the same as renaming the stages.
    renamed = hyp.consolidate_stages(to).hypno.to_numpy()
    assert 0 < (folded.hypno.to_numpy() != renamed).mean() < 0.5


def test_without_probabilities_stages_are_renamed():
    hyp = make_hypnogram(50, stages=("WAKE", "N1", "N3", "REM", "UNS", "ART"), start=START)
    for to in (2, 3, 4):
        folded = fold_hypnogram(hyp, to)
        assert folded.hypno.equals(hyp.consolidate_stages(to).hypno)
        assert (folded.scorer, folded.start, folded.proba) == ("expert", hyp.start, None)
    assert fold_hypnogram(hyp, 5) is hyp


def test_stages_that_somebody_has_edited_are_renamed():
    hyp = stage(4, unknown=())
    stages = hyp.hypno.to_numpy(dtype=object)
    best = hyp.proba.idxmax(axis=1).to_numpy()
    edited = np.flatnonzero((best != "WAKE") & (hyp.proba["WAKE"] < 0.3))[0]
    stages[edited] = "WAKE"
    edits = yasa.Hypnogram(list(stages), n_stages=4, proba=hyp.proba)
    assert fold_hypnogram(hyp, 2).hypno.iloc[edited] == "SLEEP"
    assert fold_hypnogram(edits, 2).hypno.iloc[edited] == "WAKE"


@pytest.mark.parametrize(
    ("hyp", "n_stages", "message"),
    [
        (make_hypnogram(5, stages=("WAKE", "LIGHT", "REM")), 5, "n_stages must be from 2 to 4, th"),
        (make_hypnogram(5), 1, "n_stages must be from 2 to 5, the number of stages there are, got"),
        (make_hypnogram(5), "2", "n_stages must be an instance of int"),
        (["WAKE"], 2, "hyp must be an instance of"),
    ],
)
def test_what_cannot_be_folded_is_refused(hyp, n_stages, message):
    with pytest.raises((ValueError, TypeError), match=message):
        fold_hypnogram(hyp, n_stages)


@pytest.mark.parametrize("n_stages", [2, 3])
def test_folded_hypnograms_are_kept_by_json(n_stages, tmp_path):
    hyp = fold_hypnogram(stage(4), n_stages)
    write_hypnogram(hyp, tmp_path / "night.json")
    back = read_hypnogram(tmp_path / "night.json")
    assert (back.n_stages, back.start, back.scorer) == (n_stages, hyp.start, "wav2sleep")
    assert list(back.hypno) == list(hyp.hypno)
    pd.testing.assert_frame_equal(back.proba, hyp.proba, rtol=0, atol=1e-6)
    for suffix in ("csv", "tsv", "edf", "txt"):
        path = tmp_path / f"night.{suffix}"
        with pytest.raises(ValueError, match=rf"written as \.{suffix}, and 2 or 3 as \.json"):
            write_hypnogram(hyp, path)
        assert not path.exists()
