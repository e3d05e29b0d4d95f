"""A search space: a network with decisions, and the algebra of its architectures."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from itertools import chain
from types import MappingProxyType
from typing import Generic, TypeVar, cast, final

import torch
from torch import Tensor, nn

from tailornas.errors import ArchitectureError, ConfigError
from tailornas.spaces.choice import Conditions, Deciding, Decision, Mode, met, walk
from tailornas.spaces.copying import copy_module
from tailornas.spaces.cost import Cost, count
from tailornas.spaces.cost_table import CostTable
from tailornas.spaces.elastic import Dimension
from tailornas.spaces.grammar import Grammar, Group, from_json
from tailornas.spaces.operations import initialise
from tailornas.types import Architecture

__all__ = ["SearchSpace"]

NetT_co = TypeVar("NetT_co", bound=nn.Module, covariant=True)

Pairs = tuple[tuple[str, str], ...]
"""Decisions with an option each."""

DRAWS = 1000
"""Draws after which a random search for a valid architecture gives up."""

CACHED = 2**16
"""Architectures whose simplified form and identity are remembered."""


@final
class SearchSpace(Generic[NetT_co]):
    """All architectures that the decisions of a network can be set to: its choices and its elastic layers.

    Parts of an architecture that cannot reach the output are dead: they are not run, not built and cost nothing, so
    architectures of one identity are one network in every respect. Random methods draw from the passed CPU
    generator alone. Every method that takes an architecture raises
    :class:`~tailornas.errors.ArchitectureError` where a decision is missing or unknown, or an option is unknown.

    Args:
        network: an ordinary module that contains :class:`~tailornas.spaces.choice.Choice` modules or elastic layers:
            the supernet. It is kept, not copied.
        grammar: the rules of this space; by default all architectures are valid and no two are equal.

    Raises:
        ArchitectureError: there is no decision, decisions of one key have different options, or a group of the grammar
            does not fit.
    """

    def __init__(self, network: NetT_co, grammar: Grammar | None = None) -> None:
        self._network = network
        self.grammar = grammar or Grammar()
        # The head comes last, wherever it is registered: what it decides, layers before it have decided.
        modules = sorted(walk(network), key=lambda found: found[0].partition(".")[0] == "head")
        deciding = [(module, held) for _, module, held in modules if isinstance(module, Deciding)]
        reads = [(decision, held) for module, held in deciding for decision in module.decisions()]
        reads += [(v, held) for _, module, held in modules for v in vars(module).values() if isinstance(v, Dimension)]
        self._sites = list({id(decision): decision for decision, _ in reads}.values())
        decisions: dict[str, tuple[str, ...]] = {}
        for site in self._sites:
            if decisions.setdefault(site.key, site.names) != site.names:
                raise ArchitectureError(
                    f"decisions that share the key {site.key!r} must have the same options in the same order: "
                    f"one has {', '.join(decisions[site.key])}, another {', '.join(site.names)}"
                )
        if not decisions:
            raise ArchitectureError(
                f"{type(network).__name__} contains no Choice and no Dimension: expected at least one decision"
            )
        self._decisions = MappingProxyType(decisions)
        self._allowed = [frozenset((key, name) for name in names) for key, names in decisions.items()]
        self._places = _conditional(reads)
        self._groups = _joint_options(self.grammar.groups, decisions)
        self._free = [joint for joint in self._groups if len(joint) > 1]
        self._simplified = lru_cache(CACHED)(self._simplify)
        self._valid = lru_cache(CACHED)(lambda arch: self.grammar.valid(self._simplified(arch)))
        self._identity = lru_cache(CACHED)(lambda arch: self.grammar.identity(self._simplified(arch)))
        self._canonical = lru_cache(CACHED)(self._canonicalise)
        self._deciding = lru_cache(8)(self._find_deciding)
        self._table = lru_cache(32)(self._build_table)
        self._counted = lru_cache(CACHED)(lambda arch, size, head: count(self.derive(arch), size))

    @property
    def network(self) -> NetT_co:
        """The supernet."""
        return self._network

    @property
    def decisions(self) -> Mapping[str, tuple[str, ...]]:
        """Option names by decision key, in the order in which the network contains them."""
        return self._decisions

    @property
    def size(self) -> int:
        """Number of architectures that can be drawn, with invalid and equal ones."""
        return math.prod(map(len, self._groups))

    def architecture(self, choices: Mapping[str, str]) -> Architecture:
        """Checks a mapping from decisions to options and puts it in the space's order."""
        pairs = choices.choices if isinstance(choices, Architecture) else tuple(choices.items())
        if len(pairs) == len(self._allowed) and all(map(frozenset.__contains__, self._allowed, pairs)):
            return choices if isinstance(choices, Architecture) else Architecture(pairs)
        choices = dict(pairs)
        for position, key in enumerate(choices, start=1):
            if key not in self.decisions:
                raise ArchitectureError(
                    f"unknown decision {key!r} at position {position}: expected {', '.join(self.decisions)}"
                )
        for position, (key, options) in enumerate(self.decisions.items(), start=1):
            if choices.get(key) not in options:
                came = f"has the unknown option {choices[key]!r}" if key in choices else "is missing"
                raise ArchitectureError(
                    f"decision {key!r} (position {position} of {len(self.decisions)}) {came}: "
                    f"expected one of {', '.join(options)}"
                )
        return Architecture(tuple((key, choices[key]) for key in self.decisions))

    def to_text(self, arch: Architecture) -> str:
        """The space's own text form of an architecture."""
        return self.grammar.to_text(self.architecture(arch))

    def from_text(self, text: str) -> Architecture:
        """Reads the space's own text form, or JSON: ``{"decision": "option", ...}``.

        Raises:
            ArchitectureError: the text is malformed; says where and what was expected.
        """
        text = text.strip()
        return self.architecture(from_json(text) if text.startswith("{") else self.grammar.from_text(text))

    def valid(self, arch: Architecture) -> bool:
        """Whether the architecture is worth building."""
        return self._valid(arch)

    def simplify(self, arch: Architecture) -> Architecture:
        """The same network with dead parts replaced by their cheapest equivalent."""
        return self._simplified(arch)

    def identity(self, arch: Architecture) -> str:
        """A key that equal networks, and only these, share: what a search remembers its scores by."""
        return self._identity(arch)

    def canonical(self, arch: Architecture) -> str:
        """The key by which the space's publication counts distinct architectures; without one, :meth:`identity`."""
        return self._canonical(arch)

    def _canonicalise(self, arch: Architecture) -> str:
        if self.grammar.canonical is None:
            return self._identity(arch)
        return self.grammar.canonical(self.architecture(arch))

    def _simplify(self, arch: Architecture) -> Architecture:
        arch = self.architecture(arch)
        if self._places:
            choices = dict(arch.choices)
            for key, places in self._places.items():
                # A decision inside parts that do not exist decides nothing: it takes its first option.
                if not any(met(held, choices) for held in places):
                    choices[key] = self.decisions[key][0]
            arch = Architecture.of(choices)
        return self.grammar.simplify(arch)

    def sample(self, generator: torch.Generator) -> Architecture:
        """Draws uniformly among the valid architectures."""
        for _ in range(DRAWS):
            draws = zip(self._groups, _uniform(len(self._groups), generator), strict=True)
            arch = self._joined(joint[int(u * len(joint))] for joint, u in draws)
            if self.valid(arch):
                return arch
        raise ArchitectureError(f"no valid architecture in {DRAWS} draws: expected a space with more valid ones")

    def mutate(self, arch: Architecture, generator: torch.Generator, rate: float = 0.0) -> Architecture:
        """Draws a valid architecture near another one that is not the same network.

        Args:
            arch: where to start.
            generator: source of the draws.
            rate: one decision, drawn uniformly, always changes; each other one with this probability. A decision
                changes to any of its other options, uniformly. Decisions that the grammar groups count as one.

        Raises:
            ArchitectureError: no such architecture was found.
        """
        arch = self.architecture(arch)
        free = self._free
        for _ in range(DRAWS if free else 0):
            forced, u, *draws = _uniform(2 + 2 * len(free) if rate else 2, generator)
            at = int(forced * len(free))
            choices = dict(arch.choices)
            choices.update(_other(free[at], choices, u))
            for position, (chance, u) in enumerate(zip(draws[::2], draws[1::2], strict=True)):
                if chance < rate and position != at:
                    choices.update(_other(free[position], choices, u))
            child = Architecture(tuple(choices.items()))
            if self._valid(child) and self._identity(child) != self._identity(arch):
                return child
        raise ArchitectureError(f"no other valid network near {self.to_text(arch)}: expected a larger space")

    def crossover(self, a: Architecture, b: Architecture, generator: torch.Generator) -> Architecture:
        """Draws a valid architecture that takes each decision, or group of them, from either parent, equally likely.

        Raises:
            ArchitectureError: a parent is invalid.
        """
        for parent in (a, b):
            if not self.valid(parent):
                raise ArchitectureError(f"crossover of the invalid architecture {self.to_text(parent)}")
        parents = [dict(self.architecture(parent)) for parent in (a, b)]
        while True:
            draws = zip(self._groups, _uniform(len(self._groups), generator), strict=True)
            child = self._joined(_current(joint, parents[u >= 0.5]) for joint, u in draws)
            if self.valid(child):
                return child

    def neighbours(self, arch: Architecture) -> list[Architecture]:
        """All valid architectures that differ in one decision or group, in the order of decisions and options."""
        choices = dict(self.architecture(arch).choices)
        near = (
            Architecture(tuple({**choices, **dict(other)}.items()))
            for joint in self._groups
            for other in _others(joint, choices)
        )
        return [other for other in near if self.valid(other)]

    def _joined(self, options: Iterable[Pairs]) -> Architecture:
        """The architecture made of one joint option of every group."""
        pairs = tuple(chain.from_iterable(options))
        if not all(map(frozenset.__contains__, self._allowed, pairs)):  # groups need not be of neighbouring decisions
            choices = dict(pairs)
            pairs = tuple((key, choices[key]) for key in self.decisions)
        return Architecture(pairs)

    def activate(self, arch: Architecture) -> AbstractContextManager[None]:
        """Inside ``with space.activate(arch):`` the network runs this path. Nests; restores what was active before."""
        return self._running(dict(self._simplified(arch).choices))

    def mix(self, weights: Mapping[str, Tensor]) -> AbstractContextManager[None]:
        """Inside ``with space.mix(weights):`` every option runs, weighted. Nests; restores what was active before.

        Args:
            weights: ``(options,)`` for every decision; gradients flow to them.

        Raises:
            ArchitectureError: a decision is missing or unknown, or a shape is wrong.
        """
        if weights.keys() != self.decisions.keys():
            raise ArchitectureError(f"weights for {', '.join(weights)}: expected all of {', '.join(self.decisions)}")
        for key, names in self.decisions.items():
            if weights[key].shape != (len(names),):
                raise ArchitectureError(
                    f"weights of decision {key!r} have shape {tuple(weights[key].shape)}: expected ({len(names)},), "
                    f"one for each of {', '.join(names)}"
                )
        return self._running({key: weights[key].unbind() for key in self.decisions})

    @contextmanager
    def _running(self, active: Mapping[str, Mode]) -> Iterator[None]:
        # Not by nn.Module's own __setattr__, which looks for parameters: `active` is none, and this runs every step.
        before = [site.active for site in self._sites]
        for site in self._sites:
            object.__setattr__(site, "active", active[site.key])
        try:
            yield
        finally:
            for site, previous in zip(self._sites, before, strict=True):
                object.__setattr__(site, "active", previous)

    def derive(self, arch: Architecture, *, weights: bool = True, generator: torch.Generator | None = None) -> NetT_co:
        """Builds the plain network of an architecture: a copy without decisions, which shares no tensor with it.

        Args:
            arch: what to build, simplified first.
            weights: keep the supernet's weights, statistics, mode and ``requires_grad``; the outputs are those of the
                active path to the last bit. Otherwise everything is drawn anew, is trainable and in training mode.
            generator: draws the new weights; belongs to ``weights=False``.

        Raises:
            ConfigError: a generator with ``weights=True``, or none with ``weights=False``.
        """
        if weights == (generator is not None):
            raise ConfigError("derive takes a generator exactly if weights=False: it draws the new weights")
        choices = dict(self._simplified(arch).choices)
        # The plain form of each deciding module is made before the network's copy, so that nothing else is visited.
        copies: dict[int, object] = {
            id(site): site.values[choices[site.key]] for site in self._sites if isinstance(site, Dimension)
        }
        for module, held in reversed(self._deciding(getattr(self.network, "head", None))):  # inner ones first
            if id(module) not in copies and met(held, choices):
                copies[id(module)] = module.plain(choices, copies)
        network = cast(NetT_co, copy_module(self.network, copies))
        if generator is not None:
            network.train().requires_grad_(True)
            initialise(network, generator)
        return network

    def _find_deciding(self, _head: nn.Module | None) -> list[tuple[Deciding, Conditions]]:
        """Deciding modules, outer before inner; the replaceable head is an argument to be part of the cache's key."""
        return [(module, held) for _, module, held in walk(self.network) if isinstance(module, Deciding)]

    def cost(self, arch: Architecture, image_size: int, *, named: bool = False) -> Cost:
        """The cost of the network that :meth:`derive` builds, exactly.

        The first call for an image size runs the supernet and a few derived networks once; if the costs of the
        options add up, as those networks tell, later calls only add. Otherwise each architecture is built and counted.

        Args:
            arch: the architecture.
            image_size: height and width in pixels.
            named: count every operation that the architecture names, dead ones too, as the tables published for
                NAS-Bench-201 do.

        Raises:
            ArchitectureError: ``named`` in a space whose options' costs do not add up.
        """
        head = getattr(self.network, "head", None)
        choices = self.architecture(arch) if named else self._simplified(arch)
        sizing = tuple((key, choices[key]) for key in self.grammar.sizing)
        table = self._table(image_size, sizing, head)
        if table is not None:
            return table.cost(dict(choices.choices))
        if named:
            raise ArchitectureError("the costs of this space's options do not add up: expected named=False")
        return self._counted(choices, image_size, head)

    def _build_table(
        self, image_size: int, sizing: tuple[tuple[str, str], ...], _head: nn.Module | None
    ) -> CostTable | None:
        """The table, unless costs do not add up; the replaceable head is an argument to be part of the cache's key."""
        equal = {key: torch.full((len(names),), 1 / len(names)).unbind() for key, names in self.decisions.items()}
        try:
            with self._running({**equal, **dict(sizing)}):
                table = CostTable.of(self.network, image_size)
        except (RuntimeError, TypeError):  # options whose outputs cannot be added have no independent cost
            return None
        draws = torch.Generator().manual_seed(0)
        probes = [self.sample(draws) for _ in range(2)]
        for position in range(max(map(len, self.decisions.values()))):
            probes.append(Architecture.of({k: names[position % len(names)] for k, names in self.decisions.items()}))
        probes = [self.architecture({**arch, **dict(sizing)}) for arch in probes]
        exact = all(table.cost(dict(self.simplify(arch))) == count(self.derive(arch), image_size) for arch in probes)
        return table if exact else None


