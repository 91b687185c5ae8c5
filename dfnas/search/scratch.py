"""Architectures judged: trained from scratch on real data and tested on it, beside random ones of like cost."""

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dfnas import models
from dfnas.data import origins, sources
from dfnas.data import real as real_data
from dfnas.errors import UserError
from dfnas.kernels import separable
from dfnas.models import cost
from dfnas.profiles import ScratchSettings, Settings
from dfnas.runtime import devices, processes, seeds, stages, statistics
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.files import write_json
from dfnas.training import evaluation, loop, losses

VERSION = 2
COMPARED = (("synthetic", "real"), ("synthetic", "noise"), ("real", "noise"))  # finds, paired by seed
Arms = Mapping[str, Mapping[str, list[Any]]]  # arm, column: a value a training


def write_architectures(folder: Path, texts: Iterable[str], **facts: Any) -> None:
    """What a search, or a draw of random architectures, leaves behind for those who build them."""
    write_json(folder / "architectures.json", {"architectures": list(texts), **facts})


def read_architectures(folder: Path) -> list[str]:
    """The architectures of a search or a draw, in their text form."""
    return json.loads((folder / "architectures.json").read_text())["architectures"]


def random_stage(
    name: str,
    settings: Settings,
    scratch: ScratchSettings,
    searches: list[Artefact],
    draw: Callable[[torch.Generator], str],
) -> Artefact:
    """The stage that draws random architectures whose cost is like that of the found ones, some for each of these."""

    def work(folder: Path) -> None:
        costs = [macs(read_architectures(search.folder)[0], settings, scratch) for search in searches]
        write_architectures(folder, like_cost(draw, costs, settings, scratch), costs=costs)

    depends = {"random": scratch.random, "tolerance": scratch.tolerance, "side": scratch.side, "seed": settings.seed}
    return stages.stage(name, work, depends, inputs=searches, version=VERSION)


def like_cost(
    draw: Callable[[torch.Generator], str], costs: Sequence[float], settings: Settings, scratch: ScratchSettings
) -> list[str]:
    """`scratch.random` different architectures, in equal shares of about each of the `costs` in multiply-adds.

    They differ from it by `scratch.tolerance` at most, else they are the nearest of a thousand draws. One that lies
    near several costs counts for the nearest whose share is not full; the first costs get what does not divide.
    """
    generator = seeds.generator(settings.seed, "random architectures")
    shares = [len(range(index, scratch.random, len(costs))) for index in range(len(costs))]
    chosen: list[list[str]] = [[] for _ in costs]
    spare: dict[str, int] = {}
    seen: set[str] = set()
    for _ in range(1000):
        text = draw(generator)
        if text in seen:
            continue
        seen.add(text)
        value = macs(text, settings, scratch)
        far = [abs(value / cost - 1) for cost in costs]
        fitting = [i for i in range(len(costs)) if far[i] <= scratch.tolerance and len(chosen[i]) < shares[i]]
        if fitting:
            chosen[min(fitting, key=far.__getitem__)].append(text)
        else:
            spare[text] = value
        if sum(map(len, chosen)) == scratch.random:
            break
    for texts, share, goal in zip(chosen, shares, costs, strict=True):
        nearest = sorted((abs(value / goal - 1), text) for text, value in spare.items())[: share - len(texts)]
        texts += [text for _, text in nearest]
        spare = {text: value for text, value in spare.items() if text not in texts}
    if len(seen) < scratch.random:
        raise UserError(f"the space holds {len(seen)} architectures, and {scratch.random} random ones are asked for")
    return [text for texts in chosen for text in texts]


def macs(text: str, settings: Settings, scratch: ScratchSettings) -> int:
    """Multiply-adds of an architecture on one image, at the side that it is judged at."""
    data = settings.data
    side = scratch.side or data.region
    with torch.device("meta"):
        network = models.build(text, data.classes, data.channels)
    return cost.macs(network, (data.channels, side, side))


