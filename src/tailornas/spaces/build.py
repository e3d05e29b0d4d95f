"""Search spaces by name."""

from collections.abc import Callable
from typing import Any, Self, final

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tailornas.errors import UnknownNameError
from tailornas.spaces.nasbench201 import nasbench201
from tailornas.spaces.network import Backbone
from tailornas.spaces.space import SearchSpace

__all__ = ["SPACES", "SpaceConfig", "build_space"]

SPACES: dict[str, Callable[..., SearchSpace[Any]]] = {"nasbench201": nasbench201}
"""Name -> builder ``(channels, cells, classes, generator)``."""


@final
class SpaceConfig(BaseModel):
    """Which architectures are searched.

    Raises:
        UnknownNameError: no such space.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field("nasbench201", description="search space, by name")
    channels: int = Field(16, ge=1, description="channels of the first stage (C); the found network has them too")
    cells: int = Field(1, ge=1, description="cells a stage (N); the found network has them too")

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.name not in SPACES:
            raise UnknownNameError("space", self.name, list(SPACES))
        return self


def build_space(config: SpaceConfig, classes: int, generator: torch.Generator) -> SearchSpace[Backbone]:
    """Builds a space for a number of classes, its weights drawn from ``generator``."""
    return SPACES[config.name](channels=config.channels, cells=config.cells, classes=classes, generator=generator)
