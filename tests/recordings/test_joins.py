"""What MNE's readers leave as marks of a join, in real files of each format."""

import re
import struct
import warnings
from datetime import timedelta
from functools import partial

import builders
import mne
import numpy as np
import pytest
import yasa
from builders import START, make_wave
from scipy.io import savemat

from mne_wav2sleep import read_hypnogram
from mne_wav2sleep.formats.brainvision import read_segments, read_sfreq
from mne_wav2sleep.formats.meas_date import find_start
from mne_wav2sleep.hypnograms.annotating import annotate_raw
from mne_wav2sleep.recordings.channels import map_channels
from mne_wav2sleep.recordings.opening import open_recording, set_rates
from mne_wav2sleep.recordings.reading import read_signals
from mne_wav2sleep.signals import Reason, Validity

SFREQ = 64.0
MINUTE = round(60 * SFREQ)
WAVES = np.array([make_wave(SFREQ, 1800, seed) for seed in range(2)])

make_raw = partial(builders.make_raw, ("ECG", "Thor"), seconds=1800.0, types="eeg", start=START)


def write_brainvision(folder, markers, *, n_channels=2, points="", vectorized=False):
    """Write half an hour in BrainVision's format, with markers of (kind, sample, date)."""
    folder.mkdir(exist_ok=True)
    data = WAVES if vectorized else WAVES.T
    (1e6 * data).astype("<f4").tofile(folder / "night.eeg")
    lines = [f"Mk{i}={kind},{at},1,0{date}" for i, (kind, at, date) in enumerate(markers, 1)]
    (folder / "night.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nCodepage=UTF-8\n"
        "DataFile=night.eeg\n[Marker Infos]\n" + "\n".join(lines) + "\n"
    )
    order = "VECTORIZED" if vectorized else "MULTIPLEXED"
    (folder / "night.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nCodepage=UTF-8\n"
        f"DataFile=night.eeg\nMarkerFile=night.vmrk\nDataFormat=BINARY\nDataOrientation={order}\n"
        f"NumberOfChannels={n_channels}\n{points}SamplingInterval=15625\n"
        "[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n"
        "[Channel Infos]\nCh1=ECG,,1,µV\nCh2=Thor,,1,µV\n",
        encoding="utf-8",
    )
    return folder / "night.vhdr"


def segment(minute, pause_s=None, *, sample=None):
    """Describe a marker of a segment that begins so late, without a date if no pause is given."""
    sample = minute * MINUTE if sample is None else sample
    if pause_s is None:
        return "New Segment,", sample + 1, ""
    begin = START + timedelta(seconds=sample / SFREQ + pause_s)
    return "New Segment,", sample + 1, f",{begin:%Y%m%d%H%M%S%f}"


def write_eeglab(path, boundaries, *, kind="boundary"):
    """Write half an hour in EEGLAB's format, with boundaries of (latency, duration) in samples."""
    events = np.array(
        [(kind, float(latency), duration) for latency, duration in boundaries],
        dtype=[("type", object), ("latency", object), ("duration", object)],
    )
    names = np.array([("ECG",), ("Thor",)], dtype=[("labels", object)])
    data = (1e6 * WAVES).astype(np.float32)
    eeg = {"srate": SFREQ, "nbchan": 2, "pnts": data.shape[1], "trials": 1, "data": data}
    eeg |= {"chanlocs": names, "event": events, "epoch": np.array([]), "icawinv": np.array([])}
    savemat(path, {"EEG": {**eeg, "xmin": 0.0, "xmax": 1800.0, "setname": "night"}})
    return path


def read_epochs(source):
    """Read the samples of the belt, and number the epochs that were not recorded."""
    recording = open_recording(source)
    channels = set_rates(recording, map_channels(recording.raw))
    signal = read_signals(recording, channels, Validity())["THX"]
    return signal.data, np.flatnonzero(signal.epochs == Reason.NOT_RECORDED).tolist(), recording


def catch(function, *args):
    """Return what a function returns, and its warnings."""
    with pytest.warns(RuntimeWarning) as caught:
        result = function(*args)
    return result, [str(one.message) for one in caught]


@pytest.mark.parametrize(
    ("markers", "gaps"),
    [
        ([segment(0, 0), segment(10, 300)], [(600.0, 300.0)]),
        # Two pauses, of which the second is in an epoch; times have microseconds.
        ([segment(0, 0), segment(5, 90.5), segment(25, 90.5 + 7200)], [(300, 90.5), (1500, 7200)]),
        # The computer's clock lags behind that of the amplifier, and nothing was paused.
        ([segment(0, 0), segment(10, -0.05), segment(20, 0.06), segment(25, 60)], [(1500, 60.0)]),
        # A day later.
        ([segment(0, 0), segment(20, 86400)], [(1200.0, 86400.0)]),
        ([segment(0, 0)], []),
        ([], []),
    ],
)
def test_pauses_of_a_brainvision_recording_are_gaps(markers, gaps, tmp_path):
    recording = open_recording(write_brainvision(tmp_path, markers))
    assert np.ravel(recording.reader.gaps) == pytest.approx(np.ravel(gaps))
    assert recording.duration == pytest.approx(1800 + sum(length for _, length in gaps))
    if markers:
        assert recording.start == START


