import io
from pathlib import Path

import pytest
from PIL import Image

from tailornas.data import DataConfig
from tailornas.errors import DataError, RunFolderError
from tailornas.pipeline.images import READING, check_apart, read_images
from tailornas.runs.console import PlainConsole


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    for label, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for number in range(70):
            Image.new("RGB", (4, 4), (number, label, 0)).save(tmp_path / name / f"{number:02}.png")
    return tmp_path


def test_reading_is_shown(pets: Path) -> None:
    shown = io.StringIO()
    assert len(read_images(DataConfig(data=str(pets)), 0, PlainConsole(READING, shown)).test) == 28
    first, last = shown.getvalue().splitlines()
    assert first.split() == ["images", *READING["images"].split()]
    assert "done in" in last
    assert "140/140 images" in last


def test_a_mistake_is_told_alone() -> None:
    shown = io.StringIO()
    with pytest.raises(DataError, match="no such file or folder"):
        read_images(DataConfig(data="./nowhere"), 0, PlainConsole(READING, shown))
    assert shown.getvalue() == ""


def test_a_broken_image_stops_it(pets: Path) -> None:
    (pets / "dog" / "69.png").write_bytes(b"")
    shown = io.StringIO()
    with pytest.raises(DataError, match=r"69\.png"):
        read_images(DataConfig(data=str(pets)), 0, PlainConsole(READING, shown))
    assert "stopped" in shown.getvalue().splitlines()[-1]


def test_a_run_has_its_folder_outside_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = tmp_path / "photos"
    (photos / "cat").mkdir(parents=True)
    (tmp_path / "link").symlink_to(photos)
    monkeypatch.chdir(photos)
    with pytest.raises(RunFolderError) as caught:
        check_apart(Path("runs/photos"), ".")
    assert str(caught.value) == (
        "the run folder runs/photos lies in the folder of the images, ., where it would be taken for images: give one "
        "outside, such as --out ../runs/photos"
    )
    for out in (photos, photos / "cat" / "run", tmp_path / "link" / "runs"):
        with pytest.raises(RunFolderError, match="lies in the folder of the images"):
            check_apart(out, None, "digits", str(tmp_path / "link"))
    for out in (Path("../runs/photos"), photos / ".runs" / "photos", Path("cat/../../runs")):
        check_apart(out, ".")
    check_apart(Path("runs/photos"), "digits", None, "nowhere")
    (photos / "train-0.parquet").touch()
    check_apart(Path("runs/photos"), ".", "train-0.parquet")
