import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tailornas.errors import ConfigError, DiskError
from tailornas.spaces import LatencyTable, compare, nasbench201
from tailornas.spaces import latency_table as module

CPU = torch.device("cpu")


def network() -> nn.Module:
    parts = [nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3, padding=1)]
    return nn.Sequential(*parts, nn.Conv2d(4, 4, 3, padding=1))


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every measured operation takes one millisecond, and is noted."""
    measured: list[float] = []

    def measure(call: object, device: torch.device) -> float:
        assert callable(call)
        call()
        measured.append(1.0)
        return 1.0

    monkeypatch.setattr(module, "_measure", measure)
    return measured


def test_a_network_is_the_sum_of_its_operations(tmp_path: Path, ticking: list[float]) -> None:
    table = LatencyTable(tmp_path / "table.json", CPU)
    total = table.predict(network(), 8)
    convolutions = {key: value for key, value in table.times.items() if "convolution" in key}
    assert len(convolutions) == 2  # the last two are the same
    assert total == len(ticking) + 1
    assert "float32[1, 3, 8, 8], float32[4, 3, 3, 3]" in next(iter(convolutions))


def test_what_is_known_is_not_measured_again(tmp_path: Path, ticking: list[float]) -> None:
    first = LatencyTable(tmp_path / "table.json", CPU).predict(network(), 8)
    known = len(ticking)
    again = LatencyTable(tmp_path / "table.json", CPU)
    assert again.predict(network(), 8) == first
    assert len(ticking) == known
    again.predict(network(), 9)
    assert len(ticking) > known
    assert not list(tmp_path.glob("*.tmp"))


def test_memory_formats_are_different_operations(tmp_path: Path, ticking: list[float]) -> None:
    table = LatencyTable(tmp_path / "table.json", CPU)
    table.predict(network(), 8)
    known = len(ticking)
    table.predict(network().to(memory_format=torch.channels_last), 8)
    assert any("channels_last" in key for key in table.times)
    assert len(ticking) > known


def test_a_prediction_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    space = nasbench201(generator=torch.Generator().manual_seed(0), channels=2, cells_per_stage=1)
    derived = space.derive(space.sample(torch.Generator().manual_seed(0)))
    before = {name: value.clone() for name, value in derived.state_dict().items()}
    assert LatencyTable(tmp_path / "table.json", CPU).predict(derived, 8) > 0
    assert all(torch.equal(value, before[name]) for name, value in derived.state_dict().items())
    assert derived.training


def test_another_process_adds_to_the_table_meanwhile(tmp_path: Path, ticking: list[float]) -> None:
    one, other = (LatencyTable(tmp_path / "table.json", CPU) for _ in range(2))
    one.predict(network(), 8)
    other.predict(network(), 9)
    assert LatencyTable(tmp_path / "table.json", CPU).times == one.times | other.times


def test_tables_of_different_threads_are_different_files(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = LatencyTable.cached(CPU, tmp_path)
        torch.set_num_threads(2)
        assert LatencyTable.cached(CPU, tmp_path).path != one.path
    finally:
        torch.set_num_threads(threads)


def test_a_table_of_another_machine_is_refused(tmp_path: Path, ticking: list[float]) -> None:
    path = tmp_path / "table.json"
    LatencyTable(path, CPU).predict(network(), 8)
    values = json.loads(path.read_text())
    values["machine"]["machine"] = "elsewhere"
    path.write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=r"table\.json was measured on .*elsewhere, .*: expected one of "):
        LatencyTable(path, CPU)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"machine": {}, "milliseconds": {"a": "b"}}', '{"machine": "x", "milliseconds": {}}', "\x00"],
)
def test_something_else_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "table.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"table\.json is not a latency table: remove it, and it is built anew"):
        LatencyTable(path, CPU)


def test_a_table_that_cannot_be_written(tmp_path: Path, ticking: list[float]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match=r"cannot write the latency table .*file/table\.json: "):
        LatencyTable(tmp_path / "file" / "table.json", CPU).predict(network(), 8)


def test_compare_gives_a_pair_for_every_network(tmp_path: Path) -> None:
    predicted, measured = compare([network(), network()], LatencyTable(tmp_path / "t.json", CPU), 8, rounds=1)
    assert len(predicted) == len(measured) == 2
    assert predicted[0] == predicted[1]
    assert min(predicted + measured) > 0
