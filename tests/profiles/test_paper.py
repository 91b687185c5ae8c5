"""Every number of the paper's appendix: where it stands, what it acts on, and the steps that follow.

The trainings are begun, up to their first step, on made-up data of the right size; so what is said of them is what the
code does, not what a profile says.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch

from dfnas import profiles
from dfnas.chapters import darts as darts_chapter
from dfnas.chapters import distillation, index, spos
from dfnas.chapters import teacher as teacher_chapter
from dfnas.chapters.consistency import experiment as consistency
from dfnas.chapters.proxylessnas import experiment as proxyless
from dfnas.chapters.pruning import experiment as pruning
from dfnas.chapters.pruning import networks
from dfnas.data import cifar10, sources, splits, synthetic
from dfnas.data import real as real_data
from dfnas.data.image_files import ImageFiles
from dfnas.data.origins import Origin
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.models import darts as cells
from dfnas.models import mbconv, shufflenet
from dfnas.models import pruning as encodings
from dfnas.profiles import Settings
from dfnas.runtime.artefacts import Artefact
from dfnas.search import scratch
from dfnas.synthesis import sets
from dfnas.training import loop, students

SETTINGS = {name: profiles.load(name) for name in ("paper-cifar10", "paper-imagenet")}
CIFAR, IMAGENET = SETTINGS.values()
TEACHER = Teacher(torch.nn.Identity(), (0.5,) * 3, (0.5,) * 3, (), "made up", {})


class Begun(Exception):  # noqa: N818 - nothing went wrong
    """A training came to its first step: its steps, recipe and loss, and the images of the samplers made for it."""

    def __init__(self, steps: int, recipe: Any, loss: Any, images: list[int]) -> None:
        self.steps, self.recipe, self.loss, self.images = steps, recipe, loss, images


def given(count: int, classes: int, soft: bool = False) -> Source:
    labels = torch.arange(count) % classes
    images = ImageFiles(Path(), ("made up",) * count, 256, 256)
    return Source(images, torch.zeros(count, 1) if soft else labels, labels, (0.5,) * 3, (0.5,) * 3)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Inside, real and synthetic data are made up, as many as there are of them, and trainings raise `Begun`."""
    images: list[int] = []

    def sampler(source: Source, *rest: Any, **options: Any) -> Callable:
        images.append(len(source))
        return lambda step, side: None

    def train(network: Any, sample: Any, loss: Any, recipe: Any, run: Any, *, steps: int, **rest: Any) -> None:
        begun = images[:]
        images.clear()
        raise Begun(steps, recipe, loss, begun)

    def real(data: Any) -> splits.Dataset:
        if data.name == "cifar10":
            return cifar10.load(data)
        assert (data.images_per_class, data.validation) == (0, 10)
        parts = [given(count, 1000) for count in (1_281_167 - 10_000, 10_000, 50_000)]
        return splits.Dataset(*parts, ())

    def tensors(source: Path) -> list[torch.Tensor]:
        pixels = torch.zeros(1, 3, 1, 1, dtype=torch.uint8)
        counts = (50_000, 100)
        parts = [(pixels.expand(n, -1, -1, -1), torch.arange(n) % 10, torch.arange(n)) for n in counts]
        return [tensor for part in parts for tensor in part]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DFNAS_RUNS", str(tmp_path_factory.mktemp("runs")))
        patch.setattr(sources, "sampler", sampler)
        patch.setattr(sources, "judged", lambda source, *_: source)
        patch.setattr(loop, "train", train)
        patch.setattr(real_data, "load", functools.cache(real))
        patch.setattr(real_data, "digest", lambda data: "made up")
        patch.setattr(cifar10, "find", lambda data: Path())
        patch.setattr(cifar10, "_tensors", tensors)
        patch.setattr(Source, "on_canvas", lambda source, data: source)
        patch.setattr(consistency, "load_teacher", lambda settings: TEACHER)
        patch.setattr(pruning, "build_net", lambda settings: SimpleNamespace(space=networks.space_of(settings)))
        patch.setattr(synthetic, "load", lambda folder, *_: given(int(folder.name), int(folder.parent.name), soft=True))
        yield images


