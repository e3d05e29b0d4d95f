import json

import pytest
import torch

from support.devices import Elsewhere
from tailornas.errors import DataError
from tailornas.metrics import (
    auroc,
    balanced_accuracy,
    confusion,
    expected_calibration_error,
    mean_error,
    recall_variances,
    report,
    tercile_groups,
)
from tailornas.types import ClassCounts

CLASSES = ("cat", "dog", "owl", "yak")
COUNTS = ClassCounts((300, 50, 5, 2))
TARGETS = torch.tensor([0, 0, 0, 0, 1, 1, 2])  # no yak
PROBABILITIES = torch.tensor(
    [
        [0.7, 0.1, 0.1, 0.1],
        [0.7, 0.1, 0.1, 0.1],
        [0.7, 0.1, 0.1, 0.1],
        [0.1, 0.7, 0.1, 0.1],
        [0.1, 0.7, 0.1, 0.1],
        [0.1, 0.1, 0.1, 0.7],
        [0.1, 0.1, 0.7, 0.1],
    ]
)


def test_values_by_hand() -> None:
    values = report(PROBABILITIES, TARGETS, COUNTS, CLASSES).values()
    assert json.loads(json.dumps(values)) == values
    assert list(values) == [
        "accuracy",
        "balanced_accuracy",
        "balanced_se",
        "macro_f1",
        "worst_class",
        "harmonic_mean",
        "geometric_mean",
        "ece",
        "auroc",
        "groups",
        "per_class",
        "confusion",
        "unscored",
    ]
    matrix = confusion(PROBABILITIES.argmax(1), TARGETS, 4)
    assert values["confusion"] == [[0, 0, 3], [0, 1, 1], [1, 1, 1], [1, 3, 1], [2, 2, 1]]
    assert values["accuracy"] == pytest.approx(5 / 7)
    assert values["balanced_accuracy"] == balanced_accuracy(matrix)
    assert values["balanced_se"] == mean_error(recall_variances(matrix))
    assert values["balanced_accuracy"] == pytest.approx(0.75)
    assert values["macro_f1"] == pytest.approx((6 / 7 + 2 / 4 + 1) / 3)
    assert values["worst_class"] == 0.5
    assert values["harmonic_mean"] == pytest.approx(3 / (4 / 3 + 2 + 1))
    assert values["geometric_mean"] == pytest.approx(0.375 ** (1 / 3))
    assert values["ece"] == pytest.approx(abs(5 / 7 - 0.7), abs=1e-6)
    assert values["ece"] == expected_calibration_error(PROBABILITIES, TARGETS)
    assert values["auroc"] == auroc(PROBABILITIES, TARGETS)
    assert values["groups"] == {
        "many": {"recall": 0.75, "classes": 1, "se": pytest.approx((4 / 6 * 2 / 6 / 4) ** 0.5)},
        "medium": {"recall": 0.5, "classes": 1, "se": pytest.approx((1 / 2 * 1 / 2 / 2) ** 0.5)},
        "few": {"recall": 1.0, "classes": 1, "se": pytest.approx((2 / 3 * 1 / 3 / 1) ** 0.5)},
    }
    assert values["unscored"] == ["yak"]
    cat, _, owl, yak = values["per_class"]
    assert (cat["name"], cat["train"], cat["n"], cat["recall"]) == ("cat", 300, 4, 0.75)
    assert (cat["low"], cat["high"]) == pytest.approx((0.3006, 0.9544), abs=5e-5)  # Wilson's, of 3 of 4 at 95%
    assert owl["high"] == 1
    assert yak == {"name": "yak", "train": 2, "n": 0, "recall": None, "low": None, "high": None}


@pytest.mark.parametrize(("predicted", "true"), [(Elsewhere, torch.Tensor), (torch.Tensor, Elsewhere)])
def test_predictions_and_targets_may_be_on_any_device(predicted: type[torch.Tensor], true: type[torch.Tensor]) -> None:
    found = report(PROBABILITIES.as_subclass(predicted), TARGETS.as_subclass(true), COUNTS, CLASSES)
    assert found.values() == report(PROBABILITIES, TARGETS, COUNTS, CLASSES).values()
    ece = expected_calibration_error(PROBABILITIES.as_subclass(predicted), TARGETS.as_subclass(true))
    assert ece == found.ece


def test_a_group_without_images_is_absent() -> None:
    counts = ClassCounts((300, 50, 30, 2))
    assert set(report(PROBABILITIES, TARGETS, counts, CLASSES).groups) == {"many", "medium"}


def test_other_groups() -> None:
    groups = report(PROBABILITIES, TARGETS, COUNTS, CLASSES, tercile_groups(COUNTS)).groups
    assert (groups["many"].recall, groups["many"].classes) == (0.625, 2)
    assert groups["many"].se == pytest.approx((4 / 6 * 2 / 6 / 4 + 1 / 2 * 1 / 2 / 2) ** 0.5 / 2)


def test_a_split_without_images_is_refused() -> None:
    with pytest.raises(DataError, match="expected at least 1 image, got 0"):
        report(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64), ClassCounts((3, 2)), ("a", "b"))


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(DataError, match="each of 4 class names, got 2"):
        report(PROBABILITIES, TARGETS, ClassCounts((1, 2)), CLASSES)
    with pytest.raises(DataError, match=r"probabilities \(images, 2\), .* got \(7, 4\)"):
        report(PROBABILITIES, TARGETS, ClassCounts((1, 2)), ("a", "b"))
    with pytest.raises(DataError, match=r"predictions \(7,\) and targets \(3,\)"):
        report(PROBABILITIES, TARGETS[:3], COUNTS, CLASSES)


@pytest.mark.parametrize("factor", [2.0, -1.0, float("nan")])
def test_logits_are_refused(factor: float) -> None:
    with pytest.raises(DataError, match="sum to 1, got other numbers: take the softmax"):
        report(PROBABILITIES * factor, TARGETS, COUNTS, CLASSES)


def test_logits_that_happen_to_sum_to_one_are_refused() -> None:
    logits = torch.tensor([[3.0, -2.0, 0.0, 0.0]]).expand(7, 4)
    with pytest.raises(DataError, match="take the softmax of logits"):
        report(logits, TARGETS, COUNTS, CLASSES)
