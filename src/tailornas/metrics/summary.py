"""Every metric of a finished network on one split, as one value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from tailornas.errors import DataError
from tailornas.metrics.auroc import auroc
from tailornas.metrics.calibration import expected_calibration_error
from tailornas.metrics.groups import shot_groups
from tailornas.metrics.recognition import (
    accuracy,
    balanced_accuracy,
    class_recalls,
    confusion,
    geometric_mean,
    group_recalls,
    harmonic_mean,
    macro_f1,
    mean_error,
    recall_variances,
    wilson_interval,
    worst_class,
)
from tailornas.types import ClassCounts

__all__ = ["ClassResult", "GroupResult", "RecognitionReport", "report"]


@final
@dataclass(frozen=True)
class GroupResult:
    """Mean recall of the classes of a group that have images in the split, how many they are, and its standard error.

    ``se`` is that of the balanced accuracy over these classes; see :func:`tailornas.metrics.mean_error`.
    """

    recall: float
    classes: int
    se: float


@final
@dataclass(frozen=True)
class ClassResult:
    """One class: its training images, its ``n`` images in the split, and its recall.

    ``low`` and ``high`` are the 95% Wilson interval of the recall; all three are None where ``n`` is 0.
    """

    name: str
    train: int
    n: int
    recall: float | None
    low: float | None
    high: float | None


@final
@dataclass(frozen=True, eq=False)
class RecognitionReport:
    """The metrics of one network on one split; every rate is a share from 0 to 1.

    Means over classes leave out the classes without images in the split, which ``unscored`` names.

    Args:
        accuracy: share of all images.
        balanced_accuracy: mean of the class recalls.
        balanced_se: its standard error; see :func:`tailornas.metrics.mean_error`.
        macro_f1: mean of the class F1 scores.
        worst_class: lowest class recall.
        harmonic_mean: of the class recalls.
        geometric_mean: of the class recalls.
        ece: expected calibration error, 15 bins.
        auroc: macro mean, one class against the rest; None where all images are of one class.
        groups: many-, medium- and few-shot classes; a group of which no class has images is absent.
        per_class: in label order.
        confusion: int64 ``(classes, classes)``, row the target, column the prediction.
        unscored: names of the classes without images in the split.
    """

    accuracy: float
    balanced_accuracy: float
    balanced_se: float
    macro_f1: float
    worst_class: float
    harmonic_mean: float
    geometric_mean: float
    ece: float
    auroc: float | None
    groups: Mapping[str, GroupResult]
    per_class: tuple[ClassResult, ...]
    confusion: Tensor
    unscored: tuple[str, ...]

    def values(self) -> dict[str, Any]:
        """As JSON values, with the names of the fields as keys.

        The confusion is listed as ``[target, prediction, images]``, without the pairs that never occurred: with the
        8,142 classes of iNaturalist a matrix would be most of a gigabyte, with 24,426 images in it.
        """
        pairs = self.confusion.nonzero()
        images = self.confusion[pairs[:, :1], pairs[:, 1:]]
        return {
            **vars(self),
            "groups": {name: dict(vars(group)) for name, group in self.groups.items()},
            "per_class": [dict(vars(result)) for result in self.per_class],
            "confusion": torch.cat([pairs, images], dim=1).tolist(),
            "unscored": list(self.unscored),
        }


def report(
    probabilities: Tensor,
    targets: Tensor,
    train_counts: ClassCounts,
    classes: Sequence[str],
    groups: Mapping[str, tuple[int, ...]] | None = None,
) -> RecognitionReport:
    """Evaluates predictions, on the CPU.

    Args:
        probabilities: ``(images, classes)``, rows that sum to 1: of logits take the softmax, or what the loss
            says they stand for (``loss.probabilities(logits)``); on any device.
        targets: int64 ``(images,)``, on any device.
        train_counts: training images a class.
        classes: class names in label order.
        groups: labels by group; None: many-, medium- and few-shot by the usual thresholds
            (:func:`tailornas.metrics.shot_groups`).

    Raises:
        DataError: shapes, names and counts do not agree, a target is outside the classes, there is no
            image, or rows are no probabilities.
    """
    if len(train_counts) != len(classes):
        raise DataError(f"expected one training count for each of {len(classes)} class names, got {len(train_counts)}")
    if probabilities.ndim != 2 or probabilities.shape[1] != len(classes):
        raise DataError(
            f"expected probabilities (images, {len(classes)}), one column for each class name, got "
            f"{tuple(probabilities.shape)}"
        )
    probabilities, targets = probabilities.cpu(), targets.cpu()
    matrix = confusion(probabilities.argmax(dim=1), targets, len(classes))
    _refuse_other_than_probabilities(probabilities)
    recalls, variances, images = class_recalls(matrix), recall_variances(matrix), matrix.sum(dim=1)
    low, high = wilson_interval(matrix.diagonal(), images)
    if groups is None:
        groups = shot_groups(train_counts)
    rows = zip(classes, train_counts, images.tolist(), recalls.tolist(), low.tolist(), high.tolist(), strict=True)
    return RecognitionReport(
        accuracy=accuracy(matrix),
        balanced_accuracy=balanced_accuracy(matrix),
        balanced_se=mean_error(variances),
        macro_f1=macro_f1(matrix),
        worst_class=worst_class(matrix),
        harmonic_mean=harmonic_mean(matrix),
        geometric_mean=geometric_mean(matrix),
        ece=expected_calibration_error(probabilities, targets),
        auroc=auroc(probabilities, targets),
        groups={
            name: GroupResult(recall, scored, mean_error(variances[list(groups[name])]))
            for name, (recall, scored) in group_recalls(recalls, groups).items()
        },
        per_class=tuple(
            ClassResult(name, train, n, *((recall, lower, upper) if n else (None, None, None)))
            for name, train, n, recall, lower, upper in rows
        ),
        confusion=matrix,
        unscored=tuple(name for name, n in zip(classes, images.tolist(), strict=True) if not n),
    )


def _refuse_other_than_probabilities(probabilities: Tensor) -> None:
    sums = probabilities.sum(dim=1, dtype=torch.float32)
    # A sum that is NaN compares as false, so that it is refused too.
    if not bool(((sums - 1).abs() < 1e-2).all()) or float(probabilities.min()) < 0:
        raise DataError("expected rows of probabilities that sum to 1, got other numbers: take the softmax of logits")
