"""The training loop: it learns, it says what it does, and it resumes to the last bit wherever it is interrupted."""

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from tailornas.data import SAMPLERS, AugmentConfig, Batches, Dataset, ordered
from tailornas.errors import ConfigError, DivergenceError
from tailornas.seeding import generator
from tailornas.training import (
    DeviceConfig,
    Fitted,
    OptimizerConfig,
    Position,
    Step,
    fit,
    learning_rate_at,
    make_fabric,
    predict,
)
from tailornas.types import ClassCounts

CPU = torch.device("cpu")
FP32 = make_fabric(DeviceConfig(accelerator="cpu", precision="fp32"))
BF16 = make_fabric(DeviceConfig(accelerator="cpu", precision="bf16"))
EPOCHS = 3
OPTIMIZER = OptimizerConfig(learning_rate=0.1)


class InterruptionError(Exception):
    """What a test raises to interrupt a training."""


class MemoryStage:
    """A stage that keeps what it is handed as a run folder does: as it was at that moment, log lines with it."""

    def __init__(self) -> None:
        self.state: dict[str, Any] | None = None
        self.lines: list[dict[str, Any]] = []
        self.kept_lines = 0
        self.shown: list[tuple[int, int, str]] = []
        self.asked: list[float] = []
        self.stop_after = math.inf
        self.interrupt_log = False

    def restore(self) -> dict[str, Any] | None:
        del self.lines[self.kept_lines :]
        return copy.deepcopy(self.state)

    def save(self, state: dict[str, Any]) -> None:
        self.state, self.kept_lines = copy.deepcopy(state), len(self.lines)

    def log(self, **fields: float | int | str | None) -> None:
        if self.interrupt_log:
            raise InterruptionError
        self.lines.append(fields)

    def progress(self, done: int, total: int, unit: str, **shown: float | int | str) -> None:
        self.shown.append((done, total, unit))

    def overdue(self, next_seconds: float) -> bool:
        self.asked.append(next_seconds)
        return len(self.asked) >= self.stop_after


def batches_of(digits: Dataset, images: int, seed: int = 0) -> Batches:
    split, augment = digits.train.subset(torch.arange(images)), AugmentConfig(flip=False)
    return Batches(split, 40, digits.normalization, augment, SAMPLERS["instance"], seed, "test", CPU)


@pytest.fixture(scope="module")
def batches(digits: Dataset) -> Batches:
    """Six an epoch: enough to be interrupted at different places."""
    return batches_of(digits, 230)


def small_network(seed: int = 0) -> nn.Module:
    """Batch norm is in it because its statistics belong to a checkpoint as well."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 12, 3, stride=2), nn.BatchNorm2d(12), nn.ReLU(), nn.Flatten(), nn.Linear(108, 10)
        )


def cross_entropy(network: nn.Module) -> Step:
    return lambda images, labels, at: F.cross_entropy(network(images), labels)


def fitted(
    network: nn.Module,
    batches: Batches,
    stage: MemoryStage,
    step: Step | None = None,
    epochs: int = EPOCHS,
    seed: int = 0,
) -> Fitted:
    step = step or cross_entropy(network)
    return fit(FP32, network, step, batches, epochs=epochs, optimizer=OPTIMIZER, seed=seed, stage=stage)


def same(one: Any, other: Any) -> bool:
    """Equality to the last bit, of anything that a checkpoint may hold."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.fixture(scope="module")
def whole(batches: Batches) -> tuple[nn.Module, MemoryStage, Fitted]:
    """A training that nothing interrupted."""
    network, stage = small_network(), MemoryStage()
    result = fitted(network, batches, stage)
    return network, stage, result


def without_times(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k not in {"seconds", "images_per_second"}} for line in lines]


def test_it_learns(digits: Dataset) -> None:
    network, stage, batches = small_network(), MemoryStage(), batches_of(digits, len(digits.train))
    result = fitted(network, batches, stage)
    logits, targets = predict(FP32, network, ordered(digits.test, 256, digits.normalization, CPU))
    assert (logits.argmax(1) == targets).float().mean() > 0.85
    assert result.loss < 0.7 * stage.lines[0]["loss"]

    # What is shown only grows, more often than once an epoch, and reaches its end.
    steps = EPOCHS * len(batches)
    assert {(total, unit) for _, total, unit in stage.shown} == {(steps, "steps")}
    shown = [done for done, _, _ in stage.shown]
    assert shown == sorted(shown)
    assert (shown[0], shown[-1]) == (0, steps)
    assert len(shown) > 2 * EPOCHS


