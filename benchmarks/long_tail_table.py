"""Every long-tail loss, schedule, sampler, blending and head, trained alike: one row of a table each.

Each row is a ``tailornas train`` of its own, in a run folder of its own, on CIFAR-10-LT with imbalance factor 100; the
split, the seed, the epochs and the rest of the recipe are the same. Methods of a second stage go on from the network
that another row trained, cross-entropy's but for one. Started again, it goes on where it ended: finished rows are only
read. With ``--only`` one row is computed, and the others stay as the table has them, second stages of that row too.

    python -m benchmarks.long_tail_table --data-dir DIR --runs DIR --out docs/results/long-tail-table/table.json
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from tailornas.runs import environment

PLAIN = "cross-entropy"
ROWS = {
    PLAIN: ("--loss=ce",),
    "cross-entropy, weights by inverse frequency": ("--loss=ce", "--class-weights=inverse"),
    "cross-entropy, weights by a smoothed power": ("--loss=ce", "--class-weights=smoothed"),
    "cross-entropy, weights by effective number": ("--loss=ce", "--class-weights=effective"),
    "cross-entropy, those weights deferred (DRW)": ("--loss=ce", "--class-weights=effective", "--schedule=drw"),
    "focal": ("--loss=focal",),
    "class-balanced focal": ("--loss=class_balanced_focal",),
    "LDAM": ("--loss=ldam", "--schedule=none"),
    "LDAM, deferred re-weighting (DRW)": ("--loss=ldam", "--schedule=drw"),
    "balanced softmax": ("--loss=balanced_softmax",),
    "logit adjustment": ("--loss=logit_adjustment",),
    # The authors' smoothing for CIFAR-10-LT.
    "label-aware smoothing": (
        "--loss=label_aware_smoothing",
        "--set=train.loss_settings.head=0.3",
        "--set=train.loss_settings.tail=0.0",
    ),
    "equalisation (SEQL)": ("--loss=seql",),
    "mixup": ("--loss=ce", "--mix=mixup"),
    "Remix": ("--loss=ce", "--mix=remix"),
    "mixup, balanced softmax": ("--loss=balanced_softmax", "--mix=mixup"),
    "class-balanced sampler": ("--loss=ce", "--sampler=class_balanced"),
    "square-root sampler": ("--loss=ce", "--sampler=square_root"),
    "progressively balanced sampler": ("--loss=ce", "--sampler=progressive"),
    "deferred re-sampling (DRS)": ("--loss=ce", "--schedule=drs"),
    "cosine head": ("--loss=ce", "--head=scaled_cosine"),
    "ETF head": ("--loss=ce", "--head=etf"),
    "two branches (BBN)": ("--loss=ce", "--two-branch"),
}
SMOOTHING = (
    "--set=train.second_stage.loss=label_aware_smoothing",
    "--set=train.second_stage.loss_settings.head=0.3",
    "--set=train.second_stage.loss_settings.tail=0.0",
)
SECOND_STAGES = {
    "cRT": (PLAIN, ("--second-stage=crt",)),
    "LWS": (PLAIN, ("--second-stage=lws",)),
    "tau-normalised head, tau 1": (PLAIN, ("--second-stage=tau_norm",)),
    "nearest class mean": (PLAIN, ("--second-stage=ncm",)),
    "logit adjustment after training": (PLAIN, ("--second-stage=logit_adjustment",)),
    "mixup, cRT with label-aware smoothing": ("mixup", ("--second-stage=crt", *SMOOTHING)),
}
"""Row -> the row whose network it goes on from, and what it adds to that row's options."""

