"""A candidate of the single-path search: batch norms recalibrated, then judged; plain against ours."""

from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks import measure
from dfnas import models, profiles
from dfnas.chapters import spos
from dfnas.data.sources import Source
from dfnas.models import shufflenet
from dfnas.runtime import seeds

SETTINGS = profiles.load("laptop", 0, ["run.device=cpu"])
IMAGES = 1600


def rows() -> list[dict[str, Any]]:
    """Seconds a candidate, on as many images as laptop's SPOS chapter takes."""
    source = _noise()
    judge = spos.judge_of(spos.build_supernet(SETTINGS), source, SETTINGS)
    space = spos.space_of(SETTINGS)
    paths = [shufflenet.random_choices(space, seeds.generator(0, "benchmark", index)) for index in range(4)]
    plain = _Plain(source, len(judge.recalibration), len(judge.held_out))
    return [
        measure.row(
            "spos_candidate",
            lambda: [plain.judge(shufflenet.to_text(path, space)) for path in paths],
            lambda: [judge(path) for path in paths],
            per=len(paths),
        )
    ]


def _noise() -> Source:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, 3, 40, 40), generator=random, dtype=torch.uint8)
    return Source(images, torch.randn(IMAGES, 10), torch.arange(IMAGES) % 10, (0.5,) * 3, (0.25,) * 3)


class _Plain(Dataset):
    """Images one by one through torchvision's transforms, a new network a candidate, a read a batch."""

    def __init__(self, source: Source, recalibration: int, held_out: int) -> None:
        self.transform = transforms.Compose(
            [
                transforms.CenterCrop(32),
                transforms.Resize(SETTINGS.spos.side),
                transforms.ToTensor(),
                transforms.Normalize(source.mean, source.std),
            ]
        )
        self.pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in source.images]
        self.labels = source.classes
        self.recalibration, self.held_out = recalibration, held_out

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.pictures[index]), int(self.labels[index])

    @torch.no_grad()
    def judge(self, text: str) -> float:

        network, right, seen = models.build(text, 10, 3, 0), 0, 0
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.reset_running_stats()
        for images, _ in DataLoader(torch.utils.data.Subset(self, range(self.recalibration)), 128):
            network.train()(images)
        held_out = range(len(self) - self.held_out, len(self))
        for images, labels in DataLoader(torch.utils.data.Subset(self, held_out), 250):
            right += (network.eval()(images).argmax(1) == labels).sum().item()
            seen += len(labels)
        return right / seen


if __name__ == "__main__":
    print(*rows(), sep="\n")
