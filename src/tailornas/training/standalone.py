"""Training one network on the long-tailed target: on its own, or as the last stage of a search and its baseline."""

from collections.abc import Callable
from typing import Any, Self, final

import torch
from lightning_fabric import Fabric
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from tailornas.data import SAMPLERS, Sampler
from tailornas.errors import ConfigError, DataError, UnknownNameError
from tailornas.heads import HEADS
from tailornas.losses import (
    LOSSES,
    LongTailLoss,
    LossName,
    MixConfig,
    ScheduleConfig,
    Weighting,
    mix,
    mixed_loss,
    sampler_at,
    weights_at,
)
from tailornas.seeding import generator
from tailornas.spaces import DARTSNetwork
from tailornas.stages import Stage
from tailornas.training.loop import EpochBatches, Fitted, OptimizerConfig, Position, fit
from tailornas.training.objective import CLASS_WEIGHTS, LOSS, LOSS_SETTINGS, SAMPLER, check_objective
from tailornas.training.second_stage import SecondStageConfig
from tailornas.training.two_branch import TwoBranchNetwork, two_branch_loss
from tailornas.types import ClassCounts

__all__ = ["PUBLISHED_RECIPE", "TrainConfig", "train", "train_sampler"]


@final
class TrainConfig(BaseModel):
    """How a network is trained on the target; in a search the found network and its baseline, both the same way.

    Raises:
        UnknownNameError: no such loss, weighting, schedule, sampler, head or mix.
        ConfigError: settings that do not belong together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int | None = Field(
        None, ge=1, description="at most, under a time limit; none: planned from it, else the command's default"
    )
    batch_size: int = Field(128, ge=2, description="images a step")
    loss: LossName = Field("ldam", description=LOSS)
    loss_settings: dict[str, float | str] = Field({}, description=LOSS_SETTINGS)
    class_weights: Weighting | None = Field(None, description=f"{CLASS_WEIGHTS}; none: auto with drw, else all 1")
    schedule: ScheduleConfig | None = Field(
        None, description="when class weights or balanced sampling come in; none: drw with ldam, else not deferred"
    )
    sampler: str = Field("instance", description=SAMPLER)
    head: str | None = Field(None, description=f"last layer: {', '.join(HEADS)}; none: cosine with ldam, else linear")
    mix: MixConfig = MixConfig()
    two_branch: bool = Field(
        False, description="bilateral-branch training (BBN), of a network twice from its last block on"
    )
    second_stage: SecondStageConfig = SecondStageConfig()
    drop_path: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="DARTS networks: share of edges dropped at the end, rising from 0; other networks have no edges",
    )
    auxiliary: float = Field(0.4, ge=0, description="DARTS networks with an auxiliary head: weight of its loss")
    optimizer: OptimizerConfig = OptimizerConfig(weight_decay=2e-4)

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        check_objective(self.loss, self.loss_settings, self.class_weights, self.sampler)
        if self.head is not None and self.head not in HEADS:
            raise UnknownNameError("head", self.head, list(HEADS))
        if self.resolved_schedule.name == "drw" and LOSSES[self.loss].own_weights:
            raise ConfigError(
                f"the loss {self.loss!r} has class weights of its own and schedule 'drw' would bring in others: leave "
                "it out, or choose the loss 'focal'"
            )
        if self.two_branch and (self.mix.name != "none" or self.weighting is not None or self.schedule is not None):
            raise ConfigError(
                "two_branch has a schedule and a second sampler of its own: leave out mix, class_weights and schedule, "
                "and choose a loss without a schedule, such as 'ce'"
            )
        schedule = self.resolved_schedule
        if schedule.name == "drs" and self.sampler == "class_balanced":
            raise ConfigError(
                "schedule 'drs' brings in the sampler 'class_balanced', which is there from the beginning: leave out "
                "one of them"
            )
        if schedule.name == "drs" and schedule.start > 0 and self.epochs == 1:
            raise ConfigError("schedule 'drs' changes the sampler between epochs and there is one: give at least 2")
        self.second_stage.check_trained_head(self.resolved_head)
        if self.second_stage.name == "logit_adjustment":
            balanced = {
                f"loss {self.loss!r}": self.loss in ("balanced_softmax", "logit_adjustment", "seql")
                or LOSSES[self.loss].own_weights,
                "mix 'remix'": self.mix.name == "remix",
                f"class weights {self.weighting!r}": self.weighting is not None,
                f"sampler {self.sampler!r}": self.sampler != "instance",
                f"schedule {schedule.name!r}": schedule.name != "none",
                "two_branch": self.two_branch,
            }
            if found := next((what for what, holds in balanced.items() if holds), None):
                raise ConfigError(
                    f"second stage 'logit_adjustment' takes out the class priors that training left in (2007.07314, "
                    f"equation 9), which {found} took out already: use the loss 'ce' without class weights, schedule "
                    "and sampler, or leave out the second stage"
                )
        return self

    @property
    def resolved_schedule(self) -> ScheduleConfig:
        """The schedule, or the one that belongs to the loss."""
        return self.schedule or ScheduleConfig(name="drw" if self.loss == "ldam" else "none")

    @property
    def weighting(self) -> Weighting | None:
        """The class weights, or those that the schedule brings in where none are named."""
        return self.class_weights or ("auto" if self.resolved_schedule.name == "drw" else None)

    @property
    def resolved_head(self) -> str:
        """The head, or the one that the loss needs."""
        return self.head or ("cosine" if LOSSES[self.loss].head == "cosine" else "linear")

    @property
    def title(self) -> str:
        """What people read: ``mixup + balanced_softmax``, ``ldam + drw``, ``cross_entropy + auto weights``."""
        weights = "own" if isinstance(self.class_weights, tuple) else self.class_weights
        parts = (
            (self.mix.name, "none"),
            (self.loss, None),
            (f"{weights} weights", "None weights"),
            (self.resolved_schedule.name, "none"),
            (self.sampler, "instance"),
            (self.resolved_head, "cosine" if LOSSES[self.loss].head == "cosine" else "linear"),
            ("two branches" if self.two_branch else "", ""),
            (self.second_stage.name, "none"),
        )
        return " + ".join(part for part, silent in parts if part != silent)


PUBLISHED_RECIPE = TrainConfig(
    epochs=200,
    optimizer=OptimizerConfig(
        weight_decay=2e-4, decay_all=True, nesterov=False, warmup=0.025, decay="step", clip_norm=None
    ),
)
"""How results on the long-tailed CIFARs are published (1906.07413, section 4 and its code).

