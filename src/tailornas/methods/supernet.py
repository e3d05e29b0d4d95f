"""The stages up to the search: plan, train the supernet on the source, adapt it to the target, search with it.

A stage names everything that its result depends on, so that the run folder can tell whether it is there already.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, final

from tailornas.adaptation import adapt_head, give_target_head
from tailornas.data import Batches
from tailornas.errors import ConfigError, naming
from tailornas.methods.candidates import candidate_costs, counted_costs, scorer, seconds_a_candidate
from tailornas.methods.context import Context
from tailornas.methods.plan import DEFAULT_EPOCHS, SearchPlan, divide_search_time, measuring_seconds, warning
from tailornas.search import Candidate, Costs, best, evolve
from tailornas.seeding import generator
from tailornas.spaces import Backbone, SearchSpace, load_published
from tailornas.stages import Artifact, Detached, Stage
from tailornas.training import (
    EpochBatches,
    Fitted,
    Objective,
    ObjectiveConfig,
    epoch_sampler,
    give_source_head,
    images_per_second,
    new_head,
)
from tailornas.training import pretrain as train_supernet
from tailornas.types import Architecture, ClassCounts

__all__ = ["Supernet", "adapt", "check_stages", "plan_search", "pretrain", "search", "source_supernet", "transfer"]


@final
@dataclass(frozen=True, eq=False)
class Supernet:
    """A supernet as one stage leaves it to the next.

    Args:
        space: the network that holds the weights, with its decisions; the stages change it in place.
        identity: JSON values that its weights depend on.
    """

    space: SearchSpace[Backbone]
    identity: Mapping[str, Any]


def check_stages(context: Context, space: SearchSpace[Backbone]) -> None:
    """Makes sure, before anything is computed, that losses, heads and class weights of the supernet's stages fit.

    Raises:
        ConfigError: settings that these counts, or these epochs, cannot have, or a loss that needs a head that the
            space cannot have.
        DataError: class weights that do not fit the classes.
    """
    stages: dict[str, tuple[ObjectiveConfig, ClassCounts]] = {
        "adapt": (context.settings.adapt, context.target.train.counts)
    }
    if context.source.weights is None:
        pretrain = context.settings.pretrain
        stages["pretrain"] = pretrain, context.source.train.counts
        balanced = (pretrain.sampler or context.source.sampler) == "class_balanced"
        if balanced and pretrain.resolved_schedule.name == "drs":
            raise ConfigError(
                "pretrain: schedule 'drs' brings in the sampler 'class_balanced', which a long-tailed source has from "
                "the beginning: leave it out, or name another pretrain.sampler"
            )
    with naming("train"):
        _check_schedule(context, context.settings.train, "train")
    for section, (settings, counts) in stages.items():
        with naming(section):
            _check_schedule(context, settings, section)
            Objective(settings, counts, seed=context.seed, stage=("check",), device=context.fabric.device)
            new_head(space.network, settings, len(counts), generator(context.seed, "check"))


def _check_schedule(context: Context, settings: ObjectiveConfig, section: str) -> None:
    """Refuses a schedule that would come in too late, where no time limit decides about the epochs."""
    epochs = settings.epochs or DEFAULT_EPOCHS[section]
    if context.time_limit is None and (sentence := settings.never_balanced(epochs)):
        raise ConfigError(sentence)


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
        rates["candidate_seconds"] = seconds_a_candidate(context, space, seconds)
        plan = divide_search_time(
            limit,
            context.run.elapsed,
            fixed=fixed,
            source_images=len(context.source.train),
            target_images=len(context.target.train),
            population=min(settings.search.population, space.size),
            pretrain_rate=pretrain_rate,
            **rates,
        )
        stage.progress(3, 3, "measurements")
        rest = (
            "get the rest" if settings.train.epochs is None else "are trained for train.epochs, or as many as then fit"
        )
        context.run.note(
            f"Planned within {limit:.0f} s: {plan.pretrain_epochs} epochs of the supernet, {plan.adapt_epochs} of its "
            f"head, {plan.generations * settings.search.population} candidates; both networks {rest}."
        )
        sentence = warning(plan, len(context.source.train), context.run.elapsed)
        if fixed["pretrain"] is None and sentence is not None:
            context.run.note(sentence)
        planned = {"pretrain": (settings.pretrain, plan.pretrain_epochs), "adapt": (settings.adapt, plan.adapt_epochs)}
        for section, (objective, epochs) in planned.items():
            if epochs and (sentence := objective.never_balanced(epochs)):
                context.run.note(f"{section}: {sentence}, or a longer time limit.")
        return Artifact(asdict(plan))

    return SearchPlan(**context.run.stage("plan", inputs, compute).values)


def pretrain(context: Context, plan: SearchPlan, supernet: SearchSpace[Backbone]) -> int:
    """Trains ``supernet`` in place on the source, single paths uniformly drawn.

    Returns:
        The epochs that were done: fewer than planned where time was up.
    """

    def compute(stage: Stage) -> Artifact:
        fitted = _pretrain(context, supernet, _source_batches(context), plan.pretrain_epochs, stage)
        context.fitting.note_if_short("The supernet's training", fitted.epochs, plan.pretrain_epochs)
        return Artifact(asdict(fitted), supernet.network.state_dict())

    inputs = {**_pretrain_inputs(context), "epochs": plan.pretrain_epochs}
    result = context.run.stage("pretrain", inputs, compute, until=plan.pretrain_until)
    give_source_head(supernet, context.settings.pretrain, len(context.source.train.classes), context.seed)
    supernet.network.load_state_dict(dict(result.tensors))
    return int(result.values["epochs"])


def source_supernet(context: Context, plan: SearchPlan, space: SearchSpace[Backbone]) -> Supernet:
    """Gives ``space`` the backbone of a supernet that was trained on balanced data: by others, or here.

    Raises:
        CheckpointError: a published one cannot be read, or is of another space.
    """
    epochs = 0
    if context.source.weights is not None:
        load_published(space.network, context.source.weights)
    else:
        supernet = context.new_space(context.source.train)
        epochs = pretrain(context, plan, supernet)
        transfer(supernet, space)
    return Supernet(space, {**_pretrain_inputs(context), "planned": plan.pretrain_epochs, "epochs": epochs})


def transfer(supernet: SearchSpace[Backbone], space: SearchSpace[Backbone]) -> None:
    """Copies the weights of ``supernet``'s backbone into ``space``, whose head stays new."""
    backbone = {k: v for k, v in supernet.network.state_dict().items() if not k.startswith("head.")}
    left = space.network.load_state_dict(backbone, strict=False)
    assert not left.unexpected_keys and all(key.startswith("head.") for key in left.missing_keys)


