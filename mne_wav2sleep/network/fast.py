"""A faster forward pass for CPUs.

The output of a layer for a whole night has 80 MB, and a plain network spends most of its time on
moving such outputs. Here, threads take tiles of a night, of which a few samples at a time are
normalized, activated and convolved, and what instance norm needs of the result is added up. Outputs
are written to memory that is used again, since fresh memory has to be cleared first. The padding of
a recording, which is constant, is encoded once. Training has to keep the outputs of all layers, so
it uses the plain network. Shape suffixes are those of ``layers``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle
from typing import Protocol, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from .layers import (
    Array,
    Convolution,
    FirstLayer,
    FirstSkip,
    Layer,
    Memory,
    SecondLayer,
    StoredLayer,
    locate,
    pack,
    pad,
    pad_channels,
)
from .loops import load_loops
from .model import Conv, ResidualBlock, SignalEncoder, Wav2Sleep

_VALUES_PER_TILE = 2**19
"""2 MB. More tiles would be shared more evenly by threads, but take more time of Python, which runs
in one thread at a time."""
_PADDED_EPOCHS = 4
"""Epochs of constant padding that are encoded. What precedes the padding has an effect on its first
1.5 epochs if convolutions are causal, else 0.75, and its end on the last 0.75."""
_TYPICAL = 2
"""The one of them that stands for all that are left out."""

_T = TypeVar("_T")


class FastWav2Sleep:
    """A network that runs on a CPU without gradients.

    Parameters
    ----------
    network : Wav2Sleep
        The network, on the CPU. Its weights are shared, not copied.

    Notes
    -----
    Features agree with those of the plain network to about 3e-5, because sums are computed in a
    different order. They are equal to the last bit for any number of threads. Convolutions are in
    float32 within autocast as well, since those of PyTorch in lower precision take longer.
    """

    def __init__(self, network: Wav2Sleep) -> None:
        self._network = network

    def encode(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the encoders, as :meth:`Wav2Sleep.encode` does."""
        encoders = self._network.signal_encoders
        found = {}
        with _start_threads() as share:
            memory = Memory()
            for name in sorted(x):
                encoder = cast("SignalEncoder", encoders.encoders[encoders.signals[name]])
                found[name] = _encode(encoder, x[name], memory, share)
        return found

    def mix(self, z: Mapping[str, Tensor], available: Mapping[str, Tensor] | None = None) -> Tensor:
        """Compute the stage logits, as :meth:`Wav2Sleep.mix` does."""
        return self._network.mix(z, available)


class _Share(Protocol):
    """What shares tasks among threads."""

    def __call__(self, task: Callable[[int], _T], firsts: Iterable[int]) -> list[_T]:
        """Call ``task`` with each of ``firsts``, and return the results in this order."""
        ...


@contextmanager
def _start_threads() -> Iterator[_Share]:
    """Start as many threads as torch uses, which wait for each other at the end of a layer."""
    n_threads = torch.get_num_threads()
    if n_threads == 1:
        yield lambda task, firsts: [task(first) for first in firsts]
        return
    with ThreadPoolExecutor(n_threads, "encode") as threads:
        yield lambda task, firsts: list(threads.map(task, firsts))


def _encode(encoder: SignalEncoder, x_BT: Tensor, memory: Memory, share: _Share) -> Tensor:
    """Run an encoder, one recording at a time."""
    # Epochs that are encoded separately leave nothing to tile; networks are trained in float64 too.
    if encoder.chunked or encoder.linear.weight.dtype != torch.float32:
        return encoder(x_BT)
    load_loops()  # before several threads ask for them, each of which would compile them
    return torch.cat([_encode_one(encoder, x_T, memory, share) for x_T in x_BT])


