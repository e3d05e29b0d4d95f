"""Backbones by name, with published sizes; and weights that go into a network, or are refused and change nothing."""

import copy
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from tailornas.errors import ArchitectureError, CheckpointError, ConfigError, TailorNASError, UnknownNameError
from tailornas.heads import LWSHead, build_head, linear_head
from tailornas.spaces import (
    Backbone,
    BackboneConfig,
    CifarResNet,
    build_backbone,
    check_backbone,
    count,
    space_config,
    space_of,
)
from tailornas.spaces.backbones import load_weights
from tailornas.spaces.genotypes import GENOTYPES
from tailornas.spaces.weights import read_weights

OWN = """
from torch import nn
from tailornas.spaces import Backbone, Choice

class Small(Backbone):
    def __init__(self, classes, *, width=4):
        super().__init__(width, classes)
        self.op = Choice("op", {"a": nn.Conv2d(3, width, 1), "b": nn.Conv2d(3, width, 3, padding=1)})

    def features(self, x):
        return self.op(x).mean((2, 3))
"""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def built(backbone: str, classes: int = 10, seed: int = 0, weights: str | None = None, **space: Any) -> Backbone:
    section = space_config(space.pop("name"), space) if space else None
    return build_backbone(BackboneConfig(name=backbone, weights=weights), section, 8, classes, seeded(seed))


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [("resnet20", 0.27, 41), ("resnet32", 0.46, 69), ("resnet44", 0.66, 97), ("resnet56", 0.85, 126)],
)
def test_the_published_sizes_of_the_cifar_resnets(name: str, params: float, macs: float) -> None:
    """He et al. 2016, table 6, in millions; of ResNet-32 all long-tail results are published."""
    cost = count(built(name), 32)
    assert round(cost.params / 1e6, 2) == pytest.approx(params, abs=0.011)
    assert cost.macs / 1e6 == pytest.approx(macs, rel=0.015)


def test_resnet32_is_the_default_and_exact() -> None:
    """Counted by hand: 3 -> 16, ten convolutions a stage, batch norms, no weights in shortcuts, 64 x 10 + 10."""
    network = build_backbone(BackboneConfig(), None, 32, 10, seeded())
    assert isinstance(network, CifarResNet)
    assert network.depth == 32
    weights = 27 * 16 + 9 * (10 * 16 * 16 + 16 * 32 + 9 * 32 * 32 + 32 * 64 + 9 * 64 * 64)
    norms = 2 * (11 * 16 + 10 * 32 + 10 * 64)
    assert count(network, 32).params == weights + norms + 650 == 464_154


