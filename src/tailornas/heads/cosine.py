"""The cosine head: only directions count, so that big classes gain nothing from long weight vectors."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tailornas.errors import ConfigError
from tailornas.precision import outside_autocast

__all__ = ["CosineHead"]


@final
class CosineHead(nn.Module):
    """``scale * cos(w_i, x)``: ``(batch, features) -> (batch, classes)``.

    Gidaris and Komodakis 2018 (1804.09458).

    With scale 1 the logits are cosines in [-1, 1], for a loss that scales them itself (LDAM). No other loss
    can fit these: a softmax over 100 cosines gives no class more than 7%. So they need a scale here; with
    16 the softmax reaches 0.999 for 1,000 classes. The scale is fixed, where the paper learns it, so that
    one number says how sure the head can be. Training done, the scale of the loss can move here
    (``head.scale = 30.0``): the softmax of the network then gives probabilities.

    Args:
        features: length of a feature vector.
        classes: number of classes.
        generator: draws the directions, uniform on the sphere.
        scale: what the cosines are multiplied by.

    Raises:
        ConfigError: ``scale`` is not positive.
    """

    def __init__(self, features: int, classes: int, generator: torch.Generator, *, scale: float = 1.0) -> None:
        super().__init__()
        if not 0 < scale < float("inf"):
            raise ConfigError(f"scale of a cosine head must be a positive number and is {scale}: 16 is usual")
        self.scale = float(scale)
        self.weight = nn.Parameter(F.normalize(torch.randn(classes, features, generator=generator)))

    def reset_parameters(self) -> None:
        """Draws the directions anew, from PyTorch's global generator."""
        with torch.no_grad():
            self.weight.copy_(F.normalize(torch.randn(self.weight.shape)))

    def forward(self, features: Tensor) -> Tensor:
        """Logits, float32 ``(batch, classes)``, of ``features``, ``(batch, features)`` of any floating type."""
        return outside_autocast(self._logits, features)

    def _logits(self, features: Tensor) -> Tensor:
        # In float16 a zero vector has no norm that could be divided by, and one above 65,504 is infinite.
        return self.scale * F.linear(F.normalize(features.float()), F.normalize(self.weight.float()))
