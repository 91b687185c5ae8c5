"""A profile for a network of one's own: what the network is, and settings for its size, as a file with comments."""

import json
import math
import os
import re
import sys
import timeit
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dfnas import profiles
from dfnas.chapters import index, spos
from dfnas.chapters.pruning import networks
from dfnas.data import checkpoints, probe, teachers
from dfnas.errors import UserError
from dfnas.models import cost, norms, pruning
from dfnas.profiles import NEED_REAL, Settings
from dfnas.profiles.resolve import variant
from dfnas.runtime import devices
from dfnas.runtime.files import write_text
from dfnas.synthesis import sets

MEMORY = 1e9  # bytes that a batch of synthesis may take
EACH = 30  # images of a class, at least
TIMED = 16  # images of the forward pass that is timed
SEARCHES = ("darts", "spos", "proxylessnas", "pruning")
NORMALISATION = """\
# No file says how the images of its training were normalised: state it, for pixels in [0, 1]. As long as you do not:
# mean = {0}  # often [0.485, 0.456, 0.406]
# std = {0}  # often [0.229, 0.224, 0.225]"""
COMMENTS = {
    "teacher.path": "relative to this file",
    "teacher.builder": "in a module beside this file, or installed",
    "teacher.without_statistics": "no batch norms, so little is left of its data: students will learn much less",
    "data.name": "no real images; or folder, with --data PATH",
    "data.canvas": "side of what is synthesised: about a quarter more, so that crops can be drawn",
    "data.flip": "whether a mirrored image is still of its class (no letter is); synthesis.flip: random, or never",
    "synthesis.batch": "a gigabyte at most",
    "synthesis.stages": "the side is divided by the first; iterations",
    "synthesis.batch_norm_weight": "more where images look unlike the statistics, less where all look alike",
    "synthesis.total_variation_l2": "more where images are noisy, less where they are blurred",
}


def write(
    out: Path, teacher: str, weights: Path, shape: str, classes: Path | None, base: str, force: bool = False
) -> str:
    """Write a profile file for a network; returns what was found out, in lines.

    `teacher` is module:function, torchvision:NAME or timm:NAME, "" where the weights are a file of torch.export;
    `shape` channels x side x side of its images; `classes` a file with the name of a class on each line, or None.

    Raises
    ------
    UserError
        A file that is there already (unless `force`), a network or weights that do not fit, a shape that is none.
    """
    folder, weights = out.absolute().parent, weights.expanduser().absolute()
    if out.suffix != ".toml" or not folder.is_dir():
        raise UserError(f"{out} must end in .toml, in a folder that is there")
    if out.exists() and not force:
        raise UserError(f"{out} exists: give another name, or --force to write it anew")
    if base not in profiles.NAMES:
        raise UserError(f"--base {base}: there are {', '.join(profiles.NAMES)}")
    if not (teacher or checkpoints.exported(weights)):
        raise UserError("weights need their network: --teacher module:function, torchvision:NAME or timm:NAME")
    sys.path.append(str(folder))  # of the builder's module
    before = profiles.load(base)
    changes, report = propose(before, teacher, weights, shape, _names(classes))
    report.append(_estimate(variant(before, **changes)))
    changes["teacher"]["path"] = os.path.relpath(weights, folder)
    write_text(out, text(base, changes, report))
    return "\n".join([*report, f"{out}: state mean and std there, then python -m dfnas run --profile {out}"])


