"""A faster forward pass for CPUs, which encodes a night in tiles.

The output of a layer for a whole night takes 80 MB, and allocating, filling and moving that much
memory costs more than the arithmetic. Tiles stay in the cache, and their memory is reused, which
halves the time. Training has to keep the outputs of all layers, so it uses the plain network. Shape
suffixes are those of ``model``.
"""

from collections.abc import Iterator, Mapping
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from .model import INSTANCE_NORM_EPS, Conv, ResidualBlock, SignalEncoder, Wav2Sleep

_SAMPLES_PER_TILE = 2**18
"""16 MB at 16 channels: small enough for the C library to reuse the memory instead of returning it,
and large enough that threads rarely wait for each other at the end of a tile."""


class FastWav2Sleep:
    """A network that runs on a CPU without gradients.

    Parameters
    ----------
    network : Wav2Sleep
        The network, on the CPU. Its weights are shared, not copied.

    Notes
    -----
    Features agree with those of the plain network to about 2e-5, because sums are computed in a
    different order.
    """

    def __init__(self, network: Wav2Sleep) -> None:
        self._network = network

    def encode(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run the encoders, as :meth:`Wav2Sleep.encode` does."""
        encoders = self._network.signal_encoders
        found = {}
        for name in sorted(x):
            encoder = cast("SignalEncoder", encoders.encoders[encoders.signals[name]])
            found[name] = _encode(encoder, x[name])
        return found

    def mix(self, z: Mapping[str, Tensor], available: Mapping[str, Tensor] | None = None) -> Tensor:
        """Compute the stage logits, as :meth:`Wav2Sleep.mix` does."""
        return self._network.mix(z, available)


def _encode(encoder: SignalEncoder, x_BT: Tensor) -> Tensor:
    """Run an encoder, one recording at a time."""
    if encoder.chunked:  # epochs are encoded separately, so that there is nothing to tile
        return encoder(x_BT)
    n_recordings, n_samples = x_BT.shape
    y_BTC = torch.stack([_run_cnn(encoder, x_T) for x_T in x_BT])
    return encoder.embed(y_BTC.reshape(n_recordings, n_samples // encoder.samples_per_epoch, -1))


def _run_cnn(encoder: SignalEncoder, x_T: Tensor) -> Tensor:
    """Run the CNN on one recording, in tiles of shape (T, C)."""
    tiles = list(x_T.unsqueeze(1).split(_SAMPLES_PER_TILE))
    for block in cast("Iterator[ResidualBlock]", iter(encoder.cnn)):
        tiles = _run_block(block, tiles)
    return torch.cat(tiles)


def _run_block(block: ResidualBlock, tiles: list[Tensor]) -> list[Tensor]:
    """Run a residual block."""
    outputs = tiles
    for conv in (block.conv1, block.conv2, block.conv3):
        outputs = _normalize(_convolve(conv, outputs))
    # A strided convolution of channels-last input would corrupt memory in oneDNN when it is
    # differentiated; slicing and a matrix product give the same values.
    weight = block.downsample.weight.squeeze(2)
    return [
        functional.gelu(y_TC.add_(functional.linear(x_TC[::2], weight)))
        for x_TC, y_TC in zip(tiles, outputs, strict=True)
    ]


def _convolve(conv: Conv, tiles: list[Tensor]) -> list[Tensor]:
    """Convolve tiles, each of which must be longer than the reach of the kernel."""
    right = int(conv.conv.padding[0])
    left = conv.left + right
    weight = conv.conv.weight.unsqueeze(2)
    edge_TC = torch.zeros_like(tiles[0][:left])
    outputs = []
    for i, tile_TC in enumerate(tiles):
        before_TC = tiles[i - 1][-left:] if i else edge_TC
        after_TC = tiles[i + 1][:right] if i + 1 < len(tiles) else edge_TC[:right]
        x_TC = torch.cat([before_TC, tile_TC, after_TC])
        # conv2d sees time-major memory as channels-last, the layout of its fastest kernels.
        x_BCHT = x_TC[None, None].permute(0, 3, 1, 2)
        y_BCHT = functional.conv2d(x_BCHT, weight, stride=(1, conv.conv.stride[0]))
        outputs.append(y_BCHT[0, :, 0].T.to(tile_TC.dtype))
    return outputs


def _normalize(tiles: list[Tensor]) -> list[Tensor]:
    """Apply instance norm and GELU to the tiles of one recording, which are overwritten."""
    n_samples = sum(len(tile_TC) for tile_TC in tiles)
    mean_C = torch.stack([tile_TC.sum(0) for tile_TC in tiles]).sum(0) / n_samples
    squares = [tile_TC.sub_(mean_C).square().sum(0) for tile_TC in tiles]
    scale_C = torch.rsqrt(torch.stack(squares).sum(0) / n_samples + INSTANCE_NORM_EPS)
    return [functional.gelu(tile_TC.mul_(scale_C)) for tile_TC in tiles]