def source(name: str, settings: Settings) -> Source:
    return origin(name, settings).load(settings, TEACHER)


def origin(name: str, settings: Settings) -> Origin:
    folder = Path(str(settings.data.classes), str(settings.synthesis.images))
    return Origin(name, "made up" if name == "real" else Artefact(name, "made up", folder))


def from_scratch(chapter: str, text: str) -> Callable[[Settings, Path], Any]:
    return lambda settings, folder: scratch.train(folder, text, settings, getattr(settings, chapter).scratch, 0)


def ranked(name: str) -> Callable[[Settings, Path], Any]:
    def begin(settings: Settings, folder: Path) -> None:
        text = cells.to_text(cells.DARTS_V2, cells.Size(settings.consistency.channels, settings.consistency.cells))
        consistency.train(folder, text, consistency.loaded(origin(name, settings), settings)[0], settings, 0)

    return begin


def student(name: str) -> Callable[[Settings, Path], Any]:
    def begin(settings: Settings, folder: Path) -> None:
        arm = next(arm for arm in distillation.arms(settings) if (arm.experiment, arm.name) == ("full", name))
        if arm.source == "real":
            distillation._real_stage(name, arm, 0, settings, TEACHER)
        students.train_synthetic(folder, source("synthetic", settings), settings, TEACHER, arm.student, 0)

    return begin


class Act(NamedTuple):
    """What a number acts on: a row of a plan, and the training behind it."""

    settings: Settings
    row: tuple[str, str]  # chapter and stage in the plan, without its count
    images: int  # that it learns from, or makes
    steps: int  # of one training
    begin: Callable[[Settings, Path], Any] | None = None