def test_what_follows_a_pause_is_read_by_clock_time(tmp_path):
    markers = [segment(0, 0), ("Comment,BAD", 5 * MINUTE + 1, ""), segment(10, 300)]
    markers.append(("Comment,BAD", 20 * MINUTE + 1, ""))
    path = write_brainvision(tmp_path, markers)
    (data, epochs, recording), said = catch(read_epochs, path)
    assert "(5 min not recorded): 10 of 70 epochs are masked" in said[0]
    assert epochs == list(range(20, 30))
    np.testing.assert_allclose(data[: 10 * MINUTE], WAVES[1, : 10 * MINUTE], atol=1e-9)
    np.testing.assert_allclose(data[15 * MINUTE :], WAVES[1, 10 * MINUTE :], atol=1e-9)
    # So are the annotations.
    annotations = recording.reader.annotations
    assert annotations.onset.tolist() == [300, 900, 1500]
    assert [str(text) for text in annotations.description] == [
        "Comment/BAD",
        "New Segment/",
        "Comment/BAD",
    ]


@pytest.mark.parametrize(
    ("markers", "place"),
    [
        ([segment(0, 0), segment(10)], "1 boundary, the first after 10.0 min"),
        ([segment(0), segment(7)], "1 boundary, the first after 7.0 min"),
        ([segment(0, 0), segment(15, -3600)], "1 boundary, the first after 15.0 min"),
        ([segment(0, 0), segment(5, 400 * 86400)], "1 boundary, the first after 5.0 min"),
        ([segment(0, 0), segment(5), segment(9)], "2 boundaries, the first after 5.0 min"),
    ],
)
@pytest.mark.parametrize("is_raw", [False, True])
def test_pauses_of_unknown_length_warn_with_their_place(is_raw, markers, place, tmp_path):
    path = write_brainvision(tmp_path, markers)
    source = mne.io.read_raw(path, verbose="error") if is_raw else path
    recording, said = catch(open_recording, source)
    assert recording.reader.gaps == []
    assert len(said) == 1
    assert f"wrong after {place} (annotated 'New Segment')" in said[0]


def test_a_raw_of_a_paused_recording_warns_also_when_it_was_cropped(tmp_path):
    path = write_brainvision(tmp_path, [segment(0, 0), segment(10, 300)])
    raw = mne.io.read_raw(path, verbose="error")
    for source in (raw, raw.copy().crop(900)):
        _, said = catch(open_recording, source)
        assert len(said) == 1
        assert "This Raw reads night.vhdr, a discontinuous recording" in said[0]
        assert f"SleepStagerW2S({str(path)!r})" in said[0]
    open_recording(raw.copy().crop(0, 599))  # it ends before the pause


def test_pieces_too_short_to_be_judged_are_not_recorded(tmp_path):
    """Each quarter of a second contains samples that were not recorded."""
    markers = [segment(0, i, sample=7 * i) for i in range(4000)]
    path = write_brainvision(tmp_path, markers)
    recording = open_recording(path)
    assert len(recording.reader.gaps) == 3999
    data, recorded = recording.reader.read(["Thor"], stop=2000.0)
    np.testing.assert_allclose(data["Thor"][recorded][:9000], WAVES[1, :9000], atol=1e-9)
    channels = set_rates(recording, map_channels(recording.raw))
    _, said = catch(read_signals, recording, channels, Validity())
    assert all("not recorded" in text for text in said)


@pytest.mark.parametrize("suffix", [".fif", ".edf", ".set"])
def test_another_format_beside_a_paused_brainvision_recording_is_not_it(suffix, tmp_path):
    path = write_brainvision(tmp_path, [segment(0, 0), segment(10, 300)])
    if suffix == ".fif":
        make_raw().save(path.with_suffix(suffix), verbose="error", overwrite=True)
    elif suffix == ".edf":
        builders.write_edf(path.with_suffix(suffix), {"ECG": SFREQ}, 1800)
    else:
        write_eeglab(path.with_suffix(suffix), [])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This filename")  # a name that MNE does not advise
        raw = mne.io.read_raw(path.with_suffix(suffix), verbose="error")
    open_recording(raw)


