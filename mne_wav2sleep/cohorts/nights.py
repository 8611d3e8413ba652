"""Nights: recordings with their stages, as given and as prepared on the network's grid."""

import json
import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import mne
import numpy as np
import yasa
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ..hypnograms.lights import Lights, check_lights
from ..modalities import MODALITIES, STAGE_NAMES, Modality, adding, read_modalities
from ..recordings.channels import ChannelName
from ..recordings.labels import check_ch_names
from ..verbosity import check_type
from .checksums import compute_checksum

FORMAT = "mne-wav2sleep night 6"
UNSCORED = -1
MEASURED = "{} measured"


def identify_person(dataset: str, subject: str) -> tuple[str, str]:
    """Identify a person, whatever the spelling of the names.

    Parameters
    ----------
    dataset, subject : str
        The cohort, and the subject in it.

    Returns
    -------
    person : tuple of (str, str)
        Both without differences of case, spaces and Unicode's forms (NFKC).

    Examples
    --------
    >>> identify_person("cohort", " P01") == identify_person("Cohort", "p01")
    True
    """
    names = (unicodedata.normalize("NFKC", name).casefold() for name in (dataset, subject))
    # Folding may undo the normal form.
    dataset, subject = (" ".join(unicodedata.normalize("NFKC", name).split()) for name in names)
    return dataset, subject


@dataclass(frozen=True)
class Night:
    """A recording with its stages.

    Parameters
    ----------
    recording : mne.io.BaseRaw, str or Path
        A Raw, or a file that :func:`mne.io.read_raw` reads.
    hypnogram : yasa.Hypnogram, str, Path or None
        The stages: a Hypnogram, a file of any format that
        :func:`~mne_wav2sleep.read_hypnogram` reads, or None for the recording's own annotations.
    subject : str
        The subject. All nights of a subject go to the same split, training or validation. Case and
        spaces do not distinguish subjects.
    dataset : str
        Name of the cohort that the night belongs to. Subjects of the same name in two datasets are
        two people.
    ch_names : mapping of str to str, (str, str) or None
        Overrides the mapping of channels, as in :class:`~mne_wav2sleep.SleepStagerW2S`.
    onsets_from : "recording" | "raw" | None
        What the onsets of the stages count from if the recording is a cropped Raw, as in
        :func:`~mne_wav2sleep.read_hypnogram`.
    meas_date_is_local : bool or None
        Whether the start of the recording is local time, as in
        :func:`~mne_wav2sleep.read_hypnogram`.
    lights : "auto", (off, on) or None
        Lights off and on, as in :class:`~mne_wav2sleep.SleepStagerW2S`. They are not used in
        training and evaluation.

    Raises
    ------
    TypeError, ValueError
        If the recording, the hypnogram, the channels or the lights are something else, or the
        subject or the dataset is not a text, or is empty.

    Examples
    --------
    >>> night = Night("s1.edf", "s1.csv", subject="s1", ch_names={"PPG": None})
    >>> night.name
    'cohort/s1 (s1.edf)'
    """

    recording: mne.io.BaseRaw | str | Path
    hypnogram: yasa.Hypnogram | str | Path | None
    subject: str
    dataset: str = "cohort"
    ch_names: Mapping[str, ChannelName] = field(default_factory=dict)
    onsets_from: str | None = None
    meas_date_is_local: bool | None = None
    lights: Lights = "auto"

    def __post_init__(self) -> None:
        check_type(self.recording, (mne.io.BaseRaw, str, Path), "recording")
        check_type(self.hypnogram, (yasa.Hypnogram, str, Path, None), "hypnogram")
        check_ch_names(self.ch_names)
        for name in ("subject", "dataset"):
            value = getattr(self, name)
            check_type(value, (str,), name)  # 1 and "01" may be one person, or two
            if not value.strip():
                raise ValueError(
                    f"{name} must not be empty, got {value!r}. Give each night its own."
                )
        check_lights(self.lights)

    @property
    def person(self) -> tuple[str, str]:
        """The dataset and the subject, as they are compared."""
        return identify_person(self.dataset, self.subject)

    @property
    def name(self) -> str:
        """Name of the night, as messages show it."""
        return f"{self.dataset}/{self.subject}" + (f" ({self.file})" if self.file else "")

    @property
    def file(self) -> str:
        """Name of the recording's file; empty for a Raw that was created in memory."""
        files = [self.recording] if isinstance(self.recording, str | Path) else []
        files = files or [f for f in getattr(self.recording, "filenames", []) if f is not None]
        return Path(files[0]).name if files else ""


