"""Real data by name: digits (bundled with scikit-learn), CIFAR-10, ImageNet, one's own images, as uint8 tensors."""

import dataclasses
import functools

import torch

from dfnas.data import cifar10, folder, imagenet, own_images, presence, splits
from dfnas.data.images import center_crop
from dfnas.data.sources import Source, balanced
from dfnas.data.splits import CIFAR10_CLASSES, Dataset
from dfnas.errors import UserError
from dfnas.profiles import DataSettings
from dfnas.profiles.rules import KNOWN
from dfnas.runtime import stages


def load(settings: DataSettings) -> Dataset:
    """The data set of a profile.

    Raises
    ------
    UserError
        There is none, or it is not to be found; the message names the ways to provide it.
    RealDataError
        Inside `no_real_data()`.
    """
    splits.require_open()
    if settings.name == "digits":
        return _digits(settings.region)
    if settings.name == "cifar10":
        return cifar10.load(settings)
    if settings.name == "imagenet":
        return imagenet.load(settings)
    if settings.name == "folder":
        return own_images.load(settings)
    raise _none()


def train(settings: DataSettings, count: int = 0, seed: int = 0) -> Source:
    """The train split on canvases, to learn from: all of it, or `count` images of it, class by class, of a seed."""
    source = load(settings).train
    if count:
        source = source.select(balanced(source.classes, count, settings.classes, seed))
    return source.on_canvas(settings)


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
    elif settings.name in ("cifar10", "folder"):
        of_cifar10 = settings.name == "cifar10"
        source = cifar10.decoded_file(cifar10.find(settings)) if of_cifar10 else own_images.decoded_file(settings)
        with folder.opened(source) as file:
            content = file.metadata()["digest"]
    elif settings.name == "none":
        raise _none()
    else:
        content = imagenet.digest()
    cut = settings.region < KNOWN.get(settings.name, (0, 0, 0))[2]  # validation and test came to be cut to it
    return stages.digest([content, dataclasses.replace(settings, download=False, class_names=()), *["cut"] * cut])


def digests(settings: DataSettings) -> list[str]:
    """The `digest` as a list of inputs, which is empty where there are no real images."""
    return [digest(settings)] if presence.has_test(settings) else []


def _none() -> UserError:
    return UserError("this needs real images, and data.name is none: name a data set with --set data.name=…")


def class_names(settings: DataSettings) -> tuple[str, ...]:
    """Names of the classes, without touching any data; of a folder those of the folders in it."""
    if settings.class_names or settings.name == "folder":
        return folder.class_names(settings)
    if settings.name == "digits":
        return tuple(map(str, range(10)))
    return CIFAR10_CLASSES if settings.name == "cifar10" else tuple(map(str, range(settings.classes)))


def _digits(region: int = 16) -> Dataset:
    """1,797 handwritten digits of 8x8, enlarged to 16x16: 1,150 train, 287 validation, 360 test.

    Validation and test are cut to the region in their middle.
    """
    from sklearn.datasets import load_digits

    source = load_digits()
    small = torch.tensor(source.images, dtype=torch.float32)[:, None] * (255 / 16)
    images = torch.nn.functional.interpolate(small, 16, mode="bilinear", align_corners=False).round().byte()
    labels = torch.tensor(source.target, dtype=torch.int64)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    test, rest = order[:360], order[360:]
    validation, train = rest[:287], rest[287:]
    judged = center_crop(images, region)
    parts = (images[train], labels[train]), (judged[validation], labels[validation]), (judged[test], labels[test])
    return splits.dataset(*parts, tuple(map(str, range(10))))


@functools.cache
def _digits_digest() -> str:
    data = _digits()
    return splits.tensors_digest([part.images[:] for part in (data.train, data.validation, data.test)])
