import pytest
from builders import START, assert_clean, make_raw

from mne_wav2sleep import read_hypnogram
from mne_wav2sleep.hypnograms.reading import locate_hypnogram


def write_nsrr(path, events):
    scored = "".join(
        f"<ScoredEvent><EventConcept>{concept}</EventConcept><Start>{start}</Start>"
        f"<Duration>{duration}</Duration></ScoredEvent>"
        for concept, start, duration in events
    )
    path.write_text(f"<PSGAnnotation><ScoredEvents>{scored}</ScoredEvents></PSGAnnotation>")
    return path


@pytest.mark.parametrize(
    "events",
    [
        [("Wake|0", "0,0", "60,0"), ("Stage 2 sleep|2", "60,0", "30,0"), ("R", "90,0", "30,0")],
        # Numbers as .NET writes them in some countries.
        [("Wake|0", "0", "60"), ("Hypopnea", "12,75", "10,5"), ("N2", "60", ""), ("R", "90", "")],
        [("Wake|0", "0,000", "60,000"), ("N2", "60,000", "30,000"), ("R", "90,000", "30,000")],
        [("Wake|0", "0", "60"), ("N2", " 60 ", "  "), ("R", "90.0", "0"), ("Hypopnea", "", "")],
        [("W", "0", ""), ("W", "30", ""), ("N2", "60", ""), ("R", "90", ""), ("PLM", "1", "x")],
    ],
)
def test_decimal_commas_and_empty_durations(events, tmp_path):
    found, onset = locate_hypnogram(write_nsrr(tmp_path / "s.xml", events), None)
    assert (list(found.hypno), onset) == (["WAKE", "WAKE", "N2", "REM"], 0.0)


@pytest.mark.parametrize(
    "events",
    [
        [("W", "990", "30"), ("W", "1,020", "30")],  # 1.02 or 1020
        [("W", "", "30")],
        [("W", "0", "30"), ("N2", "00:00:30", "30")],
        [("W", "0", "half a minute")],
        [("W", "nan", "30")],
    ],
)
def test_times_that_are_not_certain_are_refused(events, tmp_path):
    with pytest.raises(ValueError, match=r"s\.xml has stages") as error:
        read_hypnogram(write_nsrr(tmp_path / "s.xml", events))
    assert_clean(error.value)


def test_profusion_with_a_decimal_comma(tmp_path):
    path = tmp_path / "s.xml"
    stages = "".join(f"<SleepStage>{code}</SleepStage>" for code in (0, 2, 9, 5))
    path.write_text(f"<a><EpochLength>30,0</EpochLength><SleepStages>{stages}</SleepStages></a>")
    assert list(read_hypnogram(path).hypno) == ["WAKE", "N2", "UNS", "REM"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE a [<!ENTITY b "N2">]>',
        '<!DOCTYPE a [<!ENTITY % b SYSTEM "file:///etc/passwd"> %b;]>',
        '<!DOCTYPE a SYSTEM "http://localhost/a.dtd">',
    ],
)
def test_entities_are_refused_in_every_encoding(encoding, doctype, tmp_path):
    declared = encoding.split("-sig")[0].split("-be")[0]
    bom = b"\xfe\xff" if encoding == "utf-16-be" else b""
    text = (
        f'<?xml version="1.0" encoding="{declared}"?>{doctype}'
        "<a><ScoredEvent><EventConcept>&b;</EventConcept><Start>0</Start></ScoredEvent></a>"
    )
    path = tmp_path / "s.xml"
    path.write_bytes(bom + text.encode(encoding))
    with pytest.raises(ValueError, match="declares entities") as error:
        read_hypnogram(path)
    assert_clean(error.value)


def test_utf16_and_standard_entities_are_read(tmp_path):
    path = tmp_path / "s.xml"
    path.write_bytes(
        '<?xml version="1.0" encoding="utf-16"?><a><ScoredEvent><EventConcept>&#78;2|&amp;'
        "</EventConcept><Start>0</Start></ScoredEvent></a>".encode("utf-16")
    )
    assert list(read_hypnogram(path).hypno) == ["N2"]


