"""Second stages: the heads by hand, features that stay as they are, and what is refused before anything is trained."""

import copy
import math
import weakref
from typing import Any
from unittest.mock import create_autospec

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tailornas.data import SAMPLERS, AugmentConfig, Batches, DataConfig, Dataset, ordered, prepare
from tailornas.errors import ConfigError, DataError, TailorNASError
from tailornas.heads import CosineHead, LWSHead, build_head
from tailornas.losses import MixConfig
from tailornas.seeding import generator
from tailornas.spaces import Backbone, CifarResNet, cifar_resnet
from tailornas.stages import Detached, Stage
from tailornas.training import (
    DeviceConfig,
    SecondStageConfig,
    TrainConfig,
    epoch_sampler,
    fit_head,
    make_fabric,
    predict,
    replace_head,
    second_stage,
    train,
)
from tailornas.types import ClassCounts

FABRIC = make_fabric(DeviceConfig(accelerator="cpu", precision="fp32"))
BF16 = make_fabric(DeviceConfig(accelerator="cpu", precision="bf16"))
COUNTS = ClassCounts((8, 2))


class Colours(Backbone):
    """The features of an image are its mean colours."""

    def __init__(self) -> None:
        super().__init__(3, 2)
        assert isinstance(self.head, nn.Linear)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[2.0, 3.0, 6.0], [0.0, 0.0, -0.5]]))
            self.head.bias.copy_(torch.tensor([1.0, -1.0]))

    def features(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def colours(*rows: list[float]) -> Tensor:
    """Images ``(n, 3, 2, 2)``, each of one colour."""
    return torch.tensor(rows)[:, :, None, None].expand(-1, -1, 2, 2)


def replaced(network: Backbone | None = None, counts: ClassCounts = COUNTS, seed: int = 0, **settings: Any) -> Backbone:
    network = network or Colours()
    replace_head(network, counts, SecondStageConfig.model_validate(settings), seed)
    return network


@pytest.mark.parametrize(
    ("tau", "rows"),
    [
        (1.0, [[2 / 7, 3 / 7, 6 / 7], [0.0, 0.0, -1.0]]),
        (0.5, [[2 / 7**0.5, 3 / 7**0.5, 6 / 7**0.5], [0.0, 0.0, -(0.5**0.5)]]),
        (0.0, [[2.0, 3.0, 6.0], [0.0, 0.0, -0.5]]),
    ],
)
def test_tau_normalisation_by_hand(tau: float, rows: list[list[float]]) -> None:
    head = replaced(name="tau_norm", tau=tau).head
    assert isinstance(head, nn.Linear)
    assert set(head.state_dict()) == {"weight"}
    torch.testing.assert_close(head.weight.detach(), torch.tensor(rows))


@pytest.mark.parametrize("tau", [1.0, 0.5, 2.0])
@pytest.mark.parametrize("bias", [True, False])
def test_logit_adjustment_by_hand(tau: float, bias: bool) -> None:
    network = Colours()
    if not bias:
        weight = network.head.get_parameter("weight").detach()
        network.head = nn.Linear(3, 2, bias=False)
        network.head.weight.data.copy_(weight)
    logits = replaced(network, name="logit_adjustment", tau=tau)(colours([1.0, 1.0, 1.0]))
    plain = (12.0, -1.5) if bias else (11.0, -0.5)
    assert logits.tolist()[0] == pytest.approx([plain[0] - tau * math.log(0.8), plain[1] - tau * math.log(0.2)])


def test_the_trained_head_is_left_as_it_was() -> None:
    for name in ("tau_norm", "logit_adjustment", "lws"):
        network = Colours()
        head, before = network.head, copy.deepcopy(network.head.state_dict())
        assert replaced(network, name=name).head is not head
        assert all(torch.equal(tensor, before[key]) for key, tensor in head.state_dict().items())


def test_learnable_scales_begin_with_what_was_trained_and_are_all_that_is_learned() -> None:
    network, images = Colours(), colours([1.0, 2.0, 3.0], [-1.0, 0.0, 1.0])
    before = network(images)
    assert isinstance(replaced(network, name="lws").head, LWSHead)
    assert torch.equal(network(images), before)
    assert [(name, p.shape) for name, p in network.head.named_parameters()] == [("scales", torch.Size([2]))]
    network.head.get_parameter("scales").data.copy_(torch.tensor([0.5, 3.0]))
    torch.testing.assert_close(network(images), before * torch.tensor([0.5, 3.0]))


def test_no_second_stage_changes_nothing() -> None:
    network = Colours()
    head, before = network.head, copy.deepcopy(network.state_dict())
    replaced(network, name="none")
    second_stage(FABRIC, network, Never(), [], SecondStageConfig(), seed=0, stage=Detached())
    assert network.head is head
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


class Never:
    """Batches of a second stage that is to train nothing."""

    def __init__(self, counts: ClassCounts = COUNTS) -> None:
        self.counts = counts

    def __len__(self) -> int:
        raise AssertionError("nothing is trained")

    def epoch(self, index: int, epochs: int) -> Any:
        raise AssertionError("nothing is trained")


@pytest.mark.parametrize("fabric", [FABRIC, BF16])
def test_nearest_class_means_by_hand(fabric: Any) -> None:
    settings = SecondStageConfig(name="ncm")
    network = replaced(name="ncm")
    batches = [
        (colours([1.0, 0.0, 0.0], [0.0, 4.0, 0.0]), torch.tensor([0, 1])),
        (colours([3.0, 2.0, 0.0]), torch.tensor([0])),
    ]
    second_stage(fabric, network, Never(), batches, settings, seed=0, stage=Detached())
    # Means (2, 1, 0) and (0, 4, 0).
    assert network.head.get_parameter("weight").tolist() == [[2.0, 1.0, 0.0], [0.0, 4.0, 0.0]]
    logits = network(colours([2.0, 2.0, 0.0], [0.9, 2.6, 5.0]))
    assert logits.argmax(1).tolist() == [0, 1]
    torch.testing.assert_close(logits[0], 16 * torch.tensor([6 / 40**0.5, 0.5**0.5]))


def test_nearest_class_means_need_an_image_of_every_class() -> None:
    network, settings = replaced(name="ncm"), SecondStageConfig(name="ncm")
    batches = [(colours([1.0, 0.0, 0.0]), torch.tensor([0]))]
    with pytest.raises(DataError, match="images of each of 2 classes"):
        second_stage(FABRIC, network, Never(), batches, settings, seed=0, stage=Detached())


def test_nearest_class_means_keep_no_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of all images of a large dataset would not fit into a device's memory."""
    alive: list[weakref.ref[Tensor]] = []
    features = Colours.features

    def watched(network: Colours, x: Tensor) -> Tensor:
        assert len([ref for ref in alive if ref() is not None]) <= 1
        output = features(network, x)
        alive.append(weakref.ref(output))
        return output

    monkeypatch.setattr(Colours, "features", watched)
    network, settings = replaced(name="ncm"), SecondStageConfig(name="ncm")
    batches = [(colours([1.0, 0.0, 0.0], [0.0, 4.0, 0.0]), torch.tensor([0, 1]))] * 5
    second_stage(FABRIC, network, Never(), batches, settings, seed=0, stage=Detached())
    assert len(alive) == 5
    assert network.head.get_parameter("weight").tolist() == [[1.0, 0.0, 0.0], [0.0, 4.0, 0.0]]


def test_a_new_head_comes_from_the_seed_and_belongs_to_its_loss() -> None:
    first, again, other = (replaced(name="crt", seed=seed).head for seed in (0, 0, 1))
    assert isinstance(first, nn.Linear)
    assert torch.equal(first.weight, again.get_parameter("weight"))
    assert not torch.equal(first.weight, other.get_parameter("weight"))
    assert not torch.equal(first.weight, Colours().head.get_parameter("weight"))
    assert isinstance(replaced(name="crt", head="scaled_cosine").head, CosineHead)
    cosine = replaced(name="crt", loss="ldam").head
    assert isinstance(cosine, CosineHead)
    assert cosine.scale == 1.0


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return prepare(DataConfig(data="digits", imbalance_factor=50), seed=0)


def network_for(digits: Dataset) -> CifarResNet:
    """Random features, normalised by the statistics of the digits: enough for a head to learn something."""
    network = cifar_resnet(8, 10, generator=generator(0, "network"), channels=8)
    with torch.no_grad():
        for images, _ in ordered(digits.train, 64, digits.normalization, FABRIC.device):
            network(images)
    return network


def fitted(digits: Dataset, network: Backbone, settings: SecondStageConfig, stage: Stage | None = None) -> Backbone:
    sampler, device = epoch_sampler(settings), FABRIC.device
    augment = AugmentConfig(flip=False)
    batches = Batches(digits.train, 64, digits.normalization, augment, sampler, 0, "train-head", device)
    replace_head(network, batches.counts, settings, seed=0)
    second_stage(FABRIC, network, batches, [], settings, seed=0, stage=stage or Detached())
    return network


@pytest.mark.parametrize(
    "settings",
    [
        SecondStageConfig(name="crt", epochs=2),
        SecondStageConfig(name="lws", epochs=2),
        SecondStageConfig(name="crt", epochs=1, loss="ldam", sampler="square_root"),
        SecondStageConfig(name="crt", epochs=1, sampler="instance", class_weights="auto"),
        SecondStageConfig(name="crt", epochs=1, mix=MixConfig(name="mixup"), head="scaled_cosine"),
    ],
)
def test_features_stay_as_they_are_to_the_last_bit(digits: Dataset, settings: SecondStageConfig) -> None:
    network, other = network_for(digits), network_for(digits)
    before = copy.deepcopy(network.state_dict())
    replace_head(other, digits.train.counts, settings, seed=0)
    start = other.head.state_dict()
    fitted(digits, network, settings)
    for name, tensor in network.state_dict().items():
        if not name.startswith("head."):
            assert torch.equal(tensor, before[name]), name
    moved = {name for name, tensor in network.head.state_dict().items() if not torch.equal(tensor, start[name])}
    assert moved == {"crt": set(start), "lws": {"scales"}}[settings.name]


def test_a_nearest_class_mean_changes_nothing_but_the_head(digits: Dataset) -> None:
    """Nor are the features those of training: the statistics of batch norms would move."""
    network, settings = network_for(digits).train(), SecondStageConfig(name="ncm")
    replace_head(network, digits.train.counts, settings, seed=0)
    before = copy.deepcopy(network.state_dict())
    images = ordered(digits.train, 64, digits.normalization, FABRIC.device)
    second_stage(FABRIC, network, Never(digits.train.counts), images, settings, seed=0, stage=Detached())
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"head.weight"}


