from datetime import UTC, datetime, time
from typing import NamedTuple

import edfio
import mne
import numpy as np
import pytest
from builders import write_discontinuous, write_edf

from mne_wav2sleep import read_hypnogram
from mne_wav2sleep.formats import records
from mne_wav2sleep.formats.edf import open_edf
from mne_wav2sleep.recordings import open_recording


class Signal(NamedTuple):
    """A signal in a header, with its physical and digital minimum and maximum."""

    label: str
    sfreq: float
    unit: bytes
    physical: tuple[float, float]
    digital: tuple[int, int] | None = None  # the whole range of the format


SIGNALS = (
    Signal("ECG", 256, b"uV", (-3276.8, 3276.7)),
    Signal("ECG inverted", 256, b"mV", (5.1, -4.9)),
    Signal("Pleth", 128, b"", (0, 100), (0, 4095)),
    Signal("SpO2", 4, b"%", (-0.1, 100.1)),
    Signal("Thor", 32, b"mV", (-0.12346, 7.5)),
    Signal("Abdo", 32, b"V", (-0.002, 0.0035), (-2048, 2047)),
    Signal("EOG left", 64, "µV".encode("latin-1"), (-187.5, 1000), (-100, 30000)),
    Signal("EOG right", 64, b"\x83\xcaV", (-1000, 187.5)),
    Signal("Resp", 16, b"mmHg", (-1e-5, 3e5)),
    Signal("No range", 16, b"uV", (1, 1)),
    Signal("No steps", 16, b"uV", (-1, 1), (5, 5)),
)


def write_noise(path, record_s, n_records, signals=SIGNALS):
    """Write an EDF or BDF whose samples are random bytes, so that they take extreme values."""
    is_bdf = path.suffix == ".bdf"
    highest = 2**23 - 1 if is_bdf else 2**15 - 1
    ranges = [s.digital or (-highest - 1, highest) for s in signals]
    counts = [round(s.sfreq * record_s) for s in signals]
    columns = [
        (16, [s.label for s in signals]),
        (80, [""] * len(signals)),
        (8, [s.unit for s in signals]),
        *((8, [s.physical[i] for s in signals]) for i in range(2)),
        *((8, [digital[i] for digital in ranges]) for i in range(2)),
        (80, [""] * len(signals)),
        (8, counts),
        (32, [""] * len(signals)),
    ]
    header = b"\xffBIOSEMI" if is_bdf else b"0".ljust(8)
    header += b"X X X X".ljust(80) + b"Startdate 01-MAR-2024 X X X".ljust(80) + b"01.03.2422.30.00"
    size = 256 * (1 + len(signals))
    for width, value in ((8, size), (44, ""), (8, n_records), (8, record_s), (4, len(signals))):
        header += str(value).encode().ljust(width)
    for width, values in columns:
        for value in values:
            header += (value if isinstance(value, bytes) else str(value).encode()).ljust(width)
    assert len(header) == size
    samples = np.random.default_rng(0).bytes(n_records * sum(counts) * (3 if is_bdf else 2))
    path.write_bytes(header + samples)
    return path


