"""Label calibration: hard labels against recursively calibrated ones, at equal counts and steps."""

import base64
import dataclasses
import functools
import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import linalg, stats
from torch import Tensor, nn

from dfnas.chapters import costs
from dfnas.data import real as real_data
from dfnas.data import sources, splits, synthetic
from dfnas.data.images import center_crop, pad
from dfnas.data.synthetic import SyntheticSet
from dfnas.data.teachers import Teacher
from dfnas.data.teachers import load as load_teacher
from dfnas.errors import UserError
from dfnas.profiles import Settings, SynthesisSettings
from dfnas.runtime import processes, stages, statistics
from dfnas.synthesis import sets
from dfnas.training import evaluation, loop, students

VERSION = 2
# arm -> (set, rounds taken, labels). All have the same number of images and take the same steps.
ARMS = {
    "hard": ("synthesis", "first", "hard"),
    "round0": ("synthesis", "first", "stored"),
    "calibrated": ("synthesis", "last", "stored"),
    "online": ("synthesis", "last", "online"),
    "jitter": ("synthesis-jitter", "all", "stored"),
    "noregion": ("synthesis-noregion", "all", "stored"),
    "noise": ("noise", "all", "stored"),
}
REAL = "real_same_count"


def compute(settings: Settings) -> dict[str, stages.Artefact]:
    """The chapter's stages: the sets, every arm's students over paired seeds, the verifier, figures of merit."""
    teacher, chapter = load_teacher(settings), settings.calibration
    if chapter.rounds < 2 or chapter.seeds < 2:
        raise UserError("calibration.rounds and calibration.seeds must be 2 or more: the chapter compares them")
    students.check(dataclasses.replace(chapter.student, labels="stored"))  # arms differ in labels, not in images
    made = _sets(settings, teacher)
    calls: dict[str, Callable[[], stages.Artefact]] = {}
    for arm, (source, chosen, labels) in ARMS.items():
        student = dataclasses.replace(chapter.student, labels=labels)
        for seed in _seeds(settings):
            name = f"arm-{arm}-{seed}"
            calls[name] = functools.partial(
                students.set_stage, name, settings, teacher, student, made[source], seed, chosen, chapter.images
            )
    for seed in _seeds(settings):
        calls[f"arm-{REAL}-{seed}"] = functools.partial(_real_stage, settings, seed)
    made |= processes.made(calls, settings.run, "students")
    made["verifier"] = students.verifier_stage(settings)
    made["evaluation"] = stages.stage(
        "calibration-evaluation",
        lambda folder: _evaluate(folder, settings, teacher, made),
        {"slots": chapter.slots_shown, "images": chapter.images},
        inputs=[*made.values(), real_data.digest(settings.data)],
        version=VERSION,
    )
    return made


def plan(settings: Settings) -> list[dict[str, Any]]:
    """Sets and students of the arms."""
    chapter = settings.calibration
    rounds = calibrated(settings)
    single = dataclasses.replace(settings.synthesis, images=chapter.images, rounds=1)
    arms, seeds = len(ARMS), chapter.seeds  # and the real arm, less the one with online labels
    stored = dataclasses.replace(chapter.student, labels="stored")
    row = costs.student(f"arms x {arms} x {seeds} seeds", settings, stored, chapter.images)
    online = dataclasses.replace(chapter.student, labels="online")
    online_row = costs.student(f"online arm x {seeds} seeds", settings, online, chapter.images)
    return [
        costs.synthetic_set("synthesis", settings, rounds),
        costs.times(costs.synthetic_set("jitter and whole canvas", settings, single), 2),
        costs.times(row, arms * seeds),
        costs.times(online_row, seeds),
        costs.verifier(settings),
    ]


def _seeds(settings: Settings) -> range:
    return range(settings.seed, settings.seed + settings.calibration.seeds)


def _sets(settings: Settings, teacher: Teacher) -> dict[str, stages.Artefact]:
    """The calibrated set, its variants of one round, and noise."""
    chapter = settings.calibration
    rounds = calibrated(settings)
    single = dataclasses.replace(rounds, images=chapter.images, rounds=1)
    made = {"synthesis": sets.set_stage("synthesis", settings, teacher, rounds)}
    for name, update in (("synthesis-jitter", "jitter"), ("synthesis-noregion", "whole")):
        variant = dataclasses.replace(single, update=update)
        made[name] = sets.set_stage(name, settings, teacher, variant)
    made["noise"] = sets.noise_stage(settings, teacher, chapter.images)
    return made


def calibrated(settings: Settings) -> SynthesisSettings:
    """The settings of the calibrated set: the profile's own where its slots suffice, as batches are independent."""
    chapter, chosen = settings.calibration, settings.synthesis
    enough = chosen.rounds == chapter.rounds and chosen.images >= chapter.images * chapter.rounds
    if enough and chosen.keep_rounds == "all":
        return chosen
    return dataclasses.replace(chosen, images=chapter.images * chapter.rounds, rounds=chapter.rounds, keep_rounds="all")


