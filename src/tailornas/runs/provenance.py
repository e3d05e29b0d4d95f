"""What results and checkpoints were made by, and what the user is told where that is not what computes now."""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, final

from tailornas.runs.environment import commit
from tailornas.runs.fingerprint import differences

__all__ = ["KEPT", "Provenance"]

MADE = ("commit", "processor")
"""Of the environment: where stages differ in it, the user is told."""

KEPT = (*MADE, "tailornas", "threads")
"""Of the environment: what is written into each result."""

_DIRTY = "-dirty"


@final
class Provenance:
    """Compares, in one start of a run, what each stage was made by.

    Inputs decide whether a result holds, and the code is none of them: somebody who changes a loss and starts again
    must be told that the old numbers are kept.

    Args:
        note: tells the user, in the report too.
        remark: tells the user alone.
    """

    def __init__(self, note: Callable[[str], None], remark: Callable[[str], None]) -> None:
        self._note, self._remark = note, remark
        self._last: Mapping[str, Any] | None = None
        self._told: set[str] = set()

    def met(self, name: str, made: Mapping[str, Any], *, kept: bool) -> None:
        """Takes in a stage that has its result now.

        Args:
            name: the stage.
            made: the :data:`KEPT` of its environment, as far as they are known.
            kept: whether the result was there already.
        """
        made_by = made.get("commit")
        if kept and made_by is not None and made_by not in self._told and _differ(made_by, self._commit):
            self._told.add(made_by)
            self._remark(f"{name!r} is kept from {_called(made_by)}; {_this(self._commit)}")
        last, self._last = self._last, {key: made.get(key) for key in MADE}
        if last is not None and last != self._last:
            self._note(f"From {name!r} on, stages were computed with others: {differences(last, self._last)}.")

    def resumed(self, name: str, commits: Iterable[str], current: str | None) -> None:
        """Takes in a stage that goes on from a checkpoint.

        Args:
            name: the stage.
            commits: by which it was computed so far.
            current: by which it goes on.
        """
        others = [made_by for made_by in commits if _differ(made_by, current)]
        if others:
            # The same commit, with changes, is most often the same code: no flaw that a report must show for good.
            tell = self._remark if others == [current] else self._note
            called = " and ".join(map(_called, others))
            tell(f"{name!r} goes on from a checkpoint of {called}; {_this(current)}")

    @cached_property
    def _commit(self) -> str | None:
        return commit(Path(__file__))


def _differ(earlier: str, current: str | None) -> bool:
    """Whether the code may have changed: never said where there is no checkout to tell by."""
    return current is not None and (earlier != current or earlier.endswith(_DIRTY))


def _this(current: str | None) -> str:
    assert current is not None
    return f"this is {_called(current)}: what changed in the code is not computed again, for that give another --out."


def _called(name: str) -> str:
    changed = " with uncommitted changes" if name.endswith(_DIRTY) else ""
    return f"commit {name.removesuffix(_DIRTY)[:10]}{changed}"
