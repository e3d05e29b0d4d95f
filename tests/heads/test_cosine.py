import math

import pytest
import torch

from tailornas.errors import ConfigError
from tailornas.heads import CosineHead, build_head
from tailornas.seeding import generator


def test_cosines_by_hand() -> None:
    head = CosineHead(2, 2, generator(0))
    head.load_state_dict({"weight": torch.tensor([[2.0, 0.0], [1.0, 1.0]])})
    torch.testing.assert_close(head(torch.tensor([[0.0, 5.0]])), torch.tensor([[0.0, 0.5**0.5]]))


def test_cosines_stay_in_range_and_scale_stretches_them() -> None:
    x = 100 * torch.randn(50, 8, generator=generator(1))
    cosines = CosineHead(8, 5, generator(0))(x)
    assert float(cosines.detach().abs().max()) <= 1 + 1e-6
    scaled = build_head("scaled_cosine", 8, 5, generator(0))
    torch.testing.assert_close(scaled(x), 16 * cosines)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_scale_must_be_positive(scale: float) -> None:
    with pytest.raises(ConfigError, match="must be a positive number and is"):
        CosineHead(8, 5, generator(0), scale=scale)
