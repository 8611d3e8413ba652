import tracemalloc
import warnings

import numpy as np
import pytest

from mne_wav2sleep.hypnograms.aligning import change_hypnogram, cut_hypnogram
from mne_wav2sleep.hypnograms.events import make_hypnogram, read_events

NIGHT = ["WAKE"] * 20 + ["N1"] * 3 + ["N2"] * 40 + ["N3"] * 30 + ["REM"] * 15 + ["WAKE"] * 12
EDF_PLUS = {"WAKE": "W", "N1": "N1", "N2": "N2", "N3": "N3", "REM": "R"}


def make_epochs(words=EDF_PLUS, stages=NIGHT, first=0.0):
    """Make an event per epoch."""
    onsets = first + 30.0 * np.arange(len(stages))
    return onsets, np.full(len(stages), 30.0), [words[stage] for stage in stages]


def make_runs(words=EDF_PLUS, stages=NIGHT, first=0.0):
    """Make an event per change of the stage."""
    starts = [i for i, stage in enumerate(stages) if i == 0 or stage != stages[i - 1]]
    lengths = np.diff([*starts, len(stages)])
    return first + 30.0 * np.array(starts), 30.0 * lengths, [words[stages[i]] for i in starts]


def add(events, *others):
    """Add events of onset, duration and label."""
    columns = zip(*others, strict=True)
    return tuple([*column, *new] for column, new in zip(events, columns, strict=True))


def test_the_first_epoch_may_begin_before_a_cropped_event():
    hyp, onset = read_events([0, 20, 50], [20, 30, 30], ["W", "N2", "N3"], "It")
    assert (list(hyp.hypno), onset) == (["WAKE", "N2", "N3"], -10.0)


def test_events_of_whole_seconds_are_within_their_epochs():
    hyp, _ = read_events([0, 30, 61, 90], [30, 31, 29, 30], ["W", "N1", "N2", "R"], "It")
    assert list(hyp.hypno) == ["WAKE", "N1", "N2", "REM"]


def test_stages_of_a_human_and_of_a_network_are_consolidated():
    hyp = make_hypnogram(["WAKE", "N1", "LIGHT", "N3", "REM"])
    assert hyp.n_stages == 4
    assert list(hyp.hypno) == ["WAKE", "LIGHT", "LIGHT", "DEEP", "REM"]


@pytest.mark.parametrize(
    ("onsets", "durations", "labels", "message"),
    [
        (["x"], ["30"], ["W"], "whose onset or duration is not a number of .*: 'x' is the onset"),
        (
            [0],
            ["30,5"],
            ["W"],
            "is not a number of seconds: '30,5' is the duration of 'W'. Correct",
        ),
        ([0, 0], ["1", ""], ["apnea", "N2"], "'' is the duration of 'N2'"),
        ([3, 9], [5, 6], ["Artifact", "movement"], "no sleep stage among its events: 'Artifact'"),
        ([float("nan")], [30], ["W"], "have no onset"),
        ([0], [3e6], ["W"], "last longer than that"),
        ([0], [np.inf], ["W"], "last longer than that"),
        ([], [], [], "no sleep stage among its events: there are none"),
        ([0], [30], ["apnea"], "no sleep stage among its events: 'apnea'"),
        ([0, 30], [30, 30], ["W", "Sleep stage X"], "unknown stages: 'Sleep stage X'"),
        ([0, 30], [30, 30], ["W", "Stadium V"], "unknown stages: 'Stadium V'"),
        ([0, 30], [30, -30], ["W", "N1"], "N1 at 30 s with the negative duration -30 s. Correct"),
        (["0", "30"], ["-0.5", "30"], ["W", "N1"], "WAKE at 0 s with the negative duration -0.5"),
    ],
)
def test_wrong_events_are_refused(onsets, durations, labels, message):
    with pytest.raises(ValueError, match=message):
        read_events(onsets, durations, labels, "It")


@pytest.mark.parametrize("make", [make_epochs, make_runs])
@pytest.mark.parametrize(
    "words",
    [
        {
            "WAKE": "Veglia",
            "N1": "Stadio 1",
            "N2": "Stadio 2",
            "N3": "Stadio 4",
            "REM": "Sonno REM",
        },
        {"WAKE": "Éveil", "N1": "Stade I", "N2": "Stade II", "N3": "SWS", "REM": "Stade REM"},
        {"WAKE": "SLEEP-S0", "N1": "SLEEP-S1", "N2": "SLEEP-S2", "N3": "S3+4", "REM": "SLEEP-REM"},
    ],
)
def test_words_that_are_not_those_of_edf_are_read_and_named(words, make):
    with pytest.warns(RuntimeWarning, match="It has names of stages that are not those") as caught:
        hyp, onset = read_events(*make(words, first=12.5), "It")
    assert (list(hyp.hypno), onset) == (NIGHT, 12.5)
    assert "are read as follows: " in str(caught[0].message)
    assert f"{words['WAKE']!r} as WAKE" in str(caught[0].message)


