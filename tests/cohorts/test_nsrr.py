import shutil

import mne
import numpy as np
import pytest
from builders import toy_recordings
from nsrr_download import (
    RATES,
    VISITS,
    set_physical_range,
    write_cohort,
    write_download,
    write_recording,
    write_xml,
)

from mne_wav2sleep import SleepStagerW2S, match_channels, read_hypnogram
from mne_wav2sleep.cohorts import read_nights, read_nsrr, write_nights

YASA = {0: "WAKE", 1: "N1", 2: "N2", 3: "N3", 4: "N3", 5: "REM", 9: "UNS"}
BELTS = {"ABD": "ABDO EFFORT", "THX": "THOR EFFORT"}
CHANNELS = {
    "shhs": {"ABD": "ABDO RES", "ECG": "ECG", "THX": "THOR RES"},
    "mesa": {"ABD": "Abdo", "ECG": "EKG", "PPG": "Pleth", "THX": "Thor"},
    "gamma": {"ABD": "ABDOMEN", "ECG": "ECG", "THX": "RIB CAGE"},
    "twin": {"ABD": "Abd", "ECG": "EKG1-EKG2", "THX": "Chest"},
    "cfs": {**BELTS, "ECG": "ECG1", "PPG": "PlethWV"},
    "ccshs": {**BELTS, "ECG": "ECG1", "PPG": "PlethWV"},
    "chat": {"ABD": "ABD", "ECG": "ECG1", "PPG": "PLETH", "THX": "Chest"},
    "mros": {"ABD": "Abdominal", "ECG": "ECG L", "THX": "Thoracic"},
}


@pytest.fixture(scope="module")
def download(tmp_path_factory):
    """The folder of a download, and the stages of each cohort's nights."""
    root = tmp_path_factory.mktemp("nsrr")
    return root, write_download(root)


@pytest.fixture
def cohort(download, tmp_path):
    """A copy of a cohort, to be changed."""

    def copy(name):
        shutil.copytree(download[0] / name, tmp_path / name)
        return tmp_path / name / "polysomnography"

    return copy


@pytest.mark.parametrize("name", VISITS)
def test_a_cohort_becomes_nights(download, name, tmp_path):
    root, stages = download
    nights = read_nsrr(root, name)
    assert [night.recording.stem for night in nights] == sorted(stages[name])
    assert {night.dataset for night in nights} == {name}
    assert len({night.person for night in nights}) == 3
    for night in nights:
        # Two visits of a person are one subject.
        assert night.subject in night.recording.stem
        raw = mne.io.read_raw(night.recording, verbose="error")
        hyp = read_hypnogram(night.hypnogram, raw)
        assert list(hyp.hypno) == [YASA[s] for s in stages[name][night.recording.stem]]
        assert f"{hyp.start:%H:%M:%S}" == "22:31:07"
    write_nights(nights, tmp_path / "nights.csv")
    assert read_nights(tmp_path / "nights.csv") == nights


@pytest.mark.parametrize("name", ["shhs", "wsc"])
def test_any_folder_of_the_download_will_do(download, name):
    root = download[0]
    found = read_nsrr(root, name)
    for folder in (root / name, root / name / "polysomnography", str(root)):
        assert read_nsrr(folder, name.upper()) == found


@pytest.mark.parametrize("montage", RATES)
def test_channels_of_the_cohorts_are_found(montage):
    labels = list(RATES[montage])
    info = mne.create_info(labels, 64.0, "misc")
    raw = mne.io.RawArray(np.zeros((len(labels), 64)), info, verbose="error")
    found = match_channels(raw)
    assert dict(found["channel"].dropna()) == CHANNELS[montage]


def test_what_is_left_out_is_said(cohort):
    folder = cohort("shhs")
    scored = folder / "annotations-events-nsrr"
    (folder / "edfs" / "shhs2" / "shhs2-200001.edf").unlink()
    (scored / "shhs1" / "shhs1-200001-nsrr.xml").unlink()
    write_xml(scored / "shhs1" / "shhs1-200002-nsrr.xml", [0, 2, 2, 0, 9] * 4)
    write_recording(folder / "edfs" / "shhs1" / "old.edf", {"ECG": 10.0}, 0)
    write_recording(folder / "edfs" / "shhs1-200003.edf", {"ECG": 10.0}, 0)
    with pytest.warns(RuntimeWarning) as shown:
        nights = read_nsrr(folder, "shhs")
    assert [night.subject for night in nights] == ["200003"]
    texts = [str(one.message) for one in shown]
    for part in (
        "1 EDF file in",
        "left out, such as old.edf",
        "shhs1-200003.edf is there 2 times",
        "shhs: 1 of 3 recordings have no scoring and are left out: shhs1-200001.",
        "shhs: 1 of 3 scorings have no recording and are left out: shhs2-200001.",
        "shhs: 1 night without a single epoch of N1, N3 or REM, scored as sleep and wake alone",
    ):
        assert sum(part in text for text in texts) == 1, (part, texts)
    assert len(texts) == 5


