import os
import stat
from pathlib import Path

import pytest

from mne_wav2sleep.output import check_output, write_whole


def write(path, text="new", **options):
    with write_whole(path, **options) as unfinished:
        assert unfinished.name == path.name
        assert unfinished != path
        unfinished.write_text(text)


def test_a_file_is_there_whole(tmp_path):
    path = tmp_path / "a.csv"
    write(path)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
    plain = tmp_path / "plain"
    plain.write_text("")
    assert path.stat().st_mode == plain.stat().st_mode  # not a temporary file's


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyError("x")])
@pytest.mark.parametrize("there", [False, True])
def test_an_error_leaves_what_was_there_and_nothing_else(error, there, tmp_path):
    path = tmp_path / "a.csv"
    if there:
        path.write_text("old")

    def fail():
        with write_whole(path, overwrite=True) as unfinished:
            unfinished.write_text("half")
            raise error

    full = f"a.csv could not be written to {path} .*No space left"
    with pytest.raises(type(error), match=full if isinstance(error, OSError) else "x"):
        fail()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.csv", "old")] * there


def test_what_is_there_is_replaced_if_it_may_be(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    path.chmod(0o640)
    with pytest.raises(FileExistsError, match=r"a\.csv is there already.*overwrite=True"):
        write(path)
    assert path.read_text() == "old"
    write(path, overwrite=True)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_link_goes_on_to_be_one(tmp_path):
    (tmp_path / "far").mkdir()
    link = tmp_path / "a.csv"
    link.symlink_to(tmp_path / "far" / "b.csv")
    write(link)
    write(link, "newer", overwrite=True)
    assert link.is_symlink()
    assert (tmp_path / "far" / "b.csv").read_text() == "newer"
    assert len(list((tmp_path / "far").iterdir())) == 1


@pytest.mark.parametrize("name", ["night_raw.fif", "night.bdf", "night.vhdr", "night.set"])
def test_a_recording_is_never_replaced(name, tmp_path):
    (tmp_path / name).write_bytes(b"a recording")
    link = tmp_path / "hyp.json"  # of another ending, and yet that file
    link.symlink_to(tmp_path / name)
    for path in (tmp_path / name, link):
        with pytest.raises(ValueError, match="holds a recording, which would be lost"):
            check_output(path, overwrite=True)


def test_a_folder_that_is_none_and_a_file_that_is_one(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*none to write a\.csv to"):
        check_output(tmp_path / "none" / "a.csv")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        check_output(tmp_path, overwrite=True)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_may_not_be_written_is_not_replaced(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    path.chmod(0o400)
    with pytest.raises(PermissionError, match="may not be written"):
        check_output(path, overwrite=True)


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="needs devices")
def test_a_device_is_written_to_as_it_is():
    assert check_output("/dev/null") == Path("/dev/null")
    with write_whole("/dev/null") as unfinished:
        unfinished.write_text("new")
    assert not Path("/dev/null").is_file()


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "stages.txt"

    def write_beside():
        with write_whole(path) as unfinished:
            unfinished.write_text("ours")
            path.write_text("theirs")

    with pytest.raises(OSError, match="is there already"):
        write_beside()
    assert path.read_text() == "theirs"
    assert [one.name for one in tmp_path.iterdir()] == ["stages.txt"]


def test_a_long_name_is_no_longer_while_it_is_written(tmp_path):
    write(tmp_path / ("n" * 250 + ".txt"))
