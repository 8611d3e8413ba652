"""Choose the channel that is used for each modality."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import mne
import pandas as pd

from ..cautions import warn
from ..modalities import (
    CARDIO_RESPIRATORY,
    MODALITIES,
    is_built_in,
    list_added,
    list_by_wave,
)
from ..verbosity import Verbosity, verbose
from .candidates import Candidate, find_candidates
from .labels import check_ch_names, find_lookalike, find_modality

_MISSING = ("na", "n/a", "nan", "null")
"""Names of channels, in lower case, by which a table may mean that there is no value."""
_N_SHOWN = 8
"""Maximum number of channels that a warning lists."""

ChannelName = str | tuple[str, str] | None


@dataclass(frozen=True)
class Channel:
    """A channel, or a pair of channels, that is used for a modality.

    Attributes
    ----------
    modality : str
        The modality.
    name : str or (str, str)
        Name of the channel, or of two channels whose difference is used.
    reason : str
        Why it was chosen.
    sfreq : float
        Sampling rate in Hz at which it is read.
    alternatives : tuple of str
        Other channels that match the modality.
    """

    modality: str
    name: str | tuple[str, str]
    reason: str
    sfreq: float
    alternatives: tuple[str, ...] = ()

    @property
    def electrodes(self) -> tuple[str, ...]:
        """Names of the one or two channels in the recording."""
        return (self.name,) if isinstance(self.name, str) else self.name

    @property
    def label(self) -> str:
        """The name as shown in figures and tables."""
        return " - ".join(self.electrodes)


def _suggest(modality: str, name: str | tuple[str, str] | None = "NAME OF THE CHANNEL") -> str:
    """Format the argument that selects a channel for a modality."""
    return f"ch_names={{{modality!r}: {name!r}}}"


def tabulate_channels(channels: Iterable[Channel]) -> pd.DataFrame:
    """Convert a mapping to a table.

    Parameters
    ----------
    channels : iterable of Channel
        The mapping.

    Returns
    -------
    table : pandas.DataFrame
        One row per modality, as in :func:`match_channels`.
    """
    channels = list(channels)
    index = pd.Index([channel.modality for channel in channels], name="modality")
    names = [channel.name for channel in channels]
    return pd.DataFrame(
        {
            # With pyarrow, texts of pandas cannot be names that are not Unicode.
            "channel": pd.Series(names, index, dtype=object),
            "reason": [channel.reason for channel in channels],
            "sfreq": [channel.sfreq for channel in channels],
            "alternatives": [list(channel.alternatives) for channel in channels],
        },
        index=index,
    )


@verbose
def match_channels(
    raw: mne.io.BaseRaw,
    *,
    ch_names: Mapping[str, ChannelName] | None = None,
    modalities: Sequence[str] = CARDIO_RESPIRATORY,
    verbose: Verbosity = None,
) -> pd.DataFrame:
    """Match channels to modalities by their labels and MNE types.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording. Only its channel names, types and bad channels are used.
    ch_names : mapping of str to str, (str, str) or None, optional
        Overrides the matching: modality -> channel name, ``"auto"``, None to exclude the modality,
        or, for ECG, a pair of names whose difference is used. Modalities that are not listed are
        ``"auto"``. A channel that is named here is not matched to another modality.
    modalities : sequence of str
        Modalities to match.
    verbose : bool, str, int or None
        MNE's verbosity.

    Returns
    -------
    channels : pandas.DataFrame
        One row per modality that was matched, indexed by ``modality``, with the columns
        ``channel`` (a name or a pair of names), ``reason``, ``sfreq`` (Hz) and ``alternatives``
        (a list of other channels that match).

    Raises
    ------
    TypeError
        If ``raw`` is not a Raw, or ``ch_names`` is not a mapping.
    ValueError
        If a named channel does not exist, or would be used twice, or if no channel matches.

    See Also
    --------
    SleepStagerW2S.channels : The mapping that is used for staging.

    Notes
    -----
    A label matches a modality if one of its words names the modality and all other words are known
    to occur with that name. If several channels match, they are ranked by these criteria, the
    most important first:

    1. a belt at a known position, before one at an unknown position;
    2. a channel of the modality's MNE type, before one of another type;
    3. a channel with a matching label, before one that matches by type only;
    4. a label that names the signal, before one that names only a lead or one electrode of a pair;
    5. the name that the vocabulary prefers, if the modality has such names;
    6. fewer other words in the label;
    7. the electrode that comes first in the vocabulary, such as ECG1 before ECG2;
    8. the order of the channels in the recording.

    Modalities that were added (:func:`~mne_wav2sleep.add_modality`) are matched only if they are
    among ``modalities``, and do not change which channels are chosen for the others.

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
            "mne.io.read_raw, or use SleepStagerW2S(file).channels or `mne-wav2sleep channels`."
        )
    return tabulate_channels(map_channels(raw, ch_names, modalities))


