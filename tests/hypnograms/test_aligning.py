import datetime

import pytest
import yasa
from builders import START

from mne_wav2sleep import align_hypnogram
from mne_wav2sleep.hypnograms.aligning import change_hypnogram, cut_hypnogram


def test_an_aligned_reference_keeps_its_scorer_and_takes_the_number_of_stages():
    hyp = yasa.Hypnogram(["WAKE", "LIGHT", "REM"], n_stages=4, start=START)
    reference = yasa.Hypnogram(["WAKE", "REM"], n_stages=5, start=START, scorer="me")
    aligned = align_hypnogram(reference, hyp)
    assert list(aligned.hypno) == ["WAKE", "REM", "UNS"]
    assert (aligned.n_stages, aligned.scorer, aligned.start) == (4, "me", hyp.start)


@pytest.mark.parametrize(
    ("seconds", "stages"),
    [(30, ["UNS", "N2", "N3"]), (-30, ["N3", "REM", "UNS"]), (0, ["N2", "N3", "REM"])],
)
def test_a_reference_is_aligned_by_its_start(seconds, stages):
    hyp = yasa.Hypnogram(["WAKE"] * 3, start=START)
    start = START + datetime.timedelta(seconds=seconds)
    reference = yasa.Hypnogram(["N2", "N3", "REM"], start=start.replace(tzinfo=None))
    assert list(align_hypnogram(reference, hyp).hypno) == stages


def test_epochs_correspond_in_order_if_either_has_no_start():
    hyp = yasa.Hypnogram(["WAKE"] * 2, start=START)
    aligned = align_hypnogram(yasa.Hypnogram(["N2", "REM"]), hyp)
    assert list(aligned.hypno) == ["N2", "REM"]
    assert (aligned.start, aligned.scorer) == (hyp.start, "reference")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (yasa.Hypnogram(["WAKE"] * 9, freq="20s"), "reference has epochs of 20s.*30 s long"),
        (yasa.Hypnogram(["WAKE"] * 3), "has 3 epochs, and 2 were staged.*Give start="),
        (yasa.Hypnogram(["WAKE", "SLEEP"], n_stages=2), "has 2 stages, and 5 were.*consolidate"),
        (
            yasa.Hypnogram(["WAKE"], start=START + datetime.timedelta(seconds=60)),
            "no epoch in common.*Check both start times",
        ),
        (
            yasa.Hypnogram(["WAKE"] * 3, start=START - datetime.timedelta(seconds=20)),
            r"begins 20\.0 s before what was staged.*Crop the recording by 10\.0 s at its start",
        ),
    ],
)
def test_a_reference_that_does_not_match_is_refused(reference, message):
    with pytest.raises(ValueError, match=message):
        align_hypnogram(reference, yasa.Hypnogram(["WAKE", "N2"], start=START))


def test_a_changed_hypnogram_is_a_copy():
    hyp = yasa.Hypnogram(["WAKE", "LIGHT"], n_stages=4, start=START, scorer="me")
    changed = change_hypnogram(hyp, scorer="you")
    assert (changed.scorer, changed.start, changed.n_stages) == ("you", hyp.start, 4)
    assert hyp.scorer == "me"


@pytest.mark.parametrize(
    ("first", "n_epochs", "stages"),
    [
        (0, 2, ["N2", "REM"]),
        (1, 4, ["UNS", "N2", "REM", "UNS"]),
        (-1, 1, ["REM"]),
        (2, 3, ["UNS", "UNS", "N2"]),
    ],
)
def test_a_hypnogram_is_cropped_and_padded_to_a_recording(first, n_epochs, stages):
    assert list(cut_hypnogram(yasa.Hypnogram(["N2", "REM"]), first, n_epochs).hypno) == stages
