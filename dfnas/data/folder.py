"""Images in class folders, split/<class>/*, in a folder or a zip: found, checked by name, decoded once.

CIFAR-10, ImageNet and images of one's own are read by this. Images may lie deeper in a class's folder, as
Tiny-ImageNet's do. What operating systems leave behind is passed over; whatever else is no image is named.
"""

import hashlib
import io
import os
import unicodedata
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dfnas.data import image_files
from dfnas.errors import UserError, reason
from dfnas.profiles import DataSettings
from dfnas.runtime import paths
from dfnas.runtime.files import write_tensors
from dfnas.runtime.progress import bar

# The names that people give a split's folder, in lower case.
SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
SPLITS |= {"test": "test", "testing": "test"}
LITTER = ("__macosx", "thumbs.db", "desktop.ini", "@eadir", "lost+found", "$recycle.bin", "system volume information")
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")

Part = dict[str, list[str]]  # files by class, in order


def data_path() -> str:
    """The path that the user gave for real data: $DFNAS_DATA (the command line's --data sets it)."""
    return os.path.expanduser(os.environ.get("DFNAS_DATA", ""))


def parts(where: Path) -> dict[str, Part]:
    """The images of each split that there is (train, val, test), by class: paths inside a folder or a zip.

    Raises
    ------
    UserError
        Neither a folder nor a zip, images in no class folder, or two folders that could be one split.
    """
    names = listed(where)
    found: dict[str, Part] = {}
    for split, folder in _split_folders(where, names).items():
        part: Part = defaultdict(list)
        for name in (name.removeprefix(f"{folder}/") for name in names if name.startswith(f"{folder}/")):
            kind, deeper, file = name.partition("/")
            if not kind.isprintable():
                raise UserError(f"{where} has a class folder {folder}/{ascii(kind)[1:-1]}: rename it in plain letters")
            if not deeper and name.lower().endswith(IMAGES):
                raise UserError(f"{folder}/{name} in {where} lies in no class folder: move it to {folder}/<class>/")
            if deeper:
                files = part[unicodedata.normalize("NFC", kind)]  # there, too, where the folder is empty
                files += [f"{folder}/{name}"] if file[-1:] not in ("", "/") and file != f"{kind}_boxes.txt" else []
        found[split] = part
        if f"{folder}/val_annotations.txt" in names and set(part) == {"images"}:  # as Tiny-ImageNet has it
            found[split] = _classes_in_a_table(where, f"{folder}/val_annotations.txt", part["images"])
            found.pop("test", None)  # its images have no classes
    if not any(files for part in found.values() for files in part.values()):
        raise UserError(f"no images in {where}: give test/<class>/* (or val), and train/<class>/* to learn from")
    return {split: part for split, part in sorted(found.items()) if part}


def _split_folders(where: Path, names: list[str]) -> dict[str, str]:
    """The folder of each split: the topmost one of such a name. There is one of each, and all lie side by side."""
    folders = set()
    for name in names:
        steps = name.split("/")[:-1]
        place = next((number for number, step in enumerate(steps) if step.lower() in SPLITS), None)
        if place is not None:
            folders.add("/".join(steps[: place + 1]))
    splits = {SPLITS[folder.rpartition("/")[2].lower()]: folder for folder in sorted(folders, reverse=True)}
    if len(splits) < len(folders) or len({folder.rpartition("/")[0] for folder in folders}) > 1:
        shown = ", ".join(sorted(folders))
        raise UserError(f"{where} holds more than one set ({shown}): name the folder of one, or take the others out")
    return splits


def listed(where: Path) -> list[str]:
    """The paths of what is inside a folder or a zip, in order, without what operating systems leave behind.

    Those of folders end with a slash.
    """
    try:
        if where.is_dir():
            return sorted(_scanned(where, "", ()))
        with zipfile.ZipFile(where) as archive:
            names = {_tidy(info.filename) for info in archive.infolist()}
        return sorted(name for name in names if not any(map(_litter, name.split("/"))))
    except OSError as error:
        raise UserError(f"{error.filename or where} cannot be read ({error.strerror or error})") from None
    except Exception as error:  # zipfile raises many kinds on damaged files
        wrong = f"{where} is neither a folder nor a whole zip ({reason(error)})"
        raise UserError(f"{wrong}: give a folder with train/<class>/* and test/<class>/*, or a zip of one") from None


def _scanned(folder: Path | str, inside: str, above: tuple[str, ...]) -> Iterator[str]:
    """The relative paths of what is below a folder; links are followed, but not in circles."""
    here = os.path.realpath(folder)
    with os.scandir(folder) as entries:
        for entry in entries if here not in above else ():
            if entry.is_dir() and not _litter(entry.name):
                yield f"{inside}{entry.name}/"
                yield from _scanned(entry.path, f"{inside}{entry.name}/", (*above, here))
            elif (entry.is_file() or entry.is_symlink()) and not _litter(entry.name):
                yield inside + entry.name


def _tidy(name: str) -> str:
    """A name in a zip as a relative path; some programs write backslashes."""
    name = name.replace("\\", "/")
    return str(PurePosixPath(name)).lstrip("/") + "/" * name.endswith("/")


def _litter(name: str) -> bool:
    return name.startswith((".", "Icon\r")) or name.lower() in LITTER


def _classes_in_a_table(where: Path, table: str, names: list[str]) -> Part:
    """Tiny-ImageNet's val part: images in one folder, and a table of their classes beside it."""
    ((_, content),) = read(where, [table], "reading classes")
    rows = [line.split("\t")[:2] for line in content.read().decode(errors="replace").splitlines() if "\t" in line]
    classes, part = {row[0]: row[1] for row in rows}, defaultdict(list)
    for name in names:
        file = name.rpartition("/")[2]
        if file not in classes:
            raise UserError(f"{table} in {where} has no class for {file}")
        part[classes[file]].append(name)
    return part


