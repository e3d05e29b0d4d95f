"""What every stage of a method has in common: the run it belongs to, its data and its settings."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, final

import torch
from lightning_fabric import Fabric

from tailornas.adaptation import HeadConfig
from tailornas.data import AugmentConfig, Dataset
from tailornas.methods.fitting import Fitting
from tailornas.methods.source import SupernetSource
from tailornas.metrics import GroupConfig
from tailornas.search import Limits, SearchConfig
from tailornas.seeding import generator
from tailornas.spaces import Backbone, SearchSpace, SpaceConfig, build_space, identify
from tailornas.stages import Run
from tailornas.training import PretrainConfig, TrainConfig
from tailornas.types import TrainSplit

__all__ = ["Context", "Settings"]


@final
@dataclass(frozen=True)
class Settings:
    """The settings of every stage, each as its owner defines them."""

    pretrain: PretrainConfig
    adapt: HeadConfig
    search: SearchConfig
    train: TrainConfig
    augment: AugmentConfig
    limits: Limits
    groups: GroupConfig = field(default_factory=GroupConfig)
    init: Literal["scratch", "inherit"] = "scratch"
    """First weights of the found network: new ones, or the adapted supernet's."""


@final
@dataclass(frozen=True)
class Context:
    """One search on one target.

    Args:
        run: where results go, and where those that are there already come from.
        fabric: device and precision.
        space: the settings of the space that is searched.
        source: the images of the supernet.
        target: the long-tailed dataset.
        settings: the settings of every stage.
        seed: the run's seed.
        time_limit: seconds the run may take; None: the default epochs.
        compiled: the final networks are trained through ``torch.compile``.
    """

    run: Run
    fabric: Fabric
    space: SpaceConfig
    source: SupernetSource
    target: Dataset
    settings: Settings
    seed: int
    time_limit: float | None = None
    compiled: bool = False

    @cached_property
    def fitting(self) -> Fitting:
        """How networks are fitted to the target."""
        return Fitting(
            run=self.run,
            fabric=self.fabric,
            target=self.target,
            train=self.settings.train,
            augment=self.settings.augment,
            seed=self.seed,
            limits=self.settings.limits,
            groups=self.settings.groups,
            time_limit=self.time_limit,
            compiled=self.compiled,
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What every trained weight of the supernet depends on."""
        return {**self.fitting.identity, "space": self.space_id}

    @cached_property
    def space_id(self) -> dict[str, Any]:
        """JSON values that identify the space, with the content of a user's file as it was when first asked for."""
        return identify(self.space)

    def new_space(self, split: TrainSplit) -> SearchSpace[Backbone]:
        """A supernet with new weights for the classes of ``split``, on the device."""
        classes, size = len(split.classes), self.target.image_size
        space = build_space(self.space, classes, generator(self.seed, "space", classes), size)
        space.network.to(self.fabric.device).to(memory_format=torch.channels_last)
        return space
