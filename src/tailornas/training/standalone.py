"""Training one network on the long-tailed target: the last stage of a search, and its baseline."""

from typing import Literal, Self, final

from lightning_fabric import Fabric
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from tailornas.errors import ConfigError
from tailornas.losses import LOSSES, LongTailLoss, ScheduleConfig, loss_settings, weights_at
from tailornas.seeding import generator
from tailornas.training.loop import EpochBatches, Fitted, OptimizerConfig, Position, fit
from tailornas.types import ClassCounts, Stage

__all__ = ["TrainConfig", "train"]


@final
class TrainConfig(BaseModel):
    """How the found network and the baseline are trained; both the same way."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int | None = Field(None, ge=1, description="none: planned from the time limit, else 100")
    batch_size: int = Field(128, ge=2)
    init: Literal["scratch", "inherit"] = Field(
        "scratch", description="start from new weights, or from the adapted supernet's (found network only)"
    )
    loss: str = Field("ldam", description="loss, by name")
    loss_settings: dict[str, float | str] = Field({}, description="settings of the loss, by name")
    schedule: ScheduleConfig | None = Field(
        None, description="when class weights or balanced sampling come in; none: drw with ldam, else not at all"
    )
    optimizer: OptimizerConfig = OptimizerConfig(weight_decay=2e-4)

    @model_validator(mode="after")
    def _loss_and_schedule_fit(self) -> Self:
        loss_settings(self.loss, self.loss_settings)
        if self.resolved_schedule.name == "drw" and LOSSES[self.loss].own_weights:
            raise ConfigError(
                f"the loss {self.loss!r} has class weights of its own and schedule 'drw' would bring in others: "
                "set train.schedule.name to 'none', or choose the loss 'focal'"
            )
        return self

    @property
    def resolved_schedule(self) -> ScheduleConfig:
        """The schedule, or the one that belongs to the loss."""
        return self.schedule or ScheduleConfig(name="drw" if self.loss == "ldam" else "none")


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
    seed: int,
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
        seed: what a loss that draws random numbers draws them from.
        stage: checkpoints, log and progress.
    """

    def step(images: Tensor, labels: Tensor, at: Position) -> Tensor:
        loss.generator = generator(seed, "loss", at.step)
        weights = weights_at(schedule, counts, at.progress, fabric.device)
        value: Tensor = loss(network(images), labels, weights)
        return value

    key = "train.optimizer.learning_rate"
    return fit(fabric, network, step, batches, epochs=epochs, optimizer=optimizer, stage=stage, key=key)
