"""The whole job: from a configuration to a run folder with a trained network and a report."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, final

import optuna

from tailornas.config import RunConfig, SourceConfig, to_toml
from tailornas.data import SOURCES, DataConfig, Dataset, apart_from
from tailornas.errors import ConfigError
from tailornas.methods import (
    METHODS,
    Context,
    SearchPlan,
    Settings,
    SupernetSource,
    TrainPlan,
    choose_source,
    published_source,
)
from tailornas.pipeline.images import READING, check_apart, read_images
from tailornas.pipeline.introduction import first, introduce
from tailornas.pipeline.networks import network_values, weights_path
from tailornas.report import Data, Limits, LogLine, Network, Plan, Report, Row, Verdict, render, summarize, verdict
from tailornas.report.formats import ratio
from tailornas.runs import Console, RunFolder
from tailornas.seeding import generator
from tailornas.spaces import (
    NORMALIZATION,
    Backbone,
    SearchSpace,
    build_space,
    check_space,
    draw,
    is_weights,
    load_published,
)
from tailornas.training import make_fabric

__all__ = ["STAGES", "Outcome", "run"]

STAGES = READING | {
    "limits": "whether any architecture is fast enough",
    "plan": "what fits into the time limit",
    "pretrain": "supernet on the source",
    "adapt": "supernet's head on the target",
    "search": "candidates on the selection split",
    "plan-baseline": "the largest ResNet that is fast enough",
    "plan-training": "epochs of both networks",
    "train": "the found network",
    "train-head": "its head, the rest frozen",
    "baseline": "the baseline, trained alike",
    "baseline-head": "the baseline's head, alike",
    "latency": "milliseconds of both",
    "evaluate": "both on the test split",
}
"""What each stage of a run does, for people."""


@final
@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Args:
        report: path of the report.
        weights: paths of the found network's weights and of the baseline's.
        found: the found network, its costs and its test metrics.
        baseline: the same of the baseline.
    """

    report: Path
    weights: tuple[Path, Path]
    found: Network
    baseline: Network

    @property
    def summary(self) -> dict[str, list[Row]]:
        """Both networks side by side, in parts."""
        return summarize(self.found, self.baseline)

    @property
    def verdict(self) -> Verdict:
        """Which of the two does better on the test split."""
        return verdict(self.found, self.baseline)


def run(
    config: RunConfig,
    out: Path,
    console: Console,
    *,
    command: str,
    overwrite: bool = True,
    started: float | None = None,
) -> Outcome:
    """Searches, trains and reports; goes on where an earlier run in ``out`` ended.

    Args:
        config: everything that can be told.
        out: the run folder.
        console: where progress is shown.
        command: the shell command that repeats the run, for the report.
        overwrite: whether results in ``out`` of other settings are replaced; else they are an error.
        started: the ``time.monotonic()`` from which the time limit counts; None: now.

    Raises:
        TailorNASError: the input cannot be used, or a training diverged.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    check_space(config.space)
    _check_source(config.source, config.data)
    check_apart(out, config.data.data, config.source.data)
    RunFolder.check(out, to_toml(config), job="search", overwrite=overwrite)
    target = read_images(config.data, config.seed, console)
    fabric = make_fabric(config.device, target.image_size)
    # Built, and below filled, before anything is written: a mistake in a file of the user's is told at once.
    space = build_space(config.space, len(target.classes), generator(config.seed, "check"), target.image_size)
    weights = Path(config.source.data).expanduser() if config.source.data else None
    if weights is not None and is_weights(weights):
        # Its features are of images that are normalized in this way.
        target = replace(target, normalization=NORMALIZATION)
        source = published_source(target, weights)
        load_published(space.network, weights)
    else:
        source = choose_source(target, _named_source(config.source, config.data, target, config.seed, console))
    with RunFolder.open(out, to_toml(config), console, job="search", overwrite=overwrite, started=started) as folder:
        _introduce(console, folder, target, source)
        context = Context(
            run=folder,
            fabric=fabric,
            space=config.space,
            source=source,
            target=target,
            settings=Settings(
                pretrain=config.pretrain,
                adapt=config.adapt,
                search=config.search,
                train=config.train,
                augment=config.augment,
                limits=config.limits,
                groups=config.groups,
                init=config.init,
            ),
            seed=config.seed,
            time_limit=config.time_limit,
            compiled=config.device.compile,
        )
        if config.limits.latency_ms is not None:
            console.note(f"Looking for an architecture within {config.limits.latency_ms:g} ms, by measuring some.")
        METHODS[config.method](context)
        report = _report(config, folder, target, source, space, command)
        return Outcome(
            report=folder.write("report.html", render(report)),
            weights=(
                weights_path(folder, "train", config.train),
                weights_path(folder, "baseline", config.train),
            ),
            found=report.found,
            baseline=report.baseline,
        )


def _check_source(source: SourceConfig, data: DataConfig) -> None:
    """Refuses, before images are read, a source that contradicts the target or itself."""
    if source.data is None:
        if source.data_dir is not None:
            raise ConfigError("source.data_dir is given without source.data: name the source, or leave both out")
    elif _place(source.data, source.data_dir or data.data_dir) == _place(data.data, data.data_dir):
        raise ConfigError(
            f"source and target are both {source.data!r} and would share images: leave the source out, and the images "
            "that the target does not use become the source"
        )


def _named_source(
    source: SourceConfig, data: DataConfig, target: Dataset, seed: int, console: Console
) -> Dataset | None:
    """The dataset that the user named as the source, with images of the target's size and none that judges it."""
    if source.data is None:
        return None
    named = DataConfig(
        data=source.data,
        data_dir=source.data_dir,
        profile="as-is",
        image_size=target.image_size,
        memory_cap_mb=data.memory_cap_mb,
        skip_bad=data.skip_bad,
        seed=data.seed,
    )
    return apart_from(read_images(named, seed, console), target)


