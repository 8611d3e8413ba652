"""A small BIDS dataset, written by MNE-BIDS, and the validator of BIDS."""

import json
import shutil
import subprocess
import sysconfig
from pathlib import Path

import mne
import pandas as pd
import pytest

from mne_wav2sleep import SleepStagerW2S, simulate_night, write_hypnogram
from mne_wav2sleep.cohorts import load_cohort
from mne_wav2sleep.cohorts.results import FAILED, HYPNOGRAMS, STAGED, TABLE, hypnogram_path
from mne_wav2sleep.staging.provenance import write_provenance

MINUTES = 10
NIGHTS = (("01", "1"), ("01", "2"), ("02", None))
"""Subject and session of each recording."""


def write_dataset(root, folder):
    """Write recordings of two people with stages, by way of an EDF in another folder."""
    mne_bids = pytest.importorskip("mne_bids")
    raw = simulate_night(duration=60 * MINUTES, seed=0, verbose="error")
    raw.export(folder / "night.edf", verbose="error")
    raw = mne.io.read_raw(folder / "night.edf", verbose="error")
    for subject, session in NIGHTS:
        path = mne_bids.BIDSPath(
            subject=subject, session=session, task="sleep", root=root, datatype="eeg"
        )
        mne_bids.write_raw_bids(raw, path, verbose="error")
    participants = pd.read_csv(root / "participants.tsv", sep="\t", dtype=str)
    participants["age"], participants["sex"] = ["34", "n/a"], ["F", "M"]
    participants.to_csv(root / "participants.tsv", sep="\t", index=False, na_rep="n/a")
    return root


def edit_tsv(path, change):
    """Change a table of a dataset."""
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    change(table)
    table.to_csv(path, sep="\t", index=False)


def list_errors(root):
    """List the errors that the validator of BIDS finds; skip without it."""
    validator = shutil.which("bids-validator-deno", path=sysconfig.get_path("scripts"))
    if validator is None:
        pytest.skip("no bids-validator-deno")
    command = [validator, str(Path(root)), "--format", "json"]
    result = subprocess.run(command, capture_output=True, text=True)
    issues = json.loads(result.stdout)["issues"]["issues"]
    errors = [(one["code"], one.get("location")) for one in issues if one["severity"] == "error"]
    assert bool(errors) == bool(result.returncode)
    return errors


def write_cohort(folder, weights, rows):
    """Write a cohort as staging does: for each row, a recording, or a reason why it failed."""
    (folder / HYPNOGRAMS).mkdir(parents=True)
    staged = {}
    for row in rows:
        row.setdefault("dataset", "study")
        row.setdefault("hypnogram", None)
        row.setdefault("reason", None)
        row.setdefault("status", FAILED if row.get("reason") else STAGED)
        if row["status"] == FAILED:
            continue
        source = row.pop("staged", row["recording"])
        if source not in staged:
            stager = SleepStagerW2S(source, weights, verbose="error")
            staged[source] = stager.predict(), stager.provenance()
        hyp, provenance = staged[source]
        path = hypnogram_path(folder, row["night"])
        write_hypnogram(hyp, path)
        write_provenance(provenance, path)
        row |= {"hours": MINUTES / 60, "TST": 8.5, "TST_low": 7.0, "%REM": None, "channel_ECG": "E"}
    pd.DataFrame(rows).set_index("night").to_csv(folder / TABLE)
    return load_cohort(folder)
