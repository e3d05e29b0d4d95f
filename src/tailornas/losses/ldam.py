"""LDAM: larger margins for smaller classes."""

from typing import final

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from tailornas.losses.loss import LongTailLoss, target_mask
from tailornas.losses.reweight import positive_counts
from tailornas.settings import SettingsModel
from tailornas.types import ClassCounts

__all__ = ["LDAM", "LDAMSettings", "ldam_margins"]


def ldam_margins(counts: ClassCounts, largest: float = 0.5) -> Tensor:
    """Margins proportional to ``n_i^(-1/4)``, ``largest`` for the rarest class: float32 ``(classes,)``.

    Cao et al. 2019 (1906.07413): the constant is set by the largest margin.

    Raises:
        DataError: a class has no image.
    """
    margins = positive_counts(counts) ** -0.25
    return (margins * (largest / margins.max())).float()


@final
class LDAMSettings(SettingsModel):
    """Settings of :class:`LDAM`."""

    largest_margin: float = Field(0.5, ge=0, description="margin of the rarest class, as a cosine")
    scale: float = Field(30.0, gt=0, description="what the cosines are multiplied by")


@final
class LDAM(LongTailLoss):
    """Label-distribution-aware margin loss (Cao et al. 2019, 1906.07413).

    ``CE(scale * (cos - margin_y e_y))``. The logits must be cosines in [-1, 1]: the scale is here and not
    in the head, so that margins are measured on the unit sphere. The authors use it with deferred
    re-weighting (``drw``).

    Raises:
        DataError: a class has no image.
    """

    Settings = LDAMSettings
    head = "cosine"
    settings: LDAMSettings
    margins: Tensor

    def __init__(self, counts: ClassCounts, settings: LDAMSettings) -> None:
        super().__init__(counts, settings)
        self.register_buffer("margins", ldam_margins(counts, settings.largest_margin))

    def per_image(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See :meth:`LongTailLoss.per_image`; ``logits`` are cosines."""
        shifted = logits - self.margins * target_mask(targets, self.classes)
        return F.cross_entropy(self.settings.scale * shifted, targets, reduction="none")

    def probabilities(self, logits: Tensor) -> Tensor:
        """Softmax of the scaled cosines, ``(batch, classes)``, without margins."""
        return (self.settings.scale * logits.float()).softmax(dim=1)
