import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from tailornas.errors import DataError
from tailornas.metrics import (
    accuracy,
    balanced_accuracy,
    class_recalls,
    confusion,
    difference_variances,
    geometric_mean,
    group_recalls,
    harmonic_mean,
    macro_f1,
    mean_error,
    recall_variances,
    wilson_interval,
    worst_class,
)

PREDICTED = torch.tensor([0, 0, 1, 1, 1, 2])
TRUE = torch.tensor([0, 0, 0, 1, 1, 1])
# Class 0: 2 of 3; class 1: 2 of 3; class 2: predicted once, never true.
MATRIX = torch.tensor([[2, 1, 0], [0, 2, 1], [0, 0, 0]])

LABELLED = st.integers(2, 6).flatmap(
    lambda classes: st.tuples(
        st.just(classes),
        st.lists(st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1)), min_size=1, max_size=60),
    )
)


def test_confusion_by_hand() -> None:
    matrix = confusion(PREDICTED, TRUE, 3)
    assert torch.equal(matrix, MATRIX)
    assert matrix.dtype == torch.int64


def test_rates_by_hand() -> None:
    assert accuracy(MATRIX) == pytest.approx(4 / 6)
    # F1 of class 0: 4 / (3 + 2); of class 1: 4 / (3 + 3); class 2 has no images and does not count.
    assert macro_f1(MATRIX) == pytest.approx((4 / 5 + 4 / 6) / 2)
    assert worst_class(MATRIX) == pytest.approx(2 / 3)
    assert class_recalls(MATRIX).isnan().tolist() == [False, False, True]


def test_means_of_recalls_by_hand() -> None:
    matrix = torch.tensor([[4, 0], [6, 2]])  # recalls 1 and 1/4
    assert balanced_accuracy(matrix) == pytest.approx(5 / 8)
    assert harmonic_mean(matrix) == pytest.approx(2 / 5)
    assert geometric_mean(matrix) == pytest.approx(1 / 2)
    lost = torch.tensor([[4, 0], [8, 0]])
    assert harmonic_mean(lost) == geometric_mean(lost) == worst_class(lost) == 0


def test_standard_error_by_hand() -> None:
    # Laplace: 3/5 of 3 and 3/5 of 3; each variance 0.24 / 3 = 0.08; sqrt(0.16) / 2.
    assert balanced_accuracy(MATRIX) == pytest.approx(2 / 3)
    assert mean_error(recall_variances(MATRIX)) == pytest.approx(0.2)


def test_one_recognised_image_does_not_claim_certainty() -> None:
    certain = torch.eye(2, dtype=torch.int64)
    assert balanced_accuracy(certain) == 1
    assert mean_error(recall_variances(certain)) == pytest.approx(math.sqrt(2 * (2 / 3) * (1 / 3)) / 2)


def test_standard_error_is_that_of_the_sampling() -> None:
    generator = torch.Generator().manual_seed(0)
    recalls, images, repeats = torch.tensor([0.9, 0.6, 0.3]), torch.tensor([400, 100, 25]), 2000
    hits = torch.stack(
        [
            torch.binomial(n.double().expand(repeats), p.double().expand(repeats), generator=generator)
            for p, n in zip(recalls, images, strict=True)
        ]
    )
    spread = float((hits / images[:, None]).mean(0).std())
    matrix = torch.diag((recalls * images).round().long())
    matrix[:, 0] += images - matrix.diagonal()
    matrix[0, 1], matrix[0, 0] = 40, 360
    assert mean_error(recall_variances(matrix)) == pytest.approx(spread, rel=0.06)


def test_error_of_a_difference_by_hand() -> None:
    # Class 0, 4 images: one is right with the first alone, none with the second alone, one with both, two with neither.
    # Class 1, 1 image: both are right. Class 2 has no image.
    targets = torch.tensor([0, 0, 0, 0, 1])
    first, second = torch.tensor([0, 0, 1, 2, 1]), torch.tensor([0, 1, 2, 1, 1])
    variances = difference_variances(first, second, targets, 3)
    p, q = 1.5 / 6, 0.5 / 6
    assert variances[0] == pytest.approx((p + q - (p - q) ** 2) / 4)
    assert variances[1] == pytest.approx(2 * (0.5 / 3))  # no disagreement, and yet no certainty
    assert variances[2].isnan()
    assert mean_error(variances) == pytest.approx(math.sqrt(float(variances[0] + variances[1])) / 2)
    assert mean_error(variances[[1, 2]]) == pytest.approx(math.sqrt(1 / 3))
    assert torch.equal(difference_variances(second, first, targets, 3)[:2], variances[:2])


