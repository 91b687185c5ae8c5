"""A network of one's own and no data: the whole way once, from a file of weights to files to deploy.

The network is one that ships, of seven kinds of generated shapes whose images were thrown away; or the user's own,
where `teacher.path` names one.
"""

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dfnas.chapters import costs, exports, proposal, spos
from dfnas.data import folder as folders
from dfnas.data import presence, sources
from dfnas.data import real as real_data
from dfnas.data.sources import Source
from dfnas.data.teachers import SHIPPED, Teacher
from dfnas.data.teachers import load as load_teacher
from dfnas.errors import UserError
from dfnas.models import norms
from dfnas.profiles import Settings
from dfnas.profiles.resolve import variant
from dfnas.runtime import processes, stages, statistics
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.files import write_json
from dfnas.search import standings
from dfnas.synthesis import controls
from dfnas.synthesis.held_out import judges
from dfnas.training import evaluation, students

VERSION = 1
SHAPES = SHIPPED / "shapes_convnet"
BUILDER = "dfnas.data.shipped.shapes_convnet.shapes_network:build"
OURS = ("stage.json", "sittings.json")  # of a stage, and not for others
MEASURES = ("agreement", "accuracy")
ARMS = {"student": "synthetic", "noise": "noise"}  # students, and what they learn from


def own(settings: Settings) -> Settings:
    """The chapter's settings, without real data: a profile's fitted to the network that ships, or to the user's own."""
    chapter = settings.own_network
    if chapter is None or settings.spos is None:
        raise UserError(f"profile {settings.profile} has no settings for 00-own-network")
    if settings.teacher.path:
        return variant(settings, data={"name": "none", "class_names": real_data.class_names(settings.data)})
    return variant(
        variant(settings, **proposed(settings)[0]),
        data={"padding": "reflect", "flip": True},  # a mirrored shape is still of its class
        teacher={"mean": (0.5,) * 3, "std": (0.25,) * 3},
        synthesis={"images": chapter.images, "flip": "random", "batch_norm_weight": 1.0},
        student={"training": {"steps": chapter.student_steps}},
        spos={
            "search": {"steps": chapter.supernet_steps},
            "scratch": {"random": chapter.random, "searches": (("synthetic", 1), ("noise", 1))},
        },
    )


def proposed(settings: Settings) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """What `new-profile` proposes for the network that ships, and what it says of it."""
    names = tuple((SHAPES / "classes.txt").read_text(encoding="utf-8").split())
    return proposal.propose(settings, BUILDER, SHAPES / "weights.safetensors", "3x32x32", names)


def described(settings: Settings) -> str:
    """The profile file of the chapter's network: as `new-profile` writes it, or the user's own as it is."""
    if settings.file:
        return Path(settings.file).read_text(encoding="utf-8")
    if settings.teacher.path:
        return "\n".join(settings.overrides)
    changes, report = proposed(settings)
    changes["teacher"] |= {"path": "weights.safetensors", "builder": "shapes_network:build"}
    return proposal.text(settings.profile, changes, report)


def compute(settings: Settings) -> dict[str, Artefact]:
    """The chapter's stages: those of the search chapter, students of the set and of noise, and what these are worth.

    The artefacts by name: `spos.compute`'s, `<arm>-<seed>`, `evaluation`, and what one takes away as `export-<name>`.
    """
    given, settings = settings, own(settings)
    teacher, artefacts = load_teacher(settings), spos.compute(settings)
    artefacts["noise"] = controls.noise_stage(settings, teacher, settings.synthesis.images)
    calls: dict[str, Callable[[], Artefact]] = {}
    for arm, source in ARMS.items():
        for seed in range(settings.seed, settings.seed + settings.student.seeds):
            common = (settings, teacher, settings.student, artefacts[source], seed)
            calls[f"{arm}-{seed}"] = functools.partial(students.set_stage, f"{arm}-{seed}", *common)
    trained = processes.made(calls, settings.run, "students")
    parts = {**trained, "held-out": artefacts["held-out"]}
    evaluated = stages.stage(
        "own-network-evaluation",
        lambda folder: _evaluate(folder, parts, given, settings, teacher),
        {"shapes": not given.teacher.path},
        inputs=[*parts.values(), *(real_data.digests(given.data) if given.teacher.path else ())],
        version=VERSION,
        run=settings.run,
    )
    left = {"found": artefacts.pop("export"), "set": exports.set_stage(artefacts["synthetic"], settings, teacher)}
    student, best = settings.student, trained[f"student-{settings.seed}"]
    left["student"] = exports.network_stage("own", "student", student.network, best, settings, teacher, student.side)
    left = {f"export-{name}": each for name, each in left.items()}
    return artefacts | trained | {"evaluation": evaluated} | left


