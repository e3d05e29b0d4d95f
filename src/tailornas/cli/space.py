"""``tailornas space``: what can be searched, and what an architecture is and costs."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tailornas.cli.options import write_file
from tailornas.cli.space_options import (
    Arch,
    AsJson,
    Classes,
    Name,
    Parameters,
    Seed,
    Size,
    opened,
    print_table,
    read,
    sampled,
)
from tailornas.errors import ConfigError

if TYPE_CHECKING:
    from tailornas.spaces import SpaceConfig

__all__ = ["app"]

app = typer.Typer(name="space", help="Look at search spaces and their architectures.", no_args_is_help=True)


@app.command("list")
def list_spaces(as_json: AsJson = False) -> None:
    """List the spaces."""
    from tailornas.spaces import SPACES

    spaces = [{"name": name, "description": _summary(model)} for name, model in SPACES.items()]
    if as_json:
        typer.echo(json.dumps(spaces, indent=2))
        return
    rows = [(space["name"], space["description"]) for space in spaces]
    print_table(
        "Search spaces", ("name", "what it contains"), [*rows, ("FILE.py:Class", "your own module with choices")]
    )


@app.command()
def describe(
    name: Name,
    parameters: Parameters = None,
    classes: Classes = 10,
    image_size: Size = None,
    as_json: AsJson = False,
) -> None:
    """Show a space's parameters, decisions and text form."""
    config, space, _ = opened(name, parameters, classes, image_size)
    values: dict[str, Any] = {
        "name": name,
        "description": _summary(type(config)),
        "parameters": _parameters(config),
        "architectures": space.size,
        "supernet_params": sum(parameter.numel() for parameter in space.network.parameters()),
        "decisions": {key: list(options) for key, options in space.decisions.items()},
        "example": space.to_text(sampled(space, 1, 0)[0]),
    }
    if as_json:
        typer.echo(json.dumps(values, indent=2))
        return
    print_table(
        name,
        ("figure", "value"),
        [
            ("what it contains", values["description"]),
            ("architectures", _large(space.size)),
            ("parameters of the supernet", f"{values['supernet_params']:,}"),
        ],
    )
    rows = [(key, json.dumps(entry["value"]), entry["description"]) for key, entry in values["parameters"].items()]
    if rows:
        print_table("Parameters, for --set", ("name", "value", "meaning"), rows)
    print_table("Decisions", ("decision", "options"), _grouped(space.decisions))
    typer.echo(f"text form, for --arch: {values['example']}")


@app.command()
def sample(
    name: Name,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many.")] = 5,
    seed: Seed = 0,
    parameters: Parameters = None,
    classes: Classes = 10,
    image_size: Size = None,
    as_json: AsJson = False,
) -> None:
    """Draw architectures uniformly, one a line."""
    _, space, _ = opened(name, parameters, classes, image_size)
    texts = [space.to_text(arch) for arch in sampled(space, number, seed)]
    typer.echo(json.dumps(texts, indent=2) if as_json else "\n".join(texts))


