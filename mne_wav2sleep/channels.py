"""Which channel feeds which modality, why, and what else was possible."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mne
import pandas as pd

from .modalities import LOOKALIKES, MODALITIES, Modality

_TYPES_READ_BY_LABEL = ("eeg", "misc", "bio", "ecg", "resp", "eog")
_OVERRULE = {
    name: f"{name.lower().replace('-', '_')}_name" for name in MODALITIES
}  # the stager's parameter

ChannelName = str | tuple[str, str] | None


@dataclass(frozen=True)
class _Candidate:
    """A channel that could feed a modality; the lower the rank, the better."""

    rank: tuple[int, int]
    channel: str
    reason: str


def normalize_label(label: str) -> str:
    """Bring a channel label into the form in which the vocabulary is written.

    Parameters
    ----------
    label : str
        The label as the file has it.

    Returns
    -------
    normal : str
        Lower case, mojibake and accents removed, a space for every run of other characters.

    Examples
    --------
    >>> normalize_label("EKG1-EKG2")
    'ekg1 ekg2'
    >>> normalize_label("ECG ImpÃ©dance")
    'ecg impedance'
    """
    for encoding in ("latin-1", "cp1252"):
        try:
            label = label.encode(encoding).decode("utf-8")
            break
        except UnicodeError:
            continue
    plain = unicodedata.normalize("NFKD", label)
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    # A label in capitals and lower case hides its word breaks: HeartRate, PlethWV.
    plain = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", plain)
    return re.sub(r"[^a-z0-9]+", " ", plain.lower()).strip()


def find_lookalike(label: str) -> str | None:
    """Say what a channel is that must not be taken for a signal, or None."""
    normal = normalize_label(label)
    return next((what for pattern, what in LOOKALIKES.items() if re.search(pattern, normal)), None)


def _matching_pattern(label: str, patterns: Sequence[str]) -> int | None:
    """Position of the first pattern that matches the whole label."""
    normal = normalize_label(label)
    # MNE numbers channels of one label: ECG-0, ECG-1.
    forms = (normal, normal.replace(" ", ""), re.sub(r" \d$", "", normal))
    for rank, pattern in enumerate(patterns):
        if any(re.fullmatch(pattern, form) for form in forms):
            return rank
    return None


def _candidates(raw: mne.io.BaseRaw, modality: Modality) -> list[_Candidate]:
    """All channels that could feed a modality, best first."""
    found = []
    others = [m for m in MODALITIES.values() if m is not modality]
    for position, (channel, kind) in enumerate(
        zip(raw.ch_names, raw.get_channel_types(), strict=True)
    ):
        readable = kind in _TYPES_READ_BY_LABEL or kind in modality.mne_types
        if channel in raw.info["bads"] or not readable or find_lookalike(channel):
            continue
        rank = _matching_pattern(channel, modality.labels)
        typed = kind in modality.mne_types
        # A belt that is typed "resp" and labelled as another modality is that other modality.
        foreign = any(_matching_pattern(channel, m.labels) is not None for m in others)
        if rank is not None and (typed or kind not in ("ecg", "resp")):
            reason = f"label {channel!r}" + (f" and MNE type {kind!r}" if typed else "")
            found.append(_Candidate((rank - 100 * typed, position), channel, reason))
        elif rank is not None and modality.name == "ABD" and kind == "resp":
            found.append(
                _Candidate((rank - 100, position), channel, f"label {channel!r}, MNE type 'resp'")
            )
        elif foreign:
            continue
        elif _matching_pattern(channel, modality.unplaced_labels) is not None or (
            typed and modality.unplaced_labels
        ):
            reason = f"belt of unknown place (label {channel!r}), taken as {modality.name}"
            found.append(_Candidate((200, position), channel, reason))
        elif typed:
            found.append(_Candidate((-50, position), channel, f"MNE type {kind!r}"))
    return sorted(found, key=lambda candidate: candidate.rank)


def electrodes(channel: str | tuple[str, str]) -> tuple[str, ...]:
    """Names of the one or two channels that a mapped channel is made of."""
    return (channel,) if isinstance(channel, str) else tuple(channel)


def _named(
    raw: mne.io.BaseRaw, modality: str, name: str | tuple[str, str]
) -> str | tuple[str, str]:
    """Check a channel, or a pair of them, that the user named."""
    names = electrodes(name) if isinstance(name, str | tuple | list) else ()
    if len(names) not in (1, 2) or (len(names) == 2 and modality != "ECG"):
        raise ValueError(
            f"{_OVERRULE[modality]} must be one channel name"
            + (" or a pair of them" if modality == "ECG" else "")
            + f", 'auto' or None, got {name!r}."
        )
    for channel in names:
        if channel not in raw.ch_names:
            raise ValueError(
                f"{_OVERRULE[modality]} names the channel {channel!r}, which the recording does "
                f"not have. Its channels are: {', '.join(map(repr, raw.ch_names))}."
            )
    if len(set(names)) < len(names):
        raise ValueError(
            f"{_OVERRULE[modality]} names {names[0]!r} twice; the difference of a channel and "
            "itself is flat. Name two different electrodes."
        )
    return names[0] if len(names) == 1 else (names[0], names[1])


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
    ValueError
        If a named channel does not exist, a channel is named twice, or no channel fits.

    Notes
    -----
    A channel of MNE type ``ecg`` or ``resp`` goes before one that only its label speaks for.
    Among labels, the order of the vocabulary in :mod:`mne_wav2sleep.modalities` decides, and then
    the order of the channels in the recording. Bad channels and lookalikes (rates, SpO2,
    impedances, status channels, sums, flows, pressures, thermistors) are never taken by
    themselves. One belt of unknown place counts as THX, where no other channel is THX.

    Examples
    --------
    >>> import mne, numpy as np
    >>> info = mne.create_info(["EKG", "Thor", "Heart Rate"], 100.0, "eeg")
    >>> raw = mne.io.RawArray(np.zeros((3, 10)), info, verbose="error")
    >>> match_channels(raw)["channel"].to_dict()
    {'ECG': 'EKG', 'THX': 'Thor'}
    """
    if not isinstance(raw, mne.io.BaseRaw):
        raise TypeError(f"raw must be an mne.io.Raw, got {type(raw).__name__}.")
    names = dict(names or {})
    if unknown := sorted(set(names) - set(modalities)):
        raise ValueError(f"Channels named for {unknown}; the network reads {sorted(modalities)}.")
    rows: dict[str, tuple[str | tuple[str, str], str, list[str]]] = {}
    for modality in sorted(modalities):
        name = names.get(modality, "auto")
        if name is None:
            continue
        candidates = _candidates(raw, MODALITIES[modality])
        if name == "auto":
            if not candidates:
                continue
            channel: str | tuple[str, str] = candidates[0].channel
            reason = candidates[0].reason
        else:
            channel, reason = _named(raw, modality, name), "named by the user"
            for electrode in electrodes(channel):
                if what := find_lookalike(electrode):
                    reason += f", though {electrode!r} looks like {what}"
                if electrode in raw.info["bads"]:
                    reason += f", though {electrode!r} is marked bad"
        others = [c.channel for c in candidates if c.channel not in electrodes(channel)]
        rows[modality] = (channel, reason, others)
    if not rows:
        raise ValueError(
            f"No channel for {', '.join(sorted(modalities))} was recognised. The recording has: "
            f"{', '.join(map(repr, raw.ch_names))}"
            + (f" (bad: {', '.join(raw.info['bads'])})" if raw.info["bads"] else "")
            + f". Name one, for example {_OVERRULE[sorted(modalities)[0]]}={raw.ch_names[0]!r}."
        )
    used = [name for row in rows.values() for name in electrodes(row[0])]
    if twice := sorted({name for name in used if used.count(name) > 1}):
        raise ValueError(
            f"The channel {twice[0]!r} would feed more than one modality: "
            f"{[m for m, row in rows.items() if twice[0] in electrodes(row[0])]}. Name another, or "
            "None, for all but one of them."
        )
    return pd.DataFrame(
        {
            "channel": [row[0] for row in rows.values()],
            "reason": [row[1] for row in rows.values()],
            "sfreq": float(raw.info["sfreq"]),
            "alternatives": [row[2] for row in rows.values()],
        },
        index=pd.Index(list(rows), name="modality"),
    )