def files(artefacts: Mapping[str, Artefact]) -> list[Path]:
    """The files that the chapter leaves for others, but for those that only the command `export` writes."""
    folders = [each.folder for label, each in artefacts.items() if label.startswith("export-")]
    return [path for folder in folders for path in folder.rglob("*") if path.is_file() and path.name not in OURS]


def plan(settings: Settings) -> list[dict[str, Any]]:
    """The search chapter's rows, and the students."""
    settings = own(settings)
    count = len(ARMS) * settings.student.seeds
    row = costs.student(f"students x {count}", settings, settings.student, settings.synthesis.images)
    return [*spos.plan(settings), costs.held_out(settings), costs.times(row, count)]


def labelled_images(given: Settings, settings: Settings, teacher: Teacher) -> Source | None:
    """A few images with true classes that turned up afterwards, normalised as the teacher wants them, or None.

    Of the network that ships, twenty a class; of the user's own, the test part of the data. Nothing learns from them.
    """
    if given.teacher.path:
        return real_data.load(given.data).test.under(teacher) if presence.has_test(given.data) else None
    where = SHAPES / "images.zip"
    part = folders.parts(where)["test"]
    images, classes = folders.decoded(where, part, teacher.classes, settings.data.region, settings.data.channels)
    return Source(images, classes, classes, teacher.mean, teacher.std, "labelled images")


def _evaluate(
    folder: Path, artefacts: Mapping[str, Artefact], given: Settings, settings: Settings, teacher: Teacher
) -> None:
    """Agreement of the students with the teacher, and accuracies where labelled images turned up: evaluation.json."""
    shown = {"agreement": judges(artefacts, settings, teacher)["agreement"]}
    images = labelled_images(given, settings, teacher)
    if images is not None:
        shown["accuracy"] = images
    found: dict[str, Any] = {"labelled_images": 0 if images is None else len(images)}
    for measure, source in shown.items():
        found[measure] = {
            arm: [
                students.accuracy(artefact.folder, settings, settings.student, source)
                for name, artefact in artefacts.items()
                if name.startswith(f"{arm}-")
            ]
            for arm in ARMS
        }
    if images is not None:
        logits = evaluation.predict(teacher.network, sources.judged(images, settings), settings.run)
        found["accuracy"]["teacher"] = [evaluation.accuracy(logits, images.classes)]
    write_json(folder / "evaluation.json", found)


def worth(artefacts: Mapping[str, Artefact], measure: str) -> dict[str, list[float]]:
    """Each arm's agreement, or accuracy: a value a training. Without labelled images there are no accuracies."""
    return _results(artefacts).get(measure, {})


def _results(artefacts: Mapping[str, Artefact]) -> dict[str, Any]:
    return json.loads((artefacts["evaluation"].folder / "evaluation.json").read_text(encoding="utf-8"))


def metrics(artefacts: Mapping[str, Artefact], given: Settings, teacher: Teacher) -> dict[str, Any]:
    """For the record, of `compute`'s artefacts: what the network is, and what students and finds are worth."""
    settings, results = own(given), _results(artefacts)
    data, count = settings.data, results["labelled_images"]
    found: dict[str, Any] = {"classes": data.classes, "side": data.region, "channels": data.channels}
    found |= {"batch_norm_layers": len(norms.layers(teacher.network)), "images": settings.synthesis.images}
    found |= {"student_network": settings.student.network, "limit_macs": settings.spos.limit_macs}
    found |= {"labelled_images": count} | ({"sampling_error": 0.5 / count**0.5} if count else {})
    for measure in MEASURES:
        for arm, values in results.get(measure, {}).items():
            found[f"{arm}_{measure}"] = statistics.summary(values) if len(values) > 1 else values[0]
    if count:
        gaps = [a - b for a, b in zip(*(results[measure]["student"] for measure in MEASURES), strict=True)]
        found["gap"] = 100 * sum(gaps) / len(gaps)
    return found | standings.told(artefacts, settings.spos.scratch)
