import os
import subprocess
import sys

import pytest
import typer

from tailornas.cli import app

NO_DEFAULT = {"--data-dir", "--config", "--set"}


@pytest.mark.parametrize("command", ["run", "train"])
def test_the_help_of_every_option_with_a_value_says_its_default(command: str) -> None:
    parameters = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
    options = {p.opts[0]: p.help for p in parameters if not p.is_flag and p.opts[0] not in NO_DEFAULT}
    assert len(options) > 10
    assert [name for name, text in options.items() if "Default: " not in text] == []


def test_a_letter_that_the_output_does_not_have_ends_nothing() -> None:
    """Differences are printed with a minus sign, and bars are drawn."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "tailornas", "data", "inspect", "digits"]
    ran = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (ran.returncode, b"Traceback" in ran.stderr) == (0, False)
    assert b"?" in ran.stdout