def _real_stage(settings: Settings, seed: int) -> stages.Artefact:
    """The ceiling: a student of the same recipe on as many real images, class by class, with their labels."""
    chapter, data = settings.calibration, settings.data

    def work(folder: Path) -> None:
        real = real_data.load(data)
        chosen = sources.balanced(real.train.labels, chapter.images, data.classes, seed)
        canvases = pad(real.train.images[chosen], data.canvas, data.padding)
        labels = real.train.labels[chosen]
        student = dataclasses.replace(chapter.student, labels="hard")
        students.train(folder, canvases, labels, settings, student, seed, real.mean, real.std)

    resolved = {"student": chapter.student, "images": chapter.images, "seed": seed}
    return stages.stage(f"arm-{REAL}-{seed}", work, resolved, inputs=[real_data.digest(data)], version=VERSION)


def _evaluate(folder: Path, settings: Settings, teacher: Teacher, made: dict[str, stages.Artefact]) -> None:
    """Accuracies on real test images, and the measures of each round's images and labels: evaluation.json."""
    real, chapter = real_data.load(settings.data), settings.calibration
    arms = {arm: [_accuracy(arm, seed, settings, teacher, made, real) for seed in _seeds(settings)] for arm in ARMS}
    arms[REAL] = [_accuracy(REAL, seed, settings, real, made, real) for seed in _seeds(settings)]
    whole = students.part(synthetic.load(made["synthesis"].folder), "all", chapter.images)
    verifier = students.read(made["verifier"].folder, settings, settings.evaluation.verifier_network)
    judge = Judge(settings, verifier, real)
    logits = evaluation.predict(
        teacher.network, real.validation.images, settings.run, mean=teacher.mean, std=teacher.std
    )
    similarity = class_similarity(logits, real.validation.labels, settings.data.classes)
    rounds = [
        {**label_measures(part, similarity), **judge.measures(part.images, part.slot_class)}
        for part in (whole.of_round(number) for number in range(chapter.rounds))
    ]
    noise = synthetic.load(made["noise"].folder)
    result = {
        "arms": arms,
        "rounds": rounds,
        "drift": drift(whole, chapter.rounds),
        "noise": judge.measures(noise.images, noise.slot_class),
        "real": {
            "label_entropy": float(entropy(logits).mean()),
            "class_similarity": similarity.tolist(),
            **judge.measures(real.validation.images, real.validation.labels),
        },
    }
    stages.write_json(folder / "evaluation.json", result)
    stages.write_json(folder / "explorer.json", explorer(whole, settings))


def _accuracy(
    arm: str,
    seed: int,
    settings: Settings,
    trained_on: Teacher | splits.Dataset,
    made: dict[str, stages.Artefact],
    real: splits.Dataset,
) -> float:
    """Test accuracy of an arm's student, under the normalisation of what it was trained on."""
    folder, student = made[f"arm-{arm}-{seed}"].folder, settings.calibration.student
    return students.test_accuracy(folder, settings, student, real, trained_on.mean, trained_on.std)


def entropy(logits: Tensor) -> Tensor:
    """The entropy [N] of softmax(logits), in nats: 0 for a hard label, ln K for a uniform one."""
    log = logits.float().log_softmax(1)
    return -(log.exp() * log).sum(1)


def class_similarity(logits: Tensor, classes: Tensor, count: int) -> Tensor:
    """The mean soft label [K, K] of each class: row k is what images of class k are told to be."""
    soft = logits.float().softmax(1)
    return torch.stack([soft[classes == k].mean(0) for k in range(count)])


def label_measures(part: SyntheticSet, real: Tensor) -> dict[str, Any]:
    """Entropy, class similarity and its rank correlation with the teacher's on real data, off the diagonal."""
    similarity = class_similarity(part.logits, part.slot_class, len(real))
    off = ~torch.eye(len(real), dtype=torch.bool)
    return {
        "label_entropy": float(entropy(part.logits).mean()),
        "class_similarity": similarity.tolist(),
        "similarity_correlation": float(stats.spearmanr(similarity[off], real[off]).statistic),
        "off_slot": float((part.logits.argmax(1) != part.slot_class).double().mean()),
    }


def drift(whole: SyntheticSet, rounds: int) -> list[float]:
    """For each round after the first, the total variation distance between a slot's soft labels then and one before.

    Half the L1 distance, averaged over slots: 0 where labels stand still, 1 where they have nothing in common.
    """
    soft = [whole.of_round(number).logits.float().softmax(1) for number in range(rounds)]
    return [float((after - before).abs().sum(1).mean() / 2) for before, after in itertools.pairwise(soft)]


