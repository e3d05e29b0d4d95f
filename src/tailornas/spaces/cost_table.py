"""The cost of every architecture of a space from one forward pass of its supernet."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Self, final

from torch import nn

from tailornas.spaces.choice import Conditions, Deciding, met, walk
from tailornas.spaces.cost import Cost, Flow, count_flow, count_layer

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
    def of(cls, supernet: nn.Module, image_size: int) -> Self | None:
        """Counts a supernet whose decisions all run as mixtures, so that every option runs.

        Costs of layers add up only where each exists under one set of conditions: None if weights have two names under
        different ones, as an option that two choices share.
        """
        sites: dict[str, tuple[nn.Module, list[Conditions]]] = {}
        for name, module, conditions in walk(supernet):
            sites.setdefault(name, (module, []))[1].append(conditions)
        owners: dict[int, list[Conditions]] = {}
        for module, places in sites.values():
            for parameter in module.parameters(recurse=False):
                if owners.setdefault(id(parameter), places) != places:
                    return None
        flows = count_flow(supernet, image_size)
        parts: dict[tuple[Conditions, tuple[str, ...]], dict[tuple[str, ...], Cost]] = {}
        seen: set[int] = set()
        for name, (module, places) in sites.items():
            own = {id(parameter) for parameter in module.parameters(recurse=False)}
            if own <= seen and name not in flows:  # no layer, or one that another name has counted
                continue
            keys, forms = _forms(module, flows.get(name, (0, 0)))
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


def _forms(module: nn.Module, flow: Flow) -> tuple[tuple[str, ...], dict[tuple[str, ...], Cost]]:
    """The decisions that a layer depends on, and its cost by their options."""
    if not isinstance(module, Deciding):
        return (), {(): count_layer(module, flow)}
    names = {decision.key: decision.names for decision in module.decisions()}
    channels = len(module.get_parameter("weight"))
    forms = {}
    for options in product(*names.values()):
        layer = module.plain(dict(zip(names, options, strict=True)), {})
        outputs = flow[1] // channels * len(layer.get_parameter("weight"))
        forms[options] = count_layer(layer, (flow[0], outputs))
    return tuple(names), forms
