"""Everything that staging a recording gives, in one frozen object."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import yasa
from numpy.typing import NDArray
from torch import Tensor

from ..hypnograms.probabilities import to_hypnogram
from ..signals import Reason


@dataclass(frozen=True)
class EncodedWindow:
    """One window of a recording, encoded.

    Attributes
    ----------
    features : mapping of str to Tensor, shape (1, S, feature_dim)
        Modality -> features of its epochs, including the padding.
    available : mapping of str to array of bool, shape (1, S)
        Where each modality was measured, for those with unmeasured epochs.
    measured : pandas.DataFrame of bool, shape (n_epochs, n_modalities)
        The same for all mapped modalities, without the padding.
    """

    features: Mapping[str, Tensor]
    available: Mapping[str, NDArray[np.bool_]]
    measured: pd.DataFrame


@dataclass(frozen=True)
class StagingResult:
    """What staging a recording gives.

    Attributes
    ----------
    proba : pandas.DataFrame, shape (n_epochs, n_stages) or (n_epochs, n_stages + 1)
        Probability of each stage from all modalities, and a column ``UNS`` if there are epochs in
        which nothing was measured.
    start : datetime or None
        When the first epoch begins, if the recording has a date.
    scorer : str
        Scorer of the hypnograms.
    availability : pandas.DataFrame, shape (n_epochs, n_modalities)
        For each epoch and modality, whether it was measured, or why not, in words.
    quality : pandas.DataFrame
        By modality, the quality of its channel by the beats or breaths of some of its epochs, as
        :meth:`SleepStagerW2S.quality <mne_wav2sleep.SleepStagerW2S.quality>` gives it for all.
    windows : tuple of (int, int)
        First epoch of each window, and the one after its last.
    encoded : tuple of EncodedWindow
        Features of each window, from which subsets of the modalities are staged.
    provenance : mapping
        Where the stages come from, ready for JSON.
    """

    proba: pd.DataFrame
    start: datetime | None
    scorer: str
    availability: pd.DataFrame
    quality: pd.DataFrame
    windows: tuple[tuple[int, int], ...]
    encoded: tuple[EncodedWindow, ...]
    provenance: Mapping[str, Any]

    @property
    def measured(self) -> pd.DataFrame:
        """For each epoch and modality, whether it was measured."""
        return self.availability == Reason.MEASURED.label

    def make_hypnogram(self, proba: pd.DataFrame | None = None) -> yasa.Hypnogram:
        """Make a hypnogram.

        Parameters
        ----------
        proba : pandas.DataFrame, optional
            Probabilities from a subset of the modalities; by default those from all of them.

        Returns
        -------
        hyp : yasa.Hypnogram
            The most probable stage of each epoch, with a copy of the probabilities.
        """
        chosen = self.proba if proba is None else proba
        return to_hypnogram(chosen.copy(), self.start, self.scorer)
