"""Profiles: what the paper fixes, and what a mistake in an override says."""

import dataclasses
import typing

import pytest

from dfnas import profiles
from dfnas.errors import UserError
from dfnas.profiles.kinds import check
from dfnas.profiles.resolve import variant
from dfnas.synthesis import sets


def every_field_holds_what_it_may(part, place=""):
    for name, kind in typing.get_type_hints(type(part), include_extras=True).items():
        value = getattr(part, name)
        if dataclasses.is_dataclass(value):
            every_field_holds_what_it_may(value, f"{place}{name}.")
        elif value is not None:
            check(value, kind, f"{place}{name}")


@pytest.mark.parametrize("name", profiles.NAMES)
def test_every_profile_fits_together(name):
    settings = profiles.load(name)
    every_field_holds_what_it_may(settings)
    assert set(settings.chapters) <= set(profiles.CHAPTERS)
    assert profiles.to_dict(settings)["profile"] == name


def test_the_papers_cifar10_setting():
    settings = profiles.load("paper-cifar10")
    chosen, data = settings.synthesis, settings.data
    assert settings.teacher.network == "resnet34"
    assert (chosen.images, chosen.batch, chosen.rounds, chosen.learning_rates) == (50_000, 250, 10, (0.1,))
    assert sum(count for _, count, _ in chosen.stages) == 2000
    assert (data.canvas, data.region) == (40, 32)
    assert sets.batch_count(chosen) * chosen.rounds * 2000 == 400_000  # optimiser steps, all rounds kept


def test_the_papers_imagenet_setting():
    settings = profiles.load("paper-imagenet")
    chosen, data = settings.synthesis, settings.data
    assert settings.teacher.network == "resnet50"
    assert (chosen.images, chosen.batch, chosen.rounds) == (140_000, 50, 10)
    assert sum(count for _, count, _ in chosen.stages) == 5000
    assert (data.canvas, data.region, data.classes) == (256, 224, 1000)
    assert sets.batch_count(chosen) * chosen.rounds * 5000 == 14_000_000


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["synthesis.iteratoins=5"], "iteratoins"),
        (["synthesis.imags=5"], "did you mean 'images'"),
        (["synthesis.images=many"], "not of type int"),
        (["synthesis.images=1.5"], "not of type int"),
        (["synthesis.flip"], "stage.field=value"),
        (["images=5"], "stage.field=value"),
        (["nothing.images=5"], "there are"),
        (["synthesis.stages=((1,),)"], "not of type"),
        (["student.training=3"], "fields of its own"),
        (["run.compile=maybe"], "not of type bool"),
        (["profile.name=mine"], "profile has no fields"),
        ("synthesis.images=5", "list"),
        (["data.name=mnist"], "data.name='mnist': there are digits, cifar10"),
        (["data.name=cifar"], "did you mean 'cifar10'"),
    ],
)
def test_a_wrong_override_is_one_line(overrides, message):
    with pytest.raises(UserError, match=message) as caught:
        profiles.load("smoke", 0, overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("profile", "seed"), [("fast", 0), ("smoke", -1), ("smoke", "1"), ("smoke", True)])
def test_an_unknown_profile_or_seed_is_refused(profile, seed):
    with pytest.raises(UserError):
        profiles.load(profile, seed)


def test_overrides_keep_the_types_of_their_fields():
    overrides = [
        "synthesis.stages=((2, 5, 'pool'), (1, 5, 'pool'))",
        "synthesis.learning_rates=(1, 0.1)",
        "student.training.learning_rate=1",
        "run.compile=true",
    ]
    settings = profiles.load("smoke", 3, overrides)
    assert settings.synthesis.stages == ((2, 5, "pool"), (1, 5, "pool"))
    assert isinstance(settings.student.training.learning_rate, float)
    assert settings.run.compile is True
    assert settings.seed == 3


def test_who_asks_for_epochs_gets_epochs():
    recipe = profiles.load("quick", overrides=["student.training.epochs=2"]).student.training
    assert (recipe.steps, recipe.epochs) == (0, 2.0)
    assert profiles.load("quick", overrides=["student.training.steps=7"]).student.training.steps == 7
    with pytest.raises(UserError, match=r"student\.training\.epochs and steps: a training has one of them"):
        variant(profiles.load("quick"), student={"training": {"epochs": 2.0, "steps": 7}})


