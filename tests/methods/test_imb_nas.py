"""The method without a run folder: the order of its stages, what is checked before them, and what it may look at."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from support.methods import (
    INHERIT,
    SPACE,
    STAGES,
    TINY,
    MemoryRun,
    context_of,
    equal,
    resnet,
    winner_of,
    with_settings,
)
from tailornas.data import DataConfig, Dataset, prepare
from tailornas.errors import ConfigError, DataError, LimitError, TailorNASError
from tailornas.methods import METHODS, choose_source, imb_nas, retrain_head
from tailornas.methods.candidates import first_candidate
from tailornas.search import Limits
from tailornas.spaces import (
    DARTSConfig,
    ElasticResNetConfig,
    Latency,
)
from tailornas.training import TrainConfig
from tailornas.types import Images


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


def guarded_by(target: Dataset) -> tuple[Dataset, Guarded]:
    """The target, of which no test image may be looked at, and its guard."""
    guard = Guarded(target.test.images, set(target.test.rows.tolist()), set())
    splits = {name: replace(getattr(target, name), images=guard) for name in ("train", "selection", "test", "leftover")}
    return replace(target, **splits), guard


def test_test_images_are_not_looked_at_before_the_last_stage_and_no_other_is_wasted(target: Dataset) -> None:
    guarded, guard = guarded_by(target)
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
    assert len(looked_at["search"] & train) == TINY.search.calibration_images
    assert looked_at["train"] == looked_at["baseline"] == train | selection
    assert looked_at["evaluate"] == test


def test_class_means_of_a_second_stage_are_those_of_the_training_images(target: Dataset) -> None:
    guarded, guard = guarded_by(target)
    context = context_of(guarded, MemoryRun(), **with_settings("train", second_stage={"name": "ncm"}))
    retrain_head(context.fitting, resnet(context))
    assert guard.seen == set(target.train.rows.tolist()) | set(target.selection.rows.tolist())


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
    with pytest.raises(DataError, match="got 2 weights: give one"):
        wrong = with_settings(stage, class_weights=(1.0, 2.0))["settings"]
        imb_nas(context_of(target, run, replace(wrong, limits=Limits(latency_ms=1000.0))))
    elastic = ElasticResNetConfig(channels=4)
    with pytest.raises(ConfigError, match="the head 'cosine' cannot follow features whose number"):
        imb_nas(context_of(target, run, space=elastic, **with_settings(stage, loss="ldam", class_weights=None)))
    assert run.inputs == {}


def test_balanced_batches_that_a_schedule_would_bring_in_are_there_already(target: Dataset) -> None:
    run, plain = MemoryRun(), prepare(DataConfig(data="digits", profile="as-is"), seed=0)
    late = with_settings("pretrain", schedule={"name": "drs", "start": 0.5}, epochs=2)
    with pytest.raises(ConfigError, match="which a long-tailed source has from the beginning"):
        imb_nas(context_of(target, run, **late, source=choose_source(plain, None)))
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
    context = context_of(target, run, space=space)
    with pytest.raises(ConfigError, match="images of 32 pixels, 8 after two reductions, and these have 8"):
        imb_nas(context)
    assert run.computed == []
