"""Every exception a user can meet.

A message is one line: what was expected, what came, how to mend it. The command line prints that line and exits
with code 2; a Python caller catches :class:`TailorNASError` or the named subclass.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

__all__ = [
    "ArchitectureError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DiskError",
    "DivergenceError",
    "LimitError",
    "RunFolderError",
    "TailorNASError",
    "UnknownNameError",
    "meant",
    "naming",
]


class TailorNASError(Exception):
    """Base of every error that names a mistake in the input rather than a defect of the program."""


class ConfigError(TailorNASError):
    """A configuration value is unknown, of the wrong type, out of range or contradicts another."""


class UnknownNameError(ConfigError):
    """A name was looked up (a loss, a space, a data source) and is not known.

    Args:
        kind: what was looked up, in the singular: ``"loss"``.
        name: the name that came.
        known: every name that would have been accepted.
    """

    def __init__(self, kind: str, name: str, known: "list[str] | tuple[str, ...]") -> None:
        super().__init__(f"unknown {kind} {name!r}: expected one of {', '.join(sorted(known))}{meant(name, known)}")
        self.kind, self.name, self.known = kind, name, tuple(known)


class DataError(TailorNASError):
    """Images, labels or class counts cannot be used as they are."""


class ArchitectureError(TailorNASError):
    """An architecture, its text form or a search space is malformed."""


class CheckpointError(TailorNASError):
    """A file of weights cannot be read, or it belongs to another network."""


class LimitError(TailorNASError):
    """No architecture of the space meets the limits."""


class DivergenceError(TailorNASError):
    """A loss became NaN or infinite; says the step and the learning rate."""


class RunFolderError(TailorNASError):
    """A run folder belongs to another project, another version or another running process."""


class DiskError(TailorNASError):
    """A file could not be written (the disk is full, the folder is read-only), or not be read at this moment."""


def meant(name: str, known: Iterable[str]) -> str:
    """The end of a message: which of ``known`` the wrong ``name`` looks like; empty where it looks like none."""
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


@contextmanager
def naming(section: str) -> Iterator[None]:
    """Puts the section of the configuration before what is raised in the block, unless the message begins with it."""
    try:
        yield
    except TailorNASError as error:
        if not re.match(rf"{re.escape(section)}\b" if section else "", str(error)):
            error.args = (f"{section}: {error}",)
        raise
