import math

import pytest
import torch

from tailornas.errors import ConfigError
from tailornas.losses import build_loss
from tailornas.seeding import generator
from tailornas.types import ClassCounts

TARGET_0 = torch.tensor([0])


def test_equalization_leaves_rare_negatives_out() -> None:
    # Class 2 has 1 of 100 images and is rare; it is always ignored as a negative, never as the target.
    counts = ClassCounts((60, 39, 1))
    loss = build_loss("seql", counts, generator(0), rare=0.05, ignore=1)
    assert float(loss(torch.tensor([[1.0, 1.0, 98.0]]).log(), TARGET_0)) == pytest.approx(math.log(2))
    assert float(loss(torch.tensor([[1.0, 1.0, 2.0]]).log(), torch.tensor([2]))) == pytest.approx(math.log(2))
    never = build_loss("seql", counts, generator(0), rare=0.05, ignore=0)
    assert float(never(torch.tensor([[1.0, 1.0, 98.0]]).log(), TARGET_0)) == pytest.approx(math.log(100), rel=1e-6)


def test_equalization_draws_for_every_image_from_its_generator() -> None:
    counts = ClassCounts((60, 39, 1))
    logits, targets = torch.tensor([[1.0, 1.0, 98.0]]).log().repeat(4000, 1), torch.zeros(4000, dtype=torch.int64)
    loss = build_loss("seql", counts, generator(1), rare=0.05, ignore=0.25)
    values = loss.per_image(logits, targets)
    ignored = values < 1
    assert abs(float(ignored.float().mean()) - 0.25) < 0.03  # 4 standard errors
    again = build_loss("seql", counts, generator(1), rare=0.05, ignore=0.25)
    assert torch.equal(values, again.per_image(logits, targets))
    assert not torch.equal(values, again.per_image(logits, targets))


def test_equalization_draws_for_every_class_of_an_image() -> None:
    logits, targets = torch.tensor([[1.0, 1.0, 2.0, 4.0]]).log().repeat(2000, 1), torch.zeros(2000, dtype=torch.int64)
    loss = build_loss("seql", ClassCounts((58, 40, 1, 1)), generator(0), rare=0.05, ignore=0.5)
    sums = loss.per_image(logits, targets).exp().round().long().bincount(minlength=9)
    # Without both rare classes, without either, with both; 80 are 4 standard errors.
    assert sums[[2, 4, 6, 8]].tolist() == pytest.approx([500] * 4, abs=80)


def test_equalization_rare_is_strictly_below_the_share() -> None:
    loss = build_loss("seql", ClassCounts((91, 5, 4)), generator(0), rare=0.05, ignore=1)
    assert float(loss(torch.tensor([[1.0, 1.0, 98.0]]).log(), TARGET_0)) == pytest.approx(math.log(2))


@pytest.mark.parametrize("classes", [10, 100, 1000])
def test_equalization_by_default_has_rare_classes_on_long_tailed_data(classes: int) -> None:
    """0.003 of the images is the threshold for 100 classes, scaled with their number."""
    counts = ClassCounts(tuple(round(5000 * 0.01 ** (label / (classes - 1))) for label in range(classes)))
    is_rare = build_loss("seql", counts, generator(0)).get_buffer("is_rare")
    assert is_rare.tolist() == [count / counts.total < 0.3 / classes for count in counts]
    assert 0.3 < float(is_rare.float().mean()) < 0.6


@pytest.mark.parametrize(
    ("counts", "settings", "message"),
    [
        (
            (50, 40, 30),
            {},
            r"less than 0.1 of the images as rare and that is no class: the shares go from 0.25 to 0.417",
        ),
        ((50, 50), {"rare": 0.6}, r"less than 0.6 .* that is every class: the shares go from 0.5 to 0.5; set rare"),
    ],
)
def test_equalization_that_could_not_matter_is_refused(
    counts: tuple[int, ...], settings: dict[str, float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        build_loss("seql", ClassCounts(counts), generator(0), **settings)


def test_equalization_needs_a_generator() -> None:
    loss = build_loss("seql", ClassCounts((9, 1)))
    with pytest.raises(ConfigError, match=r"'seql' .* expected loss.generator to be set, got None"):
        loss(torch.zeros(1, 2), torch.tensor([0]))
