"""CIFAR-10 from torchvision's folder, from a folder of images or from a zip of one, as uint8 tensors."""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from dfnas.data import splits
from dfnas.data.splits import CIFAR10_CLASSES, Dataset
from dfnas.errors import UserError
from dfnas.profiles import DataSettings
from dfnas.runtime import paths
from dfnas.runtime.files import write_tensors
from dfnas.runtime.progress import bar

WATCHED = 500  # images of each class that are validation where none are held out


def load(settings: DataSettings) -> Dataset:
    """CIFAR-10; the last `validation` of each class of the train split are validation.

    Where that is 0 none is held out: the last 500 of each are watched, and trained on too.
    Sources come sorted by class; validation and test are shuffled, so that any part of them holds all classes.
    """
    images, labels, test_images, test_labels = _decoded(find(settings))
    validation = torch.cat([(labels == k).nonzero()[-(settings.validation or WATCHED) :, 0] for k in range(10)])
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    held_out[validation] = True
    train = (images[~held_out], labels[~held_out]) if settings.validation else (images, labels)
    watched = splits.shuffled(images[held_out], labels[held_out])
    return splits.dataset(train, watched, splits.shuffled(test_images, test_labels), CIFAR10_CLASSES)


def find(settings: DataSettings) -> Path:
    """Where CIFAR-10 lies: the path that was given, or the cache, into which it may be downloaded when asked for.

    Raises
    ------
    UserError
        It is not to be found; the message names the ways to provide it.
    """
    ways = (
        "give --data PATH or set DFNAS_DATA to torchvision's folder (with cifar-10-batches-py), to a folder "
        "train/<class>/*, test/<class>/*, or to a zip of such a folder; or let torchvision download it with "
        "--set data.download=True"
    )
    given = splits.data_path()
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
    tensors = load_file(decoded_file(source))
    return tensors["images"], tensors["labels"], tensors["test_images"], tensors["test_labels"]


def decoded_file(source: Path) -> Path:
    """The cache's file of a source, with the digest of its images as metadata."""
    stat = source.stat()
    name = hashlib.sha256(f"{source.resolve()} {stat.st_size} {stat.st_mtime} 2".encode()).hexdigest()[:12]
    file = paths.make_folder(paths.cache()) / f"cifar10-{name}.safetensors"
    if not file.exists():
        train, test = _read(source, train=True), _read(source, train=False)
        tensors = {"images": train[0], "labels": train[1], "test_images": test[0], "test_labels": test[1]}
        write_tensors(file, tensors, {"digest": splits.tensors_digest([train[0], test[0]])})
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
