"""The command in this process, as a shell would see it."""

import re
from pathlib import Path

import pytest

from tailornas.cli import main


class Shell:
    """Runs the command; :attr:`out` and :attr:`err` are what it printed last.

    Args:
        monkeypatch: sets its arguments.
        capsys: catches its output.
        first: arguments that come first, always.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *first: str) -> None:
        self.monkeypatch, self.capsys, self.first = monkeypatch, capsys, first
        self.out = self.err = ""

    def within(self, *first: str) -> "Shell":
        """A shell whose arguments begin with these."""
        return Shell(self.monkeypatch, self.capsys, *self.first, *first)

    def __call__(self, *arguments: str | Path) -> int:
        """The exit code."""
        self.monkeypatch.setattr("sys.argv", ["tailornas", *self.first, *map(str, arguments)])
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        self.out, self.err = self.capsys.readouterr()
        return int(ended.value.code or 0)

    def error(self, *arguments: str | Path) -> str:
        """The one line that a mistake is answered with."""
        assert self(*arguments) == 2, self.err
        assert re.fullmatch(r"error: [^\n]+\n", self.err), self.err
        return self.err.removeprefix("error: ").strip()
