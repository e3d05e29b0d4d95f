import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tailornas.adaptation import HeadConfig
from tailornas.errors import ConfigError
from tailornas.methods.plan import (
    DEFAULT_EPOCHS,
    FEW_EPOCHS,
    MOST_EPOCHS,
    SearchPlan,
    TrainPlan,
    divide_search_time,
    divide_training_time,
    measuring_seconds,
    warning,
)
from tailornas.search import SearchConfig
from tailornas.training import PretrainConfig, TrainConfig

FREE: Mapping[str, int | None] = {"pretrain": None, "adapt": None, "generations": None}


@dataclass(frozen=True)
class Job:
    """A dataset on a machine: seconds of every unit of work, as they were measured."""

    source_images: int
    target_images: int
    population: int
    pretrain_rate: float
    adapt_rate: float
    candidate_seconds: float
    found_rate: float
    baseline_rate: float

    def search(self, limit: float, elapsed: float, fixed: Mapping[str, int | None] = FREE) -> SearchPlan:
        return divide_search_time(
            limit,
            elapsed,
            fixed=fixed,
            source_images=self.source_images,
            target_images=self.target_images,
            population=self.population,
            pretrain_rate=self.pretrain_rate,
            adapt_rate=self.adapt_rate,
            candidate_seconds=self.candidate_seconds,
        )

    def train(self, limit: float, elapsed: float, fixed: int | None = None) -> TrainPlan:
        return divide_training_time(
            limit,
            elapsed,
            fixed=fixed,
            images=self.target_images,
            found_rate=self.found_rate,
            baseline_rate=self.baseline_rate,
        )

    def pretrain_seconds(self, plan: SearchPlan) -> float:
        return plan.pretrain_epochs * self.source_images / self.pretrain_rate

    def adapt_seconds(self, plan: SearchPlan) -> float:
        return plan.adapt_epochs * self.target_images / self.adapt_rate

    def search_seconds(self, plan: SearchPlan) -> float:
        """Of everything up to the end of the search."""
        scoring = plan.generations * self.population * self.candidate_seconds
        return self.pretrain_seconds(plan) + self.adapt_seconds(plan) + scoring

    def epoch_seconds(self) -> float:
        """Of one epoch of the found network and one of the baseline."""
        return self.target_images / self.found_rate + self.target_images / self.baseline_rate


RATES = st.floats(10, 1e5)
JOBS = st.builds(
    Job,
    source_images=st.integers(50, 100_000),
    target_images=st.integers(50, 100_000),
    population=st.integers(2, 50),
    pretrain_rate=RATES,
    adapt_rate=RATES,
    candidate_seconds=st.floats(1e-3, 5),
    found_rate=RATES,
    baseline_rate=RATES,
)
LIMITS = st.floats(1, 1e6)
GONE = st.floats(0, 0.2)


def test_a_time_limit_for_a_supernet_that_learns_next_to_nothing_is_told_with_one_that_suffices() -> None:
    """Twenty minutes of two small cores: 27,461 images at 200 a second, 156 steps of a head at 580 images a second."""
    job = Job(27_461, 9_926, 20, 200, 580, 5, 150, 150)
    short = job.search(1200, 60)
    assert short.pretrain_epochs < FEW_EPOCHS
    sentence = warning(short, job.source_images, 60)
    assert sentence is not None
    assert sentence.startswith(f"A supernet of {short.pretrain_epochs} epoch")
    minutes = re.search(r"need a time limit of about (\d+)m here", sentence)
    assert minutes is not None
    enough = job.search(60 * int(minutes[1]), 60)
    assert FEW_EPOCHS <= enough.pretrain_epochs <= FEW_EPOCHS + 2
    assert warning(enough, job.source_images, 60) is None


def test_nothing_is_told_of_a_supernet_that_others_trained() -> None:
    assert warning(SearchPlan(0, 5, 5), 100, 0) is None


@settings(deadline=None, max_examples=100)
@given(job=JOBS, limit=LIMITS, gone=GONE)
def test_what_is_planned_ends_within_the_limit(job: Job, limit: float, gone: float) -> None:
    elapsed = gone * limit
    try:
        plan = job.search(limit, elapsed)
    except ConfigError:
        assume(False)
    assert min(plan.pretrain_epochs, plan.adapt_epochs, plan.generations) >= 1
    assert plan.pretrain_epochs <= MOST_EPOCHS["pretrain"]
    assert plan.adapt_epochs <= MOST_EPOCHS["adapt"]
    assert plan.generations <= MOST_EPOCHS["generations"]
    after_search = elapsed + job.search_seconds(plan)
    assert after_search < limit

    training = job.train(limit, after_search)
    assert 1 <= training.epochs <= MOST_EPOCHS["train"]
    if job.epoch_seconds() <= 0.9 * limit - after_search:
        assert after_search + training.epochs * job.epoch_seconds() <= limit
    else:
        assert training.epochs == 1


