"""Latency of MBConv operators on this machine, and of whole networks as the sum over a table of them.

`python -m dfnas latency` writes such a table to a file; the ProxylessNAS chapter's search can take it for its cost.
"""

import copy
import dataclasses
import hashlib
import itertools
import json
import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy  # brings scipy.stats where it is first asked for, which takes half a second
import torch
from torch import Tensor, nn

from dfnas import models
from dfnas.errors import UserError
from dfnas.models import mbconv
from dfnas.models.chain import random_choices
from dfnas.models.mbconv import Space
from dfnas.profiles import ProxylessSettings, RunSettings, Settings
from dfnas.runtime import devices, machine, seeds, stages
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.files import write_json
from dfnas.runtime.progress import bar
from dfnas.search import scratch

VERSION = 3  # of the stage
FORMAT = 2  # of the file
TABLE, NETWORKS = "latency.json", "networks.json"
ABOUT = 2e-4  # seconds that a chain's measurement lasts at least: long ones would be interrupted by other programs
LIMIT = 0.5  # share by which whole networks may differ in the mean from a table that is believed
TRIES = 3
QUIET = 0.5  # load a core, before, from which on a table says that the machine was busy
EVEN = 1.5  # likewise, of the typical operator, the upper over the lower quartile

Chain = list[tuple[str, nn.Module]]  # parts of a network, by name, in their order


def table(settings: Settings) -> Artefact | Path:
    """The chapter's table: the file that the settings name, else a stage that measures one on this machine.

    Raises
    ------
    UserError
        There is no such file, or it lacks an operator of the chapter's space.
    """
    chapter, _, _ = _chapter(settings)
    if chapter.latency_table:
        path = Path(chapter.latency_table)
        costs(read(path), settings)
        return path
    return table_stage(settings)


def table_stage(settings: Settings) -> Artefact:
    """The stage that measures a table on this machine, and random networks as wholes beside it.

    Writes latency.json and networks.json. Its key knows of the kind of device, and not of machines.
    """
    chapter, space, side = _chapter(settings)

    def work(folder: Path) -> None:
        made, networks = believed(settings)
        write_json(folder / TABLE, made)
        write_json(folder / NETWORKS, networks)

    how: dict[str, Any] = {"classes": settings.data.classes, "channels": settings.data.channels}
    how |= {"latency": chapter.latency, "seed": settings.seed, "device": devices.device(settings.run).type}
    return stages.stage(
        "proxyless-latency", work, {"space": space, "side": side, **how}, version=VERSION, run=settings.run
    )


def identity(chosen: Artefact | Path) -> Artefact | str:
    """What a stage that reads a table depends on: its stage, or the digest of the file."""
    if isinstance(chosen, Artefact):
        return chosen
    return hashlib.sha256(chosen.read_bytes()).hexdigest()


def write(path: Path, settings: Settings) -> dict[str, Any]:
    """Measure every operator of the chapter's space and write the table; raises as `believed` does."""
    made, _ = believed(settings)
    write_json(path, made)
    return made


def believed(settings: Settings) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """A table with versions, machine and its load, and the `measure_table` of the same rounds that it agrees with.

    Raises
    ------
    UserError
        Three times over, whole networks took quite another time than the sum over the table: the machine is busy.
    """
    load = machine.load()
    for _ in range(TRIES):
        made, networks = measure_table(settings)
        if abs(made["bias"]) <= LIMIT:
            made |= {"load": load, "busy": load > QUIET or made["spread"] > EVEN}
            return made, networks
    raise UserError(
        f"the latencies of operators are {made['bias']:+.0%} off what networks take, "
        f"at a load of {machine.load():.1f} a core: measure again when nothing else runs on this machine"
    )


def measure_table(settings: Settings) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """A table, and random networks that were measured in the same rounds, as columns.

    Columns: architecture, predicted and measured milliseconds (with quartiles), multiply-adds. A machine that is
    slower for a while is so for both: what they differ by is what a sum leaves out.
    """
    chapter, _, _ = _chapter(settings)
    drawn = _random_networks(settings)
    times = measure([*chains(settings), *drawn.values()], chapter.latency.batch, settings, "operators and networks")
    rows = {name: row for name, row in times.items() if name not in drawn}
    made = {"format": FORMAT, "unit": "milliseconds", **conditions(settings), "operators": rows}
    networks: dict[str, list[Any]] = {
        "architecture": list(drawn),
        "predicted": [predict(made, mbconv.from_text(text)[0], settings) for text in drawn],
        "measured": [times[text]["low"] for text in drawn],
        "low": [times[text]["low"] for text in drawn],
        "high": [times[text]["high"] for text in drawn],
        "macs": [scratch.macs(text, settings, chapter.scratch) for text in drawn],
    }
    made["bias"] = errors(networks)["bias"]
    made["spread"] = float(np.median([row["high"] / row["low"] for row in rows.values()]))
    return made, networks


