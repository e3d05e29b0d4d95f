"""What a user sees while a run works: bars on a terminal, plain lines elsewhere, the summary if quiet."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TextIO, final

import rich.box
import rich.console
from rich.cells import cell_len
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tailornas.runs.pace import Pace, Shown, duration
from tailornas.runs.printing import print_line
from tailornas.text import printable

__all__ = ["Console", "PlainConsole", "TerminalConsole", "make_console"]

REFRESH_SECONDS = 0.25
"""A bar is drawn at most this often."""

LINE_SECONDS = 10.0
"""A stage prints at most one plain line in this time."""


class Console(Protocol):
    """Where a run shows what it does."""

    def stage_started(self, name: str, resumed: bool) -> None:
        """A stage begins, or goes on from its checkpoint."""
        ...

    def stage_skipped(self, name: str) -> None:
        """The result of a stage is there already."""
        ...

    def progress(self, name: str, done: int, total: int, unit: str, shown: Shown) -> None:
        """``done`` of ``total`` units of a stage are finished. May be called in a hot loop."""
        ...

    def stage_finished(self, name: str, seconds: float) -> None:
        """A stage has its result after ``seconds`` of work."""
        ...

    def stage_stopped(self, name: str) -> None:
        """A stage ended by an error or an interruption."""
        ...

    def note(self, text: str, *, summary: bool = False) -> None:
        """Prints a sentence; one of the summary is printed even if quiet."""
        ...

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, summary: bool = False
    ) -> None:
        """Prints a table of ``len(columns)`` cells a row; one of the summary is printed even if quiet."""
        ...


def make_console(titles: Mapping[str, str], *, quiet: bool = False) -> Console:
    """The console that suits standard output.

    Args:
        titles: what each stage does, by its name: ``{"pretrain": "supernet on the balanced source"}``.
        quiet: print the summary only.
    """
    if quiet:
        return PlainConsole(titles, sys.stdout, quiet=True)
    terminal = rich.console.Console()
    if sys.stdout.isatty() and terminal.is_interactive:
        return TerminalConsole(titles, terminal)
    return PlainConsole(titles, sys.stdout)


@final
class TerminalConsole:
    """One line a finished stage; below them the title, the bar and the figures of the stage at work.

    Args:
        titles: see :func:`make_console`.
        terminal: the rich console to print on.
        clock: seconds.
    """

    def __init__(
        self,
        titles: Mapping[str, str],
        terminal: rich.console.Console,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._titles, self._terminal, self._clock = titles, terminal, clock
        self._pace = Pace(clock())
        self._name, self._resumed, self._drawn = "", False, 0.0
        self._bar = self._new_bar()

    def stage_started(self, name: str, resumed: bool) -> None:
        """Opens the bar."""
        self._name, self._resumed, self._pace = name, resumed, Pace(self._clock())
        self._bar = self._new_bar()
        self._bar.start(refresh=True)
        self._drawn = self._clock()

    def stage_skipped(self, name: str) -> None:
        """Prints a line."""
        self._line(name, "already there")

    def progress(self, name: str, done: int, total: int, unit: str, shown: Shown) -> None:
        """Moves the bar, at most every :data:`REFRESH_SECONDS`."""
        now = self._clock()
        self._pace.update(now, done, total, unit, shown)
        if now - self._drawn >= REFRESH_SECONDS:
            self._bar.refresh()
            self._drawn = now

    def stage_finished(self, name: str, seconds: float) -> None:
        """Replaces the bar by a line."""
        self._bar.stop()
        self._line(name, duration(seconds), *self._pace.result())

    def stage_stopped(self, name: str) -> None:
        """Replaces the bar by a line."""
        self._bar.stop()
        self._line(name, "stopped", *self._pace.result())

    def note(self, text: str, *, summary: bool = False) -> None:
        """Prints the sentence unbroken, so that a path in it can be copied."""
        self._terminal.print(Text(printable(text)), soft_wrap=True)

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, summary: bool = False
    ) -> None:
        """Prints the table, numbers to the right."""
        table = Table(title=Text(title, "bold"), title_justify="left", box=rich.box.SIMPLE_HEAD)
        for index, column in enumerate(columns):
            right = _numeric([row[index] for row in rows])
            table.add_column(Text(printable(column)), justify="right" if right else "left")
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        self._terminal.print(table)

    def _new_bar(self) -> Live:
        # Drawn by progress() alone: a drawing thread could hold rich's lock when a data worker forks.
        return Live(console=self._terminal, auto_refresh=False, transient=True, get_renderable=self._working)

    def _working(self) -> rich.console.RenderableType:
        now, pace = self._clock(), self._pace
        bar = ProgressBar(total=pace.total or 1, completed=pace.done, width=24)
        figures = Table.grid(padding=(0, 2, 0, 0))
        figures.add_column(min_width=12)
        figures.add_column(no_wrap=True, overflow="ellipsis")
        figures.add_row(bar, Text("  ".join([duration(now - pace.started), *pace.figures(now)]), "dim"))
        heading = self._heading(self._name).append("  resumed" if self._resumed else "", "dim")
        return rich.console.Group(heading, figures)

    def _heading(self, name: str) -> Text:
        width, title_width = _widths(self._titles)
        return Text.assemble(
            (name.ljust(width), "bold"),
            "  ",
            self._titles.get(name, "").ljust(title_width),
            overflow="ellipsis",
        )

    def _line(self, name: str, *parts: str) -> None:
        line = self._heading(name).append("  ").append("  ".join(parts), "dim")
        self._terminal.print(line, no_wrap=True, overflow="ellipsis")


@final
class PlainConsole:
    """Lines for files and pipes: as a stage begins, at its end, and between at most one in ten seconds.

    Args:
        titles: see :func:`make_console`.
        file: where to print.
        clock: seconds.
        quiet: print the summary only.
    """

    def __init__(
        self,
        titles: Mapping[str, str],
        file: TextIO,
        clock: Callable[[], float] = time.monotonic,
        *,
        quiet: bool = False,
    ) -> None:
        self._titles, self._file, self._clock, self._quiet = titles, file, clock, quiet
        self._pace = Pace(clock())
        self._printed = 0.0

    def stage_started(self, name: str, resumed: bool) -> None:
        """Prints the title."""
        self._printed = self._clock()
        self._pace = Pace(self._printed)
        self._line(name, self._titles.get(name, ""), *(["resumed"] if resumed else []))

    def stage_skipped(self, name: str) -> None:
        """Prints a line."""
        self._line(name, self._titles.get(name, ""), "already there")

    def progress(self, name: str, done: int, total: int, unit: str, shown: Shown) -> None:
        """Prints a line, at most every :data:`LINE_SECONDS`."""
        now = self._clock()
        self._pace.update(now, done, total, unit, shown)
        if now - self._printed >= LINE_SECONDS:
            self._line(name, *self._pace.figures(now))
            self._printed = now

    def stage_finished(self, name: str, seconds: float) -> None:
        """Prints a line."""
        self._line(name, f"done in {duration(seconds)}", *self._pace.result())

    def stage_stopped(self, name: str) -> None:
        """Prints a line."""
        self._line(name, "stopped", *self._pace.result())

    def note(self, text: str, *, summary: bool = False) -> None:
        """Prints the sentence."""
        if summary or not self._quiet:
            print_line(self._file, printable(text))

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, summary: bool = False
    ) -> None:
        """Prints the table, numbers to the right."""
        if summary or not self._quiet:
            _print_table(self._file, title, columns, rows)

    def _line(self, name: str, *parts: str) -> None:
        if not self._quiet:
            print_line(self._file, "  ".join([name.ljust(_widths(self._titles)[0]), *filter(None, parts)]))


def _widths(titles: Mapping[str, str]) -> tuple[int, int]:
    return max(map(len, titles), default=0), max(map(len, titles.values()), default=0)


def _numeric(cells: Sequence[str]) -> bool:
    return any(cells) and all(cell.lstrip("+-\N{MINUS SIGN}")[:1].isdigit() for cell in cells if cell)


def _print_table(file: TextIO, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    cells = [[printable(cell) for cell in row] for row in (columns, *rows)]
    by_column = list(zip(*cells, strict=True))
    widths = [max(map(cell_len, column)) for column in by_column]
    right = [_numeric(column[1:]) for column in by_column]
    print_line(file, f"\n{title}")
    for row in cells:
        spaces = [" " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
        aligned = zip(row, spaces, right, strict=True)
        print_line(file, "  ".join(space + cell if number else cell + space for cell, space, number in aligned))
    print_line(file, "")
