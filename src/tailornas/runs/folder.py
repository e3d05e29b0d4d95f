"""A run is a folder: every stage leaves its result there, and is skipped when it is already there.

Layout::

    run.json                 program, format, version, job, creation, working time
    config.toml              the resolved configuration of the last start that computed anything
    environment.json         the machine and the versions of that start
    stages/<name>/
        result.json          inputs, values and what made them; written last: says that the stage is done
        result.safetensors   tensors, if there are any
        log.jsonl            a line an epoch or a generation
        checkpoint.pt        while the stage is at work
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

from tailornas.errors import DiskError, RunFolderError, TailorNASError
from tailornas.runs.console import Console
from tailornas.runs.environment import environment
from tailornas.runs.files import disk_errors, read_json, read_json_lines, remove_folder, sweep, write_json, write_text
from tailornas.runs.fingerprint import fingerprint
from tailornas.runs.keep import keep_configuration, keep_stage
from tailornas.runs.lock import locked, terminable
from tailornas.runs.provenance import KEPT, Provenance
from tailornas.runs.record import CONFIG, ENVIRONMENT, LOCK, STAGES, RunRecord, check_folder, discard, untouched
from tailornas.runs.results import changed, read_artifact, read_result, write_result
from tailornas.runs.stage import CHECKPOINT, LOG, RunStage
from tailornas.stages import Artifact, Stage

__all__ = ["RunFolder"]


@final
class RunFolder:
    """The :class:`tailornas.stages.Run` of a folder. Made by :meth:`open`, used as a context manager.

    In the ``with`` block SIGTERM ends the run as Ctrl-C does. However it ends, opened again it goes on.

    Attributes:
        path: the folder.
        notes: what the user was told, in this start and by stages whose results were already there.
        seconds: working seconds of each stage that this start computed or found, in order; without those that are not
            known any more, because ``run.json`` was deleted.
    """

    def __init__(
        self,
        path: Path,
        console: Console,
        record: RunRecord,
        held: ExitStack,
        made: list[Path],
        config: str,
        overwrite: bool,
    ) -> None:
        self.path = path
        self.notes: list[str] = []
        self.seconds: dict[str, float] = {}
        self._console, self._record, self._held, self._made = console, record, held, made
        self._config, self._overwrite = config, overwrite
        self._environment: dict[str, Any] = {}  # of this start, once it computes a stage
        self._computed = False
        self._provenance = Provenance(self.note, console.note)

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
            overwrite: what stages have left there gives way where their inputs changed; else that is an error, as is
                another configuration than that of what they left.
            started: the ``time.monotonic()`` from which :attr:`elapsed` counts in this start; None: now.

        Raises:
            RunFolderError: the folder is something else, of another format or job, in use, or must not be replaced.
            DiskError: it could not be written.
        """
        with ExitStack() as held:
            with disk_errors(path):
                check_folder(path, job)
                made = [folder for folder in (path, *path.parents) if not folder.exists()]
                path.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(path / LOCK))
            sweep(path)
            if not overwrite:
                keep_configuration(path, config)
            record = RunRecord.open(path, time.monotonic() if started is None else started, job)
            return cls(path, console, record, held.pop_all(), made, config, overwrite)

    @staticmethod
    def check(path: Path, config: str, *, job: str | None = None, overwrite: bool = True) -> None:
        """Refuses at once, before images are read, what :meth:`open` would refuse; nothing is written.

        Another process in the folder, and a disk that cannot be written, are met when the folder is opened.

        Raises:
            RunFolderError: the folder is something else, of another format or job, or must not be replaced.
            DiskError: it could not be read.
        """
        with disk_errors(path):
            check_folder(path, job)
        if not overwrite:
            keep_configuration(path, config)

    def __enter__(self) -> Self:
        self._held.enter_context(terminable())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            if isinstance(error, TailorNASError) and untouched(self.path):
                # Refused before any work was kept: the user is left with nothing to clean up.
                discard(self.path, self._made)
                return
            try:
                # Refused before it computed anything, a start leaves what lies here as it was.
                if self._computed or not isinstance(error, TailorNASError):
                    self._record.write()
            except DiskError:
                # What ended the run is what the user must read.
                if error is None:
                    raise

    @property
    def elapsed(self) -> float:
        """Seconds the run has been at work, over all starts, without work that gave way to other inputs."""
        return self._record.elapsed

    @property
    def environment(self) -> dict[str, Any]:
        """What the last start that computed anything did so on and with; empty where that is not known.

        Raises:
            RunFolderError: its file is damaged.
        """
        path = self.path / ENVIRONMENT
        return dict(read_json(path, "delete it: only what the run was computed on is lost")) if path.exists() else {}

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
            until: value of :attr:`elapsed` after which :meth:`Stage.overdue` says so; None: never. What an earlier
                one cut short is computed again.

        Raises:
            RunFolderError: a file of the stage is damaged, or of other inputs and must not be replaced.
            DiskError: a file could not be written.
        """
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
            raise RunFolderError(f"stage name {name!r}: expected lower-case letters, digits, '-' and '_'")
        folder, current = self._folder(name), fingerprint(name, inputs)
        inputs = json.loads(json.dumps(inputs))  # as they are read again, so that they compare
        result = read_result(folder)
        if not self._overwrite:
            keep_stage(self.path, name, current, inputs, until)
        reason = None if result is None else changed(result, current, inputs, until)
        if result is None or reason:
            self._begin()
        if reason:
            self._console.note(f"{name}: {reason}, its earlier result is replaced")
            self._record.replace(name)
            remove_folder(folder)
            result = None
        if result is None:
            self._compute(folder, current, inputs, compute, until)
        else:
            self.notes += result["notes"]
            self._record.keep(name, self._record.stages.get(name, 0.0))
            self._console.stage_skipped(name)
        with disk_errors(folder):
            (folder / CHECKPOINT).unlink(missing_ok=True)
        if name in self._record.stages:
            self.seconds[name] = self._record.stages[name]
        made = self._environment if result is None else result.get("environment", {})
        self._provenance.met(name, made, kept=result is not None)
        artifact = self.artifact(name)
        assert artifact is not None
        return artifact

    def artifact(self, name: str) -> Artifact | None:
        """The result that a stage has in the folder, whatever its inputs were; None without one.

        Raises:
            RunFolderError: a file of the stage is damaged.
        """
        return read_artifact(self._folder(name))

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

    def _folder(self, name: str) -> Path:
        return self.path / STAGES / name

    def _begin(self) -> None:
        """Writes, before the first stage computes, what this start computes with."""
        if not self._computed:
            self._environment = environment()
            write_text(self.path / CONFIG, self._config)
            write_json(self.path / ENVIRONMENT, self._environment)
            self._computed = True

    def _compute(
        self,
        folder: Path,
        current: str,
        inputs: Mapping[str, Any],
        compute: Callable[[Stage], Artifact],
        until: float | None,
    ) -> None:
        name, told = folder.name, len(self.notes)
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        commit = self._environment.get("commit")
        stage = RunStage(folder, current, inputs, self._record, self._console, until, commit)
        # Also takes back log lines and deletes a checkpoint of other inputs if ``compute`` never asks.
        resumed = stage.restore() is not None
        self._provenance.resumed(name, stage.commits, commit)
        try:
            self._console.stage_started(name, resumed)
            artifact = compute(stage)
            stage.sync_log()
            self._record.stages[name] = round(stage.seconds, 3)
            self._record.write()
            write_result(
                folder,
                artifact,
                fingerprint=current,
                inputs=inputs,
                until=stage.ended,
                environment={key: self._environment.get(key) for key in KEPT},
                notes=self.notes[told:],
            )
        except BaseException:
            self._console.stage_stopped(name)
            raise
        self._console.stage_finished(name, self._record.stages[name])
