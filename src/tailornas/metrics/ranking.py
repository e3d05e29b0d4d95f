"""How far two lists of scores rank the same candidates alike."""

from collections.abc import Sequence

import numpy as np

from tailornas.errors import ConfigError, DataError

__all__ = ["kendall_tau", "spearman_rho", "top_k_overlap"]

# scipy.stats is imported where it is used: it loads half as long as torch, and only comparisons need it.


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Kendall's tau-b: concordant minus discordant pairs, corrected for ties.

    Args:
        first: a score for each candidate.
        second: another score for each, in the same order.

    Returns:
        A number in [-1, 1], or None where all scores of a list are equal and rank nothing.

    Raises:
        DataError: lists of different lengths, fewer than two candidates, or a score that is not finite.
    """
    from scipy.stats import kendalltau

    x, y = _paired(first, second)
    return None if _constant(x) or _constant(y) else float(kendalltau(x, y).statistic)


def spearman_rho(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rho: the correlation of the ranks, ties at their mean rank.

    For arguments, result and errors see :func:`kendall_tau`.
    """
    from scipy.stats import spearmanr

    x, y = _paired(first, second)
    return None if _constant(x) or _constant(y) else float(spearmanr(x, y).statistic)


def top_k_overlap(first: Sequence[float], second: Sequence[float], k: int) -> float:
    """Share of the k highest-scored candidates of one list that are among the k highest of the other.

    Args:
        first: a score for each candidate.
        second: another score for each, in the same order.
        k: how many; of equal scores the earlier candidate is taken first.

    Raises:
        ConfigError: ``k`` is below 1 or above the number of candidates.
        DataError: as for :func:`kendall_tau`.
    """
    x, y = _paired(first, second)
    if not 1 <= k <= len(x):
        raise ConfigError(f"k must be from 1 to the number of candidates, {len(x)}, and is {k}")
    tops = [set(np.argsort(-scores, kind="stable")[:k].tolist()) for scores in (x, y)]
    return len(tops[0] & tops[1]) / k


def _paired(first: Sequence[float], second: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    if len(first) != len(second):
        raise DataError(f"expected two scores for each candidate, got {len(first)} and {len(second)} scores")
    if len(first) < 2:
        raise DataError(f"a ranking needs at least 2 candidates, got {len(first)}")
    x, y = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError("scores must be finite to be ranked: leave out candidates whose score is NaN or infinite")
    return x, y


def _constant(scores: np.ndarray) -> bool:
    return bool((scores == scores[0]).all())
