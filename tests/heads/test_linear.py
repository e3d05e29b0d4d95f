import math

import pytest

from tailornas.heads import linear_head
from tailornas.seeding import generator


def test_linear_is_drawn_as_torch_draws_it() -> None:
    head = linear_head(64, 200, generator(0))
    bound = 1 / math.sqrt(64)
    for parameter in (head.weight, head.bias):
        assert float(parameter.detach().abs().max()) <= bound
    assert float(head.weight.detach().std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)