def _conditional(reads: Sequence[tuple[Decision, Conditions]]) -> dict[str, set[Conditions]]:
    """Where each decision is read, of those that some architectures do not read at all."""
    places: dict[str, set[Conditions]] = {}
    for decision, held in reads:
        places.setdefault(decision.key, set()).add(held)
    return {key: found for key, found in places.items() if () not in found}


def _joint_options(groups: Sequence[Group], decisions: Mapping[str, tuple[str, ...]]) -> list[list[Pairs]]:
    """The options of every group, and of every decision that is in none of them, in the order of decisions."""
    grouped: dict[str, Group] = {}
    for group in groups:
        for position, key in enumerate(group.keys):
            if key not in decisions or key in grouped:
                raise ArchitectureError(f"group of {', '.join(group.keys)}: expected decisions that no other group has")
            if not {options[position] for options in group.options} <= set(decisions[key]):
                raise ArchitectureError(f"group of {', '.join(group.keys)}: expected options that {key!r} has")
            grouped[key] = group
    alone = {key: Group((key,), tuple((name,) for name in names)) for key, names in decisions.items()}
    found = {id(group): group for group in (grouped.get(key, alone[key]) for key in decisions)}
    return [[tuple(zip(g.keys, options, strict=True)) for options in g.options] for g in found.values()]


def _current(joint: list[Pairs], choices: Mapping[str, str]) -> Pairs:
    return tuple([(key, choices[key]) for key, _ in joint[0]])


def _others(joint: list[Pairs], choices: Mapping[str, str]) -> list[Pairs]:
    current = _current(joint, choices)
    return [options for options in joint if options != current]


def _other(joint: list[Pairs], choices: Mapping[str, str], u: float) -> Pairs:
    others = _others(joint, choices)
    return others[int(u * len(others))]


def _uniform(draws: int, generator: torch.Generator) -> list[float]:
    """Numbers in [0, 1), fine enough that no list of options is long enough to notice."""
    numbers: list[float] = torch.rand(draws, dtype=torch.float64, generator=generator).tolist()
    return numbers
