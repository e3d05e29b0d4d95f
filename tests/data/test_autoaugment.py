"""AutoAugment against torchvision's own: the table, every operation at every level that occurs, and the draws."""

import math
from functools import partial
from importlib import import_module

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from tailornas.data import AugmentConfig, Batches, DataConfig, prepare
from tailornas.data.autoaugment import POLICY, Operation, autoaugment
from tailornas.data.sampling import instance

module = import_module("tailornas.data.autoaugment")  # its name is that of the function too

PUBLISHED = v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10, fill=128)
NAMES = {
    "shear_y": "ShearY",
    "translate_x": "TranslateX",
    "translate_y": "TranslateY",
    "rotate": "Rotate",
    "brightness": "Brightness",
    "color": "Color",
    "contrast": "Contrast",
    "sharpness": "Sharpness",
    "posterize": "Posterize",
    "solarize": "Solarize",
    "autocontrast": "AutoContrast",
    "equalize": "Equalize",
    "invert": "Invert",
}
USED = sorted({(step.name, step.level) for pair in POLICY for step in pair}, key=str)
ALWAYS = 1.1
"""A probability above every draw."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(batch: int, size: int = 32) -> Tensor:
    """Smooth images with some noise: colours and places differ, and so do their contrasts."""
    y, x = torch.meshgrid(torch.linspace(0, 1, size), torch.linspace(0, 1, size), indexing="ij")
    waves = torch.stack([torch.sin(3 * x + n) * torch.cos(5 * y - n) for n in range(3 * batch)])
    noise = torch.randn(waves.shape, generator=seeded(7))
    return (120 + 70 * waves + 15 * noise).clamp(0, 255).to(torch.uint8).view(batch, 3, size, size)


def only(monkeypatch: pytest.MonkeyPatch, first: Operation, second: Operation | None = None) -> None:
    """Leaves one sub-policy."""
    monkeypatch.setattr(module, "POLICY", ((first, second or Operation("invert", 0.0)),))


def test_the_table_is_the_published_one() -> None:
    table = [tuple((NAMES[step.name], step.probability, step.level) for step in pair) for pair in POLICY]
    assert table == PUBLISHED._policies
    assert len(table) == 25


def published(image: Tensor, name: str, level: int | None, sign: int) -> Tensor:
    magnitudes = PUBLISHED._AUGMENTATION_SPACE[NAMES[name]][0](10, *image.shape[-2:])
    magnitude = 0.0 if level is None else float(magnitudes[level])
    output: Tensor = PUBLISHED._apply_image_or_video_transform(
        image, NAMES[name], sign * magnitude, PUBLISHED.interpolation, PUBLISHED._fill
    )
    return output


def equal(one: Tensor, other: Tensor) -> bool:
    """But for one level of 255: torchvision's strengths are float32, and results are cut to whole levels."""
    return int((one.int() - other.int()).abs().max()) <= 1


@pytest.mark.parametrize("size", [32, 28])
@pytest.mark.parametrize(("name", "level"), USED)
def test_operations_do_what_the_published_ones_do(
    monkeypatch: pytest.MonkeyPatch, name: str, level: int | None, size: int
) -> None:
    """At the same strength, in one direction or, where there are two, the other: half of the images each."""
    only(monkeypatch, Operation(name, ALWAYS, level))
    images = pictures(24, size)
    made = autoaugment(images, seeded())
    directed = PUBLISHED._AUGMENTATION_SPACE[NAMES[name]][1] and level != 0
    hits = {
        sign: [equal(one, published(image, name, level, sign)) for image, one in zip(images, made, strict=True)]
        for sign in ((1, -1) if directed else (1,))
    }
    assert all(map(any, zip(*hits.values(), strict=True)))
    assert all(sum(found) > 4 for found in hits.values())
    assert sum(map(sum, hits.values())) == 24  # the directions differ


