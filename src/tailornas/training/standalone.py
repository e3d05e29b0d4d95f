"""Training one network on the long-tailed target: on its own, or as the last stage of a search and its baseline."""

from collections.abc import Callable
from typing import Any, Self, final

import torch
from lightning_fabric import Fabric
from pydantic import Field, model_validator
from torch import Tensor

from tailornas.errors import ConfigError
from tailornas.losses import LOSSES, LossName, check_head
from tailornas.seeding import generator
from tailornas.spaces import Backbone, DARTSNetwork
from tailornas.stages import Stage
from tailornas.training.loop import EpochBatches, Fitted, OptimizerConfig, Position, fit
from tailornas.training.objective import LOSS, Objective, ObjectiveConfig
from tailornas.training.second_stage import SecondStageConfig
from tailornas.training.two_branch import TwoBranchNetwork, two_branch_loss

__all__ = ["PUBLISHED_RECIPE", "TrainConfig", "train"]


@final
class TrainConfig(ObjectiveConfig):
    """How a network is trained on the target; in a search the found network and its baseline, both the same way.

    Raises:
        UnknownNameError: no such loss, weighting, schedule, sampler, head or mix.
        ConfigError: settings that do not belong together.
    """

    epochs: int | None = Field(
        None, ge=1, description="at most, under a time limit; none: planned from it, else 100 in a search"
    )
    batch_size: int = Field(128, ge=2, description="images a step")
    loss: LossName = Field("ldam", description=LOSS)
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
        schedule = self.resolved_schedule
        own = {
            f"mix {self.mix.name!r}": self.mix.name != "none",
            f"class_weights {self.class_weights!r}": self.class_weights is not None,
            f"schedule {schedule.name!r}": schedule.name != "none",
            f"sampler {self.sampler!r}": self.sampler not in (None, "instance"),
        }
        if self.two_branch and (found := next((what for what, holds in own.items() if holds), None)):
            raise ConfigError(
                f"two_branch has a schedule and samplers of its own and got {found}: leave it out, and choose a loss "
                "without a schedule, such as 'ce'"
            )
        self.second_stage.check_trained_head(self.resolved_head)
        if self.second_stage.name == "logit_adjustment":
            balanced = {
                f"loss {self.loss!r}": LOSSES[self.loss].corrects_priors or LOSSES[self.loss].own_weights,
                "mix 'remix'": self.mix.name == "remix",
                f"class weights {self.weighting!r}": self.weighting is not None,
                f"sampler {self.sampler!r}": self.sampler not in (None, "instance"),
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
    def last_objective(self) -> ObjectiveConfig:
        """The settings whose loss says what probabilities the finished network's logits stand for.

        Those of a second stage that trains or replaces the head; ``tau_norm`` and ``logit_adjustment`` change logits
        that the training's own loss has fitted.
        """
        second = self.second_stage
        return second if second.trained or second.name == "ncm" else self

    @property
    def title(self) -> str:
        """What people read: ``mixup + balanced_softmax``, ``ldam + drw``, ``cross_entropy + auto weights``."""
        weights = "own" if isinstance(self.class_weights, tuple) else self.class_weights
        parts = (
            (self.mix.name, "none"),
            (self.loss, None),
            (f"{weights} weights", "None weights"),
            (self.resolved_schedule.name, "none"),
            (self.sampler or "instance", "instance"),
            (self.resolved_head, LOSSES[self.loss].head),
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

Deviations: convolutions start from a normal distribution by their fan-out (1502.01852) and a linear head uniformly,
where that code starts both by their fan-in. The rows of a cosine head have unit length in both; their directions are
uniform on the sphere here, and those of points drawn uniformly from a cube there. Pixels are normalised by the mean and
the standard deviation of the training images at hand. That code divides by (0.2023, 0.1994, 0.2010), which are means
over CIFAR-10 of the deviations within one image; those of all its pixels are about (0.247, 0.244, 0.262), so that its
inputs are 1.2 to 1.3 times as large.
"""


def train(
    fabric: Fabric,
    network: Backbone,
    batches: EpochBatches,
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
        network: on the device, with a head that suits the loss, as its auxiliary head must too.
        batches: the training images, in the order of :func:`epoch_sampler`; paired ones for a two-branch network.
        settings: the objective and the optimizer; ``drop_path`` and ``auxiliary`` are for networks that have edges and
            an auxiliary head.
        epochs: how many epochs.
        seed: what blending, dropped paths, and a loss or modules that draw random numbers, draw them from.
        stage: checkpoints, log and progress.
        compiled: run the network through ``torch.compile``.

    Raises:
        ConfigError: the head and the loss do not belong together, or a two-branch network is to be compiled.
        DataError: class weights that do not fit the class counts.
        DivergenceError: a loss was not finite.
    """
    if compiled and isinstance(network, TwoBranchNetwork):
        raise ConfigError("torch.compile does not reach two-branch training: leave out device.compile or two_branch")
    check_head(LOSSES[settings.loss], network.head)
    cells = network if isinstance(network, DARTSNetwork) else None
    has_auxiliary = cells is not None and cells.auxiliary is not None
    outputs: Callable[[Tensor], Any] = cells.forward_with_auxiliary if cells is not None and has_auxiliary else network
    forward = torch.compile(outputs) if compiled else outputs
    objective = Objective(settings, batches.counts, seed=seed, stage=(), device=fabric.device)

    def step(images: Tensor, labels: Tensor, at: Position) -> Tensor:
        if isinstance(network, TwoBranchNetwork):
            objective.reseed(at)
            return two_branch_loss(network, objective.loss, images, labels, at.progress)
        if cells is not None and settings.drop_path:
            # Linear in time, as in the published code of DARTS.
            edges = generator(seed, "drop path", at.step, device=fabric.device)
            cells.drop_path(settings.drop_path * at.progress, edges)
        shown, loss = objective.begin(images, labels, at)
        logits = forward(shown)
        return loss(logits[0]) + settings.auxiliary * loss(logits[1]) if has_auxiliary else loss(logits)

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
