"""What no setting may be, and the one line that says so: for overrides, profile files and variants alike."""

import dataclasses
import typing
from pathlib import Path
from typing import Any

import pytest

from dfnas import profiles
from dfnas.errors import UserError
from dfnas.profiles import kinds, settings
from dfnas.profiles.kinds import PATH
from dfnas.profiles.resolve import variant

# Names and texts, which whoever reads them refuses: networks, builders, files of the package.
FREE = {"network", "verifier_network", "narrow", "searched", "builder", "shipped"}
OF_A_RUN = {"profile", "chapters", "seed", "overrides", "file", "base"}  # which no override can name

# kind of mistake, override (several: "a=1 & b=2"), what the line says
ROWS = [
    ("word", "student.labels=Online", "student.labels='Online' (did you mean 'online'?): there are online, stored, ha"),
    ("word", "student.labels=HARD", "student.labels='HARD' (did you mean 'hard'?): there are online, stored, hard"),
    ("word", "calibration.student.labels=soft", "calibration.student.labels='soft': there are online, stored, hard"),
    ("word", "spos.labels=hard", "spos.labels='hard': there are stored, online"),
    ("word", "proxylessnas.labels=stord", "proxylessnas.labels='stord' (did you mean 'stored'?)"),
    ("word", "pruning.labels=hard", "pruning.labels='hard': there are stored, online"),
    ("word", "data.name=Cifar10", "data.name='Cifar10' (did you mean 'cifar10'?): there are digits, cifar10, imagenet"),
    ("word", "data.padding=edge", "data.padding='edge': there are reflect, zero"),
    ("word", "teacher.training.schedule=step", "teacher.training.schedule='step': there are cosine, linear"),
    ("word", "spos.search.optimiser=adamw", "spos.search.optimiser='adamw' (did you mean 'adam'?): there are sgd, ada"),
    ("word", "darts.search.crop=random", "darts.search.crop='random': there are window, resized"),
    ("word", "darts.order=2", "darts.order='2': there are first, second"),
    ("word", "proxylessnas.update=reinfroce", "proxylessnas.update='reinfroce' (did you mean 'reinforce'?)"),
    ("word", "proxylessnas.cost=flops", "proxylessnas.cost='flops': there are macs, latency"),
    ("word", "synthesis.flip=often", "synthesis.flip='often': there are random, always, never"),
    ("word", "synthesis.update=", "synthesis.update='': there are region, jitter, whole"),
    ("word", "synthesis.keep_rounds=some", "synthesis.keep_rounds='some': there are all, last"),
    ("word", "synthesis.stages=((4, 9, 'pol'),)", "synthesis.stages='pol' (did you mean 'pool'?): there are pool, gro"),
    ("word", "synthesis.label_view=mean_crops:x", "must be center, last_crop, or mean_crops:k with k from 1 to 999"),
    ("word", "synthesis.label_view=mean_crops:0", "synthesis.label_view='mean_crops:0': it must be center, last_crop"),
    ("word", "synthesis.label_view=mean_crops", "synthesis.label_view='mean_crops': it must be center, last_crop"),
    ("word", "run.device=gpu", "run.device='gpu' (did you mean 'cpu'?): there are auto, cpu, cuda"),
    ("word", "run.precision=fp16", "run.precision='fp16' (did you mean 'bf16'?): there are auto, fp32, bf16"),
    ("word", "kernels.benchmarks=('kernls',)", "kernels.benchmarks='kernls' (did you mean 'kernels'?): there are synt"),
    ("name", "synthesis.imgaes=5", "synthesis.imgaes: no 'imgaes' (did you mean 'images'?); there are images, batch"),
    ("name", "sinthesis.images=5", "sinthesis: no 'sinthesis' (did you mean 'synthesis'?); there are run, data"),
    ("name", "synthesis.images.more=5", "synthesis.images has no fields of its own"),
    ("name", "student.training=5", "student.training has fields of its own: name one"),
    ("name", "synthesis.\u0456mages=5", "synthesis.\u0456mages: no '\u0456mages' (did you mean 'images'?)"),
    ("form", "synthesis=5", "cannot read override 'synthesis=5': write \"stage.field=value\""),
    ("form", "synthesis.images", "cannot read override 'synthesis.images': write"),
    ("form", "synthesis.flip=never\n", "cannot read override 'synthesis.flip=never\\n': write"),
    ("type", "synthesis.images=", "synthesis.images: '' is not of type int"),
    ("type", "synthesis.images=1e3", "synthesis.images: 1000.0 is not of type int"),
    ("type", "student.training.steps=True", "student.training.steps: True is not of type int"),
    ("type", "student.training.learning_rate=high", "student.training.learning_rate: 'high' is not of type float"),
    ("type", "student.training.learning_rate=nan", "student.training.learning_rate: 'nan' is not of type float"),
    ("type", "run.compile=maybe", "run.compile: 'maybe' is not of type bool"),
    ("type", "synthesis.betas=0.5", "synthesis.betas: 0.5 is not of type tuple[float, float]"),
    ("type", "synthesis.betas=(0.5, 0.9, 0.9)", "synthesis.betas: (0.5, 0.9, 0.9) is not of type tuple[float, float]"),
    ("type", "synthesis.stages=((4, 9),)", "synthesis.stages: ((4, 9),) is not of type tuple[tuple[int, int, str], .."),
    ("type", "kernels.benchmarks=kernels", "kernels.benchmarks: 'kernels' is not of type tuple[str, ...]"),
    ("range", "student.training.batch=0", "student.training.batch=0: it must be from 2 to 1,000,000,000"),
    ("range", "synthesis.batch=0", "synthesis.batch=0: it must be from 1 to 1,000,000,000"),
    ("range", "synthesis.rounds=0", "synthesis.rounds=0: it must be from 1 to 1,000"),
    ("range", f"synthesis.images=1{'0' * 30}", "it must be from 1 to 1,000,000,000"),
    ("range", "synthesis.betas=(0.5, 1.0)", "synthesis.betas=1.0: it must be from 0 up to, but not, 1"),
    ("range", "darts.architecture_betas=(1, 0.9)", "darts.architecture_betas=1: it must be from 0 up to, but not, 1"),
    ("range", "proxylessnas.architecture_betas=(0.0, 1.0)", "proxylessnas.architecture_betas=1.0: it must be from 0"),
    ("range", "proxylessnas.reference=-1", "proxylessnas.reference=-1: it must be from 0 to 1e+15"),
    ("range", "proxylessnas.latency.networks=2", "proxylessnas.latency.networks=2: it must be from 3 to 1,000"),
    ("range", "student.training.learning_rate=0", "student.training.learning_rate=0: it must be above 0"),
    ("range", "student.training.learning_rate=1e999", "student.training.learning_rate=inf: it must be above 0, and up"),
    ("range", "student.training.momentum=1", "student.training.momentum=1: it must be from 0 up to, but not, 1"),
    ("range", "student.training.milestones=(1.5,)", "student.training.milestones=1.5: it must be from 0 to 1"),
    ("range", "student.training.resolutions=((0, 0.5),)", "student.training.resolutions=0: it must be from 1 to 4,096"),
    ("range", "student.temperature=0", "student.temperature=0: it must be above 0"),
    ("range", "student.mixing=1.5", "student.mixing=1.5: it must be from 0 to 1"),
    ("range", "consistency.held_out=1", "consistency.held_out=1: it must be from 0 up to, but not, 1"),
    ("range", "distillation.iterations_share=1", "distillation.iterations_share=1: it must be between 0 and 1"),
    ("range", "teacher.mean=(127.5,)", "teacher.mean=127.5: it must be from 0 to 1: divide values of 0 to 255 by 255"),
    ("range", "teacher.std=(0,)", "teacher.std=0: it must be above 0, at most 1"),
    ("range", "spos.space.strides=(3, 2)", "spos.space.strides=3: it must be from 1 to 2"),
    ("range", "spos.evolution.population=0", "spos.evolution.population=0: it must be from 1 to 1,000,000,000"),
    ("range", "calibration.rounds=1", "calibration.rounds=1: it must be from 2 to 1,000"),
    ("range", "run.processes=-1", "run.processes=-1: it must be from 0 to 64"),
    ("range", "data.class_names=('a\\n',) & data.name=folder", "data.class_names='a\\n': it must be one line of text"),
    *(
        ("spread", f"{field}=1", f"{field}=1: it must be from 2 to 1,000, since the chapter reports a spread")
        for field in (
            *("calibration.seeds", "darts.scratch.alike", "darts.scratch.seeds", "spos.scratch.random"),
            *("proxylessnas.scratch.seeds", "pruning.seeds", "pruning.random", "distillation.seeds"),
        )
    ),
    ("word", "spos.scratch.searches=(('synthetics', 2),)", "'synthetics' (did you mean 'synthetic'?): there are"),
    ("range", "spos.scratch.searches=(('synthetic', 0),)", "spos.scratch.searches=0: it must be from 1 to 1,000"),
    ("together", "spos.scratch.searches=(('real', 2),)", "it must name synthetic, and each source once"),
    ("together", "darts.scratch.searches=(('synthetic', 2), ('synthetic', 1))", "it must name synthetic, and each"),
    ("together", "calibration.between=(1,)", "calibration.between=(1,): it must name rounds between the first"),
    ("together", "data.region=24", "data.region=24: it must be at most the canvas, 20, and the side of an image, 16"),
    ("together", "data.canvas=12", "data.region=16: it must be at most the canvas, 12"),
    ("together", "data.canvas=48 & data.padding=reflect", "data.canvas=48: images of 16 are reflected to 46 at most"),
    ("together", "data.classes=7", "data.channels=1, data.classes=7: digits has 1, and 10"),
    ("together", "data.class_names=('a', 'b')", "data.class_names: 2 names, and data.classes is 10"),
    ("together", "synthesis.images=150", "synthesis.images=150: it must be a multiple of batch x rounds kept = 50 x 2"),
    ("together", "synthesis.learning_rates=(0.1,)", "synthesis.learning_rates=(0.1,): there must be one for each of s"),
    ("together", "synthesis.stages=() & synthesis.learning_rates=()", "synthesis.learning_rates=(): there must be one"),
    (
        "together",
        "synthesis.stages=((5, 10, 'grow'),) & synthesis.learning_rates=(0.1,)",
        "synthesis.stages: (5, 10, 'grow') is no stage of canvas 20 and region 16: a scale divides both",
    ),
    ("together", "teacher.builder=m:f", "teacher.builder='m:f': it has no weights: give teacher.path too"),
    ("together", "student.training.steps=0", "student.training.steps=0: it must be above 0, or epochs must be"),
    ("together", "student.training.jitter=(0.1,) & data.name=none & data.channels=3", "it must have four values"),
    ("together", "spos.search.resolutions=((8, 0.7), (9, 0.7))", "spos.search.resolutions=((8, 0.7), (9, 0.7)): the s"),
    ("together", "student.mixing=0.5 & student.labels=stored", "student.mixing=0.5: it must be 0 unless labels is onl"),
    ("together", "calibration.student.mixing=0.1", "calibration.student.mixing=0.1: it must be 0, as arms differ in"),
    ("together", "distillation.comparison.mixing=0.1", "distillation.comparison.mixing=0.1: it must be 0, as arms"),
    ("together", "darts.search.averaging=0.9", "darts.search.averaging=0.9: it must be 0, as these weights move"),
    ("together", "darts.search.label_smoothing=0.1", "darts.search.label_smoothing=0.1: it must be 0, as these weig"),
    ("together", "truth.darts.search.averaging=0.9", "truth.darts.search.averaging=0.9: it must be 0, as these wei"),
    ("together", "darts.search.optimiser=adam", "darts.search.optimiser=adam: it must be sgd unless order is first"),
    ("together", "proxylessnas.delay=0.99", "proxylessnas.delay=0.99: it must leave a step of the search's 12"),
    ("together", "truth.held_out=0.002", "truth.held_out=0.002: of 200 images some must be held out, and not all"),
    ("together", "consistency.held_out=0.999", "consistency.held_out=0.999: of 200 images some must be held out"),
    ("range", "proxylessnas.judged_batch=1", "proxylessnas.judged_batch=1: it must be from 2 to 1,000,000,000"),
    ("together", "proxylessnas.warm_up.averaging=0.9", "proxylessnas.warm_up.averaging=0.9: it must be 0, as paths"),
    ("together", "spos.evolution.mutations=9", "spos.evolution.population=6: it must be mutations + crossovers or mor"),
    ("together", "darts.search.jitter=(0.1, 0.1, 0.1, 0.1)", "darts.search.jitter=(0.1, 0.1, 0.1, 0.1): it must be"),
    ("together", "spos.bins=(5,)", "spos.bins=(5,): it must be two or more numbers that rise, or none"),
    ("together", "spos.bins=(5, 5)", "spos.bins=(5, 5): it must be two or more numbers that rise, or none"),
    ("together", "teacher.mean=(0.5, 0.5) & teacher.path=x", "teacher.mean and teacher.std must both give 1 values"),
    ("together", "teacher.mean=(0.5,)", "teacher.mean and teacher.std are of a network of one's own: give"),
    ("range", "darts.cells=2", "darts.cells=2: it must be from 3 to 1,000"),
    ("together", "spos.space.widths=(16,)", "spos.space.widths=(16,): widths, repeats and strides must each have a va"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "override", "line"), ROWS, ids=[row[1] for row in ROWS])
