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
from torch import Tensor

from dfnas.chapters import costs
from dfnas.data import real as real_data
from dfnas.data import sources, synthetic
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.data.teachers import load as load_teacher
from dfnas.kernels.total_variation import total_variation
from dfnas.profiles import DataSettings, RunSettings, Settings, SynthesisSettings, rules
from dfnas.runtime import processes, stages, statistics
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.files import write_json
from dfnas.synthesis import inversion, moments, sets
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


# The synthesis chapter's last section: the objective with one part left out or replaced.
ABLATIONS: dict[str, dict[str, Any]] = {
    "complete": {},
    "no batch-norm statistics": {"batch_norm_weight": 0.0},
    "no total variation": {"total_variation_l2": 0.0},
    "no cross-entropy": {"cross_entropy_weight": 0.0},
    "whole canvas": {"update": "whole"},
}


def small_set(settings: Settings) -> SynthesisSettings:
    """The settings of the ablations' sets, of one round; raises UserError where there is no such set."""
    small = dataclasses.replace(settings.synthesis, images=settings.evaluation.ablation_images, rounds=1)
    rules.check_synthesis(small, settings.data, "evaluation.ablation_images")
    return small


def compute(settings: Settings) -> dict[str, Artefact]:
    """The chapter's stages: the set, students trained on it, a verifier trained on real data, ablations, measures.

    The artefacts by name: `synthesis`, `student-<seed>`, `verifier`, `ablation-<name>`, `evaluation`.
    """
    teacher = load_teacher(settings)
    small = small_set(settings)
    artefacts = {"synthesis": sets.set_stage("synthesis", settings, teacher, settings.synthesis)}
    calls: dict[str, Callable[[], Artefact]] = {}
    for seed in range(settings.seed, settings.seed + settings.student.seeds):
        label, common = f"student-{seed}", (settings, teacher, settings.student, artefacts["synthesis"])
        calls[label] = functools.partial(students.set_stage, label, *common, seed)
    calls["verifier"] = functools.partial(students.verifier_stage, settings)
    artefacts |= processes.made(calls, settings.run, "students")
    for name, changes in ABLATIONS.items():
        variant = dataclasses.replace(small, **changes)
        artefacts[f"ablation-{name}"] = sets.set_stage(f"ablation-{name.replace(' ', '-')}", settings, teacher, variant)
    artefacts["evaluation"] = stages.stage(
        "synthesis-evaluation",
        lambda folder: _evaluate(folder, settings, teacher, artefacts),
        {"batch": settings.synthesis.batch},
        inputs=[*artefacts.values(), real_data.digest(settings.data)],
        version=VERSION,
        run=settings.run,
    )
    return artefacts


def plan(settings: Settings) -> list[dict[str, Any]]:
    """The synthetic set, what judges it, and small sets with a term left out."""
    small = small_set(settings)
    students_row = costs.student(
        f"students x {settings.student.seeds}", settings, settings.student, settings.synthesis.images
    )
    return [
        costs.synthetic_set("synthesis", settings, settings.synthesis),
        costs.times(students_row, settings.student.seeds),
        costs.verifier(settings),
        costs.times(costs.synthetic_set(f"ablations x {len(ABLATIONS)}", settings, small), len(ABLATIONS)),
    ]


def _evaluate(folder: Path, settings: Settings, teacher: Teacher, artefacts: dict[str, Artefact]) -> None:
    """Figures of merit, on real data where they need it: evaluation.json."""
    real, data = real_data.load(settings.data), settings.data
    verifier = students.read(artefacts["verifier"].folder, settings, settings.evaluation.verifier_network)

    def merits(source: Source) -> dict[str, Any]:
        source = sources.judged(source, settings)
        logits = evaluation.predict(verifier, source.under(real.train), settings.run)
        hits, images = (logits.argmax(1) == source.classes.cpu()).double(), source.images[:].cpu()
        return {
            "verifier_accuracy": float(hits.mean()),
            "verifier_accuracy_by_class": [float(hits[source.classes.cpu() == k].mean()) for k in range(data.classes)],
            "batch_norm_distance": batch_norm_distance(teacher, images, settings.synthesis.batch, settings.run),
            "roughness": roughness(images),
        }

    sets = {name: synthetic.load(artefacts[name].folder, teacher) for name in ("synthesis", *map(_ablated, ABLATIONS))}
    test = real.test.under(teacher)
    accuracies = [
        students.accuracy(artefact.folder, settings, settings.student, test)
        for name, artefact in artefacts.items()
        if name.startswith("student-")
    ]
    write_json(
        folder / "evaluation.json",
        {
            "student_accuracies": accuracies,
            "digest": synthetic.digest(artefacts["synthesis"].folder),
            "synthetic": merits(sets["synthesis"]),
            "real": merits(real.validation),
            "ablations": {name: merits(sets[_ablated(name)]) for name in ABLATIONS},
        },
    )


def _ablated(name: str) -> str:
    return f"ablation-{name}"


@torch.no_grad()
def batch_norm_distance(teacher: Teacher, images: Tensor, batch: int, run: RunSettings) -> float:
    """The batch-norm term of uint8 images [N, C, s, s], mean over batches of `batch`, on whose size it depends."""
    values = []
    with moments.BatchNormDistance(teacher.network) as distance:
        for part in images[: max(batch, len(images) // batch * batch)].split(batch):
            distance.start()
            evaluation.answers(teacher, part, run, batch)
            values.append(distance.total())
    return float(torch.stack(values).mean())


def roughness(images: Tensor) -> float:
    """The mean absolute difference between neighbouring pixels of uint8 images, in grey levels, four directions."""
    return float(total_variation(images.float())[1]) / 4


def metrics(results: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """For the record, of evaluation.json: the students' accuracy, and the merits of each set of images."""
    student, by_class = settings.student, results["synthetic"]["verifier_accuracy_by_class"]
    found: dict[str, Any] = {
        "rounds": settings.synthesis.rounds,
        "student_accuracy": statistics.summary(results["student_accuracies"]),
        "verifier_network": settings.evaluation.verifier_network,
        "verifier_lowest": min(by_class),
        "verifier_lowest_class": real_data.class_names(settings.data)[by_class.index(min(by_class))],
    }
    found |= {f"student_{name}": getattr(student, name) for name in ("network", "labels", "mixing")}
    judged = {"": results["synthetic"], "_real": results["real"]}
    judged |= {"_" + name.replace(" ", "_").replace("-", "_"): merits for name, merits in results["ablations"].items()}
    for suffix, merits in judged.items():
        for measure in ("verifier_accuracy", "batch_norm_distance", "roughness"):
            found[measure + suffix] = merits[measure]
    return found
