"""Fitting networks to the target: what every training on it, in a search or on its own, has in common."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, final

import torch
from lightning_fabric import Fabric
from torch import nn

from tailornas.data import AugmentConfig, Batches, Dataset, Sampler
from tailornas.metrics import GroupConfig
from tailornas.search import Costs, Limits
from tailornas.spaces import Cost, latency
from tailornas.stages import Run
from tailornas.training import TrainConfig
from tailornas.types import Normalization, SelectionSplit, TestSplit, TrainSplit

__all__ = ["Fitting"]


@final
@dataclass(frozen=True)
class Fitting:
    """A target and how networks are fitted to it.

    Args:
        run: where results go, and where those that are there already come from.
        fabric: device and precision.
        target: the long-tailed dataset.
        train: how networks are trained.
        augment: what is done to training images.
        seed: the run's seed.
        limits: what is limited is measured.
        groups: how reports group classes by their training images.
        time_limit: seconds the run may take; None: the default epochs.
        compiled: networks run through ``torch.compile``.
        evaluate_on: the split that networks are measured on: ``selection`` where something is chosen by it, so that
            they are not fitted to it and the test split is not looked at.
    """

    run: Run
    fabric: Fabric
    target: Dataset
    train: TrainConfig
    augment: AugmentConfig
    seed: int
    limits: Limits
    groups: GroupConfig
    time_limit: float | None = None
    compiled: bool = False
    evaluate_on: Literal["test", "selection"] = "test"

    @property
    def split(self) -> TrainSplit:
        """What networks are fitted to: once nothing is left to choose, :attr:`tailornas.data.Dataset.fit`."""
        return self.target.train if self.evaluate_on == "selection" else self.target.fit

    @property
    def measured(self) -> SelectionSplit | TestSplit:
        """What networks are measured on."""
        return self.target.selection if self.evaluate_on == "selection" else self.target.test

    @property
    def identity(self) -> dict[str, Any]:
        """What every trained weight depends on."""
        apart = len(self.split) < len(self.target.fit)
        return {
            "seed": self.seed,
            "device": self.fabric.device.type,
            "precision": str(self.fabric.strategy.precision.precision),
            **({"split": "train"} if apart else {}),
        }

    @property
    def clock(self) -> dict[str, Any]:
        """What every measured latency depends on."""
        return {"device": self.fabric.device.type, "threads": torch.get_num_threads()}

    def preparation(self, normalization: Normalization, flip: bool) -> dict[str, Any]:
        """What is done to images before a network sees them, as JSON values.

        Args:
            normalization: statistics of their pixels.
            flip: whether a mirrored image still belongs to its class.
        """
        return {
            "augment": self.augment.for_dataset(flip).model_dump(mode="json"),
            "normalization": asdict(normalization),
        }

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
            augment=self.augment.for_dataset(flip),
            sampler=sampler,
            seed=self.seed,
            position=stage,
            device=self.fabric.device,
        )

    def costs(self, counted: Cost, network: Callable[[], nn.Module]) -> Costs:
        """Counted costs, with the latency of ``network()`` measured where it is limited."""
        if self.limits.latency_ms is None:
            return Costs(counted.params, counted.macs)
        return Costs(counted.params, counted.macs, latency(network(), self.target.image_size).median)

    def note_if_short(self, what: str, epochs: int, planned: int) -> None:
        """Tells the user of a training that the time limit ended before its plan did."""
        if epochs < planned:
            self.run.note(
                f"{what} stopped at epoch {epochs} of {planned}: the machine was slower than measured, or was stopped "
                "and started again, and its time was up."
            )
