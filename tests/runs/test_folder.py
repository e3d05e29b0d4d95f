import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch

from tailornas.errors import ConfigError, DiskError, RunFolderError
from tailornas.runs import PlainConsole, RunFolder
from tailornas.runs.fingerprint import fingerprint
from tailornas.stages import Artifact, Stage


def open_run(path: Path, config: str = "seed = 0\n", out: StringIO | None = None) -> RunFolder:
    return RunFolder.open(path, config, PlainConsole({}, out or StringIO()))


def gives(values: Mapping[str, Any], **tensors: torch.Tensor) -> Callable[[Stage], Artifact]:
    return lambda stage: Artifact(values, tensors)


def never(stage: Stage) -> Artifact:
    raise AssertionError("computed again")


def test_time_counts_from_when_the_caller_says(tmp_path: Path) -> None:
    with RunFolder.open(tmp_path, "", PlainConsole({}, StringIO()), started=time.monotonic() - 50) as run:
        assert run.elapsed >= 50
    with open_run(tmp_path) as run:
        assert 50 <= run.elapsed < 100


def test_a_new_folder_has_configuration_and_environment(tmp_path: Path) -> None:
    def ask(stage: Stage) -> Artifact:
        assert (tmp_path / "config.toml").read_text() == "a = 1\n"
        assert json.loads((tmp_path / "environment.json").read_text())["torch"] == torch.__version__
        return Artifact({})

    with open_run(tmp_path, "a = 1\n") as run:
        run.stage("train", {}, ask)
    # A start that computes nothing leaves the configuration that did.
    with open_run(tmp_path, "a = 2\n") as run:
        run.stage("train", {}, never)
    assert (tmp_path / "config.toml").read_text() == "a = 1\n"
    with open_run(tmp_path, "a = 2\n") as run:
        run.stage("evaluate", {}, gives({}))
    assert (tmp_path / "config.toml").read_text() == "a = 2\n"


def test_the_computed_and_the_found_artifact_are_the_same(tmp_path: Path) -> None:
    given_values = {"shape": (3, 4), "loss": 0.1 + 0.2, "worst": float("nan"), "names": {"a": [1, None]}}
    weight = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last).requires_grad_()
    with open_run(tmp_path) as run:
        computed = run.stage("train", {}, gives(given_values, weight=weight, bias=weight[0, 0]))
        assert run.stage("train", {}, never).values == computed.values
    with open_run(tmp_path) as run:
        found = run.stage("train", {}, never)
    assert computed.values == {"shape": [3, 4], "loss": 0.1 + 0.2, "worst": None, "names": {"a": [1, None]}}
    assert found.values == computed.values
    for artifact in (computed, found):
        assert list(artifact.tensors) == ["weight", "bias"]
        assert torch.equal(artifact.tensors["weight"], weight)
        assert artifact.tensors["weight"].is_contiguous()
        assert not artifact.tensors["weight"].requires_grad


def test_a_finished_stage_leaves_its_result_and_its_log(tmp_path: Path) -> None:
    def train(stage: Stage) -> Artifact:
        assert stage.restore() is None
        stage.log(epoch=1, loss=0.5)
        stage.save({"epoch": 1})
        return Artifact({"loss": 0.5})

    with open_run(tmp_path) as run:
        assert run.artifact("train") is None
        assert run.logs("train") == []
        run.stage("train", {"epochs": 1}, train)
        assert run.logs("train") == [{"epoch": 1, "loss": 0.5}]
        again = run.artifact("train")
        assert again is not None
        assert again.values == {"loss": 0.5}
        assert again.tensors == {}
    assert sorted(path.name for path in (tmp_path / "stages/train").iterdir()) == ["log.jsonl", "result.json"]
    result = json.loads((tmp_path / "stages/train/result.json").read_text())
    made = json.loads((tmp_path / "environment.json").read_text())
    assert result == {
        "fingerprint": fingerprint("train", {"epochs": 1}),
        "inputs": {"epochs": 1},
        "until": None,
        "environment": {key: made[key] for key in ("commit", "processor", "tailornas", "threads")},
        "values": {"loss": 0.5},
        "tensors": [],
        "notes": [],
    }


