"""A search space: a network with choices, and the algebra of its architectures."""

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from types import MappingProxyType
from typing import Generic, TypeVar, cast, final

import torch
from torch import Tensor, nn

from tailornas.errors import ArchitectureError, ConfigError
from tailornas.spaces.choice import Choice, walk
from tailornas.spaces.copying import copy_module
from tailornas.spaces.cost import Cost, count
from tailornas.spaces.cost_table import CostTable
from tailornas.spaces.grammar import Grammar, from_json
from tailornas.spaces.operations import initialise
from tailornas.types import Architecture

__all__ = ["SearchSpace"]

NetT_co = TypeVar("NetT_co", bound=nn.Module, covariant=True)

DRAWS = 1000
"""Draws after which a random search for a valid architecture gives up."""

CACHED = 2**16
"""Architectures whose simplified form and identity are remembered."""


@final
class SearchSpace(Generic[NetT_co]):
    """All architectures that the :class:`~tailornas.spaces.choice.Choice` modules of a network can be set to.

    Parts of an architecture that cannot reach the output are dead: they are not run, not built and cost nothing, so
    architectures of one identity are one network in every respect. Random methods draw from the passed CPU
    generator alone. Every method that takes an architecture raises
    :class:`~tailornas.errors.ArchitectureError` where a decision is missing or unknown, or an option is unknown.

    Args:
        network: an ordinary module that contains choices: the supernet. It is kept, not copied.
        grammar: the rules of this space; by default all architectures are valid and no two are equal.

    Raises:
        ArchitectureError: there is no choice, or choices of one key have different options.
    """

    def __init__(self, network: NetT_co, grammar: Grammar | None = None) -> None:
        self._network = network
        self.grammar = grammar or Grammar()
        self._sites = [(module, held) for _, module, held in walk(network) if isinstance(module, Choice)]
        decisions: dict[str, tuple[str, ...]] = {}
        for choice, _ in self._sites:
            if decisions.setdefault(choice.key, choice.names) != choice.names:
                raise ArchitectureError(
                    f"choices that share the key {choice.key!r} must have the same options in the same order: "
                    f"one has {', '.join(decisions[choice.key])}, another {', '.join(choice.names)}"
                )
        if not decisions:
            raise ArchitectureError(f"{type(network).__name__} contains no Choice: expected at least one decision")
        self._decisions = MappingProxyType(decisions)
        self._simplified = lru_cache(CACHED)(self._simplify)
        self._identity = lru_cache(CACHED)(lambda arch: self.grammar.identity(self._simplified(arch)))
        self._table = lru_cache(8)(self._build_table)
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
        """Number of architectures, with invalid and equal ones."""
        return math.prod(map(len, self.decisions.values()))

    def architecture(self, choices: Mapping[str, str]) -> Architecture:
        """Checks a mapping from decisions to options and puts it in the space's order."""
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
        return self.grammar.valid(self._simplified(arch))

    def simplify(self, arch: Architecture) -> Architecture:
        """The same network with dead parts replaced by their cheapest equivalent."""
        return self._simplified(arch)

    def identity(self, arch: Architecture) -> str:
        """A key that equal networks, and only these, share: what a search remembers its scores by."""
        return self._identity(arch)

    def canonical(self, arch: Architecture) -> str:
        """The key by which the space's publication counts distinct architectures; without one, :meth:`identity`."""
        if self.grammar.canonical is None:
            return self._identity(arch)
        return self.grammar.canonical(self.architecture(arch))

    def _simplify(self, arch: Architecture) -> Architecture:
        choices = dict(self.architecture(arch))
        if any(held for _, held in self._sites):
            reached = {
                choice.key for choice, held in self._sites if all(choices[key] == option for key, option in held)
            }
            # A decision inside options that are not chosen decides nothing: it takes its first option.
            choices.update({key: names[0] for key, names in self.decisions.items() if key not in reached})
        return self.grammar.simplify(Architecture.of(choices))

    def sample(self, generator: torch.Generator) -> Architecture:
        """Draws uniformly among the valid architectures."""
        for _ in range(DRAWS):
            draws = zip(self.decisions.items(), _uniform(len(self.decisions), generator), strict=True)
            arch = Architecture(tuple((key, names[int(u * len(names))]) for (key, names), u in draws))
            if self.valid(arch):
                return arch
        raise ArchitectureError(f"no valid architecture in {DRAWS} draws: expected a space with more valid ones")

    def mutate(self, arch: Architecture, generator: torch.Generator, rate: float = 0.0) -> Architecture:
        """Draws a valid architecture near another one that is not the same network.

        Args:
            arch: where to start.
            generator: source of the draws.
            rate: one decision, drawn uniformly, always changes; each other one with this probability. A decision
                changes to any of its other options, uniformly.

        Raises:
            ArchitectureError: no such architecture was found.
        """
        arch = self.architecture(arch)
        free = [key for key, names in self.decisions.items() if len(names) > 1]
        for _ in range(DRAWS if free else 0):
            choices = dict(arch.choices)
            forced, *draws = _uniform(1 + 2 * len(free), generator)
            for position, key in enumerate(free):
                if position == int(forced * len(free)) or draws[2 * position] < rate:
                    others = [name for name in self.decisions[key] if name != choices[key]]
                    choices[key] = others[int(draws[2 * position + 1] * len(others))]
            child = Architecture.of(choices)
            if self.valid(child) and self.identity(child) != self.identity(arch):
                return child
        raise ArchitectureError(f"no other valid network near {self.to_text(arch)}: expected a larger space")

    def crossover(self, a: Architecture, b: Architecture, generator: torch.Generator) -> Architecture:
        """Draws a valid architecture that takes each decision from either parent with equal probability.

        Raises:
            ArchitectureError: a parent is invalid.
        """
        for parent in (a, b):
            if not self.valid(parent):
                raise ArchitectureError(f"crossover of the invalid architecture {self.to_text(parent)}")
        while True:
            draws = zip(self.decisions, _uniform(len(self.decisions), generator), strict=True)
            child = Architecture(tuple((key, (a if u < 0.5 else b)[key]) for key, u in draws))
            if self.valid(child):
                return child

    def neighbours(self, arch: Architecture) -> list[Architecture]:
        """All valid architectures that differ in one decision, in the order of decisions and options."""
        arch = self.architecture(arch)
        near = (arch.replace(key, name) for key, names in self.decisions.items() for name in names if name != arch[key])
        return [other for other in near if self.valid(other)]

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
    def _running(self, active: Mapping[str, str | tuple[Tensor, ...]]) -> Iterator[None]:
        before = [choice.active for choice, _ in self._sites]
        for choice, _ in self._sites:
            choice.active = active[choice.key]
        try:
            yield
        finally:
            for (choice, _), previous in zip(self._sites, before, strict=True):
                choice.active = previous

    def derive(self, arch: Architecture, *, weights: bool = True, generator: torch.Generator | None = None) -> NetT_co:
        """Builds the plain network of an architecture: a copy without choices that shares no tensor with the supernet.

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
        choices = self._simplified(arch)
        # Each choice's copy is that of the chosen option, made before the network's, so that nothing else is visited.
        copies: dict[int, object] = {}
        for choice, _ in reversed(self._sites):  # inner ones first
            copies[id(choice)] = copy_module(choice.options[choices[choice.key]], copies)
        network = cast(NetT_co, copy_module(self.network, copies))
        if generator is not None:
            network.train().requires_grad_(True)
            initialise(network, generator)
        return network

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
        table = self._table(image_size, head)
        if table is not None:
            return table.cost(self.architecture(arch) if named else self._simplified(arch))
        if named:
            raise ArchitectureError("the costs of this space's options do not add up: expected named=False")
        return self._counted(self._simplified(arch), image_size, head)

    def _build_table(self, image_size: int, _head: nn.Module | None) -> CostTable | None:
        """The table, unless costs do not add up; the replaceable head is an argument to be part of the cache's key."""
        equal = {key: torch.full((len(names),), 1 / len(names)) for key, names in self.decisions.items()}
        try:
            with self.mix(equal):
                table = CostTable.of(self.network, image_size)
        except (RuntimeError, TypeError):  # options whose outputs cannot be added have no independent cost
            return None
        draws = torch.Generator().manual_seed(0)
        probes = [self.sample(draws) for _ in range(2)]
        for position in range(max(map(len, self.decisions.values()))):
            probes.append(Architecture.of({k: names[position % len(names)] for k, names in self.decisions.items()}))
        exact = all(table.cost(self.simplify(arch)) == count(self.derive(arch), image_size) for arch in probes)
        return table if exact else None


def _uniform(draws: int, generator: torch.Generator) -> list[float]:
    """Numbers in [0, 1), fine enough that no list of options is long enough to notice."""
    numbers: list[float] = torch.rand(draws, dtype=torch.float64, generator=generator).tolist()
    return numbers
