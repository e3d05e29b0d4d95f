"""A user's own space through the whole command, on the embedded digits."""

import json
import shutil
from pathlib import Path

import pytest

from support.shell import Shell

EXAMPLE = Path(__file__).parents[2] / "docs" / "how-to" / "examples" / "my_space.py"
OPTIONS = [
    "--imbalance-factor=50",
    "--set=pretrain.epochs=1",
    "--set=adapt.epochs=1",
    "--set=search.population=4",
    "--set=search.generations=1",
    "--set=train.epochs=1",
    "--quiet",
]


def written(name: str) -> int:
    return Path("run/stages", name, "result.json").stat().st_mtime_ns


def test_it_is_searched_trained_and_reported_and_followed_when_it_changes(shell: Shell) -> None:
    shutil.copy(EXAMPLE, "my_space.py")
    command = ["run", "--space", "my_space.py:Net", "--out", "run", *OPTIONS]
    assert (shell(*command), shell.err) == (0, "")
    assert "report   run/report.html" in shell.out
    found = json.loads(Path("run/stages/train/result.json").read_text())["values"]
    assert json.loads(found["architecture"]).keys() == {"first", "second", "third"}
    assert 'class="picture"' in Path("run/report.html").read_text()

    before = written("pretrain")
    assert shell(*command) == 0
    assert written("pretrain") == before
    Path("my_space.py").write_text(EXAMPLE.read_text().replace('"skip": nn.Identity()', '"none": nn.Identity()'))
    assert shell(*command) == 0
    assert written("pretrain") > before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Net = 3\n", "Net of my_space.py is no class of torch.nn.Module: "),
        ("import nothing_of_this_name\n", "my_space.py cannot be imported: ModuleNotFoundError: "),
        ("from torch import nn\nclass Net(nn.Flatten): pass\n", "Net contains no "),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(shell: Shell, content: str, message: str) -> None:
    Path("my_space.py").write_text(content)
    error = shell.error("run", "--space", "my_space.py:Net", "--out", "run", *OPTIONS)
    assert error.replace(f"{Path.cwd()}/", "").startswith(message), error
    assert not Path("run").exists()
