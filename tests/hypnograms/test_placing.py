"""Stages are placed by clocks that are certain, and what is assumed is said."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import edfio
import mne
import pytest
import yasa
from builders import HOUR, make_raw, make_wave

from mne_wav2sleep import align_hypnogram, read_hypnogram, write_hypnogram
from mne_wav2sleep.clock import subtract_clocks
from mne_wav2sleep.hypnograms.reading import locate_hypnogram
from mne_wav2sleep.recordings import open_recording

STAGES = ["WAKE", "N1", "N2", "N3", "REM"] * 4
START = datetime(2023, 10, 7, 23, 14, 0, tzinfo=UTC)
SAME, X = "Startdate 07-OCT-2023 X X X", "Startdate X X X X"


@pytest.fixture
def raw():
    return make_raw(["ECG"], 32.0, HOUR, start=START)


def write_edf(path, recording, day, clock, *, first=0.0, has_signal=False, stamp=True):
    """Write an EDF+ of stages, with a signal if it is a recording."""
    notes = [edfio.EdfAnnotation(first + 30 * i, 30, s) for i, s in enumerate(STAGES)]
    wave = make_wave(32.0, HOUR)
    signals = [edfio.EdfSignal(wave, 32, label="ECG")] if has_signal else []
    edfio.Edf(signals, annotations=[] if has_signal else notes).write(path)
    content = bytearray(path.read_bytes())
    content[88:184] = f"{recording:80}{day:8}{clock:8}".encode()
    if not stamp:
        at = content.index(b"+0\x14\x14\0")
        content[at : at + 5] = b"" if has_signal else b"\0" * 5
    path.write_bytes(content)
    return path


# Headers that begin at 23:14 of the 7th, however they are written.
@pytest.mark.parametrize(
    "header",
    [
        (SAME, "07.10.23", "23.14.00"),
        (SAME, "07.10.23", "23:14:00"),
        (X, "7.10.23", "23.14.0"),
        ("Startdate 07-OCT-2023 X", "01.01.85", "23.14.00"),
        ("startdate 07-oct-2023 X X X X", "07.10.23", "23h14m00"),
        ("Startdate 07-OKT-2023 X X X", "07.10.23", "23-14-00"),
        (X, "00.00.00", "23.14.00"),
        (X, "31.09.23", "23.14.00"),
        (X, "01.01.85", "23.14.00"),
    ],
)
@pytest.mark.parametrize("minutes", [0, 35])
@pytest.mark.filterwarnings("ignore:The header of:RuntimeWarning", "ignore:By its header")
@pytest.mark.filterwarnings("ignore:The stages count from:RuntimeWarning")
def test_one_header_has_one_reading(header, minutes, raw, tmp_path):
    """Beside a normal recording, the reverse, and twice the same header."""
    later = f"{START + timedelta(minutes=minutes):%H.%M.%S}"
    scored = write_edf(tmp_path / "stages.edf", *header, first=30.0)
    assert locate_hypnogram(scored, raw)[1] == 30
    scored = write_edf(tmp_path / "later.edf", *header[:2], later, first=30.0)
    assert locate_hypnogram(scored, raw)[1] == 30 + 60 * minutes
    night = open_recording(write_edf(tmp_path / "night.edf", *header, has_signal=True)).raw
    for day in (header[:2], (SAME, "07.10.23")):
        scored = write_edf(tmp_path / "scored.edf", *day, later, first=30.0)
        hyp, onset = locate_hypnogram(scored, night)
        assert onset == 30 + 60 * minutes
        assert hyp.start == night.info["meas_date"] + timedelta(seconds=onset)


@pytest.mark.parametrize("clock", ["24.00.00", "23.14", "", "99.99.99"])
def test_a_scoring_without_a_clock_counts_from_the_recording_and_says_so(clock, raw, tmp_path):
    path = write_edf(tmp_path / "stages.edf", SAME, "07.10.23", clock, first=30.0)
    for recording in (raw, None):
        with pytest.warns(RuntimeWarning, match="not a start time; its onsets count from the rec"):
            hyp, onset = locate_hypnogram(path, recording)
        assert onset == 30
        assert hyp.start == (recording and START + timedelta(seconds=30))


@pytest.mark.parametrize("header", [(X, "01.01.85", "00.00.00"), ("", "01.01.85", "00.00.00")])
def test_a_scoring_that_says_that_it_has_no_clock_counts_from_the_recording(header, raw, tmp_path):
    path = write_edf(tmp_path / "stages.edf", *header, first=90.0)
    assert locate_hypnogram(path, raw)[1] == 90
    # A recording with such a header does not place a scoring with a clock, either.
    night = write_edf(tmp_path / "night.edf", *header, has_signal=True)
    assert locate_hypnogram(path, open_recording(night).raw)[1] == 90
    dated = write_edf(tmp_path / "dated.edf", SAME, "07.10.23", "23.14.00")
    with pytest.warns(RuntimeWarning, match="has 20 epochs of 30 s and the recording 120"):
        hyp, onset = locate_hypnogram(dated, open_recording(night).raw)
    assert (hyp.start, onset) == (START, None)


@pytest.mark.parametrize(
    ("night", "scored", "minutes"),
    [("23.50.00", "00.10.00", 20), ("00.05.00", "23.58.00", -7), ("21.00.00", "20.59.30", -0.5)],
)
@pytest.mark.filterwarnings("ignore:The stages count from .* placed by the time of day")
def test_times_of_day_may_lie_on_either_side_of_midnight(night, scored, minutes, tmp_path):
    night = write_edf(tmp_path / "night.edf", X, "01.01.85", night, has_signal=True)
    for header in ((X, "01.01.85"), (SAME, "07.10.23")):
        path = write_edf(tmp_path / "scored.edf", *header, scored)
        assert locate_hypnogram(path, open_recording(night).raw)[1] == 60 * minutes


@pytest.mark.parametrize("first", [0, 30, 3000.5])
@pytest.mark.parametrize("stamp", [True, False])
def test_onsets_of_stages_without_time_stamps_of_records(stamp, first, raw, tmp_path):
    path = write_edf(tmp_path / "a.edf", SAME, "07.10.23", "23.14.00", first=first, stamp=stamp)
    raw = make_raw(["ECG"], 32.0, 2 * HOUR, start=START)
    hyp, onset = locate_hypnogram(path, raw)
    assert (onset, list(hyp.hypno)) == (first, STAGES)


def test_a_hypnogram_beside_a_recording_of_another_day_is_doubted(raw):
    for days in (-1, 1, 14000):
        hyp = yasa.Hypnogram(STAGES, start=START + timedelta(days=days))
        with pytest.warns(RuntimeWarning, match="they have no time in common. Check the dates"):
            locate_hypnogram(hyp, raw)


@pytest.mark.parametrize("hours", [0, 0.5])
def test_a_hypnogram_beside_a_recording_without_a_date(hours):
    """The placeholder date is not compared with a real one."""
    raw = make_raw(["ECG"], 32.0, HOUR, start=START.replace(year=1985, month=1, day=1)).crop(60)
    hyp = yasa.Hypnogram(STAGES, start=START + timedelta(hours=hours))
    if hours:
        with pytest.warns(RuntimeWarning, match="placed by the time of day, 30.0 min after"):
            found, onset = locate_hypnogram(hyp, raw)
    else:
        found, onset = locate_hypnogram(hyp, raw)
    assert onset == hours * 3600 - 60
    assert found.start == raw.info["meas_date"] + timedelta(hours=hours)


# Onsets of a recording of which a part is given.


def write_relative(kind, folder):
    """Write stages from 10 min after the start of the recording on."""
    path = folder / f"stages.{kind}"
    if kind == "xml":
        events = "".join(
            f"<ScoredEvent><EventConcept>{number}</EventConcept><Start>{600 + 30 * i}</Start>"
            "<Duration>30</Duration></ScoredEvent>"
            for i, number in enumerate(["Wake|0", "Stage 2 sleep|2"] * 10)
        )
        path.write_text(f"<PSGAnnotation><ScoredEvents>{events}</ScoredEvents></PSGAnnotation>")
    elif kind == "edf":
        return write_edf(path, X, "01.01.85", "00.00.00", first=600.0)
    elif kind == "fif":
        path = folder / "stages-annot.fif"
        onsets = [600 + 30 * i for i in range(20)]
        mne.Annotations(onsets, 30, STAGES).save(path)
    else:
        rows = [f"{600 + 30 * i},30,{stage}" for i, stage in enumerate(STAGES)]
        path.write_text("\n".join(["onset,duration,stage", *rows]))
    return path


@pytest.mark.parametrize("kind", ["csv", "xml", "edf", "fif"])
@pytest.mark.parametrize("start", [START, None])
@pytest.mark.parametrize("cut", [300, 607.5])
def test_onsets_count_from_the_recording_that_was_cropped(cut, start, kind, tmp_path):
    path = write_relative(kind, tmp_path)
    raw = make_raw(["ECG"], 32.0, HOUR, start=start).crop(cut)
    with pytest.warns(RuntimeWarning, match="min after the start of its recording.*Give onsets_f"):
        hyp, onset = locate_hypnogram(path, raw)
    assert onset == 600 - cut
    assert hyp.start == (start and start + timedelta(seconds=600))
    # Confirmed, or from the first sample of the part.
    assert locate_hypnogram(path, raw, onsets_from="recording")[1] == 600 - cut
    assert locate_hypnogram(path, raw, onsets_from="raw")[1] == 600
    raw.save(tmp_path / "part_raw.fif")  # a file also knows that it was cropped
    part = mne.io.read_raw(tmp_path / "part_raw.fif", verbose="error")
    with pytest.warns(RuntimeWarning, match="Give onsets_from='recording' if that is right"):
        assert locate_hypnogram(path, part)[1] == 600 - cut
    if start is not None:
        assert read_hypnogram(path, raw, onsets_from="raw").start == raw_start(raw, 600)


def raw_start(raw, seconds):
    return raw.info["meas_date"] + timedelta(seconds=raw.first_time + seconds)


def test_crops_do_not_matter_to_clocks_nor_to_whole_recordings(raw, tmp_path, recwarn):
    assert locate_hypnogram(write_relative("csv", tmp_path), raw)[1] == 600
    hyp = yasa.Hypnogram(STAGES, start=START + timedelta(seconds=600))
    assert locate_hypnogram(hyp, raw.crop(300))[1] == 300
    assert not recwarn.list
    with pytest.raises(ValueError, match="Invalid value for the 'onsets_from' parameter"):
        locate_hypnogram(hyp, raw, onsets_from="file")


# Time zones.

BERLIN, TOKYO = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Tokyo")
SUMMER = datetime(2024, 7, 1, 22, 30)


@pytest.mark.parametrize("zone", [BERLIN, TOKYO, ZoneInfo("America/New_York")])
def test_a_recording_in_utc_and_a_hypnogram_in_a_zone(zone, tmp_path):
    true = SUMMER.replace(tzinfo=zone)
    path = tmp_path / "scoring.json"
    yasa.Hypnogram(STAGES, start=true).to_json(str(path))
    local = make_raw(["ECG"], 32.0, HOUR, start=SUMMER.replace(tzinfo=UTC))
    utc = make_raw(["ECG"], 32.0, HOUR, start=true.astimezone(UTC))
    with pytest.warns(RuntimeWarning, match="only one has a time zone of its own.*Give meas_date_"):
        assert locate_hypnogram(path, local)[1] == 0
    assert locate_hypnogram(path, local, meas_date_is_local=True)[1] == 0
    hyp, onset = locate_hypnogram(path, utc, meas_date_is_local=False)
    assert onset == 0
    # It is then on the clock of the recording, as what was staged.
    staged = yasa.Hypnogram(STAGES, start=utc.info["meas_date"])
    assert hyp.start == staged.start
    assert list(align_hypnogram(hyp, staged).hypno) == STAGES
    naive = yasa.Hypnogram(STAGES, start=SUMMER)
    with pytest.raises(ValueError, match="only one has a time zone, so that they cannot be comp"):
        locate_hypnogram(naive, utc, meas_date_is_local=False)


def test_hypnograms_in_two_zones_are_aligned_by_the_instant(recwarn):
    start = SUMMER.replace(tzinfo=BERLIN)
    hyp = yasa.Hypnogram(STAGES, start=start)
    for zone in (TOKYO, ZoneInfo("America/New_York"), ZoneInfo("Asia/Kolkata"), BERLIN):
        reference = yasa.Hypnogram(STAGES[2:], start=start.astimezone(zone) + timedelta(seconds=60))
        assert list(align_hypnogram(reference, hyp).hypno) == ["UNS", "UNS", *STAGES[2:]]
    assert not recwarn.list
    utc = yasa.Hypnogram(STAGES, start=start.astimezone(UTC))
    assert list(align_hypnogram(utc, hyp, meas_date_is_local=False).hypno) == STAGES
    local = yasa.Hypnogram(STAGES, start=SUMMER)
    assert list(align_hypnogram(local, hyp, meas_date_is_local=True).hypno) == STAGES
    with pytest.warns(RuntimeWarning, match="only one has a time zone of its own"):
        assert list(align_hypnogram(local, hyp).hypno) == STAGES


def test_zones_that_make_no_difference_are_not_mentioned(recwarn):
    london = datetime(2024, 1, 1, 23, tzinfo=ZoneInfo("Europe/London"))
    assert subtract_clocks(london, london.replace(tzinfo=UTC)) == 0
    assert subtract_clocks(SUMMER.replace(tzinfo=UTC), SUMMER) == 0
    assert not recwarn.list


@pytest.mark.parametrize(
    ("begin", "end", "hours"),
    [
        (datetime(2024, 3, 30, 23), datetime(2024, 3, 31, 4), 4),
        (datetime(2024, 10, 26, 23), datetime(2024, 10, 27, 4), 6),
        (datetime(2024, 7, 1, 23), datetime(2024, 7, 2, 4), 5),
    ],
)
def test_a_zone_tells_when_the_clocks_change(begin, end, hours):
    seconds = subtract_clocks(end.replace(tzinfo=BERLIN), begin, meas_date_is_local=True)
    assert seconds == hours * 3600
    assert subtract_clocks(begin.replace(tzinfo=BERLIN), end, meas_date_is_local=True) == -seconds


@pytest.mark.parametrize(("begin", "end"), [(600, 3000), (0, 1800), (90, 100)])
def test_dated_stages_may_end_after_a_cropped_recording(begin, end, tmp_path, recwarn):
    raw = make_raw(("ECG",), seconds=3600, start=START)
    hyp = yasa.Hypnogram(["WAKE"] * 120, start=START.replace(tzinfo=None))
    write_hypnogram(hyp, tmp_path / "scored.edf")
    _, onset = locate_hypnogram(tmp_path / "scored.edf", raw.crop(begin, end))
    assert onset == -begin
    assert not recwarn.list
