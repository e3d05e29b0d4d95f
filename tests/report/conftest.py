from collections import Counter
from collections.abc import Callable
from math import cos, pi, sqrt
from random import Random
from typing import Any

import pytest

from tailornas.report import Candidate, ClassRecall, Data, Group, LogLine, Metrics, Network, NetworkReport, Report

OPERATIONS = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
EDGES = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def class_names(classes: int) -> list[str]:
    return CIFAR if classes == len(CIFAR) else [f"kind of thing {i}" for i in range(classes)]


def long_tail(classes: int, largest: int, factor: float) -> list[int]:
    return [max(1, round(largest * factor ** (-i / (classes - 1)))) for i in range(classes)]


def wilson(successes: int, n: int) -> tuple[float, float]:
    z, rate = 1.96, successes / n
    middle = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return middle - half, middle + half


def make_metrics(names: list[str], train: list[int], n: int, skill: float, seed: int) -> Metrics:
    """Predictions that drift towards large classes, as those of a network fitted to a long tail do."""
    random = Random(seed)
    classes = len(names)
    confusion: Counter[tuple[int, int]] = Counter()
    per_class: list[ClassRecall] = []
    for true, name in enumerate(names):
        chance = min(0.97, skill * (train[true] / max(train)) ** 0.18 * random.uniform(0.85, 1.1))
        for _ in range(n):
            hit = random.random() < chance
            confusion[true, true if hit else int(classes * random.random() ** 2)] += 1
        right = confusion[true, true]
        low, high = wilson(right, n)
        per_class.append({"name": name, "train": train[true], "n": n, "recall": right / n, "low": low, "high": high})
    recalls = [c["recall"] or 0.0 for c in per_class]
    groups: dict[str, Group] = {}
    sizes: dict[str, int] = {}
    for group, least, most in (("many", 101, 10**9), ("medium", 20, 100), ("few", 0, 19)):
        members = [recall for recall, count in zip(recalls, train, strict=True) if least <= count <= most]
        if members:
            se = sqrt(sum(recall * (1 - recall) / n for recall in members)) / len(members)
            sizes[group] = len(members)
            groups[group] = {"recall": sum(members) / len(members), "classes": len(members), "se": se}
    balanced = sum(recalls) / classes
    return {
        "split": "test",
        "accuracy": balanced,
        "balanced_accuracy": balanced,
        "balanced_se": sqrt(sum(r * (1 - r) / n for r in recalls)) / classes,
        "macro_f1": balanced - 0.012,
        "worst_class": min(recalls),
        "harmonic_mean": balanced - 0.04,
        "geometric_mean": balanced - 0.02,
        "ece": 0.083,
        "auroc": 0.94,
        "groups": groups,
        "group_sizes": sizes,
        "per_class": per_class,
        "confusion": [[*pair, images] for pair, images in confusion.items()],
        "unscored": [],
    }


def make_log(epochs: int, start: float, end: float, seed: int) -> list[LogLine]:
    random = Random(seed)
    return [
        {
            "epoch": epoch,
            "loss": end + (start - end) * 0.93**epoch + random.gauss(0, 0.02),
            "learning_rate": 0.05 * (1 + cos(pi * epoch / epochs)),
        }
        for epoch in range(1, epochs + 1)
    ]


def make_candidates(generations: int, population: int, seed: int) -> list[Candidate]:
    random = Random(seed)
    scored: dict[str, Candidate] = {}
    candidates: list[Candidate] = []
    for number in range(generations * population):
        generation = number // population
        if scored and random.random() < 0.12:
            first = random.choice(list(scored.values()))
            candidates.append({**first, "number": number, "generation": generation, "repeated": first["number"]})
            continue
        operations = [random.choice(OPERATIONS) for _ in EDGES]
        text = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*operations)
        convolutions = operations.count("nor_conv_3x3") + 0.2 * operations.count("nor_conv_1x1")
        macs = int(2e6 + 5.4e6 * convolutions)
        feasible = macs < 24e6
        score = 0.42 + 0.045 * convolutions + 0.01 * generation + random.gauss(0, 0.03) if feasible else None
        candidate: Candidate = {
            "number": number,
            "generation": generation,
            "architecture": text,
            "key": text,
            "params": macs // 140,
            "macs": macs,
            "latency_ms": 2.0 + macs / 4e6,
            "score": score,
            "score_se": 0.017 if feasible else None,
            "feasible": feasible,
            "repeated": None,
        }
        candidates.append(candidate)
        if feasible:
            scored.setdefault(text, candidate)
    return candidates


