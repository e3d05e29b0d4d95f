"""NAS-Bench-201: published facts, the text form, isomorphism."""

import itertools
import random
from collections import defaultdict
from collections.abc import Mapping
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tailornas.errors import ArchitectureError
from tailornas.spaces import Choice, Cost, SearchSpace, cell_edges, count, nasbench201
from tailornas.spaces.nasbench201 import Cell, NASBench201
from tailornas.spaces.nasbench201_cells import (
    DECISIONS,
    OPERATIONS,
    all_cells,
    cell_from_nodes,
    cell_from_operations,
    cell_nodes,
    cell_operations,
)
from tailornas.spaces.operations import ReLUConvBN
from tailornas.types import Architecture

PUBLISHED = "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def space() -> SearchSpace[NASBench201]:
    return nasbench201(generator=generator(), channels=4, cells_per_stage=1)


def cell(*options: str) -> Architecture:
    """An architecture by its six options; 0 is none, s skip, 1 and 3 convolutions, p pooling."""
    names = {"0": "none", "s": "skip_connect", "1": "nor_conv_1x1", "3": "nor_conv_3x3", "p": "avg_pool_3x3"}
    return Architecture(tuple(zip(DECISIONS, (names[option] for option in options), strict=True)))


def first_cell(space: SearchSpace[NASBench201]) -> Cell:
    cell = space.network.cells[0]
    assert isinstance(cell, Cell)
    return cell


@cache
def everything() -> list[Architecture]:
    return [cell(*options) for options in itertools.product("0s13p", repeat=6)]


@cache
def classes() -> dict[str, set[Architecture]]:
    """Simplified architectures by identity."""
    members: dict[str, set[Architecture]] = defaultdict(set)
    for arch in everything():
        members[space().identity(arch)].add(space().simplify(arch))
    return members


def test_published_cost() -> None:
    full = nasbench201(generator=generator())
    arch = full.from_text(PUBLISHED)
    network = full.derive(arch)
    assert count(network, 32) == Cost(params=129_306, macs=15_647_370, activations=339_978)
    assert network.feature_dim == 64


def test_named_cost_counts_dead_operations_as_the_published_tables_do() -> None:
    arch = cell(*"000s01")
    alone = space().cost(cell(*"000s00"), 32)
    convolutions = Cost(sum(c * c + 2 * c for c in (4, 8, 16)), 3 * 4 * 4 * 32 * 32, (4 + 2 + 1) * 32 * 32)
    assert space().cost(arch, 32) == alone == count(space().derive(arch), 32)
    assert space().cost(arch, 32, named=True) == alone + convolutions


def test_derived_networks_can_be_traced_whole_for_any_batch_size() -> None:
    network = space().derive(cell(*"p1s3sp")).eval()
    dynamic = ({0: torch.export.Dim("batch")},)
    exported = torch.export.export(network, (torch.zeros(2, 3, 8, 8),), dynamic_shapes=dynamic).module()
    images = torch.randn(5, 3, 8, 8, generator=generator())
    torch.testing.assert_close(exported(images), network(images))


def test_supernets_depend_on_the_generator_alone_and_leave_the_global_one_alone() -> None:
    state = torch.random.get_rng_state()
    first, again, other = (
        nasbench201(generator=generator(s), channels=2, cells_per_stage=1).network for s in (0, 0, 1)
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


def test_published_numbers_of_architectures() -> None:
    assert space().size == len(everything()) == 15_625
    assert len({space().canonical(arch) for arch in everything()}) == 6_466


def test_valid_means_that_a_path_leads_from_input_to_output() -> None:
    assert sum(map(space().valid, everything())) == 15_284
    assert space().valid(cell(*"000s00"))
    assert not space().valid(cell(*"333000"))
    assert not space().valid(cell(*"003033"))


def test_simplify_removes_edges_from_nowhere_and_to_nowhere() -> None:
    assert space().simplify(cell(*"300s01")) == cell(*"000s00")
    assert space().simplify(cell(*"333sss")) == cell(*"333sss")
    assert space().simplify(cell(*"003033")) == cell(*"000000")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("30s00s", "000300"),  # skip connections only pass on
        ("3100ss", "1300ss"),  # nodes 1 and 2 exchanged
        ("31s00p", "3100pp"),  # pooling a sum is the sum of the pooled
        ("300s01", "000s00"),  # dead edges
    ],
)
def test_equal_networks_have_equal_identities(one: str, other: str) -> None:
    assert space().identity(cell(*one)) == space().identity(cell(*other))


def test_twice_one_convolution_is_not_the_sum_of_two() -> None:
    same, two = cell(*"30s0ss"), cell(*"3003s0")
    assert space().identity(same) == "nor_conv_3x3*(x) + nor_conv_3x3*(x)"
    assert space().identity(two) == "nor_conv_3x3(x) + nor_conv_3x3(x)"
    assert space().cost(same, 32).params < space().cost(two, 32).params


