import itertools
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailornas.spaces.cell_drawing import Cell, Edge, draw_cells
from tailornas.spaces.strip_drawing import Block, Stage, draw_strip

SVG = "{http://www.w3.org/2000/svg}"
Box = tuple[float, float, float, float]


def texts(svg: str) -> list[tuple[str, Box]]:
    """Every visible text with the box that it may take: 0.6 of the font size a character."""
    found = []
    for element in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        text, size = element.text or "", float(element.get("font-size", 14))
        x, y, width = float(element.attrib["x"]), float(element.attrib["y"]), 0.6 * size * len(text)
        left = x if re.search(r"\b(start|title)\b", element.get("class", "")) else x - width / 2
        found.append((text, (left, y - size / 2, left + width, y + size / 2)))
    return found


def check_layout(svg: str) -> None:
    """No text leaves the picture or touches another."""
    root = ElementTree.fromstring(svg)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    boxes = texts(svg)
    for text, (left, top, right, bottom) in boxes:
        assert left >= 0 and right <= width and top >= 0 and bottom <= height, text
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (one, other)


@st.composite
def cells(draw: st.DrawFn) -> Cell:
    size = draw(st.integers(2, 7))
    pairs = [(source, target) for target in range(1, size) for source in range(target)]
    ends = draw(st.lists(st.sampled_from(pairs), unique=True))
    names = st.sampled_from(["nor_conv_3x3", "skip_connect", "max_pool_3x3", "a_long_name_of_an_operation_of_a_user"])
    joined = draw(st.sets(st.integers(0, size - 2)))
    edges = tuple(Edge(*pair, draw(names)) for pair in ends if not joined or pair[1] < size - 1)
    return Cell(draw(st.sampled_from(["normal cell", ""])), tuple(map(str, range(size))), edges, tuple(joined))


@settings(deadline=None, max_examples=60)
@given(st.lists(cells(), min_size=1, max_size=2))
def test_texts_of_cells_touch_nothing(drawn: list[Cell]) -> None:
    check_layout(draw_cells("a title", "", drawn))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.builds(
            Stage,
            st.sampled_from(["", "stage 1", "a stage with a long title"]),
            st.lists(
                st.builds(
                    Block,
                    st.sampled_from([("k3",), ("k7", "e6"), ("an option of a user with a very long name",)]),
                    st.sampled_from(["", "160", "stage3.block4.expansion"]),
                    st.floats(0.05, 1),
                    st.integers(0, 3),
                ),
                min_size=1,
                max_size=5,
            ).map(tuple),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["", "a legend that is longer than a strip of a single narrow block"]),
)
def test_texts_of_strips_touch_nothing(stages: list[Stage], legend: str) -> None:
    check_layout(draw_strip("a title", "", stages, legend))


def test_each_edge_has_one_line_one_tip_and_its_name() -> None:
    edges = (Edge(0, 1, "nor_conv_3x3"), Edge(0, 2, "skip_connect"), Edge(1, 2, "avg_pool_3x3"))
    root = ElementTree.fromstring(draw_cells("t", "d", [Cell("", ("in", "1", "out"), edges)]))
    groups = [group for group in root.iter(f"{SVG}g") if "edge" in group.get("class", "")]
    assert [group.get("class") for group in groups] == ["edge conv", "edge skip", "edge pool"]
    assert [group.findtext(f"{SVG}text") for group in groups] == ["nor conv 3x3", "skip connect", "avg pool 3x3"]
    assert all(len(group.findall(f"{SVG}path")) == 2 for group in groups)


def test_edges_of_one_node_do_not_cross_and_lanes_do_not_overlap() -> None:
    """All edges of a full cell of seven nodes: horizontal parts on one height never share a place."""
    edges = tuple(Edge(source, target, "conv") for target in range(1, 7) for source in range(target))
    root = ElementTree.fromstring(draw_cells("t", "d", [Cell("", tuple("abcdefg"), edges)]))
    spans: dict[float, list[tuple[float, float]]] = {}
    for path in root.iter(f"{SVG}path"):
        found = re.fullmatch(r"M(\S+) \S+ V\S+ Q\S+ (\S+) \S+ \S+ H\S+ Q(\S+) \S+ .*", path.attrib["d"])
        if found is not None:
            spans.setdefault(float(found[2]), []).append((float(found[1]), float(found[3])))
    assert sum(map(len, spans.values())) == len(edges) - 6
    for on_lane in spans.values():
        for one, other in itertools.combinations(on_lane, 2):
            assert one[1] < other[0] or other[1] < one[0]


def test_nodes_without_edges_are_faint_and_joined_nodes_are_not() -> None:
    svg = draw_cells("t", "d", [Cell("", ("a", "b", "c", "out"), (Edge(0, 2, "conv"),), joined=(2,))])
    nodes = [g for g in ElementTree.fromstring(svg).iter(f"{SVG}g") if "node" in g.get("class", "")]
    assert [node.get("class") for node in nodes] == ["node", "node idle", "node", "node"]
    assert "concatenated" in svg


@pytest.mark.parametrize("hostile", ["</svg><script>alert(1)</script>", "a & b", '"quoted"'])
def test_names_are_escaped(hostile: str) -> None:
    for svg in (
        draw_cells(hostile, hostile, [Cell(hostile, (hostile, "b"), (Edge(0, 1, hostile),))]),
        draw_strip(hostile, hostile, [Stage(hostile, (Block((hostile,), hostile),))], hostile),
    ):
        root = ElementTree.fromstring(svg)
        assert not list(root.iter(f"{SVG}script"))
        assert root.findtext(f"{SVG}title") == root.findtext(f"{SVG}desc") == hostile


def test_a_long_label_is_shortened_and_whole_in_its_tooltip() -> None:
    name = "an_operation_with_a_name_that_is_too_long"
    root = ElementTree.fromstring(draw_cells("t", "d", [Cell("", ("a", "b"), (Edge(0, 1, name),))]))
    assert name.replace("_", " ") in [title.text for title in root.iter(f"{SVG}title")]
    label = next(text.text for text in root.iter(f"{SVG}text") if (text.text or "").startswith("an operation"))
    assert label is not None and len(label) == 26 and label.endswith("…")


def test_it_brings_colours_for_light_and_dark_and_a_background() -> None:
    svg = draw_strip("t", "d", [Stage("", (Block(("k3",)),))])
    assert "prefers-color-scheme: dark" in svg
    assert '<rect class="paper" width="100%" height="100%"/>' in svg
