"""Networks trained from scratch to judge a set: students on synthetic images, and a verifier on real ones."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dfnas import models
from dfnas.data import real as real_data
from dfnas.data import sources, splits, synthetic
from dfnas.data.images import blend, pad, resize
from dfnas.data.synthetic import SyntheticSet
from dfnas.data.teachers import Teacher
from dfnas.errors import UserError
from dfnas.profiles import Settings, StudentSettings
from dfnas.runtime import devices, distributed, seeds, stages
from dfnas.training import evaluation, loop, losses

VERSION = 2


def set_stage(
    name: str,
    settings: Settings,
    teacher: Teacher,
    student: StudentSettings,
    source: stages.Artefact,
    seed: int,
    chosen: str = "all",
    slots: int = 0,
) -> stages.Artefact:
    """The stage that trains one student on a synthetic set, or on a part of it.

    `chosen` names the rounds (all | first | last); `slots` is how many slots are taken, 0 for all of them.
    """

    def work(folder: Path) -> None:
        images = part(synthetic.load(source.folder), chosen, slots)
        train_synthetic(folder, images, settings, teacher, student, seed)

    resolved = {"student": student, "seed": seed, "part": [chosen, slots], "data": splits.geometry(settings.data)}
    return stages.stage(name, work, resolved, inputs=[source, teacher.digest], version=VERSION)


def check(student: StudentSettings) -> None:
    """Refuse settings that do not fit together.

    Raises
    ------
    UserError
        Mixed images without a teacher that labels the mixtures, or more of the other image than there can be.
    """
    if not 0 <= student.mixing <= 1 or (student.mixing and student.labels != "online"):
        raise UserError(f"student.mixing={student.mixing}: from 0 to 1, and 0 unless student.labels is online")


def part(images: SyntheticSet, chosen: str, slots: int = 0) -> SyntheticSet:
    """The whole set, or its first or last round, or the first `slots` slots of that."""
    images = images if chosen == "all" else images.of_round(0 if chosen == "first" else -1)
    return images.select(images.slot < slots) if slots else images


def train_synthetic(
    folder: Path, images: SyntheticSet, settings: Settings, teacher: Teacher, student: StudentSettings, seed: int
) -> None:
    """Train a student on synthetic images alone; real data is out of reach while it learns."""
    labels = images.slot_class if student.labels == "hard" else images.logits.float()
    with splits.no_real_data():
        train(folder, images.images, labels, settings, student, seed, teacher.mean, teacher.std, teacher)


def train(
    folder: Path,
    images: Tensor,
    labels: Tensor,
    settings: Settings,
    student: StudentSettings,
    seed: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    teacher: Teacher | None = None,
) -> None:
    """Train a student on canvases uint8 [N, C, S, S] with classes [N] or logits [N, K]; writes model.safetensors.

    With `student.labels == "online"` the labels are the teacher's logits on the very crop that the student sees.
    """
    data, recipe = settings.data, student.training
    side = student.side or data.region
    where = devices.device(settings.run)
    sample = sources.image_sampler(
        images.to(where), labels.to(where), recipe, region=data.region, flip=data.flip, mean=mean, std=std, seed=seed
    )
    if student.labels == "online" and teacher is not None:
        sample = online(sample, teacher, data.region, settings, student.mixing, seed)
    soft = labels.dim() == 2
    network, history = loop.train(
        models.build(student.network, data.classes, data.channels, seed),
        sample,
        losses.soft_loss(student.temperature) if soft else losses.hard_loss(recipe.label_smoothing),
        recipe,
        settings.run,
        steps=loop.steps_of(recipe, len(images)),
        side=side,
        folder=folder,
        description=f"student {seed}",
    )
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / "model.safetensors")
    stages.write_json(folder / "history.json", vars(history))
    (folder / "checkpoint.pt").unlink(missing_ok=True)


def online(
    sample: sources.Sample, teacher: Teacher, region: int, settings: Settings, mixing: float = 0.0, seed: int = 0
) -> sources.Sample:
    """Batches whose targets are the teacher's logits on the augmented crop, at full size whatever the student sees.

    With `mixing`, the crops are laid over one another first: what the teacher says of a mixture needs no class.
    Of several processes, each asks the teacher about its own part of a batch; the targets of the others' are zero.
    """
    network = devices.place(teacher.network, devices.device(settings.run))

    @torch.no_grad()
    def labelled(step: int, side: int) -> tuple[Tensor, Tensor]:
        inputs, _ = sample(step, region)
        if mixing:
            inputs = blend(inputs, mixing, seeds.generator(seed, "mixing", step))
        mine, rows = distributed.part(inputs, torch.arange(len(inputs), device=inputs.device))
        with devices.autocast(settings.run):
            answers = network(mine).float()
        logits = answers.new_zeros(len(inputs), answers.shape[1]).index_copy_(0, rows, answers)
        return resize(inputs, side), logits

    return labelled


def verifier_stage(settings: Settings) -> stages.Artefact:
    """The stage that trains the verifier: another network than the teacher, on real data, from another seed."""
    evaluation, data = settings.evaluation, settings.data
    as_student = StudentSettings(evaluation.verifier_network, evaluation.verifier, labels="hard")

    def work(folder: Path) -> None:
        real = real_data.load(data)
        canvases = pad(real.train.images, data.canvas, data.padding)
        train(folder, canvases, real.train.labels, settings, as_student, settings.seed + 1000, real.mean, real.std)

    resolved = {"verifier": as_student, "seed": settings.seed}
    return stages.stage("verifier", work, resolved, inputs=[real_data.digest(data)], version=VERSION)


def read(folder: Path, settings: Settings, network: str) -> nn.Module:
    """A trained student or verifier."""
    student = models.build(network, settings.data.classes, settings.data.channels)
    student.load_state_dict(load_file(folder / "model.safetensors"))
    return student.eval()


def test_accuracy(
    folder: Path,
    settings: Settings,
    student: StudentSettings,
    real: splits.Dataset,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> float:
    """A student's accuracy on the real test images, shown to it as images were in training: side, mean, deviation."""
    return evaluation.accuracy(test_logits(folder, settings, student, real, mean, std), real.test.labels)


def test_logits(
    folder: Path,
    settings: Settings,
    student: StudentSettings,
    real: splits.Dataset,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Tensor:
    """A student's logits [N, K] on the real test images, shown to it as images were in training."""
    network = read(folder, settings, student.network)
    side = student.side or settings.data.region
    shrink = _Shrunk(network, side) if side != settings.data.region else network
    return evaluation.predict(shrink, real.test.images, settings.run, mean=mean, std=std)


class _Shrunk(nn.Module):
    """A network behind a resize of its input."""

    def __init__(self, network: nn.Module, side: int) -> None:
        super().__init__()
        self.network, self.side = network, side

    def forward(self, x: Tensor) -> Tensor:
        return self.network(resize(x, self.side))