def conditions(settings: Settings) -> dict[str, Any]:
    """What a latency depends on beside the network."""
    chapter, _, _ = _chapter(settings)
    return {
        "batch": chapter.latency.batch,
        "repeats": chapter.latency.repeats,
        "threads": torch.get_num_threads(),
        "device": str(devices.device(settings.run)),
        "bf16": in_bf16(settings),
        "machine": machine.description(),
        "versions": machine.versions(),
    }


def in_bf16(settings: Settings) -> bool:
    """Whether networks of the chapter's space run in bf16: then each of their operators does."""
    with torch.device("meta"):
        return devices.bf16(settings.run, mbconv.Block(0, _chapter(settings)[1].blocks[0]))


def read(chosen: Artefact | Path) -> dict[str, Any]:
    """A table from its stage or its file; UserError where it is none."""
    path = chosen.folder / TABLE if isinstance(chosen, Artefact) else chosen
    if not path.is_file():
        raise UserError(f"no latency table at {path}: python -m dfnas latency --out {path} writes one")
    try:
        made = json.loads(path.read_bytes())
        rows = [row["low"] for row in made["operators"].values()]
        valid = made["format"] == FORMAT and int(made["batch"]) > 0 and all(0 < t < math.inf for t in rows)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        valid = False
    if not valid:
        raise UserError(f"{path} is no latency table: python -m dfnas latency --out FILE writes one")
    return made


def costs(made: Mapping[str, Any], settings: Settings) -> tuple[float, tuple[tuple[float, ...], ...]]:
    """Milliseconds of what all networks share, and of each block (rows) by its operation (columns); zero takes none.

    Raises
    ------
    UserError
        An operator that the table lacks.
    """

    def look_up(name: str) -> float:
        if name not in made["operators"]:
            raise UserError(
                f"the latency table has no {name!r}: measure one with python -m dfnas latency for this profile"
            )
        return made["operators"][name]["low"]

    _, space, side = _chapter(settings)
    rows = []
    for shape, at in zip(space.blocks, space.sides(side), strict=False):
        times = [0.0 if k == mbconv.ZERO else look_up(_name(k, shape, at)) for k in range(shape.operations)]
        rows.append(tuple(times))
    head, tail = _ends(space, side, settings)
    return look_up(head) + look_up(tail), tuple(rows)


def predict(made: Mapping[str, Any], choices: Sequence[int], settings: Settings) -> float:
    """Milliseconds of an architecture: the sum over its operators."""
    fixed, rows = costs(made, settings)
    return fixed + sum(row[choice] for row, choice in zip(rows, choices, strict=True))


def chains(settings: Settings) -> list[Chain]:
    """For each operation the network that has it in every block, in parts by name: together all of the space."""
    _, space, side = _chapter(settings)
    (head, tail), data = _ends(space, side, settings), settings.data
    found = []
    for operation in range(len(mbconv.SIZES)):
        blocks = [
            (_name(operation, shape, at), mbconv.Block(operation, shape))
            for shape, at in zip(space.blocks, space.sides(side), strict=False)
        ]
        first, last = (head, mbconv.head(space, data.channels)), (tail, mbconv.tail(space, data.classes))
        found.append([first, *blocks, last])
    return found


def _name(operation: int, shape: mbconv.Shape, side: int) -> str:
    known = mbconv.OPERATIONS[operation]
    return f"{known} {shape.channels_in}>{shape.channels_out} stride {shape.stride} side {side}"


def _ends(space: Space, side: int, settings: Settings) -> tuple[str, str]:
    data = settings.data
    head = f"head {data.channels}>{space.stem}>{space.first} stride {space.stem_stride} side {side}"
    return head, f"tail {space.widths[-1]}>{space.tail}>{data.classes} side {space.sides(side)[-1]}"