def _place(data: str, data_dir: Path | None) -> tuple[str | Path, ...]:
    """What a source is, however its path is written; a benchmark is the same wherever its files lie."""
    if data in SOURCES:
        return (data,)
    return tuple(path.expanduser().resolve() for path in (Path(data), data_dir) if path is not None)


def _introduce(console: Console, folder: RunFolder, target: Dataset, source: SupernetSource) -> None:
    """Says what the run works on, and what the reader of its report must know about it."""
    console.note(
        f"{target.description}: {len(target.train):,} training, {len(target.selection):,} selection and "
        f"{len(target.test):,} test images of {len(target.classes)} classes, {target.image_size} pixels, "
        f"imbalance factor {ratio(target.imbalance_factor)}."
    )
    folder.note(f"The supernet is trained on {source.description}.")
    if target.unscored:
        folder.note(f"Classes without a selection image, which no choice can heed: {first(target.unscored)}.")
    introduce(folder, target, "test", "selection")


def _report(
    config: RunConfig,
    folder: RunFolder,
    target: Dataset,
    source: SupernetSource,
    space: SearchSpace[Backbone],
    command: str,
) -> Report:
    """Gathers what the stages left in the run folder."""
    search, limits = folder.artifact("search"), config.limits
    assert search is not None
    found = network_values(folder, "train", config, "supernet" if config.init == "inherit" else "scratch")
    assert found["architecture"] is not None
    return Report(
        title=f"TailorNAS on {target.source}",
        command=command,
        config_toml=to_toml(config),
        environment=folder.environment,
        seconds=folder.seconds,
        notes=folder.notes,
        data=cast(Data, target.values()),
        plan=_plan(config, folder, target, source),
        # A published supernet was not trained here; an earlier start may have left the log of one that was.
        pretrain_log=cast(list[LogLine], folder.logs("pretrain") if source.weights is None else []),
        adapt_log=cast(list[LogLine], folder.logs("adapt")),
        train_log=cast(list[LogLine], folder.logs("train")),
        baseline_log=cast(list[LogLine], folder.logs("baseline")),
        candidates=search.values["candidates"],
        found=found,
        baseline=network_values(folder, "baseline", config, "scratch"),
        picture=draw(config.space, space, space.from_text(found["architecture"])),
        limits=Limits(macs=limits.macs, params=limits.params, latency_ms=limits.latency_ms),
    )


def _plan(config: RunConfig, folder: RunFolder, target: Dataset, source: SupernetSource) -> list[Plan]:
    """What each stage was expected to take; empty without a time limit."""
    if config.time_limit is None:
        return []
    search, training = folder.artifact("plan"), folder.artifact("plan-training")
    assert search is not None and training is not None
    early, late = SearchPlan(**search.values), TrainPlan(**training.values)
    fitted = len(target.fit)
    stages = [
        ("pretrain", early.pretrain_epochs, len(source.train), early.pretrain_rate),
        ("adapt", early.adapt_epochs, len(target.train), early.adapt_rate),
        ("train", late.epochs, fitted, late.found_rate),
        ("baseline", late.epochs, fitted, late.baseline_rate),
    ]
    plan = [
        Plan(stage=stage, epochs=epochs, images_per_second=rate, seconds=epochs * images / rate)
        for stage, epochs, images, rate in stages
        if rate is not None
    ]
    if early.candidate_seconds is not None:
        candidates = early.generations * config.search.population
        scoring = Plan(
            stage="search",
            candidates=candidates,
            images_per_second=len(target.selection) / early.candidate_seconds,
            seconds=candidates * early.candidate_seconds,
        )
        plan.insert(2, scoring)
    return plan
