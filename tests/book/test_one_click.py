"""Ways in from elsewhere: containers, Binder, Colab, workflows; their linters agree, and their commands are CI's."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from dfnas_book import launch
from nbclient import NotebookClient

from dfnas import __version__, profiles
from dfnas.publishing import notebooks

from .made_up import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
BIN = Path(sys.executable).parent
PLACE = launch.Repository("Someone", "some-book", "main")
SCHEMAS = {
    "github-workflows": WORKFLOWS,
    "github-issue-forms": FORMS,
    "github-issue-config": [ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml"],
    "citation-file-format": [ROOT / "CITATION.cff"],
}


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def run(*command: str | Path, cwd: Path = ROOT, **variables: str) -> str:
    environment = {**os.environ, **variables}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_linters_agree() -> None:
    assert len(WORKFLOWS) == len(FORMS) == 3
    for schema, files in SCHEMAS.items():
        run(BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)
    run(BIN / "hadolint", ROOT / "Dockerfile")
    for script in (ROOT / ".binder" / "postBuild", ROOT / ".ci" / "run", ROOT / ".ci" / "pages"):
        run("bash", "-n", script)
        assert os.access(script, os.X_OK)


def steps() -> list[str]:
    """Every command that a workflow, a container, Binder or a hook gives, without what is the machine's business."""
    workflows = [
        step["run"]
        for path in WORKFLOWS
        for job in loaded(path)["jobs"].values()
        for step in job["steps"]
        if "run" in step
    ]
    hooks = [hook["entry"] for repo in loaded(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    built = [line.removeprefix("RUN ") for line in dockerfile.splitlines() if line.startswith("RUN make")]
    started = json.loads(dockerfile.rpartition("CMD ")[2])
    binder = (ROOT / ".binder" / "postBuild").read_text(encoding="utf-8").splitlines()
    scripts = [line for line in binder if not line.startswith(("#", "set ", "export "))]
    found = [*workflows, *hooks, container["postCreateCommand"], *built, " ".join(started[:2]), *scripts]
    return [re.sub(r' (PYTHON=\S+|"\$GITHUB_REF_NAME" > \S+)', "", command) for command in found]


def test_every_command_is_one_that_ci_runs() -> None:
    """`.ci/run` runs the first two, `make test` the linters; tests of this file and of the wheel the rest."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    ours = [line for line in script if line.startswith("make ")]
    assert ours == ["make read", "make test"]
    planned = run("make", "--dry-run", "--always-make", "--no-print-directory", "test", VENV=".venv").splitlines()
    here = [
        "bash .ci/run",
        "bash .ci/pages",
        "python3 .ci/notes",
        "make wheel",
        "make set-up",
        "make install",
        "jupyter lab",
    ]
    assert [command for command in steps() if command not in [*ours, *planned, *here]] == []
    assert {"bash .ci/run", "bash .ci/pages", "make read", "make wheel", "make install"} <= set(steps())


def test_set_up_and_install_are_what_make_test_does_first() -> None:
    dry = ["make", "--dry-run", "--always-make", "--no-print-directory"]
    first = run(*dry, "test", VENV=".venv").splitlines()
    alone = run(*dry, "set-up", VENV=".venv").splitlines()
    assert alone == first[: len(alone)]
    installed = run(*dry, "install", "PYTHON=.venv/bin/python").splitlines()
    assert len(installed) == 3
    assert "\n".join(installed) in "\n".join(first)


def test_images_name_what_is_there() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert (ROOT / ".devcontainer" / container["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"
    opened = container["customizations"]["codespaces"]["openFiles"]
    assert all((ROOT / name).is_file() for name in opened)
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "\nARG TORCH=cpu\n" in dockerfile
    place = re.search(r"VENV=(/\S+)", dockerfile)
    assert place is not None
    assert container["postCreateCommand"] == f"make install PYTHON={place[1]}/bin/python"
    tested = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]["python_version"]
    assert f"\nFROM python:{tested}-" in dockerfile
    assert (ROOT / ".binder" / "runtime.txt").read_text(encoding="utf-8").strip() == f"python-{tested}"
    versions = {
        step["with"]["python-version"]
        for path in WORKFLOWS
        for job in loaded(path)["jobs"].values()
        for step in job["steps"]
        if "setup-python" in step.get("uses", "")
    }
    assert versions == {tested}


def test_pages_go_to_their_branch_as_they_are(tmp_path: Path) -> None:
    """To an origin that lies here; the checkout and its history are left as they were."""
    origin, clone = tmp_path / "origin.git", tmp_path / "clone"
    run("git", "init", "--quiet", "--bare", origin)
    run("git", "init", "--quiet", clone)
    (clone / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "pages", clone / ".ci")
    (clone / ".gitignore").write_text("runs/\n_static/\n", encoding="utf-8")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    run(*git, "add", ".", cwd=clone)
    run(*git, "commit", "--quiet", "--message", "x", cwd=clone)
    run("git", "remote", "add", "origin", origin, cwd=clone)
    nothing = subprocess.run(["bash", ".ci/pages"], cwd=clone, capture_output=True, env=os.environ | {"DFNAS_RUNS": ""})
    assert nothing.returncode == 2
    pages = clone / "runs" / "render-published" / "_build" / "html"
    (pages / "_static").mkdir(parents=True)
    for name in ("index.html", ".nojekyll", "_static/book.css"):
        (pages / name).write_text(name, encoding="utf-8")
    for _ in range(2):  # the second time over the first
        run("bash", ".ci/pages", cwd=clone, DFNAS_RUNS="")
    names = run("git", "ls-tree", "-r", "--name-only", "gh-pages", cwd=origin).splitlines()
    assert names == [".nojekyll", "_static/book.css", "index.html"]
    assert run("git", "rev-list", "--count", "gh-pages", cwd=origin) == "1"
    assert run("git", "status", "--porcelain", cwd=clone) == ""


def test_a_release_has_the_notes_of_its_version() -> None:
    text = run("python3", ".ci/notes", f"v{__version__}")
    assert text
    assert text in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    refused = subprocess.run(["python3", ".ci/notes", "v99"], cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 1
    assert f"is not v{__version__}" in refused.stderr


@pytest.mark.parametrize("name", profiles.CHAPTERS)
def test_a_copy_has_the_code_of_its_source(name: str) -> None:
    source = notebooks.read_notebook(notebooks.source(name))
    copy = launch.copied(source, PLACE, name)
    nbformat.validate(copy)
    code, copied = ([cell.source for cell in book.cells if cell.cell_type == "code"] for book in (source, copy))
    assert 'find_spec("dfnas") is None' in copied[0]
    assert "git+https://github.com/Someone/some-book@main" in copied[0]
    assert copied[1].startswith('profile: str = "smoke"\n')
    assert [copied[1].replace('"smoke"', '"quick"'), *copied[2:]] == code
    text = "\n".join(cell.source for cell in copy.cells if cell.cell_type == "markdown")
    assert re.findall(r"\{(?:num|cite|numref|chapter|impl|term|eq)[\w:]*\}`|^(?:```|:::)\{", text, re.MULTILINE) == []


@pytest.mark.slow
def test_a_copy_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    name = "01-teacher"
    copy = launch.copied(notebooks.read_notebook(notebooks.source(name)), PLACE, name)
    NotebookClient(copy, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert (tmp_path / "smoke").is_dir()


def test_where_the_repository_is() -> None:
    def place(url: str) -> launch.Repository | None:
        options = {"repository_url": url, "repository_branch": "main"}
        return launch.repository(type("Config", (), {"html_theme_options": options})())

    assert place("https://github.com/Someone/some-book") == PLACE
    assert place("https://github.com/Someone/some-book.git") == place("https://github.com/Someone/some-book/") == PLACE
    assert place("") is None
    assert place("https://example.org/Someone/some-book") is None
    assert PLACE.pages == "https://someone.github.io/some-book/"


def test_what_is_made_from_the_repository_s_address(linked_book: Path) -> None:
    """A sitemap, cards and copies, all of pages that are there."""
    for name in (".nojekyll", "_static/card.png", *map(launch.copy, profiles.CHAPTERS)):
        assert (linked_book / name).is_file()
    listed = re.findall("<loc>(.*)</loc>", (linked_book / "sitemap.xml").read_text(encoding="utf-8"))
    base = "https://someone.github.io/some-book/"
    assert f"{base}index.html" in listed
    assert all((linked_book / address.removeprefix(base)).is_file() for address in listed)
    page = BeautifulSoup((linked_book / "book" / "citing.html").read_text(encoding="utf-8"), "html.parser")
    tags = {str(tag["property"]): str(tag["content"]) for tag in page.select("meta[property]")}
    assert (tags["og:title"], tags["og:url"]) == ("How to cite", f"{base}book/citing.html")
    assert tags["og:description"].startswith("If the book or its code")
    assert tags["og:image"] == f"{base}_static/card.png"


def test_without_an_address_the_page_says_so(made_up_book: Path) -> None:
    text = (made_up_book / "book" / "anywhere.html").read_text(encoding="utf-8")
    assert "does not say where its repository is" in text
    assert not (made_up_book / "sitemap.xml").exists()
    assert "og:url" not in text


@pytest.mark.slow
def test_jupyterlab_opens_notebooks_and_knows_the_book_s_directives(tmp_path: Path) -> None:
    listed = subprocess.run([BIN / "jupyter", "labextension", "list"], capture_output=True, text=True).stderr
    assert re.search(r"jupyterlab-myst v\S+ .*enabled.*OK", listed), listed
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", "--allow-root", f"--ServerApp.port={port}", "--IdentityProvider.token=x"]
    environment = {**os.environ, "JUPYTER_RUNTIME_DIR": str(tmp_path), "JUPYTER_CONFIG_DIR": str(tmp_path)}
    command = [BIN / "jupyter", "lab", "--ip=127.0.0.1", *options]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL) as server:
        try:
            address = f"http://127.0.0.1:{port}/api/contents/notebooks/01-teacher.ipynb?token=x&content=0"
            assert json.loads(answer_of(address))["type"] == "notebook"
        finally:
            server.kill()


def answer_of(address: str, seconds: float = 120) -> bytes:
    """What a server that is starting answers, when it does."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urlopen(address, timeout=seconds) as answer:
                return bytes(answer.read())
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)
