"""The figure of a hypnogram and a reference."""

import datetime

import matplotlib.pyplot as plt
import numpy as np
import pytest
import yasa
from builders import START, make_hypnogram

from mne_wav2sleep import align_hypnogram, plot_agreement
from mne_wav2sleep.hypnograms.aligning import change_hypnogram

FOUR = ("WAKE", "LIGHT", "DEEP", "REM")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def make_scored(n_epochs, seed=0, start=START):
    """Make a hypnogram whose scorer is named after its seed."""
    hyp = make_hypnogram(n_epochs, stages=FOUR, start=start, seed=seed)
    return change_hypnogram(hyp, scorer=f"scorer {seed}")


def test_agreement_is_that_of_yasa():
    hyp = make_scored(100, seed=1)
    reference = make_scored(100, seed=2)
    figure = plot_agreement(reference, hyp)
    axes = {ax.get_title(loc="left"): ax for ax in figure.axes}
    found = yasa.EpochByEpochAgreement([reference], [hyp]).get_agreement()
    n_both = ((reference.hypno != "UNS").to_numpy() & (hyp.hypno != "UNS").to_numpy()).sum()
    scores = f"kappa {found['kappa']:.2f}, accuracy {found['accuracy']:.0f} %"
    ax = axes[f"{scores}\nin {n_both} of 100 epochs"]
    counts = np.array([int(text.get_text()) for text in ax.texts]).reshape(4, 4)
    assert counts.sum() == 100
    same = (reference.hypno.to_numpy() == hyp.hypno.to_numpy()).sum()
    assert np.trace(counts) == same
    assert {"scorer 1", "scorer 2"} <= set(axes)


def test_labels_of_stages_that_do_not_occur_are_whole():
    hyp = yasa.Hypnogram(["LIGHT"] * 20, n_stages=4, scorer="a")
    reference = yasa.Hypnogram(["LIGHT"] * 19 + ["UNS"], n_stages=4, scorer="b")
    figure = plot_agreement(reference, hyp)
    limits = {ax.get_title(loc="left"): ax.get_ylim() for ax in figure.axes}
    assert limits["a"] == (-0.5, 3.5)
    assert limits["b"] == (-0.5, 4.5)


def test_a_reference_is_aligned_by_the_clock():
    hyp = make_scored(100)
    later = yasa.Hypnogram(
        ["N2"] * 30, n_stages=5, start=START + datetime.timedelta(minutes=10), scorer="expert"
    )
    aligned = align_hypnogram(later, hyp)
    assert list(aligned.hypno) == ["UNS"] * 20 + ["LIGHT"] * 30 + ["UNS"] * 50
    before = yasa.Hypnogram(
        ["N3"] * 30, n_stages=5, start=START - datetime.timedelta(minutes=10), scorer="expert"
    )
    assert list(align_hypnogram(before, hyp).hypno) == ["DEEP"] * 10 + ["UNS"] * 90


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (yasa.Hypnogram(["WAKE"] * 30, n_stages=4), "30 epochs, and 100 were staged"),
        (
            make_scored(100, start=START + datetime.timedelta(seconds=10)),
            r"begins 10\.0 s after what was staged.*Crop the recording by 10\.0 s",
        ),
        (make_scored(100, start=START + datetime.timedelta(days=1)), "no epoch in common"),
        (yasa.Hypnogram(["WAKE"] * 100, n_stages=2), "has 2 stages, and 4 were staged"),
        (yasa.Hypnogram(["WAKE"] * 100, n_stages=4, freq="20s"), "epochs of 20s"),
        (make_scored(100), "have the same scorer, 'scorer 0'.*scorer='expert'"),
    ],
)
def test_a_reference_that_does_not_fit_is_refused(reference, message):
    with pytest.raises(ValueError, match=message):
        plot_agreement(reference, make_scored(100))


def test_a_hypnogram_without_a_scorer_is_refused():
    hyp = yasa.Hypnogram(["WAKE"] * 100, n_stages=4)
    with pytest.raises(ValueError, match=r"has no scorer.*scorer='wav2sleep'"):
        plot_agreement(make_scored(100), hyp)
