"""Batches of a split, ready for a network."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import final

import torch
from torch import Tensor

from tailornas.data.augment import AugmentConfig, crop_and_flip, cutout, normalize
from tailornas.data.autoaugment import autoaugment
from tailornas.data.images import MemoryImages
from tailornas.data.sampling import Sampler, shard
from tailornas.errors import ConfigError, DataError
from tailornas.seeding import generator
from tailornas.types import ClassCounts, Normalization, SelectionSplit, Split, TrainSplit

__all__ = ["Batches", "ordered"]

_AHEAD = 4  # batches prepared in advance when images are decoded on demand

_Batch = tuple[Tensor, Tensor]


@final
class Batches:
    """Shuffled, augmented batches of a split, epoch after epoch.

    What an epoch holds depends on the seed, the position and the epoch's index alone, so that any epoch can
    be met without those before it.

    Args:
        split: the images; there is no way to hand over a test split.
        batch_size: images a batch, in each process.
        normalization: statistics of the training pixels.
        augment: what is done to each image, with ``flip`` set; None for nothing.
        sampler: the order of an epoch, a value of :data:`~tailornas.data.sampling.SAMPLERS` or the user's
            own.
        seed: the run's seed.
        position: where in the run the batches are used, the stage's name.
        device: where the batches go.
        rank: number of this process among those that share each epoch.
        world_size: number of those processes.

    Raises:
        ConfigError: the batch size is below 2, on which batch normalization cannot be trained.
        DataError: there are fewer than two images for each process.
    """

    def __init__(
        self,
        split: TrainSplit | SelectionSplit,
        batch_size: int,
        normalization: Normalization,
        augment: AugmentConfig | None,
        sampler: Sampler,
        seed: int,
        position: str,
        device: torch.device,
        *,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size < 2:
            raise ConfigError(f"batch_size is {batch_size}: expected at least 2, to train batch normalization")
        self._images_each = -(-len(split) // world_size)
        if self._images_each < 2:
            raise DataError(
                f"{len(split)} images for {world_size} processes: expected at least 2 for each, to train "
                "batch normalization"
            )
        self._split, self._batch_size, self._normalization = split, batch_size, normalization
        self._augment, self._sampler = augment, sampler
        self._seed, self._position, self._device = seed, position, device
        self._rank, self._world_size = rank, world_size

    @property
    def counts(self) -> ClassCounts:
        """Images a class of the split, however often an epoch meets each."""
        return self._split.counts

    def __len__(self) -> int:
        """Batches an epoch. The last may be smaller; one of a single image is left out."""
        full, rest = divmod(self._images_each, self._batch_size)
        return full + (rest > 1)

    def epoch(self, index: int, epochs: int) -> Iterator[_Batch]:
        """Yields the batches of one epoch.

        Args:
            index: the epoch, from 0.
            epochs: how many epochs the training has, which samplers that change over time ask for.

        Yields:
            Images, float32 ``(batch, 3, size, size)`` in ``channels_last`` memory format, and labels, int64
            ``(batch,)``.
        """
        order = self._sampler(
            self._split.labels,
            self.counts,
            generator(self._seed, self._position, "order", index),
            index / epochs,
        )
        order = shard(order, self._rank, self._world_size)
        # One generator for the epoch: batches are made in their order, in whichever thread.
        randomness = generator(self._seed, self._position, "augment", index, self._rank)

        def make(positions: Tensor) -> _Batch:
            images = self._split.images.take(self._split.rows[positions])
            if self._augment is not None:
                images = crop_and_flip(images, self._augment, randomness)
                if self._augment.policy == "autoaugment":
                    images = autoaugment(images, randomness)
            images = normalize(images.to(self._device), self._normalization)
            if self._augment is not None and self._augment.cutout:
                images = cutout(images, self._augment.cutout, randomness)
            return images, self._split.labels[positions].to(self._device)

        yield from _mapped(make, torch.split(order, self._batch_size)[: len(self)], self._split)


def ordered(split: Split, batch_size: int, normalization: Normalization, device: torch.device) -> Iterator[_Batch]:
    """Yields every image of a split once, in the split's order and unaugmented: the order of evaluation.

    Args:
        split: the images.
        batch_size: images a batch; the last batch may have fewer, and only one.
        normalization: statistics of the training pixels.
        device: where the batches go.

    Yields:
        Images, float32 ``(batch, 3, size, size)`` in ``channels_last`` memory format, and labels, int64
        ``(batch,)``.
    """

    def make(positions: Tensor) -> _Batch:
        images = split.images.take(split.rows[positions])
        return normalize(images.to(device), normalization), split.labels[positions].to(device)

    yield from _mapped(make, torch.split(torch.arange(len(split)), batch_size), split)


def _mapped(make: Callable[[Tensor], _Batch], positions: Iterable[Tensor], split: Split) -> Iterator[_Batch]:
    # Taking images from memory is so quick that a thread would cost more than it gives.
    if isinstance(split.images, MemoryImages):
        yield from map(make, positions)
    else:
        yield from _ahead(make, positions)


def _ahead(make: Callable[[Tensor], _Batch], positions: Iterable[Tensor]) -> Iterator[_Batch]:
    """Makes items in a background thread, in order, up to a few ahead of the one that is asked for.

    What the thread raises is raised here. The thread ends when the iterator does, is closed or is dropped.
    """
    remaining = iter(positions)
    pool = ThreadPoolExecutor(1, "batches")
    try:
        pending = deque(pool.submit(make, item) for item in islice(remaining, _AHEAD))
        while pending:
            made = pending.popleft().result()
            pending.extend(pool.submit(make, item) for item in islice(remaining, 1))
            yield made
    finally:
        pool.shutdown(cancel_futures=True)
