"""Networks trained from scratch to judge a set: students on synthetic images, and a verifier on real ones."""

import dataclasses
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dfnas import models
from dfnas.data import real as real_data
from dfnas.data import sources, splits, synthetic
from dfnas.data.images import blend, resize
from dfnas.data.sources import Sample, Source
from dfnas.data.teachers import Teacher
from dfnas.profiles import Settings, StudentSettings
from dfnas.runtime import devices, distributed, seeds, stages
from dfnas.runtime.artefacts import Artefact
from dfnas.training import evaluation, loop, losses

VERSION = 2


def set_stage(
    name: str,
    settings: Settings,
    teacher: Teacher,
    student: StudentSettings,
    origin: Artefact,
    seed: int,
    rounds: str | int = "all",
    slots: int = 0,
) -> Artefact:
    """The stage that trains one student on a synthetic set, or on a part of it.

    `rounds` are all, first, last, or the number of one; `slots` is how many slots are taken, 0 for all of them.
    """

    def work(folder: Path) -> None:
        source = synthetic.load(origin.folder, teacher, rounds, slots)
        train_synthetic(folder, source, settings, teacher, student, seed)

    part, data = [rounds, slots], splits.geometry(settings.data)
    depends = {"student": recipe(student), "seed": seed, "part": part, "data": data}
    return stages.stage(name, work, depends, inputs=[origin, teacher.digest], version=VERSION, run=settings.run)


def recipe(student: StudentSettings) -> StudentSettings:
    """What one student's stage depends on: not on how many there are."""
    return dataclasses.replace(student, seeds=StudentSettings.seeds)


def train_synthetic(
    folder: Path, source: Source, settings: Settings, teacher: Teacher, student: StudentSettings, seed: int
) -> None:
    """Train a student on synthetic images alone; real data is out of reach while it learns."""
    with splits.no_real_data():
        train(folder, source.hard() if student.labels == "hard" else source, settings, student, seed, teacher)


def train(
    folder: Path,
    source: Source,
    settings: Settings,
    student: StudentSettings,
    seed: int,
    teacher: Teacher | None = None,
) -> None:
    """Train a student on a source's canvases, with its classes or its logits; writes model.safetensors.

    With `student.labels == "online"` the labels are the teacher's logits on the very crop that the student sees.
    """
    data, recipe = settings.data, student.training
    sample = sources.sampler(source, recipe, settings, seed)
    if student.labels == "online" and teacher is not None:
        sample = online(sample, teacher, settings, student.mixing, seed)
    network, history = loop.train(
        models.build(student.network, data.classes, data.channels, seed),
        sample,
        losses.loss_for(source, student.temperature, recipe.label_smoothing),
        recipe,
        settings.run,
        steps=loop.steps_of(recipe, len(source)),
        side=student.side or data.region,
        folder=folder,
        description=f"student {seed}",
    )
    loop.keep(folder, network, history)


def online(sample: Sample, teacher: Teacher, settings: Settings, mixing: float = 0.0, seed: int = 0) -> Sample:
    """Batches whose targets are the teacher's logits on the augmented crop, at full size whatever the student sees.

    With `mixing`, the crops are laid over one another first: what the teacher says of a mixture needs no class.
    Of several processes, each asks the teacher about its own part of a batch; the targets of the others' are zero.
    """
    network = devices.place(teacher.network, devices.device(settings.run))

    @torch.no_grad()
    def labelled(step: int, side: int) -> tuple[Tensor, Tensor]:
        inputs, _ = sample(step, settings.data.region)
        if mixing:
            inputs = blend(inputs, mixing, seeds.generator(seed, "mixing", step))
        mine, rows = distributed.part(inputs, torch.arange(len(inputs), device=inputs.device))
        with devices.autocast(settings.run):
            answers = network(mine).float()
        logits = answers.new_zeros(len(inputs), answers.shape[1]).index_copy_(0, rows, answers)
        return resize(inputs, side), logits

    return labelled


def verifier_stage(settings: Settings) -> Artefact:
    """The stage that trains the verifier: another network than the teacher, on real data, from another seed."""
    judges, data = settings.evaluation, settings.data
    as_student = StudentSettings(judges.verifier_network, judges.verifier, labels="hard")

    def work(folder: Path) -> None:
        train(folder, real_data.train(data), settings, as_student, settings.seed + 1000)

    depends = {"verifier": as_student, "seed": settings.seed}
    return stages.stage("verifier", work, depends, inputs=[real_data.digest(data)], version=VERSION, run=settings.run)


def read(folder: Path, settings: Settings, network: str) -> nn.Module:
    """A trained student or verifier."""
    student = models.build(network, settings.data.classes, settings.data.channels)
    student.load_state_dict(load_file(folder / "model.safetensors"))
    return student.eval()


def accuracy(folder: Path, settings: Settings, student: StudentSettings, test: Source) -> float:
    """A student's accuracy on real test images, under the normalisation that it learned with."""
    return evaluation.accuracy(logits(folder, settings, student, test), test.classes)


def logits(folder: Path, settings: Settings, student: StudentSettings, test: Source) -> Tensor:
    """A student's logits [N, K] on images that it is shown as images were in training: at its side."""
    network = read(folder, settings, student.network)
    side = student.side or settings.data.region
    shrunk = _Shrunk(network, side) if side != settings.data.region else network
    return evaluation.predict(shrunk, test, settings.run)


class _Shrunk(nn.Module):
    """A network behind a resize of its input."""

    def __init__(self, network: nn.Module, side: int) -> None:
        super().__init__()
        self.network, self.side = network, side

    def forward(self, x: Tensor) -> Tensor:
        return self.network(resize(x, self.side))