def measure(items: Sequence[Chain], batch: int, settings: Settings, what: str) -> dict[str, dict[str, float]]:
    """`timings` of the chapter's networks and operators, on a batch at the side that networks are judged at."""
    chapter, _, side = _chapter(settings)
    run = dataclasses.replace(settings.run, precision="bf16" if in_bf16(settings) else "fp32")
    x = torch.randn(batch, settings.data.channels, side, side, generator=seeds.generator(settings.seed, "latency"))
    return timings(items, x, chapter.latency.repeats, run, what)


def timings(
    items: Sequence[Chain], x: Tensor, repeats: int, run: RunSettings, what: str
) -> dict[str, dict[str, float]]:
    """Milliseconds of each part of the chains on a batch `x`, in inference: quartiles of `repeats` measurements.

    A chain is parts with names, a network that is not taken apart has one. Each part is measured in its place: its
    input is what the part before has just computed, and what else lies in the caches is what lies there in a network.
    Other programs can only make it slower, so the lower quartile is what counts ("low"). Rounds go over all chains in
    turn, so that a machine that slows down for a while touches all of them alike.
    """
    where, times = devices.device(run), defaultdict(list)
    x = x.to(where).contiguous(memory_format=torch.channels_last)
    placed = [[(name, devices.place(copy.deepcopy(part), where).eval()) for name, part in chain] for chain in items]
    laps = []
    for chain in placed:
        for _ in range(3):  # warm-up: memory is taken, kernels are chosen
            whole = sum(_lap(chain, x, run))
        laps.append(max(1, math.ceil(1e3 * ABOUT / whole)))
    for _ in bar(range(repeats), desc=f"latency of {what}", unit="round"):
        for chain, count in zip(placed, laps, strict=True):
            _lap(chain, x, run)  # what ran before is another chain
            rounds = [_lap(chain, x, run) for _ in range(count)]
            for (name, _), values in zip(chain, zip(*rounds, strict=True), strict=True):
                times[name].append(sum(values) / count)
    quartiles = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
    found = {name: torch.tensor(values, dtype=torch.float64).quantile(quartiles) for name, values in times.items()}
    return {name: dict(zip(("low", "median", "high"), values.tolist(), strict=True)) for name, values in found.items()}


@torch.inference_mode()
def _lap(chain: Chain, x: Tensor, run: RunSettings) -> list[float]:
    """Milliseconds of each part of a chain, one after the other."""
    marks = [_mark(x.device)]
    with devices.autocast(run):
        for _, part in chain:
            x = part(x)
            marks.append(_mark(x.device))
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
        return [first.elapsed_time(then) for first, then in itertools.pairwise(marks)]
    return [1e3 * (then - first) for first, then in itertools.pairwise(marks)]


def _mark(where: torch.device) -> Any:
    """A point in time: of the clock, or on a GPU, which computes behind our back, of its own queue of work."""
    if where.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _random_networks(settings: Settings) -> dict[str, Chain]:
    """Random networks of the space by their texts, each as a chain of one part."""
    chapter, space, _ = _chapter(settings)
    data, generator = settings.data, seeds.generator(settings.seed, "latency networks")
    drawn = [random_choices(space.options, generator) for _ in range(chapter.latency.networks)]
    texts = [mbconv.to_text(choices, space) for choices in drawn]
    return {text: [(text, models.build(text, data.classes, data.channels, seed=0))] for text in texts}


def errors(networks: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """How far predictions lie from measurements, the columns of `measure_table`.

    `error` is the mean of |predicted - measured| / measured, `bias` that of the signed quotient; `spread` is `error`
    when all predictions are first scaled to the right mean. `spearman_predicted` and `spearman_macs` are rank
    correlations of prediction, and of multiply-adds, with measured latency.
    """
    predicted, measured, macs = (np.asarray(networks[name], float) for name in ("predicted", "measured", "macs"))
    scaled = predicted * measured.mean() / predicted.mean()
    return {
        "error": float((abs(predicted - measured) / measured).mean()),
        "bias": float(((predicted - measured) / measured).mean()),
        "spread": float((abs(scaled - measured) / measured).mean()),
        "spearman_predicted": float(scipy.stats.spearmanr(predicted, measured).statistic),
        "spearman_macs": float(scipy.stats.spearmanr(macs, measured).statistic),
    }


def _chapter(settings: Settings) -> tuple[ProxylessSettings, Space, int]:
    """The chapter's settings, its space, and the side at which networks are judged."""
    chapter = settings.proxylessnas
    if chapter is None:
        raise UserError(f"profile {settings.profile} has no ProxylessNAS search, so no operators to measure")
    return chapter, Space(**vars(chapter.space)), chapter.scratch.side or settings.data.region
