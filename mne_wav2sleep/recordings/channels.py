"""Which channel feeds which modality, why, and what else was possible."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache

import mne
import pandas as pd

from ..cautions import warn
from ..modalities import LOOKALIKES, MODALITIES, Modality

# Types that readers give to channels of which they know nothing.
_TYPES_OF_ANYTHING = ("eeg", "misc", "bio")
# A type that one modality alone may have says by itself what a channel is.
_TELLING_TYPES = {
    kind
    for kind, count in Counter(k for m in MODALITIES.values() for k in m.mne_types).items()
    if count == 1
}
_OVERRULE = {
    name: f"{name.lower().replace('-', '_')}_name" for name in MODALITIES
}  # the stager's parameter

_SHOWN = 8
"""Channels that a warning names."""

ChannelName = str | tuple[str, str] | None


@dataclass(frozen=True, order=True)
class _Candidate:
    """A channel that could feed a modality, ordered by its fields, False before True."""

    unplaced: bool
    untyped: bool
    unlabelled: bool
    weak: bool  # a lead's name alone, or one electrode of a pair
    n_words_beside: int
    electrode: int  # its place in the list of the modality's electrodes, 0 if it is none
    position: int
    channel: str = field(compare=False)


def normalize_label(label: str) -> str:
    """Bring a channel label into the form in which the vocabulary is written.

    Parameters
    ----------
    label : str
        The label as the file has it.

    Returns
    -------
    normal : str
        Lower case, mojibake and accents removed, words apart by one space.

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
    # Initials are one word: H.R., E.C.G.
    plain = re.sub(r"(?<![^\W_])([A-Za-z])\.(?=[A-Za-z](?![^\W_]))", r"\1", plain)
    # Capitals hide word breaks: HeartRate, RIPThora, PlethWV, but not SpO2.
    plain = re.sub(
        r"(?<=[a-z])(?=[A-Z][a-z])|(?<=[A-Z]{2})(?=[A-Z][a-z]{2})|(?<=[a-z]{2})(?=[A-Z])",
        " ",
        plain,
    )
    return re.sub(r"[^a-z0-9]+", " ", plain.lower()).strip()


@cache
def _vocabulary(names: tuple[str, ...], beside: tuple[str, ...]) -> re.Pattern[str]:
    """Compile an expression for one word of a label: a name with its number, or one beside it."""

    def one_of(words: Iterable[str]) -> str:
        return "|".join(sorted(words, key=len, reverse=True)).replace(" ", " ?")

    # A name may run into the next word (Brustgurt, EKG1EKG2); a word beside it ends where it ends.
    return re.compile(
        rf"(?P<name>{one_of(names)})(?=\d|\b|{one_of(names + beside)})"
        r"(?P<number>(?<!\d)\d)? ?"  # E12 is not E1
        rf"|(?P<beside>(?:{one_of(beside)})(?:(?<!\d)\d)?|\b\d)\b ?"
    )


def _is_whole_label(label: str, modality: Modality) -> bool:
    """Say whether the label, without the number that MNE gives to doublets, is one of those."""
    return re.sub(r" \d$", "", normalize_label(label)) in modality.labels


def _words_beside(
    label: str, modality: Modality, *, unplaced: bool = False
) -> tuple[str, ...] | None:
    """List the words beside the names in a label of the modality, None for any other label."""
    text = normalize_label(label)
    names = modality.unplaced if unplaced else modality.names
    if not unplaced and _is_whole_label(label, modality):
        return ()
    words = list(_vocabulary(names, modality.beside).finditer(text)) if names else []
    if "".join(word.group() for word in words) != text or not any(word["name"] for word in words):
        return None
    found = (word["beside"] or word["number"] for word in words)
    return tuple(word for word in found if word)


def find_modality(label: str) -> str | None:
    """Say which modality a label names, or None.

    Parameters
    ----------
    label : str
        The label as the file has it.

    Returns
    -------
    name : str or None
        A key of :data:`mne_wav2sleep.modalities.MODALITIES`.

    Examples
    --------
    >>> find_modality("EKG1-EKG2"), find_modality("Bauchgurt"), find_modality("ECG Quality")
    ('ECG', 'ABD', None)
    """
    return next((m.name for m in MODALITIES.values() if _words_beside(label, m) is not None), None)


