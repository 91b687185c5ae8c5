"""What a data set consists of, and the guard that keeps data-free stages from it.

Three splits: train, validation and test. No network trains on validation, unless a profile holds none out: what is
watched is then a part of the train split too, and nothing is chosen by it. Test is for reporting alone. Inside
`no_real_data()` every access raises: that is how synthesis and data-free search prove what they are.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor

from dfnas.data import presence
from dfnas.data.sources import Images, Source
from dfnas.errors import note
from dfnas.profiles import DataSettings

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_closed: ContextVar[bool] = ContextVar("closed", default=False)


class RealDataError(RuntimeError):
    """Real data was touched inside a data-free stage."""


@dataclass(frozen=True)
class Dataset:
    """The three splits of one data set, labelled with true classes, all under the normalisation of the train split."""

    train: Source
    validation: Source
    test: Source
    class_names: tuple[str, ...]


@contextmanager
def no_real_data() -> Iterator[None]:
    """Inside, loading real data raises RealDataError."""
    token = _closed.set(True)
    try:
        yield
    finally:
        _closed.reset(token)


def require_open() -> None:
    """Raise RealDataError inside `no_real_data()`."""
    if _closed.get():
        raise RealDataError("a data-free stage asked for real data")


def geometry(settings: DataSettings) -> DataSettings:
    """What stages that see no real data depend on: the settings without where real images come from.

    Images of one's own make no difference: what is data-free has the same key with them and without any.
    """
    settings = dataclasses.replace(settings, class_names=(), download=False, images_per_class=0)
    name = "none" if presence.of_ones_own(settings) else settings.name
    return dataclasses.replace(settings, name=name, validation=DataSettings.validation)


def last_of_each(labels: Tensor, most: int, part: int = 1) -> Tensor:
    """A mask of the last `most` images of each class, or of a `part`-th of them where these are fewer; at least one."""
    mask = torch.zeros(len(labels), dtype=torch.bool)
    for k in labels.unique():
        rows = (labels == k).nonzero()[:, 0]
        mask[rows[-max(1, min(most, len(rows) // part)) :]] = True
    return mask


def fingerprints(images: Tensor) -> Tensor:
    """A number int64 [N] for what each image shows, pixel by pixel."""
    digests = (hashlib.blake2b(image, digest_size=8).digest() for image in images.contiguous().numpy())
    return torch.tensor([int.from_bytes(digest, "little", signed=True) for digest in digests], dtype=torch.int64)


def tell_copies(train: Tensor, *others: Tensor) -> None:
    """Say how many images of other splits lie in train too, by their fingerprints."""
    count = sum(int(torch.isin(other, train).sum()) for other in others)
    if count:
        _tell(f"{count} of {sum(map(len, others))} validation and test images lie in the train split too")


_tell = functools.cache(note)  # once, however often the data are loaded


def shuffled(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Images and labels in an order drawn once for all: any part of them holds all classes."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return images[order], labels[order]


def tensors_digest(tensors: Sequence[Tensor]) -> str:
    """Sixteen hexadecimal digits of the bytes of some tensors."""
    sha = hashlib.sha256()
    for tensor in tensors:
        sha.update(tensor.contiguous().numpy().tobytes())
    return sha.hexdigest()[:16]


def dataset(
    train: tuple[Images, Tensor],
    validation: tuple[Images, Tensor],
    test: tuple[Images, Tensor],
    class_names: tuple[str, ...],
    mean: tuple[float, ...] = (),
    std: tuple[float, ...] = (),
) -> Dataset:
    """A data set from images uint8 [N, C, H, W] and labels int64 [N]; by default normalised as its train split is.

    Where that is empty, as its test split is.
    """
    if not mean:
        pixels = (train if len(train[1]) else test)[0][:].double() / 255
        mean = tuple(round(float(value), 6) for value in pixels.mean((0, 2, 3)))
        std = tuple(round(float(value), 6) for value in pixels.std((0, 2, 3)))
    parts = [Source(images, labels, labels, mean, std, "real") for images, labels in (train, validation, test)]
    return Dataset(parts[0], parts[1], parts[2], class_names)