def test_the_result_and_the_log_say_what_was_done(
    batches: Batches, whole: tuple[nn.Module, MemoryStage, Fitted]
) -> None:
    _, stage, result = whole
    steps = EPOCHS * len(batches)
    assert [line["epoch"] for line in stage.lines] == [1, 2, 3]
    for line in stage.lines:
        assert line.keys() == {"epoch", "loss", "learning_rate", "seconds", "images_per_second"}
        assert line["learning_rate"] == learning_rate_at(OPTIMIZER, line["epoch"] * len(batches) - 1, steps)
        assert line["images_per_second"] * line["seconds"] == pytest.approx(230)
    assert result.epochs == EPOCHS
    assert result.loss == stage.lines[-1]["loss"]
    assert result.seconds == pytest.approx(sum(line["seconds"] for line in stage.lines))
    assert result.images_per_second * result.seconds == pytest.approx(EPOCHS * 230)


def test_the_logged_loss_is_the_mean_of_the_epoch(batches: Batches) -> None:
    network, stage, losses = small_network(), MemoryStage(), []

    def step(images: Tensor, labels: Tensor, at: Position) -> Tensor:
        loss = F.cross_entropy(network(images), labels)
        losses.append(loss.item())
        return loss

    fitted(network, batches, stage, step, epochs=2)
    assert [line["loss"] for line in stage.lines] == pytest.approx(
        [sum(losses[: len(batches)]) / len(batches), sum(losses[len(batches) :]) / len(batches)], rel=1e-5
    )


def test_a_step_is_told_where_it_is(batches: Batches) -> None:
    network, places = small_network(), []

    def step(images: Tensor, labels: Tensor, at: Position) -> Tensor:
        places.append(at)
        return F.cross_entropy(network(images), labels)

    fitted(network, batches, MemoryStage(), step, epochs=2)
    steps = 2 * len(batches)
    assert [at.step for at in places] == list(range(steps))
    assert [at.progress for at in places] == [done / steps for done in range(steps)]


@pytest.mark.parametrize("epoch", range(EPOCHS))
@pytest.mark.parametrize("moment", ["first step", "last step", "log"])
def test_a_resumed_training_ends_with_the_same_bits(
    batches: Batches, whole: tuple[nn.Module, MemoryStage, Fitted], epoch: int, moment: str
) -> None:
    wanted, uninterrupted, result = whole
    network, stage = small_network(), MemoryStage()
    last = {"first step": epoch * len(batches), "last step": (epoch + 1) * len(batches) - 1}.get(moment)

    def step(images: Tensor, labels: Tensor, at: Position) -> Tensor:
        if at.step == last:
            raise InterruptionError
        stage.interrupt_log = moment == "log" and at.step >= epoch * len(batches)
        return F.cross_entropy(network(images), labels)

    with pytest.raises(InterruptionError):
        fitted(network, batches, stage, step)
    stage.interrupt_log = False
    assert (stage.state or {"epoch": 0})["epoch"] == epoch

    # What a new process would start with, were there no checkpoint, must not matter.
    network = small_network(seed=0 if epoch == 0 else 1)
    again = fitted(network, batches, stage)
    assert same(network.state_dict(), wanted.state_dict())
    assert stage.state is not None
    assert uninterrupted.state is not None
    assert same(stage.state["optimizer"], uninterrupted.state["optimizer"])
    assert without_times(stage.lines) == without_times(uninterrupted.lines)
    assert (again.epochs, again.loss) == (result.epochs, result.loss)
    assert again.seconds == pytest.approx(sum(line["seconds"] for line in stage.lines))


