"""The last stages of a job: train its networks alike on the target, and measure them on the test split."""

import copy
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from tailornas.data import SAMPLERS, Batches, Sampler, ordered
from tailornas.losses import build_loss
from tailornas.methods.contenders import Contender
from tailornas.methods.fitting import Fitting
from tailornas.methods.plan import DEFAULT_EPOCHS, TrainPlan, divide_training_time, measuring_seconds
from tailornas.metrics import difference_variances, mean_error
from tailornas.metrics import report as recognition_report
from tailornas.spaces import latencies
from tailornas.stages import Artifact, Detached, Stage
from tailornas.training import (
    EpochBatches,
    Fitted,
    PairedBatches,
    epoch_sampler,
    fit_head,
    images_per_second,
    predict,
    replace_head,
    second_stage,
)
from tailornas.training import train as train_network

__all__ = ["evaluate", "measure_latency", "plan_training", "retrain_head", "train"]


def plan_training(fitting: Fitting, found: Contender, baseline: Contender) -> TrainPlan:
    """How many epochs both networks are trained; measured where there is a time limit."""
    fixed, limit, second = fitting.train.epochs, fitting.time_limit, fitting.train.second_stage
    if limit is None:
        return TrainPlan(fixed or DEFAULT_EPOCHS["train"])
    inputs = {
        "time_limit": limit,
        "fixed": fixed,
        "networks": [_train_inputs(fitting, found), _train_inputs(fitting, baseline)],
        "second_stage": second.model_dump(mode="json") if second.trained else None,
    }
    measurements = 4 if second.trained else 2

    def compute(stage: Stage) -> Artifact:
        def rate(done: int, contender: Contender) -> float:
            stage.progress(done, measurements, "measurements", now=f"training of the {contender.name}")
            trial = replace(contender, network=copy.deepcopy(contender.network))
            return images_per_second(
                lambda batches: _train(fitting, trial, batches, 1, Detached()),
                _train_batches(fitting, contender),
                measuring_seconds(limit),
            )

        def head_seconds(done: int, contender: Contender) -> float:
            stage.progress(done, measurements, "measurements", now=f"second stage of the {contender.name}")
            network = copy.deepcopy(contender.network)
            replace_head(network, fitting.split.counts, second, fitting.seed)
            brief = second.model_copy(update={"epochs": 1})
            head_rate = images_per_second(
                lambda batches: fit_head(fitting.fabric, network, batches, brief, seed=fitting.seed, stage=Detached()),
                _head_batches(fitting, contender),
                measuring_seconds(limit),
            )
            return second.epochs * len(fitting.split) / head_rate

        found_rate, baseline_rate = rate(0, found), rate(1, baseline)
        heads_seconds = head_seconds(2, found) + head_seconds(3, baseline) if second.trained else 0.0
        plan = divide_training_time(
            limit,
            fitting.run.elapsed,
            fixed=fixed,
            images=len(fitting.split),
            found_rate=found_rate,
            baseline_rate=baseline_rate,
            heads_seconds=heads_seconds,
        )
        stage.progress(measurements, measurements, "measurements")
        wished = f" (train.epochs {fixed} would take longer)" if fixed is not None and plan.epochs < fixed else ""
        heads = f", and {heads_seconds:.0f} s for their second stages" if second.trained else ""
        fitting.run.note(
            f"Planned for what is left of {limit:.0f} s: {plan.epochs} epochs of each of both networks{wished}{heads}."
        )
        if sentence := fitting.train.never_balanced(plan.epochs):
            fitting.run.note(f"train: {sentence}, or a longer time limit.")
        return Artifact(asdict(plan))

    return TrainPlan(**fitting.run.stage("plan-training", inputs, compute).values)


def train(fitting: Fitting, plan: TrainPlan, contender: Contender) -> Contender:
    """Trains a contender in place on the training images of the target; the last epoch is kept.

    Returns:
        The contender, whose identity tells how long it was trained: fewer epochs than planned where time was up.
    """

    def compute(stage: Stage) -> Artifact:
        fitted = _train(fitting, contender, _train_batches(fitting, contender), plan.epochs, stage)
        fitting.note_if_short(f"The training of the {contender.name}", fitted.epochs, plan.epochs)
        values = {
            **asdict(fitted),
            "name": contender.name,
            "architecture": contender.architecture,
            "costs": asdict(contender.costs),
            "image_size": fitting.target.image_size,
        }
        return Artifact(values, contender.network.state_dict())

    until = plan.found_until if contender.stage == "train" else plan.baseline_until
    inputs = {**_train_inputs(fitting, contender), "epochs": plan.epochs}
    result = fitting.run.stage(contender.stage, inputs, compute, until=until)
    contender.network.load_state_dict(dict(result.tensors))
    done = {"planned": plan.epochs, "epochs": result.values["epochs"]}
    return replace(contender, identity={**contender.identity, **done})


