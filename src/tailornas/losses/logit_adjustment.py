"""Logit adjustment by the class priors, as a loss and after training."""

from typing import final

from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from tailornas.errors import DataError
from tailornas.losses.loss import LongTailLoss
from tailornas.losses.reweight import positive_counts
from tailornas.settings import SettingsModel
from tailornas.types import ClassCounts

__all__ = ["LogitAdjustment", "LogitAdjustmentSettings", "adjust_logits", "class_priors"]


def class_priors(counts: ClassCounts) -> Tensor:
    """Share of each class in the training images: float32 ``(classes,)``.

    Raises:
        DataError: a class has no image.
    """
    numbers = positive_counts(counts)
    return (numbers / numbers.sum()).float()


def adjust_logits(logits: Tensor, priors: Tensor, tau: float = 1.0) -> Tensor:
    """Takes the training priors out of a trained network's logits: ``z - tau log pi``.

    Menon et al. 2021 (2007.07314), equation 9, for a network that was trained by the plain cross-entropy.

    Args:
        logits: ``(batch, classes)``.
        priors: ``(classes,)``, on any device; see :func:`class_priors`.
        tau: 1 is consistent for the balanced error; other values temper it.

    Returns:
        ``(batch, classes)``.

    Raises:
        DataError: not one prior a class.
    """
    if priors.shape != logits.shape[-1:]:
        raise DataError(
            f"expected one prior for each of {logits.shape[-1]} classes, got priors of shape {tuple(priors.shape)}"
        )
    return logits - tau * priors.to(logits.device).log()


@final
class LogitAdjustmentSettings(SettingsModel):
    """Settings of :class:`LogitAdjustment`."""

    tau: float = Field(1.0, ge=0, description="how much of the log-prior is added; 0 is the cross-entropy")


@final
class LogitAdjustment(LongTailLoss):
    """``CE(z + tau log pi)`` (Menon et al. 2021, 2007.07314, equation 10); tests use plain ``z``.

    With tau 1 it is the balanced softmax, since a shift common to all classes does not change a softmax.

    Raises:
        DataError: a class has no image.
    """

    corrects_priors = True
    Settings = LogitAdjustmentSettings
    settings: LogitAdjustmentSettings
    shift: Tensor

    def __init__(self, counts: ClassCounts, settings: LogitAdjustmentSettings) -> None:
        super().__init__(counts, settings)
        self.register_buffer("shift", settings.tau * class_priors(counts).log())

    def per_image(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See :meth:`LongTailLoss.per_image`."""
        return F.cross_entropy(logits + self.shift, targets, reduction="none")
