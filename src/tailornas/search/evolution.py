"""Evolutionary search over the decisions: NSGA-II (Deb et al. 2002) by Optuna, with limits as constraints."""

from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import final

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import NSGAIISampler
from pydantic import BaseModel, ConfigDict, Field

from tailornas.errors import LimitError
from tailornas.search.evaluate import Score
from tailornas.search.limits import Costs, Limits
from tailornas.seeding import derive_seed
from tailornas.spaces import Backbone, SearchSpace
from tailornas.stages import Stage
from tailornas.types import Architecture

__all__ = ["Candidate", "SearchConfig", "best", "evolve"]


@final
class SearchConfig(BaseModel):
    """How the space is searched."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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
    """Valid and within the limits; others are never scored."""
    score: float | None
    """Balanced accuracy on the selection split."""
    score_se: float | None
    repeated: int | None
    """Number of the candidate whose score this one shares, the networks being equal."""


def evolve(
    space: SearchSpace[Backbone],
    score: Callable[[Architecture], Score],
    costs: Callable[[Architecture], Costs],
    limits: Limits,
    *,
    population: int,
    generations: int,
    seed: int,
    stage: Stage,
) -> list[Candidate]:
    """Searches for architectures of high balanced accuracy and few multiply-accumulates.

    A candidate that is disconnected or over a limit is not scored: it enters the population by how far it is over
    (constrained domination), which is all that NSGA-II asks of it. Networks that are equal are scored once.

    Every generation ends with a checkpoint of the scores and costs. A resumed search asks for the same candidates
    again from the beginning, which takes milliseconds, and finds those instead of computing them: nothing of the
    sampler's state has to be kept.

    Args:
        space: the search space.
        score: scores one architecture on the selection split.
        costs: its parameters, multiply-accumulates and, where limited, latency.
        limits: what is allowed.
        population: candidates a generation.
        generations: number of generations.
        seed: the run's seed.
        stage: checkpoints, log and progress.

    Returns:
        Every candidate in the order it was asked for.
    """
    state = stage.restore() or {"generations": 0, "scores": {}, "costs": {}}
    scores = {key: Score(*fields) for key, fields in state["scores"].items()}
    known_costs = {text: Costs(*fields) for text, fields in state["costs"].items()}
    sampler = NSGAIISampler(population_size=population, seed=derive_seed(seed, "search") % 2**32)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    distributions: dict[str, BaseDistribution] = {
        key: CategoricalDistribution(options) for key, options in space.decisions.items()
    }
    candidates: list[Candidate] = []
    first_with: dict[str, int] = {}
    leader = 0.0

    for number in range(generations * population):
        trial = study.ask(distributions)
        architecture = space.simplify(Architecture.of({key: trial.params[key] for key in space.decisions}))
        text = space.to_text(architecture)
        if text not in known_costs:
            known_costs[text] = costs(architecture)
        cost = known_costs[text]
        key = space.identity(architecture)
        violations = {"disconnected": 0.0 if space.valid(architecture) else 1.0, **limits.violations(cost)}
        feasible = max(violations.values()) <= 0
        if feasible and key not in scores:
            scores[key] = score(architecture)
        value = scores[key] if feasible else None
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
                repeated=first_with.get(key),
            )
        )
        if value:
            first_with.setdefault(key, number)
            leader = max(leader, value.balanced_accuracy)
        for name, violation in violations.items():
            trial.set_constraint(name, violation)
        study.tell(trial, (value.balanced_accuracy if value else 0.0, float(cost.macs)))
        stage.progress(number + 1, generations * population, "candidates", scored=len(first_with), best=f"{leader:.1%}")
        if (number + 1) % population == 0 and candidates[-1].generation >= state["generations"]:
            stage.log(generation=candidates[-1].generation + 1, scored=len(scores), best=leader)
            stage.save(
                {
                    "generations": candidates[-1].generation + 1,
                    "scores": {key: astuple(s) for key, s in scores.items()},
                    "costs": {text: astuple(c) for text, c in known_costs.items()},
                }
            )
    return candidates


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
