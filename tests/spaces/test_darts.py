"""The DARTS space: published size, genotypes as architectures, what is drawn, what nodes without inputs do."""

from collections import Counter
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from tailornas.errors import ArchitectureError, ConfigError
from tailornas.spaces import Choice, Cost, SearchSpace, count
from tailornas.spaces.darts import DECISIONS, architecture_of, darts, genotype_of
from tailornas.spaces.darts_network import DARTSNetwork, darts_network
from tailornas.spaces.genotype import PRIMITIVES, Edge, Genotype
from tailornas.spaces.genotypes import GENOTYPES
from tailornas.types import Architecture

IN_SPACE = sorted(set(GENOTYPES) - {"NASNet", "AmoebaNet"})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(size: int = 8, batch: int = 3) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=generator(1))


@cache
def space() -> SearchSpace[DARTSNetwork]:
    return darts(generator=generator(), channels=4, cells=3, classes=5)


@cache
def plain() -> SearchSpace[DARTSNetwork]:
    return darts(generator=generator(), channels=4, cells=4, classes=5, form="evaluation")


def edges_into(arch: Architecture) -> Counter[tuple[str, str]]:
    """Number of edges by cell and target."""
    return Counter((key.partition(":")[0], key[-1]) for key, option in arch.items() if option != "none")


def test_published_search_network() -> None:
    network = darts(generator=generator()).network
    assert sum(p.numel() for p in network.parameters()) == 1_930_618
    assert not any("edges" in name and "bn" in name for name, _ in network.named_parameters())


def test_decisions_are_the_edges_of_two_cells_in_the_published_order() -> None:
    assert sorted(space().decisions) == sorted(DECISIONS)
    assert len(DECISIONS) == 28
    assert DECISIONS[:5] == ("normal:0->2", "normal:1->2", "normal:0->3", "normal:1->3", "normal:2->3")
    assert set(space().decisions.values()) == {PRIMITIVES}
    assert len([m for m in space().network.modules() if isinstance(m, Choice)]) == 3 * 14


def test_published_number_of_architectures() -> None:
    """Two of n edges and seven operations for each, for n of 2 to 5, in two cells."""
    assert space().size == (7**8 * 1 * 3 * 6 * 10) ** 2
    assert 1e18 < space().size < 1.1e18


def test_random_architectures_have_two_edges_into_every_node() -> None:
    source = generator(2)
    other = space().sample(source)
    for _ in range(50):
        arch = space().sample(source)
        near, child = space().mutate(arch, source, rate=0.2), space().crossover(arch, other, source)
        for drawn in (arch, near, child):
            assert set(edges_into(drawn).values()) == {2}
            assert len(edges_into(drawn)) == 8
            assert space().valid(drawn)
        other = near
    many = [space().sample(source) for _ in range(100)]
    assert {option for arch in many for option in arch.values()} == set(PRIMITIVES)
    assert {key for arch in many for key, option in arch.items() if option != "none"} == set(DECISIONS)


def test_neighbours_differ_in_the_edges_into_one_node() -> None:
    arch = space().from_text("DARTS_V2")
    near = space().neighbours(arch)
    assert len(near) == len(set(near)) == 2 * (49 + 147 + 294 + 490 - 4)
    for other in near[::97]:
        assert len({(key[0], key[-1]) for key in arch if arch[key] != other[key]}) == 1
        assert set(edges_into(other).values()) == {2}


@pytest.mark.parametrize("name", IN_SPACE)
def test_published_genotypes_are_architectures(name: str) -> None:
    arch = space().from_text(name)
    assert arch == space().architecture(architecture_of(GENOTYPES[name]))
    assert space().from_text(space().to_text(arch)) == arch
    assert space().from_text(f" {GENOTYPES[name]}\n") == arch
    assert Counter(genotype_of(arch).normal) == Counter(GENOTYPES[name].normal)
    assert Counter(genotype_of(arch).reduce) == Counter(GENOTYPES[name].reduce)
    assert space().valid(arch)


