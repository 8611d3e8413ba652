"""Extend a network: a head for another number of stages, and encoders for more signals."""

from collections.abc import Mapping
from dataclasses import replace
from math import log
from typing import Any

import torch
from torch import Tensor

from ..calibration import Calibration
from ..modalities import MODALITIES, STAGE_NAMES
from ..verbosity import check_option, check_type
from .backends import use_float32
from .config import Wav2SleepConfig
from .model import Wav2Sleep
from .weights import LoadedWeights


def extend_weights(
    weights: LoadedWeights,
    *,
    n_stages: int | None = None,
    add_signals: Mapping[str, str | None] | None = None,
    seed: int = 0,
) -> LoadedWeights:
    """Give a network another number of stages, or more signals, before it is fine-tuned.

    Parameters
    ----------
    weights : LoadedWeights
        The weights, which are not modified.
    n_stages : int or None
        Number of stages of the new head, 4 or 5; None for that of the weights.
    add_signals : mapping of str to str or None
        Modality to add -> the modality of the weights whose encoder its own begins as a copy of;
        None for random values.
    seed : int
        Seed of the random values.

    Returns
    -------
    extended : LoadedWeights
        The extended weights. All other tensors, the scorer and the warning are those of
        ``weights``. With a new head, the calibration is the default one.

    Raises
    ------
    TypeError, ValueError
        If there is no such number of stages, or a signal cannot be added.

    See Also
    --------
    mne_wav2sleep.training.fine_tune : Train the new parts.

    Notes
    -----
    With 5 stages instead of 4, N1 and N2 begin with half of the probability of LIGHT each; with 4
    instead of 5, LIGHT begins with twice the geometric mean of those of N1 and N2, which is at
    most their sum. The others begin as they were.

    A ``"concat"`` mixer gets weights of 0 for each new signal, which it ignores until it is
    trained.

    Examples
    --------
    >>> from mne_wav2sleep import load_weights
    >>> mini = load_weights("mini", verbose="error")
    >>> extend_weights(mini, n_stages=5)
    <LoadedWeights | 'mini', ABD, ECG, PPG, THX -> WAKE, N1, N2, N3, REM>
    >>> extend_weights(mini, add_signals={"EOG-L": None}).modalities
    ('ABD', 'ECG', 'EOG-L', 'PPG', 'THX')
    """
    check_option("n_stages", n_stages, [None, *STAGE_NAMES])
    check_type(add_signals, (Mapping, None), "add_signals")
    added = dict(add_signals or {})
    for signal, source in added.items():
        _check_signal(signal, source, weights)
    before = weights.config
    n_classes = n_stages or before.n_classes
    signals, channels = dict(before.signals), dict(before.block_channels)
    for signal, source in added.items():
        signals[signal] = _name_encoder(signal, signals)
        if source is not None and before.signals[source] in channels:
            channels[signals[signal]] = channels[before.signals[source]]
    changes: dict[str, Any] = {"n_classes": n_classes, "signals": signals}
    changes["block_channels"] = channels
    config = replace(before, **changes)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), use_float32():
        torch.manual_seed(seed)
        network = Wav2Sleep(config)
    state, old = network.state_dict(), weights.network.state_dict()
    state |= {name: tensor for name, tensor in old.items() if state[name].shape == tensor.shape}
    for signal, source in added.items():
        if source is not None:
            prefixes = [f"signal_encoders.encoders.{signals[name]}." for name in (signal, source)]
            copies = {n: t for n, t in old.items() if n.startswith(prefixes[1])}
            state |= {n.replace(prefixes[1], prefixes[0], 1): t for n, t in copies.items()}
    if n_classes != before.n_classes:
        state |= _convert_head(old, n_classes)
    if added and before.epoch_mixer == "concat":
        name = "epoch_mixer.linear.weight"
        state[name] = _widen(old[name], before, sorted(signals))
    network.load_state_dict(state)
    return replace(
        weights,
        config=config,
        stage_names=STAGE_NAMES[n_classes],
        network=network.eval().requires_grad_(False),
        calibration=weights.calibration if n_classes == before.n_classes else Calibration(),
        file="",
        sha256="",
    )


def _check_signal(signal: str, source: str | None, weights: LoadedWeights) -> None:
    """Refuse a signal that cannot be added."""
    known = ", ".join(weights.modalities)
    if signal not in MODALITIES:
        raise ValueError(
            f"add_signals names {signal!r}, which is not a signal. Use some of "
            f"{', '.join(sorted(set(MODALITIES) - set(weights.modalities)))}, or add it first with "
            "add_modality."
        )
    if signal in weights.modalities:
        raise ValueError(
            f"add_signals names {signal}, which the weights {weights.name!r} read already, as they "
            f"do {known}. Leave it out, or train its encoder with "
            f"trainable=['signal_encoders.{weights.config.signals[signal]}']."
        )
    if source is None:
        return
    if source not in weights.modalities:
        raise ValueError(
            f"add_signals wants the encoder of {signal} to begin as that of {source!r}, but the "
            f"weights {weights.name!r} read {known}. Name one of these, or None for random values."
        )
    samples = [MODALITIES[name].samples_per_epoch for name in (signal, source)]
    if samples[0] != samples[1]:
        raise ValueError(
            f"The encoder of {signal} cannot begin as that of {source}: it reads {samples[0]} "
            f"samples per epoch, and that of {source} {samples[1]}. Name a signal with "
            f"{samples[0]}, or None for random values."
        )


def _name_encoder(signal: str, signals: Mapping[str, str]) -> str:
    """Name an encoder after its signal; another signal's may have that name."""
    name = signal
    while name in signals.values():
        name += "_"
    return name


def _convert_head(old: Mapping[str, Tensor], n_stages: int) -> dict[str, Tensor]:
    """Split the classifier's LIGHT into N1 and N2, or merge these."""
    weight, bias = old["classifier.weight"], old["classifier.bias"]
    if n_stages == 5:
        rows = [0, 1, 1, 2, 3]
        weight, bias = weight[rows], bias[rows]
        bias[1:3] -= log(2)
    else:
        weight = torch.cat([weight[:1], weight[1:3].mean(0, keepdim=True), weight[3:]])
        bias = torch.cat([bias[:1], bias[1:3].mean(0, keepdim=True) + log(2), bias[3:]])
    return {"classifier.weight": weight, "classifier.bias": bias}


def _widen(weight: Tensor, before: Wav2SleepConfig, signals: list[str]) -> Tensor:
    """Insert columns of zeros for new signals into the weights of a concatenating mixer."""
    columns = dict(zip(sorted(before.signals), weight.split(before.feature_dim, 1), strict=True))
    zeros = weight.new_zeros(len(weight), before.feature_dim)
    return torch.cat([columns.get(name, zeros) for name in signals], dim=1)
