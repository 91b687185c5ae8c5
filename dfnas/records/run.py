"""Run records: what a notebook ran, with what, where, how long, and what came out.

A notebook calls `begin` in its first code cell, `Run.record` for what prose may quote, and `Run.finish`
in its last. The batch runner judges the executed notebook (`publishing.status`) and stores its verdict in the record.
"""

import contextlib
import json
import math
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dfnas import profiles
from dfnas.errors import UserError
from dfnas.profiles import Settings
from dfnas.records import conditions, provenance
from dfnas.records.metrics import flat
from dfnas.runtime import artefacts, machine, paths
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.files import write_json, write_text

PARAMETERS = {"profile": str, "seed": int, "overrides": list}
PLAIN = (str, int, float, list, tuple, dict, type(None))  # what papermill can inject
SHELLS = ("In", "Out")  # what IPython puts beside them


def begin(
    name: str,
    profile: str,
    seed: int = 0,
    overrides: list[str] | None = None,
    namespace: Mapping[str, Any] | None = None,
) -> "Run":
    """Start the record of a chapter's run; called once, in a notebook's first code cell after its parameters.

    Parameters
    ----------
    name : the chapter, as 01-teacher.
    profile, seed, overrides : the notebook's parameters.
    namespace : its `globals()`, in which a parameter that no chapter has is found: papermill itself only warns.

    Raises
    ------
    UserError
        A parameter of another type, or one that no chapter has; an unknown chapter, profile or override; a chapter
        that the profile does not have.
    """
    overrides = [] if overrides is None else overrides
    check_parameters({"profile": profile, "seed": seed, "overrides": overrides}, namespace or {})
    settings = profiles.load(profile, seed, overrides)
    profiles.require_chapter(name, settings)
    _draw_as_svg()
    conditions.skip(conditions.answers(settings.data))
    artefacts.force(bool(os.environ.get("DFNAS_FORCE")))
    artefacts.reset()
    return Run(name, settings, _folder(name, settings), *provenance.commit(), provenance.imported_modules())


@dataclass
class Run:
    """A notebook's run: its settings, and what it has recorded so far."""

    name: str
    settings: Settings
    folder: Path
    commit: str
    clean: bool
    modules: dict[str, str]  # digests as of the start: what was imported is what was on disk then
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.perf_counter)
    metrics: dict[str, float | int | bool | str] = field(default_factory=dict)
    attachments: list[str] = field(default_factory=list)

    def record(self, name: str, value: Any) -> None:
        """Store a number, a truth value or a short text under a name that prose can quote; or a whole of several.

        An Interval goes into `name`, `name_low`, `name_high` and `name_freedom`, a Summary into `name`, `name_std` and
        `name_n`.

        Raises
        ------
        UserError
            A value, or a part of one, that is not a single finite number, truth value or text.
        """
        self.metrics |= {part: _checked(part, number) for part, number in flat({name: value}).items()}

    def record_all(self, values: Mapping[str, Any]) -> None:
        """`record` each value under its name."""
        for name, value in values.items():
            self.record(name, value)

    def attach(self, name: str, value: Any) -> None:
        """Write a JSON-able value beside the record, as <chapter>.<name>.json."""
        if not re.fullmatch(r"[a-z][a-z0-9_-]*", name):
            raise UserError(f"attachment {name!r} must be named in lower-case letters, digits, _ and -")
        try:
            text = json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise UserError(f"attachment {name} cannot be written as JSON: {error}") from None
        write_text(self.folder / f"{self.name}.{name}.json", text)
        if name not in self.attachments:
            self.attachments.append(name)

    def card(self) -> None:
        """Say what ran, when it runs by hand; the page's own card is made from the record when it is rendered."""
        if not os.environ.get("DFNAS_STAGING"):
            facts = f"profile {self.settings.profile}, seed {self.settings.seed}, commit {self.commit}"
            print(f"{self.name}: {facts}, {len(self.metrics)} metrics; the record goes to {self.folder.name}/")

    def finish(self) -> None:
        """Write the record; called once, in the notebook's last code cell."""
        write_json(self.folder / f"{self.name}.json", self._facts())

    def _facts(self) -> dict[str, Any]:
        stages = list({item.key: item for item in artefacts.used()}.values())
        now = {**provenance.imported_modules(), **self.modules}
        return {
            "name": self.name,
            "complete": True,
            "verdict": "unchecked",
            "profile": self.settings.profile,
            "seed": self.settings.seed,
            "overrides": list(self.settings.overrides),
            "parameters": profiles.to_dict(self.settings),
            "real_images": conditions.answers(self.settings.data),
            "commit": self.commit,
            "clean": self.clean,
            "stages": _stage_facts(stages),
            "seconds": round(self._own_seconds(stages) + sum(item.seconds for item in stages), 1),
            "peak_memory_mb": round(max([machine.peak_memory_mb(), *(item.peak_memory_mb for item in stages)])),
            "versions": machine.versions(),
            "machine": machine.description(),
            "started": self.started.isoformat(timespec="seconds"),
            # The batch runner digests what it executes; reading the source again takes two seconds of imports.
            "code_digest": "" if os.environ.get("DFNAS_STAGING") else source_digest(self.name),
            "modules": dict(sorted(now.items())),
            "metrics": self.metrics,
            "attachments": self.attachments,
        }

    def _own_seconds(self, stages: list[Artefact]) -> float:
        """The notebook's time without the stages that were computed during it."""
        since = self.started.timestamp()
        recent = [item for item in stages if (item.folder / "stage.json").stat().st_mtime >= since]
        return max(0.0, time.perf_counter() - self.clock - sum(item.seconds for item in recent))


