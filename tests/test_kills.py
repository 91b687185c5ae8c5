"""A tenth of the kills of kills.py, which needs a process that nothing else runs in."""

import subprocess
import sys
from pathlib import Path

import kills
import pytest

from dfnas.runtime import paths


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="it looks for processes where Linux lists them")
def test_of_ten_kills_nothing_is_left(tmp_path: Path) -> None:
    command = [sys.executable, kills.__file__, "--kills", "10", "--runs", "0.1", "--folder", str(tmp_path)]
    command += ["01-teacher", "02-synthesis"]
    done = subprocess.run(command, cwd=paths.root(), capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 kills" in done.stdout
    assert " 0 of " in done.stdout


def test_a_difference_is_seen_and_times_are_none(tmp_path: Path) -> None:
    files = {
        "a/stage.json": b'{"seconds": 1, "x": [{"seconds": 2}]}',
        "a/x.jsonl": b'{"x": 1}\n{"x": 2}\n',
        "a/b": b"b",
    }

    def runs(name: str, **changes: bytes) -> dict[str, str]:
        for path, content in (files | {f"a/{file}": content for file, content in changes.items()}).items():
            file = tmp_path / name / "stages" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return kills.outcomes(tmp_path / name)

    whole = runs("whole")
    assert set(whole) == set(files)
    assert runs("slower", **{"stage.json": b'{"x": [{"seconds": 3}], "seconds": 4}'}) == whole
    for number, changes in enumerate(({"b": b"c"}, {"c.tmp": b""}, {"x.jsonl": b'{"x": 1}\n'}, {"stage.json": b"{}"})):
        assert runs(str(number), **changes) != whole
