"""A user's own search space: an ordinary module with choices in it, read from a Python file."""

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from importlib.abc import SourceLoader
from pathlib import Path
from types import ModuleType
from typing import Any, final

import torch
from torch import Tensor, nn

from tailornas.errors import ArchitectureError, ConfigError
from tailornas.spaces.cost import check_countable, evaluating
from tailornas.spaces.dimension import Number
from tailornas.spaces.elastic import ElasticLinear
from tailornas.spaces.network import Backbone
from tailornas.spaces.operations import initialise
from tailornas.spaces.space import SearchSpace
from tailornas.types import Architecture

__all__ = ["check_own", "digest", "is_own", "own_space", "parameters"]

CLASSES = ("classes", "num_classes")
"""Names of the constructor's parameter for the number of classes."""


def is_own(name: str) -> bool:
    """Whether the name of a space is a user's own, ``FILE.py:Class``."""
    return ":" in name or name.endswith(".py")


def digest(name: str) -> str:
    """SHA-256 of the file of ``FILE.py:Class``.

    Raises:
        ConfigError: another form, or the file cannot be read.
    """
    return hashlib.sha256(_read(name)[1]).hexdigest()


def parameters(name: str) -> dict[str, Any]:
    """What the constructor of ``FILE.py:Class`` can be told beside the number of classes: default by name.

    A parameter without a default has ``...``.

    Raises:
        ConfigError: the file or the class cannot be used; see :func:`own_space`.
    """
    return {
        key: ... if parameter.default is parameter.empty else parameter.default
        for key, parameter in _signature(_load(name)).items()
        if key not in CLASSES
    }


def check_own(name: str, settings: Mapping[str, Any]) -> None:
    """Refuses a class, or arguments for it, that :func:`own_space` could build for no images.

    Args:
        name: ``FILE.py:Class``.
        settings: arguments of the constructor beside the number of classes.

    Raises:
        ConfigError: no such file or class, it cannot be imported, or a setting is missing or unknown.
        ArchitectureError: the class is no module.
    """
    known = parameters(name)
    listed = f"its parameters are {', '.join(known)}" if known else "it has none"
    for key in settings:
        if key not in known:
            raise ConfigError(f"space {name!r} has no parameter {key!r}: {listed}")
    for key, default in known.items():
        if default is ... and key not in settings:
            raise ConfigError(f"space {name!r} needs its parameter {key!r}: give space.{key}")


