"""When class weights or balanced sampling come in: pure functions of the share of training that is done."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Self, final

import torch
from pydantic import Field, model_validator
from torch import Tensor

from tailornas.errors import ConfigError, UnknownNameError
from tailornas.losses.reweight import Weighting, class_weights
from tailornas.settings import SettingsModel
from tailornas.types import ClassCounts

__all__ = ["SCHEDULES", "ScheduleConfig", "sampler_at", "weights_at"]

SCHEDULES = ("none", "drw", "drs")
"""Names: nothing is deferred, deferred re-weighting, deferred re-sampling."""


@final
class ScheduleConfig(SettingsModel):
    """A schedule and its settings (``drw``: Cao et al. 2019, 1906.07413, algorithm 1).

    ``drs`` is its counterpart with class-balanced batches; the code of the paper re-samples from the beginning only,
    with replacement and by the effective number of images.

    Raises:
        UnknownNameError: no such schedule.
        ConfigError: ``start`` is outside [0, 1), or is given where nothing starts.
    """

    name: str = Field("none", description="none, drw (deferred re-weighting) or drs (deferred re-sampling)")
    start: float = Field(0.8, description="share of training before it comes in; 0: from the beginning")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.name not in SCHEDULES:
            raise UnknownNameError("schedule", self.name, SCHEDULES)
        if not 0 <= self.start < 1:
            raise ConfigError(f"start is a share of training in [0, 1) and is {self.start}: 0.8 is usual")
        if self.name == "none" and self.first_given(["start"]):
            raise ConfigError(
                f"schedule 'none' does not use 'start' and got {self.start}: leave it out or choose drw or drs"
            )
        return self


def weights_at(
    schedule: ScheduleConfig,
    weighting: str | Sequence[float] | None,
    counts: ClassCounts,
    progress: float,
    device: torch.device | str = "cpu",
) -> Tensor | None:
    """Class weights at one moment of training.

    Args:
        schedule: the schedule; ``drw`` holds the weights back until its start.
        weighting: name of a weighting, or one weight a class; None: no weights.
        counts: training images a class.
        progress: share of training that is done, in [0, 1].
        device: where the weights are wanted.

    Returns:
        float32 ``(classes,)``, or None where no weights count. It is computed once and shared: do not write to it.

    Raises:
        ConfigError: ``progress`` is outside [0, 1].
        DataError: the weights cannot be made for these counts.
    """
    if weighting is None or (schedule.name == "drw" and not _begun(schedule, progress)):
        return None
    hashable = weighting if isinstance(weighting, str) else tuple(map(float, weighting))
    return _weights_on(hashable, counts, torch.device(device))


def sampler_at(schedule: ScheduleConfig, sampler: str, progress: float) -> str:
    """Name of the sampler at one moment of training: ``"class_balanced"`` once ``drs`` begins, else ``sampler``.

    Args:
        schedule: the schedule.
        sampler: the sampler that training begins with.
        progress: share of training that is done, in [0, 1]. An epoch has one sampler, by what is done when it begins:
            in a training of fewer than ``1 / (1 - start)`` epochs ``drs`` never begins.

    Raises:
        ConfigError: ``progress`` is outside [0, 1].
    """
    return "class_balanced" if _begun(schedule, progress) and schedule.name == "drs" else sampler


def _begun(schedule: ScheduleConfig, progress: float) -> bool:
    if not 0 <= progress <= 1:
        raise ConfigError(f"progress is a share of training in [0, 1] and is {progress}: divide by all steps")
    return progress >= schedule.start


@lru_cache(maxsize=8)
def _weights_on(weighting: Weighting, counts: ClassCounts, device: torch.device) -> Tensor:
    # Asked for at every step: a copy to the device each time would make the host wait for it.
    return class_weights(weighting, counts).to(device)
