"""A profile of one's own as a TOML file: what it says, and the line that says it."""

import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dfnas.errors import UserError


def is_file(profile: str) -> bool:
    """Whether a profile is given by a file, not by its name."""
    return profile.endswith(".toml") or "/" in profile or "\\" in profile


def read(path: Path) -> str:
    """A profile file's text; UserError where there is none that can be read."""
    try:
        if path.is_dir() or (path.exists() and not path.is_file()):
            raise UserError(f"{path} is no file: --profile takes a name or a file PATH.toml")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"no profile at {path} ({error.strerror}): --profile takes a name or a file PATH.toml"
        ) from None
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path.name}, line {line}: no UTF-8 text: save the file as UTF-8") from None


def parse(path: Path, text: str) -> dict[str, Any]:
    """What a profile file says; UserError, with the line, where it is no TOML."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        reason = re.sub(r" \(at .*\)$", "", str(error))
        at = re.search(r"at line (\d+)", str(error))
        raise UserError(f"{path.name}, line {at[1] if at else text.count(chr(10)) + 1}: no TOML: {reason}") from None


def place(file: str, message: str) -> str:
    """Where a profile file first gives a setting that a message names, "mine.toml, line 7: "; "" where it does not."""
    names = re.findall(r"\b([a-z]+)\.([a-z_]+)\b", message)
    text = read(Path(file)) if file else ""
    line = first_line(text, lambda values: any(field in values.get(table, ()) for table, field in names))
    return f"{Path(file).name}, line {line}: " if line else ""


def first_line(text: str, holds: Callable[[dict[str, Any]], bool]) -> int:
    """The line from which on `holds` is true of what the file says up to there; 0: none."""
    return next((line for line, values in _beginnings(text) if holds(values)), 0)


def _beginnings(text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """What a file says up to each of its lines, with the line at which the last of it begins."""
    lines, start = text.split("\n"), 1
    for number in range(1, len(lines) + 1):
        try:
            values = tomllib.loads("\n".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue  # amid a value of several lines
        yield start, values
        start = number + 1
