"""How far a classifier's confidence is from how often it is right."""

import torch
from torch import Tensor

from tailornas.errors import ConfigError

__all__ = ["expected_calibration_error"]


def expected_calibration_error(probabilities: Tensor, targets: Tensor, bins: int = 15) -> float:
    """Mean distance of confidence and accuracy over bins, each counted by its images (ECE).

    Guo et al. 2017 (1706.04599), section 2 and equation 3. The bins are of equal width, by confidence, the highest
    probability; they are open below and closed above, ``(m - 1) / bins`` to ``m / bins``.

    Args:
        probabilities: ``(images, classes)``.
        targets: int64 ``(images,)``.
        bins: number of bins.

    Raises:
        ConfigError: no bin.
    """
    if bins < 1:
        raise ConfigError(f"expected at least 1 bin of confidence, got {bins}: 15 is usual")
    confidence, prediction = probabilities.cpu().max(dim=1)
    confidence, right = confidence.double(), (prediction == targets.cpu()).double()
    index = torch.bucketize(confidence, torch.linspace(0, 1, bins + 1, dtype=torch.float64)[1:-1])
    # In a bin the gap of the means times its images is the gap of the sums.
    gaps = torch.bincount(index, weights=confidence - right, minlength=bins).abs()
    return float(gaps.sum() / len(index))
