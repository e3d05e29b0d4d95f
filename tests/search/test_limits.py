import itertools
from collections.abc import Mapping
from functools import partial

import pytest
from pydantic import ValidationError
from torch import Tensor, nn

from tailornas.errors import LimitError
from tailornas.search import Costs, Limits, reachable
from tailornas.seeding import generator
from tailornas.spaces import Backbone, Choice, NASBench201Config, SearchSpace, build_space
from tailornas.types import Architecture

CHANNELS, SIZE = 4, 8
# One convolution in every stage: as many channels more as pixels fewer, in each direction.
CONV_MACS = 3 * CHANNELS**2 * SIZE**2
CONV_PARAMS = (1 + 4 + 16) * CHANNELS**2
NORM_PARAMS = 2 * (1 + 2 + 4) * CHANNELS
FREE = {"none": Costs(0, 0), "skip_connect": Costs(0, 0), "avg_pool_3x3": Costs(0, 0)}
EDGE_COSTS: Mapping[str, Costs] = FREE | {
    "nor_conv_1x1": Costs(CONV_PARAMS + NORM_PARAMS, CONV_MACS),
    "nor_conv_3x3": Costs(9 * CONV_PARAMS + NORM_PARAMS, 9 * CONV_MACS),
}


class OneOption(Backbone):
    """A decision that decides nothing."""

    def __init__(self) -> None:
        super().__init__(1, 2)
        self.only = Choice("only", {"linear": nn.Linear(1, 1)})

    def features(self, x: Tensor) -> Tensor:
        y: Tensor = self.only(x)
        return y


@pytest.fixture(scope="module")
def cells() -> SearchSpace[Backbone]:
    return build_space(NASBench201Config(channels=CHANNELS, cells_per_stage=1), 10, generator(0, "space"))


def costs_of(space: SearchSpace[Backbone], architecture: Architecture) -> Costs:
    cost = space.cost(architecture, SIZE)
    return Costs(cost.params, cost.macs)


def check(space: SearchSpace[Backbone], limits: Limits, seed: int) -> None:
    counted = partial(costs_of, space)
    found, costs = reachable(space, counted, counted, limits, seed)
    assert space.valid(found)
    assert costs == counted(found)
    assert limits.met(costs)


