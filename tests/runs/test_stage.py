import json
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol

import pytest
import torch

from tailornas.errors import RunFolderError
from tailornas.runs.console import PlainConsole
from tailornas.runs.record import RunRecord
from tailornas.runs.stage import RunStage


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(seconds=100.0)
    for module in ("record", "stage"):
        monkeypatch.setattr(f"tailornas.runs.{module}.time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


class Start(Protocol):
    def __call__(self, fingerprint: str = "f", until: float | None = None) -> RunStage: ...


@pytest.fixture
def start(tmp_path: Path, clock: SimpleNamespace) -> Start:
    (tmp_path / "train").mkdir()

    def start(fingerprint: str = "f", until: float | None = None) -> RunStage:
        record = RunRecord.open(tmp_path, clock.seconds)
        return RunStage(tmp_path / "train", fingerprint, {}, record, PlainConsole({}, StringIO(), quiet=True), until)

    return start


def epochs(folder: Path) -> list[int]:
    lines = (folder / "train/log.jsonl").read_text().splitlines()
    return [json.loads(line)["epoch"] for line in lines]


def test_a_first_start_has_no_state(start: Start) -> None:
    assert start().restore() is None


def test_the_last_saved_state_comes_back(start: Start) -> None:
    first = start()
    first.save({"epoch": 1, "weight": torch.zeros(3)})
    first.save({"epoch": 2, "weight": torch.ones(3)})
    for current in (first, start()):
        state = current.restore()
        assert state is not None
        assert state["epoch"] == 2
        assert torch.equal(state["weight"], torch.ones(3))


def test_log_lines_after_the_checkpoint_are_taken_back(tmp_path: Path, start: Start) -> None:
    first = start()
    first.log(epoch=1)
    first.save({})
    first.log(epoch=2)
    first.log(epoch=3)
    with (tmp_path / "train/log.jsonl").open("a") as file:
        file.write('{"epo')
    second = start()
    second.restore()
    assert epochs(tmp_path) == [1]
    second.log(epoch=2)
    second.save({})
    assert epochs(tmp_path) == [1, 2]


def test_without_a_checkpoint_the_whole_log_is_taken_back(tmp_path: Path, start: Start) -> None:
    start().log(epoch=1)
    start().restore()
    assert epochs(tmp_path) == []


def test_a_checkpoint_of_other_inputs_is_deleted_with_its_log(tmp_path: Path, start: Start) -> None:
    first = start("one")
    first.log(epoch=1)
    first.save({"epoch": 1})
    assert start("other").restore() is None
    assert not (tmp_path / "train/checkpoint.pt").exists()
    assert epochs(tmp_path) == []


def test_a_log_that_lost_lines_is_refused(tmp_path: Path, start: Start) -> None:
    first = start()
    first.log(epoch=1)
    first.save({})
    (tmp_path / "train/log.jsonl").unlink()
    with pytest.raises(RunFolderError, match=r"log.jsonl has 0 bytes, its checkpoint expects at least 13"):
        start().restore()


def test_log_lines_are_json_whatever_the_numbers(tmp_path: Path, start: Start) -> None:
    start().log(epoch=1, loss=float("nan"), rate=float("-inf"), name='a "ü"\n', nothing=None)
    (line,) = (tmp_path / "train/log.jsonl").read_text().splitlines()
    assert json.loads(line) == {"epoch": 1, "loss": None, "rate": None, "name": 'a "ü"\n', "nothing": None}


def test_overdue_counts_the_time_of_the_whole_run(start: Start, clock: SimpleNamespace) -> None:
    current = start(until=10.0)
    assert not current.overdue(10)
    assert current.overdue(10.5)
    clock.seconds += 6
    assert not current.overdue(4)
    assert current.overdue(4.5)
    current.save({})
    clock.seconds += 1000
    assert not start(until=10.0).overdue(4)
    assert start(until=10.0).overdue(4.5)


def test_a_checkpoint_knows_the_limit_that_ended_it(start: Start) -> None:
    first = start(until=10.0)
    assert [first.overdue(seconds) for seconds in (1, 10.5, 1)] == [False, True, False]
    assert first.ended == 10
    first.save({"stopped": True})
    for until in (9.0, 10.0):
        second = start(until=until)
        assert second.restore() == {"stopped": True}
        assert second.ended == 10
    # With more time than it had it would have gone on.
    assert start(until=10.5).restore() is None


def test_without_a_limit_nothing_is_overdue(start: Start) -> None:
    assert not start().overdue(1e9)


def test_seconds_leave_out_what_a_kill_undid(start: Start, clock: SimpleNamespace) -> None:
    first = start()
    clock.seconds += 6
    first.save({})
    clock.seconds += 3
    assert first.seconds == 9
    second = start()
    second.restore()
    clock.seconds += 1
    assert second.seconds == 7


def test_time_is_kept_with_checkpoints_at_once_and_with_log_lines_now_and_then(
    tmp_path: Path, start: Start, clock: SimpleNamespace
) -> None:
    def kept() -> float:
        return float(json.loads((tmp_path / "run.json").read_text())["elapsed"])

    current = start()
    clock.seconds += 0.5
    current.log(epoch=1)
    assert kept() == 0
    clock.seconds += 1
    current.log(epoch=2)
    assert kept() == 1.5
    clock.seconds += 0.25
    current.save({})
    assert kept() == 1.75