def find_lookalike(label: str) -> str | None:
    """Say what a channel is that must not be taken for a signal, or None.

    Parameters
    ----------
    label : str
        The label as the file has it.

    Returns
    -------
    what : str or None
        A key of :data:`mne_wav2sleep.modalities.LOOKALIKES`.

    Examples
    --------
    >>> find_lookalike("ECG Impédance"), find_lookalike("Pulse"), find_lookalike("Pulse Waveform")
    ('an impedance', 'a rate', None)
    """
    if find_modality(label):
        return None
    words = normalize_label(label).split()
    return next(
        (
            what
            for what, patterns in LOOKALIKES.items()
            if any(fnmatchcase(word, pattern) for word in words for pattern in patterns)
        ),
        None,
    )


def _candidates(raw: mne.io.BaseRaw, modality: Modality, *, bads: bool = False) -> list[_Candidate]:
    """All channels that could feed a modality, best first; with those marked bad, or without."""
    found = []
    for position, (channel, kind) in enumerate(
        zip(raw.ch_names, raw.get_channel_types(), strict=True)
    ):
        typed = kind in modality.mne_types
        if not (typed or kind in _TYPES_OF_ANYTHING):
            continue
        if channel in raw.info["bads"] and not bads:
            continue
        named = find_modality(channel)
        if named not in (None, modality.name) or find_lookalike(channel):
            continue
        beside = _words_beside(channel, modality)
        unplaced = beside is None and bool(modality.unplaced)
        if unplaced:
            beside = _words_beside(channel, modality, unplaced=True)
        if beside is None and not (typed and (unplaced or kind in _TELLING_TYPES)):
            continue
        words = beside or ()
        sites = [word for word in words if word in modality.electrodes]
        electrode = 1 + modality.electrodes.index(sites[0]) if len(sites) == 1 else 0
        found.append(
            _Candidate(
                unplaced=unplaced,
                untyped=not typed,
                unlabelled=beside is None,
                weak=electrode > 0 or _is_whole_label(channel, modality),
                n_words_beside=len(words),
                electrode=electrode,
                position=position,
                channel=channel,
            )
        )
    return sorted(found)


def _reason(best: _Candidate, candidates: Sequence[_Candidate], kind: str) -> str:
    """Why the best of the candidates was taken, in words."""
    signs = [] if best.unlabelled else [f"label {best.channel!r}"]
    signs += [] if best.untyped else [f"MNE type {kind!r}"]
    reason = " and ".join(signs)
    if best.unplaced:
        return f"belt of unknown place ({reason}), taken as THX"
    second = [c.channel for c in candidates if c.electrode and c is not best]
    if best.electrode and second:
        reason += (
            f"; {second[0]!r} looks like a second electrode, and "
            f"ecg_name={(best.channel, second[0])} would take their difference"
        )
    return reason


def electrodes(channel: str | tuple[str, str]) -> tuple[str, ...]:
    """Names of the one or two channels that a mapped channel is made of."""
    return (channel,) if isinstance(channel, str) else tuple(channel)


def _named(
    raw: mne.io.BaseRaw, modality: str, name: str | tuple[str, str]
) -> str | tuple[str, str]:
    """Check a channel, or a pair of them, that the user named."""
    names = electrodes(name) if isinstance(name, str | tuple | list) else ()
    if (
        len(names) not in ((1, 2) if modality == "ECG" else (1,))
        or not all(isinstance(channel, str) for channel in names)
        or "auto" in names
    ):
        raise ValueError(
            f"{_OVERRULE[modality]} must be one channel name"
            + (" or a pair of them" if modality == "ECG" else "")
            + f", 'auto' or None, got {name!r}."
        )
    for channel in names:
        if channel not in raw.ch_names:
            plain = {name.strip().lower(): name for name in raw.ch_names}
            close = get_close_matches(channel.strip().lower(), plain, n=1)
            hint = f"Did you mean {plain[close[0]]!r}? " if close else ""
            raise ValueError(
                f"{_OVERRULE[modality]} names the channel {channel!r}, which the recording does "
                f"not have. {hint}Its channels are: {', '.join(map(repr, raw.ch_names))}."
            )
    if len(set(names)) < len(names):
        raise ValueError(
            f"{_OVERRULE[modality]} names {names[0]!r} twice; the difference of a channel and "
            "itself is flat. Name two different electrodes."
        )
    return names[0] if len(names) == 1 else (names[0], names[1])


