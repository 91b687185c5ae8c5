"""Tables of what chapters cost: {chapter-costs} from the run records, {plan-costs} from a plan that was written down.

A plan is made by `python -m dfnas plan --profile P --devices 8 --out book/plans/P.json`; to make it anew for every
page would take longer than the page.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from . import card, record
from .chapters import ChapterList

log = logging.getLogger(__name__)

PLANS = "book/plans"
TOGETHER = "all of them"


def chapter_costs(rows: Iterable[dict[str, Any]]) -> list[tuple[str, float, float, float, float]]:
    """Seconds on one device and on several, bytes and largest memory (MB) of a plan's chapters, and of all together.

    A set that several chapters have in common is counted for the first of them.
    """
    found: dict[str, tuple[float, float, float, float]] = {}
    seen = []
    for row in rows:
        work = {name: value for name, value in row.items() if name != "chapter"}
        if work in seen:
            continue
        seen.append(work)
        before = found.get(row["chapter"], (0.0, 0.0, 0.0, 0.0))
        found[row["chapter"]] = (
            before[0] + row["seconds_estimate"],
            before[1] + row["seconds_shared"],
            before[2] + row["bytes_disk"],
            max(before[3], row["memory_mb"]),
        )
    alone, shared, disk, memory = zip(*found.values(), strict=True)
    total = sum(alone), sum(shared), sum(disk), max(memory)
    return [(name, *values) for name, values in [*found.items(), (TOGETHER, total)]]


def table(title: Sequence[nodes.Node], heads: Sequence[str], rows: Iterable[Sequence[nodes.Node | str]]) -> nodes.table:
    """A table with a title and a head."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in heads), cols=len(heads))
    group += [nodes.thead("", _row(heads)), nodes.tbody("", *map(_row, rows))]
    return nodes.table("", nodes.title("", "", *title), group, classes=["colwidths-auto"])


def _row(cells: Sequence[nodes.Node | str]) -> nodes.row:
    written = [nodes.Text(cell) if isinstance(cell, str) else cell for cell in cells]
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in written))


class _Costs(SphinxDirective):
    """A numbered table; the arguments are its title."""

    option_spec: ClassVar = {"name": directives.unchanged_required}

    def numbered(self, title: str, heads: Sequence[str], rows: Iterable[Sequence[nodes.Node | str]]) -> nodes.table:
        """The table with the name by which the text refers to it."""
        parsed, _ = self.state.inline_text(title, self.lineno)
        made = table(parsed, heads, rows)
        self.set_source_info(made)
        self.add_name(made)
        return made


class ChapterCosts(_Costs):
    """One line a chapter, `01-teacher | The teacher`: what its run took, in the set that is being rendered.

    With `:profile: quick`, in the published records of that profile, where there are any.
    """

    option_spec: ClassVar = {**_Costs.option_spec, "profile": directives.unchanged_required}
    has_content = True
    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Read the records; a chapter without one says so."""
        rows, machines, total = [], {}, 0.0
        seen: set[str] = set()
        folder, profile = ".", self.options.get("profile")
        if profile and record.path_of(self.env, f"records/{profile}", "").is_dir():  # a set alone has no other's
            folder = f"records/{profile}"
        for line in filter(str.strip, self.content):
            name, title = (part.strip() for part in line.split("|", 1))
            cells: list[nodes.Node | str] = [ChapterList.heading(self, name, title)]  # type: ignore[arg-type]
            try:
                run = record.load(self.env, f"{folder}/{name}")
            except record.RecordError:
                rows.append([*cells, "", "", ""])
                continue
            own = record.own_seconds(run, seen)
            total += own
            machines[card.machine(run.get("machine") or {})] = run["profile"]
            rows.append([*cells, card.duration(run["seconds"]), card.duration(own), card.memory(run["peak_memory_mb"])])
        rows.append([TOGETHER, "", card.duration(total), ""])
        heads = ["chapter", "by itself", "after those above", "peak memory"]
        where = "; ".join(f"profile {profile}: {machine}" for machine, profile in machines.items())
        note = nodes.paragraph("", f"Measured in the runs of this book. {where}." if where else "No chapter was run.")
        return [self.numbered(self.arguments[0], heads, rows), note]


class PlanCosts(_Costs):
    """`{plan-costs} paper-cifar10`: one row a chapter of that profile's plan."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Read the plan, or warn that there is none."""
        path = Path(self.env.srcdir) / PLANS / f"{self.arguments[0]}.json"
        self.env.note_dependency(str(path))
        try:
            plan = json.loads(path.read_text(encoding="utf-8"))
            costs, devices = chapter_costs(plan["rows"]), plan["devices"]
        except (OSError, ValueError, KeyError) as error:
            log.warning("plan: %s: %s", path.name, error, location=self.get_location(), type="dfnas", subtype="plan")
            return []
        cells = [
            [name, f"{alone / 3600:,.1f}", f"{shared / 3600:,.1f}", f"{size / 1e9:,.1f}", f"{memory / 1e3:,.1f}"]
            for name, alone, shared, size, memory in costs
        ]
        heads = ["chapter", "hours on one GPU", f"hours on {devices}", "disk (GB)", "memory, undivided (GB)"]
        return [self.numbered(f"The plan of `{self.arguments[0]}`", heads, cells)]


def setup(app: Sphinx) -> None:
    """Register the directives."""
    app.add_directive("chapter-costs", ChapterCosts)
    app.add_directive("plan-costs", PlanCosts)
