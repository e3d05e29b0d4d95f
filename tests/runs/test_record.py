import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tailornas import __version__
from tailornas.errors import RunFolderError
from tailornas.runs.record import RunRecord, check_folder, recorded_job


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr("tailornas.runs.record.time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def written(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "run.json").read_text()))


def test_a_new_record_says_what_the_folder_is(tmp_path: Path, clock: SimpleNamespace) -> None:
    RunRecord.open(tmp_path, clock.seconds)
    fields = written(tmp_path)
    assert str(fields.pop("created")).endswith("+00:00")
    assert fields == {
        "project": "tailornas",
        "format": 1,
        "version": __version__,
        "job": None,
        "elapsed": 0.0,
        "stages": {},
    }


def test_the_folder_of_one_job_is_refused_to_the_other(tmp_path: Path) -> None:
    assert recorded_job(tmp_path / "missing") is None
    RunRecord.open(tmp_path, 0.0)
    for job in ("training", "search", None):  # a folder that does not say is of any kind
        check_folder(tmp_path, job)
    RunRecord.open(tmp_path, 0.0, "search").write()
    assert recorded_job(tmp_path) == "search"
    check_folder(tmp_path, "search")
    check_folder(tmp_path)
    with pytest.raises(RunFolderError, match=r"is the folder of a search \(`tailornas run`\): choose another --out$"):
        check_folder(tmp_path, "training")


def test_elapsed_is_summed_over_starts(tmp_path: Path, clock: SimpleNamespace) -> None:
    first = RunRecord.open(tmp_path, clock.seconds)
    clock.seconds += 5
    assert first.elapsed == 5
    first.stages["pretrain"] = 4.5
    first.write()
    clock.seconds += 1000
    second = RunRecord.open(tmp_path, clock.seconds)
    assert second.elapsed == 5
    assert second.stages == {"pretrain": 4.5}
    clock.seconds += 2.5
    assert second.elapsed == 7.5
    second.write()
    assert written(tmp_path)["elapsed"] == 7.5


def test_work_that_gives_way_does_not_count(tmp_path: Path, clock: SimpleNamespace) -> None:
    first = RunRecord.open(tmp_path, clock.seconds)
    clock.seconds += 50
    first.stages |= {"search": 20.0, "train": 25.0}
    first.write()
    second = RunRecord.open(tmp_path, clock.seconds)
    clock.seconds += 2
    second.keep("search", 20.0)
    assert second.elapsed == 52
    second.replace("train")
    assert second.elapsed == 22
    second.keep("search", 3.0)  # met again: all its time is known already
    second.keep("evaluate", 4.0)
    clock.seconds += 1
    assert second.elapsed == 27
    second.write()
    assert written(tmp_path)["elapsed"] == 27
    assert written(tmp_path)["stages"] == {"search": 20.0}


def test_frequent_writes_can_be_spared(tmp_path: Path, clock: SimpleNamespace) -> None:
    run = RunRecord.open(tmp_path, clock.seconds)
    clock.seconds += 0.75
    run.write(at_most_every=1.0)
    assert written(tmp_path)["elapsed"] == 0
    clock.seconds += 0.5
    run.write(at_most_every=1.0)
    assert written(tmp_path)["elapsed"] == 1.25
    clock.seconds += 0.5
    run.write()
    assert written(tmp_path)["elapsed"] == 1.75


@pytest.mark.parametrize("unfinished", [[], [".lock"], [".lock", "run.json.tmp"]])
def test_missing_empty_and_unfinished_folders_are_accepted(tmp_path: Path, unfinished: list[str]) -> None:
    for name in unfinished:
        (tmp_path / name).touch()
    check_folder(tmp_path)
    check_folder(tmp_path / "missing")


def test_a_run_without_its_record_is_accepted(tmp_path: Path) -> None:
    for name in ("config.toml", "environment.json", "report.html"):
        (tmp_path / name).touch()
    with pytest.raises(RunFolderError, match="is not a run folder"):
        check_folder(tmp_path)
    (tmp_path / "stages").mkdir()
    check_folder(tmp_path)


def test_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.touch()
    with pytest.raises(RunFolderError, match=rf"^{path} is a file: expected a run folder or a new path; choose"):
        check_folder(path)


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.png").touch()
    found = r"expected it to be empty or to have a run.json, found 'photo.png'"
    with pytest.raises(RunFolderError, match=rf"^{tmp_path} is not a run folder: {found}; choose another --out$"):
        check_folder(tmp_path)
    (tmp_path / "z").touch()
    with pytest.raises(RunFolderError, match=rf"{found} and 1 more; choose another --out$"):
        check_folder(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"project": "other", "format": 1}', "belongs to another program: .* it says 'other'; choose another --out$"),
        ("[]", "belongs to another program: .* it says None; choose another --out$"),
        (
            '{"project": "tailornas", "format": 2}',
            r"was written in another format: tailornas \S+ reads run format 1, run.json says 2; choose another --out$",
        ),
        (
            "{",
            r"cannot read .*run.json as the run wrote it \(JSONDecodeError\): delete it: .*; or choose another --out$",
        ),
    ],
)
def test_another_run_json_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunFolderError, match=message):
        check_folder(tmp_path)
    with pytest.raises(RunFolderError, match=message):
        RunRecord.open(tmp_path, 0.0)
