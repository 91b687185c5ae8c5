"""What a synthetic set is compared with: noise, structured noise that could win, and real images with soft labels."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from dfnas.data import real as real_data
from dfnas.data import sources, splits, synthetic
from dfnas.data.images import center_crop, from_input
from dfnas.data.synthetic import Shard
from dfnas.data.teachers import Teacher
from dfnas.profiles import Settings
from dfnas.runtime import seeds, stages
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.files import write_tensors
from dfnas.synthesis import inversion
from dfnas.training import evaluation

NOISE_VERSION, VERSION = 2, 1
SLOPES = (1.0, 1.5, 2.0)  # of amplitude against frequency: photographs have about 1
CANDIDATES = 16  # images of structured noise that are drawn for each one that is kept
SHARD = 500  # images of plain noise in a shard
BLOCK = 250  # images that are chosen together, and lie in one shard


def noise_stage(settings: Settings, teacher: Teacher, count: int) -> Artefact:
    """The stage that makes `count` images of noise, labelled by the teacher."""
    # Values are drawn sixteen at a time, so that shards of other sizes are not what one draw of all would be.
    apart = count > SHARD and SHARD * settings.data.channels * settings.data.canvas**2 % 16 > 0
    return _stage("noise", make_noise, NOISE_VERSION + apart, settings, teacher, count)


def make_noise(folder: Path, settings: Settings, teacher: Teacher, count: int) -> None:
    """The paper's control: N(0, 1) clipped to valid images, with the teacher's logits (appendix A; it says no more)."""
    data, random = settings.data, seeds.generator(settings.seed, "noise")
    for number, first in enumerate(range(0, count, SHARD)):
        shape = (min(SHARD, count - first), data.channels, data.canvas, data.canvas)
        images = _valid(torch.randn(shape, generator=random), teacher)
        _write(folder, images, _answers(images, settings, teacher), settings, "noise", number)


def control_stage(settings: Settings, teacher: Teacher, count: int) -> Artefact:
    """The stage that makes `count` images of structured noise, labelled by the teacher: the control that is alive."""
    return _stage("control", make_control, VERSION, settings, teacher, count)


def make_control(folder: Path, settings: Settings, teacher: Teacher, count: int) -> None:
    """Of `CANDIDATES` times as many images of structured noise as many of each class as there are, by the teacher.

    Gaussian noise is one class to most teachers, so what learns from it answers a constant, and any method is better.
    Structured noise has several classes, and about the low-level statistics of photographs.
    """
    for number, first in enumerate(range(0, count, BLOCK)):
        size = min(BLOCK, count - first)
        images = _valid(structured(size * CANDIDATES, settings, number), teacher)
        logits = _answers(images, settings, teacher)
        rows = sources.balanced(logits.argmax(1), size, settings.data.classes, settings.seed, f"control {number}")
        _write(folder, images[rows], logits[rows], settings, "control", number)


def structured(count: int, settings: Settings, number: int = 0) -> Tensor:
    """Noise [N, C, S, S] around 0 with deviation about 1, whose amplitudes fall as frequency^-slope.

    Each image has a slope of `SLOPES`, a contrast, a mean colour, and channels that are a random mixture of a field of
    their own and one that all share, as the channels of photographs have much in common.
    """
    channels, side = settings.data.channels, settings.data.canvas
    generator = seeds.generator(settings.seed, "control", number)
    white = torch.randn(count, channels + 1, side, side, generator=generator)
    frequency = torch.hypot(torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None])
    frequency[0, 0] = 1 / side
    slope = torch.tensor(SLOPES)[torch.randint(len(SLOPES), (count,), generator=generator)]
    amplitude = frequency ** -slope[:, None, None, None]
    fields = torch.fft.irfft2(torch.fft.rfft2(white) * amplitude, s=(side, side))
    fields = fields / fields.std((2, 3), keepdim=True)
    share, contrast = torch.rand(2, count, 1, 1, 1, generator=generator)
    mixed = share.sqrt() * fields[:, :1] + (1 - share).sqrt() * fields[:, 1:]
    return (0.3 + 1.2 * contrast) * mixed + torch.randn(count, channels, 1, 1, generator=generator) / 2


def soft_labels_stage(settings: Settings, teacher: Teacher) -> Artefact:
    """The stage of the teacher's logits of as many real images as the set has: it tells images and labels apart."""

    def work(folder: Path) -> None:
        source = real_data.train(settings.data, settings.synthesis.images, settings.seed)
        logits = evaluation.answers(teacher, sources.regions(source, settings), settings.run)
        write_tensors(folder / "logits.safetensors", {"logits": logits})

    depends = {"images": settings.synthesis.images, "seed": settings.seed}
    inputs = [teacher.digest, real_data.digest(settings.data)]
    version = VERSION + bool(settings.teacher.path)  # whose normalisation may be another than the data's
    return stages.stage("real-soft", work, depends, inputs=inputs, version=version, run=settings.run)


def _stage(
    name: str, make: Callable[..., None], version: int, settings: Settings, teacher: Teacher, count: int
) -> Artefact:
    return stages.stage(
        name,
        lambda folder: make(folder, settings, teacher, count),
        {"images": count, "data": splits.geometry(settings.data), "seed": settings.seed},
        inputs=[teacher.digest],
        version=version,
        run=settings.run,
    )


def _valid(canvas: Tensor, teacher: Teacher) -> Tensor:
    """A canvas in the teacher's normalised space as uint8 images."""
    low, high = (bounds[:, None, None] for bounds in inversion.clip_bounds(teacher.mean, teacher.std))
    return from_input(canvas.clamp(low, high), teacher.mean, teacher.std)


def _answers(images: Tensor, settings: Settings, teacher: Teacher) -> Tensor:
    return evaluation.answers(teacher, center_crop(images, settings.data.region), settings.run).half()


def _write(folder: Path, images: Tensor, logits: Tensor, settings: Settings, name: str, number: int = 0) -> None:
    shard = Shard(images, logits, logits.argmax(1), torch.zeros(1, len(inversion.TERMS)), 0, number)
    synthetic.write(folder, shard, settings.seed, name)