def _doubts(raw: mne.io.BaseRaw, modality: str, name: str | tuple[str, str]) -> list[str]:
    """List what speaks against a channel, or a pair of them, that the user named."""
    doubts = []
    for channel in electrodes(name):
        if what := find_lookalike(channel):
            doubts.append(f"{channel!r} looks like {what}")
        if (other := find_modality(channel)) not in (None, modality):
            doubts.append(f"{channel!r} is labelled as {other}")
        if channel in raw.info["bads"]:
            doubts.append(f"{channel!r} is marked bad")
    return doubts


def _warn_of_bad(
    raw: mne.io.BaseRaw, modality: Modality, candidates: Sequence[_Candidate], named: set[str]
) -> None:
    """Warn where the channel that fits a modality best is passed over, as it is marked bad."""
    fitting = [c for c in _candidates(raw, modality, bads=True) if c.channel not in named]
    if not fitting or fitting[0].channel not in raw.info["bads"]:
        return
    bad = fitting[0].channel
    instead = f"{candidates[0].channel!r} is taken instead" if candidates else "nothing else fits"
    warn(
        f"{modality.name}: {bad!r} is marked bad and not used; {instead}. Name it, "
        f"{_OVERRULE[modality.name]}={bad!r}, or take it out of raw.info['bads'], to use it."
    )


def _warn_of_no_heart(
    raw: mne.io.BaseRaw, wanted: Sequence[str], found: Collection[str], known: Collection[str]
) -> None:
    """Warn where belts alone were recognised, beside channels that may be a heart's."""
    hearts = [modality for modality in ("ECG", "PPG") if modality in wanted]
    others = [
        name
        for name in raw.ch_names
        if name not in known and not find_lookalike(name) and not find_modality(name)
    ]
    if hearts and others and not set(hearts) & set(found):
        shown = ", ".join(map(repr, others[:_SHOWN])) + (", ..." if others[_SHOWN:] else "")
        arguments = " and ".join(f"{_OVERRULE[heart]}=None" for heart in hearts)
        warn(
            f"No {' or '.join(hearts)} was recognised, and the night is staged from "
            f"{' and '.join(sorted(found))} alone. If one is among {shown}, name it, "
            f"{_OVERRULE[hearts[0]]}='NAME OF THE CHANNEL'; if there is none, give {arguments}."
        )


