import copy
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import create_autospec

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from tailornas.data import SAMPLERS, AugmentConfig, Batches, DataConfig, Dataset, ordered, prepare
from tailornas.errors import ConfigError, DataError, TailorNASError
from tailornas.heads import build_head
from tailornas.losses import (
    LOSSES,
    CrossEntropy,
    ScheduleConfig,
    build_loss,
    class_weights,
    effective_number,
    mixed_loss,
    mixup,
    remix,
)
from tailornas.metrics import class_recalls, confusion
from tailornas.seeding import generator
from tailornas.spaces import Backbone, DARTSNetwork, cifar_resnet
from tailornas.spaces.darts_network import darts_network
from tailornas.spaces.genotypes import GENOTYPES
from tailornas.stages import Detached, Stage
from tailornas.training import (
    DeviceConfig,
    Fitted,
    OptimizerConfig,
    TrainConfig,
    epoch_sampler,
    make_fabric,
    predict,
    train,
)
from tailornas.types import ClassCounts

FABRIC = make_fabric(DeviceConfig(accelerator="cpu", precision="fp32"))


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return prepare(DataConfig(data="digits", imbalance_factor=20), seed=0)


@pytest.fixture(scope="module")
def batches(digits: Dataset) -> Batches:
    augment = AugmentConfig(flip=False)
    return Batches(digits.train, 64, digits.normalization, augment, SAMPLERS["instance"], 0, "train", FABRIC.device)


