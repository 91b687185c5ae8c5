"""Numbers out: whose records count, and what becomes of those that do not."""

import json
from pathlib import Path

import pytest
import tiny

from dfnas import records
from dfnas.publishing import measurements


def record(folder: Path, value: float, **facts: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    head = {"name": tiny.NAME, "verdict": "good", "profile": "laptop", "seed": 0, "overrides": [], "commit": "c"}
    text = json.dumps({**head, "metrics": {"answer": value, "answer_low": 0.0, "answer_high": 9.0}, **facts})
    (folder / f"{tiny.NAME}.json").write_text(text, encoding="utf-8")


def test_ones_own_runs_come_before_the_published_and_only_good_ones_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = tiny.make_book(tmp_path, monkeypatch)
    published = book.root / "book" / "executed"
    record(published, 1.0)
    record(published / "records" / "quick", 2.0, profile="quick")
    record(book.runs / "laptop", 3.0)
    record(book.runs / "laptop-s1", 4.0, seed=1)
    record(book.runs / "laptop-s2", 5.0, seed=2, verdict="failed: no")
    record(book.runs / "laptop-s0-abc", 6.0, overrides=["synthesis.images=9"])
    (book.runs / "laptop" / f"{tiny.NAME}.explorer.json").write_text("{}", encoding="utf-8")
    rows = [(row["profile"], row["seed"], row["overrides"], row["value"]) for row in measured()]
    assert rows == [
        ("laptop", 0, "", 3.0),
        ("laptop", 0, "synthesis.images=9", 6.0),
        ("laptop", 1, "", 4.0),
        ("quick", 0, "", 2.0),
    ]
    assert {(row["low"], row["high"], row["number"]) for row in measured()} == {(0.0, 9.0, "")}


def test_what_a_profile_does_not_measure_is_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = tiny.make_book(tmp_path, monkeypatch)
    metrics = {"answer": records.MISSING, "answer_low": records.MISSING, "answer_high": records.MISSING, "other": 1.0}
    record(book.root / "book" / "executed", 0.0, metrics=metrics)
    assert [(row["metric"], row["value"]) for row in measured()] == [("other", 1.0)]


def measured() -> list[dict]:
    return list(measurements.rows(measurements.good_records()))
