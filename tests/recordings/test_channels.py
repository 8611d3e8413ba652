import mne
import numpy as np
import pandas as pd
import pytest
from builders import DATA, SHARED

from mne_wav2sleep import match_channels
from mne_wav2sleep.recordings.channels import find_lookalike


def make_raw(labels, types="eeg"):
    info = mne.create_info(list(labels), 100.0, types)
    return mne.io.RawArray(np.zeros((len(labels), 10)), info, verbose="error")


# Where a montage comes from -> its labels in the file's order, and the right answer. The NSRR's are
# those of "Montage and sampling rate information" in its documentation of each cohort.
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
        "C3,C4,M1,LOC,ROC,ECG2,ECG1,EMG1,L Leg,AIRFLOW,THOR EFFORT,ABDO EFFORT,SNORE,SUM,POSITION,"
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
    # PhysioNet, Comprehensive Polysomnography Dataset (SOMNOscreen, German)
    "CPS": (
        "Akku,Licht,O2,EMG,C3:A2,ECG 2,PLMr,Druck Snore,Pleth,RIP.Thrx,Summe RIPs,Pulse,"
        "Druck Flow,RIP.Abdom,Flow Th,Beweg.,Schnarc,SPO2,Pos.",
        {"ECG": "ECG 2", "PPG": "Pleth", "THX": "RIP.Thrx", "ABD": "RIP.Abdom"},
    ),
    "HeartBEAT": (
        "Nasal,Abdomen,Thorax,Snore,SpO2,Pulse,RD-Pleth,RD-Quality,Position,EKG,XSum,XFlow,RR",
        {"ECG": "EKG", "PPG": "RD-Pleth", "THX": "Thorax", "ABD": "Abdomen"},
    ),
    # sleepdata.org, NCH Sleep DataBank (Natus)
    "NCHSDB": (
        "EEG F3-M2,ECG EKG2-EKG,Resp PTAF,Resp Airflow,Resp Thoracic,Resp Abdominal,Resp Rate,"
        "EtCO2,Snore,OSAT,PR,C-Flow,Pleth",
        {
            "ECG": "ECG EKG2-EKG",
            "PPG": "Pleth",
            "THX": "Resp Thoracic",
            "ABD": "Resp Abdominal",
        },
    ),
    # OpenNeuro ds005555, Bitbrain Open Access Sleep
    "BOAS": (
        "PSG_F3,PSG_EOG,PSG_EMG,PSG_THER,PSG_THOR,PSG_ABD,PSG_CAN,PSG_PULSE,PSG_BEAT,PSG_SPO2",
        {"THX": "PSG_THOR", "ABD": "PSG_ABD"},
    ),
    # Montreal Archive of Sleep Studies, SS1
    "MASS": (
        "EOG Left Horiz,EMG Chin1,EEG F3-CLE,ECG ECGI,Resp Thermistor,Resp Cannula,"
        "Resp Belt Thor,Resp Belt Abdo,SaO2 SaO2",
        {"ECG": "ECG ECGI", "THX": "Resp Belt Thor", "ABD": "Resp Belt Abdo"},
    ),
    "PhysioNet Challenge 2018": (
        "F3-M2,E1-M2,Chin1-Chin2,ABD,CHEST,AIRFLOW,SaO2,ECG",
        {"ECG": "ECG", "THX": "CHEST", "ABD": "ABD"},
    ),
    # PhysioNet apnea-ecg: C is chest, A is abdomen, N is nose
    "Apnea-ECG": (
        "ECG,Resp N,Resp C,Resp A,SpO2",
        {"ECG": "ECG", "THX": "Resp C", "ABD": "Resp A"},
    ),
    # Nox A1, German, as the Ruhrlandklinik exports it
    "Nox, German": (
        "Rohdaten Thorax,Induktanz-Abdome,EKG Impedanz,ECG,Abdomen CaL,Abdomen Schnell,Abdomen,"
        "Thorax,Druck (PAP),Puls (CO2),Pulse Waveform,Herzfrequenz",
        {"ECG": "ECG", "PPG": "Pulse Waveform", "THX": "Thorax", "ABD": "Abdomen"},
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


@pytest.mark.filterwarnings("ignore:No ECG or PPG was recognised:RuntimeWarning")
@pytest.mark.parametrize("origin", MONTAGES)
def test_montages_of_cohorts_systems_and_languages(origin):
    labels, expected = MONTAGES[origin]
    assert match_channels(make_raw(labels.split(",")))["channel"].to_dict() == expected


# See test_modalities.py.
LABELS = pd.read_csv(DATA / "channel_labels.tsv", sep="\t", keep_default_na=False)


def test_lookalikes_never_win():
    others = LABELS.loc[LABELS["modality"] == "", "label"].tolist()
    with pytest.raises(ValueError, match="Name one"):
        match_channels(make_raw(others))
    # ... not even when they are the first of two.
    found = match_channels(make_raw([*others, "ECG"]))
    assert found["channel"].to_dict() == {"ECG": "ECG"}
    assert found.loc["ECG", "alternatives"] == []


@pytest.mark.parametrize("label", ["Heart", "Chin", "C3-M2", "Leg L", "Thor Sum", "Pleth Status"])
def test_a_single_lookalike_is_an_error(label):
    with pytest.raises(ValueError, match="Name one"):
        match_channels(make_raw([label]))


def test_a_lookalike_is_called_by_its_name():
    assert find_lookalike("ECG ImpÃ©dance") == "an impedance"
    assert find_lookalike("Pulse") == "a rate"
    assert find_lookalike("Nasendruck") == "a pressure"
    assert find_lookalike("ECG") is None
    assert find_lookalike("SpO2 Pleth") is None


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


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("Nasal", "resp"),
        ("Cannula Flow", "resp"),
        ("Resp N", "resp"),
        ("Resp Rate", "resp"),
        ("RIP Sum", "resp"),
        ("Diaphragm", "resp"),
        ("Pleth", "resp"),
        ("Heart Rate", "ecg"),
        ("ECG Impedance", "ecg"),
        ("Thorax", "ecg"),
        ("ECG", "stim"),
        ("ECG", "emg"),
        ("Thorax", "emg"),
        ("ECG", "resp"),
    ],
)
def test_a_type_does_not_make_a_lookalike_right(label, kind):
    with pytest.raises(ValueError, match="Name one"):
        match_channels(make_raw([label], kind))


