"""The training loop. There is one: every strategy hands it a step and gets its weights fitted, logged and resumable."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, Self, final

import torch
from lightning_fabric import Fabric
from pydantic import Field, model_validator
from torch import Tensor, nn

from tailornas.errors import ConfigError, DivergenceError
from tailornas.seeding import derive_seed
from tailornas.settings import SettingsModel
from tailornas.stages import Stage
from tailornas.types import ClassCounts

__all__ = ["EpochBatches", "Fitted", "OptimizerConfig", "Position", "Step", "fit", "learning_rate_at", "make_optimizer"]


class Position(NamedTuple):
    """Where in training a step is."""

    step: int
    """Steps taken before this one, over all epochs: a seed for what is random a step."""
    progress: float
    """Share of the training that is done, in [0, 1)."""


Step = Callable[[Tensor, Tensor, Position], Tensor]
"""``(images, labels, position) -> scalar loss``; runs under the precision's autocast."""


class EpochBatches(Protocol):
    """What the loop needs of its data: see :class:`tailornas.data.Batches`."""

    @property
    def counts(self) -> ClassCounts:
        """Training images a class, however often an epoch meets each."""
        ...

    def __len__(self) -> int: ...

    def epoch(self, index: int, epochs: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of epoch ``index`` of ``epochs``."""
        ...


@final
class OptimizerConfig(SettingsModel):
    """Stochastic gradient descent with momentum, linear warm-up and a learning rate that decays.

    Raises:
        ConfigError: milestones out of order, or a setting of the step decay with the cosine.
    """

    learning_rate: float = Field(0.1, gt=0, description="peak learning rate")
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0, description="L2 penalty")
    decay_all: bool = Field(False, description="L2 penalty on biases and norms too, as the long-tail literature does")
    nesterov: bool = True
    warmup: float = Field(0.05, ge=0, lt=1, description="share of training with a rising learning rate")
    decay: Literal["cosine", "step"] = Field("cosine", description="cosine: half a cosine to zero; step: at milestones")
    milestones: tuple[float, ...] = Field((0.8, 0.9), description="step: shares of training at which it falls")
    gamma: float = Field(0.01, gt=0, le=1, description="step: what it is multiplied by at each milestone")
    clip_norm: float | None = Field(5.0, gt=0, description="largest gradient norm; none: unclipped")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if list(self.milestones) != sorted({m for m in self.milestones if 0 < m < 1}):
            raise ConfigError(f"milestones are rising shares of training in (0, 1), got {list(self.milestones)}")
        if self.decay == "cosine" and (setting := self.first_given(("milestones", "gamma"))):
            raise ConfigError(f"decay 'cosine' does not use {setting!r}: leave it out or set decay to 'step'")
        return self


@final
@dataclass(frozen=True)
class Fitted:
    """What a training came to."""

    epochs: int
    """Epochs done; fewer than asked for if the stage ran out of time."""
    loss: float
    """Mean loss of the last epoch."""
    seconds: float
    """Seconds spent in epochs, over all starts."""
    images_per_second: float
    """Throughput over those seconds."""


def learning_rate_at(config: OptimizerConfig, step: int, steps: int) -> float:
    """Learning rate of step ``step`` of ``steps``: linear warm-up, then the decay.

    The cosine is that of SGDR (1608.03983) without restarts. The published code of LDAM-DRW warms up epoch by epoch, to
    the same peak; here it is step by step.
    """
    warmup = round(config.warmup * steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    if config.decay == "step":
        passed = sum(step >= round(milestone * steps) for milestone in config.milestones)
        return config.learning_rate * config.gamma**passed
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def make_optimizer(module: nn.Module, config: OptimizerConfig) -> torch.optim.SGD:
    """SGD on ``module``'s parameters; vectors (biases, batch-norm scales) are decayed by ``decay_all`` only."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for parameter in module.parameters():
        if parameter.requires_grad:
            (decayed if config.decay_all or parameter.ndim > 1 else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": free, "weight_decay": 0.0}]
    sgd = torch.optim.SGD(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        momentum=config.momentum,
        nesterov=config.nesterov and config.momentum > 0,
        fused=True,
    )
    if config.momentum > 0:
        for parameter in decayed + free:
            # The fused kernel wants a buffer for every gradient, but a path's first gradient may come late.
            sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return sgd


def fit(
    fabric: Fabric,
    module: nn.Module,
    step: Step,
    batches: EpochBatches,
    *,
    epochs: int,
    optimizer: OptimizerConfig,
    seed: int,
    stage: Stage,
    key: str = "optimizer.learning_rate",
) -> Fitted:
    """Fits the parameters of ``module`` by ``step``, epoch by epoch, from the stage's last checkpoint on.

    A resumed training ends with the bits of one that was never interrupted: ``batches`` and ``step`` draw by position,
    and for modules that draw from torch's global generator, such as dropout, that one is seeded by ``seed``, ``key``
    and epoch and afterwards put back. Losses stay on the device until the epoch ends.

    Args:
        fabric: device and precision.
        module: what is trained, and what a checkpoint holds; on the device already.
        step: computes the loss of one batch, forward only.
        batches: the data, an epoch at a time.
        epochs: how many epochs; at least 1.
        optimizer: its settings.
        seed: the run's seed.
        stage: checkpoints, log and progress.
        key: where users set the learning rate, for messages and as a position of the seed.

    Raises:
        DivergenceError: a loss was NaN or infinite; the last epoch's checkpoint is kept.
    """
    sgd = make_optimizer(module, optimizer)
    parameters = [p for group in sgd.param_groups for p in group["params"]]
    steps = len(batches) * epochs
    first, seconds, images_seen, mean_loss = 0, 0.0, 0, math.nan
    if (state := stage.restore()) is not None:
        module.load_state_dict(state["module"])
        sgd.load_state_dict(state["optimizer"])
        first, seconds, images_seen, mean_loss = state["epoch"], state["seconds"], state["images"], state["loss"]
        if state["stopped"]:
            return _fitted(first, mean_loss, seconds, images_seen)
    losses = torch.zeros(len(batches), device=fabric.device)

    for epoch in range(first, epochs):
        started = time.perf_counter()
        epoch_images = 0
        module.train()
        with _seeded(fabric.device, derive_seed(seed, key, epoch)):
            for index, (images, labels) in enumerate(batches.epoch(epoch, epochs)):
                done = epoch * len(batches) + index
                rate = learning_rate_at(optimizer, done, steps)
                for group in sgd.param_groups:
                    group["lr"] = rate
                with fabric.autocast():
                    loss = step(images, labels, Position(done, done / steps))
                sgd.zero_grad(set_to_none=True)
                fabric.backward(loss)
                if optimizer.clip_norm is not None:
                    nn.utils.clip_grad_norm_(parameters, optimizer.clip_norm, foreach=True)
                sgd.step()
                losses[index] = loss.detach()
                epoch_images += len(labels)
                if index % 16 == 0:
                    stage.progress(done, steps, "steps", epoch=f"{epoch + 1}/{epochs}")
        _refuse_divergence(losses, parameters, epoch, steps, optimizer, key)
        mean_loss = float(losses.mean())
        epoch_seconds = time.perf_counter() - started
        seconds += epoch_seconds
        images_seen += epoch_images
        stopped = epoch + 1 < epochs and stage.overdue(epoch_seconds)
        stage.log(
            epoch=epoch + 1,
            loss=mean_loss,
            learning_rate=rate,
            seconds=epoch_seconds,
            images_per_second=epoch_images / epoch_seconds,
        )
        stage.save(
            {
                "module": module.state_dict(),
                "optimizer": sgd.state_dict(),
                "epoch": epoch + 1,
                "loss": mean_loss,
                "seconds": seconds,
                "images": images_seen,
                "stopped": stopped,
            }
        )
        stage.progress(
            (epoch + 1) * len(batches),
            steps,
            "steps",
            epoch=f"{epoch + 1}/{epochs}",
            loss=f"{mean_loss:.3f}",
            images=f"{epoch_images / epoch_seconds:,.0f}/s",
        )
        if stopped:
            return _fitted(epoch + 1, mean_loss, seconds, images_seen)
    return _fitted(epochs, mean_loss, seconds, images_seen)


@contextmanager
def _seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Inside, torch's global generators draw from ``seed``; afterwards those of the CPU and of a GPU are put back."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _fitted(epochs: int, loss: float, seconds: float, images: int) -> Fitted:
    return Fitted(epochs, loss, seconds, images / seconds if seconds else 0.0)


def _refuse_divergence(
    losses: Tensor, parameters: Sequence[Tensor], epoch: int, steps: int, optimizer: OptimizerConfig, key: str
) -> None:
    """Raises if a loss of epoch ``epoch``, or a weight after it, is not finite; ``key`` is the setting to change."""
    first = epoch * len(losses)
    bad = torch.nonzero(~torch.isfinite(losses))
    if len(bad):
        step, what = first + int(bad[0]), f"the loss became {float(losses[bad[0]])}"
    elif all(bool(torch.isfinite(parameter).all()) for parameter in parameters):
        return
    else:
        # A gradient that is not finite shows in the loss of the next step, of which the last has none.
        step, what = first + len(losses) - 1, "the weights became nan"
    rate = f"learning rate {learning_rate_at(optimizer, step, steps):.4g}"
    without = f", without the checkpoint of epoch {epoch}" if epoch else ""
    raise DivergenceError(
        f"{what} at step {step + 1} of {steps} (epoch {epoch + 1}, {rate}): lower {key} and start again with --out "
        f"DIR; the training begins anew{without}"
    )
