import math

import pytest
import torch
from torch import nn

from tailornas.errors import ConfigError, DataError
from tailornas.heads import LWSHead, linear_head, nearest_class_mean, tau_normalized
from tailornas.seeding import generator


def linear(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    head = linear_head(len(weight[0]), len(weight), generator(0))
    head.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
    return head


def test_tau_normalisation_by_hand() -> None:
    head = linear([[3.0, 4.0], [0.0, 1.0]], [7.0, 7.0])
    x = torch.tensor([[1.0, 2.0]])
    torch.testing.assert_close(tau_normalized(head, 0.0)(x), torch.tensor([[11.0, 2.0]]))
    torch.testing.assert_close(tau_normalized(head, 0.5)(x), torch.tensor([[11 / 5**0.5, 2.0]]))
    torch.testing.assert_close(tau_normalized(head, 1.0)(x), torch.tensor([[2.2, 2.0]]))
    assert head.bias.tolist() == [7, 7]  # the trained head is left as it is


def test_tau_normalisation_of_a_class_without_weights() -> None:
    logits = tau_normalized(linear([[0.0, 0.0], [0.0, 1.0]], [0.0, 0.0]), 1.0)(torch.ones(1, 2))
    torch.testing.assert_close(logits, torch.tensor([[0.0, 1.0]]))


@pytest.mark.parametrize("tau", [-0.1, 1.1, math.nan])
def test_tau_out_of_range(tau: float) -> None:
    with pytest.raises(ConfigError, match=r"tau must be in \[0, 1\] and is"):
        tau_normalized(linear([[1.0], [1.0]], [0.0, 0.0]), tau)


def test_lws_starts_as_the_trained_head_and_learns_scales_alone() -> None:
    trained = linear_head(8, 5, generator(0))
    head = LWSHead(trained)
    x = torch.randn(6, 8, generator=generator(1))
    torch.testing.assert_close(head(x), trained(x))
    assert {name for name, _ in head.named_parameters()} == {"scales"}
    with torch.no_grad():
        head.scales[0] = 3.0
    torch.testing.assert_close(head(x)[:, 0], 3 * trained(x)[:, 0])
    torch.testing.assert_close(head(x)[:, 1:], trained(x)[:, 1:])


def test_lws_of_a_head_without_bias() -> None:
    trained = tau_normalized(linear_head(8, 5, generator(0)), 0.5)
    x = torch.randn(6, 8, generator=generator(1))
    torch.testing.assert_close(LWSHead(trained)(x), trained(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_heads_of_trained_ones_keep_float32(dtype: torch.dtype) -> None:
    x = torch.randn(6, 8, generator=generator(1))
    for head in (LWSHead(linear_head(8, 5, generator(0))), tau_normalized(linear_head(8, 5, generator(0)), 0.5)):
        with torch.autocast("cpu", dtype=dtype):
            logits = head(x)
        assert torch.equal(logits, head(x))
        half = head.to(dtype)(x.to(dtype))
        assert half.dtype == torch.float32
        torch.testing.assert_close(half, logits, rtol=0.05, atol=0.05)


def test_nearest_class_mean_by_hand() -> None:
    sums = torch.tensor([[2.0, 0.0], [3.0, 4.0]])
    head = nearest_class_mean(sums, torch.tensor([2, 1]))
    # Means (1, 0) and (3, 4); their cosines with (0, 2) are 0 and 4/5, whatever their lengths.
    torch.testing.assert_close(head.weight.detach(), torch.tensor([[1.0, 0.0], [3.0, 4.0]]))
    torch.testing.assert_close(head(torch.tensor([[0.0, 2.0]])), torch.tensor([[0.0, 16 * 0.8]]))


def test_nearest_class_mean_is_nearest_by_cosine() -> None:
    sums, counts = torch.randn(5, 8, generator=generator(0)), torch.tensor([9, 7, 5, 2, 1])
    queries = torch.randn(40, 8, generator=generator(1))
    similarity = torch.nn.functional.cosine_similarity(queries[:, None], (sums / counts[:, None])[None], dim=2)
    assert torch.equal(nearest_class_mean(sums, counts)(queries).argmax(1), similarity.argmax(1))


def test_nearest_class_mean_needs_every_class() -> None:
    with pytest.raises(DataError, match=r"each of 3 classes, got images of 2: leave out"):
        nearest_class_mean(torch.zeros(3, 4), torch.tensor([1, 0, 1]))
    with pytest.raises(DataError, match=r"got \(3, 4\) and \(2,\): add up"):
        nearest_class_mean(torch.zeros(3, 4), torch.tensor([1, 1]))
