from collections.abc import Iterator

import pytest
import torch
from pydantic import ValidationError

from tailornas.errors import ConfigError
from tailornas.training import DeviceConfig, make_fabric, native_bf16


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_precision_of_what_runs_under_autocast(precision: str, dtype: torch.dtype) -> None:
    fabric = make_fabric(DeviceConfig.model_validate({"accelerator": "cpu", "precision": precision}))
    layer = torch.nn.Linear(2, 2)
    with fabric.autocast():
        assert layer(torch.zeros(1, 2)).dtype == dtype
    assert layer.weight.dtype == torch.float32


@pytest.mark.parametrize("native", [True, False])
def test_automatic_precision_is_bf16_where_it_pays(monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    for capability in ("amx_bf16", "avx512_bf16"):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda capability=capability: {capability: native})
        assert native_bf16("cpu") is native
        fabric = make_fabric(DeviceConfig(accelerator="cpu"))
        with fabric.autocast():
            wide = torch.nn.Linear(2, 2)(torch.zeros(1, 2)).dtype
        assert wide == (torch.bfloat16 if native else torch.float32)


def test_no_bf16_on_unknown_devices() -> None:
    assert native_bf16("mps") is False


def test_automatic_device_is_there() -> None:
    fabric = make_fabric(DeviceConfig())
    assert torch.zeros(2, device=fabric.device).sum().item() == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"^device.accelerator 'cuda' is not available on this machine: use 'auto'"):
        make_fabric(DeviceConfig(accelerator="cuda"))


def test_threads() -> None:
    torch.set_num_threads(2)
    make_fabric(DeviceConfig(accelerator="cpu"))
    assert torch.get_num_threads() == 2
    make_fabric(DeviceConfig(accelerator="cpu", threads=1))
    assert torch.get_num_threads() == 1


def test_small_images_have_one_thread() -> None:
    for image_size, threads in ((17, 2), (16, 1)):
        torch.set_num_threads(2)
        make_fabric(DeviceConfig(accelerator="cpu"), image_size)
        assert torch.get_num_threads() == threads


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"precision": "fp16"}, {"accelerator": "tpu"}, {"thread": 1}])
def test_impossible_settings(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        DeviceConfig.model_validate(wrong)


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")  # torchrun --nproc-per-node 1
    make_fabric(DeviceConfig(accelerator="cpu"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        ConfigError, match=r"has started 2 processes \(WORLD_SIZE\) and a job runs in one, on one dev"
    ) as e:
        make_fabric(DeviceConfig(accelerator="cpu"))
    assert "\n" not in str(e.value)
