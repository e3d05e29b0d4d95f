import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tailornas.errors import ArchitectureError, ConfigError, TailorNASError
from tailornas.spaces import Backbone, SearchSpace, build_space, identify, space_config

EXAMPLE = Path(__file__).parents[2] / "docs" / "how-to" / "examples" / "my_space.py"

IMPORTS = """
import torch
from torch import nn
from tailornas.spaces import Backbone, Choice
"""

FEATURES = """
class Net(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.op = Choice("op", {"conv": nn.Conv2d(width, width, 1), "skip": nn.Identity()})
    def forward(self, x):
        return self.op(self.stem(x)).mean((2, 3))
"""

CLASSIFIER = """
class Net(nn.Module):
    def __init__(self, num_classes, width=8, *, relu=True):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, width, 1), Choice("op", {"relu": nn.ReLU(), "skip": nn.Identity()}))
        self.tail = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(width * 64, num_classes))
    def forward(self, x):
        return self.tail(self.body(x))
"""

UNBIASED = """
class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.op = Choice("op", {"conv": nn.Conv2d(3, 3, 1, bias=False), "skip": nn.Identity()})
        self.head = nn.Linear(3, classes)
    def forward(self, x):
        return self.head(self.op(x).mean((2, 3)))
"""

BACKBONE = """
class Net(Backbone):
    def __init__(self, classes):
        super().__init__(3, classes)
        self.op = Choice("op", {"relu": nn.ReLU(), "skip": nn.Identity()})
    def features(self, x):
        return self.op(x).mean((2, 3))
"""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def written(body: str, attribute: str = "Net") -> str:
        (tmp_path / "space.py").write_text(IMPORTS + body)
        return f"{tmp_path}/space.py:{attribute}"

    return written


def build(name: str, classes: int = 5, image_size: int = 8, **settings: Any) -> SearchSpace[Backbone]:
    return build_space(space_config(name, settings), classes, seeded(), image_size)


@pytest.mark.parametrize(("body", "features"), [(FEATURES, 8), (CLASSIFIER, 512), (BACKBONE, 3)])
def test_three_forms_are_backbones(write: Callable[..., str], body: str, features: int) -> None:
    space = build(write(body))
    arch = space.sample(seeded())
    network = space.derive(arch).eval()
    images = torch.randn(2, 3, 8, 8, generator=seeded())
    assert network.features(images).shape == (2, features)
    assert network.feature_dim == features
    assert network(images).shape == (2, 5)
    assert torch.equal(network(images), network.head(network.features(images)))
    with space.activate(arch), torch.no_grad():
        assert torch.equal(space.network.eval()(images), network(images))


def test_features_that_are_normalised_are_no_mistake(write: Callable[..., str]) -> None:
    mean = "self.op(x).mean((2, 3))"
    assert build(write(UNBIASED.replace(mean, f"{mean} / {mean}.norm(dim=1, keepdim=True)"))).size == 2


def test_the_example_has_three_decisions() -> None:
    space = build(f"{EXAMPLE}:Net", classes=7)
    assert list(space.decisions) == ["first", "second", "third"]
    assert space.size == 18
    assert space.network.head.out_features == 7
    lines = [line for line in EXAMPLE.read_text().partition("class Net")[2].splitlines() if line.strip()]
    assert len(lines) <= 12