def test_changed_inputs_replace_the_stage_and_keep_the_others(tmp_path: Path) -> None:
    out = StringIO()
    with open_run(tmp_path) as run:
        run.stage("pretrain", {"epochs": 1}, gives({"n": 1}))
        run.stage("train", {"epochs": 1}, gives({"n": 1}, weight=torch.ones(1)))
    with open_run(tmp_path, out=out) as run:
        run.stage("pretrain", {"epochs": 1}, never)
        changed = run.stage("train", {"epochs": 2}, gives({"n": 2}))
    assert changed.values == {"n": 2}
    assert not (tmp_path / "stages/train/result.safetensors").exists()
    assert "train: its inputs changed (epochs 1 -> 2), its earlier result is replaced\n" in out.getvalue()


def left_in(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def keeping(path: Path, config: str = "seed = 0\n") -> RunFolder:
    return RunFolder.open(path, config, PlainConsole({}, StringIO()), overwrite=False)


def test_where_nothing_may_be_replaced_other_inputs_are_refused_and_everything_stays(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        run.stage("pretrain", {"epochs": 1}, gives({"n": 1}))
        run.stage("train", {"epochs": 1}, gives({"n": 1}, weight=torch.ones(1)))
    before = left_in(tmp_path)
    message = (
        rf"^{tmp_path} holds another run: train: its inputs changed \(epochs 1 -> 2\): give --out DIR to keep it, or "
        rf"--out {tmp_path} "
    )
    with pytest.raises(RunFolderError, match=message), keeping(tmp_path) as run:
        run.stage("pretrain", {"epochs": 1}, never)
        run.stage("train", {"epochs": 2}, never)
    assert left_in(tmp_path) == before
    with keeping(tmp_path) as run:
        run.stage("train", {"epochs": 1}, never)
        run.stage("evaluate", {}, gives({"n": 3}))


def test_where_nothing_may_be_replaced_another_configuration_is_refused_before_any_work(tmp_path: Path) -> None:
    with keeping(tmp_path) as run:
        run.stage("train", {"epochs": 1}, gives({"n": 1}))
    before = left_in(tmp_path)
    # A stage that the other configuration has, and this one had not, would not be met by what is there.
    with pytest.raises(RunFolderError, match=r"its configuration changed \(seed 0 -> 1, head none -> \"crt\"\): give"):
        keeping(tmp_path, "seed = 1\nhead = 'crt'\n")
    assert left_in(tmp_path) == before
    with keeping(tmp_path, "seed=0"):  # the same, written otherwise
        pass
    (tmp_path / "stages/train/result.json").unlink()
    with keeping(tmp_path, "seed = 1\n"):
        pass


def test_a_result_that_a_time_limit_cut_short_holds_no_longer_than_that(tmp_path: Path) -> None:
    def cut(stage: Stage) -> Artifact:
        return Artifact({"late": stage.overdue(10.0)})

    with open_run(tmp_path) as run:
        assert run.stage("train", {}, cut, until=5.0).values == {"late": True}
    for until in (5.0, 4.0):
        with open_run(tmp_path) as run:
            assert run.stage("train", {}, never, until=until).values == {"late": True}
    with pytest.raises(RunFolderError, match="train: a time limit cut it short: give"), keeping(tmp_path) as run:
        run.stage("train", {}, never)
    out = StringIO()
    with open_run(tmp_path, out=out) as run:
        assert run.stage("train", {}, cut, until=1e9).values == {"late": False}
    assert "train: a time limit cut it short, its earlier result is replaced\n" in out.getvalue()
    with open_run(tmp_path) as run:
        run.stage("train", {}, never)


def test_time_of_replaced_work_is_not_charged(tmp_path: Path) -> None:
    def worked(stages: Mapping[str, float], elapsed: float) -> None:
        record = json.loads((tmp_path / "run.json").read_text())
        (tmp_path / "run.json").write_text(json.dumps({**record, "elapsed": elapsed, "stages": stages}))

    with open_run(tmp_path) as run:
        for name in ("search", "train", "baseline", "evaluate"):
            run.stage(name, {"loss": "ldam"}, gives({}))
    worked({"search": 600, "train": 500, "baseline": 400, "evaluate": 30}, 1600)
    with open_run(tmp_path) as run:
        run.stage("search", {"loss": "ldam"}, never)
        assert run.elapsed >= 1600
        run.stage("train", {"loss": "ce"}, gives({}))
        assert 600 <= run.elapsed < 700
        # Of another stage the result holds: its time counts as soon as that is known.
        run.stage("baseline", {"loss": "ldam"}, never)
        assert 1000 <= run.elapsed < 1100
        assert run.seconds["baseline"] == 400
    assert 1000 <= json.loads((tmp_path / "run.json").read_text())["elapsed"] < 1100


def test_time_of_a_replaced_checkpoint_is_not_charged(tmp_path: Path) -> None:
    def interrupted(stage: Stage) -> Artifact:
        stage.save({"epoch": 3})
        raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        RunFolder.open(tmp_path, "", PlainConsole({}, StringIO()), started=time.monotonic() - 500) as run,
    ):
        run.stage("train", {"epochs": 9}, interrupted)
    with open_run(tmp_path) as run:
        assert run.elapsed >= 500
        run.stage("train", {"epochs": 8}, lambda stage: Artifact({"seconds": run.elapsed}))
        assert run.elapsed < 100


def test_the_user_is_told_where_stages_were_computed_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_run(tmp_path) as run:
        run.stage("search", {}, gives({}))
        run.stage("train", {}, gives({}))
        assert run.notes == []
    monkeypatch.setattr("tailornas.runs.folder.environment", lambda: {"commit": "b" * 40 + "-dirty", "processor": "P"})
    with open_run(tmp_path) as run:
        run.stage("train", {}, never)
        run.stage("evaluate", {}, gives({}))
        assert len(run.notes) == 1
        assert re.match(
            rf"From 'evaluate' on, stages were computed with others: commit .* -> \"{'b' * 40}-dirty\", processor .*",
            run.notes[0],
        )
        told = run.notes
    with open_run(tmp_path) as run:
        run.stage("train", {}, never)
        run.stage("evaluate", {}, never)
        assert run.notes == told


def made_by(monkeypatch: pytest.MonkeyPatch, commit: str | None) -> None:
    """The code is of this commit from now on."""
    monkeypatch.setattr("tailornas.runs.folder.environment", lambda: {"commit": commit, "processor": "P"})
    monkeypatch.setattr("tailornas.runs.provenance.commit", lambda file: commit)


def test_the_user_is_told_that_results_of_other_code_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(commit: str | None) -> str:
        made_by(monkeypatch, commit)
        out = StringIO()
        with open_run(tmp_path, out=out) as run:
            run.stage("pretrain", {}, gives({}))
            run.stage("train", {}, gives({}))
            assert run.notes == []
        return "\n".join(line for line in out.getvalue().splitlines() if "commit" in line)

    first, second = "a" * 40, "b" * 40
    assert start(first) == start(first) == ""
    sentence = (
        "'pretrain' is kept from commit aaaaaaaaaa; this is commit bbbbbbbbbb: what changed in the code is not "
        "computed again, for that give another --out."
    )
    assert start(second) == sentence
    assert start(f"{first}-dirty") == sentence.replace("bbbbbbbbbb", "aaaaaaaaaa with uncommitted changes")
    assert start(None) == ""  # an installed package has no commit


def test_results_of_uncommitted_code_are_never_sure_to_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_by(monkeypatch, "a-dirty")
    for told in (False, True):
        out = StringIO()
        with open_run(tmp_path, out=out) as run:
            run.stage("train", {}, gives({}))
        uncommitted = "commit a with uncommitted changes"
        assert (f"'train' is kept from {uncommitted}; this is {uncommitted}: " in out.getvalue()) == told


def test_a_checkpoint_of_other_code_is_told_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(stage: Stage) -> Artifact:
        assert stage.restore() is not None
        stage.save({"epoch": 2})
        raise KeyboardInterrupt

    def begin(stage: Stage) -> Artifact:
        stage.save({"epoch": 1})
        raise KeyboardInterrupt

    for commit, compute in (("a-dirty", begin), ("a-dirty", half), ("b", half)):
        made_by(monkeypatch, commit)
        out = StringIO()
        with pytest.raises(KeyboardInterrupt), open_run(tmp_path, out=out) as run:
            run.stage("train", {}, compute)
        assert ("goes on from a checkpoint of commit a with" in out.getvalue()) == (compute is half)
        assert len(run.notes) == (commit == "b")
    made_by(monkeypatch, "b")
    with open_run(tmp_path) as run:
        run.stage("train", {}, gives({}))
    with open_run(tmp_path) as later:
        later.stage("train", {}, never)
    assert later.notes == run.notes
    assert len(run.notes) == 1
    sentence = "'train' goes on from a checkpoint of commit a with uncommitted changes; this is commit b: what changed"
    assert run.notes[0].startswith(sentence)


def test_a_result_of_an_early_version_is_read(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        run.stage("train", {}, gives({"n": 1}))
    path = tmp_path / "stages/train/result.json"
    result = json.loads(path.read_text())
    early = {key: result[key] for key in ("fingerprint", "values", "tensors", "notes")}
    path.write_text(json.dumps(early))
    with open_run(tmp_path) as run:
        assert run.stage("train", {}, never).values == {"n": 1}
    path.write_text(json.dumps({**early, "fingerprint": "of other results"}))
    with open_run(tmp_path) as run:
        assert run.stage("train", {}, gives({"n": 2})).values == {"n": 2}


def test_a_damaged_record_can_be_deleted_and_the_results_stay(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        run.stage("train", {}, gives({"n": 1}))
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(
        RunFolderError, match=r"JSONDecodeError\): delete it: only how long the run has been at work is"
    ):
        open_run(tmp_path)
    (tmp_path / "run.json").unlink()
    with open_run(tmp_path) as run:
        assert run.stage("train", {}, never).values == {"n": 1}
        run.stage("evaluate", {}, gives({}))
        assert list(run.seconds) == ["evaluate"]  # how long the other took is lost


def test_the_environment_is_that_of_the_start_that_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for processor in ("a server's", "a laptop's"):
        monkeypatch.setattr("tailornas.runs.folder.environment", lambda name=processor: {"processor": name})
        with open_run(tmp_path) as run:
            run.stage("train", {}, gives({}))
            assert run.environment == {"processor": "a server's"}
    (tmp_path / "environment.json").write_text("{")
    with open_run(tmp_path) as run, pytest.raises(RunFolderError, match=r"environment\.json .*: delete it: only what"):
        _ = run.environment
    (tmp_path / "environment.json").unlink()
    with open_run(tmp_path) as run:
        assert run.environment == {}


def test_where_nothing_may_be_replaced_a_checkpoint_stays_as_well(tmp_path: Path) -> None:
    def interrupted(stage: Stage) -> Artifact:
        stage.save({"epoch": 3})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), open_run(tmp_path) as run:
        run.stage("train", {"epochs": 9}, interrupted)
    with (
        pytest.raises(RunFolderError, match=r"holds another run: train: its inputs changed \(epochs 9 -> 8\)"),
        keeping(tmp_path) as run,
    ):
        run.stage("train", {"epochs": 8}, never)
    with keeping(tmp_path) as run:
        artifact = run.stage("train", {"epochs": 9}, lambda stage: Artifact(stage.restore() or {}))
    assert artifact.values == {"epoch": 3}


def test_a_run_folder_keeps_to_its_job(tmp_path: Path) -> None:
    with RunFolder.open(tmp_path, "", PlainConsole({}, StringIO()), job="search") as run:
        run.stage("search", {}, gives({"n": 1}))
    before = left_in(tmp_path)
    with pytest.raises(RunFolderError, match="is the folder of a search"):
        RunFolder.open(tmp_path, "seed = 1", PlainConsole({}, StringIO()), job="training")
    assert left_in(tmp_path) == before


def test_a_replaced_result_is_never_half_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_run(tmp_path) as run:
        run.stage("train", {"epochs": 1}, gives({"n": 1}, weight=torch.ones(1)))

    def interrupted(folder: Path) -> None:
        (folder / "result.safetensors").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), open_run(tmp_path) as run:
        patch.setattr(shutil, "rmtree", interrupted)
        run.stage("train", {"epochs": 2}, never)
    with open_run(tmp_path) as run:
        assert run.stage("train", {"epochs": 1}, gives({"n": 1})).values == {"n": 1}


def test_an_interrupted_stage_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    def train(stage: Stage, interrupted_after: int) -> Artifact:
        epoch = (stage.restore() or {"epoch": 0})["epoch"]
        while epoch < 5:
            if epoch == interrupted_after:
                raise KeyboardInterrupt
            epoch += 1
            stage.log(epoch=epoch)
            stage.save({"epoch": epoch})
        return Artifact({"epoch": epoch})

    out = StringIO()
    with pytest.raises(KeyboardInterrupt), open_run(tmp_path) as run:
        run.stage("train", {}, lambda stage: train(stage, 3))
    with open_run(tmp_path, out=out) as run:
        run.stage("train", {}, lambda stage: train(stage, 0))
        assert [line["epoch"] for line in run.logs("train")] == [1, 2, 3, 4, 5]
    assert "train  resumed" in out.getvalue()


def test_a_stage_that_fails_leaves_no_result_and_frees_the_folder(tmp_path: Path) -> None:
    def fails(stage: Stage) -> Artifact:
        raise ValueError("diverged")

    out = StringIO()
    with pytest.raises(ValueError, match="diverged"), open_run(tmp_path, out=out) as run:
        run.stage("train", {}, fails)
    assert out.getvalue().endswith("train  stopped\n")
    with open_run(tmp_path) as run:
        assert run.artifact("train") is None
        assert run.seconds == {}


def test_an_interruption_while_a_stage_is_announced_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(console: PlainConsole, name: str, resumed: bool) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PlainConsole, "stage_started", interrupted)
    out = StringIO()
    with pytest.raises(KeyboardInterrupt), open_run(tmp_path, out=out) as run:
        run.stage("train", {}, never)
    assert out.getvalue() == "train  stopped\n"


