"""The package as a wheel, installed where no repository is: it brings notebooks, teachers and the book's sources."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from dfnas import __version__
from dfnas.records import read
from dfnas.runtime import paths

WHOLE = ("dfnas/**/*", "notebooks/*.ipynb", "benchmarks/*.py", "book/**/*", "_config.yml", "_toc.yml", "index.md")
NOT_THERE = ("/tests/", "/runs/", "/.", "__pycache__", ".pyc")
MEGABYTES = 5


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the repository, where a run and a cache lie, and what `make wheel` makes of it: out/."""
    folder = tmp_path_factory.mktemp("built")
    left_out = shutil.ignore_patterns(".*", "runs", "_build", "build", "*.egg-info", "__pycache__")
    shutil.copytree(paths.root(), folder / "source", ignore=left_out)
    for name in ("book/_ext/dfnas_book/__pycache__/card.pyc", "runs/smoke/02-synthesis.json"):
        (folder / "source" / name).parent.mkdir(parents=True)
        (folder / "source" / name).write_bytes(b"")
    command = ["make", "wheel", f"PYTHON={sys.executable}"]
    subprocess.run(command, cwd=folder / "source", capture_output=True, check=True)
    (folder / "source" / "dist").rename(folder / "out")
    return folder


def test_a_wheel_holds_the_book_and_no_runs_tests_or_caches(built: Path) -> None:
    (wheel,), (sdist,) = built.glob("out/*.whl"), built.glob("out/*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    files = [
        file for part in WHOLE for file in paths.root().glob(part) if file.is_file() and "__pycache__" not in file.parts
    ]
    wanted = {file.relative_to(paths.root()).as_posix() for file in files}
    assert {name if name.startswith("dfnas/") else f"dfnas/sources/{name}" for name in wanted} <= names
    with tarfile.open(sdist) as archive:
        both = [*names, *archive.getnames()]
    assert [name for name in both if any(word in f"/{name}" for word in NOT_THERE)] == []
    assert wheel.stat().st_size < MEGABYTES * 1e6
    assert sdist.stat().st_size < MEGABYTES * 1e6


@pytest.mark.slow
def test_an_installation_works_in_an_empty_folder(built: Path, tmp_path: Path) -> None:
    """Beside the packages that are there, so that nothing is downloaded; its runs lie in the caller's folder."""
    place, empty = tmp_path / "venv", tmp_path / "empty"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    python = place / "bin" / "python"
    install = ["-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([sys.executable, *install, *built.glob("out/*.whl")], check=True)
    (site,) = place.glob("lib/python*/site-packages")
    # After pip, which would find the package there, too. Its own .pth files, as that of this repository, are not read.
    (site / "those.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    empty.mkdir()
    ours = ("DFNAS_", "PYTHON", "JUPYTER", "GIT_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}

    def call(*command: str | Path) -> str:
        done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        return done.stdout

    call(place / "bin" / "dfnas", "run", "02-synthesis", "--profile", "smoke")
    run = read(empty / "runs" / "smoke" / "02-synthesis.json")
    assert run is not None
    assert (run["verdict"], run["commit"], run["clean"]) == ("good", f"version {__version__}", True)
    source = call(python, "-c", "from dfnas.runtime import paths; print(paths.root(), end='')")
    assert Path(source).is_relative_to(site)
    before = set(Path(source).rglob("*"))
    notebook = f"{source}/notebooks/02-synthesis.ipynb"
    call(python, "-m", "papermill", notebook, "out.ipynb", "-p", "profile", "smoke")
    assert '"output_type": "error"' not in (empty / "out.ipynb").read_text(encoding="utf-8")
    assert {path.name for path in empty.iterdir()} == {"runs", "out.ipynb"}
    assert set(Path(source).rglob("*")) == before