def own_space(
    name: str,
    settings: Mapping[str, Any],
    *,
    classes: int,
    generator: torch.Generator,
    image_size: int,
) -> SearchSpace[Backbone]:
    """Builds the space of a user's class, of one of three forms.

    * Its constructor takes ``classes`` (or ``num_classes``): a classifier that ends in one ``nn.Linear`` with as many
      outputs, which the heads of the long-tail losses can replace.
    * It takes neither: the module returns features ``(batch, features)``, and a linear head is added.
    * It is a :class:`~tailornas.spaces.network.Backbone`: taken as it is.

    The file is code of the user and runs. It is imported from its path under a name that its content decides, its
    folder being importable meanwhile.

    Args:
        name: ``FILE.py:Class``.
        settings: further arguments of the constructor.
        classes: outputs of the head.
        generator: draws all weights.
        image_size: height and width in pixels of the images on which the network is tried.

    Raises:
        ConfigError: no such file or class, it cannot be imported, or a setting is missing or unknown.
        ArchitectureError: the class is no module of these forms, contains no choice, or cannot be built or run.
    """
    check_own(name, settings)
    kind = _load(name)
    label, arguments = kind.__name__, {key: classes for key in CLASSES if key in _signature(kind)}
    with torch.random.fork_rng(devices=[]):  # constructors draw from the global generator
        try:
            module = kind(**arguments, **settings)
        except Exception as error:
            given = ", ".join(f"{key}={value!r}" for key, value in {**arguments, **settings}.items())
            raise ArchitectureError(f"{label}({given}) of {name} failed: {_reason(error)}") from error
        images = torch.randn(2, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
        network = _backbone(module, label, classes, images, ends_in_head=bool(arguments))
    initialise(network, generator)
    return SearchSpace(network)


@final
class OwnNetwork(Backbone):
    """A user's module whose output is the features, with a linear head.

    Args:
        body: maps images ``(batch, 3, height, width)`` to features ``(batch, feature_dim)``.
        feature_dim: length of the feature vector.
        classes: outputs of the head.
    """

    def __init__(self, body: nn.Module, feature_dim: Number, classes: int) -> None:
        super().__init__(feature_dim, classes)
        self.body = body

    def features(self, x: Tensor) -> Tensor:
        """Maps images ``(batch, 3, height, width)`` to features ``(batch, feature_dim)``."""
        output: Tensor = self.body(x)
        return output


@final
class _Source(SourceLoader):
    """Imports the bytes that were read, so that no cached bytecode of an earlier content can take their place."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.path, self.content = path, content

    def get_filename(self, fullname: str) -> str:
        return str(self.path)

    def get_data(self, path: str | bytes) -> bytes:
        return self.content


def _read(name: str) -> tuple[Path, bytes, str]:
    """The file's path, its content and the name of the class."""
    file, colon, attribute = name.rpartition(":")
    if not (colon and file.endswith(".py") and attribute.isidentifier()):
        raise ConfigError(f"space {name!r}: expected FILE.py:Class, such as my_space.py:Net")
    path = Path(file).expanduser()
    try:
        return path, path.read_bytes(), attribute
    except OSError as error:
        raise ConfigError(f"cannot read the space {name!r}: {error.strerror}: {file}") from error


def _load(name: str) -> type[nn.Module]:
    path, content, attribute = _read(name)
    module = _import(path.resolve(), content)
    if not hasattr(module, attribute):
        classes = [key for key, value in vars(module).items() if _is_module_class(value, module.__name__)]
        raise ConfigError(f"{path} has no class {attribute!r}: its modules are {', '.join(classes) or 'none'}")
    kind = getattr(module, attribute)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ArchitectureError(f"{attribute} of {path} is no class of torch.nn.Module: expected one with choices")
    return kind


def _is_module_class(value: object, module: str) -> bool:
    return isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == module


def _import(path: Path, content: bytes) -> ModuleType:
    name = "tailornas_own_" + hashlib.sha256(bytes(path) + content).hexdigest()[:16]
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_loader(name, _Source(path, content), origin=str(path))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    folder = str(path.parent)
    sys.modules[name] = module
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(f"{path} cannot be imported: {_reason(error, path)}") from error
    finally:
        sys.path.remove(folder)
    return module


def _reason(error: Exception, path: Path | None = None) -> str:
    """The error's kind and first line, and where in the user's file it was raised."""
    first = next(iter(str(error).splitlines()), "")
    text = f"{type(error).__name__}: {first}" if first else type(error).__name__
    if isinstance(error, SyntaxError) or path is None:
        return text
    lines, trace = [], error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f"{text} (line {lines[-1]})" if lines else text


def _signature(kind: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The constructor's parameters that can be given by name."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {key: value for key, value in inspect.signature(kind).parameters.items() if value.kind in kinds}


def _backbone(module: nn.Module, label: str, classes: int, images: Tensor, *, ends_in_head: bool) -> Backbone:
    """The module as a backbone, tried on two images."""
    if isinstance(module, Backbone):
        _run(module, images, label)
        return module
    if not ends_in_head:
        features = _run(module, images, label)[0]
        if features.ndim != 2:
            raise ArchitectureError(
                f"{label} returns {tuple(features.shape)} for 2 images: expected features, (2, features); pool them, "
                "for example with .mean((2, 3)), or let the constructor take classes and end in a linear layer"
            )
        return OwnNetwork(module, features.shape[1], classes)
    site, head = _last_layer(module, label, classes)
    outputs = _run(module, images, label)
    parent, _, attribute = site.rpartition(".")
    setattr(module.get_submodule(parent), attribute, nn.Identity())
    width = head.inputs if isinstance(head, ElasticLinear) else head.in_features
    network = OwnNetwork(module, width, classes)
    network.head = head
    if not all(map(torch.equal, _run(network, images, label), outputs)):
        raise ArchitectureError(
            f"{label} does not end in its linear layer {site!r}: expected it to return what this layer returns, so "
            "that another head can take its place"
        )
    return network


def _last_layer(module: nn.Module, label: str, classes: int) -> tuple[str, nn.Linear]:
    layers = {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear) and layer.out_features == classes and layer.bias is not None
    }
    if "head" in layers:
        return "head", layers["head"]
    if len(layers) != 1:
        came = f"has {len(layers)}: {', '.join(layers)}" if layers else "has none"
        raise ArchitectureError(
            f"{label} takes the number of classes and {came}: expected one nn.Linear with {classes} outputs and a bias "
            "as its last layer, called head if there are several"
        )
    return next(iter(layers.items()))


def _run(module: nn.Module, images: Tensor, label: str) -> list[Tensor]:
    """The outputs in evaluation mode of as many architectures as show every option; the module stays as it was."""
    space = SearchSpace(module)
    outputs: list[Tensor] = []
    for position in range(max(map(len, space.decisions.values()))):
        arch = Architecture.of({key: names[position % len(names)] for key, names in space.decisions.items()})
        tried = f"{label} as {space.to_text(arch)}"
        try:
            with space.activate(arch), evaluating(module), torch.no_grad():
                output = module(images)
        except Exception as error:
            size = f"{images.shape[-1]} x {images.shape[-1]}"
            raise ArchitectureError(f"{tried} cannot take images of {size} pixels: {_reason(error)}") from error
        if not isinstance(output, Tensor):
            raise ArchitectureError(f"{tried} returns {type(output).__name__}: expected a tensor")
        check_countable(space.derive(arch))
        outputs.append(output)
        if output.shape != outputs[0].shape:
            raise ArchitectureError(
                f"{tried} returns {tuple(output.shape)} for 2 images, with first options {tuple(outputs[0].shape)}: "
                "expected one shape; where the number of features is decided, the constructor takes classes and the "
                "network ends in an ElasticLinear"
            )
    return outputs
