"""Flat, saturated and missing samples are found, and epochs are judged by their samples."""

import numpy as np
import pytest
from builders import make_wave
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_wav2sleep import Validity
from mne_wav2sleep.signals import Reason
from mne_wav2sleep.signals.validity import find_invalid, judge_epochs, mark_span

SFREQ = 64.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"epoch_share": 50},
            r"epoch_share\n  Input should be less than or equal to 1 .*input_value=50",
        ),
        ({"level": -0.1}, r"level\n  Input should be greater than or equal to 0"),
        (
            {"flat_s": {"ECG": 0}},
            r"flat_s.*ECG.*\n  Input should be greater than 0 .*input_value=0",
        ),
        ({"flat_s": {"ecg": 3}}, r"flat_s\n  Value error, ecg should be among ABD, ECG"),
        ({"rail_s": 5}, r"rail_s\n  Input should be a valid"),
    ],
)
def test_invalid_limits_are_rejected(settings, message):
    with pytest.raises(ValueError, match=message):
        Validity(**settings)


def test_modalities_that_are_not_listed_keep_their_defaults():
    validity = Validity(flat_s={"ECG": 3, "ABD": None, "THX": np.inf})
    assert validity.flat_s["ECG"] == 3
    assert validity.flat_s["ABD"] is validity.flat_s["THX"] is None
    assert validity.flat_s["PPG"] == Validity().flat_s["PPG"]
    assert set(Validity.off().flat_s.values()) == {None}


def test_flat_saturated_and_missing_samples_are_distinguished():
    wave = make_wave(SFREQ, 600)
    n = round(10 * SFREQ)
    expected = np.full(wave.size, Reason.MEASURED)
    for code, first, last, value in (
        (Reason.FLAT, 1.01, 2.03, 2e-5),
        (Reason.SATURATED, 3.02, 3.37, 1.0),  # 3.5 s at a rail, too short for a flat line
        (Reason.NOT_FINITE, 5, 6, np.inf),
        (Reason.MEASURED, 7, 7.35, 1e-5),  # 3.5 s at another value: a pause
    ):
        wave[round(first * n) : round(last * n)] = value
        # One more sample on either side, which may be a mixture.
        more = code in (Reason.FLAT, Reason.SATURATED)
        expected[round(first * n) - more : round(last * n) + more] = code
    np.testing.assert_array_equal(find_invalid(wave, SFREQ, "ECG", Validity()), expected)
    # A belt may stay at one value for much longer than 5 s.
    assert set(np.unique(find_invalid(wave, SFREQ, "THX", Validity()))) == {
        Reason.MEASURED,
        Reason.NOT_FINITE,
    }


@pytest.mark.parametrize("off", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("rest", [0.0, 1e-17])
def test_filtered_signal_of_a_disconnected_sensor_is_flat(off, rest):
    wave = make_wave(SFREQ, 3600)
    last = round(off * wave.size)
    wave[:last] = 3e-5 + rest * np.random.default_rng(0).standard_normal(last)
    found = find_invalid(wave, SFREQ, "ECG", Validity()) == Reason.FLAT
    assert found.sum() == last + 1
    assert found[:last].all()


def make_pulse(dc, perfusion, sfreq=25.0):
    """Make a PPG in counts of an analog-to-digital converter: small pulses on a large offset."""
    t = np.arange(dc.size) / sfreq
    noise = np.random.default_rng(0).standard_normal(dc.size)
    return np.round(dc * (1 + perfusion * np.sin(2 * np.pi * 1.1 * t)) + 2 * noise)


@pytest.mark.parametrize("perfusion", [0.002, 0.01])
def test_weak_pulses_on_a_large_offset_are_not_flat(perfusion):
    n = 25 * 3600
    for dc in (np.linspace(250e3, 10e3, n), np.repeat([200e3, 20e3], n // 2)):
        assert not find_invalid(make_pulse(dc, perfusion), 25.0, "PPG", Validity()).any()


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_apneas_in_a_coarsely_quantized_belt_are_not_saturated(bits):
    """In Cheyne-Stokes breathing, a belt stays at its lowest value for half of each minute."""
    t = np.arange(10 * 3600) / 10
    breath = np.maximum(np.sin(2 * np.pi * t / 60), 0) * (1 - np.cos(2 * np.pi * t / 4))
    belt = np.round(breath / breath.max() * (2**bits - 1))
    assert not find_invalid(belt, 10.0, "THX", Validity()).any()


@pytest.mark.parametrize("gain", [1e-9, -1.0, 1e6])
def test_flat_samples_do_not_depend_on_the_unit(gain):
    wave = make_wave(SFREQ, 600)
    wave[5000:9000] = 3e-5
    reasons = find_invalid(wave, SFREQ, "PPG", Validity())
    assert (reasons == Reason.FLAT).any()
    np.testing.assert_array_equal(find_invalid(gain * wave, SFREQ, "PPG", Validity()), reasons)


@settings(max_examples=200)
@given(
    sfreq=st.floats(0.5, 300),
    n_epochs=st.integers(1, 12),
    share=st.floats(0.01, 1),
    length=st.floats(0, 1.5),
    spans=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=4),
)
def test_epochs_are_judged_by_their_samples(sfreq, n_epochs, share, length, spans):
    n = max(round(length * n_epochs * 30 * sfreq), 1)
    reasons = np.zeros(n, dtype=np.int8)
    for a, b in spans:
        reasons[round(min(a, b) * n) : round(max(a, b) * n)] = Reason.FLAT
    epochs = judge_epochs(reasons, sfreq, n_epochs, share)
    assert epochs.shape == (n_epochs,)
    for i, code in enumerate(epochs):
        own = reasons[round(i * 30 * sfreq) : round((i + 1) * 30 * sfreq)]
        measured = (own == Reason.MEASURED).sum()
        if code == Reason.MEASURED:
            assert measured >= share * 30 * sfreq - 1
            assert measured
        else:
            assert measured <= share * 30 * sfreq + 1
            assert code in (Reason.FLAT, Reason.NOT_RECORDED)


@pytest.mark.parametrize(
    ("first", "last", "marked"),
    [
        (1.6, 3.4, [2]),
        (-1e300, 1.0, [0]),
        (4.0, np.inf, [4]),
        (2.1, 2.4, []),
        (3.0, 1.0, []),
        (9.0, 1e308, []),
        (-np.inf, -5.0, []),
    ],
)
def test_spans_of_any_size_are_marked(first, last, marked):
    reasons = np.array([0, 0, 0, Reason.NOT_RECORDED, 0], dtype=np.int8)
    mark_span(reasons, first, last, Reason.BAD)
    assert np.flatnonzero(reasons == Reason.BAD).tolist() == marked
    assert reasons[3] == Reason.NOT_RECORDED


@pytest.mark.parametrize("lost", [2, 7, 16])
def test_a_wave_with_lost_samples_in_every_block_is_not_judged(lost):
    """A block has 16 samples."""
    wave = make_wave(SFREQ, 60)
    wave[::lost] = np.nan
    found = find_invalid(wave, SFREQ, "ECG", Validity())
    assert (found[::lost] == Reason.NOT_FINITE).all()
    assert (np.delete(found, np.s_[::lost]) == Reason.MEASURED).all()