@pytest.fixture(scope="module")
def smallest(cells: SearchSpace[Backbone]) -> Costs:
    """The least costs of all 15,625 cells, valid ones, by adding up what the edges of each cost."""
    only_skip = cells.from_text("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
    skeleton = costs_of(cells, only_skip)
    totals = []
    for options in itertools.product(EDGE_COSTS, repeat=6):
        architecture = Architecture(tuple(zip(cells.decisions, options, strict=True)))
        if cells.valid(architecture):
            edges = [EDGE_COSTS[option] for option in cells.simplify(architecture).values()]
            totals.append((skeleton.macs + sum(e.macs for e in edges), skeleton.params + sum(e.params for e in edges)))
    assert len(totals) > 10_000
    rng = generator(0, "check")
    for architecture in [cells.sample(rng) for _ in range(20)]:
        simple = cells.simplify(architecture)
        assert costs_of(cells, architecture).macs == skeleton.macs + sum(EDGE_COSTS[o].macs for o in simple.values())
    return Costs(params=min(params for _, params in totals), macs=min(macs for macs, _ in totals))


@pytest.mark.parametrize("seed", range(10))
def test_an_unreachable_limit_names_the_true_minimum(cells: SearchSpace[Backbone], smallest: Costs, seed: int) -> None:
    with pytest.raises(LimitError) as caught:
        check(cells, Limits(macs=1000), seed)
    assert str(caught.value) == (
        f"no architecture of the space meets the limit of 1,000 MACs: the smallest found has {smallest.macs:,} MACs"
    )


@pytest.mark.parametrize("seed", range(10))
def test_the_minimum_itself_is_reachable(cells: SearchSpace[Backbone], smallest: Costs, seed: int) -> None:
    limits = Limits(macs=smallest.macs, params=smallest.params)
    check(cells, limits, seed)
    for below in (Limits(macs=smallest.macs - 1), Limits(params=smallest.params - 1)):
        with pytest.raises(LimitError, match=f"{smallest.macs if below.macs else smallest.params:,}"):
            check(cells, below, seed)


def test_every_limit_is_named(cells: SearchSpace[Backbone], smallest: Costs) -> None:
    def costs(architecture: Architecture) -> Costs:
        counted = costs_of(cells, architecture)
        return Costs(counted.params, counted.macs, latency_ms=counted.macs / 1000)

    with pytest.raises(LimitError) as caught:
        reachable(cells, costs, costs, Limits(macs=5, params=4, latency_ms=0.5), seed=0)
    assert "the limit of 5 MACs, 4 parameters, 0.5 ms: " in str(caught.value)
    least = f"{smallest.macs:,} MACs, {smallest.params:,} parameters, {smallest.macs / 1000:,.6g} ms"
    assert str(caught.value).endswith(least)


def test_nothing_is_computed_without_limits(cells: SearchSpace[Backbone]) -> None:
    """Nor are costs asked for more often than a descent needs: a latency takes seconds to measure."""
    calls: list[Architecture] = []

    def costs(architecture: Architecture) -> Costs:
        calls.append(architecture)
        return costs_of(cells, architecture)

    reachable(cells, costs, costs, Limits(), seed=0)
    assert len(calls) <= 1
    with pytest.raises(LimitError):
        reachable(cells, costs, costs, Limits(macs=1), seed=0)
    assert len(calls) < 1000


def test_latency_is_measured_where_a_step_leads_and_not_of_every_neighbour(cells: SearchSpace[Backbone]) -> None:
    measured: list[Architecture] = []

    def costs(architecture: Architecture) -> Costs:
        measured.append(architecture)
        counted = costs_of(cells, architecture)
        return Costs(counted.params, counted.macs, latency_ms=counted.macs / 1000)

    def counted(architecture: Architecture) -> Costs:
        return costs_of(cells, architecture)

    only_skip = cells.from_text("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
    least = counted(only_skip).macs / 1000
    with pytest.raises(LimitError, match=rf"the limit of 0\.001 ms: the smallest found has {least:,.6g} ms"):
        reachable(cells, costs, counted, Limits(latency_ms=0.001), 0)
    assert len(measured) <= 3 * 7  # three descents of at most six decisions
    reachable(cells, costs, counted, Limits(latency_ms=least), 0)


def test_a_space_of_one_architecture_has_no_neighbours() -> None:
    space: SearchSpace[Backbone] = SearchSpace(OneOption())
    one = Costs(params=3, macs=5)
    found = reachable(space, lambda _: one, lambda _: one, Limits(macs=5), 0)
    assert found == (space.sample(generator(0, "one")), one)
    with pytest.raises(LimitError, match="the smallest found has 5 MACs"):
        reachable(space, lambda _: one, lambda _: one, Limits(macs=4), 0)


def test_violations_by_hand() -> None:
    costs = Costs(params=300, macs=150, latency_ms=2.0)
    assert Limits().violations(costs) == {}
    assert Limits().met(costs)
    assert Limits(macs=150, latency_ms=2.0).met(costs)
    assert not Limits(macs=1000, params=299).met(costs)
    assert Limits(macs=100).violations(costs) == {"macs": 0.5}
    assert Limits(macs=150).violations(costs) == {"macs": 0.0}
    everything = Limits(macs=300, params=100, latency_ms=4.0)
    assert everything.violations(costs) == {"macs": -0.5, "params": 2.0, "latency_ms": -0.5}
    assert everything.violations(Costs(params=300, macs=150)) == {"macs": -0.5, "params": 2.0}


def test_limits_are_written_as_people_write_them() -> None:
    assert Limits.model_validate({"macs": "15M", "params": "300k"}) == Limits(macs=15_000_000, params=300_000)


@pytest.mark.parametrize("wrong", [{"macs": 0}, {"params": -1}, {"latency_ms": 0}, {"macs": "much"}, {"flops": 3}])
def test_impossible_limits(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Limits.model_validate(wrong)
