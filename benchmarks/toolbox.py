"""Training speed of ResNet-32, and what each loss, sampler, blending and augmentation costs of one of its steps.

A part is timed alone, in turn with steps, so that both meet the same load; its share is that of the median step with
cross-entropy. A sampler's time is that of an epoch's order, divided by the steps of the epoch; an objective's that of
class weights, blending and loss together. Ends with an error where one of these takes more than 3% of a step, or a
metric report of 10,000 rows and 100 classes more than 50 ms.

    python -m benchmarks.toolbox --out benchmarks/results/toolbox.json
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import torch
from benchmarks.machine import spread, write

from tailornas.data import SAMPLERS, AugmentConfig, Batches, MemoryImages
from tailornas.losses import LOSSES, MixConfig, build_loss
from tailornas.metrics import report
from tailornas.seeding import generator
from tailornas.spaces import cifar_resnet
from tailornas.training import (
    DeviceConfig,
    Objective,
    OptimizerConfig,
    Position,
    TrainConfig,
    make_fabric,
    make_optimizer,
)
from tailornas.types import ClassCounts, Normalization, TrainSplit

BATCH, CLASSES = 128, 10
MOST_SHARE, MOST_REPORT = 0.03, 50.0
COUNTS = ClassCounts((5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write; printed in any case")
    parser.add_argument("--rounds", type=int, default=30, help="timed rounds")
    parser.add_argument("--threads", type=int, help="CPU threads; none: one a core")
    arguments = parser.parse_args()
    fabric = make_fabric(DeviceConfig(threads=arguments.threads))
    rng = generator(0, "toolbox")
    network = cifar_resnet(32, CLASSES, generator=rng).to(memory_format=torch.channels_last)
    sgd = make_optimizer(network, OptimizerConfig(learning_rate=0.01, decay_all=True, nesterov=False))
    labels = torch.repeat_interleave(torch.arange(CLASSES), torch.tensor(COUNTS.counts))
    pixels = torch.randint(256, (len(labels), 3, 32, 32), dtype=torch.uint8, generator=rng)
    split = TrainSplit(MemoryImages(pixels), torch.arange(len(labels)), labels, tuple("abcdefghij"))
    images = torch.randn(BATCH, 3, 32, 32, generator=rng).contiguous(memory_format=torch.channels_last)
    targets = torch.randint(CLASSES, (BATCH,), generator=rng)
    plain = build_loss("cross_entropy", COUNTS)

    def step() -> None:
        with fabric.autocast():
            loss = plain(network(images), targets)
        sgd.zero_grad()
        fabric.backward(loss)
        sgd.step()

    parts: dict[str, Callable[[], Any]] = {}
    for name in LOSSES:
        parts[f"loss {name}"] = _loss(name, targets)
    for name, settings in {
        "ldam, drw": TrainConfig(loss="ldam"),
        "mixup, balanced softmax": TrainConfig(loss="balanced_softmax", mix=MixConfig(name="mixup")),
        "remix, class weights": TrainConfig(loss="ce", class_weights="auto", mix=MixConfig(name="remix")),
    }.items():
        parts[f"objective {name}"] = _objective(settings, images, targets)
    for name, augment in {
        "input crop and flip": AugmentConfig(flip=True),
        "input crop, flip and cutout": AugmentConfig(flip=True, cutout=16),
        "input crop, flip and autoaugment": AugmentConfig(flip=True, policy="autoaugment"),
    }.items():
        parts[name] = _input(split, augment, fabric.device)
    steps = len(labels) / BATCH
    orders = {f"sampler {name}": sampler for name, sampler in SAMPLERS.items()}

    for _ in range(3):
        step()
    times: dict[str, list[float]] = {name: [] for name in ("step", *parts, *orders)}
    for _ in range(arguments.rounds):
        times["step"].append(_milliseconds(step))
        for name, part in parts.items():
            times[name].append(_milliseconds(part))
        for name, sampler in orders.items():
            times[name].append(_milliseconds(partial(sampler, labels, COUNTS, rng, 0.5)) / steps)
    whole = spread(times.pop("step"))
    result = {
        name: {**spread(values), "share_of_step": round(spread(values)["median"] / whole["median"], 5)}
        for name, values in times.items()
    }
    probabilities = torch.rand(10_000, 100, generator=rng).softmax(1)
    answers = torch.arange(10_000) % 100
    many, names = ClassCounts((100,) * 100), [str(label) for label in range(100)]
    reports = spread(
        [_milliseconds(lambda: report(probabilities, answers, many, names)) for _ in range(arguments.rounds)]
    )
    write(
        {
            "setting": {
                "network": "ResNet-32",
                "batch": BATCH,
                "image_size": 32,
                "classes": CLASSES,
                "images": len(labels),
            },
            "step_ms": whole,
            "images_per_second": round(1e3 * BATCH / whole["median"]),
            "parts_ms": result,
            "report_of_10000_rows_and_100_classes_ms": reports,
        },
        arguments.out,
    )
    limited = {
        n: part["share_of_step"] for n, part in result.items() if n.split()[0] in ("loss", "objective", "sampler")
    }
    over = [f"{name} takes {share:.1%} of a step" for name, share in limited.items() if share > MOST_SHARE]
    if reports["median"] > MOST_REPORT:
        over.append(f"the metric report takes {reports['median']:.0f} ms")
    if over:
        sys.exit("over the limits: " + "; ".join(over))


def _loss(name: str, targets: torch.Tensor) -> Callable[[], Any]:
    loss = build_loss(name, COUNTS, generator(0, "loss"))
    logits = torch.randn(BATCH, CLASSES, generator=generator(0, "logits")).clamp(-1, 1).requires_grad_()
    return lambda: loss(logits, targets).backward()


def _objective(settings: TrainConfig, images: torch.Tensor, targets: torch.Tensor) -> Callable[[], Any]:
    objective = Objective(settings, COUNTS, seed=0, stage=(), device=images.device)
    logits = torch.randn(BATCH, CLASSES, generator=generator(0, "logits")).clamp(-1, 1).requires_grad_()
    steps = count()

    def part() -> None:
        _, loss = objective.begin(images, targets, Position(next(steps), progress=0.9))
        torch.autograd.backward(loss(logits))

    return part


def _input(split: TrainSplit, augment: AugmentConfig, device: torch.device) -> Callable[[], Any]:
    normalization = Normalization((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    batches = Batches(split, BATCH, normalization, augment, SAMPLERS["instance"], 0, "bench", device)
    endless = (batch for epoch in range(1000) for batch in batches.epoch(epoch, 1000))
    return lambda: next(endless)


def _milliseconds(part: Callable[[], Any]) -> float:
    started = time.perf_counter()
    part()
    return 1e3 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
