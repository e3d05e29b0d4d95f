"""What the documentation says is there is there: links, commands and their options, names, and examples that run."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tailornas.cli.app import app
from tailornas.data import SAMPLERS
from tailornas.heads import HEADS
from tailornas.losses import LOSSES, SCHEDULES, WEIGHTINGS

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")])
TRAIN = (ROOT / "docs/how-to/train.md").read_text()
LOSS_NAMES = {"ce" if name == "cross_entropy" else name for name in LOSSES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith("https://"):
            continue
        name, _, heading = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if heading:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), flags=re.MULTILINE)
            assert heading in [re.sub(r"[^\w\- ]", "", text).lower().replace(" ", "-") for text in headings], link


def commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for line in page.read_text().splitlines():
            for command in re.findall(r"(?:^    |`)(tailornas [^`#]+)", line):
                yield page.name, command.strip()


@pytest.mark.parametrize(("page", "command"), sorted(set(commands())))
def test_every_option_of_a_command_in_the_documentation_exists(page: str, command: str) -> None:
    words = shlex.split(command)[1:]
    at: Any = typer.main.get_command(app)
    while hasattr(at, "commands") and words and not words[0].startswith("-"):
        assert words[0] in at.commands, command
        at = at.commands[words.pop(0)]
    known = {option for parameter in at.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= known, command


def first_column(header: str) -> set[str]:
    """The names in the first column of the table of ``train.md`` that begins so."""
    rows = TRAIN.split(f"| {header}", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


def help_of(option: str) -> str:
    root: Any = typer.main.get_command(app)
    train = root.commands["train"]
    return next(str(parameter.help) for parameter in train.params if option in parameter.opts)


@pytest.mark.parametrize(
    ("option", "names"),
    [("--loss", LOSS_NAMES), ("--sampler", set(SAMPLERS)), ("--head", set(HEADS))],
)
def test_the_page_and_the_help_list_every_name(option: str, names: set[str]) -> None:
    assert first_column(f"`{option}`") == names
    assert names <= set(re.findall(r"\w+", help_of(option)))


def test_the_help_lists_every_weighting_and_schedule() -> None:
    assert set(WEIGHTINGS) <= set(re.findall(r"\w+", help_of("--class-weights")))
    assert set(SCHEDULES) <= set(re.findall(r"\w+", help_of("--schedule")))


def test_the_settings_of_every_loss_are_on_the_page_with_their_defaults() -> None:
    for name, loss in LOSSES.items():
        label = "ce" if name == "cross_entropy" else name
        row = next(
            line for line in TRAIN.splitlines() if line.startswith((f"| `{label}` |", f"| `{label}` (default) |"))
        )
        for key, field in loss.Settings.model_fields.items():
            default = field.default
            shown = "0.3 / classes" if default is None else f"{default:g}" if isinstance(default, float) else default
            assert re.search(rf"`{key}` \(`?{shown}\b", row), (name, key)


@pytest.mark.parametrize("name", ["toolbox", "own_loop", "own_data"])
def test_the_examples_of_the_page_on_python_learn_the_rare_classes(name: str) -> None:
    example = ROOT / f"docs/how-to/examples/{name}.py"
    code = example.read_text().split('"""\n\n', 1)[1]
    assert f"```python\n{code}```" in (ROOT / "docs/how-to/python.md").read_text()
    done = subprocess.run([sys.executable, str(example)], capture_output=True, text=True, check=True)
    found = re.fullmatch(r"balanced accuracy ([\d.]+)%, worst class ([\d.]+)%\n", done.stdout)
    assert found is not None, done.stdout
    assert float(found[1]) > 80
    assert float(found[2]) > 40