@pytest.mark.parametrize("first", [0.0, 17.25, -45.0])
@pytest.mark.parametrize(
    "words", [{}, {"WAKE": "Wake|0"}, {"N2": "Sleep stage 2"}, {"N1": "nrem1"}]
)
def test_usual_words_are_read_silently(words, first):
    hyp, onset = read_events(*make_epochs(EDF_PLUS | words, first=first), "It")
    assert (list(hyp.hypno), onset) == (NIGHT, first)


@pytest.mark.parametrize("has_durations", [True, False])
@pytest.mark.parametrize("make", [make_epochs, make_runs])
@pytest.mark.parametrize(
    ("words", "found"),
    [
        ({"WAKE": "Alert"}, r"'Alert' \(32 epochs\), 26% of all that is scored"),
        (
            {"N2": "Spindles", "N3": "Delta"},
            r"'Spindles' \(40 epochs\), 'Delta' \(30 epochs\), 58%",
        ),
        ({"REM": "Dreaming", "WAKE": "Up"}, r"'Up' \(32 epochs\), 'Dreaming' \(15 epochs\), 39%"),
    ],
)
def test_an_unknown_stage_is_refused_by_name(words, found, make, has_durations):
    onsets, durations, labels = make(EDF_PLUS | words, [*NIGHT, "N1"], first=5.0)
    apneas = [(x + 3.3, 21.0 * has_durations, "apnea") for x in (300.0, 600.0, 900.0)]
    durations = durations if has_durations else [None] * len(labels)
    with pytest.raises(ValueError, match=f"It has events that look like stages.*: {found}.*Rename"):
        read_events(*add((onsets, durations, labels), *apneas), "It")


@pytest.mark.parametrize(
    ("other", "found"),
    [
        ((-600.0, 600.0, "Biocals"), r"'Biocals' \(20 epochs\), 14%"),
        ((3600.0, 30.0, "Out of bed"), r"'Out of bed' \(1 epoch\), 1%"),
        ((3600.0, 31.0, "Unlabeled"), r"'Unlabeled' \(1 epoch\), 1%"),
    ],
)
def test_a_single_event_that_looks_like_a_stage_is_warned_of(other, found):
    with pytest.warns(
        RuntimeWarning, match=f"look like stages.*{found}.*are left unscored. Rename"
    ):
        hyp, onset = read_events(*add(make_epochs(), other), "It")
    assert (list(hyp.hypno), onset) == (NIGHT, 0.0)


@pytest.mark.parametrize(
    "others",
    [
        [(300.0, 30.0, "Obstructive apnea"), (601.0, 29.0, "Hypopnea"), (900.0, 60.0, "RERA")],
        [(-600.0, 600.0, "Lights on"), (0.0, 3600.0, "Recording Start Time")],
        [
            (-600.0, 0.0, "Impedance check"),
            (-30.0, 0.0, "Lichter aus"),
            (3630.0, 0.0, "Luz apagada"),
        ],
        [(3600.0, 90.0, "BAD_ACQ_SKIP"), (3612.0, 17.0, "Limb movement"), (47.3, 5.0, "movement")],
        [(3700.0, 12.0, "Artifact"), (-90.5, 5.0, "m"), (100.0, np.inf, "Snoring")],
        [(3600.0, 30.0, "SpO2 91 %"), (3640.0, 17.0, "SpO2 88 %"), (3690.0, 31.0, "SpO2")],
        [(1500.0, 0.0, "Scored by AB up to this stage"), (633.0, 5.0, "Stage shift")],
        [
            (612.0, 0.0, "Stadium unsicher"),
            (47.0, 0.0, "stages by CD"),
            (90.0, 3.0, "stage to be checked"),
        ],
        [(3601.5, -3.0, "Arousal"), (np.nan, 30.0, "Comment"), (1e12, 30.0, "Comment")],
    ],
)
def test_other_events_do_not_matter(others):
    hyp, onset = read_events(*add(make_epochs(), *others), "It")
    assert (list(hyp.hypno), onset) == (NIGHT, 0.0)


@pytest.mark.parametrize("missing", [None, "", 0, np.nan])
@pytest.mark.parametrize(
    "stages",
    [
        NIGHT,
        ["WAKE"] * 2 + ["N2"] * 5 + ["WAKE"],
        [*["N1", "N2"] * 3, *["N3"] * 6, "N2", "REM", "REM", "WAKE"],
    ],
)
def test_changes_without_durations_last_until_the_next(stages, missing):
    onsets, _, labels = make_runs(stages=stages, first=60.0)
    if missing == "":  # as tables read it
        missing, onsets = "nan", [f"{x:g}" for x in onsets]
    others = [
        (75.5, missing, "Arousal"),
        (90.0, missing, "Lights off"),
        (131.0, missing, "movement"),
    ]
    events = add((onsets, [missing] * len(labels), labels), *others)
    with pytest.warns(RuntimeWarning, match="taken for changes, so that each stage lasts until"):
        hyp, onset = read_events(*events, "It")
    last = 1 + max(i for i in range(len(stages)) if i == 0 or stages[i] != stages[i - 1])
    assert (list(hyp.hypno), onset) == (stages[:last], 60.0)


