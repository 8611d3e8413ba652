from datetime import UTC, datetime

import pytest
from builders import assert_clean, make_raw

from mne_wav2sleep import read_hypnogram

HEADER = "Epoch\tUser-Defined Stage\tCAST-Stage\n"
TWIN = (
    ("23:58:10.00", "NEW MONTAGE - WSC"),
    ("23:58:12.00", "START RECORDING"),
    ("23:58:12.00", "STAGE - NO STAGE"),
    ("23:59:12.00", "STAGE - W"),
    ("23:59:20.50", "RESPIRATORY EVENT - DUR: 33.1 SEC. - HYPOPNEA - DESAT 90.6 %"),
    ("00:00:12.00", "STAGE - N2"),
    ("00:00:10.00", "LIGHTS OUT"),  # not in order
    ("00:01:12.00", "STAGE - N4"),
    ("00:01:42.00", "STAGE - R"),
    ("00:02:12.00", "STAGE - MVT"),
    ("00:02:42.00", "STAGE - R"),
    ("00:03:50.00", "LIGHTS ON"),
)
STAGES = [*2 * ["UNS"], *2 * ["WAKE"], *2 * ["N2"], "N3", "REM", "ART", *2 * ["REM"]]


def write_twin(path, rows=TWIN, **options):
    path.write_text("".join(f"{time}\t{event}\r\n" for time, event in rows), **options)
    return path


@pytest.mark.parametrize("header", [HEADER, ""])
def test_stages_of_gamma_are_an_epoch_a_row(tmp_path, header):
    path = tmp_path / "wsc-visit1-10119-nsrr.stg.txt"
    rows = "".join(f"{i}\t{code}\t7\n" for i, code in enumerate("70123456", start=1))
    path.write_text(header + rows)
    hyp = read_hypnogram(path)
    assert list(hyp.hypno) == ["UNS", "WAKE", "N1", "N2", "N3", "N3", "REM", "ART"]
    raw = make_raw(["ECG"], seconds=240, start=datetime(1985, 1, 1, 22, 15, 7, tzinfo=UTC))
    assert str(read_hypnogram(path, raw).start) == "1985-01-01 22:15:07+00:00"


def test_the_column_of_the_scorer_is_found_by_its_name(tmp_path):
    path = tmp_path / "n.STG.TXT"
    path.write_text("Epoch\tCAST-Stage\tUser-Defined Stage\n1\t7\t2\n3\t7\t5\n")
    assert list(read_hypnogram(path).hypno) == ["N2", "UNS", "REM"]  # epoch 2 is missing


def test_another_first_epoch_is_said(tmp_path):
    path = tmp_path / "n.stg.txt"
    path.write_text(HEADER + "5\t2\t2\n6\t5\t5\n")
    with pytest.warns(RuntimeWarning, match="begins with epoch 5, which is taken for the first"):
        assert list(read_hypnogram(path).hypno) == ["N2", "REM"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty. Download it again"),
        (HEADER, "has no stages after its header"),
        ("Epoch\tStage\n1\t2\n", r"has the columns \['epoch', 'stage'\]"),
        (HEADER + "1\t8\t8\n", r"the row \['1', '8', '8'\] after 0 epochs"),
        (HEADER + "1\t2\t2\n1\t2\t2\n", r"the row \['1', '2', '2'\] after 1 epochs"),
        (HEADER + "1\t2\t2\n999999\t2\t2\n", "after 1 epochs"),
        (HEADER + "1\n", r"the row \['1'\] after 0 epochs"),
        (HEADER + "\0\t2\t2\n", "has null bytes"),
    ],
)
def test_damaged_stages_of_gamma_are_refused(tmp_path, text, message):
    path = tmp_path / "n.stg.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_hypnogram(path)
    assert_clean(error.value)


def test_stages_of_twin_last_until_the_next(tmp_path):
    path = write_twin(tmp_path / "wsc-visit3-46950-nsrr.allscore.txt")
    assert list(read_hypnogram(path).hypno) == STAGES