def make_report(
    names: list[str] | None = None,
    *,
    classes: int = 10,
    factor: float = 100,
    generations: int = 8,
    **changes: Any,
) -> Report:
    names = names or class_names(classes)
    classes = len(names)
    train = long_tail(classes, 500 if classes < 1000 else 1280, factor)
    candidates = make_candidates(generations, 20, seed=1)
    scored = [c for c in candidates if c["score"] is not None and c["repeated"] is None]
    winner = max(scored, key=lambda c: c["score"] or 0.0)
    data: Data = {
        "source": "cifar10",
        "description": "60,000 colour photographs of 32 pixels, the training part cut to a long tail.",
        "profile": "exponential",
        "imbalance_factor": factor,
        "image_size": 32,
        "classes": names,
        "train_counts": train,
        "selection_counts": [max(1, round(0.2 * n)) for n in train],
        "test_counts": [100] * classes,
        "unscored": [],
        "skipped": ["cat/broken.jpg: not an image"],
        "mean": [0.4914, 0.4822, 0.4465],
        "std": [0.247, 0.2435, 0.2616],
    }
    found: Network = {
        "name": "found",
        "architecture": winner["architecture"],
        "params": winner["params"],
        "macs": winner["macs"],
        "latency_ms": {"median": 6.21, "spread": 0.35, "repeats": 30},
        "epochs": 60,
        "head_epochs": 0,
        "seconds": 192.4,
        "init": "random",
        "loss": "ldam",
        "weights": "stages/train/result.safetensors",
        "probabilities": "the softmax of 30 times the outputs",
        "metrics": make_metrics(names, train, 100 if classes < 1000 else 50, 0.86, seed=2),
        "difference_se": {"balanced_accuracy": 0.014, "groups": {"many": 0.017, "medium": 0.024, "few": 0.03}},
    }
    baseline: Network = {
        **found,
        "name": "resnet20",
        "architecture": None,
        "params": 272_474,
        "macs": 40_813_184,
        "latency_ms": {"median": 9.87, "spread": 0.4, "repeats": 30},
        "seconds": 341.0,
        "weights": "stages/baseline/result.safetensors",
        "metrics": make_metrics(names, train, 100 if classes < 1000 else 50, 0.8, seed=3),
        "difference_se": None,
    }
    values: dict[str, Any] = {
        "title": "CIFAR-10-LT, imbalance factor 100",
        "command": "tailornas run --source cifar10 --target cifar10-lt --set search.population=20",
        "config_toml": '[data]\nsource = "cifar10"\n\n[search]\npopulation = 20\n',
        "data": data,
        "found": found,
        "baseline": baseline,
        "limits": {"macs": 24_000_000, "params": None, "latency_ms": None},
        "environment": {"torch": "2.14.1", "commit": None, "capabilities": ["avx2", "amx_bf16"]},
        "seconds": {
            "data": 1.2,
            "pretrain": 1893.0,
            "adapt": 41.7,
            "search": 655.2,
            "train": 192.4,
            "baseline": 341.0,
        },
        "notes": [
            "The supernet was trained on a balanced subset of the source.",
            "The search was cut short after 8 of 10 generations, when its time was up.",
        ],
        "plan": [
            {"stage": "pretrain", "epochs": 40, "images_per_second": 2140.0, "seconds": 1870.0},
            {"stage": "search", "candidates": 200, "images_per_second": 3055.0, "seconds": 640.0},
        ],
        "candidates": candidates,
        "picture": '<svg xmlns="http://www.w3.org/2000/svg" width="300" height="100"><circle r="40"/></svg>',
        "pretrain_log": make_log(40, 2.3, 0.9, 4),
        "adapt_log": make_log(10, 2.1, 1.1, 5),
        "train_log": make_log(60, 2.3, 0.3, 6),
        "baseline_log": make_log(60, 2.3, 0.25, 7),
    }
    return Report(**(values | changes))


def make_network_report(names: list[str] | None = None, *, classes: int = 10, **changes: Any) -> NetworkReport:
    """The report on one network, made of the found one's values in :func:`make_report`."""
    searched = make_report(names, classes=classes)
    values: dict[str, Any] = {
        "title": "ResNet-32 on CIFAR-10-LT",
        "command": "tailornas train --data cifar10 --second-stage crt",
        "config_toml": '[backbone]\nname = "resnet32"\n',
        "data": {**searched.data, "selection_counts": None},
        "network": {**searched.found, "name": "ResNet-32", "architecture": "resnet32", "loss": "ldam + drw + crt"},
        "environment": searched.environment,
        "seconds": {"train": 192.4, "train-head": 9.0, "evaluate": 1.2},
        "notes": ["The training of the ResNet-32 ended early."],
        "train_log": searched.train_log,
        "head_log": searched.adapt_log,
    }
    return NetworkReport(**(values | changes))


@pytest.fixture
def network_reports() -> Callable[..., NetworkReport]:
    """Builds realistic reports on one network; see :func:`make_network_report`."""
    return make_network_report


@pytest.fixture
def reports() -> Callable[..., Report]:
    """Builds realistic reports; see :func:`make_report`."""
    return make_report