def test_settings_are_arguments_and_weights_follow_the_generator(write: Callable[..., str]) -> None:
    name = write(FEATURES)
    state = torch.random.get_rng_state()
    first, again = build(name, width=4), build(name, width=4)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.network.feature_dim == 4
    for one, other in zip(first.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(one, other)


def test_it_is_tried_in_the_mode_it_is_left_in(write: Callable[..., str]) -> None:
    space = build(write(CLASSIFIER))
    assert all(module.training for module in space.network.modules())


def test_files_beside_it_can_be_imported(tmp_path: Path, write: Callable[..., str]) -> None:
    (tmp_path / "my_blocks_of_a_test.py").write_text("WIDTH = 6\n")
    name = write("from my_blocks_of_a_test import WIDTH\n" + FEATURES.replace("width=8", "width=WIDTH"))
    before = list(sys.path)
    assert build(name).network.feature_dim == 6
    assert sys.path == before
    assert not list(tmp_path.glob("__pycache__/space*"))


def test_a_changed_file_is_read_again_and_is_another_space(write: Callable[..., str]) -> None:
    name = write(FEATURES)
    before = identify(space_config(name, {}))
    assert build(name).network.feature_dim == 8
    assert write(FEATURES.replace("width=8", "width=9")) == name
    assert build(name).network.feature_dim == 9
    assert identify(space_config(name, {})) != before
    write(FEATURES)
    assert identify(space_config(name, {})) == before
    assert identify(space_config(name, {"width": 3})) != before


def test_where_the_file_lies_does_not_matter(write: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    name = write(FEATURES)
    monkeypatch.chdir(Path(name.partition(":")[0]).parent)
    assert identify(space_config("space.py:Net", {})) == identify(space_config(name, {}))
    assert build("space.py:Net").size == 2


MISTAKES: dict[str, tuple[str, dict[str, Any], type[TailorNASError], str]] = {
    "no such class": (
        FEATURES.replace("Net", "Other"),
        {},
        ConfigError,
        r".*space\.py has no class 'Net': its modules are Other",
    ),
    "no module": ("Net = 3\n", {}, ArchitectureError, r"Net of .*space\.py is no class of torch\.nn\.Module: .*"),
    "a function": (
        "def Net():\n    pass\n",
        {},
        ArchitectureError,
        r"Net of .*space\.py is no class of torch\.nn\.Module: .*",
    ),
    "no choice": (
        "class Net(nn.Flatten):\n    pass\n",
        {},
        ArchitectureError,
        r"Net contains no .*: expected at least one decision",
    ),
    "two choices of one key": (
        FEATURES.replace(
            "self.op =", "self.other = Choice('op', {'skip': nn.Identity(), 'conv': nn.Identity()})\n        self.op ="
        ),
        {},
        ArchitectureError,
        r"decisions that share the key 'op' must have the same options in the same order: .*",
    ),
    "no syntax": (
        "class Net(\n",
        {},
        ConfigError,
        r".*space\.py cannot be imported: SyntaxError: '\(' was never closed \(space\.py, line 5\)",
    ),
    "an import that fails": (
        "import nowhere_to_be_found\n" + FEATURES,
        {},
        ConfigError,
        r".*cannot be imported: ModuleNotFoundError: No module named 'nowhere_to_be_found' \(line 5\)",
    ),
    "a constructor that raises": (
        FEATURES,
        {"width": -1},
        ArchitectureError,
        r"Net\(width=-1\) of .*space\.py:Net failed: \w+: .*",
    ),
    "unknown parameter": (
        FEATURES,
        {"wdith": 3},
        ConfigError,
        r"space '.*space\.py:Net' has no parameter 'wdith': its parameters are width",
    ),
    "missing parameter": (
        FEATURES.replace("width=8", "width"),
        {},
        ConfigError,
        r"space '.*' needs its parameter 'width': give space\.width",
    ),
    "classes as a parameter": (
        CLASSIFIER,
        {"num_classes": 3},
        ConfigError,
        r"space '.*' has no parameter 'num_classes': its parameters are width, relu",
    ),
    "feature maps": (
        FEATURES.replace(".mean((2, 3))", ""),
        {},
        ArchitectureError,
        r"Net returns \(2, 8, 8, 8\) for 2 images: expected features, \(2, features\); pool them, .*",
    ),
    "no last layer": (
        FEATURES.replace("width=8", "classes, width=8"),
        {},
        ArchitectureError,
        r"Net takes the number of classes and has none: expected one nn\.Linear with 5 outputs .*",
    ),
    "something after the last layer": (
        CLASSIFIER.replace("return self.tail(self.body(x))", "return self.tail(self.body(x)).softmax(1)"),
        {},
        ArchitectureError,
        r"Net does not end in its linear layer 'tail\.2': .*",
    ),
    "two last layers": (
        CLASSIFIER.replace("super().__init__()", "super().__init__()\n        self.b = nn.Linear(5, num_classes)"),
        {},
        ArchitectureError,
        r"Net takes the number of classes and has 2: b, tail\.2: .*called head if there are several",
    ),
    "images of another size": (
        CLASSIFIER.replace("width * 64", "width * 49"),
        {},
        ArchitectureError,
        r'Net as \{"op": "relu"\} cannot take images of 8 x 8 pixels: RuntimeError: mat1 and mat2 .*',
    ),
    "no tensor": (
        FEATURES.replace("return self.op(self.stem(x)).mean((2, 3))", "return [x]"),
        {},
        ArchitectureError,
        r'Net as \{"op": "conv"\} returns list: expected a tensor',
    ),
    "an option that does not fit": (
        CLASSIFIER.replace('"skip": nn.Identity()', '"pool": nn.AvgPool2d(2)'),
        {},
        ArchitectureError,
        r'Net as \{"op": "pool"\} cannot take images of 8 x 8 pixels: RuntimeError: mat1 and mat2 .*',
    ),
    "features of a decided length": (
        FEATURES.replace('"skip": nn.Identity()', '"wide": nn.Conv2d(width, 2 * width, 1)'),
        {},
        ArchitectureError,
        r'Net as \{"op": "wide"\} returns \(2, 16\) for 2 images, with first options \(2, 8\): expected one shape; .*',
    ),
    "something after the last layer of a network without biases": (
        UNBIASED.replace("self.op(x).mean((2, 3)))", "y := self.op(x).mean((2, 3))) + y[:, :1]"),
        {},
        ArchitectureError,
        r"Net does not end in its linear layer 'head': .*",
    ),
    "weights that cannot be drawn": (
        FEATURES.replace("self.stem =", "self.scale = nn.Parameter(torch.ones(1))\n        self.stem ="),
        {},
        ArchitectureError,
        r"Net 'body' owns parameters that cannot be drawn anew: expected a method reset_parameters\(\)",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(write: Callable[..., str], mistake: str) -> None:
    body, settings, kind, pattern = MISTAKES[mistake]
    with pytest.raises(TailorNASError) as caught:
        build(write(body), **settings)
    assert type(caught.value) is kind
    assert re.fullmatch(pattern, str(caught.value)), str(caught.value)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("none.py:Net", r"cannot read the space 'none\.py:Net': No such file or directory: none\.py"),
        (".py:Net", r"cannot read the space '\.py:Net': No such file or directory: \.py"),
        ("none.py", r"space 'none\.py': expected FILE\.py:Class, such as my_space\.py:Net"),
        ("none.py:", r"space 'none\.py:': expected FILE\.py:Class, .*"),
        ("none:Net", r"space 'none:Net': expected FILE\.py:Class, .*"),
        ("a.py:b.c", r"space 'a\.py:b\.c': expected FILE\.py:Class, .*"),
    ],
)
def test_a_name_that_leads_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, pattern: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        build(name)
    assert re.fullmatch(pattern, str(caught.value)), str(caught.value)


def test_a_file_that_failed_is_imported_anew(write: Callable[..., str]) -> None:
    name = write("raise ValueError('not yet')\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"ValueError: not yet \(line 5\)"):
            build(name)
    write(FEATURES)
    assert build(name).size == 2


def test_a_layer_whose_work_would_go_uncounted_is_refused(tmp_path: Path) -> None:
    source = """
from torch import nn
from tailornas.spaces import Choice


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 1, batch_first=True)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        return self.attention(tokens, tokens, tokens)[0].transpose(1, 2).reshape(x.shape)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.block = Choice("block", {"skip": nn.Identity(), "attention": Attention()})

    def forward(self, x):
        return self.block(self.conv(x)).mean((2, 3))
"""
    path = tmp_path / "attentive.py"
    path.write_text(source)
    with pytest.raises(ArchitectureError, match=r"'block.attention' \(MultiheadAttention\) cannot be counted"):
        build_space(space_config(f"{path}:Net", {}), 3, torch.Generator().manual_seed(0), 8)
