"""One's own network and no data at all; then a few labelled images: what they judge appears, and nothing else changes.

Chapters run in the smallest size, some under papermill and the others in this process.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
import torch
from dfnas_book import finding
from safetensors.torch import load_file

from dfnas import __main__, models, profiles
from dfnas.chapters import index
from dfnas.data import presence, teachers
from dfnas.data import real as real_data
from dfnas.publishing import notebooks
from dfnas.records import claims, conditions
from dfnas.runtime import paths, stages

from . import own_network
from .test_findings import BLOCK
from .test_real_images import FEW, NONE, remaining, words

# By chapter: what a record holds of agreements, and of accuracies on test images alone.
MEASURED = {
    "02-synthesis": ("student_agreement", "student_accuracy"),
    "03-calibration": ("held_out_student_accuracy_noise", "student_accuracy_noise"),
    "04-darts": ("held_out_difference_synthetic_random", "tested_difference_synthetic_random"),
    "05-spos": ("held_out_found_on_synthetic", "tested_found_on_synthetic"),
    "06-proxylessnas": ("held_out_random_for_control", "tested_random_for_control"),
    "09-pruning": ("held_out_uniform", "uniform"),
    "10-distillation": ("student_agreement", "student_accuracy"),
}
CHAPTERS = tuple(MEASURED)
UNDER_PAPERMILL = ("02-synthesis", "05-spos", "09-pruning", "10-distillation")  # the others in this process: seconds
TINY = [
    *("synthesis.learning_rates=(0.1, 0.1)", "synthesis.stages=((4, 2, 'grow'), (1, 2, 'grow'))"),
    *("synthesis.images=200", "student.network=resnet5", "student.training.steps=3"),
    *("distillation.comparison.network=resnet5", "distillation.comparison.training.steps=2"),
    *("spos.bins=()", "spos.limit_macs=400000", "spos.search.steps=4", "spos.scratch.training.steps=2"),
    *("calibration.student.network=resnet5", "calibration.student.training.steps=2"),
    *("darts.search.steps=2", "darts.scratch.training.steps=2", "darts.scratch.training.batch=8"),
    *("pruning.network=resnet8", "pruning.search.steps=2", "pruning.training.steps=2", "pruning.training.batch=8"),
    "pruning.windows=((100_000, 100_000_000), (100_000, 100_000_000), (100_000, 100_000_000))",
    "pruning.genes=((0, 30), (0, 30), (0, 30))",
    *("proxylessnas.search.steps=4", "proxylessnas.warm_up.steps=2", "proxylessnas.scratch.training.steps=2"),
]
JUDGED = {f"{name}-evaluation" for name in ("synthesis", "calibration", "distillation")}
JUDGED |= {f"{name}-judged" for name in ("darts", "spos", "proxyless", "pruning")} | {"pruning-teacher"}
BOTH = pytest.mark.parametrize("answered", [NONE, FEW], ids=["none", "few"])
TAKEN = {  # by chapter: the name of the files that it leaves, and the stage that trained what is in them
    "05-spos": ("found", "found-synthetic-0-0"),
    "09-pruning": ("pruned", "trained-pruned_on_synthetic-0-0"),
    "10-distillation": ("student", "full-synthetic-0"),
}
ALONE = """
import importlib, sys
sys.modules["dfnas"] = None  # as where it is not installed
import torch
from safetensors.torch import load_file
for stem, folder in zip(sys.argv[1::2], sys.argv[2::2]):
    sys.path.insert(0, folder)
    sys.modules.pop("architecture", None)
    network = importlib.import_module("architecture").build().eval()
    network.load_state_dict(load_file(f"{folder}/{stem}.safetensors"))
    program = torch.export.load(f"{folder}/{stem}.pt2").module()
    images = torch.load(f"{folder}/images.pt")
    with torch.no_grad():
        torch.save((network(images), program(images)), f"{folder}/logits.pt")
    sys.path.pop(0)
