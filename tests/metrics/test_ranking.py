import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailornas.errors import ConfigError, DataError
from tailornas.metrics import kendall_tau, spearman_rho, top_k_overlap


def test_by_hand() -> None:
    first, second = [1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 4.0]
    assert kendall_tau(first, second) == pytest.approx(4 / 6)  # 5 pairs in order, 1 not
    assert spearman_rho(first, second) == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert top_k_overlap(first, second, 1) == 1
    assert top_k_overlap(first, second, 2) == 0.5


def test_ties() -> None:
    # 1 pair tied in the first list, 0 in the second: tau-b = (2 - 0) / sqrt(2 * 3).
    assert kendall_tau([1.0, 1.0, 2.0], [1.0, 2.0, 3.0]) == pytest.approx(2 / math.sqrt(6))
    assert top_k_overlap([1.0, 1.0, 1.0], [3.0, 2.0, 1.0], 2) == 1


def test_equal_scores_rank_nothing() -> None:
    assert kendall_tau([1.0, 1.0], [1.0, 2.0]) is None
    assert spearman_rho([1.0, 2.0], [1.0, 1.0]) is None


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=30, unique=True))
def test_an_order_agrees_with_itself_and_not_with_its_reverse(scores: list[int]) -> None:
    reverse = [-score for score in scores]
    for correlation in (kendall_tau, spearman_rho):
        assert correlation(scores, [score**3 for score in scores]) == pytest.approx(1)
        assert correlation(scores, reverse) == pytest.approx(-1)
    assert top_k_overlap(scores, reverse, len(scores)) == 1
    assert top_k_overlap(scores, reverse, 1) == 0


@pytest.mark.parametrize("metric", [kendall_tau, spearman_rho, lambda x, y: top_k_overlap(x, y, 1)])
def test_lists_that_cannot_be_compared(metric: object) -> None:
    assert callable(metric)
    with pytest.raises(DataError, match="got 2 and 3 scores"):
        metric([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(DataError, match="at least 2 candidates, got 1"):
        metric([1.0], [1.0])
    with pytest.raises(DataError, match="scores must be finite"):
        metric([1.0, math.nan], [1.0, 2.0])


@pytest.mark.parametrize("k", [0, 3])
def test_k_out_of_range(k: int) -> None:
    with pytest.raises(ConfigError, match=f"the number of candidates, 2, and is {k}"):
        top_k_overlap([1.0, 2.0], [1.0, 2.0], k)
