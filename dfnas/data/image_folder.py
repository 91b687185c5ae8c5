"""A synthetic set as other people's programs read it: PNG files in a folder for each class, soft labels as CSV."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from dfnas.data.sources import Source
from dfnas.errors import UserError
from dfnas.runtime.progress import bar

CHANNELS = 4  # that a PNG file holds at most, each without loss
LONGEST = 100  # characters of a folder's name: file systems take 255 bytes


def write(folder: Path, source: Source, names: Sequence[str]) -> None:
    """Write images/<class>/<index>.png, and labels.csv with the logits of each file.

    The images are whole canvases, bit for bit; their folder is that of the slot's class.

    Raises
    ------
    UserError : images of more than four channels.
    """
    channels = source.images.shape[1]
    if channels > CHANNELS:
        raise UserError(f"PNG files hold 1 to 4 channels, and the images have {channels}: take the shards")
    folders = folder_names(names)
    for label in source.classes.unique().tolist():  # ImageFolder takes no empty ones
        (folder / "images" / folders[label]).mkdir(parents=True)
    with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "class", *names])
        for index in bar(range(len(source)), desc="images", unit="image"):
            label = int(source.classes[index])
            path = f"images/{folders[label]}/{index:06d}.png"
            pixels = source.images[index].permute(1, 2, 0).squeeze(2).contiguous()  # of grey ones, rows and columns
            Image.fromarray(pixels.numpy()).save(folder / path)
            table.writerow([path, names[label], *(f"{logit:.5g}" for logit in source.targets[index].tolist())])


def folder_names(names: Sequence[str]) -> list[str]:
    """A folder for each class, called as the class is, as far as every file system allows; no two are the same."""
    folders: list[str] = []
    for index, name in enumerate(names):
        plain = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*]', "_", name).strip(" .")[:LONGEST] or "_"
        taken = {each.casefold() for each in folders}
        folders.append(f"{plain}-{index}" if plain.casefold() in taken else plain)
    return folders
