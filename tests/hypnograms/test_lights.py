"""Lights off and on: what marks them, where they are, and which of several are taken."""

from datetime import UTC, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import yasa
from builders import assert_clean

from mne_wav2sleep.hypnograms.light_marks import find_kind
from mne_wav2sleep.hypnograms.lights import EventLights, choose_time_in_bed, find_lights

START = datetime(2024, 3, 1, 22, 30, tzinfo=UTC)
NIGHT = 9 * 3600.0
MIN = 60.0


def sleep_night(*runs, n_epochs=1080, start=START):
    """A hypnogram that is awake but for runs of sleep, given in minutes."""
    stages = np.full(n_epochs, "WAKE", dtype=object)
    for first, last in runs:
        stages[2 * first : 2 * last] = "N2"
        stages[2 * last - 20 : 2 * last - 10] = "REM"
    return yasa.Hypnogram(stages, start=start)


NORMAL = sleep_night((30, 240), (250, 470))


def place(off, on, start=START, duration=NIGHT):
    marks = find_lights((off, on), start=start, duration=duration)
    return marks.off_times, marks.on_times


def choose(marks, hyp=NORMAL, start=START):
    """The time in bed of annotations, given in minutes, in minutes."""
    duration = hyp.n_epochs * 30.0
    events = [(60.0 * at, 0.0, text) for at, text in marks]
    found = find_lights("auto", start=start, duration=duration, annotations=events)
    return choose_time_in_bed(found, hyp)


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        (
            "off",
            "Lights off|Lights Off|LIGHTS OUT|light off|Lights-off|LightsOff|LOFF|L.O.|L/O|L.Off|"
            "Licht aus|licht uit|Lumière éteinte|lumières éteintes|Extinction des lumières|"
            "Luces apagadas|Luz apagada|Luci spente|Luzes apagadas|Lights off@@ECG|"
            "Lights Off 22:45|Comment/Lights off|Lights off time|LO|Lights off at 22:45|"
            "Lights off at 10:45 pm|Time of lights off|lights are off|Lights turned off|"
            "Lichter aus|Lights off (patient request)|tech: lights off",
        ),
        (
            "on",
            "Lights on|LON|L.On|Lights On|LightsOn|Licht an|Licht ein|Licht aan|Lumières allumées|"
            "Luz acesa|Luces encendidas|Luci accese|lights_on|light on",
        ),
        (
            None,
            "Lights|L|Lon g|Lights off?maybe not yet, the subject still reads a book|"
            "Turned lights off again after call|Leg movement|L On|Lights not off|"
            "Light sleep|Lightson call|Alon|off|"
            "night light on request|Light on request|Lights off (not yet)|"
            "Lights off at|Lights off in 5 min|tech|blood",
        ),
    ],
)
def test_words_for_lights(kind, labels):
    assert {label: find_kind(label) for label in labels.split("|")} == dict.fromkeys(
        labels.split("|"), kind
    )


def test_a_code_of_nsrr_follows_a_label():
    assert find_kind("Lights Off|Lights Off") == "off"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("22:45", "06:30"), (15 * MIN, 480 * MIN)),
        (("22:45:30", "6:30:15"), (15.5 * MIN, 480.25 * MIN)),
        (("10:45 PM", "6:30 a.m."), (15 * MIN, 480 * MIN)),
        (("2024-03-01 22:45", "2024-03-02T06:30:00"), (15 * MIN, 480 * MIN)),
        (("00:15", "00:45"), (105 * MIN, 135 * MIN)),
        ((900, np.int64(28800)), (900, 28800)),
        (("900 s", "28800s"), (900, 28800)),
        ((datetime(2024, 3, 1, 22, 45), pd.Timestamp("2024-03-02 06:30")), (900, 28800)),
        # UTC is what MNE calls the local time of a recording.
        ((START + timedelta(minutes=15), datetime(2024, 3, 2, 6, 30, tzinfo=UTC)), (900, 28800)),
        ((time(22, 45), time(6, 30)), (900, 28800)),
        ((np.datetime64("2024-03-01T22:45"), np.datetime64("2024-03-02T06:30")), (900, 28800)),
        ((datetime(2024, 3, 1, 22, 45, tzinfo=ZoneInfo("Europe/Berlin")), None), (900, None)),
        (("22:30", None), (0, None)),
        ((None, "07:30"), (None, NIGHT)),
        # A clock shows minutes.
        (("22:29:30", "07:30:40"), (0, NIGHT)),
    ],
)
def test_given_times(given, expected):
    off_times, on_times = place(*given)
    assert (off_times, on_times) == tuple(() if at is None else (at,) for at in expected)


