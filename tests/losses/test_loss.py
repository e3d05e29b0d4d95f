import pytest
import torch
from torch.nn import functional as F

from tailornas.errors import ConfigError, DataError, UnknownNameError
from tailornas.heads import HEADS, CosineHead, build_head
from tailornas.losses import LOSSES, build_loss, check_head, loss_settings
from tailornas.types import ClassCounts

COUNTS = ClassCounts((8, 4, 1))
LOGITS = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 3.0]])
TARGETS = torch.tensor([0, 2, 2])


def test_weighted_mean_divides_by_the_weights_as_torch_does() -> None:
    weights = torch.tensor([0.5, 1.0, 4.0])
    loss = build_loss("cross_entropy", COUNTS)
    torch.testing.assert_close(loss(LOGITS, TARGETS), F.cross_entropy(LOGITS, TARGETS))
    torch.testing.assert_close(loss(LOGITS, TARGETS, weights), F.cross_entropy(LOGITS, TARGETS, weights))


def test_logits_of_another_number_of_classes_are_refused() -> None:
    with pytest.raises(DataError, match=r"counts of 3 classes: expected logits \(batch, 3\), got \(2, 4\)"):
        build_loss("ldam", COUNTS)(torch.zeros(2, 4), torch.tensor([0, 1]))


def test_weights_of_another_number_of_classes_are_refused() -> None:
    with pytest.raises(DataError, match=r"each of 3 classes, got weights of shape \(2,\)"):
        build_loss("focal", COUNTS)(LOGITS, TARGETS, torch.ones(2))


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match="at least 2 classes, got 1"):
        build_loss("cross_entropy", ClassCounts((3,)))


def test_unknown_loss_lists_the_known_ones() -> None:
    message = r"unknown loss 'ldma': expected one of .*; did you mean 'ldam'\?$"
    with pytest.raises(UnknownNameError, match=message):
        build_loss("ldma", COUNTS)
    with pytest.raises(UnknownNameError, match=message):
        LOSSES["ldma"]


def test_the_short_name_of_cross_entropy_is_good_everywhere_and_listed_nowhere() -> None:
    assert LOSSES["ce"] is LOSSES["cross_entropy"]
    assert isinstance(build_loss("ce", COUNTS), LOSSES["cross_entropy"])
    assert "ce" not in list(LOSSES)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("focal", {"gama": 1}, r"the loss 'focal' has no setting 'gama': its settings are gamma$"),
        ("focal", {"gamma": -1}, r"loss 'focal', setting 'gamma': .*greater than or equal to 0, got -1"),
        ("cross_entropy", {"gamma": 1}, r"the loss 'cross_entropy' has no setting 'gamma': it has none"),
    ],
)
def test_wrong_settings_are_one_line(name: str, settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        loss_settings(name, settings)
    assert "\n" not in str(caught.value)


def test_settings_reach_the_loss() -> None:
    assert build_loss("ldam", COUNTS, scale=10).settings.model_dump() == {
        "largest_margin": 0.5,
        "scale": 10.0,
    }


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("head", sorted(HEADS))
def test_only_ldam_takes_cosines_and_it_takes_nothing_else(loss: str, head: str) -> None:
    built = build_loss(loss, COUNTS, torch.Generator())
    module = build_head(head, 4, 3, torch.Generator())
    if (loss == "ldam") == (head == "cosine"):
        check_head(type(built), module)
    else:
        with pytest.raises(ConfigError, match=f"{type(built).__name__}.*{type(module).__name__}.*use the head"):
            check_head(type(built), module)


def test_a_scaled_cosine_head_under_ldam_is_refused_with_both_sides() -> None:
    head = CosineHead(4, 3, torch.Generator(), scale=16)
    with pytest.raises(ConfigError, match=r"LDAM .* the head is CosineHead with scale 16: use the head 'cosine'"):
        check_head(build_loss("ldam", COUNTS), head)


@pytest.mark.parametrize("name", ["ldam", "balanced_softmax", "logit_adjustment", "class_balanced_focal"])
def test_losses_that_divide_by_counts_refuse_an_empty_class(name: str) -> None:
    with pytest.raises(DataError, match="class 0 has no training image"):
        build_loss(name, ClassCounts((0, 1)))
