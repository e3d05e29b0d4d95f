"""What every network of the project is: a feature extractor and a replaceable head."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from tailornas.precision import outside_autocast
from tailornas.spaces.dimension import Dimension, Number, largest, smallest
from tailornas.spaces.elastic import ElasticLinear
from tailornas.spaces.operations import initialise
from tailornas.types import Normalization

__all__ = ["Backbone"]


class Backbone(nn.Module, ABC):
    """A network for images whose last layer can be exchanged.

    Args:
        feature_dim: length of the feature vector. Where architectures decide it, the first head is an elastic linear
            layer, and any other one in its place must be elastic too.
        classes: outputs of the first head, a linear layer.
    """

    head: nn.Module
    pretrained_normalization: Normalization | None = None
    """Statistics of the pixels that published weights of this network were fitted to; None: there are none."""
    head_trained: bool = False
    """Whether the head came with the weights of an earlier training, and goes on from there."""
    last_block: str | None = None
    """Name of the submodule after which feature maps are only averaged, for what works on it; None: there is none."""

    def __init__(self, feature_dim: Number, classes: int) -> None:
        super().__init__()
        self._feature_dim = feature_dim
        self.head = self._linear(classes)

    @property
    def feature_dim(self) -> int:
        """Length of the feature vector; where architectures decide it, of the longest."""
        return largest(self._feature_dim)

    @property
    def least_feature_dim(self) -> int:
        """Length of the feature vector; where architectures decide it, of the shortest."""
        return smallest(self._feature_dim)

    @property
    def elastic_features(self) -> bool:
        """Whether architectures decide the number of features."""
        return isinstance(self._feature_dim, Dimension)

    def new_head(self, classes: int, generator: torch.Generator) -> nn.Module:
        """A linear head for other classes, its weights drawn from ``generator``; elastic where features are."""
        with torch.random.fork_rng(devices=[]):  # constructors draw from the global generator
            head = self._linear(classes)
        initialise(head, generator)
        return head

    def _linear(self, classes: int) -> nn.Linear:
        width = self._feature_dim
        return ElasticLinear(width, classes) if isinstance(width, Dimension) else nn.Linear(width, classes)

    def own_names(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a file of weights under the names of this network's, where others publish it under theirs."""
        return tensors

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Maps images ``(batch, 3, height, width)`` to features ``(batch, feature_dim)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps images ``(batch, 3, height, width)`` to the head's output, ``(batch, classes)`` for a classifier."""
        return self.classify(self.features(x))

    def classify(self, features: Tensor) -> Tensor:
        """The head's output for features ``(batch, feature_dim)``, in float32 inside of autocast too."""
        return outside_autocast(self.head, features)
