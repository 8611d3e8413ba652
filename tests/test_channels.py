import mne
import numpy as np
import pytest
from conftest import SHARED

from mne_wav2sleep import match_channels
from mne_wav2sleep.channels import find_lookalike
from mne_wav2sleep.modalities import MODALITIES


def make_raw(labels, types="eeg"):
    info = mne.create_info(list(labels), 100.0, types)
    return mne.io.RawArray(np.zeros((len(labels), 10)), info, verbose="error")


# Where a montage comes from -> its labels, and the right answer.
MONTAGES = {
    "SHHS": (
        "SaO2,H.R.,EEG(sec),ECG,EMG,EOG(L),EOG(R),EEG,THOR RES,ABDO RES,POSITION,LIGHT,OX STAT",
        {"ECG": "ECG", "THX": "THOR RES", "ABD": "ABDO RES"},
    ),
    "MESA": (
        "EKG,EOG-L,EOG-R,EMG,EEG1,Pres,Flow,Snore,Thor,Abdo,Leg,Therm,Pos,EKG_Off,EOG-L_Off,"
        "Pleth,OxStatus,SpO2,HR,DHR",
        {"ECG": "EKG", "PPG": "Pleth", "THX": "Thor", "ABD": "Abdo"},
    ),
    "CFS": (
        "C3,C4,M1,LOC,ROC,ECG1,ECG2,EMG1,L Leg,AIRFLOW,THOR EFFORT,ABDO EFFORT,SNORE,SUM,POSITION,"
        "OX STATUS,PULSE,SpO2,NASAL PRES,PlethWV,Light,HRate",
        {"ECG": "ECG1", "PPG": "PlethWV", "THX": "THOR EFFORT", "ABD": "ABDO EFFORT"},
    ),
    "CCSHS": (
        "C3,LOC,ECG1,ECG2,EMG1,AIRFLOW,THOR EFFORT,ABDO EFFORT,SNORE,SUM,PULSE,SpO2,NASAL PRES,"
        "PlethWV,HRate",
        {"ECG": "ECG1", "PPG": "PlethWV", "THX": "THOR EFFORT", "ABD": "ABDO EFFORT"},
    ),
    "CHAT": (
        "E1,E2,ECG1,ECG2,Airflow,Cannula Flow,Abdomen,Chest,Sum,PLETH,SAO2,PULSE,Cap,EtCO2,ECG3",
        {"ECG": "ECG1", "PPG": "PLETH", "THX": "Chest", "ABD": "Abdomen"},
    ),
    "MrOS": (
        "ECG L,ECG R,LOC,ROC,L Chin,Thoracic,Abdominal,Airflow,Cannula Flow,SaO2,HR,Sum",
        {"ECG": "ECG L", "THX": "Thoracic", "ABD": "Abdominal"},
    ),
    "WSC": (
        "E1,E2,F3_M2,chin,ecg,thorax,abdomen,flow,nasalflow,oralflow,spo2,position,sum,nas_pres",
        {"ECG": "ecg", "THX": "thorax", "ABD": "abdomen"},
    ),
    "CAP": (
        "ROC-LOC,EMG1-EMG2,ECG1-ECG2,TERMISTORE,TORACE,ADDOME,Dx1-DX2,SAO2,HR,PLETH,STAT",
        {"ECG": "ECG1-ECG2", "PPG": "PLETH", "THX": "TORACE", "ABD": "ADDOME"},
    ),
    "UCDDB": (
        "Lefteye,RightEye,EMG,C3A2,ECG,SpO2,Sound,Flow,Sum,ribcage,abdo,BodyPos,Pulse",
        {"ECG": "ECG", "THX": "ribcage", "ABD": "abdo"},
    ),
    "HMC": ("EEG F4-M1,EMG chin,EOG E1-M2,ECG", {"ECG": "ECG"}),
    "DREAMT": (
        "TIMESTAMP,BVP,ACC_X,TEMP,EDA,HR,IBI,ECG,THORAX,ABDOMEN,FLOW,SNORE,PTAF,SAO2",
        {"ECG": "ECG", "PPG": "BVP", "THX": "THORAX", "ABD": "ABDOMEN"},
    ),
    "Alice": (
        "ECG I,Effort THO,Effort ABD,Flow Patient,Pleth,PulseRate,SpO2,Snore",
        {"ECG": "ECG I", "PPG": "Pleth", "THX": "Effort THO", "ABD": "Effort ABD"},
    ),
    "Embla": (
        "ECG-0,XSum,XFlow,Thor RIP,Abdo RIP,Pleth.,OSat,Puls Rate",
        {"ECG": "ECG-0", "PPG": "Pleth.", "THX": "Thor RIP", "ABD": "Abdo RIP"},
    ),
    "Grael": (
        "EKG,Thor,Abdo,Sum RIP,PlethWV,Heart Rate,NPT",
        {"ECG": "EKG", "PPG": "PlethWV", "THX": "Thor", "ABD": "Abdo"},
    ),
    "SOMNO": (
        "ECG 2,Effort Tho,Effort Abd,Pleth,Pulse,RMI,Flow Th",
        {"ECG": "ECG 2", "PPG": "Pleth", "THX": "Effort Tho", "ABD": "Effort Abd"},
    ),
    "Natus": (
        "EKG1-EKG2,Chest,Abd,Pleth,OSAT,PR,Nasal Pressure",
        {"ECG": "EKG1-EKG2", "PPG": "Pleth", "THX": "Chest", "ABD": "Abd"},
    ),
    "Nox inductance": (
        "ECG Impedance,ECG,Inductance Thora,Inductance Abdom,RIP Sum,RIP Flow Cal,Pulse Waveform",
        {
            "ECG": "ECG",
            "PPG": "Pulse Waveform",
            "THX": "Inductance Thora",
            "ABD": "Inductance Abdom",
        },
    ),
    "Polar": ("Polar ECG,HR,RR,ACC X", {"ECG": "Polar ECG"}),
    "Empatica": ("BVP,EDA,TEMP,HR,IBI", {"PPG": "BVP"}),
    "MIT-BIH": ("MLII,V1", {"ECG": "MLII"}),
    "slpdb": ("ECG,BP,EEG (C4-A1),Resp (sum)", {"ECG": "ECG"}),
    "German": (
        "EKG,Herzfrequenz,Brustgurt,Brust,Bauch,Pulswelle,Sättigung,Thermistor,Druck",
        {"ECG": "EKG", "PPG": "Pulswelle", "THX": "Brust", "ABD": "Bauch"},
    ),
    "French": (
        "ECG,Fréquence cardiaque,Sangle thoracique,Sangle abdominale,Onde de pouls,Débit",
        {
            "ECG": "ECG",
            "PPG": "Onde de pouls",
            "THX": "Sangle thoracique",
            "ABD": "Sangle abdominale",
        },
    ),
    "Spanish": (
        "ECG,Frecuencia cardiaca,Banda torácica,Banda abdominal,Onda de pulso,Presión nasal",
        {"ECG": "ECG", "PPG": "Onda de pulso", "THX": "Banda torácica", "ABD": "Banda abdominal"},
    ),
    "Italian": (
        "ECG,Frequenza cardiaca,Fascia toracica,Fascia addominale,Pletismografia,Saturazione",
        {
            "ECG": "ECG",
            "PPG": "Pletismografia",
            "THX": "Fascia toracica",
            "ABD": "Fascia addominale",
        },
    ),
    "Portuguese": (
        "ECG,Cinta torácica,Cinta abdominal,Pletismografia,Saturação,Frequência cardíaca",
        {
            "ECG": "ECG",
            "PPG": "Pletismografia",
            "THX": "Cinta torácica",
            "ABD": "Cinta abdominal",
        },
    ),
    "Dutch": (
        "ECG,Hartslag,Borst band,Buik band,Polsgolf,Saturatie",
        {"ECG": "ECG", "PPG": "Polsgolf", "THX": "Borst band", "ABD": "Buik band"},
    ),
}


