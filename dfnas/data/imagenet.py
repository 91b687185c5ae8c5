"""ImageNet from an ImageFolder (train/<class>/*, val/<class>/*): the train split in its files, others in memory."""

import itertools
import re
from pathlib import Path

import torch
from torch import Tensor

from dfnas.data import folder, splits
from dfnas.data.image_files import ImageFiles
from dfnas.data.sources import Images
from dfnas.errors import UserError
from dfnas.profiles import DataSettings
from dfnas.runtime.progress import bar

VALIDATION_PER_CLASS = 10  # where none are held out
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def class_order(names: list[str]) -> list[str]:
    """Folder names in the order of the classes' numeric ids.

    Names that differ in their number alone are sorted by it: a sort by letters takes class_10 before class_2, and only
    12 of 1,000 ids survive that (a defect of the authors' code). Word-net ids come out in the order of torchvision's
    weights.
    """
    parts = [re.fullmatch(r"(.*?)(\d+)", name) for name in names]
    if all(parts) and len({part[1] for part in parts if part}) == 1:
        return sorted(names, key=lambda name: int(re.sub(r".*?(\d+)$", r"\1", name)))
    return sorted(names)


def load(settings: DataSettings) -> splits.Dataset:
    """Train, validation (the last `validation` of each class of the train folder) and test (the whole val folder).

    Of the other images `images_per_class` of each are read into memory; where that is 0, all stay in their files. Where
    `validation` is 0 none is held out, and the last ten of each are watched.

    Raises
    ------
    UserError
        No such folder, another number of classes in it, or too few images of one.
    """
    root, parts = _found()
    classes = class_order(list(parts["train"]))
    if len(classes) != settings.classes:
        raise UserError(
            f"{root}/train has {len(classes)} class folders, and the profile has {settings.classes} classes"
        )
    folder.check(root, parts, classes, at_least=settings.validation + 1)
    held_out, most = settings.validation, settings.images_per_class or None
    files = [parts["train"][name] for name in classes]
    train = [part[: len(part) - held_out][:most] for part in files]
    validation = [part[-(held_out or VALIDATION_PER_CLASS) :] for part in files]
    data = [
        _split(root, train, settings, settings.canvas, "train" if settings.images_per_class else ""),
        _split(root, validation, settings, settings.region, "validation"),
        _split(root, [parts["val"][name] for name in classes], settings, settings.region, "test"),
    ]
    return splits.dataset(data[0], data[1], data[2], tuple(classes), MEAN, STD)


def digest() -> str:
    """A digest of the files' names, sizes and times: to read 150 GB would cost more than it is worth."""
    root, parts = _found()
    return folder.stamp(root, folder.files(parts))


def _found() -> tuple[Path, dict[str, folder.Part]]:
    root = Path(folder.data_path() or "imagenet")
    if not root.is_dir():
        raise UserError(
            f"no ImageNet at {root}: give --data PATH (or DFNAS_DATA), a folder with train/<class>/* and val/<class>/*"
        )
    parts = folder.parts(root)
    val = parts.get("val") or parts.get("test")
    if not parts.get("train") or not val:
        raise UserError(f"{root} has no images in {'val' if parts.get('train') else 'train'}/<class>/*")
    return root, {"train": parts["train"], "val": val}


def _split(root: Path, files: list[list[str]], settings: DataSettings, side: int, name: str) -> tuple[Images, Tensor]:
    """Central squares with their classes, in memory, or in their files where the split has no name to show."""
    labels = torch.tensor([k for k, part in enumerate(files) for _ in part])
    images = [ImageFiles(root, tuple(part), settings.canvas, side) for part in files]
    if not name:
        return ImageFiles(root, tuple(itertools.chain(*files)), settings.canvas, side), labels
    return torch.cat([part[:] for part in bar(images, desc=f"reading {name}", unit="class")]), labels
