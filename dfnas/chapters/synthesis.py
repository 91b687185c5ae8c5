"""Synthesis: a set of images out of a teacher, round by round, with recursively calibrated labels.

Round 0 asks for classes. Each later round redraws the canvases of the same slots and asks for the logits that the
teacher gave to the slot's previous image: only these logits are carried (as in the authors' code).
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dfnas.chapters import costs, exports, frames
from dfnas.data import presence, sources, synthetic
from dfnas.data import real as real_data
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.data.teachers import load as load_teacher
from dfnas.kernels.total_variation import total_variation
from dfnas.profiles import DataSettings, RunSettings, Settings, SynthesisSettings, rules
from dfnas.runtime import processes, stages, statistics
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.files import write_json
from dfnas.synthesis import inversion, moments, sets
from dfnas.synthesis.held_out import held_out, judges
from dfnas.synthesis.sets import VERSION
from dfnas.training import evaluation, students


def update_counts(settings: SynthesisSettings, data: DataSettings, seed: int, number: int, batch: int) -> Tensor:
    """How often each canvas pixel [S, S] was inside the region, over the full-resolution iterations of one batch."""
    counts = torch.zeros(data.canvas, data.canvas, dtype=torch.int64)
    for stage, (scale, _, _) in enumerate(settings.stages):
        if scale == 1:
            for top, left in inversion.draws(settings, data, stage, seed, number, batch)[0].tolist():
                counts[top : top + data.region, left : left + data.region] += 1
    return counts


def expected_update_counts(settings: SynthesisSettings, data: DataSettings) -> Tensor:
    """The expectation [S, S] of `update_counts`: iterations x p(row) x p(column) (equation `eq-updates`)."""
    span, position = data.canvas - data.region, torch.arange(data.canvas)
    covering = position.clamp(max=span) - (position - data.region + 1).clamp(min=0) + 1
    share = covering.double() / (span + 1)
    iterations = sum(count for scale, count, _ in settings.stages if scale == 1)
    return iterations * share[:, None] * share[None, :]


# What leaves a term of the objective out.
TERMS: dict[str, dict[str, Any]] = {
    "batch-norm statistics": {"batch_norm_weight": 0.0},
    "total variation": {"total_variation_l2": 0.0},
    "cross-entropy": {"cross_entropy_weight": 0.0},
}
# The synthesis chapter's last section: the objective with one part left out or replaced.
ABLATIONS: dict[str, dict[str, Any]] = {
    "complete": {},
    **{f"no {name}": changes for name, changes in TERMS.items()},
    "whole canvas": {"update": "whole"},
}
FEW = 2000  # images of a set among which neighbours are looked for

COLUMNS = {"accuracy": "student_accuracies", "agreement": "student_agreements"}  # of the evaluation, by measure


def small_set(settings: Settings) -> SynthesisSettings:
    """The settings of the ablations' sets, of one round; raises UserError where there is no such set."""
    small = dataclasses.replace(settings.synthesis, images=settings.evaluation.ablation_images, rounds=1)
    rules.whole_batches(small.images, 1, small.batch, "evaluation.ablation_images")
    return small


def compute(settings: Settings) -> dict[str, Artefact]:
    """The chapter's stages: the set, students trained on it, a verifier trained on real data, ablations, measures.

    The artefacts by name: `synthesis`, `student-<seed>`, `verifier`, `ablation-<name>`, `evaluation`, `frames`,
    `export`. Without real training images there is `held-out` instead of `verifier`.
    """
    teacher = load_teacher(settings)
    small = small_set(settings)
    artefacts = {"synthesis": sets.set_stage("synthesis", settings, teacher, settings.synthesis)}
    calls: dict[str, Callable[[], Artefact]] = {}
    for seed in range(settings.seed, settings.seed + settings.student.seeds):
        label, common = f"student-{seed}", (settings, teacher, settings.student, artefacts["synthesis"])
        calls[label] = functools.partial(students.set_stage, label, *common, seed)
    if presence.has_train(settings.data):
        calls["verifier"] = functools.partial(students.verifier_stage, settings)
    artefacts |= processes.made(calls, settings.run, "students") | held_out(settings, teacher)
    for name, changes in ABLATIONS.items():
        variant = dataclasses.replace(small, **changes)
        artefacts[f"ablation-{name}"] = sets.set_stage(f"ablation-{name.replace(' ', '-')}", settings, teacher, variant)
    artefacts["evaluation"] = stages.stage(
        "synthesis-evaluation",
        lambda folder: _evaluate(folder, settings, teacher, artefacts),
        {"batch": settings.synthesis.batch},
        inputs=[*artefacts.values(), *real_data.digests(settings.data)],
        version=VERSION,
        run=settings.run,
    )
    artefacts["frames"] = frames.stage(settings, teacher, small, TERMS)
    artefacts["export"] = exports.set_stage(artefacts["synthesis"], settings, teacher)
    return artefacts


def plan(settings: Settings) -> list[dict[str, Any]]:
    """The synthetic set, what judges it, and small sets with a term left out."""
    small = small_set(settings)
    batch, ways = dataclasses.replace(small, images=small.batch), len(frames.variants_of(TERMS))
    students_row = costs.student(
        f"students x {settings.student.seeds}", settings, settings.student, settings.synthesis.images
    )
    return [
        costs.synthetic_set("synthesis", settings, settings.synthesis),
        costs.times(students_row, settings.student.seeds),
        costs.verifier(settings) if presence.has_train(settings.data) else costs.held_out(settings),
        costs.times(costs.synthetic_set(f"ablations x {len(ABLATIONS)}", settings, small), len(ABLATIONS)),
        costs.times(costs.synthetic_set(f"frames x {ways}", settings, batch), ways),
    ]


