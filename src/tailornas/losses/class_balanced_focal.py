"""Class-balanced focal loss: a sigmoid focal loss under the effective number of images."""

import math
from typing import final

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from tailornas.losses.loss import LongTailLoss, target_mask
from tailornas.losses.reweight import effective_number
from tailornas.settings import SettingsModel
from tailornas.types import ClassCounts

__all__ = ["ClassBalancedFocal", "ClassBalancedFocalSettings", "sigmoid_focal_loss"]


def sigmoid_focal_loss(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    """``sum_i (1 - p_i)^gamma * -log p_i`` of every image, the sum over classes.

    Cui et al. 2019 (1901.05555), section 4.3, without the weight: p_i is the sigmoid of z_i for the target
    and of -z_i for every other class.

    Args:
        logits: float32 ``(batch, classes)``.
        targets: int64 ``(batch,)``.
        gamma: focusing parameter; 0 is the sum of the binary cross-entropies.

    Returns:
        float32 ``(batch,)``.
    """
    signed = torch.where(target_mask(targets, logits.shape[1]), logits, -logits)
    return -((gamma * F.logsigmoid(-signed)).exp() * F.logsigmoid(signed)).sum(dim=1)


@final
class ClassBalancedFocalSettings(SettingsModel):
    """Settings of :class:`ClassBalancedFocal`."""

    beta: float = Field(0.9999, ge=0, lt=1, description="of the effective number; 0: all classes alike")
    gamma: float = Field(0.5, ge=0, description="focusing parameter")


@final
class ClassBalancedFocal(LongTailLoss):
    """Class-balanced focal loss: the sigmoid focal loss times the weight of the target.

    Cui et al. 2019 (1901.05555), section 4.3. The weights sum to the number of classes and the batch is
    averaged by its size, both as in the paper. For the softmax focal loss under class weights, call
    :class:`Focal` with weights.

    A new linear head starts from a bias of ``-log(classes - 1)``, so that every class has the probability
    ``1 / classes`` and the many negatives do not rule the first steps (the paper's section on sigmoid losses). The
    paper spares it weight decay; here that is the optimizer's to say (``decay_all``).

    Raises:
        DataError: a class has no image.
    """

    Settings = ClassBalancedFocalSettings
    own_weights = True
    settings: ClassBalancedFocalSettings
    class_weights: Tensor

    def __init__(self, counts: ClassCounts, settings: ClassBalancedFocalSettings) -> None:
        super().__init__(counts, settings)
        self.register_buffer("class_weights", effective_number(counts, settings.beta))

    @classmethod
    def begin(cls, head: nn.Module) -> None:
        """Sets the bias of a new linear head to ``-log(classes - 1)``."""
        if isinstance(head, nn.Linear) and head.bias is not None:
            nn.init.constant_(head.bias, -math.log(head.out_features - 1))

    def per_image(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See :meth:`LongTailLoss.per_image`; with the loss's own class weights."""
        return self.class_weights.gather(0, targets) * sigmoid_focal_loss(logits, targets, self.settings.gamma)

    def probabilities(self, logits: Tensor) -> Tensor:
        """The sigmoids divided by their sum, ``(batch, classes)``: the loss fits one classifier a class."""
        return F.logsigmoid(logits.float()).softmax(dim=1)
