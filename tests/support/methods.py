"""A job of the method on digits and a tiny space, and a run that needs no folder."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tailornas.adaptation import HeadConfig
from tailornas.data import AugmentConfig, Dataset
from tailornas.methods import Context, Settings, choose_source, make_contender
from tailornas.methods.contenders import Contender
from tailornas.search import Candidate, Limits, SearchConfig
from tailornas.seeding import generator
from tailornas.spaces import (
    NASBench201Config,
    cifar_resnet,
)
from tailornas.stages import Artifact, Detached, Stage
from tailornas.training import DeviceConfig, PretrainConfig, TrainConfig, make_fabric

FABRIC = make_fabric(DeviceConfig(accelerator="cpu", precision="fp32"))

SPACE = NASBench201Config(channels=4, cells_per_stage=1)

STAGES = ["pretrain", "adapt", "search", "train", "baseline", "latency", "evaluate"]

TINY = Settings(
    pretrain=PretrainConfig(epochs=1),
    adapt=HeadConfig(epochs=1),
    search=SearchConfig(population=4, generations=2, calibration_images=64),
    train=TrainConfig(epochs=1),
    augment=AugmentConfig(),
    limits=Limits(),
)

INHERIT = replace(TINY, init="inherit")


class MemoryRun:
    """A run that hands its results on in the form in which they would come out of a folder.

    Args:
        known: results of an earlier run, which are taken as they are, whatever their inputs.
        elapsed: what the run's clock says.
    """

    def __init__(self, known: Mapping[str, Artifact] | None = None, elapsed: float = 0.0) -> None:
        self.results = dict(known or {})
        self.inputs: dict[str, str] = {}
        self.computed: list[str] = []
        self.until: dict[str, float | None] = {}
        self.notes: list[str] = []
        self.elapsed = elapsed
        self.before: Callable[[str], None] = lambda name: None

    def stage(
        self,
        name: str,
        inputs: Mapping[str, Any],
        compute: Callable[[Stage], Artifact],
        until: float | None = None,
    ) -> Artifact:
        self.inputs[name] = json.dumps(inputs, allow_nan=False, sort_keys=True)
        self.until[name] = until
        if name not in self.results:
            self.before(name)
            self.computed.append(name)
            result = compute(Detached())
            tensors = {
                key: t.detach().clone(memory_format=torch.contiguous_format) for key, t in result.tensors.items()
            }
            self.results[name] = Artifact(json.loads(json.dumps(result.values)), tensors)
        return self.results[name]

    def note(self, text: str) -> None:
        self.notes.append(text)


def context_of(target: Dataset, run: MemoryRun, settings: Settings = TINY, **changed: Any) -> Context:
    context = Context(
        run=run,
        fabric=FABRIC,
        space=SPACE,
        source=choose_source(target, None),
        target=target,
        settings=settings,
        seed=0,
    )
    return replace(context, **changed)


def winner_of(run: MemoryRun) -> Candidate:
    values = run.results["search"].values
    return Candidate(**values["candidates"][values["winner"]])


def equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def with_settings(section: str, **values: Any) -> dict[str, Any]:
    model = type(getattr(TINY, section))
    merged = {**getattr(TINY, section).model_dump(), **values}
    return {"settings": replace(TINY, **{section: model.model_validate(merged)})}


def resnet(context: Context) -> Contender:
    """A narrow ResNet-8 that nothing has trained."""
    network = cifar_resnet(8, 10, generator=generator(0, "network"), channels=4)
    return make_contender(context.fitting, "train", "ResNet-8", None, network, {})
