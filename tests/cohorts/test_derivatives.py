import json
import shutil

import pandas as pd
import pytest
from bids_dataset import MINUTES, list_errors, write_cohort, write_dataset
from builders import LABELS, assert_clean, make_raw

from mne_wav2sleep import SleepStagerW2S, read_hypnogram
from mne_wav2sleep.cohorts import load_cohort, read_bids, write_bids_derivatives
from mne_wav2sleep.cohorts.bids.columns import describe_column
from mne_wav2sleep.cohorts.bids.derivatives import _LEFT_OUT
from mne_wav2sleep.cohorts.results import TABLE, hypnogram_path
from mne_wav2sleep.cohorts.rows import OWN_STAGES, describe_night
from mne_wav2sleep.staging.provenance import provenance_path

EVENTS = "sub-01/ses-1/eeg/sub-01_ses-1_task-sleep_desc-wav2sleep_events"

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("bids") / "study", tmp_path_factory.mktemp("edf"))


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A recording that has no name of BIDS."""
    path = tmp_path_factory.mktemp("fif") / "night_raw.fif"
    make_raw(LABELS, seconds=60 * MINUTES).save(path, verbose="error")
    return path


@pytest.fixture(scope="module")
def cohort(dataset, small_folder, tmp_path_factory):
    """The dataset, of which one night failed, has been staged."""
    rows = [
        {"night": night.file[:-8], "recording": night.recording, "subject": night.subject}
        for night in read_bids(dataset)
    ]
    failed = rows[1]["recording"]
    rows[1]["reason"] = f"{failed} in {failed.parent} and /home/ann/w.pt\tends early."
    rows[0]["warnings"] = f"The file {rows[0]['recording']} has no 1/min | at /home/ann/x."
    return write_cohort(tmp_path_factory.mktemp("staged") / "out", small_folder, rows)


@pytest.fixture(scope="module")
def written(cohort, dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("written") / "derivatives" / "wav2sleep"
    assert write_bids_derivatives(cohort, out, source=dataset) == out
    return out


def name_others(small_folder, recording, folder, people):
    """Write derivatives of nights of people whose recordings have no names of BIDS."""
    rows = [
        {
            "night": f"n{number}",
            "recording": f"/data/{number}.edf",
            "staged": recording,
            "subject": subject,
            "dataset": dataset,
        }
        for number, (dataset, subject) in enumerate(people)
    ]
    cohort = write_cohort(folder / "staged", small_folder, rows)
    return write_bids_derivatives(cohort, folder / "out")


def list_events(out):
    return sorted(path.name for path in out.rglob("*_events.tsv"))


def test_the_validator_accepts_them_and_refuses_broken_ones(written, tmp_path):
    assert list_errors(written) == []
    broken = shutil.copytree(written, tmp_path / "broken")
    (broken / f"{EVENTS}.tsv").write_text("onset\tduration\nsoon\tlong\n")
    assert list_errors(broken)


def test_the_validator_accepts_other_nights_in_all_datatypes(small_folder, recording, tmp_path):
    rows = [
        {
            "night": datatype,
            "recording": f"/d/sub-a/{datatype}/sub-a_task-nap_acq-x_run-1_{datatype}.fif",
            "staged": recording,
            "subject": "a",
        }
        for datatype in ("ieeg", "meg", "nirs", "emg")
    ]
    cohort = write_cohort(tmp_path / "staged", small_folder, rows)
    out = write_bids_derivatives(cohort, tmp_path / "out")
    assert list_errors(out) == []
    assert (out / "sub-a/nirs/sub-a_task-nap_acq-x_run-1_desc-wav2sleep_events.tsv").exists()


def test_each_night_has_its_stages_from_the_start(written, cohort):
    events = pd.read_csv(written / f"{EVENTS}.tsv", sep="\t")
    hyp = cohort.hypnograms["sub-01_ses-1_task-sleep"]
    assert events["onset"].tolist() == [30 * i for i in range(2 * MINUTES)]
    assert set(events["duration"]) == {30}
    assert events["trial_type"].tolist() == list(hyp.hypno)
    assert list(events.columns[3:]) == [
        f"probability_{s}" for s in ("wake", "light", "deep", "rem")
    ]
    assert events["probability_deep"].tolist() == hyp.proba["DEEP"].round(4).tolist()
    again = read_hypnogram(written / f"{EVENTS}.tsv")
    assert list(again.hypno) == list(hyp.hypno)
    assert list_events(written) == [
        "sub-01_ses-1_task-sleep_desc-wav2sleep_events.tsv",
        "sub-02_task-sleep_desc-wav2sleep_events.tsv",
    ]


def test_sidecars_have_levels_provenance_and_no_paths(written, cohort, dataset):
    text = (written / f"{EVENTS}.json").read_text()
    sidecar = json.loads(text)
    assert list(sidecar["trial_type"]["Levels"]) == ["WAKE", "LIGHT", "DEEP", "REM", "UNS"]
    assert sidecar["Sources"] == [
        "bids:source:sub-01/ses-1/eeg/sub-01_ses-1_task-sleep_eeg.edf",
    ]
    provenance = cohort.provenance("sub-01_ses-1_task-sleep")
    assert sidecar["Provenance"]["weights"]["sha256"] == provenance["weights"]["sha256"]
    assert sidecar["Provenance"]["channels"] == provenance["channels"]
    assert sidecar["Provenance"]["recording"]["files"] == ["sub-01_ses-1_task-sleep_eeg.edf"]
    for folder in (dataset.parent, cohort.folder, "/home"):
        for path in written.rglob("*.*"):
            assert path.is_dir() or str(folder) not in path.read_text()


def test_the_description_links_the_source(written, dataset):
    description = json.loads((written / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "mne-wav2sleep"
    link = description["SourceDatasets"][0]["URL"]
    assert (written / link).resolve() == dataset.resolve()
    assert description["DatasetLinks"] == {"source": link}


def test_statistics_participants_and_failures_are_listed(written):
    statistics = pd.read_csv(written / "sub-01/ses-1/sub-01_ses-1_scans.tsv", sep="\t", dtype=str)
    assert statistics["filename"].tolist() == [f"{EVENTS[13:]}.tsv"]
    assert statistics["TST"].tolist() == ["8.5"]
    assert statistics["recording"].tolist() == ["sub-01_ses-1_task-sleep_eeg.edf"]
    assert "reason" not in statistics
    meanings = json.loads((written / "scans.json").read_text())
    assert set(statistics.columns) == set(meanings)
    assert meanings["TST_low"]["Units"] == "min"
    assert (written / "sub-02/sub-02_scans.tsv").exists()
    people = pd.read_csv(written / "participants.tsv", sep="\t", dtype=str)
    assert people.to_numpy().tolist() == [
        ["sub-01", "01", "study", "2", "1"],
        ["sub-02", "02", "study", "1", "1"],
    ]
    readme = (written / "README.md").read_text()
    assert "2 of 3 recordings were staged" in readme
    assert (
        "- sub-01_ses-2_task-sleep (`sub-01_ses-2_task-sleep`): sub-01_ses-2_task-sleep_eeg.edf"
        in readme
    )
    assert "_eeg.edf in its folder and w.pt ends early." in readme
    assert statistics["warnings"].tolist() == [
        "The file sub-01_ses-1_task-sleep_eeg.edf has no 1/min | at x."
    ]


def test_subjects_become_valid_labels(small_folder, recording, tmp_path):
    people = [("lab", "P-01"), ("lab", "Zoë 2"), ("lab", "P-01")]
    out = name_others(small_folder, recording, tmp_path, people)
    assert list_events(out) == [
        "sub-P01_ses-1_task-sleep_desc-wav2sleep_events.tsv",
        "sub-P01_ses-2_task-sleep_desc-wav2sleep_events.tsv",
        "sub-Zoe2_task-sleep_desc-wav2sleep_events.tsv",
    ]
    table = pd.read_csv(out / "participants.tsv", sep="\t", dtype=str)
    assert table["source_subject"].tolist() == ["P-01", "Zoë 2"]
    assert list_errors(out) == []


def test_people_with_one_label_stay_two(small_folder, recording, tmp_path):
    people = [("A", "1"), ("B-2", "1"), ("C", "p.1"), ("C", "P1")]
    out = name_others(small_folder, recording, tmp_path, people)
    assert [name.partition("_")[0] for name in list_events(out)] == [
        *("sub-A1", "sub-B21", "sub-CP1x2", "sub-Cp1x1"),
    ]
    table = pd.read_csv(out / "participants.tsv", sep="\t", dtype=str)
    assert table.loc[:, "source_subject"].tolist() == ["1", "1", "P1", "p.1"]


def test_recordings_in_memory_have_no_name(small_folder, recording, tmp_path):
    rows = [{"night": "p1", "recording": None, "staged": recording, "subject": "p1"}]
    cohort = write_cohort(tmp_path / "staged", small_folder, rows)
    out = write_bids_derivatives(cohort, tmp_path / "out")
    assert list_events(out) == ["sub-p1_task-sleep_desc-wav2sleep_events.tsv"]
    assert "recording" not in (out / "sub-p1/sub-p1_scans.tsv").read_text()


def test_two_nights_of_one_name_are_told(small_folder, recording, tmp_path):
    name = "/d/sub-1/eeg/sub-1_task-sleep_eeg"
    rows = [
        {"night": end, "recording": f"{name}.{end}", "staged": recording, "subject": "1"}
        for end in ("edf", "bdf")
    ]
    cohort = write_cohort(tmp_path / "staged", small_folder, rows)
    with pytest.raises(
        ValueError, match="'edf' and 'bdf' would both be sub-1_task-sleep"
    ) as caught:
        write_bids_derivatives(cohort, tmp_path / "out")
    assert_clean(caught.value)
    assert not (tmp_path / "out").exists()


def test_only_ours_is_overwritten(cohort, written, tmp_path):
    out = shutil.copytree(written, tmp_path / "out")
    with pytest.raises(FileExistsError, match=r"out already exists.*overwrite=True"):
        write_bids_derivatives(cohort, out)
    old = out / "sub-99/eeg/sub-99_desc-wav2sleep_events.tsv"
    old.parent.mkdir(parents=True)
    old.touch()
    write_bids_derivatives(cohort, out, overwrite=True)
    assert not old.exists()
    assert "SourceDatasets" not in json.loads((out / "dataset_description.json").read_text())
    assert list_errors(out) == []
    (out / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"contains notes\.txt, which is not of these"):
        write_bids_derivatives(cohort, out, overwrite=True)
    assert (out / "README.md").exists()
    with pytest.raises(FileExistsError, match=r"notes\.txt is a file"):
        write_bids_derivatives(cohort, out / "notes.txt")


def test_a_failure_leaves_what_was_there(cohort, written, tmp_path):
    damaged = shutil.copytree(cohort.folder, tmp_path / "staged")
    provenance_path(hypnogram_path(damaged, "sub-02_task-sleep")).unlink()
    out = shutil.copytree(written, tmp_path / "out")
    before = sorted(out.rglob("*"))
    with pytest.raises(FileNotFoundError, match="provenance of the night 'sub-02_task-sleep'"):
        write_bids_derivatives(load_cohort(damaged), out, overwrite=True)
    assert sorted(out.rglob("*")) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "staged"]


def test_wrong_input_is_told(cohort, tmp_path):
    with pytest.raises(TypeError, match="cohort must be an instance of"):
        write_bids_derivatives(cohort.folder, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"no dataset_description\.json in"):
        write_bids_derivatives(cohort, tmp_path / "out", source=tmp_path)
    rows = "night,status,reason,subject,dataset,recording,hypnogram\nn,failed,Broken.,1,a,n.edf,\n"
    (tmp_path / TABLE).write_text(rows)
    with pytest.raises(ValueError, match=r"No night of the cohort in .* was staged"):
        write_bids_derivatives(load_cohort(tmp_path), tmp_path / "out")


def test_every_column_of_a_staged_night_is_described(recording, small_folder):
    stager = SleepStagerW2S(recording, small_folder)
    values = describe_night(stager, stager.predict(), stager.statistics(), [])
    for name in set(values) - {*_LEFT_OUT, OWN_STAGES}:
        assert describe_column(name)["Description"] != name.replace("_", " "), name
