"""Stochastic masking: what makes one network work with any subset of its signals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Masking:
    """How signals are dropped and flipped in training (arXiv 2411.04644, section 3.3).

    Parameters
    ----------
    drop : mapping of str to float
        Probability with which a signal that a recording has is dropped, drawn for each signal on
        its own. A signal that is not named is kept.
    backups : tuple of str
        If nothing would be left, one of these that the recording has is kept; if it has none of
        them, any other.
    flip : float
        Probability with which a signal changes its sign, since electrodes and belts are worn
        either way round.

    Examples
    --------
    >>> import numpy as np
    >>> Masking(drop={"ECG": 1.0, "PPG": 1.0}).draw(["ECG", "THX"], np.random.default_rng(0))
    ['THX']
    """

    drop: Mapping[str, float] = field(
        default_factory=lambda: {"ABD": 0.7, "THX": 0.7, "ECG": 0.5, "PPG": 0.1}
    )
    backups: tuple[str, ...] = ("ECG", "PPG")
    flip: float = 0.5

    def __post_init__(self) -> None:
        for name, p in {**self.drop, "flip": self.flip}.items():
            if not 0 <= p <= 1:
                raise ValueError(f"The probability of {name} must be from 0 to 1, got {p}.")

    @classmethod
    def off(cls) -> "Masking":
        """Keep every signal as it is."""
        return cls(drop={}, flip=0.0)

    def draw(self, available: Sequence[str], rng: np.random.Generator) -> list[str]:
        """Draw the signals to keep.

        Parameters
        ----------
        available : sequence of str
            The signals that the recording has, one at least.
        rng : numpy.random.Generator
            The source of chance.

        Returns
        -------
        kept : list of str
            The signals to keep, in alphabetical order, never none.
        """
        names = sorted(available)
        dropped = rng.random(len(names)) < [self.drop.get(name, 0.0) for name in names]
        kept = [name for name, drop in zip(names, dropped, strict=True) if not drop]
        if kept:
            return kept
        candidates = [name for name in names if name in self.backups] or names
        return [candidates[rng.integers(len(candidates))]]

    def draw_sign(self, rng: np.random.Generator) -> int:
        """Draw the polarity of a signal.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of all chance.

        Returns
        -------
        sign : int
            1, or -1 with the probability ``flip``.
        """
        return -1 if rng.random() < self.flip else 1
