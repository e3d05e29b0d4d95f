"""Runs of the method that computed everything, once for all tests."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.methods import INHERIT, TINY, MemoryRun, context_of
from tailornas.data import DataConfig, Dataset, prepare
from tailornas.methods import Settings, imb_nas


@contextmanager
def two_baselines() -> Iterator[None]:
    """Counting the costs of all residual networks would take longer than the rest of a run on tiny networks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tailornas.spaces.resnet.DEPTHS", (8, 20))
        yield


@pytest.fixture(scope="module", autouse=True)
def _two_baselines() -> Iterator[None]:
    with two_baselines():
        yield


@pytest.fixture(scope="session")
def target() -> Dataset:
    return prepare(DataConfig(data="digits", imbalance_factor=50), seed=0)


def run_of(target: Dataset, settings: Settings) -> MemoryRun:
    run = MemoryRun()
    with two_baselines():
        imb_nas(context_of(target, run, settings))
    return run


@pytest.fixture(scope="session")
def whole(target: Dataset) -> MemoryRun:
    """A run that computed everything."""
    return run_of(target, TINY)


@pytest.fixture(scope="session")
def inherited(target: Dataset) -> MemoryRun:
    """The same with the supernet's weights as the found network's first ones."""
    return run_of(target, INHERIT)