def retrain_head(fitting: Fitting, contender: Contender) -> Contender:
    """The second stage of a trained contender, where there is one: another head on the same features, in place.

    It follows the training of all contenders, so that the time it takes is nobody's more than another's.

    Returns:
        The contender, with the loss that its last logits belong to (``TrainConfig.last_objective``).
    """
    settings = fitting.train.second_stage
    if settings.name == "none":
        return contender
    network, counts = contender.network, fitting.split.counts
    replace_head(network, counts, settings, fitting.seed)

    def compute(stage: Stage) -> Artifact:
        target = fitting.target
        second_stage(
            fitting.fabric,
            network,
            _head_batches(fitting, contender),
            ordered(fitting.split, 256, target.normalization, fitting.fabric.device),
            settings,
            seed=fitting.seed,
            stage=stage,
        )
        return Artifact({}, network.state_dict())

    inputs = {**_train_inputs(fitting, contender), "second_stage": settings.model_dump(mode="json")}
    result = fitting.run.stage(f"{contender.stage}-head", inputs, compute)
    network.load_state_dict(dict(result.tensors))
    last = fitting.train.last_objective
    return replace(contender, loss=build_loss(last.loss, counts, None, **last.loss_settings))


def measure_latency(fitting: Fitting, *contenders: Contender) -> None:
    """Times the trained contenders. A stage of its own: on other processors it is done anew, and metrics stay."""

    def compute(stage: Stage) -> Artifact:
        timings = latencies([contender.network for contender in contenders], fitting.target.image_size)
        return Artifact(
            {c.stage: {"latency_ms": asdict(timing)} for c, timing in zip(contenders, timings, strict=True)}
        )

    fitting.run.stage("latency", {**_tested_inputs(fitting, contenders), "clock": fitting.clock}, compute)


def evaluate(fitting: Fitting, *contenders: Contender) -> Artifact:
    """Measures the trained contenders on the test split, which has chosen nothing, or on the selection split.

    See :attr:`Fitting.measured`.

    Returns:
        The metrics of each by the name of its stage; of two, the first also has the standard errors of its
        differences from the second, paired, as both saw the same images.
    """
    target, groups = fitting.target, fitting.groups.groups(fitting.split.counts)

    def compute(stage: Stage) -> Artifact:
        values: dict[str, Any] = {}
        predictions = []
        for done, contender in enumerate(contenders):
            stage.progress(done, len(contenders), "networks", now=contender.name)
            logits, labels = predict(
                fitting.fabric,
                contender.network,
                ordered(fitting.measured, 256, target.normalization, fitting.fabric.device),
            )
            probabilities = contender.loss.probabilities(logits)
            report = recognition_report(probabilities, labels, fitting.split.counts, target.classes, groups)
            values[contender.stage] = {"metrics": report.values()}
            predictions.append(probabilities.argmax(dim=1))
        if len(predictions) == 2:
            first, second = predictions
            variances = difference_variances(first, second, labels, len(target.classes))
            values[contenders[0].stage]["difference_se"] = {
                "balanced_accuracy": mean_error(variances),
                "groups": {name: mean_error(variances[list(groups[name])]) for name in report.groups},
            }
        stage.progress(len(contenders), len(contenders), "networks")
        return Artifact(values)

    inputs = {**_tested_inputs(fitting, contenders), "groups": fitting.groups.model_dump(mode="json")}
    if fitting.evaluate_on != "test":
        inputs["split"] = fitting.evaluate_on
    return fitting.run.stage("evaluate", inputs, compute)


def _tested_inputs(fitting: Fitting, contenders: Sequence[Contender]) -> dict[str, Any]:
    second = fitting.train.second_stage.model_dump(mode="json")
    return {c.stage: {**_train_inputs(fitting, c), "second_stage": second} for c in contenders}


def _train_inputs(fitting: Fitting, contender: Contender) -> dict[str, Any]:
    return {
        **fitting.identity,
        "compiled": fitting.compiled,
        "target": fitting.target.fingerprint,
        "images": fitting.preparation(fitting.target.normalization, fitting.target.flip),
        "network": dict(contender.identity),
        "settings": fitting.train.model_dump(mode="json", exclude={"epochs", "second_stage"}),
    }


def _train_batches(fitting: Fitting, contender: Contender) -> EpochBatches:
    batches = _batches(fitting, epoch_sampler(fitting.train), contender.stage)
    if fitting.train.two_branch:
        return PairedBatches(batches, _batches(fitting, SAMPLERS["reversed"], f"{contender.stage}/reversed"))
    return batches


def _head_batches(fitting: Fitting, contender: Contender) -> Batches:
    return _batches(fitting, epoch_sampler(fitting.train.second_stage, "class_balanced"), f"{contender.stage}-head")


def _batches(fitting: Fitting, sampler: Sampler, position: str) -> Batches:
    target, size = fitting.target, fitting.train.batch_size
    return fitting.batches(fitting.split, size, target.normalization, target.flip, sampler, position)


def _train(fitting: Fitting, contender: Contender, batches: EpochBatches, epochs: int, stage: Stage) -> Fitted:
    return train_network(
        fitting.fabric,
        contender.network,
        batches,
        fitting.train,
        epochs=epochs,
        seed=fitting.seed,
        stage=stage,
        compiled=fitting.compiled,
    )
