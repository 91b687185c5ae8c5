"""Sheets of images. Pixels are embedded one for one, so that a page stays small and a pixel stays a square.

Images wider than LARGEST pixels are shrunk first, by the mean over blocks.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dfnas.figures import theme

GAP = 2  # pixels of white between images
LARGEST = 64


@theme.themed
def image_grid(images: Any, classes: Any, class_names: Sequence[str], columns: int = 8, rows: int = 10) -> Figure:
    """The first `columns` images of each of the first `rows` classes that have images, a row a class.

    `images` are uint8 [N, C, H, W] in [0, 255], `classes` [N] their classes.
    """
    images, classes = _checked(images), np.asarray(classes)
    present = [k for k in range(len(class_names)) if (classes == k).any()][:rows]
    sheet = np.concatenate([_strip(images[classes == k], columns) for k in present])
    figure, (axes,) = theme.panels(height=(theme.WIDTH - 0.9) * sheet.shape[0] / sheet.shape[1] + 0.3)
    axes.imshow(sheet, interpolation="none")
    axes.grid(False)
    pitch = images.shape[2] + GAP
    axes.set_yticks([(row + 0.5) * pitch for row in range(len(present))], [class_names[k] for k in present])
    axes.set(xticks=[], ylabel="class", xlabel=f"up to {columns} images of each class")
    axes.spines[:].set_visible(False)
    return figure


@theme.themed
def ablation_strip(images: Mapping[str, Any], captions: Mapping[str, str] | None = None, columns: int = 10) -> Figure:
    """A strip of images for each variant: uint8 [N, C, H, W] by the variant's name; captions are optional."""
    strips = {name: _strip(_checked(batch), columns) for name, batch in images.items()}
    shape = next(iter(strips.values())).shape
    figure, axes = theme.panels(len(strips), height=len(strips) * (theme.WIDTH * shape[0] / shape[1] + 0.3))
    for panel, (name, strip) in zip(axes, strips.items(), strict=True):
        caption = (captions or {}).get(name, "")
        panel.imshow(strip, interpolation="none")
        panel.set_title(f"{name}: {caption}" if caption else name, loc="left", fontsize=10, pad=3)
        panel.set_axis_off()
    return figure


def _checked(images: Any) -> np.ndarray:
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


def _strip(images: np.ndarray, columns: int) -> np.ndarray:
    """The first `columns` images beside each other, [H + GAP, columns * (W + GAP), 3]; white for none."""
    height, width = images.shape[2:]
    strip = np.full((height + GAP, columns * (width + GAP), 3), 255, dtype=np.uint8)
    for column, image in enumerate(images[:columns]):
        left = column * (width + GAP)
        strip[:height, left : left + width] = np.broadcast_to(image, (3, height, width)).transpose(1, 2, 0)
    return strip