@settings(deadline=None, max_examples=100)
@given(
    limit=LIMITS,
    gone=GONE,
    pretrain=st.floats(0.001, 0.2),
    adapt=st.floats(0.0005, 0.03),
    generation=st.floats(0.001, 0.08),
    found=st.floats(0.001, 0.1),
    baseline=st.floats(0.001, 0.1),
)
def test_most_of_the_limit_is_used(
    limit: float, gone: float, pretrain: float, adapt: float, generation: float, found: float, baseline: float
) -> None:
    """For epochs and generations that take these shares of the limit, of which one of each fits."""
    job = Job(
        source_images=1000,
        target_images=1000,
        population=10,
        pretrain_rate=1000 / (pretrain * limit),
        adapt_rate=1000 / (adapt * limit),
        candidate_seconds=generation * limit / 10,
        found_rate=1000 / (found * limit),
        baseline_rate=1000 / (baseline * limit),
    )
    after_search = gone * limit + job.search_seconds(job.search(limit, gone * limit))
    training = job.train(limit, after_search)
    assert after_search + training.epochs * job.epoch_seconds() >= 0.7 * limit - 1e-6 * limit


@settings(deadline=None, max_examples=100)
@given(job=JOBS, limit=LIMITS, elapsed=st.floats(0, 100))
def test_a_limit_that_is_too_short_says_how_long_is_enough(job: Job, limit: float, elapsed: float) -> None:
    try:
        job.search(limit, elapsed)
    except ConfigError as error:
        message = str(error)
    else:
        assume(False)
    match = re.fullmatch(r"a time limit of \d+ s is too short for .*: give at least (\d+) s, [^\n]*", message)
    assert match is not None, message
    enough = int(match[1])
    assert enough > limit
    plan = job.search(enough, elapsed)
    assert elapsed + job.search_seconds(plan) <= enough
    # Nor is it much more than what is needed: a tenth less would not do.
    with pytest.raises(ConfigError):
        job.search(0.9 * enough - 2, elapsed)


@settings(deadline=None, max_examples=100)
@given(
    job=JOBS,
    limit=LIMITS,
    gone=GONE,
    pretrain=st.none() | st.integers(1, 1000),
    adapt=st.none() | st.integers(1, 1000),
    generations=st.none() | st.integers(1, 1000),
)
def test_fixed_epochs_are_respected(
    job: Job, limit: float, gone: float, pretrain: int | None, adapt: int | None, generations: int | None
) -> None:
    try:
        plan = job.search(limit, gone * limit, {"pretrain": pretrain, "adapt": adapt, "generations": generations})
    except ConfigError:
        assume(False)
    assert pretrain in (None, plan.pretrain_epochs)
    assert adapt in (None, plan.adapt_epochs)
    assert generations in (None, plan.generations)
    most = job.train(limit, 0.5 * limit, fixed=10**6).epochs
    assert job.train(limit, 0.5 * limit, fixed=7).epochs == min(7, most)


@settings(deadline=None, max_examples=100)
@given(job=JOBS, limit=LIMITS, gone=GONE, pretrain=st.integers(1, 10_000))
def test_fixed_epochs_that_do_not_fit_are_refused(job: Job, limit: float, gone: float, pretrain: int) -> None:
    """The run has to end within the limit: it cannot do both."""
    try:
        plan = job.search(limit, gone * limit, {**FREE, "pretrain": pretrain})
    except ConfigError:
        return
    assert gone * limit + job.search_seconds(plan) <= limit


@settings(deadline=None, max_examples=100)
@given(job=JOBS, limit=LIMITS, gone=GONE)
def test_stages_may_overrun_their_plan_a_little_but_not_the_limit(job: Job, limit: float, gone: float) -> None:
    elapsed = gone * limit
    try:
        plan = job.search(limit, elapsed)
    except ConfigError:
        assume(False)
    pretrained = elapsed + job.pretrain_seconds(plan)
    adapted = pretrained + job.adapt_seconds(plan)
    assert plan.pretrain_until is not None
    assert pretrained < plan.pretrain_until < pretrained + 0.1 * limit
    assert plan.pretrain_until < limit

    training = job.train(limit, adapted)
    assert training.found_until is not None
    assert training.baseline_until is not None
    assert adapted < training.found_until < training.baseline_until < limit
    # What is left is divided as one epoch of each takes.
    found = training.found_until - adapted
    baseline = training.baseline_until - training.found_until
    assert found * job.found_rate == pytest.approx(baseline * job.baseline_rate, rel=1e-6)


