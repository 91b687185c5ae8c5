"""Architectures judged: trained from scratch on real data and tested on it, beside random ones of like cost.

Without real images to learn from they are trained on the synthetic set, and judged by what is left (`held_out`).
"""

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from dfnas import models
from dfnas.data import origins, presence, sources, splits, synthetic
from dfnas.data import real as real_data
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.errors import UserError
from dfnas.kernels import separable
from dfnas.models import cost
from dfnas.profiles import ScratchSettings, Settings
from dfnas.runtime import devices, processes, seeds, stages
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.files import write_json
from dfnas.synthesis.held_out import held_out, judges
from dfnas.training import evaluation, loop, losses

VERSION = 2


def searches(settings: Settings, scratch: ScratchSettings) -> dict[str, tuple[str, int]]:
    """A search chapter's searches by label, <source>-<seed>: their sources, of those that there are, and seeds."""
    there = origins.names(settings.data, dict(scratch.searches))
    return {
        f"{source}-{seed}": (source, seed)
        for source, count in scratch.searches
        for seed in range(settings.seed, settings.seed + count)
        if source in there
    }


def firsts(settings: Settings, scratch: ScratchSettings) -> dict[str, str]:
    """The label of the first search on each source."""
    return {source: label for label, (source, seed) in searches(settings, scratch).items() if seed == settings.seed}


def write_architectures(folder: Path, texts: Iterable[str], **facts: Any) -> None:
    """What a search, or a draw of random architectures, leaves behind for those who build them."""
    write_json(folder / "architectures.json", {"architectures": list(texts), **facts})


def read_architectures(folder: Path) -> list[str]:
    """The architectures of a search or a draw, in their text form."""
    return json.loads((folder / "architectures.json").read_bytes())["architectures"]


def random_stage(
    name: str,
    settings: Settings,
    scratch: ScratchSettings,
    found: list[Artefact],
    draw: Callable[[torch.Generator], str],
) -> Artefact:
    """The stage that draws random architectures whose cost is like that of the found ones, some for each of these."""

    def work(folder: Path) -> None:
        costs = [macs(read_architectures(search.folder)[0], settings, scratch) for search in found]
        write_architectures(folder, like_cost(draw, costs, settings, scratch), costs=costs)

    depends = {"random": scratch.random, "tolerance": scratch.tolerance, "side": scratch.side, "seed": settings.seed}
    return stages.stage(name, work, depends, inputs=found, version=VERSION)


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
    instead: "Instead | None" = None,
) -> Artefact:
    """The stage that trains architecture `index` of a search or a draw on real data, and tests it."""

    def work(folder: Path) -> None:
        train(folder, read_architectures(search.folder)[index], settings, scratch, seed, dropout, instead)

    # How many trainings there are, and how costs are matched, one training does not know.
    recipe = stages.without(scratch, "seeds", "searches", "random", "tolerance", "alike")
    depends = {"scratch": recipe, "index": index, "seed": seed, "dropout": dropout}
    inputs: list[Artefact | str] = [search]
    if instead is None:
        inputs.append(real_data.digest(settings.data))
    else:
        inputs += [instead.synthetic, instead.teacher.digest]
        depends |= {"temperature": instead.temperature, "data": splits.geometry(settings.data)}
    return stages.stage(name, work, depends, inputs=inputs, version=VERSION, run=settings.run)


@dataclass(frozen=True)
class Instead:
    """What networks learn from where there are no real images to learn from: a synthetic set, by its soft labels."""

    synthetic: Artefact
    teacher: Teacher
    temperature: float