def make_absolute(night: Night) -> Night:
    """Make the paths of a night absolute, for processes that work in another folder.

    Parameters
    ----------
    night : Night
        The night.

    Returns
    -------
    night : Night
        The same, with absolute paths; ``~`` is the home folder.
    """
    recording, hypnogram = night.recording, night.hypnogram
    if not isinstance(recording, mne.io.BaseRaw):
        recording = _make_absolute(recording)
    if isinstance(hypnogram, str | Path):
        hypnogram = _make_absolute(hypnogram)
    return replace(night, recording=recording, hypnogram=hypnogram)


def _make_absolute(path: str | Path) -> Path:
    """Make a path absolute."""
    # Not Path.expanduser, which refuses names such as "~a.edf" that have no such user.
    return Path(os.path.expanduser(path)).absolute()  # noqa: PTH111


@dataclass(frozen=True)
class PreparedNight:
    """A night on the network's grid, in a file whose samples are read on demand.

    Attributes
    ----------
    path : Path
        The safetensors file.
    subject, dataset : str
        The subject, and the cohort.
    modalities : tuple of str
        The signals in it, in alphabetical order.
    n_epochs : int
        Number of complete 30-s epochs.
    n_stages : int
        Number of stages that it was scored with, 4 or 5.
    recording : str
        Name of the recording's file; empty for a Raw that was created in memory.
    contents : tuple of str
        Hashes of the recording's files and of each signal, by which copies are found.
    scoring : str
        Hash of the stages.
    ends : tuple of float
        The last sample of each signal in standard deviations, which may be after the last complete
        epoch.
    added : tuple of Modality
        Definitions of those of its modalities that are not built in.
    """

    path: Path
    subject: str
    dataset: str
    modalities: tuple[str, ...]
    n_epochs: int
    n_stages: int
    recording: str = ""
    contents: tuple[str, ...] = ()
    scoring: str = ""
    ends: tuple[float, ...] = ()
    added: tuple[Modality, ...] = ()

    @property
    def person(self) -> tuple[str, str]:
        """The dataset and the subject, as they are compared."""
        return identify_person(self.dataset, self.subject)

    @property
    def name(self) -> str:
        """Name of the night, as messages show it."""
        return f"{self.dataset}/{self.subject} ({self.recording or self.path.name})"

    def check(self, modalities: Sequence[str], n_stages: int) -> None:
        """Check that a network can use the night.

        Parameters
        ----------
        modalities : sequence of str
            The modalities that the network reads.
        n_stages : int
            Number of stages of the network.

        Raises
        ------
        ValueError
            If the night has none of the modalities, or was scored with fewer stages.
        """
        if not set(modalities) & set(self.modalities):
            raise ValueError(
                f"{self.name} has {', '.join(self.modalities)}, but the network reads "
                f"{', '.join(modalities)}. Leave the night out."
            )
        if n_stages > self.n_stages:
            raise ValueError(
                f"{self.name} was scored with {self.n_stages} stages, but the network has "
                f"{n_stages}. Score N1 and N2 separately, or train a network with "
                f"{self.n_stages} stages."
            )

    def read_signals(
        self, modalities: Sequence[str], first: int = 0, n_epochs: int | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Read some epochs of some signals.

        Parameters
        ----------
        modalities : sequence of str
            The modalities to read, which the night must have.
        first : int
            First epoch to read.
        n_epochs : int or None
            Number of epochs; None for all that follow. Fewer are returned at the end of the night.

        Returns
        -------
        signals : dict of str to array of float32, shape (n_epochs * samples_per_epoch,)
            Signals on the network's grid, in standard deviations of the recording. Their mean in
            the recording is 0, so that zeros pad them with it.
        """
        last = self.n_epochs if n_epochs is None else min(first + n_epochs, self.n_epochs)
        signals = {}
        with safe_open(self.path, framework="numpy") as file:
            for name in modalities:
                per = MODALITIES[name].samples_per_epoch
                signals[name] = file.get_slice(name)[first * per : last * per].astype(np.float32)
        return signals

    def read_measured(self, modality: str) -> NDArray[np.bool_]:
        """Read in which epochs a modality was measured.

        Parameters
        ----------
        modality : str
            The modality, which the night must have.

        Returns
        -------
        measured : array of bool, shape (n_epochs,)
            True where it was measured.
        """
        with safe_open(self.path, framework="numpy") as file:
            return np.asarray(file.get_tensor(MEASURED.format(modality)), dtype=bool)

    def read_stages(self, n_stages: int) -> NDArray[np.int64]:
        """Read the stages.

        Parameters
        ----------
        n_stages : int
            Number of stages of the network; 5 scored stages are merged to 4 if needed.

        Returns
        -------
        stages : array of int, shape (n_epochs,)
            Positions in ``STAGE_NAMES[n_stages]`` of ``mne_wav2sleep.modalities``, -1 where
            unscored.

        Raises
        ------
        ValueError
            If the night was scored with 4 stages and the network has 5.
        """
        self.check(self.modalities, n_stages)
        with safe_open(self.path, framework="numpy") as file:
            codes = file.get_tensor("stages")
        return _map_stages(self.n_stages, n_stages)[codes]

    def read_hypnogram(self, n_stages: int) -> yasa.Hypnogram:
        """Read the stages as a hypnogram.

        Parameters
        ----------
        n_stages : int
            Number of stages of the network; 5 scored stages are merged to 4 if needed.

        Returns
        -------
        hyp : yasa.Hypnogram
            The stages, ``UNS`` where unscored.
        """
        names = [*STAGE_NAMES[n_stages], "UNS"]  # -1, unscored, is the last one
        stages = [names[i] for i in self.read_stages(n_stages)]
        return yasa.Hypnogram(stages, n_stages=n_stages, scorer="expert")


@cache
def _map_stages(n_scored: int, n_stages: int) -> NDArray[np.int64]:
    """Map scored stages to fewer ones, as YASA does; the last entry keeps -1."""
    hyp = yasa.Hypnogram(list(STAGE_NAMES[n_scored]), n_stages=n_scored)
    folded = hyp if n_stages == n_scored else hyp.consolidate_stages(n_stages)
    return np.array([*(STAGE_NAMES[n_stages].index(s) for s in folded.hypno), UNSCORED])


def sort_nights(nights: Sequence[PreparedNight]) -> list[PreparedNight]:
    """Sort nights by dataset and subject, so that results do not depend on the order given.

    Parameters
    ----------
    nights : sequence of PreparedNight
        The nights.

    Returns
    -------
    nights : list of PreparedNight
        The sorted nights; those of a subject by the names of their files.
    """
    return sorted(nights, key=lambda night: (night.dataset, night.subject, night.path.name))


def open_night(path: str | Path) -> PreparedNight:
    """Open a prepared night, and check that it is not damaged.

    Parameters
    ----------
    path : str or Path
        A file that :func:`prepare_nights` wrote. It is read once, to compare its checksum.

    Returns
    -------
    night : PreparedNight
        The night.

    Raises
    ------
    ValueError
        If the file is damaged, is not a prepared night, or defines a modality in another way.
    """
    path = Path(path).expanduser()
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {})["night"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        modalities = header["modalities"]
        expected = {"stages", *modalities, *map(MEASURED.format, modalities)}
        added = tuple(read_modalities(header.get("definitions", []), modalities))
        unknown = set(modalities) - set(MODALITIES) - {one.name for one in added}
        if header["format"] != FORMAT or set(tensors) != expected or unknown:
            raise KeyError("format")
        if header["checksum"] != compute_checksum(header, tensors):
            raise ValueError("checksum")
        night = PreparedNight(
            path,
            str(header["subject"]),
            str(header["dataset"]),
            tuple(modalities),
            int(header["n_epochs"]),
            int(header["n_stages"]),
            str(header["recording"]),
            tuple(map(str, header["contents"])),
            str(header["scoring"]),
            tuple(float(header["ends"][name]) for name in modalities),
            added,
        )
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is not a prepared night, or is damaged ({type(error).__name__}). Remove it "
            "and prepare the night again."
        ) from error
    with adding(added, f"{path} cannot be used here: "):
        return night