@pytest.mark.parametrize("n_bytes", [2**22, 100_000, 1], ids="{} bytes at once".format)
@pytest.mark.parametrize("record_s", [0.25, 1.0, 2.5, 7.0])
@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
def test_samples_equal_those_of_mne_to_the_last_bit_of_their_type(
    suffix, record_s, n_bytes, tmp_path, monkeypatch
):
    monkeypatch.setattr(records, "_BYTES_AT_ONCE", n_bytes)
    n_records = round(70 / record_s)
    path = write_noise(tmp_path / f"night{suffix}", record_s, n_records)
    file = open_edf(path)
    assert file.rates == [(signal.label, signal.sfreq) for signal in SIGNALS]
    for i, signal in enumerate(SIGNALS):
        # One channel at a time, which MNE does not resample.
        raw = mne.io.read_raw(path, include=[signal.label], preload=False, verbose="error")
        assert raw.ch_names == [signal.label]
        assert raw.info["sfreq"] == signal.sfreq
        n_samples, count = file.count_samples(i), round(signal.sfreq * record_s)
        assert n_samples == raw.n_times == n_records * count
        spans = {
            "everything": (0, n_samples),
            "one record": (count, 2 * count),
            "one sample": (n_samples // 3, n_samples // 3 + 1),
            "inside a record": (2 * count + count // 4, 2 * count + count // 4 + count // 2 + 1),
            "parts of several records": (count // 2 + 1, n_samples - count // 3 - 1),
            "the last samples": (n_samples - count // 2 - 1, n_samples),
        }
        for name, (start, stop) in spans.items():
            ours = file.read_samples(i, start, stop)
            theirs = raw.get_data(start=start, stop=stop, verbose="error")[0]
            assert ours.dtype == (np.float32 if suffix == ".edf" else np.float64)
            assert ours.shape == (stop - start,)
            assert ours.tobytes() == theirs.astype(ours.dtype).tobytes(), (signal.label, name)


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
def test_samples_beside_annotations_equal_those_of_mne(suffix, tmp_path):
    """Records of EDF+ and BDF+ contain annotations as well."""
    rates = {"ECG": 256.0, "Thor": 32.0}
    path = write_edf(tmp_path / f"night{suffix}", rates, 60, data_record_duration=5.0)
    file = open_edf(path)
    assert file.labels[-1] == f"{suffix[1:].upper()} Annotations"
    for i, label in enumerate(rates):
        raw = mne.io.read_raw(path, include=[label], preload=False, verbose="error")
        for start, stop in ((0, raw.n_times), (100, 301), (raw.n_times - 7, raw.n_times)):
            theirs = raw.get_data(start=start, stop=stop, verbose="error")[0]
            ours = file.read_samples(i, start, stop)
            assert ours.tobytes() == theirs.astype(ours.dtype).tobytes()


@pytest.mark.parametrize(
    ("low", "high", "unit", "dtype"),
    [
        (-3.2, 3.2, "mV", np.float32),
        (0, 100, "%", np.float32),
        (40000, 40001, "Pa", np.float64),  # a large offset, of which float32 keeps 4 decimals
        (-1e-9, 1e-9, "uV", np.float64),
    ],
)
def test_float32_is_used_where_it_loses_nothing(low, high, unit, dtype, tmp_path):
    data = np.random.default_rng(0).uniform(low, high, 3000)
    signal = edfio.EdfSignal(
        data, 100, label="ECG", physical_dimension=unit, physical_range=(low, high)
    )
    edfio.Edf([signal]).write(tmp_path / "night.edf")
    ours = open_edf(tmp_path / "night.edf").read_samples(0, 0, 3000)
    theirs = mne.io.read_raw(tmp_path / "night.edf", verbose="error").get_data()[0]
    assert ours.dtype == dtype
    step = np.ptp(theirs) / 65535
    assert np.abs(ours - theirs).max() <= step / 256


def test_rates_may_be_below_1_hz(tmp_path):
    path = write_edf(tmp_path / "night.edf", rates={"ECG": 256.0, "Thor": 32.0, "Temp": 0.5})
    assert open_edf(path).rates == [("ECG", 256), ("Thor", 32), ("Temp", 0.5)]


def test_only_complete_records_count(tmp_path):
    path = write_noise(tmp_path / "night.edf", 2.5, 28)
    assert open_edf(path).cut is None
    path.write_bytes(path.read_bytes()[:-1])
    file = open_edf(path)
    assert file.cut == (70.0, 67.5)
    assert file.count_samples(0) == 27 * 640
    path.write_bytes(path.read_bytes()[: file.size])
    assert open_edf(path).cut == (70.0, 0.0)


def test_records_without_samples_raise(tmp_path):
    path = write_noise(tmp_path / "night.edf", 1.0, 2, [SIGNALS[0]._replace(sfreq=0)])
    with pytest.raises(ValueError, match=r"gives a channel 0 samples per record\. Export the file"):
        _ = open_edf(path).cut


def test_gaps(tmp_path):
    path = write_discontinuous(tmp_path / "gap.edf", np.r_[0:200, 300:700])
    assert open_edf(path).gaps == [(200.0, 100.0)]
    onsets = np.arange(300) * 1.16
    path = write_discontinuous(tmp_path / "gaps.edf", onsets, rates={"ECG": 64.0, "Thor": 8.0})
    assert len(open_edf(path).gaps) == 299
    assert open_edf(write_edf(tmp_path / "continuous.edf")).gaps == []


def test_jitter_of_time_stamps_is_not_a_gap_and_drift_adds_up(tmp_path):
    rng = np.random.default_rng(0)
    jitter = np.r_[0, np.arange(1, 600) + rng.uniform(-0.02, 0.02, 599)].round(3)
    assert open_edf(write_discontinuous(tmp_path / "jitter.edf", jitter)).gaps == []
    drift = (np.arange(600) * 1.001).round(3)
    gaps = open_edf(write_discontinuous(tmp_path / "drift.edf", drift)).gaps
    assert sum(length for _, length in gaps) == pytest.approx(0.6, abs=0.11)


def test_a_discontinuous_file_without_onsets_raises(tmp_path):
    path = write_noise(tmp_path / "night.edf", 1.0, 2)
    content = bytearray(path.read_bytes())
    content[192:197] = b"EDF+D"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="without the onsets of its records, so that"):
        _ = open_edf(path).gaps


def test_annotations_count_from_the_first_record(tmp_path):
    notes = "+300.5\x1560\x14Apnée\x14BAD\x14\0"
    path = write_discontinuous(tmp_path / "notes.edf", np.r_[10:210, 310:320], notes=notes)
    found = open_edf(path).annotations
    assert found.onset.tolist() == [290.5, 290.5]
    assert found.duration.tolist() == [60, 60]
    assert found.description.tolist() == ["Apnée", "BAD"]
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xe9 "))  # Latin-1 is common, too
    assert open_edf(path).annotations.description.tolist() == ["Apné e", "BAD"]


def test_annotations_that_violate_the_specification_raise(tmp_path):
    path = write_edf(tmp_path / "night.edf", seconds=10)
    path.write_bytes(path.read_bytes().replace(b"+1\x14Lights off", b"+x\x14Lights off"))
    with pytest.raises(ValueError, match=r"do not follow the EDF\+ specification \(could not conv"):
        _ = open_edf(path).annotations


@pytest.mark.parametrize(
    ("recording", "start", "expected", "is_dated"),
    [
        # The year in full comes first.
        (b"Startdate 01-MAR-2024 X X X", b"02.03.2522.30.00", datetime(2024, 3, 1), True),
        # A year of two digits is in 1985 to 2084.
        (b"Startdate X X X X", b"01.03.2422.30.00", datetime(2024, 3, 1), True),
        (b"", b"01.03.8422.30.00", datetime(2084, 3, 1), True),
        (b"", b"01.03.8622.30.00", datetime(1986, 3, 1), True),
        # Of an anonymized file, only the time of day is real.
        (b"Startdate X X X X", b"01.01.8522.30.00", datetime(1985, 1, 1), False),
        (b"Startdate 01-JAN-1985 X X X", b"01.01.8522.30.00", datetime(1985, 1, 1), False),
        (b"", b"99.99.9999.99.99", None, False),
    ],
)
def test_start_is_that_of_mne(recording, start, expected, is_dated, tmp_path):
    path = write_noise(tmp_path / "night.edf", 1.0, 2, SIGNALS[:1])
    content = bytearray(path.read_bytes())
    content[88:184] = recording.ljust(80) + start
    path.write_bytes(content)
    if expected is not None:
        expected = datetime.combine(expected, time(22, 30), UTC)
        assert mne.io.read_raw(path, verbose="error").info["meas_date"] == expected
    assert open_edf(path).read_start()[:2] == (expected, is_dated)


def test_start_of_a_file_with_only_annotations_has_a_fraction_of_a_second(tmp_path):
    path = tmp_path / "stages.edf"
    notes = [edfio.EdfAnnotation(0, 30, "Sleep stage W")]
    recording = edfio.Recording(startdate=datetime(2024, 3, 1).date())
    begin = time(22, 30, 0, 250_000)
    edfio.Edf([], annotations=notes, starttime=begin, recording=recording).write(path)
    file = open_edf(path)
    assert file.signals == []
    assert file.read_start() == (datetime(2024, 3, 1, 22, 30, 0, 250_000, UTC), True, "")


@pytest.mark.parametrize("content", [b"", b"0       ", b"many".rjust(256), b" " * 256])
def test_headers_without_numbers_raise(content, tmp_path):
    (tmp_path / "night.edf").write_bytes(content)
    with pytest.raises(ValueError, match="invalid literal"):
        open_edf(tmp_path / "night.edf")


@pytest.mark.parametrize(
    ("begins", "jumps"),
    [
        (np.r_[0:20, 1220:1260], [(20.0, 1200.0)]),
        (np.r_[7:17, 20:30, 3600:3610], [(10.0, 3.0), (20.0, 3570.0)]),
        (np.arange(60) * 1.001, []),  # a clock that drifts
        (np.zeros(60), []),  # stamps that do not count
        (np.arange(60) * 1000.0, []),  # stamps in ms
        (np.r_[0:20, 10:30], []),
        (np.r_[0:30, [np.nan], 31:60], []),
    ],
)
def test_time_stamps_of_a_continuous_file_may_tell_of_a_pause(begins, jumps, tmp_path):
    path = write_discontinuous(tmp_path / "night.edf", begins)
    content = path.read_bytes()
    path.write_bytes(content[:192] + b"EDF+C" + content[197:])
    assert open_edf(path).find_jumps() == jumps
    assert open_edf(path).gaps == []
    path.write_bytes(content[:192] + b"     " + content[197:])  # plain EDF
    assert open_edf(path).find_jumps() == []


@pytest.mark.parametrize("stamp", ["nan", "inf"])
def test_time_stamps_that_are_not_finite_raise(stamp, tmp_path):
    path = write_discontinuous(tmp_path / "night.edf", [0, 1, float(stamp), 500])
    with pytest.raises(ValueError, match="without the onsets of its records"):
        _ = open_edf(path).gaps
    path = write_discontinuous(tmp_path / "night.edf", [0, 1, 50], notes=f"+{stamp}\x14BAD\x14\0")
    with pytest.raises(ValueError, match=r"EDF\+ specification \(a time is not finite\)\. Export"):
        _ = open_edf(path).annotations


@pytest.mark.parametrize(
    ("suffix", "right"), [(".bdf", ".edf"), (".BDF", ".edf"), (".edf", ".bdf")]
)
def test_a_file_that_is_named_as_the_other_format_is_refused(suffix, right, tmp_path):
    content = write_edf(tmp_path / "a.edf", seconds=60).read_bytes()
    path = tmp_path / f"night{suffix}"
    path.write_bytes(content if right == ".edf" else b"\xffBIOSEMI" + content[8:])
    for read in (open_recording, read_hypnogram):
        with pytest.raises(ValueError, match=rf"is named \{suffix}, .*Rename it to night\{right}"):
            read(path)