@pytest.mark.parametrize(
    ("start", "off", "on", "hours"),
    [
        # Spring forward on 2024-03-31, at 2:00 in Berlin: 22:00 to 7:00 are 8 h.
        ("2024-03-30 22:00", "+01:00", "+02:00", 8),
        # Fall back on 2024-10-27, at 3:00: 22:00 to 7:00 are 10 h.
        ("2024-10-26 22:00", "+02:00", "+01:00", 10),
    ],
)
def test_the_clocks_change_between_lights_off_and_on(start, off, on, hours):
    begin = datetime.fromisoformat(start)
    end = begin + timedelta(hours=9)
    fixed = [begin.isoformat() + off, end.isoformat() + on]
    zone = ZoneInfo("Europe/Berlin")
    for given in (
        fixed,
        [datetime.fromisoformat(text) for text in fixed],
        [at.replace(tzinfo=zone) for at in (begin, end)],
        [pd.Timestamp(at, tz=zone) for at in (begin, end)],
    ):
        off_times, on_times = place(*given, start=begin.replace(tzinfo=UTC), duration=11 * 3600)
        assert on_times[0] - off_times[0] == hours * 3600
        assert off_times[0] == 0
    # The clock of the recording does not change.
    off_times, on_times = place("22:00", "07:00", start=begin, duration=11 * 3600)
    assert on_times[0] - off_times[0] == 9 * 3600


@pytest.mark.parametrize(
    ("events", "expected", "message"),
    [
        ((900.0, 28800.0), ((900,), (28800,)), None),
        ((900.0, None), ((900,), ()), None),
        ((900.0, NIGHT + 20), ((900,), (NIGHT,)), None),
        ((900.0, NIGHT + 3600), ((900,), (NIGHT,)), "on in events.tsv, .* taken to be its end"),
        ((-7200.0, None), ((0,), ()), "off in events.tsv, .* taken to be its start"),
        ((NIGHT + 5, None), ((), ()), "off in events.tsv, .* outside .* is not used"),
        ((900.0, 901.0), ((900,), (901,)), None),
    ],
)
def test_events_outside_of_the_recording_do_not_stop_staging(events, expected, message):
    kwargs = {"start": START, "duration": NIGHT}
    if message is None:
        marks = find_lights(EventLights(events), **kwargs)
    else:
        with pytest.warns(RuntimeWarning, match=message):
            marks = find_lights(EventLights(events), **kwargs)
    assert (marks.off_times, marks.on_times) == expected
    assert marks.source == ("events" if any(expected) else "recording")


def test_events_are_a_source_of_their_own():
    marks = find_lights(EventLights((900.0, 28800.0)), start=START, duration=NIGHT)
    in_bed = choose_time_in_bed(marks, NORMAL)
    assert (in_bed.source, in_bed.first, in_bed.stop) == ("events", 30, 960)
    assert "(by events.tsv)" in str(in_bed)
    marks = find_lights(EventLights((900.0, 901.0)), start=START, duration=NIGHT)
    with pytest.warns(RuntimeWarning, match="no sleep between them.*correct the events"):
        assert choose_time_in_bed(marks, NORMAL).source == "whole recording"


def test_utc_beside_another_zone_is_an_instant():
    kwargs = {"start": datetime(2024, 3, 30, 22, tzinfo=UTC), "duration": 11 * 3600}
    assert place("2024-03-30T23:00+01:00", "2024-03-31T05:00Z", **kwargs) == ((3600,), (28800,))
    assert place("2024-03-30T22:00Z", "2024-03-31T06:00+01:00", **kwargs) == ((3600,), (28800,))


def test_utc_alone_is_taken_for_the_clock_of_the_recording():
    with pytest.warns(RuntimeWarning, match="Lights on, '2024-03-02 06:30Z', is labeled UTC"):
        assert place(900, "2024-03-02 06:30Z") == ((900,), (28800,))


@pytest.mark.parametrize("value", ["999999999999 s", 1e12, "9" * 400 + " s", 10**400, -1e10])
def test_seconds_beyond_any_recording_are_refused(value):
    with pytest.raises(ValueError, match=r"Lights off is .* s, which is outside of any recording"):
        place(value, None)
    with pytest.raises(ValueError, match=r"Lights on is .* s, which is outside of any recording"):
        place(None, value)