def test_text_of_a_published_genotype() -> None:
    text = space().to_text(space().from_text("FairDARTS_a"))
    assert text == (
        "Genotype(normal=[('sep_conv_3x3', 2, 0), ('sep_conv_5x5', 2, 1), ('max_pool_3x3', 4, 0), "
        "('sep_conv_3x3', 5, 0)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 2, 0), ('avg_pool_3x3', 2, 1), "
        "('avg_pool_3x3', 3, 0), ('dil_conv_5x5', 3, 1), ('avg_pool_3x3', 4, 0), ('sep_conv_5x5', 4, 1), "
        "('skip_connect', 5, 0), ('skip_connect', 5, 1)], reduce_concat=range(2, 6))"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("NASNet", "normal cell: .* to node 6 is not in the DARTS space: expected targets 2 to 5 and one of none,"),
        ("AmoebaNet", "to node 6 is not in the DARTS space"),
        (
            "DARTS_V3",
            r"unknown genotype 'DARTS_V3': expected one of DARTS_V1, .*GDAS, PC_DARTS.*, or a text of the form",
        ),
        ("", "unknown genotype ''"),
        ("Genotype(normal=[('conv', 0)]", "genotype, position 18: expected an operation"),
        (
            str(GENOTYPES["DARTS_V2"]).replace("dil_conv_3x3", "sep_conv_7x7"),
            "sep_conv_7x7 from node 2 to node 5 is not",
        ),
        (
            str(GENOTYPES["FairDARTS_a"]).replace("('sep_conv_5x5', 2, 1)", "('sep_conv_5x5', 2, 0)", 1),
            "sep_conv_3x3 and sep_conv_5x5 from node 0 to node 2: expected one operation on an edge",
        ),
        (
            str(GENOTYPES["DARTS_V2"]).replace("normal_concat=range(2, 6)", "normal_concat=[5, 3, 2]"),
            r"normal_concat \[5, 3, 2\]: expected all nodes with inputs, node 4 too",
        ),
        ('{"normal:0->2": "none"}', "is missing"),
    ],
)
def test_what_is_not_in_the_space_is_refused(text: str, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message) as error:
        space().from_text(text)
    assert "\n" not in str(error.value)


def test_cost_is_that_of_the_evaluation_network() -> None:
    for name in ("DARTS_V1", "DARTS_V2", "SNAS"):
        arch = plain().from_text(name)
        network = darts_network(GENOTYPES[name], generator=generator(), channels=4, cells=4, classes=5)
        assert plain().cost(arch, 8) == count(network, 8) == count(plain().derive(arch), 8)


def test_published_cost_by_the_table_of_a_supernet() -> None:
    full = darts(generator=generator(), channels=36, cells=3, form="evaluation")
    arch = full.from_text("DARTS_V2")
    network = darts_network(GENOTYPES["DARTS_V2"], generator=generator(), channels=36, cells=3)
    assert full.cost(arch, 8) == count(network, 8) != Cost(0, 0)


def test_leaving_a_node_out_is_concatenating_zeros() -> None:
    """The network of a FairDARTS genotype, and the supernet's, with the weights of what is left out cut away."""
    built = plain()
    built.network.eval()
    arch = built.from_text("FairDARTS_c")
    derived = built.derive(arch)
    network = darts_network(genotype_of(arch), generator=generator(), channels=4, cells=4, classes=5).eval()
    kept = {"normal": [0, 2, 3], "reduce": [0, 1, 2, 3]}
    cells = ["normal", "reduce", "reduce", "normal"]
    ends = {cell: [(e.source, e.target) for e in getattr(genotype_of(arch).simplified(), cell)] for cell in kept}
    every = [(source, target) for target in (2, 3, 4, 5) for source in range(target)]
    old, new = derived.state_dict(), {}
    for name in network.state_dict():
        parts = name.split(".")
        if parts[0] == "cells" and parts[2] == "edges":
            parts[3] = str(every.index(ends[cells[int(parts[1])]][int(parts[3])]))
        value = old[".".join(parts)]
        reader = int(parts[1]) if parts[0] == "cells" else 4
        read = reader - (2 if "input0" in name else 1)
        if value.ndim > 1 and ("input" in name or parts[0] == "head") and read >= 0:
            width = value.shape[1] // 4
            value = torch.cat([value[:, node * width : (node + 1) * width] for node in kept[cells[read]]], 1)
        new[name] = value
    network.load_state_dict(new)
    with torch.inference_mode():
        torch.testing.assert_close(network(images()), derived(images()))
    built.network.train()
    assert count(network, 8).params < count(derived, 8).params