PATH = shufflenet.to_text((0,) * 20, spos.space_of(IMAGENET))
BLOCKS = mbconv.to_text([0] * 21, proxyless.space_of(IMAGENET))
FOUND = cells.to_text(cells.DARTS_V2, cells.Size(36, 20))
ENCODING = encodings.to_text((encodings.FULL,) * 20, networks.space_of(IMAGENET))
ACTS = {
    "CIFAR-10's teacher": Act(
        CIFAR,
        ("01-teacher", "teacher"),
        50_000,
        78_125,
        lambda settings, folder: teacher_chapter._train(folder, settings, real_data.load(settings.data)),
    ),
    "CIFAR-10's set": Act(CIFAR, ("02-synthesis", "synthesis"), 50_000, 400_000),
    "ImageNet's teacher": Act(
        IMAGENET,
        ("01-teacher", "teacher"),
        1_271_167,
        446_895,
        lambda settings, folder: teacher_chapter._train(folder, settings, real_data.load(settings.data)),
    ),
    "ImageNet's set": Act(IMAGENET, ("02-synthesis", "synthesis"), 140_000, 14_000_000),
    "verifier": Act(
        IMAGENET,
        ("02-synthesis", "verifier"),
        1_271_167,
        446_895,
        lambda settings, folder: students.verifier_stage(settings),
    ),
    "ranking on CIFAR-10": Act(CIFAR, ("07-consistency", "real"), 50_000, 39_062, ranked("real")),
    "ranking on the set": Act(CIFAR, ("07-consistency", "synthetic"), 50_000, 39_062, ranked("synthetic")),
    "ranking on noise": Act(CIFAR, ("07-consistency", "noise"), 50_000, 39_062, ranked("noise")),
    "paths on ImageNet": Act(
        IMAGENET,
        ("07-consistency", "supernets of real data"),
        1_239_167,
        145_215,
        lambda settings, folder: consistency.supernet_stage("real", origin("real", settings), settings, TEACHER),
    ),
    "paths on the set": Act(
        IMAGENET,
        ("07-consistency", "other supernets"),
        108_000,
        12_656,
        lambda settings, folder: consistency.supernet_stage("noise", origin("noise", settings), settings, TEACHER),
    ),
    "DARTS's search": Act(
        CIFAR,
        ("04-darts", "searches"),
        25_000,
        19_531,
        lambda settings, folder: darts_chapter.search(folder, source("synthetic", settings), settings, 0),
    ),
    "DARTS's find": Act(CIFAR, ("04-darts", "from scratch"), 50_000, 312_500, from_scratch("darts", FOUND)),
    "SPOS's supernet": Act(
        IMAGENET,
        ("05-spos", "supernets"),
        108_000,
        12_656,
        lambda settings, folder: spos.train_supernet(folder, source("synthetic", settings), settings, TEACHER),
    ),
    "SPOS's supernet of real data": Act(
        IMAGENET,
        ("05-spos", "supernets"),
        108_000,
        12_656,
        lambda settings, folder: spos.train_supernet(folder, source("real", settings), settings, TEACHER),
    ),
    "SPOS's find": Act(IMAGENET, ("05-spos", "from scratch"), 1_271_167, 297_930, from_scratch("spos", PATH)),
    "ProxylessNAS's warm-up": Act(
        IMAGENET,
        ("06-proxylessnas", "warm-ups"),
        108_000,
        16_875,
        lambda settings, folder: proxyless.warm_up(folder, source("synthetic", settings), settings, TEACHER),
    ),
    "ProxylessNAS's search": Act(
        IMAGENET,
        ("06-proxylessnas", "searches"),
        108_000,
        50_625,
        lambda settings, folder: proxyless.search(
            folder,
            source("real", settings),
            proxyless.build_supernet(settings),
            proxyless.costs_of(settings, None),
            settings,
            TEACHER,
        ),
    ),
    "ProxylessNAS's find": Act(
        IMAGENET, ("06-proxylessnas", "from scratch"), 1_271_167, 1_489_649, from_scratch("proxylessnas", BLOCKS)
    ),
    "PruningNet": Act(
        IMAGENET,
        ("09-pruning", "PruningNets"),
        108_000,
        13_500,
        lambda settings, folder: pruning.train_net(folder, source("synthetic", settings), settings, TEACHER),
    ),
    "pruned network": Act(
        IMAGENET,
        ("09-pruning", "full"),
        140_000,
        70_000,
        lambda settings, folder: networks.train(folder, ENCODING, 0, source("synthetic", settings), settings, TEACHER),
    ),
    "student": Act(IMAGENET, ("10-distillation", "full synthetic"), 140_000, 34_180, student("synthetic")),
    "student of all real images": Act(
        IMAGENET, ("10-distillation", "full real_all"), 1_271_167, 310_344, student("real_all")
    ),
}


def of(path: str) -> Callable[[Settings, Any], Any]:
    """A setting, or what a training begun has in its recipe."""

    def read(settings: Settings, begun: Any) -> Any:
        value: Any = SimpleNamespace(recipe=begun.recipe) if path.startswith("recipe.") else settings
        for name in path.split("."):
            value = getattr(value, name)
        return value

    return read


def iterations(settings: Settings, _: Any) -> int:
    return sum(count for _, count, _ in settings.synthesis.stages)


def slots(settings: Settings, _: Any) -> int:
    """Images of each class in a batch of synthesis, times batches and rounds."""
    chosen = settings.synthesis
    return sets.batch_count(chosen) * chosen.rounds * chosen.batch // settings.data.classes


def held_out(chapter: str) -> Callable[[Settings, Any], int]:
    return lambda settings, _: getattr(settings, chapter).validation_each * settings.data.classes


def both(settings: Settings, begun: Any) -> list[int]:
    return begun.images


def temperature(settings: Settings, begun: Any) -> float:
    return begun.loss.keywords["temperature"]


def choices(settings: Settings, _: Any) -> tuple[str, ...]:
    return shufflenet.CHOICES


def edges(settings: Settings, _: Any) -> tuple[int, ...]:
    with torch.device("meta"):
        return tuple(darts_chapter.darts_network(settings).alphas[0].shape)


def first_alphas(settings: Settings, _: Any) -> float:
    supernet = darts_chapter.Supernet(cells.Size(4, 3), 10, 3)
    return float(torch.stack(list(supernet.alphas)).detach().abs().max())


