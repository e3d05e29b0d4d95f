"""Networks of genotypes: published sizes, the definition, drop path, the auxiliary head."""

from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailornas.errors import ArchitectureError, ConfigError
from tailornas.spaces import count
from tailornas.spaces.darts_network import Cell, DARTSNetwork, darts_network
from tailornas.spaces.darts_operations import FeatureMap, operation
from tailornas.spaces.genotype import PRIMITIVES, Edge, Genotype
from tailornas.spaces.genotypes import GENOTYPES
from tailornas.spaces.operations import Identity

SKIPS = tuple(Edge("skip_connect", target, source) for target in (2, 3) for source in (0, 1))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(size: int = 8, batch: int = 3) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=generator(1))


def small(genotype: Genotype, cells: int = 6) -> DARTSNetwork:
    return darts_network(genotype, generator=generator(), channels=4, cells=cells, classes=5)


@cache
def published_size(name: str) -> tuple[int, int, int]:
    """Parameters and convolution MACs without the auxiliary head, and parameters with it."""
    with torch.device("meta"):
        network = darts_network(GENOTYPES[name], generator=generator(), auxiliary=True)
    cost = count(network, 32)
    assert network.auxiliary is not None
    auxiliary = sum(p.numel() for p in network.auxiliary.parameters())
    return cost.params - auxiliary, cost.macs - (network.feature_dim + 1) * 10, cost.params


@pytest.mark.parametrize(
    ("name", "params", "macs"), [("DARTS_V2", 3_349_342, 528_353_280), ("FairDARTS_a", 2_360_782, 371_450_880)]
)
def test_published_sizes(name: str, params: int, macs: int) -> None:
    assert published_size(name)[:2] == (params, macs)


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [("SNAS", 2.66, 422), ("NASNet", 3.83, 608)],
)
def test_sizes_in_millions_that_fairdarts_compares_with(name: str, params: float, macs: float) -> None:
    found = published_size(name)
    assert found[0] / 1e6 == pytest.approx(params, abs=0.01)
    assert found[1] / 1e6 == pytest.approx(macs, rel=0.01)


@pytest.mark.parametrize(
    ("run", "params", "macs"),
    [("a", 2.83, 373), ("g", 3.375, 453)],
)
def test_published_parameters_of_fairdarts_count_the_auxiliary_head(run: str, params: float, macs: float) -> None:
    found = published_size(f"FairDARTS_{run}")
    assert found[2] / 1e6 == pytest.approx(params, abs=0.01)
    assert found[1] / 1e6 == pytest.approx(macs, rel=0.005)


def normalize(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    mean, var, weight, bias = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, mean, var, weight, bias)


