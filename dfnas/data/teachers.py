"""Teachers: frozen networks with the normalisation they were trained under, shipped or brought by the user."""

import hashlib
import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from dfnas import models
from dfnas.data import real as real_data
from dfnas.errors import UserError, reason
from dfnas.profiles import DataSettings, Settings, TeacherSettings

SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True)
class Teacher:
    """A frozen network in eval mode, with the normalisation it was trained under (mean, std per channel in [0, 1])."""

    network: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    digest: str
    card: dict[str, Any]


def load(settings: Settings) -> Teacher:
    """The teacher of all chapters after the first: `teacher.path` if given, else the one shipped with the package.

    Raises
    ------
    UserError
        A file that is missing or does not fit the network, or a network with another number of classes.
    """
    teacher = settings.teacher
    if teacher.path:
        return _from_file(Path(teacher.path).expanduser(), settings)
    if not teacher.shipped:
        raise UserError(f"profile {settings.profile} ships no teacher: give its weights with --set teacher.path=PATH")
    return read(SHIPPED / teacher.shipped, settings.data)


def read(folder: Path, data: DataSettings) -> Teacher:
    """A teacher from a folder with model.safetensors and card.json (an artefact, or a shipped one)."""
    try:
        card = json.loads((folder / "card.json").read_text())
        state = load_file(folder / "model.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"{folder} holds no teacher (card.json and model.safetensors): {error}") from None
    network = build(card["network"], card.get("builder", ""), len(card["classes"]), card["channels"])
    network.load_state_dict(state)
    _check(network, data, str(folder))
    return _frozen(network, card["mean"], card["std"], card["classes"], card)


def digest(network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> str:
    """A digest of a network's weights and buffers, by name, and of the normalisation of its inputs."""
    sha = hashlib.sha256(json.dumps([list(mean), list(std)]).encode())
    for name, value in sorted(network.state_dict().items()):
        sha.update(name.encode())
        sha.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()[:16]


def _from_file(path: Path, settings: Settings) -> Teacher:
    """The user's own network, from a .safetensors or a state-dict file; no pickled code is run."""
    teacher = settings.teacher
    if not path.exists():
        raise UserError(f"no teacher at {path}: give teacher.path a .safetensors or state-dict file, or a folder")
    if path.is_dir():
        return read(path, settings.data)
    network = build(teacher.network, teacher.builder, settings.data.classes, settings.data.channels)
    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
        network.load_state_dict(dict(state.get("state_dict", state)))
    except Exception as error:  # torch and safetensors raise many kinds; each means that the file does not fit
        raise UserError(
            f"the teacher at {path} does not fit {teacher.builder or teacher.network}: {reason(error)}"
        ) from None
    _check(network, settings.data, str(path))
    classes = real_data.class_names(settings.data)
    mean, std = normalisation(teacher, settings.data)
    return _frozen(network, mean, std, classes, {"network": teacher.network, "path": str(path)})


def build(network: str, builder: str, classes: int, channels: int) -> nn.Module:
    """A network by name, or what the user's own `module:function` returns, called without arguments."""
    if not builder:
        return models.build(network, classes, channels)
    module, _, function = builder.partition(":")
    try:
        return getattr(importlib.import_module(module), function)()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise UserError(f"teacher.builder={builder!r} cannot be called ({error}): write module:function") from None


def _check(network: nn.Module, data: DataSettings, where: str) -> None:
    try:
        with torch.no_grad():
            outputs = network.eval()(torch.zeros(1, data.channels, data.region, data.region)).shape[-1]
    except RuntimeError as error:
        raise UserError(f"the teacher at {where} does not take {data.name}'s images: {reason(error)}") from None
    if outputs != data.classes:
        raise UserError(f"the teacher at {where} has {outputs} classes, and {data.name} has {data.classes}")
    if not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules()):
        raise UserError(f"the teacher at {where} has no BatchNorm2d: synthesis has no statistics to match")


def blank(settings: Settings) -> nn.Module:
    """The network of a profile's teacher, without its weights."""
    teacher, data = settings.teacher, settings.data
    return build(teacher.network, teacher.builder, data.classes, data.channels)


def normalisation(teacher: TeacherSettings, data: DataSettings) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation that a teacher without a card expects: `teacher.mean` and `teacher.std`, or the usual ones.

    Raises
    ------
    UserError
        Another number of values than the images have channels.
    """
    if teacher.mean or teacher.std:
        if len(teacher.mean) != data.channels or len(teacher.std) != data.channels:
            raise UserError(f"teacher.mean and teacher.std must both give {data.channels} values, one a channel")
        return teacher.mean, teacher.std
    if data.name == "imagenet":
        return (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    if data.name == "cifar10":
        return (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    return (0.5,) * data.channels, (0.5,) * data.channels


def _frozen(network: nn.Module, mean: Any, std: Any, classes: Any, card: dict[str, Any]) -> Teacher:
    network = network.eval().requires_grad_(False)
    return Teacher(network, tuple(mean), tuple(std), tuple(classes), digest(network, mean, std), card)