def adapt(context: Context, plan: SearchPlan, supernet: Supernet) -> Supernet:
    """Fits the supernet's head, in place, to the target with a re-weighted loss; the backbone is frozen.

    Args:
        context: the job.
        plan: for how many epochs.
        supernet: with the source's backbone.
    """
    space = supernet.space

    def compute(stage: Stage) -> Artifact:
        fitted = _adapt(context, space, _target_batches(context), plan.adapt_epochs, stage)
        return Artifact(asdict(fitted), space.network.head.state_dict())

    inputs = {"pretrain": dict(supernet.identity), **_target_inputs(context), "epochs": plan.adapt_epochs}
    result = context.run.stage("adapt", inputs, compute)
    give_target_head(space, context.settings.adapt, len(context.target.classes), context.seed)
    space.network.head.load_state_dict(dict(result.tensors))
    return replace(supernet, identity=inputs)


def search(context: Context, plan: SearchPlan, supernet: Supernet, first: tuple[Architecture, Costs]) -> Candidate:
    """Searches with the adapted supernet's weights and returns the candidate with the best score.

    Args:
        context: the job.
        plan: for how many generations.
        supernet: adapted to the target.
        first: the first candidate and its costs, within the limits.

    Raises:
        LimitError: no candidate was within the limits.
    """
    space, settings, limits = supernet.space, context.settings.search, context.settings.limits

    def compute(stage: Stage) -> Artifact:
        candidates = evolve(
            space,
            scorer(context, space),
            candidate_costs(context, space),
            counted_costs(context, space),
            limits,
            first,
            population=settings.population,
            generations=plan.generations,
            seed=context.seed,
            stage=stage,
        )
        return Artifact(
            {
                "candidates": [asdict(c) for c in candidates],
                "winner": best(candidates).number,
                # For those who train what was found: the run's configuration may be another by then.
                "space": {"settings": context.space.model_dump(mode="json"), "identity": context.space_id},
            }
        )

    inputs = {
        "supernet": dict(supernet.identity),
        "first": [dict(first[0]), asdict(first[1])],
        "search": settings.model_dump(mode="json", exclude={"generations"}),
        "generations": plan.generations,
        "limits": limits.model_dump(mode="json"),
        "clock": None if limits.latency_ms is None else context.fitting.clock,
    }
    values = context.run.stage("search", inputs, compute).values
    return Candidate(**values["candidates"][values["winner"]])


def _pretrain_inputs(context: Context) -> dict[str, Any]:
    return {
        **context.identity,
        "source": context.source.fingerprint,
        "images": context.fitting.preparation(context.source.normalization, context.source.flip),
        "settings": context.settings.pretrain.model_dump(mode="json", exclude={"epochs"}),
    }


def _target_inputs(context: Context) -> dict[str, Any]:
    return {
        "target": context.target.fingerprint,
        "target_images": context.fitting.preparation(context.target.normalization, context.target.flip),
        "adapt": context.settings.adapt.model_dump(mode="json", exclude={"epochs"}),
    }


def _pretrain(
    context: Context, supernet: SearchSpace[Backbone], batches: EpochBatches, epochs: int, stage: Stage
) -> Fitted:
    settings = context.settings.pretrain
    return train_supernet(context.fabric, supernet, batches, settings, epochs=epochs, seed=context.seed, stage=stage)


def _adapt(context: Context, space: SearchSpace[Backbone], batches: EpochBatches, epochs: int, stage: Stage) -> Fitted:
    settings = context.settings.adapt
    return adapt_head(context.fabric, space, batches, settings, epochs=epochs, seed=context.seed, stage=stage)


def _source_batches(context: Context) -> Batches:
    source, settings = context.source, context.settings.pretrain
    sampler = epoch_sampler(settings, source.sampler)
    return context.fitting.batches(
        source.train, settings.batch_size, source.normalization, source.flip, sampler, "pretrain"
    )


def _target_batches(context: Context) -> Batches:
    target, settings = context.target, context.settings.adapt
    sampler = epoch_sampler(settings)
    return context.fitting.batches(
        target.train, settings.batch_size, target.normalization, target.flip, sampler, "adapt"
    )
