"""The schedule of a run: what its settings come to with so many nights."""

from typing import Annotated

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from ..verbosity import pluralize
from .settings import TrainingSettings

_WARMUP_SHARE = 10
"""A run warms up in at most one of so many steps."""


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class Schedule:
    """Steps of a run, and how the learning rate changes with them.

    Attributes
    ----------
    steps_per_pass : int
        Number of steps of each pass.
    warmup_steps, decay_steps : int
        The learning rate rises linearly over ``warmup_steps``, and then falls by a factor of e
        every ``decay_steps``.
    """

    steps_per_pass: Annotated[int, Field(ge=1)]
    warmup_steps: Annotated[int, Field(ge=0)]
    decay_steps: Annotated[int, Field(ge=1)]

    def compute_factor(self, step: int) -> float:
        """Compute the learning rate of a step, relative to the highest one.

        Parameters
        ----------
        step : int
            Number of the step, from 0.

        Returns
        -------
        factor : float
            The factor, above 0 and at most 1.
        """
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        return float(np.exp(-(step - self.warmup_steps) / self.decay_steps))

    def describe(self) -> str:
        """Describe the schedule in one sentence."""
        steps = f"{self.steps_per_pass} step{pluralize(self.steps_per_pass)} per pass"
        rise = f"rises over {self.warmup_steps} step{pluralize(self.warmup_steps)}, and then "
        return (
            f"{steps}; the learning rate {rise if self.warmup_steps else ''}falls by a factor of e "
            f"every {self.decay_steps} steps."
        )


def count_steps(n_nights: int, batch_size: int, n_processes: int = 1) -> int:
    """Count the steps of a pass.

    Parameters
    ----------
    n_nights : int
        Number of training nights.
    batch_size : int
        Largest number of recordings per step and process.
    n_processes : int
        Number of processes.

    Returns
    -------
    n_steps : int
        Number of steps, in which every night is used.
    """
    return -(-n_nights // (batch_size * n_processes))


def resolve_settings(settings: TrainingSettings, n_nights: int, n_processes: int = 1) -> Schedule:
    """Resolve what depends on the number of nights.

    Parameters
    ----------
    settings : TrainingSettings
        The settings.
    n_nights : int
        Number of training nights.
    n_processes : int
        Number of processes.

    Returns
    -------
    schedule : Schedule
        The schedule. Its warm-up is at most a tenth of the steps that the run can make: with the
        authors' 2,000 steps, a small cohort would never reach its learning rate.

    Examples
    --------
    Eight nights are one step of each of 50 passes:

    >>> resolve_settings(TrainingSettings(), 8)
    Schedule(steps_per_pass=1, warmup_steps=5, decay_steps=6000)
    """
    steps = count_steps(n_nights, settings.batch_size, n_processes)
    longest = steps * settings.max_passes // _WARMUP_SHARE
    return Schedule(steps, min(settings.warmup_steps, longest), settings.decay_steps)
