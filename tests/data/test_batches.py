import gc
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from tailornas.data.augment import AugmentConfig
from tailornas.data.batches import Batches, ordered
from tailornas.data.images import MemoryImages, StreamedImages
from tailornas.data.sampling import SAMPLERS
from tailornas.data.stored import ImageFiles
from tailornas.errors import ConfigError, DataError
from tailornas.types import ClassCounts, Normalization, SelectionSplit, TrainSplit

CPU = torch.device("cpu")
PLAIN = Normalization((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def split_of(images: int, size: int = 8) -> TrainSplit:
    """Image ``i`` of the split is row ``2i + 1`` of the collection, of colour ``i``, and its label is ``i % 3``."""
    pixels = torch.full((2 * images + 1, 3, size, size), 255, dtype=torch.uint8)
    rows = 2 * torch.arange(images) + 1
    pixels[rows] = torch.arange(images, dtype=torch.uint8)[:, None, None, None]
    return TrainSplit(MemoryImages(pixels), rows, torch.arange(images) % 3, ("a", "b", "c"))


@pytest.fixture
def streamed(tmp_path: Path) -> TrainSplit:
    """The same as ``split_of(60)``, from files."""
    paths = []
    for row in range(121):
        paths.append(tmp_path / f"{row}.png")
        colour = (row - 1) // 2 if row % 2 else 255
        Image.new("RGB", (8, 8), (colour, colour, colour)).save(paths[-1])
    like = split_of(60)
    return TrainSplit(StreamedImages(ImageFiles(paths), 8), like.rows, like.labels, like.classes)


def batches(split: TrainSplit | SelectionSplit, batch_size: int = 16, **options: Any) -> Batches:
    settings = {"augment": None, "sampler": SAMPLERS["instance"], "seed": 1, "position": "train", **options}
    return Batches(split, batch_size, PLAIN, device=CPU, **settings)


def colours(images: Tensor) -> list[int]:
    return (images[:, 0, 4, 4] * 255).round().int().tolist()


def epoch(source: Batches, index: int = 0, epochs: int = 10) -> list[tuple[Tensor, Tensor]]:
    return list(source.epoch(index, epochs))


def equal(first: list[tuple[Tensor, Tensor]], second: list[tuple[Tensor, Tensor]]) -> bool:
    return all(
        torch.equal(a, b) for one, other in zip(first, second, strict=True) for a, b in zip(one, other, strict=True)
    )


def test_an_epoch_meets_every_image_with_its_label() -> None:
    source = batches(split_of(60))
    made = epoch(source)
    assert [len(labels) for _, labels in made] == [16, 16, 16, 12]
    assert len(source) == 4
    seen = [colour for images, _ in made for colour in colours(images)]
    assert sorted(seen) == list(range(60))
    assert seen != list(range(60))
    assert [label for _, labels in made for label in labels.tolist()] == [colour % 3 for colour in seen]


def test_form_of_a_batch() -> None:
    images, labels = epoch(batches(split_of(20), augment=AugmentConfig(flip=True)))[0]
    assert (images.dtype, images.shape) == (torch.float32, (16, 3, 8, 8))
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert (labels.dtype, labels.shape) == (torch.int64, (16,))


@pytest.mark.parametrize(("images", "sizes"), [(31, [16, 15]), (32, [16, 16]), (33, [16, 16]), (34, [16, 16, 2])])
def test_a_last_batch_of_one_is_left_out(images: int, sizes: list[int]) -> None:
    source = batches(split_of(images))
    assert [len(labels) for _, labels in epoch(source)] == sizes
    assert len(source) == len(sizes)


def test_an_epoch_needs_no_history() -> None:
    config = AugmentConfig(flip=True, cutout=2)
    through = batches(split_of(60), augment=config)
    history = [epoch(through, index) for index in range(3)]
    fresh = batches(split_of(60), augment=config)
    assert equal(epoch(fresh, 2), history[2])
    assert not equal(history[1], history[2])


@pytest.mark.parametrize("other", [{"seed": 2}, {"position": "adapt"}])
def test_seed_and_position_decide(other: dict[str, Any]) -> None:
    first, again, changed = (epoch(batches(split_of(60), **options)) for options in ({}, {}, other))
    assert equal(first, again)
    assert not equal(first, changed)


def test_normalization_and_augmentation_are_applied() -> None:
    split = split_of(60)
    half = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    plain = epoch(batches(split))[0][0]
    shifted = next(Batches(split, 16, half, None, SAMPLERS["instance"], 1, "train", CPU).epoch(0, 1))[0]
    assert torch.allclose(shifted, plain * 2 - 1)
    cropped = epoch(batches(split, augment=AugmentConfig(flip=False)))[0][0]
    assert torch.equal(cropped[:, :, 4, 4], plain[:, :, 4, 4])  # the same images in the same order
    assert (cropped[:, :, 0, 0] == 0).any()
    blanked = epoch(batches(split, augment=AugmentConfig(crop=False, flip=False, cutout=4)))[0][0]
    assert (blanked == 0).sum() > (plain == 0).sum()


def test_the_sampler_is_asked_with_progress() -> None:
    asked = []

    def sampler(labels: Tensor, counts: ClassCounts, generator: torch.Generator, progress: float) -> Tensor:
        asked.append((len(labels), counts.counts, progress))
        return torch.zeros(len(labels), dtype=torch.int64)

    source = batches(split_of(20), sampler=sampler)
    for index in range(3):
        assert colours(epoch(source, index, 3)[0][0]) == [0] * 16
    epoch(source, 0, 1)
    assert asked == [(20, (7, 7, 6), 0), (20, (7, 7, 6), 1 / 3), (20, (7, 7, 6), 2 / 3), (20, (7, 7, 6), 0)]


def test_processes_share_an_epoch() -> None:
    split = split_of(61)
    parts = [epoch(batches(split, 8, rank=rank, world_size=2)) for rank in range(2)]
    assert [len(labels) for _, labels in parts[0]] == [len(labels) for _, labels in parts[1]] == [8, 8, 8, 7]
    seen = [colour for part in parts for images, _ in part for colour in colours(images)]
    assert sorted(set(seen)) == list(range(61))
    assert len(seen) == 62
    augmented = [
        epoch(batches(split, 8, augment=AugmentConfig(flip=True), rank=rank, world_size=2)) for rank in range(2)
    ]
    shifts = [(images[:, 0, :, 0] == 0).int() for images, _ in (augmented[0][0], augmented[1][0])]
    assert not torch.equal(shifts[0], shifts[1])  # each process has random numbers of its own


def test_too_small_batches_and_splits_are_refused() -> None:
    with pytest.raises(ConfigError, match="batch_size is 1: expected at least 2"):
        batches(split_of(20), 1)
    with pytest.raises(DataError, match="3 images for 3 processes: expected at least 2 for each"):
        batches(split_of(3), world_size=3)


def test_ordered_is_the_split_itself() -> None:
    made = list(ordered(split_of(33), 16, PLAIN, CPU))
    assert [len(labels) for _, labels in made] == [16, 16, 1]
    assert [colour for images, _ in made for colour in colours(images)] == list(range(33))
    assert torch.cat([labels for _, labels in made]).tolist() == [row % 3 for row in range(33)]
    assert made[0][0].is_contiguous(memory_format=torch.channels_last)


def working_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_memory_images_need_no_thread() -> None:
    iterator = batches(split_of(60)).epoch(0, 1)
    next(iterator)
    assert not working_threads()


def test_streamed_images_give_the_same_batches(streamed: TrainSplit) -> None:
    config = AugmentConfig(flip=True, cutout=2)
    assert equal(epoch(batches(streamed, augment=config), 3), epoch(batches(split_of(60), augment=config), 3))
    assert equal(list(ordered(streamed, 16, PLAIN, CPU)), list(ordered(split_of(60), 16, PLAIN, CPU)))
    assert not working_threads()


class Counting:
    """Images that count how often they are taken."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.taken, self.fail_at = 0, fail_at
        self.size = 4

    def __len__(self) -> int:
        return 100

    def take(self, rows: Tensor) -> Tensor:
        self.taken += 1
        if self.taken == self.fail_at:
            raise DataError("image 7 has gone")
        return torch.zeros((len(rows), 3, 4, 4), dtype=torch.uint8)


def counted(images: Counting) -> TrainSplit:
    return TrainSplit(images, torch.arange(100), torch.zeros(100, dtype=torch.int64), ("a",))


def settle(images: Counting, taken: int) -> None:
    deadline = time.monotonic() + 10
    while images.taken < taken and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)


def test_a_few_batches_are_made_in_advance_and_no_more() -> None:
    images = Counting()
    iterator = batches(counted(images), 5).epoch(0, 1)
    assert images.taken == 0
    next(iterator)
    settle(images, 5)
    assert images.taken == 5  # the one that was asked for and four to come
    next(iterator)
    settle(images, 6)
    assert images.taken == 6


@pytest.mark.parametrize("end", ["close", "drop"])
def test_the_thread_ends_with_its_iterator(end: str) -> None:
    iterator = batches(counted(Counting()), 5).epoch(0, 1)
    next(iterator)
    assert working_threads()
    if end == "close":
        iterator.close()  # type: ignore[attr-defined]
    del iterator
    gc.collect()
    assert not working_threads()


def test_the_threads_exception_is_raised_at_its_batch() -> None:
    iterator = batches(counted(Counting(fail_at=3)), 5).epoch(0, 1)
    next(iterator)
    next(iterator)
    with pytest.raises(DataError, match="image 7 has gone"):
        next(iterator)
    assert not working_threads()
