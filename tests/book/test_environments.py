"""What is installed: a light environment to read, a lock, bounds that a reader's own packages can meet."""

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .made_up import COMPUTING, ROOT, without

BUILDS = ("torch", "torchvision")  # whose build, for CPUs or a GPU, the reader chooses: no hash can be known
MEGABYTES = 400


def pins() -> dict[str, Requirement]:
    """The direct pins, by name."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(each.name): each for each in found}


def locked() -> tuple[list[str], list[str]]:
    """The entries of the lock: the renderer's, and the rest."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    book, _, rest = text.partition("# What computing")
    first, second = ([entry for entry in re.split(r"\n(?=\S)", part) if "==" in entry] for part in (book, rest))
    return first, second


def name_of(entry: str) -> str:
    return canonicalize_name(Requirement(entry.split(" \\\n")[0]).name)


def project() -> dict[str, list[Requirement]]:
    """The requirements in the package's metadata: its own, as "", and those of its extras."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"": table["dependencies"], **table["optional-dependencies"]}
    return {name: [Requirement(line) for line in lines] for name, lines in groups.items()}


def test_the_lock_has_every_direct_pin_and_a_hash_for_each_package() -> None:
    entries = [entry for part in locked() for entry in part]
    lines = {entry.split(" ", 1)[0] for entry in entries}
    wanted = {f"{name}{each.specifier}" for name, each in pins().items() if name not in BUILDS}
    assert wanted - lines == set(), "requirements.txt has changed: make lock"
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert not any(name_of(entry).startswith((*BUILDS, "triton", "nvidia", "cuda")) for entry in entries)


def test_the_renderer_s_part_of_the_lock_is_whole_and_has_no_torch() -> None:
    """Whatever a package of it needs here is in it; what only computes is not."""
    book = {name_of(entry) for entry in locked()[0]}
    assert {canonicalize_name(each.name) for each in project()["book"]} <= book
    assert book.isdisjoint({canonicalize_name(name) for name in COMPUTING})
    missing = []
    for name in sorted(book):
        try:
            needs = [Requirement(line) for line in metadata.requires(name) or ()]
        except metadata.PackageNotFoundError:
            continue  # of another platform
        here = [each for each in needs if each.marker is None or each.marker.evaluate({"extra": ""})]
        missing += [f"{name} needs {each.name}" for each in here if canonicalize_name(each.name) not in book]
    assert missing == []


def test_metadata_has_bounds_alone_that_the_pins_meet() -> None:
    groups = project()
    assert {"book", "notebook", "test", "timm"} <= groups.keys()
    every = [each for group in groups.values() for each in group]
    assert [str(each) for each in every if any(part.operator in ("==", "===", "~=") for part in each.specifier)] == []
    assert [str(each) for each in every if not any(part.operator == ">=" for part in each.specifier)] == []
    unmet = []
    for each in every:
        pin = pins().get(canonicalize_name(each.name))
        if pin and not each.specifier.contains(str(pin.specifier).removeprefix("=="), prereleases=True):
            unmet.append(f"{each} and {pin}")
    assert unmet == []
    assert pins().keys() <= {canonicalize_name(each.name) for each in every}


def test_nothing_of_the_renderer_needs_what_computes(tmp_path: Path) -> None:
    """The book itself is rendered so for all other tests; here, that this is any test at all."""
    environment = without(tmp_path, COMPUTING)
    done = subprocess.run([sys.executable, "-c", "import torch"], env=environment, capture_output=True, text=True)
    assert "torch is not to be imported" in done.stderr
    command = [sys.executable, "-m", "dfnas", "render", "--help"]
    subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True)


def test_what_make_read_installs_is_light() -> None:
    """Where .ci/run has just set it up from nothing."""
    folder = ROOT / ".venv-read"
    if not (folder / ".set-up").exists():
        pytest.skip("no .venv-read here: make read")
    packages = {canonicalize_name(each.metadata["Name"]) for each in metadata.distributions(path=site_packages(folder))}
    assert packages - {name_of(entry) for entry in locked()[0]} <= {"pip"}
    size = sum(os.lstat(Path(at) / name).st_size for at, _, names in os.walk(folder) for name in names)
    assert size < MEGABYTES * 1e6


def site_packages(folder: Path) -> list[str]:
    return [str(path) for path in folder.glob("lib/python*/site-packages")]