def map_channels(
    raw: mne.io.BaseRaw,
    ch_names: Mapping[str, ChannelName] | None = None,
    modalities: Collection[str] = CARDIO_RESPIRATORY,
) -> tuple[Channel, ...]:
    """Match channels to modalities, as in :func:`match_channels`.

    Parameters
    ----------
    raw, ch_names, modalities
        As in :func:`match_channels`.

    Returns
    -------
    channels : tuple of Channel
        One channel per modality that was matched, in alphabetical order of the modalities, at the
        sampling rate of the Raw.

    Raises
    ------
    TypeError, ValueError
        As in :func:`match_channels`.
    """
    named = _check_arguments(raw, ch_names, modalities)
    wanted = [m for m in sorted(modalities) if named.get(m, "auto") is not None]
    if not wanted:
        raise ValueError(
            f"All modalities ({', '.join(sorted(modalities))}) are excluded by None in ch_names, "
            "so there is nothing to stage. Set at least one to 'auto' or to the name of a channel."
        )
    taken = {one for name in named.values() if name is not None for one in _split(name)}
    found: list[Channel] = []
    for modality in sorted(wanted, key=lambda one: not is_built_in(one)):
        candidates = find_candidates(raw, modality)
        if not is_built_in(modality):  # what a built-in one uses, by its type, stays with it
            used = [one for one in found if is_built_in(one.modality)]
            taken |= {name for one in used for name in one.electrodes}
        name = named.get(modality)
        if name is not None:
            reason = _check_named(raw, modality, name)
        else:
            candidates = [c for c in candidates if c.channel not in taken]
            _warn_of_bad(raw, modality, candidates, taken)
            if not candidates:
                continue
            name = candidates[0].channel
            reason = _explain(modality, candidates[0], candidates, raw)
        others = tuple(c.channel for c in candidates if c.channel not in _split(name))
        found.append(Channel(modality, name, reason, float(raw.info["sfreq"]), others))
    found.sort(key=lambda channel: channel.modality)
    _check_found(raw, wanted, found)
    return tuple(found)


def _check_arguments(
    raw: mne.io.BaseRaw, ch_names: Mapping[str, ChannelName] | None, modalities: Collection[str]
) -> dict[str, str | tuple[str, str] | None]:
    """Check the arguments, and drop modalities that are "auto" from ``ch_names``."""
    if isinstance(modalities, str) or not modalities or not set(modalities) <= set(MODALITIES):
        raise ValueError(
            f"modalities must be a list of some of {', '.join(MODALITIES)}, got {modalities!r}."
        )
    check_ch_names(ch_names, modalities, "the network reads")
    return {
        modality: None if name is None else _check_name(raw, modality, name)
        for modality, name in (ch_names or {}).items()
        if name != "auto"
    }


def _split(name: str | tuple[str, str]) -> tuple[str, ...]:
    """Convert a channel name, or a pair of them, to a tuple."""
    return (name,) if isinstance(name, str) else tuple(name)


def _check_name(
    raw: mne.io.BaseRaw, modality: str, name: str | tuple[str, str]
) -> str | tuple[str, str]:
    """Check a channel, or a pair of them, that the user named."""
    names = _split(name) if isinstance(name, str | tuple | list) else ()
    if (
        not 1 <= len(names) <= 1 + MODALITIES[modality].is_difference
        or not all(isinstance(channel, str) for channel in names)
        or "auto" in names
    ):
        raise ValueError(
            f"The value of {modality!r} in ch_names must be a channel name"
            + (", a pair of channel names" if MODALITIES[modality].is_difference else "")
            + f", 'auto' or None, got {name!r}."
        )
    for channel in names:
        if channel not in raw.ch_names:
            plain = {name.strip().lower(): name for name in raw.ch_names}
            close = get_close_matches(channel.strip().lower(), plain, n=1)
            hint = f"Did you mean {plain[close[0]]!r}? " if close else ""
            if channel.strip().lower() in _MISSING:
                hint = (
                    f"In a table of nights, leave the cell empty if {channel!r} means that the "
                    f"channel is not known, and write none if there is no {modality}. "
                )
            raise ValueError(
                f"{_suggest(modality, channel)} names a channel that the recording does not have. "
                f"{hint}Its channels are: {', '.join(map(repr, raw.ch_names))}."
            )
    if len(set(names)) < len(names):
        raise ValueError(
            f"The pair for {modality} in ch_names contains {names[0]!r} twice, so that the "
            "difference would be zero. Name two different channels."
        )
    return names[0] if len(names) == 1 else (names[0], names[1])