def test_weights_come_from_the_generator() -> None:
    state = torch.get_rng_state()
    first, again, other = (built("resnet20", seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert not torch.equal(first["conv.weight"], other["conv.weight"])
    assert not torch.equal(first["head.weight"], other["head.weight"])


ARCHITECTURE = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"


def test_an_architecture_of_a_space() -> None:
    network = built(f"nasbench201:{ARCHITECTURE}", classes=4)
    assert network(torch.randn(2, 3, 8, 8)).shape == (2, 4)
    narrow = built(f"nasbench201:{ARCHITECTURE}", classes=4, name="nasbench201", channels=4)
    assert count(narrow, 8).params < count(network, 8).params / 8
    assert not any("Choice" in type(module).__name__ for module in network.modules())


def test_an_architecture_of_a_users_own_space(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    name = f"{tmp_path / 'own.py'}:Small"
    network = built(f'{name}:{{"op": "b"}}', classes=4, name=name, width=6)
    assert count(network, 8).params == 6 * 27 + 6 + 4 * 6 + 4


def test_a_backbone_of_a_users_own_space_names_it(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    assert count(built(f'{tmp_path / "own.py"}:Small:{{"op": "b"}}', classes=4), 8).params > 0


@pytest.mark.parametrize(
    ("backbone", "space"),
    [
        ("nasbench201:|skip_connect~0|", "nasbench201"),
        ('my space.py:Net:{"a": "b:c"}', "my space.py:Net"),
        ("/a/b.py:Net2:{}", "/a/b.py:Net2"),
        ("timm:resnet18", None),
        ("resnet32", None),
        ("resnet:", None),
        ("my_space.py:Net", None),
        ("runs/photos", None),
    ],
)
def test_the_space_that_a_backbone_names(backbone: str, space: str | None) -> None:
    assert space_of(backbone) == space


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"name": "resnet33"}, ConfigError, r"ResNet depth 33: expected 6n \+ 2"),
        ({"name": "vgg16"}, UnknownNameError, "unknown backbone 'vgg16': expected one of .*resnet32.*timm:NAME"),
        ({"name": ""}, UnknownNameError, "unknown backbone ''"),
        ({"name": "nasbench201:three"}, ArchitectureError, "NAS-Bench-201 cell, position 0: expected"),
        ({"name": "resnet32", "space": "nasbench201"}, ConfigError, "'resnet32' is of no search space: leave the"),
        (
            {"name": f"nasbench201:{ARCHITECTURE}", "space": "darts"},
            ConfigError,
            "of the space 'nasbench201' but the section 'space' is of 'darts'",
        ),
        (
            {"name": "timm:resnet18", "space": "darts"},
            ConfigError,
            "'timm:resnet18' is of no search space: leave the",
        ),
        (
            {"name": "no.py:Net:{}", "space": "darts"},
            ConfigError,
            "the space 'no.py:Net' but the section 'space' is of",
        ),
        ({"name": "no.py:Net:{}"}, ConfigError, "cannot read the space 'no.py:Net'"),
        ({"name": "no.py:Net:{}", "weights": "online"}, ConfigError, "only timm's models have weights online"),
        ({"name": "timm:resnet19"}, UnknownNameError, "unknown timm model 'resnet19'"),
        ({"name": "resnet20", "weights": "online"}, ConfigError, "only timm's models have weights online, not 'resnet"),
        ({"name": "resnet20", "weights": "none.pt"}, CheckpointError, "cannot read the weights none.pt: No such file"),
        (
            {"name": "resnet20", "weights": "none.safetensors"},
            CheckpointError,
            "cannot read the weights none.safetensors: No such file",
        ),
    ],
)
def test_what_is_refused(arguments: dict[str, str], kind: type[TailorNASError], message: str) -> None:
    space = {"name": arguments["space"]} if "space" in arguments else {}
    config = BackboneConfig(name=arguments["name"], weights=arguments.get("weights"))
    section = space_config(space["name"], {}) if space else None
    with pytest.raises(kind, match=message) as caught:
        build_backbone(config, section, 8, 10, seeded())
    assert "\n" not in str(caught.value)
    with pytest.raises(kind, match=re.escape(str(caught.value))):
        check_backbone(config, section)


def test_what_only_some_images_or_classes_can_have_is_not_refused_before_they_are_there(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    for name in ("timm:vit_tiny_patch16_224", f'{tmp_path / "own.py"}:Small:{{"op": "b"}}'):
        check_backbone(BackboneConfig(name=name), None)
    space, path = space_config("darts", {"auxiliary": True}), tmp_path / "weights.safetensors"
    config = BackboneConfig(name=f"darts:{GENOTYPES['SNAS']}")
    safetensors.torch.save_file(build_backbone(config, space, 32, 10, seeded()).state_dict(), path)
    check_backbone(config.model_copy(update={"weights": str(path)}), space)


def written(path: Path, tensors: dict[str, Tensor]) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    else:
        torch.save({"state_dict": tensors} if path.suffix == ".tar" else tensors, path)
    return path


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt", "weights.pth.tar"])
def test_weights_survive_a_file(tmp_path: Path, name: str) -> None:
    trained = built("resnet20", seed=1)
    trained(torch.randn(4, 3, 8, 8))  # moves the statistics of the batch norms
    path = written(tmp_path / name, trained.state_dict())
    network = built("resnet20", weights=str(path))
    assert network.state_dict().keys() == trained.state_dict().keys()
    assert all(torch.equal(tensor, trained.state_dict()[key]) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize("classes", [7, 10])
def test_with_other_classes_the_head_stays_new(tmp_path: Path, classes: int) -> None:
    trained = built("resnet20", seed=1)
    path = written(tmp_path / "weights.pt", trained.state_dict())
    fresh, network = built("resnet20", classes), built("resnet20", classes, weights=str(path))
    assert torch.equal(network.state_dict()["conv.weight"], trained.state_dict()["conv.weight"])
    assert (fresh.head_trained, network.head_trained) == (False, classes == 10)
    head = trained if classes == 10 else fresh
    for name in ("head.weight", "head.bias"):
        assert torch.equal(network.state_dict()[name], head.state_dict()[name])


@pytest.mark.parametrize("kind", ["cosine", "etf", "lws"])
def test_a_head_of_another_kind_for_as_many_classes_is_told_of(tmp_path: Path, kind: str) -> None:
    """The network has a random head: a user who takes it for the trained one would measure chance."""
    trained = built("resnet20", seed=1)
    linear = linear_head(64, 10, seeded())
    trained.head = LWSHead(linear) if kind == "lws" else build_head(kind, 64, 10, seeded())
    path = written(tmp_path / "weights.pt", trained.state_dict())
    sentence = (
        f"The head in {path} is not a linear one with a bias, and only such a head is gone on from: this one is new."
    )
    with pytest.warns(UserWarning, match=re.escape(sentence) + r" tailornas\.load_classifier rebuilds") as caught:
        network = built("resnet20", weights=str(path))
    assert caught[0].filename == __file__
    told: list[str] = []
    config = BackboneConfig(name="resnet20", weights=str(path))
    build_backbone(config, None, 8, 10, seeded(), tell=told.append)
    assert told == [sentence]
    build_backbone(config, None, 8, 7, seeded())  # for other classes any head is a new one
    fresh, found = built("resnet20").state_dict(), network.state_dict()
    assert not network.head_trained
    assert all(
        torch.equal(found[name], (fresh if name.startswith("head.") else trained.state_dict())[name]) for name in found
    )


def without(tensors: dict[str, Tensor]) -> None:
    del tensors["blocks.0.conv1.weight"], tensors["bn.weight"]


def with_more(tensors: dict[str, Tensor]) -> None:
    tensors["blocks.9.conv1.weight"] = torch.zeros(1)


def of_another_shape(tensors: dict[str, Tensor]) -> None:
    tensors["conv.weight"] = torch.zeros(8, 3, 3, 3)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without, "lacks 'bn.weight' and 1 more: expected weights of the same backbone"),
        (with_more, "has, beyond this network's, 'blocks.9.conv1.weight': expected weights of the same backbone"),
        (of_another_shape, r"'conv.weight' is \(8, 3, 3, 3\), expected \(16, 3, 3, 3\): expected weights of the same"),
    ],
)
def test_weights_of_another_network_are_refused_and_change_nothing(tmp_path: Path, spoil: Any, message: str) -> None:
    tensors = built("resnet20", seed=1).state_dict()
    spoil(tensors)
    network = built("resnet20")
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(CheckpointError, match=message) as caught:
        load_weights(network, written(tmp_path / "weights.pt", tensors))
    assert "\n" not in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


