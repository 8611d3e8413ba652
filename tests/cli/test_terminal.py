"""What reaches the terminal, and what happens if nothing can."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import typer
from builders import write_edf

from mne_wav2sleep.cli import main
from mne_wav2sleep.cli.shared import clean_errors, show_table, show_text
from mne_wav2sleep.cli.terminal import use_terminal
from mne_wav2sleep.output import write_whole

COMMAND = [sys.executable, "-c", "from mne_wav2sleep.cli import main; main()"]
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


def run(*arguments, stdout=subprocess.PIPE, **options):
    """Run the command in a process of its own."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
        timeout=300,
        **options,
    )


def open_stream(encoding):
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


@pytest.fixture
def streams(monkeypatch):
    """Replace stdout and stderr by streams of an encoding; return what reached them."""

    def replace(encoding):
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, open_stream(encoding))
        return sys.stdout.buffer, sys.stderr.buffer

    return replace


def with_label(path, label, new):
    """Write another label of 16 bytes into the header of an EDF."""
    path.write_bytes(path.read_bytes().replace(label.ljust(16), new.ljust(16), 1))
    return path


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", rb"EKG \xb5 \u5fc3 \udcfc"),
        ("cp1252", b"EKG \xb5 \\u5fc3 \\udcfc"),
        ("latin-1", b"EKG \xb5 \\u5fc3 \\udcfc"),
        ("utf-8", "EKG µ 心 \\udcfc".encode()),
        ("utf-16-le", "EKG µ 心 \\udcfc".encode("utf-16-le")),
    ],
)
def test_what_the_terminal_cannot_encode_is_shown_escaped(encoding, expected, streams):
    out, err = streams(encoding)
    with use_terminal():
        show_text("EKG µ 心 \udcfc")
        sys.stderr.write("EKG µ 心 \udcfc\n")
    assert out.getvalue() == err.getvalue() == expected + "\n".encode(encoding)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ECG\x1b]0;owned\x07", r"ECG\x1b]0;owned\x07"),  # sets the title
        ("ECG\x9b2J", r"ECG\x9b2J"),  # clears the screen, in one byte
        ("ECG\rPPG", r"ECG\rPPG"),
        ("p01\nError: the disk is on fire", r"p01\nError: the disk is on fire"),
        ("\u202egpj.fde", r"\u202egpj.fde"),  # shown as edf.jpg
        ("a\u2066b\u2029c\x7f", r"a\u2066b\u2029c\x7f"),
        ("睡眠　ליל 'µV' naïve\N{EM DASH}", "睡眠　ליל 'µV' naïve\N{EM DASH}"),
    ],
)
def test_no_text_acts_on_the_terminal(text, shown, capsys):
    table = pd.DataFrame({"channel": [text], "others": [[text]], text: 1.5}, index=[text])
    show_table(table)
    show_text(text)
    header, row, line = capsys.readouterr().out.splitlines()
    assert shown in header
    assert row.count(shown) == 3
    assert line == shown
    with use_terminal(), pytest.raises(typer.Exit), clean_errors():
        raise FileNotFoundError(text)
    first, *others = capsys.readouterr().err.splitlines()
    assert first == f"Error: {shown}".split(r"\n")[0]
    assert others == [f"  {line}" for line in text.split("\n")[1:]]  # cannot pass for an error


def test_tables_and_progress_bars_keep_their_layout(streams):
    _, err = streams("utf-8")
    with use_terminal():
        sys.stderr.write("a\tb\n\r 50%\x1b[A\r100%\x1b[31m\n")
    assert err.getvalue() == b"a\tb\n\r 50%\x1b[A\r100%\\x1b[31m\n"


def test_an_endless_message_is_cut(capsys):
    with pytest.raises(typer.Exit), clean_errors():
        raise OSError("x" * 10_000_000)
    assert 1000 < len(capsys.readouterr().err) < 11_000


