"""Benchmarks in a process of their own: it ends with the one that began it."""

import contextlib
import os
import subprocess
import sys

import pytest

from dfnas.runtime import paths

WATCHED = "from benchmarks.__main__ import end_with; print('ready', flush=True); end_with({})"


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
