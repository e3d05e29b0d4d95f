import re
import sys
from collections.abc import Callable
from io import StringIO

import pytest
import rich.console

from tailornas.runs.console import Console, PlainConsole, TerminalConsole, make_console

TITLES = {"pretrain": "supernet on the balanced source", "adapt": "head on the target"}
COLUMNS = ["network", "balanced accuracy", "parameters"]
ROWS = [["found [b]cell[/b]", "71.3%", "0.27 M"], ["baseline", "\N{MINUS SIGN}3.1", ""]]


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def plain(out: StringIO, clock: Clock | None = None) -> PlainConsole:
    return PlainConsole(TITLES, out, clock or Clock())


def terminal(out: StringIO, clock: Clock | None = None, width: int = 100) -> TerminalConsole:
    rich_console = rich.console.Console(file=out, force_terminal=True, width=width, color_system="standard")
    return TerminalConsole(TITLES, rich_console, clock or Clock())


def frames(out: StringIO) -> list[str]:
    """What was on the screen after each drawing, without its control sequences."""
    text = re.sub(r"\x1b\[\??[0-9;]*[mhl]", "", out.getvalue())
    return [re.sub(r"\x1b\[[0-9]*[A-Z]|\r", "", part).strip("\n") for part in text.split("\x1b[2K")]


def work(console: Console, clock: Clock) -> None:
    """Two hundred steps of an eighth of a second."""
    console.stage_started("adapt", resumed=False)
    for step in range(1, 201):
        clock.seconds += 0.125
        console.progress("adapt", step, 200, "steps", {"epoch": f"{(step + 99) // 100}/2", "loss": 2.0})
    console.stage_finished("adapt", 25.0)


def test_plain_lines_are_few_and_aligned() -> None:
    out, clock = StringIO(), Clock()
    console = plain(out, clock)
    console.stage_skipped("pretrain")
    work(console, clock)
    assert out.getvalue().splitlines() == [
        "pretrain  supernet on the balanced source  already there",
        "adapt     head on the target",
        "adapt     80/200 steps  8.0 steps/s  0:00:15 left  epoch 1/2  loss 2",
        "adapt     160/200 steps  8.0 steps/s  0:00:05 left  epoch 2/2  loss 2",
        "adapt     done in 0:00:25  200/200 steps  epoch 2/2  loss 2",
    ]


def test_plain_lines_of_a_resumed_and_of_a_stopped_stage() -> None:
    out = StringIO()
    console = plain(out)
    console.stage_started("adapt", resumed=True)
    console.progress("adapt", 7, 9, "epochs", {})
    console.stage_stopped("adapt")
    assert out.getvalue().splitlines() == ["adapt     head on the target  resumed", "adapt     stopped  7/9 epochs"]


def test_a_stage_without_title_or_progress() -> None:
    out = StringIO()
    console = plain(out)
    console.stage_started("test", resumed=False)
    console.stage_finished("test", 0.3)
    assert out.getvalue().splitlines() == ["test", "test      done in 0:00:00"]


def test_plain_tables_align_numbers_to_the_right_and_say_markup_as_it_is() -> None:
    out = StringIO()
    console = plain(out)
    console.table("Test [split]", COLUMNS, ROWS)
    console.note("see [link]report.html[/]")
    assert out.getvalue() == (
        "\nTest [split]\n"
        "network            balanced accuracy  parameters\n"
        "found [b]cell[/b]              71.3%      0.27 M\n"
        "baseline                        \N{MINUS SIGN}3.1\n"
        "\n"
        "see [link]report.html[/]\n"
    )


def test_quiet_prints_the_summary_alone() -> None:
    out, clock = StringIO(), Clock()
    console = PlainConsole({}, out, quiet=True)
    console.stage_skipped("pretrain")
    work(console, clock)
    console.stage_stopped("adapt")
    console.note("a remark")
    console.table("Classes", ["class"], [["cat"]])
    assert out.getvalue() == ""
    console.table("Test", ["network", "accuracy"], [["found", "71%"]], summary=True)
    console.note("report: run/report.html", summary=True)
    assert out.getvalue() == "\nTest\nnetwork  accuracy\nfound         71%\n\nreport: run/report.html\n"


def test_the_terminal_keeps_one_line_a_stage() -> None:
    out, clock = StringIO(), Clock()
    console = terminal(out, clock)
    console.stage_skipped("pretrain")
    work(console, clock)
    assert frames(out)[0].splitlines()[0] == "pretrain  supernet on the balanced source  already there"
    last = "adapt     head on the target               0:00:25  200/200 steps  epoch 2/2  loss 2"
    assert frames(out)[-1] == last


