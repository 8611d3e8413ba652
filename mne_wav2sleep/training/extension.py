"""Parts that fine-tuning adds to a network: a head for other stages, encoders of more signals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..cohorts import PreparedNight
from ..network import LoadedWeights, extend_weights
from .module import list_parts


@dataclass(frozen=True)
class Extension:
    """What is added to a network before it is fine-tuned.

    Attributes
    ----------
    parts : tuple of str
        The new parts, which are always trained.
    signals : tuple of str
        The new signals.
    text : str
        Description for the model card and for the description of the run; empty if nothing is
        added.
    """

    parts: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    text: str = ""

    def __bool__(self) -> bool:
        """Check whether anything is added."""
        return bool(self.parts)

    def check_nights(self, training: Sequence[PreparedNight]) -> None:
        """Refuse training nights from which a new encoder cannot learn.

        Parameters
        ----------
        training : sequence of PreparedNight
            The training nights.

        Raises
        ------
        ValueError
            If none of them has a new signal.
        """
        for signal in self.signals:
            if not any(signal in night.modalities for night in training):
                raise ValueError(
                    f"None of the {len(training)} training nights has {signal}, so its new encoder "
                    "cannot be trained. Add nights with it, name its channel if it was not found, "
                    "or leave it out of add_signals."
                )


def extend_start(
    weights: LoadedWeights,
    n_stages: int | None,
    add_signals: Mapping[str, str | None] | None,
    seed: int,
) -> tuple[LoadedWeights, Extension]:
    """Extend initial weights; see :func:`~mne_wav2sleep.network.extend_weights`.

    Parameters
    ----------
    weights : LoadedWeights
        The initial weights.
    n_stages, add_signals, seed
        As in :func:`~mne_wav2sleep.network.extend_weights`.

    Returns
    -------
    start : LoadedWeights
        The extended weights, with the file and the hash of those that they were made from.
    extension : Extension
        What was added.
    """
    extended = extend_weights(weights, n_stages=n_stages, add_signals=add_signals, seed=seed)
    parts, texts = [], []
    before, after = len(weights.stage_names), len(extended.stage_names)
    if after != before:
        parts.append("classifier")
        how = "N1 and N2 began as LIGHT" if after > before else "LIGHT began as the mean of N1, N2"
        texts.append(f"a head for {after} stages ({how})")
    for signal, source in sorted((add_signals or {}).items()):
        parts.append(f"signal_encoders.{extended.config.signals[signal]}")
        how = "random values" if source is None else f"those of {source}"
        texts.append(f"an encoder of {signal} (began with {how})")
    if not parts:
        return weights, Extension()
    start = replace(extended, file=weights.file, sha256=weights.sha256)
    return start, Extension(tuple(parts), tuple(sorted(add_signals or {})), ", ".join(texts))


def choose_parts(
    weights: LoadedWeights, trainable: Sequence[str], extension: Extension
) -> tuple[str, ...]:
    """Choose the parts of a network that are trained, and check them.

    Parameters
    ----------
    weights : LoadedWeights
        The initial weights, extended.
    trainable : sequence of str
        The parts that a user names.
    extension : Extension
        What was added, which is trained as well.

    Returns
    -------
    parts : tuple of str
        The parts, those that the user names first.

    Raises
    ------
    ValueError
        If there are none or unknown ones, or if a new signal would have no effect.
    """
    known = list_parts(weights.network)
    parts = tuple(dict.fromkeys([*trainable, *extension.parts]))
    if isinstance(trainable, str) or not parts or not set(parts) <= set(known):
        raise ValueError(
            f"trainable must be one or more of {', '.join(known)}, got "
            f"{trainable if isinstance(trainable, str) else list(trainable)}."
        )
    if extension.signals and weights.config.epoch_mixer == "concat" and "epoch_mixer" not in parts:
        raise ValueError(
            "The weights concatenate the features of their signals, so that the mixer ignores "
            f"{', '.join(extension.signals)} unless it is trained. Add 'epoch_mixer' to trainable."
        )
    return parts
