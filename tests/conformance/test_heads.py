"""What every head must do, whatever it computes."""

import pytest
import torch
from torch import nn

from tailornas.errors import ConfigError, UnknownNameError
from tailornas.heads import HEADS, build_head
from tailornas.seeding import generator

every_head = pytest.mark.parametrize("name", sorted(HEADS))


def build(name: str, seed: int = 0) -> nn.Module:
    return build_head(name, 8, 5, generator(seed))


def features(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 8, generator=generator(0, "features"))


@every_head
def test_gives_one_logit_a_class(name: str) -> None:
    logits = build(name)(features())
    assert logits.shape == (4, 5)
    assert bool(torch.isfinite(logits).all())


@every_head
def test_is_drawn_from_its_generator_alone(name: str) -> None:
    state = torch.get_rng_state()
    first, again, other = build(name), build(name), build(name, seed=1)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first(features()), again(features()))
    assert not torch.equal(first(features()), other(features()))


@every_head
def test_state_survives_a_save(name: str) -> None:
    saved, loaded = build(name), build(name, seed=1)
    loaded.load_state_dict(saved.state_dict())
    assert torch.equal(saved(features()), loaded(features()))


@every_head
def test_passes_a_gradient_to_the_features(name: str) -> None:
    x = features().requires_grad_()
    build(name)(x)[:, 0].sum().backward()
    assert x.grad is not None
    assert float(x.grad.abs().max()) > 0


@every_head
def test_a_zero_feature_vector_is_finite(name: str) -> None:
    x = torch.zeros(1, 8, requires_grad=True)
    build(name)(x).sum().backward()
    assert x.grad is not None
    assert bool(torch.isfinite(x.grad).all())


@every_head
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_keeps_float32_inside_autocast(name: str, dtype: torch.dtype) -> None:
    """In bfloat16 logits tie, and a tie goes to the first class, in a long tail the largest."""
    head = build(name).eval()
    with torch.autocast("cpu", dtype=dtype):
        logits, of_half = head(features()), head(features().to(dtype))
    assert torch.equal(logits, head(features()))
    assert torch.equal(of_half, head(features().to(dtype).float()))


@every_head
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_is_finite_with_weights_of_half_precision(name: str, dtype: torch.dtype) -> None:
    """A zero vector, and one whose norm float16 cannot hold."""
    head, x = build(name).eval(), torch.stack([torch.zeros(8), torch.full((8,), 4e4), *features()]).to(dtype)
    expected = head(x.float())
    logits = head.to(dtype)(x)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, expected, rtol=0.05, atol=0.1)
    assert bool(torch.isfinite(head.train()(x)).all())


@every_head
def test_is_exported_as_it_runs(name: str) -> None:
    head = build(name).eval()
    exported = torch.export.export(head, (features(),)).module()
    torch.testing.assert_close(exported(features()), head(features()))


def test_unknown_head_and_impossible_sizes() -> None:
    with pytest.raises(UnknownNameError, match="unknown head 'cosin': expected one of cosine, etf, linear"):
        build_head("cosin", 8, 5, generator(0))
    with pytest.raises(ConfigError, match="got 0 features and 5 classes"):
        build_head("linear", 0, 5, generator(0))