def stage(
    name: str,
    settings: Settings,
    scratch: ScratchSettings,
    search: Artefact,
    index: int,
    seed: int,
    dropout: float | None = None,
) -> Artefact:
    """The stage that trains architecture `index` of a search or a draw on real data, and tests it."""

    def work(folder: Path) -> None:
        train(folder, read_architectures(search.folder)[index], settings, scratch, seed, dropout)

    # How many trainings there are, and how costs are matched, one training does not know.
    depends = {"scratch": stages.without(scratch, "seeds", "random", "tolerance"), "index": index, "seed": seed}
    depends["dropout"] = dropout
    return stages.stage(
        name, work, depends, inputs=[search, real_data.digest(settings.data)], version=VERSION, run=settings.run
    )


def train(
    folder: Path,
    text: str,
    settings: Settings,
    scratch: ScratchSettings,
    seed: int,
    dropout: float | None = None,
) -> None:
    """Train an architecture on the real training images; writes model.safetensors and scratch.json.

    `dropout` is that of the chapter's space, which an architecture's text does not hold.
    """
    data, source = settings.data, real_data.train(settings.data)
    side, where = scratch.side or data.region, devices.device(settings.run)
    auxiliary = scratch.auxiliary_weight > 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = models.build(text, data.classes, data.channels, auxiliary=auxiliary, dropout=dropout)
    sample = sources.sampler(source, scratch.training, settings, seed)
    loss = losses.hard_loss(scratch.training.label_smoothing)
    trained, history = loop.train(
        separable.quicken(network),
        sample,
        losses.auxiliary_loss(loss, scratch.auxiliary_weight) if auxiliary else loss,
        scratch.training,
        settings.run,
        steps=loop.steps_of(scratch.training, len(source)),
        side=side,
        folder=folder,
        companion=DropPath(network, scratch.drop_path),
        seed=seed,
        description=f"from scratch {seed}",
    )
    if scratch.recalibration:
        inputs = (sample(step, side)[0].to(where) for step in range(scratch.recalibration))
        evaluation.recalibrate(trained, inputs, settings.run)
    test = sources.judged(real_data.load(data).test, settings, side)
    accuracy, _ = evaluation.accuracy_on(trained, test, settings.run)
    plain = models.build(text, data.classes, data.channels)
    facts = {"architecture": text, "accuracy": accuracy, "parameters": cost.parameters(plain)}
    facts["macs"] = cost.macs(plain, (data.channels, side, side))
    write_json(folder / "scratch.json", {**facts, "history": vars(history)})
    loop.keep(folder, trained)


class DropPath(loop.Stateless):
    """The companion that raises a network's drop-path rate from 0 to `rate`, linearly (DARTS paper, section 3.2)."""

    def __init__(self, network: nn.Module, rate: float) -> None:
        self.network, self.rate = network, rate

    def before(self, step: int, steps: int, rate: float, optimiser: torch.optim.Optimizer) -> None:
        if self.rate:
            self.network.drop_path = self.rate * step / steps  # type: ignore[assignment]


def band(
    settings: Settings,
    scratch: ScratchSettings,
    chapter: str,
    artefacts: Mapping[str, Artefact],
    dropout: float | None = None,
) -> dict[str, Artefact]:
    """Every training of a search chapter: `seeds` of each source's find, one of each random architecture.

    `made` holds the searches as `search-<source>` and the draw as `random`.
    """
    calls = {}
    make = functools.partial(stage, dropout=dropout)
    for source in origins.NAMES:
        for seed in range(settings.seed, settings.seed + scratch.seeds):
            label, search = f"found-{source}-{seed}", artefacts[f"search-{source}"]
            calls[label] = functools.partial(make, f"{chapter}-{label}", settings, scratch, search, 0, seed)
    for index in range(scratch.random):
        label, seed = f"random-{index}", settings.seed + index
        calls[label] = functools.partial(
            make, f"{chapter}-{label}", settings, scratch, artefacts["random"], index, seed
        )
    return processes.made(calls, settings.run, "from scratch")


def results(trained: Mapping[str, Artefact]) -> dict[str, dict[str, list[Any]]]:
    """Accuracies, multiply-adds, parameters and texts by arm: found_on_<source> (a value a seed) and random (all)."""
    arms: dict[str, dict[str, list[Any]]] = {}
    for label, artefact in trained.items():
        if not label.startswith(("found-", "random-")):
            continue
        kind, _, rest = label.partition("-")
        arm = "random" if kind == "random" else f"found_on_{rest.rpartition('-')[0]}"
        facts = json.loads((artefact.folder / "scratch.json").read_text())
        columns = arms.setdefault(arm, {"accuracy": [], "macs": [], "parameters": [], "architecture": []})
        for column, values in columns.items():
            values.append(facts[column])
    return arms


