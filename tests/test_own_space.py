"""A user's own space through the whole command, on the embedded digits."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from tailornas.cli import main

EXAMPLE = Path(__file__).parents[1] / "docs" / "how-to" / "examples" / "my_space.py"
OPTIONS = [
    "--imbalance-factor=50",
    "--set=pretrain.epochs=1",
    "--set=adapt.epochs=1",
    "--set=search.population=4",
    "--set=search.generations=1",
    "--set=train.epochs=1",
    "--quiet",
]


class Shell:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        self.monkeypatch.setattr("sys.argv", ["tailornas", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *self.capsys.readouterr()


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    monkeypatch.chdir(tmp_path)
    return Shell(monkeypatch, capsys)


def written(name: str) -> int:
    return Path("run/stages", name, "result.json").stat().st_mtime_ns


def test_it_is_searched_trained_and_reported_and_followed_when_it_changes(shell: Shell) -> None:
    threads = torch.get_num_threads()
    shutil.copy(EXAMPLE, "my_space.py")
    command = ["run", "--space", "my_space.py:Net", "--out", "run", *OPTIONS]
    try:
        code, out, err = shell(*command)
        assert (code, err) == (0, "")
        assert "report   run/report.html" in out
        found = json.loads(Path("run/stages/train/result.json").read_text())["values"]
        assert json.loads(found["architecture"]).keys() == {"first", "second", "third"}
        assert 'class="picture"' in Path("run/report.html").read_text()

        before = written("pretrain")
        assert shell(*command)[0] == 0
        assert written("pretrain") == before
        Path("my_space.py").write_text(EXAMPLE.read_text().replace('"skip": nn.Identity()', '"none": nn.Identity()'))
        assert shell(*command)[0] == 0
        assert written("pretrain") > before
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Net = 3\n", "error: Net of my_space.py is no class of torch.nn.Module: "),
        ("import nothing_of_this_name\n", "error: my_space.py cannot be imported: ModuleNotFoundError: "),
        ("from torch import nn\nclass Net(nn.Flatten): pass\n", "error: Net contains no "),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(shell: Shell, content: str, message: str) -> None:
    Path("my_space.py").write_text(content)
    code, _, err = shell("run", "--space", "my_space.py:Net", "--out", "run", *OPTIONS)
    assert code == 2
    assert err.count("\n") == 1
    assert err.replace(str(Path.cwd()) + "/", "").startswith(message), err
    assert not Path("run").exists()