@pytest.mark.parametrize("encoding", ["x-unknown", "base64", "utf-7", "utf-32"])
def test_unknown_encodings_are_refused(encoding, tmp_path):
    path = tmp_path / "s.xml"
    path.write_text(f'<?xml version="1.0" encoding="{encoding}"?><a/>')
    with pytest.raises(ValueError, match="not well-formed") as error:
        read_hypnogram(path)
    assert_clean(error.value)


def write_alice(path, stages, *, session="<Session>{}</Session>", staging="UserStaging", begin=""):
    changes = "".join(f'<Stage Type="{kind}" Start="{start}"/>' for kind, start in stages)
    sessions = session.format(f"<RecordingStart>{begin}</RecordingStart><Duration>200</Duration>")
    path.write_text(
        '<?xml version="1.0" encoding="utf-8"?>'
        '<PatientStudy xmlns="http://www.respironics.com/PatientStudy.xsd">'
        f"<Acquisition><Sessions>{sessions}</Sessions></Acquisition><ScoringData>"
        f"<StagingData><{staging}><NeuroAdultAASMStaging>{changes}</NeuroAdultAASMStaging>"
        f"</{staging}><MachineStaging><NeuroAdultAASMStaging>"
        '<Stage Type="REM" Start="0"/></NeuroAdultAASMStaging></MachineStaging></StagingData>'
        '<Events><Event Family="Respiratory" Type="Hypopnea" Start="45.5" Duration="12"/></Events>'
        "</ScoringData></PatientStudy>"
    )
    return path


@pytest.mark.parametrize(
    ("stages", "found"),
    [
        # The last stage lasts until the last complete epoch of the recording.
        ([("Wake", 0), ("NonREM1", 60), ("REM", 90)], ["WAKE"] * 2 + ["N1"] + ["REM"] * 3),
        ([("NotScored", 0), ("NonREM2", 30), ("NonREM3", 60), ("Wake", 180)],
         ["UNS", "N2"] + ["N3"] * 4),
        ([("NonREM4", 120), ("NonREM2", 150)], ["N3", "N2"]),
    ],
)  # fmt: skip
def test_stages_of_philips_sleepware(stages, found, tmp_path):
    hyp, onset = locate_hypnogram(write_alice(tmp_path / "s.rml", stages), None)
    assert (list(hyp.hypno), onset, hyp.start) == (found, float(stages[0][1]), None)


def test_stages_of_philips_sleepware_have_a_clock(tmp_path):
    path = write_alice(tmp_path / "s.rml", [("Wake", 30), ("REM", 60)], begin="2024-03-01T22:31:00")
    raw = make_raw(["ECG"], 64.0, 360.0, types="ecg", start=START)
    hyp, onset = locate_hypnogram(path, raw)
    assert onset == 90.0
    assert str(hyp.start) == "2024-03-01 22:31:30"
    assert locate_hypnogram(path, raw.copy().set_meas_date(None))[1] == 30.0


@pytest.mark.parametrize(
    ("stages", "changes", "message"),
    [
        ([("Wake", 0), ("REM", 60)], {"staging": "OtherStaging"}, "has 0 stages of a scorer"),
        ([("Wake", 0), ("REM", 60)], {"session": "<Session/>" * 2}, "and 2 sessions"),
        ([("Wake", 60), ("REM", 30)], {}, "has the Start '30' of stage 2.*that increase"),
        ([("Wake", 0), ("REM", "soon")], {}, "has the Start 'soon' of stage 2"),
        ([("Wake", 30), ("REM", 60)], {"begin": "9999-12-31T23:59:59"}, "has the date 9999"),
    ],
)
def test_doubtful_files_of_philips_sleepware_are_refused(stages, changes, message, tmp_path):
    with pytest.raises(ValueError, match=message) as error:
        read_hypnogram(write_alice(tmp_path / "s.rml", stages, **changes))
    assert_clean(error.value)
