"""Networks of DARTS cells (arXiv 1806.09055, sec. 3.1), and the network of one genotype."""

import operator
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailornas.errors import ArchitectureError, ConfigError
from tailornas.spaces.darts_operations import (
    Concatenation,
    ConvBN,
    FactorizedReduce,
    FeatureMap,
    Squeeze,
    operation,
    pointwise,
)
from tailornas.spaces.genotype import Genotype
from tailornas.spaces.network import Backbone
from tailornas.spaces.operations import Identity, initialise

__all__ = ["Auxiliary", "Cell", "DARTSNetwork", "darts_network"]

Edges = Iterable[tuple[int, int, nn.Module]]
"""``(source, target, operation)``, ordered by target."""


@final
class Cell(nn.Module):
    """Two input nodes, and nodes that are each the sum of edges from earlier ones; the output is their concatenation.

    A node none of whose edges gives anything is zeros in the output, and edges from it give nothing.

    Args:
        inputs: channels of the outputs of the cell before the last one and of the last one.
        channels: of every node.
        edges: the operations.
        concat: the nodes that form the output.
        stride: 2 in a reduction cell.
        halve: whether the output of the cell before the last one is larger than that of the last one.
        affine: whether the batch norms of the inputs have scale and shift.
    """

    def __init__(
        self,
        inputs: tuple[int, int],
        channels: int,
        edges: Edges,
        concat: Sequence[int],
        *,
        stride: int,
        halve: bool,
        affine: bool,
    ) -> None:
        super().__init__()
        self.concat, self.stride = tuple(concat), stride
        self.input0 = (FactorizedReduce if halve else Squeeze)(inputs[0], channels, affine=affine)
        self.input1 = Squeeze(inputs[1], channels, affine=affine)
        edges = tuple(edges)
        self.ends = tuple((source, target) for source, target, _ in edges)
        self.edges = nn.ModuleList(edge for _, _, edge in edges)

    def forward(
        self, before: FeatureMap | Concatenation, last: FeatureMap | Concatenation, kept: Tensor | None = None
    ) -> Concatenation:
        """Runs the cell.

        Args:
            before: output of the cell before the last one.
            last: output of the last cell.
            kept: ``(edges, batch)``, what the output of each edge is multiplied by, skip connections excepted.
        """
        nodes = {0: FeatureMap(self.input0(before)), 1: FeatureMap(self.input1(last))}
        terms: dict[int, list[Tensor]] = {}
        for position, ((source, target), edge) in enumerate(zip(self.ends, self.edges, strict=True)):
            if source not in nodes and source in terms:
                nodes[source] = FeatureMap(reduce(operator.add, terms[source]))
            if source in nodes:
                term: Tensor | None = edge(nodes[source])
                if term is not None:
                    if kept is not None and not isinstance(edge, Identity):
                        term = term * kept[position, :, None, None, None].to(term.dtype)
                    terms.setdefault(target, []).append(term)
        for node in self.concat:
            if node not in nodes:
                nodes[node] = FeatureMap(reduce(operator.add, terms[node]) if node in terms else self._zeros(nodes[0]))
        return Concatenation([nodes[node] for node in self.concat])

    def _zeros(self, source: FeatureMap) -> Tensor:
        batch, channels, height, width = source.value.shape
        return source.value.new_zeros(batch, channels, -(-height // self.stride), -(-width // self.stride))


@final
class Auxiliary(Backbone):
    """A second classifier, after two thirds of the network, that helps to train it (arXiv 1409.4842, sec. 5).

    Its images are the feature maps of a cell, 8 × 8 pixels. As in any network the loss decides what its head is.

    Args:
        inputs: channels in.
        classes: outputs.
    """

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__(768, classes)
        self.pool = nn.AvgPool2d(5, stride=3)
        self.first = ConvBN(pointwise(inputs, 128), affine=True)
        self.second = ConvBN(nn.Conv2d(128, 768, 2, bias=False), affine=True)

    def features(self, x: Tensor) -> Tensor:
        """Maps the ReLU of a cell's output, ``(batch, inputs, 8, 8)``, to features ``(batch, 768)``."""
        return F.relu_(self.second(F.relu_(self.first(self.pool(x))))).flatten(1)


@final
class DARTSNetwork(Backbone):
    """Stem, cells, pooling, head; the cells after one and two thirds of the depth reduce and double the channels.

    Args:
        edges: the operations of a new cell, from its channels and its stride.
        normal_concat: the nodes that form the output of a normal cell.
        reduce_concat: the same of a reduction cell.
        channels: C of the paper, of the nodes of the first cells. The stem has three times as many.
        cells: how many cells; at least 3, so that there is a normal one.
        classes: outputs of the head, and of the auxiliary one.
        affine: whether batch norms inside cells have scale and shift.
        auxiliary: whether there is an auxiliary head.

    Raises:
        ConfigError: fewer than 3 cells.
    """

    def __init__(
        self,
        edges: Callable[[int, int], Edges],
        normal_concat: Sequence[int],
        reduce_concat: Sequence[int],
        *,
        channels: int,
        cells: int,
        classes: int,
        affine: bool = True,
        auxiliary: bool = False,
    ) -> None:
        if cells < 3:
            raise ConfigError(f"{cells} cells: expected at least 3, a normal one and two that reduce")
        reductions = (cells // 3, 2 * cells // 3)
        concats = [reduce_concat if i in reductions else normal_concat for i in range(cells)]
        widths = [channels * 2 ** sum(i >= reduction for reduction in reductions) for i in range(cells)]
        outputs = [3 * channels, 3 * channels, *(len(c) * w for c, w in zip(concats, widths, strict=True))]
        super().__init__(outputs[-1], classes)
        self.stem = nn.Sequential(nn.Conv2d(3, outputs[0], 3, padding=1, bias=False), nn.BatchNorm2d(outputs[0]))
        self.cells = nn.ModuleList(
            Cell(
                (outputs[i], outputs[i + 1]),
                width,
                edges(width, 2 if i in reductions else 1),
                concat,
                stride=2 if i in reductions else 1,
                halve=i - 1 in reductions,
                affine=affine,
            )
            for i, (width, concat) in enumerate(zip(widths, concats, strict=True))
        )
        self.tap = reductions[1]
        self.auxiliary = Auxiliary(outputs[self.tap + 2], classes) if auxiliary else None
        self.drop_path(0.0)

    def drop_path(self, probability: float, generator: torch.Generator | None = None) -> None:
        """From now on, in training mode, each edge of each cell is dropped with this probability, image by image.

        What is kept is scaled up to the same expectation; skip connections are never dropped (FractalNet, arXiv
        1605.07648, sec. 3; in the form of NASNet's ScheduledDropPath the probability grows linearly with training).
        The published code of FairDARTS drops whole nodes instead.

        Args:
            probability: in [0, 1); 0 switches it off.
            generator: what forward passes draw from; on the device of the images, which else waits for it. A training
                sets one a step, seeded by its position.

        Raises:
            ConfigError: a probability out of range, or a positive one without a generator.
        """
        if not 0 <= probability < 1:
            raise ConfigError(f"drop path probability {probability}: expected a number in [0, 1)")
        if probability > 0 and generator is None:
            raise ConfigError("drop path draws random numbers: expected a generator")
        self._drop, self._generator = probability, generator if probability else None

    def check_image_size(self, image_size: int) -> None:
        """Refuses images that the auxiliary head, where there is one, cannot be trained with.

        Args:
            image_size: height and width in pixels.

        Raises:
            ConfigError: two reductions do not make 8 pixels of them.
        """
        if self.auxiliary is not None and -(-image_size // 4) != 8:
            raise ConfigError(
                f"the auxiliary head is for images of 32 pixels, 8 after two reductions, and these have {image_size}: "
                "leave auxiliary out of the space's parameters"
            )

    def features(self, x: Tensor) -> Tensor:
        """Maps images ``(batch, 3, height, width)`` to features ``(batch, feature_dim)``."""
        return self._run(x)[-1].value.mean((2, 3))

    def forward_with_auxiliary(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maps images ``(batch, 3, 32, 32)`` to the outputs of the head and of the auxiliary head.

        Raises:
            ConfigError: there is no auxiliary head, or the images have another size.
        """
        if self.auxiliary is None:
            raise ConfigError("this network has no auxiliary head: build it with auxiliary=True")
        for side in x.shape[2:]:
            self.check_image_size(side)
        outputs = self._run(x)
        return self.classify(outputs[-1].value.mean((2, 3))), self.auxiliary(outputs[self.tap].rectified)

    def _run(self, x: Tensor) -> list[Concatenation]:
        """The outputs of all cells."""
        stem = FeatureMap(self.stem(x))
        masks = self._masks(x)
        outputs: list[Concatenation] = []
        before: FeatureMap | Concatenation = stem
        last: FeatureMap | Concatenation = stem
        for cell, kept in zip(self.cells, masks, strict=True):
            outputs.append(cell(before, last, kept))
            before, last = last, outputs[-1]
        return outputs

    def _masks(self, x: Tensor) -> Sequence[Tensor | None]:
        if not (self.training and self._drop):
            return [None] * len(self.cells)
        assert self._generator is not None
        sizes = [len(cell.ends) for cell in self.cells if isinstance(cell, Cell)]
        draws = torch.rand(sum(sizes), len(x), generator=self._generator, device=self._generator.device)
        kept = ((draws >= self._drop) / (1 - self._drop)).to(x.device)
        return torch.split(kept, sizes)


def darts_network(
    genotype: Genotype,
    *,
    generator: torch.Generator,
    channels: int = 36,
    cells: int = 20,
    classes: int = 10,
    auxiliary: bool = False,
) -> DARTSNetwork:
    """Builds the network of a genotype, the evaluation network of DARTS, with weights drawn from ``generator``.

    Nodes without inputs are left out of the concatenation, as FairDARTS does, so the next cells have fewer weights.

    Args:
        genotype: the cells; any numbers of nodes and of edges into each.
        generator: draws the weights.
        channels: C of the paper.
        cells: how many.
        classes: outputs of the linear head.
        auxiliary: add the auxiliary head; for images of 32 pixels. The forward pass does not run it, see
            :meth:`DARTSNetwork.forward_with_auxiliary`.

    Raises:
        ArchitectureError: a cell has no node with inputs.
        ConfigError: fewer than 3 cells.
    """
    live = genotype.simplified()
    for name, concat in (("normal", live.normal_concat), ("reduce", live.reduce_concat)):
        if not concat:
            raise ArchitectureError(
                f"the {name} cell of the genotype has no node with inputs in its output: {genotype}"
            )

    def edges(width: int, stride: int) -> Edges:
        for name, target, source in live.normal if stride == 1 else live.reduce:
            yield source, target, operation(name, width, stride if source < 2 else 1, search=False)

    with torch.random.fork_rng(devices=[]):  # constructors draw from the global generator
        network = DARTSNetwork(
            edges,
            live.normal_concat,
            live.reduce_concat,
            channels=channels,
            cells=cells,
            classes=classes,
            auxiliary=auxiliary,
        )
    initialise(network, generator)
    return network
