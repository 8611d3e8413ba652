"""A faster forward pass for CPUs.

The output of a layer for a whole night has 80 MB, and a plain network spends most of its time on
moving such outputs. Here, a night is encoded in tiles that stay in the caches: each is normalized,
activated and convolved, and what instance norm needs of the result is added up, before the next one
is begun. Outputs are written to memory that is used again, since fresh memory has to be cleared
first. The padding of a recording, which is constant, is encoded once. Training has to keep the
outputs of all layers, so it uses the plain network. Shape suffixes are those of ``model``, and K
for the taps of a kernel.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Protocol, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .kernels import load_kernels
from .model import INSTANCE_NORM_EPS, Conv, ResidualBlock, SignalEncoder, Wav2Sleep

_VALUES_PER_TILE = 2**19
"""2 MB. Smaller tiles are in closer caches, but more of them take more time of Python, which runs
in one thread at a time."""
_PADDED_EPOCHS = 4
"""Epochs of constant padding that are encoded. What precedes the padding has an effect on its first
1.5 epochs if convolutions are causal, else 0.75, and its end on the last 0.75."""
_TYPICAL = 2
"""The one of them that stands for all that are left out."""

_T = TypeVar("_T")
_Array = NDArray[np.float32]


class FastWav2Sleep:
    """A network that runs on a CPU without gradients.

    Parameters
    ----------
    network : Wav2Sleep
        The network, on the CPU. Its weights are shared, not copied.

    Notes
    -----
    Features agree with those of the plain network to about 3e-5, because sums are computed in a
    different order. They are equal to the last bit for any number of threads.
    """

    def __init__(self, network: Wav2Sleep) -> None:
        self._network = network

    def encode(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the encoders, as :meth:`Wav2Sleep.encode` does."""
        encoders = self._network.signal_encoders
        found = {}
        with _start_threads() as share:
            memory = _Memory()
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
    """Start as many threads as torch uses, which wait for each other at the end of a layer.

    Torch's own threads would wait after each operation, and keep their cores busy meanwhile, also
    if there is other work for these.
    """
    n_threads = torch.get_num_threads()
    if n_threads == 1:
        yield lambda task, firsts: [task(first) for first in firsts]
        return
    try:
        # Torch has a number of threads for each thread that calls it.
        with ThreadPoolExecutor(
            n_threads, "encode", initializer=torch.set_num_threads, initargs=(1,)
        ) as threads:
            yield lambda task, firsts: list(threads.map(task, firsts))
    finally:
        torch.set_num_threads(n_threads)  # also that of threads which are started later


class _Memory:
    """Memory that is used again and again for arrays of different shapes."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, int], _Array] = {}

    def lend(self, name: str, n_samples: int, n_channels: int, *, thread: int = 0) -> _Array:
        """Lend an array of shape (T, C) until the same name and thread ask for one again."""
        size = n_samples * n_channels
        if (name, thread) not in self._arrays or self._arrays[name, thread].size < size:
            # NumPy asks the system for large pages, which are cleared faster; torch does not.
            self._arrays[name, thread] = np.empty(size, np.float32)
        return self._arrays[name, thread][:size].reshape(n_samples, n_channels)


def _encode(encoder: SignalEncoder, x_BT: Tensor, memory: _Memory, share: _Share) -> Tensor:
    """Run an encoder, one recording at a time."""
    # Epochs that are encoded separately leave nothing to tile; networks are trained in float64 too.
    if encoder.chunked or encoder.linear.weight.dtype != torch.float32:
        return encoder(x_BT)
    return torch.cat([_encode_one(encoder, x_T, memory, share) for x_T in x_BT])


def _encode_one(encoder: SignalEncoder, x_T: Tensor, memory: _Memory, share: _Share) -> Tensor:
    """Map one recording (S * samples_per_epoch,) to its features (1, S, F)."""
    differs = (x_T != x_T[-1]).nonzero()
    n_constant = len(x_T) - (int(differs[-1]) + 1 if len(differs) else 0)
    left_out = max(n_constant // encoder.samples_per_epoch - _PADDED_EPOCHS, 0)
    n_epochs = len(x_T) // encoder.samples_per_epoch - left_out
    cnn = _Cnn(n_epochs, left_out, memory, share)
    no_autocast = torch.autocast("cpu", enabled=False) if cnn.is_lower else nullcontext()
    with torch.no_grad(), no_autocast:
        y_TC = cnn.run(encoder, x_T[: n_epochs * encoder.samples_per_epoch].float())
    z_BSF = encoder.embed(torch.from_numpy(y_TC).reshape(1, n_epochs, -1))
    if not left_out:
        return z_BSF
    typical = n_epochs - _PADDED_EPOCHS + _TYPICAL
    return z_BSF[:, [*range(typical), *[typical] * left_out, *range(typical, n_epochs)]]


class _Layer(Protocol):
    """A layer, whose activated outputs are computed whenever they are read."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of samples and of channels."""
        ...

    def read(self, first: int, last: int, out_TC: _Array) -> None:
        """Write the samples from ``first`` to ``last`` to ``out_TC``."""
        ...


