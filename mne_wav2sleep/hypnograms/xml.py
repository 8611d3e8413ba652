"""Reading stages from XML files of Compumedics Profusion and NSRR."""

from pathlib import Path
from xml.etree import ElementTree

import yasa

from .events import make_hypnogram, read_events
from .names import NUMBERS


def read_xml(path: Path) -> tuple[yasa.Hypnogram, float]:
    """Read an XML file of Compumedics Profusion or NSRR.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    hyp : yasa.Hypnogram
        The stages.
    onset : float
        Seconds from the start of the recording to the first epoch.

    Raises
    ------
    ValueError
        If the file is not XML, declares entities, or has no stages per 30 s.
    """
    text = path.read_bytes()
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise ValueError(
            f"{path} declares entities, which are not read for security; files of stages need "
            "none. Remove them, or export the stages again."
        )
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 (no entities: refused above)
    except ElementTree.ParseError as error:
        raise ValueError(f"{path} is not well-formed XML: {error}. Export it again.") from error
    if root.find("SleepStages") is not None:
        return _read_profusion(root, path), 0.0
    concepts, starts, durations = (
        [event.findtext(tag) or "" for event in root.iter("ScoredEvent")]
        for tag in ("EventConcept", "Start", "Duration")
    )
    return read_events(starts, durations, concepts, str(path))


def _read_profusion(root: ElementTree.Element, path: Path) -> yasa.Hypnogram:
    """Read the stages of a Profusion file.

    YASA's own reader takes 9 for wake, but in NSRR's cohorts it is an unscored epoch.
    """
    codes = [(stage.text or "").strip() for stage in root.iter("SleepStage")]
    known = NUMBERS | {"9": "UNS"}
    length = root.findtext("EpochLength") or "none"
    if length.strip() not in ("30", "30.0") or not codes or not set(codes) <= set(known):
        raise ValueError(
            f"{path} has the EpochLength {length} and the stages {sorted(set(codes))}; it needs 30 "
            "s and stages 0 to 6 or 9. Export it again with epochs of 30 s."
        )
    return make_hypnogram([known[code] for code in codes])
