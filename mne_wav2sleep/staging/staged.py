"""A recording with its mapping and weights, of which each step runs once."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import mne
import pandas as pd
from torch import device as TorchDevice  # noqa: N812 (the parameter is called device)

from ..cautions import keep_cautions, warn
from ..hypnograms.lights import (
    Lights,
    TimeInBed,
    check_lights,
    choose_time_in_bed,
    find_lights,
)
from ..modalities import PRECISIONS
from ..network import Engine, LoadedWeights, load_weights
from ..network.backends import choose_device
from ..network.registry import describe_weights
from ..recordings import open_recording
from ..recordings.channels import ChannelName, map_channels
from ..recordings.opening import set_rates
from ..signals import Validity
from ..verbosity import Verbosity, check_option, check_type, logger, verbose
from .domain import warn_of_domain
from .pipeline import find_all_beats, stage_recording
from .result import StagingResult
from .steps import Steps


class Staged:
    """What :class:`~mne_wav2sleep.SleepStagerW2S`, which has the parameters, computes and keeps."""

    @verbose
    def __init__(
        self,
        raw: mne.io.BaseRaw | str | PathLike[str],
        weights: str | Path | LoadedWeights = "wav2sleep",
        *,
        ch_names: Mapping[str, ChannelName] | None = None,
        validity: Validity | None = None,
        device: str | TorchDevice = "auto",
        precision: str = "float32",
        lights: Lights = "auto",
        verbose: Verbosity = None,
    ) -> None:
        check_lights(lights)
        check_option("precision", precision, list(PRECISIONS))
        check_type(validity, (Validity, None), "validity")
        self._device = choose_device(device)
        self._precision = precision
        self._validity = Validity() if validity is None else validity
        self._weights = weights
        self._info = describe_weights(weights)
        self._cautions: list[str] = []
        self._steps = Steps(verbose, self._cautions)
        # Methods assign these as their last step, so that an interrupted one leaves None.
        self._loaded: tuple[LoadedWeights, Engine] | None = None
        self._result: StagingResult | None = None
        self._beats: dict[str, pd.DataFrame] | None = None
        self._time_in_bed: TimeInBed | None = None
        self._statistics: dict[float, pd.DataFrame] = {}
        if self._info.caution is not None:
            # load_weights has already warned whoever passes LoadedWeights.
            with keep_cautions(self._cautions, show=not isinstance(weights, LoadedWeights)):
                warn(self._info.caution)
        with self._steps.run():
            self._recording = open_recording(raw)
            mapping = map_channels(self._recording.raw, ch_names, self._info.modalities)
            self._channels = set_rates(self._recording, mapping)
            warn_of_domain(self._recording)
            self._marks = find_lights(
                lights,
                start=self._recording.start,
                duration=self._recording.duration,
                annotations=self._recording.events,
            )
        for one in self._channels:
            logger.info(f"{one.modality}: {one.name!r} ({one.reason}, {one.sfreq:g} Hz)")

    def _load(self) -> tuple[LoadedWeights, Engine]:
        """Load the weights, once."""
        with self._steps.run():
            if self._loaded is None:
                weights = load_weights(self._weights)
                self._loaded = weights, Engine(weights.network, self._device, self._precision)
            return self._loaded

    def result(self) -> StagingResult:
        """Give all that staging found, from which other methods take what they return.

        Returns
        -------
        result : StagingResult
            Probabilities, availability, quality and provenance, which must not be changed.
        """
        with self._steps.run():
            if self._result is None:
                loaded = self._load()
                self._result = stage_recording(
                    self._recording, self._channels, *loaded, self._validity
                )
            return self._result

    def _find_beats(self) -> dict[str, pd.DataFrame]:
        """Find the beats and breaths of all epochs, once."""
        with self._steps.run():
            if self._beats is None:
                self._beats = find_all_beats(self._recording, self._channels, self._validity)
            return self._beats

    def time_in_bed(self) -> TimeInBed:
        """Find lights off and on, from ``lights``.

        Returns
        -------
        time_in_bed : ~mne_wav2sleep.hypnograms.TimeInBed
            Their times, the epochs between them, and where they come from. Of several annotated
            ones, those around most of the sleep are taken, with a warning.
        """
        with self._steps.run():
            if self._time_in_bed is None:
                self._time_in_bed = choose_time_in_bed(self._marks, self.result().make_hypnogram())
            return self._time_in_bed
