"""What a modality is: its rates, the words in labels of its channels, and the limits of both."""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ..errors import quote

EPOCH_S = 30.0
"""Duration of an epoch in seconds (AASM scoring manual)."""

WAVE_BANDS = {"beats": (5.0, 30.0), "pulses": (0.5, 8.0), "breaths": (0.05, 1.0)}
"""Kinds of waves that signal quality can be measured by (those of an ECG, a PPG and a belt), and
the frequency band of their energy in Hz."""

_NAME = re.compile(r"[A-Z][A-Z0-9]*(-[A-Z0-9]+)*")
_LONGEST_NAME = 16
_TYPE = re.compile(r"[a-z_]{1,20}")
_WORD = re.compile(r"[a-z0-9]+( [a-z0-9]+)*")
_LONGEST_WORD = 60
_MOST_WORDS = 500
_LONGEST_TEXT = 100
_SAMPLES = tuple(2**power for power in range(4, 14))
"""Samples per epoch for which there is an encoder: it halves them until there are four."""
_HIGHEST = 1e5
"""Highest rate in Hz, and longest time in seconds, of a definition."""
_RESERVED = {"WAKE", "LIGHT", "DEEP", "REM", "NREM", "SLEEP", "N1", "N2", "N3", "UNS", "ART"}
"""Names of stages, which tables have as columns."""


