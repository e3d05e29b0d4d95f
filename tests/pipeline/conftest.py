from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import Commands, served


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    """Where the command runs in processes that may be killed."""
    with served(Path(__file__).parents[1] / "support" / "forked_command.py") as server:
        yield Commands(server)
