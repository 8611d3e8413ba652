import shutil

import numpy as np
import pytest
from bids_dataset import MINUTES, edit_tsv, list_errors, write_dataset
from builders import assert_clean, make_raw, write_edf

from mne_wav2sleep import SleepStagerW2S, read_hypnogram
from mne_wav2sleep.cohorts import evaluate, read_bids, read_participants

SESSION = "sub-01/ses-1/eeg/sub-01_ses-1_task-sleep"


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("bids") / "study", tmp_path_factory.mktemp("edf"))


@pytest.fixture
def dataset(original, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(original, tmp_path / "study")


def list_files(nights):
    return [night.file for night in nights]


def test_the_validator_accepts_the_dataset_and_can_refuse_one(dataset):
    assert list_errors(dataset) == []
    (dataset / f"{SESSION}_events.tsv").write_text("duration\tonset\nlong\t0\n")
    assert list_errors(dataset)


def test_each_recording_is_a_night(original):
    nights = read_bids(original)
    assert [night.recording for night in nights] == [
        original / f"{SESSION}_eeg.edf",
        original / f"{SESSION}_eeg.edf".replace("ses-1", "ses-2"),
        original / "sub-02/eeg/sub-02_task-sleep_eeg.edf",
    ]
    assert [night.subject for night in nights] == ["01", "01", "02"]
    assert {night.dataset for night in nights} == {"study"}  # [Unspecified] is no name
    assert nights[0].ch_names == {}
    assert nights[0].hypnogram == original / f"{SESSION}_events.tsv"


def test_the_stages_are_those_of_the_recording(original, small_folder):
    night = read_bids(original)[0]
    stager = SleepStagerW2S(night.recording, small_folder, verbose="error")
    by_events = read_hypnogram(night.hypnogram, stager._recording.raw)
    by_annotations = read_hypnogram(None, stager._recording.raw)
    assert by_events.n_epochs == MINUTES * 2
    assert list(by_events.hypno) == list(by_annotations.hypno)
    assert by_events.start == by_annotations.start


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        ({"subjects": "02"}, ["sub-02_task-sleep_eeg.edf"]),
        ({"subjects": ["sub-02"]}, ["sub-02_task-sleep_eeg.edf"]),
        ({"sessions": ["2"]}, ["sub-01_ses-2_task-sleep_eeg.edf"]),
        ({"subjects": ["01"], "sessions": "1"}, ["sub-01_ses-1_task-sleep_eeg.edf"]),
        ({"subjects": "02", "tasks": "sleep", "datatypes": "eeg"}, ["sub-02_task-sleep_eeg.edf"]),
    ],
)
def test_recordings_are_selected(selection, found, original):
    assert list_files(read_bids(original, **selection)) == found


@pytest.mark.parametrize(
    ("selection", "error", "message"),
    [
        (
            {"subjects": "09"},
            ValueError,
            r"no recording of the subject '09'; it has \['01', '02'\]",
        ),
        ({"subjects": []}, ValueError, "subjects is empty"),
        ({"subjects": [1]}, TypeError, "each of subjects must be an instance of str"),
        ({"datatypes": "ecg"}, ValueError, "datatypes contains 'ecg'; recordings are in eeg, emg"),
        ({"datatypes": "meg"}, ValueError, "There are no recordings in .*in the folders meg"),
        ({"subjects": "02", "sessions": "1"}, ValueError, "matches subjects, sessions together"),
    ],
)
def test_wrong_selections_are_told(selection, error, message, original):
    with pytest.raises(error, match=message) as caught:
        read_bids(original, **selection)
    assert_clean(caught.value)


def test_what_is_not_a_recording_of_sleep_is_left_out(dataset):
    for other in ("derivatives/x/sub-03", "sourcedata/sub-03", "code/sub-03", "sub-emptyroom"):
        (dataset / other / "eeg").mkdir(parents=True)
        name = f"{other.rpartition('/')[2]}_task-sleep_eeg.edf"
        shutil.copy(dataset / f"{SESSION}_eeg.edf", dataset / other / "eeg" / name)
    for other in ("meg/sub-01_ses-1_acq-crosstalk_meg.fif", "eeg/sub-01_ses-1_photo.jpg"):
        (dataset / "sub-01/ses-1" / other).parent.mkdir(exist_ok=True)
        (dataset / "sub-01/ses-1" / other).touch()
    (dataset / "sub-01/ses-1/eeg/._sub-01_ses-1_task-sleep_eeg.edf").touch()
    assert len(read_bids(dataset)) == 3


