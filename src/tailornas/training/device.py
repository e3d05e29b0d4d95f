"""Device and precision, through Lightning Fabric."""

import os
from typing import Literal, final

import torch
from lightning_fabric import Fabric
from pydantic import Field

from tailornas.errors import ConfigError
from tailornas.settings import SettingsModel

__all__ = ["DeviceConfig", "make_fabric", "native_bf16"]

SMALL_IMAGES = 16
"""Images of up to this many pixels a side are worked on by one thread."""


@final
class DeviceConfig(SettingsModel):
    """Where and how numbers are computed."""

    accelerator: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="auto: the best there is")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 autocast where the processor multiplies bf16 natively, else fp32"
    )
    threads: int | None = Field(
        None, ge=1, description="CPU threads; none: one a core, but a single one for images of at most 16 pixels"
    )
    compile: bool = Field(False, description="train single networks through torch.compile; takes a minute to begin")


def native_bf16(accelerator: str) -> bool:
    """Whether bf16 autocast pays on this device: CPUs with AMX or AVX512-BF16, and GPUs that support it.

    On a CPU without them bf16 convolutions are emulated, and slower than fp32.
    """
    if accelerator == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if accelerator == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16") or capabilities.get("bf16"))
    return False


def make_fabric(config: DeviceConfig, image_size: int | None = None) -> Fabric:
    """One device with the configured precision; sets the number of CPU threads.

    Args:
        config: the settings.
        image_size: height and width in pixels of the images that will be worked on. The operations of small ones are so
            short that threads wait for each other more than they work, above all where other programs run.

    Raises:
        ConfigError: the accelerator is not there, or a launcher has started several processes.
    """
    if (processes := os.environ.get("WORLD_SIZE", "1")) != "1":
        # Each would train on its own and write to the same folder.
        raise ConfigError(
            f"a launcher such as torchrun has started {processes} processes (WORLD_SIZE) and a job runs in one, on one "
            "device: start it without the launcher"
        )
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    elif image_size is not None and image_size <= SMALL_IMAGES:
        torch.set_num_threads(1)
    try:
        kind = Fabric(accelerator=config.accelerator, devices=1).device.type
    except RuntimeError as error:
        raise ConfigError(
            f"device.accelerator {config.accelerator!r} is not available on this machine: use 'auto' or 'cpu'"
        ) from error
    bf16 = config.precision == "bf16" or (config.precision == "auto" and native_bf16(kind))
    return Fabric(accelerator=kind, devices=1, precision="bf16-mixed" if bf16 else "32-true")
