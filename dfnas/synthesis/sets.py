"""Synthetic sets: made batch by batch and round by round, out of a teacher, with recursively calibrated labels.

Round 0 asks for classes. Each later round redraws the canvases of the same slots and asks for the logits that the
teacher gave to the slot's previous image: only these logits are carried (as in the authors' code).
"""

import dataclasses
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dfnas.data import real as real_data
from dfnas.data import splits, synthetic
from dfnas.data.images import center_crop, from_input, random_crop
from dfnas.data.origins import NAMES, Origin, names
from dfnas.data.teachers import Teacher
from dfnas.errors import UserError
from dfnas.kernels import image_update
from dfnas.profiles import DataSettings, RunSettings, Settings, SynthesisSettings
from dfnas.runtime import distributed, seeds, stages
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.progress import bar
from dfnas.synthesis import controls, inversion
from dfnas.training import evaluation

VERSION = 3
COMPILE_FROM = 8  # batches: a smaller set is made before compiling has paid


def origins_of(settings: Settings, teacher: Teacher, among: Iterable[str] = NAMES) -> dict[str, Origin]:
    """Where those of `origins.NAMES` come from, by name, which there are: stages that are asked for, or real data."""
    count = settings.synthesis.images
    made: dict[str, Callable[[], Artefact | str]] = {
        "synthetic": lambda: set_stage("synthesis", settings, teacher, settings.synthesis),
        "real": lambda: _real_digest(settings),
        "real_soft": lambda: controls.soft_labels_stage(settings, teacher),
        "control": lambda: controls.control_stage(settings, teacher, count),
        "noise": lambda: controls.noise_stage(settings, teacher, count),
    }
    return {name: Origin(name, made[name]()) for name in names(settings.data, among)}


def _real_digest(settings: Settings) -> str:
    whole = real_data.digest(settings.data)  # and what draws a subset of it, which not every stage's key has
    return stages.digest([whole, settings.seed]) if settings.synthesis.images and settings.seed else whole


def synthesise(
    folder: Path, teacher: Teacher, settings: SynthesisSettings, data: DataSettings, run: RunSettings, seed: int
) -> None:
    """Write the shards of a whole set to `folder`; batches that are there already are kept.

    Several processes share out the slot batches; each of these is made by one process, round after round.

    Raises
    ------
    UserError
        A shard that cannot be read.
    """
    folder, count = distributed.common(folder), batch_count(settings) * settings.rounds
    progress = bar(total=count * settings.batch, desc="synthesis", unit="image")
    run = dataclasses.replace(run, compile=run.compile and count >= COMPILE_FROM)

    def done(batch: int) -> bool:  # where only the last round is kept, the early ones may be gone already
        rounds = range(settings.rounds - 1 if settings.keep_rounds == "last" else 0, settings.rounds)
        return all(synthetic.shard_path(folder, number, batch).exists() for number in rounds)

    with splits.no_real_data(), inversion.Inversion(teacher, settings, data, run) as inverter:
        for batch in distributed.share(range(batch_count(settings)), done, folder):
            carried: Tensor | None = None
            for number in range(settings.rounds):
                path = synthetic.shard_path(folder, number, batch)
                if path.exists():
                    carried = synthetic.read(path).logits
                    continue
                shard = make_shard(inverter, number, batch, carried, seed)
                synthetic.write(folder, shard, seed, stages.digest([settings, splits.geometry(data), seed])[:16])
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
    images = from_input(canvas, inverter.teacher.mean, inverter.teacher.std).cpu()
    logits = label(inverter, images, seed, number, batch)
    _check_finite(terms, logits, number, batch)
    return synthetic.Shard(images, logits, slots, terms, number, batch)


def _check_finite(terms: Tensor, logits: Tensor, number: int, batch: int) -> None:
    """Refuse a batch whose objective or labels are not finite; it would give black images, and count as finished."""
    where = f"synthesis, round {number}, batch {batch}"
    bad = (~torch.isfinite(terms)).nonzero()
    if len(bad):
        iteration, term = bad[0].tolist()
        raise UserError(
            f"{where}: {inversion.TERMS[term]} is {float(terms[iteration, term])} at iteration {iteration}: lower "
            "synthesis.learning_rates or the term's weight, or take run.precision=fp32"
        )
    if not torch.isfinite(logits).all():
        raise UserError(f"{where}: logits beyond ±65504, the largest of half precision: scale the teacher's last layer")


