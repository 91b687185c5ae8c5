"""Run records as the book reads them: from book/executed of the source folder that is being rendered."""

import contextlib
import json
from pathlib import Path
from typing import Any

from sphinx.environment import BuildEnvironment

from dfnas import profiles

EXECUTED = "book/executed"


class RecordError(Exception):
    """A record, or something in it, is not there."""


def page_of(name: str) -> str:
    """The document that shows the run `name`."""
    return f"{EXECUTED}/{name}"


def name_of(page: str) -> str | None:
    """The run that `page` shows, or None for a page that no run made."""
    folder, _, name = page.rpartition("/")
    return name if folder == EXECUTED else None


def path_of(env: BuildEnvironment, name: str, suffix: str = ".json") -> Path:
    """Where the record (or an attachment, by its suffix) of `name` lies."""
    return Path(env.srcdir) / EXECUTED / f"{name}{suffix}"


def load(env: BuildEnvironment, name: str, suffix: str = ".json") -> dict[str, Any]:
    """Read a record and make the current page depend on it, so that a new run re-renders the page.

    Raises RecordError with one line that says what is missing.
    """
    path = path_of(env, name, suffix)
    env.note_dependency(str(path))
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise RecordError(f"there is no {path.name} in {EXECUTED}: run the chapter first") from None
    except ValueError as error:
        raise RecordError(f"{path.name} is not readable: {error}") from None


def all_of(env: BuildEnvironment) -> dict[str, dict[str, Any]]:
    """Every record of the set that can be read, by chapter; the current page depends on all of them."""
    found = {}
    for name in profiles.CHAPTERS:
        with contextlib.suppress(RecordError):
            found[name] = load(env, name)
    return found


def own_seconds(run: dict[str, Any], seen: set[str]) -> float:
    """The seconds of a run without the stages that earlier runs had; adds its own stages to `seen`."""
    stages = run.get("stages", {}).values()
    shared = sum(stage["seconds"] for stage in stages if stage["key"] in seen)
    seen |= {stage["key"] for stage in stages}
    return max(0.0, run["seconds"] - shared)


def seconds_after_earlier(env: BuildEnvironment, name: str) -> float:
    """The seconds of the run `name` where the runs that come before it in the book have left their stages."""
    seen: set[str] = set()
    for path in sorted(path_of(env, name).parent.glob("*.json")):
        if path.stem < name and "." not in path.stem:
            own_seconds(load(env, path.stem), seen)
    return own_seconds(load(env, name), seen)


def metric(env: BuildEnvironment, name: str, key: str) -> Any:
    """One metric of the record `name`; RecordError names the metrics that there are."""
    metrics = load(env, name).get("metrics", {})
    if key not in metrics:
        known = ", ".join(sorted(metrics)) or "none"
        raise RecordError(f"the record {name} has no metric {key!r} (it has: {known})")
    return metrics[key]
