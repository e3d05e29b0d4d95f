"""Balanced softmax: the cross-entropy of a softmax that knows the class counts."""

from typing import final

from torch import Tensor
from torch.nn import functional as F

from tailornas.losses.loss import LongTailLoss, NoSettings
from tailornas.losses.reweight import positive_counts
from tailornas.types import ClassCounts

__all__ = ["BalancedSoftmax"]


@final
class BalancedSoftmax(LongTailLoss):
    """``CE(z + log n)`` (Ren et al. 2020, 2007.10740, theorem 1); tests use plain ``z``.

    Raises:
        DataError: a class has no image.
    """

    corrects_priors = True
    log_counts: Tensor

    def __init__(self, counts: ClassCounts, settings: NoSettings) -> None:
        super().__init__(counts, settings)
        self.register_buffer("log_counts", positive_counts(counts).log().float())

    def per_image(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See :meth:`LongTailLoss.per_image`."""
        return F.cross_entropy(logits + self.log_counts, targets, reduction="none")
