"""A stage at work: its checkpoint, its log and its time."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from tailornas.runs.console import Console
from tailornas.runs.files import append, disk_errors, read_state, sync, to_json, truncate, write_state
from tailornas.runs.record import RunRecord
from tailornas.runs.results import changed

__all__ = ["CHECKPOINT", "LOG", "RunStage"]

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"

RECORD_SECONDS = 1.0
"""Log lines write the run's time at most this often, so that logging in a tight loop costs nothing."""


@final
class RunStage:
    """The :class:`tailornas.stages.Stage` of a run folder.

    Args:
        folder: the stage's folder.
        fingerprint: of the stage's inputs; a checkpoint with another one is deleted.
        inputs: the inputs themselves, for people.
        record: the run's time.
        console: where progress is shown.
        until: ``record.elapsed`` at which the stage's time is up; None: never.
        commit: of the code that computes now; None where there is no checkout.

    Attributes:
        commits: of the code that computed what :meth:`restore` gave, oldest first.
        ended: the ``until`` at which :meth:`overdue` said that the time was up, in this start or an earlier one.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        inputs: Mapping[str, Any],
        record: RunRecord,
        console: Console,
        until: float | None,
        commit: str | None = None,
    ) -> None:
        self._name, self._fingerprint, self._inputs = folder.name, fingerprint, inputs
        self._checkpoint, self._log = folder / CHECKPOINT, folder / LOG
        self._record, self._console, self._until = record, console, until
        self._earlier, self._started = 0.0, time.monotonic()
        self._commit = commit
        self.commits: list[str] = []
        self.ended: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds at work up to the last checkpoint of an earlier start, and since this start."""
        return self._earlier + time.monotonic() - self._started

    def restore(self) -> dict[str, Any] | None:
        """The state of the last checkpoint; log lines that are younger than it are taken back.

        Raises:
            RunFolderError: the checkpoint or the log is damaged.
        """
        checkpoint = read_state(self._checkpoint) if self._checkpoint.exists() else None
        if checkpoint is not None and changed(checkpoint, self._fingerprint, self._inputs, self._until):
            with disk_errors(self._checkpoint):
                self._checkpoint.unlink()
            self._record.replace(self._name)
            checkpoint = None
        self._record.keep(self._name, checkpoint["seconds"] if checkpoint else 0.0)
        truncate(self._log, checkpoint["log_bytes"] if checkpoint else 0)
        if checkpoint is None:
            return None
        self._earlier, self._started = checkpoint["seconds"], time.monotonic()
        self.ended, self.commits = checkpoint.get("until"), checkpoint.get("commits", [])
        state: dict[str, Any] = checkpoint["state"]
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Replaces the checkpoint.

        Raises:
            DiskError: it could not be written; the earlier checkpoint is still there.
            TypeError: ``state`` holds more than tensors, numbers, text, lists and dicts.
        """
        write_state(
            self._checkpoint,
            {
                "fingerprint": self._fingerprint,
                "inputs": self._inputs,
                "until": self.ended,
                "commits": [*dict.fromkeys([*self.commits, *filter(None, [self._commit])])],
                "log_bytes": self.sync_log(),
                "seconds": self.seconds,
                "state": state,
            },
        )
        self._record.write()

    def log(self, **fields: float | int | str | None) -> None:
        """Adds a line to ``log.jsonl``; NaN and infinities become null.

        Raises:
            DiskError: it could not be written.
        """
        append(self._log, to_json(fields))
        self._record.write(at_most_every=RECORD_SECONDS)

    def progress(self, done: int, total: int, unit: str, **shown: float | int | str) -> None:
        """Shows it on the console."""
        self._console.progress(self._name, done, total, unit, shown)

    def overdue(self, next_seconds: float) -> bool:
        """Whether the run's time would be past ``until`` after ``next_seconds`` more."""
        if self._until is None or self._record.elapsed + next_seconds <= self._until:
            return False
        self.ended = self._until
        return True

    def sync_log(self) -> int:
        """Makes the log lines so far survive a power failure; returns their bytes.

        Raises:
            DiskError: they could not be written.
        """
        if not self._log.exists():
            return 0
        with disk_errors(self._log):
            sync(self._log)
            return self._log.stat().st_size