@dataclass(frozen=True)
class Vocabulary:
    """Words in the channel labels of one modality.

    Words are written as labels are normalized: lower case, no accents, single spaces. A label
    matches as a whole: one of its words is a name, and every other word is a qualifier, or one that
    occurs with any modality (devices, "channel", reference electrodes).

    Parameters
    ----------
    names : tuple of str
        Words or phrases that name the signal. Another word or a digit may follow without a space
        (Brustgurt, ECGII).
    mne_types : tuple of str
        MNE channel types that a channel of this modality may have. A type that no other modality
        has identifies the modality by itself, unless readers assign it to unknown channels, as
        they do ``"eeg"``, ``"misc"`` and ``"bio"``.
    qualifiers : tuple of str
        Words that may occur in a label in addition to a name, with or without a digit.
    labels : tuple of str
        Whole labels that are less specific, and rank below labels with a name.
    electrodes : tuple of str
        Qualifiers that denote one electrode of a pair, the preferred one first.
    unplaced : tuple of str
        Names, with the same qualifiers, of a matching signal whose sensor is at an unknown
        position.
    preferred : tuple of str
        Names of which the first is preferred if several channels match equally well.

    Raises
    ------
    TypeError, ValueError
        If words are not a tuple of texts, or are not written like that.

    See Also
    --------
    Modality : The signal that has these labels.

    Examples
    --------
    >>> Vocabulary(names=("c4", "c3"), mne_types=("eeg",)).preferred
    ()
    """

    names: tuple[str, ...] = ()
    mne_types: tuple[str, ...] = ()
    qualifiers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    electrodes: tuple[str, ...] = ()
    unplaced: tuple[str, ...] = ()
    preferred: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the words, which may be from a file, and become patterns."""
        for one in fields(self):
            words = _to_tuple(getattr(self, one.name), f"vocabulary.{one.name}")
            object.__setattr__(self, one.name, words)
            pattern = _TYPE if one.name == "mne_types" else _WORD
            for word in words:
                if len(word) > _LONGEST_WORD or not pattern.fullmatch(word):
                    raise ValueError(
                        f"vocabulary.{one.name} has {quote(word)}, but takes words in lower case, "
                        f"without accents, separated by single spaces, of {_LONGEST_WORD} "
                        "characters at most. Write it as in 'c4 m1'."
                    )


@dataclass(frozen=True)
class Modality:
    """A kind of signal for which networks have an encoder.

    Parameters
    ----------
    name : str
        Name in configs, weights and tables, such as ``"ECG"``: capital letters, digits and
        hyphens, 16 at most.
    description : str
        Description for messages.
    samples_per_epoch : int
        Number of samples per 30-s epoch on the network's grid, a power of two from 16 to 8192.
        Those of the built-in modalities are from arXiv 2411.04644, section 3.
    lowest_sfreq : float
        Lowest sampling rate, in Hz, at which the waveform can be recognized: twice the highest
        frequency that it requires, which is 15 Hz for QRS complexes, 5 Hz for pulses and eye
        movements, and 1 Hz for breaths.
    vocabulary : Vocabulary
        Words in the labels of its channels; by default none, so that its channel has to be named.
    wave : "beats" | "pulses" | "breaths" | None
        Kind of wave by which its quality is measured; None if it has no such wave, and so neither
        rates nor an opinion on its plausibility. Half of ``lowest_sfreq`` must be above the lowest
        frequency of the wave: 5 Hz for beats, 0.5 Hz for pulses, 0.05 Hz for breaths.
    flat_s, rail_s : float or None
        Seconds for which it may stay at one value, and at its highest or lowest value, to count as
        measured; None for no limit. See :class:`~mne_wav2sleep.Validity`.
    in_volts : bool
        Whether it is measured by electrodes, so that MNE types of electrodes imply volts.
    is_difference : bool
        Whether the difference of two channels may be named for it.
    is_invertible : bool
        Whether its polarity is arbitrary, as that of electrodes and belts is, so that it may be
        flipped in training. By default it is not: counts and levels have a meaningful sign.
    allowed_lookalikes : tuple of str
        Kinds of lookalikes (keys of ``mne_wav2sleep.recordings.vocabulary.LOOKALIKES``) that its
        channels may be, such as ``"another sensor"``.

    Raises
    ------
    TypeError, ValueError
        If a value has another type, or is out of range.

    See Also
    --------
    mne_wav2sleep.add_modality : Make a modality known.

    Examples
    --------
    >>> activity = Modality("ACT", "activity counts", 32, 1 / 60, Vocabulary(names=("activity",)))
    >>> activity.samples_per_epoch / EPOCH_S < 2  # Hz
    True
    """

    name: str
    description: str
    samples_per_epoch: int
    lowest_sfreq: float
    vocabulary: Vocabulary = field(default_factory=Vocabulary)
    wave: str | None = None
    flat_s: float | None = 60.0
    rail_s: float | None = None
    in_volts: bool = False
    is_difference: bool = False
    is_invertible: bool = False
    allowed_lookalikes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check all values, which may be from a file."""
        self._check_texts()
        if type(self.samples_per_epoch) is not int or self.samples_per_epoch not in _SAMPLES:
            raise ValueError(
                f"samples_per_epoch of the modality {self.name} must be a power of two from "
                f"{_SAMPLES[0]} to {_SAMPLES[-1]}, got {quote(self.samples_per_epoch)}. Choose the "
                "next one above twice the highest frequency times 30 s."
            )
        for what in ("lowest_sfreq", "flat_s", "rail_s"):
            value = getattr(self, what)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if is_number and 0 < value <= _HIGHEST and math.isfinite(value):
                object.__setattr__(self, what, float(value))
            elif value is not None or what == "lowest_sfreq":
                raise ValueError(
                    f"{what} of the modality {self.name} must be a number above 0, and "
                    f"{_HIGHEST:g} at most, got {quote(value)}. Give it in "
                    + ("Hz." if what == "lowest_sfreq" else "seconds, or None for no limit.")
                )
        for what in ("in_volts", "is_difference", "is_invertible"):
            if not isinstance(getattr(self, what), bool):
                raise TypeError(
                    f"{what} of the modality {self.name} must be True or False, got "
                    f"{quote(getattr(self, what))}. Choose one."
                )
        if not isinstance(self.vocabulary, Vocabulary):
            raise TypeError(
                f"vocabulary of the modality {self.name} must be a Vocabulary, got "
                f"{type(self.vocabulary).__name__}. Make one with Vocabulary(names=...)."
            )
        self._check_wave()

    def __copy__(self) -> "Modality":
        """Give the same, which cannot be changed."""
        return self

    def __deepcopy__(self, memo: object) -> "Modality":
        """Give the same, which cannot be changed."""
        return self

    def _check_wave(self) -> None:
        """Check that the kind of wave is known, and is not too fast for the lowest rate."""
        if self.wave is None:
            return
        if not isinstance(self.wave, str) or self.wave not in WAVE_BANDS:
            raise ValueError(
                f"wave of the modality {self.name} must be one of {', '.join(WAVE_BANDS)} or None, "
                f"got {quote(self.wave)}. Use None for a signal with another kind of wave."
            )
        lowest = WAVE_BANDS[self.wave][0]
        if self.lowest_sfreq <= 2 * lowest:
            raise ValueError(
                f"wave of the modality {self.name} is {self.wave!r}, whose frequencies are above "
                f"{lowest:g} Hz, but with its lowest_sfreq of {self.lowest_sfreq:g} Hz, a channel "
                f"holds only those below {self.lowest_sfreq / 2:g} Hz. Use a lowest_sfreq above "
                f"{2 * lowest:g} Hz, or None for the wave."
            )

    def _check_texts(self) -> None:
        """Check the name, the description and the kinds of lookalikes."""
        name = self.name
        if (
            not isinstance(name, str)
            or len(name) > _LONGEST_NAME
            or not _NAME.fullmatch(name)
            or name in _RESERVED
        ):
            raise ValueError(
                f"The name of a modality must be capital letters, digits and hyphens, "
                f"{_LONGEST_NAME} at most, and not that of a stage, got {quote(name)}. Choose a "
                "name such as 'EEG'."
            )
        text = self.description
        if not isinstance(text, str) or not 0 < len(text) <= _LONGEST_TEXT or not _is_plain(text):
            raise ValueError(
                f"description of the modality {name} must be a text on one line, of "
                f"{_LONGEST_TEXT} characters at most, got {quote(text)}. Describe the signal in a "
                "few words."
            )
        kinds = _to_tuple(self.allowed_lookalikes, "allowed_lookalikes")
        if any(len(kind) > _LONGEST_TEXT or not _is_plain(kind) for kind in kinds):
            raise ValueError(
                f"allowed_lookalikes of the modality {name} must be kinds of lookalikes, got "
                f"{quote(list(kinds))}. Name one such as 'another sensor'."
            )
        object.__setattr__(self, "allowed_lookalikes", kinds)

    def to_dict(self) -> dict[str, Any]:
        """Give the definition, ready for JSON.

        Returns
        -------
        definition : dict
            What differs from the defaults.
        """
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        words = {name: list(some) for name, some in asdict(self.vocabulary).items() if some}
        found["vocabulary"] = words
        found["allowed_lookalikes"] = list(self.allowed_lookalikes)
        default = {one.name: one.default for one in fields(self)}
        return {
            name: value for name, value in found.items() if value not in (default[name], {}, [])
        }

    @classmethod
    def from_dict(cls, definition: object) -> "Modality":
        """Make a modality from what a file says of it.

        Parameters
        ----------
        definition : object
            What JSON or YAML holds; a dict as from :meth:`to_dict`.

        Returns
        -------
        modality : Modality
            The modality.

        Raises
        ------
        TypeError, ValueError
            If it does not define a modality.
        """
        values = _check_keys(definition, cls, "a modality")
        words = _check_keys(values.get("vocabulary", {}), Vocabulary, "a vocabulary")
        return cls(**{**values, "vocabulary": Vocabulary(**words)})


def _check_keys(given: object, kind: type, what: str) -> dict[str, Any]:
    """Check that a definition is a mapping with known keys, and has those without a default."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{what} should be a mapping, got a {type(given).__name__}.")
    known = [one.name for one in fields(kind)]
    if unknown := [key for key in given if key not in known]:
        raise ValueError(f"{what} has {quote(unknown[0])}, but takes {', '.join(known)}.")
    needed = known[:4] if kind is Modality else []
    if lacking := [key for key in needed if key not in given]:
        raise ValueError(f"{what} has no {lacking[0]}. It needs {', '.join(needed)}.")
    return dict(given)


def _to_tuple(values: object, what: str) -> tuple[str, ...]:
    """Convert a list of texts to a tuple."""
    if isinstance(values, tuple | list) and len(values) > _MOST_WORDS:
        raise ValueError(f"{what} has {len(values):,} words, but {_MOST_WORDS} at most. Use fewer.")
    if not isinstance(values, tuple | list) or not all(isinstance(one, str) for one in values):
        raise TypeError(f"{what} must be a tuple of texts, got {quote(values)}. Put them in ().")
    return tuple(values)


def _is_plain(text: str) -> bool:
    """Check that a text can be shown on a line."""
    return text.isprintable() and bool(text.strip())