def test_interrupted_in_every_epoch(batches: Batches, whole: tuple[nn.Module, MemoryStage, Fitted]) -> None:
    stage = MemoryStage()
    for epoch in range(EPOCHS):
        network = small_network()

        def step(
            images: Tensor, labels: Tensor, at: Position, network: nn.Module = network, epoch: int = epoch
        ) -> Tensor:
            if at.step >= (epoch + 1) * len(batches) + 3:
                raise InterruptionError
            return F.cross_entropy(network(images), labels)

        if epoch < EPOCHS - 1:
            with pytest.raises(InterruptionError):
                fitted(network, batches, stage, step)
        else:
            fitted(network, batches, stage, step)
    assert same(network.state_dict(), whole[0].state_dict())


def test_a_finished_training_is_not_continued(batches: Batches, whole: tuple[nn.Module, MemoryStage, Fitted]) -> None:
    wanted, stage, result = whole
    network = small_network(seed=1)

    def step(images: Tensor, labels: Tensor, at: Position) -> Tensor:
        raise AssertionError("there is nothing left to train")

    assert fitted(network, batches, copy.deepcopy(stage), step) == result
    assert same(network.state_dict(), wanted.state_dict())


def test_the_order_of_the_data_comes_from_the_seed(digits: Dataset, batches: Batches) -> None:
    one, two = small_network(), small_network()
    fitted(one, batches, MemoryStage(), epochs=1)
    fitted(two, batches_of(digits, 230, seed=1), MemoryStage(), epochs=1)
    assert not same(one.state_dict(), two.state_dict())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_divergence_names_step_and_learning_rate_and_keeps_the_last_checkpoint(
    batches: Batches, whole: tuple[nn.Module, MemoryStage, Fitted], value: float
) -> None:
    network, stage = small_network(), MemoryStage()
    bad = 2 * len(batches) + 3

    def step(images: Tensor, labels: Tensor, at: Position) -> Tensor:
        loss = F.cross_entropy(network(images), labels)
        return loss * value if at.step >= bad else loss

    with pytest.raises(DivergenceError) as caught:
        fitted(network, batches, stage, step)
    message = str(caught.value)
    rate = learning_rate_at(OPTIMIZER, bad, EPOCHS * len(batches))
    assert f"the loss became {value}" in message
    assert f"step {bad + 1} of {EPOCHS * len(batches)}" in message
    assert f"epoch 3, learning rate {rate:.4g}" in message
    assert "checkpoint of epoch 2" in message
    assert "\n" not in message
    assert [line["epoch"] for line in stage.lines] == [1, 2]
    assert stage.state is not None
    assert all(torch.isfinite(tensor).all() for tensor in stage.state["module"].values())

    resumed = small_network(seed=1)
    fitted(resumed, batches, stage)
    assert same(resumed.state_dict(), whole[0].state_dict())


def test_weights_that_are_not_numbers_are_neither_kept_nor_handed_over(batches: Batches) -> None:
    """The loss of a step is computed before its gradient: a bad gradient in the last step shows in no loss."""
    network, stage = small_network(), MemoryStage()

    def step(images: Tensor, labels: Tensor, at: Position) -> Tensor:
        loss = F.cross_entropy(network(images), labels)
        last = at.step == 2 * len(batches) - 1
        return loss + (0 * loss).sqrt() if last else loss  # zero, whose gradient is not a number

    with pytest.raises(DivergenceError):
        fitted(network, batches, stage, step, epochs=2)
    assert stage.state is not None
    assert all(torch.isfinite(tensor).all() for tensor in stage.state["module"].values())


def test_a_stage_whose_time_is_up_stops_at_the_end_of_an_epoch_and_stays_stopped(batches: Batches) -> None:
    network, stage = small_network(), MemoryStage()
    stage.stop_after = 2
    result = fitted(network, batches, stage)
    assert result.epochs == 2
    assert [line["epoch"] for line in stage.lines] == [1, 2]
    assert stage.asked == [line["seconds"] for line in stage.lines]
    assert result.loss == stage.lines[-1]["loss"]

    # The clock of the process that goes on may say otherwise: what was decided holds.
    stage.stop_after = math.inf
    again = small_network(seed=1)
    assert fitted(again, batches, stage) == result
    assert same(again.state_dict(), network.state_dict())


def test_a_stage_is_not_asked_for_time_after_its_last_epoch(batches: Batches) -> None:
    stage = MemoryStage()
    stage.stop_after = 1
    assert fitted(small_network(), batches, stage, epochs=1).epochs == 1
    assert stage.asked == []
    assert stage.state is not None
    assert stage.state["stopped"] is False


