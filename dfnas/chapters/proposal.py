"""A profile for a network of one's own: what the network is, and settings for its size, as a file with comments."""

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from dfnas import profiles
from dfnas.chapters import index
from dfnas.data import teachers
from dfnas.errors import UserError, reason
from dfnas.models import cost
from dfnas.profiles import Settings
from dfnas.profiles.resolve import variant
from dfnas.runtime import devices
from dfnas.runtime.files import write_text

MEMORY = 1e9  # bytes that a batch of synthesis may take
PARTS = ("darts", "spos", "proxylessnas", "consistency", "pruning")
TIMED = 16  # images of the forward pass that is timed


def write(
    out: Path, teacher: str, weights: Path, shape: str, classes: Path | None, base: str, force: bool = False
) -> str:
    """Write a profile file for a network; returns what was found out, in lines.

    Parameters
    ----------
    teacher : module:function, or torchvision:NAME.
    shape : channels x side x side of the images that it takes, as 3x64x64.
    classes : a file with the name of a class on each line; None: numbers.

    Raises
    ------
    UserError
        A file that is there already (unless `force`), a network or weights that do not fit, a shape that is none.
    """
    if out.suffix != ".toml":
        raise UserError(f"{out} must end in .toml")
    if out.exists() and not force:
        raise UserError(f"{out} exists: give another name, or --force to write it anew")
    if not out.absolute().parent.is_dir():
        raise UserError(f"there is no folder {out.absolute().parent}")
    sys.path[:0] = [str(out.absolute().parent)]
    channels, side = _shape(shape)
    names = _names(classes)
    settings = propose(profiles.load(base), teacher, weights.expanduser().absolute(), channels, side, names)
    found = teachers.load(settings)
    report = _report(found.network, settings)
    relative = os.path.relpath(weights.expanduser().absolute(), out.absolute().parent)
    write_text(out, _text(settings, base, relative, report))
    return "\n".join(
        [*report, _estimate(out), f"{out}: state mean and std there, then python -m dfnas plan --profile {out}"]
    )