# What it acts on: the appendix's section, the number in its words, where it is, and its value.
NUMBERS: dict[str, list[tuple[str, str, Callable[[Settings, Any], Any] | str, Any]]] = {
    "ranking on CIFAR-10": [
        ("A", "100 architectures", "consistency.architectures", 100),
        ("A", "original CIFAR-10 data", lambda settings, begun: begun.images, [50_000]),
    ],
    "ranking on the set": [("A", "synthetic data", lambda settings, begun: begun.images, [50_000])],
    "ranking on noise": [("A", "or random noise", lambda settings, begun: begun.images, [50_000])],
    "paths on ImageNet": [
        ("A", "1000 architectures", "consistency.candidates", 1000),
        ("A", "a SuperNet on ImageNet", "consistency.whole_real", True),
    ],
    "paths on the set": [("A", "1000 on each data source", "consistency.candidates", 1000)],
    "CIFAR-10's teacher": [("B.1", "ResNet-34", "teacher.network", "resnet34")],
    "CIFAR-10's set": [
        ("B.1", "50k", "synthesis.images", 50_000),
        ("B.1", "40x40", "data.canvas", 40),
        ("B.1", "batch-size of 250", "synthesis.batch", 250),
        ("B.1", "2000 iterations in inner loop", iterations, 2000),
        ("B.1", "10 iterations in outer loop", "synthesis.rounds", 10),
        ("B.1", "learning rate of 0.1", "synthesis.learning_rates", (0.1,)),
        ("B.2", "5k images in each class", slots, 5000),
        ("B.2", "a 32x32 region", "data.region", 32),
    ],
    "ImageNet's teacher": [("B.1", "ResNet-50", "teacher.network", "resnet50")],
    "ImageNet's set": [
        ("B.1", "140k", "synthesis.images", 140_000),
        ("B.1", "256x256", "data.canvas", 256),
        ("B.1", "batch-size of 50", "synthesis.batch", 50),
        ("B.1", "learning rate 0.25", "synthesis.learning_rates", (0.25, 0.25)),
        ("B.1", "5000 iteration in inner loop", iterations, 5000),
        ("B.1", "10 iterations in outer loop", "synthesis.rounds", 10),
        ("C.1", "140k images, of each class", slots, 140),
        ("B.3", "1000 classes", "data.classes", 1000),
    ],
    "DARTS's search": [
        ("B.2", "7 nodes, of which 4 have edges to all before them", edges, (14, 8)),
        ("B.2", "8 operations", lambda settings, _: len(cells.PRIMITIVES), 8),
        ("B.2", "8 cells", "darts.cells", 8),
        ("B.2", "channels is set to 16", "darts.channels", 16),
        ("B.2", "half of the training data held out", both, [25_000, 25_000]),
        ("B.2", "momentum 0.9", "recipe.momentum", 0.9),
        ("B.2", "batch size 64", "recipe.batch", 64),
        ("B.2", "initial learning rate 0.025", "recipe.learning_rate", 0.025),
        ("B.2", "weight decay 3e-4", "recipe.weight_decay", 3e-4),
        ("B.2", "50 epochs", "recipe.epochs", 50),
        ("B.2", "zero initialization", first_alphas, 0.0),
        ("B.2", "Adam with initial learning rate 3e-4", "darts.architecture_rate", 3e-4),
        ("B.2", "weight decay 1e-3", "darts.architecture_decay", 1e-3),
    ],
    "DARTS's find": [
        ("B.2", "20 searched cells", "darts.scratch_cells", 20),
        ("B.2", "36 initial channels", "darts.scratch_channels", 36),
        ("B.2", "600 epochs", "recipe.epochs", 600),
        ("B.2", "batch size 96", "recipe.batch", 96),
        ("B.2", "momentum, the same as in search", "recipe.momentum", 0.9),
        ("B.2", "learning rate, the same as in search", "recipe.learning_rate", 0.025),
        ("B.2", "weight decay, the same as in search", "recipe.weight_decay", 3e-4),
    ],
    "SPOS's supernet": [
        ("B.3", "4 candidates: 3x3, 5x5, 7x7, and Xception", choices, shufflenet.CHOICES[:4]),
        ("B.3", "32 synthetic images from each class", "spos.validation_each", 32),
        ("B.3", "the validation dataset", held_out("spos"), 32_000),
        ("B.3", "the remaining 108k", both, [108_000]),
        ("B.3", "120 epochs", "recipe.epochs", 120),
        ("B.3", "momentum 0.9", "recipe.momentum", 0.9),
        ("B.3", "weight decay 4e-5", "recipe.weight_decay", 4e-5),
        ("B.3", "batch size 1024", "recipe.batch", 1024),
        ("B.3", "initial learning rate 0.5", "recipe.learning_rate", 0.5),
        ("the authors' code", "soft labels at temperature 3", temperature, 3.0),
    ],
    "SPOS's supernet of real data": [("B.3", "as many real images, without the validation", both, [108_000])],
    "SPOS's find": [
        ("B.3", "240 epochs", "recipe.epochs", 240),
        ("B.3", "momentum, as the SuperNet", "recipe.momentum", 0.9),
        ("B.3", "weight decay, as the SuperNet", "recipe.weight_decay", 4e-5),
        ("B.3", "batch size, as the SuperNet", "recipe.batch", 1024),
        ("B.3", "learning rate, as the SuperNet", "recipe.learning_rate", 0.5),
    ],
    "ProxylessNAS's warm-up": [
        ("B.4", "kernel sizes 3, 5, 7", lambda *_: sorted({kernel for kernel, _ in mbconv.SIZES}), [3, 5, 7]),
        ("B.4", "expansion ratios 3, 6", lambda *_: sorted({ratio for _, ratio in mbconv.SIZES}), [3, 6]),
    ],
    "ProxylessNAS's search": [
        ("B.4", "about 32k held out", held_out("proxylessnas"), 32_000),
        ("B.4", "Adam with a 0.001 learning rate", "proxylessnas.architecture_rate", 1e-3),
        ("B.4", "the RL-based", "proxylessnas.update", "reinforce"),
    ],
    "ProxylessNAS's find": [
        ("B.4", "with Adam optimizer", "recipe.optimiser", "adam"),
        ("B.4", "300 epochs", "recipe.epochs", 300),
    ],
    "PruningNet": [
        ("C.1", "ResNet-50-based", "pruning.network", "resnet50"),
        ("C.1", "32 images for each class", "pruning.validation_each", 32),
        ("C.1", "32k images for validation", held_out("pruning"), 32_000),
        ("C.1", "108k images as the training set", both, [108_000]),
        ("C.1", "a 224x224 region", "data.region", 224),
        ("C.1", "from the 256x256 images, no other scale", "recipe.crop", "window"),
        ("C.1", "32 epochs", "recipe.epochs", 32),
        ("C.1", "initial learning rate of 0.1", "recipe.learning_rate", 0.1),
        ("C.1", "batch-size of 256", "recipe.batch", 256),
        ("C.1", "momentum of 0.9", "recipe.momentum", 0.9),
        ("C.1", "weight decay of 1e-4", "recipe.weight_decay", 1e-4),
    ],
    "pruned network": [
        ("C.1", "the 140k synthetic images", both, [140_000]),
        ("C.1", "128 epochs", "recipe.epochs", 128),
        ("C.1", "learning rate, the same", "recipe.learning_rate", 0.1),
        ("C.1", "batch-size, the same", "recipe.batch", 256),
        ("C.1", "momentum, the same", "recipe.momentum", 0.9),
        ("C.1", "weight decay, the same", "recipe.weight_decay", 1e-4),
    ],
    "student": [
        ("C.2", "another ResNet-50", "student.network", "resnet50"),
        ("C.2", "140k images", both, [140_000]),
        ("C.2", "momentum 0.875", "recipe.momentum", 0.875),
        ("C.2", "weight decay 3e-5", "recipe.weight_decay", 3e-5),
        ("C.2", "batch-size 1024", "recipe.batch", 1024),
        ("C.2", "initial learning rate 1.024", "recipe.learning_rate", 1.024),
    ],
    "verifier": [],
    "student of all real images": [],
}
ROWS = [(name, *row) for name, rows in NUMBERS.items() for row in rows or [("", "none of its own", lambda *_: 0, 0)]]


