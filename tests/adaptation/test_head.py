import copy
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import create_autospec

import pytest
import torch
from torch import Tensor, nn

from tailornas.adaptation import HeadConfig, adapt_head
from tailornas.data import SAMPLERS, Batches, DataConfig, Dataset, ordered, prepare
from tailornas.errors import ConfigError, UnknownNameError
from tailornas.losses import ScheduleConfig
from tailornas.metrics import class_recalls, confusion
from tailornas.seeding import generator
from tailornas.spaces import Backbone, NASBench201Config, SearchSpace, build_space
from tailornas.stages import Detached, Stage
from tailornas.training import (
    DeviceConfig,
    Fitted,
    OptimizerConfig,
    PretrainConfig,
    make_fabric,
    predict,
    pretrain,
    recalibrate,
)
from tailornas.types import Architecture

FABRIC = make_fabric(DeviceConfig(accelerator="cpu", precision="fp32"))
CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"


def batches_of(dataset: Dataset, size: int = 64) -> Batches:
    return Batches(dataset.train, size, dataset.normalization, None, SAMPLERS["instance"], 0, "test", FABRIC.device)


@pytest.fixture(scope="module")
def target() -> Dataset:
    return prepare(DataConfig(data="digits", imbalance_factor=30), seed=0)


@pytest.fixture(scope="module")
def supernet() -> SearchSpace[Backbone]:
    """Trained a little on balanced digits."""
    space = build_space(NASBench201Config(channels=12, cells_per_stage=1), 10, generator(0, "space"))
    balanced = prepare(DataConfig(data="digits", profile="as-is"), seed=0)
    pretrain(FABRIC, space, batches_of(balanced), PretrainConfig(), epochs=3, seed=0, stage=Detached())
    return space


@pytest.fixture
def space(supernet: SearchSpace[Backbone]) -> SearchSpace[Backbone]:
    fresh = build_space(NASBench201Config(channels=12, cells_per_stage=1), 10, generator(1, "space"))
    fresh.network.load_state_dict(supernet.network.state_dict())
    return fresh


def adapted(
    space: SearchSpace[Backbone],
    target: Dataset,
    epochs: int = 1,
    seed: int = 0,
    class_weights: str | None = "effective",
    stage: Stage | None = None,
) -> Fitted:
    return adapt_head(
        FABRIC,
        space,
        batches_of(target),
        HeadConfig(class_weights=class_weights),
        epochs=epochs,
        seed=seed,
        stage=stage or Detached(),
    )


def head_of(space: SearchSpace[Backbone]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in space.network.head.state_dict().items()}


def test_nothing_of_the_backbone_changes_and_every_weight_of_the_head_does(
    space: SearchSpace[Backbone], target: Dataset
) -> None:
    before = {name: tensor.clone() for name, tensor in space.network.state_dict().items()}
    flags = {name: p.requires_grad for name, p in space.network.named_parameters()}
    adapted(space, target)
    for name, tensor in space.network.state_dict().items():
        assert torch.equal(tensor, before[name]) == (not name.startswith("head.")), name
    for name, parameter in space.network.named_parameters():
        assert parameter.requires_grad == flags[name]
        if not name.startswith("head."):
            assert parameter.grad is None


