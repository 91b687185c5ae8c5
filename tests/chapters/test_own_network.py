"""The chapter on a network of one's own: what ships is what it says, and no real image is read but to judge."""

import importlib
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
import shapes
import torch
from PIL import Image

from dfnas import profiles
from dfnas.chapters import index, own_network
from dfnas.data import real as real_data
from dfnas.data import teachers
from dfnas.profiles.resolve import variant
from dfnas.training import evaluation

SMOKE = profiles.load("smoke")


def test_one_student_is_enough_for_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    results = {"labelled_images": 4, "agreement": {"student": [0.75]}, "accuracy": {"student": [0.5]}}
    monkeypatch.setattr(own_network, "_results", lambda _: results)
    monkeypatch.setattr(own_network.standings, "told", lambda *_: {})
    found = own_network.metrics({}, SMOKE, teachers.load(own_network.own(SMOKE)))
    assert (found["student_agreement"], found["student_accuracy"], found["gap"]) == (0.75, 0.5, 25.0)


def test_the_shipped_network_knows_shapes_that_it_never_saw() -> None:
    settings = own_network.own(SMOKE)
    teacher = teachers.load(settings)
    assert teacher.classes == shapes.CLASSES
    pixels, classes = shapes.images(10, 32, seed=3)
    source = own_network.Source(pixels, classes, classes, teacher.mean, teacher.std)
    assert evaluation.accuracy(evaluation.predict(teacher.network, source, settings.run), classes) > 0.95


def test_the_labelled_images_are_none_that_the_network_learned_from() -> None:
    with zipfile.ZipFile(own_network.SHAPES / "images.zip") as archive:
        shown = {Image.open(io.BytesIO(archive.read(name))).tobytes() for name in archive.namelist()}
    assert len(shown) == 140
    generator = shapes.np.random.default_rng(0)  # as `shapes.images(1000, 32, seed=0)` draws its first
    learned = {shapes.image(kind % 7, 32, generator).tobytes() for kind in range(700)}
    assert not shown & learned


def test_the_chapter_touches_no_real_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(*_: Any) -> Any:
        raise AssertionError("a real image was asked for")

    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    for name in ("load", "train", "digest"):
        monkeypatch.setattr(real_data, name, refused)
    fast = {"own_network": {"images": 100, "student_steps": 2, "supernet_steps": 2}, "student": {"network": "resnet5"}}
    settings = variant(SMOKE, **fast, synthesis={"stages": ((4, 2, "grow"), (2, 2, "grow"), (1, 2, "grow"))})
    artefacts = own_network.compute(settings)
    found = own_network.metrics(artefacts, settings, teachers.load(own_network.own(settings)))
    assert (found["classes"], found["side"], found["batch_norm_layers"], found["images"]) == (7, 32, 7, 100)
    assert found["labelled_images"] == 140
    assert found["teacher_accuracy"] > 0.95
    assert set(own_network.worth(artefacts, "accuracy")) == {"student", "noise", "teacher"}
    left = {path.name for path in own_network.files(artefacts)}
    assert {"dataset.py", "found.onnx", "architecture.py", "student.safetensors", "student.pt2"} <= left


def test_under_a_network_of_ones_own_it_shares_the_stages_of_the_search_chapter(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = importlib.import_module(own_network.BUILDER.partition(":")[0]).build()
    torch.save(network.state_dict(), tmp_path / "mine.pt")
    teacher = [f"teacher.path={tmp_path / 'mine.pt'}", f"teacher.builder={own_network.BUILDER}"]
    data = ["data.name=none", "data.channels=3", "data.classes=7", "data.region=32", "data.canvas=40", "spos.bins=()"]
    settings = profiles.load("smoke", 0, [*teacher, *data, "spos.limit_macs=1_000_000"])
    ours, spos = (index.stage_keys(name, settings) for name in ("00-own-network", "05-spos"))
    assert ours.items() >= spos.items()
    assert own_network.labelled_images(settings, settings, teachers.load(settings)) is None


def test_the_profile_that_it_shows_names_files_as_somebody_has_them() -> None:
    text = own_network.described(SMOKE)
    assert 'path = "weights.safetensors"' in text
    assert 'builder = "shapes_network:build"' in text
    assert str(own_network.SHAPES) not in text