def _explain(
    modality: str, best: Candidate, candidates: Sequence[Candidate], raw: mne.io.BaseRaw
) -> str:
    """Describe why the best candidate was chosen."""
    kind = raw.get_channel_types([best.position])[0]
    evidence = [] if best.unlabeled else [f"label {best.channel!r}"]
    evidence += [] if best.untyped else [f"MNE type {kind!r}"]
    reason = " and ".join(evidence)
    if best.unplaced:
        return f"belt at an unknown position ({reason}), used as {modality}"
    second = [c.channel for c in candidates if c.electrode and c is not best]
    if best.electrode and second and MODALITIES[modality].is_difference:
        reason += (
            f"; {second[0]!r} looks like a second electrode, and "
            f"{_suggest(modality, (best.channel, second[0]))} would use their difference"
        )
    return reason


def _check_named(raw: mne.io.BaseRaw, modality: str, name: str | tuple[str, str]) -> str:
    """Warn if a channel that the user named looks wrong, and return the reason of the mapping."""
    doubts = []
    added = list_added([modality])
    for channel in _split(name):
        if what := find_lookalike(channel, added):
            doubts.append(f"{channel!r} looks like {what}")
        if (other := find_modality(channel, added)) not in (None, modality):
            doubts.append(f"{channel!r} is labeled as {other}")
        if channel in raw.info["bads"]:
            doubts.append(f"{channel!r} is marked bad")
    if doubts:
        warn(
            f"{_suggest(modality, name)} was given, although {' and '.join(doubts)}. The channel "
            "is used as requested. Inspect it with stager.plot_signals, and name another channel "
            "if it is wrong."
        )
    return ", although ".join(["named by the user", *doubts])


def _warn_of_bad(
    raw: mne.io.BaseRaw, modality: str, candidates: Sequence[Candidate], taken: Collection[str]
) -> None:
    """Warn if the channel that matches a modality best is not used because it is marked bad."""
    matching = [c for c in find_candidates(raw, modality, bads=True) if c.channel not in taken]
    if not matching or matching[0].channel not in raw.info["bads"]:
        return
    bad = matching[0].channel
    instead = (
        f"{candidates[0].channel!r} is used instead" if candidates else "no other channel matches"
    )
    warn(
        f"{modality}: {bad!r} is marked bad and not used; {instead}. To use it, pass "
        f"{_suggest(modality, bad)}, or remove it from raw.info['bads']."
    )


def _check_found(raw: mne.io.BaseRaw, wanted: Sequence[str], found: Sequence[Channel]) -> None:
    """Reject a mapping that is empty or uses a channel twice; warn if it has no ECG or PPG."""
    if not found:
        raise ValueError(
            f"No channel for {', '.join(wanted)} was recognized. The channels of the recording "
            f"are: {', '.join(map(repr, raw.ch_names))}"
            + (f" (bad: {', '.join(raw.info['bads'])})" if raw.info["bads"] else "")
            + f". Name one, for example {_suggest(wanted[0])}."
        )
    used = [name for channel in found for name in channel.electrodes]
    if twice := sorted({name for name in used if used.count(name) > 1}):
        raise ValueError(
            f"The channel {twice[0]!r} would be used for more than one modality: "
            f"{', '.join(c.modality for c in found if twice[0] in c.electrodes)}. Name another "
            "channel, or None, for all but one of them."
        )
    hearts = [modality for modality in list_by_wave(("beats", "pulses")) if modality in wanted]
    known = {*used, *(name for channel in found for name in channel.alternatives)}
    others = [
        name
        for name in raw.ch_names
        if name not in known and not find_lookalike(name) and not find_modality(name)
    ]
    modalities = [channel.modality for channel in found]
    if hearts and others and not set(hearts) & set(modalities):
        shown = ", ".join(map(repr, others[:_N_SHOWN])) + (", ..." * (len(others) > _N_SHOWN))
        warn(
            f"No {' or '.join(hearts)} was recognized, and the night is staged from "
            f"{' and '.join(sorted(modalities))} alone. If one of {shown} is such a channel, pass "
            f"{_suggest(hearts[0])}; if not, pass ch_names={dict.fromkeys(hearts)} to confirm that."
        )