def _encode_one(encoder: SignalEncoder, x_T: Tensor, memory: Memory, share: _Share) -> Tensor:
    """Map one recording (S * samples_per_epoch,) to its features (1, S, F)."""
    backwards = x_T.numpy()[::-1]
    differs = backwards != backwards[0]
    n_constant = int(differs.argmax()) if differs.any() else len(x_T)
    left_out = max(n_constant // encoder.samples_per_epoch - _PADDED_EPOCHS, 0)
    n_epochs = len(x_T) // encoder.samples_per_epoch - left_out
    cnn = _Cnn(n_epochs, left_out, memory, share)
    with torch.no_grad():
        x_T = x_T[: n_epochs * encoder.samples_per_epoch].float().contiguous()
        y_TC = cnn.run(encoder, x_T)
    z_BSF = encoder.embed(torch.from_numpy(y_TC).reshape(1, n_epochs, -1))
    if not left_out:
        return z_BSF
    typical = n_epochs - _PADDED_EPOCHS + _TYPICAL
    return z_BSF[:, [*range(typical), *[typical] * left_out, *range(typical, n_epochs)]]


class _Cnn:
    """The CNN of an encoder on the first epochs of a recording.

    Parameters
    ----------
    n_epochs : int
        Epochs that are encoded.
    left_out : int
        Epochs of constant padding after them, which only count in instance norm.
    memory : Memory
        Memory for the outputs of layers.
    share : _Share
        What shares tiles among threads.
    """

    def __init__(self, n_epochs: int, left_out: int, memory: Memory, share: _Share) -> None:
        self._n_epochs = n_epochs
        self._left_out = left_out
        self._memory = memory
        self._share = share
        # A layer is read while the next one is written.
        self._names = cycle(["outputs", "next outputs"])
        self._names_of_skipped = cycle(["skipped", "next skipped"])

    def run(self, encoder: SignalEncoder, x_T: Tensor) -> Array:
        """Map samples of shape (T,) to the vectors of epochs, shape (4 * S, C)."""
        first, *others = cast("Iterable[ResidualBlock]", encoder.cnn)
        self._eps = first.eps
        weight_OIK = pad(_to_array(first.downsample.weight), reads_signal=True)
        skip = FirstSkip(x_T.numpy(), pack(weight_OIK))
        second = self._continue(first.conv2, self._begin(first.conv1, x_T))
        layer = replace(self._convolve(first.conv3, second), skipped=skip, pooled=first.pooled)
        for block in others:
            n_channels = pad_channels(block.downsample.out_channels)
            name, n_samples = next(self._names_of_skipped), layer.shape[0] // 2
            skipped_TC = self._memory.lend(name, n_samples, n_channels)
            begun = self._convolve(block.conv1, layer, (block.downsample, skipped_TC))
            middle = self._convolve(block.conv2, begun)
            last = self._convolve(block.conv3, middle)
            layer = replace(last, skipped=skipped_TC, pooled=block.pooled)
        y_TC = np.empty(layer.shape, np.float32)
        load_loops().run(layer.read(0, len(y_TC), locate(y_TC)))
        return y_TC[:, : encoder.linear.in_features * self._n_epochs // len(y_TC)]

    def _begin(self, conv: Conv, x_T: Tensor) -> FirstLayer:
        """Find the statistics of the first layer from those of its input."""
        right = int(conv.conv.padding[0])
        # Instance norm removes what this subtracts. It makes constant padding 0, so that the
        # padding that is left out adds nothing to sums.
        padded_T = functional.pad(x_T, (conv.left + right, right)) - x_T[-1]
        weight_OIK = pad(_to_array(conv.conv.weight), reads_signal=True)
        kernel_CK = torch.from_numpy(weight_OIK[:, 0]).double()
        padded = padded_T.double()
        taps = [padded[k : k + len(x_T)] for k in range(kernel_CK.shape[1])]
        count = len(x_T) // self._n_epochs * (self._n_epochs + self._left_out)
        mean_K = torch.stack([tap.sum() for tap in taps]) / count
        products_KK = torch.stack([torch.stack([a.dot(b) for b in taps]) for a in taps])
        covariance_KK = products_KK / count - mean_K.outer(mean_K)
        variance_C = ((kernel_CK @ covariance_KK) * kernel_CK).sum(1)
        mean_C = (kernel_CK @ mean_K).float().numpy()
        return FirstLayer(padded_T.numpy(), pack(weight_OIK), mean_C, self._invert(variance_C))

    def _continue(self, conv: Conv, layer: FirstLayer) -> SecondLayer:
        """Find the statistics of the second layer, whose outputs need not be stored."""
        kernel = _make_kernel(conv)
        mean, scale = self._run(kernel, layer, None)
        return SecondLayer(layer, kernel, mean, scale, self._memory)

    def _convolve(
        self, conv: Conv, layer: Layer, skip: tuple[nn.Conv1d, Array] | None = None
    ) -> StoredLayer:
        """Run the convolution of a layer.

        Parameters
        ----------
        conv : Conv
            The convolution.
        layer : Layer
            The layer before.
        skip : (Conv1d, array of float32), optional
            The residual connection that begins with the layer, and memory for its outputs.
        """
        downsample, skipped_TC = skip or (None, None)
        kernel = _make_kernel(conv, downsample)
        n_samples = layer.shape[0] // kernel.stride
        y_TC = self._memory.lend(next(self._names), n_samples, kernel.n_out)
        return StoredLayer(y_TC, *self._run(kernel, layer, y_TC, skipped_TC))

    def _run(
        self,
        kernel: Convolution,
        layer: Layer,
        y_TC: Array | None,
        skipped_TC: Array | None = None,
    ) -> tuple[Array, Array]:
        """Convolve a layer, and return the means and the factors of instance norm."""
        n_samples = layer.shape[0]
        # An even number of samples each.
        size = max(_VALUES_PER_TILE // kernel.n_out // 2, 1) * 2

        def convolve(first: int, last: int) -> NDArray[np.float64]:
            """Compute a tile, and return the sums of its outputs and of their squares."""
            return kernel.run(layer, (first, last), self._memory, y_TC, skipped_TC)

        tiles = self._share(
            lambda first: convolve(first, min(first + size, n_samples)), range(0, n_samples, size)
        )
        sums_2C = np.sum(tiles, axis=0)
        per_epoch = n_samples // self._n_epochs
        if self._left_out:
            at = int((self._n_epochs - _PADDED_EPOCHS + _TYPICAL + 0.5) * per_epoch) // 2 * 2
            sums_2C += self._left_out * per_epoch / 2 * convolve(at, at + 2)
        n_outputs = (self._n_epochs + self._left_out) * per_epoch // kernel.stride
        mean_C, square_C = sums_2C / n_outputs
        variance_C = torch.from_numpy(square_C - mean_C**2)
        return mean_C.astype(np.float32), self._invert(variance_C)

    def _invert(self, variance_C: Tensor) -> Array:
        """Compute the factors of instance norm."""
        factors_C = torch.rsqrt(variance_C.clamp(min=0.0) + self._eps)
        return cast("Array", factors_C.float().numpy())


def _make_kernel(conv: Conv, downsample: nn.Conv1d | None = None) -> Convolution:
    """Prepare a convolution, and the residual connection that begins with it."""
    skip_kernel = None if downsample is None else pack(pad(_to_array(downsample.weight)))
    return Convolution(
        kernel=pack(pad(_to_array(conv.conv.weight))),
        skip_kernel=skip_kernel,
        stride=conv.conv.stride[0],
        before=conv.left + int(conv.conv.padding[0]),
    )


def _to_array(weight: Tensor) -> Array:
    """Make an array of weights, without a copy."""
    return cast("Array", weight.detach().numpy())
