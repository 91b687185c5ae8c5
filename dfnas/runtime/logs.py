"""Logs of long stages: a line of JSON a finished piece, so that a killed run loses at most the piece in hand."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dfnas.runtime import stages
from dfnas.runtime.files import write_text


def append(file: Path, row: dict[str, Any]) -> None:
    """Write a line to a log; the time so far counts even if the run is killed now."""
    with open(file, "a", encoding="utf-8") as log:
        log.write(json.dumps(row) + "\n")
    stages.save_time()


def read(file: Path) -> list[dict[str, Any]]:
    """The lines of a log, none where there is no file; without one that a kill, or a writer at work, has cut short."""
    if not file.exists():
        return []
    content = file.read_bytes()
    return [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]


def mend(file: Path) -> None:
    """Remove the line that a kill cut short, for who will append to the log."""
    if file.exists():
        os.truncate(file, file.read_bytes().rfind(b"\n") + 1)


def write(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a whole log."""
    write_text(file, "".join(json.dumps(row) + "\n" for row in rows))