@pytest.mark.parametrize(
    "name",
    [
        *("night.edf", "sub-01_ses-1_task-sleep.edf", "sub-01_ses-1_photo.edf", "sub-01__eeg.edf"),
        *("sub-02_ses-1_task-sleep_eeg.edf", "sub-01_task-a_task-b_eeg.edf"),
    ],
)
def test_misnamed_recordings_are_told(name, dataset):
    (dataset / "sub-01/ses-1/eeg" / name).touch()
    message = rf"^1 recording in study is not named as in BIDS .* sub-01/ses-1/eeg/{name}\. Rename"
    with pytest.warns(RuntimeWarning, match=message):
        assert len(read_bids(dataset)) == 3


def test_several_misnamed_recordings_are_counted(dataset):
    for name in ("a.edf", "b.edf"):
        (dataset / "sub-02/eeg" / name).touch()
    with pytest.warns(
        RuntimeWarning, match=r"^2 recordings in study are not .* sub-02/eeg/a\.edf\."
    ):
        read_bids(dataset)


def test_labels_and_entities_need_not_be_known(dataset):
    name = "sub-01_ses-1_task-a-b_new-1_eeg.edf"
    (dataset / "sub-01/ses-1/eeg" / name).touch()
    assert list_files(read_bids(dataset, tasks="a-b")) == [name]


def test_a_fif_in_parts_is_one_night(dataset):
    folder = dataset / "sub-02" / "meg"
    folder.mkdir()
    raw = make_raw(["ECG"], sfreq=1000.0, seconds=600)
    raw.save(
        folder / "sub-02_task-sleep_meg.fif",
        split_size="2MB",
        split_naming="bids",
        verbose="error",
    )
    found = list_files(read_bids(dataset, datatypes="meg"))
    assert found == ["sub-02_task-sleep_split-01_meg.fif"]


def test_the_name_of_the_dataset_is_used(dataset):
    (dataset / "dataset_description.json").write_text('{"Name": " SHHS "}')
    assert read_bids(dataset)[0].dataset == "SHHS"


def test_events_without_stages_are_no_hypnogram(dataset):
    events = dataset / f"{SESSION}_events.tsv"
    events.write_text("onset\tduration\ttrial_type\tvalue\n0\t1\tLights off\t1\n9\t1\tarousal\t2\n")
    assert read_bids(dataset)[0].hypnogram is None
    events.write_text("onset\tduration\n0\t1\n")
    assert read_bids(dataset)[0].hypnogram is None
    events.unlink()
    assert read_bids(dataset)[0].hypnogram is None
    events.write_bytes(b"\xff\xfe\0")  # whose reader tells what is wrong
    assert read_bids(dataset)[0].hypnogram == events


def test_stages_among_other_events_and_in_value_are_read(dataset):
    events = dataset / f"{SESSION}_events.tsv"
    stages = ["W", "N1", "N2", "N2", "N3", "R"]
    rows = [f"{30 * i}\t30\tsleep_stage\t{stage}" for i, stage in enumerate(stages)]
    rows.insert(3, "70\t12\tapnea\tobstructive")
    events.write_text("\n".join(["onset\tduration\ttrial_type\tvalue", *rows]) + "\n")
    night = read_bids(dataset)[0]
    assert night.hypnogram == events
    expected = ["WAKE", "N1", "N2", "N2", "N3", "REM"]
    assert list(read_hypnogram(night.hypnogram).hypno) == expected


def test_tables_above_the_recording_apply_to_it(dataset):
    inherited = dataset / "task-sleep_events.tsv"
    (dataset / f"{SESSION}_events.tsv").rename(inherited)
    (dataset / f"{SESSION}_run-2_events.tsv").touch()  # of another run
    (dataset / "task-nap_events.tsv").touch()
    nights = read_bids(dataset)
    assert nights[0].hypnogram == inherited
    assert nights[2].hypnogram.parent.parent.name == "sub-02"


def change_channels(dataset, labels, types=(), bads=()):
    """Describe other channels for a recording."""
    rows = [
        f"{label}\t{types[i] if types else 'EEG'}\t{'bad' if label in bads else 'good'}"
        for i, label in enumerate(labels)
    ]
    text = "\n".join(["name\ttype\tstatus", *rows]) + "\n"
    (dataset / f"{SESSION}_channels.tsv").write_text(text)
    return read_bids(dataset, sessions="1")[0].ch_names


def test_bad_channels_are_replaced_or_not_used(dataset):
    with pytest.warns(RuntimeWarning, match=r"of 1 recording in study mark .* bad.*ECG \(1\), THX"):
        found = change_channels(dataset, ["ECG1", "ECG2", "Thorax"], bads=["ECG1", "Thorax"])
    assert found == {"ECG": "ECG2", "THX": None}


def test_types_name_channels_that_labels_do_not(dataset):
    with pytest.warns(RuntimeWarning, match=r"types which channels to use: PPG \(1\), THX \(1\)"):
        found = change_channels(
            dataset, ["ECG", "C7", "Flow", "C8"], ["ECG", "PPG", "RESP", "RESP"]
        )
    assert found == {"PPG": "C7", "THX": "C8"}


