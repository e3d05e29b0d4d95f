import math
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tailornas.stages import Detached
from tailornas.training import (
    DeviceConfig,
    EpochBatches,
    Fitted,
    OptimizerConfig,
    fit,
    images_per_second,
    make_fabric,
)
from tailornas.types import ClassCounts

FABRIC = make_fabric(DeviceConfig(accelerator="cpu", precision="fp32"))


class Ten:
    """Ten batches of four images an epoch."""

    counts = ClassCounts((4, 0))

    def __len__(self) -> int:
        return 10

    def epoch(self, index: int, epochs: int) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(10):
            yield torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)


@pytest.mark.parametrize(("seconds", "met"), [(0.0, 2), (math.inf, 10)])
def test_a_measurement_ends_with_its_time_or_with_the_epoch(seconds: float, met: int) -> None:
    trainings: list[int] = []

    def training(batches: EpochBatches) -> Fitted:
        assert len(batches) == 10  # schedules and progress are those of the whole epoch
        trainings.append(len(list(batches.epoch(0, 1))))
        return Fitted(1, 0.0, 1.0, images_per_second=100.0 * len(trainings))

    assert images_per_second(training, Ten(), seconds) == 200.0  # the second one: the first warms up
    assert trainings == [met, met]


def test_the_warm_up_takes_a_fifth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0]
    met: list[int] = []

    class Seconds:
        """Twenty batches, of which each takes a second."""

        counts = ClassCounts((4, 0))

        def __len__(self) -> int:
            return 20

        def epoch(self, index: int, epochs: int) -> Iterator[tuple[Tensor, Tensor]]:
            for _ in range(20):
                now[0] += 1
                yield torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)

    def training(batches: EpochBatches) -> Fitted:
        met.append(len(list(batches.epoch(0, 1))))
        return Fitted(1, 0.0, 1.0, images_per_second=1.0)

    monkeypatch.setattr("tailornas.training.throughput.time", SimpleNamespace(perf_counter=lambda: now[0]))
    images_per_second(training, Seconds(), 15.0)
    assert met == [3, 15]


def test_the_training_loop_can_be_measured() -> None:
    layer, steps = nn.Linear(3, 2), []

    def training(batches: EpochBatches) -> Fitted:
        def step(images: Tensor, labels: Tensor, at: object) -> Tensor:
            steps.append(at)
            return F.cross_entropy(layer(images), labels)

        return fit(FABRIC, layer, step, batches, epochs=1, optimizer=OptimizerConfig(), seed=0, stage=Detached())

    assert images_per_second(training, Ten(), 0.0) > 0
    assert len(steps) == 4
