"""What flows from a teacher, a disk or noise to a network: images with what they are labelled, as one `Source`."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from dfnas.data.image_files import ImageFiles
from dfnas.data.images import (
    batch_indices,
    center_crop,
    colour_jitter,
    cutout,
    pad,
    random_crop,
    resize,
    resized_crop,
    to_input,
)
from dfnas.errors import UserError
from dfnas.profiles import DataSettings, Settings, TrainingSettings
from dfnas.runtime import devices, seeds

Images = Tensor | ImageFiles
Sample = Callable[[int, int], tuple[Tensor, Tensor]]  # (step, side) -> normalised inputs, targets


class Normalised(Protocol):
    """What says how images are normalised: a teacher, or another source."""

    @property
    def mean(self) -> tuple[float, ...]: ...

    @property
    def std(self) -> tuple[float, ...]: ...


@dataclass(frozen=True)
class Source:
    """Images uint8 [N, C, S, S] with what they are labelled: soft labels as logits [N, K], or classes [N].

    Images are in memory, or in their files where they are too many.
    `classes` int64 [N] is what accuracy is counted against: the true class, the slot's, on noise the teacher's answer.
    `mean` and `std` (a value a channel, of pixels in [0, 1]) normalise the images for whoever sees them.
    """

    images: Images
    targets: Tensor
    classes: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]
    name: str = ""  # for progress bars

    def __len__(self) -> int:
        return len(self.images)

    @property
    def soft(self) -> bool:
        """Whether the labels are logits."""
        return self.targets.dim() == 2

    def select(self, rows: Tensor) -> "Source":
        """The images that an index or mask picks."""
        images = self.images[rows] if isinstance(self.images, Tensor) else self.images.select(rows)
        return dataclasses.replace(self, images=images, targets=self.targets[rows], classes=self.classes[rows])

    def labelled(self, targets: Tensor) -> "Source":
        """The same images under other labels."""
        return dataclasses.replace(self, targets=targets)

    def hard(self) -> "Source":
        """The same images, labelled with their classes."""
        return self.labelled(self.classes)

    def under(self, other: Normalised) -> "Source":
        """The same images under the normalisation of another source, or of a teacher."""
        return dataclasses.replace(self, mean=other.mean, std=other.std)

    def on_canvas(self, data: DataSettings) -> "Source":
        """The same images with a border, so that crops of the region can be drawn from them."""
        if not isinstance(self.images, Tensor):  # cut to the canvas when they are read
            return self
        return dataclasses.replace(self, images=pad(self.images, data.canvas, data.padding))

    def to(self, where: torch.device) -> "Source":
        """The same on a device."""
        images, targets, classes = self.images.to(where), self.targets.to(where), self.classes.to(where)
        return dataclasses.replace(self, images=images, targets=targets, classes=classes)


def balanced(labels: Tensor, count: int, classes: int, seed: int, name: str = "subset") -> Tensor:
    """Indices of `count` labels, drawn at random and as evenly spread over the classes as they allow."""
    order = torch.randperm(len(labels), generator=seeds.generator(seed, name))
    rank, drawn = torch.zeros(len(labels), dtype=torch.int64), labels[order]
    for k in range(classes):
        members = order[drawn == k]
        rank[members] = torch.arange(len(members)) * classes + k
    return rank.argsort()[: min(count, len(labels))]


def split(source: Source, held_out: int, classes: int, seed: int) -> tuple[Source, Source]:
    """A source in two parts, the second of `held_out` images, both with every class in its share.

    What no whole image makes goes by the largest remainder, ties by the seed; a class of one image lies in the larger
    part (in the first where both are equal), as far as the counts allow. Both parts are in a random order: a set that
    lies sorted by class is not cut by class.

    Raises
    ------
    UserError
        Nothing would be left in the first part.
    """
    if held_out >= len(source):
        raise UserError(
            f"{held_out:,} of the {len(source):,} images are to be held out, which leaves none to learn from: lower "
            "validation_each or held_out, or give more images"
        )
    order = torch.randperm(len(source), generator=seeds.generator(seed, "split"))
    labels = source.classes[order]
    rank = torch.zeros_like(labels)
    for k in range(classes):
        rank[labels == k] = torch.arange(int((labels == k).sum()))
    taken = rank < _shares(labels.bincount(minlength=classes), held_out, seed)[labels]
    return source.select(order[~taken]), source.select(order[taken])


def _shares(counts: Tensor, held_out: int, seed: int) -> Tensor:
    """How many of `held_out` images each class gives, of which there are `counts`: in proportion, in whole numbers."""
    total = int(counts.sum())
    shares, remainders = counts * held_out // total, counts * held_out % total
    # A class of one image comes first where the held-out part is the larger, else last of all that could give more.
    first = remainders.double().where(counts != 1, total if 2 * held_out > total else 0.5)
    ties = torch.rand(len(counts), generator=seeds.generator(seed, "shares")) / 2
    order = (first + ties).argsort(descending=True)
    shares[order[: held_out - int(shares.sum())]] += 1
    return shares


def sampler(source: Source, recipe: TrainingSettings, settings: Settings, seed: int, name: str = "train") -> Sample:
    """Batches of random crops of a source's canvases, on the device.

    Two samplers of one seed draw apart where `name` differs.

    Raises
    ------
    UserError
        No images.
    """
    if not len(source):
        raise UserError("there is no train part to learn from: give images in train/<class>/* too")
    source, region, flip = source.to(devices.device(settings.run)), settings.data.region, settings.data.flip
    apart = "" if name == "train" else f" {name}"
    crop = random_crop if recipe.crop == "window" else resized_crop

    def sample(step: int, side: int) -> tuple[Tensor, Tensor]:
        rows = batch_indices(len(source), recipe.batch, step, seed, name).to(source.images.device)
        crops = crop(source.images[rows], region, flip, seeds.generator(seed, f"crops{apart}", step))
        if recipe.jitter:
            crops = colour_jitter(crops, recipe.jitter, seeds.generator(seed, f"jitter{apart}", step))
        inputs = resize(to_input(crops, source.mean, source.std), side)
        if recipe.cutout:
            # In proportion where images are smaller than the region, as the resolution stages make them.
            inputs = cutout(inputs, recipe.cutout * side // region, seeds.generator(seed, f"cutout{apart}", step))
        return inputs, source.targets[rows]

    return sample


def regions(source: Source, settings: Settings) -> Images:
    """The central regions of a source's images, in memory or in files as these are."""
    region = settings.data.region
    images = source.images
    return center_crop(images, region) if isinstance(images, Tensor) else images.center(region)


def first_of_each(source: Source, settings: Settings, count: int = 4, most: int = 10) -> tuple[Tensor, Tensor]:
    """The central regions uint8 [n, C, s, s] of the first images of each of the first classes, and their classes."""
    rows = [(source.classes == k).nonzero()[:count, 0] for k in source.classes.unique()[:most]]
    few = source.select(torch.cat(rows))
    images = regions(few, settings)
    return images if isinstance(images, Tensor) else images[:], few.classes


@torch.no_grad()
def judged(source: Source, settings: Settings, side: int = 0) -> Source:
    """A source as a network sees it when it is judged: the central regions, at `side` (0: whole), on the device.

    All of it is then in memory.
    """
    where = devices.device(settings.run)
    images = regions(source, settings)
    images = images if isinstance(images, Tensor) else images[:]
    if side and side != images.shape[-1]:
        parts = [resize(part.to(where).float(), side).round().byte().cpu() for part in images.split(1000)]
        images = torch.cat(parts)
    return dataclasses.replace(source, images=images.contiguous()).to(where)
