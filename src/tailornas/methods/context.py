"""What every stage of a method has in common: the run it belongs to, its data and its settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import torch
from lightning_fabric import Fabric
from torch import nn

from tailornas.adaptation import HeadConfig
from tailornas.data import AugmentConfig, Batches, Dataset, Sampler
from tailornas.methods.source import SupernetSource
from tailornas.search import Costs, Limits, SearchConfig
from tailornas.seeding import generator
from tailornas.spaces import Backbone, Cost, SearchSpace, latency
from tailornas.training import PretrainConfig, TrainConfig
from tailornas.types import Normalization, Run, TrainSplit

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


@final
@dataclass(frozen=True)
class Context:
    """One search on one target.

    Args:
        run: where results go, and where those that are there already come from.
        fabric: device and precision.
        build_space: ``(classes, generator) -> space`` with new weights.
        space_id: JSON values that identify the space in the run folder.
        source: the images of the supernet.
        target: the long-tailed dataset.
        settings: the settings of every stage.
        seed: the run's seed.
        time_limit: seconds the run may take; None: the default epochs.
    """

    run: Run
    fabric: Fabric
    build_space: Callable[[int, torch.Generator], SearchSpace[Backbone]]
    space_id: Mapping[str, Any]
    source: SupernetSource
    target: Dataset
    settings: Settings
    seed: int
    time_limit: float | None = None

    @cached_property
    def fit_split(self) -> TrainSplit:
        """All images of the target that are not test: what the final networks are fitted to."""
        return self.target.train.with_selection(self.target.selection)

    @property
    def identity(self) -> dict[str, Any]:
        """What every trained weight depends on."""
        return {
            "seed": self.seed,
            "space": dict(self.space_id),
            "device": self.fabric.device.type,
            "precision": str(self.fabric.strategy.precision.precision),
            "augment": self.settings.augment.model_dump(mode="json"),
        }

    def new_space(self, split: TrainSplit) -> SearchSpace[Backbone]:
        """A supernet with new weights for the classes of ``split``, on the device."""
        space = self.build_space(len(split.classes), generator(self.seed, "space", len(split.classes)))
        space.network.to(self.fabric.device).to(memory_format=torch.channels_last)
        return space

    def batches(
        self,
        split: TrainSplit,
        batch_size: int,
        normalization: Normalization,
        flip: bool,
        sampler: Sampler,
        stage: str,
    ) -> Batches:
        """Augmented training batches of ``split``, on the device."""
        return Batches(
            split,
            batch_size=batch_size,
            normalization=normalization,
            augment=self.settings.augment.for_dataset(flip),
            sampler=sampler,
            seed=self.seed,
            position=stage,
            device=self.fabric.device,
        )

    def costs(self, counted: Cost, network: Callable[[], nn.Module]) -> Costs:
        """Counted costs, with the latency of ``network()`` measured where it is limited."""
        if self.settings.limits.latency_ms is None:
            return Costs(counted.params, counted.macs)
        return Costs(counted.params, counted.macs, latency(network(), self.target.image_size).median)

    def note_if_short(self, what: str, epochs: int, planned: int) -> None:
        """Tells the user of a training that the time limit ended before its plan did."""
        if epochs < planned:
            self.run.note(
                f"{what} stopped at epoch {epochs} of {planned}: the machine was slower than measured, or was stopped "
                "and started again, and its time was up."
            )
