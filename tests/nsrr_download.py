"""A small download of NSRR: the seven cohorts in their layouts, with nights of ten minutes."""

from datetime import datetime, timedelta

import edfio
import numpy as np
from builders import make_wave

N_EPOCHS = 20
START = datetime(1985, 1, 1, 22, 31, 7)
"""Recordings of NSRR have no date, but a time of day."""
NAMES = {
    0: "Wake|0",
    1: "Stage 1 sleep|1",
    2: "Stage 2 sleep|2",
    3: "Stage 3 sleep|3",
    4: "Stage 4 sleep|4",
    5: "REM sleep|5",
    9: "Unscored|9",
}
TWIN_NAMES = {0: "W", 1: "N1", 2: "N2", 3: "N3", 4: "N3", 5: "R", 9: "NO STAGE"}
ECG_PAIR = {"ECG1": 64.0, "ECG2": 64.0}
EFFORTS = {"THOR EFFORT": 16.0, "ABDO EFFORT": 16.0, "SUM": 16.0}
RATES = {
    "shhs": {"SaO2": 1.0, "H.R.": 1.0, "ECG": 50.0, "THOR RES": 10.0, "ABDO RES": 10.0},
    "mesa": {"EKG": 64.0, "Thor": 16.0, "Abdo": 16.0, "EKG_Off": 1.0, "Pleth": 64.0, "HR": 1.0},
    "gamma": {"ECG": 50.0, "RIB CAGE": 50.0, "ABDOMEN": 50.0, "NASAL PRES": 50.0},
    "twin": {"EKG1-EKG2": 50.0, "Chest": 50.0, "Abd": 50.0, "SUM": 50.0},
    "cfs": {**ECG_PAIR, **EFFORTS, "PlethWV": 64.0, "PULSE": 1.0},
    "ccshs": {**ECG_PAIR, **EFFORTS, "PlethWV": 64.0, "PULSE": 1.0},
    "chat": {**ECG_PAIR, "Chest": 16.0, "ABD": 16.0, "Sum": 16.0, "PLETH": 64.0, "SAO2": 1.0},
    "mros": {"ECG L": 64.0, "ECG R": 64.0, "Thoracic": 16.0, "Abdominal": 16.0, "HR": 1.0},
}
"""Labels and rates in Hz; those of the cohorts are two to eight times as high."""
VISITS = {
    "shhs": {
        "shhs1": ("shhs1-200001", "shhs1-200002", "shhs1-200003"),
        "shhs2": ("shhs2-200001",),
    },
    "mesa": {"": ("mesa-sleep-0001", "mesa-sleep-0002", "mesa-sleep-0006")},
    "wsc": {
        "": (
            *("wsc-visit1-10119-nsrr", "wsc-visit2-10119-nsrr"),
            *("wsc-visit1-10191-nsrr", "wsc-visit3-46950-nsrr"),
        )
    },
    "cfs": {"": ("cfs-visit5-800002", "cfs-visit5-800010", "cfs-visit5-800017")},
    "ccshs": {"": ("ccshs-trec-1800001", "ccshs-trec-1800002", "ccshs-trec-1800003")},
    "chat": {
        "baseline": ("chat-baseline-300001", "chat-baseline-300002", "chat-baseline-300003"),
        "followup": ("chat-followup-300001",),
    },
    "mros": {
        "visit1": ("mros-visit1-aa0001", "mros-visit1-aa0002", "mros-visit1-aa0003"),
        "visit2": ("mros-visit2-aa0001",),
    },
}
"""Cohort -> folder of the visit -> ids."""
WITH_TWIN = ("wsc-visit1-10191-nsrr", "wsc-visit3-46950-nsrr")


def draw_stages(seed):
    """Draw a stage for each epoch, all of them once at least."""
    rng = np.random.default_rng(seed)
    return [0, 0, 1, 2, 3, 4, 5, 9, *rng.choice([0, 1, 2, 3, 5], N_EPOCHS - 8).tolist()]


