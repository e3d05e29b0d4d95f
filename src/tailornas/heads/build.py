"""Heads that a training can start with, by name."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from tailornas.errors import ConfigError, UnknownNameError
from tailornas.heads.cosine import CosineHead
from tailornas.heads.etf import ETFHead
from tailornas.heads.linear import linear_head

__all__ = ["HEADS", "build_head"]

HEADS: dict[str, Callable[[int, int, torch.Generator], nn.Module]] = {
    "cosine": CosineHead,
    "etf": ETFHead,
    "linear": linear_head,
    "scaled_cosine": partial(CosineHead, scale=16.0),
}
"""Name -> builder ``(features, classes, generator)``.

``cosine`` gives plain cosines and is for losses that scale them (LDAM); ``scaled_cosine`` is for the
others. Heads that are made from a trained network are functions of it: see
:mod:`tailornas.heads.decoupled`.
"""


def build_head(name: str, features: int, classes: int, generator: torch.Generator) -> nn.Module:
    """Builds a head by name: a module ``(batch, features) -> (batch, classes)``.

    Args:
        name: a name of :data:`HEADS`.
        features: length of a feature vector.
        classes: number of classes.
        generator: draws every number of the head; a CPU generator.

    Raises:
        UnknownNameError: no such head.
        ConfigError: no features or no classes, or a head that cannot be that size.
    """
    if name not in HEADS:
        raise UnknownNameError("head", name, list(HEADS))
    if features < 1 or classes < 1:
        raise ConfigError(f"a head needs at least 1 feature and 1 class, got {features} features and {classes} classes")
    return HEADS[name](features, classes, generator)
