"""Augmentation of whole batches, different for every image, and the way from bytes to a network's input."""

from functools import lru_cache
from typing import Literal, Self, final

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from tailornas.errors import ConfigError
from tailornas.settings import SettingsModel
from tailornas.types import Normalization

__all__ = ["AugmentConfig", "crop_and_flip", "cutout", "normalize"]


@final
class AugmentConfig(SettingsModel):
    """What is done at random to each training image."""

    crop: bool = Field(
        default=True,
        description="Shift by up to an eighth of the size in each direction, filling with black.",
    )
    flip: bool | None = Field(default=None, description="Mirror half of the images. Unless set: as the data allows.")
    policy: Literal["none", "autoaugment"] = Field(
        default="none", description="autoaugment: the policy that AutoAugment found on CIFAR-10, after crop and flip."
    )
    cutout: int = Field(default=0, ge=0, description="Side in pixels of a square blanked out at random; 0 for none.")

    def for_dataset(self, flip: bool) -> Self:
        """The same augmentation with ``flip`` filled in where it is not set."""
        return self if self.flip is not None else self.model_copy(update={"flip": flip})


def crop_and_flip(images: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Crops and mirrors each image at random, in one gather.

    The crop is the CIFAR recipe of He et al. (1512.03385, section 4.2): the image is padded by an eighth of
    its size (4 pixels at 32) with black and a random window of the original size is cut out.

    Args:
        images: uint8 ``(batch, 3, size, size)`` on the CPU.
        config: what to do; ``flip`` has to be set.
        generator: CPU generator that the windows and the mirrored images are drawn from.

    Returns:
        uint8 ``(batch, 3, size, size)``.

    Raises:
        ConfigError: ``flip`` is not set.
    """
    if config.flip is None:
        raise ConfigError("augmentation expects flip to be set, got None: use AugmentConfig.for_dataset")
    batch, _, size, _ = images.shape
    pad = size // 8 if config.crop else 0
    top, left = torch.randint(0, 2 * pad + 1, (2, batch, 1), generator=generator)
    mirrored = torch.randint(0, 2 if config.flip else 1, (batch, 1), generator=generator, dtype=torch.bool)
    line = torch.arange(size)
    y = top + line
    x = left + torch.where(mirrored, size - 1 - line, line)
    padded = F.pad(images, (pad, pad, pad, pad)).flatten(2)
    pixels = (y[:, :, None] * (size + 2 * pad) + x[:, None, :]).flatten(1)
    return padded.gather(2, pixels[:, None].expand(-1, 3, -1)).view_as(images)


def normalize(images: Tensor, normalization: Normalization) -> Tensor:
    """Turns bytes into a network's input.

    Args:
        images: uint8 ``(batch, 3, size, size)`` on any device.
        normalization: mean and standard deviation of the training pixels.

    Returns:
        float32 of the same shape in ``channels_last`` memory format: ``(images / 255 - mean) / std``.
    """
    mean, scale = _mean_and_scale(normalization, images.device)
    return images.to(torch.float32, memory_format=torch.channels_last).sub_(mean).mul_(scale)


def cutout(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Sets a square of each normalized image to zero, the mean colour (DeVries and Taylor, 1708.04552).

    The square's centre is anywhere in the image, so the square may hang over the edge.

    Args:
        images: float32 ``(batch, 3, size, size)``, changed in place.
        side: side of the square in pixels.
        generator: CPU generator that the centres are drawn from.
    """
    batch, _, height, width = images.shape
    top = torch.randint(height, (batch, 1), generator=generator) - side // 2
    left = torch.randint(width, (batch, 1), generator=generator) - side // 2
    y, x = torch.arange(height), torch.arange(width)
    rows, columns = (y >= top) & (y < top + side), (x >= left) & (x < left + side)
    blank = (rows[:, :, None] & columns[:, None, :])[:, None]
    return images.masked_fill_(blank.to(images.device), 0)


@lru_cache(maxsize=8)  # so that a device waits for these few numbers once, not in every batch
def _mean_and_scale(normalization: Normalization, device: torch.device) -> tuple[Tensor, Tensor]:
    mean, std = torch.tensor([normalization.mean, normalization.std], device=device)[:, :, None, None]
    return mean * 255, 1 / (std * 255)
