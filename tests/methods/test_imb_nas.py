"""The method without a run folder: the order of its stages, what each depends on, and what it may look at."""

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest
import torch
from PIL import Image
from pydantic import BaseModel
from torch import Tensor, nn

from tailornas.adaptation import HeadConfig
from tailornas.config import RunConfig, read_config
from tailornas.data import AugmentConfig, DataConfig, Dataset, ordered, prepare
from tailornas.errors import ConfigError, DataError, LimitError, TailorNASError
from tailornas.methods import METHODS, Context, Settings, SupernetSource, choose_source, final, imb_nas, make_contender
from tailornas.methods.candidates import first_candidate
from tailornas.methods.contenders import Contender, baseline_network, found_network
from tailornas.methods.plan import DEFAULT_EPOCHS, SearchPlan, TrainPlan, divide_training_time
from tailornas.methods.supernet import Supernet, adapt, plan_search, pretrain
from tailornas.metrics import expected_calibration_error
from tailornas.pipeline import search as pipeline
from tailornas.pipeline.images import read_images
from tailornas.runs import RunFolder, make_console
from tailornas.search import Candidate, Limits, SearchConfig
from tailornas.seeding import generator
from tailornas.spaces import (
    Backbone,
    DARTSConfig,
    ElasticResNetConfig,
    Latency,
    NASBench201Config,
    SearchSpace,
    SpaceConfig,
    build_space,
    cifar_resnet,
    count,
)
from tailornas.stages import Artifact, Detached, Stage
from tailornas.training import DeviceConfig, PretrainConfig, TrainConfig, make_fabric, predict
from tailornas.types import Images, Normalization

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


@pytest.fixture(scope="module", autouse=True)
def _two_baselines() -> Iterator[None]:
    """Counting the costs of all residual networks would take longer than the rest of a run on tiny networks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tailornas.spaces.resnet.DEPTHS", (8, 20))
        yield


@pytest.fixture(scope="module")
def target() -> Dataset:
    return prepare(DataConfig(data="digits", imbalance_factor=50), seed=0)


def context_of(target: Dataset, run: MemoryRun, settings: Settings = TINY, **changed: Any) -> Context:
    context = Context(
        run=run,
        fabric=FABRIC,
        build_space=lambda classes, rng: build_space(SPACE, classes, rng),
        space_id=SPACE.model_dump(mode="json"),
        space_settings=SPACE.model_dump(mode="json"),
        build_network=SPACE.network,
        source=choose_source(target, None),
        target=target,
        settings=settings,
        seed=0,
    )
    return replace(context, **changed)


@pytest.fixture(scope="module")
def whole(target: Dataset) -> MemoryRun:
    """A run that computed everything."""
    run = MemoryRun()
    imb_nas(context_of(target, run))
    return run


@pytest.fixture(scope="module")
def inherited(target: Dataset) -> MemoryRun:
    """The same with the supernet's weights as the found network's first ones."""
    run = MemoryRun()
    imb_nas(context_of(target, run, INHERIT))
    return run


def winner_of(run: MemoryRun) -> Candidate:
    values = run.results["search"].values
    return Candidate(**values["candidates"][values["winner"]])


def equal(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_method_is_known_by_its_name() -> None:
    assert METHODS["imb-nas"] is imb_nas


def test_the_stages_and_their_results(target: Dataset, whole: MemoryRun) -> None:
    assert whole.computed == STAGES
    assert whole.until == dict.fromkeys(STAGES)
    values = {name: whole.results[name].values for name in STAGES}
    assert {values[name]["epochs"] for name in ("pretrain", "adapt", "train", "baseline")} == {1}
    assert len(values["search"]["candidates"]) == 8
    space = SPACE.model_dump(mode="json")
    assert values["search"]["space"] == {"settings": space, "identity": space}
    assert whole.results["adapt"].tensors.keys() == {"weight", "bias"}

    winner = winner_of(whole)
    assert winner.score == max(c["score"] for c in values["search"]["candidates"] if c["score"] is not None)
    assert values["train"]["architecture"] == winner.architecture
    assert values["train"]["name"] == "found network"
    assert values["baseline"]["name"].startswith("ResNet-")
    assert values["baseline"]["architecture"] is None
    for name in ("train", "baseline"):
        metrics = values["evaluate"][name]["metrics"]
        assert 0 <= metrics["balanced_accuracy"] <= 1
        assert values["latency"][name]["latency_ms"]["median"] > 0
        # The baseline is a ResNet with a cosine head too: costs are those of the network that is trained.
        assert (
            sum(t.numel() for k, t in whole.results[name].tensors.items() if is_parameter(k))
            == (values[name]["costs"]["params"])
        )


def is_parameter(name: str) -> bool:
    return not name.endswith(("running_mean", "running_var", "num_batches_tracked"))


def test_the_backbone_that_is_searched_with_is_the_pretrained_one(target: Dataset, whole: MemoryRun) -> None:
    """The supernet's first epoch moved it; adaptation left it alone, as only its head is kept."""
    fresh = context_of(target, MemoryRun()).new_space(choose_source(target, None).train)
    pretrained = whole.results["pretrain"].tensors
    assert pretrained.keys() == fresh.network.state_dict().keys()
    assert not torch.equal(pretrained["stem.0.weight"], fresh.network.state_dict()["stem.0.weight"])


