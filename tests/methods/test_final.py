"""The last stages: what is recorded of two networks that were measured on the same images."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tailornas.losses import build_loss
from tailornas.methods import evaluate
from tailornas.methods import final as stages
from tailornas.metrics import GroupConfig, difference_variances, mean_error
from tailornas.seeding import generator
from tailornas.stages import Detached
from tailornas.training import TrainConfig
from tailornas.types import ClassCounts

COUNTS = ClassCounts((300, 200, 50, 5))  # nothing of the last class is in the test split: its group is absent
LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2])
FOUND = torch.tensor([0, 0, 1, 1, 1, 2, 3])
BASELINE = torch.tensor([0, 1, 1, 1, 0, 2, 3])


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Evaluates networks that predict what they are said to; their stages are ``train`` and ``baseline``."""
    fitting: Any = SimpleNamespace(
        run=SimpleNamespace(stage=lambda name, inputs, compute: compute(Detached())),
        fabric=SimpleNamespace(device="cpu"),
        evaluate_on="test",
        measured=None,
        target=SimpleNamespace(normalization=None, flip=True, fingerprint="", classes=tuple("abcd")),
        split=SimpleNamespace(counts=COUNTS),
        train=TrainConfig(),
        groups=GroupConfig(),
        identity={},
        compiled=False,
        preparation=lambda *arguments: {},
    )
    monkeypatch.setattr(stages, "ordered", lambda *arguments: None)
    monkeypatch.setattr(stages, "predict", lambda fabric, network, batches: (network, LABELS))
    loss = build_loss("ce", COUNTS, generator(0, "loss"))

    def evaluated(*predictions: torch.Tensor) -> dict[str, Any]:
        contenders: list[Any] = [
            SimpleNamespace(
                stage=stage, name=stage, network=10.0 * torch.eye(4)[predicted], loss=loss, costs=None, identity={}
            )
            for stage, predicted in zip(("train", "baseline"), predictions, strict=False)
        ]
        return dict(evaluate(fitting, *contenders).values)

    return evaluated


def test_the_first_of_two_has_the_paired_errors_of_its_differences(measured: Any) -> None:
    values = measured(FOUND, BASELINE)
    variances = difference_variances(FOUND, BASELINE, LABELS, 4)
    assert values["train"]["difference_se"] == {
        "balanced_accuracy": mean_error(variances),
        "groups": {"many": mean_error(variances[:2]), "medium": mean_error(variances[2:3])},
    }
    assert values["baseline"].keys() == {"metrics"}
    alone = [values[stage]["metrics"]["balanced_se"] for stage in ("train", "baseline")]
    assert values["train"]["difference_se"]["balanced_accuracy"] < (alone[0] ** 2 + alone[1] ** 2) ** 0.5


def test_one_network_has_no_difference(measured: Any) -> None:
    assert measured(FOUND)["train"].keys() == {"metrics"}
