"""Chapters without real images, or with a few to be judged on: what needs them is left out, the rest stands alone."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch

from dfnas import models, profiles
from dfnas.chapters import index
from dfnas.data import presence
from dfnas.data import real as real_data
from dfnas.errors import UserError
from dfnas.publishing import notebooks
from dfnas.records import claims, conditions

# By chapter: what a record holds of agreements, and of accuracies on test images alone.
MEASURED = {
    "02-synthesis": ("student_agreement", "student_accuracy"),
    "03-calibration": ("held_out_student_accuracy_noise", "student_accuracy_noise"),
    "04-darts": ("held_out_difference_synthetic_random", "tested_difference_synthetic_random"),
    "05-spos": ("held_out_found_on_synthetic", "tested_found_on_synthetic"),
    "06-proxylessnas": ("held_out_random_for_noise", "tested_random_for_noise"),
    "09-pruning": ("held_out_uniform", "uniform"),
    "10-distillation": ("student_agreement", "student_accuracy"),
}
CHAPTERS = tuple(MEASURED)
SOURCES = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
TINY = [
    *("data.region=16", "data.canvas=20", "teacher.network=resnet5", "synthesis.learning_rates=(0.1, 0.1)"),
    *("synthesis.stages=((4, 2, 'grow'), (1, 2, 'grow'))", "student.network=resnet5", "student.training.steps=3"),
    *("distillation.comparison.network=resnet5", "distillation.comparison.training.steps=2"),
    *("spos.bins=()", "spos.limit_macs=400000", "spos.search.steps=4", "spos.scratch.training.steps=2"),
    *("calibration.student.network=resnet5", "calibration.student.training.steps=2"),
    *("darts.search.steps=2", "darts.scratch.training.steps=2", "darts.scratch.training.batch=8"),
    *("pruning.network=resnet8", "pruning.search.steps=2", "pruning.training.steps=2", "pruning.training.batch=8"),
    "pruning.windows=((100_000, 100_000_000), (100_000, 100_000_000), (100_000, 100_000_000))",
    "pruning.genes=((0, 30), (0, 30), (0, 30))",
    *("proxylessnas.search.steps=4", "proxylessnas.warm_up.steps=2", "proxylessnas.scratch.training.steps=2"),
]
OWN = ["data.name=none", "data.channels=3", "data.classes=7", "data.class_names=('a','b','c','d','e','f','g')"]
FEW = {"learn": False, "judge": True}
NONE = {"learn": False, "judge": False}
ANSWERS = pytest.mark.parametrize("answered", [conditions.ALL, FEW, NONE], ids=["all", "few", "none"])


def weights(folder: Path) -> str:
    """A file with the weights of a network of three channels and seven classes, whose statistics are those of noise."""
    network = models.build("resnet5", 7, 3, seed=0).train()
    with torch.no_grad():
        for _ in range(30):
            network(torch.randn(20, 3, 16, 16))
    torch.save({"state_dict": network.state_dict()}, folder / "seven.pt")
    return str(folder / "seven.pt")


def refused(*_: Any) -> Any:
    raise AssertionError("a real image was asked for")


@pytest.fixture(scope="module", params=[NONE, FEW], ids=["none", "few"])
def run(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Executes a chapter's notebook in this process, with no real images or with test images alone."""
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("DFNAS_DATA", "DFNAS_DEVICE", "DFNAS_FORCE", "DFNAS_LOG", "DFNAS_STAGING"):
            patch.delenv(variable, raising=False)
        patch.setenv("DFNAS_RUNS", str(folder / "runs"))
        patch.setattr(real_data, "train", refused)
        overrides = [*TINY, *OWN, f"teacher.path={weights(folder)}"]
        if request.param == NONE:
            patch.setattr(real_data, "load", refused)
            patch.setattr(real_data, "digest", refused)
        else:  # digits as somebody's own images, of which a test split is all there is
            patch.setattr(presence, "has_train", lambda data: False)
            patch.setattr(presence, "has_test", lambda data: True)
            patch.setattr(presence, "of_ones_own", lambda data: True)
            overrides = [item for item in TINY if not item.startswith("teacher")]
        found: dict[str, Any] = {}

        def execute(name: str) -> dict[str, Any]:
            if name not in found:
                found[name] = executed(name, overrides, request.param)
            return found[name]

        execute.overrides, execute.answered = overrides, request.param  # type: ignore[attr-defined]
        yield execute


