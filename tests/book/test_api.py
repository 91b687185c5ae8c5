"""The page on the package as a library, and how the book is cited."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup
from dfnas_book import api

from dfnas import __version__

from .made_up import ROOT

PAGE = (ROOT / "book" / "api.md").read_text(encoding="utf-8")
LINES = [line for block in re.findall(r"```\{public-api\}\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.mark.slow
def test_the_program_on_the_page_runs_and_its_student_has_learned(tmp_path: Path) -> None:
    """Chance is 0.1."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "program.py"
    file.write_text(program, encoding="utf-8")
    ours = {"PYTHONPATH": str(ROOT), "DFNAS_RUNS": str(tmp_path), "TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, file], cwd=ROOT, capture_output=True, text=True, env=os.environ | ours)
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert first == "images (200, 1, 20, 20) labels (200, 10)"
    accuracy = re.match(r"accuracy ([\d.]+), 77,754 parameters$", last)
    assert accuracy is not None
    assert float(accuracy[1]) > 0.3


@pytest.mark.parametrize("line", LINES, ids=[line.split(" | ")[0] for line in LINES])
def test_each_function_is_there_with_its_types_and_words(line: str) -> None:
    target, chapter, shapes = line.split(" | ")
    found = api.function(target)
    assert all(argument.annotation for argument in (*found.args.args, *found.args.kwonlyargs))
    assert found.returns is not None
    assert list((ROOT / "notebooks").glob(f"[0-9][0-9]-{chapter.replace('_', '-')}.ipynb"))
    assert shapes.endswith(".")
    compile(f"def {api.signature(found)}: ...", target, "exec")


def test_the_page_shows_them_all(made_up_book: Path) -> None:
    page = BeautifulSoup((made_up_book / "book" / "api.html").read_text(encoding="utf-8"), "html.parser")
    shown = [rubric.text.strip() for rubric in page.select(".public-api .rubric")]
    assert shown == [line.split(" | ")[0] for line in LINES]
    assert 15 <= len(shown) <= 20
    assert len(page.select(".public-api a code.impl, .public-api a .impl")) == len(shown)


DOCSTRING = """What it does.

Parameters
----------
folder : where
    it goes.
seed : of it.

After.

Raises
------
UserError
    Wrong."""


def test_sections_of_a_docstring_become_lists() -> None:
    parts = ["What it does.", "Parameters:", "- `folder`: where it goes.\n- `seed`: of it.", "After.", "Raises:"]
    assert api.described(DOCSTRING).split("\n\n") == [*parts, "- `UserError`: Wrong."]


def test_the_book_is_cited_alike_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    wanted = {"title": citation["title"], "author": f"{{{citation['authors'][0]['name']}}}", "version": __version__}
    for name in ("README.md", "book/citing.md"):
        text = (ROOT / name).read_text(encoding="utf-8").partition("@software{dfnas,")[2].partition("@inproceedings")[0]
        fields = dict(re.findall(r"(\w+)\s*= \{(\{[^{}]*\}|[^{}]*)\}", text))
        assert {key: fields[key] for key in wanted} == wanted
        assert re.fullmatch(r"\d{4}", fields["year"])
    paper = re.search(
        r"@inproceedings\{liu2022datafree,.*?\n\}",
        (ROOT / "book/references.bib").read_text(encoding="utf-8"),
        re.DOTALL,
    )
    assert paper is not None
    plain = "".join(paper[0].split())
    assert plain in "".join((ROOT / "book/citing.md").read_text(encoding="utf-8").split())
