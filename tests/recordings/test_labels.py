import pandas as pd
import pytest
from builders import DATA

from mne_wav2sleep.recordings.labels import find_lookalike, find_modality, normalize_label

# Labels in public files and documentation, or common in one of the languages, with the modality
# that each label names, if any.
LABELS = pd.read_csv(DATA / "channel_labels.tsv", sep="\t", keep_default_na=False)


@pytest.mark.parametrize("source", LABELS["source"].unique())
def test_labels_name_the_right_modality(source):
    for row in LABELS[LABELS["source"] == source].itertuples():
        assert (find_modality(row.label) or "") == row.modality, row.label


@pytest.mark.parametrize(
    "change", [str.lower, str.upper, "{} ".format, "{}.".format, "{}-0".format]
)
def test_case_dots_and_numbers_of_duplicates_are_ignored(change):
    named = (LABELS["modality"] != "") & ~LABELS["label"].str.contains(r"\d")
    for row in LABELS[named].itertuples():
        # A change of case loses words that only capitals separate, as in PlethWV, and mojibake.
        if " " not in normalize_label(row.label) and row.label.isascii():
            assert find_modality(change(row.label)) == row.modality, row.label


def test_kinds_of_lookalikes():
    assert find_lookalike("ECG ImpÃ©dance") == "an impedance"
    assert find_lookalike("Pulse") == "a rate"
    assert find_lookalike("Nasendruck") == "a pressure"
    assert find_lookalike("ECG") is None
    assert find_lookalike("SpO2 Pleth") is None
