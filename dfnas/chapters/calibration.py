"""Label calibration: hard labels against recursively calibrated ones, at equal counts and steps."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy  # brings scipy.stats where it is first asked for, which takes half a second
import torch
from torch import Tensor, nn

from dfnas.chapters import costs
from dfnas.data import presence, sources, splits, synthetic
from dfnas.data import real as real_data
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.data.teachers import load as load_teacher
from dfnas.profiles import CalibrationSettings, Settings, StudentSettings, SynthesisSettings, rules
from dfnas.runtime import processes, stages, statistics
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.files import write_json
from dfnas.synthesis import controls, sets
from dfnas.synthesis.held_out import held_out, judges
from dfnas.training import evaluation, loop, students

VERSION = 3
# What students of as many real images learn: true classes, or the teacher's word on the same images.
REAL = {"real_same_count": "hard", "real_soft_same_count": "stored"}
COLUMNS = {"accuracy": "arms", "agreement": "agreements"}  # of the evaluation, by measure
MEASURES = ("semantics", "diversity", "domain_gap")
ONCE = ("noregion", "noise", *REAL)  # no claim about the method: of several sets, a student of each
# Arms less others, in a record.
PAIRS = (
    *(("round0", "hard"), ("calibrated", "round0"), ("calibrated", "hard"), ("together", "calibrated")),
    *(("online", "calibrated"), ("jitter", "round0"), ("noregion", "round0"), ("control", "round0")),
    *(("noise", "round0"), ("real_same_count", "calibrated"), ("real_soft_same_count", "calibrated")),
)


def arms(settings: Settings) -> dict[str, tuple[str, str | int, Any]]:
    """The arms without real images: (set, rounds taken, labels). All have as many images and take the same steps."""
    between = {f"round{number}": ("synthesis", number, "stored") for number in settings.calibration.between}
    return {
        "hard": ("synthesis", "first", "hard"),
        "round0": ("synthesis", "first", "stored"),
        **between,
        "calibrated": ("synthesis", "last", "stored"),
        "together": ("synthesis", "all", "stored"),
        "online": ("synthesis", "last", "online"),
        "jitter": ("synthesis-jitter", "all", "stored"),
        "noregion": ("synthesis-noregion", "all", "stored"),
        "control": ("control", "all", "stored"),
        "noise": ("noise", "all", "stored"),
    }


def repeats(settings: Settings, arm: str) -> list[tuple[int, int]]:
    """The seed of a set and that of a student, of each repeat of an arm, set by set."""
    chapter, first = settings.calibration, settings.seed
    students = 1 if chapter.sets > 1 and arm in ONCE else chapter.seeds
    return [(first + s, first + k) for s in range(chapter.sets) for k in range(students)]


def compute(settings: Settings) -> dict[str, Artefact]:
    """The chapter's stages: the sets, every arm's students over paired seeds, the verifier, figures of merit.

    Without real images to learn from there is a held-out set instead of the verifier and of the arms of real images.
    What belongs to a set has its seed in its label, <name>-<seed>, but for the first.
    """
    teacher, chapter, calls = load_teacher(settings), settings.calibration, dict[str, Callable[[], Artefact]]()
    seeds = range(settings.seed, settings.seed + chapter.sets)
    made = {seed: _sets(dataclasses.replace(settings, seed=seed), teacher) for seed in seeds}
    for arm, (name, rounds, labels) in arms(settings).items():
        count = chapter.images // (chapter.rounds if (name, rounds) == ("synthesis", "all") else 1)
        for of_set, seed in repeats(settings, arm):
            label = f"arm-{arm}-{of_set}-{seed}"
            given = (teacher, _student(labels, chapter), made[of_set][name], seed, rounds, count)
            calls[label] = functools.partial(students.set_stage, label, settings, *given)
    learn = presence.has_train(settings.data)
    for arm in REAL if learn else ():
        for repeat in repeats(settings, arm):
            calls[f"arm-{arm}-{repeat[0]}-{repeat[1]}"] = functools.partial(_real_stage, arm, settings, teacher, repeat)
    artefacts = {f"{name}-{seed}": each for seed in seeds[1:] for name, each in made[seed].items()}
    if learn:
        calls["verifier"] = functools.partial(students.verifier_stage, settings)
    artefacts |= made[settings.seed] | processes.made(calls, settings.run, "students") | held_out(settings, teacher)
    names = {"class_names": settings.data.class_names} if settings.data.class_names else {}  # the explorer shows them
    artefacts["evaluation"] = stages.stage(
        "calibration-evaluation",
        lambda folder: _evaluate(folder, settings, teacher, artefacts),
        {"slots": chapter.slots_shown, "images": chapter.images, **names},
        inputs=[*artefacts.values(), *real_data.digests(settings.data)],
        version=VERSION,
        run=settings.run,
    )
    return artefacts


def _student(labels: Any, chapter: CalibrationSettings) -> StudentSettings:
    student = dataclasses.replace(chapter.student, labels=labels)
    if labels != "hard" or not chapter.hard_rate:
        return student
    return dataclasses.replace(student, training=dataclasses.replace(student.training, learning_rate=chapter.hard_rate))


def plan(settings: Settings) -> list[dict[str, Any]]:
    """Sets and students of the arms."""
    chapter, learn = settings.calibration, presence.has_train(settings.data)
    rounds, single = set_settings(settings)
    counts = {arm: len(repeats(settings, arm)) for arm in (*arms(settings), *(REAL if learn else ()))}

    def trained(name: str, labels: Any, count: int) -> dict[str, Any]:
        student = dataclasses.replace(chapter.student, labels=labels)
        return costs.times(costs.student(f"{name} x {count}", settings, student, chapter.images), count)

    return [
        costs.times(costs.synthetic_set("synthesis", settings, rounds), chapter.sets),
        costs.times(costs.synthetic_set("jitter and whole canvas", settings, single), 2 * chapter.sets),
        trained("students", "stored", sum(counts.values()) - counts["online"]),
        trained("students, online labels", "online", counts["online"]),
        costs.verifier(settings) if learn else costs.held_out(settings),
    ]


def _sets(settings: Settings, teacher: Teacher) -> dict[str, Artefact]:
    """The calibrated set, its variants of one round, and noise."""
    chapter = settings.calibration
    rounds, single = set_settings(settings)
    artefacts = {"synthesis": sets.set_stage("synthesis", settings, teacher, rounds)}
    variants: dict[str, Any] = {"synthesis-jitter": "jitter", "synthesis-noregion": "whole"}
    for name, update in variants.items():
        variant = dataclasses.replace(single, update=update)
        artefacts[name] = sets.set_stage(name, settings, teacher, variant)
    artefacts["control"] = controls.control_stage(settings, teacher, chapter.images)
    artefacts["noise"] = controls.noise_stage(settings, teacher, chapter.images)
    return artefacts


def set_settings(settings: Settings) -> tuple[SynthesisSettings, SynthesisSettings]:
    """The settings of the calibrated set, and of its variants of one round; raises UserError where there are none.

    The former are the profile's own where its slots suffice, as batches are independent.
    """
    chapter, rounds = settings.calibration, settings.synthesis
    rules.whole_batches(chapter.images, 1, rounds.batch, "calibration.images")
    count = chapter.images * chapter.rounds
    if (rounds.rounds, rounds.keep_rounds) != (chapter.rounds, "all") or rounds.images < count:
        rounds = dataclasses.replace(rounds, images=count, rounds=chapter.rounds, keep_rounds="all")
    return rounds, dataclasses.replace(rounds, images=chapter.images, rounds=1)


def _real_stage(arm: str, settings: Settings, teacher: Teacher, repeat: tuple[int, int]) -> Artefact:
    """The ceiling: a student of the same recipe on as many real images, class by class, as `REAL` says."""
    chapter, data, (of_set, seed) = settings.calibration, settings.data, repeat
    student = _student(REAL[arm], chapter)

    def work(folder: Path) -> None:
        source = real_data.train(data, chapter.images, of_set)
        if student.labels != "hard":
            source = evaluation.relabelled(source, teacher, settings)
        students.train(folder, source, settings, student, seed)

    depends = {"student": students.recipe(student), "images": chapter.images, "seed": [of_set, seed]}
    inputs = [real_data.digest(data)] if student.labels == "hard" else [real_data.digest(data), teacher.digest]
    return stages.stage(f"arm-{arm}-{of_set}-{seed}", work, depends, inputs=inputs, version=VERSION, run=settings.run)


def _evaluate(folder: Path, settings: Settings, teacher: Teacher, artefacts: dict[str, Artefact]) -> None:
    """What students are worth, and the measures of each round's labels and images: evaluation.json."""
    chapter, result = settings.calibration, dict[str, Any]()

    def accuracies(arm: str, test: Source) -> list[list[float]]:
        folders = [artefacts[f"arm-{arm}-{of_set}-{seed}"].folder for of_set, seed in repeats(settings, arm)]
        found = [students.accuracy(folder, settings, chapter.student, test) for folder in folders]
        each = len(found) // chapter.sets
        return [found[first : first + each] for first in range(0, len(found), each)]

    # A student is tested under the normalisation that it learned with.
    for measure, test in judges(artefacts, settings, teacher).items():
        result[COLUMNS[measure]] = {arm: accuracies(arm, test) for arm in arms(settings)}
    rounds = rounds_of(artefacts["synthesis"], settings, teacher)
    similarity = None
    if presence.has_test(settings.data):
        real = real_images(settings)
        logits = evaluation.answers(teacher, real.images, settings.run)
        similarity = class_similarity(logits, real.classes, settings.data.classes)
        told = {"label_entropy": float(entropy(logits).mean()), "class_similarity": similarity.tolist()}
        result["real"] = told
    result |= {"rounds": [label_measures(part, similarity) for part in rounds], "drift": drift(rounds)}
    if presence.has_train(settings.data):
        every = real_data.load(settings.data)
        for arm, labels in REAL.items():
            own = every.test if labels == "hard" else every.test.under(teacher)
            result["arms"][arm] = accuracies(arm, own)
        judge = Verifier(settings, artefacts["verifier"], every)
        result["rounds"] = [{**a, **judge.measures(b)} for a, b in zip(result["rounds"], rounds, strict=True)]
        for name in ("control", "noise"):
            result[name] = judge.measures(synthetic.load(artefacts[name].folder, teacher))
        result["real"] |= judge.measures(every.validation)
    write_json(folder / "evaluation.json", result)
    write_json(folder / "explorer.json", explorer(rounds, settings))


