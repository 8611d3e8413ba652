"""Match channel labels to the vocabulary of modalities and lookalikes."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache, lru_cache

from ..modalities import COMMON_WORDS, MODALITIES, Modality, is_built_in
from .vocabulary import LOOKALIKES

_N_CACHED = 4096
"""Number of labels for which results are cached, since every modality asks for each label again."""


@lru_cache(_N_CACHED)
def normalize_label(label: str) -> str:
    """Normalize a channel label, as the words of the vocabulary are.

    Parameters
    ----------
    label : str
        The label in the file.

    Returns
    -------
    normal : str
        The label in lower case, with mojibake repaired, accents and punctuation removed, and words
        separated by single spaces.

    Examples
    --------
    >>> normalize_label("EKG1-EKG2")
    'ekg1 ekg2'
    >>> normalize_label("ECG Impédance") == normalize_label("ECG ImpÃ©dance")
    True
    >>> normalize_label("PlethWV"), normalize_label("H.R.")
    ('pleth wv', 'hr')
    """
    for encoding in ("latin-1", "cp1252"):
        try:
            label = label.encode(encoding).decode("utf-8")
            break
        except UnicodeError:
            continue
    plain = unicodedata.normalize("NFKD", label).replace("\N{GREEK SMALL LETTER MU}", "u")
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    # Initials form one word: H.R., E.C.G.
    plain = re.sub(r"(?<![^\W_])([A-Za-z])\.(?=[A-Za-z](?![^\W_]))", r"\1", plain)
    # Words may be separated only by capitals: HeartRate, RIPThora, PlethWV, but not SpO2.
    plain = re.sub(
        r"(?<=[a-z])(?=[A-Z][a-z])|(?<=[A-Z]{2})(?=[A-Z][a-z]{2})|(?<=[a-z]{2})(?=[A-Z])",
        " ",
        plain,
    )
    return re.sub(r"[^a-z0-9]+", " ", plain.lower()).strip()


@cache
def _compile(names: tuple[str, ...], qualifiers: tuple[str, ...]) -> re.Pattern[str]:
    """Compile a pattern for one word of a label: a name with a number, or a qualifier."""

    def one_of(words: Iterable[str]) -> str:
        return "|".join(sorted(words, key=len, reverse=True)).replace(" ", " ?")

    # A name may be joined to the next word (Brustgurt, EKG1EKG2); a qualifier must end at a word
    # boundary.
    return re.compile(
        rf"(?P<name>{one_of(names)})(?=\d|\b|{one_of(names + qualifiers)})"
        r"(?P<number>(?<!\d)\d)? ?"  # E12 is not E1
        rf"|(?P<qualifier>(?:{one_of(qualifiers)})(?:(?<!\d)\d)?|\b\d)\b ?"
    )


def is_whole_label(label: str, modality: str) -> bool:
    """Return whether a label is one of the whole labels of a modality.

    Parameters
    ----------
    label : str
        The label in the file, possibly with the number that MNE appends to duplicate labels.
    modality : str
        The modality.

    Returns
    -------
    is_whole : bool
        Whether the label is in ``Vocabulary.labels``.
    """
    return re.sub(r" \d$", "", normalize_label(label)) in MODALITIES[modality].vocabulary.labels


def list_qualifiers(label: str, modality: str, *, unplaced: bool = False) -> tuple[str, ...] | None:
    """List the words of a label that do not name the modality.

    Parameters
    ----------
    label : str
        The label in the file.
    modality : str
        The modality.
    unplaced : bool
        Whether to match the names of signals at an unknown position instead.

    Returns
    -------
    qualifiers : tuple of str or None
        The other words and numbers in the label; None if the label does not match the modality.
    """
    text = normalize_label(label)
    vocabulary = MODALITIES[modality].vocabulary
    names = vocabulary.unplaced if unplaced else vocabulary.names
    qualifiers = COMMON_WORDS + vocabulary.qualifiers
    if not unplaced and is_whole_label(label, modality):
        return ()
    words = list(_compile(names, qualifiers).finditer(text)) if names else []
    if "".join(word.group() for word in words) != text or not any(word["name"] for word in words):
        return None
    found = (word["qualifier"] or word["number"] for word in words)
    return tuple(word for word in found if word)


@lru_cache(_N_CACHED)
def find_modality(label: str, added: tuple[Modality, ...] = ()) -> str | None:
    """Find the modality that a label names.

    Parameters
    ----------
    label : str
        The label in the file.
    added : tuple of Modality
        Modalities that are not built in, and are considered as well.

    Returns
    -------
    modality : str or None
        A key of :data:`mne_wav2sleep.modalities.MODALITIES`; None if the label names none. A label
        that names a built-in modality does not name an added one.

    Examples
    --------
    >>> find_modality("EKG1-EKG2"), find_modality("Bauchgurt"), find_modality("ECG Quality")
    ('ECG', 'ABD', None)
    """
    names = [name for name in MODALITIES if is_built_in(name)] + [one.name for one in added]
    return next((name for name in names if list_qualifiers(label, name) is not None), None)


@lru_cache(_N_CACHED)
def find_lookalike(label: str, added: tuple[Modality, ...] = ()) -> str | None:
    """Find what a channel measures if its label only resembles that of a modality.

    Parameters
    ----------
    label : str
        The label in the file.
    added : tuple of Modality
        Modalities that are not built in, and are considered as well.

    Returns
    -------
    kind : str or None
        A key of :data:`mne_wav2sleep.recordings.vocabulary.LOOKALIKES`; None if the label names a
        modality, or contains no word of a lookalike.

    Examples
    --------
    >>> find_lookalike("ECG Impédance"), find_lookalike("Pulse"), find_lookalike("Pulse Waveform")
    ('an impedance', 'a rate', None)
    """
    if find_modality(label, added):
        return None
    words = normalize_label(label).split()
    return next(
        (
            kind
            for kind, patterns in LOOKALIKES.items()
            if not any(kind in one.allowed_lookalikes for one in added)
            and any(fnmatchcase(word, pattern) for word in words for pattern in patterns)
        ),
        None,
    )


def check_ch_names(
    ch_names: object, modalities: Collection[str] | None = None, who: str = "networks read"
) -> None:
    """Check that an argument maps modalities to channels, without a recording.

    Parameters
    ----------
    ch_names : object
        The argument, which may be None.
    modalities : collection of str or None
        The modalities that it may have; None for all that are known.
    who : str
        Whose modalities these are, for messages.

    Raises
    ------
    TypeError, ValueError
        If it is not a mapping, or has something else than these modalities.
    """
    if ch_names is None:
        return
    if not isinstance(ch_names, Mapping):
        raise TypeError(
            "ch_names must be a mapping of modalities to channels, such as {'ECG': 'EKG'}, got "
            f"{ch_names!r}."
        )
    advice = "Remove the entry, or use other weights."
    if modalities is None:
        modalities = MODALITIES
        advice = "Remove the entry, or define the signal first with add_modality."
    if unknown := sorted(map(str, set(ch_names) - set(modalities))):
        meant = [name for name in modalities if name == unknown[0].strip().upper()]
        raise ValueError(
            f"ch_names contains {', '.join(unknown)}, but {who} only "
            f"{', '.join(sorted(modalities))}. " + (f"Write {meant[0]!r}." if meant else advice)
        )
