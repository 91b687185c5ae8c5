"""The programs on the pages: short, of torch alone, and what the package computes on the same draws.

A program draws from plain generators where the package names its own, so here the package gets the program's; all
else is the package's, from end to end. Tolerances are of fp32: another order of sums, carried through the iterations.
"""

import ast
import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from safetensors.torch import load_file

from dfnas import models, profiles
from dfnas.chapters import calibration, distillation
from dfnas.data import images
from dfnas.data.sources import Source
from dfnas.profiles import Settings
from dfnas.profiles.resolve import variant
from dfnas.runtime import seeds
from dfnas.synthesis import inversion, sets
from dfnas.training import evaluation, students

from .made_up import ROOT

LINES = 40  # that are not blank
# Of a program in a test: rounding grows tenfold in some five iterations more, from how much is up to the processor.
ITERATIONS, IN_A_ROUND, STEPS = 20, 15, 50
ALLOWED = {"torch", "math", "dfnas.data", "dfnas.figures", "dfnas.profiles"}


def programs() -> dict[str, str]:
    """The source of each chapter's program."""
    found = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if "program" in cell.metadata.get("tags", []):
                assert cell.id == f"cell-{path.stem.partition('-')[2]}-program"
                assert "hide-input" not in cell.metadata.tags
                found[path.stem] = cell.source
    return found


PROGRAMS = programs()


def run(name: str, *shorter: tuple[str, str]) -> dict[str, Any]:
    """What a program leaves, its variables by name; with words of it replaced, so that it takes fewer iterations."""
    source, variables = PROGRAMS[name], dict[str, Any]()
    for words, others in shorter:
        assert source.count(words) == 1, words
        source = source.replace(words, others)
    with torch.random.fork_rng(devices=[]):
        exec(compile(source, name, "exec"), variables)
    return variables


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_short_and_of_torch_alone(name: str) -> None:
    assert len([line for line in PROGRAMS[name].splitlines() if line.strip()]) <= LINES
    taken = set(bound(PROGRAMS[name]).values()) - {""}
    assert [each for each in taken if not any(f"{each}.".startswith(f"{room}.") for room in ALLOWED)] == []


def bound(source: str) -> dict[str, str]:
    """What a cell binds: each name, with where it comes from if it is imported."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            front = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            found |= {alias.asname or alias.name: front + alias.name for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found[node.id] = ""
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_leaves_what_the_page_imports_and_sets_before_it(name: str) -> None:
    before: dict[str, str] = {}
    for cell in nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4).cells:
        if "program" in cell.metadata.get("tags", []):
            break
        before |= bound(cell.source) if cell.cell_type == "code" else {}
    theirs = bound(PROGRAMS[name])
    assert [each for each in before.keys() & theirs.keys() if not before[each] == theirs[each] != ""] == []


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's generators, those of the programs: a round's canvases and places from one, a step's crops."""
    named, rounds = seeds.generator, dict[str, torch.Generator]()

    def generator(seed: int, name: str, step: int = 0) -> torch.Generator:
        kind, number, *_ = [*name.split(), ""]
        if kind == "canvas":
            rounds[number] = torch.Generator().manual_seed(int(number))
        if kind in ("canvas", "regions"):
            return rounds[number]
        return torch.Generator().manual_seed(step) if kind == "crops" else named(seed, name, step)

    monkeypatch.setattr(seeds, "generator", generator)


def eager(**changes: Any) -> Settings:
    """Quick's settings with changes, in fp32 on the CPU."""
    return variant(profiles.load("quick"), run={"device": "cpu", "precision": "fp32"}, **changes)


def synthesis_of(images: int, iterations: int, **changes: Any) -> Settings:
    """Quick's settings with the synthesis that a program writes out."""
    fields = {"stages": ((1, iterations, "grow"),), "learning_rates": (0.2,), "batch": images, "images": images}
    fields |= {"batch_norm_weight": 5.0}
    return eager(synthesis=fields | changes)