def test_a_plan_by_hand() -> None:
    job = Job(
        source_images=1000,
        target_images=500,
        population=10,
        pretrain_rate=1000,  # 1 s an epoch
        adapt_rate=5000,  # 0.1 s an epoch
        candidate_seconds=0.1,  # 1 s a generation
        found_rate=250,  # 2 s an epoch
        baseline_rate=500,  # 1 s an epoch
    )
    plan = job.search(limit=100, elapsed=10)
    # Half of 80 s is for the search. The first of each take 2.1 s; 37.9 s are shared as 66%, 10% and 24%.
    assert (plan.pretrain_epochs, plan.adapt_epochs, plan.generations) == (1 + 25, 1 + 37, 1 + 9)
    assert plan.pretrain_until == pytest.approx(10 + 26 + 5)
    assert (plan.pretrain_rate, plan.adapt_rate, plan.candidate_seconds) == (1000, 5000, 0.1)

    training = job.train(limit=100, elapsed=49)
    assert training.epochs == 13  # 41 s for epochs of 3 s
    assert training.found_until == pytest.approx(49 + (96 - 49) * 2 / 3)
    assert training.baseline_until == pytest.approx(96)
    assert (training.found_rate, training.baseline_rate) == (250, 500)


def test_epochs_of_the_final_training_that_do_not_fit_are_as_many_as_fit() -> None:
    """Two hundred of which sixteen are done before time is up would end at the highest learning rate."""
    for fixed, epochs in ((200, 13), (13, 13), (12, 12)):  # 41 s for epochs of 3 s
        training = divide_training_time(100, 49, fixed=fixed, images=500, found_rate=250, baseline_rate=500)
        assert training.epochs == epochs


def test_the_second_stages_of_both_networks_are_set_aside() -> None:
    training = divide_training_time(
        100, 49, fixed=None, images=500, found_rate=250, baseline_rate=500, heads_seconds=11
    )
    assert training.epochs == 10  # 30 s for epochs of 3 s
    assert training.found_until == pytest.approx(49 + (96 - 11 - 49) * 2 / 3)
    assert training.baseline_until == pytest.approx(96 - 11)


@pytest.mark.parametrize("heads_seconds", [0.0, 60.0])
def test_the_final_training_is_at_least_one_epoch(heads_seconds: float) -> None:
    """By then a network has been found: one epoch too late is better than none."""
    training = divide_training_time(
        100, 99, fixed=None, images=500, found_rate=250, baseline_rate=500, heads_seconds=heads_seconds
    )
    assert training.epochs == 1


def test_plans_are_json_values() -> None:
    for plan in (SearchPlan(1, 2, 3), SearchPlan(1, 2, 3, 4.0, 5.0, 6.0, 7.0)):
        assert SearchPlan(**json.loads(json.dumps(asdict(plan)))) == plan
    for training in (TrainPlan(1), TrainPlan(1, 2.0, 3.0, 4.0, 5.0)):
        assert TrainPlan(**json.loads(json.dumps(asdict(training)))) == training


def test_measurements_take_little_of_the_limit() -> None:
    assert measuring_seconds(100) == pytest.approx(1.35)
    assert measuring_seconds(math.inf) == 8.0
    for limit in (1.0, 60.0, 3600.0, 1e6):
        assert 0 < 6 * (1 + 1 / 5) * measuring_seconds(limit) < 0.1 * limit  # each with its warm-up


def test_defaults_are_within_what_ever_pays() -> None:
    assert DEFAULT_EPOCHS.keys() == MOST_EPOCHS.keys()
    assert all(DEFAULT_EPOCHS[name] <= MOST_EPOCHS[name] for name in DEFAULT_EPOCHS)


def test_settings_tell_the_defaults() -> None:
    assert DEFAULT_EPOCHS == {"pretrain": 60, "adapt": 20, "generations": 10, "train": 100}
    told = {
        "pretrain": PretrainConfig.model_fields["epochs"],
        "adapt": HeadConfig.model_fields["epochs"],
        "generations": SearchConfig.model_fields["generations"],
        "train": TrainConfig.model_fields["epochs"],
    }
    for name, field in told.items():
        assert re.search(rf"\belse {DEFAULT_EPOCHS[name]}\b", field.description or ""), name