class _FirstLayer:
    """The first layer: it is cheap to compute anew, and its outputs are the largest of all.

    Parameters
    ----------
    x_T : Tensor, shape (n_samples + n_taps - 1,)
        The input, padded for the kernel.
    kernel_CK : Tensor, shape (n_channels, n_taps)
        The kernel, with the factors of instance norm.
    shift_C : Tensor, shape (n_channels,)
        What instance norm adds.
    """

    def __init__(self, x_T: Tensor, kernel_CK: Tensor, shift_C: Tensor) -> None:
        self._x_TK = x_T.unfold(0, kernel_CK.shape[1], 1)
        self._kernel_KC = kernel_CK.T
        self._shift_C = shift_C
        self.shape = len(self._x_TK), len(kernel_CK)

    def read(self, first: int, last: int, out_TC: _Array) -> None:
        """Write the samples from ``first`` to ``last`` to ``out_TC``."""
        out = torch.from_numpy(out_TC)
        torch.addmm(self._shift_C, self._x_TK[first:last], self._kernel_KC, out=out)
        torch.ops.aten.gelu_(out)


@dataclass(frozen=True)
class _StoredLayer:
    """A layer whose convolution has been computed.

    Attributes
    ----------
    outputs : array of float32, shape (n_samples, n_channels)
        The outputs of the convolution.
    mean, scale : array of float32, shape (n_channels,)
        Means and factors of instance norm.
    skipped : array of float32, shape (n_samples, n_channels), or None
        The outputs of the residual connection, if the layer is the last of a block.
    """

    outputs: _Array
    mean: _Array
    scale: _Array
    skipped: _Array | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Number of samples and of channels."""
        n_samples, n_channels = self.outputs.shape
        return n_samples, n_channels

    def read(self, first: int, last: int, out_TC: _Array) -> None:
        """Write the samples from ``first`` to ``last`` to ``out_TC``."""
        kernels = load_kernels()
        y, out = self.outputs[first:last].reshape(-1), out_TC.reshape(-1)
        if self.skipped is None:
            kernels.activate(y, self.mean, self.scale, out)
        else:
            skipped = self.skipped[first:last].reshape(-1)
            kernels.activate_sum(y, self.mean, self.scale, skipped, out)


class _Kernel:
    """The kernel of a convolution.

    Parameters
    ----------
    weight_OIK : Tensor, shape (n_outputs, n_inputs, n_taps)
        Its weights.
    stride : int
        Samples of the input from one output to the next.
    dtype : torch.dtype
        Type in which products are computed.
    """

    def __init__(self, weight_OIK: Tensor, stride: int, dtype: torch.dtype) -> None:
        self._weight_OIK = weight_OIK.to(dtype)
        self._taps = [weight_OIK[:, :, k].T.contiguous() for k in range(weight_OIK.shape[2])]
        self._stride = stride

    def apply(self, x_TC: Tensor, out_TC: Tensor) -> None:
        """Write the convolution of padded samples to ``out_TC``."""
        dtype = self._weight_OIK.dtype
        if dtype != torch.float32:
            # conv2d sees time-major memory as channels-last, the layout of its fastest kernels.
            x_BCHT = x_TC.to(dtype)[None, None].permute(0, 3, 1, 2)
            weight_OIHK = self._weight_OIK.unsqueeze(2)
            y_BCHT = functional.conv2d(x_BCHT, weight_OIHK, stride=(1, self._stride))
            out_TC.copy_(y_BCHT[0, :, 0, : len(out_TC)].T)
            return
        # As fast as conv2d, which cannot write to memory that it is given.
        reach = (len(out_TC) - 1) * self._stride + 1
        for k, tap_IO in enumerate(self._taps):
            rows_TC = x_TC[k : k + reach : self._stride]
            torch.addmm(out_TC, rows_TC, tap_IO, beta=min(k, 1), out=out_TC)


class _Cnn:
    """The CNN of an encoder on the first epochs of a recording.

    Parameters
    ----------
    n_epochs : int
        Epochs that are encoded.
    left_out : int
        Epochs of constant padding after them, which only count in instance norm.
    memory : _Memory
        Memory for the outputs of layers.
    share : _Share
        What shares tiles among threads.

    Attributes
    ----------
    is_lower : bool
        Whether products are computed in the lower precision of autocast.
    """

    def __init__(self, n_epochs: int, left_out: int, memory: _Memory, share: _Share) -> None:
        self._n_epochs = n_epochs
        self._left_out = left_out
        self._memory = memory
        self._share = share
        # A layer is read while the next one is written.
        self._names = cycle(["outputs", "next outputs"])
        self._names_of_skipped = cycle(["skipped", "next skipped"])
        self.is_lower = torch.is_autocast_enabled("cpu")
        self._dtype = torch.get_autocast_dtype("cpu") if self.is_lower else torch.float32

    def run(self, encoder: SignalEncoder, x_T: Tensor) -> _Array:
        """Map samples of shape (T,) to the vectors of epochs, shape (4 * S, C)."""
        first, *others = cast("Iterable[ResidualBlock]", encoder.cnn)
        skipped_TC = self._lend_skipped(first, len(x_T))
        weight_C = first.downsample.weight[:, 0, 0]
        torch.mul(x_T[::2, None], weight_C, out=torch.from_numpy(skipped_TC))
        layer = self._end(first, self._begin(first.conv1, x_T), skipped_TC)
        for block in others:
            skipped_TC = self._lend_skipped(block, layer.shape[0])
            begun = self._convolve(block.conv1, layer, (block.downsample.weight, skipped_TC))
            layer = self._end(block, begun, skipped_TC)
        y_TC = np.empty(layer.shape, np.float32)
        layer.read(0, len(y_TC), y_TC)
        return y_TC

    def _lend_skipped(self, block: ResidualBlock, n_samples: int) -> _Array:
        """Lend memory for the outputs of a residual connection."""
        name = next(self._names_of_skipped)
        return self._memory.lend(name, n_samples // 2, block.downsample.out_channels)

    def _end(self, block: ResidualBlock, layer: _Layer, skipped_TC: _Array) -> _StoredLayer:
        """Run a residual block after its first layer."""
        layer = self._convolve(block.conv2, layer)
        return replace(self._convolve(block.conv3, layer), skipped=skipped_TC)

    def _begin(self, conv: Conv, x_T: Tensor) -> _FirstLayer:
        """Find the statistics of the first layer from those of its input."""
        right = int(conv.conv.padding[0])
        # Instance norm removes what this subtracts. It makes constant padding 0, so that the
        # padding that is left out adds nothing to sums.
        padded_T = functional.pad(x_T, (conv.left + right, right)) - x_T[-1]
        kernel_CK = conv.conv.weight[:, 0]
        padded = padded_T.double()
        taps = [padded[k : k + len(x_T)] for k in range(kernel_CK.shape[1])]
        count = len(x_T) // self._n_epochs * (self._n_epochs + self._left_out)
        mean_K = torch.stack([tap.sum() for tap in taps]) / count
        products_KK = torch.stack([torch.stack([a.dot(b) for b in taps]) for a in taps])
        covariance_KK = products_KK / count - mean_K.outer(mean_K)
        variance_C = ((kernel_CK.double() @ covariance_KK) * kernel_CK).sum(1)
        scale_C = _invert(variance_C)
        shift_C = (-(kernel_CK.double() @ mean_K) * scale_C).float()
        return _FirstLayer(padded_T, kernel_CK * scale_C[:, None].float(), shift_C)

    def _convolve(
        self, conv: Conv, layer: _Layer, skip: tuple[Tensor, _Array] | None = None
    ) -> _StoredLayer:
        """Run the convolution of a layer.

        Parameters
        ----------
        conv : Conv
            The convolution.
        layer : _Layer
            The layer before.
        skip : (Tensor, array of float32), optional
            Weights of the residual connection that begins with the layer, and memory for its
            outputs.
        """
        n_samples, stride = layer.shape[0], conv.conv.stride[0]
        n_out, right = conv.conv.out_channels, int(conv.conv.padding[0])
        left = conv.left + right
        kernel = _Kernel(conv.conv.weight, stride, self._dtype)
        down = None if skip is None else _Kernel(skip[0], 2, self._dtype)
        y_TC = self._memory.lend(next(self._names), n_samples // stride, n_out)
        # An even number of samples each.
        size = max(_VALUES_PER_TILE // n_out // 2, 1) * 2

        def convolve(first: int) -> NDArray[np.float64]:
            """Compute a tile, and return the sums of its outputs and of their squares."""
            last = min(first + size, n_samples)
            out_TC = y_TC[first // stride : last // stride]
            with torch.inference_mode():  # modes are those of a thread
                x_TC = torch.from_numpy(self._read(layer, first - left, last + right))
                kernel.apply(x_TC, torch.from_numpy(out_TC))
                if skip is not None and down is not None:
                    skipped_TC = torch.from_numpy(skip[1][first // 2 : last // 2])
                    down.apply(x_TC[left : left + last - first], skipped_TC)
            sums_2C = np.empty((2, n_out))
            load_kernels().add_up(out_TC.reshape(-1), sums_2C)
            return sums_2C

        sums_2C = np.sum(self._share(convolve, range(0, n_samples, size)), axis=0)
        per_epoch = len(y_TC) // self._n_epochs
        if self._left_out:
            typical = int((self._n_epochs - _PADDED_EPOCHS + _TYPICAL + 0.5) * per_epoch)
            typical_C = y_TC[typical].astype(np.float64)
            sums_2C += self._left_out * per_epoch * np.stack([typical_C, typical_C**2])
        mean_C, square_C = sums_2C / ((self._n_epochs + self._left_out) * per_epoch)
        scale_C = _invert(torch.from_numpy(square_C - mean_C**2)).float().numpy()
        return _StoredLayer(y_TC, mean_C.astype(np.float32), scale_C)

    def _read(self, layer: _Layer, first: int, last: int) -> _Array:
        """Read samples of a layer, with zeros before the first and after the last."""
        n_samples, n_channels = layer.shape
        thread = threading.get_ident()
        x_TC = self._memory.lend("input", last - first, n_channels, thread=thread)
        before, after = max(-first, 0), max(last - n_samples, 0)
        x_TC[:before], x_TC[len(x_TC) - after :] = 0.0, 0.0
        layer.read(first + before, last - after, x_TC[before : len(x_TC) - after])
        return x_TC


def _invert(variance_C: Tensor) -> Tensor:
    """Compute the factors of instance norm."""
    return torch.rsqrt(variance_C.clamp(min=0.0) + INSTANCE_NORM_EPS)
