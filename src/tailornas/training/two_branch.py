"""Bilateral-branch training (BBN, Zhou et al. 2020, 1912.02413): one branch for all images, one for rare classes."""

import copy
from collections.abc import Iterator
from typing import Literal, final

import torch
from torch import Tensor, nn

from tailornas.errors import ConfigError
from tailornas.losses import LongTailLoss
from tailornas.spaces import Backbone, initialise
from tailornas.training.loop import EpochBatches
from tailornas.types import ClassCounts

__all__ = ["PairedBatches", "TwoBranchNetwork", "check_two_branch", "two_branch_loss"]


@final
class PairedBatches:
    """Batches of two samplers side by side: the first half of each is the conventional one, the second the reversed.

    Args:
        conventional: every image once an epoch.
        reversed_: rare classes most often; as many images an epoch.
    """

    def __init__(self, conventional: EpochBatches, reversed_: EpochBatches) -> None:
        self._parts = conventional, reversed_

    @property
    def counts(self) -> ClassCounts:
        """Training images a class."""
        return self._parts[0].counts

    def __len__(self) -> int:
        """Batches an epoch."""
        return len(self._parts[0])

    def epoch(self, index: int, epochs: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images ``(2 × batch, 3, size, size)`` and labels ``(2 × batch,)`` of one epoch."""
        for (images, labels), (others, other_labels) in zip(
            *(part.epoch(index, epochs) for part in self._parts), strict=True
        ):
            both = torch.cat([images, others]).contiguous(memory_format=torch.channels_last)
            yield both, torch.cat([labels, other_labels])


def check_two_branch(network: Backbone) -> None:
    """Refuses a network that cannot have two branches.

    Raises:
        ConfigError: the network does not say which block is its last.
    """
    if network.last_block is None:
        raise ConfigError(
            f"two-branch training doubles the last block of a network and {type(network).__name__} names none: "
            "train a CIFAR ResNet, or leave out two_branch"
        )


@final
class Branches(nn.Module):
    """The last block twice, with weights of their own.

    Args:
        conventional: the block of a network.
        rebalancing: another of the same kind.
    """

    def __init__(self, conventional: nn.Module, rebalancing: nn.Module) -> None:
        super().__init__()
        self.conventional, self.rebalancing = conventional, rebalancing
        self.active: Literal["conventional", "rebalancing", "both"] = "both"

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(batch, channels, height, width)`` by the active branch; by both: one after the other in channels."""
        if self.active == "both":
            return torch.cat([self.conventional(x), self.rebalancing(x)], dim=1)
        output: Tensor = getattr(self, self.active)(x)
        return output


@final
class TwoBranchNetwork(Backbone):
    """A network whose last block is there twice, and whose head sees the features of both, ``2 × feature_dim``.

    As in the paper's network for CIFAR, all before the last block is shared, and the head is one linear layer.

    Args:
        network: a network that names its last block; taken over, not copied.
        classes: outputs of the head.
        generator: draws the second branch's weights and the head's.

    Raises:
        ConfigError: the network does not say which block is its last.
    """

    def __init__(self, network: Backbone, classes: int, generator: torch.Generator) -> None:
        check_two_branch(network)
        assert network.last_block is not None
        with torch.random.fork_rng(devices=[]):
            super().__init__(2 * network.feature_dim, classes)
        block = network.get_submodule(network.last_block)
        other = copy.deepcopy(block)
        initialise(other, generator)
        initialise(self.head, generator)
        self.branches = Branches(block, other)
        network.set_submodule(network.last_block, self.branches)
        network.head = nn.Identity()
        self.network = network

    def features(self, x: Tensor) -> Tensor:
        """Maps images ``(batch, 3, height, width)`` to features ``(batch, feature_dim)`` of both branches."""
        self.branches.active = "both"
        return self.network.features(x)

    def mixed_logits(self, images: Tensor, alpha: float) -> Tensor:
        """Logits ``(batch, classes)`` of a pair of batches, ``(2 × batch, 3, height, width)`` (equation 1 and 2).

        Twice the features, as in the authors' code: with alpha 1/2 they are those that :meth:`features` gives.

        Args:
            images: the conventional batch and the reversed one.
            alpha: weight of the conventional branch, in [0, 1].
        """
        features = []
        for branch, half, weight in zip(
            ("conventional", "rebalancing"), images.chunk(2), (alpha, 1 - alpha), strict=True
        ):
            self.branches.active = branch  # type: ignore[assignment]
            features.append(2 * weight * self.network.features(half))
        return self.classify(torch.cat(features, dim=1))


def two_branch_loss(
    network: TwoBranchNetwork, loss: LongTailLoss, images: Tensor, labels: Tensor, progress: float
) -> Tensor:
    """The loss of a pair of batches (equation 3), with the paper's parabolic decay of alpha (equation 5).

    Deviations: alpha falls step by step, in the paper's code epoch by epoch. The learning rate is whatever the training
    has. That of :data:`~tailornas.training.PUBLISHED_RECIPE` falls after 80% and 90% of it; in BBN's code for CIFAR-10
    it warms up from a third and falls after 60% and 80% (``train.optimizer.milestones``), so that at the first fall
    alpha is 0.64 there and 0.36 here.

    Args:
        network: the two-branch network.
        loss: in the paper cross-entropy.
        images: ``(2 × batch, 3, height, width)``.
        labels: int64 ``(2 × batch,)``.
        progress: share of training that is done, in [0, 1).

    Returns:
        A float32 scalar.
    """
    alpha = 1 - progress**2
    logits = network.mixed_logits(images, alpha)
    conventional, rebalancing = labels.chunk(2)
    value: Tensor = alpha * loss(logits, conventional) + (1 - alpha) * loss(logits, rebalancing)
    return value
