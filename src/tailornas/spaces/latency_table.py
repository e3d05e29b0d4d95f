"""Latency of a network as the sum of its operations' latencies, each measured once and kept on disk."""

import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from tailornas.errors import ConfigError, DiskError
from tailornas.spaces.cost import evaluating, image_for, latency

__all__ = ["LatencyTable", "compare"]

FOLDER = Path("~/.cache/tailornas/latency")
WARMUP, REPEATS = 3, 15


@final
class LatencyTable:
    """Milliseconds of operations on one machine, device and number of threads.

    An entry is an operation of PyTorch with the shapes, memory formats and types of its arguments, so that one table
    serves all spaces and image sizes. An operation that is missing is measured when a network first runs it. What a
    sum leaves out is what operations do to each other: caches that are cold, and Python between them.

    Args:
        path: the JSON file that keeps it; read now if it is there.
        device: where operations run.

    Raises:
        ConfigError: the file is not such a table, or is one of another machine, device, version or number of threads.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        self.path, self.device, self.machine = path, device, _machine(device)
        self.times: dict[str, float] = {}
        if path.exists():
            self.times = self._read()

    @classmethod
    def cached(cls, device: torch.device, folder: Path = FOLDER) -> Self:
        """The table of this machine, device, version and number of threads."""
        name = "-".join(_machine(device).values())
        safe = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in name)
        return cls(folder.expanduser() / f"{safe}.json", device)

    def predict(self, network: nn.Module, image_size: int) -> float:
        """Milliseconds of a forward pass of one image: runs it once, and measures and keeps what is missing.

        Args:
            network: takes float32 ``(1, 3, image_size, image_size)``; is on the device.
            image_size: height and width in pixels.

        Raises:
            DiskError: the table cannot be written.
        """
        known = len(self.times)
        total = _Summing(self.times, self.device)
        with evaluating(network), torch.no_grad(), total:
            network(image_for(network, image_size))
        if len(self.times) > known:
            self._write()
        return total.milliseconds

    def _read(self) -> dict[str, float]:
        try:
            values = json.loads(self.path.read_text(encoding="utf-8"))
            machine, times = values["machine"], values["milliseconds"]
            times = {str(key): float(value) for key, value in times.items()}
            origin = ", ".join(map(str, machine.values()))
        except OSError as error:
            raise ConfigError(f"cannot read the latency table {self.path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{self.path} is not a latency table: remove it, and it is built anew") from error
        if machine != self.machine:
            raise ConfigError(
                f"{self.path} was measured on {origin}: expected one of "
                f"{', '.join(self.machine.values())}; name another file"
            )
        return times

    def _write(self) -> None:
        """Writes the file at once, with what another process has added meanwhile."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                self.times.update(self._read() | self.times)
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=self.path.parent, suffix=".tmp", delete=False
            ) as file:
                json.dump({"machine": self.machine, "milliseconds": self.times}, file, indent=0, sort_keys=True)
            try:
                Path(file.name).replace(self.path)
            except BaseException:
                Path(file.name).unlink()
                raise
        except OSError as error:
            raise DiskError(f"cannot write the latency table {self.path}: {error.strerror}") from error


def compare(
    networks: Sequence[nn.Module], table: LatencyTable, image_size: int, *, rounds: int = 10
) -> tuple[list[float], list[float]]:
    """The table's and the measured median milliseconds of each network.

    Args:
        networks: what to measure, in turn, so that a machine that is busy for a while is so for all of them.
        table: what to compare with.
        image_size: height and width in pixels.
        rounds: how often each has its turn, of three timed passes each.
    """
    predicted = [table.predict(network, image_size) for network in networks]
    times = [[latency(network, image_size, repeats=3, warmup=1).median for network in networks] for _ in range(rounds)]
    return predicted, [statistics.median(turns) for turns in zip(*times, strict=True)]


@final
class _Summing(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Runs every operation and adds up the table's times, which grows by what it lacks."""

    def __init__(self, times: dict[str, float], device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.times, self.device, self.milliseconds = times, device, 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        key = _signature(func, args, kwargs)
        if key not in self.times:
            # Copies, because operations that work in place would change what the network still needs.
            copied, named = tree_map_only(Tensor, torch.clone, (args, dict(kwargs)))
            self.times[key] = _measure(lambda: func(*copied, **named), self.device)
        self.milliseconds += self.times[key]
        return func(*args, **kwargs)


def _signature(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    named = [f"{key}={_described(value)}" for key, value in sorted(kwargs.items())]
    return f"{func}({', '.join([*map(_described, args), *named])})"


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        kind = str(value.dtype).removeprefix("torch.")
        last = value.ndim == 4 and not value.is_contiguous() and value.is_contiguous(memory_format=torch.channels_last)
        form = "" if value.is_contiguous() else " channels_last" if last else f" strides {tuple(value.stride())}"
        return f"{kind}{list(value.shape)}{form}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_described, value))}]"
    return str(value)


def _measure(call: Callable[[], object], device: torch.device) -> float:
    times = []
    with torch.inference_mode():
        for _ in range(WARMUP + REPEATS):
            start = time.perf_counter()
            call()
            if device.type != "cpu":
                torch.accelerator.synchronize(device)
            times.append(1e3 * (time.perf_counter() - start))
    return round(statistics.median(times[WARMUP:]), 6)


def _machine(device: torch.device) -> dict[str, str]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} {platform.machine()}"
    return {
        "machine": platform.node() or "unnamed",
        "device": name,
        "threads": f"{torch.get_num_threads()} threads",
        "torch": f"torch {torch.__version__}",
    }