"""


def refused(*_: Any) -> Any:
    raise AssertionError("a real image was asked for")


@dataclass
class Own:
    """A network of one's own: its files by kind, the profile for it, and the records of what has run under it."""

    folder: Path
    files: dict[str, Path]
    profile: str
    records: dict[tuple[str, bool], dict[str, Any]] = field(default_factory=dict)

    def overrides(self, answered: dict[str, bool]) -> list[str]:
        return [*TINY, *["data.name=folder"] * answered["judge"]]

    def settings(self, answered: dict[str, bool]) -> profiles.Settings:
        return profiles.load(self.profile, 0, self.overrides(answered))

    @contextlib.contextmanager
    def place(self, answered: dict[str, bool]) -> Iterator[None]:
        """Inside, there are no images, or a few to be judged on."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(real_data, "train", refused)
            if answered["judge"]:
                images = self.folder / "few.zip"
                if not images.exists():
                    own_network.few_images(images)
                patch.setenv("DFNAS_DATA", str(images))
            else:
                patch.setattr(real_data, "load", refused)
                patch.setattr(real_data, "digest", refused)
            yield

    def record(self, name: str, answered: dict[str, bool]) -> dict[str, Any]:
        """The record of a chapter; that with images is of a run after the one without, which has made most of it."""
        key = name, answered["judge"]
        if key not in self.records:
            if answered["judge"]:
                self.record(name, NONE)
            with self.place(answered):
                self._execute(name, answered)
            folder = paths.run_folder(self.settings(answered))
            self.records[key] = json.loads((folder / f"{name}.json").read_bytes())
        return self.records[key]

    def _execute(self, name: str, answered: dict[str, bool]) -> None:
        parameters = {"profile": self.profile, "overrides": self.overrides(answered)}
        if name in UNDER_PAPERMILL and not answered["judge"]:
            out = self.folder / f"{name}.ipynb"
            papermill.execute_notebook(notebooks.source(name), out, parameters, progress_bar=False, cwd=self.folder)
            return
        names: dict[str, Any] = {"__name__": "__main__"}
        skipped = {conditions.marker(tag) for tag in conditions.CONDITIONS if conditions.left_out([tag], answered)}
        for cell in nbformat.read(notebooks.source(name), 4).cells:
            if cell.cell_type == "code" and cell.source.partition("\n")[0] not in skipped:
                exec(cell.source, names)
                if "parameters" in cell.metadata.get("tags", []):
                    names |= parameters


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Own]:
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("DFNAS_DATA", "DFNAS_DEVICE", "DFNAS_FORCE", "DFNAS_LOG", "DFNAS_STAGING"):
            patch.delenv(variable, raising=False)
        patch.setenv("DFNAS_RUNS", str(folder / "runs"))
        patch.setenv("PYTHONPATH", str(paths.root()))
        files = own_network.write(folder)
        yield Own(folder, files, str(own_network.profile(folder, files["wrapped"])))


def test_six_kinds_of_file_hold_the_same_teacher(own: Own) -> None:
    images = own_network.shapes(140, seed=2)
    found = {}
    for kind, path in own.files.items():
        builder = "" if kind == "program" else own_network.BUILDER
        settings = profiles.load(own.profile, 0, [*TINY, f"teacher.path={path}", f"teacher.builder={builder}"])
        teacher = teachers.load(settings)
        with torch.no_grad():
            logits = teacher.network(images[0].float() / 127.5 - 1)
        found[kind] = teacher.digest, index.stage_keys("02-synthesis", settings), logits
    assert len(own.files) == 6
    plain = found.pop("plain")
    assert (plain[2].argmax(1) == images[1]).double().mean() > 0.9
    program = found.pop("program")
    assert torch.allclose(program[2], plain[2], atol=1e-5)
    assert program[0] != plain[0], "another program is another network"
    assert {kind: (digest, keys) for kind, (digest, keys, _) in found.items()} == dict.fromkeys(found, plain[:2])


@BOTH
def test_a_plan_needs_no_real_images(own: Own, answered: dict[str, bool], capsys: Any) -> None:
    options = [word for item in own.overrides(answered) for word in ("--set", item)]
    with own.place(answered):
        assert __main__.main(["plan", "--profile", own.profile, *options]) == 0
    planned = set(re.findall(r"^\d\d-\w+", capsys.readouterr().out, re.MULTILINE))
    assert planned & {*CHAPTERS, *profiles.NEED_REAL} == set(CHAPTERS)


@BOTH
@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_s_page_quotes_what_its_run_recorded(own: Own, name: str, answered: dict[str, bool]) -> None:
    text = words(remaining(notebooks.source(name), answered))
    judged = claims.findings({name: own.record(name, answered)})
    text = BLOCK.sub(lambda use: finding.texts(use["texts"])[judged[use["name"]].state], text)  # as the page shows it
    quoted = set(re.findall(rf"\{{num\}}`{name}:(\w+)", text))
    assert quoted - set(own.record(name, answered)["metrics"]) == set()
    assert len(quoted) > 5
    chapters = set(re.findall(r"\{num\}`([\w-]+):", text))
    assert chapters == {name}, "a page that stands on its own quotes no other"


@BOTH
@pytest.mark.parametrize("name", CHAPTERS)
def test_a_record_holds_accuracies_where_there_are_test_images(own: Own, name: str, answered: dict[str, bool]) -> None:
    record, judge = own.record(name, answered), answered["judge"]
    told = record["metrics"]
    agreement, accuracy = MEASURED[name]
    assert (accuracy in told) == judge
    assert -100 <= told[agreement] <= 100
    assert not [metric for metric in told if "verifier" in metric or ("real_" in f"{metric}_" and not judge)]
    states = {claims.judge(claim, {name: record}).state for claim in claims.CLAIMS if claim.chapter == name}
    assert judge or states == {claims.NOT_RUN}
    assert record["real_images"] == answered


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_few_images_change_what_judges_and_nothing_else(own: Own, name: str) -> None:
    none, few = (
        {(stage.partition("#")[0], facts["key"]) for stage, facts in own.record(name, answered)["stages"].items()}
        for answered in (NONE, FEW)
    )
    assert {stage for stage, _ in few - none}
    assert {stage for stage, _ in few ^ none} <= JUDGED
    assert len(few & none) > 5


def test_a_train_part_leaves_what_is_free_of_data_as_it_is(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = own.settings(NONE)
    none = {name: index.stage_keys(name, settings) for name in CHAPTERS}
    monkeypatch.setattr(real_data, "digest", lambda data: "theirs")
    monkeypatch.setattr(presence, "has_test", lambda data: True)
    monkeypatch.setattr(presence, "has_train", lambda data: True)
    for name in CHAPTERS:
        there = index.stage_keys(name, settings)
        free = {
            stage
            for stage in none[name]
            if re.search(r"^(synthesis|noise|control|student|arm)|-(synthetic|noise|control)", stage)
        }
        free -= {stage for stage in free if "found-" in stage or "held-out" in stage} | JUDGED
        assert {stage for stage in free if there[stage] != none[name][stage]} == set()
        assert len(free) > 2


def test_what_one_takes_away_works_without_this_package(own: Own) -> None:
    arguments, expected = [], {}
    options = [word for item in own.overrides(NONE) for word in ("--set", item)]
    for name, (stem, trained) in TAKEN.items():
        own.record(name, NONE)
        folder = own.folder / f"files of {name}"
        assert __main__.main(["export", name, "--profile", own.profile, *options, "--to", str(folder)]) == 0
        facts = json.loads((folder / f"{stem}.json").read_bytes())
        network = models.build((folder / "architecture.txt").read_text(encoding="utf-8").strip(), 7, 3).eval()
        network.load_state_dict(load_file(artefact(own, name, trained) / "model.safetensors"), strict=False)
        images = torch.randn(5, 3, facts["side"], facts["side"], generator=torch.Generator().manual_seed(0))
        torch.save(images, folder / "images.pt")
        with torch.no_grad():
            expected[folder] = network(images)
        arguments += [stem, str(folder)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([sys.executable, "-c", ALONE, *arguments], env=environment, cwd=own.folder, check=True)
    for folder, logits in expected.items():
        for theirs in torch.load(folder / "logits.pt"):
            assert torch.allclose(theirs, logits, atol=1e-5)


def artefact(own: Own, name: str, label: str) -> Path:
    """The folder of a stage that a chapter has made."""
    with stages.dry():
        return index.module(name).compute(own.settings(NONE))[label].folder