@app.command()
def cost(
    name: Name,
    arch: Arch,
    parameters: Parameters = None,
    classes: Classes = 10,
    image_size: Size = None,
    measured: Annotated[bool, typer.Option("--latency", help="Measure milliseconds an image on this machine.")] = False,
    table: Annotated[
        bool, typer.Option("--table", help="Predict them from the latency table, which grows where it must.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell parameters, multiply-accumulates, activations and latency.

    Counted is the network that is trained in the end, without operations that cannot reach its output.
    """
    import torch

    from tailornas.spaces import LatencyTable, count, latency

    config, space, size = opened(name, parameters, classes, image_size)
    chosen = read(space, arch)
    network = config.network(space, chosen, classes, torch.Generator().manual_seed(0))
    counted = count(network, size)
    values: dict[str, Any] = {
        "space": name,
        "architecture": space.to_text(chosen),
        "classes": classes,
        "image_size": size,
        "params": counted.params,
        "macs": counted.macs,
        "activations": counted.activations,
        "activation_bytes": 4 * counted.activations,
    }
    rows = [
        ("params", f"{counted.params:,}"),
        ("macs", f"{counted.macs:,}"),
        ("activation memory", f"{4 * counted.activations / 2**20:.2f} MiB (training, an image, float32)"),
    ]
    if space.simplify(chosen) != chosen and space.cost(chosen, size) == counted:
        named = space.cost(chosen, size, named=True)
        if named != counted:
            values["named"] = {"params": named.params, "macs": named.macs}
            rows.append(("with dead operations", f"{named.params:,} params, {named.macs:,} macs"))
    if measured:
        timed = latency(network, size)
        values["latency_ms"] = asdict(timed)
        rows.append(
            (
                "latency",
                f"{timed.median:.3f} ms, spread {timed.spread:.3f} ms (interquartile range of {timed.repeats} passes)",
            )
        )
    if table:
        predicted = LatencyTable.cached(torch.device("cpu")).predict(network, size)
        values["table_ms"] = predicted
        rows.append(("latency by table", f"{predicted:.3f} ms"))
    if as_json:
        typer.echo(json.dumps(values, indent=2))
    else:
        print_table(f"{name}, {classes} classes, {size} pixels", ("figure", "value"), rows)


@app.command()
def draw(
    name: Name,
    arch: Arch,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.svg", help="The picture.")],
    parameters: Parameters = None,
    classes: Classes = 10,
    image_size: Size = None,
    as_json: AsJson = False,
) -> None:
    """Draw an architecture as SVG."""
    from tailornas.spaces import draw as draw_architecture

    if out.suffix.lower() != ".svg":
        raise ConfigError(f"the picture is SVG: expected --out to name a file that ends in .svg, got {str(out)!r}")
    config, space, _ = opened(name, parameters, classes, image_size)
    chosen = read(space, arch)
    picture = draw_architecture(config, space, chosen)
    write_file(out, picture, "--out")
    values = {"space": name, "architecture": space.to_text(chosen), "file": str(out)}
    typer.echo(json.dumps(values, indent=2) if as_json else f"picture  {out}")


@app.command("latency")
def check_latency(
    name: Name,
    number: Annotated[int, typer.Option("-n", "--number", min=2, help="How many architectures.")] = 30,
    seed: Seed = 0,
    parameters: Parameters = None,
    classes: Classes = 10,
    image_size: Size = None,
    as_json: AsJson = False,
) -> None:
    """Check that the latency table ranks as measured latencies do."""
    import torch

    from tailornas.metrics import kendall_tau, spearman_rho
    from tailornas.spaces import LatencyTable, compare

    config, space, size = opened(name, parameters, classes, image_size)
    rng = torch.Generator().manual_seed(seed)
    archs = sampled(space, number, seed)
    networks = [config.network(space, arch, classes, rng) for arch in archs]
    table = LatencyTable.cached(torch.device("cpu"))
    predicted, measured = compare(networks, table, size)
    values: dict[str, Any] = {
        "space": name,
        "image_size": size,
        "threads": torch.get_num_threads(),
        "table": str(table.path),
        "spearman_rho": spearman_rho(predicted, measured),
        "kendall_tau": kendall_tau(predicted, measured),
        "architectures": [
            {"architecture": space.to_text(arch), "table_ms": by_table, "latency_ms": by_clock}
            for arch, by_table, by_clock in zip(archs, predicted, measured, strict=True)
        ],
    }
    if as_json:
        typer.echo(json.dumps(values, indent=2))
        return
    rows = [
        ("Spearman's rho", _correlation(values["spearman_rho"])),
        ("Kendall's tau", _correlation(values["kendall_tau"])),
        ("measured", f"{min(measured):.2f} to {max(measured):.2f} ms"),
        ("by table", f"{min(predicted):.2f} to {max(predicted):.2f} ms"),
        ("table", str(table.path)),
    ]
    print_table(f"{name}: table and clock over {number} architectures", ("figure", "value"), rows)


def _summary(model: type) -> str:
    return (model.__doc__ or "").strip().partition("\n")[0]


def _parameters(config: "SpaceConfig") -> dict[str, dict[str, Any]]:
    """Value and meaning of each of the space's own parameters."""
    from tailornas.spaces import OwnConfig, parameters

    values = config.model_dump(mode="json")
    if isinstance(config, OwnConfig):
        defaults = parameters(config.name)
        return {
            key: {"value": _plain(values.get(key, default)), "description": ""} for key, default in defaults.items()
        }
    fields = {key: field for key, field in type(config).model_fields.items() if key != "name"}
    return {key: {"value": values[key], "description": field.description} for key, field in fields.items()}


def _plain(value: object) -> object:
    """A default as JSON can say it."""
    return value if isinstance(value, str | int | float | bool | None) else repr(value)


def _grouped(decisions: Mapping[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    """Rows of neighbouring decisions that have the same options."""
    rows: list[tuple[list[str], str]] = []
    for key, options in decisions.items():
        text = ", ".join(options)
        if rows and rows[-1][1] == text:
            rows[-1][0].append(key)
        else:
            rows.append(([key], text))
    return [(keys[0] if len(keys) == 1 else f"{keys[0]} to {keys[-1]} ({len(keys)})", text) for keys, text in rows]


def _large(number: int) -> str:
    return f"{number:,}" if number < 10**9 else f"about {number:.2e}"


def _correlation(value: float | None) -> str:
    return "none: all are equal" if value is None else f"{value:.3f}"
