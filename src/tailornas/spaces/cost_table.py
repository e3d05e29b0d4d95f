"""The cost of every architecture of a space from one forward pass of its supernet."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, final

from torch import nn

from tailornas.spaces.choice import Conditions, walk
from tailornas.spaces.cost import Cost, count_modules

__all__ = ["CostTable"]


@final
@dataclass(frozen=True)
class CostTable:
    """Costs of the parts of a supernet; an architecture costs the sum of the parts whose conditions it meets.

    Args:
        parts: the cost of all modules that share their conditions, by these conditions.
    """

    parts: Mapping[Conditions, Cost]

    @classmethod
    def of(cls, supernet: nn.Module, image_size: int) -> Self:
        """Counts a supernet whose choices all run as mixtures, so that every option runs."""
        macs = count_modules(supernet, image_size)
        parts: dict[Conditions, Cost] = {}
        seen: set[int] = set()
        for name, module, conditions in walk(supernet):
            own = [p for p in module.parameters(recurse=False) if id(p) not in seen]
            seen.update(map(id, own))
            cost = Cost(sum(p.numel() for p in own), macs.pop(name, 0))
            parts[conditions] = parts.get(conditions, Cost(0, 0)) + cost
        return cls({conditions: cost for conditions, cost in parts.items() if cost != Cost(0, 0)})

    def cost(self, choices: Mapping[str, str]) -> Cost:
        """The cost of the architecture with these options, by decision."""
        params = macs = 0
        for conditions, part in self.parts.items():
            if all(choices[key] == option for key, option in conditions):
                params += part.params
                macs += part.macs
        return Cost(params, macs)
