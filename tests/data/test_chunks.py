import threading
import time

import pytest
import torch

from tailornas.data.chunks import in_chunks


def nothing(done: int) -> None:
    pass


def test_results_come_in_order_and_progress_reaches_the_end() -> None:
    told: list[int] = []
    assert list(in_chunks(list, 150, told.append)) == [
        list(range(64)),
        list(range(64, 128)),
        list(range(128, 150)),
    ]
    assert told == [64, 128, 150]
    assert list(in_chunks(list, 0, told.append)) == []


def test_threads_work_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    together = threading.Barrier(3, timeout=60)
    assert list(in_chunks(lambda rows: together.wait() >= 0, 3 * 64, nothing)) == [True] * 3


@pytest.mark.parametrize("by", ["progress", "work"])
def test_an_interruption_gives_up_the_rest(by: str) -> None:
    done: list[int] = []

    def work(rows: range) -> None:
        done.append(rows.start)
        time.sleep(0.001)  # as reading does, so that no thread is through before the first is met
        if by == "work":
            raise KeyboardInterrupt

    def interrupt(number: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(in_chunks(work, 64 * 500, interrupt))
    assert len(done) < 500
