"""Splits, sources, the guard against real data, and batches as tensors."""

import dataclasses
import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from dfnas import profiles
from dfnas.data import imagenet, splits
from dfnas.data import real as real_data
from dfnas.data.images import batch_indices, from_input, pad, random_crop, to_input
from dfnas.errors import UserError
from dfnas.runtime import seeds

CIFAR = profiles.load("laptop").data


def test_digits_have_their_three_splits():
    data = real_data.load(profiles.load("smoke").data)
    assert (len(data.train), len(data.validation), len(data.test)) == (1150, 287, 360)
    assert len(data.train) + len(data.validation) == 1437
    assert data.train.images.shape[1:] == (1, 16, 16)
    assert data.train.images.dtype == torch.uint8


def test_where_the_region_is_smaller_than_an_image_all_splits_show_its_middle(monkeypatch, tmp_path):
    monkeypatch.setenv("DFNAS_DATA", str(small_copy(tmp_path / "cifar.zip")))
    cifar = profiles.load("laptop", overrides=["data.validation=1"]).data
    for data, side in ((profiles.load("smoke").data, 16), (cifar, 32)):
        less = dataclasses.replace(data, region=side - 4)
        whole, cut = real_data.load(data), real_data.load(less)
        for name in ("validation", "test"):
            all_of_it, middle = (getattr(found, name) for found in (whole, cut))
            assert torch.equal(middle.images, all_of_it.images[..., 2:-2, 2:-2])
            assert torch.equal(middle.classes, all_of_it.classes)
        assert real_data.train(less).images.shape[-1] == data.canvas


@pytest.mark.parametrize(("side", "anew"), [(16, False), (12, True)])
def test_what_came_to_be_cut_has_another_digest(side, anew, monkeypatch):
    data = dataclasses.replace(profiles.load("smoke").data, region=side)
    now = real_data.digest(data)
    monkeypatch.setattr(real_data, "KNOWN", {})
    assert (now != real_data.digest(data)) is anew


def test_every_split_is_normalised_as_the_training_images_are_and_labelled_with_its_classes():
    data = real_data.load(profiles.load("smoke").data)
    inputs = to_input(data.train.images, data.train.mean, data.train.std)
    assert float(inputs.mean()) == pytest.approx(0.0, abs=1e-4)
    assert float(inputs.std()) == pytest.approx(1.0, abs=1e-4)
    for part in (data.train, data.validation, data.test):
        assert (part.mean, part.std) == (data.train.mean, data.train.std)
        assert torch.equal(part.targets, part.classes)


def test_real_data_is_out_of_reach_inside_the_guard():
    settings = profiles.load("smoke").data
    with splits.no_real_data(), pytest.raises(splits.RealDataError):
        real_data.load(settings)
    assert len(real_data.load(settings).test) == 360


@pytest.mark.parametrize("where", ["", "/nowhere/at/all"])
def test_missing_cifar10_names_the_ways_to_provide_it(monkeypatch, tmp_path, where):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    monkeypatch.setenv("DFNAS_DATA", where)
    with pytest.raises(UserError, match=r"DFNAS_DATA.*zip.*download"):
        real_data.load(CIFAR)


def small_copy(path, size=32):
    """A made-up CIFAR-10 with 510 train and 2 test images a class, as a zip."""
    with zipfile.ZipFile(path, "w") as archive:
        for k, name in enumerate(splits.CIFAR10_CLASSES):
            for split, count in (("train", 510), ("test", 2)):
                for index in range(count):
                    buffer = io.BytesIO()
                    Image.fromarray(np.full((size, size, 3), k * 20 + index % 20, np.uint8)).save(buffer, "PNG")
                    archive.writestr(f"copy/{split}/{name}/{index:04d}.png", buffer.getvalue())
    return path


