"""Distillation: what a teacher knows, passed on to a new network through the synthetic set alone."""

import dataclasses
import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from dfnas import models
from dfnas.chapters import costs, exports
from dfnas.data import presence
from dfnas.data import real as real_data
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.data.teachers import load as load_teacher
from dfnas.errors import UserError
from dfnas.models import cost
from dfnas.profiles import Settings, StudentSettings, SynthesisSettings
from dfnas.runtime import processes, stages, statistics
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.files import write_json
from dfnas.synthesis import controls, sets
from dfnas.synthesis.held_out import held_out, judges
from dfnas.training import evaluation, loop, students

VERSION = 1
MEASURES = ("accuracy", "agreement", "agreement_where_wrong", "divergence")
Results = dict[str, dict[str, dict[str, list[float]]]]  # experiment, arm, measure: a value a seed


@dataclass(frozen=True)
class Arm:
    """A student to be trained, with one network and recipe, over paired seeds.

    `source` is synthesis, fewer (a set made in fewer iterations), control, noise or real. Of a synthetic source,
    `rounds` names them (all | first | last) and `count` the slots; of the real one, `count` is that of images. 0: all.
    """

    experiment: str  # full | labels | images | networks
    name: str
    student: StudentSettings
    source: str
    rounds: str = "all"
    count: int = 0
    seeds: int = 1


def check(settings: Settings) -> None:
    """Refuse settings that do not fit together.

    Raises
    ------
    UserError
        With the field that does not fit the synthetic set.
    """
    chapter, synthesis = settings.distillation, settings.synthesis
    if synthesis.rounds < 2 or synthesis.keep_rounds != "all":
        raise UserError("distillation compares rounds: synthesis.rounds is 2 or more, and synthesis.keep_rounds all")
    if settings.student.seeds < 2:
        raise UserError("student.seeds must be 2 or more in distillation: without repeats there is no spread")
    slots, sizes = slots_of(settings), chapter.sizes
    if not sizes or len(set(sizes)) < len(sizes) or not all(0 < size < slots for size in sizes):
        raise UserError(f"distillation.sizes={sizes}: parts of the set, each named once, have 1 to {slots - 1} slots")


def slots_of(settings: Settings) -> int:
    """Slots of the synthetic set: its images a round."""
    return settings.synthesis.images // settings.synthesis.rounds


def fewer(settings: Settings) -> SynthesisSettings:
    """The settings of the set that is made in a share of the iterations: round 0 alone, as many slots."""
    whole, share = settings.synthesis, settings.distillation.iterations_share
    plan = tuple((scale, max(1, round(share * count)), kind) for scale, count, kind in whole.stages)
    warm_up = round(share * whole.warm_up)
    return dataclasses.replace(whole, images=slots_of(settings), rounds=1, stages=plan, warm_up=warm_up)


def arms(settings: Settings) -> list[Arm]:
    """Every arm of the chapter, experiment by experiment; those of real images where there are some to learn from."""
    chapter, full = settings.distillation, settings.student
    count, rounds = settings.synthesis.images, settings.synthesis.rounds
    stored = dataclasses.replace(chapter.comparison, labels="stored")
    hard, full_hard = (dataclasses.replace(recipe, labels="hard", mixing=0.0) for recipe in (stored, full))
    online = dataclasses.replace(stored, labels="online")
    other = dataclasses.replace(stored, temperature=chapter.other_temperature)

    def compared(name: str, student: StudentSettings, source: str, rounds: str = "all", count: int = 0) -> Arm:
        return Arm("labels", name, student, source, rounds, count, chapter.seeds)

    arms = [
        Arm("full", "synthetic", full, "synthesis", seeds=full.seeds),
        Arm("full", "real_same_count", full_hard, "real", count=count, seeds=full.seeds),
        Arm("full", "real_all", full_hard, "real", seeds=chapter.real_all_seeds),
        compared("stored", stored, "synthesis"),
        compared("online", online, "synthesis"),
        compared("other_temperature", other, "synthesis"),
        compared("hard", hard, "synthesis"),
        compared("control", stored, "control"),
        compared("noise", stored, "noise"),
        compared("real", hard, "real", count=count),
        compared("real_distilled", stored, "real", count=count),
        compared("round0", stored, "synthesis", "first"),
        compared("last_round", stored, "synthesis", "last"),
        compared("fewer_iterations", stored, "fewer"),
    ]
    for slots in chapter.sizes:
        images = slots * rounds
        arms += [
            Arm("images", f"synthetic-{images}", stored, "synthesis", count=slots, seeds=chapter.seeds),
            Arm("images", f"real-{images}", hard, "real", count=images, seeds=chapter.seeds),
        ]
    for name, network in networks(settings).items():
        student = dataclasses.replace(stored, network=network)
        arms.append(Arm("networks", name, student, "synthesis", seeds=chapter.seeds))
    return [arm for arm in arms if arm.source != "real" or presence.has_train(settings.data)]


