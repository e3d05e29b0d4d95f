"""The candidates of a search: whether any is within the limits, what one costs and scores, how long that takes."""

import time
from collections.abc import Callable

import torch

from tailornas.data import ordered
from tailornas.methods.context import Context
from tailornas.search import Costs, Score, check_reachable, score
from tailornas.seeding import generator
from tailornas.spaces import Backbone, SearchSpace
from tailornas.stages import Artifact, Detached, Stage
from tailornas.types import Architecture

__all__ = ["candidate_costs", "check_limits", "scorer", "seconds_a_candidate"]


def check_limits(context: Context, space: SearchSpace[Backbone]) -> None:
    """Makes sure, before anything expensive, that some architecture meets the limits.

    Kept as a stage where latency is limited: a second start need not measure again, nor find otherwise.

    Raises:
        LimitError: none does; says the smallest.
    """
    limits = context.settings.limits

    def counted(architecture: Architecture) -> Costs:
        cost = space.cost(architecture, context.target.image_size)
        return Costs(cost.params, cost.macs)

    def compute(stage: Stage) -> Artifact:
        check_reachable(space, candidate_costs(context, space), counted, limits, context.seed)
        return Artifact({})

    if limits.latency_ms is None:
        compute(Detached())
        return
    inputs = {
        "space": dict(context.space_id),
        "image_size": context.target.image_size,
        "classes": len(context.target.classes),
        "seed": context.seed,
        "limits": limits.model_dump(mode="json"),
        "clock": context.fitting.clock,
    }
    context.run.stage("limits", inputs, compute)


def scorer(context: Context, space: SearchSpace[Backbone]) -> Callable[[Architecture], Score]:
    """Scores with the weights that ``space`` has at the time, over the same images every time."""
    target, settings, device = context.target, context.settings.search, context.fabric.device
    order = torch.randperm(len(target.train), generator=generator(context.seed, "search", "calibration"))
    calibration = target.train.subset(order[: settings.calibration_images])
    return lambda architecture: score(
        context.fabric,
        space,
        architecture,
        ordered(calibration, settings.batch_size, target.normalization, device),
        ordered(target.selection, settings.batch_size, target.normalization, device),
        len(target.classes),
    )


def candidate_costs(context: Context, space: SearchSpace[Backbone]) -> Callable[[Architecture], Costs]:
    """Costs with the weights that ``space`` has at the time, the latency measured where it is limited."""
    return lambda architecture: context.fitting.costs(
        space.cost(architecture, context.target.image_size),
        lambda: space.derive(architecture, weights=True),
    )


def seconds_a_candidate(context: Context, space: SearchSpace[Backbone]) -> float:
    """Expected seconds a candidate takes: those of five that are scored, by the share that will be.

    Candidates beyond a limit are not scored. Fewer of them come as the search goes on, but then more come again that
    were scored before, so no share under a half is counted on.
    """
    scored, costs = scorer(context, space), candidate_costs(context, space)
    rng = generator(context.seed, "plan", "candidates")
    architectures = [space.simplify(space.sample(rng)) for _ in range(60)]
    feasible = [a for a in architectures if max(context.settings.limits.violations(costs(a)).values(), default=0) <= 0]
    timed = (feasible + architectures)[:6]
    scored(timed[0])  # warms up
    started = time.perf_counter()
    for architecture in timed[1:]:
        scored(architecture)
    seconds = (time.perf_counter() - started) / len(timed[1:])
    return seconds * max(0.5, len(feasible) / len(architectures))
