"""The linear head, drawn from a generator."""

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tailornas.precision import outside_autocast

__all__ = ["LinearHead", "linear_head"]


@final
class LinearHead(nn.Linear):
    """A linear layer whose logits are float32, whatever the precision around it and of its own weights."""

    def forward(self, features: Tensor) -> Tensor:
        """Logits, float32 ``(batch, classes)``, of ``features``, ``(batch, features)`` of any floating type."""
        return outside_autocast(self._logits, features)

    def _logits(self, features: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.float()
        return F.linear(features.float(), self.weight.float(), bias)


def linear_head(features: int, classes: int, generator: torch.Generator) -> LinearHead:
    """A linear head with a bias, drawn uniformly from ``+-1 / sqrt(features)`` as torch does by default.

    Args:
        features: length of a feature vector.
        classes: number of classes.
        generator: draws weights and biases; torch's global generator is left alone.
    """
    head = LinearHead(features, classes, device="meta").to_empty(device="cpu")  # torch draws nothing of its own
    bound = 1 / math.sqrt(features)
    nn.init.uniform_(head.weight, -bound, bound, generator=generator)
    nn.init.uniform_(head.bias, -bound, bound, generator=generator)
    return head