def read(path: Path) -> dict[str, Any] | None:
    """A record, or None where there is none that can be read."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def source_digest(name: str) -> str:
    """Digest of the code cells of a chapter's source notebook today ("" where there is none)."""
    import nbformat

    path = paths.root() / "notebooks" / f"{name}.ipynb"
    return provenance.code_digest(nbformat.read(path, as_version=4).cells) if path.exists() else ""


def check_parameters(parameters: Mapping[str, Any], namespace: Mapping[str, Any]) -> None:
    """Refuse parameters of another type than a notebook takes, and plain values in its namespace beside them.

    Once a run has begun, its own variables are there too: a cell that is run again by hand is not checked for them.
    """
    for name, kind in PARAMETERS.items():
        value = parameters[name]
        if type(value) is not kind:
            hint = "; with papermill: -y 'overrides: [\"stage.field=value\"]'" if name == "overrides" else ""
            raise UserError(f"parameter {name} must be of type {kind.__name__}, not {value!r}{hint}")
    if any(isinstance(value, Run) for value in namespace.values()):
        return
    for name, value in namespace.items():
        if isinstance(value, PLAIN) and name not in (*PARAMETERS, *SHELLS) and not name.startswith("_"):
            raise UserError(f"no parameter {name!r}: a notebook takes {', '.join(PARAMETERS)}")


def _checked(name: str, value: Any) -> bool | int | float | str:
    """What goes into a record under a name: the plain number of a NumPy or torch value that holds one."""
    with contextlib.suppress(AttributeError, ValueError, RuntimeError):  # plain already, or more than one element
        value = value.item()
    if not isinstance(value, (bool, int, float, str)):
        raise UserError(f"metric {name} must be one number or text, not {type(value).__name__}")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"metric {name} is {value}: a record holds finite numbers only")
    return value


def _folder(name: str, settings: Settings) -> Path:
    """Where this run's record goes: the batch runner's staging folder, else the run folder.

    A run by hand is not checked, so it never takes the place of a good one: it then goes to by-hand/.
    """
    staging = os.environ.get("DFNAS_STAGING")
    if staging:
        return Path(staging)
    folder = paths.run_folder(settings)
    there = read(folder / f"{name}.json")
    taken = there is not None and there.get("verdict") == "good"
    return paths.make_folder(folder / "by-hand" if taken else folder)


def _draw_as_svg() -> None:
    """Figures as SVG, with the same bytes for the same figure."""
    import matplotlib

    matplotlib.rcParams["svg.hashsalt"] = "dfnas"
    from IPython import get_ipython
    from matplotlib_inline.config import InlineBackend

    shell = get_ipython()  # None outside a notebook
    if shell is None:
        return
    backend = InlineBackend.instance(parent=shell)
    backend.print_figure_kwargs = dict[str, Any](bbox_inches="tight", metadata={"Date": None})
    backend.figure_formats = {"svg"}


def _stage_facts(stages: list[Artefact]) -> dict[str, dict[str, Any]]:
    """What each stage took, by name; a name that comes again is numbered."""
    facts: dict[str, dict[str, Any]] = {}
    for item in stages:
        again = sum(name.partition("#")[0] == item.name for name in facts)
        facts[f"{item.name}#{again + 1}" if again else item.name] = {
            "key": item.key,
            "seconds": round(item.seconds, 1),
            "peak_memory_mb": round(item.peak_memory_mb),
            "precision": item.precision,
        }
    return facts
