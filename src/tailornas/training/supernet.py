"""Supernet training: single-path one-shot with uniform sampling (Guo et al. 2020, 1904.00420, section 3)."""

from typing import final

from lightning_fabric import Fabric
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional as F

from tailornas.seeding import generator
from tailornas.spaces import Backbone, SearchSpace
from tailornas.training.loop import EpochBatches, Fitted, OptimizerConfig, Position, fit
from tailornas.types import Stage

__all__ = ["PretrainConfig", "pretrain"]


@final
class PretrainConfig(BaseModel):
    """How the supernet is trained on the balanced source."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int | None = Field(None, ge=1, description="none: planned from the time limit, else 60")
    batch_size: int = Field(128, ge=2)
    optimizer: OptimizerConfig = OptimizerConfig()


def pretrain(
    fabric: Fabric,
    space: SearchSpace[Backbone],
    batches: EpochBatches,
    *,
    epochs: int,
    optimizer: OptimizerConfig,
    seed: int,
    stage: Stage,
) -> Fitted:
    """Trains the weights of ``space.network`` in place: every step one valid architecture, uniformly drawn.

    Deviation from the paper: an architecture is drawn in its simplified form, in which operations that cannot reach
    the output do not run. They would receive no gradient, so the weights are the same and the time is saved.
    """

    def step(images: Tensor, labels: Tensor, at: Position) -> Tensor:
        architecture = space.simplify(space.sample(generator(seed, "pretrain", "path", at.step)))
        with space.activate(architecture):
            return F.cross_entropy(space.network(images), labels)

    key = "pretrain.optimizer.learning_rate"
    return fit(fabric, space.network, step, batches, epochs=epochs, optimizer=optimizer, stage=stage, key=key)