def test_a_zip_and_its_folder_give_the_same_splits(monkeypatch, tmp_path):
    source = small_copy(tmp_path / "cifar.zip")
    with zipfile.ZipFile(source) as archive:
        archive.extractall(tmp_path / "folder")
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path / "runs"))
    loaded = []
    for where in (source, tmp_path / "folder" / "copy"):
        monkeypatch.setenv("DFNAS_DATA", str(where))
        loaded.append(real_data.load(CIFAR))
    zipped, folder = loaded
    assert (len(zipped.train), len(zipped.validation), len(zipped.test)) == (100, 5000, 20)
    assert torch.bincount(zipped.validation.classes).tolist() == [500] * 10
    assert len(set(zipped.validation.classes[:50].tolist())) == 10  # any part of it holds all classes
    assert torch.equal(zipped.train.images, folder.train.images)
    assert zipped.train.mean == folder.train.mean


def test_without_validation_all_images_are_trained_on_and_the_last_500_of_each_class_are_watched(monkeypatch, tmp_path):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("DFNAS_DATA", str(small_copy(tmp_path / "cifar.zip")))
    held_out, whole, few = (
        real_data.load(dataclasses.replace(CIFAR, validation=each)) for each in (CIFAR.validation, 0, 30)
    )
    assert (len(whole.train), len(whole.validation), len(whole.test)) == (5100, 5000, 20)
    assert torch.bincount(whole.train.classes).tolist() == [510] * 10
    assert torch.equal(whole.validation.images, held_out.validation.images)
    assert (len(few.train), len(few.validation)) == (4800, 300)


@pytest.mark.parametrize("content", ["size", "no zip"])
def test_another_file_is_refused(monkeypatch, tmp_path, content):
    source = tmp_path / "cifar.zip"
    if content == "size":
        small_copy(source, size=16)
    else:
        source.write_text("no zip", encoding="utf-8")
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("DFNAS_DATA", str(source))
    with pytest.raises(UserError):
        real_data.load(CIFAR)


def test_a_thousand_class_folders_keep_their_numeric_order():
    names = [f"new_class_{k}" for k in range(1000)]
    assert imagenet.class_order(sorted(names)) == names
    assert sum(a == b for a, b in zip(sorted(names), names, strict=True)) == 12  # what a sort by letters leaves (I10)
    ids = ["n02085620", "n01440764", "n01443537"]
    assert imagenet.class_order(ids) == sorted(ids)


def test_quantising_rounds_and_inverts_normalisation():
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    images = torch.arange(256).byte().reshape(1, 1, 16, 16).repeat(2, 3, 1, 1)
    assert torch.equal(from_input(to_input(images, mean, std), mean, std), images)
    almost = (torch.full((1, 3, 1, 1), 100.9 / 255) - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[
        :, None, None
    ]
    assert (from_input(almost, mean, std) == 101).all()  # rounded, not truncated


def test_each_epoch_takes_every_image_once():
    drawn = torch.cat([batch_indices(10, 4, step, 0, "train") for step in range(5)])
    assert sorted(drawn[:10].tolist()) == list(range(10))
    assert sorted(drawn[10:].tolist()) == list(range(10))
    assert not torch.equal(drawn[:10], drawn[10:])


def test_crops_are_windows_of_their_images():
    images = torch.arange(20 * 20).reshape(1, 1, 20, 20).repeat(64, 1, 1, 1)
    crops = random_crop(images, 16, True, seeds.generator(0, "crops"))
    assert crops.shape == (64, 1, 16, 16)
    corners = crops[:, 0, 0, :]
    step = corners[:, 1] - corners[:, 0]
    assert set(step.tolist()) == {1, -1}  # some mirrored, some not
    assert (crops[:, 0, 1, 0] - crops[:, 0, 0, 0] == 20).all()
    offsets = crops.flatten(1).min(1).values
    assert {int(value) // 20 for value in offsets} == set(range(5))
    assert {int(value) % 20 for value in offsets} == set(range(5))


def test_padding_reflects_or_is_black():
    images = torch.full((2, 1, 16, 16), 7, dtype=torch.uint8)
    assert (pad(images, 20, "reflect") == 7).all()
    assert int((pad(images, 20, "zero") == 0).sum()) == 2 * (400 - 256)
