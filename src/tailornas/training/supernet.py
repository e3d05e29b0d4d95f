"""Supernet training: single-path one-shot with uniform sampling (Guo et al. 2020, 1904.00420, section 3)."""

from typing import Self, final

from lightning_fabric import Fabric
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from tailornas.losses import LOSSES, LossName, Weighting
from tailornas.seeding import generator
from tailornas.spaces import Backbone, SearchSpace
from tailornas.stages import Stage
from tailornas.training.loop import EpochBatches, Fitted, OptimizerConfig, Position, fit
from tailornas.training.objective import (
    CLASS_WEIGHTS,
    LOSS,
    LOSS_SETTINGS,
    SAMPLER,
    check_objective,
    new_head,
    new_objective,
)
from tailornas.types import ClassCounts

__all__ = ["PretrainConfig", "give_source_head", "pretrain"]


@final
class PretrainConfig(BaseModel):
    """How the supernet is trained on the source.

    Raises:
        UnknownNameError: no such loss, weighting or sampler.
        ConfigError: settings that do not belong together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int | None = Field(None, ge=1, description="none: planned from the time limit, else 60")
    batch_size: int = Field(128, ge=2, description="images a step")
    loss: LossName = Field("cross_entropy", description=LOSS)
    loss_settings: dict[str, float | str] = Field({}, description=LOSS_SETTINGS)
    class_weights: Weighting | None = Field(None, description=f"{CLASS_WEIGHTS}; none: all 1")
    sampler: str | None = Field(
        None, description=f"{SAMPLER}; none: class_balanced for a long-tailed source, else instance"
    )
    optimizer: OptimizerConfig = OptimizerConfig()

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        check_objective(self.loss, self.loss_settings, self.class_weights, self.sampler)
        return self


def give_source_head(space: SearchSpace[Backbone], settings: PretrainConfig, classes: int, seed: int) -> None:
    """Replaces the linear head of ``space`` where the loss needs another: new weights by ``seed``, on the device.

    Raises:
        ConfigError: the space cannot have such a head.
    """
    loss, network = LOSSES[settings.loss], space.network
    if loss.head == "cosine":
        device = next(network.parameters()).device
        network.head = new_head(network, loss, classes, generator(seed, "pretrain", "head")).to(device)


def pretrain(
    fabric: Fabric,
    space: SearchSpace[Backbone],
    batches: EpochBatches,
    counts: ClassCounts,
    settings: PretrainConfig,
    *,
    epochs: int,
    seed: int,
    stage: Stage,
) -> Fitted:
    """Trains the weights of ``space.network`` in place: every step one valid architecture, uniformly drawn.

    Deviation from the paper: an architecture is drawn in its simplified form, in which operations that cannot reach
    the output do not run. They would receive no gradient, so the weights are the same and the time is saved.

    Args:
        fabric: device and precision.
        space: the supernet, on the device; its head is replaced where the loss needs another.
        batches: the source's training images.
        counts: the source's training images a class.
        settings: the loss, its class weights, and the optimizer.
        epochs: how many epochs.
        seed: the run's seed.
        stage: checkpoints, log and progress.

    Raises:
        ConfigError: the loss needs a head that the space cannot have.
    """
    loss, weights = new_objective(settings, counts, generator(seed, "pretrain", "loss"), fabric.device)
    give_source_head(space, settings, len(counts), seed)

    def step(images: Tensor, labels: Tensor, at: Position) -> Tensor:
        loss.generator = generator(seed, "pretrain", "loss", at.step, device=fabric.device)
        architecture = space.simplify(space.sample(generator(seed, "pretrain", "path", at.step)))
        with space.activate(architecture):
            value: Tensor = loss(space.network(images), labels, weights)
        return value

    key = "pretrain.optimizer.learning_rate"
    return fit(
        fabric,
        space.network,
        step,
        batches,
        epochs=epochs,
        optimizer=settings.optimizer,
        seed=seed,
        stage=stage,
        key=key,
    )