class Numbers:
    """Batches of labels only, for trainings that are computed by hand."""

    counts = ClassCounts((2, 0))

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __len__(self) -> int:
        return self.steps

    def epoch(self, index: int, epochs: int) -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(self.steps):
            yield torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64)


def one_weight(value: float) -> nn.Linear:
    module = nn.Linear(1, 1)
    with torch.no_grad():
        module.weight.fill_(value)
        module.bias.fill_(value)
    return module


def fit_numbers(
    module: nn.Module, loss: Callable[[], Tensor], optimizer: OptimizerConfig, steps: int = 1, epochs: int = 1
) -> MemoryStage:
    stage = MemoryStage()
    fit(FP32, module, lambda x, y, at: loss(), Numbers(steps), epochs=epochs, optimizer=optimizer, seed=0, stage=stage)
    return stage


def test_weight_decay_spares_vectors() -> None:
    module = one_weight(2.0)
    settings = OptimizerConfig(learning_rate=0.1, momentum=0, weight_decay=0.5, warmup=0)
    fit_numbers(module, lambda: 0 * (module.weight.sum() + module.bias.sum()), settings)
    assert module.weight.item() == pytest.approx(2.0 * (1 - 0.1 * 0.5))
    assert module.bias.item() == 2.0


@pytest.mark.parametrize(("nesterov", "moved"), [(True, 0.1 * 1.9 + 0.05 * (1.9 * 0.9 + 1)), (False, 0.1 + 0.05 * 1.9)])
def test_two_steps_of_momentum_by_hand(nesterov: bool, moved: float) -> None:
    """Gradient 1; learning rates 0.1 and, half-way down the cosine, 0.05."""
    module = one_weight(2.0)
    settings = OptimizerConfig(learning_rate=0.1, momentum=0.9, weight_decay=0, warmup=0, nesterov=nesterov)
    stage = fit_numbers(module, lambda: module.weight.sum() + 0 * module.bias.sum(), settings, steps=2)
    assert stage.lines[0]["learning_rate"] == pytest.approx(0.05)
    assert module.weight.item() == pytest.approx(2.0 - moved)


@pytest.mark.parametrize(("clip_norm", "moved"), [(5.0, 0.5), (None, 100.0), (2000.0, 100.0)])
def test_gradients_are_clipped_to_their_norm(clip_norm: float | None, moved: float) -> None:
    module = one_weight(0.0)
    settings = OptimizerConfig(learning_rate=0.1, momentum=0, weight_decay=0, warmup=0, clip_norm=clip_norm)
    fit_numbers(module, lambda: 1000 * module.weight.sum() + 0 * module.bias.sum(), settings)
    assert module.weight.item() == pytest.approx(-moved, rel=1e-4)


def test_frozen_parameters_stay() -> None:
    module = one_weight(2.0)
    module.bias.requires_grad_(False)
    fit_numbers(module, lambda: (module.weight + module.bias).sum(), OptimizerConfig())
    assert module.bias.item() == 2.0
    assert module.weight.item() != 2.0


def test_training_mode_is_set_anew_every_epoch() -> None:
    module, modes = one_weight(1.0), []

    def loss() -> Tensor:
        modes.append(module.training)
        module.eval()
        return module.weight.sum()

    module.eval()
    fit_numbers(module, loss, OptimizerConfig(), steps=2, epochs=2)
    assert modes == [True, False, True, False]


def test_steps_run_under_the_configured_precision() -> None:
    module, kinds = nn.Linear(3, 2), []

    def step(images: Tensor, labels: Tensor, at: Position) -> Tensor:
        output = module(images)
        kinds.append(output.dtype)
        return F.cross_entropy(output, labels)

    for fabric in (FP32, BF16):
        fit(fabric, module, step, Numbers(1), epochs=1, optimizer=OptimizerConfig(), seed=0, stage=MemoryStage())
    assert kinds == [torch.float32, torch.bfloat16]
    assert module.weight.dtype == torch.float32


