"""The stages after the search: train the found network and its baseline alike, and measure both on the test split."""

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, final

import torch
from torch import Tensor

from tailornas.data import SAMPLERS, Batches, Sampler, ordered
from tailornas.heads import build_head
from tailornas.losses import LongTailLoss, ScheduleConfig, build_loss, check_head, sampler_at, weights_at
from tailornas.methods.context import Context
from tailornas.methods.plan import DEFAULT_EPOCHS, TrainPlan, measuring_seconds
from tailornas.methods.plan import plan_training as plan_within
from tailornas.metrics import report as recognition_report
from tailornas.search import Candidate, Costs
from tailornas.seeding import generator
from tailornas.spaces import Backbone, Cost, SearchSpace, count, latency, nearest_resnet
from tailornas.training import EpochBatches, Fitted, images_per_second, predict
from tailornas.training import train as train_network
from tailornas.types import Artifact, ClassCounts, Detached, Stage

__all__ = ["Contender", "baseline_network", "check_training", "evaluate", "found_network", "plan_training", "train"]


@final
@dataclass(frozen=True)
class Contender:
    """A network that is trained on the target and measured on its test split.

    Args:
        stage: name of its training stage.
        name: what users read: ``"found network"``, ``"ResNet-8"``.
        architecture: the text form of a searched one.
        network: on the device.
        loss: what it is trained with; its head is the one that this loss needs.
        costs: what it costs.
        identity: JSON values that the network and its first weights depend on.
    """

    stage: str
    name: str
    architecture: str | None
    network: Backbone
    loss: LongTailLoss
    costs: Costs
    identity: Mapping[str, Any]


def check_training(context: Context) -> None:
    """Makes sure, before anything is computed, that the loss and its schedule fit the target's classes.

    Raises:
        ConfigError: settings that the loss cannot have.
        DataError: class weights or counts that do not fit the classes.
    """
    settings, counts = context.settings.train, context.fit_split.counts
    build_loss(settings.loss, counts, generator(context.seed, "train", "loss"), **settings.loss_settings)
    weights_at(settings.resolved_schedule, counts, progress=1.0)


def found_network(
    context: Context, space: SearchSpace[Backbone], winner: Candidate, supernet: Mapping[str, Any]
) -> Contender:
    """The winner as a plain network, with new weights or, by ``train.init``, with the supernet's.

    Args:
        context: the job.
        space: the adapted supernet.
        winner: the architecture.
        supernet: what the supernet's weights depend on.
    """
    architecture = space.from_text(winner.architecture)
    identity: dict[str, Any] = {"space": dict(context.space_id), "architecture": winner.architecture}
    if context.settings.train.init == "inherit":
        network = space.derive(architecture, weights=True)
        identity["supernet"] = dict(supernet)
    else:
        new_weights = generator(context.seed, "train", "weights")
        network = space.derive(architecture, weights=False, generator=new_weights)
    return _contender(context, "train", "found network", winner.architecture, network, identity)


def baseline_network(context: Context, winner: Candidate) -> Contender:
    """The largest CIFAR ResNet within the limits on parameters and MACs; without these, the nearest to the winner.

    Where even ResNet-8 is above a limit it is taken all the same, and the run says so.
    """
    limits, target = context.settings.limits, context.target
    network = nearest_resnet(
        Cost(winner.params, winner.macs),
        target.image_size,
        len(target.classes),
        generator=generator(context.seed, "baseline", "weights"),
        max_params=limits.params,
        max_macs=limits.macs,
    )
    name = f"ResNet-{network.depth}"
    baseline = _contender(context, "baseline", name, None, network, {"network": name})
    if max(limits.violations(baseline.costs).values(), default=0.0) > 0:
        context.run.note(f"The baseline {name} is above the limits: no smaller ResNet is known for these images.")
    return baseline


def plan_training(context: Context, found: Contender, baseline: Contender) -> TrainPlan:
    """How many epochs both networks are trained; measured where there is a time limit."""
    fixed, limit = context.settings.train.epochs, context.time_limit
    if limit is None:
        return TrainPlan(fixed or DEFAULT_EPOCHS["train"])
    inputs = {
        "time_limit": limit,
        "fixed": fixed,
        "networks": [_train_inputs(context, found), _train_inputs(context, baseline)],
    }

    def compute(stage: Stage) -> Artifact:
        def rate(done: int, contender: Contender) -> float:
            stage.progress(done, 2, "measurements", now=f"training of the {contender.name}")
            trial = replace(contender, network=copy.deepcopy(contender.network))
            return images_per_second(
                lambda batches: _train(context, trial, batches, 1, Detached()),
                _train_batches(context, contender),
                measuring_seconds(limit),
            )

        found_rate, baseline_rate = rate(0, found), rate(1, baseline)
        plan = plan_within(
            limit,
            context.run.elapsed,
            fixed=fixed,
            images=len(context.fit_split),
            found_rate=found_rate,
            baseline_rate=baseline_rate,
        )
        stage.progress(2, 2, "measurements")
        context.run.note(f"Planned for what is left of {limit:.0f} s: {plan.epochs} epochs of each of both networks.")
        return Artifact(plan.values())

    return TrainPlan(**context.run.stage("plan-training", inputs, compute).values)