@pytest.mark.parametrize(
    "marks",
    [
        [(1500.0, 0.0, "Supine")],
        [(3000.0, np.nan, "Impedance check")],
        [(630.0, 0.0, "Cap refitted"), (660.0, 0.0, "Left side")],
    ],
)
def test_marks_among_changes_do_not_end_a_stage(marks):
    onsets, durations, labels = make_runs(stages=[*NIGHT, "N1"])
    events = add((onsets, 0 * durations, labels), *marks)
    with (
        pytest.warns(RuntimeWarning, match="taken for changes"),
        pytest.warns(RuntimeWarning, match="look like stages.*ignored, and the stage before"),
    ):
        hyp, onset = read_events(*events, "It")
    assert (list(hyp.hypno), onset) == ([*NIGHT, "N1"], 0.0)


def test_stages_of_an_epoch_each_need_no_durations():
    onsets, _, labels = make_epochs()
    hyp, _ = read_events(onsets, [0] * len(labels), labels, "It")
    assert list(hyp.hypno) == NIGHT


@pytest.mark.parametrize("duration", [30.0, 0.0])
@pytest.mark.parametrize(
    ("kept", "found"),
    [
        (range(0, 120, 2), "in 59 of the 119 epochs .50%."),
        ([i for i in range(120) if i % 10], "in 11 of the 119 epochs .9%."),
        ([*range(50), *range(90, 120)], "in 40 of the 120 epochs .33%."),
    ],
)
def test_holes_between_stages_are_warned_of(kept, found, duration):
    onsets, _, labels = make_epochs()
    labels = [labels[i] for i in kept]
    with pytest.warns(RuntimeWarning, match=f"has no stage {found} from its first.*check that no"):
        hyp, onset = read_events(onsets[list(kept)], [duration] * len(labels), labels, "It")
    first = kept[0]
    expected = ["UNS"] * (kept[-1] + 1)
    for i in kept:
        expected[i] = NIGHT[i]
    assert (list(hyp.hypno), onset) == (expected[first:], 30.0 * first)
    share = (len(hyp.hypno) - len(labels)) / len(hyp.hypno)
    for same in (hyp, change_hypnogram(hyp, scorer="me"), cut_hypnogram(hyp, 5, 200)):
        assert same.hypno.attrs == {"holes": share}


@pytest.mark.parametrize("label", ["?", "Sleep stage ?", "UNS", "Movement time"])
def test_marked_and_few_holes_are_silent(label):
    words = dict.fromkeys(EDF_PLUS, label) | {"N2": "N2", "N3": "N3"}
    hyp, _ = read_events(*make_epochs(words), "It")
    assert hyp.hypno.isin(["UNS", "ART"]).sum() == 50
    assert hyp.hypno.attrs == {}
    onsets, durations, labels = make_epochs()
    hyp, _ = read_events(np.r_[onsets[:60], onsets[65:]], durations[5:], labels[5:], "It")
    assert list(hyp.hypno[60:65]) == ["UNS"] * 5


@pytest.mark.parametrize(
    ("onsets", "durations"),
    [
        ([0.0] * 3000, [30 * 86400.0] * 3000),
        (86400.0 * np.arange(-30, 31), [86400.0] * 61),
        ([0.0, *[30.0] * 100_000], [30.0, *[0.0] * 100_000]),
    ],
)
def test_stages_that_do_not_fit_into_memory_are_refused(onsets, durations):
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"last .* days together, more than 31\. Check its durat"):
        read_events(onsets, durations, ["N2"] * len(onsets), "It")
    assert tracemalloc.get_traced_memory()[1] < 1e8
    tracemalloc.stop()


def test_long_labels_are_shortened():
    comment = "x" * 10_000_000
    with pytest.raises(ValueError, match=r"among its events: 'x{27}[.]{3}x{28}'") as caught:
        read_events([0], [30], [comment], "It")
    assert len(str(caught.value)) < 300
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        hyp, _ = read_events([0, 30, 60], [30, 30, 30], ["W", comment, "N1"], "It")
    assert list(hyp.hypno) == ["WAKE", "UNS", "N1"]
    assert len(str(shown[0].message)) < 400


@pytest.mark.parametrize(("word", "n"), [("N22", 8), ("S2x", 3), ("N 9", 5)])
def test_a_few_mistyped_stages_are_named(word, n):
    labels = ["N2"] * 240
    labels[100 : 100 + n] = [word] * n
    with pytest.warns(RuntimeWarning, match=rf"look like stages.*'{word}' \({n} epochs\)"):
        hyp, _ = read_events(np.arange(240) * 30.0, [30.0] * 240, labels, "It")
    assert (hyp.hypno == "UNS").sum() == n
