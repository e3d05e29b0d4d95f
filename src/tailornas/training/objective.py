"""What every stage that fits to labels has: a loss, class weights, samplers, their schedule, blending, and a head."""

from abc import ABC
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, ClassVar, Self, final

import torch
from pydantic import Field, field_validator, model_validator
from pydantic_core import from_json
from torch import Tensor, nn

from tailornas.data import SAMPLERS, Sampler
from tailornas.errors import ConfigError, UnknownNameError
from tailornas.heads import HEADS, build_head
from tailornas.losses import (
    LOSSES,
    WEIGHTING_FORMS,
    LossName,
    MixConfig,
    ScheduleConfig,
    Weighting,
    build_loss,
    check_head,
    check_weighting,
    loss_settings,
    mix,
    mixed_loss,
    sampler_at,
    weights_at,
)
from tailornas.seeding import generator
from tailornas.settings import SettingsModel
from tailornas.spaces import Backbone
from tailornas.training.loop import Position
from tailornas.types import ClassCounts

__all__ = ["Objective", "ObjectiveConfig", "epoch_sampler", "new_head"]

# What configurations say of their keys.
LOSS = f"loss: ce for cross_entropy, {', '.join(LOSSES)}"
LOSS_SETTINGS = "settings of the loss: " + " | ".join(
    f"{name} "
    + ", ".join(
        f"{key} = {'none' if field.default is None else field.default} ({field.description})"
        for key, field in loss.Settings.model_fields.items()
    )
    for name, loss in LOSSES.items()
    if loss.Settings.model_fields
)
CLASS_WEIGHTS = f"{', '.join(WEIGHTING_FORMS)}, or one number a class"
SAMPLER = f"order of an epoch: {', '.join(SAMPLERS)}"


