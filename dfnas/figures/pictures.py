"""Images as rows of squares, as HTML: a pixel stays a square, an image is 64 pixels of the page wide or wider.

Rows flow with the width of the page, and Jupyter shows them too. That a page stays small, images that are wider than
LARGEST pixels are shrunk first, by the mean over blocks, and many large ones lose a little (`addresses`).
"""

import base64
import html
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

SIDE = 64  # the least width on a page, in its pixels
LARGEST = 64
LIMIT = 100_000  # letters of the addresses of a cell's images, if these are to be without loss
# Every pixel keeps its colour: formats that halve the resolution of colours make small images grey.
SMALLER: dict[str, Any] = {"format": "JPEG", "quality": 95, "subsampling": 0}


@dataclass(frozen=True)
class Row:
    """Images uint8 [N, C, H, W] under one label, in groups by their names; `words` stand below a group's images."""

    label: str
    groups: Mapping[str, Any]
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class Pictures:
    """Rows under one another; `stacked` where labels are long and stand above their images, not beside them."""

    rows: Sequence[Row]
    stacked: bool = False

    def __repr__(self) -> str:
        return f"<{len(self.rows)} rows of images>"

    def _repr_html_(self) -> str:
        look = "pictures pictures-stacked" if self.stacked else "pictures"
        shown = iter(addresses([image for row in self.rows for part in row.groups.values() for image in checked(part)]))
        return f'<div class="{look}">{"".join(_row(row, shown) for row in self.rows)}</div>'


def image_grid(images: Any, classes: Any, class_names: Sequence[str], columns: int = 8, rows: int = 10) -> Pictures:
    """The first `columns` images of each of the first `rows` classes that have images, a row a class.

    `images` are uint8 [N, C, H, W] in [0, 255], `classes` [N] their classes.
    """
    return beside({"": (images, classes)}, class_names, columns, rows)


def beside(
    sets: Mapping[str, tuple[Any, Any]], class_names: Sequence[str], columns: int = 4, rows: int = 10
) -> Pictures:
    """For each class the first `columns` images of each set beside each other; sets are (images, classes) by name."""
    known = {name: (checked(images), np.asarray(classes)) for name, (images, classes) in sets.items()}
    present = [k for k in range(len(class_names)) if all((classes == k).any() for _, classes in known.values())]
    return Pictures(
        [
            Row(class_names[k], {name: images[classes == k][:columns] for name, (images, classes) in known.items()})
            for k in present[:rows]
        ]
    )


def ablation_strip(images: Mapping[str, Any], captions: Mapping[str, str] | None = None, columns: int = 10) -> Pictures:
    """A strip of images for each variant: uint8 [N, C, H, W] by the variant's name; captions are optional."""
    known = captions or {}
    labels = {name: f"{name}: {known[name]}" if known.get(name) else name for name in images}
    return Pictures([Row(labels[name], {"": batch[:columns]}) for name, batch in images.items()], stacked=True)


def checked(images: Any) -> np.ndarray:
    """Images as an array uint8 [N, C, H, W] of at most LARGEST pixels across; ValueError for anything else."""
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ValueError(f"images are uint8 [N, C, H, W], not {images.dtype} {list(images.shape)}")
    count, channels, height, width = images.shape
    block = -(-width // LARGEST)
    if block == 1:
        return images
    images = images[..., : height // block * block, : width // block * block]
    blocks = images.reshape(count, channels, height // block, block, width // block, block)
    return blocks.mean((3, 5)).round().astype(np.uint8)


def address(image: np.ndarray, **options: Any) -> str:
    """Pixels uint8 [C, H, W] as a data address: PNG, or what the options of Pillow's `save` say."""
    pixels, buffer = image.transpose(1, 2, 0), io.BytesIO()
    kind = options.setdefault("format", "PNG")
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, optimize=True, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def addresses(images: Sequence[np.ndarray]) -> list[str]:
    """Pictures uint8 [C, H, W] as data addresses: PNG; JPEG of high quality where these would be over LIMIT letters."""
    exact = [address(image) for image in images]
    return exact if sum(map(len, exact)) <= LIMIT else [address(image, **SMALLER) for image in images]


def _row(row: Row, shown: Iterator[str]) -> str:
    groups = "".join(
        _group(row, name, list(itertools.islice(shown, len(images)))) for name, images in row.groups.items()
    )
    label = f'<p class="pictures-label">{html.escape(row.label)}</p>'
    return f'<div class="pictures-row">{label}<div class="pictures-groups">{groups}</div></div>'


def _group(row: Row, name: str, images: Sequence[str]) -> str:
    words = list(row.words.get(name, ())) or [""] * len(images)
    told = ", ".join(filter(None, (row.label, name)))
    shown = "".join(
        f'<span class="picture"><img src="{image}" width="{SIDE}" style="image-rendering: pixelated" '
        f'alt="{html.escape(", ".join(filter(None, (told, word, str(number)))), quote=True)}">'
        + (f"<small>{html.escape(word)}</small>" if word else "")
        + "</span>"
        for number, (image, word) in enumerate(zip(images, words, strict=True), 1)
    )
    head = f'<p class="pictures-name">{html.escape(name)}</p>' if name else ""
    box = f'<div class="pictures-group" style="--columns: {len(images)}">'
    return f'{box}{head}<div class="pictures-images">{shown}</div></div>'
