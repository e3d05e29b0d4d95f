"""Recognition rates that count every class alike, all computed from one confusion matrix.

It is the argument ``confusion`` of the functions here: int64 ``(classes, classes)``, row the target, column the
prediction, of at least one image. A class without images in the evaluated split has no recall: it is left out of every
mean instead of being counted as 0 or 1.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from tailornas.errors import DataError

__all__ = [
    "accuracy",
    "balanced_accuracy",
    "class_recalls",
    "confusion",
    "difference_variances",
    "geometric_mean",
    "group_recalls",
    "harmonic_mean",
    "macro_f1",
    "mean_error",
    "recall_variances",
    "wilson_interval",
    "worst_class",
]


def confusion(predictions: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Counts how often each class was taken for each: row the target, column the prediction.

    Args:
        predictions: int64 ``(images,)``.
        targets: int64 ``(images,)``.
        classes: number of classes.

    Returns:
        int64 ``(classes, classes)``.

    Raises:
        DataError: no image, not one prediction an image, or a label outside the classes.
    """
    if predictions.shape != targets.shape or targets.ndim != 1:
        raise DataError(
            f"expected one prediction for each target, got predictions {tuple(predictions.shape)} and "
            f"targets {tuple(targets.shape)}"
        )
    if not len(targets):
        raise DataError("there is nothing to evaluate: expected at least 1 image, got 0")
    for name, labels in (("predictions", predictions), ("targets", targets)):
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= classes:
            raise DataError(f"{name} must be labels from 0 to {classes - 1}, got labels from {low} to {high}")
    return torch.bincount(targets * classes + predictions, minlength=classes**2).view(classes, classes)


def class_recalls(confusion: Tensor) -> Tensor:
    """Share of each class's images that were recognised: float64 ``(classes,)``, NaN where there is none."""
    return confusion.diagonal().double() / confusion.sum(dim=1)


def accuracy(confusion: Tensor) -> float:
    """Share of all images that were recognised (top-1), from 0 to 1."""
    return int(confusion.diagonal().sum()) / int(confusion.sum())


def balanced_accuracy(confusion: Tensor) -> float:
    """Mean of the class recalls; its standard error is :func:`mean_error` of :func:`recall_variances`."""
    return float(_scored(confusion).mean())


def recall_variances(confusion: Tensor) -> Tensor:
    """Variance of each class's recall over test images, ``p (1 - p) / n``: that of a binomial share.

    With p the observed recall, a class whose one image was recognised would claim a variance of 0; p is therefore
    Laplace's estimate ``(k + 1) / (n + 2)`` from k of n recognised images.

    Returns:
        float64 ``(classes,)``, NaN for a class without images.
    """
    hits, images = confusion.diagonal().double(), _or_nan(confusion.sum(dim=1))
    estimate = (hits + 1) / (images + 2)
    return estimate * (1 - estimate) / images


def difference_variances(first: Tensor, second: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Variance of each class's difference of recalls between two networks that saw the same test images.

    Of a class's n images the first network alone recognises a share p and the second alone a share q. Images on which
    both are right, or both wrong, say nothing on who is better (McNemar 1947, doi:10.1007/BF02295996), and the variance
    of the difference ``p - q`` is ``(p + q - (p - q)^2) / n``. The errors of the two recalls, added as if each network
    had images of its own, count twice what is hard for both, and are too large for networks that err alike.

    With observed shares, a class without such an image would claim a variance of 0; to each of the four outcomes, both,
    one, the other and neither right, half an image is therefore added: ``p = (b + 1/2) / (n + 2)`` from b of n images
    (Agresti and Min 2005, doi:10.1002/sim.1781). Each recall by itself then has Laplace's estimate, as in
    :func:`recall_variances`. Deviation: as there, what is divided by is n; Agresti and Min have n + 2.

    Args:
        first: int64 ``(images,)``, what the one network predicts.
        second: int64 ``(images,)``, what the other predicts for the same images.
        targets: int64 ``(images,)``, labels below ``classes``.
        classes: number of classes.

    Returns:
        float64 ``(classes,)``, NaN for a class without images; :func:`mean_error` makes of it the error of the
        difference of two balanced accuracies.
    """
    right, also_right = first == targets, second == targets

    def shares(images: Tensor) -> Tensor:
        return (torch.bincount(targets[images], minlength=classes).double() + 0.5) / (n + 2)

    n = _or_nan(torch.bincount(targets, minlength=classes))
    p, q = shares(right & ~also_right), shares(also_right & ~right)
    return (p + q - (p - q) ** 2) / n


def mean_error(variances: Tensor) -> float:
    """Standard error of a mean over C classes, whose images are independent: ``sqrt(sum_i variance_i) / C``.

    Args:
        variances: float64 ``(classes,)``, NaN for a class without images, which is left out; of a group, take its
            members. At least one class has images.
    """
    known = variances[~variances.isnan()]
    return math.sqrt(float(known.sum())) / len(known)


def macro_f1(confusion: Tensor) -> float:
    """Mean over classes of ``2 TP / (2 TP + FP + FN)``, of the classes that have images."""
    hits, images = confusion.diagonal().double(), confusion.sum(dim=1)
    scored = images > 0
    return float((2 * hits / (images + confusion.sum(dim=0)))[scored].mean())


def worst_class(confusion: Tensor) -> float:
    """The lowest class recall."""
    return float(_scored(confusion).min())


def harmonic_mean(confusion: Tensor) -> float:
    """Harmonic mean of the class recalls; 0 where one of them is 0."""
    return float(1 / (1 / _scored(confusion)).mean())


def geometric_mean(confusion: Tensor) -> float:
    """Geometric mean of the class recalls; 0 where one of them is 0."""
    return float(_scored(confusion).log().mean().exp())


def wilson_interval(hits: Tensor, images: Tensor, z: float = 1.96) -> tuple[Tensor, Tensor]:
    """Wilson's score interval of a binomial share.

    It stays in [0, 1] and has a width for any number of images (Wilson 1927, doi:10.2307/2276774).

    Args:
        hits: recognised images, ``(classes,)``.
        images: all images, ``(classes,)``; NaN comes back where it is 0.
        z: quantile of the normal distribution; 1.96 is 95%.

    Returns:
        Lower and upper end, two float64 ``(classes,)``.
    """
    n = images.double()
    share = hits.double() / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)).sqrt()
    # Where no or every image is a hit the end is exactly 0 or 1; rounding must not take it beyond the share.
    return torch.minimum(centre - half, share).clamp_min(0), torch.maximum(centre + half, share).clamp_max(1)


def group_recalls(recalls: Tensor, groups: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[float, int]]:
    """Mean recall of each group and the number of classes it is the mean of.

    Args:
        recalls: float ``(classes,)``, NaN for a class without images; see :func:`class_recalls`.
        groups: labels by group; see :func:`tailornas.metrics.shot_groups`.

    Returns:
        Recall and number of classes by group; a group of which no class has images is absent.
    """
    means = {}
    for name, labels in groups.items():
        members = recalls[list(labels)]
        members = members[~members.isnan()]
        if len(members):
            means[name] = (float(members.mean()), len(members))
    return means


def _scored(confusion: Tensor) -> Tensor:
    recalls = class_recalls(confusion)
    return recalls[~recalls.isnan()]


def _or_nan(images: Tensor) -> Tensor:
    return images.double().masked_fill(images == 0, math.nan)
