"""Losses by name, and the check that a loss and a head belong together."""

from collections.abc import Mapping
from typing import Annotated, Any, final

import torch
from pydantic import AfterValidator, BaseModel, ValidationError
from torch import nn

from tailornas.errors import ConfigError, UnknownNameError
from tailornas.losses.balanced_softmax import BalancedSoftmax
from tailornas.losses.class_balanced_focal import ClassBalancedFocal
from tailornas.losses.cross_entropy import CrossEntropy
from tailornas.losses.equalization import Equalization
from tailornas.losses.focal import Focal
from tailornas.losses.label_aware_smoothing import LabelAwareSmoothing
from tailornas.losses.ldam import LDAM
from tailornas.losses.logit_adjustment import LogitAdjustment
from tailornas.losses.loss import LongTailLoss
from tailornas.settings import expected
from tailornas.types import ClassCounts

__all__ = ["LOSSES", "LossName", "build_loss", "check_head", "loss_settings"]


@final
class _Losses(dict[str, type[LongTailLoss]]):
    """A name that is not in the table is looked up as what it stands for."""

    def __missing__(self, name: str) -> type[LongTailLoss]:
        return self[_known(name)]


LOSSES: dict[str, type[LongTailLoss]] = _Losses(
    {
        "balanced_softmax": BalancedSoftmax,
        "class_balanced_focal": ClassBalancedFocal,
        "cross_entropy": CrossEntropy,
        "focal": Focal,
        "label_aware_smoothing": LabelAwareSmoothing,
        "ldam": LDAM,
        "logit_adjustment": LogitAdjustment,
        "seql": Equalization,
    }
)
"""Name -> loss; :func:`build_loss` builds it. ``LOSSES["ce"]`` is that of ``cross_entropy``."""


def _known(name: str) -> str:
    name = "cross_entropy" if name == "ce" else name
    if name not in LOSSES:
        raise UnknownNameError("loss", name, list(LOSSES))
    return name


LossName = Annotated[str, AfterValidator(_known)]
"""A name of :data:`LOSSES` in a configuration, where everybody writes ``ce`` for ``cross_entropy``."""


def loss_settings(name: str, settings: Mapping[str, Any]) -> BaseModel:
    """Reads the settings of the loss ``name``.

    Raises:
        UnknownNameError: no such loss.
        ConfigError: a setting that the loss does not have, or a value that it cannot take.
    """
    model = LOSSES[name].Settings
    try:
        return model(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        setting, known = ".".join(map(str, first["loc"])), ", ".join(model.model_fields)
        if first["type"] == "extra_forbidden":
            listed = f"its settings are {known}" if known else "it has none"
            raise ConfigError(f"the loss {name!r} has no setting {setting!r}: {listed}") from error
        raise ConfigError(f"loss {name!r}, setting {setting!r}: {expected([first])}") from error


def build_loss(
    name: str, counts: ClassCounts, generator: torch.Generator | None = None, **settings: Any
) -> LongTailLoss:
    """Builds a loss by name.

    Args:
        name: a name of :data:`LOSSES`.
        counts: training images a class.
        generator: what a loss that is random (``seql``) draws from; it can be set later, as ``loss.generator``.
        settings: what the loss's ``Settings`` describe.

    Raises:
        UnknownNameError: no such loss.
        ConfigError: unknown or impossible settings.
        DataError: the loss cannot be built from these counts.
    """
    loss = LOSSES[name](counts, loss_settings(name, settings))
    loss.generator = generator
    return loss


def check_head(loss: LongTailLoss | type[LongTailLoss], head: nn.Module) -> None:
    """Refuses a head whose logits the loss cannot use.

    A head whose ``scale`` is 1.0 gives cosines in [-1, 1]. A loss with a scale of its own (``loss.head`` is
    ``"cosine"``) needs exactly these; under any other loss they cannot be fitted, since a softmax of
    numbers so close together never becomes sure.

    Args:
        loss: the loss, or its class.
        head: the last layer of the network, or one of its kind.

    Raises:
        ConfigError: they do not belong together.
    """
    name = (loss if isinstance(loss, type) else type(loss)).__name__
    scale = getattr(head, "scale", None)
    gives_cosines = isinstance(scale, float) and scale == 1.0
    if loss.head == "cosine" and not gives_cosines:
        came = type(head).__name__ + (f" with scale {scale:g}" if isinstance(scale, float) else "")
        raise ConfigError(
            f"{name} scales its logits itself and expects cosines in [-1, 1] but the head is "
            f"{came}: use the head 'cosine' or another loss"
        )
    if loss.head != "cosine" and gives_cosines:
        raise ConfigError(
            f"{name} expects logits of any size but the head is {type(head).__name__} with "
            "scale 1, which gives cosines in [-1, 1]: use the head 'scaled_cosine' or the loss 'ldam'"
        )
