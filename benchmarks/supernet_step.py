"""Speed of a supernet training step and of head-only adaptation, beside a plain implementation of the same network.

All run the same uniformly sampled paths of NAS-Bench-201 (C = 16, one cell a stage) on the same random images, one
after the other in an order that rotates from path to path, so that other work on the machine falls on all alike.

    python -m benchmarks.supernet_step --out benchmarks/results/supernet_step.json

On a machine that is busy otherwise, ``--threads 1 --cpu-time`` counts processor time and not the wait for a processor.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from benchmarks.machine import write
from torch import Tensor, nn

from tailornas.spaces import Backbone, cell_edges, nasbench201
from tailornas.types import Architecture

Step = Callable[[Architecture], object]
Edges = Sequence[tuple[int, int, str]]


def relu_conv_bn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(outputs))


class PlainCell(nn.Module):
    """The cell as its definition reads: each edge runs modules of its own, nothing is shared or left out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        edges = (
            nn.ModuleDict(
                {
                    "skip_connect": nn.Identity(),
                    "nor_conv_1x1": relu_conv_bn(channels, channels, 1),
                    "nor_conv_3x3": relu_conv_bn(channels, channels, 3),
                    "avg_pool_3x3": nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
                }
            )
            for _ in range(6)
        )
        self.edges = nn.ModuleList(edges)

    def forward(self, x: Tensor, edges: Edges) -> Tensor:
        nodes = [x]
        for target in (1, 2, 3):
            total: Tensor | None = None
            for (source, end, operation), options in zip(edges, self.edges, strict=True):
                if end == target and operation != "none":
                    term = options.get_submodule(operation)(nodes[source])
                    total = term if total is None else total + term
            nodes.append(torch.zeros_like(x) if total is None else total)
        return nodes[3]


class PlainReduction(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            relu_conv_bn(inputs, 2 * inputs, 3, stride=2), relu_conv_bn(2 * inputs, 2 * inputs, 3)
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, 2 * inputs, 1, bias=False))

    def forward(self, x: Tensor, _: Edges) -> Tensor:
        total: Tensor = self.convs(x) + self.shortcut(x)
        return total


class PlainNetwork(nn.Module):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.body = nn.ModuleList(
            [
                PlainCell(channels),
                PlainReduction(channels),
                PlainCell(2 * channels),
                PlainReduction(2 * channels),
                PlainCell(4 * channels),
            ]
        )
        self.last = nn.Sequential(nn.BatchNorm2d(4 * channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(4 * channels, classes)

    def forward(self, x: Tensor, edges: Edges) -> Tensor:
        x = self.stem(x)
        for layer in self.body:
            x = layer(x, edges)
        logits: Tensor = self.head(self.last(x))
        return logits


def sgd(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)


def steps(batch: int, dtype: torch.dtype, generator: torch.Generator) -> dict[str, Step]:
    """The three things that are timed, each a function of the path."""
    images = torch.randn(batch, 3, 32, 32, generator=generator).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (batch,), generator=generator)
    plain = PlainNetwork(16, 10).to(memory_format=torch.channels_last)
    space = nasbench201(cells_per_stage=1, generator=generator)
    space.network.to(memory_format=torch.channels_last)
    adapted = nasbench201(cells_per_stage=1, generator=generator)
    adapted.network.to(memory_format=torch.channels_last)

    def autocast() -> torch.autocast:
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16)

    def learn(logits: Tensor, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        F.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    plain_sgd, space_sgd, head_sgd = sgd(plain), sgd(space.network), sgd(adapted.network.head)

    def train_plain(arch: Architecture) -> None:
        with autocast():
            logits = plain(images, cell_edges(arch))
        learn(logits, plain_sgd)

    def train_space(arch: Architecture) -> None:
        with space.activate(arch), autocast():
            logits = space.network(images)
        learn(logits, space_sgd)

    def adapt_head(arch: Architecture) -> None:
        network: Backbone = adapted.network
        with adapted.activate(arch), autocast(), torch.inference_mode():
            features = network.features(images).float()
        learn(network.head(features.clone()), head_sgd)

    return {"plain training": train_plain, "supernet training": train_space, "head adaptation": adapt_head}


def measure(
    timed: dict[str, Step], paths: Sequence[Architecture], warmup: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Milliseconds of each step for each path after the first ``warmup`` ones."""
    times: dict[str, list[float]] = {name: [] for name in timed}
    names = list(timed)
    for position, path in enumerate(paths):
        shift = position % len(names)
        for name in names[shift:] + names[:shift]:
            start = clock()
            timed[name](path)
            if position >= warmup:
                times[name].append(1e3 * (clock() - start))
    return times


def summary(times: dict[str, list[float]], batch: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, values in times.items():
        quarters = statistics.quantiles(values, n=4)
        result[name] = {
            "n": len(values),
            "median_ms": round(quarters[1], 2),
            "interquartile_ms": [round(quarters[0], 2), round(quarters[2], 2)],
            "images_per_second": round(batch * 1e3 / statistics.mean(values), 1),
        }
    for name, base in (("supernet training", "plain training"), ("head adaptation", "supernet training")):
        ratios = [slow / fast for slow, fast in zip(times[base], times[name], strict=True)]
        quarters = statistics.quantiles(ratios, n=4)
        result[f"{name} / {base}"] = {
            "speed_ratio_of_totals": round(sum(times[base]) / sum(times[name]), 3),
            "median_ratio_a_path": round(quarters[1], 3),
            "interquartile_ratio": [round(quarters[0], 3), round(quarters[2], 3)],
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write; printed in any case")
    parser.add_argument("--paths", type=int, default=60, help="timed paths a precision")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--cpu-time", action="store_true", help="processor time of all threads, not wall time")
    arguments = parser.parse_args()
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    torch.set_num_threads(arguments.threads)
    processor = torch.cpu.get_capabilities()
    dtypes = [torch.float32]
    if processor.get("avx512_bf16") or processor.get("amx_bf16"):
        dtypes.append(torch.bfloat16)
    report: dict[str, Any] = {
        "setting": {"space": "nasbench201", "channels": 16, "cells": 1, "image_size": 32, "batch": arguments.batch},
        "clock": "processor time" if arguments.cpu_time else "wall time",
    }
    warmup = 5
    for dtype in dtypes:
        generator = torch.Generator().manual_seed(0)
        timed = steps(arguments.batch, dtype, generator)
        space = nasbench201(cells_per_stage=1, generator=generator)
        paths = [space.sample(generator) for _ in range(warmup + arguments.paths)]
        report[str(dtype).removeprefix("torch.")] = summary(measure(timed, paths, warmup, clock), arguments.batch)
    write(report, arguments.out)


if __name__ == "__main__":
    main()
