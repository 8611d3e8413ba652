"""Properties that every staging has, whatever the recording."""

import hashlib
import subprocess
import sys
import warnings

import mne
import numpy as np
import pytest
from builders import START, make_raw, make_wave
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_wav2sleep import SleepStagerW2S

LABELS = {"ABD": "Abdo", "ECG": "ECG", "PPG": "Pleth", "THX": "Thor"}


@st.composite
def recordings(draw):
    """Draw a Raw, its number of complete epochs, and where each modality is measured."""
    sfreq = draw(st.sampled_from([25.0, 32.0, 64.0, 99.7, 125.3, 256.0]))
    n_epochs = draw(st.integers(1, 20))
    # Whole samples beyond the last epoch, always fewer than one more epoch.
    n_times = int(np.ceil(n_epochs * 30 * sfreq)) + draw(st.integers(0, int(29 * sfreq)))
    modalities = sorted(draw(st.sets(st.sampled_from(sorted(LABELS)), min_size=1)))
    measured, rows = {}, []
    for seed, modality in enumerate(modalities):
        row = make_wave(sfreq, 30 * (n_epochs + 1) + 1, seed)[:n_times]
        alive = np.ones(n_epochs, dtype=bool)
        for first in draw(st.lists(st.integers(0, n_epochs - 1), max_size=3)):
            last = draw(st.integers(first + 1, n_epochs))
            alive[first:last] = False
            row[round(first * 30 * sfreq) : round(last * 30 * sfreq)] = np.nan
        for epoch in draw(st.lists(st.integers(0, n_epochs - 1), max_size=2)):
            # An epoch of which less than half is lost still counts as measured.
            begin = round((30 * epoch + 5) * sfreq)
            row[begin : begin + round(12 * sfreq)] = np.nan
        measured[modality] = alive
        rows.append(row)
    info = mne.create_info([LABELS[m] for m in modalities], sfreq, "misc")
    first_samp = draw(st.sampled_from([0, 1234]))
    raw = mne.io.RawArray(np.array(rows), info, first_samp=first_samp, verbose="error")
    return raw.set_meas_date(START), n_epochs, measured


def stage(raw, weights):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return SleepStagerW2S(raw, weights=weights)


@pytest.mark.slow
@given(drawn=recordings())
@settings(max_examples=15, deadline=None)
def test_every_staging_is_complete_aligned_and_abstains_where_nothing_is_measured(
    drawn, small_folder
):
    raw, n_epochs, measured = drawn
    nothing = ~np.any(list(measured.values()), axis=0)
    stager = stage(raw, small_folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if nothing.all():
            with pytest.raises(ValueError, match="has a signal in it"):
                stager.predict()
            return
        hyp = stager.predict()
        again = stage(raw.copy(), small_folder).predict().proba
    assert hyp.n_epochs == n_epochs == len(hyp.proba) == len(stager.availability())
    np.testing.assert_allclose(hyp.proba.sum(axis=1), 1, atol=1e-12)
    assert (hyp.proba.to_numpy() >= 0).all()
    late = (hyp.start - START).total_seconds()
    assert late == pytest.approx(raw.first_time, abs=1e-3)
    np.testing.assert_array_equal(hyp.hypno == "UNS", nothing)
    assert ("UNS" in hyp.proba) == nothing.any()
    for modality, alive in measured.items():
        found = stager.availability()[modality].to_numpy()
        np.testing.assert_array_equal(found == "measured", alive)
        assert set(found[~alive]) <= {"not finite"}
    np.testing.assert_array_equal(again.to_numpy(), stager.predict().proba.to_numpy())


SCRIPT = """
import hashlib, sys
from mne_wav2sleep import SleepStagerW2S
proba = SleepStagerW2S(sys.argv[1], weights=sys.argv[2], verbose="error").predict().proba
print(hashlib.sha256(proba.to_numpy().tobytes()).hexdigest())
"""


def test_another_process_gives_the_same_bits(small_folder, tmp_path):
    raw = make_raw(["ECG", "Thor"], 64.0, 1800)
    raw._data[0, 10_000:20_000] = np.nan
    path = tmp_path / "night_raw.fif"
    raw.save(path, verbose="error")
    stager = SleepStagerW2S(path, weights=small_folder, verbose="error")
    proba = stager.predict().proba
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(path), str(small_folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.split()[-1] == hashlib.sha256(proba.to_numpy().tobytes()).hexdigest()
