"""ImageNet's loader, on small folders of the same layout."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dfnas import profiles
from dfnas.data import imagenet, real, sources
from dfnas.data.image_files import ImageFiles
from dfnas.errors import UserError
from dfnas.profiles import DataSettings

SETTINGS = DataSettings(
    "imagenet", channels=3, classes=2, region=24, canvas=32, padding="zero", images_per_class=2, validation=10
)


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


def test_all_images_stay_in_their_files_until_rows_are_asked_for(folder: Path) -> None:
    few, all_of_them = imagenet.load(SETTINGS), imagenet.load(replace(SETTINGS, images_per_class=0)).train
    assert isinstance(all_of_them.images, ImageFiles)
    assert (len(all_of_them), all_of_them.images.shape) == (6, (6, 3, 32, 32))
    assert all_of_them.images[torch.tensor([4, 0])][:, 0, 0, 0].tolist() == [101, 0]
    assert torch.equal(all_of_them.images[:][[0, 1, 3, 4]], few.train.images[:])
    (folder / "train" / "n01440764" / "00.png").write_text(
        "no picture", encoding="utf-8"
    )  # of the others none is touched
    part = all_of_them.on_canvas(SETTINGS).select(torch.tensor([1, 5]))
    assert part.images[:][:, 0, 0, 0].tolist() == part.classes.mul(100).add(torch.tensor([1, 2])).tolist() == [1, 102]
    assert [len(images) for images in part.images.split(1)] == [1, 1]


def test_batches_and_what_is_judged_are_the_same_from_files_and_from_memory(folder: Path) -> None:
    for number, path in enumerate(sorted(folder.glob("train/*/*"))):
        random = np.random.default_rng(number)
        Image.fromarray(random.integers(256, size=(40, 70, 3), dtype=np.uint8)).save(path)
    data = replace(SETTINGS, images_per_class=0)
    settings = replace(profiles.load("smoke"), data=data, run=profiles.RunSettings(device="cpu"))
    lazy = real.train(data)
    loaded = replace(lazy, images=lazy.images[:])
    recipe = profiles.TrainingSettings(batch=4, learning_rate=0.1)
    for step in (0, 3):
        batches = [sources.sampler(source, recipe, settings, 0)(step, 24) for source in (lazy, loaded)]
        assert all(map(torch.equal, *batches))
    for side in (0, 12):
        shown = [sources.judged(source, settings, side).images for source in (lazy, loaded)]
        assert torch.equal(shown[0], shown[1])
    assert torch.equal(sources.regions(lazy, settings)[:], sources.regions(loaded, settings))
    assert len(sources.split(lazy, 2, 2, 0)[1]) == 2


def test_a_small_picture_is_scaled_to_the_canvas_and_no_further(folder: Path) -> None:
    left_half = np.zeros((32, 32, 3), dtype=np.uint8)
    left_half[:, :16] = 200
    Image.fromarray(left_half).save(folder / "val" / "n01440764" / "00.png")
    shown = imagenet.load(SETTINGS).test.images[0, 0]
    assert shown.shape == (24, 24)
    assert torch.equal(shown[0] > 100, torch.arange(24) < 12)
    assert torch.equal(shown[0].unique(), torch.tensor([0, 200], dtype=torch.uint8))  # nothing was interpolated


def test_where_none_is_held_out_all_are_trained_on_and_some_are_watched(folder: Path) -> None:
    data = imagenet.load(replace(SETTINGS, images_per_class=0, validation=0))
    assert (len(data.train), len(data.validation)) == (26, 20)
    assert set(data.validation.images[:, 0, 0, 0].tolist()) < set(data.train.images[:][:, 0, 0, 0].tolist())


def test_what_is_missing_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "train" / "n01484850").mkdir()
    with pytest.raises(UserError, match="3 class folders, and the profile has 2 classes"):
        imagenet.load(SETTINGS)
    monkeypatch.setenv("DFNAS_DATA", str(folder / "nowhere"))
    with pytest.raises(UserError, match="no ImageNet at"):
        imagenet.load(SETTINGS)