def propose(
    base: Settings, teacher: str, weights: Path, channels: int, side: int, names: tuple[str, ...] = ()
) -> Settings:
    """The base's settings for a network of another size.

    The canvas is the region and a quarter, as in the profiles, rounded to what the scales of the stages divide; the
    stages are the base's where their scales divide the region, with what does not left out. A batch is the base's, or
    as many as a gigabyte holds of what enters the batch norms. The weight of the batch-norm term is the base's, for it
    is a sum over layers, and so is that of the total variation, a mean over pixels. Searches see images at the side
    that they have in the base, since their limits of multiply-adds are for that side. Small images first, in a
    student's training, keep their share of the region.
    """
    stages = tuple(stage for stage in base.synthesis.stages if side % stage[0] == 0)
    scale = max(stage[0] for stage in stages)
    canvas = -(-side * 5 // (4 * scale)) * scale
    network = {"network": teacher} if teacher.startswith("torchvision:") else {"builder": teacher}
    count = _classes(teacher, weights, channels, side, names)
    data = {"name": "none", "channels": channels, "classes": count, "region": side, "canvas": canvas}
    rates = base.synthesis.learning_rates[len(base.synthesis.learning_rates) - len(stages) :]
    settings = variant(
        base,
        data={**data, "class_names": names},
        teacher={**network, "path": str(weights), "mean": (0.5,) * channels, "std": (0.5,) * channels},
        synthesis={"stages": stages, "learning_rates": rates},
    )
    rounds = base.synthesis.rounds if base.synthesis.keep_rounds == "all" else 1
    each = cost.activations(teachers.blank(settings), (channels, side, side)) * 4 * 3
    batch = base.synthesis.batch
    while batch > 10 and batch * each > MEMORY:
        batch //= 2
    images = max(1, round(base.synthesis.images / (batch * rounds))) * batch * rounds
    sizes = tuple((max(8, part * side // base.data.region), share) for part, share in base.student.training.resolutions)
    searches = {name: {"side": getattr(base, name).side or base.data.region} for name in PARTS if getattr(base, name)}
    searches = {name: part for name, part in searches.items() if part["side"] != side}
    for name in searches.keys() & {"darts", "spos", "proxylessnas"}:
        searches[name]["scratch"] = {"side": getattr(base, name).scratch.side or base.data.region}
    student = {"training": {"resolutions": sizes}}
    return variant(settings, synthesis={"batch": batch, "images": images}, student=student, **searches)


def _shape(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)x(\d+)", text)
    if not found or min(map(int, found.groups())) < 1:
        raise UserError(f"--input {text}: write channels x side x side, as 3x64x64")
    if found[2] != found[3]:
        raise UserError(f"--input {text}: images must be square, as 3x64x64")
    return int(found[1]), int(found[2])


def _names(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    try:
        return tuple(filter(None, map(str.strip, path.read_text(encoding="utf-8").splitlines())))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--classes {path} cannot be read ({reason(error)}): give a text file, a name a line") from None


def _classes(teacher: str, weights: Path, channels: int, side: int, names: tuple[str, ...]) -> int:
    """How many classes a network has: what it answers, or the rows of the last matrix of its weights."""
    if not weights.exists():
        raise UserError(f"no weights at {weights}: give --weights a .safetensors or state-dict file")
    if not teacher.startswith("torchvision:"):
        network = teachers.build("", teacher, 0, channels).eval()
        try:
            with torch.no_grad():
                return network(torch.zeros(2, channels, side, side)).shape[-1]
        except (RuntimeError, ValueError) as error:
            raise UserError(f"{teacher} does not take images of {channels}x{side}x{side}: {reason(error)}") from None
    try:
        state = load_file(weights) if weights.suffix == ".safetensors" else torch.load(weights, weights_only=True)
        return [len(value) for value in state.get("state_dict", state).values() if value.dim() == 2][-1]
    except Exception as error:  # torch and safetensors raise many kinds
        if names:
            return len(names)
        raise UserError(f"cannot tell the classes of {weights} ({reason(error)}): give --classes FILE") from None


def _report(network: nn.Module, settings: Settings) -> list[str]:
    """What the network is, in lines."""
    data, layers = settings.data, list(network.modules())
    kept = [layer for layer in layers if getattr(layer, "running_mean", None) is not None]
    flat = sum(isinstance(layer, nn.BatchNorm1d) for layer in kept)
    images = torch.zeros(TIMED, data.channels, data.region, data.region)
    with torch.no_grad(), devices.autocast(settings.run, network):
        network(images)
        start = time.perf_counter()
        network(images)
    milliseconds = (time.perf_counter() - start) / TIMED * 1000
    macs = cost.macs(network, (data.channels, data.region, data.region))
    left_out = f"; {flat} BatchNorm1d in its head left out" if flat else ""
    return [
        f"takes {data.channels} x {data.region} x {data.region}, answers {data.classes} classes",
        f"{len(kept) - flat} batch norms with running statistics{left_out}",
        f"{cost.parameters(network):,} parameters, {macs:,} multiply-adds an image",
        f"forward pass: {milliseconds:.2g} ms an image, in {'bf16' if devices.bf16(settings.run, network) else 'fp32'}",
    ]


def _estimate(out: Path) -> str:
    settings = profiles.load(str(out))
    seconds = sum(row["seconds_estimate"] for row in index.plan("02-synthesis", settings))
    return f"02-synthesis would take about {seconds / 60:.1f} minutes here"


def _text(settings: Settings, base: str, weights: str, report: list[str]) -> str:
    """The profile file: what differs from the base, with comments."""
    data, teacher, chosen = settings.data, settings.teacher, settings.synthesis
    named = "builder" if teacher.builder else "network"
    lines = ["# A profile for a network of one's own. What is not said here is as in the base.", "# The network:"]
    lines += [*(f"#   {line}" for line in report), "", f"base = {_toml(base)}", "", "[teacher]"]
    lines += [f"path = {_toml(weights)}  # relative to this file"]
    lines += [
        f"{named} = {_toml(getattr(teacher, named))}"
        + ("  # a module beside this file, or installed" * (named == "builder"))
    ]
    lines += [
        "# No file says how its images were normalised: state it, channel by channel, for pixels in [0, 1].",
        "# Assumed, until you do: pixels from -1 to 1.",
        f"# mean = {_toml(teacher.mean)}",
        f"# std = {_toml(teacher.std)}",
        "",
        "[data]",
        'name = "none"  # no real images; or "folder", with --data PATH',
        f"channels = {data.channels}",
        f"classes = {data.classes}",
        f"region = {data.region}  # side of what the network sees",
        f"canvas = {data.canvas}  # side of what is synthesised: a quarter more, so that crops can be drawn",
        f"padding = {_toml(data.padding)}",
        f"flip = {_toml(data.flip)}  # false where a mirrored image is not of its class (letters, digits)",
    ]
    lines += [f"class_names = {_toml(data.class_names)}"] if data.class_names else []
    lines += ["", "[synthesis]", f"images = {chosen.images}", f"batch = {chosen.batch}  # at most a gigabyte"]
    lines += [f"stages = {_toml(chosen.stages)}  # part of the side, iterations, how it goes on"]
    lines += [f"learning_rates = {_toml(chosen.learning_rates)}"]
    lines += [f"batch_norm_weight = {chosen.batch_norm_weight}  # the base's: more where images ignore the statistics"]
    lines += [f"total_variation_l2 = {chosen.total_variation_l2}  # the base's: more where images are noisy", ""]
    lines += [
        "[student.training]",
        f"resolutions = {_toml(settings.student.training.resolutions)}  # small images first",
    ]
    for name in PARTS:
        part, before = getattr(settings, name), getattr(profiles.load(base), name)
        if part and part.side != before.side:
            lines += ["", f"[{name}]", f"side = {part.side}  # as in the base: its limits of cost are for this side"]
        if part and getattr(part, "scratch", None) and part.scratch.side != before.scratch.side:
            lines += ["", f"[{name}.scratch]", f"side = {part.scratch.side}"]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
