"""Layers of an encoder, computed a chunk at a time.

PyTorch normalizes, activates and convolves one after the other, and each reads and writes all
outputs of a layer. Here, a chunk of a few hundred samples passes through all of them, and stays in
the caches of a core. The outputs of the first two layers, the largest of all, are not even stored:
they are computed anew whenever they are read. A tile is the chunks that a thread takes at a time.

Arrays are time-major: all channels of the first sample, then of the second. Numbers of channels are
multiples of :data:`~mne_wav2sleep.network.instructions.LANES`. Shape suffixes are those of
``model``, O and I for channels of outputs and inputs, K for the taps of a kernel, P for panels of
LANES channels of outputs, and L for the channels of a panel.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .instructions import LANES
from .loops import Call, Place, activate, add_up, load_loops

Array = NDArray[np.float32]

_VALUES_PER_CHUNK = 2**15
"""128 kB of inputs or outputs, which stay in a core's own cache."""

_SMALLEST_CHUNK = 8
"""Samples of a chunk at least, so that those in the middle do not reach beyond the ends."""

_ALIGNMENT = 16
"""Values in a line of the caches of most processors. A vector that spans two takes longer."""


class Memory:
    """Memory that is used again and again for arrays of different shapes."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, int], Array] = {}

    def lend(self, name: str, n_samples: int, n_channels: int, *, thread: int = 0) -> Array:
        """Lend an array of shape (T, C) until the same name and thread ask for one again."""
        size = n_samples * n_channels
        if (name, thread) not in self._arrays or self._arrays[name, thread].size < size:
            # NumPy asks the system for large pages, which are cleared faster; torch does not.
            values = np.empty(size + _ALIGNMENT, np.float32)
            self._arrays[name, thread] = values[-(locate(values).address // 4) % _ALIGNMENT :]
        return self._arrays[name, thread][:size].reshape(n_samples, n_channels)


class Layer(Protocol):
    """A layer, whose activated outputs are computed whenever they are read."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of samples and of channels."""
        ...

    def read(self, first: int, n_samples: int, out: Place, step: int = 0) -> list[Call]:
        """Plan to write samples from ``first`` on; ``step`` later ones in the next repetition.

        The calls are to run in this thread before it reads anything else, because they use memory
        that is lent to it.
        """
        ...


@dataclass(frozen=True)
class FirstLayer:
    """The first layer: it is cheap to compute anew, and its outputs are the largest of all.

    Attributes
    ----------
    x : array of float32, shape (n_samples + 2,)
        The input, padded for the kernel.
    kernel : array of float32, shape (P, 1, 3, L)
        The kernel.
    mean, scale : array of float32, shape (n_channels,)
        Means and factors of instance norm.
    """

    x: Array
    kernel: Array
    mean: Array
    scale: Array

    @property
    def shape(self) -> tuple[int, int]:
        """Number of samples and of channels."""
        return len(self.x) - 2, len(self.mean)

    def read(self, first: int, n_samples: int, out: Place, step: int = 0) -> list[Call]:
        """Plan to write samples from ``first`` on; ``step`` later ones in the next repetition."""
        n_panels = len(self.kernel)
        places = locate(self.x, first, step), locate(self.kernel), out
        norm = out, locate(self.mean), locate(self.scale)
        return [
            load_loops().convolve(places, (1, n_panels, n_samples), 3, 1),
            activate(norm, None, out, (n_samples, n_panels)),
        ]


@dataclass(frozen=True)
class SecondLayer:
    """The second layer, computed anew as well: to move its outputs would take as long.

    Attributes
    ----------
    first : FirstLayer
        The layer before.
    convolution : Convolution
        The convolution of the layer.
    mean, scale : array of float32, shape (n_channels,)
        Means and factors of instance norm.
    memory : Memory
        Memory for what is read of the layer before.
    """

    first: FirstLayer
    convolution: "Convolution"
    mean: Array
    scale: Array
    memory: Memory

    @property
    def shape(self) -> tuple[int, int]:
        """Number of samples and of channels."""
        return self.first.shape

    def read(self, first: int, n_samples: int, out: Place, step: int = 0) -> list[Call]:
        """Plan to write samples from ``first`` on; ``step`` later ones in the next repetition."""
        convolution, thread = self.convolution, threading.get_ident()
        x_TC = self.memory.lend("first input", n_samples + 2, self.shape[1], thread=thread)
        begin = first - convolution.before
        n_panels = len(self.mean) // LANES
        norm = out, locate(self.mean), locate(self.scale)
        return [
            *_read_padded(self.first, begin, n_samples + 2, x_TC, step),
            *convolution.plan(x_TC, n_samples, out),
            activate(norm, None, out, (n_samples, n_panels)),
        ]


