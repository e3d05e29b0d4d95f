"""``run.json``: which program, format and job a run folder is of, and how long the run has been at work."""

import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, final

from tailornas.errors import RunFolderError
from tailornas.runs.files import LEFTOVER, read_json, write_json
from tailornas.version import __version__

__all__ = [
    "CONFIG",
    "ENVIRONMENT",
    "JOBS",
    "LOCK",
    "RECORD",
    "STAGES",
    "RunRecord",
    "check_folder",
    "discard",
    "recorded_job",
    "untouched",
]

PROJECT = "tailornas"
FORMAT = 1
"""Version of the layout of run folders; another one is refused."""

RECORD = "run.json"
LOCK = ".lock"
CONFIG = "config.toml"
ENVIRONMENT = "environment.json"
STAGES = "stages"

JOBS = {"search": "`tailornas run`", "training": "`tailornas train`"}
"""What a run folder may hold, and the command that makes it."""


def check_folder(folder: Path, job: str | None = None) -> None:
    """Refuses a folder that is neither empty nor a run of this program and format.

    Args:
        folder: a path, of a folder that need not exist.
        job: one of :data:`JOBS`, refused in the folder of another; None, here or in the folder: any.

    Raises:
        RunFolderError: says what was found.
    """
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"{folder} is a file: expected a run folder or a new path; choose another --out")
    if (folder / RECORD).exists():
        there = _read(folder).get("job")
        if job is not None and there is not None and there != job:
            raise RunFolderError(
                f"{folder} is the folder of a {there} ({JOBS.get(there, 'of another version')}): choose another --out"
            )
        return
    # A run killed before its first file was whole leaves these two.
    unfinished = {LOCK, RECORD + LEFTOVER}
    found = sorted(entry.name for entry in folder.iterdir() if entry.name not in unfinished) if folder.exists() else []
    # Of a run only the record was deleted, as a damaged one asks for, where all of these are there.
    if found and not {CONFIG, ENVIRONMENT, STAGES} <= set(found):
        raise RunFolderError(
            f"{folder} is not a run folder: expected it to be empty or to have a {RECORD}, found {found[0]!r}"
            f"{f' and {len(found) - 1} more' if len(found) > 1 else ''}; choose another --out"
        )


def untouched(folder: Path) -> bool:
    """Whether no stage has kept anything in a run folder yet and nobody else has put anything there."""
    own = {LOCK, RECORD, CONFIG, ENVIRONMENT, STAGES}
    return own >= {entry.name for entry in folder.iterdir()} and not any(folder.glob(f"{STAGES}/*/*"))


def discard(folder: Path, made: Iterable[Path]) -> None:
    """Removes what a run has written into an :func:`untouched` folder, and the folders that it made, deepest first."""
    shutil.rmtree(folder / STAGES, ignore_errors=True)
    with suppress(OSError):  # another run's folder may be in them by now
        for name in (RECORD, CONFIG, ENVIRONMENT, LOCK):
            (folder / name).unlink(missing_ok=True)
        for path in made:
            path.rmdir()


@final
class RunRecord:
    """Identity and working time of a run. Made by :meth:`open`.

    Args:
        path: the ``run.json``.
        fields: its content.
        started: the ``time.monotonic()`` at which this start's work began.

    Attributes:
        stages: working seconds of each finished stage, without work that a kill undid.
    """

    def __init__(self, path: Path, fields: dict[str, Any], started: float) -> None:
        self._path, self._fields = path, fields
        self._earlier: float = fields["elapsed"]
        self._started = self._written = started
        self._kept: dict[str, float] = {}
        self._replaced = False
        self.stages: dict[str, float] = fields["stages"]

    @classmethod
    def open(cls, folder: Path, started: float, job: str | None = None) -> Self:
        """The record of a folder that passed :func:`check_folder`; written first if the folder is new.

        Raises:
            RunFolderError: the folder is of another program or format.
            DiskError: the record could not be written.
        """
        path = folder / RECORD
        if path.exists():
            return cls(path, {**_read(folder), "job": recorded_job(folder) or job}, started)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        record = cls(
            path,
            {
                "project": PROJECT,
                "format": FORMAT,
                "version": __version__,
                "job": job,
                "created": created,
                "elapsed": 0.0,
                "stages": {},
            },
            started,
        )
        record.write()
        return record

    @property
    def elapsed(self) -> float:
        """Seconds at work, over all starts; of earlier ones without work that gave way to other inputs."""
        earlier = sum(self._kept.values()) if self._replaced else self._earlier
        return earlier + time.monotonic() - self._started

    def keep(self, name: str, seconds: float) -> None:
        """Says that this start goes on with ``seconds`` of work that earlier starts have done on a stage.

        A stage that is met again keeps its first number: the rest of its time is this start's.
        """
        self._kept.setdefault(name, seconds)

    def replace(self, name: str) -> None:
        """Says that what earlier starts did on a stage gives way.

        From now on :attr:`elapsed` counts, beside this start, only the work of earlier ones that was or will be kept,
        so that a time limit is not charged for results of other inputs.
        """
        self._replaced = True
        self.stages.pop(name, None)

    def write(self, at_most_every: float = 0.0) -> None:
        """Writes the time so far, unless the last time was less than ``at_most_every`` seconds ago.

        Raises:
            DiskError: the record could not be written.
        """
        now = time.monotonic()
        if now - self._written < at_most_every:
            return
        write_json(self._path, {**self._fields, "elapsed": round(self.elapsed, 3), "stages": self.stages})
        self._written = now


def recorded_job(folder: Path) -> str | None:
    """Which of :data:`JOBS` a folder holds; None where it is no run folder or does not say so.

    Raises:
        RunFolderError: the folder is of another program or format.
    """
    job: str | None = _read(folder).get("job") if (folder / RECORD).exists() else None
    return job


def _read(folder: Path) -> dict[str, Any]:
    mend = "delete it: only how long the run has been at work is lost; or choose another --out"
    fields = read_json(folder / RECORD, mend)
    project = fields.get("project") if isinstance(fields, dict) else None
    if project != PROJECT:
        raise RunFolderError(
            f"{folder} belongs to another program: expected a {RECORD} of project {PROJECT!r}, "
            f"it says {project!r}; choose another --out"
        )
    if fields.get("format") != FORMAT:
        raise RunFolderError(
            f"{folder} was written in another format: tailornas {__version__} reads run format {FORMAT}, "
            f"{RECORD} says {fields.get('format')!r}; choose another --out"
        )
    return dict(fields)
