"""ImageNet's loader, on small folders of the same layout."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dfnas.data import imagenet
from dfnas.errors import UserError
from dfnas.profiles import DataSettings

SETTINGS = DataSettings("imagenet", channels=3, classes=2, region=24, canvas=32, padding="zero", images_per_class=2)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """13 training and 2 test images of each of two classes; their one colour tells class and number."""
    for split, count in (("train", 13), ("val", 2)):
        for k, name in enumerate(("n01440764", "n01443537")):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = np.full((40, 60, 3), 100 * k + number, dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / split / name / f"{number:02d}.png")
    monkeypatch.setenv("DFNAS_DATA", str(tmp_path))
    return tmp_path


def test_splits_are_disjoint_and_as_large_as_asked(folder: Path) -> None:
    data = imagenet.load(SETTINGS)
    shown = {name: getattr(data, name).images[:, 0, 0, 0].tolist() for name in ("train", "validation", "test")}
    assert shown["train"] == [0, 1, 100, 101]
    assert shown["validation"] == [*range(3, 13), *range(103, 113)]
    assert shown["test"] == [0, 1, 100, 101]
    assert data.train.images.shape == (4, 3, 32, 32)
    assert data.test.images.shape == (4, 3, 24, 24)
    assert data.train.images.dtype == torch.uint8
    assert data.train.classes.tolist() == [0, 0, 1, 1]


def test_the_shorter_side_becomes_the_canvas_s_before_the_centre_is_cut_out(tmp_path: Path) -> None:
    """Left half black: of a picture enlarged to 256 a small crop would show the middle alone."""
    pixels = np.zeros((32, 48, 3), dtype=np.uint8)
    pixels[:, 4:] = 255
    Image.fromarray(pixels).save(tmp_path / "image.png")
    shown = imagenet._image(tmp_path / "image.png", 16, 12)  # halved, as a picture of 16 x 24
    assert shown.shape == (3, 12, 12)
    assert (shown == 255).all()
    pixels[:, 9:] = 0  # half of it is 8 to 8.5 columns from the middle of 24
    Image.fromarray(pixels).save(tmp_path / "image.png")
    whole = imagenet._image(tmp_path / "image.png", 32, 32)
    assert torch.equal(whole, torch.from_numpy(pixels[:, 8:40]).permute(2, 0, 1))


def test_what_is_missing_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "train" / "n01484850").mkdir()
    with pytest.raises(UserError, match="3 class folders, and the profile has 2 classes"):
        imagenet.load(SETTINGS)
    monkeypatch.setenv("DFNAS_DATA", str(folder / "nowhere"))
    with pytest.raises(UserError, match="no ImageNet at"):
        imagenet.load(SETTINGS)
