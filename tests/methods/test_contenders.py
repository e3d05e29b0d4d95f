"""What is made sure of before anything is trained: losses, heads, class weights and counts fit each other."""

from typing import Any
from unittest.mock import create_autospec

import pytest

from tailornas.errors import ConfigError, DataError
from tailornas.heads import HEADS
from tailornas.losses import LOSSES
from tailornas.methods import Fitting, check_training
from tailornas.spaces import Backbone
from tailornas.training import TrainConfig
from tailornas.types import ClassCounts

TAIL = ClassCounts((50, 30, 20, 12, 8, 5, 4, 3, 2, 1))


def check(counts: ClassCounts = TAIL, **settings: Any) -> None:
    fitting = create_autospec(Fitting, instance=True)
    fitting.train, fitting.split.counts, fitting.seed = TrainConfig.model_validate(settings), counts, 0
    check_training(fitting, create_autospec(Backbone, instance=True))


@pytest.mark.parametrize("head", sorted(HEADS))
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_a_head_and_a_loss_belong_together_or_are_refused_before_training(loss: str, head: str) -> None:
    if (LOSSES[loss].head == "cosine") == (head == "cosine"):
        check(loss=loss, head=head)
        return
    mend = "use the head 'cosine'" if loss == "ldam" else "use the head 'scaled_cosine' or the loss 'ldam'"
    with pytest.raises(ConfigError, match=mend) as caught:
        check(loss=loss, head=head)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"class_weights": [1.0, 2.0]}, "one class weight for each of 10 classes, got 2 weights: give them in label o"),
        ({"class_weights": [1.0] * 9 + [0.0]}, "class weights must be positive numbers: class 9 has 0.0"),
    ],
)
def test_class_weights_that_do_not_fit_the_classes(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        check(loss="ce", **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "ce", "class_weights": "inverse"},
        {"loss": "ce", "class_weights": "auto"},
        {"loss": "ce", "schedule": {"name": "drw"}},
        {"loss": "ldam", "schedule": {"name": "none"}},
        {"loss": "logit_adjustment"},
        {"loss": "balanced_softmax"},
        {"loss": "ce", "second_stage": {"name": "crt", "loss": "balanced_softmax"}},
    ],
)
def test_a_class_without_images(settings: dict[str, Any]) -> None:
    """Where something is divided by its count, or the logarithm of it is taken."""
    with pytest.raises(DataError, match="class 1 has no training image: expected at least 1 in each of 3 cl") as caught:
        check(ClassCounts((5, 0, 2)), **settings)
    assert "\n" not in str(caught.value)


def test_a_loss_that_no_count_divides_takes_a_class_without_images() -> None:
    check(ClassCounts((5, 0, 2)), loss="ce")
