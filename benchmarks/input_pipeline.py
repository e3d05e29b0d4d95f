"""Share of a supernet training step that its input takes: shuffling, cropping, flipping, normalizing.

Batches are made and trained on in turn, in one process, so that both are timed under the same load.

    python -m benchmarks.input_pipeline --out benchmarks/results/input_pipeline.json
"""

import argparse
import time
from pathlib import Path

import torch
from benchmarks.machine import spread, write
from torch.nn import functional as F

from tailornas.data import SAMPLERS, AugmentConfig, Batches, MemoryImages
from tailornas.spaces import nasbench201
from tailornas.training import DeviceConfig, OptimizerConfig, make_fabric, make_optimizer
from tailornas.types import Normalization, TrainSplit

BATCH = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write; printed in any case")
    parser.add_argument("--steps", type=int, default=60, help="timed steps")
    arguments = parser.parse_args()
    rng = torch.Generator().manual_seed(0)
    fabric = make_fabric(DeviceConfig())
    images = MemoryImages(
        torch.randint(256, (BATCH * (arguments.steps + 5), 3, 32, 32), dtype=torch.uint8, generator=rng)
    )
    labels = torch.randint(10, (len(images),), generator=rng)
    split = TrainSplit(images, torch.arange(len(images)), labels, tuple("abcdefghij"))
    batches = Batches(
        split,
        BATCH,
        Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
        AugmentConfig(flip=True),
        SAMPLERS["instance"],
        0,
        "bench",
        fabric.device,
    )
    space = nasbench201(generator=rng, cells_per_stage=1)
    network = space.network.to(memory_format=torch.channels_last)
    sgd = make_optimizer(network, OptimizerConfig(learning_rate=0.01))
    making: list[float] = []
    training: list[float] = []
    epoch = batches.epoch(0, 1)
    started = time.perf_counter()
    for pixels, targets in epoch:
        made = time.perf_counter()
        with space.activate(space.sample(rng)), fabric.autocast():
            loss = F.cross_entropy(network(pixels), targets)
        sgd.zero_grad()
        fabric.backward(loss)
        sgd.step()
        trained = time.perf_counter()
        making.append(1e3 * (made - started))
        training.append(1e3 * (trained - made))
        started = trained
    making, training = making[5:], training[5:]
    write(
        {
            "setting": {"batch": BATCH, "image_size": 32, "network": "NAS-Bench-201 supernet, C=16, N=1"},
            "input_ms": spread(making),
            "training_ms": spread(training),
            "share_of_step": round(sum(making) / (sum(making) + sum(training)), 4),
            "input_images_per_second": round(BATCH * 1e3 * len(making) / sum(making)),
        },
        arguments.out,
    )


if __name__ == "__main__":
    main()
