"""The commands of the README: what `make` would do, and that CI runs what a reader is told to run."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from .made_up import ROOT

INPUTS = ("requirements.txt", "requirements.lock", "pyproject.toml")
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files that the Makefile looks at."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in INPUTS:
        (tmp_path / name).touch()
    return tmp_path


def planned(folder: Path, *arguments: str) -> str:
    """What make would run."""
    command = ["make", "--dry-run", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def set_up(folder: Path, seconds_later: float, name: str = ".venv") -> None:
    """Pretend that the environment was set up so long after the requirements were written."""
    stamp = folder / name / ".set-up"
    stamp.parent.mkdir(exist_ok=True)
    stamp.touch()
    for name in INPUTS:
        os.utime(folder / name, (1_000_000, 1_000_000))
    os.utime(stamp, (1_000_000 + seconds_later, 1_000_000 + seconds_later))


@pytest.mark.parametrize("target", ["book", "test", "read"])
def test_each_target_sets_up_what_is_missing_or_old(clone: Path, target: str) -> None:
    assert "-m venv" in planned(clone, target)
    set_up(clone, seconds_later=10)
    assert "-m venv" not in planned(clone, target)
    set_up(clone, seconds_later=-10)
    assert "-m venv" in planned(clone, target)


def test_book_runs_and_renders_one_profile(clone: Path) -> None:
    set_up(clone, seconds_later=10)
    for arguments, profile in ((("book",), "quick"), (("book", "PROFILE=laptop"), "laptop")):
        assert planned(clone, *arguments).splitlines() == [
            f".venv/bin/python -m dfnas run --profile {profile}",
            f".venv/bin/python -m dfnas render --profile {profile}",
        ]


def test_read_computes_nothing(clone: Path) -> None:
    """In the light environment, unless the whole one is there."""
    first = planned(clone, "read")
    assert "-m venv --clear .venv-read" in first
    assert "requirements.txt" not in first.replace(".venv-read/requirements.txt", "")
    set_up(clone, seconds_later=10, name=".venv-read")
    assert planned(clone, "read").splitlines() == [".venv-read/bin/python -m dfnas render"]
    set_up(clone, seconds_later=10)
    assert planned(clone, "read").splitlines() == [".venv/bin/python -m dfnas render"]


def test_serve_shows_what_read_rendered(clone: Path) -> None:
    set_up(clone, seconds_later=10)
    read, serve = planned(clone, "serve", "PORT=8123", "DFNAS_RUNS=").splitlines()
    assert read == ".venv/bin/python -m dfnas render"
    assert serve.endswith("-m http.server 8123 --bind 127.0.0.1 --directory runs/render-published/_build/html")


def test_ci_runs_the_test_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert script.rstrip().endswith("\nmake test")
    assert "`make test`" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)


def test_readme_is_one_screen_and_its_links_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 45
    links = re.findall(r"\]\(([^)#:]+)\)", text) + re.findall(r'src="([^":]+)"', text)
    assert links
    assert all((ROOT / link).exists() for link in links)


def test_citation_names_the_book_and_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "license"} <= citation.keys()
    assert "Recursive Label Calibration" in citation["references"][0]["title"]