def match_channels(
    raw: mne.io.BaseRaw,
    *,
    names: Mapping[str, ChannelName] | None = None,
    modalities: Sequence[str] = ("ABD", "ECG", "PPG", "THX"),
) -> pd.DataFrame:
    """Find the channels that carry heart and breathing.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording. Only its channel names, types and bad channels are looked at.
    names : mapping of str to str, (str, str) or None, optional
        Modality -> channel name, ``"auto"``, None to leave the modality out, or, for ECG, a pair
        of names whose difference is taken. What is not named is ``"auto"``.
    modalities : sequence of str
        Modalities to look for.

    Returns
    -------
    channels : pandas.DataFrame
        One row per modality found, indexed by ``modality``, with the columns ``channel`` (a name,
        or the pair of names given), ``reason``, ``sfreq`` (Hz) and ``alternatives`` (a list of
        other channels that fit).

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind, a named channel does not exist or is named twice, or no
        channel fits.

    Notes
    -----
    A label counts if one of its words names the modality and all others are known to stand beside
    such a name (the package's ``modalities``); a label with an unknown word is passed over. So
    are bad channels, channels whose MNE type and label disagree, and lookalikes whatever their
    type: rates, SpO2, impedances, status channels, sums, flows, pressures, thermistors. A channel
    that is named for one modality is no longer a candidate for another.

    Among several channels the first in this order is taken, and the others are its alternatives:

    1. a belt whose place is known before one of unknown place, which counts as THX;
    2. a channel of MNE type ``ecg`` or ``resp`` before one that only its label speaks for;
    3. a label that names the modality before one that says nothing;
    4. a channel named ECG, or a pair, before a lead's name alone (V1) and before one electrode of
       a pair (ECG L, ECG1), whose difference ``names`` can ask for;
    5. the label with the fewest words beside the name;
    6. electrode 1 before 2, left before right;
    7. the channel that comes first in the recording.

    Examples
    --------
    >>> import mne, numpy as np
    >>> info = mne.create_info(["EKG", "Thor", "Heart Rate"], 100.0, "eeg")
    >>> raw = mne.io.RawArray(np.zeros((3, 10)), info, verbose="error")
    >>> match_channels(raw)["channel"].to_dict()
    {'ECG': 'EKG', 'THX': 'Thor'}
    """
    if not isinstance(raw, mne.io.BaseRaw):
        raise TypeError(
            f"raw must be an mne.io.Raw, got {type(raw).__name__}. Open a file with "
            "mne.io.read_raw, or ask SleepStagerW2S(file).channels or `mne-wav2sleep channels`."
        )
    if not isinstance(names, Mapping | None):
        raise TypeError(
            f"names must map modalities to channels, such as {{'ECG': 'EKG'}}, got {names!r}."
        )
    if isinstance(modalities, str) or not modalities or not set(modalities) <= set(MODALITIES):
        raise ValueError(
            f"modalities must be a list of some of {', '.join(MODALITIES)}, got {modalities!r}."
        )
    names = dict(names or {})
    if unknown := sorted(set(names) - set(modalities)):
        raise ValueError(f"Channels named for {unknown}; the network reads {sorted(modalities)}.")
    wanted = [m for m in sorted(modalities) if names.get(m, "auto") is not None]
    if not wanted:
        raise ValueError(
            f"All of {', '.join(sorted(modalities))} are left out, so there is nothing to stage. "
            "Leave at least one of them to 'auto', or name a channel for it."
        )
    named = {m: _named(raw, m, n) for m, n in names.items() if n is not None and n != "auto"}
    named_channels = {channel for name in named.values() for channel in electrodes(name)}
    types = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
    rows: dict[str, tuple[str | tuple[str, str], str, list[str]]] = {}
    for modality in wanted:
        candidates = _candidates(raw, MODALITIES[modality])
        channel: str | tuple[str, str]
        if modality in named:
            channel = named[modality]
            doubts = _doubts(raw, modality, channel)
            reason = ", though ".join(["named by the user", *doubts])
            if doubts:
                warn(
                    f"{_OVERRULE[modality]} names a channel, though {' and '.join(doubts)}. It is "
                    "used as you say; look at it (stager.plot_signals), and name another if it is "
                    "not what you want."
                )
        else:
            candidates = [c for c in candidates if c.channel not in named_channels]
            _warn_of_bad(raw, MODALITIES[modality], candidates, named_channels)
            if not candidates:
                continue
            channel = candidates[0].channel
            reason = _reason(candidates[0], candidates, types[channel])
        others = [c.channel for c in candidates if c.channel not in electrodes(channel)]
        rows[modality] = (channel, reason, others)
    if not rows:
        raise ValueError(
            f"No channel for {', '.join(wanted)} was recognised. The recording has: "
            f"{', '.join(map(repr, raw.ch_names))}"
            + (f" (bad: {', '.join(raw.info['bads'])})" if raw.info["bads"] else "")
            + f". Name one, for example {_OVERRULE[wanted[0]]}='NAME OF THE CHANNEL'."
        )
    used = [name for row in rows.values() for name in electrodes(row[0])]
    if twice := sorted({name for name in used if used.count(name) > 1}):
        raise ValueError(
            f"The channel {twice[0]!r} would feed more than one modality: "
            f"{[m for m, row in rows.items() if twice[0] in electrodes(row[0])]}. Name another, or "
            "None, for all but one of them."
        )
    known = {*used, *(name for row in rows.values() for name in row[2])}
    _warn_of_no_heart(raw, wanted, rows, known)
    return pd.DataFrame(
        {
            "channel": [row[0] for row in rows.values()],
            "reason": [row[1] for row in rows.values()],
            "sfreq": float(raw.info["sfreq"]),
            "alternatives": [row[2] for row in rows.values()],
        },
        index=pd.Index(list(rows), name="modality"),
    )
