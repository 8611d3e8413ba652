"""Start times in headers of EDF and BDF files, each compared with what MNE reads."""

from datetime import UTC, date, datetime, time

import mne
import pytest
from builders import make_raw, write_discontinuous, write_edf

from mne_wav2sleep.formats.edf import open_edf
from mne_wav2sleep.formats.meas_date import find_start
from mne_wav2sleep.formats.start import parse_start
from mne_wav2sleep.recordings import open_recording

X = "Startdate X X X X"
FULL = "Startdate 07-OCT-2023 X X X"
DATED = datetime(2023, 10, 7, 23, 14, 5, tzinfo=UTC)
UNDATED = datetime(1985, 1, 1, 23, 14, 5, tzinfo=UTC)

MISREAD = "begins at 2023-10-07 23:14:05, but MNE reads"
NO_CLOCK = "not a start time: the recording has no clock, and the hypnogram has no start"
NO_DAY = "only its time of day, 23:14:05, is used, on the placeholder date 1985-01-01"
HEADERS = {
    # As MNE reads them, without a warning.
    "as specified": (FULL, "07.10.23", "23.14.05", DATED, None),
    "one digit": (X, "7.10.23", "23.14.5", DATED, None),
    "leading space": (X, " 7.10.23", "23.14.05", DATED, None),
    "no recording field": ("", "07.10.23", "23.14.05", DATED, None),
    "clipping date": (FULL, "01.01.85", "23.14.05", DATED, None),
    "lower case": ("startdate 07-oct-2023 X X X", "01.01.85", "23.14.05", DATED, None),
    "German month and date": ("Startdate 07-OKT-2023 X X X", "07.10.23", "23.14.05", DATED, None),
    "no such day and date": ("Startdate 31-SEP-2023 X X X", "07.10.23", "23.14.05", DATED, None),
    "anonymized": (X, "01.01.85", "23.14.05", UNDATED, None),
    "anonymized with month": ("Startdate 01-JAN-1985 X", "01.01.85", "23.14.05", UNDATED, None),
    "fully anonymized": (X, "01.01.85", "00.00.00", datetime(1985, 1, 1, tzinfo=UTC), None),
    "invalid short date": (FULL, "32.10.23", "23.14.05", DATED, None),
    # What is certain is read, and what MNE makes of it is said.
    "hyphens in time": (X, "07.10.23", "23-14-05", DATED, f"{MISREAD} 2023-10-07 00:00:00"),
    "commas in time": (X, "07.10.23", "23,14,05", DATED, f"{MISREAD} 2023-10-07 00:00:00"),
    "letters in time": (X, "07.10.23", "23h14m05", DATED, f"{MISREAD} 2023-10-07 00:00:00"),
    "colons in date": (X, "07:10:23", "23:14:05", DATED, f"{MISREAD} nothing"),
    "year in full": (X, "7.9.2023", "23.14.05", DATED.replace(month=9), "but MNE reads 3923-09-07"),
    "three parts": ("Startdate 07-OCT-2023 X", "01.01.85", "23.14.05", DATED, f"{MISREAD} 1985"),
    "seven parts": (f"{FULL} Y Z", "01.01.85", "23.14.05", DATED, f"{MISREAD} 1985"),
    "two spaces": (f"Startdate  {FULL[10:]}", "01.01.85", "23.14.05", DATED, f"{MISREAD} 1985"),
    "other first word": ("Night 09-OCT-2023 X X X", "07.10.23", "23.14.05", DATED, MISREAD),
    # The date is not certain.
    "zeros": (X, "00.00.00", "23.14.05", UNDATED, NO_DAY),
    "no such day": (X, "30.02.23", "23.14.05", UNDATED, NO_DAY),
    "blank date": ("", "", "23.14.05", UNDATED, NO_DAY),
    "unclear order": (X, "07/10/23", "23.14.05", UNDATED, NO_DAY),
    "German month": ("Startdate 07-OKT-2023 X X X", "01.01.85", "23.14.05", UNDATED, NO_DAY),
    "short year": ("Startdate 07-OCT-23 X X X", "01.01.85", "23.14.05", UNDATED, NO_DAY),
    "two dates": (FULL, "08.10.23", "23.14.05", DATED, "has two dates, 2023-10-07 and 2023-10-08"),
    # The time is not certain.
    "hour 24": (FULL, "07.10.23", "24.10.00", None, NO_CLOCK),
    "second 60": (X, "07.10.23", "23.14.60", None, NO_CLOCK),
    "nines": (FULL, "99.99.99", "99.99.99", None, NO_CLOCK),
    "blank time": (FULL, "07.10.23", "", None, NO_CLOCK),
    "no seconds": (FULL, "07.10.23", "23.14", None, NO_CLOCK),
    "negative": (FULL, "07.10.23", "-1.14.05", None, NO_CLOCK),
    "nothing": ("", "", "", None, NO_CLOCK),
    "only zeros": (X, "00.00.00", "00.00.00", None, NO_CLOCK),
}


@pytest.mark.parametrize("spelled", ["X", "01-JAN-1985", "1-jan-1985"])
def test_the_placeholder_is_no_date_however_it_is_written(spelled):
    header = f"{'':88}{f'Startdate {spelled} X X X':80}01.01.8523.14.05".encode()
    assert parse_start(header) == (UNDATED, False, "")


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contents")
    return {
        s: write_edf(folder / f"n{s}", {"ECG": 32.0}, 40).read_bytes() for s in (".edf", ".bdf")
    }


