"""The size space of NATS-Bench against its published numbers."""

import pytest
import torch

from tailornas.errors import ArchitectureError
from tailornas.spaces import Cost, SearchSpace, count, nats_size
from tailornas.spaces.nats_size import NATSSize


@pytest.fixture(scope="module")
def space() -> SearchSpace[NATSSize]:
    return nats_size(generator=torch.Generator().manual_seed(0))


def test_published_cost(space: SearchSpace[NATSSize]) -> None:
    """The published convention counts the bias of the last layer as one addition for each output; so does ours."""
    cost = space.cost(space.from_text("8:8:8:8:8"), 32)
    assert (cost.params, cost.macs / 1e6) == (11_714, 4.481114)


def test_size_and_order(space: SearchSpace[NATSSize]) -> None:
    assert space.size == 8**5
    assert list(space.decisions) == ["width1", "width2", "width3", "width4", "width5"]


@pytest.mark.parametrize("text", ["8:16:24:32:64", "64:8:8:16:16", "8:24:16:64:8"])
def test_cost_with_and_without_projections(space: SearchSpace[NATSSize], text: str) -> None:
    """A skip connection between equal widths is the identity, between others a 1 × 1 convolution and batch norm."""
    arch = space.from_text(text)
    network = space.derive(arch)
    cost = count(network, 8)
    assert space.cost(arch, 8) == cost
    widths = [int(width) for width in text.split(":")]
    assert network.feature_dim == widths[4]
    a, b, c, d, e = widths
    cells = sum(9 * (2 * i * o + 3 * o * o) + 10 * o + (i != o) * (i * o + 2 * o) for i, o in ((a, a), (b, c), (d, e)))
    reductions = sum(9 * (i * o + o * o) + 4 * o + i * o for i, o in ((a, b), (c, d)))
    assert cost.params == 27 * a + 2 * a + cells + reductions + 2 * e + 10 * e + 10


def test_a_table_is_exact(space: SearchSpace[NATSSize]) -> None:
    near = space.neighbours(space.from_text("8:16:16:24:8"))
    assert all(space.cost(arch, 5) == count(space.derive(arch), 5) for arch in near[::12])
    assert isinstance(space.cost(near[0], 5), Cost)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8:8:8:8", "got 4 widths, expected five widths, 8:8:8:8:8 to 64:64:64:64:64"),
        ("8:8:9:8:8", "position 4: got '9'"),
        ("8:8:8:8:8:8", "got 6 widths"),
        ("8:8::8:8", "position 4: got ''"),
        ("08:8:8:8:8", "position 0: got '08'"),
    ],
)
def test_malformed_text(space: SearchSpace[NATSSize], text: str, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        space.from_text(text)
