from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from support.shell import Shell


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Shell]:
    """The command, in an empty working folder."""
    threads = torch.get_num_threads()
    monkeypatch.chdir(tmp_path)
    yield Shell(monkeypatch, capsys)
    torch.set_num_threads(threads)
