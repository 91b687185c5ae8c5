"""What the pruning chapter would cost."""

from typing import Any

from dfnas.chapters import costs
from dfnas.chapters.pruning import networks
from dfnas.models import cost, pruning
from dfnas.models.pruning import Encoding
from dfnas.models.pruning_net import HIDDEN, PruningNet
from dfnas.profiles import PruningSettings, Settings


def plan(settings: Settings) -> list[dict[str, Any]]:
    """The PruningNets, the candidates' forward passes, and a row for the trainings of each window."""
    networks.check(settings)
    chapter, space = settings.pruning, networks.space_of(settings)
    even = [pruning.uniform(space, lambda e: networks.macs(settings, e), sum(window) / 2) for window in chapter.windows]
    rows = [costs.synthetic_set("synthesis", settings, settings.synthesis), _nets(settings, chapter)]
    rows.append(_searches(settings, chapter, even))
    learnt, each = settings.synthesis.images, (len(networks.sources_of(settings)) + 1) * chapter.seeds + chapter.random
    for number, encoding in enumerate(even):
        text, name = pruning.to_text(encoding, space), f"window {number + 1} x {each}"
        rows.append(costs.times(_training(name, text, settings, chapter, learnt), each))
    full = pruning.to_text((pruning.FULL,) * space.genes, space)
    rows.append(costs.times(_training(f"full x {chapter.seeds}", full, settings, chapter, learnt), chapter.seeds))
    return rows


def _nets(settings: Settings, chapter: PruningSettings) -> dict[str, Any]:
    """A random encoding costs about what the one in the middle does, and every value of a weight its own row."""
    space, data, count = networks.space_of(settings), settings.data, len(networks.sources_of(settings))
    middle = pruning.to_text((pruning.FULL // 2,) * space.genes, space)
    learnt = settings.synthesis.images - chapter.validation_each * data.classes
    row = costs.train(f"PruningNets x {count}", settings, middle, chapter.search, learnt, chapter.side)
    with cost.without_values():
        net = PruningNet(space, data.classes, data.channels)
    weights = HIDDEN * pruning.parameters(space, (pruning.FULL // 2,) * space.genes, data.classes, data.channels)
    row |= {"bytes_disk": 4 * cost.parameters(net), "macs": row["macs"] + 3 * weights * row["iterations"]}
    row["memory_mb"] += 12 * cost.parameters(net) / 1e6  # weights, gradients, momentum
    row = _with_teacher(row, settings, chapter)
    return costs.times(row, count)


def _searches(settings: Settings, chapter: PruningSettings, even: list[Encoding]) -> dict[str, Any]:
    space, data, side = networks.space_of(settings), settings.data, networks.side_of(settings)
    held_out = chapter.validation_each * data.classes
    images = held_out + min(chapter.recalibration * chapter.search.batch, settings.synthesis.images - held_out)
    candidates = len(networks.sources_of(settings)) * chapter.evolution.population * (chapter.evolution.generations + 1)
    middle = costs.cost_of(pruning.to_text(even[0], space), settings, side)
    return costs.cost_row(
        f"evolution x {len(networks.sources_of(settings))} x {len(even)}",
        settings,
        iterations=candidates * len(even),
        images=candidates * images * len(even),
        pieces=chapter.evolution.population,
        macs=sum(candidates * images * networks.macs(settings, encoding) for encoding in even),
        bytes_disk=200 * candidates * len(even),
        memory_mb=chapter.search.batch * middle.activations * 4 / 1e6,
    )


def _training(name: str, text: str, settings: Settings, chapter: PruningSettings, images: int) -> dict[str, Any]:
    row = costs.train(name, settings, text, chapter.training, images, chapter.side)
    return _with_teacher(row, settings, chapter)


def _with_teacher(row: dict[str, Any], settings: Settings, chapter: PruningSettings) -> dict[str, Any]:
    """A row with the teacher's passes, where its labels are made online."""
    if chapter.labels != "online":
        return row
    forward = costs.teacher_cost(settings).macs
    return costs.scaled(row, 1 + forward * row["images"] / row["macs"])