@pytest.mark.parametrize("origin", MONTAGES)
def test_montages_of_cohorts_systems_and_languages(origin):
    labels, expected = MONTAGES[origin]
    assert match_channels(make_raw(labels.split(",")))["channel"].to_dict() == expected


LOOKALIKES = [
    "HR",
    "H.R.",
    "HRate",
    "Heart Rate",
    "HeartRate",
    "Herzfrequenz",
    "Fréquence cardiaque",
    "PulseRate",
    "Pulse Rate",
    "PR",
    "SpO2",
    "SaO2",
    "OSat",
    "SpO2 B-B",
    "Saturation",
    "ECG Impédance",
    "ECG ImpÃ©dance",
    "EKG_Off",
    "ECG Quality",
    "Pleth Status",
    "Abdomen CaL",
    "RIP Sum",
    "RIP Sum Cal",
    "RIP Flow",
    "RIP Flow Cal",
    "Thor Sum",
    "Nasal Pressure",
    "Therm",
    "Thermistor",
    "TERMISTORE",
    "Airflow",
    "RR",
    "IBI",
    "PWA",
    "PTT",
    "RIP-Phase",
    "Resp Rate",
    "Pulse",
    "OX STAT",
    "Snore",
    "EtCO2",
    "Position",
    "Chin",
    "C3-M2",
    "Leg L",
    "BP",
    "Heart",
    "Resp oral",
    "Resp oro-nasal",
]


