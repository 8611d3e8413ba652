"""Reading stages from XML files of Compumedics Profusion, NSRR and Philips Sleepware."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np
import yasa

from ..errors import quote, summarize_error
from ..modalities import EPOCH_S
from .events import make_hypnogram, read_events
from .files import check_number, date_hypnogram, load_bytes, replace_commas
from .names import NUMBERS

_ALICE = {"NotScored": "UNS", "NonREM1": "N1", "NonREM2": "N2", "NonREM3": "N3", "NonREM4": "N3"}
"""Names of stages in Philips Sleepware -> YASA's; others are read as all labels are."""


class _DoctypeError(Exception):
    """A document type, in which entities could be declared."""


def read_xml(path: Path) -> tuple[yasa.Hypnogram, float]:
    """Read an XML file of Compumedics Profusion, NSRR or Philips Sleepware (Alice's ``.rml``).

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    hyp : yasa.Hypnogram
        The stages, with a start if the file has one.
    onset : float
        Seconds from the start of the recording to the first epoch.

    Raises
    ------
    ValueError
        If the file is too large or not XML, declares entities, or has no stages per 30 s.
    """
    root = _parse(path)
    if root.find("SleepStages") is not None:
        return _read_profusion(root, path), 0.0
    if root.tag == "PatientStudy":
        return _read_alice(root, path)
    events = list(root.iter("ScoredEvent"))
    check_number(len(events), path)
    concepts, starts, durations = (
        [event.findtext(tag) or "" for event in events]
        for tag in ("EventConcept", "Start", "Duration")
    )
    return read_events(_to_numbers(starts), _to_numbers(durations), concepts, str(path))


def _parse(path: Path) -> ElementTree.Element:
    """Parse a file; its encoding does not matter to the refusal of entities."""

    def refuse(*_: object) -> None:
        raise _DoctypeError

    data = load_bytes(path)
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    # Entities can only be declared in a document type.
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)
    except _DoctypeError as error:
        raise ValueError(
            f"{path} declares entities or a document type, which are not read for security; files "
            "of stages need none. Remove them, or export the stages again."
        ) from error
    except (expat.ExpatError, LookupError, ValueError) as error:  # also unknown encodings
        raise ValueError(
            f"{path} is not well-formed XML: {summarize_error(error)}. Export it again."
        ) from error
    return builder.close()


def _to_numbers(texts: Sequence[str]) -> list[float | str]:
    """Convert seconds, which may be missing or have decimal commas, to numbers if they are any."""
    found: list[float | str] = []
    for text in replace_commas(texts):
        try:
            found.append(float(text) if text.strip() else float("nan"))
        except ValueError:  # an error only if it belongs to a stage
            found.append(text[:60])
    return found


def _read_profusion(root: ElementTree.Element, path: Path) -> yasa.Hypnogram:
    """Read the stages of a Profusion file.

    YASA's own reader takes 9 for wake, but in NSRR's cohorts it is an unscored epoch.
    """
    codes = [(stage.text or "").strip() for stage in root.iter("SleepStage")]
    check_number(len(codes), path)
    known = NUMBERS | {"9": "UNS"}
    length = root.findtext("EpochLength") or "none"
    if _to_numbers([length]) != [EPOCH_S] or not codes or not set(codes) <= set(known):
        raise ValueError(
            f"{path} has the EpochLength {quote(length)} and the stages "
            f"{quote(sorted(set(codes)))}; it needs 30 s and stages 0 to 6 or 9. Export it again "
            "with epochs of 30 s."
        )
    return make_hypnogram([known[code] for code in codes])


def _read_alice(root: ElementTree.Element, path: Path) -> tuple[yasa.Hypnogram, float]:
    """Read the stages of a scorer in a file of Philips Sleepware; each lasts until the next one."""
    stages = root.findall("ScoringData/StagingData/UserStaging/NeuroAdultAASMStaging/Stage")
    sessions = root.findall("Acquisition/Sessions/Session")
    if not stages or len(sessions) != 1:
        raise ValueError(
            f"{path} has {len(stages)} stages of a scorer (UserStaging, NeuroAdultAASMStaging) and "
            f"{len(sessions)} sessions; it needs stages, and one session. Score the recording by "
            "AASM's rules for adults, or export its stages as EDF+ or text."
        )
    check_number(len(stages), path)
    texts = [stage.get("Start", "") for stage in stages]
    starts = np.array([x if isinstance(x, float) else np.nan for x in _to_numbers(texts)])
    wrong = ~np.isfinite(starts) | (np.diff(starts, prepend=-np.inf) <= 0)
    if wrong.any():
        number = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{path} has the Start {quote(texts[number])} of stage {number + 1}; it needs seconds "
            "that increase. Export it again."
        )
    # The last stage lasts until the end, and often only marks it.
    (end,) = _to_numbers([sessions[0].findtext("Duration") or ""])
    durations = np.diff(starts, append=end if isinstance(end, float) else np.nan)
    durations[-1] -= durations[-1] % EPOCH_S
    kept = ~(durations <= 0)
    labels = [_ALICE.get(stage.get("Type", ""), stage.get("Type", "")) for stage in stages]
    labels = [label for label, is_kept in zip(labels, kept, strict=True) if is_kept]
    hyp, first = read_events(starts[kept], durations[kept], labels, str(path))
    try:
        begin = datetime.fromisoformat((sessions[0].findtext("RecordingStart") or "").strip())
    except ValueError:  # the stages are relative to the start, even if that is unknown
        return hyp, first
    return date_hypnogram(hyp, begin, first, path), first