def test_the_second_step_works_on_what_the_first_made(monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(2)
    only(monkeypatch, Operation("posterize", ALWAYS, 7), Operation("equalize", ALWAYS))
    expected = published(published(images, "posterize", 7, 1), "equalize", None, 1)
    assert torch.equal(autoaugment(images, seeded()), expected)
    only(monkeypatch, Operation("equalize", ALWAYS), Operation("posterize", ALWAYS, 7))
    assert not torch.equal(autoaugment(images, seeded()), expected)


def test_images_do_not_influence_each_other() -> None:
    """Those that meet the same operation are worked on together: each becomes what it would become alone."""
    images = pictures(40)
    together = autoaugment(images, seeded(3))
    elsewhere = images.flip(0).clone()
    elsewhere[11] = images[11]
    assert torch.equal(autoaugment(elsewhere, seeded(3))[11], together[11])


def test_the_images_that_come_are_left_alone() -> None:
    images = pictures(8)
    before = images.clone()
    made = autoaugment(images, seeded())
    assert torch.equal(images, before)
    assert (made.shape, made.dtype) == (images.shape, torch.uint8)
    assert not torch.equal(made, images)


def test_all_draws_come_from_the_generator() -> None:
    images, state = pictures(30), torch.get_rng_state()
    first, again, other = (autoaugment(images, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("probability", [0.0, 0.2, 0.9])
def test_operations_occur_as_often_as_they_should(monkeypatch: pytest.MonkeyPatch, probability: float) -> None:
    images = torch.full((2000, 3, 2, 2), 9, dtype=torch.uint8)
    only(monkeypatch, Operation("invert", probability))
    share = float((autoaugment(images, seeded())[:, 0, 0, 0] == 246).float().mean())
    assert abs(share - probability) <= 4 * math.sqrt(probability * (1 - probability) / 2000)


def test_both_steps_are_drawn_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.full((2000, 3, 2, 2), 200, dtype=torch.uint8)
    only(monkeypatch, Operation("invert", 0.5), Operation("solarize", 0.5, 5))  # 200 to 55; above 113 inverted
    made = autoaugment(images, seeded())[:, 0, 0, 0]
    # Inverted alone, or inverted and then left as it is; solarised alone; neither.
    assert float((made == 55).float().mean()) == pytest.approx(0.75, abs=0.04)
    assert float((made == 200).float().mean()) == pytest.approx(0.25, abs=0.04)


def filled(images: Tensor, strength: float, *, value: int) -> Tensor:
    return torch.full_like(images, value)


def test_sub_policies_are_drawn_equally_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of 25 sets another value: the chi-squared of the draws is that of equal probabilities."""
    pairs = tuple((Operation(f"set {n}", ALWAYS), Operation("invert", 0.0)) for n in range(25))
    monkeypatch.setattr(module, "POLICY", pairs)
    for n in range(25):
        monkeypatch.setitem(module._STRENGTH, f"set {n}", partial(filled, value=n))
    made = autoaugment(torch.zeros(5000, 3, 1, 1, dtype=torch.uint8), seeded())
    counts = made[:, 0, 0, 0].long().bincount(minlength=25)
    assert float(((counts - 200) ** 2 / 200).sum()) < 60  # 24 expected, 60 once in 10,000


def test_batches_are_augmented_by_their_policy_and_by_position() -> None:
    digits = prepare(DataConfig(data="digits", profile="as-is"), seed=0)

    def first_batch(policy: str, seed: int = 0) -> Tensor:
        augment = AugmentConfig.model_validate({"policy": policy, "flip": False})
        batches = Batches(digits.train, 64, digits.normalization, augment, instance, seed, "train", torch.device("cpu"))
        return next(iter(batches.epoch(0, 1)))[0]

    plain, augmented = first_batch("none"), first_batch("autoaugment")
    assert torch.equal(augmented, first_batch("autoaugment"))
    same = (plain == augmented).flatten(1).all(1)
    assert 0 < int(same.sum()) < 40  # some sub-policies do nothing now and then
