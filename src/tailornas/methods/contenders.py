"""The stages after the search: train the found network and its baseline alike, and measure both on the test split."""

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, final

import torch

from tailornas.data import SAMPLERS, Batches, Sampler, ordered
from tailornas.heads import build_head
from tailornas.losses import LongTailLoss, build_loss, check_head, weights_at
from tailornas.methods.context import Context
from tailornas.methods.fitting import Fitting
from tailornas.methods.plan import DEFAULT_EPOCHS, TrainPlan, measuring_seconds
from tailornas.methods.plan import plan_training as plan_within
from tailornas.metrics import report as recognition_report
from tailornas.search import Candidate, Costs
from tailornas.seeding import generator
from tailornas.spaces import Backbone, Cost, SearchSpace, count, latency, nearest_resnet
from tailornas.training import (
    EpochBatches,
    Fitted,
    PairedBatches,
    TwoBranchNetwork,
    images_per_second,
    predict,
    replace_head,
    second_stage,
    train_sampler,
)
from tailornas.training import train as train_network
from tailornas.types import Artifact, Detached, Stage

__all__ = [
    "Contender",
    "baseline_network",
    "check_training",
    "evaluate",
    "found_network",
    "make_contender",
    "plan_training",
    "train",
]


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


def check_training(fitting: Fitting) -> None:
    """Makes sure, before anything is computed, that losses, head and class weights fit each other and the classes.

    Raises:
        ConfigError: settings that a loss cannot have, or a head that does not belong to it.
        DataError: class weights or counts that do not fit the classes.
    """
    settings, counts, rng = fitting.train, fitting.split.counts, generator(fitting.seed, "check")
    loss, second = build_loss(settings.loss, counts, rng, **settings.loss_settings), settings.second_stage
    check_head(loss, build_head(settings.resolved_head, len(counts), len(counts), rng))
    build_loss(second.loss, counts, rng, **second.loss_settings)
    weights_at(settings.resolved_schedule, settings.weighting, counts, progress=1.0)


def found_network(
    context: Context, space: SearchSpace[Backbone], winner: Candidate, supernet: Mapping[str, Any]
) -> Contender:
    """The winner as a plain network, with new weights or, by ``init``, with the supernet's.

    Args:
        context: the job.
        space: the adapted supernet.
        winner: the architecture.
        supernet: what the supernet's weights depend on.
    """
    architecture = space.from_text(winner.architecture)
    identity: dict[str, Any] = {"space": dict(context.space_id), "architecture": winner.architecture}
    if context.settings.init == "inherit":
        network = space.derive(architecture, weights=True)
        identity["supernet"] = dict(supernet)
    else:
        new_weights = generator(context.seed, "train", "weights")
        classes = len(context.target.classes)
        network = context.build_network(space, architecture, classes, new_weights)
    return make_contender(context.fitting, "train", "found network", winner.architecture, network, identity)


def baseline_network(fitting: Fitting, winner: Candidate) -> Contender:
    """The largest CIFAR ResNet within the limits on parameters and MACs; without these, the nearest to the winner.

    Where even ResNet-8 is above a limit it is taken all the same, and the run says so.
    """
    limits, target = fitting.limits, fitting.target
    network = nearest_resnet(
        Cost(winner.params, winner.macs),
        target.image_size,
        len(target.classes),
        generator=generator(fitting.seed, "baseline", "weights"),
        max_params=limits.params,
        max_macs=limits.macs,
    )
    name = f"ResNet-{network.depth}"
    baseline = make_contender(fitting, "baseline", name, None, network, {"network": name})
    if max(limits.violations(baseline.costs).values(), default=0.0) > 0:
        fitting.run.note(f"The baseline {name} is above the limits: no smaller ResNet is known for these images.")
    return baseline


def plan_training(fitting: Fitting, found: Contender, baseline: Contender) -> TrainPlan:
    """How many epochs both networks are trained; measured where there is a time limit."""
    fixed, limit = fitting.train.epochs, fitting.time_limit
    if limit is None:
        return TrainPlan(fixed or DEFAULT_EPOCHS["train"])
    inputs = {
        "time_limit": limit,
        "fixed": fixed,
        "networks": [_train_inputs(fitting, found), _train_inputs(fitting, baseline)],
    }

    def compute(stage: Stage) -> Artifact:
        def rate(done: int, contender: Contender) -> float:
            stage.progress(done, 2, "measurements", now=f"training of the {contender.name}")
            trial = replace(contender, network=copy.deepcopy(contender.network))
            return images_per_second(
                lambda batches: _train(fitting, trial, batches, 1, Detached()),
                _train_batches(fitting, contender),
                measuring_seconds(limit),
            )

        found_rate, baseline_rate = rate(0, found), rate(1, baseline)
        plan = plan_within(
            limit,
            fitting.run.elapsed,
            fixed=fixed,
            images=len(fitting.split),
            found_rate=found_rate,
            baseline_rate=baseline_rate,
        )
        stage.progress(2, 2, "measurements")
        fitting.run.note(f"Planned for what is left of {limit:.0f} s: {plan.epochs} epochs of each of both networks.")
        return Artifact(plan.values())

    return TrainPlan(**fitting.run.stage("plan-training", inputs, compute).values)


