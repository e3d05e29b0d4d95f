import copy
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from tailornas.errors import LimitError
from tailornas.search import Candidate, Costs, Limits, Score, SearchConfig, best, evolve
from tailornas.search.evolution import child
from tailornas.seeding import generator
from tailornas.spaces import Backbone, Choice, DARTSConfig, NASBench201Config, SearchSpace, build_space
from tailornas.stages import Detached, Stage
from tailornas.types import Architecture

WORK = {"none": 0, "skip_connect": 0, "avg_pool_3x3": 0, "nor_conv_1x1": 10, "nor_conv_3x3": 90}


class Staircase(Backbone):
    """Four decisions between three widths."""

    def __init__(self, options: Sequence[str] = ("narrow", "medium", "wide")) -> None:
        super().__init__(1, 2)
        widths = {option: MACS[option] for option in options}
        self.steps = nn.ModuleList(
            Choice(f"step{i}", {name: nn.Linear(1, width) for name, width in widths.items()}) for i in range(4)
        )

    def features(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x)
        return x


VALUE = {"narrow": 0.0, "medium": 0.2, "wide": 0.1}
MACS = {"narrow": 1, "medium": 2, "wide": 4}


def staircase() -> SearchSpace[Backbone]:
    return SearchSpace(Staircase())


def medium_is_best(architecture: Architecture) -> Score:
    return Score(0.1 + sum(VALUE[option] for option in architecture.values()), 0.01)


def staircase_costs(architecture: Architecture) -> Costs:
    return Costs(params=7, macs=sum(MACS[option] for option in architecture.values()))


@pytest.fixture(scope="module")
def cells() -> SearchSpace[Backbone]:
    return build_space(NASBench201Config(channels=1, cells_per_stage=1), 2, generator(0, "space"))


def cell_costs(architecture: Architecture) -> Costs:
    work = sum(WORK[option] for option in architecture.values())
    return Costs(params=work, macs=1000 + work)


def identity(space: SearchSpace[Backbone], architecture: Architecture | str) -> str:
    """A text that equal networks share."""
    if isinstance(architecture, str):
        architecture = space.from_text(architecture)
    return space.identity(architecture)


class Scorer:
    """Scores a cell by the network it is, and counts how often it is asked for each."""

    def __init__(self, space: SearchSpace[Backbone], interrupt_at: int | None = None) -> None:
        self.space, self.interrupt_at, self.calls = space, interrupt_at, Counter[str]()

    def __call__(self, architecture: Architecture) -> Score:
        if self.calls.total() == self.interrupt_at:
            raise KeyboardInterrupt
        key = identity(self.space, architecture)
        self.calls[key] += 1
        value = torch.rand((), generator=generator(0, "score", key), dtype=torch.float64)
        return Score(float(value), 0.02)


class MemoryStage:
    """Keeps what it is handed as a run folder does: as it was at that moment, log lines with it."""

    def __init__(self) -> None:
        self.state: dict[str, Any] | None = None
        self.lines: list[dict[str, Any]] = []
        self.kept_lines = 0
        self.shown: list[tuple[int, int, str]] = []

    def restore(self) -> dict[str, Any] | None:
        del self.lines[self.kept_lines :]
        return copy.deepcopy(self.state)

    def save(self, state: dict[str, Any]) -> None:
        self.state, self.kept_lines = copy.deepcopy(state), len(self.lines)

    def log(self, **fields: float | int | str | None) -> None:
        self.lines.append(fields)

    def progress(self, done: int, total: int, unit: str, **shown: float | int | str) -> None:
        self.shown.append((done, total, unit))

    def overdue(self, next_seconds: float) -> bool:
        return False


