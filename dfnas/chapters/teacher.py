"""The teacher: the network that is left of the data."""

import shutil
from pathlib import Path
from typing import Any

from torch import nn

from dfnas import models
from dfnas.chapters import costs
from dfnas.data import checkpoints, presence, sources, splits, teachers
from dfnas.data import real as real_data
from dfnas.data.sources import Normalised
from dfnas.errors import UserError
from dfnas.models import cost
from dfnas.profiles import Settings
from dfnas.runtime import stages
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.files import write_json, write_tensors
from dfnas.training import evaluation, loop, losses

VERSION = 2


def compute(settings: Settings) -> dict[str, Artefact]:
    """Train the chapter's teacher, once, or report the one that `teacher.path` gives: {"teacher": artefact}."""
    teacher = settings.teacher
    _require(settings)
    depends = {"network": teacher.network, "training": teacher.training, "seed": settings.seed}
    inputs = [real_data.digest(settings.data)]
    if teacher.path:
        depends, inputs = {}, [*inputs, teachers.load(settings).digest]
    return {
        "teacher": stages.stage(
            "teacher", lambda folder: _make(folder, settings), depends, inputs, VERSION, settings.run
        )
    }


def plan(settings: Settings) -> list[dict[str, Any]]:
    """One training, unless a teacher is given."""
    if settings.teacher.path:
        teachers.load(settings)
        return []
    _require(settings)
    return [
        costs.train(
            "teacher", settings, settings.teacher.network, settings.teacher.training, costs.real_images(settings)
        )
    ]


def _require(settings: Settings) -> None:
    if not settings.teacher.path and not presence.has_train(settings.data):
        raise UserError("01-teacher trains on real images: give a data set with a train part, or teacher.path")


def _make(folder: Path, settings: Settings) -> None:
    """Train the teacher, or take the one given, and report it on test images."""
    data = real_data.load(settings.data)
    normalised: Normalised = data.train
    if settings.teacher.path:
        given = teachers.load(settings)
        trained, history, normalised = given.network, loop.History(), given
        path = Path(settings.teacher.path)
        path = path / teachers.PROGRAM if path.is_dir() else path
        if checkpoints.exported(path):
            shutil.copy(path, folder / teachers.PROGRAM)
    else:
        trained, history = _train(folder, settings, data)
    logits = evaluation.predict(trained, data.test.under(normalised), settings.run)
    write_tensors(folder / "test.safetensors", {"logits": logits, "labels": data.test.classes})
    accuracy = evaluation.accuracy(logits, data.test.classes)
    card = _card(settings, data, trained, normalised, accuracy)
    if isinstance(normalised, teachers.Teacher):
        built = {name: normalised.card.get(name, "") for name in ("network", "builder")}
        card |= {**built, "digest": normalised.digest}
    write_json(folder / "card.json", card)
    loop.keep(folder, trained, history)


def _train(folder: Path, settings: Settings, data: splits.Dataset) -> tuple[nn.Module, loop.History]:
    recipe = settings.teacher.training
    return loop.train(
        models.build(settings.teacher.network, settings.data.classes, settings.data.channels, settings.seed),
        sources.sampler(data.train.on_canvas(settings.data), recipe, settings, settings.seed),
        losses.hard_loss(recipe.label_smoothing),
        recipe,
        settings.run,
        steps=loop.steps_of(recipe, len(data.train)),
        side=settings.data.region,
        folder=folder,
        evaluate=lambda network: evaluation.accuracy_on(network, data.validation, settings.run, 500)[0],
        description="teacher",
    )


def _card(
    settings: Settings, data: splits.Dataset, network: nn.Module, normalised: Normalised, accuracy: float
) -> dict[str, Any]:
    shape = (settings.data.channels, settings.data.region, settings.data.region)
    return {
        "data": settings.data.name,
        "network": settings.teacher.network,
        "builder": "",
        "channels": settings.data.channels,
        "classes": list(data.class_names),
        "mean": list(normalised.mean),
        "std": list(normalised.std),
        "seed": settings.seed,
        "recipe": stages.plain(settings.teacher.training),
        "train_images": len(data.train),
        "test_images": len(data.test),
        "test_accuracy": accuracy,
        "parameters": cost.parameters(network),
        "macs": cost.macs(network, shape),
        "digest": teachers.digest(network, normalised.mean, normalised.std),
    }
