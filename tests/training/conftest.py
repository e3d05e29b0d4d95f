"""The images that tests of training share where they need no long tail."""

import pytest

from tailornas.data import DataConfig, Dataset, prepare


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return prepare(DataConfig(data="digits", profile="as-is"), seed=0)
