"""ImageNet from an ImageFolder (train/<class>/*, val/<class>/*): the train split in its files, others in memory."""

import hashlib
import itertools
import re
from pathlib import Path

import torch
from torch import Tensor

from dfnas.data import splits
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
        No such folder, or another number of classes in it.
    """
    root = _root()
    classes = class_order([path.name for path in (root / "train").iterdir() if path.is_dir()])
    if len(classes) != settings.classes:
        raise UserError(
            f"{root}/train has {len(classes)} class folders, and the profile has {settings.classes} classes"
        )
    train, validation, test = [], [], []
    for name in classes:
        files = sorted((root / "train" / name).iterdir())
        validation.append(files[-(settings.validation or VALIDATION_PER_CLASS) :])
        rest = files[: len(files) - settings.validation]
        train.append(rest[: settings.images_per_class or None])
        test.append(sorted((root / "val" / name).iterdir()))
    parts = [
        _split(train, settings, settings.canvas, "train" if settings.images_per_class else ""),
        _split(validation, settings, settings.region, "validation"),
        _split(test, settings, settings.region, "test"),
    ]
    return splits.dataset(parts[0], parts[1], parts[2], tuple(classes), MEAN, STD)


def digest(settings: DataSettings) -> str:
    """A digest of the files' names and sizes: to read 150 GB would cost more than it is worth."""
    root = _root()
    sha = hashlib.sha256()
    for path in sorted(root.glob("*/*/*")):
        sha.update(f"{path.relative_to(root)} {path.stat().st_size}\n".encode())
    return sha.hexdigest()[:16]


def _root() -> Path:
    root = Path(splits.data_path() or "imagenet")
    if not (root / "train").is_dir() or not (root / "val").is_dir():
        raise UserError(
            f"no ImageNet at {root}: give --data PATH (or DFNAS_DATA) with train/<class>/* and val/<class>/*"
        )
    return root


def _split(files: list[list[Path]], settings: DataSettings, side: int, name: str) -> tuple[Images, Tensor]:
    """Central squares with their classes, in memory, or in their files where the split has no name to show."""
    root, labels = _root(), torch.tensor([k for k, part in enumerate(files) for _ in part])
    names = [[str(path.relative_to(root)) for path in part] for part in files]
    parts = [ImageFiles(root, tuple(part), settings.canvas, side) for part in names]
    if not name:
        return ImageFiles(root, tuple(itertools.chain(*names)), settings.canvas, side), labels
    return torch.cat([part[:] for part in bar(parts, desc=f"reading {name}", unit="class")]), labels
