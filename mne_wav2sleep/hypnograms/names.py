"""Sleep stages: the labels of scorers and file formats, and YASA's names."""

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
    "ART": r"art|art[ei]fact|m|mt|movement|movement time",
}
"""YASA's name -> pattern of the labels of scorers and file formats, in lower case."""

NUMBERS = {"0": "WAKE", "1": "N1", "2": "N2", "3": "N3", "4": "N3", "5": "REM", "6": "ART"}
"""Rechtschaffen and Kales' numbers, as EDF+ ("Sleep stage 4") and NSRR ("Stage 4 sleep|4") use."""

_SPELLED_OUT = r"stage (\w+) sleep|(?:sleep )?stage (.*)|(\w+) sleep"


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
    spelled_out = "stage" in str(label).lower()
    return to_stage(label) not in (None, "UNS", "ART") or (
        spelled_out and to_stage(label) is not None
    )
