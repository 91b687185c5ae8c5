"""CIFAR-10 from torchvision's folder, from a folder of images or from a zip of one, as uint8 tensors."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from dfnas.data import folder, splits
from dfnas.data.images import center_crop
from dfnas.data.splits import CIFAR10_CLASSES, Dataset
from dfnas.errors import UserError
from dfnas.profiles import DataSettings
from dfnas.runtime import paths

WATCHED = 500  # images of each class that are validation where none are held out
BATCHES = "cifar-10-batches-py"
FILES = [f"{BATCHES}/{name}" for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta")]


def load(settings: DataSettings) -> Dataset:
    """CIFAR-10; the last `validation` of each class of the train split are validation.

    Where that is 0 none is held out: the last 500 of each are watched, and trained on too.
    Sources come sorted by class; validation and test are shuffled, so that any part of them holds all classes, and are
    cut to the region, the view of training, in their middle.

    Raises
    ------
    UserError
        It is not to be found, cannot be read, or has a class of which none would be left to train on.
    """
    source = find(settings)
    images, labels, prints, test, test_labels, test_prints = _tensors(source)
    counts = labels.bincount(minlength=10)
    if settings.validation and int(counts.min()) <= settings.validation:
        few = f"train/{CIFAR10_CLASSES[int(counts.argmin())]} has {int(counts.min())} images"
        raise UserError(f"{source}: {few}, and {settings.validation} of a class are held out: lower data.validation")
    held_out = splits.last_of_each(labels, settings.validation or WATCHED)
    train = ~held_out if settings.validation else torch.ones_like(held_out)
    if settings.validation:
        splits.tell_copies(prints[train], prints[held_out], test_prints)
    watched = splits.shuffled(center_crop(images[held_out], settings.region), labels[held_out])
    tested = splits.shuffled(center_crop(test, settings.region), test_labels)
    return splits.dataset((images[train], labels[train]), watched, tested, CIFAR10_CLASSES)


def find(settings: DataSettings) -> Path:
    """Where CIFAR-10 lies: the path that was given, or the cache, into which it may be downloaded when asked for.

    Raises
    ------
    UserError
        It is not to be found, or cannot be downloaded; the message names the ways to provide it.
    """
    ways = (
        f"give --data PATH or set DFNAS_DATA to torchvision's folder (with {BATCHES}), to a folder "
        "train/<class>/*, test/<class>/*, or to a zip of such a folder; or let torchvision download it with "
        "--set data.download=True"
    )
    given = folder.data_path()
    if given and not Path(given).exists():
        raise UserError(f"no CIFAR-10 at {given}: {ways}")
    if given:
        return Path(given).parent if Path(given).name == BATCHES else Path(given)
    cache = paths.cache() / "cifar10"
    if settings.download:
        _torchvision(paths.make_folder(cache), download=True)
    if not (cache / BATCHES).exists():
        raise UserError(f"CIFAR-10 is missing: {ways}")
    return cache


def _tensors(source: Path) -> list[Tensor]:
    """Images, labels and fingerprints of train, and of test."""
    names = ("images", "labels", "prints")
    with folder.opened(decoded_file(source)) as file:
        return [file.get_tensor(prefix + name) for prefix in ("", "test_") for name in names]


def decoded_file(source: Path) -> Path:
    """The cache's file of a source, with the digest of its images as metadata; decoded once."""
    if (source / BATCHES).is_dir():
        missing = next((name for name in FILES if not (source / name).is_file()), "")
        if missing:
            raise UserError(f"{source} lacks {missing}: unpack cifar-10-python.tar.gz there again")
        stamp = folder.stamp(source, FILES)
    else:
        stamp = folder.stamp(source, folder.files(_parts(source)) if source.is_dir() else [])
    key = hashlib.sha256(f"{source.resolve()} {stamp} 3".encode()).hexdigest()[:12]
    return folder.cached(f"cifar10-{key}", lambda: _decoded(source))


def _decoded(source: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    tensors: dict[str, Tensor] = {}
    parts = {} if (source / BATCHES).is_dir() else _parts(source)
    for split, prefix in (("train", ""), ("test", "test_")):
        if parts:
            images, labels = folder.decoded(source, parts[split], CIFAR10_CLASSES, 32, resize=False)
        else:
            images, labels = _torchvision(source, train=split == "train")
        named = {"images": images, "labels": labels, "prints": splits.fingerprints(images)}
        tensors |= {prefix + name: value for name, value in named.items()}
    return tensors, {"digest": splits.tensors_digest([tensors["images"], tensors["test_images"]])}


def _parts(source: Path) -> dict[str, folder.Part]:
    """Train and test of a folder or a zip; where there is no test, val is it."""
    parts = folder.parts(source)
    found = {"train": parts.get("train", {}), "test": parts.get("test", parts.get("val", {}))}
    folder.check(source, found, CIFAR10_CLASSES)
    return found


def _torchvision(root: Path, train: bool = True, download: bool = False) -> tuple[Tensor, Tensor]:
    from torchvision.datasets import CIFAR10

    try:
        data = CIFAR10(str(root), train=train, download=download)
    except Exception as error:  # of the network, of damaged archives and pickles
        hint = "try again, or give --data PATH" if download else "unpack cifar-10-python.tar.gz there again"
        reason = "a file is damaged" if "download=True" in str(error) else str(error)
        raise UserError(f"CIFAR-10 in {root} cannot be read ({reason}): {hint}") from None
    return torch.tensor(data.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(data.targets)
