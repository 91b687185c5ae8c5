"""Batches of augmented images: one by one through torchvision's transforms, against whole batches as tensors."""

from typing import Any

import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms

from benchmarks import measure
from dfnas import profiles
from dfnas.data import sources
from dfnas.data.sources import Source

SETTINGS = profiles.load("laptop", 0, ["run.device=cpu"])
BATCH = SETTINGS.student.training.batch
IMAGES = 16 * BATCH
MEAN, STD = (0.49, 0.48, 0.45), (0.2, 0.2, 0.2)


def rows() -> list[dict[str, Any]]:
    """Seconds an image, cropped at random, mirrored and normalised."""
    images = torch.randint(0, 256, (IMAGES, 3, 40, 40), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    source = Source(images, torch.zeros(IMAGES), torch.zeros(IMAGES), MEAN, STD)
    sample = sources.sampler(source, SETTINGS.student.training, SETTINGS, 0)
    transform = transforms.Compose(
        [
            transforms.RandomCrop(32),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]

    def together(part: list[Image.Image]) -> torch.Tensor:
        return torch.stack([*map(transform, part)])

    def plain() -> None:
        for _ in DataLoader(pictures, BATCH, shuffle=True, collate_fn=together):
            pass

    def ours() -> None:
        for step in range(IMAGES // BATCH):
            sample(step, 32)

    return [measure.row("loader_image", plain, ours, per=IMAGES)]


if __name__ == "__main__":
    print(*rows(), sep="\n")