@functools.cache
def begun(name: str, folder: Path) -> Begun | None:
    """A training, up to its first step; None where there is nothing to begin."""
    act = ACTS[name]
    if act.begin is None:
        return None
    with pytest.raises(Begun) as caught:
        act.begin(act.settings, folder)
    return caught.value


@functools.cache
def planned(profile: str, chapter: str) -> dict[str, tuple[int, int]]:
    """Iterations of the rows of a chapter's plan, and how many trainings they are of."""
    found = {}
    for row in index.plan(chapter, SETTINGS[profile]):
        name, _, count = row["stage"].rpartition(" x ")
        found[name or count] = row["iterations"], int(count) if name else 1
    return found


@pytest.mark.parametrize(("name", "section", "words", "where", "value"), ROWS, ids=[f"{r[1]} {r[2]}" for r in ROWS])
def test_a_number_of_the_appendix_acts_on_what_the_paper_says(
    name: str, section: str, words: str, where: Any, value: Any, made_up: Any
) -> None:
    act = ACTS[name]
    training = begun(name, Path("nowhere"))
    read = of(where) if isinstance(where, str) else where
    assert read(act.settings, training) == value
    rows = planned(act.settings.profile, act.row[0])
    planned_steps, count = rows[act.row[1]]
    assert planned_steps == act.steps * count
    if training is None:
        assert act.images == act.settings.synthesis.images
    else:
        assert (training.images[0], training.steps) == (act.images, act.steps)