@pytest.mark.parametrize("name", [".", "..", "/", "gone/night.vmrk", "gone.vmrk"])
def test_a_marker_file_that_the_header_misnames_is_found_beside_it(name, tmp_path):
    path = write_brainvision(tmp_path, [segment(0, 0), segment(10, 300)])
    text = path.read_text("utf-8").replace("MarkerFile=night.vmrk", f"MarkerFile={name}")
    path.write_text(text, encoding="utf-8")
    # Older versions of MNE do not find it.
    assert [sample for sample, _ in read_segments(path)] == [0, round(600 * read_sfreq(path))]


@pytest.mark.parametrize("first", [[], [segment(0)], [("Comment,lights off", 1, "")]])
def test_the_date_of_a_later_segment_is_not_the_start(first, tmp_path):
    path = write_brainvision(tmp_path, [*first, segment(12, 0)])
    recording, said = catch(open_recording, path)
    told = "a segment 12.0 min after the first sample, which MNE takes for the start"
    assert told in said[-1]
    assert recording.start is None
    raw = mne.io.read_raw(path, preload=True, verbose="error")
    late = START + timedelta(minutes=12)
    for part in (raw, raw.copy().crop(300), raw.copy().resample(32), raw.copy().crop(720)):
        recording, said = catch(open_recording, part)
        assert told in said[-1]
        assert recording.start is None
        assert part.info["meas_date"] == late  # the user's Raw is not changed
    # So do stages that have no clock of their own, and annotations.
    (tmp_path / "stages.csv").write_text("onset,duration,description\n0,30,N2\n30,30,N3\n")
    hyp, said = catch(read_hypnogram, tmp_path / "stages.csv", raw)
    assert hyp.start is None
    assert [told in text for text in said] == [True]
    with pytest.warns(RuntimeWarning, match=told), pytest.raises(ValueError, match="no date"):
        annotate_raw(raw, yasa.Hypnogram(["N2"] * 60, start=f"{late:%Y-%m-%d %H:%M:%S}"))
    assert find_start(raw.set_meas_date(START)) == START


