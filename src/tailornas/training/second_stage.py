"""Decoupled training: what is done to the head of a trained network, whose features stay (Kang et al., 1910.09217)."""

from collections.abc import Iterable
from typing import Literal, Self, final

import torch
from lightning_fabric import Fabric
from pydantic import Field, model_validator
from torch import Tensor, nn

from tailornas.errors import ConfigError
from tailornas.heads import LWSHead, build_head, nearest_class_mean, tau_normalized
from tailornas.losses import LOSSES, ScheduleConfig, adjust_logits, check_head, class_priors
from tailornas.seeding import generator
from tailornas.spaces import Backbone
from tailornas.stages import Stage
from tailornas.training.loop import EpochBatches, Fitted, OptimizerConfig, Position, fit
from tailornas.training.objective import SAMPLER, Objective, ObjectiveConfig, new_head
from tailornas.types import ClassCounts

__all__ = ["SecondStageConfig", "fit_head", "replace_head", "second_stage"]

TRAINED = ("crt", "lws")
"""Second stages that fit something; the others are computed."""


@final
class SecondStageConfig(ObjectiveConfig):
    """What happens to the head after training; for what else is raised see :class:`ObjectiveConfig`.

    Deviation: ``crt`` and ``lws`` are trained by the project's optimizer, SGD from 0.1 with Nesterov momentum 0.9, five
    percent of warm-up, a cosine to zero and clipped gradients, in the batches of the training. The authors' code for
    ImageNet-LT has 0.2 for batches of 512, plain momentum, no warm-up and no clipping, and 10 epochs of cRT but 5 of
    LWS. The weight decay is theirs; here it spares vectors, so the scales of LWS too.

    Raises:
        ConfigError: settings of another second stage.
    """

    own_schedules = {}  # noqa: RUF012  # its batches are balanced: class weights beside them would over-correct

    name: Literal["none", "crt", "lws", "tau_norm", "ncm", "logit_adjustment"] = Field(
        "none",
        description="crt: a new head is trained; lws: the head's scales are; tau_norm: its rows are normalised; "
        "ncm: nearest class mean; logit_adjustment: log priors are subtracted",
    )
    epochs: int = Field(10, ge=1, description="crt, lws")
    schedule: ScheduleConfig | None = Field(
        None, description="when class weights or balanced sampling come in; none: not deferred"
    )
    sampler: str | None = Field("class_balanced", description=f"{SAMPLER}; none: class_balanced")
    optimizer: OptimizerConfig = Field(OptimizerConfig(weight_decay=5e-4), description="crt, lws")
    tau: float = Field(1.0, ge=0, description="tau_norm: 1 makes all rows equally long; logit_adjustment: 1 is exact")

    @model_validator(mode="after")
    def _check(self) -> Self:
        used = {"name"}
        if self.trained:
            used |= {*ObjectiveConfig.model_fields, "epochs", "optimizer"} - ({"head"} if self.name == "lws" else set())
        elif self.name in ("tau_norm", "logit_adjustment"):
            used.add("tau")
        if setting := self.first_given(setting for setting in type(self).model_fields if setting not in used):
            raise ConfigError(
                f"second stage {self.name!r} does not use {setting!r} and got {getattr(self, setting)!r}: leave it "
                "out or choose another second stage"
            )
        if self.name == "tau_norm" and self.tau > 1:
            raise ConfigError(f"tau of tau_norm must be in [0, 1] and is {self.tau}: 1 makes all rows equally long")
        if self.name == "lws" and LOSSES[self.loss].head == "cosine":
            raise ConfigError(
                f"second stage 'lws' scales a linear head but the loss {self.loss!r} expects cosines: choose another "
                "loss, or the second stage 'crt'"
            )
        if self.head == "etf":
            raise ConfigError(
                "second stage 'crt' trains a new head, and of the head 'etf' only a batch norm is trained: choose "
                "another head"
            )
        return self

    @property
    def trained(self) -> bool:
        """Whether it takes epochs."""
        return self.name in TRAINED

    def check_trained_head(self, head: str) -> None:
        """Refuses a head of the first stage that this one cannot work on.

        Raises:
            ConfigError: the second stage changes a linear head and ``head`` is another.
        """
        if self.name in ("lws", "tau_norm", "logit_adjustment") and head != "linear":
            raise ConfigError(
                f"second stage {self.name!r} works on a linear head but the head is {head!r}: choose a loss with a "
                "linear head, such as 'ce' ('ldam', the default, has cosines), or the second stage 'crt' or 'ncm'"
            )