def rounds_of(artefact: Artefact, settings: Settings, teacher: Teacher) -> list[Source]:
    """The calibrated set round by round, the same slots in each."""
    chapter = settings.calibration
    return [synthetic.load(artefact.folder, teacher, number, chapter.images) for number in range(chapter.rounds)]


def real_images(settings: Settings) -> Source:
    """Real images that are no part of any training, to look at the teacher's labels of them."""
    real = real_data.load(settings.data)
    return real.validation if presence.has_train(settings.data) else real.test


def entropy(logits: Tensor) -> Tensor:
    """The entropy [N] of softmax(logits), in nats: 0 for a hard label, ln K for a uniform one."""
    log = logits.float().log_softmax(1)
    return -(log.exp() * log).sum(1)


def class_similarity(logits: Tensor, classes: Tensor, count: int) -> Tensor:
    """The mean soft label [K, K] of each class: row k is what images of class k are told to be."""
    soft = logits.float().softmax(1)
    return torch.stack([soft[classes == k].mean(0) for k in range(count)])


def label_measures(part: Source, real: Tensor | None) -> dict[str, Any]:
    """Entropy, class similarity and its rank correlation with the teacher's on real data, if any, off the diagonal."""
    similarity = class_similarity(part.targets, part.classes, part.targets.shape[1])
    found = {"label_entropy": float(entropy(part.targets).mean()), "class_similarity": similarity.tolist()}
    if real is not None:
        off = ~torch.eye(len(real), dtype=torch.bool)
        found["similarity_correlation"] = float(scipy.stats.spearmanr(similarity[off], real[off]).statistic)
    return found | {"off_slot": float((part.targets.argmax(1) != part.classes).double().mean())}


