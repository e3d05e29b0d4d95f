"""Which images networks are fitted to, and which they are measured on."""

from dataclasses import replace

import torch

from support.methods import MemoryRun, context_of, resnet
from tailornas.data import Dataset
from tailornas.methods import Fitting, evaluate


def test_what_is_measured_on_the_selection_split_is_not_fitted_to_it(target: Dataset) -> None:
    usual = context_of(target, MemoryRun()).fitting
    choosing = replace(usual, evaluate_on="selection")
    assert usual.measured is target.test
    assert choosing.measured is target.selection
    assert len(usual.split) == len(target.train) + len(target.selection)
    assert choosing.split is target.train
    assert not torch.isin(choosing.split.rows, choosing.measured.rows).any()
    assert usual.identity.keys() == {"seed", "device", "precision"}
    assert choosing.identity == {**usual.identity, "split": "train"}


def test_where_the_selection_split_is_never_fitted_to_weights_do_not_depend_on_what_is_measured(
    target: Dataset,
) -> None:
    usual = context_of(replace(target, own_selection=True), MemoryRun()).fitting
    assert replace(usual, evaluate_on="selection").identity == usual.identity


def test_the_measurement_is_of_the_split_that_was_asked_for_and_depends_on_it(target: Dataset) -> None:
    def evaluated(own_selection: bool, evaluate_on: str) -> tuple[int, str]:
        run = MemoryRun()
        context = context_of(replace(target, own_selection=own_selection), run)
        fitting: Fitting = replace(context.fitting, evaluate_on=evaluate_on)  # type: ignore[arg-type]
        metrics = evaluate(fitting, resnet(context)).values["train"]["metrics"]
        assert [entry["train"] for entry in metrics["per_class"]] == list(fitting.split.counts)
        return sum(entry["n"] for entry in metrics["per_class"]), run.inputs["evaluate"]

    test, inputs = evaluated(True, "test")
    selection, others = evaluated(True, "selection")
    assert (test, selection) == (len(target.test), len(target.selection))
    assert inputs != others
    assert evaluated(False, "selection")[1] not in (inputs, others)
