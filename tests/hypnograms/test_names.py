import pytest

from mne_wav2sleep.hypnograms.names import is_stage, to_stage


@pytest.mark.parametrize(
    ("label", "stage"),
    [
        ("W", "WAKE"),
        ("Sleep stage W", "WAKE"),
        ("Wake|0", "WAKE"),
        ("stage 0", "WAKE"),
        ("N1", "N1"),
        ("Stage 1 sleep|1", "N1"),
        ("NREM 2", "N2"),
        ("Stage - N2", "N2"),
        ("Sleep stage 3", "N3"),
        ("S4", "N3"),
        ("Sleep stage 4", "N3"),
        ("REM sleep|5", "REM"),
        ("Sleep stage R", "REM"),
        ("light", "LIGHT"),
        ("Sleep stage DEEP", "DEEP"),
        ("?", "UNS"),
        ("Sleep stage ?", "UNS"),
        ("Unscored|9", "UNS"),
        ("Movement time", "ART"),
        ("Artifact", "ART"),
        ("Sleep stage M", "ART"),
        ("", None),
        ("Obstructive apnea", None),
        ("Sleep stage X", None),
        ("0", None),  # an integer alone is ambiguous
        ("4", None),
    ],
)
def test_labels_of_stages(label, stage):
    assert to_stage(label) == stage


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("N2", True),
        ("W", True),
        ("Stage - N2", True),
        ("Sleep stage ?", True),
        ("Sleep stage M", True),
        ("movement", False),
        ("?", False),
        ("BAD_ecg", False),
        ("Lights off", False),
    ],
)
def test_annotations_of_stages(label, expected):
    assert is_stage(label) is expected