def test_identity_divides_the_space_into_classes_of_equal_cost() -> None:
    assert len(classes()) == 5_044
    assert all(len({space().cost(arch, 32) for arch in members}) == 1 for members in classes().values())


def test_the_published_key_divides_it_differently() -> None:
    """The numbers by which its documentation explains why it is not the identity."""
    params: dict[str, set[int]] = defaultdict(set)
    for arch in everything():
        params[space().canonical(arch)].add(space().cost(arch, 32).params)
    assert sum(len(params[space().canonical(arch)]) > 1 for arch in everything()) == 1_786
    assert sum(space().canonical(arch) != space().canonical(space().simplify(arch)) for arch in everything()) == 900


def by_definition(arch: Architecture, x: Tensor, edges: nn.ModuleList, owner: Mapping[int, int]) -> float:
    """The cell as the paper defines it, as one number; an edge runs the convolution of its ``owner``."""
    nodes: list[Tensor | None] = [x, None, None, None]
    for edge, (source, target, operation) in enumerate(cell_edges(arch)):
        start, end = nodes[source], nodes[target]
        if start is None or operation == "none":
            continue
        if operation == "skip_connect":
            term = start
        elif operation == "avg_pool_3x3":
            term = F.avg_pool2d(start, 3, 1, 1, count_include_pad=False)
        else:
            choice = edges[owner[edge]]
            assert isinstance(choice, Choice)
            option = choice.options[operation]
            assert isinstance(option, ReLUConvBN)
            term = option.bn(option.conv(F.relu(start)))
        nodes[target] = term if end is None else end + term
    return digest(torch.zeros_like(x) if nodes[3] is None else nodes[3])


def digest(x: Tensor) -> float:
    return (x * torch.arange(x.numel()).view(x.shape).sin()).sum().item()


def outputs(arch: Architecture, x: Tensor, edges: nn.ModuleList) -> list[float]:
    """One number for every assignment of the edges' weights to the convolutions of a cell, sorted."""
    kinds = [
        [edge for edge, (_, _, operation) in enumerate(cell_edges(arch)) if operation == kind]
        for kind in ("nor_conv_1x1", "nor_conv_3x3")
    ]
    results = []
    for first in itertools.permutations(range(len(kinds[0]))):
        for second in itertools.permutations(range(len(kinds[1]))):
            owner = dict(zip(kinds[0] + kinds[1], first + second, strict=True))
            results.append(by_definition(arch, x, edges, owner))
    return sorted(results)


def test_equal_keys_mean_equal_functions_and_different_keys_different_ones() -> None:
    edges = first_cell(nasbench201(generator=generator(), channels=3, cells_per_stage=1)).double().edges
    for seed, module in enumerate(edges.modules()):
        if isinstance(module, nn.BatchNorm2d):
            source = generator(seed)
            for values in (module.weight, module.bias, module.running_mean, module.running_var):
                assert values is not None
                values.data.uniform_(0.5, 1.5, generator=source)
    edges.eval()
    x = torch.randn(1, 3, 3, 3, dtype=torch.float64, generator=generator(1))
    few = [key for key in classes() if key.count("conv") <= 3]
    picked = random.Random(0).sample(few, 120)
    found = []
    with torch.inference_mode():
        for key in picked:
            first, *others = (outputs(arch, x, edges) for arch in sorted(classes()[key], key=str)[:4])
            for other in others:
                assert (first[0], first[-1]) == pytest.approx((other[0], other[-1]), abs=1e-9), key
            found.append((round(first[0], 7), round(first[-1], 7)))
    assert len(set(found)) == len(picked)


@given(st.tuples(*[st.sampled_from("0s13p")] * 6))
@settings(deadline=None, max_examples=40)
def test_cell_computes_its_definition(options: tuple[str, ...]) -> None:
    arch = cell(*options)
    module = first_cell(space())
    x = torch.randn(2, 4, 5, 5, generator=generator())
    with space().activate(arch), torch.inference_mode():
        module.eval()
        plain = by_definition(arch, x, module.edges, dict(enumerate(range(6))))
        assert digest(module(x)) == pytest.approx(plain, abs=1e-4)


def test_gradients_of_paths_and_mixtures_are_right_in_spite_of_sharing_and_in_place_sums() -> None:
    module = first_cell(nasbench201(generator=generator(), channels=2, cells_per_stage=1)).double()
    x = torch.randn(2, 2, 3, 3, dtype=torch.float64, generator=generator(), requires_grad=True)
    choices = [choice for choice in module.edges if isinstance(choice, Choice)]
    for options in ("333333", "sp3s1p", "ppps33", "ssssss"):
        for choice, option in zip(choices, cell(*options).values(), strict=True):
            choice.active = option
        assert torch.autograd.gradcheck(module, (x,))
    weights = torch.rand(6, 5, dtype=torch.float64, generator=generator(), requires_grad=True)

    def mixture(x: Tensor, weights: Tensor) -> Tensor:
        for choice, row in zip(choices, weights, strict=True):
            choice.active = row.unbind()
        output: Tensor = module(x)
        return output

    assert torch.autograd.gradcheck(mixture, (x, weights), atol=1e-4)


