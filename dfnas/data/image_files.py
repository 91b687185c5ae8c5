"""Images that stay in their files until a batch of them is asked for: a million canvases are no tensor."""

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from dfnas.errors import UserError, reason


@dataclass(frozen=True)
class ImageFiles:
    """uint8 images [N, 3, S, S] in files of any size: `files[rows]` decodes some of them, by all cores.

    It stands for a tensor where rows are picked: ImageNet's 1.28 million canvases of 256 would be 250 GB in memory.
    """

    root: Path
    names: tuple[str, ...]  # paths below the root
    canvas: int  # what the shorter side is scaled to
    side: int  # S, of the central square that is cut out
    device: torch.device | str = "cpu"  # where the decoded go

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> torch.Size:
        """[N, 3, S, S]."""
        return torch.Size((len(self), 3, self.side, self.side))

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        paths = [self.root / name for name in self.select(rows).names]
        with ThreadPoolExecutor() as pool:
            images = list(pool.map(lambda path: square(picture(path, str(path)), self.canvas, self.side), paths))
        return torch.stack(images).to(self.device)

    def select(self, rows: Tensor | slice) -> "ImageFiles":
        """Those that an index, a mask or a slice picks, still in their files."""
        picked = torch.arange(len(self))[rows.cpu() if isinstance(rows, Tensor) else rows]
        return dataclasses.replace(self, names=tuple(self.names[row] for row in picked.tolist()))

    def center(self, side: int) -> "ImageFiles":
        """Their central squares of another side."""
        return dataclasses.replace(self, side=side)

    def to(self, where: torch.device) -> "ImageFiles":
        """The same, decoded to a device."""
        return dataclasses.replace(self, device=where)

    def split(self, batch: int) -> Iterator[Tensor]:
        """All of them, decoded batch by batch."""
        return (self[start : start + batch] for start in range(0, len(self), batch))


def square(image: Any, canvas: int, side: int) -> Tensor:
    """A Pillow image's central square, scaled to `canvas`, and of that the centre: uint8 [C, side, side]."""
    from PIL import Image

    image = _centre(image, min(image.size)).resize((canvas, canvas), Image.Resampling.BILINEAR)
    pixels = np.array(_centre(image, side))
    return torch.from_numpy(pixels.reshape(side, side, -1)).permute(2, 0, 1)


def _centre(image: Any, side: int) -> Any:
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def picture(file: Path | IO[bytes], name: str, mode: str = "RGB") -> Any:
    """A file as an 8-bit Pillow image in `mode` (RGB, or L: grey), turned as its EXIF says; 16 bits go by 1/257.

    Raises
    ------
    UserError
        The file is empty, no image or cut short, or its values have no known range.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I;16"):
            image = Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))
        if image.mode not in ("I", "F"):
            return image.convert(mode)
    except Exception as error:  # Pillow raises many kinds; each means that the file is no whole image
        wrong = "no image" if isinstance(error, Image.UnidentifiedImageError) else reason(error)
        raise UserError(f"{name} cannot be read ({wrong}): mend or remove it") from None
    raise UserError(f"{name} has 32-bit values (mode {image.mode}) of no known range: save it with 8 or 16 bits")
