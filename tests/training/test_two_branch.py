"""Two branches: which weights they share, how their features and losses are mixed, and what the batches hold."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tailornas.data import SAMPLERS, Batches, DataConfig, Dataset, prepare
from tailornas.errors import ConfigError
from tailornas.losses import LongTailLoss, build_loss
from tailornas.seeding import generator
from tailornas.spaces import Backbone, CifarResNet, cifar_resnet
from tailornas.stages import Detached
from tailornas.training import (
    DeviceConfig,
    OptimizerConfig,
    PairedBatches,
    TrainConfig,
    TwoBranchNetwork,
    make_fabric,
    train,
    two_branch_loss,
)
from tailornas.types import ClassCounts

FABRIC = make_fabric(DeviceConfig(accelerator="cpu", precision="fp32"))
IMAGES = torch.randn(6, 3, 8, 8, generator=generator(0, "images"))


def resnet() -> CifarResNet:
    return cifar_resnet(8, 3, generator=generator(0, "network"), channels=4)


def two_branch(seed: int = 0) -> TwoBranchNetwork:
    return TwoBranchNetwork(resnet(), 3, generator(seed, "branch"))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return prepare(DataConfig(data="digits", imbalance_factor=20), seed=0)


def paired(digits: Dataset, size: int = 64) -> PairedBatches:
    def batches(sampler: str, position: str) -> Batches:
        return Batches(digits.train, size, digits.normalization, None, SAMPLERS[sampler], 0, position, FABRIC.device)

    return PairedBatches(batches("instance", "train"), batches("reversed", "train/reversed"))


def test_all_before_the_last_block_is_shared_and_kept() -> None:
    before, network = resnet().state_dict(), two_branch()
    after = network.state_dict()
    for name, tensor in before.items():
        if name.startswith("blocks.2."):
            name = name.replace("blocks.2.", "blocks.2.conventional.")
        if not name.startswith("head."):
            assert torch.equal(after[f"network.{name}"], tensor), name
    block = sum(parameter.numel() for parameter in resnet().blocks[2].parameters())
    body = sum(parameter.numel() for name, parameter in resnet().named_parameters() if not name.startswith("head."))
    assert sum(parameter.numel() for parameter in network.parameters()) == body + block + 3 * 32 + 3


def test_the_second_branch_has_weights_of_its_own() -> None:
    network = two_branch()
    conventional, rebalancing = network.branches.conventional, network.branches.rebalancing
    assert isinstance(rebalancing, type(conventional))
    for name in ("conv1.weight", "conv2.weight"):
        one, other = conventional.get_parameter(name), rebalancing.get_parameter(name)
        assert not torch.equal(one, other)
        assert one.data_ptr() != other.data_ptr()
        assert float(other.detach().std()) == pytest.approx(float(one.detach().std()), rel=0.1)


def test_its_weights_are_drawn_from_the_generator_alone() -> None:
    state = torch.get_rng_state()
    first, again, other = two_branch().state_dict(), two_branch().state_dict(), two_branch(1).state_dict()
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(again[name], tensor) for name, tensor in first.items())
    differing = {name for name, tensor in first.items() if not torch.equal(other[name], tensor)}
    assert differing == {
        "head.weight",
        "head.bias",
        *(f"{part}.rebalancing.conv{n}.weight" for part in ("branches", "network.blocks.2") for n in (1, 2)),
    }


def test_features_are_those_of_both_branches() -> None:
    network = two_branch().eval()
    plain = resnet().eval()
    assert network.feature_dim == 32
    features = network.features(IMAGES)
    assert features.shape == (6, 32)
    torch.testing.assert_close(features[:, :16], plain.features(IMAGES))
    plain.blocks[2] = network.branches.rebalancing
    torch.testing.assert_close(features[:, 16:], plain.features(IMAGES))
    torch.testing.assert_close(network(IMAGES), network.head(features))


def by_hand(network: TwoBranchNetwork, images: Tensor, others: Tensor, alpha: float) -> Tensor:
    """Equation 1 and 2: the head on the features of each branch for its own images, weighted, twice as large."""
    assert isinstance(network.head, nn.Linear)
    conventional, rebalancing = network.features(images)[:, :16], network.features(others)[:, 16:]
    first, second = network.head.weight[:, :16], network.head.weight[:, 16:]
    return 2 * alpha * conventional @ first.T + 2 * (1 - alpha) * rebalancing @ second.T + network.head.bias


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_mixed_logits_by_hand(alpha: float) -> None:
    network = two_branch().eval()
    logits = network.mixed_logits(IMAGES, alpha)
    torch.testing.assert_close(logits, by_hand(network, IMAGES[:3], IMAGES[3:], alpha))


def test_half_and_half_is_what_is_measured() -> None:
    network = two_branch().eval()
    torch.testing.assert_close(network.mixed_logits(torch.cat([IMAGES, IMAGES]), 0.5), network(IMAGES))


@pytest.mark.parametrize(
    ("progress", "alpha"), [(0.0, 1.0), (0.1, 0.99), (0.25, 0.9375), (0.5, 0.75), (0.8, 0.36), (0.9, 0.19)]
)
def test_the_weight_of_the_conventional_branch_falls_as_a_parabola(progress: float, alpha: float) -> None:
    network, loss = two_branch().eval(), build_loss("cross_entropy", ClassCounts((4, 2, 1)))
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    logits = by_hand(network, IMAGES[:3], IMAGES[3:], alpha)
    expected = alpha * F.cross_entropy(logits, labels[:3]) + (1 - alpha) * F.cross_entropy(logits, labels[3:])
    torch.testing.assert_close(two_branch_loss(network, loss, IMAGES, labels, progress), expected)


def test_the_first_step_moves_the_conventional_branch_only() -> None:
    network, loss = two_branch(), build_loss("cross_entropy", ClassCounts((4, 2, 1)))
    two_branch_loss(network, loss, IMAGES, torch.tensor([0, 0, 1, 1, 2, 2]), 0.0).backward()  # type: ignore[no-untyped-call]
    for branch, moves in ((network.branches.conventional, True), (network.branches.rebalancing, False)):
        gradients = [parameter.grad for parameter in branch.parameters()]
        assert any(g is not None and bool(g.any()) for g in gradients) == moves


def test_a_network_that_names_no_last_block_is_refused() -> None:
    class Flat(Backbone):
        def features(self, x: Tensor) -> Tensor:
            return x.mean((2, 3))

    with pytest.raises(ConfigError, match="doubles the last block of a network and Flat names none: train a") as e:
        TwoBranchNetwork(Flat(3, 2), 2, generator(0))
    assert "\n" not in str(e.value)


def test_pairs_hold_a_batch_of_each_sampler(digits: Dataset) -> None:
    batches = paired(digits)
    plain = Batches(digits.train, 64, digits.normalization, None, SAMPLERS["instance"], 0, "train", torch.device("cpu"))
    assert len(batches) == len(plain)
    pairs = list(batches.epoch(1, 3))
    for (images, labels), (expected, expected_labels) in zip(pairs, plain.epoch(1, 3), strict=True):
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert len(images) == len(labels) == 2 * len(expected)
        assert torch.equal(images[: len(expected)], expected)
        assert torch.equal(labels[: len(expected)], expected_labels)
    counts = digits.train.counts
    shares = torch.cat([labels.chunk(2)[1] for _, labels in pairs]).bincount(minlength=10)
    inverse = [counts.total / n / sum(1 / n for n in counts) for n in counts]
    assert shares.tolist() == pytest.approx(inverse, abs=1)
    assert shares.tolist() == sorted(shares.tolist())


@pytest.mark.parametrize("loss", ["ce", "seql"])  # the second draws random numbers
def test_training_takes_pairs_and_fits_both_branches(
    digits: Dataset, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    """Without weight decay: that would move the second branch too, were it never asked for anything."""
    given: list[float] = []

    def record(
        network: TwoBranchNetwork, loss: LongTailLoss, images: Tensor, labels: Tensor, progress: float
    ) -> Tensor:
        given.append(progress)
        return two_branch_loss(network, loss, images, labels, progress)

    monkeypatch.setattr("tailornas.training.standalone.two_branch_loss", record)
    network = TwoBranchNetwork(cifar_resnet(8, 10, generator=generator(0), channels=4), 10, generator(1))
    before = copy.deepcopy(network.state_dict())
    batches = paired(digits)
    settings = TrainConfig(loss=loss, two_branch=True, optimizer=OptimizerConfig(weight_decay=0))
    first = train(FABRIC, network, batches, settings, epochs=2, seed=0, stage=Detached())
    steps = 2 * len(batches)
    assert given == [step / steps for step in range(steps)]
    after = network.state_dict()
    for name in ("network.conv", "branches.conventional.conv1", "branches.rebalancing.conv1", "head"):
        assert not torch.equal(before[f"{name}.weight"], after[f"{name}.weight"]), name
    assert first.loss < torch.tensor(10.0).log()


@pytest.mark.parametrize(
    "other",
    [
        {"mix": {"name": "mixup"}},
        {"class_weights": "auto"},
        {"schedule": {"name": "drs"}},
        {"loss": "ldam"},
        {"sampler": "class_balanced"},
    ],
)
def test_what_two_branches_cannot_be_combined_with(other: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="two_branch has a schedule and samplers of its own and got"):
        TrainConfig.model_validate({"loss": "ce", "two_branch": True, **other})


def test_two_branches_with_margins_but_without_their_schedule() -> None:
    settings = {"loss": "ldam", "two_branch": True, "schedule": {"name": "none"}}
    assert TrainConfig.model_validate(settings).resolved_head == "cosine"
