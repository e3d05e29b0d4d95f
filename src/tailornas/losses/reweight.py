"""Class weights from class counts."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from tailornas.errors import ConfigError, DataError, UnknownNameError
from tailornas.types import ClassCounts

__all__ = [
    "WEIGHTINGS",
    "WEIGHTING_FORMS",
    "Weighting",
    "check_weighting",
    "class_weights",
    "effective_number",
    "inverse_frequency",
    "positive_counts",
    "smoothed_power",
]


def positive_counts(counts: ClassCounts) -> Tensor:
    """The counts as float64 ``(classes,)``.

    Raises:
        DataError: a class has no image, so that nothing can be divided by its count.
    """
    if (empty := counts.first_empty) is not None:
        raise DataError(
            f"class {empty} has no training image: expected at least 1 in each of "
            f"{len(counts)} classes; remove the class or give it images"
        )
    return torch.tensor(counts.counts, dtype=torch.float64)


def inverse_frequency(counts: ClassCounts) -> Tensor:
    """Weights proportional to ``1 / n_i`` that sum to the number of classes: float32 ``(classes,)``.

    Raises:
        DataError: a class has no image.
    """
    return _normalized(1 / positive_counts(counts))


def smoothed_power(counts: ClassCounts, gamma: float = 0.5) -> Tensor:
    """Weights ``(N_min / N_i)^gamma``, 1 for the rarest class: float32 ``(classes,)``.

    The one weighting that is left as it is published, not brought to a sum: the losses divide by the sum of
    the weights, so the size of the weights has no effect on them. With gamma 1/2 classes count
    by the root of their size, the power by which Mahajan et al. 2018 (1805.00932) re-sample.

    Args:
        counts: training images a class.
        gamma: 0 weights all classes alike, 1 is the inverse frequency.

    Raises:
        ConfigError: ``gamma`` is outside [0, 1].
        DataError: a class has no image.
    """
    if not 0 <= gamma <= 1:
        raise ConfigError(f"gamma of the smoothed weights must be in [0, 1] and is {gamma}: 0.5 is usual")
    numbers = positive_counts(counts)
    return ((numbers.min() / numbers) ** gamma).float()


def effective_number(counts: ClassCounts, beta: float = 0.9999) -> Tensor:
    """Weights proportional to ``(1 - beta) / (1 - beta^n_i)``, normalised: float32 ``(classes,)``.

    Cui et al. 2019 (1901.05555), section 4; they sum to the number of classes. ``1 - beta^n`` is computed
    as ``-expm1(n log beta)`` in float64, which neither cancels for beta near 1 nor underflows for large
    counts.

    Args:
        counts: training images a class.
        beta: 0 weights all classes alike; towards 1 it becomes the inverse frequency.

    Raises:
        ConfigError: ``beta`` is outside [0, 1).
        DataError: a class has no image.
    """
    if not 0 <= beta < 1:
        raise ConfigError(f"beta of the effective number must be in [0, 1) and is {beta}: 0.9999 is usual")
    log_beta = math.log(beta) if beta > 0 else -math.inf
    return _normalized((1 - beta) / -torch.expm1(positive_counts(counts) * log_beta))


WEIGHTINGS: dict[str, Callable[..., Tensor]] = {
    # 0.9999 needs no tuning: up to about 1,000 images a class it is the inverse frequency, well above 10,000
    # it is level, so that classes which all have plenty count alike. LDAM-DRW's code for CIFAR has it.
    "auto": effective_number,
    "effective": effective_number,
    "inverse": inverse_frequency,
    "smoothed": smoothed_power,
}
"""Name -> function of the class counts that gives weights ``(classes,)``."""

PARAMETERS = {"effective": "beta", "smoothed": "gamma"}
"""Name -> the parameter that may follow it behind a colon, as in ``effective:0.999``."""

WEIGHTING_FORMS = (*WEIGHTINGS, *(f"{name}:{parameter.upper()}" for name, parameter in PARAMETERS.items()))
"""What people may write: every name, and those that take a parameter with it."""

Weighting = str | tuple[float, ...]
"""A name of :data:`WEIGHTINGS`, with or without a parameter, or one positive number a class, in label order."""


def check_weighting(weighting: Weighting | None) -> None:
    """Refuses a name that no weighting has, and a parameter that it cannot have.

    Raises:
        UnknownNameError: no such weighting.
        ConfigError: a parameter of a weighting that has none, or one that is no number or out of range.
    """
    if isinstance(weighting, str):
        _named(weighting)(ClassCounts((1, 1)))


def _named(weighting: str) -> Callable[[ClassCounts], Tensor]:
    name, colon, parameter = weighting.partition(":")
    if name not in WEIGHTINGS:
        raise UnknownNameError("weighting", name, [*WEIGHTING_FORMS, "[one number a class]"])
    if not colon:
        return WEIGHTINGS[name]
    if name not in PARAMETERS:
        raise ConfigError(f"the weighting {name!r} has no parameter and got {parameter!r}: leave it out")
    try:
        return partial(WEIGHTINGS[name], **{PARAMETERS[name]: float(parameter)})
    except ValueError:
        raise ConfigError(
            f"expected a number as {PARAMETERS[name]} of the weighting {name!r}, such as {name}:0.9, got {parameter!r}"
        ) from None


def class_weights(weighting: str | Sequence[float], counts: ClassCounts) -> Tensor:
    """Weights by the name of a weighting, or the weights that are given: float32 ``(classes,)``.

    Args:
        weighting: a name of :data:`WEIGHTINGS`, such as ``"effective"`` or ``"effective:0.999"``, or one positive
            number a class.
        counts: training images a class.

    Raises:
        UnknownNameError: no such weighting.
        ConfigError: a parameter that the weighting cannot have.
        DataError: a class has no image, or the given weights are not one positive number a class.
    """
    if isinstance(weighting, str):
        return _named(weighting)(counts)
    if len(weighting) != len(counts):
        raise DataError(
            f"expected one class weight for each of {len(counts)} classes, got {len(weighting)} weights: "
            "give one a class, in label order"
        )
    for label, weight in enumerate(weighting):
        if not (math.isfinite(weight) and weight > 0):
            raise DataError(f"class weights must be positive numbers: class {label} has {weight}")
    return torch.tensor(weighting, dtype=torch.float32)


def _normalized(weights: Tensor) -> Tensor:
    return (weights * (len(weights) / weights.sum())).float()
