"""The candidates of a search: one within the limits, what each costs and scores, how long that takes."""

import time
from collections.abc import Callable
from dataclasses import asdict
from statistics import mean

import torch

from tailornas.data import ordered
from tailornas.methods.context import Context
from tailornas.search import Costs, Score, reachable, score
from tailornas.seeding import generator
from tailornas.spaces import Backbone, SearchSpace
from tailornas.stages import Artifact, Detached, Stage
from tailornas.types import Architecture, SelectionSplit

__all__ = ["candidate_costs", "counted_costs", "first_candidate", "scorer", "seconds_a_candidate"]


def first_candidate(context: Context, space: SearchSpace[Backbone]) -> tuple[Architecture, Costs]:
    """An architecture that meets the limits, and its costs, found before anything expensive starts.

    Kept as a stage where latency is limited: a second start need not measure again, nor find otherwise.

    Raises:
        LimitError: none does; says the smallest.
    """
    limits = context.settings.limits

    def compute(stage: Stage) -> Artifact:
        costs, counted = candidate_costs(context, space), counted_costs(context, space)
        architecture, cost = reachable(space, costs, counted, limits, context.seed)
        return Artifact({"architecture": dict(architecture), "costs": asdict(cost)})

    if limits.latency_ms is None:
        found = compute(Detached())
    else:
        inputs = {
            "space": context.space_id,
            "image_size": context.target.image_size,
            "classes": len(context.target.classes),
            "seed": context.seed,
            "limits": limits.model_dump(mode="json"),
            "clock": context.fitting.clock,
        }
        found = context.run.stage("limits", inputs, compute)
    return space.architecture(found.values["architecture"]), Costs(**found.values["costs"])


def scorer(
    context: Context, space: SearchSpace[Backbone], selection: SelectionSplit | None = None
) -> Callable[[Architecture], Score]:
    """Scores with the weights that ``space`` has at the time, over the same images every time.

    Args:
        context: the job.
        space: the supernet.
        selection: the images to score on; None: the target's selection split.
    """
    target, settings, device = context.target, context.settings.search, context.fabric.device
    images = selection or target.selection
    order = torch.randperm(len(target.train), generator=generator(context.seed, "search", "calibration"))
    calibration = target.train.subset(order[: settings.calibration_images])
    return lambda architecture: score(
        context.fabric,
        space,
        architecture,
        ordered(calibration, settings.batch_size, target.normalization, device),
        ordered(images, settings.batch_size, target.normalization, device),
        len(target.classes),
    )


def counted_costs(context: Context, space: SearchSpace[Backbone]) -> Callable[[Architecture], Costs]:
    """Costs without latency, which are quickly had."""

    def counted(architecture: Architecture) -> Costs:
        cost = space.cost(architecture, context.target.image_size)
        return Costs(cost.params, cost.macs)

    return counted


def candidate_costs(context: Context, space: SearchSpace[Backbone]) -> Callable[[Architecture], Costs]:
    """Costs with the weights that ``space`` has at the time, the latency measured where it is limited."""
    return lambda architecture: context.fitting.costs(
        space.cost(architecture, context.target.image_size),
        lambda: space.derive(architecture),
    )


def seconds_a_candidate(context: Context, space: SearchSpace[Backbone], seconds: float) -> float:
    """Expected seconds that a candidate takes, nearly every one being scored.

    Measured on a few architectures, and at most a thousand or so images of the selection split; time goes by images.

    Args:
        context: the job.
        space: a supernet, of any weights.
        seconds: how long to measure, if two architectures do not take longer.
    """
    selection, settings = context.target.selection, context.settings.search
    part = selection.subset(torch.arange(min(len(selection), 4 * settings.batch_size)))
    scored, costs = scorer(context, space, part), candidate_costs(context, space)
    calibration = min(len(context.target.train), settings.calibration_images)
    longer = (calibration + len(selection)) / (calibration + len(part))

    rng = generator(context.seed, "plan", "candidates")
    drawn = [space.sample(rng) for _ in range(60)]
    counted, limits = counted_costs(context, space), context.settings.limits
    likely = [a for a in drawn if limits.met(counted(a))] + drawn
    scored(likely[0])  # warms up
    times: list[float] = []
    for architecture in likely[1:7]:
        started = time.perf_counter()
        costs(architecture)
        costed = time.perf_counter()
        scored(architecture)
        times.append(costed - started + longer * (time.perf_counter() - costed))
        if len(times) > 1 and sum(times) > seconds * longer:
            break
    return mean(times)
