import re
import sys
from io import BytesIO, TextIOWrapper
from typing import Any

import pytest
import typer

from support.shell import Shell
from tailornas.cli import app, main

NO_DEFAULT = {"--data-dir", "--config", "--set"}


@pytest.mark.parametrize("command", ["run", "train"])
def test_the_help_of_every_option_with_a_value_says_its_default(command: str) -> None:
    parameters = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
    options = {p.opts[0]: p.help for p in parameters if not p.is_flag and p.opts[0] not in NO_DEFAULT}
    assert len(options) > 10
    assert [name for name, text in options.items() if "Default: " not in text] == []


COMMANDS = [[], ["run"], ["train"], ["config"], ["config", "run"], ["data", "inspect"], ["space"], ["space", "sample"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_help_is_shown_as_it_is_written(shell: Shell, command: list[str]) -> None:
    """Brackets are no markup, and lines break between words."""
    assert shell(*command, "--help") == 0
    found: Any = typer.main.get_command(app)
    for name in command:
        found = found.commands[name]
    texts = [found.help, *(parameter.help for parameter in found.params)]
    texts += [listed.help.partition("\n")[0] for listed in getattr(found, "commands", {}).values()]
    shown = re.sub(r"\s", "", shell.out)
    for text in filter(None, texts):
        assert re.sub(r"\s", "", text) in shown


def test_a_letter_that_the_output_does_not_have_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Differences are printed with a minus sign, and bars are drawn."""
    printed, failed = BytesIO(), BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(printed, "latin-1"))
    monkeypatch.setattr(sys, "stderr", TextIOWrapper(failed, "latin-1"))
    for arguments, code in ((["data", "inspect", "digits"], 0), (["data", "inspect", "≈"], 2)):
        monkeypatch.setattr(sys, "argv", ["tailornas", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code in ({None, 0} if code == 0 else {code})
    sys.stdout.flush()
    sys.stderr.flush()
    assert b"?" in printed.getvalue()
    assert b"source '?'" in failed.getvalue()
