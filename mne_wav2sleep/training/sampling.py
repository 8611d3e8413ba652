"""Sampling: the order, crop and masking of nights in a pass.

Random numbers depend only on the seed, the number of the pass and the position in it, so that a
resumed run sees the same data as an uninterrupted one.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from ..cohorts.batches import Batch, collate, read_item
from ..cohorts.nights import PreparedNight
from ..staging.windows import plan_windows
from .masking import Masking


@dataclass(frozen=True)
class Draw:
    """A night in a pass: its position among the nights, and the seed of its random numbers."""

    night: int
    seed: tuple[int, ...]


class PassSampler(Sampler[Draw]):
    """The nights of one pass, or the share of one of several processes.

    Parameters
    ----------
    nights : sequence of PreparedNight
        The nights.
    weights : mapping of str to float or None
        How often each dataset is drawn, relative to the others; None to draw every night once.
    batch_size : int
        Recordings per step and process; a pass has only complete steps of all processes.
    seed, number : int
        Seed of the training run, and number of the pass.
    rank, n_processes : int
        Number of this process, and number of processes.
    """

    def __init__(
        self,
        nights: Sequence[PreparedNight],
        weights: Mapping[str, float] | None,
        batch_size: int,
        *,
        seed: int,
        number: int,
        rank: int = 0,
        n_processes: int = 1,
    ) -> None:
        rng = np.random.default_rng([seed, number])
        step = batch_size * n_processes
        n_draws = max(len(nights) // step, 1) * step
        if weights is None:
            order = np.concatenate(
                [rng.permutation(len(nights)) for _ in range(-(-n_draws // len(nights)))]
            )[:n_draws]
        else:
            sizes = Counter(night.dataset for night in nights)
            p = np.array([weights.get(n.dataset, 0.0) / sizes[n.dataset] for n in nights])
            order = rng.choice(len(nights), n_draws, p=p / p.sum())
        draws = [Draw(int(i), (seed, number, k)) for k, i in enumerate(order)]
        self._draws = draws[rank::n_processes]

    def __iter__(self) -> Iterator[Draw]:
        return iter(self._draws)

    def __len__(self) -> int:
        return len(self._draws)


class NightDataset(Dataset[dict]):
    """Prepared nights as training examples, read from disk on demand.

    Parameters
    ----------
    nights : sequence of PreparedNight
        The nights.
    modalities : sequence of str
        The modalities that the network reads.
    n_stages : int
        Number of stages of the network, 4 or 5.
    crop : int or None
        Epochs per item, to which a night is cropped at random, or padded. None for whole nights,
        or for a window of those that are staged in windows.
    padded_epochs : int
        Epochs to which whole nights are padded, as the weights' preprocessing says.
    masking : Masking
        How signals are dropped and inverted.
    """

    def __init__(
        self,
        nights: Sequence[PreparedNight],
        modalities: Sequence[str],
        n_stages: int,
        *,
        crop: int | None,
        padded_epochs: int,
        masking: Masking,
    ) -> None:
        for night in nights:
            night.check(modalities, n_stages)
        self._nights = list(nights)
        self._modalities = set(modalities)
        self._n_stages = n_stages
        self._crop = crop
        self._padded_epochs = padded_epochs
        self._masking = masking

    def __len__(self) -> int:
        return len(self._nights)

    def __getitem__(self, draw: Draw | int) -> dict[str, Any]:
        draw = draw if isinstance(draw, Draw) else Draw(draw, (0, 0, draw))
        night = self._nights[draw.night]
        rng = np.random.default_rng(draw.seed)
        # Of a recording that is staged in windows, the network sees a window.
        window = plan_windows(night.n_epochs)[0][1]
        length = self._crop or max(window, self._padded_epochs)
        first = int(rng.integers(max(night.n_epochs - length, 0) + 1))
        kept = self._masking.draw(sorted(self._modalities & set(night.modalities)), rng)
        item = read_item(night, kept, self._n_stages, first=first, length=length)
        for z in item["signals"].values():
            z *= self._masking.draw_sign(rng)
        return item


def _collate_by_length(items: Sequence[dict[str, Any]]) -> list[Batch]:
    """Combine nights of the same length.

    The network normalizes over a whole night, so that padding would change what it gives.
    """
    lengths = sorted({item["stages"].size for item in items})
    return [collate([one for one in items if one["stages"].size == n]) for n in lengths]


def make_loader(
    dataset: NightDataset, sampler: Sampler | None, batch_size: int, n_workers: int
) -> DataLoader:
    """Make a loader of steps, each a list of batches of nights of the same length.

    Batches are read in worker processes, or in this one if there are none.
    """
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=n_workers,
        collate_fn=_collate_by_length,
        # Forking a process with threads can deadlock. Workers only read files.
        multiprocessing_context="spawn" if n_workers else None,
    )
