"""Files are written atomically, and recordings are never overwritten."""

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


def test_file_is_written_with_the_usual_permissions(tmp_path):
    path = tmp_path / "a.csv"
    write(path)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
    plain = tmp_path / "plain"
    plain.write_text("")
    assert path.stat().st_mode == plain.stat().st_mode  # not those of a temporary file


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyError("x")])
@pytest.mark.parametrize("exists", [False, True])
def test_error_leaves_an_existing_file_and_nothing_else(error, exists, tmp_path):
    path = tmp_path / "a.csv"
    if exists:
        path.write_text("old")

    def write_half():
        with write_whole(path, overwrite=True) as unfinished:
            unfinished.write_text("half")
            raise error

    full = f"a.csv could not be written to {path} .*No space left"
    with pytest.raises(type(error), match=full if isinstance(error, OSError) else "x"):
        write_half()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.csv", "old")] * exists


def test_existing_file_is_overwritten_only_on_request(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    path.chmod(0o640)
    with pytest.raises(FileExistsError, match=r"a\.csv already exists.*overwrite=True"):
        write(path)
    assert path.read_text() == "old"
    write(path, overwrite=True)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_symbolic_link_is_kept(tmp_path):
    (tmp_path / "far").mkdir()
    link = tmp_path / "a.csv"
    link.symlink_to(tmp_path / "far" / "b.csv")
    write(link)
    write(link, "newer", overwrite=True)
    assert link.is_symlink()
    assert (tmp_path / "far" / "b.csv").read_text() == "newer"
    assert len(list((tmp_path / "far").iterdir())) == 1


@pytest.mark.parametrize("name", ["night_raw.fif", "night.bdf", "night.vhdr", "night.set"])
def test_recording_is_never_overwritten(name, tmp_path):
    (tmp_path / name).write_bytes(b"a recording")
    link = tmp_path / "hyp.json"  # another extension, but the same file
    link.symlink_to(tmp_path / name)
    for path in (tmp_path / name, link):
        with pytest.raises(ValueError, match="holds a recording, which would be lost"):
            check_output(path, overwrite=True)


def test_missing_folder_and_folder_in_place_of_a_file_are_reported(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*none to write a\.csv to"):
        check_output(tmp_path / "none" / "a.csv")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        check_output(tmp_path, overwrite=True)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root can write everywhere")
def test_file_that_is_not_writable_is_not_overwritten(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    path.chmod(0o400)
    with pytest.raises(PermissionError, match="is not writable"):
        check_output(path, overwrite=True)


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="requires device files")
def test_device_is_written_to_directly():
    assert check_output("/dev/null") == Path("/dev/null")
    with write_whole("/dev/null") as unfinished:
        unfinished.write_text("new")
    assert not Path("/dev/null").is_file()


def test_file_that_was_created_in_the_meantime_is_not_overwritten(tmp_path):
    path = tmp_path / "stages.txt"

    def write_beside():
        with write_whole(path) as unfinished:
            unfinished.write_text("ours")
            path.write_text("theirs")

    with pytest.raises(OSError, match="already exists"):
        write_beside()
    assert path.read_text() == "theirs"
    assert [one.name for one in tmp_path.iterdir()] == ["stages.txt"]


def test_long_names_stay_within_the_limit_of_the_file_system(tmp_path):
    write(tmp_path / ("n" * 250 + ".txt"))
