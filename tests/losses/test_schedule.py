from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from tailornas.data.sampling import SAMPLERS
from tailornas.errors import ConfigError, UnknownNameError
from tailornas.losses import (
    SCHEDULES,
    ScheduleConfig,
    class_weights,
    effective_number,
    sampler_at,
    weights_at,
)
from tailornas.types import ClassCounts

COUNTS = ClassCounts((100, 10))
SHARES = st.floats(0, 1, exclude_max=True)


@settings(deadline=None, max_examples=50)
@given(start=SHARES, progress=SHARES)
def test_weights_come_in_at_the_start(start: float, progress: float) -> None:
    weights = weights_at(ScheduleConfig(name="drw", start=start), "auto", COUNTS, progress)
    if progress < start:
        assert weights is None
    else:
        assert weights is not None
        torch.testing.assert_close(weights, effective_number(COUNTS))


@settings(deadline=None, max_examples=50)
@given(start=SHARES, progress=SHARES)
def test_the_balanced_sampler_comes_in_at_the_start(start: float, progress: float) -> None:
    schedule = ScheduleConfig(name="drs", start=start)
    assert sampler_at(schedule, "instance", progress) == ("instance" if progress < start else "class_balanced")
    assert weights_at(schedule, None, COUNTS, progress) is None


def test_no_schedule_changes_nothing() -> None:
    assert weights_at(ScheduleConfig(), None, COUNTS, 1.0) is None
    assert sampler_at(ScheduleConfig(), "square_root", 1.0) == "square_root"


def test_re_weighting_leaves_the_sampler_alone() -> None:
    assert sampler_at(ScheduleConfig(name="drw", start=0), "instance", 1.0) == "instance"


def test_the_sampler_that_comes_in_exists() -> None:
    assert sampler_at(ScheduleConfig(name="drs", start=0), "instance", 1.0) in SAMPLERS


@pytest.mark.parametrize("weighting", ["inverse", (1.0, 3.0), [1.0, 3.0]])
def test_weighting_can_be_chosen(weighting: str | Sequence[float]) -> None:
    schedule = ScheduleConfig(name="drw", start=0.5)
    weights = weights_at(schedule, weighting, COUNTS, 0.5)
    assert weights is not None
    torch.testing.assert_close(weights, class_weights(weighting, COUNTS))
    assert weights_at(schedule, weighting, COUNTS, 0.9) is weights  # computed once


@pytest.mark.parametrize("start", [-0.1, 1.0, 1.1])
def test_start_out_of_range(start: float) -> None:
    with pytest.raises(ConfigError, match=r"start is a share of training in \[0, 1\) and is"):
        ScheduleConfig(name="drw", start=start)


@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan")])
def test_progress_out_of_range(progress: float) -> None:
    with pytest.raises(ConfigError, match=r"progress is a share of training in \[0, 1\] and is"):
        weights_at(ScheduleConfig(name="drw"), "auto", COUNTS, progress)


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="unknown schedule 'dwr': expected one of drs, drw, none"):
        ScheduleConfig(name="dwr")
    with pytest.raises(UnknownNameError, match="unknown weighting 'cui'"):
        weights_at(ScheduleConfig(), "cui", COUNTS, 1.0)
    with pytest.raises(ValidationError):
        ScheduleConfig.model_validate({"begin": 0.5})


def test_weights_count_from_the_beginning_unless_they_are_deferred() -> None:
    early = weights_at(ScheduleConfig(), "inverse", COUNTS, 0.0)
    assert early is not None
    torch.testing.assert_close(early, class_weights("inverse", COUNTS))


def test_a_setting_that_is_not_used_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"schedule 'none' does not use 'start' and got 0.5: leave it out or choose"):
        ScheduleConfig(start=0.5)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_errors_and_values_pass_through_an_outer_config(name: str) -> None:
    class Outer(BaseModel):
        schedule: ScheduleConfig = ScheduleConfig()

    outer = Outer.model_validate({"schedule": {"name": name}})
    assert Outer.model_validate(outer.model_dump()) == outer
    with pytest.raises(ConfigError, match="start is a share"):
        Outer.model_validate({"schedule": {"name": name, "start": 2}})