@needs_full
@pytest.mark.parametrize("command", [["weights", "list"], ["--version"], ["--help"], ["sys-info"]])
def test_a_full_stdout_is_one_sentence(command, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mne-wav2sleep", *command])
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as exit_info:
            main()
        monkeypatch.setattr(full, "write", None, raising=False)
        with pytest.raises(OSError, match="No space left"):
            full.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())  # so that it can be closed
    assert exit_info.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: Not everything could be printed to standard output ([Errno 28]")


def test_files_that_are_complete_are_named_after_a_later_error(capsys, tmp_path):
    def write(*names):
        for name in names:
            with write_whole(tmp_path / name) as unfinished:
                unfinished.write_text("whole")

    with pytest.raises(typer.Exit), clean_errors():
        write("a.json", "b\n.json", "none/c.json")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Error: There is no folder {tmp_path / 'none'} to write c.json")
    assert line.endswith(f"Complete: {tmp_path / 'a.json'}, {tmp_path}/b\\n.json.")
    with pytest.raises(typer.Exit), clean_errors():
        raise OSError("Other.")
    assert "Complete" not in capsys.readouterr().err


def test_without_stderr_and_stdout_nothing_is_lost_but_messages(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with use_terminal(), clean_errors():
        show_text("nobody reads this")
        with write_whole(tmp_path / "a.txt") as unfinished:
            unfinished.write_text("whole")
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_labels_reach_a_real_terminal_escaped(tmp_path):
    path = write_edf(tmp_path / "night.edf", {"ECG": 128.0, "EKG": 128.0, "Thor": 32.0})
    with_label(path, b"EKG", b"\x1b]0;x\x07\xb5")
    label = "\x1b]0;x\x07µ"
    done = run(
        *("channels", path, "--weights", "mini", "--ch-name", f"ECG={label}"),
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0, done.stderr
    assert rb"\x1b]0;x\x07\xb5  named by the user" in done.stdout
    assert not set(done.stdout + done.stderr) & {*b"\x1b\x07", 0xB5}


def test_usage_errors_do_not_act_on_the_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mne-wav2sleep", "channels", "a.edf", "b\x1b]0;x\x07.edf"])
    with pytest.raises(SystemExit) as exit_info:
        main()
    assert exit_info.value.code == 2
    assert r"b\x1b]0;x\x07.edf" in capsys.readouterr().err


@needs_full
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_night_with_a_name_that_is_not_utf8_is_staged_before_a_full_stdout(
    tmp_path, small_folder
):
    path = write_edf(tmp_path / "night.edf", {"ECG": 64.0, "Thor": 32.0})
    path = path.rename(tmp_path / os.fsdecode(b"nacht \xfc.edf"))
    out, report = tmp_path / "hyp.json", tmp_path / "night.html"
    with Path("/dev/full").open("w") as full:
        done = run(
            *("stage", path, "--weights", small_folder, "--out", out, "--report", report),
            stdout=full,
        )
    error = done.stderr.decode().splitlines()[-1]
    assert done.returncode == 1
    assert error.startswith("Error: Not everything could be printed to standard output")
    assert error.endswith(f"Complete: {out}, {out}.provenance.json, {report}.")
    assert r"nacht \udcfc.edf" in report.read_text(encoding="utf-8")
    assert b"ignored" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="needs pipes")
def test_a_reader_that_stops_early_gets_one_sentence(monkeypatch, capsys):
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(sys, "argv", ["mne-wav2sleep", "weights", "list"])
    with open(writer, "w", closefd=False) as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        with pytest.raises(SystemExit) as exit_info:
            main()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)  # so that it can be closed
    os.close(writer)
    assert exit_info.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: Not everything could be printed")
    assert line.endswith("Do not close the pipe early.")


@pytest.fixture
def small_disk():
    """Let no file be longer than 300 kB, as on a disk that is nearly full."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_keeps_what_is_complete(
    invoke, night, small_folder, tmp_path, small_disk
):
    out, report = tmp_path / "hyp.json", tmp_path / "night.html"
    report.write_text("old")
    outputs = ("--out", out, "--report", report, "--overwrite")
    result = invoke("stage", night, "--weights", small_folder, *outputs)
    assert result.exit_code == 1
    assert result.stdout == ""
    error = result.stderr.splitlines()[-1]
    assert error.startswith(f"Error: night.html could not be written to {report} (")
    assert error.endswith(f"Complete: {out}, {out}.provenance.json.")
    assert report.read_text() == "old"
    names = ["hyp.json", "hyp.json.provenance.json", "night.html"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names


def test_two_outputs_are_two_files(invoke, night, no_work, tmp_path):
    (tmp_path / "night.html").symlink_to(tmp_path / "hyp.json")
    outputs = ("--out", tmp_path / "hyp.json", "--report", tmp_path / "night.html")
    result = invoke("stage", night, *outputs)
    assert result.exit_code == 1
    assert "hyp.json are the same file. Choose another name." in result.stderr
    result = invoke("stage", night, "--out", tmp_path / ("n" * 250 + ".json"))
    assert result.exit_code == 1
    assert ".provenance.json cannot be written (File name too long)." in result.stderr
