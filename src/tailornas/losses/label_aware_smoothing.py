"""Label-aware smoothing: the labels of bigger classes are smoothed more, since networks are surer of them."""

import math
from typing import Literal, final

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from tailornas.losses.loss import LongTailLoss
from tailornas.settings import SettingsModel
from tailornas.types import ClassCounts

__all__ = ["LabelAwareSmoothing", "LabelAwareSmoothingSettings", "smoothing_factors"]


@final
class LabelAwareSmoothingSettings(SettingsModel):
    """Settings of :class:`LabelAwareSmoothing`; the defaults are the authors' for CIFAR-100-LT at imbalance factor 100.

    For CIFAR-10-LT at that factor they use ``head`` 0.3 and ``tail`` 0.0; at factors of 50 and 10 they smooth less.
    """

    head: float = Field(0.4, ge=0, lt=1, description="smoothing of the biggest class")
    tail: float = Field(0.1, ge=0, lt=1, description="smoothing of the smallest class")
    shape: Literal["concave", "linear", "convex"] = Field(
        "concave", description="concave, linear or convex growth with the count"
    )


def smoothing_factors(counts: ClassCounts, settings: LabelAwareSmoothingSettings) -> Tensor:
    """Smoothing of each class's label: float32 ``(classes,)`` from ``tail`` to ``head``.

    Zhong et al. 2021 (2104.00466), section 3.2. Where all classes have one size, which the paper leaves open,
    each of them is the biggest and gets ``head``.
    """
    numbers = counts.tensor().double()
    spread = numbers.max() - numbers.min()
    position = (numbers - numbers.min()) / spread if spread > 0 else torch.ones_like(numbers)
    if settings.shape == "concave":
        position = torch.sin(position * math.pi / 2)
    elif settings.shape == "convex":
        position = 1 + torch.sin(1.5 * math.pi + position * math.pi / 2)
    return (settings.tail + (settings.head - settings.tail) * position).float()


@final
class LabelAwareSmoothing(LongTailLoss):
    """Cross-entropy with smoothed labels (MiSLAS: Zhong et al. 2021, 2104.00466, section 3.2).

    The target gets ``1 - eps_y`` and every other class ``eps_y / (classes - 1)``. This follows the paper; its
    published code spreads ``eps_y`` over all classes, the target included.
    """

    Settings = LabelAwareSmoothingSettings
    settings: LabelAwareSmoothingSettings
    smoothing: Tensor

    def __init__(self, counts: ClassCounts, settings: LabelAwareSmoothingSettings) -> None:
        super().__init__(counts, settings)
        self.register_buffer("smoothing", smoothing_factors(counts, settings))

    def per_image(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See :meth:`LongTailLoss.per_image`."""
        negative_logs = -F.log_softmax(logits, dim=1)
        target = negative_logs.gather(1, targets[:, None]).squeeze(1)
        others = (negative_logs.sum(dim=1) - target) / (self.classes - 1)
        return torch.lerp(target, others, self.smoothing.gather(0, targets))
