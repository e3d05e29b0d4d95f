"""The whole command in real processes, really killed: started again, it ends with the bits of a run that never was."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import torch
from PIL import Image

from support.processes import Commands, results_of, values, written_at
from tailornas.config import RunConfig, SourceConfig, read_config, to_toml
from tailornas.data import DataConfig, Dataset, prepare
from tailornas.errors import ConfigError
from tailornas.methods import choose_source, imb_nas
from tailornas.pipeline import search as module
from tailornas.runs import PlainConsole, RunFolder, make_console
from tailornas.runs.files import read_tensors
from tailornas.seeding import generator
from tailornas.spaces import build_space
from tailornas.spaces.ofa_checkpoint import official_name
from tailornas.types import Normalization

QUIET = make_console({}, quiet=True)
STAGES = ["pretrain", "adapt", "search", "train", "baseline", "latency", "evaluate"]
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


@pytest.fixture(scope="module")
def whole(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing interrupted, started as users start it; meanwhile the server gets ready."""
    folder = tmp_path_factory.mktemp("whole")
    command = Path(sys.executable).with_name("tailornas")
    done = subprocess.run([command, *RUN, "--quiet"], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (folder / "stdout").write_text(done.stdout)
    return folder


@pytest.mark.parametrize("other", ["pets/", "./pets", "../{here}/pets", "{folder}/pets", "link"])
def test_a_source_is_the_target_however_its_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("pets")
    source = SourceConfig(data=other.format(here=tmp_path.name, folder=tmp_path))
    with pytest.raises(ConfigError, match=r"source and target are both .* and would share images"):
        module.run(RunConfig(source=source, data=DataConfig(data="pets")), Path("run"), QUIET, command="")


def test_a_benchmark_is_the_target_wherever_its_files_lie(tmp_path: Path) -> None:
    source, target = SourceConfig(data="cifar10", data_dir=Path("/a")), DataConfig(data="cifar10", data_dir=Path("/b"))
    with pytest.raises(ConfigError, match="source and target are both 'cifar10'"):
        module.run(RunConfig(source=source, data=target), tmp_path, QUIET, command="")


def test_images_that_judge_the_target_are_left_out_of_a_named_source(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (8, 8), (number, len(name), ord(name[0]))).save(tmp_path / "pets" / name / f"{number}.png")
    shutil.copytree(tmp_path / "pets", tmp_path / "copy")
    target = prepare(DataConfig(data=str(tmp_path / "pets")), 0)
    named = module._named_source(SourceConfig(data=str(tmp_path / "copy")), DataConfig(data="pets"), target, 1, QUIET)
    assert named is not None
    judged = {*target.contents["train"][torch.cat([target.selection.rows, target.test.rows])].tolist()}
    assert not judged & {*named.contents["train"][named.fit.rows].tolist()}


def test_of_many_names_the_first_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = prepare(DataConfig(), 0)
    chosen = target.selection
    kept = chosen.labels >= 7
    target = replace(
        target,
        selection=replace(chosen, rows=chosen.rows[kept], labels=chosen.labels[kept]),
        skipped=tuple(f"{number}.png" for number in range(5000)),
    )
    monkeypatch.setattr(Dataset, "imbalance_factor", 1000.0)
    out = StringIO()
    console = PlainConsole({}, out)
    with RunFolder.open(tmp_path, "", console) as folder:
        module._introduce(console, folder, target, choose_source(target, None))
    assert folder.notes[1:3] == [
        f"Classes without a selection image, which no choice can heed: {', '.join(target.classes[:5])} and 2 more.",
        "Images left out because they cannot be read: 0.png, 1.png, 2.png, 3.png, 4.png and 4,995 more.",
    ]
    assert "imbalance factor 1,000.\n" in out.getvalue()


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
    results = results_of(whole, STAGES)
    assert {name: len(lines) for name, lines in results["logs"].items()} == dict.fromkeys(trained | {"search"}, 2)


def test_a_quiet_run_prints_its_summary_only(whole: Path) -> None:
    output = (whole / "stdout").read_text()
    assert output.strip().startswith("Result")
    assert "report   run/report.html\n" in output
    assert "weights  run/stages/train/result.safetensors\n" in output
    assert re.search(r"^         run/stages/baseline/result\.safetensors \(ResNet-\d+\)$", output, re.MULTILINE)
    evaluated = values(whole, "evaluate")
    for name in ("train", "baseline"):
        assert f"{evaluated[name]['metrics']['balanced_accuracy']:.1%}" in output


def test_the_report_shows_the_run(whole: Path) -> None:
    page = (whole / "run/report.html").read_text()
    evaluated = values(whole, "evaluate")
    for name in ("train", "baseline"):
        assert f"{evaluated[name]['metrics']['balanced_accuracy']:.1%}" in page
    assert "ResNet-8" in page
    assert shlex.join(["tailornas", *RUN, "--quiet"]) in page


def test_the_report_names_the_machine_that_computed(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole / "run", tmp_path / "run")
    (tmp_path / "run/environment.json").write_text('{"processor": "of a server"}')
    config = read_config(RunConfig, whole / "run" / "config.toml")
    target = prepare(config.data, config.seed)
    space = build_space(config.space, 10, torch.Generator())
    with RunFolder.open(tmp_path / "run", to_toml(config), QUIET) as folder:
        report = module._report(config, folder, target, choose_source(target, None), space, "")
    assert report.environment == {"processor": "of a server"}


def test_a_published_supernet_has_no_training_in_the_report(whole: Path, tmp_path: Path) -> None:
    """The folder may hold the log of an earlier start, which trained one."""
    shutil.copytree(whole / "run", tmp_path / "run")
    config = read_config(RunConfig, whole / "run" / "config.toml")
    target = prepare(config.data, config.seed)
    space = build_space(config.space, 10, torch.Generator())
    logs = []
    with RunFolder.open(tmp_path / "run", to_toml(config), QUIET) as folder:
        for weights in (None, tmp_path / "supernet"):
            source = replace(choose_source(target, None), weights=weights)
            logs.append(module._report(config, folder, target, source, space, "").pretrain_log)
    assert [len(lines) for lines in logs] == [2, 0]


def test_a_published_supernet_is_what_the_target_is_adapted_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights, ImageNet's statistics, and inputs that another file changes."""

    class SeenError(Exception):
        """What the stage that adapts the supernet is given."""

    def adapt(*given: object) -> None:
        raise SeenError(*given)

    monkeypatch.setitem(imb_nas.__globals__, "adapt", adapt)
    identities = []
    for seed in range(2):
        path = tmp_path / f"{seed}.pt"
        flags = {"source.data": str(path), "data.image_size": 32, "space.name": "mobilenet", "space.width": 0.1}
        config = read_config(RunConfig, flags=flags)
        published = build_space(config.space, 3, generator(seed)).network.state_dict()
        torch.save({official_name(name): tensor for name, tensor in published.items()}, path)

        with pytest.raises(SeenError) as caught:
            module.run(config, tmp_path / f"run-{seed}", QUIET, command="")
        context, _, supernet = caught.value.args
        assert context.target.normalization == Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        for name, tensor in supernet.space.network.state_dict().items():
            assert name.startswith("head.") or torch.equal(tensor, published[name]), name
        identities.append(supernet.identity)
    assert identities[0] != identities[1]


def test_the_weights_are_those_of_the_found_network(whole: Path) -> None:
    trained = values(whole, "train")
    tensors = read_tensors(whole / "run/stages/train/result.safetensors")
    parameters = [tensor for name, tensor in tensors.items() if "running" not in name and "tracked" not in name]
    assert sum(tensor.numel() for tensor in parameters) == trained["costs"]["params"]


def test_a_second_start_computes_nothing_and_says_the_same(whole: Path, commands: Commands) -> None:
    before, results = written_at(whole), results_of(whole, STAGES)
    first = (whole / "stdout").read_text()
    commands.run(whole, *RUN, "--quiet")
    assert written_at(whole) == before
    assert results_of(whole, STAGES) == results
    assert (whole / "stdout").read_text() == first
    assert (whole / "stderr").read_text() == ""


def test_what_does_not_depend_on_a_changed_setting_is_not_computed_again(
    whole: Path, commands: Commands, tmp_path: Path
) -> None:
    shutil.copytree(whole / "run", tmp_path / "run")
    before = written_at(tmp_path)
    commands.run(tmp_path, *RUN, "--set=search.population=5")
    after = written_at(tmp_path)
    assert (after["pretrain"], after["adapt"]) == (before["pretrain"], before["adapt"])
    assert after["search"] != before["search"]
    assert len(values(tmp_path, "search")["candidates"]) == 10
    output = (tmp_path / "stdout").read_text()
    assert re.search(r"^pretrain .*already there$", output, re.MULTILINE)
    assert re.search(
        r"^search: its inputs changed \(search.population 4 -> 5\), its earlier result is replaced$",
        output,
        re.MULTILINE,
    )


def test_a_time_limit_adds_its_plans_and_changes_nothing_that_fits(
    whole: Path, commands: Commands, tmp_path: Path
) -> None:
    """All epochs are set, so what is there already is what the planned run would compute."""
    shutil.copytree(whole / "run", tmp_path / "run")
    before = written_at(tmp_path)
    commands.run(tmp_path, *RUN, "--time-limit=1h")
    after = written_at(tmp_path)
    assert {name for name in after if after[name] != before.get(name)} == {"plan", "plan-training"}
    plan = values(tmp_path, "plan")
    assert (plan["pretrain_epochs"], plan["adapt_epochs"], plan["generations"]) == (2, 2, 2)


def test_killed_before_the_first_stage_and_in_every_stage(whole: Path, commands: Commands, tmp_path: Path) -> None:
    commands.kill_in_every_stage(tmp_path, RUN, [name for name in STAGES if name != "latency"])  # over in a moment
    commands.run(tmp_path, *RUN)
    assert results_of(tmp_path, STAGES) == results_of(whole, STAGES)
    assert (tmp_path / "run/report.html").exists()


def test_interrupted_it_says_how_to_go_on_and_does(whole: Path, commands: Commands, tmp_path: Path) -> None:
    stages = tmp_path / "run" / "stages"
    for number, name in ((signal.SIGINT, "pretrain"), (signal.SIGTERM, "adapt")):
        process = commands.start(tmp_path, *RUN)
        assert commands.wait_for(process, stages / name / "checkpoint.pt") is None, (tmp_path / "stderr").read_text()
        os.kill(process, number)
        assert commands.ended(process) == 130
        hint = shlex.join(["tailornas", *RUN])
        assert (tmp_path / "stderr").read_text() == f"stopped; to go on where it ended: {hint}\n"
        assert not list(tmp_path.rglob("*.tmp"))
    assert "pretrain" in (tmp_path / "stdout").read_text()
    weights = [folder / "stages/pretrain/result.safetensors" for folder in (tmp_path / "run", whole / "run")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