def train(
    folder: Path,
    text: str,
    settings: Settings,
    scratch: ScratchSettings,
    seed: int,
    dropout: float | None = None,
    instead: Instead | None = None,
) -> None:
    """Train an architecture on the real training images and test it; writes model.safetensors and scratch.json.

    `dropout` is that of the chapter's space, which an architecture's text does not hold. What learns from `instead`
    does so out of reach of real images, and is judged by a stage of its own.
    """
    data, temperature = settings.data, 1.0
    if instead is None:
        network, history = _learn(folder, text, real_data.train(data), settings, scratch, seed, dropout, temperature)
        test = sources.judged(real_data.load(data).test, settings, scratch.side)
        judged = {"accuracy": evaluation.accuracy_on(network, test, settings.run)[0]}
    else:
        with splits.no_real_data():
            source = synthetic.load(instead.synthetic.folder, instead.teacher)
            network, history = _learn(folder, text, source, settings, scratch, seed, dropout, instead.temperature)
        judged = {}
    plain, side = models.build(text, data.classes, data.channels), scratch.side or data.region
    facts = {"architecture": text, **judged, "parameters": cost.parameters(plain)}
    facts["macs"] = cost.macs(plain, (data.channels, side, side))
    write_json(folder / "scratch.json", {**facts, "history": vars(history)})
    loop.keep(folder, network)


def _learn(
    folder: Path,
    text: str,
    source: Source,
    settings: Settings,
    scratch: ScratchSettings,
    seed: int,
    dropout: float | None,
    temperature: float,
) -> tuple[nn.Module, loop.History]:
    data = settings.data
    side, where = scratch.side or data.region, devices.device(settings.run)
    auxiliary = scratch.auxiliary_weight > 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = models.build(text, data.classes, data.channels, auxiliary=auxiliary, dropout=dropout)
    sample = sources.sampler(source, scratch.training, settings, seed)
    loss = losses.loss_for(source, temperature, scratch.training.label_smoothing)
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
    return trained, history


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
    teacher: Teacher,
    dropout: float | None = None,
    temperature: float = 1.0,
) -> dict[str, Artefact]:
    """Every training of a search chapter: `seeds` of each source's find, one of each random architecture.

    `artefacts` holds `searches` as `search-<source>-<seed>`, the draw as `random`, and as `synthetic` the set from
    which the networks learn, by soft labels at `temperature`, where nothing can learn from real images.
    """
    calls = {}
    learn = presence.has_train(settings.data)
    instead = None if learn else Instead(artefacts["synthetic"], teacher, temperature)
    make = functools.partial(stage, dropout=dropout, instead=instead)
    for search in searches(settings, scratch):
        for seed in range(settings.seed, settings.seed + scratch.seeds):
            label, given = f"found-{search}-{seed}", artefacts[f"search-{search}"]
            calls[label] = functools.partial(make, f"{chapter}-{label}", settings, scratch, given, 0, seed)
    for index in range(scratch.random):
        label, seed = f"random-{index}", settings.seed + index
        calls[label] = functools.partial(
            make, f"{chapter}-{label}", settings, scratch, artefacts["random"], index, seed
        )
    trained = processes.made(calls, settings.run, "from scratch")
    if instead is not None:
        trained |= held_out(settings, teacher)
        trained["judged"] = judging_stage(f"{chapter}-judged", settings, scratch, trained, teacher)
    return trained


def judging_stage(
    name: str, settings: Settings, scratch: ScratchSettings, trained: dict[str, Artefact], teacher: Teacher
) -> Artefact:
    """The stage that judges what learned from synthetic images: judged.json, by training what `judges` gives."""
    data, auxiliary = settings.data, scratch.auxiliary_weight > 0

    def work(folder: Path) -> None:
        shown = {
            measure: sources.judged(source, settings, scratch.side)
            for measure, source in judges(trained, settings, teacher).items()
        }
        found = {}
        for label, artefact in trained.items():
            if not label.startswith(("found-", "random-")):
                continue
            text = json.loads((artefact.folder / "scratch.json").read_bytes())["architecture"]
            network = separable.quicken(models.build(text, data.classes, data.channels, auxiliary=auxiliary))
            network.load_state_dict(load_file(artefact.folder / "model.safetensors"))
            found[label] = {key: evaluation.accuracy_on(network, part, settings.run)[0] for key, part in shown.items()}
        write_json(folder / "judged.json", found)

    inputs: list[Artefact | str] = [*trained.values(), *real_data.digests(data)]
    return stages.stage(name, work, {"side": scratch.side}, inputs=inputs, version=VERSION, run=settings.run)
