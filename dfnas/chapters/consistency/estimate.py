"""What the consistency chapter would cost."""

from typing import Any

from dfnas.chapters import costs, spos
from dfnas.chapters import spos as spos_plan
from dfnas.chapters.consistency import experiment
from dfnas.models import cost, shufflenet
from dfnas.models import darts as cells
from dfnas.profiles import Settings


def plan(settings: Settings) -> list[dict[str, Any]]:
    """The trainings from scratch on each source, and the forward passes of paths through supernets."""
    experiment.check(settings)
    chapter = settings.consistency
    planned = [costs.synthetic_set("synthesis", settings, settings.synthesis)]
    if chapter.architectures:
        text = cells.to_text(cells.DARTS_V2, cells.Size(chapter.channels, chapter.cells))  # of middling cost
        for arm in experiment.ARMS:
            real = experiment.source_of(arm) == "real"
            images = costs.real_images(settings) if real else settings.synthesis.images
            row = costs.train(
                f"{arm} x {chapter.architectures}", settings, text, chapter.training, images, chapter.side
            )
            # A network of a few cells is trained by one device, and the others train other ones.
            planned.append(costs.times(row, chapter.architectures) | {"pieces": chapter.architectures})
    if chapter.candidates:
        supernets = next(row for row in spos_plan.plan(settings) if row["stage"].startswith("supernets"))
        # The SPOS chapter plans three; one more is trained for the ceiling.
        several = {**costs.times(supernets, len(experiment.ARMS)), "stage": f"supernets x {len(experiment.ARMS)}"}
        planned += [costs.scaled(several, 1 / 3), _judgements(settings)]
    return planned


def _judgements(settings: Settings) -> dict[str, Any]:
    chapter, paths, data = settings.consistency, settings.spos, settings.data
    space, side = spos.space_of(settings), paths.side or data.region
    path = tuple(index % len(shufflenet.CHOICES) for index in range(len(space.blocks)))  # of middling cost
    held_out = paths.validation_each * data.classes
    each = paths.recalibration * paths.search.batch + held_out + chapter.validation_images
    judged = len(experiment.ARMS) * chapter.candidates
    text = shufflenet.to_text(path, space)
    values = cost.activations(costs.meta_network(text, settings), (data.channels, side, side))
    return costs.cost_row(
        f"judging x {judged}",
        settings,
        iterations=judged,
        images=judged * each,
        pieces=1,
        macs=judged * each * shufflenet.macs(space, path, side, data.classes, data.channels),
        bytes_disk=200 * judged,
        memory_mb=paths.search.batch * values * 4 / 1e6,
    )
