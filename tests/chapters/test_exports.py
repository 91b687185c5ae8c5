"""What one takes away: whole folders or none, images without loss, names of classes as they come."""

import csv
import json
import runpy
from pathlib import Path

import pytest
import torch
from torchvision.datasets import ImageFolder
from torchvision.transforms.functional import pil_to_tensor

from dfnas import profiles
from dfnas.chapters import exports
from dfnas.data import image_folder, synthetic, teachers
from dfnas.data.sources import Source
from dfnas.data.synthetic import Shard
from dfnas.errors import UserError
from dfnas.runtime import paths
from dfnas.runtime.artefacts import Artefact

SETTINGS = profiles.load("smoke", 1, ["synthesis.images=300"])
COUNT = 12


def shard(channels=1):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (COUNT, channels, 20, 20), generator=generator, dtype=torch.uint8)
    logits = torch.randn(COUNT, 10, generator=generator).half()
    return Shard(pixels, logits, torch.arange(COUNT) % 4, torch.zeros(1, 5), 0, 0)


@pytest.fixture
def artefacts(tmp_path, monkeypatch):
    """A finished chapter: a set of twelve images, and its export."""
    monkeypatch.setattr(paths, "runs", lambda: tmp_path / "runs")
    made = Artefact("synthesis", "key", tmp_path / "made")
    synthetic.write(made.folder, shard(), 0, "c")
    (made.folder / "stage.json").write_text("{}", encoding="utf-8")
    return {"synthesis": made, "export": exports.set_stage(made, SETTINGS, teachers.load(SETTINGS))}


def collect(artefacts, to, **options):
    exports.collect("02-synthesis", artefacts, SETTINGS, to, **options)


def test_the_set_is_the_same_as_shards_as_png_and_as_a_dataset(artefacts, tmp_path):
    collect(artefacts, tmp_path / "out")
    dataset = runpy.run_path(str(tmp_path / "out" / "dataset.py"))["dataset"]
    pictures = ImageFolder(tmp_path / "out" / "images")
    assert len(dataset) == len(pictures) == COUNT
    with open(tmp_path / "out" / "labels.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    files = [path for path, _ in pictures.imgs]
    for (image, logits, label), row in zip(dataset, rows[1:], strict=True):
        picture, number = pictures[files.index(str(tmp_path / "out" / row[0]))]
        assert torch.equal(pil_to_tensor(picture.convert("L")), image)
        assert pictures.classes[number] == row[1] == rows[0][2 + int(label)]
        assert torch.allclose(torch.tensor([float(each) for each in row[2:]]), logits.float(), rtol=1e-4)
    facts = json.loads((tmp_path / "out" / exports.MARK).read_bytes())
    assert (facts["chapter"], facts["seed"], facts["stages"]) == ("02-synthesis", 1, [artefacts["export"].key])


def test_a_second_export_is_refused_and_replaces_the_first_when_forced(artefacts, tmp_path):
    collect(artefacts, tmp_path / "out")
    (tmp_path / "out" / "labels.csv").write_text("mine", encoding="utf-8")
    with pytest.raises(UserError, match="--force replaces it"):
        collect(artefacts, tmp_path / "out")
    assert (tmp_path / "out" / "labels.csv").read_text(encoding="utf-8") == "mine"
    collect(artefacts, tmp_path / "out", force=True)
    assert (tmp_path / "out" / "labels.csv").read_text(encoding="utf-8") != "mine"


def test_a_folder_of_other_things_is_never_replaced(artefacts, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("three years", encoding="utf-8")
    with pytest.raises(UserError, match="it is no export"):
        collect(artefacts, tmp_path / "home", force=True)
    with pytest.raises(UserError, match="it is no export"):
        collect(artefacts, Path("/"), force=True)
    with pytest.raises(UserError, match="Not a directory"):
        collect(artefacts, tmp_path / "home" / "thesis.tex", force=True)
    assert (tmp_path / "home" / "thesis.tex").read_text(encoding="utf-8") == "three years"


def test_an_export_that_is_stopped_leaves_what_was_there(artefacts, tmp_path, monkeypatch):
    collect(artefacts, tmp_path / "out")
    before = sorted(tmp_path.rglob("*"))

    def stopped(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(image_folder, "bar", stopped)
        for name in ("out", "new"):
            with pytest.raises(KeyboardInterrupt):
                collect(artefacts, tmp_path / name, force=True)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_chapter_that_is_not_finished_has_to_be_run_first(artefacts, tmp_path):
    (artefacts["synthesis"].folder / "stage.json").unlink()
    command = "python -m dfnas run 02-synthesis --profile smoke --seed 1 --set synthesis.images=300"
    with pytest.raises(UserError, match=f"run it first, with {command}"):
        collect(artefacts, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_line_at_the_end_names_the_folder_and_the_command(artefacts):
    command = "python -m dfnas export 02-synthesis --profile smoke --seed 1 --set synthesis.images=300 --to FOLDER"
    line = exports.line(artefacts["export"], "02-synthesis", SETTINGS)
    assert line == f"files to take away: runs/stages/{artefacts['export'].folder.name} (or {command})"


def test_folders_of_classes_keep_their_names_where_a_disk_can_hold_them():
    names = ("Käfer", "cat/dog", "", "..", "cat:dog", "Cat", "cat", "犬", "a" * 300, "tab\there")
    folders = image_folder.folder_names(names)
    assert folders[:3] == ["Käfer", "cat_dog", "_"]
    assert folders[5:8] == ["Cat", "cat-6", "犬"]
    assert len({each.casefold() for each in folders}) == len(names)
    assert all(0 < len(each.encode()) < 256 and "/" not in each and not each.startswith(".") for each in folders)


@pytest.mark.parametrize("channels", [2, 3, 4, 5])
def test_png_files_hold_up_to_four_channels(tmp_path, channels):
    made = shard(channels)
    source = Source(made.images, made.logits.float(), made.slot_class, (0.5,) * channels, (0.5,) * channels)
    if channels > 4:
        with pytest.raises(UserError, match="take the shards"):
            image_folder.write(tmp_path, source, [f"class {k}" for k in range(10)])
        return
    image_folder.write(tmp_path, source, [f"class {k}" for k in range(10)])
    loader = ImageFolder(tmp_path / "images").loader
    from PIL import Image

    assert loader is not None
    with Image.open(tmp_path / "images" / "class 1" / "000001.png") as picture:
        assert torch.equal(pil_to_tensor(picture), made.images[1])
