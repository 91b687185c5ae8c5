"""A folder of one's own, or a zip of it, as real data: with a train part or without."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from image_sets import write

from dfnas import profiles
from dfnas.data import presence, splits
from dfnas.data import real as real_data
from dfnas.data.teachers import load as load_teacher
from dfnas.errors import UserError
from dfnas.profiles import DataSettings
from dfnas.runtime import stages
from dfnas.synthesis import controls, inversion, sets
from dfnas.training import students

from .test_folder import encoded

SETTINGS = DataSettings("folder", channels=3, classes=3, region=8, canvas=10)
SMOKE = profiles.load("smoke")
NAMES = ("ant", "bee", "cow")


def images(names: tuple[str, ...] = NAMES, **counts: int) -> dict[str, bytes]:
    """`counts` images of each class in each split, wide and high ones; the colour tells split, class and number."""
    start = {"train": 0, "val": 80, "test": 160}
    return {
        f"{split}/{name}/{k:02d}.png": encoded(
            np.full((9 + k, 20 - k, 3), start[split] + 25 * number % 75 + k, np.uint8)
        )
        for split, count in counts.items()
        for number, name in enumerate(names)
        for k in range(count)
    }


@pytest.fixture
def give(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path / "runs"))

    def place(files: dict[str, bytes], name: str = "set.zip") -> Path:
        monkeypatch.setenv("DFNAS_DATA", str(write(tmp_path / name, files)))
        return tmp_path / name

    return place


def shown(source) -> list[int]:
    return sorted(source.images[:, 0, 0, 0].tolist())


# What there is -> sizes of train, validation and test; what the first images of test show.
PARTS = {
    "all": ({"train": 12, "val": 3, "test": 2}, {}, (36, 9, 6), 160),
    "no val": ({"train": 20, "test": 2}, {}, (54, 6, 6), 160),
    "no val, few": ({"train": 2, "test": 2}, {}, (3, 3, 6), 160),
    "no val, at most one held out": ({"train": 20, "test": 2}, {"validation": 1}, (57, 3, 6), 160),
    "no val, none held out": ({"train": 20, "test": 2}, {"validation": 0}, (60, 6, 6), 160),
    "no test": ({"train": 20, "val": 2}, {}, (54, 6, 6), 80),
    "no train": ({"val": 3, "test": 2}, {}, (0, 9, 6), 160),
    "val alone": ({"val": 3}, {}, (0, 9, 9), 80),
    "test alone": ({"test": 2}, {}, (0, 6, 6), 160),
}


@pytest.mark.parametrize("kind", PARTS)
def test_every_split_is_what_is_there_for_it(kind: str, give) -> None:
    counts, changes, sizes, first = PARTS[kind]
    give(images(**counts))
    settings = dataclasses.replace(SETTINGS, **changes)
    data = real_data.load(settings)
    assert tuple(map(len, (data.train, data.validation, data.test))) == sizes
    assert shown(data.test)[0] == first
    assert data.class_names == real_data.class_names(settings) == NAMES
    assert (presence.has_train(settings), presence.has_test(settings)) == (sizes[0] > 0, True)
    if "none" not in kind and sizes[0]:
        assert not set(shown(data.train)) & set(shown(data.validation))
        assert torch.bincount(data.train.classes, minlength=3).unique().numel() == 1
    assert all(part.images.shape[1:] == (3, 8, 8) for part in (data.train, data.validation, data.test))


def test_a_picture_is_scaled_to_the_region_and_cut_in_its_centre(give) -> None:
    pixels = np.zeros((16, 48, 3), np.uint8)
    pixels[:, 16:32] = 100
    pixels[:, 24:32] = 200
    give({"test/a/0.png": encoded(pixels), "test/b/0.png": encoded(np.rot90(pixels))})
    settings = dataclasses.replace(SETTINGS, classes=2, channels=1)
    data = real_data.load(settings).test
    wide, high = (data.images[int((data.classes == k).nonzero())][0] for k in (0, 1))
    assert (wide[:, :3] == 100).all()  # nothing of the black sides; antialiased at the edge in the middle
    assert (wide[:, 5:] == 200).all()
    assert torch.equal(high, wide.T.flip(0))


def test_a_zip_and_its_folder_are_one_data_set_and_a_changed_label_or_image_another(give) -> None:
    files = images(train=3, test=2)
    digests = []
    # The same images in the same order, of which one has another class; and with another part that learns.
    moved = {name.replace("test/ant/01", "test/bee/0"): content for name, content in files.items()}
    judged = {name.replace("train/", "val/"): content for name, content in files.items()}
    changed = files | {"train/ant/00.png": files["train/ant/01.png"]}
    for number, content in enumerate((files, files, moved, judged, changed)):
        give(content, ("set.zip", "folder", "moved", "judged", "changed")[number])
        digests.append(real_data.digest(SETTINGS))
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4
    assert real_data.digest(dataclasses.replace(SETTINGS, class_names=("cow", "ant", "bee"))) not in digests


def test_classes_are_sorted_or_as_the_settings_order_them(give) -> None:
    give(images(("10", "9", "a"), test=2))
    data = real_data.load(SETTINGS)
    assert data.class_names == ("10", "9", "a")
    assert sorted(zip(data.test.classes.tolist(), data.test.images[:, 0, 0, 0].tolist()))[0] == (0, 160)
    turned = real_data.load(dataclasses.replace(SETTINGS, class_names=("9", "10", "a")))
    assert sorted(zip(turned.test.classes.tolist(), turned.test.images[:, 0, 0, 0].tolist()))[0] == (0, 185)


WRONG = {
    "nothing given": (None, {}, "no images are given: give --data"),
    "no split": ({f"{name}/0.png": b"" for name in NAMES}, {}, "no images in.*train/<class>"),
    "train alone": (images(train=3), {}, "no val or test to judge by"),
    "other classes": (images(test=2), {"classes": 7}, r"3 classes \(ant, bee, cow\).*data.classes=7"),
    "other names": (images(test=2), {"class_names": ("ant", "bee", "cat")}, "test/cow is none of the classes"),
    "other channels": (images(test=2), {"channels": 4}, "1 or 3 channels.*data.channels=4"),
    "a class that test lacks": (images(train=3) | images(NAMES[:2], test=2), {}, "test/cow has no images"),
    "a class that train lacks": (images(NAMES[:2], train=3) | images(test=2), {}, "train/cow has no images"),
    "too few to hold out": (images(train=1, test=2), {}, "train/ant has 1 images, and needs 2"),
    "no image": (images(test=2) | {"test/bee/x.png": b"x"}, {}, "test/bee/x.png.*no image"),
    "float": (
        images(test=2) | {"test/bee/x.tif": encoded(np.zeros((9, 9), np.float32), "TIFF")},
        {},
        "test/bee/x.tif.*mode F",
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_one_line(kind: str, give, monkeypatch: pytest.MonkeyPatch) -> None:
    files, changes, words = WRONG[kind]
    monkeypatch.setenv("DFNAS_DATA", "")
    if files is not None:
        give(files)
    settings = dataclasses.replace(SETTINGS, **changes)
    for call in (real_data.load, real_data.digest):
        with pytest.raises(UserError, match=words) as caught:
            call(settings)
        assert "\n" not in str(caught.value)


def test_what_learns_from_a_folder_without_a_train_part_is_told_so(give) -> None:
    give(images(test=2))
    settings = dataclasses.replace(SMOKE, data=SETTINGS)
    with pytest.raises(UserError, match="no train part"):
        students.train(Path(), real_data.train(SETTINGS), settings, settings.student, 0)


def digits(**counts: int) -> dict[str, bytes]:
    return images(tuple("0123456789"), **counts)


OF_FOLDER = dataclasses.replace(SMOKE.data, name="folder")


def test_what_is_data_free_has_the_same_keys_with_a_few_labelled_images_and_without_any(give) -> None:
    """And those of digits are their own: what was made for them stays."""
    give(digits(test=20))
    keys = {}
    for name in ("none", "folder", "digits"):
        settings = dataclasses.replace(SMOKE, data=dataclasses.replace(SMOKE.data, name=name))
        teacher = load_teacher(settings)

        def asked(settings=settings, teacher=teacher) -> None:
            artefact = sets.set_stage("synthesis", settings, teacher, settings.synthesis)
            controls.noise_stage(settings, teacher, 10)
            students.set_stage("student", settings, teacher, settings.student, artefact, 0)

        keys[name] = stages.keys(asked)
    assert len(keys["none"]) == 3
    assert keys["none"] == keys["folder"]
    assert not set(keys["none"].values()) & set(keys["digits"].values())


@pytest.mark.parametrize("name", ["digits", "cifar10", "folder"])
def test_a_data_free_stage_that_reads_real_images_is_stopped(
    name: str, give, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever synthesis and a student's training call, real images are out of their reach; outside they are not."""
    give(digits(train=3, test=2))
    data = OF_FOLDER if name == "folder" else profiles.load("smoke" if name == "digits" else "laptop").data
    teacher = load_teacher(SMOKE)

    def peek(*_: object, **__: object) -> None:
        real_data.load(data)

    monkeypatch.setattr(inversion, "invert", peek)
    with pytest.raises(splits.RealDataError):
        sets.synthesise(tmp_path / "made", teacher, SMOKE.synthesis, SMOKE.data, SMOKE.run, 0)
    monkeypatch.setattr(students, "train", peek)
    with pytest.raises(splits.RealDataError):
        students.train_synthetic(tmp_path, real_data.load(SMOKE.data).train, SMOKE, teacher, SMOKE.student, 0)
    if name == "folder":
        peek()