def propose(
    base: Settings, teacher: str, weights: Path, shape: str, names: tuple[str, ...] = ()
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """What a profile for a network changes of its base, by table and field, and what the network is, in lines.

    The canvas is the region and a quarter; a stage shrinks by the base's scale, or the next smaller one that divides
    the region and whose images the network takes. There are the base's images, or more where a class would get few.
    The weights of the loss are the base's, for they are of sums over layers and means over pixels. Searches see images
    at the side that they have in the base, and their limits of multiply-adds move with channels and classes.
    """
    if not re.fullmatch(r"[1-9]\d*x([1-9]\d*)x\1", shape):
        raise UserError(f"--input {shape}: write channels x side x side of square images, as 3x64x64")
    channels, side = map(int, shape.split("x")[:2])
    named = "network" if ":" not in teacher or teacher.startswith(("torchvision:", "timm:")) else "builder"
    own: dict[str, Any] = {"path": str(weights)} | ({named: teacher} if teacher else {})
    data: dict[str, Any] = {"name": "none", "channels": channels, "classes": 2, "region": side, "canvas": side}
    first = {"data": data, "teacher": own | {"without_statistics": True}, "synthesis": {"stages": ((1, 1, "grow"),)}}
    data["classes"] = len(names) or teachers.classes(variant(base, **first))
    data |= {"class_names": names, "flip": base.data.flip}
    network = teachers.load(variant(base, **first), named=False).network
    own |= {} if norms.layers(network) else {"without_statistics": True}
    most = max(scale for scale, *_ in base.synthesis.stages)
    scales = [s for s in range(1, most + 1) if not side % s and probe.takes(network, channels, side // s)]
    chosen = sets.fitted(base.synthesis, scales)
    step = math.lcm(*(scale for scale, *_ in chosen["stages"]))
    data["canvas"] = -(-side * 5 // (4 * step)) * step
    each, batch = cost.activations(network, (channels, side, side)) * 4 * 3, base.synthesis.batch
    while batch > 10 and batch * each > MEMORY:
        batch //= 2
    several = batch * (base.synthesis.rounds if base.synthesis.keep_rounds == "all" else 1)
    images = -(-max(base.synthesis.images, EACH * data["classes"]) // several) * several
    weighed = {name: getattr(base.synthesis, name) for name in ("flip", "batch_norm_weight", "total_variation_l2")}
    changes = {"teacher": own, "data": data, "synthesis": {"images": images, "batch": batch, **chosen, **weighed}}
    after = variant(base, **changes)
    changes |= {name: _search(base, after, name) for name in SEARCHES if getattr(base, name)}
    return changes, _report(network, after, [side // scale for scale in scales[1:]])


def _search(base: Settings, after: Settings, name: str) -> dict[str, Any]:
    """A search at the base's side, whose limits are moved by what stem and classifier cost more or less."""
    part, side = getattr(base, name), base.data.region
    changes: dict[str, Any] = {"side": part.side or side}
    changes |= {"scratch": {"side": part.scratch.side or side}} if hasattr(part, "scratch") else {}
    each = max(1, after.synthesis.images // (4 * after.data.classes))
    changes |= {"validation_each": min(part.validation_each, each)} if hasattr(part, "validation_each") else {}
    after = variant(after, **{name: changes})
    if name == "spos":
        path = (0,) * sum(part.space.repeats)
        more = spos.macs(after, path) - spos.macs(base, path)
        changes |= {"limit_macs": part.limit_macs + more, "bins": tuple(end + more for end in part.bins)}
    if name == "pruning":
        full = (pruning.FULL,) * pruning.space(part.network).genes
        ratio = networks.macs(after, full) / networks.macs(base, full)
        changes["windows"] = tuple(tuple(round(end * ratio) for end in window) for window in part.windows)
    return changes


def _names(path: Path | None) -> tuple[str, ...]:
    try:
        return tuple(filter(None, map(str.strip, path.read_text(encoding="utf-8-sig").splitlines()))) if path else ()
    except UnicodeDecodeError:
        raise UserError(f"--classes {path} is no UTF-8 text: save it so, with a name on each line") from None


def _report(network: nn.Module, settings: Settings, sides: list[int]) -> list[str]:
    """What the network is, in lines."""
    layers, shape = norms.layers(network), (settings.data.channels, settings.data.region, settings.data.region)
    with torch.no_grad(), devices.autocast(settings.run, network):
        passes = timeit.repeat(lambda: network(torch.zeros(TIMED, *shape)), number=1, repeat=3)
    smaller = f"also sides of {', '.join(map(str, sides))}" if sides else "no smaller side that divides this one"
    return [
        f"takes {' x '.join(map(str, shape))} ({smaller}), answers {settings.data.classes} classes",
        f"{len(layers)} batch norms with running statistics" if layers else COMMENTS["teacher.without_statistics"],
        f"{cost.parameters(network):,} parameters, {cost.macs(network, shape):,} multiply-adds an image",
        f"{1000 * min(passes) / TIMED:.2g} ms an image, in {'bf16' if devices.bf16(settings.run, network) else 'fp32'}",
    ]


def _estimate(settings: Settings) -> str:
    """Minutes of each chapter, by its plan; sets that all share are counted in the first."""
    minutes, counted = {}, set()
    for name in (name for name in settings.chapters if name not in NEED_REAL):
        rows = [row for row in index.plan(name, settings) if row["stage"] not in counted]
        counted |= {"synthesis", "held-out set"}
        minutes[name] = sum(row["seconds_estimate"] for row in rows) / 60
    known = ", ".join(f"{name} {value:.1f}" for name, value in minutes.items() if value >= 0.05)
    return f"estimated minutes: {known}; in all {sum(minutes.values()):.0f}"


def text(base: str, changes: dict[str, dict[str, Any]], report: list[str]) -> str:
    """The profile file: what differs from the base, with comments."""
    lines = ["# A profile for a network of one's own. What is not said here is as in the base. The network:"]
    lines += [*(f"#   {line}" for line in report), "", f"base = {json.dumps(base)}"]
    for name, values in changes.items():
        lines += _table(name, values)
        if name == "teacher":
            lines.append(NORMALISATION.format([0.5] * changes["data"]["channels"]))
    return "\n".join(lines) + "\n"


def _table(name: str, values: dict[str, Any]) -> Iterator[str]:
    """A table of TOML and those in it, which follow its own fields."""
    yield from ("", f"[{name}]")
    for field, value in sorted(values.items(), key=lambda item: isinstance(item[1], dict)):
        comment = COMMENTS.get(f"{name}.{field}", "")
        if isinstance(value, dict):
            yield from _table(f"{name}.{field}", value)
        elif value != ():
            yield f"{field} = {json.dumps(value, ensure_ascii=False)}" + f"  # {comment}" * bool(comment)
