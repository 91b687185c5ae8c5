"""What a search may learn from: chapter 2's synthetic images, as many real ones, or as many images of noise."""

import contextlib
import dataclasses
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dfnas import batches, datasets, devices, inversion, stages, synthesis, synthetic, training
from dfnas.profiles import RunSettings, Settings, TrainingSettings
from dfnas.synthetic import Shard
from dfnas.teacher import Teacher

VERSION = 2
NAMES = ("synthetic", "real", "noise")


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


def artefacts(settings: Settings, teacher: Teacher) -> dict[str, stages.Artefact | str]:
    """What each source depends on: the stages that make the synthetic set and the noise, and the real data's digest."""
    return {
        "synthetic": synthesis.set_stage("synthesis", settings, teacher, settings.synthesis),
        "real": datasets.digest(settings.data),
        "noise": noise_stage(settings, teacher, settings.synthesis.images),
    }


def load(name: str, artefact: stages.Artefact | str, settings: Settings, teacher: Teacher) -> Source:
    """A source in memory. The real one has as many images as the synthetic set (or all there are), and true classes."""
    if isinstance(artefact, stages.Artefact):
        made = synthetic.load(artefact.folder)
        return Source(name, made.images, made.logits.float(), made.slot_class, teacher.mean, teacher.std)
    data = settings.data
    real = datasets.load(data)
    chosen = balanced(real.train.labels, settings.synthesis.images, data.classes, settings.seed)
    labels = real.train.labels[chosen]
    canvases = batches.pad(real.train.images[chosen], data.canvas, data.padding)
    return Source(name, canvases, labels, labels, real.mean, real.std)


def guarded(name: str) -> AbstractContextManager:
    """A context in which real data is out of reach, unless the source is real data."""
    return contextlib.nullcontext() if name == "real" else datasets.no_real_data()


def noise_stage(settings: Settings, teacher: Teacher, count: int) -> stages.Artefact:
    """The stage that makes `count` images of noise, labelled by the teacher."""
    return stages.stage(
        "noise",
        lambda folder: make_noise(folder, settings, teacher, count),
        {"images": count, "data": datasets.geometry(settings.data), "seed": settings.seed},
        inputs=[teacher.digest],
        version=VERSION,
    )


def make_noise(folder: Path, settings: Settings, teacher: Teacher, count: int) -> None:
    """The control: N(0, 1) clipped to valid images, with the teacher's logits (the paper names it, appendix B.6)."""
    data = settings.data
    low, high = (bounds[:, None, None] for bounds in inversion.clip_bounds(teacher.mean, teacher.std))
    shape = (count, data.channels, data.canvas, data.canvas)
    canvas = torch.randn(shape, generator=batches.generator(settings.seed, "noise")).clamp(low, high)
    images = batches.from_input(canvas, teacher.mean, teacher.std)
    seen = batches.center_crop(images, data.region)
    logits = training.predict(teacher.network, seen, settings.run, mean=teacher.mean, std=teacher.std).half()
    shard = Shard(images, logits, logits.argmax(1), torch.zeros(1, len(inversion.TERMS)), 0, 0)
    synthetic.write(folder, shard, settings.seed, "noise")


def balanced(labels: Tensor, count: int, classes: int, seed: int, name: str = "subset") -> Tensor:
    """Indices of `count` labels, drawn at random and as evenly spread over the classes as they allow."""
    order = torch.randperm(len(labels), generator=batches.generator(seed, name))
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


def sampler(
    source: Source, recipe: TrainingSettings, settings: Settings, seed: int, name: str = "train"
) -> training.Sample:
    """Batches of random crops of a source, on the device."""
    where = devices.device(settings.run)
    return training.image_sampler(
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


def loss(source: Source, temperature: float = 1.0, smoothing: float = 0.0) -> training.Loss:
    """The divergence from soft labels, or the cross-entropy with classes, as the source has them."""
    return training.soft_loss(temperature) if source.targets.dim() == 2 else training.hard_loss(smoothing)


@torch.no_grad()
def seen(source: Source, settings: Settings, side: int) -> Source:
    """A source whose images are what a network is shown when it is judged: the central regions, at `side`, in uint8."""
    where = devices.device(settings.run)
    images = batches.center_crop(source.images, settings.data.region)
    if side != images.shape[-1]:
        shrunk = [batches.resize(part.to(where).float(), side).round().byte().cpu() for part in images.split(1000)]
        images = torch.cat(shrunk)
    return dataclasses.replace(source, images=images.contiguous().to(where))


def accuracy(network: torch.nn.Module, shown: Source, run: RunSettings, batch: int = 250) -> tuple[float, float]:
    """The shares of images that a network in eval mode gives their class, and the largest entry of their label."""
    logits = training.predict(network, shown.images, run, mean=shown.mean, std=shown.std, batch=batch)
    labels = shown.targets.argmax(1) if shown.targets.dim() == 2 else shown.targets
    return training.accuracy(logits, shown.classes), training.accuracy(logits, labels)
