"""What every long-tail loss has in common: how it is called, how images are averaged, what it refuses."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, final

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from tailornas.errors import ConfigError, DataError
from tailornas.settings import SettingsModel
from tailornas.types import ClassCounts

__all__ = ["LongTailLoss", "NoSettings", "target_mask"]


@final
class NoSettings(SettingsModel):
    """The settings of a loss that has none."""


def target_mask(targets: Tensor, classes: int) -> Tensor:
    """Marks the target of every image: bool ``(batch, classes)`` for int64 ``targets``, ``(batch,)``."""
    return targets[:, None] == torch.arange(classes, device=targets.device)


class LongTailLoss(nn.Module, ABC):
    """A loss on logits, built from class counts and called as ``loss(logits, targets, weights)``.

    It holds one number a class at most, as a buffer that follows the device of the logits. Class weights
    are not its state but an argument, so that a schedule can bring them in at any moment
    (:func:`tailornas.losses.weights_at`).

    Args:
        counts: training images a class.
        settings: an instance of the loss's own ``Settings``.

    Raises:
        DataError: fewer than two classes.
    """

    Settings: ClassVar[type[BaseModel]] = NoSettings
    head: ClassVar[Literal["linear", "cosine"]] = "linear"
    """The head that it has by default. ``"cosine"``: it scales its logits itself; see :func:`check_head`."""
    corrects_priors: ClassVar[bool] = False
    """Whether it takes class sizes into account by its logits, so that class weights, and what follows, do it twice."""
    own_weights: ClassVar[bool] = False
    """Whether class weights are part of the loss, so that it takes no others."""

    generator: torch.Generator | None = None
    """What a random loss draws from, set anew by position in a resumable training; the others leave it alone."""

    def __init__(self, counts: ClassCounts, settings: BaseModel) -> None:
        super().__init__()
        if len(counts) < 2:
            raise DataError(f"expected counts of at least 2 classes, got {len(counts)}: add a class")
        self.classes = len(counts)
        self.settings = settings

    @classmethod
    def begin(cls, head: nn.Module) -> None:
        """Gives a new head, in place, what the loss has to start from; most start from any."""

    @abstractmethod
    def per_image(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of every image, without class weights.

        Args:
            logits: float32 ``(batch, classes)``.
            targets: int64 ``(batch,)``.

        Returns:
            float32 ``(batch,)``.
        """

    def probabilities(self, logits: Tensor) -> Tensor:
        """Class probabilities that the logits of a network fitted by this loss stand for.

        Args:
            logits: ``(batch, classes)``.

        Returns:
            float32 ``(batch, classes)``.
        """
        return logits.float().softmax(dim=1)

    def weighted(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The weighted loss of every image, and the weight of every image.

        Args:
            logits: ``(batch, classes)`` of any floating type; the loss is computed in float32.
            targets: int64 ``(batch,)``, labels from 0 to ``classes - 1``.
            weights: class weights, ``(classes,)``; None: all 1.

        Returns:
            Two float32 ``(batch,)``.

        Raises:
            DataError: logits or weights of another number of classes than the loss was built for, or not one int64
                target an image.
            ConfigError: weights, for a loss that has its own.
            RuntimeError: torch's own, for a target that is no label, -100 included, which
                :func:`torch.nn.functional.cross_entropy` would leave out: to look for them would keep a GPU waiting.
        """
        if logits.ndim != 2 or logits.shape[1] != self.classes:
            raise DataError(
                f"{type(self).__name__} was built from the counts of {self.classes} classes: expected logits "
                f"(batch, {self.classes}), got {tuple(logits.shape)}: count the images of the classes that the head has"
            )
        if targets.shape != logits.shape[:1] or targets.dtype != torch.int64:
            raise DataError(
                f"expected targets int64 ({len(logits)},) for logits {tuple(logits.shape)}, got "
                f"{str(targets.dtype).removeprefix('torch.')} {tuple(targets.shape)}: give one label an image"
            )
        if weights is None:
            weights = logits.new_ones(self.classes)
        elif self.own_weights:
            raise ConfigError(
                f"{type(self).__name__} has class weights of its own and got others: leave them out or use "
                "the loss 'focal'"
            )
        elif weights.shape != (self.classes,):
            raise DataError(
                f"expected one class weight for each of {self.classes} classes, got weights of shape "
                f"{tuple(weights.shape)}: make them from the same counts, as class_weights(name, counts) does"
            )
        # The buffers go to the device of the logits with the first batch; later there is nothing to move.
        self.to(logits.device)
        # Unlike an index, gather refuses negative labels, for every loss and without weights too.
        image_weights = weights.to(logits.device, torch.float32).gather(0, targets)
        return image_weights * self.per_image(logits.float(), targets), image_weights

    def forward(self, logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """The mean loss of a batch, each image counted by the weight of its class.

        The mean divides by the sum of the weights, as :func:`torch.nn.functional.cross_entropy` does and with it
        cross-entropy and LDAM in the published code of LDAM-DRW; its focal loss divides by the batch and has the weight
        inside of p too. So the size of the loss, and the learning rate that suits it, does not change when weights come
        in, and a factor common to all weights has no effect. For arguments and errors see :meth:`weighted`.

        Returns:
            A float32 scalar.
        """
        losses, image_weights = self.weighted(logits, targets, weights)
        return losses.sum() / image_weights.sum()
