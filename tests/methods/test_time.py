"""How a run divides its time, and what becomes of what the time did not suffice for."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from support.methods import STAGES, TINY, MemoryRun, context_of, equal, resnet, with_settings
from tailornas.adaptation import HeadConfig
from tailornas.data import Dataset
from tailornas.errors import ConfigError
from tailornas.methods import Context, choose_source, imb_nas
from tailornas.methods.candidates import seconds_a_candidate
from tailornas.methods.final import plan_training
from tailornas.methods.plan import DEFAULT_EPOCHS, SearchPlan, TrainPlan, divide_training_time
from tailornas.methods.supernet import plan_search
from tailornas.search import SearchConfig
from tailornas.stages import Artifact, Detached, Stage
from tailornas.training import PretrainConfig, TrainConfig
from tailornas.types import SelectionSplit


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


def test_few_epochs_of_the_supernet_are_told_of_unless_they_were_asked_for(target: Dataset, whole: MemoryRun) -> None:
    told = []
    for settings in (TINY, replace(TINY, pretrain=PretrainConfig())):
        run = MemoryRun(whole.results)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tailornas.methods.supernet.images_per_second", lambda *_: 500.0)
            plan_search(context_of(target, run, settings, time_limit=30.0))
        told.append([note for note in run.notes if note.startswith("A supernet of ")])
    assert told[0] == []
    assert len(told[1]) == 1


LATE = {"schedule": {"name": "drs", "start": 0.995}, "epochs": None}


@pytest.mark.parametrize("section", ["pretrain", "adapt", "train"])
def test_balanced_batches_that_would_come_in_after_the_default_epochs_are_refused(
    target: Dataset, section: str
) -> None:
    run, epochs = MemoryRun(), DEFAULT_EPOCHS[section]
    message = (
        f"{section}: schedule 'drs' .* after 99.5% of training, and of {epochs} epochs none does: give at least 200"
    )
    with pytest.raises(ConfigError, match=message):
        imb_nas(context_of(target, run, **with_settings(section, **LATE)))
    assert run.inputs == {}


@pytest.mark.parametrize("section", ["pretrain", "adapt", "train"])
def test_balanced_batches_that_come_in_after_the_planned_epochs_are_told_of(
    target: Dataset, monkeypatch: pytest.MonkeyPatch, section: str
) -> None:
    for module in ("supernet", "final"):
        monkeypatch.setattr(f"tailornas.methods.{module}.images_per_second", lambda *_: 500.0)
    monkeypatch.setattr("tailornas.methods.supernet.seconds_a_candidate", lambda *_: 0.1)
    told = {}
    for start in (0.0, 0.995):
        run = MemoryRun()
        late = {**LATE, "schedule": {"name": "drs", "start": start}}
        context = context_of(target, run, time_limit=60.0, **with_settings(section, **late))
        plan_search(context)
        plan_training(context.fitting, resnet(context), resnet(context))
        told[start] = [note for note in run.notes if note.startswith(f"{section}: schedule 'drs' comes in ")]
    assert told[0.0] == []
    assert len(told[0.995]) == 1
    assert told[0.995][0].endswith("or an earlier schedule.start, or a longer time limit.")


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


@pytest.mark.parametrize(("population", "scored"), [(4, 4), (10**6, 5**6)])
def test_the_search_is_planned_for_the_images_and_candidates_of_its_stages(
    target: Dataset, monkeypatch: pytest.MonkeyPatch, population: int, scored: int
) -> None:
    asked: dict[str, Any] = {}

    def plan(limit: float, elapsed: float, **values: Any) -> SearchPlan:
        asked.update(values)
        return SearchPlan(1, 1, 1)

    monkeypatch.setattr("tailornas.methods.supernet.images_per_second", lambda *_: 500.0)
    monkeypatch.setattr("tailornas.methods.supernet.seconds_a_candidate", lambda *_: 0.1)
    monkeypatch.setattr("tailornas.methods.supernet.divide_search_time", plan)
    settings = with_settings("search", population=population)
    plan_search(context_of(target, MemoryRun(), time_limit=60.0, **settings))
    assert asked["source_images"] == len(choose_source(target, None).train) != len(target.train)
    assert asked["target_images"] == len(target.train)
    assert asked["population"] == scored


def test_a_candidate_takes_the_time_of_all_its_images(target: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it is timed on a part of the selection split, here on a clock that ticks once an image."""
    now = 0

    def scorer(context: Context, space: object, part: SelectionSplit) -> Callable[[object], None]:
        def scored(architecture: object) -> None:
            nonlocal now
            now += context.settings.search.calibration_images + len(part)

        assert len(part) == 64
        return scored

    monkeypatch.setattr("tailornas.methods.candidates.time", SimpleNamespace(perf_counter=lambda: now))
    monkeypatch.setattr("tailornas.methods.candidates.scorer", scorer)
    context = context_of(target, MemoryRun(), **with_settings("search", batch_size=16))
    seconds = seconds_a_candidate(context, context.new_space(target.train), 1.0)
    assert seconds == pytest.approx(64 + len(target.selection))


def test_the_final_training_is_planned_for_all_images_that_it_is_fitted_to(
    target: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def plan(limit: float, elapsed: float, **values: Any) -> TrainPlan:
        asked.update(values)
        return TrainPlan(1)

    monkeypatch.setattr("tailornas.methods.final.images_per_second", lambda *_: 500.0)
    monkeypatch.setattr("tailornas.methods.final.divide_training_time", plan)
    settings = with_settings("train", second_stage={"name": "crt", "epochs": 3})
    context = context_of(target, MemoryRun(), time_limit=60.0, **settings)
    plan_training(context.fitting, resnet(context), resnet(context))
    assert asked["images"] == len(target.fit)
    assert asked["heads_seconds"] == pytest.approx(2 * 3 * len(target.fit) / 500)


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
