"""Calibration of the probabilities of a set of weights."""

from collections.abc import Iterable, Mapping
from dataclasses import field
from statistics import median
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass

from .errors import summarize_validation
from .modalities import MODALITIES

_STRICT = ConfigDict(strict=True, extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class Source:
    """Where a value of a calibration comes from.

    Parameters
    ----------
    origin : str
        ``"scored nights"``, the nights of the latest calibration; ``"earlier calibration"``, that
        of the weights before it, such as those that fine-tuning started from; ``"not stated"``;
        ``"median of the others"`` for a temperature that was never fitted; or ``"none"`` for the
        default of weights without a calibration.
    n_nights, n_epochs : int
        Number of scored nights that it was fitted to, and of their epochs; 0 if not known.

    Raises
    ------
    pydantic.ValidationError
        If a value is out of range (a subclass of ValueError).
    """

    origin: Literal[
        "scored nights", "earlier calibration", "not stated", "median of the others", "none"
    ]
    n_nights: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    n_epochs: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0


def _make_source(value: Any) -> Any:
    """Make a source from what JSON has, which a strict dataclass does not take."""
    if not isinstance(value, dict):
        return value
    try:
        return Source(**value)
    except ValidationError as error:
        raise ValueError(summarize_validation(error)) from error


_Source = Annotated[Source, BeforeValidator(_make_source)]


@dataclass(frozen=True, config=_STRICT)
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
    sources : mapping of str to Source
        Subset -> where its temperature comes from, if that is known.
    correlation_source : Source or None
        Where ``night_share`` and ``epoch_correlation`` come from; None if that is not known.

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
    sources: Mapping[str, _Source] = field(default_factory=dict)
    correlation_source: _Source | None = None

    @field_validator("temperatures", "sources")
    @classmethod
    def _sort_subsets(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Sort the modalities of each subset, and reject unknown ones."""
        found = {}
        for subset, value in values.items():
            names = sorted(subset.split("+"))
            if not set(names) <= set(MODALITIES) or len(set(names)) < len(names):
                raise ValueError(f"{subset[:60]!r} should be a subset such as 'ECG+THX'")
            if "+".join(names) in found:
                raise ValueError(f"{subset!r} should be listed once, in one order of its signals")
            found["+".join(names)] = value
        return found

    @model_validator(mode="after")
    def _check_sources(self) -> "Calibration":
        """Reject a source of a temperature that is not listed."""
        if unknown := sorted(set(self.sources) - set(self.temperatures)):
            raise ValueError(f"sources has {unknown[0]!r}, which has no temperature")
        return self

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

    def source(self, subset: Iterable[str]) -> Source:
        """Return where the temperature of a subset of the modalities comes from.

        Parameters
        ----------
        subset : iterable of str
            Names of modalities, in any order.

        Returns
        -------
        source : Source
            The origin of its temperature, and the nights that it was fitted to.
        """
        key = "+".join(sorted(subset))
        if key in self.temperatures:
            return self.sources.get(key, Source("not stated"))
        return Source("median of the others" if self.temperatures else "none")
