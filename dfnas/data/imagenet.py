"""ImageNet from an ImageFolder (train/<class>/*, val/<class>/*), read into uint8 tensors."""

import hashlib
import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dfnas.data import splits
from dfnas.errors import UserError
from dfnas.profiles import DataSettings
from dfnas.runtime.progress import bar

VALIDATION_PER_CLASS = 10
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
    """Train (`images_per_class` of each), validation (10 others of each) and test (the whole val folder).

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
        validation.append(files[-VALIDATION_PER_CLASS:])
        rest = files[:-VALIDATION_PER_CLASS]
        train.append(rest[: settings.images_per_class or None])
        test.append(sorted((root / "val" / name).iterdir()))
    return splits.dataset(
        _split(train, settings.canvas, settings.canvas, "train"),
        _split(validation, settings.canvas, settings.region, "validation"),
        _split(test, settings.canvas, settings.region, "test"),
        tuple(classes),
        MEAN,
        STD,
    )


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


def _split(files: list[list[Path]], canvas: int, side: int, name: str) -> tuple[Tensor, Tensor]:
    images = [_image(path, canvas, side) for part in bar(files, desc=f"reading {name}", unit="class") for path in part]
    labels = [k for k, part in enumerate(files) for _ in part]
    return torch.stack(images), torch.tensor(labels)


def _image(path: Path, canvas: int, side: int) -> Tensor:
    """The shorter side to the canvas's, then the centre of `side`: 256 and 224 at the paper's scale."""
    from PIL import Image

    with Image.open(path) as opened:
        image = opened.convert("RGB")
    scale = canvas / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
