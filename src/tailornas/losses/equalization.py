"""Softmax equalisation loss: rare classes are mostly left out as negatives."""

from typing import final

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from tailornas.errors import ConfigError
from tailornas.losses.loss import LongTailLoss, target_mask
from tailornas.settings import SettingsModel
from tailornas.types import ClassCounts

__all__ = ["Equalization", "EqualizationSettings"]


@final
class EqualizationSettings(SettingsModel):
    """Settings of :class:`Equalization`, which says where the defaults come from."""

    rare: float | None = Field(
        None, ge=0, le=1, description="classes with a smaller share of the images are rare; none: 0.3 / classes"
    )
    ignore: float = Field(0.95, ge=0, le=1, description="chance that a rare negative is left out (gamma)")


@final
class Equalization(LongTailLoss):
    """Softmax equalisation loss, SEQL (Tan et al. 2020, 2003.05176).

    The cross-entropy of ``exp(z_j) / sum_k w_k exp(z_k)`` with ``w_k = 1 - beta T(f_k) (1 - y_k)``: beta is
    1 with probability ``ignore``, drawn anew for every image and class, and T is 1 for classes whose share
    f_k of the images is below ``rare``.

    ``ignore`` 0.95 and ``rare`` 0.003 are one of the settings that others re-ran on CIFAR-100-LT, and could not be
    compared with the paper's own text. Those re-runs came out level with 0.9 and 0.005, the setting of "Bag of Tricks"
    (Zhang et al. 2021), whose code has 0.05 for CIFAR-10-LT. 0.003 is 0.3 of an even share of 100 classes, and
    so is the default here for any number of them: with 10 classes no share would be below 0.003 at all.

    Args:
        counts: training images a class.
        settings: thresholds.

    Set ``loss.generator``, from which beta is drawn, before the first call; on the device of the logits, which else
    waits for it. Its state moves with every call, so a resumable training sets it anew by position, every step or
    every epoch.

    Raises:
        ConfigError: no class is rare, so that the loss would be the cross-entropy, or every class is; at a call: there
            is no generator.
    """

    corrects_priors = True
    Settings = EqualizationSettings
    settings: EqualizationSettings
    is_rare: Tensor

    def __init__(self, counts: ClassCounts, settings: EqualizationSettings) -> None:
        super().__init__(counts, settings)
        below = 0.3 / len(counts) if settings.rare is None else settings.rare
        is_rare = counts.tensor() < below * counts.total
        if is_rare.all() or not is_rare.any():
            shares = sorted(count / max(1, counts.total) for count in counts)
            raise ConfigError(
                f"the loss 'seql' treats classes with less than {below:.3g} of the images as rare and that is "
                f"{'every class' if is_rare.all() else 'no class'}: the shares go from {shares[0]:.3g} to "
                f"{shares[-1]:.3g}; set rare between them, or choose the loss 'cross_entropy'"
            )
        self.register_buffer("is_rare", is_rare)

    def per_image(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See :meth:`LongTailLoss.per_image`; random."""
        if self.generator is None:
            raise ConfigError("the loss 'seql' draws random numbers: expected loss.generator to be set, got None")
        draws = torch.rand(logits.shape, generator=self.generator, device=self.generator.device)
        beta = draws.to(logits.device) < self.settings.ignore
        left_out = beta & self.is_rare & ~target_mask(targets, self.classes)
        return F.cross_entropy(logits.masked_fill(left_out, float("-inf")), targets, reduction="none")