def networks(settings: Settings) -> dict[str, str]:
    """The students that are compared under one recipe, beside the comparisons' own, by name or text."""
    chapter = settings.distillation
    return {"full": settings.student.network, "narrow": chapter.narrow, "searched": chapter.searched}


def seeded(settings: Settings) -> Iterator[tuple[Arm, int, str]]:
    """Every arm with each of its seeds, and the name under which `compute` has that student."""
    for arm in arms(settings):
        for seed in range(settings.seed, settings.seed + arm.seeds):
            yield arm, seed, f"{arm.experiment}-{arm.name}-{seed}"


def compute(settings: Settings) -> dict[str, Artefact]:
    """The chapter's stages: the sets, the students of every arm, and what these are worth (see `judges`)."""
    check(settings)
    teacher = load_teacher(settings)
    artefacts = {
        "synthesis": sets.set_stage("synthesis", settings, teacher, settings.synthesis),
        "fewer": sets.set_stage("synthesis-fewer", settings, teacher, fewer(settings)),
        "control": controls.control_stage(settings, teacher, settings.synthesis.images),
        "noise": controls.noise_stage(settings, teacher, settings.synthesis.images),
        **held_out(settings, teacher),
    }
    calls = {
        name: functools.partial(_student_stage, arm, seed, settings, teacher, artefacts)
        for arm, seed, name in seeded(settings)
    }
    artefacts |= processes.made(calls, settings.run, "students")
    artefacts["evaluation"] = stages.stage(
        "distillation-evaluation",
        lambda folder: _evaluate(folder, settings, teacher, artefacts),
        {"arms": [name for _, _, name in seeded(settings)]},
        inputs=[*artefacts.values(), *real_data.digests(settings.data)],
        version=VERSION,
        run=settings.run,
    )
    student, trained = settings.student, artefacts[f"full-synthetic-{settings.seed}"]
    common = (trained, settings, teacher, student.side)
    artefacts["export"] = exports.network_stage("distillation", "student", student.network, *common)
    return artefacts


def plan(settings: Settings) -> list[dict[str, Any]]:
    """The sets, and a row for the students of each arm."""
    check(settings)
    rows = [
        costs.synthetic_set("synthesis", settings, settings.synthesis),
        costs.synthetic_set("fewer iterations", settings, fewer(settings)),
    ]
    if not presence.has_train(settings.data):
        rows.append(costs.held_out(settings))
    for arm in arms(settings):
        name = f"{arm.experiment} {arm.name} x {arm.seeds}"
        row = costs.student(name, settings, arm.student, images_of(arm, settings))
        rows.append(costs.times(row, arm.seeds))
    return rows


def _student_stage(
    arm: Arm, seed: int, settings: Settings, teacher: Teacher, artefacts: dict[str, Artefact]
) -> Artefact:
    name = f"distillation-{arm.experiment}-{arm.name}-{seed}"
    if arm.source == "real":
        return _real_stage(name, arm, seed, settings, teacher)
    if arm.experiment == "full":  # the synthesis chapter's students, found by their key
        name = f"student-{seed}"
    return students.set_stage(name, settings, teacher, arm.student, artefacts[arm.source], seed, arm.rounds, arm.count)