class Small(Backbone):
    """A network that keeps the images it is shown in training."""

    def __init__(self, head: str) -> None:
        super().__init__(108, 10)
        self.body = nn.Sequential(nn.Conv2d(3, 12, 3, stride=2), nn.BatchNorm2d(12), nn.ReLU(), nn.Flatten())
        self.head = build_head(head, 108, 10, generator(0, "head"))
        self.seen: list[Tensor] = []

    def features(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen.append(x.detach().clone())
        output: Tensor = self.body(x)
        return output


def small_network(head: str = "linear") -> Small:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Small(head)


def trained(
    network: Backbone,
    batches: Batches,
    settings: TrainConfig,
    epochs: int = 5,
    stage: Stage | None = None,
    seed: int = 0,
) -> Fitted:
    return train(
        FABRIC,
        network,
        batches,
        settings.model_copy(update={"optimizer": OptimizerConfig()}),
        epochs=epochs,
        seed=seed,
        stage=stage or Detached(),
    )


def weighted_from(start: float) -> TrainConfig:
    return TrainConfig(loss="ce", schedule=ScheduleConfig(name="drw", start=start))


def watched_weights(monkeypatch: pytest.MonkeyPatch) -> list[Tensor | None]:
    """The class weights that every call of the cross-entropy is given from now on."""
    given: list[Tensor | None] = []
    weighted: Callable[..., tuple[Tensor, Tensor]] = CrossEntropy.weighted

    def record(
        loss: CrossEntropy, logits: Tensor, targets: Tensor, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        given.append(weights)
        return weighted(loss, logits, targets, weights)

    monkeypatch.setattr(CrossEntropy, "weighted", record)
    return given


def recalls(network: nn.Module, digits: Dataset) -> Tensor:
    logits, targets = predict(FABRIC, network, ordered(digits.test, 256, digits.normalization, FABRIC.device))
    return class_recalls(confusion(logits.argmax(1), targets, 10))


def test_class_weights_come_in_with_the_schedule(
    batches: Batches, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = watched_weights(monkeypatch)
    trained(small_network(), batches, weighted_from(0.6), epochs=5)
    steps = 5 * len(batches)
    assert len(given) == steps
    late = [step for step, weights in enumerate(given) if weights is not None]
    assert late == [step for step in range(steps) if step / steps >= 0.6]
    assert given[-1] is not None
    torch.testing.assert_close(given[-1], effective_number(digits.train.counts))


def test_weights_make_rare_classes_better_known(batches: Batches, digits: Dataset) -> None:
    plain, weighted = small_network(), small_network()
    trained(plain, batches, TrainConfig(loss="ce"))
    trained(weighted, batches, weighted_from(0.2))
    rare = slice(7, 10)
    assert recalls(weighted, digits)[rare].mean() > recalls(plain, digits)[rare].mean() + 0.1


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_a_training_with_any_loss_resumes_with_the_same_bits(batches: Batches, name: str) -> None:
    """A loss that draws random numbers has to draw them by position, too."""
    stage = create_autospec(Stage, instance=True)
    stage.restore.return_value = None
    stage.overdue.return_value = False

    def start() -> nn.Module:
        network = small_network(LOSSES[name].head)
        trained(network, batches, TrainConfig(loss=name, schedule=ScheduleConfig()), epochs=2, stage=stage)
        return network

    def keep_and_interrupt(state: dict[str, Any]) -> None:
        stage.restore.return_value = copy.deepcopy(state)
        raise KeyboardInterrupt

    whole = start()
    stage.save.side_effect = keep_and_interrupt
    with pytest.raises(KeyboardInterrupt):
        start()
    stage.save.side_effect = None
    resumed = start()
    for key, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], tensor), key


def test_the_schedule_that_belongs_to_the_loss() -> None:
    assert TrainConfig().resolved_schedule == ScheduleConfig(name="drw")
    assert TrainConfig(loss="focal").resolved_schedule == ScheduleConfig(name="none")
    for start in (0.6, 0.8):
        given = TrainConfig.model_validate({"schedule": {"start": start}})
        assert given.resolved_schedule == ScheduleConfig(name="drw", start=start)
    late = ScheduleConfig(name="drw", start=0.5)
    assert TrainConfig(loss="focal", schedule=late).resolved_schedule == late
    assert TrainConfig(schedule=ScheduleConfig(name="none")).resolved_schedule == ScheduleConfig(name="none")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "lmad"}, "unknown loss 'lmad': expected one of balanced_softmax"),
        ({"loss": "ldam", "loss_settings": {"gamma": 2.0}}, "the loss 'ldam' has no setting 'gamma'"),
        (
            {"loss": "class_balanced_focal", "schedule": {"name": "drw"}},
            "the loss 'class_balanced_focal' has class weights of its own and schedule 'drw' would bring in others",
        ),
        ({"schedule": {"name": "later"}}, "unknown schedule 'later'"),
        ({"schedule": {"name": "drw", "start": 1.0}}, r"start is a share of training in \[0, 1\) and is 1.0"),
        ({"schedule": {"name": "drw", "start": -0.1}}, r"start is a share of training in \[0, 1\) and is -0.1"),
        ({"class_weights": []}, "class_weights: expected a name, or one number a class, got none"),
        ({"loss": "focal", "schedule": {"start": 0.8}}, "schedule.start is 0.8 and the loss 'focal' has no schedule"),
        (
            {"loss": "ce", "schedule": {"start": 0.6}},
            "schedule.start is 0.6 and the loss 'ce' has no schedule that could start: leave it out, or name the sch",
        ),
        ({"class_weights": "heavy"}, r"unknown weighting 'heavy': expected one of .*auto"),
        ({"sampler": "uniform"}, "unknown sampler 'uniform': expected one of class_balanced"),
        ({"head": "square"}, "unknown head 'square': expected one of cosine"),
        ({"mix": {"name": "cutmix"}}, "unknown mix 'cutmix'"),
        (
            {"loss": "class_balanced_focal", "class_weights": [1.0, 2.0]},
            r"the loss 'class_balanced_focal' has class weights of its own and class_weights of your own would bring",
        ),
    ],
)
def test_settings_that_contradict_each_other(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(TailorNASError, match=message) as caught:
        TrainConfig.model_validate(settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"batch_size": 1}, {"lr": 0.1}, {"loss": ["ldam"], "schedule": {"start": 0.8}}]
)
def test_impossible_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        TrainConfig.model_validate(wrong)


def mixing(name: str, **settings: Any) -> TrainConfig:
    return TrainConfig.model_validate({"loss": "ce", "mix": {"name": name}, **settings})


@pytest.mark.parametrize("name", ["mixup", "remix"])
def test_images_are_blended_step_by_step_by_position(batches: Batches, name: str) -> None:
    """What a step sees hangs on the seed and its number: every step has a proportion of its own."""
    plain, mixed, again, other = (small_network() for _ in range(4))
    trained(plain, batches, TrainConfig(loss="ce"), epochs=1)
    for network, seed in ((mixed, 0), (again, 0), (other, 1)):
        trained(network, batches, mixing(name), epochs=1, seed=seed)
    shares = []
    for step, (image, blend) in enumerate(zip(plain.seen, mixed.seen, strict=True)):
        labels = torch.zeros(len(image), dtype=torch.int64)
        expected = mixup(image, labels, generator(0, "mix", step))
        assert torch.equal(blend, expected.images)
        shares.append(float(expected.share[0]))
    assert len(set(shares)) == len(batches)
    assert all(torch.equal(a, b) for a, b in zip(mixed.seen, again.seen, strict=True))
    assert not torch.equal(mixed.seen[0], other.seen[0])