def test_labels_come_before_types(dataset):
    assert change_channels(dataset, ["ECG", "C7", "Thor"], ["MISC", "ECG", "RESP"]) == {}


def test_several_channels_of_a_type_are_ambiguous(dataset):
    with pytest.warns(RuntimeWarning, match=r"several channels the type .*used: THX \(1\)"):
        assert change_channels(dataset, ["ECG", "C7", "C8"], ["ECG", "RESP", "RESP"]) == {}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("channels", b"label\ttype\nECG\tECG\n", r"has the columns \['label', 'type'\]; it needs"),
        ("channels", b"name\ttype\nECG\n", "row 1 has 1 values for 2 columns"),
        ("channels", b"name\ttype\nECG\tECG\nECG\tECG\n", "has the channel 'ECG' twice"),
        ("channels", b"name\tname\nECG\tECG\n", "it has a column twice"),
        ("channels", b"name\ttype\n\xff\xfe\tECG\n", "cannot be read as a table of BIDS .*utf-8"),
        ("channels", b"", "it is empty"),
    ],
)
def test_broken_tables_of_channels_are_told(file, content, message, dataset):
    (dataset / f"{SESSION}_{file}.tsv").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_bids(dataset)
    assert_clean(caught.value)


@pytest.mark.parametrize("content", ["{", "[1]", '{"Name": ' + "[" * 100_000, "x" * 2**21])
def test_a_broken_description_is_told(content, dataset):
    (dataset / "dataset_description.json").write_text(content)
    with pytest.raises(ValueError, match=r"dataset_description\.json cannot be read") as caught:
        read_bids(dataset)
    assert_clean(caught.value)


def test_what_is_no_dataset_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder at .*none"):
        read_bids(tmp_path / "none")
    write_edf(tmp_path / "n.edf", seconds=60)
    for read in (read_bids, read_participants):
        with pytest.raises(FileNotFoundError, match=r"no dataset_description\.json in"):
            read(tmp_path)
    (tmp_path / "dataset_description.json").write_text("{}")
    with pytest.raises(ValueError, match="There are no recordings in") as caught:
        read_bids(tmp_path)
    assert_clean(caught.value)
    with pytest.raises(FileNotFoundError, match=r"no participants\.tsv in"):
        read_participants(tmp_path)
    with pytest.raises(TypeError, match="root must be an instance of"):
        read_bids(1)


def test_participants_are_a_table(dataset):
    table = read_participants(dataset)
    assert list(table.columns[:3]) == ["subject", "participant_id", "age"]
    assert list(table["subject"]) == ["01", "02"]
    assert table["age"].dtype == float
    assert table["age"][0] == 34
    assert np.isnan(table["age"][1])
    assert list(table["sex"]) == ["F", "M"]
    assert table["hand"].isna().all()


def test_broken_participants_are_told(dataset):
    def repeat(table):
        table["participant_id"] = "sub-01"

    edit_tsv(dataset / "participants.tsv", repeat)
    with pytest.raises(ValueError, match="has the participant '01' twice"):
        read_participants(dataset)
    (dataset / "participants.tsv").write_text("subject\tage\n01\t34\n")
    with pytest.raises(ValueError, match="it needs 'participant_id'"):
        read_participants(dataset)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_nights_can_be_evaluated(original, small_folder, tmp_path):
    nights = read_bids(original, subjects="02")
    evaluation = evaluate(nights, small_folder, cache=tmp_path)
    assert set(evaluation.by_night["subject"]) == {"02"}
    assert set(evaluation.by_night["recording"]) == {"sub-02_task-sleep_eeg.edf"}


def test_lights_among_the_events_are_the_time_in_bed(dataset):
    path = dataset / f"{SESSION}_events.tsv"
    rows = ["onset\tduration\ttrial_type", "0\t30\tWAKE", "90.5\t0\tLights off"]
    rows += ["100\t0\tArousal", "400\t0\tLights On", "500\t0\tLights On"]
    path.write_text("\n".join(rows) + "\n")
    nights = {night.file: night.lights for night in read_bids(dataset)}
    [name] = [name for name in nights if path.name.removesuffix("_events.tsv") in name]
    assert nights.pop(name) == (90.5, 500.0)
    assert set(nights.values()) == {"auto"}
    path.write_text("\n".join(rows[:3]) + "\n")
    assert {night.file: night.lights for night in read_bids(dataset)}[name] == (90.5, None)
    rows.insert(1, "n/a\t0\tLights off")
    path.write_text("\n".join(rows) + "\n")
    with pytest.warns(RuntimeWarning, match=r"events.tsv has 1 event of .* without an onset"):
        nights = read_bids(dataset)
    assert {night.file: night.lights for night in nights}[name] == (90.5, 500.0)