def test_the_terminal_shows_bar_rate_and_time_left_of_the_stage_at_work() -> None:
    out, clock = StringIO(), Clock()
    work(terminal(out, clock), clock)
    heading, bar = frames(out)[-5].splitlines()
    assert heading.rstrip() == "adapt     head on the target"
    assert bar.endswith("0:00:25  200/200 steps  8.0 steps/s  0:00:00 left  epoch 2/2  loss 2")
    assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" * 24 in bar


def test_the_terminal_is_drawn_at_most_four_times_a_second() -> None:
    out, clock = StringIO(), Clock()
    work(terminal(out, clock), clock)
    drawn = sum(" steps " in frame and "left" in frame for frame in frames(out))
    assert 90 <= drawn <= 102


def test_the_terminal_is_put_in_order_when_a_stage_stops() -> None:
    out = StringIO()
    console = terminal(out)
    console.stage_started("adapt", resumed=True)
    assert "resumed" in frames(out)[0]
    assert out.getvalue().endswith("\x1b[0m")
    console.stage_stopped("adapt")
    assert "\x1b[?25h" in out.getvalue()
    assert frames(out)[-1].endswith("stopped")


def test_a_narrow_terminal_shortens_lines_instead_of_breaking_them() -> None:
    out, clock = StringIO(), Clock()
    work(terminal(out, clock, width=40), clock)
    assert all(len(line) <= 40 for frame in frames(out) for line in frame.splitlines())
    assert len(frames(out)[-5].splitlines()) == 2
    assert frames(out)[-1].endswith("\N{HORIZONTAL ELLIPSIS}")


def test_the_terminal_says_markup_as_it_is() -> None:
    out = StringIO()
    console = terminal(out)
    console.table("Test [split]", [*COLUMNS[:2], "[red]n"], ROWS)
    console.note("class [red]x[/red] :smile: " + "long " * 40 + "end")
    console.stage_started("[bold]s[/]", resumed=False)
    console.progress("[bold]s[/]", 1, 2, "[i]u", {"k": "[/x]"})
    console.stage_finished("[bold]s[/]", 1.0)
    text = "\n".join(frames(out))
    for part in (
        "Test [split]",
        "found [b]cell[/b]",
        "[red]n",
        "class [red]x[/red] :smile: ",
        "[bold]s[/]",
        "1/2 [i]u",
    ):
        assert part in text
    assert "k [/x]" in text
    # A sentence is not broken, so that a path in it can be copied.
    assert "long " * 40 + "end" in text


def test_terminal_tables_align_numbers_to_the_right() -> None:
    out = StringIO()
    terminal(out).table("Test", COLUMNS, ROWS)
    assert [line.rstrip() for line in frames(out)[0].splitlines() if line.strip()] == [
        "Test",
        "  network             balanced accuracy   parameters",
        " " + "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * 52,
        "  found [b]cell[/b]               71.3%       0.27 M",
        "  baseline                         \N{MINUS SIGN}3.1",
    ]


@pytest.mark.parametrize(
    ("file", "term", "quiet", "kind"),
    [
        (StringIO(), "xterm", False, PlainConsole),
        (Terminal(), "xterm", False, TerminalConsole),
        (Terminal(), "dumb", False, PlainConsole),
        (Terminal(), "xterm", True, PlainConsole),
    ],
)
def test_the_console_suits_standard_output(
    monkeypatch: pytest.MonkeyPatch, file: StringIO, term: str, quiet: bool, kind: type
) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys, "stdout", file)
    assert type(make_console(TITLES, quiet=quiet)) is kind


@pytest.mark.parametrize("make", [plain, terminal, lambda out: PlainConsole({}, out, quiet=True)])
def test_names_cannot_command_the_terminal(make: Callable[[StringIO], Console]) -> None:
    """A class may be called anything: an escape sequence in its name would clear the screen, or type on it."""
    out = StringIO()
    console = make(out)
    console.note("left out: \x1b[2J\x1b]0;title\x07photo\n\u202egpj.exe", summary=True)
    console.table("Classes", ["class", "images"], [["\x1b[31mred", "1"], ["\r\x9b2Jx", "2"]], summary=True)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue().replace("\x1b[31m", "ESCAPED"))
    assert "left out: \ufffd[2J\ufffd]0;title\ufffdphoto\ufffd\ufffdgpj.exe" in shown.splitlines()
    assert "\ufffd[31mred" in shown
    assert "\ufffd\ufffd2Jx" in shown
    assert not set(shown) & set("\x1b\x07\x9b\r\u202e")
    assert "ESCAPED" not in shown


def test_columns_of_wide_letters_are_aligned() -> None:
    out = StringIO()
    plain(out).table("Classes", ["class", "images"], [["猫", "100"], ["dog", "5"], ["éclair", "37"]])
    rows = out.getvalue().splitlines()[2:]
    assert rows == ["class   images", "猫         100", "dog          5", "éclair      37", ""]
