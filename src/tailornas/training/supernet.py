"""Supernet training: single-path one-shot with uniform sampling (Guo et al. 2020, 1904.00420, section 3)."""

from typing import final

from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor

from tailornas.losses import LOSSES, ScheduleConfig
from tailornas.seeding import generator
from tailornas.spaces import Backbone, SearchSpace
from tailornas.stages import Stage
from tailornas.training.loop import EpochBatches, Fitted, OptimizerConfig, Position, fit
from tailornas.training.objective import SAMPLER, Objective, ObjectiveConfig, new_head

__all__ = ["PretrainConfig", "give_source_head", "pretrain"]


@final
class PretrainConfig(ObjectiveConfig):
    """How the supernet is trained on the source; for what is raised see :class:`ObjectiveConfig`."""

    own_schedules = {}  # noqa: RUF012  # its images are balanced, or drawn so

    epochs: int | None = Field(None, ge=1, description="none: planned from the time limit, else 60")
    batch_size: int = Field(128, ge=2, description="images a step")
    schedule: ScheduleConfig | None = Field(
        None, description="when class weights or balanced sampling come in; none: not deferred"
    )
    sampler: str | None = Field(
        None, description=f"{SAMPLER}; none: class_balanced for a long-tailed source, else instance"
    )
    optimizer: OptimizerConfig = OptimizerConfig()


def give_source_head(space: SearchSpace[Backbone], settings: PretrainConfig, classes: int, seed: int) -> None:
    """Replaces the linear head of ``space`` where the settings need another: new weights by ``seed``, on the device.

    Raises:
        ConfigError: the space cannot have such a head.
    """
    network = space.network
    if settings.resolved_head == "linear":
        LOSSES[settings.loss].begin(network.head)
    else:
        network.head = new_head(network, settings, classes, generator(seed, "pretrain", "head"))


def pretrain(
    fabric: Fabric,
    space: SearchSpace[Backbone],
    batches: EpochBatches,
    settings: PretrainConfig,
    *,
    epochs: int,
    seed: int,
    stage: Stage,
) -> Fitted:
    """Trains the weights of ``space.network`` in place: every step one valid architecture, uniformly drawn.

    Deviation from the paper: an architecture is drawn in its simplified form, in which operations that cannot reach
    the output do not run. They would receive no gradient, so the weights are the same and the time is saved.

    Arguments are as in :func:`fit`, but: ``space`` is the supernet, on the device, whose head is replaced where
    the loss needs another; ``batches`` are the source's; ``settings`` are the objective and the optimizer.

    Raises:
        ConfigError: the settings need a head that the space cannot have.
    """
    objective = Objective(settings, batches.counts, seed=seed, stage=("pretrain",), device=fabric.device)
    give_source_head(space, settings, len(batches.counts), seed)

    def step(images: Tensor, labels: Tensor, at: Position) -> Tensor:
        shown, loss = objective.begin(images, labels, at)
        architecture = space.simplify(space.sample(generator(seed, "pretrain", "path", at.step)))
        with space.activate(architecture):
            return loss(space.network(shown))

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
