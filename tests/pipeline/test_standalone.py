"""``tailornas train`` in real processes, really killed: started again, it ends with the bits of one that never was."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from PIL import Image

from support.processes import Commands, results_of, values
from tailornas.config import RunConfig, SourceConfig, StandaloneConfig, read_config
from tailornas.data import DataConfig, prepare
from tailornas.errors import ConfigError, RunFolderError
from tailornas.methods import Fitting
from tailornas.pipeline import search
from tailornas.pipeline import standalone as module
from tailornas.runs import make_console
from tailornas.runs.files import read_tensors
from tailornas.spaces import (
    BackboneConfig,
    NASBench201Config,
    SpaceConfig,
    build_backbone,
    count,
    identify,
    space_config,
)
from tailornas.types import Normalization

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
STAGES = ["train", "train-head", "latency", "evaluate"]


@pytest.fixture(scope="module")
def whole(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    commands.run(folder, *RUN, "--quiet")
    return folder


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
    assert {name: len(lines) for name, lines in results_of(whole, STAGES)["logs"].items()} == {
        "train": 3,
        "train-head": 3,
    }


def test_it_ends_with_the_published_learning_rate(whole: Path) -> None:
    assert results_of(whole, STAGES)["logs"]["train"][-1]["learning_rate"] == pytest.approx(1e-5)


def test_it_prints_its_result(whole: Path) -> None:
    output = (whole / "stdout").read_text()
    assert output.strip().startswith("Result")
    assert "ResNet-8" in output
    assert "weights  run/stages/train-head/result.safetensors\n" in output
    metrics = values(whole, "evaluate")["train"]["metrics"]
    assert f"{metrics['balanced_accuracy']:.1%}" in output
    assert metrics["balanced_accuracy"] > 0.15
    assert (whole / "stderr").read_text() == ""


def test_names_that_are_no_text_and_what_was_passed_over(commands: Commands, tmp_path: Path) -> None:
    for label, name in enumerate(("cat", "caf\udce9")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(8):
            Image.new("RGB", (8, 8), (number, label, 0)).save(tmp_path / "pets" / name / f"\udce9{number}.png")
    (tmp_path / "pets" / "cat" / "1.heic").touch()
    (tmp_path / "pets" / "cat" / "\udce9.png").touch()
    options = [
        "--data=pets",
        "--skip-bad",
        "--set=data.memory_cap_mb=0",
        "--backbone=resnet8",
        "--epochs=1",
        "--loss=ce",
    ]
    commands.run(tmp_path, "train", "--out=run", *options)
    assert re.search(r"^images +done in .* 17/17 images", (tmp_path / "stdout").read_text(), re.MULTILINE)
    note = "Files passed over, because their names are not those of images: 1 ending in .heic."
    assert "left out because they cannot be read: " in (tmp_path / "stdout").read_text()
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert note in (tmp_path / "stdout").read_text()
    assert note in page
    assert "\\udce9.png" in page


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


def test_a_second_start_computes_nothing_and_says_the_same(whole: Path, commands: Commands) -> None:
    results, output = results_of(whole, STAGES), (whole / "stdout").read_text()
    written = {path: path.stat().st_mtime_ns for path in whole.glob("run/stages/*/*")}
    commands.run(whole, *RUN, "--quiet")
    assert {path: path.stat().st_mtime_ns for path in whole.glob("run/stages/*/*")} == written
    assert results_of(whole, STAGES) == results
    assert (whole / "stdout").read_text() == output


def test_a_page_that_is_made_elsewhere_names_the_machine_that_computed_and_no_time_that_is_lost(
    whole: Path, commands: Commands, tmp_path: Path
) -> None:
    shutil.copytree(whole / "run", tmp_path / "run")
    (tmp_path / "run/environment.json").write_text('{"processor": "of a server"}')
    (tmp_path / "run/run.json").unlink()
    commands.run(tmp_path, *RUN)
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "<dt>processor</dt><dd>of a server</dd>" in page
    assert "<dt>torch</dt>" not in page
    assert '<tr><th scope="row">Time</th><td>\N{EN DASH}</td></tr>' in page
    assert "<h3>Stages</h3>" not in page


def test_another_second_stage_goes_on_from_the_same_training(whole: Path, commands: Commands, tmp_path: Path) -> None:
    shutil.copytree(whole / "run", tmp_path / "run")
    before = (tmp_path / "run/stages/train/result.json").stat().st_mtime_ns
    options = [option for option in RUN if "second" not in option]
    commands.run(tmp_path, *options, "--second-stage=tau_norm")
    assert (tmp_path / "run/stages/train/result.json").stat().st_mtime_ns == before
    tensors = read_tensors(tmp_path / "run/stages/train-head/result.safetensors")
    assert torch.allclose(tensors["head.weight"].norm(dim=1), torch.ones(10))
    assert values(tmp_path, "evaluate") != values(whole, "evaluate")
    commands.run(tmp_path, *options, "--quiet")  # none at all
    assert "weights  run/stages/train/result.safetensors\n" in (tmp_path / "stdout").read_text()
    assert (tmp_path / "run/stages/train/result.json").stat().st_mtime_ns == before


def test_killed_before_the_first_stage_and_in_every_stage(whole: Path, commands: Commands, tmp_path: Path) -> None:
    commands.kill_in_every_stage(tmp_path, RUN, [name for name in STAGES if name != "latency"])  # over in a moment
    commands.run(tmp_path, *RUN)
    assert results_of(tmp_path, STAGES) == results_of(whole, STAGES)


SHORT = ["--out=run", "--imbalance-factor=50", "--epochs=1", "--quiet"]


def test_weights_of_a_training_are_where_another_begins(whole: Path, commands: Commands, tmp_path: Path) -> None:
    """With a learning rate of next to nothing and no decay, it ends where it began."""
    begin = ["--backbone=resnet8", "--loss=ce", *SHORT]
    commands.run(tmp_path, "train", *begin)
    path = shutil.move(tmp_path / "run/stages/train/result.safetensors", tmp_path / "first.safetensors")
    still = ["--set=train.optimizer.learning_rate=1e-30", "--set=train.optimizer.weight_decay=0"]
    commands.run(tmp_path, "train", *begin, f"--weights={path}", *still)
    first, second = read_tensors(Path(path)), read_tensors(tmp_path / "run/stages/train/result.safetensors")
    assert {n for n, tensor in first.items() if not torch.equal(tensor, second[n])} <= {
        n for n in first if n.endswith(("running_mean", "running_var", "num_batches_tracked"))
    }


@pytest.mark.parametrize(("first", "second"), [("ldam", "ldam"), ("ce", "ldam"), ("ldam", "ce"), ("ce", "ce")])
def test_a_trained_head_that_is_not_gone_on_from_is_told_of(tmp_path: Path, first: str, second: str) -> None:
    console, path = make_console({}, quiet=True), tmp_path / "first/stages/train/result.safetensors"
    tiny = ["backbone.name=resnet8", "data.imbalance_factor=50", "train.epochs=1"]
    module.train(
        read_config(StandaloneConfig, None, [*tiny, f"train.loss={first}"]), tmp_path / "first", console, command=""
    )
    again = read_config(StandaloneConfig, None, [*tiny, f"train.loss={second}", f"backbone.weights={path}"])
    module.train(again, tmp_path / "again", console, command="")
    page = (tmp_path / "again/report.html").read_text()
    assert (f"The head in {path} is not a linear one" in page) == (first == "ldam")
    assert (f"The linear head in {path} is left out: another head is trained." in page) == (
        (first, second) == ("ce", "ldam")
    )


def test_weights_go_on_from_pixels_of_the_statistics_that_they_were_fitted_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "test_resnet.r160_in1k"
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(timm.create_model(name).state_dict(), path)
    published: Any = timm.get_pretrained_cfg(name)

    class SeenError(Exception):
        """The statistics by which images would be normalized."""

    def check(fitting: Fitting, *networks: object) -> None:
        raise SeenError(fitting.target.normalization)

    monkeypatch.setattr(module, "check_training", check)
    flags = {"backbone.name": f"timm:{name}", "data.image_size": 32}
    own = prepare(DataConfig(image_size=32), 0).normalization
    theirs = Normalization(tuple(published.mean), tuple(published.std))
    cases: list[tuple[dict[str, str], Normalization]] = [({}, own), ({"backbone.weights": str(path)}, theirs)]
    for weights, statistics in cases:
        config = read_config(StandaloneConfig, flags={**flags, **weights})
        with pytest.raises(SeenError) as caught:
            module.train(config, tmp_path / "run", make_console({}, quiet=True), command="")
        assert caught.value.args == (statistics,)


def test_mistakes_that_images_cannot_change_are_told_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*arguments: object) -> None:
        raise AssertionError("images are read")

    for pipeline in (module, search):
        monkeypatch.setattr(pipeline, "read_images", read)
    console = make_console({}, quiet=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    config = StandaloneConfig()
    with pytest.raises(ConfigError, match="unknown backbone 'vgg16'"):
        module.train(StandaloneConfig(backbone=BackboneConfig(name="vgg16")), tmp_path / "run", console, command="")
    with pytest.raises(RunFolderError, match=r"other is not a run folder: .* found 'mine\.txt'"):
        module.train(config, tmp_path / "other", console, command="")
    with pytest.raises(RunFolderError, match=r"other is not a run folder: .* found 'mine\.txt'"):
        search.run(RunConfig(), tmp_path / "other", console, command="")
    (tmp_path / "photos" / ".hidden").mkdir(parents=True)
    inside, photos = tmp_path / "photos" / "runs" / "photos", DataConfig(data=str(tmp_path / "photos"))
    message = r"lies in the folder of the images, .*photos, .* give one outside, such as --out .*/runs/photos$"
    with pytest.raises(RunFolderError, match=message):
        module.train(StandaloneConfig(data=photos), inside, console, command="")
    with pytest.raises(RunFolderError, match=message):
        search.run(RunConfig(data=photos), inside, console, command="")
    with pytest.raises(RunFolderError, match=message):
        search.run(RunConfig(source=SourceConfig(data=photos.data)), inside, console, command="")
    with pytest.raises(ConfigError, match=r"cannot read the space 'nowhere\.py:Net'"):
        search.run(RunConfig(space=space_config("nowhere.py:Net", {})), tmp_path / "run", console, command="")
    assert not (tmp_path / "run").exists()


ARCHITECTURE = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|"


def search_folder(folder: Path, space: SpaceConfig) -> Path:
    """What a finished search leaves of what it found, in a run whose configuration is another by now."""
    stage = folder / "stages" / "search"
    stage.mkdir(parents=True)
    (folder / "config.toml").write_text("[space]\nname = 'darts'\n")
    candidates = [{"architecture": "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"}, {"architecture": ARCHITECTURE}]
    kept = {"settings": space.model_dump(mode="json"), "identity": identify(space)}
    result = {"candidates": candidates, "winner": 1, "space": kept}
    (stage / "result.json").write_text(json.dumps({"values": result}))
    return folder


def test_an_own_space_that_is_not_the_one_that_was_searched(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("class Mine: pass\n")
    space = space_config(f"{file}:Mine", {"channels": 3})
    folder = search_folder(tmp_path / "found", space)
    backbone = BackboneConfig(name=str(folder))
    assert module._found(backbone, None) == (BackboneConfig(name=f"{file}:Mine:{ARCHITECTURE}"), space)
    file.write_text("class Mine: 'another'\n")
    with pytest.raises(ConfigError, match=r"mine\.py:Mine has changed since the search in .*: expected the file that"):
        module.train(StandaloneConfig(backbone=backbone), tmp_path / "run", make_console({}, quiet=True), command="")


def test_a_search_of_an_earlier_version_did_not_keep_its_space(tmp_path: Path) -> None:
    folder = search_folder(tmp_path / "found", NASBench201Config())
    file = folder / "stages" / "search" / "result.json"
    result = json.loads(file.read_text())
    del result["values"]["space"]
    file.write_text(json.dumps(result))
    with pytest.raises(ConfigError, match="is of an earlier version, which did not keep the space: name what was fo"):
        module.train(
            StandaloneConfig(backbone=BackboneConfig(name=str(folder))),
            tmp_path / "run",
            make_console({}, quiet=True),
            command="",
        )


def test_the_folder_of_a_search_is_a_backbone(commands: Commands, tmp_path: Path) -> None:
    """The winner, in the space that was searched: not in that space's default size."""
    found = search_folder(tmp_path / "found", NASBench201Config(channels=4, cells_per_stage=2))
    commands.run(tmp_path, "train", f"--backbone={found}", "--loss=balanced_softmax", "--mix=mixup", *SHORT)
    trained = values(tmp_path, "train")
    first = read_tensors(tmp_path / "run/stages/train/result.safetensors")
    assert trained["architecture"] == f"nasbench201:{ARCHITECTURE}"
    space = ["--set=space.name=nasbench201", "--set=space.channels=4", "--set=space.cells_per_stage=2"]
    named = ["--backbone", f"nasbench201:{ARCHITECTURE}", *space]
    before = (tmp_path / "run/stages/train/result.json").stat().st_mtime_ns
    commands.run(tmp_path, "train", *named, "--loss=balanced_softmax", "--mix=mixup", *SHORT)
    assert (tmp_path / "run/stages/train/result.json").stat().st_mtime_ns == before  # it is the same network
    assert (
        sum(t.numel() for n, t in first.items() if "running" not in n and "tracked" not in n)
        == (trained["costs"]["params"])
    )


def test_a_run_folder_may_be_called_like_its_backbone(whole: Path, commands: Commands, tmp_path: Path) -> None:
    shutil.copytree(whole / "run", tmp_path / "resnet8")
    commands.run(tmp_path, *RUN, "--out=resnet8")