def test_a_second_run_takes_every_result_as_it_is(target: Dataset, whole: MemoryRun) -> None:
    again = MemoryRun(whole.results)
    assert imb_nas(context_of(target, again)) == whole.results["evaluate"]
    assert again.computed == []
    assert again.inputs == whole.inputs


@pytest.mark.parametrize(("init", "known"), [("scratch", 1), ("scratch", 3), ("inherit", 2), ("inherit", 3)])
def test_a_run_that_goes_on_after_any_stage_ends_with_the_same_bits(
    target: Dataset, whole: MemoryRun, inherited: MemoryRun, init: str, known: int
) -> None:
    """What a stage that was computed leaves in memory must not differ from what its result restores."""
    settings, wanted = (INHERIT, inherited) if init == "inherit" else (TINY, whole)
    run = MemoryRun({name: wanted.results[name] for name in STAGES[:known]})
    imb_nas(context_of(target, run, settings))
    assert run.computed == STAGES[known:]
    for name in STAGES:
        assert equal(run.results[name].tensors, wanted.results[name].tensors), name
    assert run.results["search"].values == wanted.results["search"].values
    for name in ("train", "baseline"):
        metrics = [r.results["evaluate"].values[name]["metrics"] for r in (run, wanted)]
        assert metrics[0] == metrics[1]


@dataclass(frozen=True)
class Guarded:
    """Images of which some rows may not be looked at yet."""

    images: Images
    forbidden: set[int]
    seen: set[int]

    @property
    def size(self) -> int:
        return self.images.size

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: Tensor) -> Tensor:
        assert not self.forbidden & set(rows.tolist()), "a test image was looked at"
        self.seen.update(rows.tolist())
        return self.images.take(rows)


def test_test_images_are_not_looked_at_before_the_last_stage_and_no_other_is_wasted(target: Dataset) -> None:
    guard = Guarded(target.test.images, set(target.test.rows.tolist()), set())
    guarded = replace(
        target,
        **{name: replace(getattr(target, name), images=guard) for name in ("train", "selection", "test", "leftover")},
    )
    run = MemoryRun()
    seen: dict[str, set[int]] = {}

    def before(name: str) -> None:
        seen[name] = set(guard.seen)
        guard.seen.clear()
        if name == "evaluate":
            guard.forbidden.clear()

    run.before = before
    imb_nas(context_of(guarded, run))
    train, selection, test = (set(getattr(target, n).rows.tolist()) for n in ("train", "selection", "test"))
    looked_at = dict(zip(STAGES, [*list(seen.values())[1:], guard.seen], strict=True))
    assert looked_at["pretrain"] == set(choose_source(target, None).train.rows.tolist())
    assert not looked_at["pretrain"] & (train | selection | test)
    assert looked_at["adapt"] == train
    assert looked_at["search"] & selection == selection
    assert looked_at["search"] <= train | selection
    assert looked_at["train"] == looked_at["baseline"] == train | selection
    assert looked_at["evaluate"] == test


def with_settings(section: str, **values: Any) -> dict[str, Any]:
    model = type(getattr(TINY, section))
    merged = {**getattr(TINY, section).model_dump(), **values}
    return {"settings": replace(TINY, **{section: model.model_validate(merged)})}