def test_none_adds_nothing_to_a_mixture_so_that_seven_operations_need_no_other_space() -> None:
    space().network.eval()
    weights = {key: torch.rand(8, generator=generator(3)) for key in space().decisions}
    outputs = []
    for none in (0.0, 0.7):
        for row in weights.values():
            row[0] = none
        with space().mix(weights), torch.inference_mode():
            outputs.append(space().network(images()))
    space().network.train()
    assert torch.equal(*outputs)


def test_simplify_removes_edges_from_nodes_without_inputs() -> None:
    arch = space().from_text("FairDARTS_c")
    simple = space().simplify(arch)
    assert arch["normal:3->5"] == "skip_connect"
    assert simple == arch.replace("normal:3->5", "none")
    chain = arch.replace("normal:0->2", "none").replace("normal:1->2", "none")
    assert [key for key, option in space().simplify(chain).items() if option != "none" and key[0] == "n"] == [
        "normal:0->4",
        "normal:0->5",
    ]
    assert space().identity(simple) == space().identity(arch)


def test_a_cell_without_edges_is_not_valid_but_runs() -> None:
    arch = space().from_text(str(GENOTYPES["DARTS_V2"]))
    empty = Architecture(tuple((key, "none" if key.startswith("reduce") else option) for key, option in arch.items()))
    assert not space().valid(empty)
    with space().activate(empty), torch.inference_mode():
        assert space().network(images()).shape == (3, 5)


def exchanged(arch: Architecture, one: int, other: int) -> Architecture:
    names = {str(one): str(other), str(other): str(one)}

    def renamed(key: str) -> str:
        cell, _, ends = key.partition(":")
        source, target = ends.split("->")
        return f"{cell}:{names.get(source, source)}->{names.get(target, target)}"

    return Architecture(tuple((key, arch.get(renamed(key), "none")) for key in arch))


def test_the_order_of_nodes_means_nothing_to_the_identity() -> None:
    arch = space().from_text("DARTS_V2")  # no edge between nodes 3, 4 and 5
    for pair in ((3, 4), (4, 5), (3, 5)):
        other = exchanged(arch, *pair)
        assert other != arch
        assert space().identity(other) == space().identity(arch)
        assert space().cost(other, 8) == space().cost(arch, 8)
    assert len({space().identity(near) for near in space().neighbours(arch)[::29]}) > 60
    assert space().identity(arch.replace("normal:1->2", "sep_conv_5x5")) != space().identity(arch)
    # Nodes 3 and 4 read the same, but which of them node 5 reads matters not; whether it reads one or two does.
    twins = [Edge("sep_conv_3x3", target, 0) for target in (3, 4)]
    reduce = (Edge("skip_connect", 2, 0),)
    five = [(Edge("skip_connect", 5, s),) for s in (3, 4)] + [tuple(Edge("skip_connect", 5, s) for s in (3, 4))]
    keys = [space().identity(architecture_of(Genotype((*twins, *e), (3, 4, 5), reduce, (2,)))) for e in five]
    assert keys[0] == keys[1] != keys[2]


def test_search_and_evaluation_forms_differ_in_their_batch_norms() -> None:
    def norms(network: nn.Module) -> set[bool]:
        return {norm.affine for norm in network.modules() if isinstance(norm, nn.BatchNorm2d)}

    searched = space().derive(space().from_text("DARTS_V2"))
    assert norms(searched.cells) == {False}
    evaluated = plain().derive(plain().from_text("DARTS_V2"))
    assert norms(evaluated) == {True}


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="form 'train' of the DARTS network: expected 'search' or 'evaluation'"):
        darts(generator=generator(), form="train")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="2 cells: expected at least 3"):
        darts(generator=generator(), cells=2)


def test_supernets_depend_on_the_generator_alone_and_leave_the_global_one_alone() -> None:
    state = torch.random.get_rng_state()
    first, again = (darts(generator=generator(), channels=2, cells=3).network for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