def test_a_head_trained_on_balanced_batches_knows_rare_classes_better() -> None:
    """On features that were learned, of classes of 114 to 11 images."""
    milder = prepare(DataConfig(data="digits", imbalance_factor=10), seed=0)
    plain = AugmentConfig(flip=False)
    batches = Batches(milder.train, 64, milder.normalization, plain, SAMPLERS["instance"], 0, "train", FABRIC.device)
    network, rare = network_for(milder), dict[str, float]()
    train(FABRIC, network, batches, TrainConfig(loss="ce"), epochs=16, seed=0, stage=Detached())
    for sampler in ("instance", "class_balanced"):
        fitted(milder, network, SecondStageConfig(name="crt", epochs=4, sampler=sampler))
        logits, labels = predict(FABRIC, network, ordered(milder.test, 256, milder.normalization, FABRIC.device))
        rare[sampler] = float((logits.argmax(1) == labels)[labels >= 7].float().mean())
    assert rare["class_balanced"] > max(0.5, rare["instance"] + 0.2), rare  # chance is 0.1


def test_an_interrupted_second_stage_ends_with_the_same_bits(digits: Dataset) -> None:
    settings = SecondStageConfig(name="crt", epochs=2, loss="seql")
    stage = create_autospec(Stage, instance=True)
    stage.restore.return_value = None
    stage.overdue.return_value = False
    whole = fitted(digits, network_for(digits), settings, stage).state_dict()

    def keep_and_interrupt(state: dict[str, Any]) -> None:
        stage.restore.return_value = copy.deepcopy(state)
        raise KeyboardInterrupt

    stage.save.side_effect = keep_and_interrupt
    with pytest.raises(KeyboardInterrupt):
        fitted(digits, network_for(digits), settings, stage)
    assert stage.restore.return_value["epoch"] == 1
    stage.save.side_effect = None
    resumed = fitted(digits, network_for(digits), settings, stage).state_dict()
    assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())


