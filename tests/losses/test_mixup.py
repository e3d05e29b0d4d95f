from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tailornas.errors import ConfigError, DataError
from tailornas.losses import MixConfig, MixedBatch, build_loss, mix, mixed_loss, mixup, remix
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


@pytest.mark.parametrize(
    ("kappa", "tau", "unequal"),
    [(3.0, 0.5, {(0, 1), (0, 2)}), (2.0, 0.8, {(0, 1), (0, 2), (1, 2)}), (5.0, 0.3, {(0, 2)})],
)
def test_remix_gives_the_label_to_the_rarer_class(kappa: float, tau: float, unequal: set[tuple[int, int]]) -> None:
    counts = ClassCounts((60, 20, 9))
    low = high = 0
    for seed in range(100):
        mixed = remix(IMAGES, TARGETS, generator(seed), counts, kappa=kappa, tau=tau)
        plain = mixup(IMAGES, TARGETS, generator(seed))
        assert torch.equal(mixed.images, plain.images)
        assert torch.equal(mixed.second, plain.second)
        proportion = float(plain.share[0])
        for first, second, share in zip(mixed.first, mixed.second, mixed.share, strict=True):
            pair = (int(first), int(second))
            if pair in unequal and proportion < tau:
                assert share == 0
                low += 1
            elif pair[::-1] in unequal and 1 - proportion < tau:
                assert share == 1
                high += 1
            else:
                assert float(share) == pytest.approx(proportion)
    assert low > 5
    assert high > 5


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


def test_every_image_of_a_batch_counts_by_its_own_share() -> None:
    """As after remix: wholly its first label, wholly its second, a quarter of the first."""
    loss, logits = build_loss("cross_entropy", ClassCounts((1, 1))), torch.tensor([[3.0, 1.0]]).log().expand(3, 2)
    first, second = torch.tensor([0, 0, 1]), torch.tensor([1, 1, 0])
    mixed = MixedBatch(logits, first, second, torch.tensor([1.0, 0.0, 0.25]))
    class_0, class_1 = 2 * torch.tensor(4 / 3).log(), torch.tensor(4.0).log()
    expected = (class_0 + class_1 + 0.25 * class_1 + 0.75 * class_0) / (2 + 1 + 0.25 + 1.5)
    torch.testing.assert_close(mixed_loss(loss, logits, mixed, torch.tensor([2.0, 1.0])), expected)


def test_remix_follows_the_device_of_the_images() -> None:
    mixed = remix(IMAGES.to("meta"), TARGETS.to("meta"), generator(0), ClassCounts((60, 20, 9)))
    assert mixed.share.device.type == "meta"


def test_wrong_arguments() -> None:
    counts = ClassCounts((2, 1, 1))
    with pytest.raises(ConfigError, match="alpha of mixup must be positive and is 0"):
        mixup(IMAGES, TARGETS, generator(0), 0)
    with pytest.raises(DataError, match=r"floating-point images and got torch.uint8"):
        mixup(IMAGES.byte(), TARGETS, generator(0))
    with pytest.raises(ConfigError, match=r"kappa of remix must be at least 1 and is 0.5"):
        remix(IMAGES, TARGETS, generator(0), counts, kappa=0.5)
    with pytest.raises(ConfigError, match=r"tau of remix must be in \[0, 1\] and is 2"):
        remix(IMAGES, TARGETS, generator(0), counts, tau=2)


SIZES = ClassCounts((30, 10, 9))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"name": "mixup"}, {}),
        ({"name": "mixup", "alpha": 0.2}, {"alpha": 0.2}),
        ({"name": "remix", "alpha": 2.0, "kappa": 5.0, "tau": 0.5}, {"alpha": 2.0, "kappa": 5.0, "tau": 0.5}),
        ({"name": "remix", "tau": 0.8}, {"tau": 0.8}),
    ],
)
def test_a_configuration_is_what_it_names(settings: dict[str, Any], expected: dict[str, float]) -> None:
    config = MixConfig.model_validate(settings)
    for seed in range(12):
        made = mix(config, IMAGES, TARGETS, generator(seed), SIZES)
        wanted = (
            mixup(IMAGES, TARGETS, generator(seed), **expected)
            if config.name == "mixup"
            else remix(IMAGES, TARGETS, generator(seed), SIZES, **expected)
        )
        assert made is not None
        for name in ("images", "first", "second", "share"):
            assert torch.equal(getattr(made, name), getattr(wanted, name)), name


def test_the_defaults_are_the_usual_ones() -> None:
    config = MixConfig(name="remix")
    assert (config.alpha, config.kappa, config.tau) == (1.0, 3.0, 0.5)


def test_nothing_is_blended_unless_asked_for() -> None:
    draws = generator(5)
    state = draws.get_state()
    assert mix(MixConfig(), IMAGES, TARGETS, draws, SIZES) is None
    assert torch.equal(draws.get_state(), state)


def test_remix_heeds_the_counts_it_is_given() -> None:
    """With equal classes it is mixup; no number of one long tail is kept for another."""
    config, level = MixConfig(name="remix"), ClassCounts((10, 10, 10))
    plain = mixup(IMAGES, TARGETS, generator(5))
    for counts, same in ((level, True), (SIZES, False), (level, True)):
        made = mix(config, IMAGES, TARGETS, generator(5), counts)
        assert made is not None
        assert torch.equal(made.share, plain.share) == same


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "cutmix"}, "unknown mix 'cutmix': expected one of mixup, none, remix"),
        ({"alpha": 0.2}, "mix 'none' does not use 'alpha' and got 0.2: leave it out or choose another mix"),
        ({"name": "mixup", "kappa": 2.0}, "mix 'mixup' does not use 'kappa' and got 2.0"),
        ({"name": "mixup", "tau": 0.2}, "mix 'mixup' does not use 'tau' and got 0.2"),
    ],
)
def test_settings_that_do_not_belong_together(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        MixConfig.model_validate(settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [{"alpha": 0}, {"kappa": 0.5}, {"tau": 1.5}, {"beta": 1}])
def test_impossible_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        MixConfig.model_validate({"name": "remix", **wrong})
