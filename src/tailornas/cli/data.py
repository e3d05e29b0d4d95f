"""``tailornas data``: what a collection of images is like."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailornas.cli.options import DataDir, ImbalanceFactor, Seed, interruptible, refuse_empty, write_file
from tailornas.errors import ConfigError

if TYPE_CHECKING:
    from tailornas.report.data_values import ClassValues, DataValues, SizeValues
    from tailornas.runs import Console

__all__ = ["app"]

app = typer.Typer(name="data", help="Look at images before anything is trained on them.", no_args_is_help=True)

_ROWS = 30  # classes that a table shows; of more, the largest and the smallest
_LISTED = 10  # bad images and duplicates that are listed; --json and --html list more
_BAR = 20  # letters of the largest class's bar
_NAME = 28  # letters of a class name


@app.callback()
def _data() -> None:
    """Keeps ``inspect`` a word of its own, which typer would leave out for a single command."""


@app.command()
def inspect(
    context: typer.Context,
    data: Annotated[
        str,
        typer.Argument(
            metavar="NAME|PATH",
            help="digits, cifar10, cifar100, fashion-mnist, a folder with one sub-folder a class, a list or "
            "annotation file, or Parquet.",
        ),
    ],
    data_dir: DataDir = None,
    imbalance_factor: ImbalanceFactor = None,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            metavar="NAME",
            help="How class sizes fall off: exp, step or as-is. Default: as-is, or what a run takes with "
            "--imbalance-factor.",
        ),
    ] = None,
    seed: Seed = None,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write a page with figures and sample images.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON and nothing else.")] = False,
) -> None:
    """Open every image; tell counts, sizes, bad files and duplicates.

    The images are taken as they are; with --profile or --imbalance-factor, as a run with the same options would take
    them.
    """
    # Imported here, so that --help answers at once.
    from tailornas.config import RunConfig, read_config
    from tailornas.data import inspect as inspect_source
    from tailornas.data import read
    from tailornas.report.data_page import render_data
    from tailornas.report.data_values import data_values
    from tailornas.runs import make_console

    refuse_empty(context)
    page = Path(html) if html is not None else None
    if profile is None and imbalance_factor is None:
        profile = "as-is"
    given = {
        "data.data": data,
        "data.data_dir": data_dir,
        "data.profile": profile,
        "data.imbalance_factor": imbalance_factor,
        "seed": seed,
    }
    config = read_config(RunConfig, flags={key: value for key, value in given.items() if value is not None})
    if page is not None and (page.is_dir() or not page.absolute().parent.is_dir()):
        raise ConfigError(f"cannot write {page}: expected --html to name a file in a folder that exists")
    console = make_console({"inspect": "opening every image"}, quiet=as_json)
    started = time.monotonic()
    console.stage_started("inspect", resumed=False)
    with interruptible():
        try:
            stored = read(config.data.data, config.data.data_dir, config.data.memory_cap_mb * 2**20)
            inspection = inspect_source(
                stored,
                config.data,
                config.seed,
                lambda done, total: console.progress("inspect", done, total, "images", {}),
            )
        except BaseException:
            console.stage_stopped("inspect")
            raise
    console.stage_finished("inspect", time.monotonic() - started)
    values = data_values(inspection, data)
    # Told before the page is written, which may fail: the work of looking is not lost.
    if as_json:
        typer.echo(json.dumps(values, indent=2))
    else:
        _tell(console, values)
    if page is None:
        return
    with interruptible():
        write_file(page, render_data(inspection, values), "--html")
    console.note(f"page  {page}")


def _tell(console: "Console", values: "DataValues") -> None:
    console.table("Classes", *_class_table(values))
    console.table("Shot groups", *_group_table(values))
    console.table("In numbers", ("figure", "value"), _figures(values))
    for title, entries in (
        ("Images that cannot be read", values["bad"]),
        ("Images of several frames", values["animated"]),
    ):
        if entries:
            rows = [(entry["name"], f"{entry['kind']}: {entry['reason']}") for entry in entries]
            console.table(title, ("image", "reason"), _shortened(rows))
    if values["duplicates"]:
        rows = [
            (duplicate["kind"], "  =  ".join(image["name"] for image in duplicate["images"][:4]))
            for duplicate in values["duplicates"]
        ]
        console.table("Equal images", ("within", "images"), _shortened(rows))
    if values["passed_over"]:
        endings = [_passed_over(ending, by_class) for ending, by_class in values["passed_over"].items()]
        console.table("Files passed over", ("ending", "files", "by class"), endings)
    for sentence in values["warnings"]:
        console.note(f"! {sentence}")
    for sentence in values["advice"]:
        console.note(sentence)


def _class_table(values: "DataValues") -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    classes = sorted(values["per_class"], key=lambda entry: -entry["images"])
    largest = max(classes[0]["images"], 1)
    others = [part for part in values["parts"] if part != "train"]

    def row(entry: "ClassValues") -> tuple[str, ...]:
        length = round(_BAR * entry["images"] / largest)
        bar = "\N{FULL BLOCK}" * length or ("\N{LEFT ONE EIGHTH BLOCK}" if entry["images"] else "")
        test = (_count(entry["test"]),) if "test" in others else ()
        return (_short(entry["name"]), _count(entry["images"]), *test, entry["group"], bar)

    columns = ("class", "images", *(["test"] if "test" in others else []), "group", "")
    if len(classes) <= _ROWS:
        return columns, [row(entry) for entry in classes]
    half = _ROWS // 2
    between = (f"... {len(classes) - 2 * half:,} more", *[""] * (len(columns) - 1))
    return columns, [*map(row, classes[:half]), between, *map(row, classes[-half:])]


def _group_table(values: "DataValues") -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows = []
    for group, meaning in (("many", "more than 100"), ("medium", "20 to 100"), ("few", "fewer than 20")):
        cells = [
            cell
            for groups in (values["groups"], values["terciles"])
            for cell in (
                (_count(groups[group]["classes"]), _count(groups[group]["images"])) if group in groups else ("", "")
            )
        ]
        rows.append((group, meaning, *cells))
    return ("group", "images of a class", "classes", "images", "classes by terciles", "images by terciles"), rows


def _figures(values: "DataValues") -> list[tuple[str, str]]:
    from tailornas.report.formats import ratio

    factor = values["imbalance_factor"]
    rows = [
        ("data", values["description"]),
        ("classes", _count(values["classes"])),
        ("images", _count(values["images"])),
        ("imbalance factor", "infinite: a class is empty" if factor is None else ratio(factor)),
        ("Gini coefficient", f"{values['gini']:.3f}"),
        ("profile", values["profile"]),
    ]
    rows += [(f"part {name}", _part(part)) for name, part in values["parts"].items()]
    if values["sizes"]:
        rows += [(side, _range(pixels)) for side, pixels in values["sizes"].items()]
    if values["seen"]:
        rows.append(("a run sees", values["seen"]["text"]))
    for name, counted in (("formats", values["formats"]), ("colour modes", values["modes"])):
        if counted:
            rows.append((name, ", ".join(f"{kind} {n:,}" for kind, n in counted.items())))
    return rows


def _part(part: dict[str, int]) -> str:
    lost = part["images"] - part["usable"]
    return f"{part['images']:,} images" + (f", {lost:,} of them cannot be read" if lost else "")


def _range(pixels: "SizeValues") -> str:
    if pixels["min"] == pixels["max"]:
        return f"{pixels['min']} pixels"
    return f"{pixels['min']} to {pixels['max']} pixels, median {pixels['median']:g}"


def _passed_over(ending: str, by_class: dict[str, int]) -> tuple[str, str, str]:
    listed = [f"{name} {files:,}" for name, files in by_class.items()]
    more = [f"... {len(listed) - _LISTED:,} more"] if len(listed) > _LISTED else []
    return ending or "none", _count(sum(by_class.values())), ", ".join([*listed[:_LISTED], *more])


def _shortened(rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    more = len(rows) - _LISTED
    return rows if more <= 0 else [*rows[:_LISTED], (f"... {more:,} more", "see --html or --json")]


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _short(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}\N{HORIZONTAL ELLIPSIS}"