def test_a_stage_may_be_overdue(tmp_path: Path) -> None:
    asked: list[bool] = []

    def ask(stage: Stage) -> Artifact:
        asked.append(stage.overdue(1.0))
        return Artifact({})

    with open_run(tmp_path) as run:
        run.stage("a", {}, ask)
        run.stage("b", {}, ask, until=1e9)
        run.stage("c", {}, ask, until=0.5)
    assert asked == [False, False, True]


def test_seconds_are_those_of_the_stages_of_this_start(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        run.stage("pretrain", {}, gives({}))
        run.stage("train", {}, gives({}))
    record = json.loads((tmp_path / "run.json").read_text())
    assert list(record["stages"]) == ["pretrain", "train"]
    with open_run(tmp_path) as run:
        run.stage("train", {}, never)
        assert run.seconds == {"train": record["stages"]["train"]}


def test_the_notes_of_a_stage_come_back_with_its_result(tmp_path: Path) -> None:
    out = StringIO()

    def tells(stage: Stage) -> Artifact:
        run.note("two images could not be read")
        return Artifact({})

    for compute in (tells, never):
        with open_run(tmp_path, out=out) as run:
            run.note("a plan")
            run.stage("data", {}, compute)
            assert run.notes == ["a plan", "two images could not be read"]
    assert out.getvalue().count("two images could not be read\n") == 1


def test_a_text_is_written_into_the_folder(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        assert run.write("report.html", "<p>ü") == tmp_path / "report.html"
    assert (tmp_path / "report.html").read_bytes() == "<p>ü".encode()


@pytest.mark.parametrize("name", ["", "../x", "a/b", "Train", "a.tmp", "-a", "a\n"])
def test_a_stage_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with open_run(tmp_path) as run, pytest.raises(RunFolderError, match=r"^stage name .*: expected lower-case"):
        run.stage(name, {}, never)


def test_leftovers_of_a_kill_are_swept(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        run.stage("train", {}, gives({}))
    (tmp_path / "stages/old.tmp").mkdir()
    (tmp_path / "stages/old.tmp/result.json").touch()
    (tmp_path / "stages/train/checkpoint.pt.tmp").touch()
    (tmp_path / "stages/train/checkpoint.pt").touch()
    with open_run(tmp_path) as run:
        run.stage("train", {}, never)
    assert sorted(path.name for path in (tmp_path / "stages").rglob("*")) == ["result.json", "train"]


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    with open_run(tmp_path, "first = 1\n") as run:
        run.stage("train", {}, gives({}))
        with pytest.raises(RunFolderError, match=f"is in use by process {os.getpid()}"):
            open_run(tmp_path, "second = 1\n")
        assert (tmp_path / "config.toml").read_text() == "first = 1\n"


def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.tmp").touch()
    with pytest.raises(RunFolderError, match="is not a run folder"):
        open_run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["photo.tmp"]


def test_a_run_of_another_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"project": "tailornas", "format": 99}')
    with pytest.raises(RunFolderError, match=r"run.json says 99; choose another --out"):
        open_run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_folder_that_cannot_be_made_is_an_error_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match=r"^cannot write .*/file/run: Not a directory; check the disk and --out"):
        open_run(tmp_path / "file/run")


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder in which nobody can write")
def test_a_read_only_place_is_an_error_of_the_disk() -> None:
    with pytest.raises(DiskError, match=r"^cannot write /sys/kernel/run: .*; make the folder writable or choose"):
        open_run(Path("/sys/kernel/run"))


def test_an_opening_that_fails_frees_the_folder(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    for _ in range(2):
        with pytest.raises(RunFolderError, match="IsADirectoryError"):
            open_run(tmp_path)
    (tmp_path / "run.json").rmdir()
    with open_run(tmp_path):
        pass


@pytest.mark.parametrize("damage", ["result.json", "result.safetensors"])
@pytest.mark.parametrize("content", [b"{", None])
def test_a_damaged_result_names_the_mend(tmp_path: Path, damage: str, content: bytes | None) -> None:
    with open_run(tmp_path) as run:
        run.stage("train", {}, gives({}, weight=torch.ones(2)))
    path = tmp_path / "stages/train" / damage
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with open_run(tmp_path) as run:
        if content is None and damage == "result.json":
            assert run.stage("train", {}, gives({"n": 1})).values == {"n": 1}
            return
        with pytest.raises(RunFolderError, match=rf"^cannot read {path} .*: delete {path.parent} to compute anew"):
            run.stage("train", {}, never)


def test_tensors_of_another_result_are_refused(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        run.stage("train", {}, gives({}, weight=torch.ones(2)))
        run.stage("other", {}, gives({}, bias=torch.ones(2)))
        (tmp_path / "stages/other/result.safetensors").replace(tmp_path / "stages/train/result.safetensors")
        with pytest.raises(RunFolderError, match=r"result.safetensors is of another result: delete .*/train to"):
            run.stage("train", {}, never)


def test_a_full_disk_at_the_end_does_not_hide_what_ended_the_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="first"), open_run(tmp_path):
        (tmp_path / "run.json.tmp").symlink_to("/dev/full")
        raise ValueError("first")
    with pytest.raises(DiskError, match=r"run.json: No space left"), open_run(tmp_path):
        (tmp_path / "run.json.tmp").symlink_to("/dev/full")
    with open_run(tmp_path):
        pass


def refuse(stage: Stage) -> Artifact:
    raise ConfigError("the time limit is too short")


def test_a_run_refused_before_any_work_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError), open_run(tmp_path / "runs/today/run") as run:
        run.stage("plan", {}, refuse)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError), open_run(tmp_path / "runs/today/run") as run:
        (tmp_path / "runs/another").mkdir()
        run.stage("plan", {}, refuse)
    assert list(tmp_path.rglob("*")) == [tmp_path / "runs", tmp_path / "runs/another"]


