"""What every test folder shares: a path to real data, one thread budget, and no silent skips under CI."""

import os
import sys
from pathlib import Path

# Before torch is imported, here and in the processes that tests start: the tensors of tests are small, and threads that
# wait for each other on a busy machine make them many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest


@pytest.fixture(scope="session")
def cifar10_dir() -> Path:
    """Folder with CIFAR-10 as Parquet (train.parquet and test.parquet); see CONTRIBUTING."""
    data = Path(os.environ.get("TAILORNAS_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    folder = data / "cifar10"
    if not all((folder / f"{part}.parquet").is_file() for part in ("train", "test")):
        pytest.skip(f"no CIFAR-10 in {data}: set TAILORNAS_TEST_DATA")
    return folder


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Under CI a skipped test fails the run: everything that tests need is installed there."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and reporter and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        sys.stderr.write("tests were skipped under CI\n")
