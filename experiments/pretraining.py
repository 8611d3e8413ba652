"""Encoders that know hearts and breath before they see stages: pretrained on simulated signals.

In short runs, the encoder of the PPG learns nothing from stages alone. So all arms of a study start
from the same encoders, which were trained to predict what the simulator knows of each signal: when
hearts beat, heart rate, its variability, breathing and movement. No stages are used. Heads read
the layers of an encoder at several rates, since a network finds beats first, and rates from beats.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import joblib
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as validated
from scipy import ndimage, signal
from torch import Tensor, nn

from mne_wav2sleep.modalities import EPOCH_S, MODALITIES
from mne_wav2sleep.network import Wav2Sleep, Wav2SleepConfig
from mne_wav2sleep.network.model import ResidualBlock, SignalEncoder
from mne_wav2sleep.output import write_whole
from mne_wav2sleep.progress import track
from mne_wav2sleep.signals.grid import interpolate_to_grid
from mne_wav2sleep.simulation import (
    Population,
    draw_subject,
    render_belt,
    render_ecg,
    render_ppg,
    simulate_activity,
    simulate_beats,
    simulate_breathing,
)
from mne_wav2sleep.simulation.physiology import GRID_HZ, Activity, Breathing

_GRID_PER_EPOCH = int(EPOCH_S * GRID_HZ)
_BEATS_PER_EPOCH = 128
"""Rate at which heads say whether the heart beat, which fits two pulses at 128 bpm."""
_RATES_PER_EPOCH = 16
"""Rate at which heads say how fast heart and breath are: the layers there see about 11 s."""
_STAGE_EPOCHS = 8.0
"""Mean duration of a stage in the simulated pieces, in epochs."""
_CALM_BPM = 0.02
"""Added to powers of the heart rate, in bpm**2, before their logarithm is taken."""
_HELD_OUT = 0.1
"""Share of the pieces that are not trained on, by which it is measured what was learnt."""
TARGETS = (
    "heart rate",
    *(f"heart rate, quarter {i + 1}" for i in range(4)),
    "heart rate, highest",
    "heart rate, lowest",
    "respiratory variability of heart rate",
    "slow variability of heart rate",
    "breathing rate",
    "variability of breathing rate",
    "depth of breaths",
    "variability of depth",
    "movement",
)
"""What is predicted of each epoch."""

_Count = Annotated[int, Field(ge=1)]


@validated(frozen=True, config=ConfigDict(strict=True, extra="forbid"))
class PretrainingSettings:
    """Settings of pretraining.

    Attributes
    ----------
    n_pieces, n_epochs : int
        Number of simulated pieces, and number of 30-s epochs of each.
    n_steps, batch_size : int
        Number of steps, and pieces per step.
    learning_rate, weight_decay : float
        Highest learning rate (it rises, and falls to 0), and weight decay of AdamW.
    seed : int
        Seed of all random numbers.
    """

    n_pieces: _Count = 400
    n_epochs: _Count = 20
    n_steps: _Count = 1000
    batch_size: _Count = 8
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    seed: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True)
class Piece:
    """A simulated piece with known physiology.

    Attributes
    ----------
    signals : dict of str to array, shape (n_samples,)
        Modality -> z-scored signal at the network's rate.
    epochs : array, shape (n_epochs, n_targets)
        What is predicted of each epoch, in the order of :data:`TARGETS`.
    beats : array, shape (n_epochs * 128,)
        Beats, smoothed over about 0.2 s.
    rates : array, shape (n_epochs * 16, 2)
        Heart rate (bpm) and breathing rate (1/min).
    """

    signals: dict[str, NDArray[np.float32]]
    epochs: NDArray[np.float32]
    beats: NDArray[np.float32]
    rates: NDArray[np.float32]


def _draw_stages(rng: np.random.Generator, n_epochs: int) -> NDArray[np.int64]:
    """Draw stages of random order and length, for the variety of physiology."""
    lengths = rng.geometric(1 / _STAGE_EPOCHS, n_epochs)
    return np.repeat(rng.integers(0, 5, n_epochs), lengths)[:n_epochs].astype(np.int64)


def _measure_power(rate: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Measure the logarithm of the power of the heart rate in a band, on the grid."""
    sos = signal.butter(2, (low, high), "bandpass", fs=GRID_HZ, output="sos")
    power = ndimage.gaussian_filter1d(signal.sosfiltfilt(sos, rate) ** 2, 10 * GRID_HZ)
    return np.asarray(np.log(power + _CALM_BPM))


