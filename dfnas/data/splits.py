"""What a data set consists of, and the guard that keeps data-free stages from it.

Three splits: train, validation and test. No network trains on validation; test is for reporting alone. Inside
`no_real_data()` every access raises: that is how synthesis and data-free search prove what they are.
"""

import dataclasses
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor

from dfnas.profiles import DataSettings

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


def require_open() -> None:
    """Raise RealDataError inside `no_real_data()`."""
    if _closed.get():
        raise RealDataError("a data-free stage asked for real data")


def geometry(settings: DataSettings) -> DataSettings:
    """What stages that see no real data depend on: the settings without where real images come from."""
    return dataclasses.replace(settings, download=False, images_per_class=0)


def shuffled(images: Tensor, labels: Tensor) -> Split:
    """A split in an order drawn once for all: any part of it holds all classes."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return Split(images[order], labels[order])


def tensors_digest(tensors: Sequence[Tensor]) -> str:
    """Sixteen hexadecimal digits of the bytes of some tensors."""
    sha = hashlib.sha256()
    for tensor in tensors:
        sha.update(tensor.contiguous().numpy().tobytes())
    return sha.hexdigest()[:16]


def dataset(train: Split, validation: Split, test: Split, classes: tuple[str, ...]) -> Dataset:
    """A data set with the mean and deviation of its train split."""
    pixels = train.images.double() / 255
    mean = tuple(round(float(value), 6) for value in pixels.mean((0, 2, 3)))
    std = tuple(round(float(value), 6) for value in pixels.std((0, 2, 3)))
    return Dataset(train, validation, test, classes, mean, std)


def data_path() -> str:
    """The path that the user gave for real data: $DFNAS_DATA (the command line's --data sets it)."""
    return os.environ.get("DFNAS_DATA", "")
