"""
A folder of nights
==================

A lab's unit of work is a folder of nights, scored in part. Here it is staged, from files to a table
with intervals, and compared with the scorer.
"""

# %%
# Four recordings are simulated, the first nights of four people. Each has a scored file beside it.
# One more file is damaged, as there always is one.

import tempfile
from pathlib import Path

from mne_wav2sleep import read_hypnogram, simulate_night, write_hypnogram

folder = Path(tempfile.mkdtemp()) / "recordings"
folder.mkdir()
for number in range(1, 5):
    raw = simulate_night(duration=3 * 3600, modalities=["ECG", "THX"], seed=number, verbose="error")
    write_hypnogram(read_hypnogram(None, raw), folder / f"p0{number}.csv")
    raw.set_annotations(None)
    raw.export(folder / f"p0{number}.edf", physical_range="channelwise", verbose="error")
(folder / "p05.edf").write_text("This is not a recording.")

# %%
# Look first: which recordings are there, which channel feeds what, and what cannot be staged. Only
# headers are read.

from mne_wav2sleep.cohorts import find_nights, preview_nights

nights = find_nights(folder)
preview_nights(nights, "mini", verbose="error")

# %%
# Stage them. With ``n_jobs=-1``, all CPUs are used. ``mini`` is for trying out; for results, use
# the released weights, the default. If this is interrupted, run it again.

from mne_wav2sleep.cohorts import stage_cohort

cohort = stage_cohort(nights, folder.parent / "staged", weights="mini", verbose="error")
cohort.table[["status", "measured_ECG", "certainty", "TST", "TST_low", "TST_high", "n_warnings"]]

# %%
# A night that failed is a row with its reason.

cohort.table.loc[cohort.table["status"] == "failed", "reason"].to_dict()

# %%
# Each hypnogram is a :class:`yasa.Hypnogram`, which is read when it is asked for.

cohort.hypnograms["p02"].plot_hypnogram()

# %%
# The scored files beside the recordings were found by their names, so that the cohort can be
# compared with the scorer: all epochs together, and the mean of the subjects, with intervals
# bootstrapped by subject. Four are too few for them; here is how it is done.

from mne_wav2sleep import compare

agreement = compare(cohort, verbose="error")
agreement.pooled.round(2)

# %%
figure = agreement.plot_confusion()

# %%
# Sleep statistics by the scorer and by the network, after Bland and Altman.

agreement.sleep_stats.round(1).head()

# %%
# What is in the folder: the table, the hypnograms with their provenance, and ``report.html``, an
# overview of all nights.

sorted(path.name for path in cohort.folder.iterdir())
