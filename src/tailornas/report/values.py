"""What the report is made from: the JSON values that the stages of a run leave behind."""

from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, TypedDict, final

__all__ = [
    "Candidate",
    "ClassRecall",
    "Data",
    "DifferenceErrors",
    "Group",
    "Limits",
    "LogLine",
    "Metrics",
    "Network",
    "NetworkReport",
    "Plan",
    "Report",
]


class Data(TypedDict):
    """The images of a run; every list with one entry a class is in label order.

    ``imbalance_factor`` is infinite where a class is empty; ``selection_counts`` is None where nothing is chosen, so
    that all images but the test split are trained on, and ``test_counts`` where no test image is looked at;
    ``unscored`` names the classes without a selection image, ``skipped`` the files left out because they cannot be
    read; ``mean`` and ``std``, by channel, are what pixels between 0 and 1 are normalised by.
    """

    source: str
    description: str
    profile: str
    imbalance_factor: float
    image_size: int
    classes: list[str]
    train_counts: list[int]
    selection_counts: list[int] | None
    test_counts: list[int] | None
    unscored: list[str]
    skipped: list[str]
    mean: list[float]
    std: list[float]


class Plan(TypedDict):
    """What a stage was expected to cost, measured before it began."""

    stage: str
    epochs: NotRequired[int]
    candidates: NotRequired[int]
    images_per_second: float
    seconds: float


class LogLine(TypedDict):
    """One epoch of a training stage; further fields are allowed and not drawn."""

    epoch: int
    loss: float
    learning_rate: float


class Candidate(TypedDict):
    """One trial of the search. ``score`` is the balanced accuracy on the selection split, from 0 to 1."""

    number: int
    generation: int
    architecture: str
    key: str
    params: int
    macs: int
    latency_ms: float | None
    score: float | None
    score_se: float | None
    feasible: bool
    repeated: int | None


class Group(TypedDict):
    """Mean recall of the many-, medium- or few-shot classes with images, how many they are, and its standard error."""

    recall: float
    classes: int
    se: float


class ClassRecall(TypedDict):
    """One class on the measured split: its ``n`` images there, its recall, and the 95% Wilson interval of that."""

    name: str
    train: int
    n: int
    recall: float | None
    low: float | None
    high: float | None


class Metrics(TypedDict):
    """A finished network on the test split, or on the selection split; every rate is from 0 to 1.

    ``split`` is which; ``groups`` has the groups with images in it only, ``group_sizes`` the classes of every group,
    those without images included; ``confusion`` is ``[true class, predicted class, images]`` for the pairs that
    occurred; ``unscored`` names the classes without images in the split, which no mean includes.
    """

    split: Literal["test", "selection"]
    accuracy: float
    balanced_accuracy: float
    balanced_se: float
    macro_f1: float
    worst_class: float
    harmonic_mean: float
    geometric_mean: float
    ece: float
    auroc: float | None
    groups: dict[str, Group]
    group_sizes: dict[str, int]
    per_class: list[ClassRecall]
    confusion: list[list[int]]
    unscored: list[str]


class DifferenceErrors(TypedDict):
    """Standard errors of a network's differences from another one's rates on the same images; groups by name."""

    balanced_accuracy: float
    groups: dict[str, float]


class Timing(TypedDict):
    """Milliseconds of one image: median and interquartile range over so many passes."""

    median: float
    spread: float
    repeats: int


class Network(TypedDict):
    """A network trained to the end, what it costs and how it does on images that it was not fitted to.

    ``head_epochs`` are those of a second stage, 0 where it has none, and ``seconds`` are those of both stages, None
    where those of one are not known.
    ``weights`` is its file, relative to the run folder, and ``probabilities`` says how its outputs become
    probabilities. ``difference_se`` is the found network's, against the baseline; None of any other network.
    """

    name: str
    architecture: str | None
    params: int
    macs: int
    latency_ms: Timing | None
    epochs: int
    head_epochs: int
    seconds: float | None
    init: str
    loss: str
    weights: str
    probabilities: str
    metrics: Metrics
    difference_se: DifferenceErrors | None


class Limits(TypedDict):
    """What the found network may cost; None where it may cost anything."""

    macs: int | None
    params: int | None
    latency_ms: float | None


@final
@dataclass(frozen=True)
class Report:
    """Everything a report page says.

    Args:
        title: heading of the page.
        command: shell command that repeats the run.
        config_toml: the resolved configuration.
        environment: versions, processor, threads, commit and the like, by name.
        seconds: how long each stage took, of those of which that is known.
        notes: sentences that the reader must know.
        data: the images and their classes.
        plan: what each stage was expected to cost; empty where nothing was planned.
        found: the network of the architecture that the search found.
        baseline: the network that it is compared with.
        limits: what the found network may cost.
        candidates: the trials of the search, in the order they were made.
        picture: the found architecture as SVG; empty if there is none.
        pretrain_log: epochs of the supernet's training on the source.
        adapt_log: epochs of its adaptation to the target.
        train_log: epochs of the found network's training.
        baseline_log: epochs of the baseline's training.
    """

    title: str
    command: str
    config_toml: str
    data: Data
    found: Network
    baseline: Network
    limits: Limits
    environment: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    plan: list[Plan] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    picture: str = ""
    pretrain_log: list[LogLine] = field(default_factory=list)
    adapt_log: list[LogLine] = field(default_factory=list)
    train_log: list[LogLine] = field(default_factory=list)
    baseline_log: list[LogLine] = field(default_factory=list)


@final
@dataclass(frozen=True)
class NetworkReport:
    """Everything the page on one network, trained without a search, says.

    Args:
        title: heading of the page.
        command: shell command that repeats the training.
        config_toml: the resolved configuration.
        data: the images and their classes.
        network: the network.
        environment: versions, processor, threads, commit and the like, by name.
        seconds: how long each stage took, of those of which that is known.
        notes: sentences that the reader must know.
        train_log: epochs of its training.
        head_log: epochs of the second stage, which fits its head alone; empty where there is none or nothing is fitted.
    """

    title: str
    command: str
    config_toml: str
    data: Data
    network: Network
    environment: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    train_log: list[LogLine] = field(default_factory=list)
    head_log: list[LogLine] = field(default_factory=list)