class Judge:
    """Semantics, diversity and domain gap of a set, in the features of a verifier trained on real data."""

    def __init__(self, settings: Settings, verifier: nn.Module, real: splits.Dataset) -> None:
        self.settings, self.verifier, self.real = settings, verifier, real
        self.reference = self.features(real.validation.images)[1]
        self.spread = within_class_distance(self.reference, real.validation.labels)

    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The verifier's logits [N, K] and penultimate features [N, D] on the central regions."""
        kept: list[Tensor] = []
        linear = [layer for layer in self.verifier.modules() if isinstance(layer, nn.Linear)][-1]
        handle = linear.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0].float().cpu()))
        seen = center_crop(images, self.settings.data.region).contiguous()
        logits = evaluation.predict(self.verifier, seen, self.settings.run, mean=self.real.mean, std=self.real.std)
        handle.remove()
        return logits, torch.cat(kept)

    def measures(self, images: Tensor, classes: Tensor) -> dict[str, float]:
        """The three numbers of a set.

        semantics: the fraction that the verifier gives to the class it was made for.
        diversity: mean distance between features of two images of a class, over the same of real images (1: equal).
        domain_gap: Frechet distance between Gaussians fitted to the set's features and to real ones, over the
        features' total variance in real data (0: same mean and covariance).
        """
        logits, features = self.features(images)
        gap = frechet_distance(features, self.reference) / float(self.reference.var(0).sum())
        return {
            "semantics": evaluation.accuracy(logits, classes),
            "diversity": within_class_distance(features, classes) / self.spread,
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
    root = linalg.sqrtm(covariance_a @ covariance_b)
    trace = np.trace(covariance_a + covariance_b - 2 * np.real(root))
    return max(0.0, float(((a.mean(0) - b.mean(0)) ** 2).sum() + trace))


def explorer(whole: SyntheticSet, settings: Settings) -> dict[str, Any]:
    """What the page's explorer shows: a few slots of each class, their soft labels and images in every round."""
    rounds = range(settings.calibration.rounds)
    parts = [whole.of_round(number) for number in rounds]
    each = max(1, settings.calibration.slots_shown // settings.data.classes)
    chosen = torch.cat([(parts[0].slot_class == k).nonzero()[:each, 0] for k in range(settings.data.classes)])
    slots = [
        {
            "slot": slot,
            "class": int(parts[0].slot_class[slot]),
            "labels": [[round(value, 4) for value in part.logits[slot].float().softmax(0).tolist()] for part in parts],
            "images": [picture(part.images[slot]) for part in parts],
        }
        for slot in chosen.tolist()
    ]
    return {"classes": list(real_data.class_names(settings.data)), "rounds": len(parts), "slots": slots}


def picture(image: Tensor) -> str:
    """A uint8 image [C, H, W] as a PNG data address."""
    from PIL import Image

    array = image.permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def metrics(results: Mapping[str, Any], floor: Mapping[str, float], settings: Settings) -> dict[str, Any]:
    """For the record, of evaluation.json: the measures of each set, and what the arms' students are worth.

    `floor` are the measures of real test images, as many as an arm has.
    """
    chapter, rounds = settings.calibration, {"first": results["rounds"][0], "last": results["rounds"][-1]}
    found: dict[str, Any] = {name: getattr(chapter, name) for name in ("images", "rounds", "seeds")}
    found["steps"] = loop.steps_of(chapter.student.training, chapter.images)
    for name, values in (rounds | {"noise": results["noise"], "real": floor}).items():
        found |= {f"{measure}_{name}": values[measure] for measure in ("semantics", "diversity", "domain_gap")}
    for name, values in rounds.items():
        measures = ("label_entropy", "similarity_correlation", "off_slot")
        found |= {f"{measure}_{name}": values[measure] for measure in measures}
    found |= {"label_entropy_real": results["real"]["label_entropy"], "drift_last": results["drift"][-1]}
    return found | accuracies(results["arms"])


def accuracies(arms: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """For the record, of a value a seed of each arm: accuracies with their spread, and differences in points."""
    found: dict[str, Any] = {f"student_accuracy_{arm}": statistics.summary(values) for arm, values in arms.items()}
    synthetic_arms = [values for arm, values in arms.items() if arm not in ("noise", REAL)]
    found["pooled_std"] = statistics.pooled_deviation(synthetic_arms)
    found["largest_std"] = max(map(statistics.deviation, synthetic_arms))
    pairs = [("round0", "hard"), ("calibrated", "round0"), ("calibrated", "hard"), ("online", "calibrated")]
    pairs += [("jitter", "round0"), ("noregion", "round0"), ("noise", "round0"), (REAL, "calibrated")]
    for one, other in pairs:
        found[f"difference_{one}_{other}"] = statistics.paired_difference(arms[one], arms[other]).scaled(100)
    return found
