"""What every stage depends on: a key that changed, or the data, has these computed again and nothing else."""

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, fields, replace
from typing import Any

import pytest
import torch
from PIL import Image
from pydantic import BaseModel
from torch import nn

from support.methods import (
    INHERIT,
    STAGES,
    TINY,
    MemoryRun,
    context_of,
    resnet,
)
from tailornas.config import RunConfig, read_config
from tailornas.data import Dataset
from tailornas.methods import Settings, choose_source, final, imb_nas
from tailornas.methods.plan import SearchPlan, TrainPlan
from tailornas.methods.supernet import Supernet, adapt, plan_search, pretrain
from tailornas.pipeline import search as pipeline
from tailornas.pipeline.images import read_images
from tailornas.runs import RunFolder, make_console
from tailornas.seeding import generator
from tailornas.spaces import (
    Backbone,
    Latency,
    SearchSpace,
    SpaceConfig,
    build_space,
)
from tailornas.stages import Artifact
from tailornas.training import PretrainConfig
from tailornas.types import Normalization


def test_the_space_is_what_the_supernet_and_the_found_network_depend_on(
    target: Dataset, whole: MemoryRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = MemoryRun(whole.results)
    monkeypatch.setattr("tailornas.methods.context.identify", lambda space: {"name": "other"})
    imb_nas(context_of(target, run))
    assert {name for name in STAGES if run.inputs[name] != whole.inputs[name]} == set(STAGES) - {"baseline"}


BASE = {
    "device.accelerator": "cpu",
    "device.precision": "fp32",
    "space.name": "nasbench201",
    "pretrain.epochs": 1,
    "adapt.epochs": 1,
    "search.population": 4,
    "search.generations": 2,
    "train.epochs": 1,
    "train.second_stage.name": "crt",
}

FINAL = {"train", "baseline", "train-head", "baseline-head", "latency", "evaluate"}

EVERYTHING = {"pretrain", "adapt", "search", *FINAL}

SUPERNET = {"pretrain", "adapt", "search"}

HEADS = {"train-head", "baseline-head", "latency", "evaluate"}

OPTIMIZER: dict[str, tuple[Any, ...]] = {
    "learning_rate": (0.05,),
    "momentum": (0.5,),
    "weight_decay": (0.1,),
    "decay_all": (True,),
    "nesterov": (False,),
    "warmup": (0.5,),
    "decay": ("step",),
    "milestones": ([0.5], {"decay": "step"}),
    "gamma": (0.5, {"decay": "step"}),
    "clip_norm": (0.01,),
}

OBJECTIVE: dict[str, tuple[Any, ...]] = {
    "loss": ("focal",),
    "loss_settings": ({"gamma": 3}, {"loss": "focal"}),
    "class_weights": ("inverse",),
    "schedule": ({"name": "drs", "start": 0}, {"sampler": "instance"}),
    "sampler": ("square_root", {"sampler": "instance"}),
    "head": ("scaled_cosine", {"loss": "ce"}),
}
MIX: dict[str, tuple[Any, ...]] = {
    "name": ("mixup",),
    "alpha": (0.5, {"name": "remix"}),
    "kappa": (30, {"name": "remix"}),
    "tau": (0.9, {"name": "remix"}),
}


def section(name: str, stages: set[str], keys: Mapping[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    return {
        f"{name}.{key}": (value, stages, {f"{name}.{k}": v for base in bases for k, v in base.items()})
        for key, (value, *bases) in keys.items()
    }


KEYS: dict[str, tuple[Any, ...]] = {
    "seed": (1, EVERYTHING),
    "time_limit": ("1h", {"plan", "plan-training"}),
    "init": ("inherit", FINAL - {"baseline", "baseline-head"}),
    **section("device", FINAL, {"compile": (True,)}),
    **section("device", EVERYTHING, {"precision": ("bf16",)}),
    **section("device", {"latency"}, {"threads": (2,)}),
    **section(
        "data",
        EVERYTHING,
        {
            "data": ("{images}",),
            "seed": (1,),
            "profile": ("step",),
            "imbalance_factor": (20,),
            "image_size": (10,),
            "selection_fraction": (0.3,),
            "test_fraction": (0.3,),
            "flip": (True,),
        },
    ),
    "source.data": ("{images}", SUPERNET),
    **section("space", EVERYTHING - {"baseline", "baseline-head"}, {"channels": (4,), "cells_per_stage": (2,)}),
    **section("limits", {"search"}, {"macs": ("2.5M",), "params": ("100k",)}),
    "limits.latency_ms": (1.0, {"limits", "search", "plan-baseline"}),
    **section("augment", EVERYTHING, {"crop": (False,), "flip": (True,), "policy": ("autoaugment",), "cutout": (2,)}),
    **section("pretrain", SUPERNET, {"epochs": (2,), "batch_size": (64,), **OBJECTIVE}),
    **section("pretrain.optimizer", SUPERNET, OPTIMIZER),
    **section("pretrain.mix", SUPERNET, MIX),
    **section("adapt", SUPERNET - {"pretrain"}, {"epochs": (2,), "batch_size": (64,), **OBJECTIVE}),
    **section("adapt.mix", SUPERNET - {"pretrain"}, MIX),
    **section("adapt.optimizer", SUPERNET - {"pretrain"}, OPTIMIZER),
    **section(
        "search",
        {"search"},
        {"population": (5,), "generations": (3,), "calibration_images": (32,), "batch_size": (64,)},
    ),
    **section(
        "train",
        FINAL,
        {
            "epochs": (2,),
            "batch_size": (64,),
            "drop_path": (0.1,),
            "auxiliary": (0.1,),
            **OBJECTIVE,
        },
    ),
    **section("train.mix", FINAL, MIX),
    **section("train.optimizer", FINAL, OPTIMIZER),
    **section("train.second_stage", HEADS, {"epochs": (2,), **OBJECTIVE}),
    **section("train.second_stage.mix", HEADS, MIX),
    "train.second_stage.name": ("lws", HEADS, {"train.loss": "ce"}),
    "train.second_stage.tau": (0.5, HEADS, {"train.loss": "ce", "train.second_stage.name": "tau_norm"}),
    **section("train.second_stage.optimizer", HEADS, OPTIMIZER),
    **section("groups", {"evaluate"}, {"by": ("terciles",), "many": (50,), "few": (5,)}),
}


"""Every key of a run: another value, the stages that depend on it, and keys that both have to be told beside it."""

NOTHING = {
    "method": "there is one",
    "device.accelerator": "auto is the processor here; the device that it comes to is in all inputs",
    "data.data_dir": "where images lie: what they are is in the fingerprint of the data",
    "data.memory_cap_mb": "images are the same in memory and on disk",
    "data.skip_bad": "what is left is in the fingerprint of the data",
    "source.data_dir": "as data.data_dir",
    "space.name": "see above",
    "train.two_branch": "not with networks of this space; like all of its section where it can be told",
}


"""Keys that may change no inputs, or do so in another test."""


def leaves(config: BaseModel, path: str = "") -> Iterator[str]:
    for name in type(config).model_fields:
        value = getattr(config, name)
        yield from leaves(value, f"{path}{name}.") if isinstance(value, BaseModel) else [f"{path}{name}"]


@pytest.fixture(scope="module")
def inputs_of(whole: MemoryRun, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, str]]:
    """Configuration -> the inputs of all stages of ``tailornas run`` in which every result is taken as it is."""
    images = tmp_path_factory.mktemp("images")
    for label, name in enumerate(("cat", "dog")):
        (images / name).mkdir()
        for number in range(40):
            Image.new("RGB", (8, 8), (number, 100 * label, 0)).save(images / name / f"{number}.png")
    known = {name: Artifact(result.values) for name, result in whole.results.items()}
    known |= {name: Artifact({}) for name in ("train-head", "baseline-head")}
    edges = ("0->1", "0->2", "1->2", "0->3", "1->3", "2->3")
    known["limits"] = Artifact(
        {"architecture": dict.fromkeys(edges, "skip_connect"), "costs": {"params": 1, "macs": 1, "latency_ms": 0.1}}
    )
    known |= {"plan": Artifact(asdict(SearchPlan(1, 1, 2))), "plan-training": Artifact(asdict(TrainPlan(1)))}
    known["plan-baseline"] = Artifact({"depth": 8})

    class DoneError(Exception):
        pass

    def done(*_: object) -> None:
        raise DoneError

    @functools.cache
    def built(config: SpaceConfig, classes: int, size: int) -> SearchSpace[Backbone]:
        return build_space(config, classes, generator(0, "space"), size)

    @functools.cache
    def read(flags: str) -> dict[str, str]:
        run, threads = MemoryRun(known), torch.get_num_threads()
        config = read_config(RunConfig, flags=json.loads(flags.replace("{images}", str(images))))
        with pytest.MonkeyPatch.context() as patch, pytest.raises(DoneError):
            patch.setattr(RunFolder, "open", lambda *_, **__: nullcontext(run))
            patch.setattr(pipeline, "_report", done)
            patch.setattr(pipeline, "read_images", images_of)
            for module in ("tailornas.pipeline.search", "tailornas.methods.context"):
                patch.setattr(f"{module}.build_space", lambda config, classes, rng, size: built(config, classes, size))
            # What was computed by other settings does not fit these; what they are refused for is not asked here.
            patch.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
            patch.setattr("tailornas.methods.supernet.transfer", lambda *_: None)
            patch.setitem(imb_nas.__globals__, "check_training", lambda *_: None)
            patch.setattr("tailornas.methods.fitting.latency", lambda *_: Latency(0.1, 0.0, 1))
            pipeline.run(config, images.parent / "run", console, command="")
        torch.set_num_threads(threads)
        assert run.computed == []
        return run.inputs

    images_of, console = functools.cache(read_images), make_console({}, quiet=True)
    return lambda flags: read(json.dumps(flags))


@pytest.mark.parametrize("key", KEYS)
def test_stages_are_computed_again_if_and_only_if_a_key_that_changed_concerns_them(
    inputs_of: Callable[[dict[str, Any]], dict[str, str]], key: str
) -> None:
    value, stages, *beside = KEYS[key]
    base = {**BASE, **(beside[0] if beside else {})}
    before, after = inputs_of(base), inputs_of({**base, key: value})
    assert {name for name in after if after[name] != before.get(name)} == stages


def test_what_was_measured_is_measured_again_by_another_number_of_threads(
    inputs_of: Callable[[dict[str, Any]], dict[str, str]],
) -> None:
    base = {**BASE, "limits.latency_ms": 1.0}
    before, after = inputs_of(base), inputs_of({**base, "device.threads": 2})
    assert {name for name in after if after[name] != before[name]} == {"limits", "search", "plan-baseline", "latency"}


def test_every_key_of_a_run_is_one_of_these() -> None:
    assert {*leaves(read_config(RunConfig, flags=BASE))} == {*KEYS, *NOTHING}
    assert not KEYS.keys() & NOTHING.keys()


REACHED = {
    "augment.": {"pretrain", "adapt", "train", "train-head"},
    "pretrain.": {"pretrain"},
    "adapt.": {"adapt"},
    "train.": {"train"},
    "train.second_stage.": {"train-head"},
    "groups.": {"evaluate"},
}


"""Sections and the stages that compute something else by each of their keys."""

EDGES = {"train.drop_path", "train.auxiliary"}


"""Keys that change nothing here: a ResNet has neither edges nor an auxiliary head."""


@pytest.fixture(scope="module")
def computed(target: Dataset) -> Callable[[dict[str, Any], str], dict[str, Any]]:
    """Configuration and stage -> weights after it in bytes, or the groups of its report; networks and data are tiny."""
    # Images of a source that is not balanced: else class weights would be 1.
    source = replace(choose_source(target, None), train=target.train)

    @functools.cache
    def stage(flags: str, name: str) -> Artifact:
        config = read_config(RunConfig, flags=json.loads(flags))
        settings = Settings(**{field.name: getattr(config, field.name) for field in fields(Settings)})
        run = MemoryRun()
        context = context_of(target, run, settings, source=source)
        if name == "pretrain":
            pretrain(context, plan_search(context), context.new_space(source.train))
        elif name == "adapt":
            adapt(context, plan_search(context), Supernet(context.new_space(target.train), {}))
        elif name == "evaluate":
            final.evaluate(context.fitting, resnet(context))
        else:
            if name == "train-head":
                first = {k: v for k, v in json.loads(flags).items() if not k.startswith("train.second_stage.")}
                run.results["train"] = stage(json.dumps(first), "train")
            contender = resnet(context)
            plan = final.plan_training(context.fitting, contender, contender)
            contender = final.train(context.fitting, plan, contender)
            if name == "train-head":
                final.retrain_head(context.fitting, contender)
        return run.results[name]

    def compute(flags: dict[str, Any], name: str) -> dict[str, Any]:
        result = stage(json.dumps(flags), name)
        if name == "evaluate":
            return dict(result.values["train"]["metrics"]["groups"])
        return {key: tensor.numpy().tobytes() for key, tensor in result.tensors.items()}

    return compute


@pytest.mark.parametrize("key", [key for key in KEYS if key.startswith(tuple(REACHED))])
def test_a_key_changes_what_is_computed(computed: Callable[[dict[str, Any], str], dict[str, Any]], key: str) -> None:
    value, _, *beside = KEYS[key]
    base = {**BASE, **dict.fromkeys(("pretrain.batch_size", "adapt.batch_size", "train.batch_size"), 32)}
    if key != "train.second_stage.tau":  # of a second stage that takes no epochs
        base["train.second_stage.epochs"] = 1
    base |= beside[0] if beside else {}
    for stage in REACHED[max(filter(key.startswith, REACHED), key=len)]:
        before, after = computed(base, stage), computed({**base, key: value}, stage)
        assert (before == after) == (key in EDGES), stage


def test_data_changes_what_is_computed_from_it(target: Dataset, whole: MemoryRun) -> None:
    other_target = MemoryRun(whole.results)
    source = choose_source(target, None)
    imb_nas(context_of(replace(target, fingerprint="other"), other_target, source=source))
    assert {name for name in STAGES if other_target.inputs[name] != whole.inputs[name]} == set(STAGES) - {"pretrain"}
    other_source = MemoryRun(whole.results)
    imb_nas(context_of(target, other_source, source=replace(source, fingerprint="other")))
    changed = {name for name in STAGES if other_source.inputs[name] != whole.inputs[name]}
    assert changed == {"pretrain", "adapt", "search"}


def test_pixels_that_are_normalized_otherwise_are_other_inputs(target: Dataset, whole: MemoryRun) -> None:
    """Of one split only: a published supernet brings its own statistics for the target, with the same fingerprint."""
    other, source = Normalization((0.5, 0.5, 0.5), (0.2, 0.2, 0.2)), choose_source(target, None)
    cases: list[tuple[dict[str, Any], set[str]]] = [
        ({"target": replace(target, normalization=other), "source": source}, set(STAGES) - {"pretrain"}),
        ({"source": replace(source, normalization=other)}, {"pretrain", "adapt", "search"}),
        ({"source": replace(source, flip=True)}, {"pretrain", "adapt", "search"}),
    ]
    for changed, stages in cases:
        run = MemoryRun(whole.results)
        imb_nas(context_of(changed.pop("target", target), run, **changed))
        assert {name for name in STAGES if run.inputs[name] != whole.inputs[name]} == stages


def test_an_inherited_start_depends_on_the_supernet(target: Dataset, whole: MemoryRun) -> None:
    inputs = []
    for epochs in (1, 2):
        settings = replace(TINY, pretrain=PretrainConfig(epochs=epochs), init="inherit")
        run = MemoryRun(whole.results)
        imb_nas(context_of(target, run, settings))
        inputs.append(run.inputs)
    assert {name for name in STAGES if inputs[0][name] != inputs[1][name]} == set(STAGES) - {"baseline"}


def test_what_follows_depends_on_how_long_the_supernet_was_really_trained(target: Dataset, whole: MemoryRun) -> None:
    pretrained = whole.results["pretrain"]
    run = MemoryRun({**whole.results, "pretrain": Artifact({**pretrained.values, "epochs": 40}, pretrained.tensors)})
    imb_nas(context_of(target, run, INHERIT))
    assert {name for name in STAGES if run.inputs[name] != whole.inputs[name]} == set(STAGES) - {"pretrain", "baseline"}
    assert run.inputs["pretrain"] == whole.inputs["pretrain"]