class ObjectiveConfig(SettingsModel, ABC):
    """What a stage minimises and how often it meets each class: the same keys in every stage.

    Raises:
        UnknownNameError: no such loss, weighting, schedule, sampler, head or mix.
        ConfigError: settings that do not belong together.
    """

    own_schedules: ClassVar[Mapping[str, str]] = {"ldam": "drw"}
    """Loss -> the schedule that it has unless another is named; the others have none."""

    epochs: int | None = Field(None, ge=1)
    loss: LossName = Field("cross_entropy", description=LOSS)
    loss_settings: dict[str, float | str] = Field({}, description=LOSS_SETTINGS)
    class_weights: Weighting | None = Field(None, description=f"{CLASS_WEIGHTS}; left out: auto with drw, else all 1")
    schedule: ScheduleConfig | None = Field(
        None, description="when class weights or balanced sampling come in; left out: drw with ldam, else not deferred"
    )
    sampler: str | None = Field("instance", description=f"{SAMPLER}; none: instance")
    head: str | None = Field(None, description=f"last layer: {', '.join(HEADS)}; none: cosine with ldam, else linear")
    mix: MixConfig = MixConfig()

    @model_validator(mode="before")
    @classmethod
    def _schedule_of_the_loss(cls, values: Any) -> Any:
        """A schedule of which only the start is given is the one that the loss has of its own."""
        schedule = values.get("schedule") if isinstance(values, Mapping) else None
        if isinstance(schedule, Mapping) and "name" not in schedule:
            loss = values.get("loss", cls.model_fields["loss"].default)
            own = cls.own_schedules.get(loss, "none") if isinstance(loss, str) else "none"
            if own == "none" and "start" in schedule and loss in ("ce", *LOSSES):
                raise ConfigError(
                    f"schedule.start is {schedule['start']} and the loss {loss!r} has no schedule that could start: "
                    "leave it out, or name the schedule 'drw' or 'drs'"
                )
            return {**values, "schedule": {"name": own, **schedule}}
        return values

    @field_validator("class_weights", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        """The list that a text is of, as an option of the command line has it."""
        return from_json(value) if isinstance(value, str) and value.startswith("[") else value

    @model_validator(mode="after")
    def _objective_fits(self) -> Self:
        loss_settings(self.loss, self.loss_settings)
        if self.class_weights == ():
            raise ConfigError("class_weights: expected a name, or one number a class, got none: leave them out")
        check_weighting(self.class_weights)
        if self.sampler is not None and self.sampler not in SAMPLERS:
            raise UnknownNameError("sampler", self.sampler, list(SAMPLERS))
        if self.head is not None and self.head not in HEADS:
            raise UnknownNameError("head", self.head, list(HEADS))
        check_head(LOSSES[self.loss], build_head(self.resolved_head, 2, 2, torch.Generator()))
        schedule = self.resolved_schedule
        if LOSSES[self.loss].own_weights and self.weighting is not None:
            named = repr(self.class_weights) if isinstance(self.class_weights, str) else "of your own"
            brought = "schedule 'drw'" if self.class_weights is None else f"class_weights {named}"
            raise ConfigError(
                f"the loss {self.loss!r} has class weights of its own and {brought} would bring in others: leave "
                "them out, or choose the loss 'focal'"
            )
        if schedule.name == "drs" and self.sampler == "class_balanced":
            raise ConfigError(
                "schedule 'drs' brings in the sampler 'class_balanced', which is there from the beginning: leave out "
                "one of them"
            )
        if self.epochs is not None and (sentence := self.never_balanced(self.epochs)):
            raise ConfigError(sentence)
        return self

    def never_balanced(self, epochs: int) -> str | None:
        """A sentence, with its mend, where deferred re-sampling would come in after the last epoch has begun."""
        schedule = self.resolved_schedule
        if schedule.name != "drs" or schedule.start <= (epochs - 1) / epochs:
            return None
        least = max(epochs, int(1 / (1 - schedule.start)))
        enough = next(more for more in count(least) if schedule.start <= (more - 1) / more)
        these = "1 epoch" if epochs == 1 else f"{epochs} epochs"
        return (
            f"schedule 'drs' comes in with the first epoch that begins after {100 * schedule.start:g}% of training, "
            f"and of {these} none does: give at least {enough}, or an earlier schedule.start"
        )

    @property
    def resolved_schedule(self) -> ScheduleConfig:
        """The schedule, or the one that belongs to the loss."""
        return self.schedule or ScheduleConfig(name=self.own_schedules.get(self.loss, "none"))

    @property
    def weighting(self) -> Weighting | None:
        """The class weights, or those that the schedule brings in where none are named."""
        if self.class_weights is None and self.resolved_schedule.name == "drw":
            return "auto"
        return self.class_weights

    @property
    def resolved_head(self) -> str:
        """The head, or the one that the loss needs."""
        return self.head or LOSSES[self.loss].head


@final
class Objective:
    """What a stage minimises, batch by batch; everything random in it follows from the step.

    Args:
        settings: the stage's.
        counts: training images a class.
        seed: the run's seed.
        stage: where in the run's randomness the stage stands.
        device: where batches are.

    Raises:
        ConfigError: settings that these counts cannot have.
        DataError: the loss, or class weights, do not fit the counts.
    """

    def __init__(
        self, settings: ObjectiveConfig, counts: ClassCounts, *, seed: int, stage: tuple[str, ...], device: torch.device
    ) -> None:
        self.loss = build_loss(settings.loss, counts, None, **settings.loss_settings)
        weights_at(settings.resolved_schedule, settings.weighting, counts, 1.0, device)  # refused now or never
        self._settings, self._counts = settings, counts
        self._seed, self._stage, self._device = seed, stage, device

    def begin(self, images: Tensor, labels: Tensor, at: Position) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """What to show the network in this step, and what its logits lose.

        Args:
            images: ``(batch, 3, height, width)``.
            labels: int64 ``(batch,)``.
            at: the step.

        Returns:
            Images of the same shape, blended if the settings say so, and a function of the logits ``(batch, classes)``
            for them that gives a float32 scalar.
        """
        self.reseed(at)
        settings, loss = self._settings, self.loss
        weights = weights_at(settings.resolved_schedule, settings.weighting, self._counts, at.progress, self._device)
        mixed = mix(settings.mix, images, labels, generator(self._seed, *self._stage, "mix", at.step), self._counts)
        if mixed is None:
            return images, lambda logits: loss(logits, labels, weights)
        return mixed.images, lambda logits: mixed_loss(loss, logits, mixed, weights)

    def reseed(self, at: Position) -> None:
        """Draws what a random loss draws by the step, so that a resumed training draws the same."""
        self.loss.generator = generator(self._seed, *self._stage, "loss", at.step, device=self._device)


def epoch_sampler(settings: ObjectiveConfig, default: str = "instance") -> Sampler:
    """The sampler of ``settings``, until its schedule brings in balanced sampling.

    Args:
        settings: of a stage.
        default: the sampler where the settings name none.
    """

    def order(labels: Tensor, counts: ClassCounts, generator: torch.Generator, progress: float) -> Tensor:
        name = sampler_at(settings.resolved_schedule, settings.sampler or default, progress)
        return SAMPLERS[name](labels, counts, generator, progress)

    return order


def new_head(network: Backbone, settings: ObjectiveConfig, classes: int, generator: torch.Generator) -> nn.Module:
    """A head for ``network`` of the kind that ``settings`` name or their loss needs, on the network's device.

    Args:
        network: any backbone; where architectures decide its features, only linear heads can follow them.
        settings: by which the head will be fitted.
        classes: outputs of the head.
        generator: draws the weights.

    Raises:
        ConfigError: the head is not linear and the features are elastic.
    """
    name, device = settings.resolved_head, next(network.parameters()).device
    if name == "linear":
        head = network.new_head(classes, generator)
    elif network.elastic_features:
        raise ConfigError(
            f"the head {name!r} cannot follow features whose number architectures decide: expected the head 'linear' "
            f"and a loss for it, such as 'ce' (the loss is {settings.loss!r}), or another space, such as 'nasbench201'"
        )
    else:
        head = build_head(name, network.feature_dim, classes, generator)
    LOSSES[settings.loss].begin(head)
    return head.to(device)
