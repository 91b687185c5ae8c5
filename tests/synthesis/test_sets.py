"""Sets, rounds and labels: what recurs, what a killed run keeps, and the defects of the references."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from dfnas import profiles
from dfnas.chapters import synthesis
from dfnas.data import real as real_data
from dfnas.data import sources, splits, synthetic, teachers
from dfnas.data.images import center_crop
from dfnas.data.sources import Source
from dfnas.errors import UserError
from dfnas.runtime import stages
from dfnas.synthesis import inversion, sets
from dfnas.training import evaluation

SETTINGS = profiles.load("smoke")
TINY = dataclasses.replace(
    SETTINGS.synthesis, images=80, batch=20, rounds=2, stages=((1, 3, "grow"),), learning_rates=(0.1,)
)


@pytest.fixture(scope="module")
def digits_teacher():
    return teachers.load(SETTINGS)


@pytest.fixture(scope="module")
def tiny(digits_teacher, tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    make(folder, digits_teacher)
    return folder


def make(folder, digits_teacher, chosen=TINY, seed=0):
    sets.synthesise(folder, digits_teacher, chosen, SETTINGS.data, SETTINGS.run, seed)


def test_a_set_has_every_round_of_every_slot(tiny, digits_teacher):
    made = synthetic.load(tiny, digits_teacher)
    assert made.images.shape == (80, 1, 20, 20)
    assert made.images.dtype == torch.uint8
    assert synthetic.read(synthetic.shard_path(tiny, 0, 0)).logits.dtype == torch.float16
    assert made.classes.dtype == torch.int64
    assert (made.mean, made.std) == (digits_teacher.mean, digits_teacher.std)
    first, last = (synthetic.load(tiny, digits_teacher, number) for number in range(2))
    assert len(first) == len(last) == 40
    slots = torch.cat([sets.slot_classes(TINY, SETTINGS.data, 0, batch) for batch in range(2)])
    assert torch.equal(first.classes, slots)
    assert torch.equal(last.classes, slots)  # slots keep their identity
    assert torch.equal(made.images, torch.cat([first.images, last.images]))
    assert synthetic.terms(tiny).shape == (2, 3, len(inversion.TERMS))


def test_every_round_is_balanced_by_slot(tiny, digits_teacher):
    assert torch.bincount(synthetic.load(tiny, digits_teacher, 1).classes).tolist() == [4] * 10


def test_balance_at_the_papers_sizes():
    cifar, imagenet = (profiles.load(name) for name in ("paper-cifar10", "paper-imagenet"))
    for batch in range(3):
        classes = sets.slot_classes(cifar.synthesis, cifar.data, 0, batch)
        assert torch.bincount(classes).tolist() == [25] * 10
    one_pass = [sets.slot_classes(imagenet.synthesis, imagenet.data, 0, batch) for batch in range(20)]
    assert all(len(set(classes.tolist())) == 50 for classes in one_pass)
    assert torch.cat(one_pass).sort().values.tolist() == list(range(1000))
    assert sets.batch_count(imagenet.synthesis) == 280
    assert sets.batch_count(dataclasses.replace(imagenet.synthesis, keep_rounds="last")) == 2800


def test_stored_labels_are_the_teachers_on_the_stored_image(tiny, digits_teacher):
    """Not on the last crop, not mirrored, not before the last step: reload, and the teacher says the same (I35)."""
    made = synthetic.load(tiny, digits_teacher)
    regions = center_crop(made.images, 16)
    seen = Source(regions, made.classes, made.classes, digits_teacher.mean, digits_teacher.std)
    logits = evaluation.predict(digits_teacher.network, seen, SETTINGS.run)
    assert torch.equal(logits.argmax(1), made.targets.argmax(1))
    assert torch.allclose(logits, made.targets, atol=2e-2)
    assert not made.targets.requires_grad


def test_only_logits_are_carried(tiny, digits_teacher):
    first = synthetic.read(synthetic.shard_path(tiny, 0, 1))
    with inversion.Inversion(digits_teacher, TINY, SETTINGS.data, SETTINGS.run) as inverter:
        again = sets.make_shard(inverter, 1, 1, first.logits, 0)
        moved = sets.make_shard(inverter, 1, 1, first.logits.flip(0), 0)
    stored = synthetic.read(synthetic.shard_path(tiny, 1, 1))
    assert torch.equal(again.images, stored.images)
    assert not torch.equal(moved.images, stored.images)


@pytest.mark.parametrize(
    ("changes", "scale", "message"),
    [
        ({"batch_norm_weight": 1e38}, 1.0, r"round 0, batch 0: .* at iteration [12]: lower"),
        ({}, 1e6, "logits beyond"),
    ],
)
def test_a_batch_that_is_not_finite_is_one_line_and_no_shard(tmp_path, changes, scale, message):
    teacher = teachers.load(SETTINGS)
    teacher.network.linear.weight *= scale
    with pytest.raises(UserError, match=message):
        make(tmp_path, teacher, dataclasses.replace(TINY, **changes))
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_later_round_needs_the_round_before(digits_teacher):
    with (
        inversion.Inversion(digits_teacher, TINY, SETTINGS.data, SETTINGS.run) as inverter,
        pytest.raises(ValueError, match="round before"),
    ):
        sets.make_shard(inverter, 1, 0, None, 0)


def test_keep_last_leaves_the_last_round_alone(tmp_path, digits_teacher):
    make(tmp_path, digits_teacher, dataclasses.replace(TINY, images=20, keep_rounds="last"))
    made = synthetic.load(tmp_path, digits_teacher)
    assert len(made) == 20
    assert torch.equal(made.images, synthetic.load(tmp_path, digits_teacher, 1).images)
    assert [path.name for path in tmp_path.iterdir()] == [synthetic.shard_path(tmp_path, 1, 0).name]


@pytest.mark.parametrize("view", ["last_crop", "mean_crops:3"])
def test_other_label_views_give_other_labels_of_the_same_images(tmp_path, digits_teacher, tiny, view):
    make(tmp_path, digits_teacher, dataclasses.replace(TINY, images=20, rounds=1, label_view=view))
    first, other = (synthetic.read(synthetic.shard_path(folder, 0, 0)) for folder in (tiny, tmp_path))
    assert torch.equal(first.images, other.images)
    assert not torch.equal(first.logits, other.logits)


VIEWS = {
    "region": lambda x, top, left: x[..., top : top + 16, left : left + 16],
    "jitter": lambda x, top, left: x.roll((top, left), (2, 3)),
    "whole": lambda x, top, left: x,
}


@pytest.mark.parametrize("update", VIEWS)
@pytest.mark.parametrize("stage", [(1, 9, "grow"), (2, 9, "grow"), (2, 9, "pool")])
def test_labels_of_the_last_crop_are_of_what_the_teacher_saw_last(digits_teacher, update, stage):
    chosen = dataclasses.replace(TINY, stages=(stage,), update=update, jitter=3, label_view="last_crop")
    images = real_data.train(SETTINGS.data, 20).images
    with inversion.Inversion(digits_teacher, chosen, SETTINGS.data, SETTINGS.run) as inverter:
        for batch in range(3):
            logits = sets.label(inverter, images, 0, 0, batch)
            offsets, flips = (drawn[-1] for drawn in inversion.draws(chosen, SETTINGS.data, 0, 0, 0, batch))
            seen = VIEWS[update](images, *(stage[0] * offsets).tolist())
            seen = seen.flip(3) if flips else seen
            assert torch.equal(logits, evaluation.answers(digits_teacher, seen, SETTINGS.run).half())


@pytest.mark.parametrize(
    ("changes", "anew"),
    [
        ({}, 0),
        ({"label_view": "last_crop"}, 0),
        ({"update": "jitter", "jitter": 1}, 0),
        ({"update": "whole", "jitter": 0}, 0),
        ({"update": "whole", "label_view": "last_crop"}, 1),
        ({"update": "jitter", "jitter": 0}, 1),
        ({"stages": ((2, 3, "pool"),), "label_view": "last_crop"}, 1),
    ],
)
def test_sets_that_a_mended_fault_changes_are_made_anew(digits_teacher, monkeypatch, changes, anew):
    versions = []
    monkeypatch.setattr(sets.stages, "stage", lambda *_, version, **__: versions.append(version))
    sets.set_stage("synthesis", SETTINGS, digits_teacher, dataclasses.replace(TINY, **changes))
    assert versions == [sets.VERSION + anew]


def test_a_batch_does_not_depend_on_what_was_made_before(tmp_path, tiny, digits_teacher):
    with inversion.Inversion(digits_teacher, TINY, SETTINGS.data, SETTINGS.run) as inverter:
        alone = sets.make_shard(inverter, 0, 1, None, 0)
    stored = synthetic.read(synthetic.shard_path(tiny, 0, 1))
    assert torch.equal(alone.images, stored.images)
    assert torch.equal(alone.logits, stored.logits)


def test_runs_of_two_seeds_share_nothing(tmp_path, tiny, digits_teacher):
    """Files of one run never stand for another's: the seed is in the stage's key and in the shard."""
    make(tmp_path, digits_teacher, seed=1)
    one, other = (synthetic.load(folder, digits_teacher) for folder in (tmp_path, tiny))
    assert not torch.equal(one.images, other.images)
    keys = [
        stages.keys(lambda s=s: sets.set_stage("synthesis", s, digits_teacher, TINY))["synthesis"]
        for s in (SETTINGS, dataclasses.replace(SETTINGS, seed=1))
    ]
    assert keys[0] != keys[1]


def test_missing_shards_are_remade_with_the_same_bits(tmp_path, tiny, digits_teacher):
    make(tmp_path, digits_teacher)
    synthetic.shard_path(tmp_path, 1, 0).unlink()
    synthetic.shard_path(tmp_path, 0, 1).unlink()
    make(tmp_path, digits_teacher)
    assert synthetic.digest(tmp_path) == synthetic.digest(tiny)


def test_a_truncated_shard_is_one_line_and_stays(tmp_path, digits_teacher):
    make(tmp_path, digits_teacher, dataclasses.replace(TINY, images=40))
    path = synthetic.shard_path(tmp_path, 0, 0)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="delete it") as caught:
        synthetic.load(tmp_path, digits_teacher)
    assert "\n" not in str(caught.value)
    assert path.exists()


def test_a_set_that_lacks_a_shard_is_refused(tmp_path, digits_teacher):
    make(tmp_path, digits_teacher)
    synthetic.shard_path(tmp_path, 0, 0).unlink()
    for ask in (synthetic.digest, synthetic.terms, lambda folder: synthetic.load(folder, digits_teacher)):
        with pytest.raises(UserError, match="--force"):
            ask(tmp_path)


def test_synthesis_and_students_cannot_reach_real_data(tmp_path, digits_teacher, monkeypatch):
    """The guard is on where it must be: whatever they call would raise if it asked for real data."""
    from dfnas.training import students

    def peek(*_, **__):
        real_data.load(SETTINGS.data)

    make(tmp_path, digits_teacher)
    whole = synthetic.load(tmp_path, digits_teacher)
    monkeypatch.setattr(inversion, "invert", peek)
    with pytest.raises(splits.RealDataError):
        make(tmp_path, digits_teacher, seed=1, chosen=dataclasses.replace(TINY, images=160))
    monkeypatch.setattr(sources, "sampler", peek)
    with pytest.raises(splits.RealDataError):
        students.train_synthetic(tmp_path, whole, SETTINGS, digits_teacher, SETTINGS.student, 0)


def test_no_set_is_one_line(tmp_path, digits_teacher):
    with pytest.raises(UserError, match="no synthetic set"):
        synthetic.load(tmp_path, digits_teacher)


def test_expected_update_counts_of_the_papers_cifar_setting():
    settings = profiles.load("paper-cifar10")
    expected = synthesis.expected_update_counts(settings.synthesis, settings.data)
    assert float(expected[0, 0]) == pytest.approx(2000 / 81)
    assert (expected[8:32, 8:32] == 2000).all()
    assert torch.equal(expected, expected.flip(0))
    assert float(expected.sum()) == pytest.approx(2000 * 32 * 32)  # each iteration updates one region


def test_update_counts_follow_their_expectation():
    chosen = dataclasses.replace(SETTINGS.synthesis, stages=((1, 2000, "grow"),), learning_rates=(0.1,))
    counts = synthesis.update_counts(chosen, SETTINGS.data, 0, 0, 0)
    expected = synthesis.expected_update_counts(chosen, SETTINGS.data)
    assert int(counts.sum()) == 2000 * 16 * 16
    assert float((counts - expected).abs().max()) < 5 * (2000 * 0.25) ** 0.5


KILLED = """
import sys
from dfnas import profiles
from dfnas.chapters import index
index.compute(sys.argv[1], profiles.load("smoke", 0, sys.argv[2:]))
"""


def compute(chapter, runs, *overrides, kill_when=None):
    """Compute a chapter in a process of its own; with `kill_when`, SIGKILL it as soon as that holds."""
    environment = {**os.environ, "DFNAS_RUNS": str(runs)}
    process = subprocess.Popen([sys.executable, "-c", KILLED, chapter, *overrides], env=environment)
    while kill_when is not None and process.poll() is None:
        if kill_when():
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.02)
    code = process.wait()
    assert code == (0 if kill_when is None else -signal.SIGKILL)


@pytest.mark.slow
def test_synthesis_killed_and_run_again_gives_the_same_bits(tmp_path):
    chosen = ["student.seeds=1"]
    compute("02-synthesis", tmp_path / "whole", *chosen)
    shards = lambda runs: list(runs.glob("stages/synthesis-*/round-*.safetensors"))  # noqa: E731
    compute("02-synthesis", tmp_path / "killed", *chosen, kill_when=lambda: len(shards(tmp_path / "killed")) >= 2)
    kept = {path.name: path.stat().st_mtime_ns for path in shards(tmp_path / "killed")}
    compute("02-synthesis", tmp_path / "killed", *chosen)
    folders = [next((tmp_path / runs / "stages").glob("synthesis-????????????")) for runs in ("whole", "killed")]
    assert synthetic.digest(folders[0]) == synthetic.digest(folders[1])
    assert 0 < len(kept) < 4
    assert all((folders[1] / name).stat().st_mtime_ns == moment for name, moment in kept.items())


@pytest.mark.slow
def test_teacher_training_killed_and_run_again_gives_the_same_bits(tmp_path):
    recipe = ["teacher.training.epochs=12"]
    compute("01-teacher", tmp_path / "whole", *recipe)
    partial = lambda: list((tmp_path / "killed").glob("stages/teacher-*.partial/checkpoint.pt"))  # noqa: E731
    compute("01-teacher", tmp_path / "killed", *recipe, "run.checkpoint_seconds=0.2", kill_when=partial)
    compute("01-teacher", tmp_path / "killed", *recipe)
    weights = [
        next((tmp_path / runs / "stages").glob("teacher-*/model.safetensors")).read_bytes()
        for runs in ("whole", "killed")
    ]
    assert weights[0] == weights[1]
