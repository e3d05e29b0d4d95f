"""Mixup and Remix: batches whose images and labels are blended in pairs, and the loss of such a batch."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Self, final

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from tailornas.errors import ConfigError, DataError, UnknownNameError
from tailornas.losses.loss import LongTailLoss
from tailornas.settings import SettingsModel
from tailornas.types import ClassCounts

__all__ = ["MixConfig", "MixedBatch", "mix", "mixed_loss", "mixup", "remix"]


MIXES: dict[str, tuple[str, ...]] = {"none": (), "mixup": ("alpha",), "remix": ("alpha", "kappa", "tau")}
"""Name -> the settings that it uses."""


@final
class MixConfig(SettingsModel):
    """Whether and how the images of a batch are blended in pairs.

    Raises:
        UnknownNameError: no such blending.
        ConfigError: a setting is given that the blending does not use.
    """

    name: str = Field("none", description="none, mixup or remix")
    alpha: float = Field(1.0, gt=0, description="of the Beta distribution of proportions")
    kappa: float = Field(3.0, ge=1, description="remix: how many times bigger the bigger class must be")
    tau: float = Field(0.5, ge=0, le=1, description="remix: how much of the bigger class may be in the image")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.name not in MIXES:
            raise UnknownNameError("mix", self.name, list(MIXES))
        used = {"name", *MIXES[self.name]}
        if setting := self.first_given(setting for setting in type(self).model_fields if setting not in used):
            raise ConfigError(
                f"mix {self.name!r} does not use {setting!r} and got {getattr(self, setting)!r}: leave it out or "
                "choose another mix"
            )
        return self


@final
@dataclass(frozen=True, eq=False)
class MixedBatch:
    """Blended images and the two labels of each.

    Args:
        images: float ``(batch, ...)``.
        first: int64 ``(batch,)``, the label of the image that was blended with another.
        second: int64 ``(batch,)``, the label of that other image.
        share: float32 ``(batch,)`` in [0, 1], how much of the label is ``first``.
    """

    images: Tensor
    first: Tensor
    second: Tensor
    share: Tensor


def mixup(images: Tensor, targets: Tensor, generator: torch.Generator, alpha: float = 1.0) -> MixedBatch:
    """Blends every image with another of the batch, all in one proportion drawn from Beta(alpha, alpha).

    Zhang et al. 2018 (1710.09412); one proportion a batch as in the authors' code.

    Args:
        images: float ``(batch, ...)``.
        targets: int64 ``(batch,)``.
        generator: draws the proportion, which is needed as a number, and the partners; on the CPU, so that no device
            has to be asked for it. A GPU waits for the partners once a batch, as it does for the images.
        alpha: 1 draws all proportions alike; towards 0 images stay as they are.

    Raises:
        ConfigError: ``alpha`` is not positive.
        DataError: the images are not floating point.
    """
    if not alpha > 0:
        raise ConfigError(f"alpha of mixup must be positive and is {alpha}: 1 is usual")
    if not images.is_floating_point():
        raise DataError(f"mixup expects floating-point images and got {images.dtype}: normalise them first")
    # torch offers no Beta draw from a generator, so it seeds one of numpy's.
    seed = int(torch.randint(2**63 - 1, (), generator=generator, device=generator.device))
    proportion = float(np.random.default_rng(seed).beta(alpha, alpha))
    partner = torch.randperm(len(images), generator=generator, device=generator.device).to(images.device)
    return MixedBatch(
        images=torch.lerp(images[partner], images, proportion),
        first=targets,
        second=targets[partner],
        share=torch.full((len(images),), proportion, device=images.device),
    )


def remix(
    images: Tensor,
    targets: Tensor,
    generator: torch.Generator,
    counts: ClassCounts,
    alpha: float = 1.0,
    kappa: float = 3.0,
    tau: float = 0.5,
) -> MixedBatch:
    """Mixup whose label goes wholly to the rarer class of a pair, where the pair is unequal enough.

    Chou et al. 2020 (2007.03943): with n_i and n_j the counts of the first and the second
    label, the share of the first is 0 where ``n_i / n_j >= kappa`` and the proportion is below tau, 1 where
    ``n_i / n_j <= 1 / kappa`` and 1 - the proportion is below tau, and else the proportion.

    Args:
        images: float ``(batch, ...)``.
        targets: int64 ``(batch,)``.
        generator: as in :func:`mixup`.
        counts: training images a class.
        alpha: as in :func:`mixup`.
        kappa: how many times bigger the bigger class must be; at least 1.
        tau: how much of the bigger class may be in the image; in [0, 1].

    Raises:
        ConfigError: ``alpha``, ``kappa`` or ``tau`` is out of range.
        DataError: the images are not floating point.
    """
    if not kappa >= 1:
        raise ConfigError(f"kappa of remix must be at least 1 and is {kappa}: 3 is usual")
    if not 0 <= tau <= 1:
        raise ConfigError(f"tau of remix must be in [0, 1] and is {tau}: 0.5 is usual")
    mixed = mixup(images, targets, generator, alpha)
    sizes, share = _on(counts, images.device), mixed.share
    first, second = sizes.gather(0, mixed.first), sizes.gather(0, mixed.second)
    to_second = (first >= kappa * second) & (share < tau)
    to_first = (second >= kappa * first) & (1 - share < tau)
    share = share.masked_fill(to_second, 0.0).masked_fill(to_first, 1.0)
    return MixedBatch(mixed.images, mixed.first, mixed.second, share)


def mix(
    config: MixConfig, images: Tensor, targets: Tensor, generator: torch.Generator, counts: ClassCounts
) -> MixedBatch | None:
    """Blends a batch as configured; None: not at all. For arguments see :func:`mixup` and :func:`remix`."""
    if config.name == "none":
        return None
    if config.name == "mixup":
        return mixup(images, targets, generator, config.alpha)
    return remix(images, targets, generator, counts, config.alpha, config.kappa, config.tau)


@lru_cache(maxsize=8)  # so that a device waits for these few numbers once, not in every batch
def _on(counts: ClassCounts, device: torch.device) -> Tensor:
    return counts.tensor(device)


def mixed_loss(loss: LongTailLoss, logits: Tensor, mixed: MixedBatch, weights: Tensor | None = None) -> Tensor:
    """The loss of a blended batch: each image counts by ``share`` as its first label and else as its second.

    Zhang et al. 2018 and Chou et al. 2020. Without class weights, and with one share for all
    images, this is ``share * loss(logits, first) + (1 - share) * loss(logits, second)``.

    With class weights the sum of the losses is divided by that of the weights, blended as the labels are, as in
    :meth:`LongTailLoss.forward`. Deviation: the published pairings with deferred re-weighting (``Mixup_DRW`` and
    ``Remix_DRW`` of imbalanced-DL) divide by the batch, so that there the size of the loss changes with the weights.

    Args:
        loss: any loss.
        logits: ``(batch, classes)`` for ``mixed.images``.
        mixed: from :func:`mixup` or :func:`remix`.
        weights: class weights, ``(classes,)``; None: all 1.

    Returns:
        A float32 scalar.
    """
    first, first_weights = loss.weighted(logits, mixed.first, weights)
    second, second_weights = loss.weighted(logits, mixed.second, weights)
    losses = torch.lerp(second, first, mixed.share)
    image_weights = torch.lerp(second_weights, first_weights, mixed.share)
    return losses.sum() / image_weights.sum()
