"""What the consistency chapter would cost."""

from typing import Any

from dfnas.chapters import costs, spos
from dfnas.chapters.consistency import experiment
from dfnas.models import darts as cells
from dfnas.models import shufflenet
from dfnas.profiles import Settings

REAL = sum(experiment.source_of(arm) == "real" for arm in experiment.ARMS)


def plan(settings: Settings) -> list[dict[str, Any]]:
    """The trainings from scratch on each source, and the forward passes of paths through supernets."""
    experiment.check(settings)
    chapter = settings.consistency
    planned = [costs.synthetic_set("synthesis", settings, settings.synthesis)]
    if chapter.architectures:
        text = cells.to_text(cells.DARTS_V2, cells.Size(chapter.channels, chapter.cells))  # of middling cost
        for arm in experiment.trained(settings):
            real = experiment.source_of(arm) == "real"
            kept = settings.synthesis.images - round(chapter.held_out * settings.synthesis.images)
            images = costs.real_images(settings) if real else kept
            row = costs.train(
                f"{arm} x {chapter.architectures}", settings, text, chapter.training, images, chapter.side
            )
            # A network of a few cells is trained by one device, and the others train other ones.
            planned.append(costs.times(row, chapter.architectures) | {"pieces": chapter.architectures})
    if chapter.candidates:
        # Two on real data, the second for the ceiling; those without are the SPOS chapter's.
        images = costs.real_images(settings) if chapter.whole_real else settings.synthesis.images
        count = REAL * chapter.supernets
        planned.append(spos.supernets_row(f"supernets of real data x {count}", settings, count, 0, images))
        others, images = (len(experiment.ARMS) - REAL) * chapter.supernets, settings.synthesis.images
        planned.append(spos.supernets_row(f"other supernets x {others}", settings, 0, others, images))
        planned.append(_judgements(settings))
    return planned


def _judgements(settings: Settings) -> dict[str, Any]:
    chapter, paths, data = settings.consistency, settings.spos, settings.data
    space, side = spos.space_of(settings), paths.side or data.region
    path = tuple(index % len(shufflenet.CHOICES) for index in range(len(space.blocks)))  # of middling cost
    held_out = paths.validation_each * data.classes
    each = paths.recalibration * paths.search.batch + held_out + chapter.validation_images
    judged = len(experiment.ARMS) * chapter.supernets * chapter.candidates
    text = shufflenet.to_text(path, space)
    return costs.cost_row(
        f"judging x {judged}",
        settings,
        iterations=judged,
        images=judged * each,
        pieces=1,
        macs=judged * each * shufflenet.macs(space, path, side, data.classes, data.channels),
        bytes_disk=200 * judged,
        memory_mb=paths.search.batch * costs.cost_of(text, settings, side).activations * 4 / 1e6,
    )
