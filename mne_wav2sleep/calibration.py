"""Calibration of the probabilities of a set of weights."""

from collections.abc import Iterable, Mapping
from dataclasses import field
from statistics import median
from typing import Annotated

from pydantic import ConfigDict, Field, field_validator
from pydantic.dataclasses import dataclass

from .modalities import MODALITIES


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class Calibration:
    """Calibration of a set of weights: temperatures, and the correlation of errors.

    The defaults apply to weights without a calibration: probabilities are used as they are, and
    errors are assumed to be as correlated as those of the bundled weights.

    Parameters
    ----------
    temperatures : mapping of str to float
        Subset of the modalities, such as ``"ECG+THX"`` -> temperature by which its logits are
        divided (Guo et al. 2017, ICML), from 0.01 to 100. Subsets that are not listed have the
        median of the listed temperatures, or 1 if there are none.
    night_share : float
        Share of the variance of the network's errors that is common to a whole night, at least 0
        and less than 1.
    epoch_correlation : float
        Correlation of the remaining errors between consecutive epochs, at least 0 and less than 1.
    n_nights : int
        Number of nights to which ``night_share`` and ``epoch_correlation`` were fitted; 0 if they
        were not fitted.

    Raises
    ------
    pydantic.ValidationError
        If a value is out of range (a subclass of ValueError).

    See Also
    --------
    mne_wav2sleep.cohorts.calibrate : Fit a calibration to scored nights.

    Examples
    --------
    >>> calibration = Calibration(temperatures={"ECG": 1.5, "ECG+THX": 1.25})
    >>> calibration.temperature(["THX", "ECG"])
    1.25
    """

    temperatures: Mapping[str, Annotated[float, Field(ge=0.01, le=100)]] = field(
        default_factory=dict
    )
    night_share: Annotated[float, Field(ge=0, lt=1)] = 0.06
    epoch_correlation: Annotated[float, Field(ge=0, lt=1)] = 0.98
    n_nights: Annotated[int, Field(ge=0, le=1_000_000)] = 0

    @field_validator("temperatures")
    @classmethod
    def _sort_subsets(cls, temperatures: Mapping[str, float]) -> dict[str, float]:
        """Sort the modalities of each subset, and reject unknown ones."""
        found = {}
        for subset, temperature in temperatures.items():
            names = sorted(subset.split("+"))
            if not set(names) <= set(MODALITIES) or len(set(names)) < len(names):
                raise ValueError(f"{subset[:60]!r} should be a subset such as 'ECG+THX'")
            if "+".join(names) in found:
                raise ValueError(f"{subset!r} should be listed once, in one order of its signals")
            found["+".join(names)] = temperature
        return found

    def temperature(self, subset: Iterable[str]) -> float:
        """Return the temperature of a subset of the modalities.

        Parameters
        ----------
        subset : iterable of str
            Names of modalities, in any order.

        Returns
        -------
        temperature : float
            The temperature by which the logits of the subset are divided.
        """
        found = self.temperatures.get("+".join(sorted(subset)))
        return median(self.temperatures.values() or [1.0]) if found is None else found
