"""Scoring candidates with the adapted supernet: inherited weights, recalibrated batch norm, balanced accuracy."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

from lightning_fabric import Fabric
from torch import Tensor

from tailornas.metrics import balanced_accuracy, confusion, mean_error, recall_variances
from tailornas.spaces import Backbone, SearchSpace
from tailornas.training import predict, recalibrate
from tailornas.types import Architecture

__all__ = ["Score", "score"]


@final
@dataclass(frozen=True)
class Score:
    """Balanced accuracy on the selection split, and the standard error that its few tail images leave."""

    balanced_accuracy: float
    standard_error: float


def score(
    fabric: Fabric,
    space: SearchSpace[Backbone],
    architecture: Architecture,
    calibration: Iterable[tuple[Tensor, Tensor]],
    selection: Iterable[tuple[Tensor, Tensor]],
    classes: int,
) -> Score:
    """Scores one architecture with the supernet's weights, which stay as they are.

    Args:
        fabric: device and precision.
        space: the adapted supernet.
        architecture: the candidate.
        calibration: batches ``(images, labels)`` of training images, for the batch-norm statistics.
        selection: batches of the selection split.
        classes: number of classes.
    """
    network = space.derive(architecture)
    recalibrate(fabric, network, calibration)
    logits, targets = predict(fabric, network, selection)
    matrix = confusion(logits.argmax(1), targets, classes)
    return Score(balanced_accuracy(matrix), mean_error(recall_variances(matrix)))
