"""Tables of nights."""

import pytest
from typer.testing import CliRunner

from mne_wav2sleep.cli import app
from mne_wav2sleep.cohorts import read_nights


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_names_recordings_stages_subjects_and_channels(separator, tmp_path):
    rows = [
        ("recording", "subject", "hypnogram", "dataset", "ECG", "PPG"),
        ("a.edf", "01", "a.csv", "first", "EKG II", "None"),
        ("b.edf", "NA", "", "", "", "none"),
    ]
    path = tmp_path / "nights.csv"
    path.write_text("\n".join(separator.join(row) for row in rows))
    first, second = read_nights(path)
    assert (first.recording, first.hypnogram) == (tmp_path / "a.edf", tmp_path / "a.csv")
    assert (first.subject, first.dataset) == ("01", "first")
    assert first.ch_names == {"ECG": "EKG II", "PPG": None}
    assert (second.subject, second.hypnogram, second.dataset) == ("NA", None, "cohort")
    assert second.ch_names == {"PPG": None}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("recording\na.edf\n", r"has the columns \['recording'\]\. It needs"),
        ("recording,subject,age\na.edf,a,3\n", r"'age'\]\. It needs"),
        ("recording,subject\na.edf,a\nb.edf,\n", "line 3: the recording or the subject is missing"),
    ],
)
def test_a_table_with_other_columns_or_missing_values_is_refused(content, message, tmp_path):
    path = tmp_path / "nights.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_nights(path)
    with pytest.raises(FileNotFoundError, match="no table of nights"):
        read_nights(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("night.edf", b"0       X X X X"),
        ("empty.csv", b""),
        ("picture.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40),
        ("nothing.csv", bytes(4096)),
        ("ragged.csv", b"recording,subject\na,b\na,b,c,d\n"),
        ("night.csv", b"0".ljust(5000) + bytes(1000)),
    ],
)
def test_a_file_that_is_not_a_table_is_refused_in_one_line(name, content, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    result = CliRunner().invoke(app, ["evaluate", str(path), "--folder", str(tmp_path / "nights")])
    assert result.exit_code == 1
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert result.stderr.strip() == error
    assert "'recording'" in error
    assert len(error) < 400
    with pytest.raises(ValueError, match="is a folder"):
        read_nights(tmp_path)
