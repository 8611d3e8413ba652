import re

import numpy as np
import pytest
import typer
from pydantic import TypeAdapter, ValidationError

from mne_wav2sleep.cautions import warn
from mne_wav2sleep.cli.ch_names import read_ch_names
from mne_wav2sleep.cli.shared import _in_options, clean_errors
from mne_wav2sleep.progress import show_bars, track


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("stage", "{night}", "--device", "cuda:99"), "cannot be used here"),
        (("stage", "{night}", "--weights", ""), "no weights called ''"),
        (("stage", "{night}", "--out", "/nowhere/hyp.csv"), "no folder"),
        (("stage", "none.edf"), "no recording"),
        (("stage", "{night}", "--weights", "nothing"), "no weights called"),
        (("channels", "none.edf"), "no recording"),
        (("weights", "path", "nothing"), "no weights called"),
        (("weights", "fetch", "wav2sleep-eog"), "not known"),
        (("weights", "fetch", "wav2sleep-paper"), "put both into a folder"),
    ],
)
def test_errors_are_one_line_and_exit_code_1(invoke, arguments, message, night):
    result = invoke(*(a.format(night=night) for a in arguments))
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--out", "hyp.pdf"), "must end in .json"),
        (("--out", "."), "must end in .json"),
        (("--precision", "int8"), "must be one of float32"),
        (("--ch-name", "ECG=a", "--ch-name", "ECG=b", "--ch-name", "ECG=c"), "two for their diff"),
        (("--ch-name", "ECG=auto", "--ch-name", "ECG=none"), "two for their difference"),
        (("--ch-name", "PPG=a", "--ch-name", "PPG=b"), "takes one channel for PPG, got"),
        (("--ch-name", "EEG=a"), "takes MODALITY=CHANNEL, with a modality of ABD, ECG"),
        (("--ch-name", "ECG"), "takes MODALITY=CHANNEL"),
        (("--ch-name", "ECG="), "takes MODALITY=CHANNEL"),
        (("--ch-name", "ECG= "), "takes MODALITY=CHANNEL"),
    ],
)
def test_wrong_usage_is_exit_code_2(invoke, options, message, night):
    assert invoke("stage").exit_code == 2
    result = invoke("stage", night, *options)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_channel_names_are_parsed():
    assert read_ch_names(None) == {}
    assert read_ch_names(["ecg=II=V", "PPG=None"]) == {"ECG": "II=V", "PPG": None}
    assert read_ch_names(["ECG=a", "THX=c", "ECG=b"]) == {"ECG": ("a", "b"), "THX": "c"}
    with pytest.raises(typer.BadParameter, match="two for their difference"):
        read_ch_names(["ECG=a", "ECG=auto"])


def test_messages_name_options_instead_of_arguments(invoke, night, small_folder):
    result = invoke("stage", night, "--weights", small_folder, "--ch-name", "ECG=EKG 9")
    assert result.exit_code == 1
    assert "--ch-name ECG='EKG 9' names a channel that the recording does not have" in result.stderr
    result = invoke("channels", night, "--ch-name", "ABD=Thor")
    assert "Warning: --ch-name ABD=Thor was given, " in result.stderr
    result = invoke("channels", night, "--ch-name", "EOG-L=Thor")
    assert result.exit_code == 1
    assert re.match("Error: --ch-name .* EOG-L", result.stderr)
    result = invoke("stage", night, "--weights", small_folder, "--device", "cuda:99")
    assert "Error: --device cuda:99 cannot be used here" in result.stderr
    assert "ch_names" not in result.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Name it, ch_names={'ECG': 'EKG'}.", "Name it, --ch-name ECG=EKG."),
        ("ch_names={'ECG': 'EKG II'}: a", "--ch-name ECG='EKG II': a"),
        ("ch_names={'ECG': None, 'PPG': None}.", "--ch-name ECG=none --ch-name PPG=none."),
        ("ch_names={'ECG': ('a', 'b')} is", "--ch-name ECG=a --ch-name ECG=b is"),
        ("ch_names={'EOG-L': 'x'}", "--ch-name EOG-L=x"),
        ("ch_names={'ECG': \"5'-lead {II}\"} is", "--ch-name ECG='5'\"'\"'-lead {II}' is"),
        ("ch_names={'ECG': 'a'} or ch_names={'PPG': 'b'}", "--ch-name ECG=a or --ch-name PPG=b"),
        ("ch_names={'ECG': 'a'}, not {'b': 'c'}", "--ch-name ECG=a, not {'b': 'c'}"),
        ("ch_names must give ECG one", "--ch-name must give ECG one"),
        ("ch_names contains EOG-L", "--ch-name contains EOG-L"),
        ("Try precision='float32'.", "Try --precision float32."),
        ("device='cuda:9' cannot be used", "--device cuda:9 cannot be used"),
        ("use weights='wav2sleep'.", "use --weights wav2sleep."),
        ("or train it with trainable=['a.PPG'].", "or train it with --trainable a.PPG."),
        (
            "add_signals names PPG. Add 'x' to trainable.",
            "--add-signal names PPG. Add 'x' to --trainable.",
        ),
        ("Give overwrite=True to replace them", "Give --overwrite to replace them"),
        ("with overwrite=True (--overwrite on the command line).", "with --overwrite."),
    ],
)
def test_arguments_are_written_as_options(text, expected):
    assert _in_options(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "The config holds {'a': 'b'} and {'ECG': 'c'}.",
        "night.edf has the columns ['ECG', 'PPG'] and {} braces.",
        "ch_names={'ECG': ...} is one of them",
        "ch_names={'ECG': 1} is wrong",
        "ch_names={} is empty",
        "See raw.ch_names and info['ch_names'].",
        "ch_names={'ECG: unbalanced",
        "ch_names={[]: 'a'}",
        "There is no recording at /data/device='x'/it's.edf.",
        "my_ch_names={'ECG': 'a'}",
        "There is no folder trainable.d/add_signals, nor 'trainable' or --trainable.",
        "The file device.edf has weights of 3 kg, 'as is'.",
    ],
)
def test_other_text_in_messages_is_kept(text):
    assert _in_options(text) == text


