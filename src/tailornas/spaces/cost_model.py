"""What the architectures of a search space cost: by a table where costs add up, otherwise counted one by one."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any, final

import torch

from tailornas.errors import ArchitectureError
from tailornas.spaces.cost import Cost, count
from tailornas.spaces.cost_table import CostTable
from tailornas.spaces.group import Pairs
from tailornas.types import Architecture

if TYPE_CHECKING:
    from tailornas.spaces.space import SearchSpace

__all__ = ["CostModel"]

COUNTED = 2**16
"""Architectures whose counted cost is remembered."""


@final
class CostModel:
    """Exact costs of a space's architectures, remembered for the network as it was when they were asked for.

    Args:
        space: whose architectures; its network's ``head`` may be replaced at any time.
    """

    def __init__(self, space: "SearchSpace[Any]") -> None:
        self._space = space
        self._head: object = None
        self._table = lru_cache(None)(self._build_table)
        self._counted = lru_cache(COUNTED)(lambda arch, size: count(space.derive(arch), size))

    def cost(self, arch: Architecture, image_size: int, *, named: bool) -> Cost:
        """See :meth:`~tailornas.spaces.space.SearchSpace.cost`."""
        space = self._space
        head = getattr(space.network, "head", None)
        if head is not self._head:
            self._head = head
            self._table.cache_clear()
            self._counted.cache_clear()
        choices = space.architecture(arch) if named else space.simplify(arch)
        sizing = tuple((key, choices[key]) for key in space.grammar.sizing)
        table = self._table(image_size, sizing)
        if table is not None:
            return table.cost(dict(choices.choices))
        if named:
            raise ArchitectureError("the costs of this space's options do not add up: expected named=False")
        return self._counted(choices, image_size)

    def _build_table(self, image_size: int, sizing: Pairs) -> CostTable | None:
        """The table of all architectures with these options, unless costs do not add up."""
        space = self._space
        equal = {key: torch.full((len(names),), 1 / len(names)).unbind() for key, names in space.decisions.items()}
        try:
            with space.running({**equal, **dict(sizing)}):
                table = CostTable.of(space.network, image_size)
        except (RuntimeError, TypeError, ArchitectureError):  # what cannot run as a mixture has no independent costs
            return None
        if table is None:
            return None
        draws = torch.Generator().manual_seed(0)
        # Invalid ones too: in a space with few that are valid, none may be found.
        probes = [
            Architecture.of({k: n[int(torch.randint(len(n), (), generator=draws))] for k, n in space.decisions.items()})
            for _ in range(2)
        ]
        for position in range(max(map(len, space.decisions.values()))):
            probes.append(Architecture.of({k: names[position % len(names)] for k, names in space.decisions.items()}))
        probes = [space.architecture({**arch, **dict(sizing)}) for arch in probes]
        exact = all(table.cost(dict(space.simplify(arch))) == count(space.derive(arch), image_size) for arch in probes)
        return table if exact else None
