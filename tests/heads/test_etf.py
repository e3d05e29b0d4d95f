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


def test_etf_learns_its_batch_norm_alone() -> None:
    head = ETFHead(8, 5, generator(0)).eval()
    assert {name for name, _ in head.named_parameters()} == {"norm.weight", "norm.bias"}
    torch.testing.assert_close(head(3 * head.frame).diagonal(), torch.full((5,), 16.0))


@pytest.mark.parametrize("count", [1, 4])
def test_etf_normalises_shifts_and_scales_before_it_looks_at_directions(count: int) -> None:
    head, features = ETFHead(5, 5, generator(0)), torch.randn(count, 5, generator=generator(1))
    with torch.no_grad():
        head.norm.weight.copy_(torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0]))
        head.norm.bias.copy_(torch.tensor([0.5, -1.0, 0.0, 2.0, 0.0]))
    centred = features - features.mean(0) if count > 1 else features  # a single vector is compared with those before
    spread = (features.var(0, correction=0) + 1e-5).sqrt() if count > 1 else (torch.ones(5) + 1e-5).sqrt()
    seen = head.norm.weight * centred / spread + head.norm.bias
    torch.testing.assert_close(head(features), 16 * F.normalize(seen) @ head.frame.T)


def test_etf_fits_features_along_its_frame_in_a_long_tail() -> None:
    """Their mean is that of the big classes; a batch norm without a shift would take it away."""
    head = ETFHead(5, 5, generator(0))
    labels = torch.arange(5).repeat_interleave(torch.tensor([100, 32, 10, 3, 1]))
    features = head.frame[labels]
    with torch.no_grad():
        head.norm.weight.copy_(features.std(0, correction=0))
        head.norm.bias.copy_(features.mean(0))
    torch.testing.assert_close(head(features).gather(1, labels[:, None]), torch.full((146, 1), 16.0), rtol=1e-3, atol=0)


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
