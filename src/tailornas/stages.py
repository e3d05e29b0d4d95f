"""Stages and runs, as methods see them: what a stage leaves, and what it may ask of the run it belongs to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, final

from torch import Tensor

__all__ = ["Artifact", "Detached", "Run", "Stage"]


@final
@dataclass(frozen=True, eq=False)
class Artifact:
    """What a stage leaves in the run folder.

    Args:
        values: JSON values (numbers, text, lists, string-keyed mappings).
        tensors: weights and other tensors by name.
    """

    values: Mapping[str, Any]
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


class Stage(Protocol):
    """What a stage function may ask of the run it belongs to. :class:`Detached` is the one without a run."""

    def restore(self) -> dict[str, Any] | None:
        """The state last handed to :meth:`save` with these inputs, or None on a first start."""
        ...

    def save(self, state: dict[str, Any]) -> None:
        """Keeps ``state`` (tensors, numbers, text, lists, dicts) atomically; log lines so far belong to it."""
        ...

    def log(self, **fields: float | int | str | None) -> None:
        """Adds one line to the stage's log."""
        ...

    def progress(self, done: int, total: int, unit: str, **shown: float | int | str) -> None:
        """Shows that ``done`` of ``total`` units are finished; ``shown`` are the figures beside the bar."""
        ...

    def overdue(self, next_seconds: float) -> bool:
        """Whether work that takes ``next_seconds`` more would end after the stage's time is up."""
        ...


class Run(Protocol):
    """A run folder, as a method sees it: results of stages that are there already are not computed again."""

    @property
    def elapsed(self) -> float:
        """Seconds the run has been at work, over all starts, without work that gave way to other inputs."""
        ...

    def stage(
        self,
        name: str,
        inputs: Mapping[str, Any],
        compute: Callable[["Stage"], Artifact],
        until: float | None = None,
    ) -> Artifact:
        """The result of ``compute``, from the folder if it was computed with the same inputs before.

        Args:
            name: the stage's name and folder.
            inputs: JSON values; everything that the result depends on.
            compute: the stage.
            until: value of :attr:`elapsed` after which :meth:`Stage.overdue` says so; None: never. What an earlier
                one cut short is computed again.
        """
        ...

    def note(self, text: str) -> None:
        """Tells the user, on the terminal and in the report."""
        ...


@final
class Detached:
    """A stage outside any run: keeps nothing, shows nothing, is never overdue. For Python callers and tests."""

    def restore(self) -> dict[str, Any] | None:
        """Always None."""
        return None

    def save(self, state: dict[str, Any]) -> None:
        """Keeps nothing."""

    def log(self, **fields: float | int | str | None) -> None:
        """Writes nothing."""

    def progress(self, done: int, total: int, unit: str, **shown: float | int | str) -> None:
        """Shows nothing."""

    def overdue(self, next_seconds: float) -> bool:
        """Always False."""
        return False
