"""The page on a collection of images, as one HTML file that needs nothing else."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import final

from PIL import Image

from tailornas.data import Inspection, Part, decode_image
from tailornas.report.data_figures import class_sizes, image_sizes
from tailornas.report.data_sentences import BALANCED, SMALL
from tailornas.report.data_values import ClassValues, DataValues
from tailornas.report.figures import LOG_FROM, by_size
from tailornas.report.page import render_template
from tailornas.report.sections import Panel, Section, plot

__all__ = ["ClassSamples", "render_data", "sample_classes", "samples"]

LISTED = 500
"""The page lists so many bad images and groups of equal ones; the JSON output lists all."""

COPIES = 20
"""The page lists so many images of a group of equal ones."""

_THUMBNAIL = 64  # pixels
_CLASSES, _IMAGES = 4, 8  # so many classes of the head, the middle and the tail each, and so many images of each class


@final
@dataclass(frozen=True)
class ClassSamples:
    """Some images of a class.

    Args:
        name: the class.
        images: usable images it has.
        group: its shot group.
        thumbnails: ``data:`` addresses of square images.
    """

    name: str
    images: int
    group: str
    thumbnails: tuple[str, ...]


def render_data(inspection: Inspection, values: DataValues) -> str:
    """Returns the page as HTML text, to be written as UTF-8; safe as :func:`tailornas.report.render` is.

    Args:
        inspection: what was found.
        values: what is told of it (:func:`tailornas.report.data_values.data_values`).
    """
    return render_template(
        "data.html.j2",
        title=values["description"],
        values=values,
        sections=_sections(inspection, values),
        samples=samples(inspection, values),
        classes=[values["per_class"][i] for i in by_size([entry["images"] for entry in values["per_class"]])],
        limits={"listed": LISTED, "copies": COPIES, "small": SMALL, "balanced": BALANCED},
    )


def samples(inspection: Inspection, values: DataValues) -> list[ClassSamples]:
    """Small images of the largest, the middle and the smallest classes, evenly spread over each class.

    They are cropped to the square that a network would see, and not enlarged.
    """
    part = inspection.parts["train"]
    usable = part.scan.usable
    labels = part.stored.labels[usable]
    shown = []
    for label in sample_classes(values["per_class"]):
        rows = usable[labels == label].tolist()
        entry = values["per_class"][label]
        number = min(len(rows), _IMAGES)
        chosen = [rows[index * len(rows) // number] for index in range(number)]
        thumbnails = tuple(_thumbnail(part, row) for row in chosen)
        shown.append(ClassSamples(entry["name"], entry["images"], entry["group"], thumbnails))
    return shown


def sample_classes(classes: Sequence[ClassValues]) -> list[int]:
    """Labels of the four largest, the four middle and the four smallest classes; of all if they are no more."""
    order = by_size([entry["images"] for entry in classes])
    if len(order) <= 3 * _CLASSES:
        return order
    middle = (len(order) - _CLASSES) // 2
    return [*order[:_CLASSES], *order[middle : middle + _CLASSES], *order[-_CLASSES:]]


def _thumbnail(part: Part, row: int) -> str:
    with part.stored.images.open(row) as image:
        size = min(_THUMBNAIL, *image.size)
        square = Image.fromarray(decode_image(image, size).transpose(1, 2, 0))
    # A photograph is a tenth as large as a JPEG; of a few pixels each counts.
    form = "JPEG" if size >= _THUMBNAIL else "PNG"
    file = BytesIO()
    square.save(file, form, quality=85)
    return f"data:image/{form.lower()};base64,{b64encode(file.getvalue()).decode()}"


def _sections(inspection: Inspection, values: DataValues) -> list[Section]:
    counts = inspection.counts
    scale = ", on a logarithmic axis" if counts.imbalance_factor >= LOG_FROM else ""
    sections = [
        Section(
            "fig-classes",
            "The classes",
            f"Images of each class, from the largest to the smallest{scale}, in the colour of its shot group: "
            "many-shot classes have more than 100, few-shot classes fewer than 20.",
            [Panel(plot(class_sizes(values["per_class"]), "Class sizes"))],
        )
    ]
    sizes = inspection.sizes
    if len(sizes) and (sizes != sizes[0]).any():
        aid = "How many images are how wide and how high, as stored; a run sees the centre of each, as a square."
        drawn = plot(image_sizes(sizes), "Histogram of image widths and heights")
        sections.append(Section("fig-sizes", "Image sizes", aid, [Panel(drawn)]))
    return sections
