import copy
from typing import Any
from unittest.mock import create_autospec

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from tailornas.data import SAMPLERS, AugmentConfig, Batches, DataConfig, Dataset, ordered, prepare
from tailornas.errors import TailorNASError
from tailornas.heads import build_head
from tailornas.losses import LOSSES, LongTailLoss, ScheduleConfig, build_loss, effective_number
from tailornas.metrics import class_recalls, confusion
from tailornas.seeding import generator
from tailornas.training import DeviceConfig, Fitted, OptimizerConfig, TrainConfig, make_fabric, predict, train
from tailornas.types import Detached, Stage

FABRIC = make_fabric(DeviceConfig(accelerator="cpu", precision="fp32"))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return prepare(DataConfig(data="digits", imbalance_factor=20), seed=0)


@pytest.fixture(scope="module")
def batches(digits: Dataset) -> Batches:
    augment = AugmentConfig(flip=False)
    return Batches(digits.train, 64, digits.normalization, augment, SAMPLERS["instance"], 0, "train", FABRIC.device)


def small_network(head: str = "linear") -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = (nn.Conv2d(3, 12, 3, stride=2), nn.BatchNorm2d(12), nn.ReLU(), nn.Flatten())
    return nn.Sequential(*body, build_head(head, 108, 10, generator(0, "head")))


def trained(
    network: nn.Module,
    batches: Batches,
    digits: Dataset,
    loss: LongTailLoss,
    settings: TrainConfig,
    epochs: int = 5,
    stage: Stage | None = None,
) -> Fitted:
    return train(
        FABRIC,
        network,
        batches,
        loss,
        digits.train.counts,
        settings.model_copy(update={"optimizer": OptimizerConfig()}),
        epochs=epochs,
        seed=0,
        stage=stage or Detached(),
    )


def weighted_from(start: float) -> TrainConfig:
    return TrainConfig(loss="ce", schedule=ScheduleConfig(name="drw", start=start))


def recalls(network: nn.Module, digits: Dataset) -> Tensor:
    logits, targets = predict(FABRIC, network, ordered(digits.test, 256, digits.normalization, FABRIC.device))
    return class_recalls(confusion(logits.argmax(1), targets, 10))


def test_class_weights_come_in_with_the_schedule(
    batches: Batches, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = build_loss("cross_entropy", digits.train.counts)
    given: list[Tensor | None] = []
    weighted = loss.weighted

    def record(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        given.append(weights)
        return weighted(logits, targets, weights)

    monkeypatch.setattr(loss, "weighted", record)
    trained(small_network(), batches, digits, loss, weighted_from(0.6), epochs=5)
    steps = 5 * len(batches)
    assert len(given) == steps
    late = [step for step, weights in enumerate(given) if weights is not None]
    assert late == [step for step in range(steps) if step / steps >= 0.6]
    assert given[-1] is not None
    torch.testing.assert_close(given[-1], effective_number(digits.train.counts))


def test_weights_make_rare_classes_better_known(batches: Batches, digits: Dataset) -> None:
    plain, weighted = small_network(), small_network()
    loss = build_loss("cross_entropy", digits.train.counts)
    trained(plain, batches, digits, loss, TrainConfig(loss="ce"))
    trained(weighted, batches, digits, loss, weighted_from(0.2))
    rare = slice(7, 10)
    assert recalls(weighted, digits)[rare].mean() > recalls(plain, digits)[rare].mean() + 0.1


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_training_with_any_loss_resumes_with_the_same_bits(batches: Batches, digits: Dataset, name: str) -> None:
    """A loss that draws random numbers has to draw them by position, too."""
    settings = {"rare": 0.1} if name == "seql" else {}
    stage = create_autospec(Stage, instance=True)
    stage.restore.return_value = None
    stage.overdue.return_value = False

    def start() -> nn.Module:
        loss = build_loss(name, digits.train.counts, generator(0, "train", "loss"), **settings)
        network = small_network("cosine" if loss.head == "cosine" else "linear")
        trained(
            network, batches, digits, loss, TrainConfig(loss=name, schedule=ScheduleConfig()), epochs=2, stage=stage
        )
        return network

    def keep_and_interrupt(state: dict[str, Any]) -> None:
        stage.restore.return_value = copy.deepcopy(state)
        raise KeyboardInterrupt

    whole = start()
    stage.save.side_effect = keep_and_interrupt
    with pytest.raises(KeyboardInterrupt):
        start()
    stage.save.side_effect = None
    resumed = start()
    for key, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], tensor), key


def test_the_schedule_that_belongs_to_the_loss() -> None:
    assert TrainConfig().resolved_schedule == ScheduleConfig(name="drw")
    assert TrainConfig(loss="focal").resolved_schedule == ScheduleConfig(name="none")
    late = ScheduleConfig(name="drw", start=0.5)
    assert TrainConfig(loss="focal", schedule=late).resolved_schedule == late
    assert TrainConfig(schedule=ScheduleConfig(name="none")).resolved_schedule == ScheduleConfig(name="none")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "lmad"}, "unknown loss 'lmad': expected one of balanced_softmax"),
        ({"loss": "ldam", "loss_settings": {"gamma": 2.0}}, "loss 'ldam', setting 'gamma'"),
        (
            {"loss": "class_balanced_focal", "schedule": {"name": "drw"}},
            "the loss 'class_balanced_focal' has class weights of its own and schedule 'drw' would bring in others",
        ),
        ({"schedule": {"name": "later"}}, "unknown schedule 'later'"),
    ],
)
def test_settings_that_contradict_each_other(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TailorNASError, match=message) as caught:
        TrainConfig.model_validate(settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch_size": 1}, {"lr": 0.1}])
def test_impossible_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        TrainConfig.model_validate(wrong)
