"""``tailornas run``: search, train, report."""

from typing import Annotated

import typer

from tailornas.cli.options import (
    Assignments,
    Config,
    Data,
    DataDir,
    ImageSize,
    ImbalanceFactor,
    Loss,
    Out,
    Profile,
    Quiet,
    Seed,
    SkipBad,
    TimeLimit,
    configuration,
    start,
)

__all__ = ["run"]


def run(
    context: typer.Context,
    data__data: Data = None,
    data__data_dir: DataDir = None,
    data__imbalance_factor: ImbalanceFactor = None,
    data__profile: Profile = None,
    data__image_size: ImageSize = None,
    data__skip_bad: SkipBad = None,
    source__data: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="NAME|PATH",
            help="Balanced images for the supernet, or the file of a published supernet of the space. "
            "Default: what the long-tailed version leaves out of the dataset, else the target's own images.",
        ),
    ] = None,
    time_limit: TimeLimit = None,
    limits__macs: Annotated[
        str | None,
        typer.Option("--max-macs", metavar="N", help="Most multiply-accumulates an image, such as 15M. Default: any."),
    ] = None,
    limits__params: Annotated[
        str | None, typer.Option("--max-params", metavar="N", help="Most parameters, such as 300k. Default: any.")
    ] = None,
    limits__latency_ms: Annotated[
        str | None,
        typer.Option("--max-latency", metavar="MS", help="Most milliseconds an image on this device. Default: any."),
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", metavar="NAME", help="Search method. Default: imb-nas.")
    ] = None,
    space__name: Annotated[
        str | None,
        typer.Option(
            "--space",
            metavar="NAME",
            help="Search space: resnet, nasbench201, nats-size, darts, mobilenet or FILE.py:Class. Default: resnet.",
        ),
    ] = None,
    train__loss: Loss = None,
    init: Annotated[
        str | None,
        typer.Option(
            "--init", metavar="NAME", help="First weights of the found network: scratch or inherit. Default: scratch."
        ),
    ] = None,
    seed: Seed = None,
    out: Out = None,
    config: Config = None,
    assignments: Assignments = None,
    quiet: Quiet = False,
) -> None:
    """Search a backbone on long-tailed data, train it and its baseline.

    Started again with the same options, it goes on where it ended.
    """
    # Imported here, so that --help and --version answer at once.
    from tailornas.config import RunConfig
    from tailornas.pipeline import STAGES
    from tailornas.pipeline import run as run_pipeline

    resolved = configuration(context, RunConfig)
    outcome, console = start(context, run_pipeline, resolved, STAGES)
    console.table(
        "Result",
        ("", outcome.found["name"], outcome.baseline["name"], "difference"),
        [(row.label, row.found, row.baseline, row.difference) for rows in outcome.summary.values() for row in rows],
        summary=True,
    )
    console.note(outcome.verdict.sentence, summary=True)
    console.note(f"report   {outcome.report}", summary=True)
    found, baseline = outcome.weights
    console.note(f"weights  {found}", summary=True)
    console.note(f"         {baseline} ({outcome.baseline['name']})", summary=True)
