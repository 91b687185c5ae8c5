"""Images that stay in their files until a batch of them is asked for: a million canvases are no tensor."""

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


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
            images = list(pool.map(lambda path: decoded(path, self.canvas, self.side), paths))
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


def decoded(path: Path, canvas: int, side: int) -> Tensor:
    """The central square [3, side, side] of a picture whose shorter side is scaled to `canvas`, in RGB."""
    from PIL import Image

    with Image.open(path) as opened:
        image = opened.convert("RGB")
    scale = canvas / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
