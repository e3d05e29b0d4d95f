"""Training one network on the long-tailed target: the last stage of a search, and its baseline."""

from typing import Literal, final

from lightning_fabric import Fabric
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from tailornas.losses import LongTailLoss, ScheduleConfig, weights_at
from tailornas.training.loop import EpochBatches, Fitted, OptimizerConfig, Position, fit
from tailornas.types import ClassCounts, Stage

__all__ = ["TrainConfig", "train"]


@final
class TrainConfig(BaseModel):
    """How the found network and the baseline are trained; both the same way."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int | None = Field(None, ge=1, description="none: planned from the time limit, else 100")
    batch_size: int = Field(128, ge=2)
    init: Literal["scratch", "inherit"] = Field(
        "scratch", description="start from new weights, or from the adapted supernet's (found network only)"
    )
    loss: str = Field("ldam", description="loss, by name")
    schedule: ScheduleConfig = ScheduleConfig()
    optimizer: OptimizerConfig = OptimizerConfig(weight_decay=2e-4)


def train(
    fabric: Fabric,
    network: nn.Module,
    batches: EpochBatches,
    loss: LongTailLoss,
    counts: ClassCounts,
    *,
    epochs: int,
    schedule: ScheduleConfig,
    optimizer: OptimizerConfig,
    stage: Stage,
) -> Fitted:
    """Trains ``network`` in place with a long-tail loss whose class weights may come in late (deferred re-weighting).

    Args:
        fabric: device and precision.
        network: on the device; its head must be the one that ``loss`` needs.
        batches: the training images.
        loss: called as ``loss(logits, targets, weights)``.
        counts: training images a class.
        epochs: how many epochs.
        schedule: when class weights come in.
        optimizer: its settings.
        stage: checkpoints, log and progress.
    """

    def step(images: Tensor, labels: Tensor, at: Position) -> Tensor:
        return loss(network(images), labels, weights_at(schedule, counts, at.progress))

    return fit(fabric, network, step, batches, epochs=epochs, optimizer=optimizer, stage=stage)
