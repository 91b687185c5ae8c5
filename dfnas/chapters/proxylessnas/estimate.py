"""What the ProxylessNAS chapter would cost."""

from typing import Any

from dfnas.chapters import costs
from dfnas.chapters.proxylessnas import experiment, latency
from dfnas.models import cost, mbconv
from dfnas.models.mbconv import Supernet
from dfnas.profiles import Settings, TrainingSettings
from dfnas.search.scratch import searches


def plan(settings: Settings) -> list[dict[str, Any]]:
    """Latencies, warm-ups and searches of the supernet, the paths judged in them, and the trainings of the finds."""
    experiment.check(settings)
    chapter, data, count = settings.proxylessnas, settings.data, len(searches(settings, settings.proxylessnas.scratch))
    held_out = chapter.validation_each * data.classes
    images = settings.synthesis.images - held_out
    judged = chapter.updates * min(chapter.judged_batch, held_out)
    # REINFORCE: forward passes alone. By gradients: two forward passes, and what flows back through one of them.
    judged *= chapter.samples if chapter.update == "reinforce" else 3
    path = _middling(settings)
    each = costs.cost_of(path, settings, chapter.side)
    judging = costs.cost_row(
        f"paths judged x {count}",
        settings,
        iterations=chapter.updates * (chapter.samples if chapter.update == "reinforce" else 3),
        images=judged,
        pieces=min(chapter.judged_batch, held_out),
        macs=judged * each.macs,
        bytes_disk=200 * chapter.updates,
        memory_mb=chapter.judged_batch * each.activations * 4 / 1e6,
    )
    return [
        costs.synthetic_set("synthesis", settings, settings.synthesis),
        _latency(settings, path),
        costs.times(_supernet(f"warm-ups x {count}", settings, path, chapter.warm_up, images), count),
        costs.times(_supernet(f"searches x {count}", settings, path, chapter.search, images), count),
        costs.times(judging, count),
        costs.from_scratch(settings, chapter.scratch, path),
    ]


def supernet(settings: Settings) -> Supernet:
    """The supernet of the ProxylessNAS chapter at full size, on the meta device: shapes without memory."""
    with cost.without_values():
        return experiment.build_supernet(settings)


def _middling(settings: Settings) -> str:
    """An architecture of middling cost: every size of kernel and expansion in turn."""
    space = experiment.space_of(settings)
    return mbconv.to_text([number % len(mbconv.SIZES) for number in range(len(space.blocks))], space)


def _supernet(name: str, settings: Settings, path: str, recipe: TrainingSettings, images: int) -> dict[str, Any]:
    """A stretch of a supernet's training: a path a step, and the teacher's passes where labels are made online."""
    chapter = settings.proxylessnas
    row = costs.train(name, settings, path, recipe, images, chapter.side)
    row["bytes_disk"] = 4 * cost.parameters(supernet(settings))
    if chapter.labels == "online":
        forward = costs.teacher_cost(settings).macs
        row = costs.scaled(row, 1 + forward * row["images"] / row["macs"])
    return row


def _latency(settings: Settings, path: str) -> dict[str, Any]:
    """The measurements of operators and networks, each of which lasts for some calls at least."""
    measured = settings.proxylessnas.latency
    # Two whole passes at least, of a network for each operation and the random ones.
    count = 2 * (len(mbconv.SIZES) + measured.networks) * measured.repeats
    each = costs.cost_of(path, settings, settings.proxylessnas.scratch.side)
    row = costs.cost_row(
        "latency",
        settings,
        iterations=count,
        images=count * measured.batch,
        pieces=1,
        macs=count * measured.batch * each.macs,
        bytes_disk=100 * count / measured.repeats,
        memory_mb=measured.batch * each.activations * 4 / 1e6,
    )
    return row | {"seconds_estimate": max(row["seconds_estimate"], count * latency.ABOUT)}
