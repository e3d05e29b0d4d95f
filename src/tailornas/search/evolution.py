"""Evolutionary search over the decisions: NSGA-II (Deb et al. 2002) by Optuna, with limits as constraints."""

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any, final

import optuna
import torch
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import NSGAIISampler
from optuna.trial import FrozenTrial
from pydantic import Field

from tailornas.errors import ArchitectureError, LimitError
from tailornas.search.evaluate import Score
from tailornas.search.limits import Costs, Limits
from tailornas.seeding import generator
from tailornas.settings import SettingsModel
from tailornas.spaces import Backbone, SearchSpace
from tailornas.stages import Stage
from tailornas.types import Architecture

__all__ = ["Candidate", "SearchConfig", "best", "evolve"]

REDRAWS = 100
"""Draws of one candidate after which a network that was met before, or is over a limit, is taken all the same."""


@final
class SearchConfig(SettingsModel):
    """How the space is searched."""

    population: int = Field(20, ge=2, description="candidates a generation")
    generations: int | None = Field(None, ge=1, description="none: planned from the time limit, else 10")
    calibration_images: int = Field(512, ge=2, description="training images for batch-norm statistics")
    batch_size: int = Field(256, ge=2)


@final
@dataclass(frozen=True)
class Candidate:
    """One architecture that the search asked for."""

    number: int
    generation: int
    architecture: str
    """Text form, simplified: what would be trained."""
    key: str
    """Identity: equal networks, and only these, have equal keys."""
    params: int
    macs: int
    latency_ms: float | None
    feasible: bool
    """Within the limits; others are never scored."""
    score: float | None
    """Balanced accuracy on the selection split."""
    score_se: float | None
    repeated: int | None
    """Number of the candidate whose score this one shares, the networks being equal."""


def evolve(
    space: SearchSpace[Backbone],
    score: Callable[[Architecture], Score],
    costs: Callable[[Architecture], Costs],
    counted: Callable[[Architecture], Costs],
    limits: Limits,
    first: tuple[Architecture, Costs],
    *,
    population: int,
    generations: int,
    seed: int,
    stage: Stage,
) -> list[Candidate]:
    """Searches for architectures of high balanced accuracy and few multiply-accumulates.

    Selection is NSGA-II's. Candidates are drawn by the space itself, from the architectures that it can draw: the
    first generation uniformly, later ones by crossover and mutation of two parents. What is a network that was met
    before, or is counted to be over a limit, is drawn again, so that nearly every candidate is worth its score. Those
    that are over a limit all the same are not scored: they enter the population by how far they are over (constrained
    domination), which is all that NSGA-II asks of them. Networks that are equal are scored once.

    Every generation ends with a checkpoint of the scores and costs. A resumed search asks for the same candidates
    again from the beginning, which takes moments, and finds those instead of computing them: nothing of the
    sampler's state has to be kept.

    Args:
        space: the search space.
        score: scores one architecture on the selection split.
        costs: its parameters, multiply-accumulates and, where limited, latency.
        counted: the same costs without latency, which are quickly had.
        limits: what is allowed.
        first: the first candidate and its costs; one within the limits keeps the search from ending with none.
        population: candidates a generation.
        generations: number of generations.
        seed: the run's seed.
        stage: checkpoints, log and progress.

    Returns:
        Every candidate in the order it was asked for.
    """
    known = _Known.restored(stage.restore())
    known.costs.setdefault(space.to_text(space.simplify(first[0])), first[1])
    candidates: list[Candidate] = []
    first_with: dict[str, int] = {}
    met: set[str] = set()
    leader = 0.0

    def propose(elite: Sequence[FrozenTrial]) -> dict[str, Any]:
        if not candidates:
            return dict(first[0])
        rng = generator(seed, "search", len(candidates))
        parents = [(candidates[trial.number], space.architecture(trial.params)) for trial in elite]
        for _ in range(REDRAWS):
            architecture = child(space, parents, limits, rng) if parents else space.sample(rng)
            if space.identity(architecture) not in met and limits.met(counted(architecture)):
                break
        return dict(architecture)

    distributions: dict[str, BaseDistribution] = {
        key: CategoricalDistribution(options) for key, options in space.decisions.items()
    }
    sampler = _Sampler(population, distributions, propose)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)

    for number in range(generations * population):
        trial = study.ask(distributions)
        architecture = space.simplify(space.architecture(trial.params))
        text, key = space.to_text(architecture), space.identity(architecture)
        if text not in known.costs:
            known.costs[text] = costs(architecture)
        cost = known.costs[text]
        feasible = limits.met(cost)
        if feasible and key not in known.scores:
            known.scores[key] = score(architecture)
        value = known.scores[key] if feasible else None
        candidates.append(
            Candidate(
                number=number,
                generation=number // population,
                architecture=text,
                key=key,
                params=cost.params,
                macs=cost.macs,
                latency_ms=cost.latency_ms,
                feasible=feasible,
                score=value.balanced_accuracy if value else None,
                score_se=value.standard_error if value else None,
                repeated=first_with.get(key) if value else None,
            )
        )
        met.add(key)
        if value:
            first_with.setdefault(key, number)
            leader = max(leader, value.balanced_accuracy)
        for name, violation in limits.violations(cost).items():
            trial.set_constraint(name, violation)
        study.tell(trial, (value.balanced_accuracy if value else 0.0, float(cost.macs)))
        stage.progress(number + 1, generations * population, "candidates", scored=len(first_with), best=f"{leader:.1%}")
        generation = (number + 1) // population
        if (number + 1) % population == 0 and generation > known.generations:
            stage.log(generation=generation, scored=len(known.scores), best=leader)
            stage.save(replace(known, generations=generation).state())
    return candidates


