"""What a run was computed on and with: the machine, the versions, the commit."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch

from tailornas.version import __version__

__all__ = ["environment"]

CAPABILITIES = ("avx2", "avx512_f", "avx512_bf16", "amx_bf16", "neon", "bf16", "sve")
"""Instruction sets that decide how fast a CPU trains."""


def environment() -> dict[str, Any]:
    """JSON values that say what a result depends on beside its inputs."""
    capabilities = torch.cpu.get_capabilities()
    return {
        "tailornas": __version__,
        "commit": commit(Path(__file__)),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "timm": version("timm"),
        "pillow": version("pillow"),
        "optuna": version("optuna"),
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "capabilities": [name for name in CAPABILITIES if capabilities.get(name)],
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }


def processor() -> str:
    """The processor's name as its maker gives it, where the system knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), "") or platform.processor() or platform.machine()


def commit(file: Path) -> str | None:
    """The git commit that ``file`` is checked out at, with ``-dirty`` if the checkout differs from it.

    None without git, and where the commit does not have the file: a package that is installed into an
    environment inside somebody else's checkout.
    """
    if _git(file.parent, "rev-parse", f"HEAD:./{file.name}") is None:
        return None
    return _git(file.parent, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