@pytest.mark.parametrize("name", ["mixup", "remix"])
def test_the_loss_of_blended_images_is_that_of_both_labels(batches: Batches, digits: Dataset, name: str) -> None:
    """One step: the loss that is logged is the one that is computed by hand from the same draws."""
    counts = digits.train.counts
    loss, network = build_loss("balanced_softmax", counts), small_network()
    everything = len(digits.train)
    batch = Batches(
        digits.train, everything, digits.normalization, None, SAMPLERS["instance"], 0, "train", FABRIC.device
    )
    settings = mixing(name, loss="balanced_softmax", class_weights="smoothed")
    images, labels = next(iter(batch.epoch(0, 1)))
    draws = generator(0, "mix", 0)
    expected = remix(images, labels, draws, counts) if name == "remix" else mixup(images, labels, draws)
    weights = class_weights("smoothed", counts)
    with torch.no_grad():
        value = mixed_loss(loss, small_network()(expected.images), expected, weights)
    result = trained(network, batch, settings, epochs=1)
    assert torch.equal(network.seen[0], expected.images)
    assert result.loss == pytest.approx(float(value), rel=1e-5)


def test_mixup_and_class_weights_come_in_together(batches: Batches, monkeypatch: pytest.MonkeyPatch) -> None:
    given = watched_weights(monkeypatch)
    late = mixing("mixup", schedule={"name": "drw", "start": 0.5})
    trained(small_network(), batches, late, epochs=2)
    late_ones = [weights is not None for weights in given]
    assert late_ones == [False] * 2 * len(batches) + [True] * 2 * len(batches)  # both labels of each step


@pytest.mark.parametrize("name", ["mixup", "remix"])
def test_a_training_with_blended_images_resumes_with_the_same_bits(batches: Batches, name: str) -> None:
    stage = create_autospec(Stage, instance=True)
    stage.restore.return_value = None
    stage.overdue.return_value = False

    def start() -> dict[str, Tensor]:
        network = small_network()
        trained(network, batches, mixing(name), epochs=2, stage=stage)
        return network.state_dict()

    def keep_and_interrupt(state: dict[str, Any]) -> None:
        stage.restore.return_value = copy.deepcopy(state)
        raise KeyboardInterrupt

    whole = start()
    stage.save.side_effect = keep_and_interrupt
    with pytest.raises(KeyboardInterrupt):
        start()
    stage.save.side_effect = None
    resumed = start()
    assert all(torch.equal(resumed[key], tensor) for key, tensor in whole.items())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("auto", effective_number),
        ("inverse", lambda counts: class_weights("inverse", counts)),
        ((3.0, *[1.0] * 9), lambda counts: torch.tensor([3.0, *[1.0] * 9])),
        (None, lambda counts: None),
    ],
)
def test_class_weights_count_from_the_first_step(
    batches: Batches, digits: Dataset, monkeypatch: pytest.MonkeyPatch, given: Any, expected: Any
) -> None:
    seen = watched_weights(monkeypatch)
    trained(small_network(), batches, TrainConfig(loss="ce", class_weights=given), epochs=1)
    wanted = expected(digits.train.counts)
    assert len(seen) == len(batches)
    for weights in seen:
        assert (weights is None) == (wanted is None)
        if wanted is not None:
            torch.testing.assert_close(weights, wanted)


@pytest.mark.parametrize(
    ("settings", "weighting"),
    [
        ({"loss": "ce"}, None),
        ({"loss": "ldam"}, "auto"),
        ({"loss": "ce", "schedule": {"name": "drw"}}, "auto"),
        ({"loss": "ce", "schedule": {"name": "drw"}, "class_weights": "inverse"}, "inverse"),
        ({"loss": "ldam", "schedule": {"name": "none"}}, None),
        ({"loss": "ce", "schedule": {"name": "drs"}}, None),
        ({"loss": "ce", "class_weights": [1, 2]}, (1.0, 2.0)),
    ],
)
def test_the_weights_that_belong_to_the_schedule(settings: dict[str, Any], weighting: Any) -> None:
    assert TrainConfig.model_validate(settings).weighting == weighting


