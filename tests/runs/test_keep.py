from pathlib import Path

import pytest

from tailornas.errors import RunFolderError
from tailornas.runs.files import write_json, write_state
from tailornas.runs.keep import keep_configuration, keep_stage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "stages/train").mkdir(parents=True)
    (tmp_path / "config.toml").write_text("seed = 0\n")
    return tmp_path


def test_another_configuration_is_refused_where_anything_was_kept(folder: Path) -> None:
    keep_configuration(folder, "seed = 1\n")
    (folder / "stages/train/checkpoint.pt").touch()
    with pytest.raises(
        RunFolderError, match=rf"^{folder} holds another run: its configuration changed \(seed 0 -> 1\):"
    ):
        keep_configuration(folder, "seed = 1\n")
    keep_configuration(folder, "# the same\nseed = 0")


def test_results_and_checkpoints_of_other_inputs_are_refused(folder: Path) -> None:
    stage = folder / "stages/train"
    keep_stage(folder, "train", "g", {"epochs": 2}, None)
    there = {"fingerprint": "f", "inputs": {"epochs": 1}, "until": None}
    write_state(stage / "checkpoint.pt", there)
    for _ in range(2):
        keep_stage(folder, "train", "f", {"epochs": 1}, None)
        with pytest.raises(
            RunFolderError, match=r"train: its inputs changed \(epochs 1 -> 2\): give --out DIR to keep"
        ):
            keep_stage(folder, "train", "g", {"epochs": 2}, None)
        (stage / "checkpoint.pt").unlink(missing_ok=True)
        write_json(stage / "result.json", there)