def test_a_new_head_of_which_nothing_is_trained() -> None:
    with pytest.raises(ConfigError, match="trains a new head, and of the head 'etf' only a batch norm"):
        SecondStageConfig(name="crt", head="etf")
    with pytest.raises(ConfigError, match="second stage 'lws' does not use 'head' and got 'linear'"):
        SecondStageConfig(name="lws", head="linear")


def test_divergence_names_the_key_of_the_second_stage(digits: Dataset) -> None:
    settings = SecondStageConfig.model_validate(
        {"name": "crt", "epochs": 1, "optimizer": {"learning_rate": 1e30, "clip_norm": None}}
    )
    with pytest.raises(TailorNASError, match=r"lower train\.second_stage\.optimizer\.learning_rate"):
        fitted(digits, network_for(digits), settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "crt", "loss": "lmad"}, "unknown loss 'lmad': expected one of "),
        ({"name": "crt", "sampler": "uniform"}, "unknown sampler 'uniform': expected one of class_balanced"),
        ({"name": "crt", "loss_settings": {"gamma": 2.0}}, "the loss 'cross_entropy' has no setting 'gamma'"),
        ({"name": "crt", "tau": 0.5}, "second stage 'crt' does not use 'tau' and got 0.5: leave it out"),
        ({"name": "tau_norm", "epochs": 3}, "second stage 'tau_norm' does not use 'epochs' and got 3"),
        ({"name": "ncm", "sampler": "instance"}, "second stage 'ncm' does not use 'sampler'"),
        ({"tau": 0.5}, "second stage 'none' does not use 'tau'"),
        ({"name": "tau_norm", "tau": 1.5}, r"tau of tau_norm must be in \[0, 1\] and is 1.5"),
        ({"name": "lws", "loss": "ldam"}, "second stage 'lws' scales a linear head but the loss 'ldam' expects cosin"),
    ],
)
def test_settings_that_do_not_belong_together(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        SecondStageConfig.model_validate(settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["lws", "tau_norm", "logit_adjustment"])
@pytest.mark.parametrize("first", [{"loss": "ldam"}, {"loss": "ce", "head": "etf"}])
def test_what_works_on_a_linear_head_refuses_another(name: str, first: dict[str, str]) -> None:
    message = f"second stage '{name}' works on a linear head but the head is '{first.get('head', 'cosine')}'"
    with pytest.raises(ConfigError, match=message) as caught:
        TrainConfig.model_validate({**first, "second_stage": {"name": name}})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["crt", "ncm"])
def test_a_new_head_may_follow_any_other(name: str) -> None:
    assert TrainConfig.model_validate({"loss": "ldam", "second_stage": {"name": name}}).title == f"ldam + drw + {name}"


def test_adjusted_logits_are_those_of_the_published_formula() -> None:
    """The softmax of adjusted logits is that of the trained one, divided by the priors."""
    network = Colours()
    images = colours([0.1, 0.2, -0.3])
    before = F.softmax(network(images), dim=1)
    balanced = before / torch.tensor([0.8, 0.2])
    torch.testing.assert_close(
        F.softmax(replaced(network, name="logit_adjustment")(images), dim=1), balanced / balanced.sum()
    )


def test_a_head_that_the_loss_cannot_use_is_not_trained(digits: Dataset) -> None:
    network = network_for(digits)
    network.head = build_head("cosine", network.feature_dim, 10, generator(0, "head"))
    with pytest.raises(ConfigError, match="CrossEntropy expects logits of any size but the head is CosineHead"):
        fit_head(FABRIC, network, Never(), SecondStageConfig(name="crt"), seed=0, stage=Detached())
