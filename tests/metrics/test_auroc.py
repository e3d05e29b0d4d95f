import tracemalloc

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from tailornas.metrics import auroc


def test_by_hand() -> None:
    # Class 1 scores 0.8 and 0.3 against 0.5 and 0.1: 3 of 4 pairs in order; class 0 mirrors it.
    scores = torch.tensor([0.8, 0.3, 0.5, 0.1])
    both = torch.stack([1 - scores, scores], dim=1)
    assert auroc(both, torch.tensor([1, 1, 0, 0])) == 0.75


def test_ties_count_half() -> None:
    assert auroc(torch.full((6, 3), 1 / 3), torch.tensor([0, 0, 1, 1, 2, 2])) == 0.5


def test_classes_without_images_are_left_out() -> None:
    scores = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]])
    assert auroc(scores, torch.tensor([0, 1])) == 1


def test_the_scores_are_not_copied_as_a_whole() -> None:
    scores = torch.rand((300, 400), generator=torch.Generator().manual_seed(0))
    targets = torch.arange(300) % 3
    tracemalloc.start()
    auroc(scores, targets)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < scores.nbytes / 4


def test_one_class_has_no_rest() -> None:
    assert auroc(torch.eye(2), torch.tensor([0, 0])) is None


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), classes=st.integers(3, 8), levels=st.sampled_from([2, 5, 1000]))
def test_agrees_with_scikit_learn(seed: int, classes: int, levels: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    targets = torch.cat([torch.arange(classes), torch.randint(classes, (40,), generator=generator)])
    raw = torch.randint(1, levels + 1, (len(targets), classes), generator=generator).double()
    scores = raw / raw.sum(dim=1, keepdim=True)
    expected = roc_auc_score(targets.numpy(), scores.float().double().numpy(), multi_class="ovr")
    assert auroc(scores, targets) == pytest.approx(expected)