@pytest.mark.parametrize(
    ("kind", "latency", "pause_s"),
    [
        ("boundary", 10 * MINUTE + 0.5, 600),  # between two samples, as EEGLAB writes it
        ("boundary", 10 * MINUTE + 1, 90),
        (-99, 10 * MINUTE + 0.5, 7200),  # longer than what follows, where MNE cuts it
    ],
)
def test_boundaries_of_eeglab_are_gaps(kind, latency, pause_s, tmp_path):
    path = write_eeglab(tmp_path / "night.set", [(latency, pause_s * SFREQ)], kind=kind)
    (data, epochs, recording), said = catch(read_epochs, path)
    assert not any("boundary" in text for text in said)
    assert recording.reader.gaps == [(600.0, pause_s)]
    assert epochs == list(range(20, 20 + pause_s // 30))
    following = round((600 + pause_s) * SFREQ)
    np.testing.assert_allclose(data[following:], WAVES[1, 10 * MINUTE :], atol=1e-9)


@pytest.mark.parametrize("duration", [np.nan, 0.0, 1.0, 100 * 86400 * SFREQ, np.array([])])
@pytest.mark.parametrize("is_raw", [False, True])
def test_boundaries_without_a_duration_warn(is_raw, duration, tmp_path):
    boundaries = [(0.5, np.nan), (25 * MINUTE + 0.5, duration)]
    source = write_eeglab(tmp_path / "night.set", boundaries)
    if is_raw:
        source, _ = catch(mne.io.read_raw, source)
    recording, said = catch(open_recording, source)
    assert recording.reader.gaps == []
    told = "after 1 boundary, the first after 25.0 min (annotated 'boundary')"
    assert sum(told in text for text in said) == 1


@pytest.mark.parametrize(
    "mark", ["BAD boundary", "EDGE boundary", "boundary", "New Segment/", "New Segment/LostSamples"]
)
@pytest.mark.parametrize("minute", [3, 17.5, 29])
def test_marks_that_a_fif_keeps_warn(minute, mark, tmp_path):
    """Nihon Kohden's reader and mne.concatenate_raws mark a join half a sample before it."""
    raw = make_raw()
    onset = minute * 60 - (0.5 / SFREQ if "BAD" in mark else 0)
    raw.set_annotations(mne.Annotations([0, onset], 0, mark, orig_time=START))
    raw.save(tmp_path / "night_raw.fif", verbose="error")
    for source in (raw, tmp_path / "night_raw.fif"):
        _, said = catch(open_recording, source)
        assert [re.search(r"after 1 boundary, the first after ([\d.]+) min", said[0])[1]] == [
            f"{minute:.1f}"
        ]


def test_other_annotations_are_no_joins():
    raw = make_raw()
    texts = ["BAD_ACQ_SKIP", "bad segment", "Segment 2", "32766", "-99", "boundaries", "newborn"]
    raw.set_annotations(mne.Annotations(np.arange(1, 8) * 100.0, 1, texts, orig_time=START))
    open_recording(raw)


def test_a_new_run_of_a_gdf_warns(tmp_path):
    """MNE reads the event 0x7FFE of a GDF as the annotation 32766."""
    raw = make_raw()
    raw.set_annotations(mne.Annotations([0, 660], 0, ["32766", "32766"], orig_time=START))
    raw._filenames = (tmp_path / "night.gdf",)
    _, said = catch(open_recording, raw)
    assert "after 1 boundary, the first after 11.0 min (annotated '32766')" in said[0]


@pytest.mark.parametrize("pause_s", [0, 40, 3600, -60])
def test_a_split_fif_whose_second_file_begins_later(pause_s, tmp_path):
    path = tmp_path / "night_raw.fif"
    make_raw().save(path, split_size="2MB", buffer_size_sec=10, verbose="error", fmt="double")
    pieces = sorted(tmp_path.glob("*.fif"))
    assert len(pieces) == 2
    content = bytearray((tmp_path / "night_raw-1.fif").read_bytes())
    tag = content.index(struct.pack(">iii", 208, 3, 4))  # the first sample, an integer
    (first,) = struct.unpack_from(">i", content, tag + 16)
    struct.pack_into(">i", content, tag + 16, first + round(pause_s * SFREQ))
    (tmp_path / "night_raw-1.fif").write_bytes(content)
    if pause_s >= 0:
        recording = open_recording(path)
        assert recording.reader.gaps == ([(first / SFREQ, pause_s)] if pause_s else [])
        assert recording.duration == 1800 + pause_s
    else:
        assert "the next file of a split" in catch(open_recording, path)[1][0]
    raw = mne.io.read_raw(path, preload=True, verbose="error")
    for source in (raw, raw.copy().crop(60), raw.copy().resample(32)):
        if pause_s:
            _, said = catch(open_recording, source)
            assert len(said) == 1
            assert "This Raw reads night_raw.fif, a discontinuous recording" in said[0]
            assert f"SleepStagerW2S({str(path)!r})" in said[0]
        else:
            open_recording(source)
    # Of one side of the pause, the clock is right.
    for side in (raw.copy().crop(0, first / SFREQ - 1), raw.copy().crop(first / SFREQ + 1)):
        open_recording(side)
    path.unlink()
    open_recording(raw)


def test_a_raw_that_was_concatenated_in_memory_is_no_split_fif(tmp_path):
    raws = []
    for i, begin in enumerate((0, 300, 120)):
        path = tmp_path / f"night{i}_raw.fif"
        make_raw().crop(begin).save(path, verbose="error")
        raws.append(mne.io.read_raw(path, verbose="error"))
    raw = mne.concatenate_raws(raws, verbose="error").set_annotations(None)
    open_recording(raw)
    twice = [mne.io.read_raw(path, verbose="error").crop(*part) for part in ((0, 300), (600, 900))]
    open_recording(mne.concatenate_raws(twice, verbose="error").set_annotations(None))


@pytest.mark.parametrize("n_channels", [10**9, 10**30, 921_601])
def test_more_channels_than_the_data_file_has_bytes_raise(n_channels, tmp_path):
    path = write_brainvision(tmp_path, [segment(0, 0)], n_channels=n_channels)
    with pytest.raises(ValueError, match=r"claims \d+ channels, but its data file night"):
        open_recording(path)


@pytest.mark.parametrize(
    ("points", "claimed"),
    [(230_400, "1:00:00"), (116_000, "0:30:12"), (10**25, r"[\d,]{10,} days")],
)
@pytest.mark.parametrize("vectorized", [False, True])
def test_a_brainvision_recording_that_was_cut_off_warns(vectorized, points, claimed, tmp_path):
    points = f"DataPoints={points}\n"
    path = write_brainvision(tmp_path, [], points=points, vectorized=vectorized)
    recording, said = catch(open_recording, path)
    assert re.search(rf"duration of {claimed} .* but the file contains 0:30:00: .*cut", said[0])
    assert recording.n_epochs == 60


@pytest.mark.parametrize("is_raw", [False, True])
def test_a_continuous_edf_whose_time_stamps_jump_warns(is_raw, tmp_path):
    path = builders.write_discontinuous(tmp_path / "night.edf", np.r_[0:120, 1320:1400])
    content = path.read_bytes()
    path.write_bytes(content[:192] + b"EDF+C" + content[197:])
    recording, said = catch(
        open_recording, mne.io.read_raw(path, verbose="error") if is_raw else path
    )
    assert "jump at 1 place, first by 1200 s after 2.0 min. It is read as continuous" in said[0]
    assert recording.n_epochs == 6