@pytest.mark.parametrize("kind", ["eeg", "misc", "bio", "ecg"])
def test_types_that_an_ecg_may_have(kind):
    assert match_channels(make_raw(["ECG"], kind)).loc["ECG", "channel"] == "ECG"


def test_one_electrode_of_two_is_taken_and_the_other_one_told():
    for labels, first, second in [
        (["ECG R", "ECG L"], "ECG L", "ECG R"),
        (["EKG2", "EKG1", "EKG3"], "EKG1", "EKG2"),
        (["EKG_R-Cz", "EKG_L-Cz"], "EKG_L-Cz", "EKG_R-Cz"),
    ]:
        found = match_channels(make_raw(labels)).loc["ECG"]
        assert found["channel"] == first
        assert f"{second!r} looks like a second electrode" in found["reason"]
        assert f"ecg_name={(first, second)}" in found["reason"]
        assert found["alternatives"][0] == second


@pytest.mark.parametrize("best", ["ECG", "ECG1-ECG2", "ECG LA-RA", "ECG II"])
def test_a_derivation_goes_before_its_electrodes(best):
    found = match_channels(make_raw(["ECG1", "ECG2", "V1", best])).loc["ECG"]
    assert found["channel"] == best
    assert found["alternatives"] == ["V1", "ECG1", "ECG2"]
    assert "electrode" not in found["reason"]


def test_doublets_are_no_pair_of_electrodes():
    found = match_channels(make_raw(["ECG-0", "ECG-1"])).loc["ECG"]
    assert found["channel"] == "ECG-0"
    assert "electrode" not in found["reason"]


def test_the_plainest_label_is_taken():
    found = match_channels(make_raw(["Inductance Thora", "Thorax Fast", "Chest", "Thor"])).loc[
        "THX"
    ]
    assert found["channel"] == "Chest"
    assert found["alternatives"] == ["Thor", "Inductance Thora", "Thorax Fast"]


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


def test_a_belt_that_the_user_places_is_not_of_unknown_place():
    found = match_channels(make_raw(["Resp"]), names={"ABD": "Resp"})
    assert found["channel"].to_dict() == {"ABD": "Resp"}


def test_a_named_channel_is_not_taken_for_another_modality():
    with pytest.warns(RuntimeWarning, match="abd_name names a channel, though 'Chest' is"):
        found = match_channels(make_raw(["ECG", "Chest"]), names={"ABD": "Chest"})
    assert found["channel"].to_dict() == {"ABD": "Chest", "ECG": "ECG"}
    assert "labelled as THX" in found.loc["ABD", "reason"]
    with pytest.warns(RuntimeWarning, match="though 'Chest' is labelled as THX"):
        found = match_channels(make_raw(["Chest", "Thor"]), names={"ABD": "Chest"})
    assert found["channel"].to_dict() == {"ABD": "Chest", "THX": "Thor"}
    assert found.loc["THX", "alternatives"] == []


def test_no_channel_of_the_recording_is_proposed_when_none_was_recognised():
    with pytest.raises(ValueError, match="for example ecg_name='NAME OF THE CHANNEL'"):
        match_channels(make_raw(["C3"]), names={"ABD": None})


