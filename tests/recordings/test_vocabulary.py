import pandas as pd
import pytest
from builders import DATA

from mne_wav2sleep.modalities import LOOKALIKES, MODALITIES
from mne_wav2sleep.recordings.channels import find_modality, normalize_label

# Labels found in public files and documentation, or common in one of the languages, with the
# modality that each one names, if any.
LABELS = pd.read_csv(DATA / "channel_labels.tsv", sep="\t", keep_default_na=False)


@pytest.mark.parametrize("source", LABELS["source"].unique())
def test_every_label_is_read_rightly(source):
    for row in LABELS[LABELS["source"] == source].itertuples():
        assert (find_modality(row.label) or "") == row.modality, row.label


@pytest.mark.parametrize(
    "written", [str.lower, str.upper, "{} ".format, "{}.".format, "{}-0".format]
)
def test_case_dots_and_numbers_of_doublets_change_nothing(written):
    for row in LABELS[
        (LABELS["modality"] != "") & ~LABELS["label"].str.contains(r"\d")
    ].itertuples():
        # What capitals set apart, as in PlethWV, is lost without them, and so is mojibake.
        if " " not in normalize_label(row.label) and row.label.isascii():
            assert find_modality(written(row.label)) == row.modality, row.label


def test_the_words_are_in_the_normal_form():
    for modality in MODALITIES.values():
        for word in modality.names + modality.beside + modality.labels + modality.unplaced:
            assert normalize_label(word) == word
        assert set(modality.electrodes) <= set(modality.beside)
    for words in LOOKALIKES.values():
        assert all(word == word.lower() and " " not in word for word in words)


def test_no_name_belongs_to_two_modalities():
    for modality in MODALITIES.values():
        for name in modality.names + modality.labels:
            assert find_modality(name) == modality.name
            others = [m for m in MODALITIES.values() if m is not modality]
            assert not any(name in m.names + m.beside + m.unplaced for m in others), name
