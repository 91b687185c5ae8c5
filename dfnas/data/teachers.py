"""Teachers: frozen networks with the normalisation they were trained under, shipped or brought by the user."""

import ast
import hashlib
import importlib
import json
import operator
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from dfnas import models
from dfnas.data import checkpoints, exported, probe
from dfnas.data import real as real_data
from dfnas.errors import UserError, reason
from dfnas.models import norms
from dfnas.profiles import DataSettings, Deviation, Mean, Settings, TeacherSettings, kinds, place
from dfnas.runtime import stages

SHIPPED = Path(__file__).parent / "shipped"
PROGRAM = "network.pt2"  # beside model.safetensors and card.json: the network itself, of torch.export
CARD = {"network": str, "classes": list, "channels": int, "builder": str}  # what a card says of a network
KEPT = 10  # answers to each image of the probe that artefacts hold: the first classes'


@dataclass(frozen=True)
class Teacher:
    """A frozen network in eval mode, with the normalisation it was trained under (mean, std per channel in [0, 1])."""

    network: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    digest: str
    card: dict[str, Any]


def load(settings: Settings, named: bool = True) -> Teacher:
    """The teacher of all chapters after the first: `teacher.path` if given, else the one shipped with the package.

    Not `named`, a network of somebody else's has no digest of its code, which takes a second to find: of a plan.

    Raises
    ------
    UserError
        A file that is missing or does not fit the network, a network that cannot be asked for this data's classes.
    """
    teacher, data = settings.teacher, settings.data
    if teacher.path:
        path = Path(teacher.path)
        shown = data.region if settings.synthesis.update == "region" else data.canvas
        sides = {shown // max(1, scale) for scale, *_ in settings.synthesis.stages}
        try:
            return read(path, data, teacher, sides) if os.path.isdir(path) else _from_file(path, settings, sides, named)
        except UserError as error:
            line = place(settings.file, str(error)) or place(settings.file, "teacher.path")
            raise UserError(f"{line}{error}") from None
    if not teacher.shipped:
        raise UserError(f"profile {settings.profile} ships no teacher: give its weights with --set teacher.path=PATH")
    return read(SHIPPED / teacher.shipped, data)


def read(
    folder: Path, data: DataSettings, teacher: TeacherSettings | None = None, sides: Collection[int] = ()
) -> Teacher:
    """A teacher from a folder with model.safetensors and card.json (an artefact, or a shipped one).

    Without the settings of a teacher, one without statistics is fine, too: it has been let pass before.
    """
    try:
        found = json.loads((folder / "card.json").read_bytes())
        state = load_file(folder / "model.safetensors")
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise UserError(f"{folder} holds no teacher (card.json and model.safetensors): {reason(error)}") from None
    card: dict[str, Any] = {"builder": ""} | (found if isinstance(found, dict) else {})
    lacking = [f"{name} ({kind.__name__})" for name, kind in CARD.items() if not isinstance(card.get(name), kind)]
    if lacking:
        raise UserError(f"{folder / 'card.json'} lacks {', '.join(lacking)}")
    program = folder / PROGRAM
    if program.exists():
        network: nn.Module = exported.read(program)
    else:
        network = build(card["network"], card["builder"], len(card["classes"]), card["channels"])
    checkpoints.fit(network, state, str(folder), card["network"])
    mean, std = (getattr(teacher, name, ()) or card.get(name) for name in ("mean", "std"))
    if mean is None or std is None:
        raise UserError(
            f"{folder / 'card.json'} lacks mean and std: write them there, or --set teacher.mean, teacher.std"
        )
    return _frozen(network, (mean, std), card, data, sides, str(folder), program.exists(), teacher)


def digest(network: nn.Module, mean: Sequence[float], std: Sequence[float], code: str = "") -> str:
    """A digest of a network's weights and buffers, by name, of the normalisation of its inputs, and of its code."""
    sha = hashlib.sha256(json.dumps([list(mean), list(std)]).encode())
    for name, value in sorted(network.state_dict().items()):
        sha.update(name.encode())
        sha.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    sha.update(code.encode())
    return sha.hexdigest()[:16]


def _from_file(path: Path, settings: Settings, sides: Collection[int], named: bool) -> Teacher:
    """The user's own network, from a file of weights or of torch.export; no pickled code is run."""
    teacher, data = settings.teacher, settings.data
    if not os.path.isfile(path):
        raise UserError(f"no teacher at {path}: give teacher.path a file of weights, of torch.export, or a folder")
    program = checkpoints.exported(path)
    if program:
        network: nn.Module = exported.read(path)
    else:
        network = build(teacher.network, teacher.builder, data.classes, data.channels)
        checkpoints.fit(network, checkpoints.read(path), str(path), teacher.builder or teacher.network)
    card = {"network": teacher.network, "builder": teacher.builder, "classes": real_data.class_names(data)}
    return _frozen(network, normalisation(teacher, data), card, data, sides, str(path), program, teacher, named)


def classes(settings: Settings) -> int:
    """How many classes the network of `teacher.path` answers; one by its name has any number: what its file holds."""
    path, data, builder = Path(settings.teacher.path), settings.data, settings.teacher.builder
    if not builder and not checkpoints.exported(path):
        return checkpoints.classes(checkpoints.read(path), str(path))
    network = exported.read(path) if checkpoints.exported(path) else build("", builder, 0, data.channels)
    return probe.classes(network, data.channels, data.region, str(path))


def build(network: str, builder: str, classes: int, channels: int) -> nn.Module:
    """A network by name, or what the user's own `module:function` or `module:function(width=2)` returns.

    Raises
    ------
    UserError
        A builder that cannot be called, arguments that are no plain values, something else than a network.
    """
    if not builder:
        return models.build(network, classes, channels)
    module, _, text = builder.partition(":")
    try:
        call = ast.parse(text, mode="eval").body
        function, values, named = (
            (call.func, call.args, call.keywords) if isinstance(call, ast.Call) else (call, [], [])
        )
        made = operator.attrgetter(ast.unparse(function))(importlib.import_module(module))
        made = made(*map(ast.literal_eval, values), **{str(item.arg): ast.literal_eval(item.value) for item in named})
    except (Exception, SystemExit) as error:  # whatever somebody else's module raises
        how = "write module:function, or module:function(width=2) with plain values"
        raise UserError(f"teacher.builder={builder!r} cannot be called ({reason(error)}): {how}") from None
    if isinstance(made, nn.DataParallel):
        made = made.module
    made = getattr(made, "_orig_mod", made)  # what torch.compile has wrapped
    if not isinstance(made, nn.Module):
        raise UserError(f"teacher.builder={builder!r} gives a {type(made).__name__}, and no torch.nn.Module")
    return made.float().cpu()


def normalisation(teacher: TeacherSettings, data: DataSettings) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation that a teacher without a card expects: `teacher.mean` and `teacher.std`, or the usual ones."""
    if teacher.mean or teacher.std:
        return teacher.mean, teacher.std
    if data.name == "imagenet":
        return (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    if data.name == "cifar10":
        return (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
    return (0.5,) * data.channels, (0.5,) * data.channels


def _frozen(
    network: nn.Module,
    normal: tuple[Sequence[float], Sequence[float]],
    card: dict[str, Any],
    data: DataSettings,
    sides: Collection[int],
    where: str,
    program: bool,
    teacher: TeacherSettings | None,
    named: bool = True,
) -> Teacher:
    """A network that has been looked into, ready to be asked; the digest of one that is not ours holds its code."""
    network, (mean, std) = network.eval().requires_grad_(False), _checked(*normal, data, where)
    answers, layers = probe.examine(network, data, sides, where)
    if not layers and norms.layers(network):
        raise UserError(f"the batch norms of the teacher at {where} take no part in its answers: leave them out of it")
    if not layers and teacher is not None and not teacher.without_statistics:
        raise UserError(
            f"the teacher at {where} keeps no batch-norm statistics, and so nothing of what its training images looked "
            "like: students will learn much less; --set teacher.without_statistics=true goes on with a natural spectrum"
        )
    builder = card["builder"]
    theirs = named and (program or builder or card["network"].startswith(("torchvision:", "timm:")))
    code = probe.graph(network, data, builder.partition(":")[0]) if theirs else ""
    known = stages.Digest(digest(network, mean, std, code), answers[:, :KEPT].flatten().tolist())
    return Teacher(network, mean, std, tuple(card["classes"]), known, card)


def _checked(mean: Any, std: Any, data: DataSettings, where: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of pixels in [0, 1], a value a channel; of a card they are checked here first."""
    mean = kinds.read(mean, tuple[Mean, ...], f"the teacher at {where}: mean")
    std = kinds.read(std, tuple[Deviation, ...], f"the teacher at {where}: std")
    if not len(mean) == len(std) == data.channels:
        raise UserError(f"teacher.mean and teacher.std must both give {data.channels} values, one a channel")
    return mean, std