@final
class _Sampler(NSGAIISampler):
    """NSGA-II that selects, and leaves it to ``propose`` to draw from what it selected: nothing, at first."""

    def __init__(
        self,
        population: int,
        distributions: dict[str, BaseDistribution],
        propose: Callable[[Sequence[FrozenTrial]], dict[str, Any]],
    ) -> None:
        super().__init__(population_size=population)
        self.distributions, self.propose = distributions, propose

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.propose(self.get_parent_population(study, self.get_trial_generation(study, trial)))


@final
@dataclass(frozen=True)
class _Known:
    """What was computed of the architectures so far, and is found again by a search that is resumed."""

    generations: int
    """How many were completed."""
    scores: dict[str, Score]
    """By the architectures' identities."""
    costs: dict[str, Costs]
    """By their texts."""

    @classmethod
    def restored(cls, state: dict[str, Any] | None) -> "_Known":
        if state is None:
            return cls(0, {}, {})
        return cls(
            state["generations"],
            {key: Score(*fields) for key, fields in state["scores"].items()},
            {text: Costs(*fields) for text, fields in state["costs"].items()},
        )

    def state(self) -> dict[str, Any]:
        return {
            "generations": self.generations,
            "scores": {key: astuple(score) for key, score in self.scores.items()},
            "costs": {text: astuple(costs) for text, costs in self.costs.items()},
        }


def child(
    space: SearchSpace[Backbone],
    elite: Sequence[tuple[Candidate, Architecture]],
    limits: Limits,
    rng: torch.Generator,
) -> Architecture:
    """A mutated crossover of two parents, each the winner of a binary tournament (Deb et al. 2002, section III-C).

    Args:
        space: the search space.
        elite: candidates that were selected, with the architectures they were drawn as.
        limits: what is allowed.
        rng: where to draw from.
    """
    mother, father = (_tournament(elite, limits, rng) for _ in range(2))
    between = space.crossover(mother, father, rng)
    try:
        return space.mutate(between, rng)
    except ArchitectureError:  # there is no other network
        return between


def _tournament(elite: Sequence[tuple[Candidate, Architecture]], limits: Limits, rng: torch.Generator) -> Architecture:
    """The better of two drawn uniformly; the first where neither is."""
    one, other = (elite[int(at)] for at in torch.randint(len(elite), (2,), generator=rng))
    return other[1] if _dominates(other[0], one[0], limits) else one[1]


def _dominates(one: Candidate, other: Candidate, limits: Limits) -> bool:
    """Constrained domination (Deb et al. 2002, definition 1).

    Nearer to the limits than the other; where both are within them, no worse in both objectives and better in one.
    """
    over, other_over = (
        sum(max(share, 0.0) for share in limits.violations(Costs(c.params, c.macs, c.latency_ms)).values())
        for c in (one, other)
    )
    if over or other_over:
        return over < other_over
    assert one.score is not None
    assert other.score is not None
    return one.score >= other.score and one.macs <= other.macs and (one.score, one.macs) != (other.score, other.macs)


def best(candidates: list[Candidate]) -> Candidate:
    """The candidate with the highest score; among equals the one with the fewest multiply-accumulates.

    Raises:
        LimitError: none was feasible.
    """
    scored = [c for c in candidates if c.score is not None and c.repeated is None]
    if not scored:
        raise LimitError(
            f"none of the {len(candidates)} candidates is within the limits: raise search.generations or the limits"
        )
    return max(scored, key=lambda c: (c.score, -c.macs))
