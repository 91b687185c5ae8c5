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


def test_what_is_missing_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "train" / "n01484850").mkdir()
    with pytest.raises(UserError, match="3 class folders, and the profile has 2 classes"):
        imagenet.load(SETTINGS)
    monkeypatch.setenv("DFNAS_DATA", str(folder / "nowhere"))
    with pytest.raises(UserError, match="no ImageNet at"):
        imagenet.load(SETTINGS)
