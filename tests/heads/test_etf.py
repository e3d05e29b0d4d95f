import pytest
import torch
from torch.nn import functional as F

from tailornas.errors import ConfigError
from tailornas.heads import ETFHead, build_head, simplex_etf
from tailornas.seeding import generator


@pytest.mark.parametrize(("features", "classes"), [(2, 2), (10, 10), (64, 7)])
def test_simplex_etf_has_equal_and_largest_angles(features: int, classes: int) -> None:
    frame = simplex_etf(features, classes, generator(0))
    expected = torch.full((classes, classes), -1 / (classes - 1)).fill_diagonal_(1)
    torch.testing.assert_close(frame @ frame.T, expected, rtol=0, atol=1e-6)


def test_etf_has_nothing_to_learn() -> None:
    head = ETFHead(8, 5, generator(0)).eval()
    assert not list(head.parameters())
    torch.testing.assert_close(head(3 * head.frame).diagonal(), torch.full((5,), 16.0))


def test_features_without_negative_numbers_reach_the_obtuse_angles_of_the_frame() -> None:
    """One-hot features are at right angles; centred by their batch they are a simplex, and training can turn them."""
    head, features = ETFHead(5, 5, generator(0)), torch.eye(5).repeat(4, 1)
    seen = F.normalize(head.norm(features))[:5]
    torch.testing.assert_close(seen @ seen.T, head.frame @ head.frame.T, rtol=0, atol=1e-3)
    torch.testing.assert_close(head.train()(features)[:5], 16 * seen @ head.frame.T)


def test_etf_needs_room() -> None:
    with pytest.raises(ConfigError, match="got 4 features for 5 classes"):
        build_head("etf", 4, 5, generator(0))
    with pytest.raises(ConfigError, match="at least 2 classes and got 1"):
        build_head("etf", 4, 1, generator(0))
