"""Speed of the algebra of search spaces: drawing, changing and naming architectures, their costs, switching paths.

Each figure is of many calls in a row, in processor time of one thread, so that other work on the machine counts less.
``fresh`` calls come first in a space that has just been built; the others meet architectures it remembers.

    python -m benchmarks.spaces --out benchmarks/results/spaces.json
"""

import argparse
import gc
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from benchmarks.machine import spread, write
from torch import nn

from tailornas.spaces import Choice, SearchSpace, count, elastic_resnet, nasbench201, nats_size
from tailornas.types import Architecture

CALLS = 2000
"""Timed calls of which each repetition takes the mean."""


def microseconds(call: Callable[[Architecture], object], archs: Sequence[Architecture]) -> float:
    gc.collect()
    gc.disable()  # as timeit does: a collection looks at everything that torch has imported
    try:
        start = time.process_time()
        for arch in archs:
            call(arch)
        return 1e6 * (time.process_time() - start) / len(archs)
    finally:
        gc.enable()


def algebra(build: Callable[[], SearchSpace[Any]], repeats: int, rng: torch.Generator) -> dict[str, Any]:
    """Microseconds a call, of switching, canonicalising, mutating and drawing."""
    times: dict[str, list[float]] = {}
    for _ in range(repeats):
        calls = operations(build(), rng)
        archs = [Architecture(arch.choices) for arch in map(build().sample, [rng] * CALLS)]
        for kind in (", fresh", ""):
            for name, call in calls.items():
                times.setdefault(name + kind, []).append(microseconds(call, archs))
    return {
        name: {
            "microseconds": spread(values),
            "per_second": round(1e6 / median(values)),
            "at_best": round(1e6 / min(values)),
        }
        for name, values in times.items()
    }


def operations(space: SearchSpace[Any], rng: torch.Generator) -> dict[str, Callable[[Architecture], object]]:
    def activate(arch: Architecture) -> None:
        with space.activate(arch):
            pass

    return {
        "activate": activate,
        "canonical": space.canonical,
        "mutate": lambda arch: space.mutate(arch, rng),
        "sample": lambda arch: space.sample(rng),
    }


def costs(build: Callable[[], SearchSpace[Any]], repeats: int, rng: torch.Generator) -> dict[str, Any]:
    """Microseconds for the cost of an architecture never met before, and whether it is that of a counted pass."""
    space = build()
    start = time.process_time()
    space.cost(space.sample(rng), 32)
    table = time.process_time() - start
    draws = [[space.sample(rng) for _ in range(20)] for _ in range(repeats)]
    times = [microseconds(lambda arch: space.cost(arch, 32), archs) for archs in draws]
    checked = [space.sample(rng) for _ in range(20)]
    exact = all(space.cost(arch, 32) == count(space.derive(arch), 32) for arch in checked)
    return {"table_seconds": round(table, 3), "microseconds": spread(times), "equal_to_counted_of_20": exact}


def many_decisions() -> SearchSpace[nn.Module]:
    """A space of 50 decisions."""
    choices = (Choice(f"d{place}", {"a": nn.Identity(), "b": nn.ReLU(), "c": nn.Tanh()}) for place in range(50))
    return SearchSpace(nn.Sequential(*choices))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write; printed in any case")
    parser.add_argument("--repeats", type=int, default=45)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(0)
    spaces: dict[str, Callable[[], SearchSpace[Any]]] = {
        "nasbench201": lambda: nasbench201(generator=rng, cells_per_stage=1),
        "nats_size": lambda: nats_size(generator=rng),
        "resnet": lambda: elastic_resnet(generator=rng),
    }
    write(
        {
            "setting": {"calls": CALLS, "clock": "processor time", "image_size": 32},
            "algebra": {
                "50 decisions": algebra(many_decisions, arguments.repeats, rng),
                **{name: algebra(build, arguments.repeats, rng) for name, build in spaces.items()},
            },
            "cost": {name: costs(build, arguments.repeats, rng) for name, build in spaces.items()},
        },
        arguments.out,
    )


if __name__ == "__main__":
    main()