def test_damaged_scorings_do_not_stop_the_others(cohort):
    folder = cohort("wsc")
    (folder / "wsc-visit2-10119-nsrr.stg.txt").write_text("Epoch\tUser-Defined Stage\n1\tx\n")
    (folder / "wsc-visit1-10191-nsrr.allscore.txt").write_text("22:30:00\tNOTE\n")
    with pytest.warns(RuntimeWarning) as shown:
        nights = read_nsrr(folder, "wsc", n_jobs=1)
    assert [night.subject for night in nights] == ["10119", "46950"]
    texts = sorted(str(one.message) for one in shown)
    assert len(texts) == 2
    assert texts[0].startswith("wsc: wsc-visit1-10191 is left out, since its scoring cannot")
    assert "has no stages among its 1 event" in texts[0]
    assert "has the row ['1', 'x'] after 0 epochs" in texts[1]


@pytest.mark.parametrize("ending", [".edf", ".stg.txt"])
def test_names_of_wsc_may_lack_their_ending(cohort, ending):
    folder = cohort("wsc")
    found = read_nsrr(folder, "wsc")
    path = folder / f"wsc-visit2-10119-nsrr{ending}"
    path.rename(folder / f"wsc-visit2-10119{ending}")
    nights = read_nsrr(folder, "wsc")
    assert [night.person for night in nights] == [night.person for night in found]
    [changed] = [night for night in nights if night not in found]
    assert {changed.recording.name, changed.hypnogram.name} == {
        f"wsc-visit2-10119{'' if end == ending else '-nsrr'}{end}" for end in (".edf", ".stg.txt")
    }


def test_many_damaged_scorings_are_named_together(tmp_path):
    folder = tmp_path / "polysomnography"
    write_cohort(tmp_path, "mesa")
    shutil.move(tmp_path / "mesa" / "polysomnography", folder)
    for i in range(1000, 1010):
        write_recording(folder / "edfs" / f"mesa-sleep-{i}.edf", {"EKG": 1.0}, 0)
        (folder / "annotations-events-nsrr" / f"mesa-sleep-{i}-nsrr.xml").write_text("<a")
    with pytest.warns(RuntimeWarning) as shown:
        assert len(read_nsrr(tmp_path, "mesa")) == 3
    texts = [str(one.message) for one in shown]
    assert len(texts) == 7
    assert "mesa: 4 more are left out" in texts[-1]
    assert "mesa-sleep-1009" in texts[-1]


@pytest.mark.filterwarnings("ignore:mesa:RuntimeWarning")
def test_a_wrong_folder_or_cohort_is_refused(download, tmp_path, cohort):
    root = download[0]
    folder = cohort("mesa")
    for path in (folder / "annotations-events-nsrr").iterdir():
        path.write_text("<a")
    (tmp_path / "empty").mkdir()
    for where, name, kind, message in (
        (root, "sof", ValueError, "cohort is 'sof', which is not known. Give one of shhs, mesa"),
        (root, 1, TypeError, "cohort must be"),
        (root / "none", "shhs", FileNotFoundError, "There is no folder .*none. Give the folder"),
        (root / "mesa" / "polysomnography", "shhs", ValueError, "but 3 others, such as mesa-sleep"),
        (tmp_path / "empty", "shhs", ValueError, "such as shhs1-200001.edf, but no other EDF"),
        (folder, "mesa", ValueError, "No night of mesa in .* 3 recordings and 3 scorings .*well"),
        (folder / "edfs" / "mesa-sleep-0001.edf", "mesa", NotADirectoryError, "is a file. Give"),
    ):
        with pytest.raises(kind, match=message):
            read_nsrr(where, name)


@pytest.mark.parametrize("ranges", [("0", "0"), ("-3.1", "0"), ("0", "-3.1"), ("0.0", "0.000")])
@toy_recordings
@pytest.mark.filterwarnings("ignore:Physical range is not defined:RuntimeWarning")
def test_a_physical_maximum_of_zero_does_not_matter(tmp_path, ranges, small_folder):
    path = write_recording(tmp_path / "chat-baseline-300001.edf", RATES["chat"], 1)
    before = SleepStagerW2S(path, small_folder, verbose="error").predict().proba
    for channel in (0, 2):  # the ECG and a belt
        set_physical_range(path, channel, *ranges)
    stager = SleepStagerW2S(path, small_folder, verbose="error")
    after = stager.predict().proba
    assert stager.availability()[["ECG", "THX"]].to_numpy().all()
    # The network sees z-scores, which do not depend on the range, but on its sign.
    if ranges[0].startswith("0") and float(ranges[1]):
        assert np.isfinite(after.to_numpy()).all()
    else:
        np.testing.assert_allclose(after, before, atol=1e-4)
