"""The precision of logits: where bfloat16 would decide which class is predicted."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["outside_autocast"]


def outside_autocast(head: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
    """The output of a head, in float32 inside of autocast too; without autocast in the head's own precision.

    bfloat16 has three digits: logits would tie, and a tie goes to the class that comes first, which in a
    long-tailed dataset is the largest.

    Args:
        head: maps features to logits.
        features: ``(batch, features)`` of any floating type.

    Returns:
        Logits ``(batch, classes)``.
    """
    kind = features.device.type
    if kind == "meta" or not torch.is_autocast_enabled(kind):
        return head(features)
    with torch.autocast(kind, enabled=False):
        return head(features.float())
