import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest

from tailornas.runs.console import PlainConsole
from tailornas.runs.printing import print_line


def test_a_line_is_printed_at_once(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as file:
        print_line(file, "one  \n")
        assert (tmp_path / "out").read_text() == "one\n"


def test_a_reader_that_is_gone_is_told_once_and_printing_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as file:
        console = PlainConsole({}, file)
        console.stage_started("train", resumed=False)
        console.stage_stopped("train")
        console.note("the report")
    assert capsys.readouterr().err == "cannot print: Broken pipe; the work goes on\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    with Path("/dev/full").open("w") as file:
        for _ in range(3):
            print_line(file, "line")
    assert capsys.readouterr().err.startswith("cannot print: No space left on device; the work goes on")


def test_what_cannot_be_printed_does_not_change_the_exit_code() -> None:
    code = "import sys; from tailornas.runs.printing import print_line; print_line(sys.stdout, 'line'); sys.exit(130)"
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as out:
        # Neither is read: what is left in a buffer fails again as Python exits.
        assert subprocess.run([sys.executable, "-c", code], stdout=out, stderr=out, check=False).returncode == 130


def test_text_in_memory_needs_no_file() -> None:
    out = StringIO()
    print_line(out, "line")
    assert out.getvalue() == "line\n"
