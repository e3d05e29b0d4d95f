"""What every network of the project is: a feature extractor and a replaceable head."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

__all__ = ["Backbone"]


class Backbone(nn.Module, ABC):
    """A network for images whose last layer can be exchanged.

    Args:
        feature_dim: length of the feature vector.
        classes: outputs of the first head, a linear layer.
    """

    head: nn.Module

    def __init__(self, feature_dim: int, classes: int) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.head = nn.Linear(feature_dim, classes)

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Maps images ``(batch, 3, height, width)`` to features ``(batch, feature_dim)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps images ``(batch, 3, height, width)`` to the head's output, ``(batch, classes)`` for a classifier."""
        output: Tensor = self.head(self.features(x))
        return output
