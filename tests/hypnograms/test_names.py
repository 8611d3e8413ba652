import pytest

from mne_wav2sleep.hypnograms.names import is_stage, parse_label, to_stage

LABELS = {
    "WAKE": [
        *["W", "wake", "WK", "Sleep stage W", "Wake|0", "stage 0", "SLEEP-S0", "Stage - W"],
        *["sleep-wake", "Sleep_stage_W", "Comment/Sleep stage W", "0 = Wake", "Stage W (AASM)"],
        *["Sleep stage W@@EEG F4-A1", "Wach", "Schlafstadium wach", "Éveil", "E\u0301veil"],
        *["Ã\x89veil", "Ã‰veil", "Stade éveil", "Vigilia", "Fase W", "Despierto", "Veglia"],
        *["Acordado", "Waak", "Wakker"],
    ],
    "N1": [
        *["N1", "S1", "Stage 1 sleep|1", "NREM 1", "NREM1", "Non-REM 1", "NonREM1", "Stage1"],
        *["Stage I", "SLEEP-S1", "sleep-n1", "NREM sleep stage 1", "Non-REM stage 1", "Comment/N1"],
        *["Stadium 1", "Schlafstadium N1", "Stade 1", "Estadio 1", "Fase N1", "Fase de sueño 1"],
        *["Etapa N1", "Stadio N1 del sonno", "Estágio 1", "não REM 1", "Slaapfase 1"],
    ],
    "N2": ["Stage - N2", "Non-REM 2", "NREM II", "Stade II", "N2-Schlaf", "R&K stage 2", "2: N2"],
    "N3": [
        *["Sleep stage 3", "S4", "Sleep stage 4", "N4", "NonREM3", "Sleep stage 3/4", "S3+4"],
        *["SWS", "slow wave sleep", "Stadium IV", "sommeil lent profond"],
    ],
    "REM": [
        *["R", "REM sleep|5", "Sleep stage R", "Stage REM", "SLEEP-REM", "REM-Schlaf", "REM-slaap"],
        *["Sommeil paradoxal", "Sueño MOR", "Sonno REM", "Sono REM", "Stade REM", "Fase REM"],
    ],
    "LIGHT": ["light", "Light sleep", "Leichtschlaf", "sommeil léger", "N1/N2", "lichte slaap"],
    "DEEP": ["Sleep stage DEEP", "Tiefschlaf", "sommeil profond", "sonno profondo", "diepe slaap"],
    "UNS": [
        *["?", "Sleep stage ?", "Unscored|9", "Stage - No Stage", "UnknownStage", "NotScored"],
        *["Stade ?", "nicht bewertet", "n/a"],
    ],
    "ART": ["Movement time", "Artifact", "Sleep stage M", "SLEEP-MT", "Bewegung", "Stage MT"],
}
OTHER_EVENTS = [
    *[
        "",
        "Obstructive apnea",
        "Hypopnea|Hypopnea",
        "Arousal",
        "REM AHI",
        "REM onset",
        "N1 arousal",
    ],
    *["Wake up call", "Wake after sleep onset", "Awakening", "Réveil", "micro-éveil", "Lights off"],
    *["Lights on", "Limb movement", "Sleep onset", "Sleep talking", "Unsure|Unsure", "Slow wave"],
    *[
        "Stimulus/S  1",
        "S 1",
        "R  1",
        "0",
        "4",
        "-1",
        "3: 4",
        "sleep",
        "NREM",
        "REM 2",
        "Paradoxal",
    ],
    *["Fase 1", "Etapa 2", "Delta", "A", "N", "Sonor", "stager", "Stage 7", "Sleep stage X"],
    *["Sleep stage -1", "Sleep stage 1.5", "Sleep stage Б", "Stage " * 100, "Stage shift"],
]


@pytest.mark.parametrize(
    ("stage", "label"), [(s, x) for s, labels in LABELS.items() for x in labels]
)
def test_labels_of_stages(stage, label):
    assert to_stage(label) == stage


@pytest.mark.parametrize("label", OTHER_EVENTS)
def test_other_labels(label):
    assert to_stage(label) is None


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("N2", True),
        ("W", True),
        ("Wach", True),
        ("Stage - N2", True),
        ("Sleep stage ?", True),
        ("Stadium ?", True),
        ("Sleep stage M", True),
        ("movement", False),
        ("Bewegung", False),
        ("?", False),
        ("BAD_ecg", False),
        ("Lights off", False),
    ],
)
def test_annotations_of_stages(label, expected):
    assert is_stage(label) is expected


def test_words_for_stage():
    labels = ["Sleep stage X", "Stadium 7", "Stade V", "UnknownStage", "Sleep stage ?", "Stage 7|7"]
    labels += ["Stage -1", "Sleep stage 1.5", "Schlafstadium Б", "Stage NREM", "Comment/Stage 8"]
    assert [label for label in labels if not parse_label(label)[1]] == []
    others = ["N2", "Fase 1", "Arousal", "stage " * 100, "Scored by AB up to this stage"]
    others += ["Stage shift", "Stage shift -1", "Sleep stage transition", "backstage noise"]
    others += ["Stade douteux", "end of this stage", "staged by AB"]
    assert [label for label in others if parse_label(label)[1]] == []
