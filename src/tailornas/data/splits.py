"""From a source to the three splits of a long-tailed dataset."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, final

import torch
from pydantic import Field, model_validator
from torch import Tensor

from tailornas.data.notes import notes, overlaps
from tailornas.data.profiles import Profile, class_counts
from tailornas.data.sources import SOURCES, PartName, Source, load
from tailornas.data.stored import as_text
from tailornas.data.stratified import complement, counts_for_test, draw, draw_apart, hold_out
from tailornas.errors import ConfigError, DataError
from tailornas.seeding import generator
from tailornas.settings import SettingsModel
from tailornas.types import Normalization, SelectionSplit, Split, TestSplit, TrainSplit

__all__ = ["DataConfig", "Dataset", "divide", "pixel_statistics", "prepare"]

_CHUNK = 1024  # images whose pixels are counted at a time


@final
class DataConfig(SettingsModel):
    """Which images to use, and how to make them long-tailed and divide them."""

    data: str = Field(
        default="digits",
        min_length=1,
        description="A benchmark (digits, cifar10, cifar100, fashion-mnist), or the path of a folder, list "
        "file or Parquet file.",
    )
    data_dir: Path | None = Field(
        default=None,
        description="Folder of a benchmark's files, or that a list file's paths are relative to.",
    )
    profile: Profile | None = Field(
        default=None,
        description="How class sizes fall off: exp, step, or as-is. Unless set: exp for benchmarks and where "
        "an imbalance factor is given, as-is for the user's own images.",
    )
    imbalance_factor: float | None = Field(
        default=None,
        ge=1,
        allow_inf_nan=False,
        description="Images of the largest class over images of the smallest. Unless set: 10 for digits, 100 "
        "for other images under a profile.",
    )
    image_size: int | None = Field(
        default=None,
        ge=4,
        le=512,
        description="Height and width in pixels. Unless set: chosen from the images.",
    )
    selection_fraction: float = Field(
        default=0.2, gt=0, le=0.5, description="Share of the images that are not test to choose by."
    )
    test_fraction: float = Field(
        default=0.2,
        gt=0,
        le=0.5,
        description="Share of the images to test on, where the source has no test part.",
    )
    memory_cap_mb: int = Field(
        default=1024, ge=0, description="Megabytes of decoded images up to which all are kept in memory."
    )
    skip_bad: bool = Field(default=False, description="Leave out images that cannot be read instead of stopping.")
    seed: int | None = Field(
        default=None,
        ge=0,
        description="Which images a profile and the splits draw, so that runs of several seeds can have the same. "
        "Unless set: the run's seed.",
    )
    flip: bool | None = Field(
        default=None,
        description="Whether a mirrored image still belongs to its class. Unless set: as the source says.",
    )

    @model_validator(mode="after")
    def _factor_has_effect(self) -> Self:
        if self.profile == "as-is" and self.imbalance_factor is not None:
            raise ConfigError(
                f"imbalance_factor {self.imbalance_factor:g} has no effect with profile 'as-is': leave it "
                "out, or set profile to 'exp' or 'step'"
            )
        return self

    def long_tail(self) -> tuple[Profile, float | None]:
        """The profile and the imbalance factor after defaults; no factor where the profile is ``as-is``."""
        benchmark = self.data in SOURCES
        profile = self.profile or ("exp" if benchmark or self.imbalance_factor is not None else "as-is")
        if profile == "as-is":
            return profile, None
        return profile, self.imbalance_factor or (10.0 if self.data == "digits" else 100.0)


@final
@dataclass(frozen=True, eq=False)
class Dataset:
    """A long-tailed dataset, divided.

    Args:
        train: images to fit to.
        selection: images to choose by: long-tailed like ``train``, or the source's own.
        test: images that choose nothing.
        leftover: images of the source's training part that the profile left out, in none of the three splits.
        normalization: statistics of the pixels of ``train``.
        flip: whether a mirrored image still belongs to its class.
        source: the name or path that the images were asked for by.
        description: what was read, in a few words.
        profile: how class sizes fall off.
        skipped: names of the images left out because they cannot be read.
        seed: the seed of the draws.
        fingerprint: a text that changes when the images, their labels or their division change.
        contents: of each part of the source a number for every row of its images, int64, that equal images share.
        own_selection: whether ``selection`` is a part of its own that the source came with.
        notes: what the reader of a report must know about the images, a sentence each.
        overlaps: parts whose results are too good, as images of them are in another part, with a sentence each.
    """

    train: TrainSplit
    selection: SelectionSplit
    test: TestSplit
    leftover: TrainSplit
    normalization: Normalization
    flip: bool
    source: str
    description: str
    profile: Profile
    skipped: tuple[str, ...]
    seed: int
    fingerprint: str
    contents: Mapping[PartName, Tensor]
    own_selection: bool = False
    notes: tuple[str, ...] = ()
    overlaps: tuple[tuple[PartName, str], ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in label order."""
        return self.train.classes

    @property
    def image_size(self) -> int:
        """Height and width in pixels."""
        return self.train.images.size

    @cached_property
    def fit(self) -> TrainSplit:
        """What the final networks are fitted to, once nothing is left to choose: train and selection split.

        A selection split that the source came with stays out: those of ImageNet-LT and Places-LT are balanced, and a
        network that was fitted to them too would not be comparable with published ones.
        """
        return self.train if self.own_selection else self.train.with_selection(self.selection)

    @property
    def imbalance_factor(self) -> float:
        """Images of the largest class over images of the smallest, of those that the final networks are fitted to."""
        return self.fit.counts.imbalance_factor

    @property
    def unscored(self) -> tuple[str, ...]:
        """Names of the classes without a selection image: choices cannot heed them."""
        return tuple(name for name, n in zip(self.classes, self.selection.counts, strict=True) if not n)

    def values(self) -> dict[str, Any]:
        """Everything that a report says about the dataset, as JSON values."""
        return {
            "source": self.source,
            "description": self.description,
            "profile": self.profile,
            "imbalance_factor": self.imbalance_factor,
            "image_size": self.image_size,
            "classes": list(self.classes),
            "train_counts": list(self.train.counts),
            "selection_counts": list(self.selection.counts),
            "test_counts": list(self.test.counts),
            "unscored": list(self.unscored),
            "skipped": list(self.skipped),
            "mean": list(self.normalization.mean),
            "std": list(self.normalization.std),
            "flip": self.flip,
        }


