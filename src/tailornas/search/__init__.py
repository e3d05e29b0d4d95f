"""Search: scoring candidates and choosing which to score."""

from tailornas.search.evaluate import Score, score
from tailornas.search.evolution import Candidate, SearchConfig, best, evolve
from tailornas.search.limits import Costs, Limits, reachable

__all__ = [
    "Candidate",
    "Costs",
    "Limits",
    "Score",
    "SearchConfig",
    "best",
    "evolve",
    "reachable",
    "score",
]