def drift(rounds: Sequence[Source]) -> list[float]:
    """For each round after the first, the total variation distance between a slot's soft labels then and one before.

    Half the L1 distance, averaged over slots: 0 where labels stand still, 1 where they have nothing in common.
    """
    soft = [part.targets.softmax(1) for part in rounds]
    return [float((after - before).abs().sum(1).mean() / 2) for before, after in itertools.pairwise(soft)]


class Verifier:
    """Semantics, diversity and domain gap of a set, in the features of a network trained on real data."""

    def __init__(self, settings: Settings, artefact: Artefact, real: splits.Dataset) -> None:
        self.network = students.read(artefact.folder, settings, settings.evaluation.verifier_network)
        self.settings, self.real = settings, real
        self.reference = self.features(real.validation)[1]
        self.spread = within_class_distance(self.reference, real.validation.classes)

    def features(self, source: Source) -> tuple[Tensor, Tensor]:
        """The network's logits [N, K] and penultimate features [N, D] on the central regions."""
        parts: list[Tensor] = []
        linear = [layer for layer in self.network.modules() if isinstance(layer, nn.Linear)][-1]
        handle = linear.register_forward_pre_hook(lambda _, inputs: parts.append(inputs[0].float().cpu()))
        regions = sources.judged(source.under(self.real.train), self.settings)
        logits = evaluation.predict(self.network, regions, self.settings.run)
        handle.remove()
        return logits, torch.cat(parts)

    def measures(self, source: Source) -> dict[str, float]:
        """The three numbers of a set.

        semantics: the fraction that the network gives to the class it was made for.
        diversity: mean distance between features of two images of a class, over the same of real images (1: equal).
        domain_gap: Frechet distance between Gaussians fitted to the set's features and to real ones, over the
        features' total variance in real data (0: same mean and covariance).
        """
        logits, features = self.features(source)
        gap = frechet_distance(features, self.reference) / float(self.reference.var(0).sum())
        return {
            "semantics": evaluation.accuracy(logits, source.classes),
            "diversity": within_class_distance(features, source.classes) / self.spread,
            "domain_gap": gap,
        }


