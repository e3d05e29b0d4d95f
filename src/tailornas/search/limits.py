"""What a candidate costs, what it may cost, and whether any architecture can meet that."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

from pydantic import Field

from tailornas.errors import LimitError
from tailornas.seeding import generator
from tailornas.settings import SettingsModel
from tailornas.spaces import Backbone, SearchSpace
from tailornas.types import Architecture
from tailornas.units import Quantity

__all__ = ["Costs", "Limits", "reachable"]


@final
@dataclass(frozen=True)
class Costs:
    """Parameters, multiply-accumulates of one image, and milliseconds of one image where they are limited."""

    params: int
    macs: int
    latency_ms: float | None = None


@final
class Limits(SettingsModel):
    """Largest allowed costs; none: free."""

    macs: Quantity | None = Field(None, gt=0, description="multiply-accumulates of one image")
    params: Quantity | None = Field(None, gt=0, description="parameters")
    latency_ms: float | None = Field(None, gt=0, description="measured milliseconds of one image on this device")

    def violations(self, costs: Costs) -> dict[str, float]:
        """By which share each limit that is set is exceeded; zero or less where it is met."""
        pairs = {
            "macs": (costs.macs, self.macs),
            "params": (costs.params, self.params),
            "latency_ms": (costs.latency_ms, self.latency_ms),
        }
        return {
            name: cost / limit - 1 for name, (cost, limit) in pairs.items() if limit is not None and cost is not None
        }

    def met(self, costs: Costs) -> bool:
        """Whether no limit is exceeded."""
        return all(violation <= 0 for violation in self.violations(costs).values())


def reachable(
    space: SearchSpace[Backbone],
    costs: Callable[[Architecture], Costs],
    counted: Callable[[Architecture], Costs],
    limits: Limits,
    seed: int,
) -> tuple[Architecture, Costs]:
    """Finds a valid architecture that meets all limits, before anything expensive starts.

    Descends from a few random architectures, one decision at a time, towards the least violation of what is counted
    and, where latency is limited, the fewest multiply-accumulates. Latency itself is only measured where a step has
    led to: it takes a moment each time, and an architecture has dozens of neighbours.

    Returns:
        The architecture and its costs, measured once: measured again, a latency may be over the limit.

    Args:
        space: the search space.
        costs: of an architecture, the latency measured where it is limited.
        counted: the same costs without latency, of which every neighbour's are asked for.
        limits: what is allowed.
        seed: the run's seed.

    Raises:
        LimitError: none was found; says the smallest cost that was.
    """
    rng = generator(seed, "limits")

    def height(architecture: Architecture) -> tuple[float, int]:
        cost = counted(architecture)
        over = _violation(limits, replace(cost, latency_ms=None))
        return (max(over, 0.0), cost.macs) if limits.latency_ms is not None else (over, 0)

    measured: list[Costs] = []
    for _ in range(3):
        here = space.sample(rng)
        while True:
            measured.append(costs(here))
            if limits.met(measured[-1]):
                return here, measured[-1]
            lowest = min(space.neighbours(here), key=height, default=here)
            if height(lowest) >= height(here):
                break
            here = lowest
    smallest = min(measured, key=lambda cost: _violation(limits, cost))
    found = {
        "MACs": (limits.macs, smallest.macs),
        "parameters": (limits.params, smallest.params),
        "ms": (limits.latency_ms, smallest.latency_ms),
    }
    wanted = ", ".join(f"{limit:,} {unit}" for unit, (limit, _) in found.items() if limit is not None)
    least = ", ".join(
        f"{cost:,.6g} {unit}" if isinstance(cost, float) else f"{cost:,} {unit}"
        for unit, (limit, cost) in found.items()
        if limit is not None
    )
    raise LimitError(f"no architecture of the space meets the limit of {wanted}: the smallest found has {least}")


def _violation(limits: Limits, costs: Costs) -> float:
    return max(limits.violations(costs).values(), default=0.0)
