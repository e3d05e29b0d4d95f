"""Single stages on a tiny job: the source, the found network, the baseline, batches and probabilities."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from support.methods import FABRIC, TINY, MemoryRun, context_of, resnet, winner_of, with_settings
from tailornas.data import DataConfig, Dataset, ordered, prepare
from tailornas.methods import SupernetSource, choose_source, final, supernet
from tailornas.methods.contenders import baseline_network, found_network
from tailornas.methods.supernet import Supernet
from tailornas.metrics import expected_calibration_error
from tailornas.search import Limits
from tailornas.spaces import (
    Latency,
    count,
)
from tailornas.training import TrainConfig, predict


def test_the_second_branch_sees_rare_classes_most_often(target: Dataset) -> None:
    context = context_of(target, MemoryRun(), **with_settings("train", loss="ce", two_branch=True))
    batches = final._train_batches(context.fitting, resnet(context)).epoch(0, 1)
    halves = zip(*(labels.chunk(2) for _, labels in batches), strict=True)
    conventional, reversed_ = (torch.cat(half).bincount(minlength=10) for half in halves)
    assert conventional.tolist() == list(context.fitting.split.counts)
    assert reversed_[9] > 10 * reversed_[0] > 0


def test_a_supernet_sees_the_classes_of_a_long_tailed_source_equally_often(target: Dataset) -> None:
    source = replace(choose_source(target, None), train=target.train, sampler="class_balanced")
    batches = supernet._source_batches(context_of(target, MemoryRun(), source=source)).epoch(0, 1)
    drawn = torch.cat([labels for _, labels in batches]).bincount(minlength=10)
    assert drawn.max() - drawn.min() <= 1


@pytest.mark.parametrize(
    ("loss", "second", "probabilities"),
    [
        ("ldam", {"name": "none"}, lambda logits: (30 * logits).softmax(1)),
        ("ldam", {"name": "crt", "epochs": 1}, lambda logits: logits.softmax(1)),
        ("class_balanced_focal", {"name": "ncm"}, lambda logits: logits.softmax(1)),
        ("class_balanced_focal", {"name": "tau_norm"}, lambda logits: F.normalize(logits.sigmoid(), p=1.0)),
    ],
)
def test_probabilities_are_those_of_the_loss_that_the_logits_were_fitted_by(
    target: Dataset, loss: str, second: dict[str, Any], probabilities: Callable[[Tensor], Tensor]
) -> None:
    """LDAM multiplies cosines by 30, class-balanced focal fits sigmoids; a second stage that fits has its own loss."""
    context = context_of(target, MemoryRun(), **with_settings("train", loss=loss, second_stage=second))
    contender = final.retrain_head(context.fitting, resnet(context))
    metrics = final.evaluate(context.fitting, contender).values["train"]["metrics"]
    images = ordered(target.test, 256, target.normalization, FABRIC.device)
    logits, labels = predict(FABRIC, contender.network, images)
    assert metrics["ece"] == pytest.approx(expected_calibration_error(probabilities(logits), labels))


def test_first_weights_of_the_found_network(target: Dataset, whole: MemoryRun) -> None:
    context = context_of(target, MemoryRun())
    space = context.new_space(target.train)
    before = space.network.get_parameter("stem.0.weight").detach().clone()
    first = {}
    for init in ("scratch", "inherit"):
        settings = replace(TINY, train=TrainConfig(epochs=1, loss="focal"), init=init)
        contender = found_network(context_of(target, MemoryRun(), settings), winner_of(whole), Supernet(space, {}))
        first[init] = contender.network
        assert count(contender.network, target.image_size).params == contender.costs.params
    assert torch.equal(first["inherit"].get_parameter("stem.0.weight"), before)
    assert torch.equal(first["inherit"].get_parameter("head.weight"), space.network.get_parameter("head.weight"))
    assert not torch.equal(first["scratch"].get_parameter("stem.0.weight"), before)
    assert first["inherit"].get_parameter("stem.0.weight") is not space.network.get_parameter("stem.0.weight")


@pytest.mark.parametrize(
    ("macs", "name"), [(800_000, "ResNet-8"), (2_500_000, "ResNet-8"), (3_000_000, "ResNet-20"), (10**9, "ResNet-20")]
)
def test_the_baseline_is_the_largest_resnet_within_the_limits(
    target: Dataset, whole: MemoryRun, macs: int, name: str
) -> None:
    settings = replace(TINY, limits=Limits(macs=macs))
    contender = baseline_network(context_of(target, MemoryRun(), settings).fitting, winner_of(whole))
    assert contender.name == name
    assert contender.costs.macs <= macs


def test_the_baseline_is_as_fast_as_the_limit_and_stays_what_it_was(
    target: Dataset, whole: MemoryRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slower clock at a second start does not change which ResNet it is."""
    milliseconds = 0.1

    def clock(network: nn.Module, image_size: int) -> Latency:
        return Latency(milliseconds * sum(isinstance(m, nn.Conv2d | nn.Linear) for m in network.modules()), 0.0, 1)

    monkeypatch.setattr("tailornas.methods.fitting.latency", clock)
    run = MemoryRun()
    fitting = context_of(target, run, replace(TINY, limits=Limits(latency_ms=2.5))).fitting
    assert baseline_network(fitting, winner_of(whole)).name == "ResNet-20"
    milliseconds = 0.2
    assert baseline_network(fitting, winner_of(whole)).name == "ResNet-20"
    assert (run.computed, run.notes) == (["plan-baseline"], [])
    monkeypatch.setattr("torch.get_num_threads", lambda: 64)
    elsewhere = MemoryRun(run.results)
    baseline_network(replace(fitting, run=elsewhere), winner_of(whole))
    assert elsewhere.inputs["plan-baseline"] != run.inputs["plan-baseline"]
    again = MemoryRun()
    fitting = context_of(target, again, replace(TINY, limits=Limits(latency_ms=0.5))).fitting
    assert baseline_network(fitting, winner_of(whole)).name == "ResNet-8"
    assert again.notes == ["The baseline ResNet-8 is above the limits: no smaller ResNet is known for these images."]


def test_the_source_of_the_supernet(target: Dataset) -> None:
    leftover = choose_source(target, None)
    assert leftover.sampler == "instance"
    assert leftover.train.counts.imbalance_factor == 1
    used = {row for split in (target.train, target.selection, target.test) for row in split.rows.tolist()}
    assert not used & set(leftover.train.rows.tolist())

    plain = prepare(DataConfig(data="digits", profile="as-is"), seed=0)
    itself = choose_source(plain, None)
    assert itself.train is plain.train
    assert itself.sampler == "class_balanced"
    assert itself.fingerprint != plain.fingerprint

    named = choose_source(target, plain)
    assert isinstance(named, SupernetSource)
    assert len(named.train) == len(plain.train) + len(plain.selection)
    # Rows of a part of its own are those of another collection.
    assert choose_source(target, replace(plain, own_selection=True)).train is plain.train
    assert named.sampler == "instance"
    assert choose_source(plain, target).sampler == "class_balanced"
    assert len({source.fingerprint for source in (leftover, itself, named)}) == 3