def test_a_mistake_is_one_line_that_names_its_field(kind, override, line):
    with pytest.raises(UserError) as caught:
        profiles.load("smoke", 0, override.split(" & "))
    assert line in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_profile_file_a_variant_and_a_device_are_refused_alike(tmp_path: Path, monkeypatch):
    line = "student.labels='Online' (did you mean 'online'?): there are online, stored, hard"
    (tmp_path / "mine.toml").write_text('base = "smoke"\n[student]\nlabels = "Online"\n', encoding="utf-8")
    with pytest.raises(UserError) as of_file:
        profiles.load(str(tmp_path / "mine.toml"))
    assert str(of_file.value) == f"mine.toml, line 3: {line}"
    with pytest.raises(UserError) as of_variant:
        variant(profiles.load("smoke"), student={"labels": "Online"})
    assert str(of_variant.value) == line
    (tmp_path / "mine.toml").write_text(
        'base = "smoke"\n[student]\ntraining.steps = 9\nmixing = 0.5\nlabels = "hard"\n', encoding="utf-8"
    )
    with pytest.raises(UserError, match=r"mine\.toml, line 5: student\.mixing=0\.5: it must be 0 unless"):
        profiles.load(str(tmp_path / "mine.toml"))
    (tmp_path / "mine.toml").write_text('base = "smoke"\n[student]\ntemperature = nan\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"mine\.toml, line 3: student\.temperature=nan: it must be above 0"):
        profiles.load(str(tmp_path / "mine.toml"))
    with pytest.raises(UserError, match=r"run\.device='tpu'"):
        profiles.load("smoke", device="tpu")
    monkeypatch.setenv("DFNAS_DEVICE", "tpu")
    with pytest.raises(UserError, match=r"run\.device='tpu'"):
        profiles.load("smoke")


def test_overrides_that_were_read_can_be_read_again(tmp_path: Path, monkeypatch):
    """A notebook's kernel has another working folder: a path is of the folder in which it was given."""
    monkeypatch.chdir(tmp_path)
    given = [" teacher.path = 'my weights.pt' ", "synthesis.images= 100", "student.labels='hard'"]
    first = profiles.load("smoke", 0, given)
    path = str(tmp_path / "my weights.pt")
    assert first.teacher.path == path
    assert first.overrides == (f"teacher.path={path}", "synthesis.images=100", "student.labels=hard")
    monkeypatch.chdir("/")
    assert profiles.load("smoke", 0, first.overrides) == first


PARTS = [part for part in vars(settings).values() if getattr(part, "__module__", "") == settings.__name__]
PARTS = [part for part in PARTS if isinstance(part, type)]


def scalars(kind: Any) -> list[Any]:
    """The kinds of what a field holds, inside tuples too."""
    if typing.get_origin(kind) is tuple:
        return [scalar for item in typing.get_args(kind) if item is not Ellipsis for scalar in scalars(item)]
    return [kind]


def refused(value: Any, kind: Any) -> bool:
    try:
        kinds.check(value, kind, "")
    except UserError:
        return True
    return False


@pytest.mark.parametrize("part", PARTS)
def test_every_field_has_a_kind_that_bounds_it(part):
    """A new field says what it may hold: choices, a range, a path; or it is a name that its reader refuses."""
    open_fields = set()
    for name, whole in typing.get_type_hints(part, include_extras=True).items():
        for kind in scalars(whole):
            if dataclasses.is_dataclass(kind) or kind is bool or PATH in typing.get_args(kind):
                continue
            nonsense = ("none of\nthese",) if refused(1, kind) and refused(1.5, kind) else (-(10**30), 10**30)
            if not all(refused(value, kind) for value in (*nonsense, float("nan"), None)):
                open_fields.add(name)
    assert open_fields <= (OF_A_RUN if part is settings.Settings else FREE)


def every_field_holds_what_it_may(part: Any, place: str = "") -> None:
    for name, kind in typing.get_type_hints(type(part), include_extras=True).items():
        value = getattr(part, name)
        if dataclasses.is_dataclass(value):
            every_field_holds_what_it_may(value, f"{place}{name}.")
        elif value is not None:
            kinds.check(value, kind, f"{place}{name}")


@pytest.mark.parametrize("name", profiles.NAMES)
def test_every_profile_holds_what_it_may(name):
    every_field_holds_what_it_may(profiles.load(name))
