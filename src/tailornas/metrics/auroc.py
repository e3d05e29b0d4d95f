"""Area under the ROC curve, one class against the rest."""

import numpy as np
from torch import Tensor

__all__ = ["auroc"]


def auroc(scores: Tensor, targets: Tensor) -> float | None:
    """Mean over classes of the chance that an image of the class scores higher on it than one of another class.

    The Mann-Whitney statistic: with the ranks of the n class images among all N scores, ties at their mean
    rank, it is ``(sum of ranks - n (n + 1) / 2) / (n (N - n))``. Only the class's own images are looked up
    in the sorted scores, so that one sort without indices a class is all the work (Hanley and McNeil 1982,
    doi:10.1148/radiology.143.1.7063747).

    Args:
        scores: ``(images, classes)``, higher for likelier classes; probabilities for a comparison across
            images.
        targets: int64 ``(images,)``.

    Returns:
        The macro mean over the classes that have images, or None where all images are of one class.
    """
    columns = np.ascontiguousarray(scores.float().cpu().numpy().T)
    labels = targets.cpu().numpy()
    ordered = np.sort(columns, axis=1)
    by_class = np.argsort(labels, kind="stable")
    own_scores = columns[labels, np.arange(len(labels))][by_class]
    present, starts = np.unique(labels[by_class], return_index=True)
    if len(present) == 1:
        return None
    areas = []
    for label, own in zip(present, np.split(own_scores, starts[1:]), strict=True):
        below, to_last = (np.searchsorted(ordered[label], own, side=side) for side in ("left", "right"))
        ranks = (below + to_last + 1) / 2
        pairs = len(own) * (len(labels) - len(own))
        areas.append((ranks.sum() - len(own) * (len(own) + 1) / 2) / pairs)
    return float(np.mean(areas))
