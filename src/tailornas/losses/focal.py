"""Focal loss: easy images count less."""

from typing import final

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from tailornas.losses.loss import LongTailLoss, target_mask
from tailornas.settings import SettingsModel

__all__ = ["Focal", "FocalSettings", "focal_loss"]


def focal_loss(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    """``(1 - p_y)^gamma * -log p_y`` of every image, p the softmax probability.

    Lin et al. 2017 (1708.02002), equation 4, with the softmax of the multi-class case in place of the
    sigmoid. ``p`` is never re-weighted; class weights multiply the result. ``1 - p_y`` is the log-sum of
    the other classes, so that its gradient stays finite when ``p_y`` rounds to 1.

    Args:
        logits: float32 ``(batch, classes)``.
        targets: int64 ``(batch,)``.
        gamma: focusing parameter; 0 is the cross-entropy.

    Returns:
        float32 ``(batch,)``.
    """
    others = logits.masked_fill(target_mask(targets, logits.shape[1]), float("-inf"))
    log_error = others.logsumexp(dim=1) - logits.logsumexp(dim=1)
    return (gamma * log_error).exp() * F.cross_entropy(logits, targets, reduction="none")


@final
class FocalSettings(SettingsModel):
    """Settings of :class:`Focal`."""

    gamma: float = Field(2.0, ge=0, description="focusing parameter; 0 is the cross-entropy")


@final
class Focal(LongTailLoss):
    """Focal loss (Lin et al. 2017); see :func:`focal_loss`."""

    Settings = FocalSettings
    settings: FocalSettings

    def per_image(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See :meth:`LongTailLoss.per_image`."""
        return focal_loss(logits, targets, self.settings.gamma)
