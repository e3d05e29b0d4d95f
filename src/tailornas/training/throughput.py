"""How fast a training is on this machine, measured by training a little of it."""

import time
from collections.abc import Callable, Iterator
from typing import final

from torch import Tensor

from tailornas.training.loop import EpochBatches, Fitted

__all__ = ["images_per_second"]


@final
class _Brief:
    """The beginning of an epoch: as many batches as fit into some seconds, at least two."""

    def __init__(self, batches: EpochBatches, seconds: float) -> None:
        self.batches, self.counts, self.seconds = batches, batches.counts, seconds

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, index: int, epochs: int) -> Iterator[tuple[Tensor, Tensor]]:
        started = time.perf_counter()
        for done, batch in enumerate(self.batches.epoch(index, epochs)):
            if done >= 2 and time.perf_counter() - started > self.seconds:
                return
            yield batch


def images_per_second(training: Callable[[EpochBatches], Fitted], batches: EpochBatches, seconds: float) -> float:
    """Throughput of ``training`` on ``batches``, after a warm-up of a fifth of the time.

    Args:
        training: fits throw-away weights for one epoch of what it is given.
        batches: the data that the real training will see.
        seconds: how long to measure; an epoch that ends earlier ends the measurement.
    """
    training(_Brief(batches, seconds / 5))
    return training(_Brief(batches, seconds)).images_per_second
