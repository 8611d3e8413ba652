from functools import partial

import builders
import mne
import pandas as pd
import pytest
from builders import DATA, SHARED

from mne_wav2sleep import match_channels

# Labels of whole recordings, with the channel that is right for each modality.
MONTAGES = pd.read_csv(DATA / "montages.tsv", sep="\t", keep_default_na=False, index_col="montage")
LABELS = pd.read_csv(DATA / "channel_labels.tsv", sep="\t", keep_default_na=False)

make_raw = partial(builders.make_raw, sfreq=100.0, seconds=0.1, types="eeg")


@pytest.mark.filterwarnings("ignore:No ECG or PPG was recognized:RuntimeWarning")
@pytest.mark.parametrize("montage", MONTAGES.index)
def test_montages_of_cohorts_systems_and_languages(montage):
    row = MONTAGES.loc[montage]
    right = {name: row[name] for name in ("ABD", "ECG", "PPG", "THX") if row[name]}
    assert match_channels(make_raw(row["labels"].split(",")))["channel"].to_dict() == right


def test_lookalikes_are_never_used():
    others = LABELS.loc[LABELS["modality"] == "", "label"].tolist()
    with pytest.raises(ValueError, match="Name one"):
        match_channels(make_raw(others))
    # Also if a matching channel comes after them.
    found = match_channels(make_raw([*others, "ECG"]))
    assert found["channel"].to_dict() == {"ECG": "ECG"}
    assert found.loc["ECG", "alternatives"] == []


@pytest.mark.parametrize("label", ["Heart", "Chin", "C3-M2", "Leg L", "Thor Sum", "Pleth Status"])
def test_a_recording_with_only_a_lookalike_raises(label):
    with pytest.raises(ValueError, match="Name one"):
        match_channels(make_raw([label]))


def test_a_real_recording_of_a_nox_device():
    path = SHARED / "realdata" / "psg_nox_2min.edf"
    if not path.exists():
        pytest.skip("requires a recording that is not distributed")
    for encoding in ("utf8", "latin1"):
        raw = mne.io.read_raw_edf(path, encoding=encoding, verbose="error")
        assert match_channels(raw)["channel"].to_dict() == {
            "ABD": "Abdomen",
            "ECG": "ECG",
            "PPG": "Pulse Waveform",
            "THX": "Chest",
        }


def test_a_matching_mne_type_ranks_first():
    raw = make_raw(["ECG", "X1", "belt A"], types=["eeg", "ecg", "resp"])
    found = match_channels(raw)
    assert found.loc["ECG", "channel"] == "X1"
    assert found.loc["ECG", "alternatives"] == ["ECG"]
    assert found.loc["THX", "channel"] == "belt A"
    assert "unknown position" in found.loc["THX", "reason"]


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
def test_a_matching_type_does_not_outweigh_a_wrong_label(label, kind):
    with pytest.raises(ValueError, match="Name one"):
        match_channels(make_raw([label], types=kind))


@pytest.mark.parametrize("kind", ["eeg", "misc", "bio", "ecg"])
def test_types_that_an_ecg_may_have(kind):
    assert match_channels(make_raw(["ECG"], types=kind)).loc["ECG", "channel"] == "ECG"


def test_one_electrode_of_a_pair_is_used_and_the_reason_names_the_other():
    for labels, first, second in [
        (["ECG R", "ECG L"], "ECG L", "ECG R"),
        (["EKG2", "EKG1", "EKG3"], "EKG1", "EKG2"),
        (["EKG_R-Cz", "EKG_L-Cz"], "EKG_L-Cz", "EKG_R-Cz"),
    ]:
        found = match_channels(make_raw(labels)).loc["ECG"]
        assert found["channel"] == first
        assert f"{second!r} looks like a second electrode" in found["reason"]
        assert str({"ECG": (first, second)}) in found["reason"]
        assert found["alternatives"][0] == second


@pytest.mark.parametrize("best", ["ECG", "ECG1-ECG2", "ECG LA-RA", "ECG II"])
def test_a_derivation_ranks_before_its_electrodes(best):
    found = match_channels(make_raw(["ECG1", "ECG2", "V1", best])).loc["ECG"]
    assert found["channel"] == best
    assert found["alternatives"] == ["V1", "ECG1", "ECG2"]
    assert "electrode" not in found["reason"]


