"""Sleep statistics over the time in bed, with lights given in each of the ways."""

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import mne
import pytest
from builders import make_raw, toy_recordings

from mne_wav2sleep import SleepStagerW2S, load_weights
from mne_wav2sleep.hypnograms.lights import EventLights

pytestmark = [
    toy_recordings,
    pytest.mark.filterwarnings("ignore:The weights do not say:RuntimeWarning"),
]

MIDNIGHT = datetime(2024, 3, 1, 23, 30, tzinfo=UTC)
# At 2:00 in Berlin, clocks go to 3:00; that of the recording does not.
SPRING = datetime(2024, 3, 31, 1, 30, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def stage(folder, start=MIDNIGHT, marks=(), **options):
    raw = make_raw(["ECG", "Thor"], start=start)
    onsets, texts = zip(*marks, strict=True) if marks else ((), ())
    raw.set_annotations(mne.Annotations(onsets, 0, list(texts), orig_time=start))
    return SleepStagerW2S(raw, folder, **options)


@pytest.fixture(scope="module")
def weights(small_folder):
    return load_weights(small_folder)


@pytest.mark.parametrize(
    ("start", "marks", "lights", "first", "stop", "source"),
    [
        (MIDNIGHT, [], "auto", 0, 120, "whole recording"),
        (MIDNIGHT, [(900, "LOFF"), (3000, "Licht an")], "auto", 30, 100, "annotations"),
        (MIDNIGHT, [(900, "LOFF"), (3000, "Licht an")], None, 0, 120, "whole recording"),
        (MIDNIGHT, [(900, "LOFF")], ("23:40", "00:20:10"), 20, 100, "given"),
        (MIDNIGHT, [], (datetime(2024, 3, 1, 23, 50), None), 40, 120, "given"),
        (MIDNIGHT, [], (None, 1790.0), 0, 60, "given"),
        (MIDNIGHT, [], EventLights((900.0, None)), 30, 120, "events"),
        (
            SPRING,
            [],
            (
                datetime(2024, 3, 31, 1, 45, tzinfo=BERLIN),
                datetime(2024, 3, 31, 3, 15, tzinfo=BERLIN),
            ),
            30,
            90,
            "given",
        ),
        (SPRING, [], ("2024-03-31T01:45+01:00", "2024-03-31T03:15+02:00"), 30, 90, "given"),
    ],
)
def test_statistics_are_those_of_yasa_on_the_cropped_hypnogram(
    weights, start, marks, lights, first, stop, source
):
    stager = stage(weights, start, marks, lights=lights)
    hyp = stager.predict()
    statistics = stager.statistics()
    expected = hyp.crop(first, stop - 1).sleep_statistics()
    assert statistics["value"].dropna().to_dict() == {
        name: round(float(value), 2) for name, value in expected.items() if value == value
    }
    assert list(statistics.index) == list(expected)
    assert (statistics["low"].dropna() <= statistics["high"].dropna()).all()
    found = stager.time_in_bed()
    assert (found.first, found.stop, found.source) == (first, stop, source)
    described = found.to_dict()
    assert statistics.attrs["time_in_bed"] == described
    assert stager.provenance()["time_in_bed"] == described
    assert described == json.loads(json.dumps(described))
    assert hyp.n_epochs == 120  # stages are those of the whole recording


def test_unscored_epochs_out_of_bed_are_not_warned_of(weights):
    raw = make_raw(["ECG"], start=MIDNIGHT)
    raw.set_annotations(mne.Annotations(0, 600, "BAD_off", orig_time=MIDNIGHT))
    in_bed = SleepStagerW2S(raw, weights, lights=(1200, None), verbose="error")
    in_bed.statistics()
    assert not any("epochs are UNS" in text for text in in_bed.cautions)
    whole = SleepStagerW2S(raw, weights, verbose="error")
    whole.statistics()
    assert any(text.startswith("20 of 120 epochs are UNS") for text in whole.cautions)


def test_annotations_of_a_cropped_recording_keep_their_time(weights):
    raw = make_raw(["ECG", "Thor"], start=MIDNIGHT)
    raw.set_annotations(mne.Annotations([900, 3000], 0, ["LOFF", "LON"], orig_time=MIDNIGHT))
    found = SleepStagerW2S(raw.crop(600, 3300), weights).time_in_bed()
    assert (found.off, found.on) == (300, 2400)
    assert found.off_time == MIDNIGHT + timedelta(seconds=900)


def test_wrong_lights_are_refused_before_staging(weights):
    with pytest.raises(ValueError, match="Lights off, 2024-03-02 22:00:00, is outside of the"):
        stage(weights, lights=("22:00", None))
    with pytest.raises(TypeError, match="lights must be 'auto', None, or a pair"):
        stage(weights, lights="22:00")
    with pytest.raises(ValueError, match="Lights off is given as clock time, but the recording"):
        stage(weights, None, lights=("22:00", None))
