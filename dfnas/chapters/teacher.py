"""The teacher: the network that is left of the data."""

from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from dfnas import models
from dfnas.chapters import costs
from dfnas.data import real as real_data
from dfnas.data import sources, splits, teachers
from dfnas.data.images import pad
from dfnas.models import cost
from dfnas.profiles import Settings
from dfnas.runtime import devices, stages
from dfnas.training import evaluation, loop, losses

VERSION = 2


def compute(settings: Settings) -> dict[str, stages.Artefact]:
    """Train the chapter's teacher, once, or report the one that `teacher.path` gives: {"teacher": artefact}."""
    teacher = settings.teacher
    resolved = {"network": teacher.network, "training": teacher.training, "seed": settings.seed}
    if teacher.path:
        resolved = {"given": teachers.load(settings).digest}
    inputs = [real_data.digest(settings.data)]
    return {"teacher": stages.stage("teacher", lambda folder: _make(folder, settings), resolved, inputs, VERSION)}


def plan(settings: Settings) -> list[dict[str, Any]]:
    """One training, unless a teacher is given."""
    if settings.teacher.path:
        return []
    return [
        costs.train(
            "teacher", settings, settings.teacher.network, settings.teacher.training, costs.real_images(settings)
        )
    ]


def _make(folder: Path, settings: Settings) -> None:
    """Train the teacher, or take the one given, and report it on test images."""
    data = real_data.load(settings.data)
    if settings.teacher.path:
        given = teachers.load(settings)
        trained, history, mean, std = given.network, loop.History(), given.mean, given.std
    else:
        (trained, history), mean, std = _train(folder, settings, data), data.mean, data.std
    test = evaluation.predict(trained, data.test.images, settings.run, mean=mean, std=std)
    state = {name: value.contiguous() for name, value in trained.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    save_file({"logits": test, "labels": data.test.labels}, folder / "test.safetensors")
    stages.write_json(folder / "history.json", vars(history))
    accuracy = evaluation.accuracy(test, data.test.labels)
    stages.write_json(folder / "card.json", _card(settings, data, trained, mean, std, accuracy))
    (folder / "checkpoint.pt").unlink(missing_ok=True)


def _train(folder: Path, settings: Settings, data: splits.Dataset) -> tuple[nn.Module, loop.History]:
    recipe = settings.teacher.training
    where = devices.device(settings.run)
    sample = sources.image_sampler(
        pad(data.train.images, settings.data.canvas, settings.data.padding).to(where),
        data.train.labels.to(where),
        recipe,
        region=settings.data.region,
        flip=settings.data.flip,
        mean=data.mean,
        std=data.std,
        seed=settings.seed,
    )

    def judge(network: nn.Module) -> float:
        logits = evaluation.predict(network, data.validation.images, settings.run, mean=data.mean, std=data.std)
        return evaluation.accuracy(logits, data.validation.labels)

    return loop.train(
        models.build(settings.teacher.network, settings.data.classes, settings.data.channels, settings.seed),
        sample,
        losses.hard_loss(recipe.label_smoothing),
        recipe,
        settings.run,
        steps=loop.steps_of(recipe, len(data.train)),
        side=settings.data.region,
        folder=folder,
        evaluate=judge,
        description="teacher",
    )


def _card(
    settings: Settings,
    data: splits.Dataset,
    network: nn.Module,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    accuracy: float,
) -> dict[str, Any]:
    shape = (settings.data.channels, settings.data.region, settings.data.region)
    return {
        "data": settings.data.name,
        "network": settings.teacher.network,
        "builder": settings.teacher.builder if settings.teacher.path else "",
        "channels": settings.data.channels,
        "classes": list(data.classes),
        "mean": list(mean),
        "std": list(std),
        "seed": settings.seed,
        "recipe": stages.plain(settings.teacher.training),
        "train_images": len(data.train),
        "test_images": len(data.test),
        "test_accuracy": accuracy,
        "parameters": cost.parameters(network),
        "macs": cost.macs(network, shape),
        "digest": teachers.digest(network, mean, std),
    }