def train(context: Context, plan: TrainPlan, contender: Contender) -> None:
    """Trains a contender in place on all images of the target that are not test; the last epoch is kept."""

    def compute(stage: Stage) -> Artifact:
        fitted = _train(context, contender, _train_batches(context, contender), plan.epochs, stage)
        context.note_if_short(f"The training of the {contender.name}", fitted.epochs, plan.epochs)
        values = {
            **fitted.values(),
            "name": contender.name,
            "architecture": contender.architecture,
            "costs": asdict(contender.costs),
        }
        return Artifact(values, contender.network.state_dict())

    until = plan.found_until if contender.stage == "train" else plan.baseline_until
    inputs = {**_train_inputs(context, contender), "epochs": plan.epochs}
    result = context.run.stage(contender.stage, inputs, compute, until=until)
    contender.network.load_state_dict(dict(result.tensors))


def evaluate(context: Context, plan: TrainPlan, *contenders: Contender) -> Artifact:
    """Measures the trained contenders on the test split, which has chosen nothing."""
    target = context.target

    def compute(stage: Stage) -> Artifact:
        values: dict[str, Any] = {}
        for done, contender in enumerate(contenders):
            stage.progress(done, len(contenders), "networks", now=contender.name)
            logits, labels = predict(
                context.fabric,
                contender.network,
                ordered(target.test, 256, target.normalization, context.fabric.device),
            )
            report = recognition_report(
                contender.loss.probabilities(logits), labels, context.fit_split.counts, target.classes
            )
            timing = latency(contender.network, target.image_size)
            values[contender.stage] = {"metrics": report.values(), "latency_ms": timing.median}
        stage.progress(len(contenders), len(contenders), "networks")
        return Artifact(values)

    inputs = {c.stage: {**_train_inputs(context, c), "epochs": plan.epochs} for c in contenders}
    return context.run.stage("evaluate", inputs, compute)


def _contender(
    context: Context,
    stage: str,
    name: str,
    architecture: str | None,
    network: Backbone,
    identity: Mapping[str, Any],
) -> Contender:
    """Gives a network the head that the loss needs and puts it on the device."""
    settings, target = context.settings.train, context.target
    loss = build_loss(
        settings.loss,
        context.fit_split.counts,
        generator(context.seed, stage, "loss"),
        **settings.loss_settings,
    )
    if loss.head == "cosine":
        rng = generator(context.seed, stage, "head")
        network.head = build_head("cosine", network.feature_dim, len(target.classes), rng)
    check_head(loss, network.head)
    network.to(context.fabric.device).to(memory_format=torch.channels_last)
    costs = context.costs(count(network, target.image_size), lambda: network)
    return Contender(stage, name, architecture, network, loss, costs, identity)


def _train_inputs(context: Context, contender: Contender) -> dict[str, Any]:
    return {
        **context.identity,
        "target": context.target.fingerprint,
        "network": dict(contender.identity),
        "settings": context.settings.train.model_dump(mode="json", exclude={"epochs", "init"}),
    }


def _train_batches(context: Context, contender: Contender) -> Batches:
    target = context.target
    return context.batches(
        context.fit_split,
        context.settings.train.batch_size,
        target.normalization,
        target.flip,
        _sampler(context.settings.train.resolved_schedule),
        contender.stage,
    )


def _sampler(schedule: ScheduleConfig) -> Sampler:
    """Every image once an epoch, until the schedule brings in balanced sampling."""

    def order(labels: Tensor, counts: ClassCounts, generator: torch.Generator, progress: float) -> Tensor:
        return SAMPLERS[sampler_at(schedule, "instance", progress)](labels, counts, generator, progress)

    return order


def _train(context: Context, contender: Contender, batches: EpochBatches, epochs: int, stage: Stage) -> Fitted:
    settings = context.settings.train
    return train_network(
        context.fabric,
        contender.network,
        batches,
        contender.loss,
        context.fit_split.counts,
        epochs=epochs,
        schedule=settings.resolved_schedule,
        optimizer=settings.optimizer,
        seed=context.seed,
        stage=stage,
    )