def write_header(path, content, recording, day, clock):
    """Write a recording with another start in its header."""
    fields = recording.ljust(80) + day.ljust(8) + clock.ljust(8)
    path.write_bytes(content[:88] + fields.encode() + content[184:])
    return path


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_start_of_a_file(header, suffix, contents, tmp_path, recwarn):
    *fields, expected, warning = header
    path = write_header(tmp_path / f"night{suffix}", contents[suffix], *fields)
    if warning is None:
        recording = open_recording(path)
        assert not recwarn.list
    else:
        with pytest.warns(RuntimeWarning, match=warning) as caught:
            recording = open_recording(path)
        assert len(caught) == 1
    assert recording.start == recording.raw.info["meas_date"] == expected
    # Nothing else of the file was lost on the way.
    assert recording.raw.annotations.description.tolist() == ["Lights off"]
    assert recording.reader.read(["ECG"])[0]["ECG"].std() > 0
    assert recording.raw.get_data().std() > 0
    assert find_start(recording.raw.set_meas_date(DATED)) == DATED


@pytest.mark.parametrize("name", ["as specified", "letters in time", "three parts", "nothing"])
def test_start_of_a_raw_is_that_of_the_file(name, contents, tmp_path, recwarn):
    *fields, expected, warning = HEADERS[name]
    path = write_header(tmp_path / "night.edf", contents[".edf"], *fields)
    raw = mne.io.read_raw(path, verbose="error").crop(10)
    before = raw.info["meas_date"]
    if warning is None:
        start = find_start(raw)
        assert not recwarn.list
    else:
        with pytest.warns(RuntimeWarning, match=warning):
            start = find_start(raw)
    assert (start and (start - expected).total_seconds()) == (expected and 10)
    assert raw.info["meas_date"] == before
    # A date that the user has set is kept, whatever the header is.
    for day in (datetime(2030, 1, 1, tzinfo=UTC), DATED):
        assert (find_start(raw.set_meas_date(day)) - day).total_seconds() == 10


def test_a_raw_whose_file_is_gone_keeps_its_date(contents, tmp_path):
    path = write_header(tmp_path / "night.edf", contents[".edf"], X, "07.10.23", "23h14m05")
    raw = mne.io.read_raw(path, preload=True, verbose="error")
    path.unlink()
    assert find_start(raw) == datetime.combine(date(2023, 10, 7), time(), UTC)
    assert find_start(make_raw(["ECG"], 32.0, 60, start=DATED)) == DATED
    assert find_start(make_raw(["ECG"], 32.0, 60)) is None


@pytest.mark.parametrize(("first", "later"), [(0, 0), (0.25, 0), (95, 95), (7200.5, 7200.5)])
@pytest.mark.parametrize("kind", [b"EDF+D", b"EDF+C"])
def test_the_first_record_may_be_later_than_the_header(kind, first, later, tmp_path, recwarn):
    """MNE also ignores a fraction of a second, which is the only offset that EDF+ allows."""
    path = write_discontinuous(tmp_path / "night.edf", [first + i for i in range(40)])
    content = bytearray(path.read_bytes())
    content[88:184] = X.ljust(80).encode() + b"07.10.2323.14.05"
    content[192:197] = kind
    path.write_bytes(content)
    if later:
        with pytest.warns(RuntimeWarning, match="time stamp of its first record, night.edf begins"):
            recording = open_recording(path)
    else:
        recording = open_recording(path)
        assert not recwarn.list
    assert (recording.start - DATED).total_seconds() == later


@pytest.mark.parametrize("stamp", ["1.7e9", "nan", "-4e5"])
def test_an_impossible_first_stamp_is_no_clock(stamp, tmp_path):
    path = write_discontinuous(tmp_path / "night.edf", range(40))
    content = (
        path.read_bytes().replace(b"EDF+D", b"EDF+C").replace(b"+0\x14\x14\0", b"+9\x14\x14\0")
    )
    path.write_bytes(
        content.replace(b"+9\x14\x14" + b"\0" * 8, f"{stamp}\x14\x14".encode().ljust(12, b"\0"))
    )
    with pytest.warns(RuntimeWarning, match="first record at .* s, which is not a plausible time"):
        assert open_recording(path).start is None


def test_annotations_without_time_stamps_of_records(tmp_path):
    """The first annotation is then an event, whose onset is not that of the record."""
    path = write_edf(tmp_path / "night.edf", seconds=10, data_record_duration=10.0)
    assert open_edf(path).annotations.onset.tolist() == [1]
    path.write_bytes(path.read_bytes().replace(b"+0\x14\x14\0", b"\0" * 5))
    file = open_edf(path)
    raw = mne.io.read_raw(path, verbose="error")
    assert file.annotations.onset.tolist() == raw.annotations.onset.tolist() == [1]
    assert file.read_start().time == raw.info["meas_date"]


def test_months_do_not_depend_on_the_locale():
    header = b" " * 88 + b"Startdate 07-DEC-2023 X X X".ljust(80) + b"07.12.2323.14.05"
    assert parse_start(header).time == datetime(2023, 12, 7, 23, 14, 5, tzinfo=UTC)
