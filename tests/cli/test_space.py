"""``tailornas space``, as a shell would see it."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from tailornas.cli.space import app
from tailornas.errors import TailorNASError
from tailornas.spaces import SPACES

EXAMPLE = Path(__file__).parents[2] / "docs" / "how-to" / "examples" / "my_space.py"
CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
PUBLISHED = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
DEAD = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
SMALL = {"darts": ["--set", "channels=4", "--set", "cells=3"], "nasbench201": ["--set", "channels=4"]}


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if isinstance(result.exception, TailorNASError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def read(*arguments: str | Path) -> Any:
    return json.loads(run(*arguments, "--json"))


def test_list() -> None:
    assert [space["name"] for space in read("list")] == list(SPACES)
    assert all(space["description"] for space in read("list"))
    output = run("list")
    assert all(name in output for name in [*SPACES, "FILE.py:Class"])


@pytest.mark.parametrize("name", SPACES)
def test_describe_and_sample_every_space(name: str) -> None:
    described = read("describe", name, *SMALL.get(name, []))
    assert described["parameters"].keys() == SPACES[name].model_fields.keys() - {"name"}
    assert described["architectures"] > 1000
    texts = read("sample", name, "-n", "3", "--seed", "1", *SMALL.get(name, []))
    assert len(set(texts)) == 3
    assert run("sample", name, "-n", "3", "--seed", "1", *SMALL.get(name, [])).splitlines() == texts
    assert read("sample", name, "-n", "3", "--seed", "2", *SMALL.get(name, [])) != texts


def test_describe_in_words() -> None:
    output = run("describe", "nasbench201", "--set", "channels=4")
    assert re.search(r"architectures +15,625\n", output)
    assert re.search(r"\nchannels +4 +channels of the first", output)
    assert re.search(r"0->1 to 2->3 \(6\) +none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3\n", output)
    assert re.search(r"\ntext form, for --arch: \|", output)


def test_a_users_space_has_all_verbs(tmp_path: Path) -> None:
    name = f"{EXAMPLE}:Net"
    described = read("describe", name, "--classes", "3")
    assert described["decisions"]["third"] == ["max", "average"]
    assert described["parameters"] == {}
    text = read("sample", name, "-n", "1")[0]
    costs = read("cost", name, "--arch", text, "--classes", "3", "--image-size", "8")
    assert costs["architecture"] == text
    assert costs["params"] > 3 * 16 * 9
    run("draw", name, "--arch", text, "-o", tmp_path / "own.svg")
    assert "first" in (tmp_path / "own.svg").read_text()


def test_cost_of_published_networks() -> None:
    """Parameters and multiply-accumulates of the benchmarks' tables and of the papers' code, on CIFAR-10."""
    costs = read("cost", "nasbench201", "--arch", PUBLISHED, "--set", "channels=16", "--set", "cells_per_stage=5")
    assert (costs["params"], costs["macs"]) == (802_426, 113_951_370)
    costs = read("cost", "nats-size", "--arch", "8:8:8:8:8")
    assert (costs["params"], costs["macs"]) == (11_714, 4_481_114)
    costs = read("cost", "darts", "--arch", "FairDARTS_a", "--set", "channels=36", "--set", "cells=20")
    # The multiply-accumulates of the convolutions, 371,450,880, and those of the head.
    assert (costs["params"], costs["macs"]) == (2_360_782, 371_450_880 + 4_330)


def test_the_auxiliary_head_counts_as_parameters_only() -> None:
    without, costs = (
        read("cost", "darts", "--arch", "DARTS_V2", *SMALL["darts"], "--set", f"auxiliary={flag}")
        for flag in ("false", "true")
    )
    assert costs["params"] > without["params"]
    assert costs["macs"] == without["macs"]


def test_cost_depends_on_classes_and_image_size() -> None:
    ten, hundred = (
        read("cost", "nasbench201", "--arch", CELL, *SMALL["nasbench201"], "--classes", n) for n in ("10", "100")
    )
    assert hundred["params"] - ten["params"] == 90 * 17
    small = read("cost", "nasbench201", "--arch", CELL, *SMALL["nasbench201"], "--image-size", "16")
    assert 3.9 < ten["macs"] / small["macs"] < 4.1
    assert ten["activation_bytes"] == 4 * ten["activations"]


def test_dead_operations_are_counted_apart() -> None:
    costs = read("cost", "nasbench201", "--arch", DEAD, *SMALL["nasbench201"])
    assert costs["named"]["params"] - costs["params"] == 9 * (16 + 64 + 256) + 2 * (4 + 8 + 16)
    assert "named" not in read("cost", "nasbench201", "--arch", CELL, *SMALL["nasbench201"])
    assert re.search(r"with dead operations +[\d,]+ params", run("cost", "nasbench201", "--arch", DEAD, "--classes=2"))


def test_cost_in_words_with_both_latencies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    options = ["--arch", CELL, *SMALL["nasbench201"], "--image-size", "8", "--latency", "--table"]
    output = run("cost", "nasbench201", *options)
    assert re.search(r"\nparams +[\d,]+\nmacs +[\d,]+\nactivation memory +\d+\.\d\d MiB", output)
    assert re.search(r"\nlatency +\d+\.\d{3} ms, spread \d+\.\d{3} ms \(interquartile range of 30 passes\)", output)
    assert re.search(r"\nlatency by table +\d+\.\d{3} ms", output)
    costs = read("cost", "nasbench201", *options)
    assert costs["latency_ms"].keys() == {"median", "spread", "repeats"}
    assert costs["table_ms"] > 0
    assert len(list((tmp_path / ".cache/tailornas/latency").glob("*.json"))) == 1


def test_how_well_the_table_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    options = ["-n", "3", *SMALL["nasbench201"], "--image-size", "4"]
    values = read("latency", "nasbench201", *options)
    assert -1 <= values["spearman_rho"] <= 1
    assert len(values["architectures"]) == 3
    assert all(entry["table_ms"] > 0 and entry["latency_ms"] > 0 for entry in values["architectures"])
    assert re.search(r"Spearman's rho +-?\d\.\d{3}\n", run("latency", "nasbench201", *options))


@pytest.mark.parametrize("name", SPACES)
def test_draw_every_space(name: str, tmp_path: Path) -> None:
    text = read("sample", name, "-n", "1", *SMALL.get(name, []))[0]
    (tmp_path / "arch.txt").write_text(text + "\n")
    out = tmp_path / "drawn.svg"
    answer = read("draw", name, "--arch", f"@{tmp_path}/arch.txt", "-o", out, *SMALL.get(name, []))
    assert answer == {"space": name, "architecture": text, "file": str(out)}
    root = ElementTree.parse(out).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.findtext("{http://www.w3.org/2000/svg}title") == name
    assert root.findtext("{http://www.w3.org/2000/svg}desc")


MISTAKES = {
    "unknown space": (["describe", "dart"], r"space: unknown space 'dart': expected one of FILE\.py:Class, darts, .*"),
    "no such file": (["describe", "none.py:Net"], r"cannot read the space 'none\.py:Net': No such file .*"),
    "unknown parameter": (
        ["sample", "nasbench201", "--set", "cells=3"],
        r"space 'nasbench201' has no parameter 'cells': its parameters are channels, cells_per_stage",
    ),
    "a value out of range": (
        ["cost", "darts", "--arch", "DARTS_V2", "--set", "cells=2"],
        r"space\.cells: input should be greater than or equal to 3, got 2",
    ),
    "no assignment": (["describe", "darts", "--set", "cells"], r"expected --set KEY=VALUE, got 'cells'"),
    "no key": (["describe", "darts", "--set", "=3"], r"expected --set KEY=VALUE, got '=3'"),
    "malformed": (
        ["cost", "nasbench201", "--arch", "|skip~0|"],
        r"NAS-Bench-201 cell, position 1: expected one of none, .*, got 'skip'",
    ),
    "no such genotype": (["cost", "darts", "--arch", "DARTS_V3"], r"unknown genotype 'DARTS_V3'.*"),
    "no such architecture file": (
        ["cost", "darts", "--arch", "@none.txt"],
        r"cannot read the architecture in none\.txt: No such file or directory",
    ),
    "picture that is not SVG": (
        ["draw", "nats-size", "--arch", "8:8:8:8:8", "-o", "cell.png"],
        r"the picture is SVG: expected --out to name a file that ends in \.svg, got 'cell\.png'",
    ),
    "no folder for the picture": (
        ["draw", "nats-size", "--arch", "8:8:8:8:8", "-o", "none/a.svg"],
        r"cannot write none/a\.svg: No such file or directory: expected --out to name a file in a folder .*",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, pattern = MISTAKES[mistake]
    with pytest.raises(TailorNASError) as caught:
        run(*arguments)
    assert re.fullmatch(pattern, str(caught.value)), str(caught.value)
    assert not list(tmp_path.iterdir())


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys, tailornas.cli.space; sys.exit('torch' in sys.modules or 'pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
