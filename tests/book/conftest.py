"""Books to test: a made-up one that has everything, the real one with what is published; and a browser."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from . import made_up

# the extension is no package of the environment: Sphinx finds it by the book's settings
sys.path.insert(0, str(made_up.ROOT / "book" / "_ext"))

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# no sandbox, as containers forbid it; the rest keeps the browser from calling home
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def built(source: Path, output: Path) -> Path:
    """Render a book strictly; the folder of its pages, or the renderer's complaints as a failure."""
    done = made_up.render(source, output)
    if done.returncode:
        pytest.fail("the book does not render without warnings:\n" + made_up.complaints(done))
    return output / "_build" / "html"


@pytest.fixture(scope="session")
def made_up_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of the made-up book."""
    folder = tmp_path_factory.mktemp("made-up")
    source = folder / "source"
    source.mkdir()
    return built(made_up.write(source), folder)


@pytest.fixture(scope="session")
def linked_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of the made-up book, in a repository."""
    folder = tmp_path_factory.mktemp("linked")
    source = folder / "source"
    source.mkdir()
    return built(made_up.write(source, repository="https://github.com/someone/some-book"), folder)


@pytest.fixture(scope="session")
def real_book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of the book itself, as `make read` shows them: front matter and what is published, without PyTorch."""
    folder = tmp_path_factory.mktemp("real")
    environment = made_up.without(folder, made_up.COMPUTING) | {"DFNAS_RUNS": str(folder)}
    command = [sys.executable, "-m", "dfnas", "render"]
    done = subprocess.run(command, cwd=made_up.ROOT, env=environment, capture_output=True, encoding="utf-8")
    if done.returncode:
        pytest.fail("the book does not render without warnings:\n" + done.stderr)
    return Path(done.stdout.strip()).parent


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A browser without a window; the tests that need it are skipped, in one line, where there is none."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        text = "no chromium on this machine: browser tests skipped (apt-get install chromium to have them)"
        pytest.fail(text) if os.environ.get("DFNAS_REQUIRE_BROWSER") else pytest.skip(text)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()
