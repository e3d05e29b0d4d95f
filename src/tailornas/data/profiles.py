"""Long-tailed class counts: how many images each class keeps.

A profile gives class ``c`` of ``C`` a share of the head class's ``n_max`` images; class 0 is the head. The
counts are pure arithmetic: nothing random happens here.
"""

import math
from collections.abc import Sequence
from typing import Literal

from tailornas.errors import ConfigError, DataError
from tailornas.types import ClassCounts

__all__ = ["Profile", "class_counts", "exponential_shares", "step_shares"]

Profile = Literal["exp", "step", "as-is"]


def exponential_shares(classes: int, imbalance_factor: float) -> tuple[float, ...]:
    """Shares that fall exponentially from 1 to ``1 / imbalance_factor``: ``(1 / IF) ** (c / (C - 1))``.

    The long-tailed CIFAR of Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", section
    5.1 (1901.05555).
    """
    return tuple((1 / imbalance_factor) ** (label / (classes - 1)) for label in range(classes))


def step_shares(classes: int, imbalance_factor: float) -> tuple[float, ...]:
    """Shares of 1 for the first half of the classes and ``1 / imbalance_factor`` for the others.

    Step imbalance of Buda et al. (1710.05381) with half of the classes small, as in LDAM (Cao et al.,
    1906.07413, section 4). Of an odd number of classes the middle one is small.
    """
    head = classes // 2
    return (1.0,) * head + (1 / imbalance_factor,) * (classes - head)


_SHARES = {"exp": exponential_shares, "step": step_shares}


def class_counts(
    profile: Profile, available: ClassCounts, imbalance_factor: float | None, classes: Sequence[str] = ()
) -> ClassCounts:
    """Returns how many images each class keeps: ``int(n_max * share)``.

    ``n_max`` is the largest number that every class can supply its share of, so where all classes are equally
    large (CIFAR) it is their size, and no class is ever asked for more than it has.

    Args:
        profile: ``"exp"``, ``"step"``, or ``"as-is"``, which keeps everything.
        available: images that each class has.
        imbalance_factor: images of the largest class over images of the smallest, at least 1; not looked at
            with ``"as-is"``.
        classes: names of the classes, for messages; none: their numbers.

    Raises:
        ConfigError: the factor is missing, below 1 or infinite.
        DataError: there is only one class, or a class would keep no image.
    """
    if profile == "as-is":
        return available
    if imbalance_factor is None or not 1 <= imbalance_factor < math.inf:
        raise ConfigError(
            f"profile {profile!r} expects a finite imbalance_factor of at least 1 (largest class over "
            f"smallest), got {imbalance_factor}"
        )
    if len(available) < 2:
        raise DataError(f"profile {profile!r} expects at least 2 classes, got {len(available)}")
    shares = _SHARES[profile](len(available), imbalance_factor)
    largest = _floor(min(count / share for count, share in zip(available, shares, strict=True)))
    counts = ClassCounts(tuple(_floor(largest * share) for share in shares))
    if (label := counts.first_empty) is not None:
        names = [repr(name) for name in classes] or range(len(available))
        raise DataError(
            f"profile {profile!r} with imbalance_factor {imbalance_factor:g} leaves class {names[label]} with 0 "
            f"of its {available[label]} images, because class {names[0]} can have at most {largest}: expected at least "
            + (
                f"1, give --imbalance-factor (imbalance_factor) of at most {largest}"
                if largest
                else "1, add images to every class"
            )
        )
    return counts


def _floor(value: float) -> int:
    # A product that is whole in exact arithmetic may come out a little less: 49 * (1 / 49).
    return int(value + 1e-9)