@dataclass(frozen=True)
class FirstSkip:
    """The residual connection of the first block, which is computed anew whenever it is read.

    Attributes
    ----------
    x : array of float32, shape (2 * n_samples,)
        The input.
    kernel : array of float32, shape (P, 1, 1, L)
        The kernel.
    """

    x: Array
    kernel: Array


@dataclass(frozen=True)
class StoredLayer:
    """A layer whose convolution has been computed.

    Attributes
    ----------
    outputs : array of float32, shape (n_samples, n_channels), or twice as many samples if pooled
        The outputs of the convolution.
    mean, scale : array of float32, shape (n_channels,)
        Means and factors of instance norm.
    skipped : array of float32, shape (n_samples, n_channels), FirstSkip, or None
        The outputs of the residual connection, if the layer is the last of a block.
    pooled : bool
        Whether max-pooling halves the number of samples, before the residual connection.
    """

    outputs: Array
    mean: Array
    scale: Array
    skipped: Array | FirstSkip | None = None
    pooled: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Number of samples and of channels."""
        n_samples, n_channels = self.outputs.shape
        return n_samples // self._n_pooled, n_channels

    @property
    def _n_pooled(self) -> int:
        """Number of samples of the outputs for each sample of the layer."""
        return 2 if self.pooled else 1

    def read(self, first: int, n_samples: int, out: Place, step: int = 0) -> list[Call]:
        """Plan to write samples from ``first`` on; ``step`` later ones in the next repetition."""
        n_panels = len(self.mean) // LANES
        calls, skipped = [], None
        if isinstance(self.skipped, FirstSkip):
            places = locate(self.skipped.x, 2 * first, 2 * step), locate(self.skipped.kernel), out
            calls.append(load_loops().convolve(places, (1, n_panels, n_samples), 1, 2))
            skipped = out
        elif self.skipped is not None:
            skipped = locate(self.skipped, first, step)
        outputs = locate(self.outputs, first * self._n_pooled, step * self._n_pooled)
        norm = outputs, locate(self.mean), locate(self.scale)
        sizes = n_samples, n_panels
        return [*calls, activate(norm, skipped, out, sizes, pooled=self.pooled)]


@dataclass(frozen=True)
class Convolution:
    """A convolution of three taps, and the residual connection that begins with it.

    Attributes
    ----------
    kernel : array of float32, shape (P, I, 3, L)
        The kernel.
    skip_kernel : array of float32, shape (P, I, 1, L), or None
        The kernel of the residual connection.
    stride : int
        1 or 2.
    before : int
        Samples before those that are convolved which are also read.
    """

    kernel: Array
    skip_kernel: Array | None
    stride: int
    before: int

    @property
    def n_out(self) -> int:
        """Number of channels of the outputs."""
        return len(self.kernel) * LANES

    def plan(
        self, x_TC: Array, n_samples: int, out: Place, skipped: Place | None = None
    ) -> list[Call]:
        """Plan the convolution of padded samples, and the residual connection."""
        n_panels, n_in = self.kernel.shape[:2]
        sizes = n_in, n_panels, n_samples // self.stride
        places = locate(x_TC), locate(self.kernel), out
        calls = [load_loops().convolve(places, sizes, 3, self.stride)]
        if self.skip_kernel is not None and skipped is not None:
            sizes = n_in, n_panels, n_samples // 2
            places = locate(x_TC, self.before), locate(self.skip_kernel), skipped
            calls.append(load_loops().convolve(places, sizes, 1, 2))
        return calls

    def run(
        self,
        layer: Layer,
        span: tuple[int, int],
        memory: Memory,
        out_TC: Array | None,
        skipped_TC: Array | None,
    ) -> NDArray[np.float64]:
        """Convolve samples of a layer, a few at a time.

        Parameters
        ----------
        layer : Layer
            The layer.
        span : tuple of int
            The first sample, and the one after the last; both are even numbers.
        memory : Memory
            Memory for what is read.
        out_TC : array of float32, shape (n_samples / stride, n_channels), or None
            Where the outputs of the layer's samples are written; None if only sums are wanted.
        skipped_TC : array of float32, shape (n_samples / 2, n_channels), or None
            Where those of the residual connection are written.

        Returns
        -------
        sums_2C : array of float64, shape (2, n_channels)
            The sums of the outputs and of their squares.
        """
        n_samples, n_in = layer.shape
        n_out, thread = self.n_out, threading.get_ident()
        size = max(_VALUES_PER_CHUNK // max(n_in, n_out) // 2, _SMALLEST_CHUNK // 2) * 2
        x_TC = memory.lend("input", size + 2, n_in, thread=thread)
        y_TC = memory.lend("output", size, n_out, thread=thread)
        sums_2C = np.zeros((2, n_out))
        sums, squares = (locate(sums_2C, row, dtype=np.float64) for row in (0, 1))
        for first, last, n_times in _split(*span, size, n_samples):
            n_convolved, n_rows = last - first, (last - first) // self.stride
            out, skipped = locate(y_TC), None
            if out_TC is not None:
                out = locate(out_TC, first // self.stride, n_rows)
            if skipped_TC is not None:
                skipped = locate(skipped_TC, first // 2, n_convolved // 2)
            calls = [
                *_read_padded(layer, first - self.before, n_convolved + 2, x_TC, n_convolved),
                *self.plan(x_TC, n_convolved, out, skipped),
                add_up(out, sums, squares, (n_rows, n_out // LANES)),
            ]
            load_loops().run(calls, n_times)
        return sums_2C


def _split(first: int, last: int, size: int, n_samples: int) -> Iterator[tuple[int, int, int]]:
    """Split a span of even numbers into chunks, of which those in the middle are repetitions.

    Yields
    ------
    first, last : int
        The first sample of a chunk, and the one after its last.
    n_times : int
        How many such chunks follow each other. If there are several, none is within two samples of
        the ends of the recording, since up to two are read beyond a chunk.
    """
    while first < last:
        end = min(first + size, last)
        n_times = max((min(last, n_samples - 2) - first) // size, 1) if first > 0 else 1
        yield first, end, n_times
        first += n_times * (end - first)


def _read_padded(layer: Layer, first: int, n_read: int, x_TC: Array, step: int = 0) -> list[Call]:
    """Plan to read samples of a layer, with zeros before the first and after the last."""
    n_samples, _ = layer.shape
    before, after = max(-first, 0), max(first + n_read - n_samples, 0)
    x_TC[:before], x_TC[n_read - after : n_read] = 0.0, 0.0
    return layer.read(first + before, n_read - before - after, locate(x_TC, before), step)


def pad_channels(n_channels: int) -> int:
    """Find the number of channels with those that fill the last vector."""
    return -(-n_channels // LANES) * LANES


def pad(weight_OIK: Array, *, reads_signal: bool = False) -> Array:
    """Add zeros for the channels that fill the last vector, except to the one of a signal."""
    n_out, n_in, _ = weight_OIK.shape
    more_in = 0 if reads_signal else pad_channels(n_in) - n_in
    return np.pad(weight_OIK, ((0, pad_channels(n_out) - n_out), (0, more_in), (0, 0)))


def pack(weight_OIK: Array) -> Array:
    """Order padded weights as they are read, to shape (P, I, K, L)."""
    n_out, n_in, n_taps = weight_OIK.shape
    weight_PLIK = weight_OIK.reshape(n_out // LANES, LANES, n_in, n_taps)
    return np.ascontiguousarray(weight_PLIK.transpose(0, 2, 3, 1))


def locate(
    array: NDArray[np.floating],
    row: int = 0,
    step: int = 0,
    dtype: type[np.floating] = np.float32,
) -> Place:
    """Find where a row of an array begins, which moves by ``step`` rows when calls are repeated."""
    if not array.flags.c_contiguous or array.dtype != dtype:
        raise ValueError(
            f"Compiled loops read contiguous {dtype.__name__}, not {array.dtype} with strides of "
            f"{array.strides} bytes."
        )
    address, size = array.__array_interface__["data"][0], array.strides[0]
    return Place(address + row * size, step * size)
