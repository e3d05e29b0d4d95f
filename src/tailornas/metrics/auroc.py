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
        targets: int64 ``(images,)``, labels below ``classes``; :func:`tailornas.metrics.report` makes sure of that.

    Returns:
        The macro mean over the classes that have images, or None where all images are of one class.
    """
    columns, labels = scores.float().cpu().numpy(), targets.cpu().numpy()
    present, starts = np.unique(np.sort(labels), return_index=True)
    if len(present) == 1:
        return None
    areas = []
    for label, rows in zip(present, np.split(np.argsort(labels, kind="stable"), starts[1:]), strict=True):
        column = columns[:, label]  # sorted one by one: with thousands of classes a copy of all is gigabytes
        ordered = np.sort(column)
        below, to_last = (np.searchsorted(ordered, column[rows], side=side) for side in ("left", "right"))
        ranks = (below + to_last + 1) / 2
        pairs = len(rows) * (len(labels) - len(rows))
        areas.append((ranks.sum() - len(rows) * (len(rows) + 1) / 2) / pairs)
    return float(np.mean(areas))