def compared(arms: Arms, tolerance: float) -> dict[str, Mapping[str, list[Any]]]:
    """The finds of `results`, and of the random ones those that each is compared with: `random_for_<source>`.

    `random` is `random_for_synthetic`; in `results` it is all of them.
    """
    finds = {arm: values for arm, values in arms.items() if arm != "random"}
    alike = {f"random_for_{name}": _alike(arms, name, tolerance) for name in origins.NAMES}
    return {**finds, "random": alike["random_for_synthetic"], **alike}


def _alike(arms: Arms, name: str, tolerance: float) -> dict[str, list[Any]]:
    """The random ones whose multiply-adds differ from a find's by `tolerance` at most, and the nearest where few do.

    There are as many as were drawn for it at least, and two, which a spread needs.
    """
    pool, goal = arms["random"], statistics.mean(arms[f"found_on_{name}"]["macs"])
    far = [abs(value / goal - 1) for value in pool["macs"]]
    count = max(2, len(far) // len(origins.NAMES), sum(value <= tolerance for value in far))
    rows = sorted(sorted(range(len(far)), key=far.__getitem__)[:count])
    return {column: [values[row] for row in rows] for column, values in pool.items()}


def worth(arms: Arms) -> dict[str, Any]:
    """For a record, of each arm: accuracy with its spread, and mean multiply-adds and parameters.

    The spread is over finds where an arm has several searches, else over the trainings of its one find.
    """
    found: dict[str, Any] = {}
    for arm, values in arms.items():
        found[arm] = statistics.summary(repeats(values))
        found |= {f"{arm}_{column}": statistics.mean(values[column]) for column in ("macs", "parameters")}
    return found


def by_search(values: Mapping[str, list[Any]]) -> list[list[float]]:
    """An arm's accuracies, a list a search: `search` says whose find was trained; without it there was one search."""
    searches = values.get("search", [0] * len(values["accuracy"]))
    pairs = list(zip(searches, values["accuracy"], strict=True))
    return [[accuracy for search, accuracy in pairs if search == each] for each in dict.fromkeys(searches)]


def repeats(values: Mapping[str, list[Any]]) -> list[float]:
    """What an arm's interval is over: a mean for each search; of one search alone, its find's trainings."""
    finds = by_search(values)
    return finds[0] if len(finds) == 1 else [statistics.mean(find) for find in finds]


def differences(arms: Arms) -> dict[str, Any]:
    """For a record, in points: each two sources' finds, and each source's finds and random ones of its cost.

    Intervals are over searches, and over random architectures. Where one of two sources was searched once, finds are
    paired by the seed of training, and the interval is that of these two finds alone. `searches_<source>` are counts,
    `arms` those of `compared`.
    """
    finds = {name: by_search(arms[f"found_on_{name}"]) for name in origins.NAMES}
    ours = {name: repeats(arms[f"found_on_{name}"]) for name in origins.NAMES}
    found: dict[str, Any] = {f"searches_{name}": len(each) for name, each in finds.items()}
    for one, other in COMPARED:
        several = min(len(finds[one]), len(finds[other])) > 1
        pair = (ours[one], ours[other]) if several else (finds[one][0], finds[other][0])
        between = statistics.difference if several else statistics.paired_difference
        found[f"difference_{one}_{other}"] = between(*pair).scaled(100)
    for name, values in ours.items():
        random = arms[f"random_for_{name}"]["accuracy"]
        found[f"difference_{name}_random"] = statistics.difference(values, random).scaled(100)
    return found


def ahead_of(arms: Arms, name: str) -> int:
    """How many of the random architectures of its cost a source's find is ahead of in the mean; `arms`: `compared`."""
    mean = statistics.mean(arms[f"found_on_{name}"]["accuracy"])
    return sum(value < mean for value in arms[f"random_for_{name}"]["accuracy"])
