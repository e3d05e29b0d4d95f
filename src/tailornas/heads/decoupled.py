"""Heads made from a trained network without moving its features (Kang et al. 2020, 1910.09217)."""

from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tailornas.errors import ConfigError, DataError
from tailornas.heads.cosine import CosineHead
from tailornas.heads.linear import LinearHead
from tailornas.precision import outside_autocast

__all__ = ["LWSHead", "nearest_class_mean", "tau_normalized"]


def tau_normalized(head: nn.Linear, tau: float) -> LinearHead:
    """A trained linear head with weights ``w_i / |w_i|^tau`` and no bias, both as in the paper.

    Big classes have long weight vectors; tau takes that back. Choose it by the selection split.

    Args:
        head: the trained head; left as it is.
        tau: 0 keeps the lengths, 1 makes them equal.

    Raises:
        ConfigError: ``tau`` is outside [0, 1].
    """
    if not 0 <= tau <= 1:
        raise ConfigError(f"tau must be in [0, 1] and is {tau}: 0 keeps the lengths, 1 makes them equal")
    weight = head.weight.detach()
    # A class whose weights are all 0 has no direction; it keeps its logit of 0.
    norms = weight.norm(dim=1, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)
    normalized = LinearHead(head.in_features, head.out_features, bias=False, device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        normalized.weight.copy_(weight / norms**tau)
    return normalized


def nearest_class_mean(sums: Tensor, counts: Tensor) -> CosineHead:
    """The nearest-class-mean classifier under cosine similarity: a cosine head whose directions are class means.

    The first of the paper's two similarities; "its inherent normalization" takes back that means of big classes are
    longer. Nothing is trained. The cosines are scaled by 16, as those of the head ``scaled_cosine`` are, so
    that a softmax of them says something.

    Deviation: this follows the paper's sentence. The authors' code (``--knn``) by default subtracts the mean of all
    training features, normalises the feature of every image before it averages by class, and takes Euclidean distances.

    Args:
        sums: the features of the training images, added up by class, ``(classes, features)``.
        counts: how many images were added up, int64 ``(classes,)``.

    Raises:
        DataError: one count a class is expected, and an image of every class.
    """
    if sums.ndim != 2 or counts.shape != sums.shape[:1]:
        raise DataError(
            f"expected sums (classes, features) and counts (classes,), got {tuple(sums.shape)} and "
            f"{tuple(counts.shape)}: add up the features of each class"
        )
    if not counts.all():
        raise DataError(
            f"expected images of each of {len(counts)} classes, got images of {int(counts.count_nonzero())}: leave "
            "out classes without images"
        )
    head = CosineHead(sums.shape[1], len(counts), torch.Generator(), scale=16.0).to(sums.device)
    with torch.no_grad():
        head.weight.copy_(sums / counts[:, None])
    return head


@final
class LWSHead(nn.Module):
    """Learnable weight scaling: ``s_i * (w_i x + b_i)``, where only the scales s_i are learned.

    ``(batch, features) -> (batch, classes)``; to be fitted on balanced batches. The bias is scaled too, as
    in the authors' code, so that with scales of 1 the head gives what the trained one gave.

    Args:
        head: the trained head, which is copied and frozen.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        bias = torch.zeros_like(head.weight[:, 0]) if head.bias is None else head.bias
        self.register_buffer("weight", head.weight.detach().clone())
        self.register_buffer("bias", bias.detach().clone())
        self.scales = nn.Parameter(torch.ones_like(self.bias))

    def forward(self, features: Tensor) -> Tensor:
        """Logits, float32 ``(batch, classes)``, of ``features``, ``(batch, features)`` of any floating type."""
        return outside_autocast(self._logits, features)

    def _logits(self, features: Tensor) -> Tensor:
        return self.scales.float() * F.linear(features.float(), self.weight.float(), self.bias.float())