def test_duplicate_labels_are_not_a_pair_of_electrodes():
    found = match_channels(make_raw(["ECG-0", "ECG-1"])).loc["ECG"]
    assert found["channel"] == "ECG-0"
    assert "electrode" not in found["reason"]


def test_the_label_with_the_fewest_other_words_ranks_first():
    found = match_channels(make_raw(["Inductance Thora", "Thorax Fast", "Chest", "Thor"])).loc[
        "THX"
    ]
    assert found["channel"] == "Chest"
    assert found["alternatives"] == ["Thor", "Inductance Thora", "Thorax Fast"]


def test_belts_of_the_same_type_are_distinguished_by_their_labels():
    found = match_channels(make_raw(["Abdo", "Thor"], types="resp"))
    assert found["channel"].to_dict() == {"ABD": "Abdo", "THX": "Thor"}


def test_a_belt_at_an_unknown_position_is_used_as_thorax():
    found = match_channels(make_raw(["Resp"]))
    assert found.loc["THX", "channel"] == "Resp"
    assert "unknown position" in found.loc["THX", "reason"]
    found = match_channels(make_raw(["Resp", "Thorax"]))
    assert found.loc["THX", "channel"] == "Thorax"
    assert found.loc["THX", "alternatives"] == ["Resp"]


def test_a_belt_that_the_user_names_is_not_used_as_thorax():
    found = match_channels(make_raw(["Resp"]), ch_names={"ABD": "Resp"})
    assert found["channel"].to_dict() == {"ABD": "Resp"}


def test_a_named_channel_is_not_used_for_another_modality():
    with pytest.warns(
        RuntimeWarning, match="ch_names={'ABD': 'Chest'} was given, although 'Chest' is"
    ):
        found = match_channels(make_raw(["ECG", "Chest"]), ch_names={"ABD": "Chest"})
    assert found["channel"].to_dict() == {"ABD": "Chest", "ECG": "ECG"}
    assert "labeled as THX" in found.loc["ABD", "reason"]
    with pytest.warns(RuntimeWarning, match="although 'Chest' is labeled as THX"):
        found = match_channels(make_raw(["Chest", "Thor"]), ch_names={"ABD": "Chest"})
    assert found["channel"].to_dict() == {"ABD": "Chest", "THX": "Thor"}
    assert found.loc["THX", "alternatives"] == []


def test_the_suggestion_names_no_channel_if_none_was_recognized():
    with pytest.raises(ValueError, match=r"for example ch_names=\{'ECG': 'NAME OF THE CHANNEL'"):
        match_channels(make_raw(["C3"]), ch_names={"ABD": None})


def test_bad_channels_are_not_used():
    raw = make_raw(["ECG", "ECG 2"])
    raw.info["bads"] = ["ECG"]
    with pytest.warns(
        RuntimeWarning, match="ECG: 'ECG' is marked bad and not used; 'ECG 2' is used"
    ):
        assert match_channels(raw).loc["ECG", "channel"] == "ECG 2"
    raw.info["bads"] = ["ECG 2"]  # would not be used anyway
    assert match_channels(raw).loc["ECG", "channel"] == "ECG"
    raw.info["bads"] = ["ECG", "ECG 2"]
    with (
        pytest.warns(
            RuntimeWarning, match="not used; no other channel matches.*ch_names={'ECG': 'ECG'}"
        ),
        pytest.raises(ValueError, match="bad: ECG, ECG 2"),
    ):
        match_channels(raw)
    raw.info["bads"] = ["ECG"]  # a bad channel that is named is used
    with pytest.warns(RuntimeWarning, match="although 'ECG' is marked bad") as caught:
        match_channels(raw, ch_names={"ECG": "ECG"})
    assert len(caught) == 1


