"""How far a classifier's confidence is from how often it is right."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from tailornas.errors import ConfigError

__all__ = ["Reliability", "expected_calibration_error", "reliability"]


@final
@dataclass(frozen=True, eq=False)
class Reliability:
    """The data of a reliability diagram: one entry a bin of confidence.

    Args:
        confidence: float64 ``(bins,)``, mean confidence; NaN in an empty bin.
        accuracy: float64 ``(bins,)``, share of right predictions; NaN in an empty bin.
        images: int64 ``(bins,)``.
    """

    confidence: Tensor
    accuracy: Tensor
    images: Tensor


def reliability(probabilities: Tensor, targets: Tensor, bins: int = 15) -> Reliability:
    """Sorts predictions into bins of equal width by their confidence, the highest probability.

    Guo et al. 2017 (1706.04599), section 2; bins are open below and closed above, ``(m - 1) / bins`` to ``m
    / bins``.

    Args:
        probabilities: ``(images, classes)``.
        targets: int64 ``(images,)``.
        bins: number of bins.

    Raises:
        ConfigError: no bin.
    """
    if bins < 1:
        raise ConfigError(f"expected at least 1 bin of confidence, got {bins}: 15 is usual")
    confidence, prediction = probabilities.max(dim=1)
    confidence = confidence.double()
    inner_edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=confidence.device)[1:-1]
    index = torch.bucketize(confidence, inner_edges)
    images = torch.bincount(index, minlength=bins)
    right = (prediction == targets).double()
    return Reliability(
        confidence=torch.bincount(index, weights=confidence, minlength=bins) / images,
        accuracy=torch.bincount(index, weights=right, minlength=bins) / images,
        images=images,
    )


def expected_calibration_error(probabilities: Tensor, targets: Tensor, bins: int = 15) -> float:
    """Mean distance of confidence and accuracy over bins, each counted by its images (ECE).

    Guo et al. 2017 (1706.04599), equation 3. For arguments and errors see :func:`reliability`.
    """
    data = reliability(probabilities, targets, bins)
    gaps = (data.confidence - data.accuracy).abs().nan_to_num()
    return float((gaps * data.images).sum() / data.images.sum())