def _real_stage(name: str, arm: Arm, seed: int, settings: Settings, teacher: Teacher) -> Artefact:
    """The stage that trains a student on real images: with true classes, or with the teacher's logits on them."""
    data = settings.data

    def work(folder: Path) -> None:
        source = real_data.train(data, arm.count or len(real_data.load(data).train), seed)
        if arm.student.labels != "hard":
            source = evaluation.relabelled(source, teacher, settings)
        students.train(folder, source, settings, arm.student, seed)

    depends = {"student": students.recipe(arm.student), "images": arm.count, "seed": seed}
    inputs = [real_data.digest(data), teacher.digest] if arm.student.labels != "hard" else [real_data.digest(data)]
    return stages.stage(name, work, depends, inputs=inputs, version=VERSION, run=settings.run)


def _evaluate(folder: Path, settings: Settings, teacher: Teacher, artefacts: dict[str, Artefact]) -> None:
    """Each student beside the teacher, on real test images, on held-out synthetic ones, or on both: evaluation.json."""
    found: dict[str, Any] = {}

    def results(shown: Source, theirs: Tensor) -> Results:
        columns: Results = {}
        for arm, _, name in seeded(settings):
            # A student sees test images under the normalisation that it learned with.
            own = shown if arm.source == "real" and arm.student.labels == "hard" else shown.under(teacher)
            logits = students.logits(artefacts[name].folder, settings, arm.student, own)
            for key, value in compare(logits, theirs, shown.classes.cpu()).items():
                columns.setdefault(arm.experiment, {}).setdefault(arm.name, {}).setdefault(key, []).append(value)
        return columns

    if presence.has_test(settings.data):
        test = real_data.load(settings.data).test
        theirs = evaluation.answers(teacher, test.images, settings.run)
        found = {"teacher_accuracy": evaluation.accuracy(theirs, test.classes), "results": results(test, theirs)}
    shown = judges(artefacts, settings, teacher).get("agreement")
    if shown is not None:  # there the teacher's class is the truth
        found["held_out"] = results(shown, evaluation.answers(teacher, shown.images, settings.run))
    write_json(folder / "evaluation.json", found)


def compare(logits: Tensor, teacher: Tensor, labels: Tensor) -> dict[str, float]:
    """A student beside its teacher, from the logits [N, K] of both on images with true classes [N].

    agreement: share of the images to which both give the same class; agreement_where_wrong: the same among the images
    that the teacher gets wrong (0 where there are none). divergence: mean KL from teacher to student, in nats.
    """
    same = (logits.argmax(1) == teacher.argmax(1)).double()
    wrong = teacher.argmax(1) != labels
    return {
        "accuracy": evaluation.accuracy(logits, labels),
        "agreement": float(same.mean()),
        "agreement_where_wrong": float(same[wrong].mean()) if wrong.any() else 0.0,
        "divergence": float(
            F.kl_div(logits.log_softmax(1), teacher.log_softmax(1), reduction="batchmean", log_target=True)
        ),
    }


def read(artefacts: dict[str, Artefact]) -> dict[str, Any]:
    """What `compute` found: {"teacher_accuracy": …, "results": Results}, and "held_out": Results of synthetic images.

    The former need real test images, the latter come where there is nothing real to learn from. On held-out images the
    teacher's class is the truth: what is called accuracy is agreement.
    """
    return json.loads((artefacts["evaluation"].folder / "evaluation.json").read_bytes())


def curves(results: Results, settings: Settings) -> dict[str, tuple[list[int], list[list[float]]]]:
    """Accuracy against the number of images, for synthetic and real ones: counts, and for each the values by seed.

    The whole set's students are those of the arms `stored` and `real`.
    """
    sizes = [slots * settings.synthesis.rounds for slots in sorted(settings.distillation.sizes)]
    found = {}
    for name, whole in (("synthetic", "stored"), ("real", "real")):
        if whole not in results["labels"]:
            continue
        parts = [results["images"][f"{name}-{size}"]["accuracy"] for size in sizes]
        found[name] = ([*sizes, settings.synthesis.images], [*parts, results["labels"][whole]["accuracy"]])
    return found


