"""Genotypes: the published text form and its mistakes, dead parts, published cells."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailornas.errors import ArchitectureError, UnknownNameError
from tailornas.spaces.genotype import OPERATIONS, Edge, Genotype
from tailornas.spaces.genotypes import GENOTYPES, published_genotype

DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=range(2, 6), "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=range(2, 6))"
)
FAIR = (
    "Genotype(normal=[('sep_conv_3x3', 2, 0), ('skip_connect', 4, 3), ('max_pool_3x3', 5, 1)], "
    "normal_concat=range(2, 6), reduce=[('skip_connect', 2, 0)], reduce_concat=[3, 2])"
)
EMPTY = "normal_concat=range(2, 6), reduce=[], reduce_concat=range(2, 6))"


def edges(*entries: tuple[str, int, int]) -> tuple[Edge, ...]:
    return tuple(Edge(*entry) for entry in entries)


@st.composite
def genotypes(draw: st.DrawFn) -> Genotype:
    def cell() -> tuple[Edge, ...]:
        ends = draw(st.lists(st.sampled_from([(t, s) for t in range(2, 7) for s in range(t)]), max_size=9))
        return tuple(Edge(draw(st.sampled_from(OPERATIONS[1:])), target, source) for target, source in sorted(ends))

    def concat() -> tuple[int, ...]:
        return tuple(draw(st.lists(st.integers(2, 7), unique=True, max_size=5)))

    return Genotype(cell(), concat(), cell(), concat())


def test_pairs_give_two_edges_a_node() -> None:
    genotype = Genotype.parse(DARTS_V2)
    assert genotype.normal == edges(
        ("sep_conv_3x3", 2, 0),
        ("sep_conv_3x3", 2, 1),
        ("sep_conv_3x3", 3, 0),
        ("sep_conv_3x3", 3, 1),
        ("sep_conv_3x3", 4, 1),
        ("skip_connect", 4, 0),
        ("skip_connect", 5, 0),
        ("dil_conv_3x3", 5, 2),
    )
    assert genotype.normal_concat == genotype.reduce_concat == (2, 3, 4, 5)
    assert str(genotype) == DARTS_V2
    assert genotype == GENOTYPES["DARTS_V2"]


def test_triples_name_the_target() -> None:
    genotype = Genotype.parse(FAIR)
    assert genotype.normal == edges(("sep_conv_3x3", 2, 0), ("skip_connect", 4, 3), ("max_pool_3x3", 5, 1))
    assert genotype.reduce_concat == (3, 2)
    assert str(genotype) == FAIR


def test_both_cells_are_written_in_one_form() -> None:
    text = FAIR.replace("('sep_conv_3x3', 2, 0), ('skip_connect', 4, 3), ('max_pool_3x3', 5, 1)", "")
    assert "('skip_connect', 2, 0)" in str(Genotype.parse(text))


def test_layout_does_not_matter() -> None:
    spread = DARTS_V2.replace("'", '"').replace("[", "[\n  ").replace("]", ",\n]").replace("=", " = ")
    spread = spread.replace("range(2, 6)", "[2, 3, 4,5]").replace(
        "reduce_concat = [2, 3, 4,5])", "reduce_concat=[2,3,4,5],\n)"
    )
    assert str(Genotype.parse(f"\t{spread}\n")) == DARTS_V2


def test_none_is_an_absent_edge_that_counts_as_one_of_two() -> None:
    text = f"Genotype(normal=[('none', 0), ('skip_connect', 1), ('none', 0), ('none', 1)], {EMPTY}"
    assert Genotype.parse(text).normal == edges(("skip_connect", 2, 1))


@given(genotypes())
@settings(deadline=None, max_examples=100)
def test_text_round_trip(genotype: Genotype) -> None:
    assert Genotype.parse(str(genotype)) == genotype


@pytest.mark.parametrize("name", sorted(GENOTYPES))
def test_published_genotypes_are_whole_and_round_trip(name: str) -> None:
    genotype = GENOTYPES[name]
    assert Genotype.parse(str(genotype)) == genotype
    if not name.startswith("FairDARTS"):
        assert genotype.simplified() == genotype


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "position 0: expected 'Genotype', got ''"),
        ("DARTS_V2", "position 0: expected 'Genotype', got 'DARTS_V2'"),
        ("Genotype[", r"position 8: expected '\(', got '\['"),
        ("Genotype(reduce=[]", "position 9: expected 'normal', got 'reduce="),
        (f"Genotype(normal=(), {EMPTY}", r"position 16: expected '\[', got '\(\),"),
        (
            f"Genotype(normal=[('sep_conv_9x9', 0)], {EMPTY}",
            "position 18: expected an operation in quotes, one of none,",
        ),
        (f"Genotype(normal=[(sep_conv_3x3, 0)], {EMPTY}", "position 18: expected an operation in quotes"),
        (f"Genotype(normal=[('sep_conv_3x3, 0)], {EMPTY}", "position 18: expected an operation in quotes"),
        (f"Genotype(normal=[('sep_conv_3x3', -1)], {EMPTY}", "position 34: expected a node, 0 to 99, got '-1"),
        (f"Genotype(normal=[('sep_conv_3x3', 100)], {EMPTY}", "position 34: expected a node, 0 to 99, got '100"),
        (f"Genotype(normal=[('sep_conv_3x3', 0.9)], {EMPTY}", r"position 35: expected '\)', got '\.9"),
        (
            f"Genotype(normal=[('sep_conv_3x3', 2)], {EMPTY}",
            "position 17: expected an edge into node 2 from node 0 to 1",
        ),
        (f"Genotype(normal=[('none', 4, 4)], {EMPTY}", "position 17: expected an edge into node 4 from node 0 to 3"),
        (f"Genotype(normal=[('none', 1, 0)], {EMPTY}", "position 17: expected an edge into node 2 from node 0 to 1"),
        (
            f"Genotype(normal=[('none', 0)], {EMPTY}",
            "position 17: expected two edges into node 2, or edges with targets",
        ),
        (
            f"Genotype(normal=[('none', 0), ('none', 2, 0)], {EMPTY}",
            "position 30: expected 2 items in each edge, as in",
        ),
        (f"Genotype(normal=[('none', 0) ('none', 1)], {EMPTY}", r"position 29: expected ',', got"),
        ("Genotype(normal=[], normal_concat=range(2, 1000000000)", "position 43: expected a node, 0 to 99"),
        ("Genotype(normal=[], normal_concat=2", r"position 34: expected '\[', got '2'"),
        (DARTS_V2[:-1], r"position 415: expected '\)', got ''"),
        (DARTS_V2 + ")", r"position 416: expected the end, got '\)'"),
        ("Genotype(normal=__import__('os')", r"position 16: expected '\['"),
        ("Genotype(" + "[" * 100_000, "position 9: expected 'normal'"),
    ],
)
def test_malformed_text_says_where_and_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(ArchitectureError, match=f"^genotype, {message}") as error:
        Genotype.parse(text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


@given(st.integers(0, len(DARTS_V2)), st.sampled_from(string.printable), st.integers(0, 12))
@settings(deadline=None, max_examples=200)
def test_a_damaged_text_is_another_genotype_or_an_error(at: int, character: str, cut: int) -> None:
    try:
        genotype = Genotype.parse(DARTS_V2[:at] + character + DARTS_V2[at + cut :])
    except ArchitectureError:
        return
    assert Genotype.parse(str(genotype)) == genotype


@pytest.mark.parametrize(
    ("normal", "concat", "message"),
    [
        (edges(("conv", 2, 0)), (2,), "normal cell: unknown operation 'conv': expected one of max_pool_3x3,"),
        (edges(("none", 2, 0)), (2,), "normal cell: unknown operation 'none'"),
        (edges(("skip_connect", 2, 2)), (2,), "an edge from node 2 to node 2: expected one from an earlier node"),
        (edges(("skip_connect", 1, 0)), (2,), "an edge from node 0 to node 1"),
        (edges(("skip_connect", 2, -1)), (2,), "an edge from node -1 to node 2"),
        ((), (2, 2), r"normal_concat \[2, 2\]: expected nodes from 2 on, each at most once"),
        ((), (1,), r"normal_concat \[1\]: expected nodes from 2 on"),
    ],
)
def test_wrong_values_are_refused(normal: tuple[Edge, ...], concat: tuple[int, ...], message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        Genotype(normal, concat, (), ())


def test_the_text_of_a_wrong_concatenation_is_refused() -> None:
    with pytest.raises(ArchitectureError, match=r"reduce_concat \[0, 1\]: expected nodes from 2 on"):
        Genotype.parse(DARTS_V2.replace("reduce_concat=range(2, 6)", "reduce_concat=range(0, 2)"))


def test_nodes_without_inputs_are_left_out_with_the_edges_from_them() -> None:
    genotype = GENOTYPES["FairDARTS_c"].simplified()
    assert genotype.normal_concat == (2, 4, 5)
    assert genotype.normal == edges(
        ("max_pool_3x3", 2, 0),
        ("sep_conv_5x5", 2, 1),
        ("dil_conv_3x3", 4, 0),
        ("dil_conv_5x5", 4, 2),
        ("sep_conv_3x3", 5, 0),
    )
    assert genotype.reduce == GENOTYPES["FairDARTS_c"].reduce


def test_a_node_fed_by_nodes_without_inputs_alone_is_left_out_too() -> None:
    chain = edges(("skip_connect", 3, 2), ("skip_connect", 4, 3), ("skip_connect", 5, 0))
    genotype = Genotype(chain, (2, 3, 4, 5), (), (2, 3)).simplified()
    assert genotype.normal == edges(("skip_connect", 5, 0))
    assert genotype.normal_concat == (5,)
    assert genotype.reduce_concat == ()


def test_edges_that_the_output_does_not_use_are_left_out() -> None:
    chain = edges(("skip_connect", 2, 0), ("skip_connect", 3, 2), ("skip_connect", 4, 2))
    assert Genotype(chain, (3,), (), ()).simplified().normal == chain[:2]


def test_published_names() -> None:
    assert set(GENOTYPES) == {
        *("DARTS_V1", "DARTS_V2", "PC_DARTS", "P_DARTS", "SNAS", "GDAS", "NASNet", "AmoebaNet"),
        *(f"FairDARTS_{run}" for run in "abcdefg"),
    }
    assert published_genotype("pc-darts") is GENOTYPES["PC_DARTS"]
    assert published_genotype("PDARTS") is GENOTYPES["P_DARTS"]
    assert published_genotype("fairdarts-a") is GENOTYPES["FairDARTS_a"]
    with pytest.raises(UnknownNameError, match=r"unknown genotype 'DARTS_V3': expected one of AmoebaNet, DARTS_V1"):
        published_genotype("DARTS_V3")
