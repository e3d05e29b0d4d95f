"""CSV files that list images with their labels."""

import csv
import io
import unicodedata
from collections.abc import Iterable, Iterator

from tailornas.data.folder import EXTENSIONS
from tailornas.errors import DataError

__all__ = ["label_order", "parse_table"]

_DIGITS = 18  # of a label that is taken for a number


def parse_table(text: str, place: str) -> Iterator[tuple[int, str, str]]:
    """Yields line number, path and label of every row of a CSV file of two columns: a header, then path and label.

    The header may say anything, and fields may be quoted. White space around a path or a label does not belong to it;
    within a label it counts as one space. Labels are composed (Unicode's NFC), so that those that look the same are
    the same. Blank lines are passed over.

    Args:
        text: content of the file.
        place: what messages call the file.

    Raises:
        DataError: the first line lists an image, so that there is no header; or a line has not two fields, has an
            empty one or one of several lines, has the label first, or a quote that does not end.
    """
    rows = csv.reader(io.StringIO(text), strict=True)
    header = True
    try:
        for fields in rows:
            if any(map(str.strip, fields)):
                path, label = _path_and_label(fields, f"{place} line {rows.line_num}", header)
                if not header:
                    yield rows.line_num, path, label
                header = False
    except csv.Error as problem:
        raise DataError(
            f"{place} line {rows.line_num} is no line of a CSV file ({problem}): expected 'path,label', a field with "
            "a comma in it between quotation marks"
        ) from problem


def label_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Class names in label order: by name, as those of folders, or by number where all are whole numbers in digits."""
    names = set(labels)
    if all(name.isdecimal() and len(name) <= _DIGITS for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))


def _path_and_label(fields: list[str], place: str, header: bool) -> tuple[str, str]:
    if len(fields) != 2:
        what = "a header of two columns, path and label, such as 'filename,label'" if header else "'path,label'"
        raise _refused(fields, place, f": expected {what}, with a comma between them and nothing else")
    path, label = fields[0].strip(), unicodedata.normalize("NFC", " ".join(fields[1].split()))
    if header and (_is_image(path) or "/" in path):
        raise _refused(fields, place, ", which lists an image: expected a header before it, such as 'filename,label'")
    several = any("\n" in field.strip() for field in fields)
    if not header and (not path or not label or several or (_is_image(label) and not _is_image(path))):
        raise _refused(fields, place, ": expected 'path,label', the path of an image and its label")
    return path, label


def _refused(fields: list[str], place: str, why: str) -> DataError:
    return DataError(f"{place} is {','.join(fields)[:80]!r}{why}")


def _is_image(path: str) -> bool:
    return path[path.rfind(".") :].lower() in EXTENSIONS