def prepare(config: DataConfig, seed: int, progress: Callable[[int, int], None] = lambda done, total: None) -> Dataset:
    """Loads, divides and measures a dataset; the same seed gives the same dataset.

    The test split is set apart first: the source's own, else a stratified fraction. What is left takes on the
    profile, and the selection split is the source's own, else a stratified fraction of that. Where a fraction is
    set apart, equal images stay together; those that the source's own parts share stay where they are, and
    :attr:`Dataset.overlaps` says how many they are.

    Args:
        config: what to load, and how to divide it.
        seed: the seed of the draws, unless ``config`` has one of its own.
        progress: told how many of how many images are read.

    Raises:
        ConfigError: options contradict each other.
        DataError: the images cannot be used, or are too few to be divided.
    """
    memory_cap = config.memory_cap_mb * 2**20
    source = load(config.data, config.data_dir, config.image_size, memory_cap, config.skip_bad, progress)
    train, selection, test, leftover = divide(source, config, seed)
    dataset = Dataset(
        train=train,
        selection=selection,
        test=test,
        leftover=leftover,
        normalization=pixel_statistics(train),
        flip=source.flip if config.flip is None else config.flip,
        source=source.name,
        description=source.description,
        profile=config.long_tail()[0],
        skipped=source.skipped,
        seed=_seed(config, seed),
        fingerprint=_fingerprint(source.identity, train, selection, test, leftover),
        contents=source.contents,
        own_selection=source.selection is not None,
    )
    fit = dataset.fit
    return replace(dataset, notes=tuple(notes(source, fit)), overlaps=tuple(overlaps(source, fit)))


def divide(source: Source, config: DataConfig, seed: int) -> tuple[TrainSplit, SelectionSplit, TestSplit, TrainSplit]:
    """Draws the train, selection and test split of a source, and what the profile leaves out, without decoding.

    See :func:`prepare`.
    """
    seed = _seed(config, seed)
    profile, imbalance_factor = config.long_tail()
    pool, test = _set_test_apart(source, config.test_fraction, generator(seed, "data", "test"))
    counts = class_counts(profile, pool.counts, imbalance_factor, pool.classes)
    kept = draw(pool.labels, counts, generator(seed, "data", "profile"))
    leftover = pool.subset(complement(kept, len(pool)))
    train, selection, contents = pool.subset(kept), source.selection, source.contents
    if selection is None:
        rng = generator(seed, "data", "selection")
        train, selection = hold_out(train, config.selection_fraction, contents["train"][train.rows], rng)
    # What the supernet is trained on must not hold what anything is judged by.
    parts: dict[PartName, Split] = {"selection": selection, "test": test}
    judged = torch.cat([contents.get(name, contents["train"])[split.rows] for name, split in parts.items()])
    leftover = leftover.subset((~torch.isin(contents["train"][leftover.rows], judged)).nonzero().flatten())
    return train, selection, test, leftover


def pixel_statistics(split: Split) -> Normalization:
    """Measures mean and standard deviation of each channel over all pixels, exactly, chunk by chunk.

    A channel that is the same everywhere gets the standard deviation 1, so that normalizing it gives zeros.
    """
    histogram = torch.zeros((3, 256), dtype=torch.float64)
    for rows in torch.split(split.rows, _CHUNK):
        for channel, values in enumerate(split.images.take(rows).unbind(1)):
            histogram[channel] += torch.bincount(values.flatten(), minlength=256)
    share = histogram / histogram.sum(1, keepdim=True)
    level = torch.arange(256, dtype=torch.float64) / 255
    mean = share @ level
    std = (share * (level - mean[:, None]).square()).sum(1).sqrt()
    std[std == 0] = 1
    return Normalization(_triple(mean), _triple(std))


def _seed(config: DataConfig, seed: int) -> int:
    return seed if config.seed is None else config.seed


def _triple(values: Tensor) -> tuple[float, float, float]:
    red, green, blue = values.tolist()
    return red, green, blue


def _set_test_apart(source: Source, fraction: float, generator: torch.Generator) -> tuple[TrainSplit, TestSplit]:
    if source.test:
        return source.train, source.test
    counts = counts_for_test(source.train.counts, fraction)
    rows = draw_apart(source.train.labels, counts, source.contents["train"][source.train.rows], generator)
    if not len(rows):
        raise DataError(
            f"{source.description} has no class of at least 3 images that differ: a test split expects one such class, "
            "add images"
        )
    held = source.train.subset(rows)
    test = TestSplit(held.images, held.rows, held.labels, held.classes)
    return source.train.subset(complement(rows, len(source.train))), test


def _fingerprint(identity: str, *splits: Split) -> str:
    digest = hashlib.blake2b(identity.encode(), digest_size=16)
    for split in splits:
        digest.update(as_text("\0".join(split.classes)).encode())
        digest.update(torch.stack([split.rows, split.labels]).numpy().data)
    return digest.hexdigest()