def test_lights_off_shortly_before_the_recording_begins():
    with pytest.warns(RuntimeWarning, match="Lights off, 2024-03-01 22:00:00, is 30 min before"):
        assert place("22:00", "06:30") == ((0,), (28800,))
    with pytest.warns(RuntimeWarning, match="Lights on, 2024-03-02 07:45:00, is 15 min after"):
        assert place("22:45", "07:45") == ((900,), (NIGHT,))


@pytest.mark.parametrize(
    ("off", "on", "start", "message"),
    [
        ("06:30", "2024-03-01 22:45", START, "Lights on, 2024-03-01 22:45:00, is not after"),
        (3600, 3600, START, "is not after lights off, 2024-03-01 23:30:00"),
        ("20:00", None, START, "Lights off, 2024-03-02 20:00:00, is outside of the recording"),
        ("22:45", "2024-03-03 06:30", START, "Lights on, 2024-03-03 06:30:00, is outside of"),
        (-60, None, START, "Lights off, 2024-03-01 22:29:00, is outside of the recording"),
        (None, NIGHT + 60, START, "is outside of the recording, which lasts from 2024-03-01 22:30"),
        (None, 60.0, None, None),
        (None, "06:30", None, "Lights on is given as clock time, but the recording has no clock"),
        ("22:45", None, datetime(1985, 1, 1), "Lights off is given as clock time, but the record"),
        (
            "2024-03-01 22:45",
            None,
            datetime(1985, 1, 1, 22),
            "is only a placeholder, 1985-01-01. Give the time of day",
        ),
        ("22:45", None, datetime(1985, 1, 1, 22), None),
        ("25:00", None, START, "Lights off is '25:00', and there is no such time of day"),
        ("13:00 am", None, START, "there is no such time of day"),
        ("late", None, START, "Lights off is 'late', which is not a time. Give clock time, such"),
        ("2245", None, START, "Lights off is '2245', which is not a time"),
        ("2024-03-01", None, START, "which is not a time"),
        ("2024-13-01 22:45", None, START, "which is not a time"),
        ("", None, START, "Lights off is '', which is not a time"),
        (np.nan, None, START, "Lights off is nan s"),
        (pd.NaT, None, START, "Lights off is of type NaTType, not a time"),
        (True, None, START, "Lights off is of type bool, not a time"),
        ([22, 45], None, START, "Lights off is of type list, not a time"),
        (600, 612, START, "Less than half an epoch of 30 s lies between lights off"),
    ],
)
def test_wrong_times_are_refused(off, on, start, message):
    if message is None:
        place(off, on, start)
        return
    with pytest.raises((ValueError, TypeError)) as error:
        place(off, on, start)
    assert message in str(error.value)
    assert_clean(error.value)


@pytest.mark.parametrize("lights", ["Auto", "22:45", ("22:45",), 3, {"off": 1}, ("a", "b", "c")])
def test_lights_that_are_no_pair_are_refused(lights):
    with pytest.raises(TypeError, match=r"lights must be 'auto', None, or a pair of lights off"):
        find_lights(lights, start=START, duration=NIGHT)


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ([], (0, 540, "whole recording")),
        ([(15, "Lights off"), (480, "Lights on")], (15, 480, "annotations")),
        ([(15, "LOFF")], (15, 540, "annotations")),
        ([(480, "LON")], (0, 480, "annotations")),
        # Epochs begin nearest to the marks.
        ([(15.2, "LOFF"), (480.3, "LON")], (15, 480.5, "annotations")),
        # Twice the same.
        ([(15, "LOFF"), (15.1, "Lights off")], (15, 540, "annotations")),
    ],
)
def test_annotated_lights(marks, expected):
    found = choose(marks)
    assert (found.first / 2, found.stop / 2, found.source) == expected
    first, stop = round(2 * expected[0]), round(2 * expected[1])
    by_hand = yasa.Hypnogram(
        NORMAL.hypno.tolist()[first:stop], start=START + timedelta(seconds=30 * first)
    )
    assert found.crop(NORMAL).sleep_statistics() == by_hand.sleep_statistics()
    assert found.crop(NORMAL).start == by_hand.start