200 epochs, batches of 128, SGD from 0.1, five epochs of warm-up, a hundredth of it from 80% and a ten-thousandth from
90% of training on, weight decay 2e-4 on everything. The images are cropped and flipped, as the augmentation does by
default.
"""


def train_sampler(settings: TrainConfig) -> Sampler:
    """The sampler of ``settings``, until its schedule brings in balanced sampling."""

    def order(labels: Tensor, counts: ClassCounts, generator: torch.Generator, progress: float) -> Tensor:
        return SAMPLERS[sampler_at(settings.resolved_schedule, settings.sampler, progress)](
            labels, counts, generator, progress
        )

    return order


def train(
    fabric: Fabric,
    network: nn.Module,
    batches: EpochBatches,
    loss: LongTailLoss,
    counts: ClassCounts,
    settings: TrainConfig,
    *,
    epochs: int,
    seed: int,
    stage: Stage,
    compiled: bool = False,
) -> Fitted:
    """Trains ``network`` in place with a long-tail loss whose class weights may come in late (deferred re-weighting).

    Args:
        fabric: device and precision.
        network: on the device; its head, and its auxiliary head's, must be those that ``loss`` needs.
        batches: the training images, in the order of :func:`train_sampler`; paired ones for a two-branch network.
        loss: called as ``loss(logits, targets, weights)``.
        counts: training images a class.
        settings: class weights and their schedule, blending of images, optimizer; ``drop_path`` and ``auxiliary`` are
            for networks that have edges and an auxiliary head.
        epochs: how many epochs.
        seed: what blending, dropped paths, and a loss or modules that draw random numbers, draw them from.
        stage: checkpoints, log and progress.
        compiled: run the network through ``torch.compile``.

    Raises:
        ConfigError: a two-branch network is to be compiled.
        DataError: the loss was built for another number of classes.
        DivergenceError: a loss was not finite.
    """
    if loss.classes != len(counts):
        raise DataError(
            f"{type(loss).__name__} was built from the counts of {loss.classes} classes and training has "
            f"{len(counts)}: build it from the counts of the training images"
        )
    if compiled and isinstance(network, TwoBranchNetwork):
        raise ConfigError("torch.compile does not reach two-branch training: leave out device.compile or two_branch")
    cells = network if isinstance(network, DARTSNetwork) else None
    has_auxiliary = cells is not None and cells.auxiliary is not None
    outputs: Callable[[Tensor], Any] = cells.forward_with_auxiliary if cells is not None and has_auxiliary else network
    forward = torch.compile(outputs) if compiled else outputs
    schedule, weighting = settings.resolved_schedule, settings.weighting

    def step(images: Tensor, labels: Tensor, at: Position) -> Tensor:
        loss.generator = generator(seed, "loss", at.step, device=fabric.device)
        if isinstance(network, TwoBranchNetwork):
            return two_branch_loss(network, loss, images, labels, at.progress)
        if cells is not None and settings.drop_path:
            # Linear in time, as in the published code of DARTS.
            edges = generator(seed, "drop path", at.step, device=fabric.device)
            cells.drop_path(settings.drop_path * at.progress, edges)
        weights = weights_at(schedule, weighting, counts, at.progress, fabric.device)
        mixed = mix(settings.mix, images, labels, generator(seed, "mix", at.step), counts)

        def value(logits: Tensor) -> Tensor:
            return loss(logits, labels, weights) if mixed is None else mixed_loss(loss, logits, mixed, weights)

        logits = forward(images if mixed is None else mixed.images)
        if has_auxiliary:
            return value(logits[0]) + settings.auxiliary * value(logits[1])
        return value(logits)

    key = "train.optimizer.learning_rate"
    return fit(
        fabric,
        network,
        step,
        batches,
        epochs=epochs,
        optimizer=settings.optimizer,
        seed=seed,
        stage=stage,
        key=key,
    )
