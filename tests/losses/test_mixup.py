import pytest
import torch

from tailornas.errors import ConfigError, DataError
from tailornas.losses import MixedBatch, build_loss, mixed_loss, mixup, remix
from tailornas.seeding import generator
from tailornas.types import ClassCounts

IMAGES = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 3, 2, 2)
TARGETS = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2])


def test_mixup_blends_images_and_labels_in_one_proportion() -> None:
    mixed = mixup(IMAGES, torch.arange(8), generator(0), alpha=1.0)
    share = float(mixed.share[0])
    assert 0 < share < 1
    assert bool((mixed.share == share).all())
    assert torch.equal(mixed.first, torch.arange(8))
    assert sorted(mixed.second.tolist()) == list(range(8))
    torch.testing.assert_close(
        mixed.images[:, 0, 0, 0], share * mixed.first.float() + (1 - share) * mixed.second.float()
    )


def test_mixup_is_drawn_from_its_generator_alone() -> None:
    state = torch.get_rng_state()
    first, again, other = (mixup(IMAGES, TARGETS, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)
    assert torch.equal(state, torch.get_rng_state())


def test_proportions_follow_the_beta_distribution() -> None:
    draws = generator(0)
    shares = torch.tensor([float(mixup(IMAGES, TARGETS, draws, 0.2).share[0]) for _ in range(600)])
    # Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1)) = 0.1786 for a = 0.2.
    assert abs(float(shares.mean()) - 0.5) < 0.07
    assert abs(float(shares.var()) - 0.1786) < 0.03


def test_remix_gives_the_label_to_the_rarer_class() -> None:
    counts = torch.tensor([30.0, 10.0, 9.0])
    low = high = 0
    for seed in range(30):
        mixed = remix(IMAGES, TARGETS, generator(seed), counts, kappa=3.0, tau=0.5)
        plain = mixup(IMAGES, TARGETS, generator(seed))
        assert torch.equal(mixed.images, plain.images)
        assert torch.equal(mixed.second, plain.second)
        proportion = float(plain.share[0])
        for first, second, share in zip(mixed.first, mixed.second, mixed.share, strict=True):
            pair = (int(first), int(second))
            if pair in {(0, 1), (0, 2)} and proportion < 0.5:
                assert share == 0
                low += 1
            elif pair in {(1, 0), (2, 0)} and 1 - proportion < 0.5:
                assert share == 1
                high += 1
            else:
                assert float(share) == pytest.approx(proportion)
    assert low > 10
    assert high > 10


def test_mixed_loss_is_the_mixture_of_two_losses() -> None:
    loss = build_loss("cross_entropy", ClassCounts((5, 3, 1)))
    logits = torch.randn(8, 3, generator=generator(1))
    mixed = mixup(IMAGES, TARGETS, generator(2))
    share = mixed.share[0]
    expected = share * loss(logits, mixed.first) + (1 - share) * loss(logits, mixed.second)
    torch.testing.assert_close(mixed_loss(loss, logits, mixed), expected)


def test_mixed_loss_under_class_weights_by_hand() -> None:
    loss = build_loss("cross_entropy", ClassCounts((1, 1)))
    logits = torch.tensor([[3.0, 1.0]]).log()
    mixed = MixedBatch(logits, torch.tensor([0]), torch.tensor([1]), torch.tensor([0.25]))
    weights = torch.tensor([2.0, 1.0])
    expected = (0.25 * 2 * torch.tensor(4 / 3).log() + 0.75 * torch.tensor(4.0).log()) / (0.5 + 0.75)
    torch.testing.assert_close(mixed_loss(loss, logits, mixed, weights), expected)


def test_wrong_arguments() -> None:
    counts = torch.tensor([2.0, 1.0, 1.0])
    with pytest.raises(ConfigError, match="alpha of mixup must be positive and is 0"):
        mixup(IMAGES, TARGETS, generator(0), 0)
    with pytest.raises(DataError, match=r"floating-point images and got torch.uint8"):
        mixup(IMAGES.byte(), TARGETS, generator(0))
    with pytest.raises(ConfigError, match=r"kappa of remix must be at least 1 and is 0.5"):
        remix(IMAGES, TARGETS, generator(0), counts, kappa=0.5)
    with pytest.raises(ConfigError, match=r"tau of remix must be in \[0, 1\] and is 2"):
        remix(IMAGES, TARGETS, generator(0), counts, tau=2)