def test_the_learning_rate_by_hand() -> None:
    config = OptimizerConfig(learning_rate=2.0, warmup=0.2)
    rates = [learning_rate_at(config, step, 10) for step in range(10)]
    cosine = [1 + math.cos(math.pi * step / 8) for step in range(8)]
    assert rates == pytest.approx([1.0, 2.0, *cosine])
    assert rates[6] == pytest.approx(1.0)  # half of it, half-way through the decay


@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.5, 0.99])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 100])
def test_the_learning_rate_rises_to_its_peak_and_falls_without_ever_being_zero(warmup: float, steps: int) -> None:
    config = OptimizerConfig(learning_rate=0.3, warmup=warmup)
    rates = [learning_rate_at(config, step, steps) for step in range(steps)]
    top = rates.index(max(rates))
    assert rates[top] == pytest.approx(0.3)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert min(rates) > 0


@pytest.mark.parametrize(
    ("key", "value"),
    [("learning_rate", 0), ("momentum", 1), ("weight_decay", -1), ("warmup", 1), ("clip_norm", 0), ("warm_up", 0.1)],
)
def test_impossible_optimizer_settings(key: str, value: float) -> None:
    with pytest.raises(ValidationError, match=key):
        OptimizerConfig.model_validate({key: value})


def test_what_is_random_in_a_step_can_be_drawn_by_position(batches: Batches) -> None:
    """As supernet training does: with numbers that hang on the step, a resumed training stays exact."""
    ends = []
    for interruption in (None, len(batches) + 4):
        stage = MemoryStage()
        for stop in [interruption, None] if interruption else [None]:
            network = small_network()

            def step(
                images: Tensor, labels: Tensor, at: Position, network: nn.Module = network, stop: int | None = stop
            ) -> Tensor:
                if at.step == stop:
                    raise InterruptionError
                noise = torch.randn(images.shape, generator=generator(0, "noise", at.step))
                return F.cross_entropy(network(images + 0.1 * noise), labels)

            if stop:
                with pytest.raises(InterruptionError):
                    fitted(network, batches, stage, step, epochs=2)
            else:
                fitted(network, batches, stage, step, epochs=2)
        ends.append(network.state_dict())
    assert same(*ends)


def test_the_rate_falls_at_its_milestones_and_nowhere_else() -> None:
    config = OptimizerConfig(learning_rate=2.0, warmup=0.02, decay="step")
    rates = [learning_rate_at(config, step, 100) for step in range(100)]
    assert rates == pytest.approx([1.0, 2.0, *[2.0] * 78, *[0.02] * 10, *[0.0002] * 10])


def test_other_milestones_and_another_factor() -> None:
    config = OptimizerConfig(learning_rate=1.0, warmup=0, decay="step", milestones=(0.25, 0.5, 0.75), gamma=0.5)
    assert [learning_rate_at(config, step, 8) for step in range(8)] == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]


def test_the_published_schedule_by_hand() -> None:
    """The long-tailed CIFARs: 200 epochs from 0.1, five of warm-up, a hundredth from epoch 160 and again from 180."""
    config = OptimizerConfig(learning_rate=0.1, warmup=0.025, decay="step")
    epoch = 97  # batches of 128 of the 12,406 images at an imbalance factor of 100

    def rate(number: float) -> float:
        return learning_rate_at(config, round(number * epoch), 200 * epoch)

    assert [rate(n) for n in (0, 1, 4)] == pytest.approx([0.1 / 485, 0.02 + 0.1 / 485, 0.08 + 0.1 / 485])
    assert rate(5 - 1 / epoch) == pytest.approx(0.1)
    assert [rate(n) for n in (5, 100, 159, 160 - 1 / epoch)] == pytest.approx([0.1] * 4)
    assert [rate(n) for n in (160, 170, 180 - 1 / epoch)] == pytest.approx([1e-3] * 3)
    assert [rate(n) for n in (180, 200 - 1 / epoch)] == pytest.approx([1e-5] * 2)


def test_a_training_takes_the_steps_of_its_schedule() -> None:
    """Gradient 1, ten steps: eight at 1, one at a tenth, one at a hundredth."""
    module = one_weight(0.0)
    settings = OptimizerConfig(learning_rate=1.0, momentum=0, weight_decay=0, warmup=0, decay="step", gamma=0.1)
    stage = fit_numbers(module, lambda: module.weight.sum() + 0 * module.bias.sum(), settings, steps=5, epochs=2)
    assert module.weight.item() == pytest.approx(-(8 + 0.1 + 0.01))
    assert [line["learning_rate"] for line in stage.lines] == pytest.approx([1.0, 0.01])


