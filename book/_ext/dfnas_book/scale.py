"""The scale of a chapter's experiments, for its card: pixels, steps, images, networks and seeds.

Everything is read from the record: sizes from the resolved settings, numbers of networks from the stages that the run
had. An older record may lack a setting; then that part of a line is left out.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Run = dict[str, Any]
Line = tuple[str, list[str]]  # an experiment, and its scale in parts
ALL_REAL, SYNTHETIC = "all real training images", "synthetic images"


def lines(run: Run) -> list[str]:
    """One line for each experiment of a run: "students: 16x16 pixels, 800 steps of 128, 6,000 images, 3 seeds"."""
    chapter = CHAPTERS.get(run.get("name", ""), lambda _: [])
    try:
        found = [(what, [part for part in parts if part]) for what, parts in chapter(run)]
    except (KeyError, TypeError):  # no settings at all, as of a run that was made up
        return []
    return [f"{what}: {', '.join(parts)}" for what, parts in found if parts]


def at(run: Run, path: str) -> Any:
    """A resolved setting, as `darts.scratch.side`; None where the record has no such one."""
    value = run["parameters"]
    for name in path.split("."):
        value = (value or {}).get(name)
    return value


def count(number: int | None, one: str, several: str = "") -> str:
    """A number of things, or nothing where there are none."""
    return f"{number:,} {one if number == 1 else several or one + 's'}" if number else ""


def pixels(run: Run, stage: str, recipe: str = "", side: int | None = None) -> str:
    """The side of what networks of a stage see, and the smaller ones with which its recipe begins."""
    side = at(run, f"{stage}.side") or side or at(run, "data.region")
    sizes = at(run, f"{recipe}.resolutions") if recipe else ()
    smaller = [f"{size}x{size} in {share:.0%} of the steps" for size, share in sizes or ()]
    return f"{side}x{side} pixels" + (f" ({', '.join(smaller)})" if smaller else "")


def steps(run: Run, recipe: str) -> str:
    """How long a recipe trains, and on batches of how many."""
    number, epochs, batch = (at(run, f"{recipe}.{name}") for name in ("steps", "epochs", "batch"))
    return f"{count(number, 'step')} of {batch}" if number else f"{count(epochs, 'epoch')} in batches of {batch}"


def images(run: Run, number: int | None = None) -> str:
    """The images that are learned from: as many as the synthetic set has, whatever their source."""
    return count(number or at(run, "synthesis.images"), "image")


def real(run: Run) -> str:
    """What is learned from where real images are wanted."""
    learn = run.get("real_images", {"learn": True})["learn"]
    return ALL_REAL if learn else f"{at(run, 'synthesis.images'):,} {SYNTHETIC}"


def networks(run: Run, pattern: str) -> int:
    """How many stages have a name of this pattern; a stage is one network."""
    return sum(bool(re.fullmatch(pattern, name.partition("#")[0])) for name in run.get("stages", {}))


def by_source(run: Run, front: str) -> str:
    """Repeats by source, from the stages whose names begin with `front`: "seeds: synthetic 3, real 3, noise 1"."""
    names = (re.fullmatch(rf"{front}-([a-z_]+?)(-\d+)?", name.partition("#")[0]) for name in run.get("stages", {}))
    sources = Counter(name[1].replace("_", " ") for name in names if name)
    return f"seeds: {', '.join(f'{source} {number}' for source, number in sources.items())}" if sources else ""


def of_set(run: Run, number: int | None = None, rounds: int | None = None, sets: int = 1) -> Line:
    """A synthetic set."""
    iterations = sum(stage[1] for stage in at(run, "synthesis.stages"))
    rounds = rounds or at(run, "synthesis.rounds")
    side, canvas = at(run, "data.region"), at(run, "data.canvas")
    parts = [f"{side}x{side} pixels on a canvas of {canvas}x{canvas}", count(iterations, "iteration") + " a round"]
    return "synthesis", [*parts, images(run, number), count(rounds, "round"), count(sets, "seed")]


def own_network(run: Run) -> Iterator[Line]:
    """Chapter 0, which has settings of its own for the network that ships."""
    ships = not at(run, "teacher.path")
    side, number = run["metrics"].get("side"), count(run["metrics"].get("images"), "image")
    taken = {
        stage: f"{count(at(run, own if ships else f'{recipe}.steps'), 'step')} of {at(run, f'{recipe}.batch')}"
        for stage, own, recipe in (
            ("student", "own_network.student_steps", "student.training"),
            ("spos", "own_network.supernet_steps", "spos.search"),
        )
    }
    yield "synthesis", [f"{side}x{side} pixels", number, "1 seed"]
    parts = [pixels(run, "student", "student.training", side), taken["student"], number]
    yield "students", [*parts, count(at(run, "student.seeds"), "seed") + " on synthetic images and on noise"]
    yield "supernets", [pixels(run, "spos"), taken["spos"], number, by_source(run, "spos-supernet")]
    parts = [pixels(run, "spos.scratch"), steps(run, "spos.scratch.training"), number]
    yield "trainings from scratch", [*parts, count(networks(run, NAMED.format("spos")), "network")]


NAMED = r"{}-(found|random)-.*\d"


def teacher(run: Run) -> Iterator[Line]:
    """Chapter 1."""
    recipe = "teacher.training"
    yield "teacher", [pixels(run, "teacher", recipe), steps(run, recipe), ALL_REAL, "1 network", "1 seed"]


def synthesis(run: Run) -> Iterator[Line]:
    """Chapter 2."""
    yield of_set(run)
    parts = [pixels(run, "student", "student.training"), steps(run, "student.training"), images(run)]
    yield "students", [*parts, count(at(run, "student.seeds"), "seed")]
    yield "sets without a term", [images(run, at(run, "evaluation.ablation_images")), "1 seed"]


def calibration(run: Run) -> Iterator[Line]:
    """Chapter 3."""
    number, rounds, sets = (at(run, f"calibration.{name}") for name in ("images", "rounds", "sets"))
    whole = at(run, "synthesis.images") if at(run, "synthesis.rounds") == rounds else 0
    yield of_set(run, max(number * rounds, whole), rounds, sets or 1)
    recipe = "calibration.student.training"
    parts = [pixels(run, "calibration.student", recipe), steps(run, recipe), images(run, number)]
    trained = count(networks(run, r"arm-.*\d"), "network")
    repeats = count(at(run, "calibration.seeds"), "seed") + (" a set" if (sets or 1) > 1 else "")
    yield "students", [*parts, trained, repeats]


def search(chapter: str, front: str, recipes: tuple[str, ...] = ("search",)) -> Callable[[Run], Iterator[Line]]:
    """Chapters 4 to 6: supernets by source, and trainings from scratch."""

    def of(run: Run) -> Iterator[Line]:
        taken = " and ".join(steps(run, f"{chapter}.{recipe}") for recipe in recipes)
        parts = [pixels(run, chapter, f"{chapter}.{recipes[-1]}"), taken, images(run)]
        yield "searches", [*parts, by_source(run, front)]
        recipe = f"{chapter}.scratch.training"
        parts = [pixels(run, f"{chapter}.scratch", recipe), steps(run, recipe), real(run)]
        trained = networks(run, NAMED.format(front.partition("-")[0]))
        repeats = count(at(run, f"{chapter}.scratch.seeds"), "seed") + " a find, 1 a random network"
        yield "trainings from scratch", [*parts, count(trained, "network"), repeats]

    return of


def consistency(run: Run) -> Iterator[Line]:
    """Chapter 7."""
    recipe = "consistency.training"
    drawn, paths = at(run, "consistency.architectures"), at(run, "consistency.candidates")
    if drawn:
        parts = [pixels(run, "consistency", recipe), steps(run, recipe), f"all real images or {images(run)}"]
        yield "trainings from scratch", [*parts, count(drawn, "network"), by_source(run, "consistency-trained")]
    if paths:
        parts = [pixels(run, "spos"), steps(run, "spos.search"), images(run)]
        supernets = count(networks(run, r"spos-supernet-.*"), "supernet")
        repeats = count(at(run, "consistency.supernets") or 1, "seed") + " each"
        yield "paths", [*parts, count(paths, "path"), supernets, repeats]


def truth(run: Run) -> Iterator[Line]:
    """Chapter 8."""
    side, judged = pixels(run, "truth"), at(run, "truth.architectures") or run["metrics"].get("architectures")
    trained = count(networks(run, r"truth-supernet-.*"), "supernet")
    repeats = count(at(run, "truth.seeds"), "seed") + " of each source that a claim compares"
    yield "supernets", [side, steps(run, "truth.training"), images(run), trained, repeats]
    parts = [side, steps(run, "truth.scratch"), f"all real images or {images(run)}"]
    yield "trainings from scratch", [*parts, count(at(run, "truth.scratch_architectures"), "network"), "1 seed"]
    if run["metrics"].get("table_name") == "trained here":
        parts = [side, steps(run, "truth.full"), ALL_REAL, count(at(run, "truth.trained"), "network"), "1 seed"]
        yield "the table's trainings", parts
    yield "ranked", [count(judged, "architecture")]


def pruning(run: Run) -> Iterator[Line]:
    """Chapter 9."""
    parts = [pixels(run, "pruning", "pruning.search"), steps(run, "pruning.search"), images(run)]
    yield "PruningNets", [*parts, by_source(run, "pruning-net")]
    recipe, windows = "pruning.training", len(at(run, "pruning.windows"))
    parts = [pixels(run, "pruning", recipe), steps(run, recipe), images(run)]
    trained = count(networks(run, r"pruning-(pruned_on_synthetic|pruned_on_real|uniform|random|full)-.*\d"), "network")
    repeats = count(at(run, "pruning.seeds"), "seed") + " a find, 1 a random encoding"
    yield "trainings", [*parts, trained, f"{windows} windows", repeats]


def distillation(run: Run) -> Iterator[Line]:
    """Chapter 10."""
    recipe, cheap = "student.training", "distillation.comparison"
    parts = [pixels(run, "student", recipe), steps(run, recipe), images(run)]
    yield "full recipe", [*parts, count(at(run, "student.seeds"), "seed")]
    parts = [pixels(run, cheap, f"{cheap}.training"), steps(run, f"{cheap}.training"), f"up to {images(run)}"]
    trained = count(networks(run, r"distillation-(labels|images|networks)-.*\d"), "network")
    yield "cheap recipe", [*parts, trained, count(at(run, "distillation.seeds"), "seed")]


def kernels(run: Run) -> Iterator[Line]:
    """Chapter 11: nothing is trained."""
    rows, pairs = run["metrics"].get("rows"), run["metrics"].get("pairs")
    yield "measurements", [count(rows, "row"), f"by default {count(pairs, 'pair')} of timings"]


def results(run: Run) -> Iterable[Line]:
    """Chapter 12: nothing is trained."""
    return [("claims", [f"{run['metrics']['claims']} about the method, from the records of the other chapters"])]


CHAPTERS: dict[str, Callable[[Run], Iterable[Line]]] = {
    "00-own-network": own_network,
    "01-teacher": teacher,
    "02-synthesis": synthesis,
    "03-calibration": calibration,
    "04-darts": search("darts", "darts-search"),
    "05-spos": search("spos", "spos-supernet"),
    "06-proxylessnas": search("proxylessnas", "proxyless-search", ("warm_up", "search")),
    "07-consistency": consistency,
    "08-truth": truth,
    "09-pruning": pruning,
    "10-distillation": distillation,
    "11-kernels": kernels,
    "12-results": results,
}