def check(where: Path, found: dict[str, Part], classes: Sequence[str], at_least: int = 1) -> None:
    """Refuse parts that have other classes than these, or of one of them too few images in train.

    Raises
    ------
    UserError
        It names the class and the split.
    """
    for split, part in found.items():
        for name in part:
            if name not in classes:
                known = ", ".join(classes) if len(classes) <= 10 else f"{len(classes)} of them, as {classes[0]}"
                raise UserError(f"{where}: {split}/{name} is none of the classes ({known})")
        for name in classes:
            count, least = len(part.get(name, ())), at_least if split == "train" else 1
            if count < least:
                raise UserError(f"{where}: {split}/{name} has {count or 'no'} images, and needs {least} or more")


def own(settings: DataSettings) -> tuple[Path, dict[str, Part]]:
    """Where the user's own images lie, and what there is of train, val and test; nothing is decoded.

    Raises
    ------
    UserError
        Nothing there, nothing to judge by, or other classes than the profile has.
    """
    where = Path(data_path())
    form = "a folder (or a zip of one) with val/<class>/* or test/<class>/*, and train/<class>/* if there is any"
    if not data_path() or not where.exists():
        there = f"at {where}" if data_path() else "are given"
        raise UserError(f"data.name is folder, and no images {there}: give --data PATH (or DFNAS_DATA), {form}")
    found = parts(where)
    if set(found) == {"train"}:
        raise UserError(f"{where} has no val or test to judge by: move some images of each class to test/<class>/")
    names = settings.class_names or sorted({name for part in found.values() for name in part})
    if len(names) != settings.classes or settings.channels not in (1, 3):
        shown = ", ".join(names[:5]) + ", …" * (len(names) > 5)
        raise UserError(
            f"{where} has {len(names)} classes ({shown}) of images with 1 or 3 channels; the profile has "
            f"data.classes={settings.classes}, data.channels={settings.channels}"
        )
    check(where, found, names, at_least=1 if {"val", "test"} <= set(found) or not settings.validation else 2)
    return where, found


def class_names(settings: DataSettings) -> tuple[str, ...]:
    """The classes of the user's own images, as the settings order them, else sorted (as torchvision's ImageFolder)."""
    return settings.class_names or tuple(sorted({name for part in own(settings)[1].values() for name in part}))


def read(where: Path, names: Sequence[str], desc: str) -> Iterator[tuple[str, io.BytesIO]]:
    """(path, content) of files inside a folder or a zip, under a progress bar."""
    archive = None if where.is_dir() else zipfile.ZipFile(where)
    inside = {_tidy(info.filename): info for info in archive.infolist()} if archive else {}
    for name in bar(names, desc=desc, unit="image"):
        try:
            content = archive.read(inside[name]) if archive else (where / name).read_bytes()
        except Exception as error:  # a link to nothing, a wrong checksum, a password, an unknown compression
            raise UserError(f"{name} in {where} cannot be read ({reason(error)}): mend or remove it") from None
        yield name, io.BytesIO(content)


def decoded(
    where: Path, part: Part, classes: Sequence[str], side: int, channels: int = 3, resize: bool = True
) -> tuple[Tensor, Tensor]:
    """Images uint8 [N, C, side, side] and labels [N], class by class: central squares, scaled where `resize`.

    Raises
    ------
    UserError
        A file that is no image, or of another size where that matters.
    """
    names = [name for each in classes for name in part[each]]
    labels = torch.tensor([number for number, each in enumerate(classes) for _ in part[each]], dtype=torch.int64)
    images = torch.empty(len(names), channels, side, side, dtype=torch.uint8)
    for row, (name, content) in enumerate(read(where, names, "decoding")):
        image = image_files.picture(content, f"{name} in {where}", "RGB" if channels == 3 else "L")
        if not resize and image.size != (side, side):
            raise UserError(
                f"{name} in {where} has {image.width}x{image.height} pixels, and all must have {side}x{side}"
            )
        images[row] = image_files.square(image, side, side)
    return images, labels


def files(found: dict[str, Part]) -> list[str]:
    """All files of some parts."""
    return [name for part in found.values() for names in part.values() for name in names]


def stamp(where: Path, names: Sequence[str]) -> str:
    """What changes when an image does: the paths, sizes and times of what is read, of a zip its own size and time."""
    sha = hashlib.sha256()
    for name in names if where.is_dir() else [""]:
        try:
            facts = os.stat(where / name)
        except OSError as error:
            raise UserError(f"{where / name} cannot be read ({error.strerror}): mend or remove it") from None
        sha.update(os.fsencode(f"{name}\0{facts.st_size} {facts.st_mtime_ns}\n"))
    return sha.hexdigest()[:16]


def cached(name: str, make: Callable[[], tuple[dict[str, Tensor], dict[str, str]]]) -> Path:
    """The cache's file of a name, with tensors and facts that are made where it is not there: by one process alone."""
    file = paths.cache() / f"{name}.safetensors"
    if not file.exists():
        with FileLock(paths.make_folder(paths.cache() / ".locks") / name):
            if not file.exists():
                write_tensors(file, *make())
    return file


@contextmanager
def opened(file: Path) -> Iterator[Any]:
    """A file of the cache, as safetensors opens it.

    Raises
    ------
    UserError
        It is damaged.
    """
    try:
        with safe_open(file, "pt") as handle:
            yield handle
    except (SafetensorError, OSError, KeyError, TypeError) as error:  # a header of other names, or of none
        raise UserError(f"{file} cannot be read ({reason(error)}): delete it and run again") from None