MEASURES = ("balanced_accuracy", "balanced_se", "accuracy", "many", "medium", "worst_class", "ece")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="folder with CIFAR-10")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the run folders")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write; a Markdown table is put beside it")
    parser.add_argument("--backbone", default="resnet32")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[*ROWS, *SECOND_STAGES], metavar="ROW", help="name of a single row")
    arguments = parser.parse_args()
    common = (
        f"--backbone={arguments.backbone}",
        "--data=cifar10",
        "--imbalance-factor=100",
        f"--epochs={arguments.epochs}",
        f"--seed={arguments.seed}",
    )
    options = {name: (*common, *own) for name, own in ROWS.items()}
    options |= {name: (*options[first], *own) for name, (first, own) in SECOND_STAGES.items()}
    recipe = {"backbone": arguments.backbone, "epochs": arguments.epochs, "seed": arguments.seed, "runs a row": 1}
    machine, rows = environment(), {}
    if arguments.only:
        if not arguments.out.exists():
            raise SystemExit(f"{arguments.out} does not exist: --only computes a row of a table that is there")
        table = json.loads(arguments.out.read_text())
        if {key: table[key] for key in recipe} != recipe:
            raise SystemExit(f"{arguments.out} is of another recipe than {recipe}: give the options it was made by")
        machine, rows = table["machine"], table["rows"]
        options = {arguments.only: options[arguments.only]}
    for number, (name, given) in enumerate(options.items(), start=1):
        print(f"== {number}/{len(options)} {name}", flush=True)
        folder = arguments.runs / slug(name)
        if name in SECOND_STAGES and not folder.exists():
            shutil.copytree(arguments.runs / slug(SECOND_STAGES[name][0]), folder)
        train(folder, given, arguments.data_dir)
        rows[name] = {"command": " ".join(("tailornas train", *given)), **measured(folder)}
        write({"machine": machine, **recipe, "rows": rows}, arguments.out)


def slug(name: str) -> str:
    """Of a row's own name, so that a row that is added later moves no other's folder."""
    return "-".join(re.findall(r"[a-z0-9]+", name.lower()))


def train(folder: Path, options: tuple[str, ...], data_dir: str) -> None:
    command = [sys.executable, "-m", "tailornas", "train", *options, f"--data-dir={data_dir}", f"--out={folder}"]
    subprocess.run(command, check=True)


def measured(folder: Path) -> dict[str, Any]:
    """Test metrics as shares of one, and how long training took."""
    results = {path.parent.name: json.loads(path.read_text()) for path in folder.glob("stages/*/result.json")}
    values = {stage: result["values"] for stage, result in results.items()}
    metrics = values["evaluate"]["train"]["metrics"]
    metrics |= {name: group["recall"] for name, group in metrics["groups"].items()}
    seconds = sum(values[name].get("seconds", 0.0) for name in ("train", "train-head") if name in values)
    epochs = values["train"]["epochs"]
    settings = tomllib.loads((folder / "config.toml").read_text())["train"]["second_stage"]
    second = settings["epochs"] if settings["name"] in ("crt", "lws") else 0
    return {
        **{name: metrics[name] for name in MEASURES},
        "epochs": epochs,
        "head_epochs": second,
        "seconds": round(seconds),
        "commit": results["train"]["environment"]["commit"],
    }


def write(result: dict[str, Any], out: Path) -> None:
    """The JSON file, and the table for people, best balanced accuracy first."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    lines = [
        f"{result['backbone']}, seed {result['seed']}, one run a row; ± is over test images, not over seeds.",
        "",
        "| method | epochs | balanced accuracy | many-shot | medium-shot | worst class | ECE |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in sorted(result["rows"].items(), key=lambda item: -item[1]["balanced_accuracy"]):
        accuracy = f"{row['balanced_accuracy']:.1%} ± {100 * row['balanced_se']:.1f}"
        others = " | ".join(f"{row[key]:.1%}" for key in ("many", "medium", "worst_class", "ece"))
        epochs = f"{row['epochs']} + {row['head_epochs']} of the head" if row["head_epochs"] else str(row["epochs"])
        lines.append(f"| {name} | {epochs} | {accuracy} | {others} |")
    out.with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
