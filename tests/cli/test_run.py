"""The command, as a shell would see it: one line and exit code 2 for whatever is wrong with the input."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from support.shell import Shell
from tailornas import __version__
from tailornas.cli.options import default_folder, process_start
from tailornas.config import RunConfig
from tailornas.data import DataConfig
from tailornas.errors import LimitError
from tailornas.losses import LOSSES
from tailornas.methods import METHODS

TINY = (
    "--set=pretrain.epochs=1",
    "--set=adapt.epochs=1",
    "--set=search.population=4",
    "--set=search.generations=1",
    "--set=train.epochs=1",
    "--set=space.channels=4",
)


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the pipeline is asked to do, which it does not do."""
    asked: dict[str, Any] = {}

    def run(config: RunConfig, out: Path, console: object, *, command: str, overwrite: bool, started: float) -> None:
        asked.update(config=config, out=out, console=console, command=command, overwrite=overwrite)
        raise KeyboardInterrupt

    monkeypatch.setattr("tailornas.pipeline.run", run)
    return asked


def write_images(folder: Path, counts: dict[str, int]) -> Path:
    """A folder of handwritten digits, the given number of each class."""
    digits = load_digits()
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        of_class = np.flatnonzero(digits.target == int(name))
        for number in range(count):
            pixels = (digits.images[of_class[number]] * 255 / 16).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def test_version_and_help(shell: Shell) -> None:
    assert shell("--version") == 0
    assert (shell.out, shell.err) == (f"tailornas {__version__}\n", "")
    assert shell("--help") == 0
    assert "run" in shell.out
    assert shell("run", "--help") == 0
    for option in ("--data", "--time-limit", "--max-macs", "--config", "--set", "--out"):
        assert option in shell.out
    assert shell.err == ""


