"""The cost of every architecture of a space from one forward pass of its supernet."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Self, final

from torch import nn

from tailornas.spaces.choice import Conditions, Deciding, met, walk
from tailornas.spaces.cost import Cost, count_layer, count_outputs

__all__ = ["CostPart", "CostTable"]


@final
@dataclass(frozen=True)
class CostPart:
    """What the layers cost that exist under the same conditions and depend on the same decisions.

    Args:
        conditions: where they exist.
        keys: the decisions.
        costs: their cost by the options of these decisions.
    """

    conditions: Conditions
    keys: tuple[str, ...]
    costs: Mapping[tuple[str, ...], Cost]


@final
@dataclass(frozen=True)
class CostTable:
    """Costs of the parts of a supernet; an architecture costs the sum of those it has."""

    parts: tuple[CostPart, ...]

    @classmethod
    def of(cls, supernet: nn.Module, image_size: int) -> Self:
        """Counts a supernet whose decisions all run as mixtures, so that every option runs."""
        outputs = count_outputs(supernet, image_size)
        sites: dict[str, tuple[nn.Module, list[Conditions]]] = {}
        for name, module, conditions in walk(supernet):
            sites.setdefault(name, (module, []))[1].append(conditions)
        parts: dict[tuple[Conditions, tuple[str, ...]], dict[tuple[str, ...], Cost]] = {}
        seen: set[int] = set()
        for name, (module, places) in sites.items():
            own = {id(parameter) for parameter in module.parameters(recurse=False)}
            if own <= seen and name not in outputs:  # no layer, or one that another name has counted
                continue
            keys, forms = _forms(module, outputs.get(name, 0))
            for conditions in places:
                costs = parts.setdefault((conditions, keys), {})
                for options, cost in forms.items():
                    counted = replace(cost, params=0) if own & seen else cost
                    costs[options] = costs.get(options, Cost(0, 0)) + counted
            seen |= own
        return cls(tuple(CostPart(*place, costs) for place, costs in parts.items()))

    def cost(self, choices: Mapping[str, str]) -> Cost:
        """The cost of the architecture with these options, by decision."""
        params = macs = activations = 0
        for part in self.parts:
            if met(part.conditions, choices):
                cost = part.costs[tuple([choices[key] for key in part.keys])]
                params += cost.params
                macs += cost.macs
                activations += cost.activations
        return Cost(params, macs, activations)


def _forms(module: nn.Module, outputs: int) -> tuple[tuple[str, ...], dict[tuple[str, ...], Cost]]:
    """The decisions that a layer depends on, and its cost by their options."""
    if not isinstance(module, Deciding):
        return (), {(): count_layer(module, outputs)}
    names = {decision.key: decision.names for decision in module.decisions()}
    channels = len(module.get_parameter("weight"))
    forms = {}
    for options in product(*names.values()):
        layer = module.plain(dict(zip(names, options, strict=True)), {})
        forms[options] = count_layer(layer, outputs // channels * len(layer.get_parameter("weight")))
    return tuple(names), forms
