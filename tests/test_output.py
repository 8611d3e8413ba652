"""Files are written atomically, and recordings are never overwritten."""

import os
import stat
import threading
from pathlib import Path

import pytest
from builders import START, make_hypnogram

from mne_wav2sleep import write_hypnogram
from mne_wav2sleep.output import check_output, keep_written, write_whole


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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="requires pipes")
@pytest.mark.parametrize("suffix", [".edf", ".json", ".txt"])
def test_a_pipe_gets_the_whole_file_even_if_its_writer_goes_back(suffix, tmp_path):
    hyp = make_hypnogram(40, start=START)
    write_hypnogram(hyp, tmp_path / f"file{suffix}")
    pipe = tmp_path / f"pipe{suffix}"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_hypnogram(hyp, pipe)
    reader.join()
    assert read == [(tmp_path / f"file{suffix}").read_bytes()]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("n" * 256, "^n+ cannot be written .File name too long"),
        ("睡" * 90, "cannot be written .File name too long"),
        ("a\0b", "cannot be written .embedded null byte"),
        ("loop", "loop cannot be written .Symlink loop"),
    ],
)
def test_a_name_that_no_file_can_have_is_refused(name, reason, tmp_path):
    if name == "loop":
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ValueError, match=reason):
        check_output(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["n" * 250 + ".txt", "睡眠　'$%\n\".txt", os.fsdecode(b"\xfc.txt")]
)
def test_names_that_files_can_have_are_kept(name, tmp_path):
    write(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_complete_files_are_recorded(tmp_path):
    write(tmp_path / "before")
    with keep_written() as written:
        write(tmp_path / "first")
        with keep_written(), pytest.raises(OSError, match="already exists"):
            write(tmp_path / "first")
        with keep_written():
            write(tmp_path / "second")
    assert written == [tmp_path / "first", tmp_path / "second"]
