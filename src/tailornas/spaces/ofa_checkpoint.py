"""Reading the once-for-all supernets that their authors published (Cai et al. 2020, arXiv 1908.09791)."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from tailornas.errors import CheckpointError
from tailornas.spaces.mobilenet import MobileNetV3
from tailornas.spaces.mobilenet_text import BLOCKS
from tailornas.spaces.network import Backbone
from tailornas.spaces.weights import read_weights
from tailornas.types import Normalization

__all__ = ["NORMALIZATION", "load_ofa", "load_published", "official_name"]


NORMALIZATION = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""Statistics of ImageNet's pixels, by which the published supernets see their images."""

EXPECTED = "expected a file like ofa_mbv3_d234_e346_k357_w1.0"

PARTS = {
    "stem.": "first_conv.",
    "entry.": "blocks.0.conv.",
    "expand.": "inverted_bottleneck.",
    "depthwise.": "depth_conv.",
    "squeeze.": "depth_conv.se.fc.",
    "project.": "point_linear.",
    "last.": "final_expand_layer.",
    "mix.": "feature_mix_layer.conv.",
    "head.": "classifier.linear.",
}
"""Beginnings of this package's names of tensors, and those of the same parts in the published file."""

SPELLINGS = (
    (".mobile_inverted_conv.", ".conv."),
    (".bn.bn.", ".bn."),
    (".conv.conv.", ".conv."),
    (".linear.linear.", ".linear."),
)
"""Older releases wrap layers in others; the right form is the one that is compared."""


def load_ofa(network: MobileNetV3, path: Path) -> None:
    """Puts the weights and running statistics of a published supernet into ``network``, in place.

    The classifier comes along if the network has as many classes as the file (1,000 in what is published); else the
    network keeps its own head. Nothing is changed if anything is wrong.

    Args:
        network: of the file's width.
        path: safetensors by the suffix ``.safetensors``; anything else is read as what ``torch.save`` wrote: a state
            dict, or ``{"state_dict": ...}``. Names may begin with ``module.``.

    Raises:
        CheckpointError: the file cannot be read, or it holds another network.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in read_weights(path).items():
        plain = _plain(name)
        if plain in found:
            raise CheckpointError(f"{path} names the tensor {plain!r} twice: {EXPECTED}")
        found[plain] = tensor
    own = {_plain(official_name(name)): tensor for name, tensor in network.state_dict().items()}
    head = found.get("classifier.linear.weight")
    if head is not None and head.dim() == 2 and len(head) != len(own["classifier.linear.weight"]):
        # Their number of classes is all that these two may differ in; they are checked, and then go nowhere.
        for name in ("classifier.linear.weight", "classifier.linear.bias"):
            own[name] = own[name].new_empty(len(head), *own[name].shape[1:])
    for name, tensor in own.items():
        # The first PyTorch versions did not count batches, and nothing depends on the count.
        if name.endswith("num_batches_tracked"):
            found.setdefault(name, tensor)
    _check(own, found, path, network.width)
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(found[name])


def load_published(network: Backbone, path: Path) -> None:
    """Puts a published supernet into ``network``, in place; see :func:`load_ofa`, which is all there is so far.

    Raises:
        CheckpointError: the file cannot be read or is of another space, or no supernets of this space are published.
    """
    if not isinstance(network, MobileNetV3):
        raise CheckpointError(
            f"{path} cannot become the supernet of {type(network).__name__}: published supernets are read for "
            "the space mobilenet only, name images as the source or set space.name to 'mobilenet'"
        )
    load_ofa(network, path)


def official_name(name: str) -> str:
    """The published file's name of a tensor of :class:`~tailornas.spaces.mobilenet.MobileNetV3`'s state dict."""
    prefix = ""
    if block := re.match(r"stages\.(\d+)\.(\d+)\.", name):
        prefix = f"blocks.{1 + BLOCKS * int(block[1]) + int(block[2])}.conv."
        name = name[block.end() :]
    elif name.startswith("entry."):
        prefix, name = PARTS["entry."], name.removeprefix("entry.")
    part = next(part for part in PARTS if name.startswith(part))
    transform = re.sub(r"transforms\.(\d+to\d+)\.weight", r"\1_matrix", name.removeprefix(part))
    return prefix + PARTS[part] + transform


def _check(own: Mapping[str, Tensor], found: Mapping[str, Tensor], path: Path, width: float) -> None:
    this = f"MobileNetV3 of width {width}"
    for problem, names in (
        ("lacks", [name for name in own if name not in found]),
        ("has, beyond what this network has,", [name for name in found if name not in own]),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise CheckpointError(f"{path} {problem} {names[0]!r}{more}: it is not of the space {this}, {EXPECTED}")
    for name, tensor in own.items():
        came = found[name]
        if came.shape != tensor.shape or came.is_floating_point() != tensor.is_floating_point():
            raise CheckpointError(
                f"{path}: {name!r} is {tuple(came.shape)} of {came.dtype}, expected {tuple(tensor.shape)} of "
                f"{tensor.dtype}: it is not of {this}, choose the file or the space's width anew"
            )


def _plain(name: str) -> str:
    name = name.removeprefix("module.")
    for long, short in SPELLINGS:
        name = name.replace(long, short)
    return name
