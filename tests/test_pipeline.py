"""The whole command in real processes, really killed: started again, it ends with the bits of a run that never was."""

import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tailornas.runs.files import read_tensors

STAGES = ["pretrain", "adapt", "search", "train", "baseline", "evaluate"]
OPTIONS = [
    "--imbalance-factor=50",
    "--set=pretrain.epochs=2",
    "--set=pretrain.batch_size=64",
    "--set=adapt.epochs=2",
    "--set=adapt.batch_size=32",
    "--set=search.population=4",
    "--set=search.generations=2",
    "--set=train.epochs=2",
    "--set=train.batch_size=64",
    "--set=space.channels=4",
]
RUN = ["run", "--out", "run", *OPTIONS]
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

    def run(self, folder: Path, *arguments: str) -> int | None:
        return self.ended(self.start(folder, *arguments))


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
    """A run that nothing interrupted, started as users start it; meanwhile the server gets ready."""
    folder = tmp_path_factory.mktemp("whole")
    command = Path(sys.executable).with_name("tailornas")
    done = subprocess.run([command, *RUN, "--quiet"], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (folder / "stdout").write_text(done.stdout)
    return folder


def timeless(value: Any) -> Any:
    """A JSON value without how long anything took."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in TIMINGS}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def results_of(folder: Path) -> dict[str, Any]:
    """What the stages of a finished run found."""
    stages = folder / "run" / "stages"
    assert sorted(path.name for path in stages.iterdir()) == sorted(STAGES)
    assert not list(folder.rglob("*.tmp"))
    assert not list(folder.rglob("checkpoint.pt"))
    values = {name: timeless(json.loads((stages / name / "result.json").read_text())) for name in STAGES}
    logs = {
        path.parent.name: [timeless(json.loads(line)) for line in path.read_text().splitlines()]
        for path in stages.glob("*/log.jsonl")
    }
    tensors = {path.parent.name: path.read_bytes() for path in stages.glob("*/result.safetensors")}
    return {"values": values, "logs": logs, "tensors": tensors}


def written_at(folder: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("run/stages/*/result.json")}


def test_a_run_leaves_these_files(whole: Path) -> None:
    found = {str(path.relative_to(whole / "run")) for path in (whole / "run").rglob("*") if path.is_file()}
    trained = {"pretrain", "adapt", "train", "baseline"}
    assert found == {
        ".lock",
        "config.toml",
        "environment.json",
        "report.html",
        "run.json",
        *(f"stages/{name}/result.json" for name in STAGES),
        *(f"stages/{name}/result.safetensors" for name in trained),
        *(f"stages/{name}/log.jsonl" for name in trained | {"search"}),
    }
    results = results_of(whole)
    assert {name: len(lines) for name, lines in results["logs"].items()} == dict.fromkeys(trained | {"search"}, 2)


def test_a_quiet_run_prints_its_summary_only(whole: Path) -> None:
    output = (whole / "stdout").read_text()
    assert output.strip().startswith("Result")
    assert "report   run/report.html\n" in output
    assert "weights  run/stages/train/result.safetensors\n" in output
    evaluated = json.loads((whole / "run/stages/evaluate/result.json").read_text())["values"]
    for name in ("train", "baseline"):
        assert f"{evaluated[name]['metrics']['balanced_accuracy']:.1%}" in output


def test_the_report_shows_the_run(whole: Path) -> None:
    page = (whole / "run/report.html").read_text()
    evaluated = json.loads((whole / "run/stages/evaluate/result.json").read_text())["values"]
    for name in ("train", "baseline"):
        assert f"{evaluated[name]['metrics']['balanced_accuracy']:.1%}" in page
    assert "ResNet-8" in page
    assert shlex.join(["tailornas", *RUN, "--quiet"]) in page


def test_the_weights_are_those_of_the_found_network(whole: Path) -> None:
    trained = json.loads((whole / "run/stages/train/result.json").read_text())["values"]
    tensors = read_tensors(whole / "run/stages/train/result.safetensors")
    parameters = [tensor for name, tensor in tensors.items() if "running" not in name and "tracked" not in name]
    assert sum(tensor.numel() for tensor in parameters) == trained["costs"]["params"]


def test_a_second_start_computes_nothing_and_says_the_same(whole: Path, server: Server) -> None:
    before, results = written_at(whole), results_of(whole)
    first = (whole / "stdout").read_text()
    assert server.run(whole, *RUN, "--quiet") == 0
    assert written_at(whole) == before
    assert results_of(whole) == results
    assert (whole / "stdout").read_text() == first
    assert (whole / "stderr").read_text() == ""


def test_what_does_not_depend_on_a_changed_setting_is_not_computed_again(
    whole: Path, server: Server, tmp_path: Path
) -> None:
    shutil.copytree(whole / "run", tmp_path / "run")
    before = written_at(tmp_path)
    assert server.run(tmp_path, *RUN, "--set=search.population=5") == 0
    after = written_at(tmp_path)
    assert (after["pretrain"], after["adapt"]) == (before["pretrain"], before["adapt"])
    assert after["search"] != before["search"]
    assert len(results_of(tmp_path)["values"]["search"]["values"]["candidates"]) == 10
    output = (tmp_path / "stdout").read_text()
    assert re.search(r"^pretrain .*already there$", output, re.MULTILINE)
    assert re.search(r"^search: its inputs changed, its earlier result is replaced$", output, re.MULTILINE)


def test_a_time_limit_adds_its_plans_and_changes_nothing_that_fits(whole: Path, server: Server, tmp_path: Path) -> None:
    """All epochs are set, so what is there already is what the planned run would compute."""
    shutil.copytree(whole / "run", tmp_path / "run")
    before = written_at(tmp_path)
    assert server.run(tmp_path, *RUN, "--time-limit=1h") == 0, (tmp_path / "stderr").read_text()
    after = written_at(tmp_path)
    assert {name for name in after if after[name] != before.get(name)} == {"plan", "plan-training"}
    plan = json.loads((tmp_path / "run/stages/plan/result.json").read_text())["values"]
    assert (plan["pretrain_epochs"], plan["adapt_epochs"], plan["generations"]) == (2, 2, 2)


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
    assert server.run(tmp_path, *RUN) == 0, (tmp_path / "stderr").read_text()
    assert results_of(tmp_path) == results_of(whole)
    assert (tmp_path / "run/report.html").exists()


def test_interrupted_it_says_how_to_go_on_and_does(whole: Path, server: Server, tmp_path: Path) -> None:
    stages = tmp_path / "run" / "stages"
    for number, name in ((signal.SIGINT, "pretrain"), (signal.SIGTERM, "adapt")):
        process = server.start(tmp_path, *RUN)
        assert wait_for(server, process, stages / name / "checkpoint.pt") is None, (tmp_path / "stderr").read_text()
        os.kill(process, number)
        assert server.ended(process) == 130
        hint = shlex.join(["tailornas", *RUN])
        assert (tmp_path / "stderr").read_text() == f"stopped; to go on where it ended: {hint}\n"
        assert not list(tmp_path.rglob("*.tmp"))
    assert "pretrain" in (tmp_path / "stdout").read_text()
    weights = [folder / "stages/pretrain/result.safetensors" for folder in (tmp_path / "run", whole / "run")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
