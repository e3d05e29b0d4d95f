import numpy as np
import pytest

from tailornas.report.data_figures import image_sizes


@pytest.mark.parametrize(
    ("sides", "bins", "first", "last"),
    [
        (range(20, 30), 10, "20", "29"),
        (range(100, 201), 34, "100 to 102", "199 to 201"),
        (range(1, 9), 8, "1", "8"),  # on a logarithmic axis
    ],
)
def test_every_bin_of_the_sides_holds_whole_pixels(sides: range, bins: int, first: str, last: str) -> None:
    width, height = image_sizes(np.array([(side, side) for side in sides], np.int32)).data
    edges = np.array(width.x[::2])
    assert len(edges) == bins
    assert (edges == edges.astype(int)).all()
    assert (np.diff(edges) >= 1).all()
    assert sum(width.y[::2]) == sum(height.y[::2]) == len(sides)
    assert all(width.y)
    assert width.hovertext[0].startswith(f"width {first} pixels: ")
    assert width.hovertext[-1].startswith(f"width {last} pixels: ")
