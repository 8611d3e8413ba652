import os

import pytest
from builders import make_hypnogram, make_raw, write_edf

from mne_wav2sleep import write_hypnogram
from mne_wav2sleep.cohorts import find_recordings, finding, pair_hypnograms
from mne_wav2sleep.staging.provenance import provenance_path


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def list_names(folder):
    return [path.relative_to(folder).as_posix() for path in find_recordings(folder)]


def list_pairs(folder):
    return {
        path.name: scored and scored.name
        for path, scored in pair_hypnograms(find_recordings(folder)).items()
    }


def test_one_path_per_recording_of_every_format(tmp_path):
    write_edf(tmp_path / "b.edf", seconds=60)
    (tmp_path / "a").mkdir()
    write_edf(tmp_path / "a" / "A.BDF", seconds=60)
    touch(tmp_path, "c.vhdr", "c.vmrk", "c.eeg", "d.set", "d.fdt", "e.mff/signal1.bin", "f.gdf")
    touch(tmp_path, "g.ds/g.meg4", "notes.txt", "nights.csv", "b.mat", "a/nested.edf/x.EDF")
    assert list_names(tmp_path) == [
        *("a/A.BDF", "a/nested.edf/x.EDF", "b.edf", "c.vhdr", "d.set", "e.mff", "f.gdf", "g.ds"),
    ]


def test_hypnograms_hidden_files_and_other_fifs_are_left_out(tmp_path):
    write_edf(tmp_path / "SC4001E0-PSG.edf", seconds=60)
    write_hypnogram(make_hypnogram(), tmp_path / "SC4001EC-Hypnogram.edf")
    touch(tmp_path, "._SC4001E0-PSG.edf", ".hidden/x.edf", "n-epo.fif", "n_raw-annot.fif")
    touch(tmp_path, "staged/nights.csv", "staged/hypnograms/n.edf")
    touch(tmp_path, "hypnograms/broken.edf")  # not of a cohort
    assert list_names(tmp_path) == ["SC4001E0-PSG.edf", "hypnograms/broken.edf"]


def test_a_fif_in_parts_is_one_recording(tmp_path):
    raw = make_raw(["ECG"], sfreq=1000.0, seconds=600)
    for name, naming in (("night_raw.fif", "neuromag"), ("nap_meg.fif", "bids")):
        raw.save(tmp_path / name, split_size="2MB", split_naming=naming, verbose="error")
    # Looks like a part, and is none.
    make_raw(["ECG"], seconds=60).save(tmp_path / "night_raw-9.fif", verbose="error")
    assert (tmp_path / "night_raw-1.fif").exists()
    assert (tmp_path / "nap_split-02_meg.fif").exists()
    assert list_names(tmp_path) == ["nap_split-01_meg.fif", "night_raw-9.fif", "night_raw.fif"]


def test_parts_of_a_damaged_fif_stay(tmp_path):
    touch(tmp_path, "n_raw.fif", "n_raw-1.fif")
    assert list_names(tmp_path) == ["n_raw-1.fif", "n_raw.fif"]


def test_links_are_followed_once(tmp_path):
    touch(tmp_path, "z/n1.edf")
    (tmp_path / "z" / "loop").symlink_to(tmp_path)
    (tmp_path / "a").symlink_to(tmp_path / "z")
    (tmp_path / "n2.edf").symlink_to(tmp_path / "gone.edf")  # told when it is staged
    assert list_names(tmp_path) == ["n2.edf", "z/n1.edf"]


