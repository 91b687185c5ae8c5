"""Numbers out: the metrics of run records as rows, with their means and intervals, for a spreadsheet or a program."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dfnas import records
from dfnas.records import metrics
from dfnas.runtime import paths, statistics
from dfnas.runtime.statistics import Interval, Summary

HEADS = ("profile", "seed", "overrides", "chapter", "metric", "value", "low", "high", "deviation", "number", "commit")


def good_records(own: bool = True) -> list[dict[str, Any]]:
    """The records of good runs: those of runs/ (`own`), and the published ones of which runs/ has none of its own."""
    published = paths.published(paths.BOOK)
    runs = paths.runs().glob("*/*.json") if own else ()
    folders = [runs, published.glob("*.json"), published.glob("records/*/*.json")]
    found: dict[tuple, dict[str, Any]] = {}
    for path in (path for files in folders for path in sorted(files)):
        record = _good(path)
        if record is not None:
            found.setdefault((record["profile"], record["seed"], " ".join(record["overrides"]), path.stem), record)
    return [found[key] for key in sorted(found)]


def rows(some: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each metric of some records, by `HEADS`.

    The ends are those that a record holds of an interval; of a mean with its deviation and number they are Student's
    95 % interval, over what the metric repeats. A single value has none.
    """
    for record in some:
        head = {name: record[name] for name in ("profile", "seed")} | {"overrides": " ".join(record["overrides"])}
        for name, value in metrics.wholes(record["metrics"]).items():
            if value == metrics.MISSING:  # what the profile does not measure
                continue
            row = head | {"chapter": record["name"], "metric": name, "commit": record["commit"]}
            yield {key: row.get(key, "") for key in HEADS} | _cells(value)


def text(some: Sequence[dict[str, Any]]) -> str:
    """The rows as CSV, with a line of heads."""
    return as_csv(HEADS, rows(some))


def as_csv(heads: Iterable[str], rows: Iterable[dict[str, Any]]) -> str:
    """A table in CSV, with a line of heads."""
    out = io.StringIO()
    table = csv.DictWriter(out, list(heads), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return out.getvalue()


def over_seeds(some: Sequence[dict[str, Any]]) -> list[list[Any]]:
    """Each numeric metric of several runs of a chapter: its name, mean, Student's 95 % interval and number of runs.

    What differs between the runs is the seed; a metric that only some of them have is a mean over these.
    """
    values: dict[str, list[float]] = {}
    for record in some:
        for name, value in metrics.wholes(record["metrics"]).items():
            number = value[0] if isinstance(value, Interval | Summary) else value
            if isinstance(number, int | float) and not isinstance(number, bool):
                values.setdefault(name, []).append(number)
    return [
        [name, *(each if each.known else (each.value, "", "")), len(of_seeds)]
        for name, of_seeds in values.items()
        for each in [statistics.interval(of_seeds)]
    ]


def _good(path: Path) -> dict[str, Any] | None:
    """The record in a file, None where it is none, or not of a good run."""
    record = records.read(path)
    return record if record and record.get("verdict") == "good" and record.get("name") == path.stem else None


def _cells(value: Any) -> dict[str, Any]:
    if isinstance(value, Summary):
        ends = statistics.interval_of(value)
        known = {"low": ends.low, "high": ends.high} if ends.known else {}
        return {"value": value.mean, "deviation": value.deviation, "number": value.number} | known
    if isinstance(value, Interval):
        return {"value": value.value, "low": value.low, "high": value.high}
    return {"value": value}
