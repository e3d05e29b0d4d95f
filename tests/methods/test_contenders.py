"""What is made sure of before anything is trained: losses, heads, class weights and counts fit each other."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest.mock import create_autospec

import pytest
import torch
from torch import nn

from tailornas.adaptation import HeadConfig
from tailornas.data import Dataset
from tailornas.errors import ConfigError, DataError
from tailornas.heads import CosineHead
from tailornas.methods import Fitting, check_training, make_contender
from tailornas.seeding import generator
from tailornas.spaces import (
    Backbone,
    DARTSConfig,
    DARTSNetwork,
    ElasticResNetConfig,
    build_space,
    cifar_resnet,
)
from tailornas.spaces.darts_network import darts_network
from tailornas.spaces.genotypes import GENOTYPES
from tailornas.training import (
    DeviceConfig,
    ObjectiveConfig,
    PretrainConfig,
    SecondStageConfig,
    TrainConfig,
    make_fabric,
)
from tailornas.types import ClassCounts

TAIL = ClassCounts((50, 30, 20, 12, 8, 5, 4, 3, 2, 1))


def check(counts: ClassCounts = TAIL, /, *networks: Backbone, **settings: Any) -> None:
    fitting = create_autospec(Fitting, instance=True)
    fitting.train, fitting.split.counts, fitting.seed = TrainConfig.model_validate(settings), counts, 0
    fitting.target = create_autospec(Dataset, instance=True, image_size=8)
    check_training(fitting, *networks, cifar_resnet(8, len(counts), generator=generator(0, "check")))


STAGES: dict[str, Callable[..., ObjectiveConfig]] = {
    "pretrain": PretrainConfig,
    "adapt": HeadConfig,
    "train": TrainConfig,
    "crt": partial(SecondStageConfig, name="crt"),
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("loss", "head", "other", "mend"),
    [
        ("ldam", "cosine", "linear", "use the head 'cosine'"),
        ("ldam", "cosine", "scaled_cosine", "use the head 'cosine'"),
        ("ce", "scaled_cosine", "cosine", "use the head 'scaled_cosine' or the loss 'ldam'"),
    ],
)
def test_a_head_and_a_loss_belong_together_or_are_refused_in_every_stage(
    stage: str, loss: str, head: str, other: str, mend: str
) -> None:
    assert STAGES[stage](loss=loss, head=head).resolved_head == head
    with pytest.raises(ConfigError, match=mend) as caught:
        STAGES[stage](loss=loss, head=other)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"class_weights": [1.0, 2.0]}, "one class weight for each of 10 classes, got 2 weights: give one a class"),
        ({"class_weights": [1.0] * 9 + [0.0]}, "class weights must be positive numbers: class 9 has 0.0"),
    ],
)
def test_class_weights_that_do_not_fit_the_classes(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check(loss="ce", **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "ce", "class_weights": "inverse"},
        {"loss": "ce", "class_weights": "auto"},
        {"loss": "ce", "schedule": {"name": "drw"}},
        {"loss": "ldam", "schedule": {"name": "none"}},
        {"loss": "logit_adjustment"},
        {"loss": "balanced_softmax"},
        {"loss": "ce", "second_stage": {"name": "crt", "loss": "balanced_softmax"}},
    ],
)
def test_a_class_without_images(settings: dict[str, Any]) -> None:
    """Where something is divided by its count, or the logarithm of it is taken."""
    with pytest.raises(DataError, match="class 1 has no training image: expected at least 1 in each of 3 cl") as caught:
        check(ClassCounts((5, 0, 2)), **settings)
    assert "\n" not in str(caught.value)


def test_an_etf_head_needs_features_enough_in_every_network_that_may_be_trained() -> None:
    message = "an ETF head needs as many features as classes, got {} features for {} classes: use a wider"
    check(ClassCounts((9,) * 64), loss="ce", head="etf")
    with pytest.raises(ConfigError, match=message.format(64, 65)):
        check(ClassCounts((9,) * 65), loss="ce", head="etf")
    space = build_space(ElasticResNetConfig(), 40, generator(0, "space"))  # its narrowest last stage has 32 channels
    with pytest.raises(ConfigError, match=message.format(32, 40)):
        check(ClassCounts((9,) * 40), space.network, loss="ce", head="etf")


def test_dropping_paths_needs_a_network_with_edges_and_the_baseline_of_a_search_has_none() -> None:
    with pytest.raises(ConfigError, match="drop_path drops edges of cells and CifarResNet has none: leave it out, or"):
        check(drop_path=0.2)
    check(TAIL, build_space(DARTSConfig(channels=4, cells=3), 10, generator(0, "space")).network, drop_path=0.2)


def with_auxiliary() -> DARTSNetwork:
    rng = generator(0, "network")
    return darts_network(GENOTYPES["DARTS_V2"], generator=rng, channels=4, cells=3, auxiliary=True)


def test_images_that_an_auxiliary_head_cannot_be_trained_with_are_refused_before_training() -> None:
    with pytest.raises(ConfigError, match=r"the auxiliary head is for images of 32 pixels, .* and these have 8: leave"):
        check(TAIL, with_auxiliary())


def contender(network: Backbone, loss: str) -> Backbone:
    fitting = create_autospec(Fitting, instance=True)
    fitting.train, fitting.split.counts, fitting.seed = TrainConfig.model_validate({"loss": loss}), TAIL, 0
    fitting.target = create_autospec(Dataset, instance=True, image_size=32, classes=tuple("abcdefghij"))
    fitting.fabric = make_fabric(DeviceConfig(accelerator="cpu"))
    return make_contender(fitting, "train", "found network", None, network, {}).network


@pytest.mark.parametrize("trained", [False, True])
def test_only_new_heads_begin_as_their_loss_says(trained: bool) -> None:
    network = with_auxiliary()
    assert network.auxiliary is not None
    network.head_trained = trained
    heads = network.head, network.auxiliary.head
    before = [head.get_parameter("bias").detach().clone() for head in heads]
    contender(network, "class_balanced_focal")
    for bias, head in zip(before, heads, strict=True):
        begun = bias if trained else torch.full((10,), -math.log(9))
        torch.testing.assert_close(head.get_parameter("bias"), begun)


@pytest.mark.parametrize(("loss", "kind"), [("ldam", CosineHead), ("ce", nn.Linear)])
def test_the_auxiliary_head_is_the_one_that_the_loss_needs(loss: str, kind: type[nn.Module]) -> None:
    network = contender(with_auxiliary(), loss)
    assert isinstance(network, DARTSNetwork)
    assert network.auxiliary is not None
    assert isinstance(network.auxiliary.head, kind)
    assert isinstance(network.head, kind)
    logits = network.auxiliary(torch.ones(2, 64, 8, 8))
    assert logits.shape == (2, 10)
    assert loss != "ldam" or logits.abs().max() <= 1


def test_a_loss_that_no_count_divides_takes_a_class_without_images() -> None:
    check(ClassCounts((5, 0, 2)), loss="ce")
