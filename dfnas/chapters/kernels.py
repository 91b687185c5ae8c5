"""What a step costs: runs the benchmarks in a process of their own, and keeps what they measured."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from dfnas.errors import UserError
from dfnas.profiles import KernelsSettings, Settings
from dfnas.runtime import paths, stages
from dfnas.runtime.artefacts import Artefact

VERSION = 6


def compute(settings: Settings) -> dict[str, Artefact]:
    """The one stage. Its figures belong to the machine that made them; its key does not know of machines."""
    chapter = settings.kernels
    resolved = {"files": chapter.benchmarks, "pairs": chapter.pairs}
    return {
        "benchmarks": stages.stage("benchmarks", lambda folder: measure(folder, chapter), resolved, version=VERSION)
    }


def plan(settings: Settings) -> list[dict[str, Any]]:
    """Nothing that shapes tell: benchmarks take some minutes, whatever the sizes."""
    return []


def measure(folder: Path, chapter: KernelsSettings) -> None:
    """Run `python -m benchmarks`; writes results.json and results.md.

    A process of its own: what a notebook has loaded and compiled must not be in the figures.

    Raises
    ------
    UserError
        Benchmarks that end with an error.
    """
    command = [sys.executable, "-m", "benchmarks", *chapter.benchmarks, "--pairs", str(chapter.pairs)]
    command += ["--out", str(folder / "results.json")]
    env = {**os.environ, "DFNAS_RUNS": str(paths.runs()), "DFNAS_PARENT": str(os.getpid())}
    done = subprocess.run(command, cwd=paths.root(), env=env, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise UserError(f"benchmarks: exit code {done.returncode}: {last[0]}")


def results(artefact: Artefact) -> dict[str, Any]:
    """What was measured: machine, versions, rows, growths and the processor's peaks."""
    return json.loads((artefact.folder / "results.json").read_bytes())
