"""What every stage of a method has in common: the run it belongs to, its data and its settings."""

from collections.abc import Callable, Mapping
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
from tailornas.spaces import Backbone, SearchSpace
from tailornas.stages import Run
from tailornas.training import PretrainConfig, TrainConfig
from tailornas.types import Architecture, TrainSplit

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
        build_space: ``(classes, generator) -> space`` with new weights.
        space_id: JSON values that identify the space in the run folder.
        space_settings: JSON values that the space can be built from again.
        build_network: ``(space, architecture, classes, generator) -> network`` that an architecture is trained as, with
            new weights.
        source: the images of the supernet.
        target: the long-tailed dataset.
        settings: the settings of every stage.
        seed: the run's seed.
        time_limit: seconds the run may take; None: the default epochs.
        compiled: the final networks are trained through ``torch.compile``.
    """

    run: Run
    fabric: Fabric
    build_space: Callable[[int, torch.Generator], SearchSpace[Backbone]]
    space_id: Mapping[str, Any]
    space_settings: Mapping[str, Any]
    build_network: Callable[[SearchSpace[Backbone], Architecture, int, torch.Generator], Backbone]
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
        return {**self.fitting.identity, "space": dict(self.space_id)}

    def new_space(self, split: TrainSplit) -> SearchSpace[Backbone]:
        """A supernet with new weights for the classes of ``split``, on the device."""
        space = self.build_space(len(split.classes), generator(self.seed, "space", len(split.classes)))
        space.network.to(self.fabric.device).to(memory_format=torch.channels_last)
        return space