def test_ch_names_overrides_the_matching():
    raw = make_raw(["ECG", "odd", "odder", "Pleth"])
    found = match_channels(raw, ch_names={"ECG": "odd", "PPG": None, "THX": "odder"})
    assert found["channel"].to_dict() == {"ECG": "odd", "THX": "odder"}
    assert found.loc["ECG", "alternatives"] == ["ECG"]
    pair = match_channels(raw, ch_names={"ECG": ("odd", "odder")}).loc["ECG", "channel"]
    assert pair == ("odd", "odder")


def test_the_reason_contains_doubts_about_a_named_channel():
    raw = make_raw(["ECG", "Heart Rate"])
    raw.info["bads"] = ["ECG"]
    with pytest.warns(RuntimeWarning, match="'ECG' is marked bad and 'Heart Rate' looks like"):
        reason = match_channels(raw, ch_names={"ECG": ("ECG", "Heart Rate")}).loc["ECG", "reason"]
    assert "'ECG' is marked bad" in reason
    assert "'Heart Rate' looks like a rate" in reason
    with pytest.warns(RuntimeWarning, match="ch_names={'PPG': 'ECG'} was given, although"):
        reason = match_channels(raw, ch_names={"PPG": "ECG"}, modalities=["PPG"]).loc[
            "PPG", "reason"
        ]
    assert "'ECG' is labeled as ECG" in reason


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"ECG": "EKG"}, "does not have"),
        ({"ECG": "NA"}, "leave the cell empty if 'NA' means that the channel is not known"),
        ({"ECG": ("ECG", "ECG")}, "pair for ECG .* twice"),
        ({"PPG": ("ECG", "Pleth")}, "must be a channel name"),
        ({"ECG": 3}, "must be a channel name"),
        ({"ECG": ("ECG", None)}, "must be a channel name"),
        ({"ECG": ("auto", "ECG")}, "must be a channel name"),
        ({"ECG": "odd", "PPG": "odd"}, "more than one modality"),
        ({"EEG": "ECG"}, "the network reads only"),
        ({"ecg": "ECG"}, "Write 'ECG'"),
        (dict.fromkeys(["ABD", "ECG", "PPG", "THX"]), "are excluded"),
        ({"ECG": "ecg "}, "Did you mean 'ECG'"),
        ({"PPG": "PLETH"}, "Did you mean 'Pleth'"),
        ({"PPG": "Bauch"}, r"does not have\. Its channels"),
    ],
)
def test_invalid_ch_names_raise(names, message):
    with pytest.raises(ValueError, match=message):
        match_channels(make_raw(["ECG", "Pleth", "odd"]), ch_names=names)


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
def test_eog_channels(left, right):
    raw = make_raw(["E12", "E1-E2", "ROC-LOC", "E1 Impedance", right, left, "ECG"])
    found = match_channels(raw, modalities=("EOG-L", "EOG-R"))
    assert found["channel"].to_dict() == {"EOG-L": left, "EOG-R": right}
    assert found["alternatives"].tolist() == [[], []]


@pytest.mark.parametrize("modalities", ["ECG", ["XX"], ["ecg"], []])
def test_unknown_modalities_raise(modalities):
    with pytest.raises(ValueError, match="modalities must be a list of some of ABD, ECG"):
        match_channels(make_raw(["ECG"]), modalities=modalities)


def test_arguments_of_the_wrong_type_raise():
    with pytest.raises(TypeError, match=r"mne\.io\.Raw, got str\. .*SleepStagerW2S\(file\)"):
        match_channels("night.edf")
    with pytest.raises(TypeError, match="ch_names must be a mapping of modalities to channels"):
        match_channels(make_raw(["ECG"]), ch_names=["ECG"])


def test_a_recording_without_a_recognized_heart_signal_warns():
    raw = make_raw(["$E_{C}G$", "Plétysmo µ", "Thor", "SpO2"])
    with pytest.warns(RuntimeWarning, match=r"No ECG or PPG was recognized.*from THX alone") as one:
        match_channels(raw)
    message = str(one[0].message)
    assert "'$E_{C}G$', 'Plétysmo µ' is such a channel, pass ch_names={'ECG': 'NAME" in message
    match_channels(raw, ch_names={"ECG": None, "PPG": None})  # confirmed by the user
    match_channels(make_raw(["Thor", "Abdo", "SpO2"]))  # no other channel could be one