def _evaluate(folder: Path, settings: Settings, teacher: Teacher, artefacts: dict[str, Artefact]) -> None:
    """Figures of merit, those that need real data where there is some: evaluation.json."""
    learn = presence.has_train(settings.data)

    def merits(source: Source) -> dict[str, Any]:
        source = sources.judged(source, settings)
        images = source.images[:].cpu()
        return (_verified(source, settings, artefacts["verifier"]) if learn else {}) | {
            "batch_norm_distance": batch_norm_distance(teacher, images, settings.synthesis.batch, settings.run),
            "roughness": roughness(images),
        }

    sets = {name: synthetic.load(artefacts[name].folder, teacher) for name in ("synthesis", *map(_ablated, ABLATIONS))}
    folders = [artefact.folder for name, artefact in artefacts.items() if name.startswith("student-")]
    results: dict[str, Any] = {
        COLUMNS[measure]: [students.accuracy(each, settings, settings.student, source) for each in folders]
        for measure, source in judges(artefacts, settings, teacher).items()
    }
    results |= {"digest": synthetic.digest(artefacts["synthesis"].folder), "synthetic": merits(sets["synthesis"])}
    if presence.has_test(settings.data):
        real = real_data.load(settings.data)
        results["real"] = merits(real.validation if learn else real.test)
    results["ablations"] = {name: merits(sets[_ablated(name)]) for name in ABLATIONS}
    write_json(folder / "evaluation.json", results)


def _verified(source: Source, settings: Settings, artefact: Artefact) -> dict[str, Any]:
    """How often the verifier gives images the class that they were made for, in all and by class."""
    verifier = students.read(artefact.folder, settings, settings.evaluation.verifier_network)
    normalised, classes = source.under(real_data.load(settings.data).train), source.classes.cpu()
    hits = (evaluation.predict(verifier, normalised, settings.run).argmax(1) == classes).double()
    return {
        "verifier_accuracy": float(hits.mean()),
        "verifier_accuracy_by_class": [float(hits[classes == k].mean()) for k in range(settings.data.classes)],
    }


def _ablated(name: str) -> str:
    return f"ablation-{name}"


def neighbours(
    teacher: Teacher, settings: Settings, sets: Mapping[str, Source], shown: int = 6, each: int = 3
) -> list[tuple[str, dict[str, Tensor], dict[str, list[str]]]]:
    """Rows for figures.Row: an image of the first of `sets` for each class, and the nearest to it in each set.

    Nearest by the cosine between the teacher's features of the central regions, among FEW images of a set.
    """
    few = {
        name: sources.judged(part.select(sources.balanced(part.classes, FEW, settings.data.classes, 0)), settings)
        for name, part in sets.items()
    }
    features = {
        name: F.normalize(evaluation.features(teacher, part.images, settings.run)) for name, part in few.items()
    }
    first, names = next(iter(sets)), real_data.class_names(settings.data)
    rows = []
    for k in few[first].classes.unique()[:shown].tolist():
        one = int((few[first].classes == k).nonzero()[0])
        row, words = {"image": few[first].images[one : one + 1].cpu()}, dict[str, list[str]]()
        for name, part in few.items():
            closeness = features[name] @ features[first][one]
            nearest = [i for i in closeness.argsort(descending=True).tolist() if name != first or i != one][:each]
            row[f"nearest {name}"] = part.select(torch.tensor(nearest)).images[:].cpu()
            words[f"nearest {name}"] = [names[c] for c in part.classes[nearest].tolist()]
        rows.append((names[k], row, words))
    return rows


@torch.no_grad()
def batch_norm_distance(teacher: Teacher, images: Tensor, batch: int, run: RunSettings) -> float:
    """The batch-norm term of uint8 images [N, C, s, s], mean over batches of `batch`, on whose size it depends.

    Of a teacher without statistics, the distance from a natural spectrum in its place.
    """
    values = []
    with moments.distance_of(teacher.network) as distance:
        for part in images[: max(batch, len(images) // batch * batch)].split(batch):
            distance.start()
            evaluation.answers(teacher, part, run, batch)
            values.append(distance.total())
    return float(torch.stack(values).mean())


def roughness(images: Tensor) -> float:
    """The mean absolute difference between neighbouring pixels of uint8 images, in grey levels, four directions."""
    return float(total_variation(images.float())[1]) / 4


def metrics(results: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """For the record, of evaluation.json: the students' accuracy, and the merits of each set of images.

    What needs real images is not in it where there were none.
    """
    found: dict[str, Any] = {"rounds": settings.synthesis.rounds}
    found |= {f"student_{name}": statistics.summary(results[c]) for name, c in COLUMNS.items() if c in results}
    if "verifier_accuracy" in results["synthetic"]:
        by_class = results["synthetic"]["verifier_accuracy_by_class"]
        found |= {"verifier_network": settings.evaluation.verifier_network, "verifier_lowest": min(by_class)}
        found["verifier_lowest_class"] = real_data.class_names(settings.data)[by_class.index(min(by_class))]
    found |= {f"student_{name}": getattr(settings.student, name) for name in ("network", "labels", "mixing")}
    judged = {"": results["synthetic"]} | ({"_real": results["real"]} if "real" in results else {})
    judged |= {"_" + name.replace(" ", "_").replace("-", "_"): merits for name, merits in results["ablations"].items()}
    for suffix, merits in judged.items():
        for measure in ("verifier_accuracy", "batch_norm_distance", "roughness"):
            if measure in merits:
                found[measure + suffix] = merits[measure]
    return found
