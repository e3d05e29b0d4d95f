from pathlib import Path
from typing import Any

import pytest
import torch

from tailornas.runs.results import changed, read_artifact, read_result, write_result
from tailornas.stages import Artifact


def test_a_result_comes_back(tmp_path: Path) -> None:
    assert read_result(tmp_path) is None
    assert read_artifact(tmp_path) is None
    write_result(tmp_path, Artifact({"n": 1}, {"weight": torch.ones(2)}), fingerprint="f", inputs={"epochs": 1})
    result = read_result(tmp_path)
    assert result == {"fingerprint": "f", "inputs": {"epochs": 1}, "values": {"n": 1}, "tensors": ["weight"]}
    artifact = read_artifact(tmp_path)
    assert artifact is not None
    assert artifact.values == {"n": 1}
    assert torch.equal(artifact.tensors["weight"], torch.ones(2))


@pytest.mark.parametrize(
    ("ended", "until", "holds"),
    [
        (None, None, True),
        (None, 5.0, True),
        (5.0, 5.0, True),
        (5.0, 4.0, True),
        (5.0, 6.0, False),
        (5.0, None, False),
    ],
)
def test_work_that_was_cut_short_holds_where_the_time_is_up_no_later(
    ended: float | None, until: float | None, holds: bool
) -> None:
    there: dict[str, Any] = {"fingerprint": "f", "inputs": {}, "until": ended}
    assert changed(there, "f", {}, until) == (None if holds else "a time limit cut it short")


def test_other_inputs_are_named() -> None:
    there = {"fingerprint": "f", "inputs": {"epochs": 1, "seed": 0}, "until": None}
    assert changed(there, "g", {"epochs": 2, "seed": 0}, None) == "its inputs changed (epochs 1 -> 2)"
    assert changed(there, "g", {"epochs": 1, "seed": 0}, None) == "this version of the program gives other results"