def test_published_text() -> None:
    arch = cell(*"p1s1ss")
    assert space().from_text(PUBLISHED) == arch
    assert space().to_text(arch) == PUBLISHED
    assert (
        space().from_text(
            '{"0->1": "avg_pool_3x3", "0->2": "nor_conv_1x1", "1->2": "skip_connect", '
            '"0->3": "nor_conv_1x1", "1->3": "skip_connect", "2->3": "skip_connect"}'
        )
        == arch
    )
    assert cell_edges(arch) == [
        (0, 1, "avg_pool_3x3"),
        (0, 2, "nor_conv_1x1"),
        (1, 2, "skip_connect"),
        (0, 3, "nor_conv_1x1"),
        (1, 3, "skip_connect"),
        (2, 3, "skip_connect"),
    ]


@given(st.tuples(*[st.sampled_from(OPERATIONS)] * 6))
@settings(deadline=None, max_examples=50)
def test_text_round_trip(options: tuple[str, ...]) -> None:
    arch = Architecture(tuple(zip(DECISIONS, options, strict=True)))
    assert space().from_text(f" {space().to_text(arch)}\n") == arch


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"position 0: expected '\|', got ''"),
        ("nonsense", r"position 0: expected '\|', got 'n'"),
        (
            PUBLISHED.replace("nor_conv_1x1~0|skip_connect~1|+", "conv9~0|skip_connect~1|+"),
            "position 18: expected one of",
        ),
        (PUBLISHED.replace("avg_pool_3x3~0", "avg_pool_3x3~1"), "position 13: expected '~0', got '~1'"),
        (PUBLISHED.replace("|+|", "||"), r"position 15: expected '\|\+\|', got '\|\|n'"),
        (PUBLISHED[:-20], "expected"),
        (PUBLISHED + "x", "expected the end, got 'x'"),
        (PUBLISHED.replace("nor_conv_1x1", "n" * 90), r"got 'n{20}\.\.\.'"),
    ],
)
def test_malformed_text_says_where_and_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        space().from_text(text)


@given(st.text(alphabet="|+~012nosekip_cvr", max_size=40))
@settings(deadline=None, max_examples=100)
def test_any_other_text_is_refused_by_its_own_error(text: str) -> None:
    with pytest.raises(ArchitectureError):
        space().from_text(text)


def test_forms_of_the_literature() -> None:
    arch = cell(*"p1s1ss")
    operations = ("avg_pool_3x3", "nor_conv_1x1", "skip_connect", "nor_conv_1x1", "skip_connect", "skip_connect")
    nodes = (
        (("avg_pool_3x3", 0),),
        (("nor_conv_1x1", 0), ("skip_connect", 1)),
        (("nor_conv_1x1", 0), ("skip_connect", 1), ("skip_connect", 2)),
    )
    assert cell_operations(arch) == operations
    assert cell_nodes(arch) == nodes
    assert cell_from_operations(list(operations)) == cell_from_nodes(nodes) == arch
    assert cell_from_nodes([node[::-1] for node in nodes]) == arch


def test_all_forms_of_all_cells_are_inverse() -> None:
    for arch in all_cells():
        assert cell_from_operations(cell_operations(arch)) == arch
        assert cell_from_nodes(cell_nodes(arch)) == arch
        assert space().from_text(space().to_text(arch)) == arch


def test_all_cells_are_listed_once() -> None:
    cells = list(all_cells())
    assert len(cells) == 15_625
    assert set(cells) == set(everything())
    assert cells[0] == cell(*"000000")
    assert cells[1] == cell(*"00000s")


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        (["none"] * 5, "cell of 5 operations: expected 6, of the edges 0->1, 0->2"),
        (["none", "conv", "none", "none", "none", "none"], "edge 0->2: expected one of none, .*, got 'conv'"),
    ],
)
def test_wrong_operations_are_refused(operations: list[str], message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        cell_from_operations(operations)


def test_nodes_with_other_edges_are_refused() -> None:
    nodes = [[("none", 0)], [("none", 0), ("none", 0)], [("none", 0), ("none", 1), ("none", 2)]]
    with pytest.raises(ArchitectureError, match=r"from \[\[0\], \[0, 0\], \[0, 1, 2\]\]: expected \[\[0\], \[0, 1\]"):
        cell_from_nodes(nodes)
    with pytest.raises(ArchitectureError, match="edge 0->1: expected one of"):
        cell_from_nodes([[("conv", 0)], *cell_nodes(cell(*"000000"))[1:]])
