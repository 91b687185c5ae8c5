"""Latency of MBConv operators on this machine, and of whole networks as the sum over a table of them.

`python -m dfnas latency` writes such a table to a file; the ProxylessNAS chapter's search can take it for its cost.
"""

import copy
import dataclasses
import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from dfnas import models
from dfnas.errors import UserError
from dfnas.models import mbconv
from dfnas.models.mbconv import Space
from dfnas.profiles import ProxylessSettings, Settings
from dfnas.runtime import devices, machine, seeds, stages
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.files import write_json
from dfnas.runtime.progress import bar
from dfnas.search import scratch

VERSION = 1  # of the stages
FORMAT = 1  # of the file
TABLE = "latency.json"
ABOUT = 2e-4  # seconds that one measurement lasts at least: long ones would be interrupted by other programs


def table(settings: Settings) -> Artefact | Path:
    """The chapter's table: the file that the settings name, else a stage that measures one on this machine.

    Raises
    ------
    UserError
        There is no such file, or it lacks an operator of the chapter's space.
    """
    chapter, _, _ = _chapter(settings)
    if chapter.latency_table:
        path = Path(chapter.latency_table).expanduser()
        costs(read(path), settings)
        return path
    return table_stage(settings)


def table_stage(settings: Settings) -> Artefact:
    """The stage that measures a table on this machine; its key knows of the kind of device, and not of machines."""
    chapter, space, side = _chapter(settings)

    def work(folder: Path) -> None:
        write(folder / TABLE, settings)

    ends = {"classes": settings.data.classes, "channels": settings.data.channels}
    how: dict[str, Any] = {"batch": chapter.latency.batch, "repeats": chapter.latency.repeats}
    how["device"] = devices.device(settings.run).type
    return stages.stage(
        "proxyless-latency", work, {"space": space, "side": side, **ends, **how}, version=VERSION, run=settings.run
    )


def identity(chosen: Artefact | Path) -> Artefact | str:
    """What a stage that reads a table depends on: its stage, or the digest of the file."""
    if isinstance(chosen, Artefact):
        return chosen
    return hashlib.sha256(chosen.read_bytes()).hexdigest()


def write(path: Path, settings: Settings) -> dict[str, Any]:
    """Measure every operator of the chapter's space and write the table, with versions and machine."""
    chapter, _, _ = _chapter(settings)
    times = measure(operators(settings), chapter.latency.batch, chapter.latency.repeats, settings, "operators")
    made = {"format": FORMAT, "unit": "milliseconds", **conditions(settings), "operators": times}
    write_json(path, made)
    return made


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
        made = json.loads(path.read_text())
        rows = {str(name): float(row["median"]) for name, row in made["operators"].items()}
        valid = made["format"] == FORMAT and int(made["batch"]) > 0 and all(0 < t < math.inf for t in rows.values())
    except (ValueError, KeyError, TypeError, AttributeError):
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
        return made["operators"][name]["median"]

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


def operators(settings: Settings) -> dict[str, tuple[nn.Module, tuple[int, int, int]]]:
    """Every operator of the chapter's space with the shape (channels, side, side) of what it is given, by name."""
    _, space, side = _chapter(settings)
    sides, data = space.sides(side), settings.data
    head, tail = _ends(space, side, settings)
    found: dict[str, tuple[nn.Module, tuple[int, int, int]]] = {}
    found[head] = (mbconv.head(space, data.channels), (data.channels, side, side))
    for shape, at in zip(space.blocks, sides, strict=False):
        for operation in range(len(mbconv.SIZES)):
            given = (shape.channels_in, at, at)
            found.setdefault(_name(operation, shape, at), (mbconv.Block(operation, shape), given))
    found[tail] = (mbconv.tail(space, data.classes), (space.widths[-1], sides[-1], sides[-1]))
    return found


def _name(operation: int, shape: mbconv.Shape, side: int) -> str:
    known = mbconv.OPERATIONS[operation]
    return f"{known} {shape.channels_in}>{shape.channels_out} stride {shape.stride} side {side}"


def _ends(space: Space, side: int, settings: Settings) -> tuple[str, str]:
    data = settings.data
    head = f"head {data.channels}>{space.stem}>{space.first} stride {space.stem_stride} side {side}"
    return head, f"tail {space.widths[-1]}>{space.tail}>{data.classes} side {space.sides(side)[-1]}"