def train(fitting: Fitting, plan: TrainPlan, contender: Contender) -> Contender:
    """Trains a contender in place on all images of the target that are not test; the last epoch is kept.

    Returns:
        The contender, after its second stage if there is one.
    """

    def compute(stage: Stage) -> Artifact:
        fitted = _train(fitting, contender, _train_batches(fitting, contender), plan.epochs, stage)
        fitting.note_if_short(f"The training of the {contender.name}", fitted.epochs, plan.epochs)
        values = {
            **fitted.values(),
            "name": contender.name,
            "architecture": contender.architecture,
            "costs": asdict(contender.costs),
        }
        return Artifact(values, contender.network.state_dict())

    until = plan.found_until if contender.stage == "train" else plan.baseline_until
    inputs = {**_train_inputs(fitting, contender), "epochs": plan.epochs}
    result = fitting.run.stage(contender.stage, inputs, compute, until=until)
    contender.network.load_state_dict(dict(result.tensors))
    return _retrain_head(fitting, plan, contender)


def _retrain_head(fitting: Fitting, plan: TrainPlan, contender: Contender) -> Contender:
    """The second stage of a trained contender, where there is one: another head on the same features."""
    settings = fitting.train.second_stage
    if settings.name == "none":
        return contender
    network, counts = contender.network, fitting.split.counts
    replace_head(network, counts, settings, fitting.seed)

    def compute(stage: Stage) -> Artifact:
        target, position = fitting.target, f"{contender.stage}-head"
        second_stage(
            fitting.fabric,
            network,
            _batches(fitting, SAMPLERS[settings.sampler], position),
            ordered(fitting.split, 256, target.normalization, fitting.fabric.device),
            counts,
            settings,
            seed=fitting.seed,
            stage=stage,
        )
        return Artifact({}, network.state_dict())

    inputs = {
        **_train_inputs(fitting, contender),
        "epochs": plan.epochs,
        "second_stage": settings.model_dump(mode="json"),
    }
    result = fitting.run.stage(f"{contender.stage}-head", inputs, compute)
    network.load_state_dict(dict(result.tensors))
    rng = generator(fitting.seed, "second-stage", "loss")
    return replace(contender, loss=build_loss(settings.loss, counts, rng, **settings.loss_settings))


def evaluate(fitting: Fitting, plan: TrainPlan, *contenders: Contender) -> Artifact:
    """Measures the trained contenders on the test split, which has chosen nothing."""
    target = fitting.target

    def compute(stage: Stage) -> Artifact:
        values: dict[str, Any] = {}
        for done, contender in enumerate(contenders):
            stage.progress(done, len(contenders), "networks", now=contender.name)
            logits, labels = predict(
                fitting.fabric,
                contender.network,
                ordered(target.test, 256, target.normalization, fitting.fabric.device),
            )
            report = recognition_report(
                contender.loss.probabilities(logits),
                labels,
                fitting.split.counts,
                target.classes,
                fitting.groups.groups(fitting.split.counts),
            )
            timing = latency(contender.network, target.image_size)
            values[contender.stage] = {"metrics": report.values(), "latency_ms": timing.median}
        stage.progress(len(contenders), len(contenders), "networks")
        return Artifact(values)

    second = fitting.train.second_stage.model_dump(mode="json")
    inputs: dict[str, Any] = {
        contender.stage: {**_train_inputs(fitting, contender), "epochs": plan.epochs, "second_stage": second}
        for contender in contenders
    }
    inputs["groups"] = fitting.groups.model_dump(mode="json")
    return fitting.run.stage("evaluate", inputs, compute)


def make_contender(
    fitting: Fitting,
    stage: str,
    name: str,
    architecture: str | None,
    network: Backbone,
    identity: Mapping[str, Any],
) -> Contender:
    """Gives a network the head it is trained with, unless it has it already, and puts it on the device.

    Args:
        fitting: the target and how networks are fitted to it.
        stage: name of its training stage; new numbers of the head are drawn by it.
        name: what users read.
        architecture: the text form of a searched network.
        network: with a linear head for the target's classes.
        identity: JSON values that the network and its first weights depend on.

    Raises:
        ConfigError: the head and the loss do not belong together.
    """
    settings, target = fitting.train, fitting.target
    rng = generator(fitting.seed, stage, "loss")
    loss = build_loss(settings.loss, fitting.split.counts, rng, **settings.loss_settings)
    if settings.two_branch:
        network = TwoBranchNetwork(network, len(target.classes), generator(fitting.seed, stage, "branch"))
    if settings.resolved_head != "linear":
        rng = generator(fitting.seed, stage, "head")
        network.head = build_head(settings.resolved_head, network.feature_dim, len(target.classes), rng)
    check_head(loss, network.head)
    network.to(fitting.fabric.device).to(memory_format=torch.channels_last)
    costs = fitting.costs(count(network, target.image_size), lambda: network)
    return Contender(stage, name, architecture, network, loss, costs, identity)


def _train_inputs(fitting: Fitting, contender: Contender) -> dict[str, Any]:
    return {
        **fitting.identity,
        "target": fitting.target.fingerprint,
        "network": dict(contender.identity),
        "settings": fitting.train.model_dump(mode="json", exclude={"epochs", "second_stage"}),
    }


def _train_batches(fitting: Fitting, contender: Contender) -> EpochBatches:
    batches = _batches(fitting, train_sampler(fitting.train), contender.stage)
    if fitting.train.two_branch:
        return PairedBatches(batches, _batches(fitting, SAMPLERS["reversed"], f"{contender.stage}/reversed"))
    return batches


def _batches(fitting: Fitting, sampler: Sampler, position: str) -> Batches:
    target, size = fitting.target, fitting.train.batch_size
    return fitting.batches(fitting.split, size, target.normalization, target.flip, sampler, position)


def _train(fitting: Fitting, contender: Contender, batches: EpochBatches, epochs: int, stage: Stage) -> Fitted:
    return train_network(
        fitting.fabric,
        contender.network,
        batches,
        contender.loss,
        fitting.split.counts,
        fitting.train,
        epochs=epochs,
        seed=fitting.seed,
        stage=stage,
        compiled=fitting.compiled,
    )
