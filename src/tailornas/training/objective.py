"""What every stage that fits to labels has: a loss, class weights, a sampler, and the head that the loss needs."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tailornas.data import SAMPLERS
from tailornas.errors import ConfigError, UnknownNameError
from tailornas.heads import build_head
from tailornas.losses import (
    LOSSES,
    WEIGHTING_FORMS,
    LongTailLoss,
    Weighting,
    build_loss,
    check_weighting,
    class_weights,
    loss_settings,
)
from tailornas.spaces import Backbone
from tailornas.types import ClassCounts

__all__ = [
    "CLASS_WEIGHTS",
    "LOSS",
    "LOSS_SETTINGS",
    "SAMPLER",
    "Objective",
    "check_objective",
    "new_head",
    "new_objective",
]

LOSS = f"loss: ce for cross_entropy, {', '.join(LOSSES)}"
"""What a configuration says of its key ``loss``; the next ones of the keys that go with it."""
LOSS_SETTINGS = "settings of the loss: " + " | ".join(
    f"{name} "
    + ", ".join(
        f"{key} = {'none' if field.default is None else field.default} ({field.description})"
        for key, field in loss.Settings.model_fields.items()
    )
    for name, loss in LOSSES.items()
    if loss.Settings.model_fields
)
CLASS_WEIGHTS = f"{', '.join(WEIGHTING_FORMS)}, or one number a class"
SAMPLER = f"order of an epoch: {', '.join(SAMPLERS)}"


class Objective(Protocol):
    """The settings of a stage that say what is minimised."""

    @property
    def loss(self) -> str:
        """Name of the loss."""
        ...

    @property
    def loss_settings(self) -> Mapping[str, Any]:
        """Its settings, by name."""
        ...

    @property
    def class_weights(self) -> Weighting | None:
        """Class weights, from the beginning; None: none."""
        ...


def new_objective(
    settings: Objective, counts: ClassCounts, generator: torch.Generator, device: torch.device
) -> tuple[LongTailLoss, Tensor | None]:
    """The loss of a stage and its class weights: float32 ``(classes,)`` on ``device``, or None.

    Args:
        settings: what is minimised.
        counts: training images a class.
        generator: what a loss that is random draws from.
        device: where the weights are wanted.

    Raises:
        DataError: the loss, or its weights, do not fit the counts.
    """
    weights = None if settings.class_weights is None else class_weights(settings.class_weights, counts).to(device)
    return build_loss(settings.loss, counts, generator, **settings.loss_settings), weights


def check_objective(loss: str, settings: Mapping[str, Any], weighting: Weighting | None, sampler: str | None) -> None:
    """Refuses names that nothing has, and settings that do not belong together.

    Args:
        loss: name of a loss.
        settings: of the loss, by name.
        weighting: class weights; None: none.
        sampler: name of a sampler; None: another decides.

    Raises:
        UnknownNameError: no such loss, weighting or sampler.
        ConfigError: settings that the loss does not have, or class weights for a loss that has its own.
    """
    loss_settings(loss, settings)
    check_weighting(weighting)
    if sampler is not None and sampler not in SAMPLERS:
        raise UnknownNameError("sampler", sampler, list(SAMPLERS))
    if weighting is not None and LOSSES[loss].own_weights:
        raise ConfigError(
            f"the loss {loss!r} has class weights of its own and class_weights {weighting!r} would bring in others: "
            "leave them out, or choose the loss 'focal'"
        )


def new_head(network: Backbone, loss: type[LongTailLoss], classes: int, generator: torch.Generator) -> nn.Module:
    """A head for ``network`` of the kind that ``loss`` needs: a linear one, or cosines.

    Args:
        network: any backbone; where architectures decide its features, only linear heads can follow them.
        loss: what the head will be fitted by.
        classes: outputs of the head.
        generator: draws the weights.

    Raises:
        ConfigError: the loss needs cosines and the features are elastic.
    """
    if loss.head != "cosine":
        return network.new_head(classes, generator)
    if network.elastic_features:
        raise ConfigError(
            f"{loss.__name__} needs a cosine head, which cannot follow features whose number architectures "
            "decide: use another loss"
        )
    return build_head("cosine", network.feature_dim, classes, generator)