def measure(
    items: Mapping[str, tuple[nn.Module, tuple[int, int, int]]],
    batch: int,
    repeats: int,
    settings: Settings,
    what: str,
) -> dict[str, dict[str, float]]:
    """Milliseconds of each module on a batch, in inference: median and quartiles of `repeats` measurements.

    Rounds go over all modules in turn, so that a machine that slows down for a while touches all of them alike.
    """
    timers = {name: _timer(module, shape, batch, settings) for name, (module, shape) in items.items()}
    counts = {}
    for name, timer in timers.items():
        timer.timeit(3)  # warm-up: memory is taken, kernels are chosen
        counts[name] = max(1, math.ceil(ABOUT / timer.timeit(3).median))
    times: dict[str, list[float]] = {name: [] for name in timers}
    for _ in bar(range(repeats), desc=f"latency of {what}", unit="round"):
        for name, timer in timers.items():
            times[name].append(1e3 * timer.timeit(counts[name]).median)
    quartiles = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
    found = {name: torch.tensor(values, dtype=torch.float64).quantile(quartiles) for name, values in times.items()}
    return {name: dict(zip(("low", "median", "high"), values.tolist(), strict=True)) for name, values in found.items()}


def _timer(module: nn.Module, shape: tuple[int, int, int], batch: int, settings: Settings) -> Any:
    """A timer of inference: PyTorch's, which waits for the device."""
    # Its import looks for a CUDA compiler, and warns where there is one but no GPU.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    from torch.utils.benchmark import Timer

    where = devices.device(settings.run)
    module = devices.place(copy.deepcopy(module), where).eval()
    x = torch.randn(batch, *shape, generator=seeds.generator(settings.seed, "latency")).to(where)
    x = x.contiguous(memory_format=torch.channels_last)
    run = dataclasses.replace(settings.run, precision="bf16" if in_bf16(settings) else "fp32")

    @torch.inference_mode()
    def infer() -> Tensor:
        with devices.autocast(run):
            return module(x)

    return Timer("infer()", globals={"infer": infer}, num_threads=torch.get_num_threads())


def networks_stage(measured: Artefact, settings: Settings) -> Artefact:
    """The stage that measures random networks as wholes, beside what a table of this machine predicts.

    Writes networks.json. A table that was brought from elsewhere says nothing about what is measured here.
    """
    chapter, space, side = _chapter(settings)

    def work(folder: Path) -> None:
        write_json(folder / "networks.json", measure_networks(read(measured), settings))

    resolved = {"space": space, "side": side, "latency": chapter.latency, "seed": settings.seed}
    return stages.stage(
        "proxyless-latency-networks", work, resolved, inputs=[measured], version=VERSION, run=settings.run
    )


def measure_networks(made: Mapping[str, Any], settings: Settings) -> dict[str, list[Any]]:
    """Random networks as columns: architecture, predicted and measured milliseconds (with quartiles), multiply-adds."""
    chapter, space, side = _chapter(settings)
    data, generator = settings.data, seeds.generator(settings.seed, "latency networks")
    drawn = [mbconv.random_choices(space, generator) for _ in range(chapter.latency.networks)]
    texts = [mbconv.to_text(choices, space) for choices in drawn]
    shape = (data.channels, side, side)
    items = {text: (models.build(text, data.classes, data.channels, seed=0), shape) for text in texts}
    times = measure(items, made["batch"], chapter.latency.repeats, settings, "networks")
    return {
        "architecture": texts,
        "predicted": [predict(made, choices, settings) for choices in drawn],
        "measured": [times[text]["median"] for text in texts],
        "low": [times[text]["low"] for text in texts],
        "high": [times[text]["high"] for text in texts],
        "macs": [scratch.macs(text, settings, chapter.scratch) for text in texts],
    }


def errors(networks: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """How far predictions lie from measurements, of `measure_networks`.

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
        "spearman_predicted": float(stats.spearmanr(predicted, measured).statistic),
        "spearman_macs": float(stats.spearmanr(macs, measured).statistic),
    }


def _chapter(settings: Settings) -> tuple[ProxylessSettings, Space, int]:
    """The chapter's settings, its space, and the side at which networks are judged."""
    chapter = settings.proxylessnas
    if chapter is None:
        raise UserError(f"profile {settings.profile} has no ProxylessNAS search, so no operators to measure")
    return chapter, Space(**vars(chapter.space)), chapter.scratch.side or settings.data.region