def test_bad_channels_are_passed_over():
    raw = make_raw(["ECG", "ECG 2"])
    raw.info["bads"] = ["ECG"]
    with pytest.warns(RuntimeWarning, match="ECG: 'ECG' is marked bad and not used; 'ECG 2' is"):
        assert match_channels(raw).loc["ECG", "channel"] == "ECG 2"
    raw.info["bads"] = ["ECG 2"]  # which would not be taken anyway
    assert match_channels(raw).loc["ECG", "channel"] == "ECG"
    raw.info["bads"] = ["ECG", "ECG 2"]
    with (
        pytest.warns(RuntimeWarning, match="not used; nothing else fits.*ecg_name='ECG'"),
        pytest.raises(ValueError, match="bad: ECG, ECG 2"),
    ):
        match_channels(raw)
    raw.info["bads"] = ["ECG"]  # named, it is no surprise but a doubt
    with pytest.warns(RuntimeWarning, match="though 'ECG' is marked bad") as caught:
        match_channels(raw, names={"ECG": "ECG"})
    assert len(caught) == 1


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
    with pytest.warns(RuntimeWarning, match="'ECG' is marked bad and 'Heart Rate' looks like"):
        reason = match_channels(raw, names={"ECG": ("ECG", "Heart Rate")}).loc["ECG", "reason"]
    assert "'ECG' is marked bad" in reason
    assert "'Heart Rate' looks like a rate" in reason
    with pytest.warns(RuntimeWarning, match="ppg_name names a channel, though"):
        reason = match_channels(raw, names={"PPG": "ECG"}, modalities=["PPG"]).loc["PPG", "reason"]
    assert "'ECG' is labelled as ECG" in reason


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"ECG": "EKG"}, "does not have"),
        ({"ECG": ("ECG", "ECG")}, "twice"),
        ({"PPG": ("ECG", "Pleth")}, "must be one channel name"),
        ({"ECG": 3}, "must be one channel name"),
        ({"ECG": ("ECG", None)}, "must be one channel name"),
        ({"ECG": ("auto", "ECG")}, "must be one channel name"),
        ({"ECG": "odd", "PPG": "odd"}, "more than one modality"),
        ({"EEG": "ECG"}, "reads"),
        (dict.fromkeys(["ABD", "ECG", "PPG", "THX"]), "are left out"),
        ({"ECG": "ecg "}, "Did you mean 'ECG'"),
        ({"PPG": "PLETH"}, "Did you mean 'Pleth'"),
        ({"PPG": "Bauch"}, r"does not have\. Its channels"),
    ],
)
def test_names_that_make_no_sense_are_refused(names, message):
    with pytest.raises(ValueError, match=message):
        match_channels(make_raw(["ECG", "Pleth", "odd"]), names=names)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("E1-M2", "E2-M2"),
        ("EOG(L)", "EOG(R)"),
        ("LOC", "ROC"),
        ("LOC-A2", "ROC-A1"),
        ("EOG LOC-A2", "EOG ROC-A1"),
        ("E1 (LEOG)", "E2 (REOG)"),
        ("EOGl:M2", "EOGr:M2"),
        ("EOG1:A2", "EOG2:A2"),
        ("L-EOG", "R-EOG"),
        ("Lefteye", "RightEye"),
        ("EOG sin", "EOG dx"),
        ("EOG Left Horiz", "EOG Right Horiz"),
    ],
)
def test_eog_for_the_models_that_read_it(left, right):
    raw = make_raw(["E12", "E1-E2", "ROC-LOC", "E1 Impedance", right, left, "ECG"])
    found = match_channels(raw, modalities=("EOG-L", "EOG-R"))
    assert found["channel"].to_dict() == {"EOG-L": left, "EOG-R": right}
    assert found["alternatives"].tolist() == [[], []]


@pytest.mark.parametrize("modalities", ["ECG", ["XX"], ["ecg"], []])
def test_modalities_that_there_are_not(modalities):
    with pytest.raises(ValueError, match="modalities must be a list of some of ABD, ECG"):
        match_channels(make_raw(["ECG"]), modalities=modalities)


def test_arguments_of_another_kind():
    with pytest.raises(TypeError, match=r"mne\.io\.Raw, got str\. .*SleepStagerW2S\(file\)"):
        match_channels("night.edf")
    with pytest.raises(TypeError, match="names must map modalities to channels"):
        match_channels(make_raw(["ECG"]), names=["ECG"])


def test_a_heart_that_was_not_recognised_is_asked_for():
    raw = make_raw(["$E_{C}G$", "Plétysmo µ", "Thor", "SpO2"])
    with pytest.warns(RuntimeWarning, match=r"No ECG or PPG was recognised.*from THX alone") as one:
        match_channels(raw)
    assert "'$E_{C}G$', 'Plétysmo µ', name it, ecg_name='NAME" in str(one[0].message)
    match_channels(raw, names={"ECG": None, "PPG": None})  # who says so is not asked
    match_channels(make_raw(["Thor", "Abdo", "SpO2"]))  # nothing there could be one
