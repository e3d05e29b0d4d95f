"""A run is a folder: every stage leaves its result there, and is skipped when it is already there.

Layout::

    run.json                 program, format, version, job, creation, working time
    config.toml              the resolved configuration of the last start
    environment.json         the machine and the versions of the last start
    stages/<name>/
        result.json          fingerprint of the inputs and values; written last: says that the stage is done
        result.safetensors   tensors, if there are any
        log.jsonl            a line an epoch or a generation
        checkpoint.pt        while the stage is at work
"""

import re
import shlex
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

from tailornas.errors import DiskError, RunFolderError, TailorNASError
from tailornas.runs.console import Console
from tailornas.runs.environment import environment
from tailornas.runs.files import (
    disk_errors,
    read_json,
    read_json_lines,
    read_state,
    read_tensors,
    remove_folder,
    sweep,
    write_bytes,
    write_json,
    write_tensors,
    write_text,
)
from tailornas.runs.fingerprint import fingerprint
from tailornas.runs.lock import locked, terminable
from tailornas.runs.record import LOCK, RECORD, RunRecord, check_folder
from tailornas.runs.stage import CHECKPOINT, LOG, RunStage
from tailornas.stages import Artifact, Stage

__all__ = ["RunFolder"]

CONFIG = "config.toml"
ENVIRONMENT = "environment.json"
STAGES = "stages"
RESULT = "result.json"
TENSORS = "result.safetensors"