def slot_classes(settings: SynthesisSettings, data: DataSettings, seed: int, batch: int) -> Tensor:
    """The classes int64 [B] of a batch's slots: permutations of all classes, end to end, cut into batches.

    So each class comes up once in every K slots: 25 times in CIFAR-10's 250, once in ImageNet's twenty batches of 50.
    """
    first, last = batch * settings.batch, (batch + 1) * settings.batch
    passes = range(first // data.classes, (last - 1) // data.classes + 1)
    order = torch.cat(
        [torch.randperm(data.classes, generator=seeds.generator(seed, "slots", number)) for number in passes]
    )
    start = first - passes[0] * data.classes
    return order[start : start + settings.batch]


def label(inverter: inversion.Inverter, images: Tensor, seed: int, number: int, batch: int) -> Tensor:
    """The teacher's logits float16 [B, K] on finished, quantised images, in the view that `label_view` names.

    center: the central region. mean_crops:k: the mean over k random regions. last_crop: what the teacher saw in the
    last iteration, mirrored if it was (what the paper's code stores; kept for comparison).
    """
    settings, region = inverter.settings, inverter.data.region
    view, _, count = settings.label_view.partition(":")
    if view == "center":
        crops = [center_crop(images, region)]
    elif view == "mean_crops":
        random = seeds.generator(seed, f"labels {number}", batch)
        crops = [random_crop(images, region, False, random) for _ in range(int(count or 4))]
    else:
        last = len(settings.stages) - 1
        offsets, flips = inversion.draws(settings, inverter.data, last, seed, number, batch)
        shift = inversion.shifts(settings, settings.stages[last][0] * offsets)
        placement = image_update.placements(shift, flips, images.shape[3])[-1]
        crops = [image_update.region(images, placement, region if settings.update == "region" else images.shape[3])]
    views = [evaluation.answers(inverter.teacher, crop, inverter.run) for crop in crops]
    return torch.stack(views).mean(0).half()


def batch_count(settings: SynthesisSettings) -> int:
    """Slot batches of a set; each is made once a round."""
    rounds = settings.rounds if settings.keep_rounds == "all" else 1
    return max(1, settings.images // (settings.batch * rounds))


def fitted(settings: SynthesisSettings, scales: Collection[int]) -> dict[str, Any]:
    """The fields `stages` and `learning_rates`, each stage at the next smaller of `scales`; those of one become one."""
    merged: dict[int, tuple[int, str, float]] = {}
    for (scale, iterations, kind), rate in zip(settings.stages, settings.learning_rates, strict=True):
        scale = max(known for known in scales if known <= scale)
        before = merged.get(scale, (0, kind, rate))
        merged[scale] = (before[0] + iterations, *before[1:])
    stages = tuple((scale, iterations, kind) for scale, (iterations, kind, _) in merged.items())
    return {"stages": stages, "learning_rates": tuple(rate for *_, rate in merged.values())}


def _drop_early_rounds(folder: Path, settings: SynthesisSettings) -> None:
    for number in range(settings.rounds - 1):
        for batch in range(batch_count(settings)):
            synthetic.shard_path(folder, number, batch).unlink(missing_ok=True)


def set_stage(name: str, settings: Settings, teacher: Teacher, synthesis: SynthesisSettings) -> Artefact:
    """The stage that makes a set under `synthesis`."""
    data, still = settings.data, synthesis.update == "jitter" and not synthesis.jitter
    last = synthesis.label_view == "last_crop" and (synthesis.update != "region" or synthesis.stages[-1][0] > 1)
    return stages.stage(
        name,
        lambda folder: synthesise(folder, teacher, synthesis, data, settings.run, settings.seed),
        {"synthesis": synthesis, "data": splits.geometry(data), "seed": settings.seed},
        inputs=[teacher.digest],
        version=VERSION + (last or still),  # which were not labelled, or moved, as they say
        run=settings.run,
    )
