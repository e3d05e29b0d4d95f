"""``tailornas train``: one network on a long-tailed dataset."""

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
    configuration,
    start,
)

__all__ = ["train"]


def train(
    context: typer.Context,
    backbone__name: Annotated[
        str | None,
        typer.Option(
            "--backbone",
            metavar="NAME",
            help="resnet20, resnet32, resnet44, resnet56, timm:NAME, SPACE:ARCHITECTURE or the folder of a search. "
            "Default: resnet32.",
        ),
    ] = None,
    backbone__weights: Annotated[
        str | None,
        typer.Option(
            "--weights", metavar="FILE", help="First weights: a local file, or online, from timm. Default: random."
        ),
    ] = None,
    data__data: Data = None,
    data__data_dir: DataDir = None,
    data__imbalance_factor: ImbalanceFactor = None,
    data__profile: Profile = None,
    data__image_size: ImageSize = None,
    data__skip_bad: SkipBad = None,
    train__loss: Loss = None,
    train__class_weights: Annotated[
        str | None,
        typer.Option(
            "--class-weights",
            metavar="NAME",
            help="auto, inverse, effective, effective:BETA, smoothed, smoothed:GAMMA or [one number a class]. Default: "
            "auto with drw, else all alike.",
        ),
    ] = None,
    train__schedule__name: Annotated[
        str | None,
        typer.Option("--schedule", metavar="NAME", help="none, drw or drs. Default: drw with ldam, else none."),
    ] = None,
    train__sampler: Annotated[
        str | None,
        typer.Option(
            "--sampler",
            metavar="NAME",
            help="instance, class_balanced, square_root, progressive or reversed. Default: instance.",
        ),
    ] = None,
    train__head: Annotated[
        str | None,
        typer.Option("--head", metavar="NAME", help="linear, cosine, scaled_cosine or etf. Default: by the loss."),
    ] = None,
    train__mix__name: Annotated[
        str | None, typer.Option("--mix", metavar="NAME", help="none, mixup or remix. Default: none.")
    ] = None,
    train__second_stage__name: Annotated[
        str | None,
        typer.Option(
            "--second-stage",
            metavar="NAME",
            help="What is done to the head after training: none, crt, lws, tau_norm, ncm or logit_adjustment. "
            "Default: none.",
        ),
    ] = None,
    train__two_branch: Annotated[
        bool | None, typer.Option("--two-branch", help="Bilateral-branch training (BBN), with --loss ce.")
    ] = None,
    augment__policy: Annotated[
        str | None,
        typer.Option("--augment", metavar="NAME", help="none or autoaugment, beyond crop and flip. Default: none."),
    ] = None,
    augment__cutout: Annotated[
        str | None,
        typer.Option("--cutout", metavar="PIXELS", help="Side of the square that is blanked out. Default: 0."),
    ] = None,
    device__precision: Annotated[
        str | None,
        typer.Option(
            "--precision", metavar="NAME", help="fp32, bf16 or auto: bf16 where the processor has it. Default: auto."
        ),
    ] = None,
    device__compile: Annotated[
        bool | None, typer.Option("--compile", help="Run the network through torch.compile.")
    ] = None,
    train__epochs: Annotated[
        str | None, typer.Option("--epochs", metavar="N", help="Epochs of training. Default: 200.")
    ] = None,
    evaluate_on: Annotated[
        str | None,
        typer.Option(
            "--evaluate-on",
            metavar="SPLIT",
            help="test, or selection: images kept out of training, to choose a loss or a setting by. Default: test.",
        ),
    ] = None,
    seed: Seed = None,
    out: Out = None,
    config: Config = None,
    assignments: Assignments = None,
    quiet: Quiet = False,
) -> None:
    """Train one network on a long-tailed dataset and measure it.

    By default as results on the long-tailed CIFARs are published; started again with the same options, it goes on
    where it ended.
    """
    # Imported here, so that --help and --version answer at once.
    from tailornas.config import StandaloneConfig
    from tailornas.pipeline import train as train_network
    from tailornas.pipeline import train_stages

    resolved = configuration(context, StandaloneConfig)
    trained, console = start(context, train_network, resolved, train_stages(resolved), *resolved.names)
    rows = [row for part in trained.summary.values() for row in part]
    console.table("Result", ("", trained.network["name"]), rows, summary=True)
    console.note(trained.result.sentence, summary=True)
    console.note(f"report   {trained.report}", summary=True)
    console.note(f"weights  {trained.weights}", summary=True)
