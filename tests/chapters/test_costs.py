"""What chapters would cost: from shapes alone, at the paper's size too."""

import dataclasses

import pytest
import torch

from dfnas import profiles
from dfnas.chapters import costs, darts, index, spos
from dfnas.errors import UserError
from dfnas.models import cost, shufflenet

NAMES = ("smoke", "quick", "laptop", "paper-cifar10", "paper-imagenet")


@pytest.mark.parametrize("name", ["darts", "spos", "proxylessnas", "consistency", "truth", "pruning", "distillation"])
def test_a_chapter_without_settings_is_refused_before_anything_reads_them(name, tmp_path, monkeypatch):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    settings = dataclasses.replace(profiles.load("smoke"), **{name: None})
    chapter = next(chapter for chapter in profiles.CHAPTERS if chapter.endswith(name))
    for ask in (index.compute, index.stage_keys, index.plan):
        with pytest.raises(UserError, match="profile smoke has no "):
            ask(chapter, settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("chapter", "override", "words"),
    [
        ("01-teacher", "teacher.path=/nowhere.pt", "no teacher at /nowhere.pt"),
        ("02-synthesis", "teacher.path=/nowhere.pt", "no teacher at /nowhere.pt"),
        ("02-synthesis", "teacher.shipped=cifar10-resnet20", "must both give 1 values"),
        ("02-synthesis", "evaluation.verifier_network=resnet9", "no network 'resnet9'"),
        ("06-proxylessnas", "proxylessnas.latency_table=/nowhere.json", "no latency table at /nowhere.json"),
        ("08-truth", "truth.table=/nowhere.csv", "cannot read the table /nowhere.csv"),
    ],
)
def test_a_plan_refuses_what_is_not_there_and_so_does_compute_before_anything_is_made(
    chapter, override, words, tmp_path, monkeypatch
):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    for ask in (index.plan, index.compute):
        with pytest.raises(UserError, match=words):
            ask(chapter, profiles.load("smoke", 0, [override]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("profile", NAMES)
def test_a_profile_has_settings_for_each_of_its_chapters(profile):
    settings = profiles.load(profile)
    parts = {name.partition("-")[2] for name in settings.chapters} & set(vars(settings))
    assert [part for part in parts if getattr(settings, part) is None] == []
    assert "synthesis" in parts


@pytest.mark.parametrize("profile", NAMES)
def test_every_chapter_of_every_profile_has_a_plan(profile):
    settings = profiles.load(profile)
    for name in settings.chapters:
        for row in index.plan(name, settings):
            for column in ("iterations", "images", "macs", "bytes_disk", "memory_mb", "seconds_estimate"):
                assert row[column] > 0, (name, row["stage"], column)


def test_devices_share_whole_pieces():
    row = {"stage": "synthesis", "pieces": 24, "seconds_estimate": 240.0}
    times = [costs.on_devices(row, count)["seconds_shared"] for count in (1, 2, 5, 24, 100)]
    assert times == [240, 120, 50, 10, 10]


def test_pieces_are_slot_batches_images_of_a_batch_and_candidates():
    settings = profiles.load("laptop")
    names, made = ("01-teacher", "02-synthesis", "05-spos"), settings.synthesis
    pieces = {row["stage"].split(" x ")[0]: row["pieces"] for name in names for row in index.plan(name, settings)}
    assert pieces["teacher"] == settings.teacher.training.batch
    assert pieces["synthesis"] == made.images / (made.batch * made.rounds)
    assert pieces["evolution"] == settings.spos.evolution.population


def test_the_paper_s_darts_supernet_on_the_meta_device():
    network = darts.darts_network(profiles.load("paper-cifar10"))
    assert {parameter.device for parameter in network.parameters()} == {torch.device("meta")}
    assert cost.parameters(network) == 1_930_618
    assert cost.macs(network, (3, 32, 32)) == 300_255_744


def test_the_paper_s_spos_supernet_on_the_meta_device():
    space = spos.space_of(profiles.load("paper-imagenet"))
    with torch.device("meta"):
        network = shufflenet.Supernet(space, 1000)
    assert cost.parameters(network) == 8_388_176
    assert sum(1 for _ in network.parameters()) == 335


def test_a_second_order_step_is_planned_as_nineteen_passes_and_a_first_order_one_as_five():
    second = profiles.load("paper-cifar10")
    first = profiles.load("paper-cifar10", 0, ["darts.order=first"])
    macs = [index.plan("04-darts", settings)[1]["macs"] for settings in (first, second)]
    assert macs[1] / macs[0] == pytest.approx(19 / 5)
    steps = round(50 * 25_000 / 64)
    assert macs[0] == pytest.approx(5 * 300_255_744 * 64 * steps * 4)
