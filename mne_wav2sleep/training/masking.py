"""Stochastic masking, which makes a network work with any subset of its signals."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Annotated, Any

import numpy as np
from pydantic import ConfigDict, Field, field_validator
from pydantic.dataclasses import dataclass

from ..modalities import MODALITIES

_Probability = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class Masking:
    """How signals are dropped and flipped in training (arXiv 2411.04644, section 3.3).

    Parameters
    ----------
    drop : mapping of str to float
        Probability of dropping a signal, by modality; each signal of a recording is drawn
        independently. Signals that are not named are kept.
    backups : tuple of str
        If all signals would be dropped, one of these is kept; any signal, if the recording has none
        of these.
    flip : float
        Probability of flipping (inverting) a signal, since electrodes and belts are worn with
        either polarity. Only signals whose :class:`~mne_wav2sleep.Modality` is invertible are
        flipped; all built-in ones are.

    Raises
    ------
    pydantic.ValidationError
        If a modality is unknown, a probability is not from 0 to 1, or a value has another type (a
        subclass of ValueError, which names the setting).

    Examples
    --------
    >>> import numpy as np
    >>> Masking(drop={"ECG": 1.0, "PPG": 1.0}).draw(["ECG", "THX"], np.random.default_rng(0))
    ['THX']
    """

    drop: Mapping[str, _Probability] = field(
        default_factory=lambda: {"ABD": 0.7, "THX": 0.7, "ECG": 0.5, "PPG": 0.1}
    )
    backups: tuple[str, ...] = ("ECG", "PPG")
    flip: _Probability = 0.5

    @field_validator("backups", mode="before")
    @classmethod
    def _to_tuple(cls, backups: Any) -> Any:
        """Take a list as well: YAML has no tuples."""
        return tuple(backups) if isinstance(backups, list) else backups

    @field_validator("drop", "backups")
    @classmethod
    def _check_modalities(cls, names: Any) -> Any:
        """Refuse a name that is not a modality, which would drop or keep nothing."""
        if unknown := sorted(set(names) - set(MODALITIES)):
            raise ValueError(f"{', '.join(unknown)} should be among {', '.join(MODALITIES)}")
        return names

    @classmethod
    def off(cls) -> "Masking":
        """Create settings that neither drop nor flip any signal."""
        return cls(drop={}, flip=0.0)

    def draw(self, available: Sequence[str], rng: np.random.Generator) -> list[str]:
        """Draw the signals to keep.

        Parameters
        ----------
        available : sequence of str
            The signals of the recording, at least one.
        rng : numpy.random.Generator
            Random number generator.

        Returns
        -------
        kept : list of str
            The signals to keep, at least one, in alphabetical order.
        """
        names = sorted(available)
        dropped = rng.random(len(names)) < [self.drop.get(name, 0.0) for name in names]
        kept = [name for name, drop in zip(names, dropped, strict=True) if not drop]
        if kept:
            return kept
        candidates = [name for name in names if name in self.backups] or names
        return [candidates[rng.integers(len(candidates))]]

    def draw_sign(self, modality: str, rng: np.random.Generator) -> int:
        """Draw the polarity of a signal.

        Parameters
        ----------
        modality : str
            The modality of the signal.
        rng : numpy.random.Generator
            Random number generator.

        Returns
        -------
        sign : int
            -1 with the probability ``flip``, else 1; always 1 if the polarity of the modality has
            a meaning. A number is drawn in any case, so that other draws do not depend on it.
        """
        is_flipped = rng.random() < self.flip
        return -1 if is_flipped and MODALITIES[modality].is_invertible else 1