@pytest.mark.parametrize(
    ("start", "first"),
    [
        (datetime(1985, 1, 1, 23, 58, 12, tzinfo=UTC), 0),  # anonymized
        (datetime(1985, 1, 1, 23, 59, 12, tzinfo=UTC), 60),
        (datetime(2004, 3, 1, 23, 58, 12, tzinfo=UTC), 0),
        (None, 0),
    ],
)
def test_stages_of_twin_are_placed_by_the_clock(tmp_path, start, first):
    path = write_twin(tmp_path / "n.allscore.txt")
    raw = make_raw(["ECG"], seconds=330, start=start)
    hyp = read_hypnogram(path, raw)
    assert list(hyp.hypno) == STAGES
    if start is not None:
        assert (start - hyp.start.to_pydatetime()).total_seconds() == first


def test_without_a_start_the_first_row_counts(tmp_path):
    rows = [row for row in TWIN if row[1] != "START RECORDING"]
    path = write_twin(tmp_path / "n.allscore.txt", rows)
    raw = make_raw(["ECG"], seconds=330, start=datetime(1985, 1, 1, 23, 58, 12, tzinfo=UTC))
    assert str(read_hypnogram(path, raw).start) == "1985-01-01 23:58:12+00:00"


def test_a_last_stage_without_an_end_is_an_epoch_and_notes_may_be_latin_1(tmp_path):
    rows = [*TWIN[:-1], ("--:--:--", "NOTE - 37 °C"), ("11:59:00 pm", "NOTE")]
    path = write_twin(tmp_path / "n.allscore.txt", rows, encoding="latin-1")
    assert list(read_hypnogram(path).hypno) == STAGES[:-1]


def test_notes_about_stages_are_no_stages(tmp_path):
    notes = [
        ("23:59:42.00", "Stage 2 looks odd here"),
        ("23:59:50.00", "STAGES REVIEWED - N3"),
        ("--:--", "Stage W?"),
    ]
    path = write_twin(tmp_path / "n.allscore.txt", [*TWIN[:5], *notes, *TWIN[5:]])
    assert list(read_hypnogram(path).hypno) == STAGES
    path = write_twin(tmp_path / "n.allscore.txt", [*TWIN[:3], ("23:59:42.00", "Stage-odd")])
    with pytest.raises(ValueError, match="unknown stages: 'STAGE - ODD'"):
        read_hypnogram(path)


def test_stages_that_are_not_in_order_are_sorted(tmp_path):
    rows = [*TWIN[:5], TWIN[8], TWIN[5], TWIN[7], *TWIN[9:]]
    path = write_twin(tmp_path / "n.allscore.txt", rows)
    assert list(read_hypnogram(path).hypno) == STAGES
    # Of two of the same time, the later row counts.
    path = write_twin(tmp_path / "n.allscore.txt", [*rows, ("00:01:42.00", "STAGE - N1")])
    assert list(read_hypnogram(path).hypno) == [*STAGES[:7], "N1", *STAGES[8:]]


def test_a_second_start_of_the_recording_is_said(tmp_path):
    rows = [*TWIN[:6], ("00:00:42.00", "PAUSED"), ("00:02:12.00", "START RECORDING"), TWIN[10]]
    path = write_twin(tmp_path / "n.allscore.txt", rows)
    with pytest.warns(RuntimeWarning) as shown:
        hyp = read_hypnogram(path)
    assert any("started again after the first stage" in str(one.message) for one in shown)
    assert list(hyp.hypno) == [*2 * ["UNS"], *2 * ["WAKE"], "N2", *4 * ["UNS"], "REM"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "is empty"),
        (TWIN[:2], "has no stages among its 2 events"),
        ([("22:61:00", "STAGE - W")], "the row '22:61:00.*STAGE - W', without a time of day"),
        ([("25:01:00", "STAGE - W")], "without a time of day"),
        ([("22:01:00", "STAGE - W"), ("22:01:30", "STAGE - 9")], "unknown stages: 'STAGE - 9'"),
    ],
)
def test_damaged_stages_of_twin_are_refused(tmp_path, rows, message):
    path = write_twin(tmp_path / "n.allscore.txt", rows)
    with pytest.raises(ValueError, match=message) as error:
        read_hypnogram(path)
    assert_clean(error.value)