def compute_targets(
    beat_times: NDArray[np.float64], breathing: Breathing, activity: Activity, n_epochs: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Compute what is predicted.

    Parameters
    ----------
    beat_times : array, shape (n_beats,)
        Times of beats in s.
    breathing : Breathing
        Breathing.
    activity : Activity
        Movements.
    n_epochs : int
        Number of 30-s epochs.

    Returns
    -------
    epochs, beats, rates : array
        As in :class:`Piece`, in natural units.
    """
    n_grid = n_epochs * _GRID_PER_EPOCH
    intervals = np.diff(beat_times)
    # Ectopic beats and dropped ones are not a rate.
    usual = np.abs(intervals / ndimage.median_filter(intervals, 9) - 1) < 0.35
    grid_s = np.arange(n_grid) / GRID_HZ
    heart = np.interp(grid_s, beat_times[1:][usual], 60 / intervals[usual])
    breath = np.diff(breathing.phase[: n_grid + 1]) * GRID_HZ * 60
    depth, movement = breathing.depth[:n_grid], activity.movement[:n_grid]

    def split(curve: NDArray[np.float64], per_epoch: int = 1) -> NDArray[np.float64]:
        return curve.reshape(n_epochs * per_epoch, -1)

    mean = split(heart).mean(1)
    quarters = split(heart, 4).mean(1).reshape(n_epochs, 4) - mean[:, None]
    columns = [
        mean,
        *quarters.T,
        split(heart).max(1) - mean,
        mean - split(heart).min(1),
        split(_measure_power(heart, 0.15, 0.4)).mean(1),
        split(_measure_power(heart, 0.04, 0.15)).mean(1),
        split(breath).mean(1),
        np.log(split(breath).std(1) + 0.1),
        np.log(split(depth).mean(1) + 0.05),
        np.log(split(depth).std(1) + 0.02),
        np.log(split(movement).mean(1) + 0.01),
    ]
    edges = np.linspace(0, n_epochs * EPOCH_S, n_epochs * _BEATS_PER_EPOCH + 1)
    beats = ndimage.gaussian_filter1d(np.histogram(beat_times, edges)[0].astype(float), 0.8)
    # 120 points of the grid are not a multiple of 16: rates are taken at the middle of each bin.
    at = (np.arange(n_epochs * _RATES_PER_EPOCH) + 0.5) * (EPOCH_S / _RATES_PER_EPOCH)
    smooth = [ndimage.gaussian_filter1d(curve, 2 * GRID_HZ) for curve in (heart, breath)]
    rates = np.stack([np.interp(at, grid_s, curve) for curve in smooth], 1)
    return (
        np.stack(columns, 1).astype(np.float32),
        beats.astype(np.float32),
        rates.astype(np.float32),
    )


def simulate_piece(seed: int, number: int, n_epochs: int) -> Piece:
    """Simulate a piece of a random subject with random sensors.

    Parameters
    ----------
    seed, number : int
        Seed of pretraining, and number of the piece.
    n_epochs : int
        Number of 30-s epochs.

    Returns
    -------
    piece : Piece
        The piece.
    """
    rng = np.random.default_rng([seed, number])
    population = Population(
        age=(20.0, 85.0),
        noise=float(np.exp(rng.normal(0, 0.5))),
        inverted=0.5,
        pulse_delay=(float(rng.uniform(0.15, 0.3)), 0.0),
        pulse_damping=float(rng.uniform(0.9, 1.6)),
    )
    stages = _draw_stages(rng, n_epochs)
    subject = draw_subject(rng, population=population)
    index = float(rng.choice([0.0, rng.exponential(20)]))
    breathing = simulate_breathing(stages, rng=rng, subject=subject, apnea_index=index)
    activity = simulate_activity(stages, rng=rng, subject=subject, events=breathing.events)
    rhythm = str(rng.choice(["sinus"] * 9 + ["ectopy"]))
    beat_times, kinds = simulate_beats(
        stages, rng=rng, subject=subject, breathing=breathing, activity=activity, rhythm=rhythm
    )
    return render_piece(
        beat_times,
        kinds,
        breathing,
        activity,
        n_epochs=n_epochs,
        population=population,
        rng=rng,
    )


def render_piece(
    beat_times: NDArray[np.float64],
    kinds: NDArray[np.str_],
    breathing: Breathing,
    activity: Activity,
    *,
    n_epochs: int,
    population: Population,
    rng: np.random.Generator,
    sfreq: float | None = None,
) -> Piece:
    """Render the signals of a piece, and compute what is predicted of them.

    Parameters
    ----------
    beat_times, kinds : array, shape (n_beats,)
        Times of beats in s, and what kind of beats they are.
    breathing, activity : Breathing, Activity
        Breathing and movements.
    n_epochs : int
        Number of 30-s epochs.
    population : Population
        The sensors.
    rng : numpy.random.Generator
        Random number generator.
    sfreq : float or None
        Rate in Hz at which ECG and PPG are recorded, before they are interpolated to the grid of
        the network; None for the rate of the grid.

    Returns
    -------
    piece : Piece
        The piece.
    """
    duration = n_epochs * EPOCH_S
    common: dict[str, Any] = {"duration": duration, "rng": rng, "activity": activity}
    common["population"] = population
    belt = partial(render_belt, breathing, beat_times=beat_times, **common)
    heart: dict[str, Any] = {"kinds": kinds, "breathing": breathing, **common}
    signals = {}
    for name, render in {
        "ABD": partial(belt, place="abdomen"),
        "ECG": partial(render_ecg, beat_times, **heart),
        "PPG": partial(render_ppg, beat_times, **heart),
        "THX": partial(belt, place="thorax"),
    }.items():
        per_epoch = MODALITIES[name].samples_per_epoch
        if sfreq is None or name in ("ABD", "THX"):
            wave = render(sfreq=per_epoch / EPOCH_S)
        else:
            wave = interpolate_to_grid(render(sfreq=sfreq), sfreq, per_epoch, n_epochs)
        signals[name] = ((wave - wave.mean()) / (wave.std() or 1.0)).astype(np.float32)
    return Piece(signals, *compute_targets(beat_times, breathing, activity, n_epochs))


class Heads(nn.Module):
    """Linear heads that read the layers of an encoder at three rates.

    Parameters
    ----------
    encoder : SignalEncoder
        The encoder.
    in_pairs : bool
        Whether a property of an epoch is the difference of two features of the encoder, the same
        for all signals, so that mixers find it in the same place; otherwise what features mean is
        learnt.
    """

    def __init__(self, encoder: SignalEncoder, *, in_pairs: bool = False) -> None:
        super().__init__()
        by_rate, per_epoch = {}, encoder.samples_per_epoch
        for block in encoder.cnn:
            per_epoch //= 2
            by_rate[per_epoch] = cast(ResidualBlock, block).downsample.out_channels
        self.rates_per_epoch = list(by_rate)
        self.has_beats = encoder.samples_per_epoch > 2 * _BEATS_PER_EPOCH
        if self.has_beats:
            self.beats = nn.Conv1d(by_rate[_BEATS_PER_EPOCH], 1, 1)
        self.rates = nn.Conv1d(by_rate[_RATES_PER_EPOCH], 2, 1)
        self.epochs = nn.Linear(encoder.linear.out_features, len(TARGETS))
        if in_pairs:
            weight = torch.zeros_like(self.epochs.weight)
            for i in range(len(TARGETS)):
                weight[i, 2 * i], weight[i, 2 * i + 1] = 1.0, -1.0
            self.epochs.weight = nn.Parameter(weight, requires_grad=False)
            self.epochs.bias = nn.Parameter(torch.zeros(len(TARGETS)), requires_grad=False)

    def forward(self, encoder: SignalEncoder, x_BT: Tensor) -> dict[str, Tensor]:
        """Predict beats, rates and properties of epochs from a signal."""
        n_recordings, n_epochs = len(x_BT), x_BT.shape[1] // encoder.samples_per_epoch
        found, y_BCT = {}, x_BT.unsqueeze(1)
        for per_epoch, block in zip(self.rates_per_epoch, encoder.cnn, strict=True):
            y_BCT = block(y_BCT)
            if self.has_beats and per_epoch == _BEATS_PER_EPOCH:
                found["beats"] = self.beats(y_BCT).squeeze(1)
            if per_epoch == _RATES_PER_EPOCH:
                found["rates"] = self.rates(y_BCT).transpose(1, 2)
        z_BSF = encoder.embed(y_BCT.transpose(1, 2).reshape(n_recordings, n_epochs, -1))
        return found | {"epochs": self.epochs(z_BSF)}


def _stack(pieces: list[Piece]) -> dict[str, Tensor]:
    """Stack the signals and targets of pieces."""
    names = list(pieces[0].signals)
    signals = {n: np.stack([one.signals[n] for one in pieces]) for n in names}
    targets = {n: np.stack([getattr(one, n) for one in pieces]) for n in _LOSSES}
    return {name: torch.from_numpy(array) for name, array in (signals | targets).items()}


_LOSSES = ("epochs", "beats", "rates")


def _standardize(data: dict[str, Tensor]) -> None:
    """Standardize targets over all pieces, in place, so that each counts as much."""
    for name in _LOSSES:
        axes = tuple(range(2 if data[name].ndim == 3 else data[name].ndim))
        mean, sd = data[name].mean(axes), data[name].std(axes)
        data[name] = (data[name] - mean) / (sd + 1e-6)


def _draw_batches(
    data: dict[str, Tensor], n_training: int, settings: PretrainingSettings, names: list[str]
) -> Iterator[dict[str, Tensor]]:
    """Draw batches of pieces, each signal with a random polarity."""
    rng = np.random.default_rng([settings.seed, 1])
    for _ in range(settings.n_steps):
        rows = torch.from_numpy(rng.integers(0, n_training, settings.batch_size))
        batch = {name: tensor[rows] for name, tensor in data.items()}
        for name in names:
            signs = rng.choice([-1.0, 1.0], (settings.batch_size, 1)).astype(np.float32)
            batch[name] = batch[name] * torch.from_numpy(signs)
        yield batch


def _fit(
    network: Wav2Sleep,
    data: dict[str, Tensor],
    n_training: int,
    settings: PretrainingSettings,
    *,
    in_pairs: bool,
) -> dict[str, dict[str, float]]:
    """Train the encoders in place; give the explained variance on pieces that were held out."""
    encoders: dict[str, Any] = {
        n: network.signal_encoders.encoders[e] for n, e in network.config.signals.items()
    }
    names = sorted(encoders)
    heads = {name: Heads(encoders[name], in_pairs=in_pairs) for name in names}
    parts = nn.ModuleList([*network.signal_encoders.encoders.values(), *heads.values()])
    optimizer = torch.optim.AdamW(
        parts.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.n_steps, pct_start=0.1
    )
    batches = _draw_batches(data, n_training, settings, names)
    parts.train()
    for batch in track(batches, "Pretraining encoders", "step", settings.n_steps, is_long=True):
        losses = {}
        for name in names:
            found = heads[name](encoders[name], batch[name])
            losses[name] = sum(((found[n] - batch[n]) ** 2).mean() for n in found)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        for encoder in encoders.values():
            nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    parts.eval()
    with torch.no_grad():
        explained = {}
        for name in names:
            error = heads[name](encoders[name], data[name][n_training:])["epochs"]
            wanted = data["epochs"][n_training:]
            share = 1 - ((error - wanted) ** 2).mean((0, 1)) / wanted.var((0, 1))
            explained[name] = dict(zip(TARGETS, share.tolist(), strict=True))
    return explained


def _describe(config: Wav2SleepConfig, settings: PretrainingSettings) -> dict[str, Any]:
    """Describe what encoders depend on: those of all mixers are the same."""
    mixers = ("epoch_mixer", "mixer_", "relative_", "sequence_", "n_classes")
    network = {k: v for k, v in asdict(config).items() if not k.startswith(mixers)}
    return {"network": network, "settings": asdict(settings)}


def pretrain_encoders(
    config: Wav2SleepConfig,
    settings: PretrainingSettings,
    folder: Path,
    make_piece: Callable[[int, int, int], Piece] = simulate_piece,
    origin: str | None = None,
    *,
    in_pairs: bool = False,
    n_jobs: int = 1,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Pretrain the encoders of a network, unless that was done.

    Parameters
    ----------
    config : Wav2SleepConfig
        The architecture.
    settings : PretrainingSettings
        The settings.
    folder : Path
        Where encoders are kept.
    make_piece : callable
        Makes a piece from the seed, the number of the piece, and its number of epochs.
    origin : str or None
        What pieces are made from, which encoders depend on; None for simulated ones.
    in_pairs : bool
        Whether properties of epochs are differences of two features, as in :class:`Heads`.
    n_jobs : int
        Number of pieces that are made in parallel.

    Returns
    -------
    state : dict of str to Tensor
        The state dict of ``network.signal_encoders``.
    report : dict
        ``cpu_s``, and ``explained``: modality -> target -> share of the variance that is explained
        on pieces that were held out.
    """
    described = _describe(config, settings)
    if origin is not None or in_pairs:
        described |= {"origin": origin, "in_pairs": in_pairs}
    key = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
    path, notes = folder / f"encoders-{key}.pt", folder / f"encoders-{key}.json"
    if path.exists() and notes.exists():
        return torch.load(path, weights_only=True), json.loads(notes.read_text("utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    start = time.process_time()
    make = joblib.delayed(make_piece)
    tasks = (make(settings.seed, i, settings.n_epochs) for i in range(settings.n_pieces))
    made = joblib.Parallel(n_jobs, return_as="generator")(tasks)
    data = _stack(list(track(made, "Simulating pieces", "piece", settings.n_pieces)))
    _standardize(data)
    n_training = max(int(settings.n_pieces * (1 - _HELD_OUT)), 1)
    torch.manual_seed(settings.seed)
    network = Wav2Sleep(config)
    explained = _fit(network, data, n_training, settings, in_pairs=in_pairs)
    report = {"cpu_s": time.process_time() - start, "explained": explained, **described}
    state = {name: tensor.detach() for name, tensor in network.signal_encoders.state_dict().items()}
    with write_whole(path, overwrite=True) as unfinished:
        torch.save(state, unfinished)
    with write_whole(notes, overwrite=True) as unfinished:
        unfinished.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return state, report