@pytest.mark.parametrize(
    ("marks", "hyp", "expected"),
    [
        # Lights on for a moment before sleep, and for the toilet.
        (
            [(5, "LOFF"), (10, "LON"), (20, "LOFF"), (241, "LON"), (248, "LOFF"), (475, "LON")],
            NORMAL,
            (20, 475),
        ),
        # A test of the light, long before.
        ([(2, "LOFF"), (3, "LON"), (80, "LOFF")], sleep_night((90, 470)), (80, 540)),
        # Light from the beginning, and lights off that nobody has marked.
        ([(2, "LON"), (20, "LOFF"), (480, "LON")], NORMAL, (20, 480)),
        ([(241, "LON"), (248, "LOFF"), (480, "LON")], NORMAL, (0, 480)),
        # The last of several.
        ([(20, "LOFF"), (460, "LON"), (475, "LON"), (500, "LON")], NORMAL, (20, 475)),
        # Of two nights, that with more sleep.
        (
            [(20, "LOFF"), (500, "LON"), (1400, "LOFF"), (1900, "LON")],
            sleep_night((30, 400), (1450, 1890), n_epochs=4000),
            (1400, 1900),
        ),
    ],
)
def test_of_several_marks_those_around_the_sleep_are_taken(marks, hyp, expected):
    with pytest.warns(RuntimeWarning) as warned:
        found = choose(marks, hyp)
    assert (found.off / 60, found.on / 60) == expected
    shown = [f"{START + timedelta(minutes=at):%Y-%m-%d %H:%M:%S}" for at in expected]
    assert f"Time in bed is taken from {shown[0]} to {shown[1]}. Give" in str(warned[0].message)


def test_marks_with_no_sleep_between_them_are_not_used():
    with pytest.warns(RuntimeWarning, match=r"\(off at 2024-03-02 06:40:00\) are not used"):
        found = choose([(490, "Lights off")])
    assert (found.first, found.stop, found.source) == (0, 1080, "whole recording")
    # Somebody who did not sleep was in bed nevertheless.
    found = choose([(15, "LOFF"), (480, "LON")], sleep_night())
    assert (found.first, found.stop) == (30, 960)


def test_much_sleep_out_of_bed_is_warned_of():
    with pytest.warns(RuntimeWarning, match="90 min of sleep are outside of the time in bed"):
        found = choose([(120, "Lights off"), (480, "Lights on")])
    assert (found.off, found.on) == (7200, 28800)
    marks = find_lights((120 * 60, None), start=START, duration=NIGHT)
    with pytest.warns(RuntimeWarning, match="90 min of sleep are outside of the time in bed"):
        choose_time_in_bed(marks, NORMAL)


def test_a_span_has_two_marks():
    def choose_spans(*events):
        marks = find_lights("auto", start=START, duration=NIGHT, annotations=events)
        found = choose_time_in_bed(marks, NORMAL)
        return found.off / 60, found.on / 60

    assert choose_spans((900.0, 27900.0, "Lights off")) == (15, 480)
    assert choose_spans((-600.0, 1500.0, "Lights on")) == (15, 540)
    assert choose_spans((900.0, 30.0, "Lights off")) == (15, 540)
    assert choose_spans((-60.0, 0.0, "Lights off"), (NIGHT + 60, 0.0, "Lights on")) == (0, 540)
    assert choose_spans((np.nan, 0.0, "Lights off")) == (0, 540)


def test_a_time_in_bed_describes_itself():
    found = choose([(15, "LOFF")])
    assert str(found) == (
        "lights off 2024-03-01 22:45:00 (annotated) to lights on 2024-03-02 07:30:00 (the end of "
        "the recording)"
    )
    assert (found.off_time, found.on_time) == (
        START + timedelta(minutes=15),
        START + timedelta(hours=9),
    )
    assert found.to_dict() == {
        "description": str(found),
        "source": "annotations",
        "lights_off": "2024-03-01 22:45:00",
        "lights_on": "2024-03-02 07:30:00",
        "off_s": 900,
        "on_s": NIGHT,
        "off_source": "annotations",
        "on_source": "recording",
        "first_epoch": 30,
        "epochs": 1050,
    }
    marks = find_lights((None, 3600), start=None, duration=NIGHT)
    with pytest.warns(RuntimeWarning, match="outside of the time in bed, from 0 min to 60 min"):
        undated = choose_time_in_bed(marks, NORMAL)
    assert undated.to_dict()["lights_on"] is None
    assert undated.on_time is None
    assert str(undated) == (
        "lights off 0 min (the start of the recording) to lights on 60 min (given)"
    )


def test_zones_of_fixed_offset_are_kept():
    zone = timezone(timedelta(hours=-5))
    off = datetime(2024, 3, 1, 23, 0, tzinfo=zone)
    assert place(off, "06:30") == ((1800,), (28800,))
