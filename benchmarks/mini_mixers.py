"""Mixers, trained on the features of nights from encoders that stay as they are.

Features are computed once for each night, so that a step on whole nights takes less than a second
on one core, and people can be left out in turn (train_mini.py --folds). Nights without stages
can be learned from as well, from the mean probabilities of networks that were trained before.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import torch
from sklearn.metrics import cohen_kappa_score
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from mne_wav2sleep.cohorts import PreparedNight
from mne_wav2sleep.cohorts.batches import collate, read_item
from mne_wav2sleep.network import Engine, LoadedWeights, Wav2Sleep
from mne_wav2sleep.training import Masking

PARTS = ("epoch_mixer", "sequence_mixer", "classifier")
N_STAGES = 4
THREE = np.array([0, 1, 1, 2])  # of four stages: light and deep sleep are one


@dataclass(frozen=True)
class MixerSettings:
    """Settings of training the mixers.

    ``noise`` is the SD of a factor of each feature, the same for a night; half of it is added to
    each epoch. ``averaging`` is the decay of the running mean of the weights, which is kept.
    ``trust`` is the weight of what other networks say against the scored stage.
    """

    masking: Masking
    dataset_weights: dict[str, float]
    n_steps: int = 450
    batch_size: int = 6
    learning_rate: float = 3e-3
    weight_decay: float = 2e-2
    warmup_steps: int = 40
    decay_steps: int = 180
    dropout: float = 0.2
    noise: float = 0.1
    averaging: float = 0.985
    trust: float = 0.7


@dataclass(frozen=True)
class Features:
    """The features of a night (modality -> S x F, float16), and its four stages (-1 unscored).

    ``proba`` (S x C) is what other networks say of it.
    """

    dataset: str
    subject: str
    signals: dict[str, np.ndarray]
    stages: np.ndarray
    proba: np.ndarray | None = None

    def to_target(self, trust: float) -> np.ndarray:
        """Give the probabilities to learn, S x C, float32: zeros where nothing is known."""
        target = np.zeros((self.stages.size, N_STAGES), np.float32)
        scored = self.stages >= 0
        target[scored, self.stages[scored]] = 1
        if self.proba is not None:
            weight = np.where(scored, trust, 1.0)[:, None]
            target = ((1 - weight) * target + weight * self.proba).astype(np.float32)
        return target


def compute_features(nights: list[PreparedNight], weights: LoadedWeights) -> list[Features]:
    """Run the encoders on whole nights."""
    engine = Engine(weights.network, "cpu")
    found = []
    for night in tqdm(nights, desc="Encoding"):
        n = night.n_epochs
        item = read_item(night, list(night.modalities), 4, first=0, last=n, length=n)
        batch = collate([item])
        z = {name: z_BSF[0].half().numpy() for name, z_BSF in engine.encode(batch["x"]).items()}
        stages = batch["stages"][0].numpy().astype(np.int8)
        found.append(Features(night.dataset, night.subject, z, stages))
    return found


def read_features(
    nights: list[PreparedNight], weights: LoadedWeights, path: Path
) -> list[Features]:
    """Compute the features of nights, or read them if they were computed from the same files."""
    key = joblib.hash([[str(night.path) for night in nights], weights.lineage[0].sha256])
    if path.exists():
        known, features = joblib.load(path)
        if known == key:
            return features
    features = compute_features(nights, weights)
    joblib.dump((key, features), path)
    return features


def _draw_batch(
    features: list[Features], chances: np.ndarray, settings: MixerSettings, rng: np.random.Generator
) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Draw whole nights, padded to the longest of them, each with some of its signals.

    Gives the features of each signal, whether it is there, and the target (B x S x C).
    """
    nights = [features[i] for i in rng.choice(len(features), settings.batch_size, p=chances)]
    longest = max(night.stages.size for night in nights)
    n_features = next(iter(nights[0].signals.values())).shape[1]
    shape = len(nights), longest
    z = {name: torch.zeros(*shape, n_features) for name in settings.masking.drop}
    available = {name: torch.zeros(shape, dtype=torch.bool) for name in settings.masking.drop}
    target = torch.zeros(*shape, N_STAGES)
    for row, night in enumerate(nights):
        n = night.stages.size
        for name in settings.masking.draw(list(night.signals), rng):
            z[name][row, :n] = torch.from_numpy(night.signals[name].astype(np.float32))
            available[name][row, :n] = True
        target[row, :n] = torch.from_numpy(night.to_target(settings.trust))
    for name, z_BSF in z.items():
        factor_B1F = 1 + settings.noise * torch.randn(len(nights), 1, n_features)
        z[name] = z_BSF * factor_B1F + settings.noise / 2 * torch.randn_like(z_BSF)
    return z, available, target


