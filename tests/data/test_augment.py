import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from tailornas.data.augment import AugmentConfig, crop_and_flip, cutout, normalize
from tailornas.errors import ConfigError
from tailornas.types import Normalization

PLAIN = Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(batch: int, size: int) -> Tensor:
    """No pixel is black, so that padding can be told from it."""
    return torch.randint(1, 256, (batch, 3, size, size), dtype=torch.uint8, generator=seeded(5))


def windows(image: Tensor, pad: int, flip: bool) -> list[Tensor]:
    """Every image that the augmentation may make of one, by slicing."""
    size = image.shape[-1]
    padded = torch.zeros((3, size + 2 * pad, size + 2 * pad), dtype=torch.uint8)
    padded[:, pad : pad + size, pad : pad + size] = image
    found = [padded[:, y : y + size, x : x + size] for y in range(2 * pad + 1) for x in range(2 * pad + 1)]
    return found + [window.flip(2) for window in found] if flip else found


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([4, 8, 17]), st.booleans(), st.booleans(), st.integers(0, 1000))
def test_every_image_becomes_one_of_its_windows(size: int, crop: bool, flip: bool, seed: int) -> None:
    images = noise(6, size)
    augmented = crop_and_flip(images, AugmentConfig(crop=crop, flip=flip), seeded(seed))
    assert (augmented.shape, augmented.dtype) == (images.shape, torch.uint8)
    for image, made in zip(images, augmented, strict=True):
        allowed = windows(image, size // 8 if crop else 0, flip)
        assert any(torch.equal(made, window) for window in allowed)


def test_all_windows_occur_and_differ_within_a_batch() -> None:
    images = noise(1, 8).expand(600, -1, -1, -1)
    augmented = crop_and_flip(images, AugmentConfig(flip=True), seeded())
    allowed = windows(images[0], 1, flip=True)
    hits = [sum(torch.equal(made, window) for made in augmented) for window in allowed]
    assert sum(hits) == 600
    assert min(hits) > 10  # 33 expected of each of 18
    assert max(hits) < 65


def test_nothing_to_do_changes_nothing() -> None:
    images = noise(4, 16)
    assert torch.equal(crop_and_flip(images, AugmentConfig(crop=False, flip=False), seeded()), images)


def test_the_crop_is_four_pixels_at_32() -> None:
    images = torch.full((500, 3, 32, 32), 9, dtype=torch.uint8)
    lines = (crop_and_flip(images, AugmentConfig(flip=False), seeded()) == 0).all(3)[:, 0].sum(1)
    assert sorted(set(lines.tolist())) == [0, 1, 2, 3, 4]


def test_augmentation_depends_on_the_generator_alone() -> None:
    images, config = noise(20, 16), AugmentConfig(flip=True)
    first, again, other = (crop_and_flip(images, config, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_flip_has_to_be_decided() -> None:
    with pytest.raises(ConfigError, match=r"flip to be set, got None: use AugmentConfig\.for_dataset"):
        crop_and_flip(noise(1, 8), AugmentConfig(), seeded())


def test_the_dataset_decides_about_flips_unless_they_are_set() -> None:
    assert AugmentConfig(cutout=3).for_dataset(True) == AugmentConfig(flip=True, cutout=3)
    assert AugmentConfig().for_dataset(False) == AugmentConfig(flip=False)
    assert AugmentConfig(flip=False).for_dataset(True) == AugmentConfig(flip=False)


@pytest.mark.parametrize("wrong", [{"cutout": -1}, {"colour": 1}])
def test_configuration_is_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AugmentConfig.model_validate(wrong)


def test_normalize_by_hand() -> None:
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 3, 1, 1).expand(2, 3, 4, 4)
    made = normalize(images, Normalization((0.5, 0.2, 0.6), (0.25, 0.1, 0.2)))
    assert made.dtype == torch.float32
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert made[1, :, 2, 3].tolist() == pytest.approx([-2, 0, 2], abs=1e-6)


def test_normalize_leaves_the_bytes_alone() -> None:
    images = noise(2, 8)
    before = images.clone()
    normalize(images, PLAIN)
    assert torch.equal(images, before)


def test_cutout_blanks_one_square_an_image() -> None:
    images = cutout(torch.ones((400, 3, 8, 8)), 4, seeded())
    assert torch.equal(images[:, 0], images[:, 1])
    assert torch.equal(images[:, 0], images[:, 2])
    blank = images[:, 0] == 0
    heights, widths = blank.any(2).sum(1), blank.any(1).sum(1)
    assert torch.equal(blank.sum((1, 2)), heights * widths)  # a rectangle
    assert sorted(set(heights.tolist())) == [2, 3, 4]  # cut by the edge, by at most half
    assert sorted(set(widths.tolist())) == [2, 3, 4]
    assert blank.any(0).all()  # it can be anywhere


def test_cutout_keeps_the_memory_format() -> None:
    images = torch.ones((2, 3, 8, 8)).to(memory_format=torch.channels_last)
    assert cutout(images, 3, seeded()).is_contiguous(memory_format=torch.channels_last)
