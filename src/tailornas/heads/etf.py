"""The simplex ETF head: directions as far from each other as they can be, fixed before training."""

import math
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tailornas.errors import ConfigError
from tailornas.precision import outside_autocast

__all__ = ["ETFHead", "simplex_etf"]


def simplex_etf(features: int, classes: int, generator: torch.Generator) -> Tensor:
    """A random simplex equiangular tight frame: unit rows with all cosines ``-1 / (classes - 1)``.

    ``sqrt(K / (K - 1)) U (I - 1 1^T / K)`` (Papyan et al. 2020, 2008.08186), transposed, with U the
    orthonormal columns of a Gaussian matrix.

    Args:
        features: length of a feature vector.
        classes: number of classes K.
        generator: draws U.

    Returns:
        float32 ``(classes, features)``.

    Raises:
        ConfigError: fewer than two classes, or fewer features than classes.
    """
    if classes < 2:
        raise ConfigError(f"an ETF head needs at least 2 classes and got {classes}: use the head 'linear'")
    if features < classes:
        raise ConfigError(
            f"an ETF head needs as many features as classes, got {features} features for {classes} classes: "
            "use a wider network or the head 'scaled_cosine'"
        )
    gaussian = torch.randn(features, classes, generator=generator, dtype=torch.float64)
    basis: Tensor = torch.linalg.qr(gaussian).Q
    frame: Tensor = math.sqrt(classes / (classes - 1)) * (basis - basis.mean(dim=1, keepdim=True))
    return frame.T.float().contiguous()


@final
class ETFHead(nn.Module):
    """``16 * cos(m_i, norm(x))`` with fixed directions m_i: ``(batch, features) -> (batch, classes)``.

    Yang et al. 2022 (2203.09081), and LT-DARTS, fix the classifier to a simplex ETF so that rare classes
    keep their share of the feature space. As in the authors' code a batch norm with a learned scale and shift comes
    first: features of most networks are means of ReLU outputs, and vectors without negative numbers cannot lie
    at the obtuse angles of the frame. Without the shift the mean over all images would be 0, which equally long
    features along the frame do not have where classes differ in size.

    Deviation: the paper fits the features by a dot-regression loss, whose targets its code for CIFAR scales by the
    class counts of the batch; here the cosines are multiplied by 16, so that every loss on logits can.

    Args:
        features: length of a feature vector; at least ``classes``.
        classes: number of classes.
        generator: draws the rotation of the frame.

    Raises:
        ConfigError: fewer than two classes, or fewer features than classes.
    """

    frame: Tensor
    scale = 16.0
    """What the cosines are multiplied by."""

    def __init__(self, features: int, classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("frame", simplex_etf(features, classes, generator))
        self.norm = nn.BatchNorm1d(features)

    def forward(self, features: Tensor) -> Tensor:
        """Logits, float32 ``(batch, classes)``, of ``features``, ``(batch, features)`` of any floating type."""
        return outside_autocast(self._logits, features)

    def _logits(self, features: Tensor) -> Tensor:
        norm, features = self.norm, features.to(self.norm.weight.dtype)
        if len(features) > 1 or not self.training:
            features = norm(features)
        else:  # a single vector has no variance
            features = F.batch_norm(features, norm.running_mean, norm.running_var, norm.weight, norm.bias)
        return self.scale * F.linear(F.normalize(features.float()), self.frame.float())