@final
class RunFolder:
    """The :class:`tailornas.stages.Run` of a folder. Made by :meth:`open`, used as a context manager.

    In the ``with`` block SIGTERM ends the run as Ctrl-C does. However it ends, opened again it goes on.

    Attributes:
        path: the folder.
        notes: what the user was told, in this start and by stages whose results were already there.
        seconds: working seconds of each stage that this start computed or found, in order.
    """

    def __init__(
        self,
        path: Path,
        console: Console,
        record: RunRecord,
        held: ExitStack,
        made: list[Path],
        before: Mapping[Path, bytes],
        overwrite: bool,
    ) -> None:
        self.path = path
        self.notes: list[str] = []
        self.seconds: dict[str, float] = {}
        self._console, self._record, self._held, self._made = console, record, held, made
        self._before, self._overwrite, self._computed = before, overwrite, False

    @classmethod
    def open(
        cls,
        path: Path,
        config: str,
        console: Console,
        *,
        job: str | None = None,
        overwrite: bool = True,
        started: float | None = None,
    ) -> Self:
        """Opens a new or an existing run folder for this process alone.

        Args:
            path: the folder; made if it is missing.
            config: the resolved configuration as TOML. It may differ from the one that the folder was made
                with: each stage's inputs decide whether its result still holds.
            console: where stages and progress are shown.
            job: what the folder holds, one of :data:`tailornas.runs.record.JOBS`; None: anything.
            overwrite: what stages have left there gives way where their inputs changed; else that is an error.
            started: the ``time.monotonic()`` from which :attr:`elapsed` counts in this start; None: now.

        Raises:
            RunFolderError: the folder is something else, of another format or job, or in use.
            DiskError: it could not be written.
        """
        with ExitStack() as held:
            with disk_errors(path):
                check_folder(path, job)
                made = [folder for folder in (path, *path.parents) if not folder.exists()]
                path.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(path / LOCK))
            sweep(path)
            record = RunRecord.open(path, time.monotonic() if started is None else started, job)
            before = {file: file.read_bytes() for file in (path / CONFIG, path / ENVIRONMENT) if file.exists()}
            write_text(path / CONFIG, config)
            write_json(path / ENVIRONMENT, environment())
            return cls(path, console, record, held.pop_all(), made, before, overwrite)

    def __enter__(self) -> Self:
        self._held.enter_context(terminable())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            if isinstance(error, TailorNASError) and self._untouched():
                # Refused before any work was kept: the user is left with nothing to clean up.
                shutil.rmtree(self.path, ignore_errors=True)
                with suppress(OSError):  # another run's folder may be in them by now
                    for folder in self._made[1:]:
                        folder.rmdir()
                return
            try:
                if isinstance(error, TailorNASError) and not self._computed:
                    # Refused: what lies here still belongs to the configuration of the earlier start.
                    for file, content in self._before.items():
                        write_bytes(file, content)
                else:
                    self._record.write()
            except DiskError:
                # What ended the run is what the user must read.
                if error is None:
                    raise

    @property
    def elapsed(self) -> float:
        """Seconds the run has been at work, over all starts."""
        return self._record.elapsed

    def stage(
        self,
        name: str,
        inputs: Mapping[str, Any],
        compute: Callable[[Stage], Artifact],
        until: float | None = None,
    ) -> Artifact:
        """The result of ``compute``, from the folder if it was computed with the same inputs before.

        A result always has the form in which it is read from the folder, just computed or not: values as JSON
        (lists for tuples, None for NaN and infinities), tensors contiguous and on the CPU.

        Args:
            name: the stage's name and folder: lower-case letters, digits, ``-`` and ``_``.
            inputs: JSON values; everything that the result depends on.
            compute: the stage.
            until: value of :attr:`elapsed` after which :meth:`Stage.overdue` says so; None: never.

        Raises:
            RunFolderError: a file of the stage is damaged, or of other inputs and must not be replaced.
            DiskError: a file could not be written.
        """
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
            raise RunFolderError(f"stage name {name!r}: expected lower-case letters, digits, '-' and '_'")
        folder = self._folder(name)
        current = fingerprint(name, inputs)
        result = self._result(name)
        if not self._overwrite:
            self._keep(folder, current, result)
        if result is not None and result["fingerprint"] != current:
            self._console.note(f"{name}: its inputs changed, its earlier result is replaced")
            remove_folder(folder)
            result = None
        if result is None:
            self._compute(folder, current, compute, until)
        else:
            self.notes += result["notes"]
            self._console.stage_skipped(name)
        with disk_errors(folder):
            (folder / CHECKPOINT).unlink(missing_ok=True)
        self.seconds[name] = self._record.stages.get(name, 0.0)
        artifact = self.artifact(name)
        assert artifact is not None
        return artifact

    def artifact(self, name: str) -> Artifact | None:
        """The result that a stage has in the folder, whatever its inputs were; None without one.

        Raises:
            RunFolderError: a file of the stage is damaged.
        """
        result = self._result(name)
        if result is None:
            return None
        path = self._folder(name) / TENSORS
        tensors = read_tensors(path) if result["tensors"] else {}
        if sorted(tensors) != sorted(result["tensors"]):
            raise RunFolderError(f"{path} is of another result: delete {path.parent} to compute anew what it holds")
        return Artifact(result["values"], {tensor: tensors[tensor] for tensor in result["tensors"]})

    def logs(self, name: str) -> list[dict[str, Any]]:
        """The log lines of a stage, oldest first; none for a stage without a log.

        Raises:
            RunFolderError: the log is damaged.
        """
        path = self._folder(name) / LOG
        return read_json_lines(path) if path.exists() else []

    def note(self, text: str) -> None:
        """Tells the user, on the console and, through :attr:`notes`, in the report."""
        self.notes.append(text)
        self._console.note(text)

    def write(self, name: str, text: str) -> Path:
        """Writes a text file, such as the report, into the folder; returns its path.

        Raises:
            DiskError: it could not be written.
        """
        path = self.path / name
        write_text(path, text)
        return path

    def _untouched(self) -> bool:
        """Whether no stage has kept anything yet and nobody else has put anything here."""
        own = {LOCK, RECORD, CONFIG, ENVIRONMENT, STAGES}
        return own >= {entry.name for entry in self.path.iterdir()} and not any(self.path.glob(f"{STAGES}/*/*"))

    def _folder(self, name: str) -> Path:
        return self.path / STAGES / name

    def _result(self, name: str) -> dict[str, Any] | None:
        path = self._folder(name) / RESULT
        return dict(read_json(path)) if path.exists() else None

    def _keep(self, folder: Path, current: str, result: Mapping[str, Any] | None) -> None:
        """Refuses to go on where a result, or a checkpoint of hours, of other inputs would be lost."""
        there = result
        if there is None and (folder / CHECKPOINT).exists():
            there = read_state(folder / CHECKPOINT)
        if there is not None and there["fingerprint"] != current:
            raise RunFolderError(
                f"{self.path} holds another run, whose {folder.name!r} had other settings, images or program: give "
                f"--out DIR to keep it, or --out {shlex.quote(str(self.path))} to replace there what changed"
            )

    def _compute(self, folder: Path, current: str, compute: Callable[[Stage], Artifact], until: float | None) -> None:
        name, told = folder.name, len(self.notes)
        self._computed = True
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        stage = RunStage(folder, current, self._record, self._console, until)
        # Also takes back log lines and deletes a checkpoint of other inputs if ``compute`` never asks.
        resumed = stage.restore() is not None
        self._console.stage_started(name, resumed)
        try:
            artifact = compute(stage)
            stage.sync_log()
            self._record.stages[name] = round(stage.seconds, 3)
            self._record.write()
            if artifact.tensors:
                write_tensors(folder / TENSORS, artifact.tensors)
            write_json(
                folder / RESULT,
                {
                    "fingerprint": current,
                    "values": artifact.values,
                    "tensors": list(artifact.tensors),
                    "notes": self.notes[told:],
                },
            )
        except BaseException:
            self._console.stage_stopped(name)
            raise
        self._console.stage_finished(name, self._record.stages[name])
