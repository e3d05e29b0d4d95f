"""P1, the recommended adaptation: freeze the backbone, retrain the linear head on the target with a re-weighted loss.

IMB-NAS (2210.00136), section 3.2. The supernet keeps its source features; only its decision boundary moves.
"""

from collections.abc import Mapping
from typing import Any, Self, final

import torch
from lightning_fabric import Fabric
from pydantic import Field, model_validator
from torch import Tensor

from tailornas.errors import ConfigError
from tailornas.losses import LOSSES, Weighting
from tailornas.seeding import generator
from tailornas.spaces import Backbone, SearchSpace
from tailornas.stages import Stage
from tailornas.training import (
    EpochBatches,
    Fitted,
    Objective,
    ObjectiveConfig,
    OptimizerConfig,
    Position,
    batch_statistics,
    fit,
    new_head,
)
from tailornas.training.objective import CLASS_WEIGHTS

__all__ = ["HeadConfig", "adapt_head", "give_target_head"]


@final
class HeadConfig(ObjectiveConfig):
    """How the head is retrained on the target; for what else is raised see :class:`ObjectiveConfig`.

    Raises:
        ConfigError: a head of which nothing is trained.
    """

    epochs: int | None = Field(None, ge=1, description="none: planned from the time limit, else 20")
    batch_size: int = Field(128, ge=2, description="images a step")
    class_weights: Weighting | None = Field(
        "effective",
        description=f"{CLASS_WEIGHTS}; none: auto with drw, else all 1. Unless set: none with a loss, sampler or "
        "schedule that balances the classes itself, else effective",
    )
    optimizer: OptimizerConfig = OptimizerConfig(weight_decay=5e-4)

    @model_validator(mode="before")
    @classmethod
    def _own_weights(cls, values: Any) -> Any:
        """Class sizes are taken into account once, unless the user says otherwise."""
        if not isinstance(values, Mapping):
            return values
        loss, sampler, schedule = (values.get(key) for key in ("loss", "sampler", "schedule"))
        known = LOSSES.get(loss) if isinstance(loss, str) else None
        scheduled = schedule.get("name") if isinstance(schedule, Mapping) else getattr(schedule, "name", None)
        balanced = (
            (known is not None and (known.own_weights or known.corrects_priors))
            or sampler not in (None, "none", "instance")
            or scheduled == "drs"
        )
        return {"class_weights": None, **values} if balanced else values

    @model_validator(mode="after")
    def _something_is_trained(self) -> Self:
        if self.head == "etf":
            raise ConfigError(
                "adaptation trains the head, and of the head 'etf' only a batch norm is trained: choose another, or "
                "give it to the stage 'pretrain'"
            )
        return self


def give_target_head(space: SearchSpace[Backbone], settings: HeadConfig, classes: int, seed: int) -> None:
    """Gives ``space`` a head of the kind that the settings need: new weights by ``seed``, on the device.

    Raises:
        ConfigError: the space cannot have such a head.
    """
    space.network.head = new_head(space.network, settings, classes, generator(seed, "adapt", "head"))


def adapt_head(
    fabric: Fabric,
    space: SearchSpace[Backbone],
    batches: EpochBatches,
    settings: HeadConfig,
    *,
    epochs: int,
    seed: int,
    stage: Stage,
) -> Fitted:
    """Gives ``space.network`` a head for the target's classes, fitted over uniformly drawn architectures.

    The backbone runs without a graph and its weights stay as they are. Its batch norms use the statistics of the
    target's batches, as they will when candidates are scored.

    Arguments are as in :func:`tailornas.training.fit`, but: ``space`` is the supernet trained on the source;
    ``batches`` are the target's; ``settings`` are the objective and the optimizer.

    Raises:
        ConfigError: the settings need a head that the space cannot have.
    """
    network = space.network
    objective = Objective(settings, batches.counts, seed=seed, stage=("adapt",), device=fabric.device)
    give_target_head(space, settings, len(batches.counts), seed)

    def step(images: Tensor, labels: Tensor, at: Position) -> Tensor:
        shown, loss = objective.begin(images, labels, at)
        architecture = space.simplify(space.sample(generator(seed, "adapt", "path", at.step)))
        with space.activate(architecture):
            with torch.inference_mode():
                features = network.features(shown)
            return loss(network.classify(features.clone()))

    key = "adapt.optimizer.learning_rate"
    with batch_statistics(network):
        return fit(
            fabric,
            network.head,
            step,
            batches,
            epochs=epochs,
            optimizer=settings.optimizer,
            seed=seed,
            stage=stage,
            key=key,
        )
