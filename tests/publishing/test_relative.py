"""Relative paths mean the caller's folder, to the kernel of `run` as to `compute`, and name the same run from any."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from dfnas import __main__, profiles
from dfnas.chapters import index
from dfnas.publishing import status
from dfnas.runtime import paths

NETWORK = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
"""
CODE = "from dfnas.chapters import index\n\nrun.record('key', index.compute('01-teacher', run.settings)['teacher'].key)"


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tiny.Book:
    """A chapter that asks for its stages, and a folder with a network, its builder and ten images, which is `here`."""
    made, here = tiny.make_book(tmp_path, monkeypatch), tmp_path / "here"
    monkeypatch.setattr(status, "stage_keys", index.stage_keys)
    monkeypatch.setattr(sys, "path", list(sys.path))
    made.write(CODE)
    for digit in range(10):
        folder = here / "images" / "test" / str(digit)
        folder.mkdir(parents=True)
        Image.fromarray(np.full((12, 12), digit, np.uint8)).save(folder / "0.png")
    (here / "their_network.py").write_text(NETWORK, encoding="utf-8")
    monkeypatch.chdir(here)
    names: dict = {}
    exec(NETWORK, names)
    torch.save(names["build"]().state_dict(), "weights.pt")
    return made


def overrides(path: str) -> list[str]:
    chosen = {"teacher.path": path, "teacher.builder": "their_network:build", "data.name": "folder"}
    return [word for name, value in chosen.items() for word in ("--set", f"{name}={value}")]


def test_run_and_compute_take_relative_paths_alike_and_from_elsewhere_it_is_the_same_run(
    book: tiny.Book, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    profile, here = ["--profile", tiny.PROFILE], Path.cwd()
    monkeypatch.setenv("DFNAS_DATA", "images")
    assert __main__.main(["run", tiny.NAME, *profile, *overrides("weights.pt")]) == 0
    assert __main__.main(["compute", tiny.NAME, *profile, *overrides("weights.pt")]) == 0
    stages = [folder.name for folder in (paths.runs() / "stages").glob("teacher-*")]
    assert len(stages) == 1
    monkeypatch.chdir("images")
    monkeypatch.setenv("DFNAS_DATA", str(here / "images"))
    capsys.readouterr()
    for path in ("../weights.pt", f'"{here}/weights.pt"', os.path.relpath(here / "weights.pt")):
        assert __main__.main(["status", *profile, *overrides(path)]) == 0
        line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(tiny.NAME))
        assert line.split()[-1] == "good"


@pytest.mark.parametrize("name", ["teacher.path", "truth.table", "proxylessnas.latency_table"])
def test_a_file_s_name_is_kept_in_full(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/one")
    full = {"a.pt": f"{tmp_path}/a.pt", " '../b' ": f"{tmp_path.parent}/b", "~/c": "/home/one/c", "/d": "/d", "": ""}
    for text, path in full.items():
        settings = profiles.load("smoke", 0, [f"{name}={text}"])
        assert settings.overrides == (f"{name}={path}",)
        stage, field = name.split(".")
        assert getattr(getattr(settings, stage), field) == path