def test_weight_decay_of_everything() -> None:
    module = one_weight(2.0)
    settings = OptimizerConfig(learning_rate=0.1, momentum=0, weight_decay=0.5, warmup=0, decay_all=True)
    fit_numbers(module, lambda: 0 * (module.weight.sum() + module.bias.sum()), settings)
    assert (module.weight.item(), module.bias.item()) == pytest.approx((1.9, 1.9))


def test_weight_decay_of_everything_reaches_batch_norm() -> None:
    module = nn.BatchNorm2d(2)
    settings = OptimizerConfig(learning_rate=0.1, momentum=0, weight_decay=0.5, warmup=0, decay_all=True)
    fit_numbers(module, lambda: 0 * (module.weight.sum() + module.bias.sum()), settings)
    assert module.weight.tolist() == pytest.approx([0.95, 0.95])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decay": "step", "milestones": [0.9, 0.8]}, r"milestones are rising shares of training in \(0, 1\), got "),
        ({"decay": "step", "milestones": [0.5, 0.5]}, r"milestones are rising shares of .*, got \[0.5, 0.5\]"),
        ({"decay": "step", "milestones": [0.0, 0.5]}, r"milestones are rising shares of .*, got \[0.0, 0.5\]"),
        ({"decay": "step", "milestones": [0.5, 1.0]}, r"milestones are rising shares of .*, got \[0.5, 1.0\]"),
        ({"decay": "step", "milestones": [160, 180]}, r"milestones are rising shares of .*, got \[160.0, 180.0\]"),
        ({"milestones": [0.5]}, "decay 'cosine' does not use 'milestones': leave it out or set decay to 'step'"),
        ({"gamma": 0.1}, "decay 'cosine' does not use 'gamma': leave it out or set decay to 'step'"),
    ],
)
def test_decays_and_settings_that_do_not_belong_together(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        OptimizerConfig.model_validate(settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("settings", [{"decay": "exp"}, {"decay": "step", "gamma": 0}, {"decay": "step", "gamma": 2}])
def test_impossible_decays(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="decay" if settings["decay"] == "exp" else "gamma"):
        OptimizerConfig.model_validate(settings)


def with_dropout() -> nn.Module:
    return nn.Sequential(nn.Dropout(0.3), small_network())


def test_modules_that_draw_from_the_global_generator_resume_with_the_same_bits(batches: Batches) -> None:
    """Dropout, as timm's networks and users' own have it; the process that goes on has drawn other numbers before."""
    whole, network, stage = with_dropout(), with_dropout(), MemoryStage()
    fitted(whole, batches, MemoryStage(), epochs=2)

    def step(images: Tensor, labels: Tensor, at: Position) -> Tensor:
        if at.step == len(batches) + 3:
            raise InterruptionError
        return F.cross_entropy(network(images), labels)

    with pytest.raises(InterruptionError):
        fitted(network, batches, stage, step, epochs=2)
    network = with_dropout()
    torch.rand(7)
    fitted(network, batches, stage, epochs=2)
    assert same(network.state_dict(), whole.state_dict())


def test_what_modules_draw_comes_from_the_seed_and_changes_from_epoch_to_epoch() -> None:
    def masks(seed: int) -> list[Tensor]:
        module, dropout, seen = one_weight(1.0), nn.Dropout(0.5), []

        def step(images: Tensor, labels: Tensor, at: Position) -> Tensor:
            seen.append(dropout(torch.ones(64)))
            return (module.weight + module.bias).sum()

        state = torch.random.get_rng_state()
        fit(FP32, module, step, Numbers(2), epochs=2, optimizer=OPTIMIZER, seed=seed, stage=MemoryStage())
        assert torch.equal(torch.random.get_rng_state(), state)
        return seen

    first, again, other = masks(0), masks(0), masks(1)
    assert same(first, again)
    assert len({tuple(mask.tolist()) for mask in first + other}) == 8