TERMS = ("cross_entropy", "total_variation_l2", "image_l2", "batch_norm")  # of the program, in its order


@pytest.mark.usefixtures("draws")
def test_inversion_is_the_package_s() -> None:
    found = run("02-synthesis", ("20, 16, 100, 10", f"20, 16, {ITERATIONS}, 10"))
    settings = synthesis_of(20, ITERATIONS, rounds=1, warm_up=10, image_l2=1e-3)
    with inversion.Inversion(found["teacher"], settings.synthesis, settings.data, settings.run) as inverter:
        canvas, terms = inversion.invert(inverter, found["y"], 0, 0, 0)
    columns = [
        inversion.TERMS.index(name) for name in ("cross_entropy", "total_variation_l2", "image_l2", "batch_norm")
    ]
    torch.testing.assert_close(torch.stack(found["terms"]), terms[:, columns], rtol=1e-5, atol=0)
    torch.testing.assert_close(found["x"].detach(), canvas, rtol=0, atol=1e-3)


@pytest.mark.usefixtures("draws")
def test_a_round_of_calibration_is_the_package_s(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run("03-calibration", ("iterations=100", f"iterations={IN_A_ROUND}"))
    settings = synthesis_of(40, IN_A_ROUND, batch=20, rounds=2, warm_up=0)
    monkeypatch.setattr(sets, "slot_classes", lambda *_: found["p"][0].argmax(1))
    with inversion.Inversion(found["teacher"], settings.synthesis, settings.data, settings.run) as inverter:
        first = sets.make_shard(inverter, 0, 0, None, 0)
        second = sets.make_shard(inverter, 1, 0, first.logits, 0)
    for shard, finished, labels in zip((first, second), found["strips"].values(), found["p"][1:], strict=True):
        assert (shard.images.int() - finished.int()).abs().max() <= 2  # grey levels
        torch.testing.assert_close(labels, shard.logits.float().softmax(1), rtol=0, atol=0.01)
    rounds = [Source(each.images, each.logits.float(), each.slot_class, (0.5,), (0.5,)) for each in (first, second)]
    assert found["drift"].item() == pytest.approx(calibration.drift(rounds)[0], abs=1e-3)
    assert found["entropy"].item() == pytest.approx(calibration.entropy(rounds[1].targets).mean().item(), abs=1e-3)


@pytest.mark.usefixtures("draws")
def test_distillation_is_the_package_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = run("10-distillation", ("(50, 2)", "(5, 2)"), ("2.0, 200", f"2.0, {STEPS}"))
    teacher, fresh = found["teacher"], copy.deepcopy(found["student"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for layer in fresh:
            getattr(layer, "reset_parameters", lambda: None)()
    monkeypatch.setattr(models, "build", lambda *_: fresh)
    recipe = {"batch": 50, "learning_rate": 0.1, "steps": STEPS, "warm_up": 0.0, "averaging": 0.0}
    settings = eager(student={"training": recipe, "labels": "online", "temperature": 2.0})
    unlabelled = torch.zeros(len(found["made"]), 10)
    source = Source(found["made"], unlabelled, unlabelled.argmax(1), teacher.mean, teacher.std)
    students.train_synthetic(tmp_path, source, settings, teacher, settings.student, 0)
    student = found["student"].state_dict()
    for name, weights in load_file(tmp_path / "model.safetensors").items():
        torch.testing.assert_close(student[name], weights, rtol=0, atol=1e-3, msg=name)
    fresh.load_state_dict(student)
    central = images.center_crop(found["apart"], 16)
    both = (replace(teacher, network=fresh), teacher)
    answers, truth = (evaluation.answers(each, central, settings.run) for each in both)
    compared = distillation.compare(answers, truth, truth.argmax(1))
    assert found["agreement"].item() == pytest.approx(compared["agreement"])
