"""Benchmarks in a process of their own: it ends with the one that began it."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dfnas.runtime import paths

WATCHED = "from benchmarks.__main__ import end_with; print('ready', flush=True); end_with({})"


@pytest.mark.parametrize(("words", "said"), [(["nope"], "no benchmark 'nope'"), (["loader", "--out", "{}"], "cannot")])
def test_what_benchmarks_cannot_do_is_one_line_before_they_begin(tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks", *(word.format(tmp_path / "file" / "x.json") for word in words)]
    done = subprocess.run(command, cwd=paths.root(), capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("dfnas: ")
    assert said in line


@pytest.mark.parametrize(("waiting", "code"), [(True, None), (False, 1)])
def test_benchmarks_end_when_nobody_waits_for_them(waiting: bool, code: int | None) -> None:
    command = [sys.executable, "-c", WATCHED.format(os.getpid() if waiting else 1)]
    with subprocess.Popen(command, cwd=paths.root(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(3)
        ended = process.poll()
        process.kill()
    assert ended == code
