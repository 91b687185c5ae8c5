"""What a search may learn from: synthetic images, as many real ones, or as many images of noise."""

import contextlib
import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from dfnas.data import real as real_data
from dfnas.data import splits, synthetic
from dfnas.data.images import batch_indices, center_crop, cutout, pad, random_crop, resize, to_input
from dfnas.data.teachers import Teacher
from dfnas.profiles import Settings, TrainingSettings
from dfnas.runtime import devices, seeds, stages

NAMES = ("synthetic", "real", "noise")


Sample = Callable[[int, int], tuple[Tensor, Tensor]]  # (step, side) -> normalised inputs, targets


@dataclass(frozen=True)
class Source:
    """Canvases uint8 [N, C, S, S] with what they are labelled: soft labels as logits [N, K], or classes [N].

    `classes` int64 [N] is what accuracy is counted against: the slot's class, on noise the teacher's answer. `mean`
    and `std` normalise the images for whoever learns from them.
    """

    name: str
    images: Tensor
    targets: Tensor
    classes: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.images)

    def select(self, chosen: Tensor) -> "Source":
        """The images that an index or mask picks."""
        images, targets, classes = (values[chosen] for values in (self.images, self.targets, self.classes))
        return dataclasses.replace(self, images=images, targets=targets, classes=classes)


def load(name: str, artefact: stages.Artefact | str, settings: Settings, teacher: Teacher) -> Source:
    """A source in memory. The real one has as many images as the synthetic set (or all there are), and true classes."""
    if isinstance(artefact, stages.Artefact):
        made = synthetic.load(artefact.folder)
        return Source(name, made.images, made.logits.float(), made.slot_class, teacher.mean, teacher.std)
    data = settings.data
    real = real_data.load(data)
    chosen = balanced(real.train.labels, settings.synthesis.images, data.classes, settings.seed)
    labels = real.train.labels[chosen]
    canvases = pad(real.train.images[chosen], data.canvas, data.padding)
    return Source(name, canvases, labels, labels, real.mean, real.std)


def guarded(name: str) -> AbstractContextManager:
    """A context in which real data is out of reach, unless the source is real data."""
    return contextlib.nullcontext() if name == "real" else splits.no_real_data()


def balanced(labels: Tensor, count: int, classes: int, seed: int, name: str = "subset") -> Tensor:
    """Indices of `count` labels, drawn at random and as evenly spread over the classes as they allow."""
    order = torch.randperm(len(labels), generator=seeds.generator(seed, name))
    rank = torch.zeros(len(labels), dtype=torch.int64)
    for k in range(classes):
        members = order[labels[order] == k]
        rank[members] = torch.arange(len(members)) * classes + k
    return rank.argsort()[: min(count, len(labels))]


def split(source: Source, held_out: int, classes: int, seed: int) -> tuple[Source, Source]:
    """A source in two parts, the second of `held_out` images, both with every class in its share.

    The halves of DARTS must not be those of the index: a set that lies sorted by class would be split by class.
    """
    order = balanced(source.classes, len(source), classes, seed, "split")
    return source.select(order[held_out:]), source.select(order[:held_out])


def sampler(source: Source, recipe: TrainingSettings, settings: Settings, seed: int, name: str = "train") -> Sample:
    """Batches of random crops of a source, on the device."""
    where = devices.device(settings.run)
    return image_sampler(
        source.images.to(where),
        source.targets.to(where),
        recipe,
        region=settings.data.region,
        flip=settings.data.flip,
        mean=source.mean,
        std=source.std,
        seed=seed,
        name=name,
    )


@torch.no_grad()
def seen(source: Source, settings: Settings, side: int) -> Source:
    """A source whose images are what a network is shown when it is judged: the central regions, at `side`, in uint8."""
    where = devices.device(settings.run)
    images = center_crop(source.images, settings.data.region)
    if side != images.shape[-1]:
        shrunk = [resize(part.to(where).float(), side).round().byte().cpu() for part in images.split(1000)]
        images = torch.cat(shrunk)
    return dataclasses.replace(source, images=images.contiguous().to(where))


def image_sampler(
    images: Tensor,
    targets: Tensor,
    settings: TrainingSettings,
    *,
    region: int,
    flip: bool,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    seed: int,
    name: str = "train",
) -> Sample:
    """Batches of random crops: `images` uint8 [N, C, canvas, canvas], `targets` [N, ...] go with them.

    Two samplers of one seed draw apart where `name` differs.
    """
    apart = "" if name == "train" else f" {name}"

    def sample(step: int, side: int) -> tuple[Tensor, Tensor]:
        chosen = batch_indices(len(images), settings.batch, step, seed, name).to(images.device)
        random = seeds.generator(seed, f"crops{apart}", step)
        crops = random_crop(images[chosen], region, flip, random)
        inputs = resize(to_input(crops, mean, std), side)
        if settings.cutout:
            # In proportion where images are smaller than the region, as the resolution stages make them.
            inputs = cutout(inputs, settings.cutout * side // region, seeds.generator(seed, f"cutout{apart}", step))
        return inputs, targets[chosen]

    return sample
