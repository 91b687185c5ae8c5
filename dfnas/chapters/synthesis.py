"""Synthesis: a set of images out of a teacher, round by round, with recursively calibrated labels.

Round 0 asks for classes. Each later round redraws the canvases of the same slots and asks for the logits that the
teacher gave to the slot's previous image: only these logits are carried (as in the authors' code).
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dfnas.chapters import costs
from dfnas.data import real as real_data
from dfnas.data import synthetic
from dfnas.data.images import center_crop
from dfnas.data.teachers import Teacher
from dfnas.data.teachers import load as load_teacher
from dfnas.kernels.total_variation import total_variation
from dfnas.profiles import DataSettings, RunSettings, Settings, SynthesisSettings
from dfnas.runtime import processes, stages
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


def compute(settings: Settings) -> dict[str, stages.Artefact]:
    """The chapter's stages: the set, students trained on it, a verifier trained on real data, ablations, measures.

    The artefacts by name: `synthesis`, `student-<seed>`, `verifier`, `ablation-<name>`, `evaluation`.
    """
    teacher = load_teacher(settings)
    small = dataclasses.replace(settings.synthesis, images=settings.evaluation.ablation_images, rounds=1)
    for chosen in (settings.synthesis, small):
        sets.check(chosen, settings.data)
    students.check(settings.student)
    made = {"synthesis": sets.set_stage("synthesis", settings, teacher, settings.synthesis)}
    calls: dict[str, Callable[[], stages.Artefact]] = {}
    for seed in range(settings.seed, settings.seed + settings.student.seeds):
        label, common = f"student-{seed}", (settings, teacher, settings.student, made["synthesis"])
        calls[label] = functools.partial(students.set_stage, label, *common, seed)
    calls["verifier"] = functools.partial(students.verifier_stage, settings)
    made |= processes.made(calls, settings.run, "students")
    for name, changes in ABLATIONS.items():
        variant = dataclasses.replace(small, **changes)
        made[f"ablation-{name}"] = sets.set_stage(f"ablation-{name.replace(' ', '-')}", settings, teacher, variant)
    made["evaluation"] = stages.stage(
        "synthesis-evaluation",
        lambda folder: _evaluate(folder, settings, teacher, made),
        {"batch": settings.synthesis.batch},
        inputs=[*made.values(), real_data.digest(settings.data)],
        version=VERSION,
    )
    return made


def plan(settings: Settings) -> list[dict[str, Any]]:
    """The synthetic set, what judges it, and small sets with a term left out."""
    small = dataclasses.replace(settings.synthesis, images=settings.evaluation.ablation_images, rounds=1)
    students_row = costs.student(
        f"students x {settings.student.seeds}", settings, settings.student, settings.synthesis.images
    )
    return [
        costs.synthetic_set("synthesis", settings, settings.synthesis),
        costs.times(students_row, settings.student.seeds),
        costs.verifier(settings),
        costs.times(costs.synthetic_set(f"ablations x {len(ABLATIONS)}", settings, small), len(ABLATIONS)),
    ]


def _evaluate(folder: Path, settings: Settings, teacher: Teacher, made: dict[str, stages.Artefact]) -> None:
    """Figures of merit, on real data where they need it: evaluation.json."""
    real, data = real_data.load(settings.data), settings.data
    verifier = students.read(made["verifier"].folder, settings, settings.evaluation.verifier_network)

    def merits(images: Tensor, classes: Tensor) -> dict[str, Any]:
        seen = center_crop(images, data.region).contiguous()
        logits = evaluation.predict(verifier, seen, settings.run, mean=real.mean, std=real.std)
        hits = (logits.argmax(1) == classes).double()
        return {
            "verifier_accuracy": float(hits.mean()),
            "verifier_accuracy_by_class": [float(hits[classes == k].mean()) for k in range(data.classes)],
            "batch_norm_distance": batch_norm_distance(teacher, seen, settings.synthesis.batch, settings.run),
            "roughness": roughness(seen),
        }

    whole = synthetic.load(made["synthesis"].folder)
    accuracies = [
        students.test_accuracy(artefact.folder, settings, settings.student, real, teacher.mean, teacher.std)
        for name, artefact in made.items()
        if name.startswith("student-")
    ]
    stages.write_json(
        folder / "evaluation.json",
        {
            "student_accuracies": accuracies,
            "digest": synthetic.digest(whole),
            "synthetic": merits(whole.images, whole.slot_class),
            "real": merits(real.validation.images, real.validation.labels),
            "ablations": {
                name: merits(part.images, part.slot_class)
                for name in ABLATIONS
                for part in [synthetic.load(made[f"ablation-{name}"].folder)]
            },
        },
    )


@torch.no_grad()
def batch_norm_distance(teacher: Teacher, images: Tensor, batch: int, run: RunSettings) -> float:
    """The batch-norm term of uint8 images [N, C, s, s], mean over batches of `batch`, on whose size it depends."""
    values = []
    with moments.BatchNormDistance(teacher.network) as distance:
        for part in images[: max(batch, len(images) // batch * batch)].split(batch):
            distance.start()
            evaluation.predict(teacher.network, part, run, mean=teacher.mean, std=teacher.std, batch=batch)
            values.append(distance.total())
    return float(torch.stack(values).mean())


def roughness(images: Tensor) -> float:
    """The mean absolute difference between neighbouring pixels of uint8 images, in grey levels, four directions."""
    return float(total_variation(images.float())[1]) / 4