def test_a_refused_run_leaves_the_folder_that_it_was_given(tmp_path: Path) -> None:
    with pytest.raises(ConfigError), open_run(tmp_path) as run:
        run.stage("plan", {}, refuse)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_run_keeps_work_and_what_others_put_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError), open_run(tmp_path / "work") as run:
        run.stage("data", {}, gives({"n": 1}))
        run.stage("plan", {}, refuse)
    with open_run(tmp_path / "work") as run:
        assert run.stage("data", {}, never).values == {"n": 1}
    (tmp_path / "others").mkdir()
    with pytest.raises(ConfigError), open_run(tmp_path / "others") as run:
        (run.path / "photos").mkdir()
        (run.path / "photos/cat.png").touch()
        run.stage("plan", {}, refuse)
    assert (tmp_path / "others/photos/cat.png").exists()
    with open_run(tmp_path / "others"):
        pass


def test_sigterm_ends_a_run_in_order(tmp_path: Path) -> None:
    def terminated(stage: Stage) -> Artifact:
        stage.save({"epoch": 1})
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("went on")

    with pytest.raises(KeyboardInterrupt), open_run(tmp_path) as run:
        run.stage("train", {}, terminated)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert json.loads((tmp_path / "run.json").read_text())["elapsed"] > 0
    with open_run(tmp_path) as run:
        run.stage("train", {}, lambda stage: Artifact({"restored": stage.restore()}))
