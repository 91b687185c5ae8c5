"""Tables as Jupyter shows them, and those of the chapters that search."""

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dfnas.profiles import ScratchSettings
from dfnas.runtime import statistics
from dfnas.runtime.artefacts import Artefact
from dfnas.search import standings
from dfnas.synthesis.held_out import WORDS

OVER = "Intervals are over searches; those with a * are over the trainings of one find, or of one of each source."


@dataclass(frozen=True)
class Table:
    """Rows of text under a head; Jupyter shows it as HTML. The first entry of a row is its heading."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in self.head)
        body = "".join(
            f'<tr><th scope="row">{html.escape(row[0])}</th>'
            + "".join(f"<td>{html.escape(entry)}</td>" for entry in row[1:])
            + "</tr>"
            for row in self.rows
        )
        caption = html.escape(self.caption)
        inside = f"<caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
        # Wide tables scroll by themselves, by keyboard too.
        box = f'<div class="results-table" role="region" tabindex="0" aria-label="{caption}">'
        return f'{box}<table class="table">{inside}</table></div>'


@dataclass(frozen=True)
class Tables:
    """Tables under one another."""

    tables: Sequence[Table]

    def _repr_html_(self) -> str:
        return "".join(table._repr_html_() for table in self.tables)


def finds(trained: Mapping[str, Artefact], scratch: ScratchSettings) -> Tables:
    """What was found on each source, beside random architectures of like cost and beside other finds.

    By all that judged the networks: test images, and the teacher's word on held-out ones. `trained` is the chapter's.
    """
    shown: list[Table] = []
    for measure, words in WORDS.items():
        arms = standings.results(trained, measure)
        if arms:
            compared = standings.compared(arms, scratch)
            shown += [_beside_random(compared, words), _between(compared, words)]
    return Tables(shown)


def _beside_random(arms: standings.Arms, what: str) -> Table:
    """What was found on each source beside random architectures of like cost: the arms of `standings.compared`."""
    told, rows = standings.worth(arms) | standings.differences(arms), []
    for name in standings.sources(arms):
        found, random = told[f"found_on_{name}"], told[f"random_for_{name}"]
        searches = told[f"searches_{name}"]
        repeats = (
            f"{searches} searches" if searches > 1 else f"1 search, {found.number} training{'s' * (found.number > 1)}"
        )
        cost = f"{told[f'found_on_{name}_macs'] / 1e6:.2f}"
        beside = f"{_spread(random)} ({random.number}, {told[f'random_for_{name}_macs'] / 1e6:.2f})"
        rows.append([name.replace("_", " "), _spread(found), repeats, cost, beside, _points(told, name, "random")])
    head = ("found on", "mean ± deviation", "over", "million multiply-adds", "random (number, million)", "difference")
    words = f"{what[0].upper()}{what[1:]}, and how far it lies above random architectures of like cost, in points."
    return Table(head, rows, f"{words} {OVER}")


def _between(arms: standings.Arms, what: str) -> Table:
    """The differences between finds of two sources, in points, with their intervals."""
    told = standings.differences(arms)
    pairs = [pair for pair in standings.COMPARED if f"difference_{'_'.join(pair)}" in told]
    rows = [[f"{one} \N{MINUS SIGN} {other}".replace("_", " "), _points(told, one, other)] for one, other in pairs]
    return Table(("finds", "difference"), rows, f"Differences in {what}, in points. {OVER}")


def _spread(found: statistics.Summary) -> str:
    deviation = f" ± {100 * found.deviation:.1f}" if found.number > 1 else ""
    return f"{100 * found.mean:.1f}{deviation} %"


def _points(told: Mapping[str, Any], one: str, other: str) -> str:
    found = told[f"difference_{one}_{other}"]
    value, low, high = (_signed(end, "+.1f") for end in found)
    mark = "*" if 1 in (told.get(f"searches_{each}") for each in (one, other)) else ""
    return f"{value} ({low} to {high}){mark}" if found.known else f"{value} (one value)"


def _signed(value: float, spec: str) -> str:
    return format(value, spec).replace("-", "\N{MINUS SIGN}")


def by_source(found: Mapping[str, Any], sources: Iterable[str], rows: Mapping[str, str], caption: str) -> Table:
    """A column a source, of a chapter's metrics: `rows` maps what is shown to <metric>|<format>, without the source.

    Of several values the mean is shown, or what <metric>.<field> names of their summary.
    """
    sources, lines = list(sources), []
    for title, entry in rows.items():
        metric, _, spec = entry.partition("|")
        metric, _, field = metric.partition(".")
        values = [found.get(f"{metric}_{source}", "") for source in sources]
        shown = [
            getattr(value, field or "mean") if isinstance(value, statistics.Summary) else value for value in values
        ]
        lines.append([title, *(value if isinstance(value, str) else _signed(value, spec) for value in shown)])
    return Table(["", *(source.replace("_", " ") for source in sources)], lines, caption)


def arms(found: Mapping[str, Any], names: Iterable[str], pairs: Iterable[tuple[str, str]], what: str) -> Tables:
    """Students by arm, and differences between arms, of a chapter's metrics `student_accuracy_…` and `difference_…`.

    What the metrics lack is left out.
    """
    rows = [(name, found.get(f"student_accuracy_{name}")) for name in names]
    spreads = [[name.replace("_", " "), _spread(each), str(each.number)] for name, each in rows if each is not None]
    there = [pair for pair in pairs if f"difference_{'_'.join(pair)}" in found]
    differences = [
        [f"{one} \N{MINUS SIGN} {other}".replace("_", " "), _points(found, one, other)] for one, other in there
    ]
    first = Table(("arm", "mean ± deviation", "values"), spreads, f"{what[0].upper()}{what[1:]}.")
    return Tables((first, Table(("arms", "difference"), differences, f"Differences in {what}, in points, paired.")))