def evolved(
    space: SearchSpace[Backbone],
    score: Callable[[Architecture], Score],
    costs: Callable[[Architecture], Costs] = cell_costs,
    limits: Limits | None = None,
    stage: Stage | None = None,
    population: int = 10,
    generations: int = 6,
    seed: int = 0,
    counted: Callable[[Architecture], Costs] | None = None,
    first: Architecture | None = None,
    first_costs: Costs | None = None,
) -> list[Candidate]:
    start = first or space.sample(generator(seed, "first"))
    return evolve(
        space,
        score,
        costs,
        counted or costs,
        limits or Limits(),
        (start, first_costs or costs(start)),
        population=population,
        generations=generations,
        seed=seed,
        stage=stage or Detached(),
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_optimum_of_a_small_space_is_found(seed: int) -> None:
    space = staircase()
    candidates = evolved(space, medium_is_best, staircase_costs, population=12, generations=12, seed=seed)
    winner = best(candidates)
    assert set(space.from_text(winner.architecture).values()) == {"medium"}
    assert winner.score == pytest.approx(0.9)
    assert winner.macs == 8


@pytest.mark.parametrize("seed", range(5))
def test_the_optimum_within_a_limit_is_found(seed: int) -> None:
    """Six multiply-accumulates: two medium steps, two narrow ones."""
    candidates = evolved(
        staircase(), medium_is_best, staircase_costs, Limits(macs=6), population=12, generations=12, seed=seed
    )
    assert best(candidates).score == pytest.approx(0.5)
    assert best(candidates).macs == 6


def test_candidates_are_numbered_and_say_what_they_are(cells: SearchSpace[Backbone]) -> None:
    candidates = evolved(cells, Scorer(cells))
    assert [c.number for c in candidates] == list(range(60))
    assert [c.generation for c in candidates] == [number // 10 for number in range(60)]
    for candidate in candidates:
        architecture = cells.from_text(candidate.architecture)
        assert cells.simplify(architecture) == architecture
        assert Costs(candidate.params, candidate.macs, candidate.latency_ms) == cell_costs(architecture)
        assert Candidate(**json.loads(json.dumps(asdict(candidate)))) == candidate
    networks = {(c.key, identity(cells, c.architecture)) for c in candidates}
    assert len(networks) == len({key for key, _ in networks}) == len({network for _, network in networks})


def test_a_network_is_met_once_as_long_as_there_are_others(cells: SearchSpace[Backbone]) -> None:
    scorer = Scorer(cells)
    candidates = evolved(cells, scorer, generations=30)
    assert set(scorer.calls.values()) == {1}
    assert scorer.calls.keys() == {identity(cells, c.architecture) for c in candidates}
    assert len(scorer.calls) == len(candidates)
    assert {c.repeated for c in candidates} == {None}


def test_equal_networks_are_scored_once() -> None:
    """The space has 81 networks; the search asks for 120."""
    space, calls = staircase(), Counter[str]()

    def score(architecture: Architecture) -> Score:
        calls[space.to_text(architecture)] += 1
        return medium_is_best(architecture)

    candidates = evolved(space, score, staircase_costs, generations=12)
    assert set(calls.values()) == {1}
    first: dict[str, Candidate] = {}
    repeats = 0
    for candidate in candidates:
        if earlier := first.get(candidate.key):
            repeats += 1
            assert candidate.repeated == earlier.number
            assert (candidate.score, candidate.score_se) == (earlier.score, earlier.score_se)
        else:
            assert candidate.repeated is None
            first[candidate.key] = candidate
    assert len(first) == len(calls)
    assert repeats >= 120 - 81


def test_a_space_of_one_network_is_searched_too() -> None:
    space: SearchSpace[Backbone] = SearchSpace(Staircase(("narrow",)))
    candidates = evolved(space, medium_is_best, staircase_costs, population=3, generations=3)
    assert [c.repeated for c in candidates] == [None, *[0] * 8]


def test_what_is_over_a_limit_is_never_scored(cells: SearchSpace[Backbone]) -> None:
    """Latency is known only once it is measured: those over it are candidates, and not scored."""
    scorer, limits = Scorer(cells), Limits(macs=1100, latency_ms=9.5)

    def costs(architecture: Architecture) -> Costs:
        counted = cell_costs(architecture)
        return Costs(counted.params, counted.macs, latency_ms=counted.params / 10)

    candidates = evolved(cells, scorer, costs, limits, generations=3, population=60, counted=cell_costs)
    kinds = Counter[bool]()
    for candidate in candidates:
        assert cells.valid(cells.from_text(candidate.architecture))
        assert candidate.latency_ms is not None
        assert candidate.macs <= 1100  # counted before: drawn again
        assert candidate.feasible == (candidate.latency_ms <= 9.5)
        assert (candidate.score is not None) == candidate.feasible
        assert (candidate.score_se is not None) == candidate.feasible
        assert candidate.feasible or candidate.repeated is None
        kinds[candidate.feasible] += 1
    assert min(kinds[True], kinds[False]) > 5, kinds
    assert scorer.calls.keys() == {identity(cells, c.architecture) for c in candidates if c.feasible}


def test_the_search_moves_towards_a_limit_that_is_measured(cells: SearchSpace[Backbone]) -> None:
    """Selection by how far candidates are over it; there are few such cells, and each is a candidate once."""

    def costs(architecture: Architecture) -> Costs:
        counted = cell_costs(architecture)
        return Costs(counted.params, counted.macs, latency_ms=counted.params / 10)

    runs = [
        evolved(cells, Scorer(cells), costs, Limits(latency_ms=1), population=20, seed=seed, counted=cell_costs)
        for seed in range(3)
    ]
    at_first, later = (
        [c.feasible for run in runs for c in run if (c.generation > 1) == late] for late in (False, True)
    )
    assert np.mean(at_first) < 0.3 < np.mean(later)


@pytest.mark.parametrize("seed", range(5))
def test_a_limit_that_hardly_any_architecture_meets_is_met_from_the_first_candidate_on(
    cells: SearchSpace[Backbone], seed: int
) -> None:
    """Only cells of free operations meet it; the first candidate is one, and children of others come near it."""
    free = cells.from_text("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
    candidates = evolved(cells, Scorer(cells), limits=Limits(macs=1000), generations=3, seed=seed, first=free)
    assert candidates[0].architecture == cells.to_text(free)
    assert best(candidates).score is not None
    assert np.mean([c.feasible for c in candidates]) > 0.8


def test_the_first_candidate_is_not_measured_again(cells: SearchSpace[Backbone]) -> None:
    """A latency at the edge of its limit would be over it the second time, and the search end without any candidate."""

    def slower(architecture: Architecture) -> Costs:
        return Costs(cell_costs(architecture).params, cell_costs(architecture).macs, latency_ms=11.0)

    first = cells.sample(generator(0, "edge"))
    costs = Costs(cell_costs(first).params, cell_costs(first).macs, latency_ms=9.9)
    candidates = evolve(
        cells,
        Scorer(cells),
        slower,
        cell_costs,
        Limits(latency_ms=10),
        (first, costs),
        population=4,
        generations=2,
        seed=0,
        stage=Detached(),
    )
    assert [c.feasible for c in candidates] == [True, *[False] * 7]
    assert best(candidates).number == 0


@pytest.mark.parametrize("limits", [Limits(), Limits(params=7)])
def test_the_better_parents_are_inherited_from_more_often(limits: Limits) -> None:
    """Of two the better one wins three tournaments of four; one decision of four is mutated then.

    Either other option is as likely: 3/4 * 3/4 + 1/4 * 1/8 of the decisions are the better one's then, and
    1/4 * 3/4 + 3/4 * 1/8 the other's.
    """
    space = staircase()
    better, worse = candidate(0, 0.9, 8), candidate(1, 0.2, 8)
    if limits.params is not None:
        better, worse = (replace(c, score=None, feasible=False, params=p) for c, p in ((better, 8), (worse, 9)))
    everywhere = [space.architecture(dict.fromkeys(space.decisions, option)) for option in ("wide", "narrow")]
    parents = list(zip((better, worse), everywhere, strict=True))
    for elite in (parents, parents[::-1]):
        children = [child(space, elite, limits, generator(0, "child", n)) for n in range(500)]
        options = Counter(option for architecture in children for option in architecture.values())
        assert options["wide"] / options.total() == pytest.approx(19 / 32, abs=0.04)
        assert options["narrow"] / options.total() == pytest.approx(9 / 32, abs=0.04)


@pytest.mark.parametrize("generations", [1, 4])
def test_candidates_obey_the_groups_that_the_supernet_was_trained_by(generations: int) -> None:
    """A DARTS node has two edges of those it may have; all others are none."""
    space: SearchSpace[Backbone] = build_space(DARTSConfig(channels=2, cells=3), 2, generator(0, "space"))
    drawn = evolved(space, Scorer(space), lambda _: Costs(1, 1), population=8, generations=generations)
    for candidate in drawn:
        architecture = space.from_text(candidate.architecture)
        for group in space.grammar.groups:
            assert sum(architecture[key] != "none" for key in group.keys) <= 2, candidate.architecture


def test_latency_is_a_limit_like_the_others(cells: SearchSpace[Backbone]) -> None:
    def costs(architecture: Architecture) -> Costs:
        counted = cell_costs(architecture)
        return Costs(counted.params, counted.macs, latency_ms=counted.params / 10)

    candidates = evolved(cells, Scorer(cells), costs, Limits(latency_ms=5), counted=cell_costs)
    assert {c.feasible for c in candidates if c.latency_ms is not None and c.latency_ms > 5} == {False}
    assert any(c.feasible for c in candidates)


def test_the_same_seed_asks_for_the_same_candidates_and_another_for_others(cells: SearchSpace[Backbone]) -> None:
    one = evolved(cells, Scorer(cells))
    np.random.seed(5)  # no global generator has a say
    torch.manual_seed(5)
    assert evolved(cells, Scorer(cells)) == one
    assert evolved(cells, Scorer(cells), seed=1) != one


def test_more_generations_begin_with_the_same_candidates(cells: SearchSpace[Backbone]) -> None:
    assert evolved(cells, Scorer(cells), generations=8)[:40] == evolved(cells, Scorer(cells), generations=4)


@pytest.mark.parametrize("interrupt_at", [0, 3, 10, 17, 30])
def test_a_resumed_search_gives_the_same_candidates(cells: SearchSpace[Backbone], interrupt_at: int) -> None:
    limits = Limits(macs=1150)
    whole, uninterrupted = MemoryStage(), Scorer(cells)
    wanted = evolved(cells, uninterrupted, limits=limits, stage=whole)
    assert uninterrupted.calls.total() > 30

    stage, first = MemoryStage(), Scorer(cells, interrupt_at)
    with pytest.raises(KeyboardInterrupt):
        evolved(cells, first, limits=limits, stage=stage)
    generations = len(stage.lines)
    saved = {identity(cells, c.architecture) for c in wanted if c.score is not None and c.generation < generations}
    assert saved <= set(first.calls)
    second, costed = Scorer(cells), list[str]()

    def costs(architecture: Architecture) -> Costs:
        costed.append(cells.to_text(architecture))
        return cell_costs(architecture)

    assert evolved(cells, second, costs, limits, stage, counted=cell_costs) == wanted
    assert second.calls.keys() == uninterrupted.calls.keys() - saved
    assert not set(costed) & {c.architecture for c in wanted if c.generation < generations}
    assert stage.state == whole.state
    assert stage.lines == whole.lines


def test_interrupted_again_and_again(cells: SearchSpace[Backbone]) -> None:
    """Every start gets a dozen scores further and keeps those of whole generations."""
    wanted = evolved(cells, Scorer(cells))
    stage, candidates, interruptions = MemoryStage(), None, 0
    while candidates is None:
        try:
            candidates = evolved(cells, Scorer(cells, interrupt_at=12), stage=stage)
        except KeyboardInterrupt:
            interruptions += 1
    assert interruptions > 2
    assert candidates == wanted


def test_a_finished_search_scores_nothing_again(cells: SearchSpace[Backbone]) -> None:
    stage = MemoryStage()
    wanted = evolved(cells, Scorer(cells), stage=stage)
    lines = list(stage.lines)

    def refuse(architecture: Architecture) -> Any:
        raise AssertionError("known already")

    first = cell_costs(cells.sample(generator(0, "first")))
    assert evolved(cells, refuse, refuse, stage=stage, counted=cell_costs, first_costs=first) == wanted
    assert stage.lines == lines


def test_progress_and_log(cells: SearchSpace[Backbone]) -> None:
    stage = MemoryStage()
    candidates = evolved(cells, Scorer(cells), stage=stage)
    assert stage.shown == [(number + 1, 60, "candidates") for number in range(60)]
    assert [line["generation"] for line in stage.lines] == [1, 2, 3, 4, 5, 6]
    for line in stage.lines:
        so_far = [c for c in candidates if c.generation < line["generation"] and c.score is not None]
        assert line["scored"] == len({c.key for c in so_far})
        assert line["best"] == max(c.score for c in so_far if c.score is not None)


def candidate(number: int, score: float | None, macs: int, repeated: int | None = None) -> Candidate:
    return Candidate(
        number, 0, "a", "k", 1, macs, None, score is not None, score, None if score is None else 0.1, repeated
    )


def test_the_best_candidate() -> None:
    candidates = [
        candidate(0, 0.5, 10),
        candidate(1, None, 1),
        candidate(2, 0.7, 30),
        candidate(3, 0.7, 20),
        candidate(4, 0.7, 25),
        candidate(5, 0.7, 20, repeated=3),
    ]
    assert best(candidates).number == 3
    assert best(candidates[:3]).number == 2


def test_no_candidate_within_the_limits() -> None:
    with pytest.raises(LimitError, match=r"^none of the 2 candidates is within the limits: raise search.generations"):
        best([candidate(0, None, 1), candidate(1, None, 2)])


@pytest.mark.parametrize("wrong", [{"population": 1}, {"generations": 0}, {"batch_size": 1}, {"generation": 3}])
def test_impossible_settings(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        SearchConfig.model_validate(wrong)
