import re
from xml.etree import ElementTree

import pytest
import torch

from tailornas.spaces import SearchSpace, build_space, draw, space_config
from tailornas.spaces.network import Backbone

SVG = "{http://www.w3.org/2000/svg}"


def built(name: str) -> SearchSpace[Backbone]:
    return build_space(space_config(name, {}), 2, torch.Generator().manual_seed(0))


def drawn(name: str, text: str) -> list[str]:
    """The visible texts of a picture, in its order."""
    space = built(name)
    svg = draw(space_config(name, {}), space, space.from_text(text))
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_a_cell_shows_the_operations_that_reach_the_output() -> None:
    texts = drawn("nasbench201", "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|avg_pool_3x3~2|")
    assert texts[2:] == ["skip connect", "in", "1", "2", "out"]


def test_darts_shows_both_cells() -> None:
    texts = drawn("darts", "FairDARTS_a")
    assert texts.index("normal cell") < texts.index("reduction cell")
    assert sum(bool(re.search("conv|pool|skip", text)) for text in texts) == 4 + 8
    assert texts.count("concatenated") == 2


@pytest.mark.parametrize(
    ("name", "text", "blocks", "channels"),
    [
        ("resnet", "0x16k3-3x32k5-2x64k3", ["k3", "k5", "k5", "k5", "k3", "k3"], ["16", *["32"] * 3, *["64"] * 2]),
        (
            "mobilenet",
            "k3e6,k5e4/k7e3,k3e3/k5e6,k5e6/k3e4,k3e4/k3e3,k3e6",
            ["k3", "k3", "k5", "k7", "k3", "k5", "k5", "k3", "k3", "k3", "k3"],
            ["16", "24", "24", "40", "40", "80", "80", "112", "112", "160", "160"],
        ),
    ],
)
def test_an_elastic_network_shows_its_blocks(name: str, text: str, blocks: list[str], channels: list[str]) -> None:
    texts = drawn(name, text)
    assert [entry for entry in texts if re.fullmatch(r"k\d", entry)] == blocks
    assert [entry for entry in texts if re.fullmatch(r"\d+", entry)] == channels
    if name == "mobilenet":
        expansions = [entry for entry in texts if re.fullmatch(r"e\d", entry)]
        assert expansions == ["e6", "e4", "e3", "e3", "e6", "e6", "e4", "e4", "e3", "e6"]


def test_the_size_space_shows_its_widths() -> None:
    texts = drawn("nats-size", "8:16:24:32:64")
    assert [entry for entry in texts if entry.isdigit()] == ["8", "8", "16", "24", "32", "64"]
