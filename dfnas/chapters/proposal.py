"""A profile for a network of one's own: what the network is, and settings for its size, as a file with comments."""

import json
import math
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dfnas import profiles
from dfnas.chapters import index, spos
from dfnas.chapters.pruning import networks
from dfnas.data import checkpoints, probe, teachers
from dfnas.errors import UserError, reason
from dfnas.models import cost, norms, pruning
from dfnas.profiles import NEED_REAL, Settings, SynthesisSettings
from dfnas.profiles.resolve import variant
from dfnas.runtime import devices
from dfnas.runtime.files import write_text

MEMORY = 1e9  # bytes that a batch of synthesis may take
EACH = 30  # images of a class, at least
TIMED = 16  # images of the forward pass that is timed
SEARCHES = ("darts", "spos", "proxylessnas", "pruning")
COMMENTS = {
    "teacher.path": "relative to this file",
    "teacher.builder": "in a module beside this file, or installed",
    "teacher.without_statistics": "no batch norms, so little is left of its data: students will learn much less",
    "data.name": "no real images; or folder, with --data PATH",
    "data.region": "side of what the network sees",
    "data.canvas": "side of what is synthesised: about a quarter more, so that crops can be drawn",
    "data.flip": "whether a mirrored image is still of its class (no letter is); synthesis.flip: random, or never",
    "synthesis.images": "more teach more",
    "synthesis.batch": "a gigabyte at most",
    "synthesis.stages": "the side is divided by the first; iterations",
    "synthesis.batch_norm_weight": "more where images look unlike the statistics, less where all look alike",
    "synthesis.total_variation_l2": "more where images are noisy, less where they are blurred",
    "spos.limit_macs": "multiply-adds that a found network may cost, at this side",
    "pruning.windows": "multiply-adds of pruned networks, from and to, at this side",
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
    if not weights.is_file():
        raise UserError(f"no weights at {weights}: give --weights a file of weights, or of torch.export")
    if not (teacher or checkpoints.exported(weights)):
        raise UserError("weights need their network: --teacher module:function, torchvision:NAME or timm:NAME")
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    before = profiles.load(base)
    changes, report = propose(before, teacher, weights, shape, _names(classes))
    report.append(_estimate(variant(before, **changes)))
    changes["teacher"]["path"] = os.path.relpath(weights, folder)
    write_text(out, _text(base, changes, report))
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
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x\2", shape)
    if not found:
        raise UserError(f"--input {shape}: write channels x side x side of square images, as 3x64x64")
    channels, side = int(found[1]), int(found[2])
    named = "network" if ":" not in teacher or teacher.startswith(("torchvision:", "timm:")) else "builder"
    own: dict[str, Any] = {"path": str(weights)} | ({named: teacher} if teacher else {})
    data: dict[str, Any] = {"name": "none", "channels": channels, "classes": len(names) or 2, "region": side, "canvas": side}
    first = {"data": data, "teacher": own | {"without_statistics": True}, "synthesis": {"stages": ((1, 1, "grow"),)}}
    data["classes"] = len(names) or teachers.classes(variant(base, **first))
    data |= {"class_names": names, "flip": base.data.flip}
    network = teachers.load(variant(base, **first)).network
    own |= {} if norms.layers(network) else {"without_statistics": True}
    most = max(scale for scale, *_ in base.synthesis.stages)
    scales = [s for s in range(1, most + 1) if not side % s and probe.takes(network, channels, side // s)]
    chosen = _stages(base.synthesis, scales)
    step = math.lcm(*(scale for scale, *_ in chosen["stages"]))
    data["canvas"] = -(-side * 5 // (4 * step)) * step
    each, batch = cost.activations(network, (channels, side, side)) * 4 * 3, base.synthesis.batch
    while batch > 10 and batch * each > MEMORY:
        batch //= 2
    several = batch * (base.synthesis.rounds if base.synthesis.keep_rounds == "all" else 1)
    images = -(-max(base.synthesis.images, EACH * data["classes"]) // several) * several
    weighed = {name: getattr(base.synthesis, name) for name in ("flip", "batch_norm_weight", "total_variation_l2")}
    changes = {"teacher": own, "data": data, "synthesis": {"images": images, "batch": batch, **chosen, **weighed}}
    changes |= {name: _search(base, name, images // (4 * data["classes"])) for name in SEARCHES if getattr(base, name)}
    _shift(base, changes)
    return changes, _report(network, variant(base, **changes), [side // scale for scale in scales[1:]])


def _stages(base: SynthesisSettings, scales: list[int]) -> dict[str, Any]:
    """The base's stages at scales that there are; those that fall together are one."""
    merged: dict[int, tuple[int, str, float]] = {}
    for (scale, iterations, kind), rate in zip(base.stages, base.learning_rates, strict=True):
        scale = max(known for known in scales if known <= scale)
        before = merged.get(scale, (0, kind, rate))
        merged[scale] = (before[0] + iterations, *before[1:])
    stages = tuple((scale, iterations, kind) for scale, (iterations, kind, _) in merged.items())
    return {"stages": stages, "learning_rates": tuple(rate for *_, rate in merged.values())}


def _search(base: Settings, name: str, held_out: int) -> dict[str, Any]:
    part, side = getattr(base, name), base.data.region
    changes: dict[str, Any] = {"side": part.side or side}
    if hasattr(part, "validation_each"):
        changes["validation_each"] = max(1, min(part.validation_each, held_out))
    return changes | ({"scratch": {"side": part.scratch.side or side}} if hasattr(part, "scratch") else {})


def _shift(base: Settings, changes: dict[str, dict[str, Any]]) -> None:
    """Move limits of multiply-adds by what a stem and a classifier cost for these channels and classes."""
    after = variant(base, **changes)
    if base.spos:
        path, moving = (0,) * sum(base.spos.space.repeats), base.spos
        more = spos.macs(after, path) - spos.macs(base, path)
        changes["spos"] |= {"limit_macs": moving.limit_macs + more, "bins": tuple(end + more for end in moving.bins)}
    if base.pruning:  # both costs are linear in the widths, and the rest of a network's is quadratic
        full = (pruning.FULL,) * pruning.space(base.pruning.network).genes
        whole, more = networks.macs(base, full), networks.macs(after, full) - networks.macs(base, full)
        ends = ((round(end + more * math.sqrt(end / whole)) for end in window) for window in base.pruning.windows)
        changes["pruning"]["windows"] = tuple(map(tuple, ends))


def _names(path: Path | None) -> tuple[str, ...]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines() if path else []
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--classes {path} cannot be read ({reason(error)}): give a text file, a name a line") from None
    return tuple(filter(None, map(str.strip, lines)))


def _report(network: nn.Module, settings: Settings, sides: list[int]) -> list[str]:
    """What the network is, in lines."""
    data, layers = settings.data, norms.layers(network)
    shape = (data.channels, data.region, data.region)
    images = torch.zeros(TIMED, *shape)
    with torch.no_grad(), devices.autocast(settings.run, network):
        network(images)
        start = time.perf_counter()
        network(images)
    milliseconds = (time.perf_counter() - start) / TIMED * 1000
    smaller = f"sides of {', '.join(map(str, sides))}" if sides else "no smaller ones"
    return [
        f"takes {data.channels} x {data.region} x {data.region}, and {smaller}; answers {data.classes} classes",
        f"{len(layers)} batch norms with running statistics" if layers else COMMENTS["teacher.without_statistics"],
        f"{cost.parameters(network):,} parameters, {cost.macs(network, shape):,} multiply-adds an image",
        f"forward pass: {milliseconds:.2g} ms an image, in {'bf16' if devices.bf16(settings.run, network) else 'fp32'}",
    ]


def _estimate(settings: Settings) -> str:
    rows = {name: index.plan(name, settings) for name in settings.chapters if name not in NEED_REAL}
    minutes = {name: sum(row["seconds_estimate"] for row in each) / 60 for name, each in rows.items()}
    known = ", ".join(f"{name} {value:.1f}" for name, value in minutes.items() if value)
    return f"estimated minutes: {known}; in all {sum(minutes.values()):.0f}"


def _text(base: str, changes: dict[str, dict[str, Any]], report: list[str]) -> str:
    """The profile file: what differs from the base, with comments."""
    lines = ["# A profile for a network of one's own. What is not said here is as in the base. The network:"]
    lines += [
        *(f"#   {line}" for line in report),
        "",
        f"base = {json.dumps(base)}",
        *_table("teacher", changes.pop("teacher")),
    ]
    half = [0.5] * changes["data"]["channels"]
    lines += [
        "# No file says how the images of its training were normalised: state it, for pixels in [0, 1]; assumed:",
        f"# mean = {half}  # often [0.485, 0.456, 0.406]",
        f"# std = {half}  # often [0.229, 0.224, 0.225]",
    ]
    for name, values in changes.items():
        lines += _table(name, values)
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