def test_the_space_is_what_the_supernet_and_the_found_network_depend_on(target: Dataset, whole: MemoryRun) -> None:
    run = MemoryRun(whole.results)
    imb_nas(context_of(target, run, space_id={"name": "other"}))
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
    "sampler": ("class_balanced", {"sampler": "instance"}),
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
    **section("pretrain", SUPERNET, {"epochs": (2,), "batch_size": (64,), "class_weights": ("inverse",), **OBJECTIVE}),
    **section("pretrain.optimizer", SUPERNET, OPTIMIZER),
    **section(
        "adapt",
        SUPERNET - {"pretrain"},
        {"epochs": (2,), "batch_size": (64,), "class_weights": ("none",), **OBJECTIVE},
    ),
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
            "class_weights": ("inverse",),
            "schedule": ({"name": "drs", "start": 0},),
            "head": ("etf", {"loss": "ce"}),
            "drop_path": (0.1,),
            "auxiliary": (0.1,),
            **OBJECTIVE,
        },
    ),
    **section(
        "train.mix",
        FINAL,
        {
            "name": ("mixup",),
            "alpha": (0.5, {"name": "remix"}),
            "kappa": (30, {"name": "remix"}),
            "tau": (0.9, {"name": "remix"}),
        },
    ),
    **section("train.optimizer", FINAL, OPTIMIZER),
    **section("train.second_stage", HEADS, {"epochs": (2,), **OBJECTIVE}),
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
    known |= {"plan": Artifact(SearchPlan(1, 1, 2).values()), "plan-training": Artifact(TrainPlan(1).values())}
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
            patch.setattr(pipeline, "build_space", lambda config, classes, rng, size: built(config, classes, size))
            # What was computed by other settings does not fit these; what they are refused for is not asked here.
            patch.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
            patch.setattr("tailornas.methods.supernet.transfer", lambda *_: None)
            patch.setitem(imb_nas.__globals__, "check_training", lambda *_: None)
            patch.setattr("tailornas.methods.fitting.latency", lambda *_: Latency(0.1, 0.0, 1))
            pipeline.run(config, images, console, command="")
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


def resnet(context: Context) -> Contender:
    """A narrow ResNet-8 that nothing has trained."""
    network = cifar_resnet(8, 10, generator=generator(0, "network"), channels=4)
    return make_contender(context.fitting, "train", "ResNet-8", None, network, {})


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


def test_the_second_branch_sees_rare_classes_most_often(target: Dataset) -> None:
    context = context_of(target, MemoryRun(), **with_settings("train", loss="ce", two_branch=True))
    batches = final._train_batches(context.fitting, resnet(context)).epoch(0, 1)
    halves = zip(*(labels.chunk(2) for _, labels in batches), strict=True)
    conventional, reversed_ = (torch.cat(half).bincount(minlength=10) for half in halves)
    assert conventional.tolist() == list(context.fitting.split.counts)
    assert reversed_[9] > 10 * reversed_[0] > 0


@pytest.mark.parametrize(("second", "scale"), [({"name": "none"}, 30.0), ({"name": "crt", "epochs": 1}, 1.0)])
def test_probabilities_are_those_of_the_loss_that_the_head_was_fitted_by(
    target: Dataset, second: dict[str, Any], scale: float
) -> None:
    """LDAM multiplies cosines by 30; the cross-entropy of a second stage takes logits as they are."""
    context = context_of(target, MemoryRun(), **with_settings("train", second_stage=second))
    contender = final.retrain_head(context.fitting, resnet(context))
    metrics = final.evaluate(context.fitting, contender).values["train"]["metrics"]
    images = ordered(target.test, 256, target.normalization, FABRIC.device)
    logits, labels = predict(FABRIC, contender.network, images)
    assert metrics["ece"] == pytest.approx(expected_calibration_error((scale * logits).softmax(1), labels))


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


def test_first_weights_of_the_found_network(target: Dataset, whole: MemoryRun) -> None:
    context = context_of(target, MemoryRun())
    space = context.new_space(target.train)
    before = space.network.get_parameter("stem.0.weight").detach().clone()
    first = {}
    for init in ("scratch", "inherit"):
        settings = replace(TINY, train=TrainConfig(epochs=1, loss="focal"), init=init)
        contender = found_network(context_of(target, MemoryRun(), settings), winner_of(whole), Supernet(space, {}))
        first[init] = contender.network
        assert count(contender.network, target.image_size).params == contender.costs.params
    assert torch.equal(first["inherit"].get_parameter("stem.0.weight"), before)
    assert torch.equal(first["inherit"].get_parameter("head.weight"), space.network.get_parameter("head.weight"))
    assert not torch.equal(first["scratch"].get_parameter("stem.0.weight"), before)
    assert first["inherit"].get_parameter("stem.0.weight") is not space.network.get_parameter("stem.0.weight")


