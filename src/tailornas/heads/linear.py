"""The linear head, drawn from a generator."""

import math

import torch
from torch import nn

__all__ = ["linear_head"]


def linear_head(features: int, classes: int, generator: torch.Generator) -> nn.Linear:
    """A linear head with a bias, drawn uniformly from ``+-1 / sqrt(features)`` as torch does by default.

    Args:
        features: length of a feature vector.
        classes: number of classes.
        generator: draws weights and biases; torch's global generator is left alone.
    """
    head = nn.Linear(features, classes, device="meta").to_empty(device="cpu")  # torch draws nothing of its own
    bound = 1 / math.sqrt(features)
    nn.init.uniform_(head.weight, -bound, bound, generator=generator)
    nn.init.uniform_(head.bias, -bound, bound, generator=generator)
    return head