def test_debug_shows_the_traceback_of_an_error(invoke, night):
    plain = invoke("channels", night, "--weights", "nothing")
    assert "Traceback" not in plain.stderr
    debug = invoke("channels", night, "--weights", "nothing", "--debug")
    assert debug.exit_code == plain.exit_code == 1
    assert "Traceback" in debug.stderr
    assert "Error: There are no weights called 'nothing'" in debug.stderr
    assert "Traceback" not in invoke("channels", night, "--weights", "nothing").stderr


def divide():
    return 1 / 0


def concatenate():
    return np.concatenate([])  # NumPy's ValueError, from C


def reshape():
    return np.broadcast_shapes((2,), (3,))  # NumPy's ValueError, from Python


def convert():
    return int("three")


def look_up():
    return {}["key"]


def unpack():
    first, second = (1,)
    return first, second


def call():
    return divide(1)


@pytest.mark.parametrize("bug", [divide, concatenate, reshape, convert, look_up, unpack, call])
def test_a_bug_has_its_own_exit_code_and_a_traceback(bug, invoke, night, small_folder, monkeypatch):
    monkeypatch.setattr("mne_wav2sleep.staging.staged.stage_recording", lambda *_, **__: bug())
    result = invoke("stage", night, "--weights", small_folder)
    assert result.exit_code == 70
    assert "Traceback" in result.stderr
    assert f"in {bug.__name__}" in result.stderr
    assert "This is a bug in mne-wav2sleep" in result.stderr
    assert result.stdout == ""


def run_in(package, code):
    """Run code in a function that seems to be in a package."""
    names = {"__name__": package}
    exec("def run():\n" + "\n".join(f"    {line}" for line in code.splitlines()), names)
    return names["run"]


@pytest.mark.parametrize(
    ("package", "code", "exit_code"),
    [
        ("mne_wav2sleep.stager", "raise ValueError('Wrong.')", 1),
        ("mne.utils.check", "raise TypeError('Wrong.')", 1),
        (
            "mne_wav2sleep",
            "try:\n    1 / 0\nexcept Exception as e:\n    raise ValueError from e",
            1,
        ),
        # Not for the user, though raised on purpose.
        ("mne_wav2sleep.stager", "assert False", 70),
        ("mne_wav2sleep.stager", "raise KeyError('x')", 70),
        ("mne.utils", "raise AttributeError('x')", 70),
        # Raised by something else.
        ("numpy", "raise ValueError('Wrong.')", 70),
        ("mnemonic", "raise ValueError('Wrong.')", 70),
        ("mne_wav2sleep.stager", "int('x')", 70),
        ("mne_wav2sleep", "try:\n    int('x')\nexcept ValueError:\n    raise", 70),
        ("mne_wav2sleep", "try:\n    int('x')\nexcept ValueError as e:\n    raise e", 70),
        # Of the system.
        ("numpy", "raise MemoryError('Unable to allocate 3 TiB')", 1),
        ("anything", "open('/none/such')", 1),
    ],
)
def test_errors_for_the_user_are_told_from_bugs(package, code, exit_code, capsys):
    with pytest.raises(typer.Exit) as exit_info, clean_errors():
        run_in(package, code)()
    assert exit_info.value.exit_code == exit_code
    assert ("This is a bug" in capsys.readouterr().err) == (exit_code == 70)


def test_a_refused_setting_is_reported_in_one_line(capsys):
    with pytest.raises(typer.Exit) as exit_info, clean_errors():
        TypeAdapter(dict[str, int]).validate_python({"n_epochs": "x"})
    assert exit_info.value.exit_code == 1
    assert isinstance(exit_info.value.__cause__, ValidationError)
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(r"Error: n_epochs: Input should be a valid integer.*, got 'x'\.", line)


@pytest.mark.parametrize("text", ["", "Training was stopped."])
def test_ctrl_c_exits_with_130_and_a_message(text, capsys):
    with pytest.raises(typer.Exit) as exit_info, clean_errors():
        raise KeyboardInterrupt(text)
    assert exit_info.value.exit_code == 130
    assert capsys.readouterr().err == f"{text or 'Stopped by Ctrl-C (SIGINT).'}\n"


def test_ctrl_c_says_that_a_command_can_be_resumed(capsys):
    with pytest.raises(typer.Exit), clean_errors(resumes=True):
        raise KeyboardInterrupt
    assert "Run the same command again to resume." in capsys.readouterr().err


@pytest.mark.parametrize("error", [typer.Exit(3), typer.BadParameter("no"), typer.Abort()])
def test_exits_are_passed_on(error, capsys):
    with pytest.raises(type(error)), clean_errors():
        raise error
    assert capsys.readouterr().err == ""


def test_warnings_are_above_a_progress_bar(capsys):
    with clean_errors(), show_bars(True):
        for night in track(range(2), "Preparing", "night"):
            warn(f"night {night}")
    lines = re.split("[\r\n]+", capsys.readouterr().err)
    assert lines.count("Warning: night 0") == lines.count("Warning: night 1") == 1
    assert sum(line.startswith("Preparing: 100%") for line in lines) >= 1
