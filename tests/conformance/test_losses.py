"""What every loss must do, whatever its formula."""

import re

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from tailornas.errors import DataError
from tailornas.heads import build_head
from tailornas.losses import LOSSES, LongTailLoss, build_loss, check_head
from tailornas.seeding import generator
from tailornas.types import ClassCounts

COUNTS = ClassCounts((500, 100, 20, 4, 1))
TARGETS = torch.tensor([0, 0, 1, 2, 3, 4, 0, 1])

every_loss = pytest.mark.parametrize("name", sorted(LOSSES))


def build(name: str) -> LongTailLoss:
    return build_loss(name, COUNTS, generator(0, "loss"))


def cosines() -> Tensor:
    """Logits that every loss takes: in [-1, 1]."""
    return torch.rand(len(TARGETS), len(COUNTS), generator=generator(0)) * 2 - 1


@every_loss
def test_is_a_finite_scalar_with_a_gradient(name: str) -> None:
    logits = cosines().requires_grad_()
    value = build(name)(logits, TARGETS)
    assert value.shape == ()
    assert value.dtype == torch.float32
    value.backward()
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())
    assert float(logits.grad.gather(1, TARGETS[:, None]).max()) < 0  # every target is pulled up


@every_loss
def test_stays_finite_at_extreme_logits(name: str) -> None:
    logits = torch.full((2, len(COUNTS)), -300.0)
    logits[:, 0] = 300.0
    logits.requires_grad_()
    value = build(name)(logits, torch.tensor([0, 4]))
    value.backward()
    assert bool(torch.isfinite(value))
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())


@every_loss
@pytest.mark.parametrize("shape", [(1,), (8, 1), (8, 5), (9,), ()])
def test_refuses_targets_that_are_not_one_an_image(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=re.escape(f"expected targets int64 (8,) for logits (8, 5), got int64 {shape}")):
        build(name)(cosines(), torch.zeros(shape, dtype=torch.int64))


@every_loss
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.float32])
def test_refuses_targets_of_another_type(name: str, dtype: torch.dtype) -> None:
    with pytest.raises(DataError, match=r"expected targets int64 \(8,\) for logits \(8, 5\), got .* \(8,\): give"):
        build(name)(cosines(), TARGETS.to(dtype))


@every_loss
@pytest.mark.parametrize("label", [-100, -1, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_takes_no_target_that_is_no_label(name: str, label: int, weighted: bool) -> None:
    """Neither by counting it as 0, as torch does -100, nor as a class from behind."""
    loss, targets = build(name), TARGETS.clone()
    targets[3] = label
    with pytest.raises(RuntimeError, match="out of bounds"):
        loss(cosines(), targets, torch.ones(len(COUNTS)) if weighted and not loss.own_weights else None)


@every_loss
def test_computes_in_float32_under_bf16_autocast(name: str) -> None:
    logits = cosines().bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = build(name)(logits, TARGETS)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, build(name)(logits.float(), TARGETS))


@every_loss
def test_equal_weights_change_nothing(name: str) -> None:
    loss = build(name)
    if not loss.own_weights:
        plain = loss(cosines(), TARGETS)
        loss = build(name)
        torch.testing.assert_close(loss(cosines(), TARGETS, torch.full((len(COUNTS),), 7.0)), plain)


@every_loss
def test_weights_count_images_by_their_class(name: str) -> None:
    loss = build(name)
    if not loss.own_weights:
        per_image = loss.per_image(cosines(), TARGETS)
        weights = torch.tensor([1.0, 2.0, 3.0, 4.0, 50.0])
        expected = (per_image * weights[TARGETS]).sum() / weights[TARGETS].sum()
        torch.testing.assert_close(build(name)(cosines(), TARGETS, weights), expected)


@every_loss
def test_probabilities_are_a_distribution_in_the_order_of_the_logits(name: str) -> None:
    logits = cosines()
    probabilities = build(name).probabilities(logits.bfloat16())
    assert probabilities.dtype == torch.float32
    torch.testing.assert_close(probabilities.sum(1), torch.ones(len(TARGETS)))
    assert torch.equal(probabilities.argmax(1), logits.bfloat16().argmax(1))


@every_loss
def test_leaves_the_global_generator_and_its_inputs_alone(name: str) -> None:
    state, logits = torch.get_rng_state(), cosines()
    build(name)(logits, TARGETS)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(logits, cosines())


@every_loss
def test_has_no_parameters_and_follows_the_device_of_the_logits(name: str) -> None:
    loss = build(name).to("meta")
    assert not list(loss.parameters())
    loss = build(name)
    if name != "seql":  # its comparison of random numbers has no value on the meta device
        value = loss(cosines().to("meta"), TARGETS.to("meta"))
        assert value.device.type == "meta"
        assert all(buffer.device.type == "meta" for buffer in loss.buffers())


@every_loss
def test_settings_are_frozen_described_and_closed(name: str) -> None:
    model = LOSSES[name].Settings
    assert model.model_config["frozen"] is True
    with pytest.raises(ValidationError):
        model.model_validate({"no such setting": 1})
    assert all(field.description for field in model.model_fields.values())


@every_loss
def test_fits_separable_features_with_the_head_it_asks_for(name: str) -> None:
    loss = build(name)
    head = build_head("cosine" if loss.head == "cosine" else "linear", 6, 5, generator(0, "head"))
    check_head(loss, head)
    features = torch.eye(6)[TARGETS] + 0.05 * torch.randn(len(TARGETS), 6, generator=generator(2))
    optimizer = torch.optim.Adam(head.parameters(), lr=0.3)
    for _ in range(30):
        optimizer.zero_grad()
        loss(head(features), TARGETS).backward()
        optimizer.step()
    assert torch.equal(head(features).argmax(1), TARGETS)