def within_class_distance(features: Tensor, classes: Tensor) -> float:
    """The mean Euclidean distance between two different images of the same class, averaged over the classes."""
    means = []
    for k in classes.unique():
        members = features[classes == k]
        if len(members) > 1:
            means.append(torch.cdist(members, members).sum() / (len(members) * (len(members) - 1)))
    return float(torch.stack(means).mean()) if means else 0.0


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """The squared Frechet distance between Gaussians fitted to two sets of features [N, D]."""
    a, b = first.double().numpy(), second.double().numpy()
    covariance_a, covariance_b = np.cov(a.T), np.cov(b.T)
    root = scipy.linalg.sqrtm(covariance_a @ covariance_b)
    trace = np.trace(covariance_a + covariance_b - 2 * np.real(root))
    return max(0.0, float(((a.mean(0) - b.mean(0)) ** 2).sum() + trace))


def explorer(rounds: Sequence[Source], settings: Settings) -> dict[str, Any]:
    """What the page's explorer shows: a few slots of each class, their soft labels and images in every round."""
    first, each = rounds[0], max(1, settings.calibration.slots_shown // settings.data.classes)
    rows = torch.cat([(first.classes == k).nonzero()[:each, 0] for k in range(settings.data.classes)])
    from dfnas.figures import pictures  # imported late: a plan does without

    shown = iter(pictures.addresses([part.images[slot].numpy() for slot in rows.tolist() for part in rounds]))
    slots = [
        {
            "slot": slot,
            "class": int(first.classes[slot]),
            "labels": [[round(value, 4) for value in part.targets[slot].softmax(0).tolist()] for part in rounds],
            "images": list(itertools.islice(shown, len(rounds))),
        }
        for slot in rows.tolist()
    ]
    return {"classes": list(real_data.class_names(settings.data)), "rounds": len(rounds), "slots": slots}


def metrics(results: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """For the record, of evaluation.json: the measures of each set, and what the arms' students are worth.

    What needs real images is not in it where there were none; names of agreements begin with `held_out_`.
    """
    chapter, rounds = settings.calibration, {"first": results["rounds"][0], "last": results["rounds"][-1]}
    found: dict[str, Any] = {name: getattr(chapter, name) for name in ("images", "rounds", "seeds", "sets")}
    found["steps"] = loop.steps_of(chapter.student.training, chapter.images)
    for name, values in (rounds | {each: results.get(each, {}) for each in ("control", "noise")}).items():
        measures = (*MEASURES, "label_entropy", "similarity_correlation", "off_slot")
        found |= {f"{measure}_{name}": values[measure] for measure in measures if measure in values}
    found["drift_last"] = results["drift"][-1]
    if "real" in results:
        found["label_entropy_real"] = results["real"]["label_entropy"]
    for column, front in (("arms", ""), ("agreements", "held_out_")):
        told = accuracies(results[column]) if column in results else {}
        found |= {f"{front}{name}": value for name, value in told.items()}
    return found


def units(arms: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, list[float]]:
    """What each arm's interval is over: a mean for each set, or of a single set its students."""
    return {arm: [statistics.mean(one) for one in sets] if len(sets) > 1 else [*sets[0]] for arm, sets in arms.items()}


def accuracies(arms: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, Any]:
    """For the record, of a value a seed and set of each arm: accuracies with their spread, and differences in points.

    Differences are paired within a set, and their interval is over the means of sets; of a single one, over its seeds.
    """
    means = units(arms)
    found: dict[str, Any] = {f"student_accuracy_{arm}": statistics.summary(values) for arm, values in means.items()}
    students = [one for arm, sets in arms.items() if arm not in ("control", *ONCE) for one in sets]
    found["pooled_std"] = statistics.pooled_deviation(students)
    found["largest_std"] = max(map(statistics.deviation, students))
    for one, other in PAIRS:
        if one in arms:
            found[f"difference_{one}_{other}"] = statistics.paired_difference(means[one], means[other]).scaled(100)
    return found