def replace_head(network: Backbone, counts: ClassCounts, settings: SecondStageConfig, seed: int) -> None:
    """Puts the second stage's head in the place of a trained network's; some of them are finished by that.

    Args:
        network: with the trained head.
        counts: training images a class.
        settings: which second stage.
        seed: draws a new head's weights.
    """
    head, device = network.head, next(network.parameters()).device
    classes, rng = len(counts), generator(seed, "second-stage", "head")
    if settings.name == "crt":
        network.head = new_head(network, settings, classes, rng)
    elif settings.name == "ncm":
        network.head = build_head("scaled_cosine", network.feature_dim, classes, rng)
    elif settings.name != "none":
        assert isinstance(head, nn.Linear)
        if settings.name == "tau_norm":
            network.head = tau_normalized(head, settings.tau)
        elif settings.name == "logit_adjustment":
            network.head = _less_log_priors(head, counts, settings.tau)
        else:
            network.head = LWSHead(head)
    network.head.to(device)


def second_stage(
    fabric: Fabric,
    network: Backbone,
    batches: EpochBatches,
    images: Iterable[tuple[Tensor, Tensor]],
    settings: SecondStageConfig,
    *,
    seed: int,
    stage: Stage,
) -> None:
    """Fits the head that :func:`replace_head` put in place; everything before it stays as it is.

    Features are those of evaluation mode, batch-norm statistics included: in the authors' code these go on moving
    with the balanced batches, so that there the features do not quite stay.

    Arguments are as in :func:`fit`, but: ``network`` is trained, on the device, and has its new head; ``batches``
    are augmented, in the order of ``settings.sampler``, for what is trained; ``images`` are every image once and
    unaugmented, for nearest class means.
    """
    if settings.trained:
        fit_head(fabric, network, batches, settings, seed=seed, stage=stage)
    elif settings.name == "ncm":
        network.head.load_state_dict(_nearest_class_mean(fabric, network, images, len(batches.counts)).state_dict())


def fit_head(
    fabric: Fabric,
    network: Backbone,
    batches: EpochBatches,
    settings: SecondStageConfig,
    *,
    seed: int,
    stage: Stage,
) -> Fitted:
    """What :func:`second_stage`, whose arguments it takes but for ``images``, does where something is trained."""
    check_head(LOSSES[settings.loss], network.head)
    network.eval()
    objective = Objective(settings, batches.counts, seed=seed, stage=("second-stage",), device=fabric.device)

    def step(images: Tensor, labels: Tensor, at: Position) -> Tensor:
        shown, loss = objective.begin(images, labels, at)
        with torch.inference_mode():
            features = network.features(shown)
        return loss(network.classify(features.clone()))

    return fit(
        fabric,
        network.head,
        step,
        batches,
        epochs=settings.epochs,
        optimizer=settings.optimizer,
        seed=seed,
        stage=stage,
        key="train.second_stage.optimizer.learning_rate",
    )


@torch.inference_mode()
def _nearest_class_mean(
    fabric: Fabric, network: Backbone, images: Iterable[tuple[Tensor, Tensor]], classes: int
) -> nn.Module:
    network.eval()
    device = next(network.parameters()).device
    sums = torch.zeros(classes, network.feature_dim, device=device)
    counts = torch.zeros(classes, dtype=torch.int64, device=device)
    for batch, labels in images:
        with fabric.autocast():
            features = network.features(batch).float()
        sums.index_add_(0, labels, features)
        counts.index_add_(0, labels, torch.ones_like(labels))
    return nearest_class_mean(sums, counts)


def _less_log_priors(head: nn.Linear, counts: ClassCounts, tau: float) -> nn.Linear:
    """The head with ``tau × log prior`` subtracted from its logits (Menon et al. 2021, 2007.07314, eq. 9)."""
    adjusted = nn.Linear(head.in_features, head.out_features, device=head.weight.device)
    with torch.no_grad():
        adjusted.weight.copy_(head.weight)
        bias = torch.zeros_like(adjusted.bias) if head.bias is None else head.bias
        adjusted.bias.copy_(adjust_logits(bias, class_priors(counts).to(bias), tau))
    return adjusted
