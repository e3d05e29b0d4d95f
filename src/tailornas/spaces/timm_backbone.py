"""Any image model of timm (Wightman, PyTorch Image Models) as a backbone."""

from difflib import get_close_matches
from typing import Any, final

import timm
import torch
from torch import Tensor

from tailornas.errors import ConfigError, UnknownNameError
from tailornas.spaces.network import Backbone
from tailornas.types import Normalization

__all__ = ["TimmBackbone", "check_timm", "timm_backbone"]


@final
class TimmBackbone(Backbone):
    """A timm model without its classifier, and a head; built by :func:`timm_backbone`.

    Args:
        model: gives features ``(batch, feature_dim)``.
        feature_dim: their length.
        classes: outputs of the head.
    """

    def __init__(self, model: torch.nn.Module, feature_dim: int, classes: int) -> None:
        super().__init__(feature_dim, classes)
        self.model = model
        self._published: dict[str, Any] = dict(vars(model)["pretrained_cfg"])
        self.pretrained_normalization = Normalization(tuple(self._published["mean"]), tuple(self._published["std"]))

    def features(self, x: Tensor) -> Tensor:
        """Maps images ``(batch, 3, height, width)`` to features ``(batch, feature_dim)``."""
        output: Tensor = self.model(x)
        return output

    def own_names(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a file of timm's, without its classifier, under the names of this network's."""
        if any(name.startswith("model.") for name in tensors):
            return tensors
        classifiers = self._published.get("classifier") or ()
        classifiers = (classifiers,) if isinstance(classifiers, str) else tuple(classifiers)
        parts = tuple(f"{classifier}." for classifier in classifiers)
        return {f"model.{name}": tensor for name, tensor in tensors.items() if not name.startswith(parts)}


def check_timm(name: str) -> None:
    """Refuses a name that timm has no model of.

    Raises:
        UnknownNameError: says the nearest names.
    """
    if not timm.is_model(name):
        family = timm.list_models(f"{name}*")[:8] if name else []
        near = family or get_close_matches(name, timm.list_models(), n=8)
        raise UnknownNameError("timm model", name, near or ["resnet18", "mobilenetv3_small_100", "efficientnet_b0"])


def timm_backbone(
    name: str, image_size: int, classes: int, *, generator: torch.Generator, online: bool
) -> TimmBackbone:
    """Builds a timm model by its name there.

    Args:
        name: such as ``resnet18`` or ``mobilenetv3_small_100``.
        image_size: height and width in pixels of the images it will see.
        classes: outputs of the head.
        generator: seeds the draw of new weights.
        online: fetch timm's weights for it from the network.

    Raises:
        UnknownNameError: see :func:`check_timm`.
        ConfigError: the model cannot take images of this size, or its weights could not be fetched.
    """
    check_timm(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        try:
            model = timm.create_model(name, pretrained=online, num_classes=0)
        except Exception as error:  # from no network to no published weights, each library raises its own
            reason = str(error).strip().splitlines()
            raise ConfigError(
                f"timm cannot make {name!r}{' with its weights' if online else ''} "
                f"({reason[0] if reason else type(error).__name__}): check the connection, or give a file by --weights"
            ) from error
        model.eval()
        try:
            with torch.no_grad():
                features = model(torch.zeros(1, 3, image_size, image_size))
        except (RuntimeError, AssertionError) as error:
            wanted = vars(model)["pretrained_cfg"].get("input_size", (3, 224, 224))[-1]
            raise ConfigError(
                f"the timm model {name!r} cannot take images of {image_size} pixels: expected --image-size {wanted}"
            ) from error
        return TimmBackbone(model.train(), features.shape[1], classes)
