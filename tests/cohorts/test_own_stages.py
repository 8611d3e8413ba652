"""Nights that were scored in the annotations of their recordings."""

import edfio
import mne
import numpy as np
import pytest
from builders import START, make_raw, toy_recordings, write_edf

from mne_wav2sleep.cohorts import compare, stage_cohort

EVENING = START.replace(tzinfo=None)
pytestmark = toy_recordings


def test_stages_in_the_recordings_themselves_are_compared(tmp_path, small_folder):
    stages = ["W", "N1", "N2", "N3", "R"] * 4
    dated = {"starttime": EVENING.time(), "recording": edfio.Recording(startdate=EVENING.date())}
    (tmp_path / "in").mkdir()
    path = write_edf(tmp_path / "in" / "n0.edf", {"Thor": 8.0}, 600, notes=(), **dated)
    edf = edfio.read_edf(path)
    edf.set_annotations(
        [edfio.EdfAnnotation(30 * i, 30, f"Sleep stage {one}") for i, one in enumerate(stages)]
    )
    edf.write(path)
    raw = make_raw(["Thor"], sfreq=8.0, seconds=600)
    raw.set_annotations(
        mne.Annotations(30 * np.arange(20), 30, [f"Sleep stage {one}" for one in stages])
    )
    raw.save(tmp_path / "in" / "n1_raw.fif", verbose="error")
    write_edf(tmp_path / "in" / "n2.edf", {"Thor": 8.0}, 600, notes=("Lights off",))
    cohort = stage_cohort(tmp_path / "in", tmp_path / "out", weights=small_folder, verbose="error")
    assert cohort.table["hypnogram"].notna().to_dict() == {"n0": True, "n1_raw": True, "n2": False}
    found = compare(cohort, verbose="error").by_night.set_index("night")
    names = {"W": "WAKE", "N1": "LIGHT", "N2": "LIGHT", "N3": "DEEP", "R": "REM"}
    for night in ("n0", "n1_raw"):
        staged = cohort.hypnograms[night].hypno.to_numpy(dtype=object)
        same = np.mean([names[one] for one in stages] == staged)
        assert found.loc[night, "epochs"] == 20
        assert found.loc[night, "accuracy"] == pytest.approx(100 * same)