def write_recording(path, rates, seed):
    """Write an EDF as NSRR's, without annotations."""
    path.parent.mkdir(parents=True, exist_ok=True)
    signals = [
        edfio.EdfSignal(
            1e3 * make_wave(sfreq, 30 * N_EPOCHS, 100 * seed + i),
            sfreq,
            label=label,
            physical_dimension="mV",
        )
        for i, (label, sfreq) in enumerate(rates.items())
    ]
    edfio.Edf(signals, starttime=START.time(), data_record_duration=1).write(path)
    return path


def set_physical_range(path, channel, low, high):
    """Change the physical range of a channel in the header of an EDF."""
    content = bytearray(path.read_bytes())
    n_channels = int(content[252:256])
    for offset, text in ((104, low), (112, high)):
        at = 256 + offset * n_channels + 8 * channel
        content[at : at + 8] = text.encode().ljust(8)
    path.write_bytes(content)
    return path


def write_xml(path, stages):
    """Write a scoring in NSRR's XML, stages in a row as one event."""
    path.parent.mkdir(parents=True, exist_ok=True)
    events, first = [], 0
    for i in range(1, len(stages) + 1):
        if i == len(stages) or stages[i] != stages[first]:
            events.append(("Stages|Stages", NAMES[stages[first]], 30 * first, 30 * (i - first)))
            first = i
    events.append(("Respiratory|Respiratory", "Hypopnea|Hypopnea", 95.5, 22.1))
    texts = "".join(
        f"<ScoredEvent><EventType>{kind}</EventType><EventConcept>{name}</EventConcept>"
        f"<Start>{start:.1f}</Start><Duration>{length:.1f}</Duration></ScoredEvent>\n"
        for kind, name, start, length in events
    )
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<PSGAnnotation><EpochLength>30</EpochLength>'
        f"<ScoredEvents>{texts}</ScoredEvents></PSGAnnotation>\n"
    )


def write_gamma(path, stages):
    """Write a scoring of WSC's Gamma studies."""
    rows = "".join(f"{i}\t{7 if s == 9 else s}\t7\n" for i, s in enumerate(stages, start=1))
    path.write_text(f"Epoch\tUser-Defined Stage\tCAST-Stage\n{rows}")


def write_twin(path, stages):
    """Write a scoring of WSC's Twin studies."""
    rows = [(0, "START RECORDING")]
    rows += [
        (30 * i, f"STAGE - {TWIN_NAMES[stage]}")
        for i, stage in enumerate(stages)
        if not i or stage != stages[i - 1]
    ]
    rows.append((30 * len(stages), "LIGHTS ON"))
    path.write_text(
        "".join(f"{START + timedelta(seconds=at):%H:%M:%S}.00\t{text}\r\n" for at, text in rows)
    )


def write_cohort(root, cohort, seed=0):
    """Write a cohort, and return the stages of each id."""
    folder = root / cohort / "polysomnography"
    found = {}
    for visit, ids in VISITS[cohort].items():
        for name in ids:
            seed += 1
            stages = found[name] = draw_stages(seed)
            if cohort == "wsc":
                is_twin = name in WITH_TWIN
                write_recording(folder / f"{name}.edf", RATES["twin" if is_twin else "gamma"], seed)
                if is_twin:
                    write_twin(folder / f"{name}.allscore.txt", stages)
                else:
                    write_gamma(folder / f"{name}.stg.txt", stages)
                continue
            path = folder / "edfs" / visit / f"{name}.edf"
            write_recording(path, RATES[cohort], seed)
            write_xml(folder / "annotations-events-nsrr" / visit / f"{name}-nsrr.xml", stages)
            if name == "chat-baseline-300001":  # as in some EDFs of CHAT
                set_physical_range(path, 0, "0", "0")
                set_physical_range(path, 2, "-1.2", "0")
    return found


def write_download(root):
    """Write all cohorts."""
    return {c: write_cohort(root, c, 100 * i) for i, c in enumerate(VISITS)}


def write_lists(folder, parts):
    """Write lists of ids, an id a line."""
    folder.mkdir()
    for part, ids in parts.items():
        (folder / f"{part}.txt").write_text("".join(f"{name}\n" for name in ids))
    return folder
