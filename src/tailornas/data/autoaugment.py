"""AutoAugment (Cubuk et al. 2019, 1805.09501): the policy that was found on CIFAR-10, for whole batches.

As the code of the long-tail literature has it, the policy follows crop and flip, and pixels that come in from outside
are grey. In the authors' code it comes before them, and those pixels have the mean colour of the data.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as F

__all__ = ["POLICY", "autoaugment"]

LEVELS = 10
GREY = [128.0, 128.0, 128.0]


class Operation(NamedTuple):
    """One step of a sub-policy: what is done, how probably, and at which of the ten levels (None: it has none)."""

    name: str
    probability: float
    level: int | None = None


def _pair(*steps: tuple[str, float, int | None]) -> tuple[Operation, Operation]:
    first, second = (Operation(*step) for step in steps)
    return first, second


POLICY: tuple[tuple[Operation, Operation], ...] = (
    _pair(("invert", 0.1, None), ("contrast", 0.2, 6)),
    _pair(("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    _pair(("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    _pair(("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    _pair(("autocontrast", 0.5, None), ("equalize", 0.9, None)),
    _pair(("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    _pair(("color", 0.4, 3), ("brightness", 0.6, 7)),
    _pair(("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    _pair(("equalize", 0.6, None), ("equalize", 0.5, None)),
    _pair(("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    _pair(("color", 0.7, 7), ("translate_x", 0.5, 8)),
    _pair(("equalize", 0.3, None), ("autocontrast", 0.4, None)),
    _pair(("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    _pair(("brightness", 0.9, 6), ("color", 0.2, 8)),
    _pair(("solarize", 0.5, 2), ("invert", 0.0, None)),
    _pair(("equalize", 0.2, None), ("autocontrast", 0.6, None)),
    _pair(("equalize", 0.2, None), ("equalize", 0.6, None)),
    _pair(("color", 0.9, 9), ("equalize", 0.6, None)),
    _pair(("autocontrast", 0.8, None), ("solarize", 0.2, 8)),
    _pair(("brightness", 0.1, 3), ("color", 0.7, 0)),
    _pair(("solarize", 0.4, 5), ("autocontrast", 0.9, None)),
    _pair(("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    _pair(("autocontrast", 0.9, None), ("solarize", 0.8, 3)),
    _pair(("equalize", 0.8, None), ("invert", 0.1, None)),
    _pair(("translate_y", 0.7, 9), ("autocontrast", 0.9, None)),
)
"""The 25 sub-policies of the paper's table for CIFAR-10."""


def _translate(images: Tensor, x: int, y: int) -> Tensor:
    output: Tensor = F.affine(images, angle=0.0, translate=[x, y], scale=1.0, shear=[0.0, 0.0], fill=GREY)
    return output


def _shear_y(images: Tensor, slope: float) -> Tensor:
    # About the upper left corner, as in the published code; torchvision's default is the middle.
    degrees = math.degrees(math.atan(slope))
    output: Tensor = F.affine(
        images, angle=0.0, translate=[0, 0], scale=1.0, shear=[0.0, degrees], center=[0.0, 0.0], fill=GREY
    )
    return output


# What each operation does to uint8 ``(n, 3, size, size)`` at a strength between -1 and 1, nine tenths of which is its
# largest for the colours, as the levels run from 0 to 0.9 there.
_STRENGTH: dict[str, Callable[[Tensor, float], Tensor]] = {
    "shear_y": lambda images, s: _shear_y(images, 0.3 * s),
    "translate_x": lambda images, s: _translate(images, int(150 / 331 * images.shape[-1] * s), 0),
    "translate_y": lambda images, s: _translate(images, 0, int(150 / 331 * images.shape[-1] * s)),
    "rotate": lambda images, s: F.rotate(images, 30.0 * s, fill=GREY),
    "brightness": lambda images, s: F.adjust_brightness(images, 1 + 0.9 * s),
    "color": lambda images, s: F.adjust_saturation(images, 1 + 0.9 * s),
    "contrast": lambda images, s: F.adjust_contrast(images, 1 + 0.9 * s),
    "sharpness": lambda images, s: F.adjust_sharpness(images, 1 + 0.9 * s),
    "posterize": lambda images, s: F.posterize(images, 8 - round(4 * abs(s))),
    "solarize": lambda images, s: F.solarize(images, 255.0 * (1 - abs(s))),
    "autocontrast": lambda images, s: F.autocontrast(images),
    "equalize": lambda images, s: F.equalize(images),
    "invert": lambda images, s: F.invert(images),
}


def autoaugment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Applies to each image a sub-policy drawn uniformly, each of its two steps with its own probability.

    Operations that have a direction take either one with equal probability. Images that meet the same operation at
    the same level are worked on together.

    Args:
        images: uint8 ``(batch, 3, size, size)`` on the CPU.
        generator: CPU generator of all draws.

    Returns:
        uint8 ``(batch, 3, size, size)``, a new tensor.
    """
    images = images.clone()
    chosen = torch.randint(len(POLICY), (len(images),), generator=generator).tolist()
    chances = torch.rand(2, len(images), generator=generator).tolist()
    signs = torch.randint(2, (2, len(images)), generator=generator).mul_(2).sub_(1).tolist()
    for step in (0, 1):
        groups: dict[tuple[str, float], list[int]] = {}
        for position, policy in enumerate(chosen):
            operation = POLICY[policy][step]
            if chances[step][position] < operation.probability:
                strength = 0.0 if operation.level is None else signs[step][position] * operation.level / (LEVELS - 1)
                groups.setdefault((operation.name, strength), []).append(position)
        for (name, strength), positions in groups.items():
            images[positions] = _STRENGTH[name](images[positions], strength)
    return images