@pytest.mark.parametrize("command", ["run", "train"])
def test_the_help_names_the_losses_and_all_forms_of_data(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert shell(command, "--help") == 0
    for loss in {"ce", *LOSSES} - {"cross_entropy"}:
        assert re.search(rf"\b{loss}\b", shell.out), loss
    assert "annotation file (.json)" in shell.out


def test_no_arguments_show_the_help(shell: Shell) -> None:
    shell()
    assert "Usage" in shell.out + shell.err
    assert "error" not in shell.err


def test_every_option_sets_its_key(shell: Shell, configured: dict[str, Any]) -> None:
    options = {
        "--data": "cifar10",
        "--data-dir": "sets",
        "--imbalance-factor": "50",
        "--profile": "step",
        "--image-size": "16",
        "--source": "cifar100",
        "--time-limit": "1h30m",
        "--max-macs": "15M",
        "--max-params": "300k",
        "--max-latency": "2.5",
        "--method": "imb-nas",
        "--space": "nasbench201",
        "--loss": "focal",
        "--init": "inherit",
        "--seed": "7",
    }
    assert shell("run", *(part for pair in options.items() for part in pair), "--skip-bad") == 130
    config: RunConfig = configured["config"]
    expected = RunConfig.model_validate(
        {
            "data": {
                "data": "cifar10",
                "data_dir": "sets",
                "imbalance_factor": 50,
                "profile": "step",
                "image_size": 16,
                "skip_bad": True,
            },
            "source": {"data": "cifar100"},
            "time_limit": 5400,
            "limits": {"macs": 15_000_000, "params": 300_000, "latency_ms": 2.5},
            "method": "imb-nas",
            "space": {"name": "nasbench201"},
            "train": {"loss": "focal"},
            "init": "inherit",
            "seed": 7,
        }
    )
    assert config == expected
    assert (configured["out"], configured["overwrite"]) == (Path("runs/cifar10-if50"), False)


def test_file_assignments_and_options_in_their_order(shell: Shell, configured: dict[str, Any]) -> None:
    Path("run.toml").write_text("seed = 1\n[data]\nskip_bad = true\nprofile = 'step'\n[search]\npopulation = 9\n")
    shell("run", "--config", "run.toml", "--set", "seed=2", "--set", "search.generations=3", "--out", "here")
    config: RunConfig = configured["config"]
    assert (config.seed, config.search.population, config.search.generations) == (2, 9, 3)
    assert (config.data.skip_bad, config.data.profile) == (True, "step")  # an option that is not given says nothing
    assert (configured["out"], configured["overwrite"]) == (Path("here"), True)
    shell("run", "--config", "run.toml", "--set", "seed=2", "--seed", "3")
    assert configured["config"].seed == 3


def test_an_interrupted_run_says_how_to_go_on(shell: Shell, configured: dict[str, Any]) -> None:
    assert shell("run", "--data", "my images", "--seed", "3") == 130
    assert shell.err == "stopped; to go on where it ended: tailornas run --data 'my images' --seed 3\n"
    assert configured["command"] == "tailornas run --data 'my images' --seed 3"


def test_interrupted_while_it_starts(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tailornas.config.read_config", interrupt)
    assert shell("run") == 130
    assert "Traceback" not in shell.err


def test_nobody_who_reads_standard_error_changes_no_exit_code() -> None:
    code = "import sys; from tailornas.cli.options import complain; complain('stopped'); sys.exit(130)"
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stderr:
        assert subprocess.run([sys.executable, "-c", code], stderr=stderr, check=False).returncode == 130


def test_a_process_has_not_started_in_the_future(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 <= time.monotonic() - process_start() < 24 * 3600
    now = time.time()
    monkeypatch.setattr("tailornas.cli.options.time.time", lambda: now - 1e9)  # the clock was set back
    assert time.monotonic() - 1 < process_start() <= time.monotonic()


@pytest.mark.parametrize(
    ("data", "folder"),
    [
        (DataConfig(), "digits-if10"),
        (DataConfig(data="cifar10"), "cifar10-if100"),
        (DataConfig(data="cifar10", imbalance_factor=12.5), "cifar10-if12.5"),
        (DataConfig(data="cifar10", profile="as-is"), "cifar10"),
        (DataConfig(data="/data/my birds"), "my birds"),
        (DataConfig(data="birds/train.txt"), "train"),
        (DataConfig(data="./birds/", imbalance_factor=20), "birds-if20"),
    ],
)
def test_the_default_folder_is_named_for_the_data(data: DataConfig, folder: str) -> None:
    assert default_folder(data) == Path("runs") / folder


MISTAKES: dict[str, tuple[Callable[[Path], list[str | Path]], str]] = {
    "unknown option": (
        lambda here: ["--popluation", "3"],
        r"No such option: --popluation.*; .* --set KEY=VALUE, .*--config FILE: `tailornas config run` lists them",
    ),
    "empty data": (lambda here: ["--data", ""], r"--data is empty: expected NAME\|PATH"),
    "empty folder of the run": (lambda here: ["--out", ""], r"--out is empty: expected DIR"),
    "empty configuration": (lambda here: ["--config", ""], r"--config is empty: expected FILE"),
    "empty data in a file": (lambda here: ["--set", "data.data=''"], r"data\.data: .*at least 1 character, got ''"),
    "data folder that is not there": (
        lambda here: ["--data", "cifar10", "--data-dir", here / "none"],
        r"no such folder: .*/none: expected --data-dir .*",
    ),
    "an image": (
        lambda here: ["--data", write_images(here / "i", {"3": 1}) / "3" / "0.png"],
        r".*0\.png is an image: expected the folder .*",
    ),
    "option without its value": (lambda here: ["--data"], r".*'?--data'?.* requires an argument.*"),
    "a word too many": (lambda here: ["digits"], r".*unexpected extra argument.*digits.*"),
    "unknown name": (
        lambda here: ["--data", "digitz"],
        r"unknown data source 'digitz': expected one of .*digits.*no such file or folder.*",
    ),
    "no such path": (lambda here: ["--data", here / "none"], r"no such file or folder: .*none"),
    "empty folder": (lambda here: ["--data", made(here / "empty")], r".*empty has no sub-folders: expected one .*"),
    "one class": (
        lambda here: ["--data", write_images(here / "one", {"3": 5})],
        r".*one has 1 class: expected at least 2 .*",
    ),
    "a class without images": (
        lambda here: ["--data", made(write_images(here / "some", {"3": 5, "4": 5}) / "5").parent],
        r".*some/5 holds no image: expected files ending in .*",
    ),
    "a list with a bad line": (
        lambda here: ["--data", written(here / "list.txt", "a.png 0\n\nb.png one\n")],
        r".*list\.txt line 3 is 'b\.png one': expected 'relative/path label' .*",
    ),
    "imbalance factor below one": (
        lambda here: ["--imbalance-factor", "0.5"],
        r"data\.imbalance_factor: .*greater than or equal to 1, got '0\.5'",
    ),
    "imbalance factor without a profile": (
        lambda here: ["--imbalance-factor", "5", "--profile", "as-is"],
        r".*imbalance_factor 5 has no effect with profile 'as-is'.*",
    ),
    "imbalance that leaves a class empty": (
        lambda here: ["--imbalance-factor", "100000"],
        r".*imbalance_factor 100000 leaves class '\d' with 0 of its .*",
    ),
    "unknown profile": (lambda here: ["--profile", "log"], r"data\.profile: .*'exp', 'step' or 'as-is', got 'log'"),
    "unknown space": (
        lambda here: ["--space", "dart"],
        r"space: unknown space 'dart': expected one of FILE\.py:Class, darts, .*",
    ),
    "unknown loss": (lambda here: ["--loss", "lmad"], r"train: unknown loss 'lmad': expected one of .*ldam.*"),
    "unknown method": (lambda here: ["--method", "random"], r"method: .*'imb-nas', got 'random'"),
    "unknown init": (lambda here: ["--init", "random"], r"init: .*'inherit', got 'random'"),
    "image size of no pixels": (lambda here: ["--image-size", "0"], r"data\.image_size: .*, got '0'"),
    "seed that is no number": (lambda here: ["--seed", "lucky"], r"seed: .*integer.*, got 'lucky'"),
    "time limit that is none": (
        lambda here: ["--time-limit", "soon"],
        r"time_limit: expected a duration such as 90s, 30m or 1h30m, got 'soon'",
    ),
    "time limit of nothing": (lambda here: ["--time-limit", "0s"], r"time_limit: .*greater than 0, got '0s'"),
    "limit that is no number": (lambda here: ["--max-macs", "few"], r"limits\.macs: expected a number .*, got 'few'"),
    "unknown key": (
        lambda here: ["--set", "search.popular=3"],
        r"unknown configuration key 'search\.popular': expected one of population, .*",
    ),
    "wrong type": (lambda here: ["--set", "search.population=many"], r"search\.population: .*integer.*, got 'many'"),
    "no assignment": (lambda here: ["--set", "seed"], r"expected stage\.field=value, got 'seed'"),
    "unknown key in a file": (
        lambda here: ["--config", written(here / "run.toml", "[search]\npopular = 3\n")],
        r"unknown configuration key 'search\.popular': .*",
    ),
    "no such configuration": (
        lambda here: ["--config", here / "none.toml"],
        r"cannot read the configuration .*none\.toml: No such file or directory",
    ),
    "configuration that is not TOML": (
        lambda here: ["--config", written(here / "run.toml", "seed: 3\n")],
        r".*run\.toml is not TOML: .*",
    ),
    "data folder that is not used": (lambda here: ["--data-dir", here], r"data_dir .* has no effect with digits.*"),
    "name that would command the terminal": (
        lambda here: ["--data", here / "\x1b[2Jnone"],
        r".*\N{REPLACEMENT CHARACTER}\[2Jnone.*",
    ),
    "source that is the target": (
        lambda here: ["--source", "digits"],
        r"source and target are both 'digits' and would share images: .*",
    ),
    "no device": (
        lambda here: ["--set", "device.accelerator=mps"],
        r"device\.accelerator 'mps' is not available on this machine: .*",
    ),
}


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def written(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(shell: Shell, tmp_path: Path, mistake: str) -> None:
    arguments, pattern = MISTAKES[mistake]
    message = shell.error("run", *arguments(tmp_path))
    assert re.fullmatch(pattern, message), message
    assert not Path("runs").exists()


def test_an_unknown_command(shell: Shell) -> None:
    assert "walk" in shell.error("walk")


def test_a_limit_that_nothing_meets_says_the_smallest(shell: Shell) -> None:
    message = shell.error("run", "--out", "run", "--max-macs", "1k", *TINY)
    match = re.fullmatch(
        r"no architecture of the space meets the limit of 1,000 MACs: the smallest found has ([\d,]+) MACs", message
    )
    assert match is not None, message
    assert not Path("run").exists()
    # One less than that is refused as well; a folder that was there stays.
    smallest = int(match[1].replace(",", ""))
    made(Path("run"))
    assert f"has {smallest:,} MACs" in shell.error("run", "--out", "run", "--max-macs", str(smallest - 1), *TINY)
    assert list(Path("run").iterdir()) == []


def test_measuring_latencies_is_announced(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(context: object) -> None:
        raise LimitError("none")

    monkeypatch.setitem(METHODS, "imb-nas", refuse)
    shell.error("run", "--out", "run", "--max-latency", "0.001", *TINY)
    assert shell.out.endswith("Looking for an architecture within 0.001 ms, by measuring some.\n")
    assert not Path("run").exists()


def test_the_folder_of_a_search_is_no_place_for_a_training(shell: Shell) -> None:
    Path("run").mkdir()
    written(Path("run/run.json"), json.dumps({"project": "tailornas", "format": 1, "job": "search"}))
    message = "run is the folder of a search (`tailornas run`): choose another --out"
    assert shell.error("train", "--backbone=resnet8", "--out", "run") == message
    written(Path("run/run.json"), json.dumps({"project": "tailornas", "format": 1, "job": "training"}))
    message = "run is the folder of a training (`tailornas train`): choose another --out"
    assert shell.error("run", *TINY, "--out", "run") == message
    assert [path.name for path in Path("run").iterdir()] == ["run.json"]


def test_a_time_limit_that_is_too_short_says_how_long_is_enough(shell: Shell) -> None:
    message = shell.error("run", "--out", "run", "--time-limit", "1s")
    assert re.match(r"a time limit of 1 s is too short for this data on this machine: give at least \d+ s", message)
    assert re.search(r"; \d+ s of it went into reading, measuring and earlier starts of this run$", message)
    assert not Path("run").exists()


def test_a_training_that_diverges_names_the_key_to_change(shell: Shell) -> None:
    message = shell.error("run", "--out", "run", *TINY, "--set=pretrain.optimizer.learning_rate=1e30")
    assert re.match(r"the loss became nan at step \d+ of \d+ \(epoch 1, learning rate [\d.e+]+\)", message), message
    assert "lower pretrain.optimizer.learning_rate" in message
    assert "checkpoint" not in message  # there is none yet
    assert shell("run", "--out", "run", *TINY, "--set=pretrain.optimizer.learning_rate=0.01", "--quiet") == 0


def test_an_image_that_cannot_be_read_is_named_and_can_be_skipped(shell: Shell, tmp_path: Path) -> None:
    folder = write_images(tmp_path / "images", {"0": 9, "1": 8, "2": 7})
    (folder / "1" / "broken.png").write_bytes((folder / "1" / "0.png").read_bytes()[:60])
    message = shell.error("run", "--data", folder, "--out", "run")
    assert re.match(
        r"cannot read image .*images/1/broken\.png \(.*\): replace or remove it, or give --skip-bad", message
    )
    assert not Path("run").exists()
    # With the image left out, the next mistake is met: the data was loaded.
    assert "MACs" in shell.error("run", "--data", folder, "--out", "run", "--skip-bad", "--max-macs", "1", *TINY)
    assert re.search(r"left out because they cannot be read: .*images/1/broken\.png", shell.out)


def test_a_folder_that_is_something_else(shell: Shell) -> None:
    made(Path("photos"))
    written(Path("photos/cat.txt"), "a cat")
    message = shell.error("run", "--out", "photos")
    assert message.startswith(
        "photos is not a run folder: expected it to be empty or to have a run.json, found 'cat.txt'"
    )
    assert [path.name for path in Path("photos").iterdir()] == ["cat.txt"]


def test_a_file_instead_of_a_folder(shell: Shell) -> None:
    written(Path("notes"), "note")
    assert shell.error("run", "--out", "notes").startswith("notes is a file: expected a run folder or a new path")
    assert "notes" in shell.error("run", "--out", "notes/run")
    assert Path("notes").read_text() == "note"


@pytest.mark.parametrize(
    ("record", "pattern"),
    [
        ({"project": "tailornas", "format": 99}, r"run was written in another format: .* says 99; .*"),
        ({"project": "other", "format": 1}, r"run belongs to another program: .*'other'.*"),
        ([], r"run belongs to another program: .*"),
    ],
)
def test_a_run_folder_of_another_kind(shell: Shell, record: object, pattern: str) -> None:
    made(Path("run"))
    written(Path("run/run.json"), json.dumps(record))
    assert re.fullmatch(pattern, shell.error("run", "--out", "run"))
    assert json.loads(Path("run/run.json").read_text()) == record
    assert [path.name for path in Path("run").iterdir()] == ["run.json"]


def test_a_damaged_run_folder(shell: Shell) -> None:
    made(Path("run"))
    written(Path("run/run.json"), '{"project": ')
    assert "run.json" in shell.error("run", "--out", "run")


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "tailornas", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"tailornas {__version__}\n"