def halve(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    x = F.relu(x)
    halves = [
        F.conv2d(part, state[f"{name}.{c}.weight"], stride=2) for part, c in ((x, "conv1"), (x[:, :, 1:, 1:], "conv2"))
    ]
    return normalize(torch.cat(halves, 1), state, f"{name}.bn")


def squeeze(x: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    return normalize(F.conv2d(F.relu(x), state[f"{name}.block.0.weight"]), state, f"{name}.block.1")


def apply(kind: str, x: Tensor, stride: int, state: dict[str, Tensor], name: str) -> Tensor:
    if kind == "max_pool_3x3":
        return F.max_pool2d(x, 3, stride, 1)
    if kind == "avg_pool_3x3":
        return F.avg_pool2d(x, 3, stride, 1, count_include_pad=False)
    if kind == "skip_connect":
        return x if stride == 1 else halve(x, state, name)
    dilation = 2 if kind.startswith("dil") else 1
    padding = (int(kind[-1]) // 2) * dilation
    for block in range(2 if dilation == 1 else 1):
        depthwise = state[f"{name}.blocks.{block}.0.weight"]
        x = F.conv2d(F.relu(x), depthwise, None, stride if block == 0 else 1, padding, dilation, x.shape[1])
        x = F.conv2d(x, state[f"{name}.blocks.{block}.1.weight"])
        x = normalize(x, state, f"{name}.blocks.{block}.2")
    return x


def by_definition(genotype: Genotype, state: dict[str, Tensor], x: Tensor, cells: int) -> Tensor:
    """The network as the papers define it, node by node, without anything shared."""
    before = last = normalize(F.conv2d(x, state["stem.0.weight"], padding=1), state, "stem.1")
    reductions = (cells // 3, 2 * cells // 3)
    for i in range(cells):
        first = halve if i - 1 in reductions else squeeze
        nodes = {0: first(before, state, f"cells.{i}.input0"), 1: squeeze(last, state, f"cells.{i}.input1")}
        edges, concat = (
            (genotype.reduce, genotype.reduce_concat) if i in reductions else (genotype.normal, genotype.normal_concat)
        )
        position = 0
        for name, target, source in edges:
            if source in nodes:
                stride = 2 if i in reductions and source < 2 else 1
                term = apply(name, nodes[source], stride, state, f"cells.{i}.edges.{position}")
                nodes[target] = nodes[target] + term if target in nodes else term
                position += 1
        before, last = last, torch.cat([nodes[node] for node in concat if node in nodes], 1)
    return F.linear(last.mean((2, 3)), state["head.weight"], state["head.bias"])


@pytest.mark.parametrize("name", sorted(set(GENOTYPES) - {"NASNet", "AmoebaNet"}))
def test_networks_compute_their_definition(name: str) -> None:
    network = small(GENOTYPES[name]).double().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.running_var, module.weight.data, module.bias.data):
                assert tensor is not None
                tensor.copy_(torch.rand(tensor.shape, generator=generator(len(tensor))) + 0.5)
    x = images().double()
    with torch.no_grad():
        torch.testing.assert_close(network(x), by_definition(GENOTYPES[name], network.state_dict(), x, 6))


@pytest.mark.parametrize("name", ["NASNet", "AmoebaNet"])
def test_networks_of_other_spaces_run_too(name: str) -> None:
    network = small(GENOTYPES[name])
    loss: Tensor = network(images()).square().sum()
    torch.autograd.backward(loss)
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("size", [1, 5, 8, 11])
def test_all_image_sizes_run(size: int) -> None:
    network = small(GENOTYPES["DARTS_V2"], cells=3)
    assert network(images(size)).shape == (3, 5)
    assert network.eval()(images(size, batch=1)).shape == (1, 5)


@pytest.mark.parametrize(("cells", "strides"), [(3, [1, 2, 2]), (4, [1, 2, 2, 1]), (8, [1, 1, 2, 1, 1, 2, 1, 1])])
def test_cells_after_one_and_two_thirds_reduce(cells: int, strides: list[int]) -> None:
    network = small(GENOTYPES["DARTS_V2"], cells)
    assert [cell.stride for cell in network.cells if isinstance(cell, Cell)] == strides
    assert network.feature_dim == 4 * 4 * 4


def test_a_network_has_a_replaceable_head() -> None:
    network = small(GENOTYPES["FairDARTS_a"])
    assert network.feature_dim == 3 * 16
    assert network.features(images()).shape == (3, 48)
    network.head = nn.Linear(48, 2)
    assert network(images()).shape == (3, 2)


def test_networks_depend_on_the_generator_alone_and_leave_the_global_one_alone() -> None:
    state = torch.random.get_rng_state()
    first, again = small(GENOTYPES["DARTS_V1"]), small(GENOTYPES["DARTS_V1"])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_cells_without_any_node_are_refused() -> None:
    with pytest.raises(
        ArchitectureError, match="the reduce cell of the genotype has no node with inputs in its output"
    ):
        small(Genotype(SKIPS, (2, 3), (Edge("skip_connect", 3, 2),), (2, 3)))
    with pytest.raises(ArchitectureError, match="the normal cell"):
        small(Genotype(SKIPS, (4,), SKIPS, (2, 3)))


def test_fewer_than_three_cells_are_refused() -> None:
    with pytest.raises(ConfigError, match="2 cells: expected at least 3"):
        small(GENOTYPES["DARTS_V2"], cells=2)


def test_a_node_without_terms_is_zeros_as_large_as_the_others() -> None:
    for stride in (1, 2):
        edge = (0, 2, operation("max_pool_3x3", 2, stride, search=False))
        cell = Cell((3, 3), 2, [edge], (2, 3), stride=stride, halve=False, affine=True)
        output = cell(FeatureMap(images(5)), FeatureMap(images(5))).value
        assert output.shape == (3, 4, -(-5 // stride), -(-5 // stride))
        assert output[:, :2].abs().sum() > 0
        assert (output[:, 2:] == 0).all()


def test_auxiliary_head() -> None:
    network = darts_network(
        GENOTYPES["DARTS_V2"], generator=generator(), channels=4, cells=3, classes=5, auxiliary=True
    )
    logits, auxiliary = network.forward_with_auxiliary(images(32))
    assert logits.shape == auxiliary.shape == (3, 5)
    torch.testing.assert_close(network(images(32)), logits)
    loss = logits.sum() + auxiliary.square().sum()
    torch.autograd.backward(loss)
    assert all(p.grad is not None for p in network.parameters())
    with pytest.raises(ConfigError, match=r"images of 32 pixels, .* and these have 16: leave auxiliary out of the sp"):
        network.forward_with_auxiliary(images(16))
    assert network(images(16)).shape == (3, 5)
    with pytest.raises(ConfigError, match="no auxiliary head"):
        small(GENOTYPES["DARTS_V2"]).forward_with_auxiliary(images(32))


@pytest.mark.parametrize(("size", "fits"), [(28, False), (29, True), (32, True), (33, False)])
def test_images_that_an_auxiliary_head_can_be_trained_with(size: int, fits: bool) -> None:
    network = darts_network(GENOTYPES["DARTS_V2"], generator=generator(), channels=4, cells=3, auxiliary=True)
    small(GENOTYPES["DARTS_V2"]).check_image_size(size)
    if fits:
        network.check_image_size(size)
        assert network.forward_with_auxiliary(images(size))[1].shape == (3, 10)
    else:
        with pytest.raises(ConfigError, match=f"these have {size}"):
            network.check_image_size(size)


def test_the_auxiliary_head_computes_in_float32_too() -> None:
    """In bfloat16 logits would tie, and a tie goes to the largest class."""
    network = darts_network(GENOTYPES["DARTS_V2"], generator=generator(), channels=4, cells=3, auxiliary=True)
    with torch.autocast("cpu", torch.bfloat16):
        logits, auxiliary = network.forward_with_auxiliary(images(32))
    assert logits.dtype == auxiliary.dtype == torch.float32


def test_drop_path_is_drawn_image_by_image_from_its_generator_in_training_only() -> None:
    network = small(GENOTYPES["DARTS_V2"])
    x = images(8, batch=1).repeat(6, 1, 1, 1)

    def run(probability: float, seed: int = 0) -> Tensor:
        network.drop_path(probability, generator(seed))
        with torch.no_grad():
            return network.features(x)

    state = torch.random.get_rng_state()
    whole = run(0.0)
    dropped = run(0.4)
    assert torch.equal(dropped, run(0.4))
    assert not torch.equal(dropped, run(0.4, seed=1))
    assert not torch.allclose(dropped, whole)
    assert len(torch.unique(dropped, dim=0)) == 6
    assert torch.equal(run(0.0), whole)
    assert torch.equal(torch.random.get_rng_state(), state)
    network.eval()
    assert torch.equal(run(0.4), run(0.0))


def test_dropped_edges_give_nothing_and_kept_ones_more() -> None:
    pools = tuple(Edge("max_pool_3x3", 2, source) for source in (0, 1))
    network = small(Genotype((*pools, Edge("skip_connect", 3, 0)), (2, 3), SKIPS, (2, 3)), cells=4)
    cell = network.cells[0]
    assert isinstance(cell, Cell)
    assert isinstance(cell.edges[2], Identity)
    seen: dict[str, Tensor] = {}
    for name, kept in (("whole", None), ("half", torch.tensor([[2.0, 0.0], [0.0, 0.0], [0.0, 0.0]]))):
        stem = network.stem(images(8, batch=2))
        seen[name] = cell(FeatureMap(stem), FeatureMap(stem), kept).value
        if kept is None:
            first = F.max_pool2d(cell.input0(FeatureMap(stem)), 3, 1, 1)
    assert (seen["half"][1, :4] == 0).all()
    torch.testing.assert_close(seen["half"][0, :4], 2 * first[0])
    torch.testing.assert_close(seen["half"][:, 4:], seen["whole"][:, 4:])


@pytest.mark.parametrize("probability", [-0.1, 1.0, float("nan")])
def test_impossible_probabilities_are_refused(probability: float) -> None:
    with pytest.raises(ConfigError, match=r"drop path probability .*: expected a number in \[0, 1\)"):
        small(GENOTYPES["DARTS_V2"]).drop_path(probability, generator())


def test_drop_path_needs_a_generator() -> None:
    with pytest.raises(ConfigError, match="expected a generator"):
        small(GENOTYPES["DARTS_V2"]).drop_path(0.1)


def test_networks_can_be_traced_whole_for_any_batch_size() -> None:
    every = tuple(Edge(name, target, 0) for target, name in enumerate(PRIMITIVES[1:], start=2))
    network = small(Genotype(every, tuple(range(2, 9)), every, tuple(range(2, 9))), cells=3).eval()
    dynamic = ({0: torch.export.Dim("batch")},)
    exported = torch.export.export(network, (torch.zeros(2, 3, 8, 8),), dynamic_shapes=dynamic).module()
    torch.testing.assert_close(exported(images(batch=5)), network(images(batch=5)))
