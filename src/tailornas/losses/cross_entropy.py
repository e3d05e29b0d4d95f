"""Softmax cross-entropy, the loss that the others start from."""

from typing import final

from torch import Tensor
from torch.nn import functional as F

from tailornas.losses.loss import LongTailLoss

__all__ = ["CrossEntropy"]


@final
class CrossEntropy(LongTailLoss):
    """``-log softmax(z)_y``; re-weighted when it is called with class weights."""

    def per_image(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See :meth:`LongTailLoss.per_image`."""
        return F.cross_entropy(logits, targets, reduction="none")
