"""Real processes, really killed: a run that is started again ends with the bits of one that never was."""

import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.processes import Deadline, Server, served
from tailornas.errors import RunFolderError
from tailornas.runs import PlainConsole, RunFolder

BIG = {"epochs": 12, "candidates": 30, "size": 256}
"""Checkpoints of a quarter of a megabyte and more, so that most kills hit a write."""


class Method:
    """Starts the small method in forked processes; see small_method.py."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def ask(self, **command: Any) -> int:
        return int(self.server.ask(**command))

    def run(self, folder: Path, **options: Any) -> int:
        """The exit code, or the negative signal."""
        return self.ask(folder=str(folder), **options)


@pytest.fixture(scope="module")
def method() -> Iterator[Method]:
    with served(Path(__file__).with_name("small_method.py")) as server:
        yield Method(server)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that says something about the results; none may be left over from a kill."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for name in (".lock", "run.json"):
        del files[name]
    return files


def test_an_unkilled_run_leaves_these_files(method: Method, tmp_path: Path) -> None:
    assert method.run(tmp_path / "run") == 0
    assert sorted(contents(tmp_path / "run")) == [
        "config.toml",
        "environment.json",
        "stages/pretrain/log.jsonl",
        "stages/pretrain/result.json",
        "stages/pretrain/result.safetensors",
        "stages/search/log.jsonl",
        "stages/search/result.json",
        "stages/train/log.jsonl",
        "stages/train/result.json",
        "stages/train/result.safetensors",
    ]


def test_killed_before_one_file_operation(method: Method, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    assert method.run(whole) == 0
    for number in itertools.count(1, step=7):
        folder = tmp_path / str(number)
        if method.run(folder, kill_at=number) == 0:
            break
        assert method.run(folder) == 0, (number, folder.with_suffix(".error").read_text())
        assert contents(folder) == contents(whole), f"killed before file operation {number}"
    assert number > 50


def test_killed_again_and_again(method: Method, tmp_path: Path) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    assert method.run(whole, method={"epochs": 6}) == 0
    kills = 0
    while (code := method.run(folder, method={"epochs": 6}, kill_at=45)) != 0:
        assert code == -signal.SIGKILL
        kills += 1
    assert kills >= 5
    assert contents(folder) == contents(whole)


def test_killed_at_random_moments(method: Method, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    started = time.monotonic()
    assert method.run(whole, method=BIG) == 0
    longest = (time.monotonic() - started) / 3
    draw, kills, runs = random.Random(0), 0, 0
    deadline = Deadline(tmp_path / "killed-1.error")
    while kills < 10:
        deadline.check()
        runs += 1
        folder = tmp_path / f"killed-{runs}"
        code = -signal.SIGKILL
        while code != 0:
            process = method.ask(folder=str(folder), method=BIG, start=True)
            time.sleep(draw.uniform(0, longest))
            os.kill(process, signal.SIGKILL)
            code = method.ask(wait=process)
            assert code in (0, -signal.SIGKILL), folder.with_suffix(".error").read_text()
            kills += code != 0
            longest *= 1.05
        assert contents(folder) == contents(whole)


def test_terminated_at_any_file_operation_ends_like_ctrl_c_and_goes_on(method: Method, tmp_path: Path) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "terminated"
    assert method.run(whole, method={"epochs": 6}) == 0
    codes: list[int] = []
    while not codes or codes[-1] != 0:
        before = elapsed(folder)
        codes.append(method.run(folder, method={"epochs": 6}, terminate_at=45 + len(codes)))
        assert elapsed(folder) > before
        assert not list(folder.rglob("*.tmp"))
    assert set(codes) == {130, 0}
    assert contents(folder) == contents(whole)


def elapsed(folder: Path) -> float:
    record = folder / "run.json"
    return float(json.loads(record.read_text())["elapsed"]) if record.exists() else -1.0


def test_a_full_disk_loses_nothing(method: Method, tmp_path: Path) -> None:
    settings = {"epochs": 6, "size": 64}
    whole, folder = tmp_path / "whole", tmp_path / "full"
    assert method.run(whole, method=settings) == 0
    # The checkpoint of "pretrain" has about 20 kB, that of "train" twice as much.
    assert method.run(folder, method=settings, file_bytes=30_000) == 2
    error = folder.with_suffix(".error").read_text()
    assert error.startswith(f"DiskError: cannot write {folder}/stages/train/checkpoint.pt: File too large; free some")
    assert "start the same command again" in error
    assert "\n" not in error
    assert not list(folder.rglob("*.tmp"))
    assert (folder / "stages/pretrain/result.json").exists()
    assert method.run(folder, method=settings) == 0
    assert contents(folder) == contents(whole)


def test_a_disk_that_fills_up_in_a_log_line_loses_nothing(method: Method, tmp_path: Path) -> None:
    settings = {"candidates": 200}
    whole, folder = tmp_path / "whole", tmp_path / "full"
    assert method.run(whole, method=settings) == 0
    log = (whole / "stages/search/log.jsonl").read_bytes()
    # In the middle of a line, and more than a checkpoint takes.
    limit = log.index(b"\n", 8000) + 10
    assert method.run(folder, method=settings, file_bytes=limit) == 2
    assert "log.jsonl: File too large" in folder.with_suffix(".error").read_text()
    assert len((folder / "stages/search/log.jsonl").read_bytes()) == limit
    assert method.run(folder, method=settings) == 0
    assert contents(folder) == contents(whole)


def test_a_second_process_is_refused_until_the_first_is_killed(method: Method, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    holder = method.ask(folder=str(folder), hold=True, start=True)
    deadline = Deadline(folder.with_suffix(".error"))
    while not (folder / "worker").exists():
        deadline.check()
        time.sleep(0.01)
    worker = int((folder / "worker").read_text())
    try:
        with pytest.raises(RunFolderError, match=rf"^{folder} is in use by process {holder}: wait until it ends"):
            RunFolder.open(folder, "", PlainConsole({}, sys.stdout, quiet=True))
        os.kill(holder, signal.SIGKILL)
        assert method.ask(wait=holder) == -signal.SIGKILL
        # A worker that the killed process has forked is still there, and does not keep the folder.
        os.kill(worker, 0)
        with RunFolder.open(folder, "", PlainConsole({}, sys.stdout, quiet=True)):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)


def test_changed_inputs_compute_just_the_stages_they_reach(method: Method, tmp_path: Path) -> None:
    folder, fresh = tmp_path / "run", tmp_path / "fresh"
    assert method.run(folder) == 0
    pretrain = (folder / "stages/pretrain/result.json").stat()
    assert method.run(folder, method={"candidates": 7}) == 0
    assert (folder / "stages/pretrain/result.json").stat() == pretrain
    assert method.run(fresh, method={"candidates": 7}) == 0
    assert contents(folder) == contents(fresh)


def test_killed_while_changed_inputs_replace_a_result(method: Method, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    assert method.run(fresh, method={"seed": 1}) == 0
    earlier = tmp_path / "earlier"
    assert method.run(earlier) == 0
    for number in range(13, 45, 7):
        folder = tmp_path / str(number)
        shutil.copytree(earlier, folder)
        assert method.run(folder, method={"seed": 1}, kill_at=number) == -signal.SIGKILL
        assert method.run(folder, method={"seed": 1}) == 0
        assert contents(folder) == contents(fresh)


def test_killed_with_other_inputs_than_it_goes_on_with(method: Method, tmp_path: Path) -> None:
    fresh, folder = tmp_path / "fresh", tmp_path / "run"
    assert method.run(fresh, method={"epochs": 3}) == 0
    assert method.run(folder, method={"epochs": 6}, kill_at=40) == -signal.SIGKILL
    assert (folder / "stages/pretrain/checkpoint.pt").exists()
    assert method.run(folder, method={"epochs": 3}) == 0
    assert contents(folder) == contents(fresh)
