"""What holds of every search space: run over all of the package's and one that a user would write."""

from collections.abc import Callable
from functools import cache
from itertools import combinations
from typing import Any, final

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tailornas.errors import ArchitectureError
from tailornas.spaces import (
    Backbone,
    Choice,
    Cost,
    Dimension,
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticDepth,
    ElasticLinear,
    SearchSpace,
    count,
    elastic_resnet,
    nasbench201,
    nats_size,
)
from tailornas.spaces.choice import Deciding
from tailornas.spaces.darts import darts
from tailornas.spaces.mobilenet import mobilenet
from tailornas.types import Architecture


class Tiny(nn.Module):
    """A user's module: three choices, one of them inside an option of another."""

    def __init__(self) -> None:
        super().__init__()
        deep = nn.Sequential(conv_bn(3), Choice("inner", {"one": conv_bn(1), "pool": nn.AvgPool2d(3, 1, 1)}))
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.first = Choice("first", {"deep": deep, "skip": nn.Identity()})
        self.second = Choice("second", {"three": conv_bn(3), "one": conv_bn(1), "skip": nn.Identity()})
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(F.relu(self.first(self.stem(x))))
        return torch.as_tensor(self.head(x.mean((2, 3))))


def conv_bn(kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(6, 6, kernel, padding=kernel // 2), nn.BatchNorm2d(6))


class Elastic(nn.Module):
    """A user's module of elastic layers of every kind, and a choice that exists at the larger depth only."""

    def __init__(self) -> None:
        super().__init__()
        self.width = Dimension("width", {"narrow": 4, "wide": 8})
        hidden = Dimension("width", {"narrow": 6, "wide": 7})
        kernel = Dimension("kernel", {"three": 3, "five": 5, "one": 1})
        self.stem = ElasticConv2d(3, self.width, 3, stride=2, bias=True)
        blocks = (InvertedResidual(self.width, hidden, kernel, place) for place in range(3))
        self.blocks = ElasticDepth(Dimension("depth", {"none": 0, "one": 1, "three": 3}), list(blocks))
        self.head = ElasticLinear(self.width, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.head(self.blocks(self.stem(x)).mean((2, 3))))


class InvertedResidual(nn.Module):
    def __init__(self, width: Dimension, hidden: Dimension, kernel: Dimension, place: int) -> None:
        super().__init__()
        self.expand = nn.Sequential(ElasticConv2d(width, hidden, 1), ElasticBatchNorm2d(hidden))
        self.depthwise = ElasticConv2d(hidden, hidden, kernel, depthwise=True, transform=True)
        self.bn = ElasticBatchNorm2d(hidden)
        self.activation = Choice(f"activation{place}", {"relu": nn.ReLU(), "swish": nn.Hardswish()})
        self.project = nn.Sequential(ElasticConv2d(hidden, width, 1), ElasticBatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.bn(self.depthwise(F.relu(self.expand(x))))
        return torch.as_tensor(x + self.project(self.activation(hidden)))


SPACES: dict[str, Callable[[], SearchSpace[nn.Module]]] = {
    "darts": lambda: darts(generator=seeded(0), channels=4, cells=3, classes=4),
    "darts-evaluation": lambda: darts(generator=seeded(0), channels=4, cells=3, classes=4, form="evaluation"),
    "elastic": lambda: SearchSpace(Elastic()),
    "mobilenet": lambda: mobilenet(generator=seeded(0), width=0.125, classes=4),
    "mobilenet-resolutions": lambda: mobilenet(generator=seeded(0), width=0.125, classes=4, resolutions=(64, 80)),
    "nasbench201": lambda: nasbench201(generator=seeded(0), channels=4, cells_per_stage=1, classes=4),
    "nats_size": lambda: nats_size(generator=seeded(0), classes=4),
    "resnet": lambda: elastic_resnet(generator=seeded(0), channels=4, depths=(1, 2), classes=4),
    "tiny": lambda: SearchSpace(Tiny()),
}


SIZES = {"mobilenet": 128}
"""Sizes of the images that show everything of a space, other than 8.

MobileNetV3 sees a 32nd of the size last. In 2 x 2 pixels kernels of 3, 5 and 7 are one, so that their weights have no
gradient; and batch norms over so few numbers make of bfloat16's rounding errors of any size.
"""


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def built(name: str) -> SearchSpace[nn.Module]:
    return SPACES[name]()


@pytest.fixture(params=sorted(SPACES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def space(name: str) -> SearchSpace[nn.Module]:
    return built(name)


@pytest.fixture
def x(name: str) -> Tensor:
    return images(SIZES.get(name, 8))


def images(size: int, batch: int = 4) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=seeded(1))


def one_hot(space: SearchSpace[nn.Module], choices: dict[str, str]) -> dict[str, Tensor]:
    return {
        key: torch.tensor([float(name == choices[key]) for name in names]) for key, names in space.decisions.items()
    }


def gradients(network: nn.Module) -> list[Tensor]:
    """Those that came, without those of matrices that make kernels smaller: derived networks have none of these."""
    return [p.grad for name, p in network.named_parameters() if p.grad is not None and ".transforms." not in name]


@final
class Work(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts multiply-accumulates by the operations that torch runs, whatever module or function asks for them.

    Convolutions with constants are left out: they are poolings.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.convolutions = self.products = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default:
            weight, bias = args[1:3]
            if weight.requires_grad:
                self.convolutions += output.numel() * (weight[0].numel() + (bias is not None))
        elif func in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default):
            self.products += output.numel() * (args[-1].shape[0] + (len(args) == 3))
        return output


def modes(network: nn.Module) -> list[object]:
    """What is active at every decision of the network."""
    deciding = [module for module in network.modules() if isinstance(module, Deciding)]
    return [decision.active for module in deciding for decision in module.decisions()]


def test_a_path_trains_the_parameters_of_its_options_alone(space: SearchSpace[nn.Module], x: Tensor) -> None:
    source = seeded(2)
    for _ in range(3):
        arch = space.sample(source)
        network = space.derive(arch)
        network(x).square().sum().backward()
        space.network.zero_grad()
        with space.activate(arch):
            space.network(x).square().sum().backward()
        # Of weights that are sliced, the gradient is that of the slice, with nothing outside of it.
        for path, derived in zip(gradients(space.network), gradients(network), strict=True):
            assert path.count_nonzero() == derived.count_nonzero()
            torch.testing.assert_close(path.norm(), derived.norm(), rtol=1e-3, atol=1e-5)
        assert len(gradients(network)) == len(list(network.parameters()))
        space.network.zero_grad()


def test_a_path_does_the_work_that_its_cost_says(space: SearchSpace[nn.Module]) -> None:
    source = seeded(14)
    for _ in range(3):
        arch = space.sample(source)
        network = space.derive(arch)
        with Work() as derived:
            network(images(7, batch=2))
        with Work() as path, space.activate(arch):
            space.network(images(7, batch=2))
        assert derived.convolutions + derived.products == 2 * space.cost(arch, 7).macs > 0
        assert path.convolutions == derived.convolutions  # products make kernels smaller too


def test_a_derived_network_is_of_plain_modules(space: SearchSpace[nn.Module]) -> None:
    network = space.derive(space.sample(seeded(15)))
    for module in network.modules():
        assert not isinstance(module, Deciding)
        assert not any(isinstance(value, Dimension) for value in vars(module).values())


def test_every_parameter_of_a_derived_network_is_trained(space: SearchSpace[nn.Module]) -> None:
    network = space.derive(space.sample(seeded(3)), generator=seeded(0))
    network(images(8)).square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("training", [True, False])
def test_a_path_is_a_mixture_with_weights_one_and_zero(
    space: SearchSpace[nn.Module], x: Tensor, training: bool
) -> None:
    source, paths = seeded(4), {}
    space.network.train(training)
    for _ in range(3):
        arch = space.simplify(space.sample(source))
        with torch.inference_mode():
            with space.activate(arch):
                paths[arch] = path = space.network(x)
            with space.mix(one_hot(space, dict(arch))):
                mixture = space.network(x)
        torch.testing.assert_close(mixture, path, rtol=1e-4, atol=1e-4)
    assert not all(torch.allclose(*pair, rtol=1e-2, atol=1e-2) for pair in combinations(paths.values(), 2))
    space.network.train()


def test_gradients_reach_all_mixture_weights(space: SearchSpace[nn.Module], x: Tensor) -> None:
    logits = {key: torch.zeros(len(names), requires_grad=True) for key, names in space.decisions.items()}
    with space.mix({key: value.softmax(0) for key, value in logits.items()}):
        space.network(x).square().sum().backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in logits.values())
    space.network.zero_grad()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_derived_network_gives_the_same_bits(
    space: SearchSpace[nn.Module], training: bool, half: bool, memory_format: torch.memory_format
) -> None:
    source = seeded(5 + 4 * training + 2 * half + (memory_format is torch.channels_last))
    space.network.to(memory_format=memory_format).train(training)
    for size in (1, 7):
        x = images(size).contiguous(memory_format=memory_format)
        arch = space.sample(source)
        network = space.derive(arch)
        assert network.training == training
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            derived = network(x)
            with space.activate(arch):
                path = space.network(x)
        assert derived.dtype is (torch.bfloat16 if half and not isinstance(network, Backbone) else torch.float32)
        assert torch.equal(derived, path) and derived.isfinite().all()
        derived.float().square().sum().backward()
        state = {name: value.clone() for name, value in network.state_dict().items()}
        with torch.no_grad():
            network.train()(x)
        updated = any(not torch.equal(value, state[name]) for name, value in network.state_dict().items())
        assert updated == any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    space.network.to(memory_format=torch.contiguous_format).train()


def test_a_derived_network_keeps_the_mode_of_every_module(space: SearchSpace[nn.Module], x: Tensor) -> None:
    norms = [module for module in space.network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.eval()
    arch = space.sample(seeded(19))
    network = space.derive(arch)
    assert network.training
    assert not any(module.training for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    with space.activate(arch):
        assert torch.equal(network(x), space.network(x))
    assert not any(module.training for module in space.derive(arch).modules() if isinstance(module, nn.BatchNorm2d))
    space.network.eval()
    assert not any(module.training for module in space.derive(arch).modules())
    space.network.train()


def test_mixtures_run_under_autocast(space: SearchSpace[nn.Module], x: Tensor) -> None:
    weights = {key: torch.ones(len(names)) / len(names) for key, names in space.decisions.items()}
    with space.mix(weights), torch.inference_mode():
        exact = space.network(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = space.network(x)
    assert rounded.dtype is (torch.float32 if isinstance(space.network, Backbone) else torch.bfloat16)
    # A bfloat16 has 8 bits: three times the 0.016 that the deepest of the networks, DARTS, was measured to add up to.
    torch.testing.assert_close(rounded.float(), exact, atol=0.05, rtol=0)


def test_activate_puts_back_what_was_active_even_after_an_error(space: SearchSpace[nn.Module]) -> None:
    outer, inner = space.sample(seeded(6)), space.sample(seeded(7))
    with space.activate(outer):
        before = modes(space.network)
        with space.activate(inner):
            assert modes(space.network) != before
        assert modes(space.network) == before
        with pytest.raises(KeyError), space.activate(inner):
            raise KeyError
        assert modes(space.network) == before
        weights = {key: torch.ones(len(names)) for key, names in space.decisions.items()}
        with pytest.raises(KeyError), space.mix(weights):
            raise KeyError
        assert modes(space.network) == before
    assert set(modes(space.network)) == {None}
    with pytest.raises(ArchitectureError, match="has nothing active"):
        space.network(images(8))


def test_text_round_trip(space: SearchSpace[nn.Module]) -> None:
    source = seeded(8)
    for _ in range(1000):
        arch = space.sample(source)
        assert space.from_text(space.to_text(arch)) == arch


def test_simplify_and_identity_agree(space: SearchSpace[nn.Module]) -> None:
    source = seeded(9)
    for _ in range(200):
        arch = space.sample(source)
        simple = space.simplify(arch)
        assert space.simplify(simple) == simple
        assert space.identity(simple) == space.identity(arch)
        assert space.valid(simple)
        assert space.cost(simple, 7) == space.cost(arch, 7)


def test_identities_are_those_of_a_space_built_anew(name: str) -> None:
    fresh, source = SPACES[name](), seeded(10)
    for _ in range(20):
        arch = fresh.sample(source)
        assert fresh.identity(arch) == built(name).identity(arch)


@pytest.mark.parametrize("size", [1, 7])
def test_cost_is_that_of_the_derived_network(space: SearchSpace[nn.Module], size: int) -> None:
    source = seeded(11)
    for _ in range(4):
        arch = space.sample(source)
        cost = space.cost(arch, size)
        assert cost == count(space.derive(arch), size)
        assert space.cost(arch, size, named=True).params >= cost.params
        assert cost != Cost(0, 0)


@pytest.mark.parametrize("size", [1, 5, 8, 11])
def test_all_image_sizes_run(space: SearchSpace[nn.Module], size: int) -> None:
    network = space.derive(space.sample(seeded(12)))
    assert network(images(size)).shape == (4, 4)
    assert network.eval()(images(size, batch=1)).shape == (1, 4)


def test_random_draws_are_valid_and_repeatable(space: SearchSpace[nn.Module]) -> None:
    def walk(source: torch.Generator) -> list[str]:
        arch, keys = space.sample(source), []
        for _ in range(100):
            arch = space.crossover(space.mutate(arch, source), space.mutate(arch, source, rate=0.3), source)
            assert space.valid(arch)
            keys.append(space.identity(arch))
        return keys

    assert walk(seeded(13)) == walk(seeded(13))
    assert len(set(walk(seeded(13)))) > 2


def test_canonical_is_stable(name: str) -> None:
    fresh, source = SPACES[name](), seeded(16)
    for _ in range(20):
        arch = fresh.sample(source)
        assert built(name).canonical(Architecture(tuple(reversed(arch.choices)))) == fresh.canonical(arch)


def test_neighbours_differ_and_are_costed(space: SearchSpace[nn.Module]) -> None:
    arch = space.sample(seeded(17))
    near = space.neighbours(arch)
    assert near
    assert arch not in near
    assert len(set(near)) == len(near)
    assert all(map(space.valid, near))
    assert all(space.cost(other, 7).params > 0 for other in near[:: max(1, len(near) // 50)])


def test_malformed_text_missing_and_unknown_decisions_are_refused(space: SearchSpace[nn.Module]) -> None:
    arch = dict(space.sample(seeded(18)))
    last = list(arch)[-1]
    for text in ("", "no architecture", space.to_text(space.architecture(arch)) + "?", '{"no": "such"}'):
        with pytest.raises(ArchitectureError) as error:
            space.from_text(text)
        assert "\n" not in str(error.value)
    with pytest.raises(ArchitectureError, match="unknown decision 'no'"):
        space.architecture({**arch, "no": "such"})
    with pytest.raises(ArchitectureError, match="has the unknown option 'such'"):
        space.architecture({**arch, last: "such"})
    with pytest.raises(ArchitectureError, match=f"{last}.* is missing"):
        space.architecture({key: option for key, option in arch.items() if key != last})
