"""Profiles: what the paper fixes, and what a mistake in an override says."""

import dataclasses

import pytest

from dfnas import profiles
from dfnas.errors import UserError
from dfnas.synthesis import sets


@pytest.mark.parametrize("name", profiles.NAMES)
def test_every_profile_fits_together(name):
    settings = profiles.load(name)
    sets.check(settings.synthesis, settings.data)
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
        ("synthesis.images=5", "list"),
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
        "student.training.learning_rate=1",
        "run.compile=true",
    ]
    settings = profiles.load("smoke", 3, overrides)
    assert settings.synthesis.stages == ((2, 5, "pool"), (1, 5, "pool"))
    assert isinstance(settings.student.training.learning_rate, float)
    assert settings.run.compile is True
    assert settings.seed == 3


def test_profiles_are_frozen():
    settings = profiles.load("smoke")
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.synthesis.images = 5


def test_the_digest_of_overrides_forgets_their_order():
    assert profiles.overrides_digest(["a.b=1", "c.d=2"]) == profiles.overrides_digest(["c.d=2", "a.b=1"])


@pytest.mark.parametrize(
    ("field", "value"),
    [("flip", "often"), ("update", "crop"), ("keep_rounds", "some"), ("label_view", "corner"), ("images", 55)],
)
def test_settings_that_do_not_fit_are_refused_before_anything_runs(field, value):
    settings = profiles.load("smoke")
    with pytest.raises(UserError, match=field if field != "images" else "multiple"):
        sets.check(dataclasses.replace(settings.synthesis, **{field: value}), settings.data)