class Evil:
    """A pickle of it would write a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"from pathlib import Path; Path({str(self.path)!r}).write_text('executed')",)


@pytest.mark.parametrize("how", ["torch", "old torch", "pickle"])
def test_nothing_in_a_file_is_executed(tmp_path: Path, how: str) -> None:
    path, trace = tmp_path / "weights.pt", tmp_path / "trace"
    content = {"conv.weight": Evil(trace)}
    if how == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(CheckpointError, match=r"cannot read the weights .*weights\.pt: it is damaged, cut short or no"):
        read_weights(path)
    assert not trace.exists()
    if how == "pickle":  # the trap works
        pickle.loads(path.read_bytes())
        assert trace.read_text() == "executed"


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "network.pt")
    with pytest.raises(CheckpointError, match="no file of plain tensors"):
        read_weights(tmp_path / "network.pt")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("keep", [0, 5, 0.5, -1])
def test_files_that_are_damaged_or_cut_short(tmp_path: Path, suffix: str, keep: float) -> None:
    path = written(tmp_path / f"weights{suffix}", {"a": torch.ones(100)})
    content = path.read_bytes()
    end = int(keep * len(content)) if 0 < keep < 1 else int(keep)
    path.write_bytes(content[:end] or b"")
    with pytest.raises(CheckpointError, match=r"cannot read the weights .*: it is damaged, cut short or .*; download"):
        read_weights(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_files_of_something_else(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_text("<html>404 Not Found</html>")
    with pytest.raises(CheckpointError, match="damaged, cut short or no file of plain tensors") as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)


def test_a_folder_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot read the weights .*: Is a directory"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(2)], "holds a list: expected tensors by name, or these as 'state_dict'"),
        (torch.ones(2), "holds a Tensor: expected tensors by name"),
        ({}, "holds an empty dict: expected tensors by name"),
        ({"state_dict": {}}, "holds an empty dict: expected tensors by name"),
        ({"epoch": 3, "a": torch.ones(2)}, "the entry 'epoch' is a int: expected tensors by name"),
        ({0: torch.ones(2)}, "the entry 0 is a Tensor: expected tensors by name"),
    ],
)
def test_files_of_other_values(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match=message) as caught:
        read_weights(tmp_path / "weights.pt")
    assert "\n" not in str(caught.value)
