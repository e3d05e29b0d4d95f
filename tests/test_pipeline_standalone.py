"""``tailornas train`` in real processes, really killed: started again, it ends with the bits of one that never was."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tailornas.runs.files import read_tensors
from tailornas.spaces import BackboneConfig, build_backbone, count

RUN = [
    "train",
    "--out=run",
    "--backbone=resnet8",
    "--imbalance-factor=50",
    "--loss=ce",
    "--two-branch",
    "--second-stage=crt",
    "--augment=autoaugment",
    "--cutout=2",
    "--epochs=3",
    "--set=train.second_stage.epochs=3",
    "--set=train.batch_size=64",
]
STAGES = ["train", "train-head", "evaluate"]
TIMINGS = {"seconds", "images_per_second", "latency_ms"}


class Server:
    """Starts the command in forked processes; see forked_cli.py."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def ask(self, **command: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self, folder: Path, *arguments: str) -> int:
        """The process id; ``stdout`` and ``stderr`` are files in the folder."""
        return int(self.ask(folder=str(folder), arguments=arguments))

    def ended(self, process: int, *, block: bool = True) -> int | None:
        """The exit code, or the negative signal; None while it runs."""
        code = self.ask(wait=process, block=block)
        return None if code is None else int(code)

    def run(self, folder: Path, *arguments: str) -> None:
        assert self.ended(self.start(folder, *arguments)) == 0, (folder / "stderr").read_text()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    script = Path(__file__).with_name("forked_cli.py")
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Server(process)
        assert process.stdin is not None
        process.stdin.close()
    assert process.returncode == 0