def test_the_last_of_a_field_counts_and_names_the_run():
    one, other = (profiles.load("quick", overrides=[*first, "student.seeds=4"]) for first in ([], ["student.seeds=5"]))
    assert one == other
    assert other.overrides == ("student.seeds=4",)


@pytest.mark.parametrize("order", [1, -1])
def test_steps_and_epochs_of_one_training_are_refused_in_any_order(order):
    """The run folder's name forgets the order."""
    both = ["student.training.steps=7", "student.training.epochs=2"][::order]
    with pytest.raises(UserError, match="a training has one of them"):
        profiles.load("quick", overrides=both)
    profiles.load("quick", overrides=["student.training.steps=7", "calibration.student.training.epochs=2"])


def test_a_variant_differs_in_what_is_named_alone():
    base = profiles.load("smoke")
    before = dataclasses.asdict(base)
    new = variant(base, seed=7, spos=None, darts={"cells": 4, "search": {"steps": 3, "resolutions": [[8, 0.5]]}})
    assert (new.seed, new.spos, new.darts.cells) == (7, None, 4)
    assert new.darts.search == dataclasses.replace(base.darts.search, steps=3, resolutions=((8, 0.5),))
    darts = dataclasses.replace(new.darts, cells=base.darts.cells, search=base.darts.search)
    assert dataclasses.replace(new, seed=base.seed, spos=base.spos, darts=darts) == base
    assert dataclasses.asdict(base) == before


def test_a_part_that_is_not_there_is_given_whole():
    base = variant(profiles.load("smoke"), kernels=None)
    with pytest.raises(UserError, match="kernels is None here"):
        variant(base, kernels={"pairs": 2})
    assert variant(base, kernels=profiles.KernelsSettings(pairs=2)).kernels.pairs == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sythesis": {}}, "sythesis: no 'sythesis' .did you mean 'synthesis'"),
        ({"darts": {"search": {"stps": 3}}}, "darts.search.stps: no 'stps' .did you mean 'steps'"),
        ({"darts": {"search": {"steps": "3"}}}, "darts.search.steps: '3' is not of type int"),
        ({"darts": {"search": {"steps": {"first": 3}}}}, "darts.search.steps has no fields"),
        ({"darts": {"search": 3}}, "darts.search: 3 is not of type TrainingSettings"),
        ({"run": None}, "run: None is not of type RunSettings"),
        ({"synthesis": {"learning_rates": [0.1, "high"]}}, "synthesis.learning_rates"),
    ],
)
def test_a_variant_that_does_not_fit_is_refused_by_its_path(changes, message):
    with pytest.raises(UserError, match=message):
        variant(profiles.load("smoke"), **changes)


def test_an_override_and_a_variant_are_one_walk():
    overrides = ["synthesis.images=100", "student.training.steps=5", "student.labels=hard"]
    changes = {"synthesis": {"images": 100}, "student": {"labels": "hard", "training": {"steps": 5}}}
    assert profiles.load("smoke", 0, overrides) == variant(profiles.load("smoke"), overrides=overrides, **changes)


def test_profiles_are_frozen():
    settings = profiles.load("smoke")
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.synthesis.images = 5


def test_the_digest_of_overrides_forgets_their_order():
    assert profiles.overrides_digest(["a.b=1", "c.d=2"]) == profiles.overrides_digest(["c.d=2", "a.b=1"])


def test_without_real_images_the_chapters_about_them_are_left_out_and_say_why():
    settings = profiles.load("smoke", 0, ["data.name=none"])
    assert set(profiles.load("smoke").chapters) - set(settings.chapters) == {"01-teacher", "07-consistency", "08-truth"}
    with pytest.raises(UserError, match="07-consistency needs real images"):
        profiles.require_chapter("07-consistency", settings)


def test_there_are_as_many_class_names_as_classes():
    of = ["data.name=folder", "data.class_names=('a', 'b')"]
    assert profiles.load("smoke", 0, ["data.classes=2", *of]).data.class_names == ("a", "b")
    with pytest.raises(UserError, match="2 names"):
        profiles.load("smoke", 0, of)
