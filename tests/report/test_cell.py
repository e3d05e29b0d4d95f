from xml.etree import ElementTree

from tailornas.report.cell import cell_svg

SVG = "{http://www.w3.org/2000/svg}"


def parsed(cell: list[tuple[int, int, str]]) -> ElementTree.Element:
    return ElementTree.fromstring(str(cell_svg(cell)).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def edge_labels(svg: ElementTree.Element) -> list[str | None]:
    return [group.findtext(f"{SVG}text") for group in svg.iter(f"{SVG}g") if "edge" in group.attrib["class"]]


def test_all_six_edges_have_their_label() -> None:
    operations = ["nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3", "skip_connect", "nor_conv_3x3", "avg_pool_3x3"]
    pairs = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
    svg = parsed([(a, b, operation) for (a, b), operation in zip(pairs, operations, strict=True)])
    times = "\N{MULTIPLICATION SIGN}"
    assert edge_labels(svg) == [
        f"3{times}3 conv",
        f"1{times}1 conv",
        f"3{times}3 avg pool",
        "skip",
        f"3{times}3 conv",
        f"3{times}3 avg pool",
    ]
    assert svg.findtext(f"{SVG}title") == "The found cell"
    assert (svg.findtext(f"{SVG}desc") or "").startswith(f"Edges: in to 1: 3{times}3 conv; in to 2: ")


def test_absent_edges_are_not_drawn() -> None:
    svg = parsed([(0, 1, "none"), (0, 3, "skip_connect")])
    assert edge_labels(svg) == ["skip"]
    assert svg.findtext(f"{SVG}desc") == "Edges: in to out: skip."
    assert parsed([(0, 1, "none")]).findtext(f"{SVG}desc") == "Edges: none."


def test_unknown_operations_are_named_letter_by_letter() -> None:
    assert edge_labels(parsed([(0, 1, "<my & op>")])) == ["<my & op>"]
