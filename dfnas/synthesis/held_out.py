"""What judges a network: real test images, and the teacher's word on synthetic images that nothing learned from."""

import dataclasses
from collections.abc import Mapping

from dfnas.data import presence, sources, synthetic
from dfnas.data import real as real_data
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.profiles import Settings, SynthesisSettings
from dfnas.runtime.artefacts import Artefact
from dfnas.synthesis import sets
from dfnas.training import evaluation

NAME = "held-out"
APART = 1000  # between the seed of a run and that of its held-out set
WORDS = {
    "accuracy": "accuracy on real test images",
    "agreement": "agreement with the teacher on held-out synthetic images",
}


def held_out(settings: Settings, teacher: Teacher) -> dict[str, Artefact]:
    """The stage of a small set that nothing learns from, by name; none where networks learn from real images.

    It is made as the synthetic set is, from another seed. Where there are real images to learn from, others judge.
    """
    if presence.has_train(settings.data):
        return {}
    apart = dataclasses.replace(settings, seed=settings.seed + APART)
    return {NAME: sets.set_stage("synthesis-held-out", apart, teacher, smaller(settings))}


def smaller(settings: Settings) -> SynthesisSettings:
    """The settings of the held-out set: as many slots as a variant of the synthesis chapter has, in all rounds kept."""
    chosen = settings.synthesis
    rounds = chosen.rounds if chosen.keep_rounds == "all" else 1
    return dataclasses.replace(chosen, images=settings.evaluation.ablation_images * rounds)


def judges(artefacts: Mapping[str, Artefact], settings: Settings, teacher: Teacher) -> dict[str, Source]:
    """What a network of synthetic images is judged on, by what comes out: its accuracy, its agreement, or both.

    accuracy: real test images, with their classes. agreement: the held-out set, where there is one, each image with the
    class that the teacher gives it: what counts is to say what the teacher says.
    """
    found: dict[str, Source] = {}
    if presence.has_test(settings.data):
        found["accuracy"] = real_data.load(settings.data).test.under(teacher)
    if NAME in artefacts:
        shown = sources.judged(synthetic.load(artefacts[NAME].folder, teacher), settings)
        classes = evaluation.answers(teacher, shown.images, settings.run).argmax(1).to(shown.classes.device)
        found["agreement"] = dataclasses.replace(shown, targets=classes, classes=classes)
    return found


def shown(settings: Settings) -> str:
    """What figures show of `judges`: the accuracy where there is one, else the agreement."""
    return "accuracy" if presence.has_test(settings.data) else "agreement"