@pytest.fixture(scope="module")
def whole(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    server.run(folder, *RUN, "--quiet")
    return folder


def timeless(value: Any) -> Any:
    """A JSON value without how long anything took."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in TIMINGS}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def values(folder: Path, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run" / "stages" / stage / "result.json").read_text())["values"]
    return found


def results_of(folder: Path) -> dict[str, Any]:
    """What the stages of a finished run found."""
    stages = folder / "run" / "stages"
    assert sorted(path.name for path in stages.iterdir()) == sorted(STAGES)
    assert not list(folder.rglob("*.tmp"))
    assert not list(folder.rglob("checkpoint.pt"))
    logs = {
        path.parent.name: [timeless(json.loads(line)) for line in path.read_text().splitlines()]
        for path in stages.glob("*/log.jsonl")
    }
    tensors = {path.parent.name: path.read_bytes() for path in stages.glob("*/result.safetensors")}
    return {"values": {name: timeless(values(folder, name)) for name in STAGES}, "logs": logs, "tensors": tensors}


def test_a_training_leaves_these_files(whole: Path) -> None:
    found = {str(path.relative_to(whole / "run")) for path in (whole / "run").rglob("*") if path.is_file()}
    assert found == {
        ".lock",
        "config.toml",
        "environment.json",
        "report.html",
        "run.json",
        *(f"stages/{name}/result.json" for name in STAGES),
        *(f"stages/{name}/{file}" for name in ("train", "train-head") for file in ("result.safetensors", "log.jsonl")),
    }
    assert {name: len(lines) for name, lines in results_of(whole)["logs"].items()} == {"train": 3, "train-head": 3}


def test_it_prints_its_result(whole: Path) -> None:
    output = (whole / "stdout").read_text()
    assert output.strip().startswith("Result")
    assert "ResNet-8" in output
    assert "weights  run/stages/train-head/result.safetensors\n" in output
    metrics = values(whole, "evaluate")["train"]["metrics"]
    assert f"{metrics['balanced_accuracy']:.1%}" in output
    assert metrics["balanced_accuracy"] > 0.15
    assert (whole / "stderr").read_text() == ""


def test_the_second_stage_moves_the_head_alone(whole: Path) -> None:
    first, second = (read_tensors(whole / f"run/stages/{name}/result.safetensors") for name in ("train", "train-head"))
    assert first.keys() == second.keys()
    assert {name for name, tensor in first.items() if not torch.equal(tensor, second[name])} == {
        "head.weight",
        "head.bias",
    }


def test_the_costs_are_those_of_both_branches(whole: Path) -> None:
    costs = values(whole, "train")["costs"]
    one = count(build_backbone(BackboneConfig(name="resnet8"), None, 8, 10, torch.Generator()), 8)
    block, head = 9 * 32 * 64 + 9 * 64 * 64 + 4 * 64, 64 * 10
    assert costs["params"] == one.params + block + head
    assert costs["macs"] == one.macs + 4 * (9 * 32 * 64 + 9 * 64 * 64) + head


def test_a_second_start_computes_nothing_and_says_the_same(whole: Path, server: Server) -> None:
    results, output = results_of(whole), (whole / "stdout").read_text()
    written = {path: path.stat().st_mtime_ns for path in whole.glob("run/stages/*/*")}
    server.run(whole, *RUN, "--quiet")
    assert {path: path.stat().st_mtime_ns for path in whole.glob("run/stages/*/*")} == written
    assert results_of(whole) == results
    assert (whole / "stdout").read_text() == output


def test_another_second_stage_goes_on_from_the_same_training(whole: Path, server: Server, tmp_path: Path) -> None:
    shutil.copytree(whole / "run", tmp_path / "run")
    before = (tmp_path / "run/stages/train/result.json").stat().st_mtime_ns
    options = [option for option in RUN if "second" not in option]
    server.run(tmp_path, *options, "--second-stage=tau_norm")
    assert (tmp_path / "run/stages/train/result.json").stat().st_mtime_ns == before
    tensors = read_tensors(tmp_path / "run/stages/train-head/result.safetensors")
    assert torch.allclose(tensors["head.weight"].norm(dim=1), torch.ones(10))
    assert values(tmp_path, "evaluate") != values(whole, "evaluate")
    server.run(tmp_path, *options, "--quiet")  # none at all
    assert "weights  run/stages/train/result.safetensors\n" in (tmp_path / "stdout").read_text()
    assert (tmp_path / "run/stages/train/result.json").stat().st_mtime_ns == before


def wait_for(server: Server, process: int, *signs: Path) -> int | None:
    """Waits until a file is there or the process has ended; returns how it ended."""
    while not any(sign.exists() for sign in signs):
        if (code := server.ended(process, block=False)) is not None:
            return code
        time.sleep(0.002)
    return None


def test_killed_before_the_first_stage_and_in_every_stage(whole: Path, server: Server, tmp_path: Path) -> None:
    """In a stage: at a random moment after its first checkpoint, before its result."""
    draw = random.Random(0)
    process = server.start(tmp_path, *RUN)
    assert wait_for(server, process, tmp_path / "run") is None
    os.kill(process, signal.SIGKILL)
    assert server.ended(process) == -signal.SIGKILL
    for name in STAGES:
        stage = tmp_path / "run" / "stages" / name
        longest, inside = 0.1, False
        while not inside:
            process = server.start(tmp_path, *RUN)
            sign = stage / "checkpoint.pt" if name != "evaluate" else stage
            assert wait_for(server, process, sign, stage / "result.json") is None, (tmp_path / "stderr").read_text()
            time.sleep(draw.uniform(0, longest))
            os.kill(process, signal.SIGSTOP)
            inside = not (stage / "result.json").exists()
            os.kill(process, signal.SIGKILL)
            assert server.ended(process) == -signal.SIGKILL
            if not inside:  # too late: once more, sooner
                (stage / "result.json").unlink()
                longest /= 2
    server.run(tmp_path, *RUN)
    assert results_of(tmp_path) == results_of(whole)


SHORT = ["--out=run", "--imbalance-factor=50", "--epochs=1", "--quiet"]


def test_weights_of_a_training_are_where_another_begins(whole: Path, server: Server, tmp_path: Path) -> None:
    """With a learning rate of next to nothing and no decay, it ends where it began."""
    begin = ["--backbone=resnet8", "--loss=ce", *SHORT]
    server.run(tmp_path, "train", *begin)
    path = shutil.move(tmp_path / "run/stages/train/result.safetensors", tmp_path / "first.safetensors")
    still = ["--set=train.optimizer.learning_rate=1e-30", "--set=train.optimizer.weight_decay=0"]
    server.run(tmp_path, "train", *begin, f"--weights={path}", *still)
    first, second = read_tensors(Path(path)), read_tensors(tmp_path / "run/stages/train/result.safetensors")
    assert {n for n, tensor in first.items() if not torch.equal(tensor, second[n])} <= {
        n for n in first if n.endswith(("running_mean", "running_var", "num_batches_tracked"))
    }


ARCHITECTURE = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|"


def search_folder(folder: Path) -> Path:
    """What a finished search leaves of what it found."""
    stage = folder / "stages" / "search"
    stage.mkdir(parents=True)
    (folder / "config.toml").write_text("[space]\nname = 'nasbench201'\nchannels = 4\ncells_per_stage = 2\n")
    candidates = [{"architecture": "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"}, {"architecture": ARCHITECTURE}]
    (stage / "result.json").write_text(json.dumps({"values": {"candidates": candidates, "winner": 1}}))
    return folder


def test_the_folder_of_a_search_is_a_backbone(server: Server, tmp_path: Path) -> None:
    """The winner, in the space that was searched: not in that space's default size."""
    found = search_folder(tmp_path / "found")
    server.run(tmp_path, "train", f"--backbone={found}", "--loss=balanced_softmax", "--mix=mixup", *SHORT)
    trained = values(tmp_path, "train")
    first = read_tensors(tmp_path / "run/stages/train/result.safetensors")
    assert trained["architecture"] == f"nasbench201:{ARCHITECTURE}"
    space = ["--set=space.name=nasbench201", "--set=space.channels=4", "--set=space.cells_per_stage=2"]
    named = ["--backbone", f"nasbench201:{ARCHITECTURE}", *space]
    before = (tmp_path / "run/stages/train/result.json").stat().st_mtime_ns
    server.run(tmp_path, "train", *named, "--loss=balanced_softmax", "--mix=mixup", *SHORT)
    assert (tmp_path / "run/stages/train/result.json").stat().st_mtime_ns == before  # it is the same network
    assert (
        sum(t.numel() for n, t in first.items() if "running" not in n and "tracked" not in n)
        == (trained["costs"]["params"])
    )


def test_a_run_folder_may_be_called_like_its_backbone(whole: Path, server: Server, tmp_path: Path) -> None:
    shutil.copytree(whole / "run", tmp_path / "resnet8")
    server.run(tmp_path, *RUN, "--out=resnet8")