def test_a_link_to_itself_does_not_end_the_search(tmp_path):
    touch(tmp_path, "a.edf", "z/n.edf")
    (tmp_path / "l.edf").symlink_to(tmp_path / "l.edf")
    with pytest.warns(RuntimeWarning, match=r"l\.edf cannot be searched \(.*\)\. Remove"):
        assert list_names(tmp_path) == ["a.edf", "z/n.edf"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_told(tmp_path):
    touch(tmp_path, "n1.edf", "closed/n2.edf")
    (tmp_path / "closed").chmod(0)
    with pytest.warns(RuntimeWarning, match="closed cannot be searched"):
        assert list_names(tmp_path) == ["n1.edf"]
    (tmp_path / "closed").chmod(0o700)


def test_a_folder_must_be_one(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder of recordings at .*none. Check"):
        find_recordings(tmp_path / "none")
    touch(tmp_path, "n.edf")
    with pytest.raises(NotADirectoryError, match=r"n\.edf is a file, not a folder"):
        find_recordings(tmp_path / "n.edf")


@pytest.mark.parametrize(
    ("recording", "scored"),
    [
        ("night1.edf", "night1.xml"),
        ("night1.edf", "Night1.XML"),
        ("shhs1-200001.edf", "shhs1-200001-nsrr.xml"),
        ("wsc-visit1-10119-nsrr.edf", "wsc-visit1-10119-nsrr.stg.txt"),
        ("wsc-visit3-46950-nsrr.edf", "wsc-visit3-46950-nsrr.allscore.txt"),
        ("night1.edf", "night1_hypnogram.csv"),
        ("night1.edf", "night1.json"),
        ("night1.edf", "night1_sleep-stages.txt"),
        ("night1.fif", "night1-annot.fif"),
        ("night1_raw.fif", "night1_raw-annot.fif"),
        ("SC4001E0-PSG.edf", "SC4001EC-Hypnogram.edf"),
        ("ST7022J0-PSG.edf", "ST7022JM-Hypnogram.edf"),
    ],
)
def test_hypnograms_are_paired_by_name(recording, scored, tmp_path):
    touch(tmp_path, recording, "other.xml", "night10.xml", "SC4002EC-Hypnogram.csv")
    if scored.endswith(".edf"):
        write_hypnogram(make_hypnogram(), tmp_path / scored)
    else:
        touch(tmp_path, scored)
    assert list_pairs(tmp_path) == {recording: scored}


@pytest.mark.parametrize(
    "other", ["night10.xml", "night1_spindles.csv", "xnight1.xml", "night1.edf.csv", "night1.png"]
)
def test_other_names_are_not_paired(other, tmp_path):
    touch(tmp_path, "night1.edf", other)
    assert list_pairs(tmp_path) == {"night1.edf": None}


def test_a_word_for_stages_comes_before_the_bare_name(tmp_path):
    touch(tmp_path, "n.edf", "n.csv", "n_hypnogram.csv")
    assert list_pairs(tmp_path) == {"n.edf": "n_hypnogram.csv"}


def test_several_hypnograms_are_told(tmp_path):
    touch(tmp_path, "n.edf", "n-nsrr.xml", "n-profusion.xml")
    with pytest.warns(RuntimeWarning, match=r"n.edf may .* in n-nsrr.xml or n-profusion.xml; none"):
        assert list_pairs(tmp_path) == {"n.edf": None}


def test_what_this_package_staged_is_not_scored(tmp_path):
    touch(tmp_path, "n.edf", "n.json", provenance_path(tmp_path / "n.json").name)
    assert list_pairs(tmp_path) == {"n.edf": None}


def test_recordings_are_not_hypnograms_of_each_other(tmp_path):
    touch(tmp_path, "n.edf", "n.bdf", "n_hypnogram.edf")
    assert set(list_pairs(tmp_path).values()) == {None}


def test_hypnograms_of_many_recordings_are_looked_up_by_name(tmp_path, monkeypatch):
    touch(tmp_path, *(f"n{i}{end}" for i in range(50) for end in (".edf", "-nsrr.xml")))
    recordings = sorted(tmp_path.glob("*.edf"))
    looked_up = []
    monkeypatch.setattr(
        finding, "provenance_path", lambda path: looked_up.append(path) or path / "x"
    )
    paired = pair_hypnograms(recordings)
    assert all(scored.name == f"{path.stem}-nsrr.xml" for path, scored in paired.items())
    assert len(looked_up) == 100
