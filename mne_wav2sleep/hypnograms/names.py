"""What scorers and file formats call the stages of sleep, and YASA's names for them."""

import re

_STAGES = {
    "WAKE": r"w|wake|awake|wakefulness",
    "N1": r"n1|s1|nrem ?1",
    "N2": r"n2|s2|nrem ?2",
    # Rechtschaffen and Kales' stages 3 and 4 are N3 (AASM manual, 2007).
    "N3": r"n3|n4|s3|s4|nrem ?[34]",
    "REM": r"r|rem",
    "LIGHT": r"light|n1 n2",
    "DEEP": r"deep",
    "UNS": r"u|uns|unscored|unknown|not scored|no stage|",
    "ART": r"art|artefact|artifact|m|mt|movement|movement time",
}
"""What scorers and file formats call YASA's stages, in lower-case words."""

NUMBERS = {"0": "WAKE", "1": "N1", "2": "N2", "3": "N3", "4": "N3", "5": "REM", "6": "ART"}
"""Rechtschaffen and Kales' numbers, as EDF+ ("Sleep stage 4") and NSRR ("Stage 4 sleep|4") use."""

_SPELLED_OUT = r"stage (\w+) sleep|(?:sleep )?stage (.*)|(\w+) sleep"


def to_stage(label: str) -> str | None:
    """Name a stage as YASA does.

    Parameters
    ----------
    label : str
        What a scorer or a file calls it.

    Returns
    -------
    stage : str or None
        YASA's name; None if the label is no stage.

    Examples
    --------
    >>> to_stage("Sleep stage 4"), to_stage("Stage - N2"), to_stage("Obstructive apnea")
    ('N3', 'N2', None)
    """
    words = re.sub(r"[^a-z0-9]+", " ", str(label).split("|")[0].lower()).strip()
    spelled_out = re.fullmatch(_SPELLED_OUT, f"{words} " if words.endswith("stage") else words)
    if spelled_out:
        words = next(group for group in spelled_out.groups() if group is not None)
        if words.strip() in NUMBERS:
            return NUMBERS[words.strip()]
    elif not words:
        return "UNS" if str(label).strip() == "?" else None
    return next((s for s, names in _STAGES.items() if re.fullmatch(names, words.strip())), None)


def is_stage(label: str) -> bool:
    """Say whether an annotation is a sleep stage, or says that there is none.

    Parameters
    ----------
    label : str
        Its text.

    Returns
    -------
    found : bool
        Whether it is one of those that :func:`~mne_wav2sleep.hypnograms.reading.read_stages` reads; of words
        that may mean other things, such as ``"movement"``, only those that are spelled out.

    Examples
    --------
    >>> is_stage("Sleep stage ?"), is_stage("N2"), is_stage("movement"), is_stage("BAD_ecg")
    (True, True, False, False)
    """
    spelled_out = "stage" in str(label).lower()
    return to_stage(label) not in (None, "UNS", "ART") or (
        spelled_out and to_stage(label) is not None
    )
