"""What the truth chapter would cost."""

from typing import Any

from dfnas.chapters import costs
from dfnas.chapters.truth import experiment
from dfnas.models import nasbench
from dfnas.profiles import Settings, TrainingSettings
from dfnas.search import tables

MIDDLING = {"cell": (3, 1, 2, 1, 3, 4), "chain": (1, 2, 0, 1, 2, 0, 1, 2)}  # of about a space's mean cost
MIXTURE = 4 * 5 / 3  # all operations are about four such cells; the parameters take two passes beside the three


def plan(settings: Settings) -> list[dict[str, Any]]:
    """The supernets and what they are asked, the trainings from scratch, and the searches by gradients."""
    space, chapter = experiment.check(settings), settings.truth
    text = nasbench.network_text(space, nasbench.to_text(space, MIDDLING[space.kind]))
    each = {name: experiment.seeds_of(settings, name) for name in experiment.SOURCES}
    nets, searched = sum(each.values()), sum(each[name] for name in experiment.SEARCHED)
    count, learnt = settings.synthesis.images, round((1 - chapter.held_out) * settings.synthesis.images)

    def training(name: str, recipe: TrainingSettings, images: int, times: int) -> dict[str, Any]:
        return costs.times(costs.train(f"{name} x {times}", settings, text, recipe, images, chapter.side), times)

    rows = [costs.synthetic_set("synthesis", settings, settings.synthesis)]
    if tables.given(settings) is None:
        rows.append(training("the table", chapter.full, costs.real_images(settings), chapter.trained))
    trainings = len(experiment.SCRATCH) * min(chapter.scratch_architectures, _judged(settings))
    return [
        *rows,
        training("supernets", chapter.training, learnt, nets) | {"pieces": nets},
        _judgements(text, nets, searched, settings),
        costs.scaled(training("DARTS", chapter.darts.search, count // 2, searched), MIXTURE) | {"pieces": searched},
        training("from scratch", chapter.scratch, learnt, trainings) | {"pieces": trainings},
    ]


def _judged(settings: Settings) -> int:
    chapter, table = settings.truth, tables.given(settings)
    known = len(tables.read(table).rows) if table else chapter.trained
    return min(chapter.architectures or known, known)


def _judgements(text: str, nets: int, searched: int, settings: Settings) -> dict[str, Any]:
    """What supernets are asked, at most, by the table and by searches; the scores without training are as much."""
    chapter, count = settings.truth, settings.synthesis.images
    network, held_out = costs.cost_of(text, settings, chapter.side), round(chapter.held_out * count)
    evolved = chapter.evolution.population * (chapter.evolution.generations + 1)
    drawn = chapter.reinforce.updates * chapter.reinforce.samples
    asked = (nets + 2) * _judged(settings) + searched * (evolved + drawn)
    each = min(chapter.recalibration * chapter.training.batch, count - held_out) + held_out
    return costs.cost_row(
        f"judging x {asked}",
        settings,
        iterations=asked,
        images=asked * each,
        pieces=nets,
        macs=asked * each * network.macs,
        bytes_disk=200 * asked,
        memory_mb=chapter.training.batch * network.activations * 4 / 1e6,
    )
