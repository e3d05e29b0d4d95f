"""The stages up to the search: plan, train the supernet on the source, adapt it to the target, search with it.

A stage names everything that its result depends on, so that the run folder can tell whether it is there already.
"""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

from tailornas.adaptation import adapt_head
from tailornas.data import SAMPLERS, Batches, ordered
from tailornas.methods.context import Context
from tailornas.methods.plan import DEFAULT_EPOCHS, SearchPlan, measuring_seconds
from tailornas.methods.plan import plan_search as plan_within
from tailornas.search import Candidate, Costs, Score, best, check_reachable, evolve, score
from tailornas.seeding import generator
from tailornas.spaces import Backbone, SearchSpace, load_published
from tailornas.stages import Artifact, Detached, Stage
from tailornas.training import EpochBatches, Fitted, images_per_second
from tailornas.training import pretrain as train_supernet
from tailornas.types import Architecture

__all__ = ["adapt", "adapt_inputs", "check_limits", "plan_search", "pretrain", "search", "source_supernet", "transfer"]


def check_limits(context: Context, space: SearchSpace[Backbone]) -> None:
    """Makes sure, before anything expensive, that some architecture meets the limits.

    Raises:
        LimitError: none does; says the smallest.
    """

    def counted(architecture: Architecture) -> Costs:
        cost = space.cost(architecture, context.target.image_size)
        return Costs(cost.params, cost.macs)

    check_reachable(space, _candidate_costs(context, space), counted, context.settings.limits, context.seed)


def plan_search(context: Context) -> SearchPlan:
    """How many epochs and generations the stages up to the search take; measured where there is a time limit.

    Raises:
        ConfigError: the time limit is too short.
    """
    settings, limit = context.settings, context.time_limit
    fixed = {
        "pretrain": settings.pretrain.epochs,
        "adapt": settings.adapt.epochs,
        "generations": settings.search.generations,
    }
    if limit is None:
        units = {name: chosen or DEFAULT_EPOCHS[name] for name, chosen in fixed.items()}
        pretrain_epochs = 0 if context.source.weights else units["pretrain"]
        return SearchPlan(pretrain_epochs, units["adapt"], units["generations"])
    inputs = {
        **_pretrain_inputs(context),
        **_target_inputs(context),
        "search": settings.search.model_dump(mode="json"),
        "time_limit": limit,
        "fixed": fixed,
    }

    def compute(stage: Stage) -> Artifact:
        seconds = measuring_seconds(limit)
        space = context.new_space(context.target.train)
        pretrain_rate: float | None = None
        if context.source.weights is None:
            supernet = context.new_space(context.source.train)
            stage.progress(0, 3, "measurements", now="supernet training")
            pretrain_rate = images_per_second(
                lambda batches: _pretrain(context, supernet, batches, 1, Detached()),
                _source_batches(context),
                seconds,
            )
        rates = {}
        stage.progress(1, 3, "measurements", now="head adaptation")
        rates["adapt_rate"] = images_per_second(
            lambda batches: _adapt(context, space, batches, 1, Detached()),
            _target_batches(context),
            seconds,
        )
        stage.progress(2, 3, "measurements", now="scoring a candidate")
        rates["candidate_seconds"] = _seconds_a_candidate(context, space)
        plan = plan_within(
            limit,
            context.run.elapsed,
            fixed=fixed,
            source_images=len(context.source.train),
            target_images=len(context.target.train),
            population=settings.search.population,
            pretrain_rate=pretrain_rate,
            **rates,
        )
        stage.progress(3, 3, "measurements")
        rest = "get the rest" if settings.train.epochs is None else "are trained as long as train.epochs says"
        context.run.note(
            f"Planned within {limit:.0f} s: {plan.pretrain_epochs} epochs of the supernet, {plan.adapt_epochs} of its "
            f"head, {plan.generations * settings.search.population} candidates; both networks {rest}."
        )
        return Artifact(plan.values())

    return SearchPlan(**context.run.stage("plan", inputs, compute).values)


def pretrain(context: Context, plan: SearchPlan, supernet: SearchSpace[Backbone]) -> None:
    """Trains ``supernet`` in place on the source, single paths uniformly drawn."""

    def compute(stage: Stage) -> Artifact:
        fitted = _pretrain(context, supernet, _source_batches(context), plan.pretrain_epochs, stage)
        context.fitting.note_if_short("The supernet's training", fitted.epochs, plan.pretrain_epochs)
        return Artifact(fitted.values(), supernet.network.state_dict())

    inputs = {**_pretrain_inputs(context), "epochs": plan.pretrain_epochs}
    result = context.run.stage("pretrain", inputs, compute, until=plan.pretrain_until)
    supernet.network.load_state_dict(dict(result.tensors))


def source_supernet(context: Context, plan: SearchPlan, space: SearchSpace[Backbone]) -> None:
    """Gives ``space`` the backbone of a supernet that was trained on balanced data: by others, or here.

    Raises:
        CheckpointError: a published one cannot be read, or is of another space.
    """
    if context.source.weights is not None:
        load_published(space.network, context.source.weights)
    else:
        supernet = context.new_space(context.source.train)
        pretrain(context, plan, supernet)
        transfer(supernet, space)