def test_every_act_is_in_the_table() -> None:
    assert set(ACTS) == set(NUMBERS)


SCHEMES = {  # of the originals: what images are cropped by, how far colours move, what true labels are smoothed by
    "SPOS's supernet": ("resized", ()),
    "SPOS's supernet of real data": ("resized", ()),
    "SPOS's find": ("resized", (0.4, 0.4, 0.4, 0.0)),
    "ProxylessNAS's warm-up": ("resized", (32 / 255, 0.0, 0.5, 0.0)),
    "ProxylessNAS's search": ("resized", (32 / 255, 0.0, 0.5, 0.0)),
    "ProxylessNAS's find": ("resized", (0.4, 0.4, 0.4, 0.1)),
    "PruningNet": ("window", ()),
    "pruned network": ("window", ()),
    "student": ("resized", ()),
    "verifier": ("resized", ()),
    "ImageNet's teacher": ("resized", ()),
    "DARTS's find": ("window", ()),
}


@pytest.mark.parametrize("name", SCHEMES)
def test_images_are_augmented_as_the_originals_do(name: str, made_up: Any) -> None:
    recipe = begun(name, Path("nowhere")).recipe
    assert (recipe.crop, recipe.jitter) == SCHEMES[name]


@pytest.mark.parametrize(
    ("name", "smoothing"),
    [
        ("SPOS's supernet of real data", 0.1),
        ("paths on ImageNet", 0.1),
        ("ProxylessNAS's search", 0.1),  # begun on real data
        ("SPOS's find", 0.1),
        ("ProxylessNAS's find", 0.1),
        ("ranking on CIFAR-10", 0.0),
        ("DARTS's find", 0.0),
    ],
)
def test_true_labels_are_smoothed_as_in_the_originals(name: str, smoothing: float, made_up: Any) -> None:
    logits, labels = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([0])
    outputs: Any = logits
    factor = 1.0
    if name == "DARTS's find":  # the auxiliary head answers too
        outputs, factor = (logits, logits), 1.4
    plain = torch.nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing)
    assert torch.isclose(begun(name, Path("nowhere")).loss(outputs, labels), factor * plain)


@pytest.mark.parametrize("name", ["SPOS's supernet", "paths on the set", "PruningNet", "ProxylessNAS's warm-up"])
def test_soft_labels_are_not(name: str, made_up: Any) -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    assert float(begun(name, Path("nowhere")).loss(logits, logits)) == pytest.approx(0.0, abs=1e-6)
