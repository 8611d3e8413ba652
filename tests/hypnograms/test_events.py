import pytest

from mne_wav2sleep.hypnograms.events import make_hypnogram, read_events


def test_the_first_epoch_may_begin_before_a_cropped_event():
    hyp, onset = read_events([0, 20, 50], [20, 30, 30], ["W", "N2", "N3"], "It")
    assert (list(hyp.hypno), onset) == (["WAKE", "N2", "N3"], -10.0)


def test_events_of_whole_seconds_are_within_their_epochs():
    hyp, _ = read_events([0, 30, 61, 90], [30, 31, 29, 30], ["W", "N1", "N2", "R"], "It")
    assert list(hyp.hypno) == ["WAKE", "N1", "N2", "REM"]


def test_gaps_between_events_are_unscored():
    hyp, _ = read_events([0, 90], [30, 30], ["W", "R"], "It")
    assert list(hyp.hypno) == ["WAKE", "UNS", "UNS", "REM"]


def test_stages_of_a_human_and_of_a_network_are_consolidated():
    hyp = make_hypnogram(["WAKE", "N1", "LIGHT", "N3", "REM"])
    assert hyp.n_stages == 4
    assert list(hyp.hypno) == ["WAKE", "LIGHT", "LIGHT", "DEEP", "REM"]


@pytest.mark.parametrize(
    ("onsets", "durations", "labels", "message"),
    [
        (["x"], ["30"], ["W"], "It has stages whose onset or duration is not a number"),
        ([0], ["30,5"], ["W"], "It has stages whose onset or duration is not a number"),
        ([float("nan")], [30], ["W"], "have no onset"),
        ([0], [3e6], ["W"], "last longer than that"),
        ([], [], [], "no sleep stage among its events: there are none"),
        ([0], [30], ["apnea"], "no sleep stage among its events: 'apnea'"),
        ([0, 30], [30, 30], ["W", "Sleep stage X"], "unknown stages"),
    ],
)
def test_wrong_events_are_refused(onsets, durations, labels, message):
    with pytest.raises(ValueError, match=message):
        read_events(onsets, durations, labels, "It")
