"""Running a finished network: predictions, and batch-norm statistics fitted to the images it will see."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["batch_statistics", "predict", "recalibrate"]


@contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Inside, batch norms normalize by the statistics of each batch and leave their running statistics alone."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    tracking = [norm.track_running_stats for norm in norms]
    network.train()
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm, tracked in zip(norms, tracking, strict=True):
            norm.track_running_stats = tracked


@torch.inference_mode()
def recalibrate(fabric: Fabric, network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Replaces the running statistics of every batch norm by their averages over ``batches``, in place.

    A supernet's running statistics mix those of all paths; a path's accuracy means nothing under them (Guo et al.
    2020, 1904.00420, section 3.4). Batches count by their images; one of a single image, which has no variance where
    feature maps are a pixel large, only counts if it is the first. All but the batch norms are in evaluation mode:
    dropout would draw random numbers, and the statistics would not be those of predictions.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
    network.eval()
    for norm in norms:
        norm.train()
    seen = 0
    for images, _ in batches:
        if seen and len(images) == 1:
            continue
        seen += len(images)
        for norm in norms:
            norm.momentum = len(images) / seen  # a cumulative average, without asking a device how many there were
        with fabric.autocast():
            network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@torch.inference_mode()
def predict(fabric: Fabric, network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Runs ``network`` in evaluation mode over ``batches``.

    Returns:
        float32 logits ``(images, classes)`` and int64 targets ``(images,)``, on the CPU.
    """
    network.eval()
    logits, targets = [], []
    for images, labels in batches:
        with fabric.autocast():
            logits.append(network(images).float().cpu())
        targets.append(labels.cpu())
    return torch.cat(logits), torch.cat(targets)