@pytest.mark.parametrize(
    ("settings", "head"),
    [({"loss": "ce"}, "linear"), ({}, "cosine"), ({"loss": "focal", "head": "etf"}, "etf")],
)
def test_the_head_that_belongs_to_the_loss(settings: dict[str, Any], head: str) -> None:
    assert TrainConfig.model_validate(settings).resolved_head == head


@pytest.mark.parametrize("head", ["scaled_cosine", "etf"])
def test_training_with_other_heads_learns(batches: Batches, digits: Dataset, head: str) -> None:
    network = small_network(head)
    trained(network, batches, TrainConfig(loss="ce", head=head), epochs=5)
    assert recalls(network, digits).mean() > 0.2  # one class for all is 0.1


@pytest.mark.parametrize(
    ("schedule", "progress", "name"),
    [
        ({"name": "drs", "start": 0.5}, 0.4, "square_root"),
        ({"name": "drs", "start": 0.5}, 0.5, "class_balanced"),
        ({"name": "none"}, 1.0, "square_root"),
    ],
)
def test_the_sampler_changes_with_its_schedule(
    digits: Dataset, schedule: dict[str, Any], progress: float, name: str
) -> None:
    settings = TrainConfig.model_validate({"loss": "ce", "sampler": "square_root", "schedule": schedule})
    labels, counts = digits.train.labels, digits.train.counts
    order = epoch_sampler(settings)(labels, counts, generator(1), progress)
    assert torch.equal(order, SAMPLERS[name](labels, counts, generator(1), progress))


@pytest.mark.parametrize(
    ("settings", "title"),
    [
        ({"loss": "ce"}, "cross_entropy"),
        ({}, "ldam + drw"),
        ({"loss": "balanced_softmax", "mix": {"name": "mixup"}}, "mixup + balanced_softmax"),
        ({"loss": "ce", "class_weights": "auto"}, "cross_entropy + auto weights"),
        ({"loss": "ce", "class_weights": [1, 2]}, "cross_entropy + own weights"),
        ({"loss": "ce", "sampler": "progressive", "head": "etf"}, "cross_entropy + progressive + etf"),
        ({"loss": "ce", "two_branch": True}, "cross_entropy + two branches"),
        ({"loss": "ce", "second_stage": {"name": "crt"}}, "cross_entropy + crt"),
    ],
)
def test_what_people_read(settings: dict[str, Any], title: str) -> None:
    assert TrainConfig.model_validate(settings).title == title


def test_a_head_that_the_loss_cannot_use_is_not_trained(batches: Batches) -> None:
    network = cifar_resnet(8, 10, generator=generator(0, "network"), channels=4)
    with pytest.raises(ConfigError, match=r"LDAM scales its logits itself .* but the head is Linear: use the head 'co"):
        trained(network, batches, TrainConfig(), epochs=1)


def test_class_weights_of_other_classes_than_the_counts(batches: Batches) -> None:
    with pytest.raises(DataError, match="expected one class weight for each of 10 classes, got 2 weights"):
        trained(small_network(), batches, TrainConfig(loss="ce", class_weights=(1.0, 2.0)), epochs=1)


class Noise:
    """Two batches an epoch of images that an auxiliary head can see."""

    counts = ClassCounts((9, 5, 2))

    def __len__(self) -> int:
        return 2

    def epoch(self, index: int, epochs: int) -> Iterator[tuple[Tensor, Tensor]]:
        for step in range(2):
            rng = generator(0, index, step)
            yield torch.randn(4, 3, 32, 32, generator=rng), torch.randint(3, (4,), generator=rng)


def cells(auxiliary: bool = False) -> DARTSNetwork:
    rng = generator(0, "network")
    network = darts_network(GENOTYPES["DARTS_V2"], generator=rng, channels=2, cells=3, classes=3, auxiliary=auxiliary)
    network.head = build_head("cosine", network.feature_dim, 3, rng)
    if network.auxiliary is not None:
        network.auxiliary.head = build_head("cosine", network.auxiliary.feature_dim, 3, rng)
    return network