@pytest.mark.parametrize("label", LOOKALIKES)
def test_lookalikes_never_win(label):
    with pytest.raises(ValueError, match="Name one"):
        match_channels(make_raw([label]))
    # ... not even when they are the first of two.
    assert match_channels(make_raw([label, "ECG"]))["channel"].to_dict() == {"ECG": "ECG"}


def test_a_lookalike_is_called_by_its_name():
    assert find_lookalike("ECG ImpÃ©dance") == "an impedance"
    assert find_lookalike("ECG") is None


def test_the_real_nox_file():
    path = SHARED / "realdata" / "psg_nox_2min.edf"
    if not path.exists():
        pytest.skip("needs the shared recordings")
    for encoding in ("utf8", "latin1"):
        raw = mne.io.read_raw_edf(path, encoding=encoding, verbose="error")
        assert match_channels(raw)["channel"].to_dict() == {
            "ABD": "Abdomen",
            "ECG": "ECG",
            "PPG": "Pulse Waveform",
            "THX": "Chest",
        }


def test_mne_types_speak_first():
    raw = make_raw(["ECG", "X1", "belt A"], ["eeg", "ecg", "resp"])
    found = match_channels(raw)
    assert found.loc["ECG", "channel"] == "X1"
    assert found.loc["ECG", "alternatives"] == ["ECG"]
    assert found.loc["THX", "channel"] == "belt A"
    assert "unknown place" in found.loc["THX", "reason"]


def test_typed_belts_go_where_their_labels_say():
    found = match_channels(make_raw(["Abdo", "Thor"], ["resp", "resp"]))
    assert found["channel"].to_dict() == {"ABD": "Abdo", "THX": "Thor"}


def test_one_belt_of_unknown_place_is_thoracic_and_says_so():
    found = match_channels(make_raw(["Resp"]))
    assert found.loc["THX", "channel"] == "Resp"
    assert "unknown place" in found.loc["THX", "reason"]
    found = match_channels(make_raw(["Resp", "Thorax"]))
    assert found.loc["THX", "channel"] == "Thorax"
    assert found.loc["THX", "alternatives"] == ["Resp"]


def test_bad_channels_are_passed_over():
    raw = make_raw(["ECG", "ECG 2"])
    raw.info["bads"] = ["ECG"]
    assert match_channels(raw).loc["ECG", "channel"] == "ECG 2"
    raw.info["bads"] = ["ECG", "ECG 2"]
    with pytest.raises(ValueError, match="bad: ECG, ECG 2"):
        match_channels(raw)


def test_naming_overrules():
    raw = make_raw(["ECG", "odd", "odder", "Pleth"])
    found = match_channels(raw, names={"ECG": "odd", "PPG": None, "THX": "odder"})
    assert found["channel"].to_dict() == {"ECG": "odd", "THX": "odder"}
    assert found.loc["ECG", "alternatives"] == ["ECG"]
    pair = match_channels(raw, names={"ECG": ("odd", "odder")}).loc["ECG", "channel"]
    assert pair == ("odd", "odder")


def test_doubts_about_a_named_channel_are_kept():
    raw = make_raw(["ECG", "Heart Rate"])
    raw.info["bads"] = ["ECG"]
    reason = match_channels(raw, names={"ECG": ("ECG", "Heart Rate")}).loc["ECG", "reason"]
    assert "'ECG' is marked bad" in reason
    assert "'Heart Rate' looks like a rate" in reason


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"ECG": "EKG"}, "does not have"),
        ({"ECG": ("ECG", "ECG")}, "twice"),
        ({"PPG": ("ECG", "Pleth")}, "must be one channel name"),
        ({"ECG": 3}, "must be one channel name"),
        ({"ECG": "Pleth"}, "more than one modality"),
        ({"EEG": "ECG"}, "reads"),
        (dict.fromkeys(["ABD", "ECG", "PPG", "THX"]), "Name one"),
    ],
)
def test_names_that_make_no_sense_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        match_channels(make_raw(["ECG", "Pleth"]), names=names)


def test_eog_for_the_models_that_read_it():
    raw = make_raw(["E1-M2", "E2-M2", "ECG"])
    found = match_channels(raw, modalities=("EOG-L", "EOG-R"))
    assert found["channel"].to_dict() == {"EOG-L": "E1-M2", "EOG-R": "E2-M2"}


def test_no_label_is_claimed_by_two_modalities():
    labels = {label for text, _ in MONTAGES.values() for label in text.split(",")}
    for label in labels:
        claimed = []
        for modality in MODALITIES:
            try:
                match_channels(make_raw([label]), modalities=[modality])
            except ValueError:
                continue
            claimed.append(modality)
        assert len(claimed) <= 1, (label, claimed)


def test_a_raw_is_asked_for():
    with pytest.raises(TypeError, match=r"mne\.io\.Raw, got str"):
        match_channels("night.edf")