@pytest.mark.parametrize(
    ("macs", "name"), [(800_000, "ResNet-8"), (2_500_000, "ResNet-8"), (3_000_000, "ResNet-20"), (10**9, "ResNet-20")]
)
def test_the_baseline_is_the_largest_resnet_within_the_limits(
    target: Dataset, whole: MemoryRun, macs: int, name: str
) -> None:
    settings = replace(TINY, limits=Limits(macs=macs))
    contender = baseline_network(context_of(target, MemoryRun(), settings).fitting, winner_of(whole))
    assert contender.name == name
    assert contender.costs.macs <= macs


def test_the_baseline_is_as_fast_as_the_limit_and_stays_what_it_was(
    target: Dataset, whole: MemoryRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slower clock at a second start does not change which ResNet it is."""
    milliseconds = 0.1

    def clock(network: nn.Module, image_size: int) -> Latency:
        return Latency(milliseconds * sum(isinstance(m, nn.Conv2d | nn.Linear) for m in network.modules()), 0.0, 1)

    monkeypatch.setattr("tailornas.methods.fitting.latency", clock)
    run = MemoryRun()
    fitting = context_of(target, run, replace(TINY, limits=Limits(latency_ms=2.5))).fitting
    assert baseline_network(fitting, winner_of(whole)).name == "ResNet-20"
    milliseconds = 0.2
    assert baseline_network(fitting, winner_of(whole)).name == "ResNet-20"
    assert (run.computed, run.notes) == (["plan-baseline"], [])
    monkeypatch.setattr("torch.get_num_threads", lambda: 64)
    elsewhere = MemoryRun(run.results)
    baseline_network(replace(fitting, run=elsewhere), winner_of(whole))
    assert elsewhere.inputs["plan-baseline"] != run.inputs["plan-baseline"]
    again = MemoryRun()
    fitting = context_of(target, again, replace(TINY, limits=Limits(latency_ms=0.5))).fitting
    assert baseline_network(fitting, winner_of(whole)).name == "ResNet-8"
    assert again.notes == ["The baseline ResNet-8 is above the limits: no smaller ResNet is known for these images."]


@pytest.mark.parametrize("stage", ["adapt", "pretrain"])
def test_a_stage_with_cosines_that_is_done_is_taken_up(target: Dataset, stage: str) -> None:
    """Its head is not the one that the supernet was built with."""
    run = MemoryRun()
    settings = with_settings(stage, loss="ldam", **({"class_weights": None} if stage == "adapt" else {}))
    imb_nas(context_of(target, run, **settings))
    again = MemoryRun({name: run.results[name] for name in STAGES[:2]})
    imb_nas(context_of(target, again, **settings))
    assert again.computed == STAGES[2:]
    for name in STAGES:
        assert again.inputs[name] == run.inputs[name]
        assert equal(again.results[name].tensors, run.results[name].tensors), name
    assert again.results["search"].values == run.results["search"].values
    linear = MemoryRun({name: run.results[name] for name in STAGES[:3]})
    trained_by = {"train": TrainConfig(epochs=1, loss="cross_entropy"), "init": "inherit"}
    imb_nas(context_of(target, linear, replace(settings["settings"], **trained_by)))
    assert "head.bias" in linear.results["train"].tensors


@pytest.mark.parametrize("stage", ["adapt", "pretrain"])
def test_settings_of_the_supernets_stages_are_checked_before_anything_is_computed(target: Dataset, stage: str) -> None:
    run = MemoryRun()
    with pytest.raises(DataError, match="got 2 weights: give them"):
        wrong = with_settings(stage, class_weights=(1.0, 2.0))["settings"]
        imb_nas(context_of(target, run, replace(wrong, limits=Limits(latency_ms=1000.0))))
    elastic = ElasticResNetConfig(channels=4)
    built: dict[str, Any] = {
        "build_space": lambda classes, rng: build_space(elastic, classes, rng),
        "build_network": elastic.network,
    }
    with pytest.raises(ConfigError, match="LDAM needs a cosine head, which cannot follow features"):
        imb_nas(context_of(target, run, **built, **with_settings(stage, loss="ldam", class_weights=None)))
    assert run.inputs == {}


def test_limits_are_checked_before_anything_is_computed(target: Dataset) -> None:
    run = MemoryRun()
    with pytest.raises(LimitError, match="the smallest found has"):
        imb_nas(context_of(target, run, replace(TINY, limits=Limits(macs=1000))))
    assert run.inputs == {}


def test_a_latency_limit_is_checked_by_measuring_once(
    target: Dataset, whole: MemoryRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[nn.Module] = []

    def clock(network: nn.Module, image_size: int) -> Latency:
        measured.append(network)
        return Latency(1.0, 0.0, 1)

    monkeypatch.setattr("tailornas.methods.fitting.latency", clock)
    run = MemoryRun()
    context = context_of(target, run, replace(TINY, limits=Limits(latency_ms=2.0)))
    space = context.new_space(target.train)
    found = [first_candidate(context, space) for _ in range(2)]
    assert (run.computed, len(measured)) == (["limits"], 1)
    assert found[0] == found[1]
    assert space.valid(found[0][0])
    assert found[0][1].latency_ms == 1.0
    before = run.inputs["limits"]
    monkeypatch.setattr("torch.get_num_threads", lambda: 64)
    first_candidate(context, space)
    assert run.inputs["limits"] != before


def test_settings_that_do_not_fit_the_data_are_refused_before_anything_is_computed(target: Dataset) -> None:
    """Not hours later, when the last fifth of the final training would need them."""
    run, two_weights = MemoryRun(), (1.0, 2.0)  # for ten classes
    with pytest.raises(TailorNASError, match="2"):
        imb_nas(context_of(target, run, replace(TINY, train=TrainConfig(epochs=1, class_weights=two_weights))))
    assert run.computed == []


def test_an_auxiliary_head_for_other_images_is_refused_before_anything_is_computed(target: Dataset) -> None:
    """The supernet has none: it is the network that is trained in the end that has it."""
    space, run = DARTSConfig(channels=4, cells=3, auxiliary=True), MemoryRun()
    context = context_of(
        target, run, build_space=lambda classes, rng: build_space(space, classes, rng), build_network=space.network
    )
    with pytest.raises(ConfigError, match="images of 32 pixels, 8 after two reductions, and these have 8"):
        imb_nas(context)
    assert run.computed == []


def test_without_a_time_limit_epochs_are_the_set_or_the_default_ones(target: Dataset) -> None:
    run = MemoryRun()
    assert plan_search(context_of(target, run)) == SearchPlan(1, 1, 2)
    free = replace(TINY, pretrain=PretrainConfig(), adapt=HeadConfig(), search=SearchConfig())
    assert plan_search(context_of(target, run, free)) == SearchPlan(
        DEFAULT_EPOCHS["pretrain"], DEFAULT_EPOCHS["adapt"], DEFAULT_EPOCHS["generations"]
    )
    assert run.inputs == {}


def test_a_time_limit_is_planned_from_what_was_measured(target: Dataset, whole: MemoryRun) -> None:
    """On weights that are thrown away: with the same epochs the results are those without a limit."""
    run = MemoryRun(elapsed=3.0)
    imb_nas(context_of(target, run, time_limit=600.0))
    assert run.computed == ["plan", *STAGES[:3], "plan-training", *STAGES[3:]]
    for name in STAGES:
        assert run.inputs[name] == whole.inputs[name]
        assert equal(run.results[name].tensors, whole.results[name].tensors), name
    plan, training = run.results["plan"].values, run.results["plan-training"].values
    assert min(plan["pretrain_rate"], plan["adapt_rate"], plan["candidate_seconds"]) > 0
    assert min(training["found_rate"], training["baseline_rate"]) > 0
    assert run.notes[0].endswith("both networks are trained for train.epochs, or as many as then fit.")
    assert run.until["pretrain"] == plan["pretrain_until"]
    assert run.until["adapt"] is None  # cut short it would spoil the search
    assert run.until["train"] == training["found_until"]
    assert run.until["baseline"] == training["baseline_until"]


def test_a_second_stage_under_a_time_limit_follows_both_trainings_in_time_that_was_set_aside(
    target: Dataset, whole: MemoryRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the baseline, which is trained last, would have less time than the network it is compared with."""
    asked: list[dict[str, Any]] = []

    def plan(limit: float, elapsed: float, **values: Any) -> TrainPlan:
        asked.append(values)
        return divide_training_time(limit, elapsed, **values)

    monkeypatch.setattr("tailornas.methods.final.divide_training_time", plan)
    run = MemoryRun({name: whole.results[name] for name in STAGES[:3]})
    settings = with_settings("train", second_stage={"name": "crt", "epochs": 2})
    imb_nas(context_of(target, run, time_limit=60.0, **settings))
    last = ["plan-training", "train", "baseline", "train-head", "baseline-head", "latency", "evaluate"]
    assert run.computed == ["plan", *last]
    seconds = asked[0]["heads_seconds"]
    assert seconds > 0
    assert run.until["baseline"] == pytest.approx(0.96 * 60 - seconds)
    assert run.until["train-head"] is run.until["baseline-head"] is None
    assert run.notes[-1].endswith(f" of each of both networks, and {seconds:.0f} s for their second stages.")
    for name in ("train", "baseline"):  # what was measured was thrown away
        assert equal(run.results[name].tensors, whole.results[name].tensors)
        head = run.results[f"{name}-head"].tensors
        assert not torch.equal(head["head.weight"], run.results[name].tensors["head.weight"])

    again = MemoryRun(run.results)
    imb_nas(context_of(target, again, time_limit=60.0, **with_settings("train", second_stage={"name": "crt"})))
    assert again.inputs["plan-training"] != run.inputs["plan-training"]


def test_a_time_limit_that_is_too_short(target: Dataset) -> None:
    run = MemoryRun()
    free = replace(TINY, pretrain=PretrainConfig())
    with pytest.raises(ConfigError, match=r"^a time limit of 0 s is too short .* give at least \d+ s"):
        imb_nas(context_of(target, run, free, time_limit=0.1))
    assert run.results == {}


def test_a_training_that_stopped_early_is_noted(target: Dataset, whole: MemoryRun) -> None:
    class Late(Detached):  # type: ignore[misc]
        def overdue(self, next_seconds: float) -> bool:
            return True

    class HurriedRun(MemoryRun):
        def stage(
            self,
            name: str,
            inputs: Mapping[str, Any],
            compute: Callable[[Stage], Artifact],
            until: float | None = None,
        ) -> Artifact:
            return super().stage(name, inputs, lambda stage: compute(Late()), until)

    run = HurriedRun({name: whole.results[name] for name in STAGES[:3]})
    imb_nas(context_of(target, run, replace(TINY, train=TrainConfig(epochs=3))))
    assert run.results["train"].values["epochs"] == 1
    assert run.results["baseline"].values["epochs"] == 1
    assert len(run.notes) == 2
    assert run.notes[0].startswith("The training of the found network stopped at epoch 1 of 3: ")
    assert run.notes[1].startswith("The training of the ResNet-")

    trained = whole.results["train"]
    longer = MemoryRun({**whole.results, "train": Artifact({**trained.values, "epochs": 3}, trained.tensors)})
    imb_nas(context_of(target, longer, replace(TINY, train=TrainConfig(epochs=3))))
    assert {name for name in STAGES if longer.inputs[name] != run.inputs[name]} == {"latency", "evaluate"}


def test_what_follows_depends_on_how_long_the_supernet_was_really_trained(target: Dataset, whole: MemoryRun) -> None:
    pretrained = whole.results["pretrain"]
    run = MemoryRun({**whole.results, "pretrain": Artifact({**pretrained.values, "epochs": 40}, pretrained.tensors)})
    imb_nas(context_of(target, run, INHERIT))
    assert {name for name in STAGES if run.inputs[name] != whole.inputs[name]} == set(STAGES) - {"pretrain", "baseline"}
    assert run.inputs["pretrain"] == whole.inputs["pretrain"]


def test_the_source_of_the_supernet(target: Dataset) -> None:
    leftover = choose_source(target, None)
    assert leftover.sampler == "instance"
    assert leftover.train.counts.imbalance_factor == 1
    used = {row for split in (target.train, target.selection, target.test) for row in split.rows.tolist()}
    assert not used & set(leftover.train.rows.tolist())

    plain = prepare(DataConfig(data="digits", profile="as-is"), seed=0)
    itself = choose_source(plain, None)
    assert itself.train is plain.train
    assert itself.sampler == "class_balanced"
    assert itself.fingerprint != plain.fingerprint

    named = choose_source(target, plain)
    assert isinstance(named, SupernetSource)
    assert len(named.train) == len(plain.train) + len(plain.selection)
    # Rows of a part of its own are those of another collection.
    assert choose_source(target, replace(plain, own_selection=True)).train is plain.train
    assert named.sampler == "instance"
    assert choose_source(plain, target).sampler == "class_balanced"
    assert len({source.fingerprint for source in (leftover, itself, named)}) == 3