def executed(name: str, overrides: list[str], answered: dict[str, bool]) -> dict[str, Any]:
    """The names that the code of a chapter's notebook leaves; its cells are passed over by their first lines."""
    names: dict[str, Any] = {"__name__": "__main__"}
    skipped = {conditions.marker(tag) for tag in conditions.CONDITIONS if conditions.left_out([tag], answered)}
    for cell in nbformat.read(notebooks.source(name), 4).cells:
        if cell.cell_type == "code" and cell.source.partition("\n")[0] not in skipped:
            exec(cell.source, names)
            if "parameters" in cell.metadata.get("tags", []):
                names |= {"profile": "smoke", "overrides": overrides}
    return names


def remaining(path: Path, answered: dict[str, bool]) -> list[Any]:
    """The cells of a notebook that are there under these answers."""
    cells = nbformat.read(path, 4).cells
    return [cell for cell in cells if not conditions.left_out(cell.metadata.get("tags", []), answered)]


def words(cells: list[Any]) -> str:
    """All that the page says: prose and captions."""
    captions = [cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", "") for cell in cells]
    return "\n\n".join([*(cell.source for cell in cells if cell.cell_type == "markdown"), *captions])


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_cell_s_tag_and_its_first_line_say_the_same(path: Path) -> None:
    for cell in nbformat.read(path, 4).cells:
        tags = [tag for tag in cell.metadata.get("tags", []) if tag in conditions.CONDITIONS]
        first = cell.source.partition("\n")[0]
        if cell.cell_type == "code":
            marked = [tag for tag in conditions.CONDITIONS if first == conditions.marker(tag)]
            assert marked == tags, first
        assert not [
            tag for tag in cell.metadata.get("tags", []) if "-real-" in tag and tag not in conditions.CONDITIONS
        ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
@ANSWERS
def test_what_is_left_refers_to_nothing_that_is_left_out(path: Path, answered: dict[str, bool]) -> None:
    cells = remaining(path, answered)
    every = nbformat.read(path, 4).cells
    assert labels(every) >= labels(cells)
    gone = labels(every) - labels(cells)
    asked = set(re.findall(r"\{(?:numref|eq|ref)\}`(?:[^`<]*<)?([\w-]+)>?`", words(cells)))
    assert not asked & gone
    shown = re.findall(r":name: (\S+)|:label: (\S+)", words(cells))
    assert len(set(shown)) == len(shown), "a label twice"


def labels(cells: list[Any]) -> set[str]:
    """What can be referred to: tables, figures, equations, headings."""
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    named = re.findall(r":(?:name|label): (\S+)|^\$\$ \(([\w-]+)\)|^\(([\w-]+)\)=", text, re.MULTILINE)
    figures = [cell.metadata.get("mystnb", {}).get("figure", {}).get("name", "") for cell in cells]
    return {name for names in named for name in names if name} | set(filter(None, figures))


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_s_page_quotes_what_its_run_recorded(name: str, run: Callable[[str], dict[str, Any]]) -> None:
    metrics = run(name)["run"].metrics
    text = words(remaining(notebooks.source(name), run.answered))  # type: ignore[attr-defined]
    quoted = set(re.findall(rf"\{{num\}}`{name}:(\w+)", text))
    assert quoted - set(metrics) == set()
    assert len(quoted) > 5
    chapters = set(re.findall(r"\{num\}`([\w-]+):", text))
    assert chapters == {name}, "a page that stands on its own quotes no other"


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_record_holds_accuracies_where_there_are_test_images_alone(name: str, run: Callable[[str], Any]) -> None:
    names = run(name)
    told = names["run"].metrics
    judge = run.answered["judge"]  # type: ignore[attr-defined]
    agreement, accuracy = MEASURED[name]
    assert (accuracy in told) == judge
    assert -100 <= told[agreement] <= 100
    assert not [metric for metric in told if "verifier" in metric or ("real_" in f"{metric}_" and not judge)]
    states = {claims.judge(claim, {name: {"metrics": told}}).state for claim in claims.CLAIMS if claim.chapter == name}
    assert judge or states == {claims.NOT_RUN}
    facts = json.loads((names["run"].folder / f"{name}.json").read_bytes())
    assert facts["real_images"] == run.answered  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_plan_needs_no_real_images_either(name: str, run: Callable[[str], Any]) -> None:
    settings = profiles.load("smoke", 0, run.overrides)  # type: ignore[attr-defined]
    assert index.plan(name, settings)


JUDGED = {f"{name}-evaluation" for name in ("synthesis", "calibration", "distillation")}
JUDGED |= {f"{name}-judged" for name in ("darts", "spos", "proxyless", "pruning")} | {"pruning-teacher"}


def test_what_is_free_of_data_has_the_same_keys_with_images_of_one_s_own_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = profiles.load("smoke", 0, [*TINY, *OWN, f"teacher.path={weights(tmp_path)}"])
    monkeypatch.setattr(real_data, "digest", lambda data: "theirs")
    none = {name: index.stage_keys(name, settings) for name in CHAPTERS}
    monkeypatch.setattr(presence, "has_test", lambda data: True)
    few = {name: index.stage_keys(name, settings) for name in CHAPTERS}
    monkeypatch.setattr(presence, "has_train", lambda data: True)
    all_there = {name: index.stage_keys(name, settings) for name in CHAPTERS}
    for name in CHAPTERS:
        assert {stage for stage, key in few[name].items() if none[name].get(stage) != key} <= JUDGED
        assert JUDGED & set(few[name]), "what judges knows of the images"
        free = {stage for stage in none[name] if re.search(r"^(synthesis|noise|student|arm)|-(synthetic|noise)", stage)}
        free -= {stage for stage in free if "found-" in stage or "held-out" in stage} | JUDGED
        assert {stage for stage in free if all_there[name][stage] != none[name][stage]} == set()
        assert len(free) > 2


def test_the_page_leaves_out_prose_and_hides_code() -> None:
    cells = [nbformat.v4.new_markdown_cell(tag, metadata={"tags": [tag]}) for tag in conditions.CONDITIONS]
    cells += [
        nbformat.v4.new_code_cell(f"{conditions.marker(tag)}\nx", execution_count=number, metadata={"tags": [tag]})
        for number, tag in enumerate(conditions.CONDITIONS, 1)
    ]
    notebook = nbformat.v4.new_notebook(cells=[*cells, nbformat.v4.new_markdown_cell("always")])
    page = notebooks.with_prose(notebook, notebook, {"real_images": FEW}).cells
    there = {"needs-real-images", "without-real-training-images"}
    assert {cell.source for cell in page if cell.cell_type == "markdown"} == {*there, "always"}
    code = {cell.metadata.tags[0]: "remove-cell" in cell.metadata.tags for cell in page if cell.cell_type == "code"}
    assert code == {tag: tag not in there for tag in conditions.CONDITIONS}
    older = notebooks.with_prose(notebook, notebook, {}).cells
    needs = {"needs-real-images", "needs-real-training-images"}
    assert {cell.source for cell in older if cell.cell_type == "markdown"} == {*needs, "always"}


def test_the_kernel_passes_over_what_is_left_out() -> None:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    try:
        for answered, expected in ((NONE, {"without"}), (conditions.ALL, {"needs"}), (FEW, {"needs"})):
            conditions.skip(answered)
            shell.user_ns.pop("seen", None)
            shell.run_cell("seen = set()")
            before = shell.execution_count
            for word in ("needs", "without"):
                shell.run_cell(f"# {word} real images\nseen.add('{word}')", store_history=True).raise_error()
            assert shell.user_ns["seen"] == expected
            assert shell.execution_count == before + 2
    finally:
        InteractiveShell.clear_instance()


@pytest.mark.parametrize("name", ["01-teacher", "07-consistency"])
def test_chapters_about_real_images_alone_are_refused_in_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="needs real images"):
        index.compute(name, profiles.load("smoke", 0, OWN))
    monkeypatch.setattr(presence, "has_train", lambda data: False)
    with pytest.raises(UserError, match="real images"):
        index.compute(name, profiles.load("smoke"))