def images_of(arm: Arm, settings: Settings) -> int:
    """How many images the students of an arm learn from."""
    if arm.source == "real":
        there = costs.real_images(settings)
        return min(arm.count or there, there)
    slots = arm.count or slots_of(settings)
    one_round = arm.source == "fewer" or arm.rounds != "all"
    return slots if one_round else slots * settings.synthesis.rounds


def metrics(found: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """For the record, of what `read` gives: what each student is worth, how they differ, and what prose quotes.

    Of held-out images the names begin with `held_out_`, but for `student_agreement`.
    """
    chapter, facts = settings.distillation, dict[str, Any]()
    if "results" in found:
        results = found["results"]
        facts = worth(results, settings) | differences(results, settings)
        facts["teacher_accuracy"] = found["teacher_accuracy"]
    if "held_out" in found:
        results = found["held_out"]
        told = worth(results, settings) | differences(results, settings)
        facts["student_agreement"] = told.pop("student_accuracy")
        facts |= {f"held_out_{name}": value for name, value in told.items() if "agreement" not in name}
    counts, _ = curves(results, settings)["synthetic"]
    facts["images_round"] = slots_of(settings)
    facts |= {"images": counts[-1], "images_fewest": counts[0], "images_before_last": counts[-2]}
    for name, recipe in (("full", settings.student), ("cheap", chapter.comparison)):
        facts |= {f"{name}_network": recipe.network, f"{name}_temperature": recipe.temperature}
        facts[f"{name}_steps"] = loop.steps_of(recipe.training, counts[-1])
    facts |= {"cheap_side": chapter.comparison.side or settings.data.region, "full_labels": settings.student.labels}
    facts |= {"other_temperature": chapter.other_temperature, "share": chapter.iterations_share}
    return facts | {"rounds": settings.synthesis.rounds}


def worth(results: Results, settings: Settings) -> dict[str, Any]:
    """Each student's accuracy with its spread, its mean agreement with the teacher, and what its network costs."""
    found: dict[str, Any] = {}
    for arm, values in results["full"].items():
        suffix = "" if arm == "synthetic" else f"_{arm}"
        found[f"student_accuracy{suffix}"] = statistics.summary(values["accuracy"])
        found |= {f"{measure}{suffix}": statistics.mean(values[measure]) for measure in MEASURES[1:]}
    for arm, values in results["labels"].items():
        found[f"labels_{arm}"] = statistics.summary(values["accuracy"])
        for measure in ("agreement", "agreement_where_wrong"):
            found[f"labels_{arm}_{measure}"] = statistics.mean(values[measure])
    data, side = settings.data, settings.distillation.comparison.side or settings.data.region
    for name, network in networks(settings).items():
        built = models.build(network, data.classes, data.channels)
        found[f"network_{name}"] = statistics.summary(results["networks"][name]["accuracy"])
        found[f"network_{name}_parameters"] = cost.parameters(built)
        found[f"network_{name}_macs"] = cost.macs(built, (data.channels, side, side))
    return found


def differences(results: Results, settings: Settings) -> dict[str, statistics.Interval]:
    """Differences in accuracy in points, seed by seed: between arms, and between the ends of each curve."""
    full, labels, pairs = results["full"], results["labels"], {}
    if "real_same_count" in full:
        pairs["synthetic_real_same_count"] = full["synthetic"]["accuracy"], full["real_same_count"]["accuracy"]
    arms = [("stored", other) for other in ("hard", "control", "noise")]
    arms += [("online", "stored"), ("other_temperature", "stored"), ("real", "stored"), ("real_distilled", "stored")]
    arms += [("last_round", "round0"), ("round0", "fewer_iterations")]
    accuracy = {arm: values["accuracy"] for arm, values in labels.items()}
    pairs |= {f"{one}_{other}": (accuracy[one], accuracy[other]) for one, other in arms if one in accuracy}
    for name, (_, accuracies) in curves(results, settings).items():
        pairs[f"images_{name}"] = accuracies[-1], accuracies[0]
        pairs[f"images_{name}_last"] = accuracies[-1], accuracies[-2]
    return {f"difference_{name}": statistics.paired_difference(*pair).scaled(100) for name, pair in pairs.items()}