def transfer(supernet: SearchSpace[Backbone], space: SearchSpace[Backbone]) -> None:
    """Copies the weights of ``supernet``'s backbone into ``space``, whose head stays new."""
    backbone = {k: v for k, v in supernet.network.state_dict().items() if not k.startswith("head.")}
    left = space.network.load_state_dict(backbone, strict=False)
    assert not left.unexpected_keys and all(key.startswith("head.") for key in left.missing_keys)


def adapt(context: Context, plan: SearchPlan, space: SearchSpace[Backbone]) -> None:
    """Fits the head of ``space``, in place, to the target with a re-weighted loss; the backbone is frozen."""

    def compute(stage: Stage) -> Artifact:
        fitted = _adapt(context, space, _target_batches(context), plan.adapt_epochs, stage)
        return Artifact(fitted.values(), space.network.head.state_dict())

    result = context.run.stage("adapt", adapt_inputs(context, plan), compute)
    space.network.head.load_state_dict(dict(result.tensors))


def search(context: Context, plan: SearchPlan, space: SearchSpace[Backbone]) -> Candidate:
    """Searches with the adapted supernet's weights and returns the candidate with the best score.

    Raises:
        LimitError: no candidate was within the limits.
    """
    settings, limits = context.settings.search, context.settings.limits

    def compute(stage: Stage) -> Artifact:
        candidates = evolve(
            space,
            _scorer(context, space),
            _candidate_costs(context, space),
            limits,
            population=settings.population,
            generations=plan.generations,
            seed=context.seed,
            stage=stage,
        )
        return Artifact({"candidates": [asdict(c) for c in candidates], "winner": best(candidates).number})

    inputs = {
        "supernet": adapt_inputs(context, plan),
        "search": settings.model_dump(mode="json", exclude={"generations"}),
        "generations": plan.generations,
        "limits": limits.model_dump(mode="json"),
    }
    values = context.run.stage("search", inputs, compute).values
    return Candidate(**values["candidates"][values["winner"]])


def adapt_inputs(context: Context, plan: SearchPlan) -> dict[str, Any]:
    """What the weights of the adapted supernet depend on."""
    return {
        "pretrain": {**_pretrain_inputs(context), "epochs": plan.pretrain_epochs},
        **_target_inputs(context),
        "epochs": plan.adapt_epochs,
    }


def _pretrain_inputs(context: Context) -> dict[str, Any]:
    return {
        **context.identity,
        "source": context.source.fingerprint,
        "settings": context.settings.pretrain.model_dump(mode="json", exclude={"epochs"}),
    }


def _target_inputs(context: Context) -> dict[str, Any]:
    return {
        "target": context.target.fingerprint,
        "adapt": context.settings.adapt.model_dump(mode="json", exclude={"epochs"}),
    }


def _pretrain(
    context: Context, supernet: SearchSpace[Backbone], batches: EpochBatches, epochs: int, stage: Stage
) -> Fitted:
    counts, settings = context.source.train.counts, context.settings.pretrain
    return train_supernet(
        context.fabric, supernet, batches, counts, settings, epochs=epochs, seed=context.seed, stage=stage
    )


def _adapt(context: Context, space: SearchSpace[Backbone], batches: EpochBatches, epochs: int, stage: Stage) -> Fitted:
    counts, settings = context.target.train.counts, context.settings.adapt
    return adapt_head(context.fabric, space, batches, counts, settings, epochs=epochs, seed=context.seed, stage=stage)


def _source_batches(context: Context) -> Batches:
    source, settings = context.source, context.settings.pretrain
    sampler = SAMPLERS[settings.sampler or source.sampler]
    return context.fitting.batches(
        source.train, settings.batch_size, source.normalization, source.flip, sampler, "pretrain"
    )


def _target_batches(context: Context) -> Batches:
    target, settings = context.target, context.settings.adapt
    sampler = SAMPLERS[settings.sampler]
    return context.fitting.batches(
        target.train, settings.batch_size, target.normalization, target.flip, sampler, "adapt"
    )


def _scorer(context: Context, space: SearchSpace[Backbone]) -> Callable[[Architecture], Score]:
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


def _candidate_costs(context: Context, space: SearchSpace[Backbone]) -> Callable[[Architecture], Costs]:
    return lambda architecture: context.fitting.costs(
        space.cost(architecture, context.target.image_size),
        lambda: space.derive(architecture, weights=True),
    )


def _seconds_a_candidate(context: Context, space: SearchSpace[Backbone]) -> float:
    """Expected seconds a candidate takes: those of five that are scored, by the share that will be.

    Candidates beyond a limit are not scored. Fewer of them come as the search goes on, but then more come again that
    were scored before, so no share under a half is counted on.
    """
    scorer, costs = _scorer(context, space), _candidate_costs(context, space)
    rng = generator(context.seed, "plan", "candidates")
    architectures = [space.simplify(space.sample(rng)) for _ in range(60)]
    feasible = [a for a in architectures if max(context.settings.limits.violations(costs(a)).values(), default=0) <= 0]
    timed = (feasible + architectures)[:6]
    scorer(timed[0])  # warms up
    started = time.perf_counter()
    for architecture in timed[1:]:
        scorer(architecture)
    seconds = (time.perf_counter() - started) / len(timed[1:])
    return seconds * max(0.5, len(feasible) / len(architectures))