@pytest.mark.parametrize("shared", [0.0, 0.8])
def test_error_of_a_difference_is_that_of_the_sampling(shared: float) -> None:
    """Of two networks that err on the same images, and of two that have nothing in common but the images."""
    generator = torch.Generator().manual_seed(0)
    images, repeats = torch.tensor([300, 60]), 1500
    targets = torch.repeat_interleave(torch.arange(2), images)
    recalls = torch.tensor([[0.8, 0.5], [0.7, 0.6]])[:, targets]  # of both networks, (2, images)
    draws = torch.rand(2, repeats, len(targets), generator=generator)
    together = torch.rand(repeats, len(targets), generator=generator) < shared
    draws[1] = torch.where(together, draws[0], draws[1])
    right = draws < recalls[:, None]
    predictions = torch.where(right, targets, 1 - targets)
    differences = right[0].double() - right[1].double()
    spread = float(torch.stack([differences[:, targets == label].mean(dim=1) for label in (0, 1)]).mean(dim=0).std())
    errors = [mean_error(difference_variances(a, b, targets, 2)) for a, b in predictions.transpose(0, 1)[:50]]
    assert sum(errors) / 50 == pytest.approx(spread, rel=0.08)
    each = [mean_error(recall_variances(confusion(prediction[0], targets, 2))) for prediction in predictions]
    assert (math.hypot(*each) > 1.4 * spread) == (shared > 0)


def test_the_error_of_a_group_is_that_of_its_classes() -> None:
    variances = recall_variances(MATRIX)
    assert variances[2].isnan()
    assert mean_error(variances[[1, 2]]) == pytest.approx(math.sqrt(0.6 * 0.4 / 3))


@settings(deadline=None, max_examples=60)
@given(LABELLED)
def test_agrees_with_scikit_learn(case: tuple[int, list[tuple[int, int]]]) -> None:
    classes, pairs = case
    true, predicted = (np.array(labels) for labels in zip(*pairs, strict=True))
    matrix = confusion(torch.from_numpy(predicted), torch.from_numpy(true), classes)
    labels = np.unique(true)
    np.testing.assert_array_equal(matrix.numpy(), confusion_matrix(true, predicted, labels=range(classes)))
    assert accuracy(matrix) == pytest.approx(accuracy_score(true, predicted))
    recalls = recall_score(true, predicted, labels=labels, average=None, zero_division=0)
    value = balanced_accuracy(matrix)
    assert value == pytest.approx(recalls.mean())
    assert 0 < mean_error(recall_variances(matrix)) <= 0.5
    assert macro_f1(matrix) == pytest.approx(f1_score(true, predicted, labels=labels, average="macro", zero_division=0))
    assert worst_class(matrix) == pytest.approx(recalls.min())
    means = [worst_class(matrix), harmonic_mean(matrix), geometric_mean(matrix), value]
    assert all(low <= high + 1e-12 for low, high in pairwise(means))


def test_predictions_that_cannot_be_counted() -> None:
    with pytest.raises(DataError, match=r"predictions \(2,\) and targets \(3,\)"):
        confusion(torch.tensor([0, 1]), torch.tensor([0, 1, 1]), 2)
    with pytest.raises(DataError, match="targets must be labels from 0 to 1, got labels from 0 to 2"):
        confusion(torch.tensor([0, 1]), torch.tensor([0, 2]), 2)
    with pytest.raises(DataError, match="predictions must be labels from 0 to 1, got labels from -1 to 0"):
        confusion(torch.tensor([0, -1]), torch.tensor([0, 1]), 2)
    with pytest.raises(DataError, match="at least 1 image, got 0"):
        confusion(torch.tensor([], dtype=torch.int64), torch.tensor([], dtype=torch.int64), 2)


def test_wilson_interval_of_known_values() -> None:
    # Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    low, high = wilson_interval(torch.tensor([81, 15, 0, 1]), torch.tensor([263, 148, 20, 29]), z=1.959964)
    torch.testing.assert_close(low, torch.tensor([0.2553, 0.0624, 0.0, 0.0061], dtype=torch.float64), rtol=0, atol=5e-5)
    torch.testing.assert_close(
        high, torch.tensor([0.3662, 0.1605, 0.1611, 0.1718], dtype=torch.float64), rtol=0, atol=5e-5
    )


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_share(case: tuple[int, int]) -> None:
    hits, images = case
    low, high = (float(end) for end in wilson_interval(torch.tensor([hits]), torch.tensor([images])))
    assert 0 <= low <= hits / images <= high <= 1
    assert low < high


def test_group_recalls_leave_out_what_has_no_images() -> None:
    recalls = torch.tensor([1.0, 0.5, math.nan, math.nan])
    groups = {"many": (0,), "medium": (1, 2), "few": (3,)}
    assert group_recalls(recalls, groups) == {"many": (1.0, 1), "medium": (0.5, 1)}