def test_the_backbone_runs_without_a_graph_on_single_paths(
    space: SearchSpace[Backbone], target: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, made, modes = space.network.features, [], []

    def watch(images: Tensor) -> Tensor:
        output = features(images)
        made.append(output)
        modes.append((torch.is_grad_enabled(), space.network.training))
        return output

    monkeypatch.setattr(space.network, "features", watch)
    activated: list[Architecture] = []
    activate = space.activate

    def note(architecture: Architecture) -> AbstractContextManager[None]:
        activated.append(architecture)
        return activate(architecture)

    monkeypatch.setattr(space, "activate", note)
    adapted(space, target)
    steps = len(batches_of(target))
    assert len(made) == steps
    assert not any(output.requires_grad or output.grad_fn for output in made)
    assert set(modes) == {(False, True)}
    assert activated == [space.simplify(space.sample(generator(0, "adapt", "path", step))) for step in range(steps)]


def test_the_head_fits_the_classes_of_the_target(space: SearchSpace[Backbone], target: Dataset) -> None:
    """The source has ten classes, this target four."""
    rows = torch.nonzero(target.train.labels < 4).flatten()
    images, labels = target.train.rows[rows], target.train.labels[rows]
    split = type(target.train)(target.train.images, images, labels, target.classes[:4])
    batches = Batches(split, 32, target.normalization, None, SAMPLERS["instance"], 0, "test", FABRIC.device)
    adapt_head(
        FABRIC,
        space,
        batches,
        HeadConfig(class_weights="inverse", optimizer=OptimizerConfig()),
        epochs=1,
        seed=0,
        stage=Detached(),
    )
    assert isinstance(space.network.head, nn.Linear)
    assert space.network.head.weight.shape == (4, space.network.feature_dim)
    with space.activate(space.from_text(CELL)):
        assert space.network(torch.zeros(2, 3, 8, 8)).shape == (2, 4)


def test_the_weights_of_the_loss_raise_the_recall_of_rare_classes(
    space: SearchSpace[Backbone], target: Dataset
) -> None:
    recalls = {}
    for name, weights in {"weighted": "effective", "unweighted": None}.items():
        fitted = adapted(space, target, epochs=4, class_weights=weights)
        assert fitted.epochs == 4
        network = space.derive(space.from_text(CELL))
        recalibrate(FABRIC, network, ordered(target.train, 256, target.normalization, FABRIC.device))
        logits, labels = predict(FABRIC, network, ordered(target.test, 256, target.normalization, FABRIC.device))
        recalls[name] = class_recalls(confusion(logits.argmax(1), labels, 10))
    rare = slice(6, 10)
    assert recalls["weighted"][rare].mean() > recalls["unweighted"][rare].mean() + 0.1, recalls
    assert recalls["weighted"].mean() > 0.3, recalls  # chance is 0.1


def test_the_same_seed_gives_the_same_head_and_another_seed_another(
    space: SearchSpace[Backbone], target: Dataset
) -> None:
    heads = []
    for seed in (0, 0, 1):
        adapted(space, target, seed=seed)
        heads.append(head_of(space))
    assert all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])
    assert not torch.equal(heads[0]["weight"], heads[2]["weight"])


def test_a_resumed_adaptation_ends_with_the_same_bits(space: SearchSpace[Backbone], target: Dataset) -> None:
    """A checkpoint holds the head alone: the running statistics of the backbone must not matter."""
    adapted(space, target, epochs=3)
    whole = head_of(space)

    stage = create_autospec(Stage, instance=True)
    stage.restore.return_value = None
    stage.overdue.return_value = False

    def keep_and_interrupt(state: dict[str, Any]) -> None:
        stage.restore.return_value = copy.deepcopy(state)
        if state["epoch"] < 3:
            raise KeyboardInterrupt

    stage.save.side_effect = keep_and_interrupt
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            adapted(space, target, epochs=3, stage=stage)
        for module in space.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                module.running_mean.fill_(100.0)
    adapted(space, target, epochs=3, stage=stage)
    assert all(torch.equal(tensor, whole[name]) for name, tensor in head_of(space).items())


def test_what_was_adapted_can_be_trained_and_copied(space: SearchSpace[Backbone], target: Dataset) -> None:
    """No tensor that was made in inference mode may be left in the supernet."""
    adapted(space, target)
    network = space.derive(space.from_text(CELL)).train()
    images, labels = next(batches_of(target).epoch(0, 1))
    torch.autograd.backward(nn.functional.cross_entropy(network(images), labels))
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_an_unknown_weighting(space: SearchSpace[Backbone], target: Dataset) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown weighting 'heavy': expected one of .*auto, effective"):
        adapted(space, target, class_weights="heavy")


@pytest.mark.parametrize(
    ("settings", "weights"),
    [
        ({}, "effective"),
        ({"loss": "focal", "sampler": "instance"}, "effective"),
        ({"loss": "balanced_softmax"}, None),
        ({"loss": "class_balanced_focal"}, None),
        ({"sampler": "class_balanced"}, None),
        ({"schedule": {"name": "drs"}}, None),
        ({"schedule": ScheduleConfig(name="drs")}, None),
        ({"schedule": ScheduleConfig(name="drw")}, "effective"),
        ({"loss": "balanced_softmax", "class_weights": "inverse"}, "inverse"),
    ],
)
def test_class_sizes_are_taken_into_account_once(settings: dict[str, Any], weights: str | None) -> None:
    assert HeadConfig.model_validate(settings).class_weights == weights


def test_a_head_of_which_nothing_is_trained() -> None:
    with pytest.raises(ConfigError, match="and of the head 'etf' only a batch norm is trained"):
        HeadConfig(head="etf")


def test_impossible_settings() -> None:
    for wrong in ({"epochs": 0}, {"batch_size": 1}, {"weights": "inverse"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            HeadConfig.model_validate(wrong)