def train_mixers(
    features: list[Features], weights: LoadedWeights, settings: MixerSettings, seed: int
) -> LoadedWeights:
    """Train the mixers and the classifier, from random weights."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    config = replace(
        weights.config, mixer_dropout=settings.dropout / 2, sequence_dropout=settings.dropout
    )
    network = Wav2Sleep(config)
    network.signal_encoders.load_state_dict(weights.network.signal_encoders.state_dict())
    parameters = [p for part in PARTS for p in getattr(network, part).parameters()]
    optimizer = torch.optim.AdamW(
        parameters, settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: (
            min((step + 1) / settings.warmup_steps, 1)
            * np.exp(-max(step - settings.warmup_steps, 0) / settings.decay_steps)
        ),
    )
    counts = pd.Series([night.dataset for night in features]).value_counts()
    chances = np.array([settings.dataset_weights[f.dataset] / counts[f.dataset] for f in features])
    averages = [p.detach().clone() for p in parameters]
    network.train()
    losses, start = [], time.monotonic()
    for step in range(settings.n_steps):
        z, available, target = _draw_batch(features, chances / chances.sum(), settings, rng)
        log_proba = functional.log_softmax(network.mix(z, available), dim=-1)
        loss = -(target * log_proba).sum() / target.sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        # The mean of all steps so far, until there are enough for one that forgets.
        share = max(1 - settings.averaging, 1 / (step + 1))
        with torch.no_grad():
            for average, parameter in zip(averages, parameters, strict=True):
                average.lerp_(parameter, share)
        losses.append(loss.item())
        if step % 100 == 99:
            spent = time.monotonic() - start
            print(f"Step {step + 1}: loss {np.mean(losses[-100:]):.3f}, {spent:.0f} s", flush=True)
    with torch.no_grad():
        for average, parameter in zip(averages, parameters, strict=True):
            parameter.copy_(average)
    network.eval().requires_grad_(False)
    return replace(weights, config=config, network=network)


def predict(
    night: Features, networks: Sequence[LoadedWeights], subset: tuple[str, ...]
) -> np.ndarray:
    """Compute the mean probabilities of networks (S x C) from a subset of the signals."""
    z = {name: torch.from_numpy(night.signals[name].astype(np.float32))[None] for name in subset}
    with torch.inference_mode():
        proba = [one.network.mix(z).softmax(-1)[0].numpy() for one in networks]
    return np.mean(proba, axis=0)


def collect(
    features: list[Features], networks: Sequence[LoadedWeights], subset: tuple[str, ...]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Collect the scored stages (E) and the mean probabilities (E x C) of each dataset.

    Nights without all signals of the subset are left out.
    """
    pairs: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for night in features:
        if set(subset) <= set(night.signals):
            proba, scored = predict(night, networks, subset), night.stages >= 0
            pairs.setdefault(night.dataset, []).append((night.stages[scored], proba[scored]))
    return {
        dataset: tuple(np.concatenate(parts) for parts in zip(*some, strict=True))
        for dataset, some in pairs.items()
    }


def compute_kappas(stages: np.ndarray, proba: np.ndarray) -> tuple[float, float]:
    """Compute kappa of three and of four stages, of the likeliest stages."""
    merged = np.stack([proba[:, 0], proba[:, 1] + proba[:, 2], proba[:, 3]], 1)
    return (
        float(cohen_kappa_score(THREE[stages], merged.argmax(1))),
        float(cohen_kappa_score(stages, proba.argmax(1))),
    )


def score(
    features: list[Features], networks: Sequence[LoadedWeights], subset: tuple[str, ...]
) -> dict[str, tuple[float, ...]]:
    """Compute pooled kappa of three and of four stages of each dataset, from a subset."""
    return {
        dataset: tuple(round(kappa, 3) for kappa in compute_kappas(*pair))
        for dataset, pair in collect(features, networks, subset).items()
    }
