"""Real data: digits (bundled with scikit-learn), CIFAR-10 and ImageNet from disk, as uint8 tensors.

Three splits: train, validation and test. No network trains on validation; test is for reporting alone. Inside
`no_real_data()` every access raises: that is how synthesis and data-free search prove what they are.
"""

import dataclasses
import functools
import hashlib
import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from dfnas import paths, stages
from dfnas.errors import UserError
from dfnas.profiles import DataSettings
from dfnas.progress import bar

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_closed: ContextVar[bool] = ContextVar("closed", default=False)


class RealDataError(RuntimeError):
    """Real data was touched inside a data-free stage."""


@dataclass(frozen=True)
class Split:
    """Images uint8 [N, C, H, W] in [0, 255] and labels int64 [N]."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """The three splits of one data set, with its class names and per-channel mean and deviation in [0, 1]."""

    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


@contextmanager
def no_real_data() -> Iterator[None]:
    """Inside, loading real data raises RealDataError."""
    token = _closed.set(True)
    try:
        yield
    finally:
        _closed.reset(token)


def load(settings: DataSettings) -> Dataset:
    """The data set of a profile.

    Raises
    ------
    UserError
        The data set is not to be found; the message names the ways to provide it.
    RealDataError
        Inside `no_real_data()`.
    """
    if _closed.get():
        raise RealDataError("a data-free stage asked for real data")
    if settings.name == "digits":
        return _digits()
    if settings.name == "cifar10":
        return _cifar10(settings)
    if settings.name == "imagenet":
        from dfnas import imagenet

        return imagenet.load(settings)
    raise UserError(f"no data set {settings.name!r}; there are digits, cifar10 and imagenet")


def geometry(settings: DataSettings) -> DataSettings:
    """What stages that see no real data depend on: the settings without where real images come from."""
    return dataclasses.replace(settings, download=False, images_per_class=0)


def digest(settings: DataSettings) -> str:
    """A digest of the real images themselves, as read: an input of every stage that loads them.

    Two copies of CIFAR-10, one of them compressed as JPEG, are two data sets.

    Raises
    ------
    UserError
        The data set is not to be found.
    """
    if settings.name == "digits":
        content = _digits_digest()
    elif settings.name == "cifar10":
        with safe_open(_decoded_file(_find(settings)), "pt") as file:
            content = file.metadata()["digest"]
    else:
        from dfnas import imagenet

        content = imagenet.digest(settings)
    return stages.digest([content, dataclasses.replace(settings, download=False)])


def class_names(settings: DataSettings) -> tuple[str, ...]:
    """Names of the classes, without touching any data."""
    if settings.name == "digits":
        return tuple(map(str, range(10)))
    return CIFAR10_CLASSES if settings.name == "cifar10" else tuple(map(str, range(settings.classes)))


def _digits() -> Dataset:
    """1,797 handwritten digits of 8x8, enlarged to 16x16: 1,150 train, 287 validation, 360 test."""
    from sklearn.datasets import load_digits

    source = load_digits()
    small = torch.tensor(source.images, dtype=torch.float32)[:, None] * (255 / 16)
    images = torch.nn.functional.interpolate(small, 16, mode="bilinear", align_corners=False).round().byte()
    labels = torch.tensor(source.target, dtype=torch.int64)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    test, rest = order[:360], order[360:]
    validation, train = rest[:287], rest[287:]
    splits = [Split(images[chosen], labels[chosen]) for chosen in (train, validation, test)]
    return _dataset(splits[0], splits[1], splits[2], tuple(map(str, range(10))))


def _cifar10(settings: DataSettings) -> Dataset:
    """CIFAR-10; the last 500 of each class of the train split are validation.

    Sources come sorted by class; validation and test are shuffled, so that any part of them holds all classes.
    """
    images, labels, test_images, test_labels = _decoded(_find(settings))
    validation = torch.cat([(labels == k).nonzero()[-500:, 0] for k in range(10)])
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    held_out[validation] = True
    train = Split(images[~held_out], labels[~held_out])
    watched = _shuffled(images[held_out], labels[held_out])
    return _dataset(train, watched, _shuffled(test_images, test_labels), CIFAR10_CLASSES)


def _shuffled(images: Tensor, labels: Tensor) -> Split:
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return Split(images[order], labels[order])


@functools.cache
def _digits_digest() -> str:
    data = _digits()
    return _digest([data.train.images, data.validation.images, data.test.images])


def _digest(tensors: Sequence[Tensor]) -> str:
    sha = hashlib.sha256()
    for tensor in tensors:
        sha.update(tensor.contiguous().numpy().tobytes())
    return sha.hexdigest()[:16]


def _dataset(train: Split, validation: Split, test: Split, classes: tuple[str, ...]) -> Dataset:
    pixels = train.images.double() / 255
    mean = tuple(round(float(value), 6) for value in pixels.mean((0, 2, 3)))
    std = tuple(round(float(value), 6) for value in pixels.std((0, 2, 3)))
    return Dataset(train, validation, test, classes, mean, std)


def data_path() -> str:
    """The path that the user gave for real data: $DFNAS_DATA (the command line's --data sets it)."""
    return os.environ.get("DFNAS_DATA", "")


def _find(settings: DataSettings) -> Path:
    ways = (
        "give --data PATH or set DFNAS_DATA to torchvision's folder (with cifar-10-batches-py), to a folder "
        "train/<class>/*, test/<class>/*, or to a zip of such a folder; or let torchvision download it with "
        "--set data.download=True"
    )
    given = data_path()
    if given and not Path(given).exists():
        raise UserError(f"no CIFAR-10 at {given}: {ways}")
    if given:
        return Path(given)
    folder = paths.cache() / "cifar10"
    if settings.download:
        from torchvision.datasets import CIFAR10

        CIFAR10(str(paths.make_folder(folder)), download=True)
        return folder
    if (folder / "cifar-10-batches-py").exists():
        return folder
    raise UserError(f"CIFAR-10 is missing: {ways}")


def _decoded(source: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The source as tensors, decoded once into the cache."""
    tensors = load_file(_decoded_file(source))
    return tensors["images"], tensors["labels"], tensors["test_images"], tensors["test_labels"]


def _decoded_file(source: Path) -> Path:
    """The cache's file of a source, with the digest of its images as metadata."""
    stat = source.stat()
    name = hashlib.sha256(f"{source.resolve()} {stat.st_size} {stat.st_mtime} 2".encode()).hexdigest()[:12]
    file = paths.make_folder(paths.cache()) / f"cifar10-{name}.safetensors"
    if not file.exists():
        train, test = _read(source, train=True), _read(source, train=False)
        tensors = {"images": train[0], "labels": train[1], "test_images": test[0], "test_labels": test[1]}
        temporary = file.with_suffix(".tmp")
        save_file(tensors, temporary, {"digest": _digest([train[0], test[0]])})
        os.replace(temporary, file)
    return file


def _read(source: Path, train: bool) -> tuple[Tensor, Tensor]:
    if source.is_dir() and (source / "cifar-10-batches-py").exists():
        from torchvision.datasets import CIFAR10

        data = CIFAR10(str(source), train=train)
        return torch.tensor(data.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(data.targets)
    return _read_files(source, "train" if train else "test")


def _read_files(source: Path, split: str) -> tuple[Tensor, Tensor]:
    """Images under split/<class>/, from a folder or a zip, classes in the usual order."""
    from PIL import Image

    images, labels = [], []
    for name, content in bar(_files(source, split), desc=f"decoding {split}", unit="image"):
        images.append(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
        labels.append(CIFAR10_CLASSES.index(name))
    if len(set(labels)) != 10 or {image.shape for image in images} != {(32, 32, 3)}:
        raise UserError(f"{source} does not hold {split}/<class>/ with 32x32 images of the ten classes of CIFAR-10")
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels)


def _files(source: Path, split: str) -> Iterator[tuple[str, bytes]]:
    """(class name, bytes) of each image, sorted by class and file name."""
    if source.is_dir():
        for path in sorted((source / split).glob("*/*")):
            if path.parent.name in CIFAR10_CLASSES:
                yield path.parent.name, path.read_bytes()
        return
    if not zipfile.is_zipfile(source):
        raise UserError(f"{source} is neither a folder nor a zip: see --help for the ways to provide CIFAR-10")
    with zipfile.ZipFile(source) as archive:
        for name in sorted(archive.namelist()):
            parts = name.split("/")
            if len(parts) >= 3 and parts[-3] == split and parts[-2] in CIFAR10_CLASSES and parts[-1]:
                yield parts[-2], archive.read(name)
