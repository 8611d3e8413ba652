"""Sleep stages: the labels of scorers and file formats, and YASA's names."""

import re
import unicodedata
from functools import cache, lru_cache

from .vocabulary import ADJECTIVES, DEPTHS, NREM, NUMBERS, PHASE, SLEEP, STAGE, WORDS

_STANDARD = re.compile(
    r"(?:sleep )?(?:stage )?"
    r"(?:[0-5wr]|[ns][1-4]|nrem ?[1-4]|wake|awake|wakefulness|rem|light|deep|n1 n2)(?: sleep)?"
)
_SHORT = re.compile(r"\w{1,4}|\w \w")
"""What follows the word "stage" in a label, as in "stage X" and "stage 1.5", not "stage shift"."""

_LONGEST = 80
"""Longest label of a stage, in characters; comments may be far longer."""


@cache
def _compile_parts() -> re.Pattern[str]:
    """Compile the pattern of a label when it is needed, as this takes 0.1 s."""
    return re.compile(
        rf"(?:(?P<before>{STAGE})(?: |$|(?=[ns]?\d))|(?P<word>{PHASE}|{SLEEP}) )?"
        rf"(?P<rest>(?P<core>.*?)(?: (?P<after>{STAGE})| (?P<end>(?:d[eiou]l? )?{SLEEP}))?)"
    )


def _invert(words: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Map each word to its stage."""
    return {
        word: stage for stage, lines in words.items() for line in lines for word in line.split(", ")
    }


_BY_WORD = _invert(WORDS)
_BY_ADJECTIVE = _invert({stage: (line,) for stage, line in ADJECTIVES.items()})


def normalize(label: str) -> str:
    """Normalize a label as the words of the vocabulary are.

    Parameters
    ----------
    label : str
        The label.

    Returns
    -------
    words : str
        Its words in lower case, without accents and types of markers, separated by single spaces;
        other alphabets are kept.

    Examples
    --------
    >>> normalize("Comment/Éveil  (AASM)")
    'eveil'
    """
    for encoding in () if label.isascii() else ("latin-1", "cp1252"):  # UTF-8 read as these
        try:
            label = label.encode(encoding).decode()
            break
        except UnicodeError:
            continue
    plain = unicodedata.normalize("NFKD", label)
    plain = "".join(c for c in plain if not unicodedata.combining(c)).lower()
    words = re.sub(r"[\W_]+", " ", plain).strip()
    # BrainVision's type of a marker, and names of the rules.
    return re.sub(r"^(?:comment|aasm|r ?k) (?=.)|(?<=.) (?:aasm|r ?k)$", "", words)


def parse_label(label: str) -> tuple[str | None, bool]:
    """Convert a label to a stage, and tell whether it names a stage by the word "stage".

    Parameters
    ----------
    label : str
        Label of a scorer or a file format.

    Returns
    -------
    stage : str or None
        As :func:`to_stage`.
    has_word : bool
        Whether the label contains the word, in any of the languages, and names a stage. An unknown
        stage is one short word, or a number, after the word; others are comments.

    Examples
    --------
    >>> parse_label("Sleep stage X"), parse_label("Stadium 2"), parse_label("N2")
    ((None, True), ('N2', True), ('N2', False))
    >>> parse_label("Stage shift")
    (None, False)
    """
    label = str(label)
    return (None, False) if len(label) > _LONGEST else _parse(label)


@lru_cache(4096)  # a night has thousands of labels, but few different ones
def _parse(label: str) -> tuple[str | None, bool]:
    """Convert a short label."""
    # EDF+ appends a channel, NSRR and Profusion a code; a legend gives the number first.
    text = re.split(r"\||@@", label)[0]
    text = re.sub(r"^\s*\d\s*[=:]", "", text)
    words = normalize(text)
    parts = _compile_parts().fullmatch(words)
    assert parts is not None  # noqa: S101 (for mypy: every part is optional)
    core = parts["core"]
    is_named = bool(parts["before"] and _SHORT.fullmatch(core))
    if re.search(r"\s-\d", text):  # "stage -1"
        return None, is_named
    is_stage = bool(parts["before"] or parts["after"])
    stage = _BY_WORD.get(words) or _BY_WORD.get(parts["rest"]) or _BY_WORD.get(core)
    if stage is None and core and (is_stage or parts["word"] or parts["end"]):
        stage = _BY_ADJECTIVE.get(core)
    if stage is None and is_stage:
        stage = NUMBERS.get(core) or DEPTHS.get(core)
    if stage is None and (depth := re.fullmatch(rf"(?:{NREM})(?P<depth>.+)", core)):
        stage = DEPTHS.get(depth["depth"])
    if stage is None and (depth := re.fullmatch(r"[ns](?P<depth>[1-4].*)", core)):
        stage = DEPTHS.get(depth["depth"])
    if not core and (parts["before"] or text.strip() == "?"):
        stage = "UNS"
    return stage, is_named if stage is None else is_stage or "stage" in label.lower()


def to_stage(label: str) -> str | None:
    """Convert the label of a stage to YASA's name.

    Parameters
    ----------
    label : str
        Label of a scorer or a file format.

    Returns
    -------
    stage : str or None
        YASA's name; None if the label is not that of a stage.

    Examples
    --------
    >>> to_stage("Sleep stage 4"), to_stage("Non-REM 2"), to_stage("Obstructive apnea")
    ('N3', 'N2', None)
    """
    return parse_label(label)[0]


def is_standard(label: str) -> bool:
    """Check whether the label of a stage is one of the AASM, EDF+, NSRR or YASA.

    Parameters
    ----------
    label : str
        Label of a scorer or a file format.

    Returns
    -------
    standard : bool
        Whether it is, so that no language or system had to be guessed.

    Examples
    --------
    >>> is_standard("Sleep stage 2"), is_standard("REM sleep|5"), is_standard("Wach")
    (True, True, False)
    """
    return _STANDARD.fullmatch(normalize(label.split("|")[0])) is not None


def is_stage(label: str) -> bool:
    """Check whether an annotation is that of a sleep stage, or of an unscored epoch.

    Parameters
    ----------
    label : str
        Description of the annotation.

    Returns
    -------
    found : bool
        Whether :func:`~mne_wav2sleep.read_hypnogram` takes it for a stage. Words that may mean
        something else, such as ``"movement"``, only count after the word "stage".

    Examples
    --------
    >>> is_stage("Sleep stage ?"), is_stage("N2"), is_stage("movement"), is_stage("BAD_ecg")
    (True, True, False, False)
    """
    stage, is_spelled_out = parse_label(label)
    return stage is not None and (stage not in ("UNS", "ART") or is_spelled_out)
