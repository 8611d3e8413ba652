"""Sampling: the order, crop and masking of nights in a pass.

Random numbers depend only on the seed, the number of the pass and the position in it, so that a
resumed run sees the same data as an uninterrupted one.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from ..cohorts.batches import Batch, collate, read_item
from ..cohorts.nights import PreparedNight
from ..staging.windows import divide, plan_windows
from .masking import Masking
from .schedule import count_steps


@dataclass(frozen=True)
class Draw:
    """A night in a pass: its position among the nights, and the seed of its random numbers.

    A night that does not count has no scored epoch: it stands in for a process without a night.
    """

    night: int
    seed: tuple[int, ...]
    counts: bool = True


class PassSampler(Sampler[list[Draw]]):
    """The nights of each step of a pass, or the share of one of several processes.

    No night is left out: if they do not fill the last step, all steps are a little smaller.

    Parameters
    ----------
    nights : sequence of PreparedNight
        The nights.
    weights : mapping of str to float or None
        How often each dataset is drawn, relative to the others; None to draw every night once.
    batch_size : int
        Largest number of recordings per step and process.
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
        self._n_nights = len(nights)
        self._p = None
        if weights is not None:
            sizes = Counter(night.dataset for night in nights)
            p = np.array([weights.get(n.dataset, 0.0) / sizes[n.dataset] for n in nights])
            self._p = p / p.sum()
        self._n_steps = count_steps(len(nights), batch_size, n_processes)
        self._seed = seed
        self._number = number
        self._rank = rank
        self._n_processes = n_processes

    @property
    def sampler(self) -> "PassSampler":
        """What Lightning tells the number of the pass."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Go to another pass, whose number Lightning calls its epoch."""
        self._number = epoch

    def __iter__(self) -> Iterator[list[Draw]]:
        rng = np.random.default_rng([self._seed, self._number])
        if self._p is None:
            order = rng.permutation(self._n_nights)
        else:
            order = rng.choice(self._n_nights, self._n_nights, p=self._p)
        draws = [Draw(int(i), (self._seed, self._number, k)) for k, i in enumerate(order)]
        for step in np.array_split(np.arange(len(draws)), self._n_steps):
            share = [draws[k] for k in step[self._rank :: self._n_processes]]
            # Processes wait for each other in every step.
            yield share or [replace(draws[step[0]], counts=False)]

    def __len__(self) -> int:
        return self._n_steps


class NightDataset(Dataset[dict]):
    """Prepared nights as training examples, read from disk on demand.

    Of a night that is staged in windows, an example is what the network would see of a window.

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
        or for a window at random of those that are staged in windows.
    padded_epochs : int
        Epochs to which whole nights are padded, as the weights' preprocessing says.
    padding : str
        What the padding holds, as the same preprocessing says.
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
        padding: str = "mean",
        masking: Masking,
    ) -> None:
        for night in nights:
            night.check(modalities, n_stages)
        self._nights = list(nights)
        self._modalities = set(modalities)
        self._n_stages = n_stages
        self._crop = crop
        self._padded_epochs = padded_epochs
        self._padding = padding
        self._masking = masking

    def __len__(self) -> int:
        return len(self._nights)

    def __getitem__(self, draw: Draw | int) -> dict[str, Any]:
        draw = draw if isinstance(draw, Draw) else Draw(draw, (0, 0, draw))
        night = self._nights[draw.night]
        rng = np.random.default_rng(draw.seed)
        windows = plan_windows(night.n_epochs)
        n_read = self._crop or windows[0][1]
        first = int(rng.integers(max(night.n_epochs - n_read, 0) + 1))
        kept = self._masking.draw(sorted(self._modalities & set(night.modalities)), rng)
        item = read_item(
            night,
            kept,
            self._n_stages,
            first=first,
            last=first + n_read,
            length=self._crop or max(n_read, self._padded_epochs),
            refill=len(windows) > 1,
            padding=self._padding,
        )
        for name, z in item["signals"].items():
            z *= self._masking.draw_sign(name, rng)
        if not draw.counts:
            item["stages"][:] = -1
        return item


class WindowDataset(Dataset[dict]):
    """Prepared nights as they are staged, for validation: every window, every epoch scored once.

    Parameters
    ----------
    nights : sequence of PreparedNight
        The nights.
    modalities : sequence of str
        The modalities that the network reads.
    n_stages : int
        Number of stages of the network, 4 or 5.
    padded_epochs : int
        Epochs to which windows are padded, as the weights' preprocessing says.
    padding : str
        What the padding holds, as the same preprocessing says.
    """

    def __init__(
        self,
        nights: Sequence[PreparedNight],
        modalities: Sequence[str],
        n_stages: int,
        *,
        padded_epochs: int,
        padding: str = "mean",
    ) -> None:
        for night in nights:
            night.check(modalities, n_stages)
        planned = [(night, plan_windows(night.n_epochs)) for night in nights]
        self._windows = [
            (night, window, part, len(windows) > 1)
            for night, windows in planned
            for window, part in zip(windows, divide(windows), strict=True)
        ]
        self._modalities = set(modalities)
        self._n_stages = n_stages
        self._padded_epochs = padded_epochs
        self._padding = padding

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, number: int) -> dict[str, Any]:
        night, (first, last), (begin, end), refill = self._windows[number]
        item = read_item(
            night,
            sorted(self._modalities & set(night.modalities)),
            self._n_stages,
            first=first,
            last=last,
            length=max(last - first, self._padded_epochs),
            refill=refill,
            padding=self._padding,
        )
        # Epochs that windows share count in the one that they are assigned to.
        item["stages"][: begin - first] = item["stages"][end - first :] = -1
        return item


def _collate_by_length(
    items: Sequence[dict[str, Any]], micro_batch_size: int | None
) -> list[Batch]:
    """Combine nights of the same length, at most so many.

    The network normalizes over a whole night, so that padding would change what it gives.
    """
    steps = []
    for n_epochs in sorted({item["stages"].size for item in items}):
        same = [one for one in items if one["stages"].size == n_epochs]
        size = micro_batch_size or len(same)
        steps += [collate(same[i : i + size]) for i in range(0, len(same), size)]
    return steps


def make_loader(
    dataset: NightDataset | WindowDataset,
    sampler: PassSampler | None,
    batch_size: int,
    n_workers: int,
    micro_batch_size: int | None = None,
) -> DataLoader:
    """Make a loader of steps, each a list of batches of nights of the same length.

    Parameters
    ----------
    dataset : NightDataset or WindowDataset
        The nights.
    sampler : PassSampler or None
        The nights of each step; None for all items in their order.
    batch_size : int
        Recordings per step, without a sampler.
    n_workers : int
        Number of processes that read nights; 0 to read them in this one.
    micro_batch_size : int or None
        Largest number of nights of a batch.

    Returns
    -------
    loader : torch.utils.data.DataLoader
        The loader.
    """
    options: dict[str, Any] = {"batch_size": batch_size}
    if sampler is not None:
        options = {"batch_sampler": sampler}
    if n_workers:
        # Forking a process with threads can deadlock. Workers only read files. They stay from pass
        # to pass, because each takes seconds to import what it needs.
        options |= {"multiprocessing_context": "spawn", "persistent_workers": True}
    return DataLoader(
        dataset,
        **options,
        num_workers=n_workers,
        collate_fn=partial(_collate_by_length, micro_batch_size=micro_batch_size),
    )