def trained_cells(
    network: DARTSNetwork, stage: Stage | None = None, seed: int = 0, compiled: bool = False, **settings: Any
) -> Fitted:
    config = TrainConfig(schedule=ScheduleConfig(), optimizer=OptimizerConfig(learning_rate=1e-4), **settings)
    return train(FABRIC, network, Noise(), config, epochs=2, seed=seed, stage=stage or Detached(), compiled=compiled)


def test_dropped_paths_grow_with_training_and_resume_with_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []
    drop_path = DARTSNetwork.drop_path

    def record(network: DARTSNetwork, probability: float, generator: torch.Generator | None = None) -> None:
        shares.append(probability)
        drop_path(network, probability, generator)

    monkeypatch.setattr(DARTSNetwork, "drop_path", record)
    stage = create_autospec(Stage, instance=True)
    stage.restore.return_value = None
    stage.overdue.return_value = False
    whole = cells()
    shares.clear()
    trained_cells(whole, stage, drop_path=0.6)
    assert shares == pytest.approx([0.0, 0.15, 0.3, 0.45])

    def keep_and_interrupt(state: dict[str, Any]) -> None:
        stage.restore.return_value = copy.deepcopy(state)
        raise KeyboardInterrupt

    stage.save.side_effect = keep_and_interrupt
    with pytest.raises(KeyboardInterrupt):
        trained_cells(cells(), stage, drop_path=0.6)
    stage.save.side_effect = None
    resumed, other, undropped = cells(), cells(), cells()
    trained_cells(resumed, stage, drop_path=0.6)
    trained_cells(other, drop_path=0.6, seed=1)
    trained_cells(undropped)
    weights, *others = (network.get_parameter("stem.0.weight") for network in (resumed, other, undropped))
    assert all(torch.equal(tensor, resumed.state_dict()[key]) for key, tensor in whole.state_dict().items())
    assert not any(torch.equal(weights, weight) for weight in others)


def test_what_is_drawn_for_every_edge_and_every_logit_is_drawn_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copied to it, it would make a GPU wait in every step."""
    asked: dict[str, Any] = {}

    def record(seed: int, *position: str | int, device: Any = None) -> torch.Generator:
        asked[str(position[0])] = device
        return generator(seed, *position)

    for module in ("objective", "standalone"):
        monkeypatch.setattr(f"tailornas.training.{module}.generator", record)
    trained_cells(cells(), drop_path=0.6)
    assert asked["loss"] == asked["drop path"] == FABRIC.device
    assert asked["mix"] is None  # its proportion is a number on the CPU


@pytest.mark.parametrize("auxiliary", [False, True])
def test_the_network_runs_through_the_compiler_with_its_auxiliary_head(
    monkeypatch: pytest.MonkeyPatch, auxiliary: bool
) -> None:
    network = cells(auxiliary)
    compiled: list[Any] = []
    calls: list[int] = []

    def compile_(function: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
        compiled.append(function)

        def run(images: Tensor) -> Any:
            calls.append(len(images))
            return function(images)

        return run

    trained_cells(network)  # the first optimizer imports what uses the compiler itself
    monkeypatch.setattr("torch.compile", compile_)
    trained_cells(network, compiled=True)
    assert compiled == [network.forward_with_auxiliary if auxiliary else network]
    assert calls == [4] * 4


def test_the_auxiliary_head_counts_by_its_weight_under_the_same_loss() -> None:
    """At a learning rate at which nothing moves, the mean of two steps is that of two losses of the first network."""
    loss, network = build_loss("ldam", ClassCounts((9, 5, 2))), cells(auxiliary=True)
    values = []
    for images, labels in Noise().epoch(1, 2):
        main, auxiliary = network.forward_with_auxiliary(images)
        assert max(main.abs().max(), auxiliary.abs().max()) <= 1  # the cosines that this loss expects
        values.append((loss(main, labels).item(), loss(auxiliary, labels).item()))
    main_loss, auxiliary_loss = (sum(column) / 2 for column in zip(*values, strict=True))
    assert auxiliary_loss > 0
    for weight in (0.0, 0.4):
        fitted = trained_cells(cells(auxiliary=True), auxiliary=weight)
        assert fitted.loss == pytest.approx(main_loss + weight * auxiliary_loss, rel=2e-3)
