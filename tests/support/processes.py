"""Real processes that may be killed, started by a process that has imported everything already."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TIMINGS = {"seconds", "images_per_second", "latency_ms"}


class Server:
    """A script that reads a JSON line, starts or awaits a fork of itself, and answers with a JSON line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def ask(self, **command: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


class Deadline:
    """An end to a wait for a child that may never do what is waited for.

    Args:
        error: the file that the child writes its errors to.
        seconds: how long to wait.
    """

    def __init__(self, error: Path, seconds: float = 120.0) -> None:
        self.error, self.seconds = error, seconds
        self.started = time.monotonic()

    def check(self) -> None:
        """Fails, with the child's errors, once time is up."""
        if time.monotonic() > self.started + self.seconds:
            said = self.error.read_text() if self.error.exists() else "nothing"
            raise AssertionError(f"still waiting after {self.seconds:.0f} s; {self.error.name} says: {said}")


@contextmanager
def served(script: Path) -> Iterator[Server]:
    """Inside the context, the script runs."""
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Server(process)
        assert process.stdin is not None
        process.stdin.close()
    assert process.returncode == 0


class Commands:
    """Starts the command ``tailornas`` in forked processes; see forked_command.py.

    Args:
        server: what starts them.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.errors: dict[int, Path] = {}

    def start(self, folder: Path, *arguments: str) -> int:
        """The process id; ``stdout`` and ``stderr`` are files in the folder."""
        process = int(self.server.ask(folder=str(folder), arguments=arguments))
        self.errors[process] = folder / "stderr"
        return process

    def ended(self, process: int, *, block: bool = True) -> int | None:
        """The exit code, or the negative signal; None while it runs."""
        code = self.server.ask(wait=process, block=block)
        return None if code is None else int(code)

    def run(self, folder: Path, *arguments: str) -> None:
        """Runs the command to its end, which must be a good one."""
        assert self.ended(self.start(folder, *arguments)) == 0, (folder / "stderr").read_text()

    def wait_for(self, process: int, *signs: Path) -> int | None:
        """Waits until a file is there or the process has ended; returns how it ended."""
        deadline = Deadline(self.errors[process])
        while not any(sign.exists() for sign in signs):
            deadline.check()
            if (code := self.ended(process, block=False)) is not None:
                return code
            time.sleep(0.002)
        return None

    def kill(self, process: int) -> None:
        """Kills the process, which must have been running."""
        os.kill(process, signal.SIGKILL)
        assert self.ended(process) == -signal.SIGKILL

    def kill_in_every_stage(self, folder: Path, arguments: Sequence[str], stages: Sequence[str]) -> None:
        """Starts the command again and again and kills it before the first stage and in each one.

        In a stage: at a random moment after its first checkpoint, before its result; in the last, which has no
        checkpoint, from its beginning.
        """
        draw = random.Random(0)
        process = self.start(folder, *arguments)
        assert self.wait_for(process, folder / "run") is None
        self.kill(process)
        for name in stages:
            stage = folder / "run" / "stages" / name
            sign = stage if name == stages[-1] else stage / "checkpoint.pt"
            longest, inside, deadline = 0.1, False, Deadline(folder / "stderr")
            while not inside:
                deadline.check()
                process = self.start(folder, *arguments)
                assert self.wait_for(process, sign, stage / "result.json") is None, (folder / "stderr").read_text()
                time.sleep(draw.uniform(0, longest))
                os.kill(process, signal.SIGSTOP)
                inside = not (stage / "result.json").exists()
                self.kill(process)
                if not inside:  # too late: once more, sooner
                    (stage / "result.json").unlink()
                    longest /= 2


def timeless(value: Any) -> Any:
    """A JSON value without how long anything took."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in TIMINGS}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def values(folder: Path, stage: str) -> dict[str, Any]:
    """The values of a stage of the run in ``folder``."""
    found: dict[str, Any] = json.loads((folder / "run" / "stages" / stage / "result.json").read_text())["values"]
    return found


def results_of(folder: Path, stages: Sequence[str]) -> dict[str, Any]:
    """What the stages of a finished run found; nothing else may be left."""
    found = folder / "run" / "stages"
    assert sorted(path.name for path in found.iterdir()) == sorted(stages)
    assert not list(folder.rglob("*.tmp"))
    assert not list(folder.rglob("checkpoint.pt"))
    results = {name: timeless(json.loads((found / name / "result.json").read_text())) for name in stages}
    logs = {
        path.parent.name: [timeless(json.loads(line)) for line in path.read_text().splitlines()]
        for path in found.glob("*/log.jsonl")
    }
    tensors = {path.parent.name: path.read_bytes() for path in found.glob("*/result.safetensors")}
    return {"results": results, "logs": logs, "tensors": tensors}


def written_at(folder: Path) -> dict[str, int]:
    """When the result of each stage of the run in ``folder`` was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("run/stages/*/result.json")}
