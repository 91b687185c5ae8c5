"""Chapter 2, synthesis: a set of images out of a teacher, round by round, with recursively calibrated labels.

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

from dfnas import batches, datasets, distributed, inversion, parallel, stages, students, synthetic, training
from dfnas.errors import UserError
from dfnas.profiles import DataSettings, RunSettings, Settings, SynthesisSettings
from dfnas.progress import bar
from dfnas.teacher import Teacher
from dfnas.teacher import load as load_teacher

VERSION = 2
COMPILE_FROM = 8  # batches: a smaller set is made before compiling has paid


def synthesise(
    folder: Path, teacher: Teacher, settings: SynthesisSettings, data: DataSettings, run: RunSettings, seed: int
) -> None:
    """Write the shards of a whole set to `folder`; batches that are there already are kept.

    Several processes share out the slot batches; each of these is made by one process, round after round.

    Raises
    ------
    UserError
        Settings that do not fit together, or a shard that cannot be read.
    """
    check(settings, data)
    folder, count = distributed.common(folder), batch_count(settings) * settings.rounds
    progress = bar(total=count * settings.batch, desc="synthesis", unit="image")
    run = dataclasses.replace(run, compile=run.compile and count >= COMPILE_FROM)

    def done(batch: int) -> bool:  # where only the last round is kept, the early ones may be gone already
        rounds = range(settings.rounds - 1 if settings.keep_rounds == "last" else 0, settings.rounds)
        return all(synthetic.shard_path(folder, number, batch).exists() for number in rounds)

    with datasets.no_real_data(), inversion.Inversion(teacher, settings, data, run) as inverter:
        for batch in distributed.share(range(batch_count(settings)), done, folder):
            carried: Tensor | None = None
            for number in range(settings.rounds):
                path = synthetic.shard_path(folder, number, batch)
                if path.exists():
                    carried = synthetic.read(path).logits
                    continue
                shard = make_shard(inverter, number, batch, carried, seed)
                synthetic.write(folder, shard, seed, stages.digest([settings, data, seed])[:16])
                carried = shard.logits
                stages.save_time()
                progress.n = settings.batch * len(list(folder.glob("round-*.safetensors")))  # by all processes
                progress.set_postfix(round=number, cross_entropy=f"{float(shard.terms[-1, 0]):.3f}")
    progress.close()
    if settings.keep_rounds == "last" and distributed.rank() == 0:
        _drop_early_rounds(folder, settings)


def make_shard(
    inverter: inversion.Inverter, number: int, batch: int, carried: Tensor | None, seed: int
) -> synthetic.Shard:
    """One batch of one round: a pure function of (configuration, seed, round, batch) and of the carried logits."""
    settings, data = inverter.settings, inverter.data
    slots = slot_classes(settings, data, seed, batch)
    targets = slots if number == 0 else carried
    if targets is None:
        raise ValueError("rounds after the first need the logits of the round before")
    canvas, terms = inversion.invert(inverter, targets, seed, number, batch)
    images = batches.from_input(canvas, inverter.teacher.mean, inverter.teacher.std).cpu()
    logits = label(inverter, images, seed, number, batch)
    return synthetic.Shard(images, logits, slots, terms, number, batch)


def slot_classes(settings: SynthesisSettings, data: DataSettings, seed: int, batch: int) -> Tensor:
    """The classes int64 [B] of a batch's slots: permutations of all classes, end to end, cut into batches.

    So each class comes up once in every K slots: 25 times in CIFAR-10's 250, once in ImageNet's twenty batches of 50.
    """
    first, last = batch * settings.batch, (batch + 1) * settings.batch
    passes = range(first // data.classes, (last - 1) // data.classes + 1)
    order = torch.cat(
        [torch.randperm(data.classes, generator=batches.generator(seed, "slots", number)) for number in passes]
    )
    start = first - passes[0] * data.classes
    return order[start : start + settings.batch]


def label(inverter: inversion.Inverter, images: Tensor, seed: int, number: int, batch: int) -> Tensor:
    """The teacher's logits float16 [B, K] on finished, quantised images, in the view that `label_view` names.

    center: the central region. mean_crops:k: the mean over k random regions. last_crop: the region of the last
    iteration, mirrored if it was (what the paper's code stores; kept for comparison).
    """
    settings, region = inverter.settings, inverter.data.region
    view, _, count = settings.label_view.partition(":")
    if view == "center":
        crops = [batches.center_crop(images, region)]
    elif view == "mean_crops":
        random = batches.generator(seed, f"labels {number}", batch)
        crops = [batches.random_crop(images, region, False, random) for _ in range(int(count or 4))]
    else:
        last = len(settings.stages) - 1
        offsets, flips = inversion.draws(settings, inverter.data, last, seed, number, batch)
        crops = [inversion.see(images, offsets[-1].tolist(), bool(flips[-1]), region, "region")]
    teacher, run = inverter.teacher, inverter.run
    views = [training.predict(teacher.network, crop, run, mean=teacher.mean, std=teacher.std) for crop in crops]
    return torch.stack(views).mean(0).half()


def batch_count(settings: SynthesisSettings) -> int:
    """Slot batches of a set; each is made once a round."""
    kept = settings.rounds if settings.keep_rounds == "all" else 1
    return max(1, settings.images // (settings.batch * kept))


def check(settings: SynthesisSettings, data: DataSettings) -> None:
    """Refuse settings that do not fit together, before anything is computed.

    Raises
    ------
    UserError
        With the field that is wrong and the values that it can take.
    """
    views = ("center", "last_crop", "mean_crops")
    choices = {
        "keep_rounds": (settings.keep_rounds, ("all", "last")),
        "update": (settings.update, ("region", "jitter", "whole")),
        "flip": (settings.flip, ("random", "always", "never")),
        "label_view": (settings.label_view.partition(":")[0], views),
    }
    for name, (value, known) in choices.items():
        if value not in known:
            raise UserError(f"synthesis.{name}={value!r}: there are {', '.join(known)}")
    if len(settings.learning_rates) != len(settings.stages):
        raise UserError("synthesis.learning_rates must give one rate for each of synthesis.stages")
    for scale, iterations, kind in settings.stages:
        if kind not in ("pool", "grow") or iterations < 1 or scale < 1 or data.canvas % scale or data.region % scale:
            raise UserError(
                f"synthesis.stages: ({scale}, {iterations}, {kind!r}) is no stage of canvas {data.canvas} and "
                f"region {data.region}: write (a scale that divides both, iterations, 'pool' or 'grow')"
            )
    kept = settings.rounds if settings.keep_rounds == "all" else 1
    if settings.batch < 1 or settings.rounds < 1 or settings.images % (settings.batch * kept):
        raise UserError(
            f"synthesis.images={settings.images} is no multiple of batch x rounds kept = {settings.batch} x {kept}"
        )


def _drop_early_rounds(folder: Path, settings: SynthesisSettings) -> None:
    for number in range(settings.rounds - 1):
        for batch in range(batch_count(settings)):
            synthetic.shard_path(folder, number, batch).unlink(missing_ok=True)


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


# Chapter 2's last section: the objective with one part left out or replaced.
ABLATIONS: dict[str, dict[str, Any]] = {
    "complete": {},
    "no batch-norm statistics": {"batch_norm_weight": 0.0},
    "no total variation": {"total_variation_l2": 0.0},
    "no cross-entropy": {"cross_entropy_weight": 0.0},
    "whole canvas": {"update": "whole"},
}


def compute(settings: Settings) -> dict[str, stages.Artefact]:
    """Chapter 2's stages: the set, students trained on it, a verifier trained on real data, ablations, measures.

    The artefacts by name: `synthesis`, `student-<seed>`, `verifier`, `ablation-<name>`, `evaluation`.
    """
    teacher = load_teacher(settings)
    small = dataclasses.replace(settings.synthesis, images=settings.evaluation.ablation_images, rounds=1)
    for chosen in (settings.synthesis, small):
        check(chosen, settings.data)
    students.check(settings.student)
    made = {"synthesis": set_stage("synthesis", settings, teacher, settings.synthesis)}
    calls: dict[str, Callable[[], stages.Artefact]] = {}
    for seed in range(settings.seed, settings.seed + settings.student.seeds):
        label, common = f"student-{seed}", (settings, teacher, settings.student, made["synthesis"])
        calls[label] = functools.partial(students.set_stage, label, *common, seed)
    calls["verifier"] = functools.partial(students.verifier_stage, settings)
    made |= parallel.made(calls, settings.run, "students")
    for name, changes in ABLATIONS.items():
        variant = dataclasses.replace(small, **changes)
        made[f"ablation-{name}"] = set_stage(f"ablation-{name.replace(' ', '-')}", settings, teacher, variant)
    made["evaluation"] = stages.stage(
        "synthesis-evaluation",
        lambda folder: _evaluate(folder, settings, teacher, made),
        {"batch": settings.synthesis.batch},
        inputs=[*made.values(), datasets.digest(settings.data)],
        version=VERSION,
    )
    return made


def set_stage(name: str, settings: Settings, teacher: Teacher, synthesis: SynthesisSettings) -> stages.Artefact:
    """The stage that makes a set under `synthesis`."""
    data = settings.data
    return stages.stage(
        name,
        lambda folder: synthesise(folder, teacher, synthesis, data, settings.run, settings.seed),
        {"synthesis": synthesis, "data": datasets.geometry(data), "seed": settings.seed},
        inputs=[teacher.digest],
        version=VERSION,
    )


def _evaluate(folder: Path, settings: Settings, teacher: Teacher, made: dict[str, stages.Artefact]) -> None:
    """Figures of merit, on real data where they need it: evaluation.json."""
    real, data = datasets.load(settings.data), settings.data
    verifier = students.read(made["verifier"].folder, settings, settings.evaluation.verifier_network)

    def merits(images: Tensor, classes: Tensor) -> dict[str, Any]:
        seen = batches.center_crop(images, data.region).contiguous()
        logits = training.predict(verifier, seen, settings.run, mean=real.mean, std=real.std)
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
    with inversion.BatchNormDistance(teacher.network) as distance:
        for part in images[: max(batch, len(images) // batch * batch)].split(batch):
            distance.start()
            training.predict(teacher.network, part, run, mean=teacher.mean, std=teacher.std, batch=batch)
            values.append(distance.total())
    return float(torch.stack(values).mean())


def roughness(images: Tensor) -> float:
    """The mean absolute difference between neighbouring pixels of uint8 images, in grey levels, four directions."""
    return float(inversion.total_variation(images.float())[1]) / 4
