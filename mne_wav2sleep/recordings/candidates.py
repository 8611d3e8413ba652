"""Find the channels that match a modality, and rank them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import mne

from ..modalities import MODALITIES, is_built_in, list_added
from .labels import (
    find_lookalike,
    find_modality,
    is_whole_label,
    list_qualifiers,
    normalize_label,
)

_DEFAULT_TYPES = ("eeg", "misc", "bio")
"""MNE types that readers assign to channels of unknown type."""
_N_TYPED = Counter(
    kind
    for name in MODALITIES
    if is_built_in(name)
    for kind in MODALITIES[name].vocabulary.mne_types
)
"""MNE type -> number of built-in modalities that may have it."""


@dataclass(frozen=True, order=True)
class Candidate:
    """A channel that matches a modality. Candidates are sorted by their fields, best first.

    Attributes
    ----------
    unplaced : bool
        Whether its sensor is at an unknown position.
    untyped : bool
        Whether its MNE type is not one of the modality.
    unlabeled : bool
        Whether its label does not match.
    weak : bool
        Whether the label is only the name of a lead, or of one electrode of a pair.
    preference : int
        Position in the modality's list of preferred names; 0 if there is none.
    n_qualifiers : int
        Number of words in its label that do not name the modality.
    electrode : int
        Position in the modality's list of electrodes, from 1; 0 if it is not in the list.
    position : int
        Position in the recording.
    channel : str
        Its name.
    """

    unplaced: bool
    untyped: bool
    unlabeled: bool
    weak: bool
    preference: int
    n_qualifiers: int
    electrode: int
    position: int
    channel: str = field(compare=False)


def find_candidates(raw: mne.io.BaseRaw, modality: str, *, bads: bool = False) -> list[Candidate]:
    """List the channels that match a modality, best first.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    modality : str
        The modality.
    bads : bool
        Whether to list channels that are marked bad as well.

    Returns
    -------
    candidates : list of Candidate
        The channels.
    """
    vocabulary, added = MODALITIES[modality].vocabulary, list_added([modality])
    found = []
    for position, (channel, kind) in enumerate(
        zip(raw.ch_names, raw.get_channel_types(), strict=True)
    ):
        typed = kind in vocabulary.mne_types
        if not (typed or kind in _DEFAULT_TYPES):
            continue
        if channel in raw.info["bads"] and not bads:
            continue
        if find_modality(channel, added) not in (None, modality) or find_lookalike(channel, added):
            continue
        qualifiers = list_qualifiers(channel, modality)
        unplaced = qualifiers is None and bool(vocabulary.unplaced)
        if unplaced:
            qualifiers = list_qualifiers(channel, modality, unplaced=True)
        if qualifiers is None and not (typed and (unplaced or _is_unique(kind, modality))):
            continue
        electrodes = [word for word in qualifiers or () if word in vocabulary.electrodes]
        electrode = 1 + vocabulary.electrodes.index(electrodes[0]) if len(electrodes) == 1 else 0
        found.append(
            Candidate(
                unplaced=unplaced,
                untyped=not typed,
                unlabeled=qualifiers is None,
                weak=electrode > 0 or is_whole_label(channel, modality),
                preference=_rank_name(channel, vocabulary.preferred),
                n_qualifiers=len(qualifiers or ()),
                electrode=electrode,
                position=position,
                channel=channel,
            )
        )
    return sorted(found)


def _is_unique(kind: str, modality: str) -> bool:
    """Check that no other modality may have an MNE type, so that it identifies a channel alone."""
    return kind not in _DEFAULT_TYPES and _N_TYPED[kind] == is_built_in(modality)


def _rank_name(label: str, preferred: Sequence[str]) -> int:
    """Find the position of the first preferred name in a label; that after the last if none is."""
    text = f" {normalize_label(label)} "
    return next((i for i, name in enumerate(preferred) if f" {name} " in text), len(preferred))
