"""Run records: what may be recorded, where it goes, and what never gets lost."""

import json
import os
from pathlib import Path
from typing import Any

import numpy
import pytest
import tiny

from dfnas import records
from dfnas.errors import UserError
from dfnas.records import run
from dfnas.runtime import statistics
from dfnas.runtime.statistics import Interval

KEYS = [
    "name",
    "complete",
    "verdict",
    "profile",
    "seed",
    "overrides",
    "parameters",
    "real_images",
    "commit",
    "clean",
    "stages",
    "seconds",
    "peak_memory_mb",
    "versions",
    "machine",
    "started",
    "code_digest",
    "modules",
    "metrics",
    "attachments",
]


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tiny.Book:
    return tiny.make_book(tmp_path, monkeypatch)


def begin(seed: int = 0, overrides: list[str] | None = None) -> records.Run:
    return records.begin(tiny.NAME, tiny.PROFILE, seed, overrides or [])


def test_a_record_holds_what_the_design_names(book: tiny.Book) -> None:
    run = begin(seed=1)
    run.record("teacher_accuracy", 0.5)
    run.finish()
    record = json.loads((book.runs / f"{tiny.PROFILE}-s1" / f"{tiny.NAME}.json").read_bytes())
    assert list(record) == KEYS
    assert record["complete"] is True
    assert record["verdict"] == "unchecked"
    assert record["seed"] == 1
    assert record["metrics"] == {"teacher_accuracy": 0.5}
    assert record["parameters"]["synthesis"]["images"] == run.settings.synthesis.images


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (numpy.float32(0.5), 0.5),
        (numpy.int64(3), 3),
        (numpy.array([2.0]), 2.0),
        (numpy.bool_(True), True),
        (True, True),
        (7, 7),
        ("conv", "conv"),
    ],
)
def test_scalars_become_plain_numbers(book: tiny.Book, value: Any, stored: Any) -> None:
    run = begin()
    run.record("x", value)
    assert run.metrics["x"] == stored
    assert type(run.metrics["x"]) is type(stored)


@pytest.mark.parametrize("value", [float("nan"), numpy.float64("inf"), None, [1.0], numpy.array([1.0, 2.0]), {}])
def test_what_is_not_one_finite_number_is_refused_by_name(book: tiny.Book, value: Any) -> None:
    with pytest.raises(UserError, match="metric loss"):
        begin().record("loss", value)


def test_an_interval_and_a_summary_go_in_whole_as_plain_numbers(book: tiny.Book) -> None:
    run = begin()
    run.record_all({"tau": Interval(numpy.float64(0.5), 0.25, 1.0), "accuracy": statistics.summary([0.5, 0.75])})
    names = ["tau", "tau_low", "tau_high", "tau_freedom", "accuracy", "accuracy_std", "accuracy_n"]
    assert list(run.metrics) == names
    assert [type(run.metrics[name]) for name in names] == [float] * 6 + [int]
    run.finish()
    assert records.interval(book.record(), "tau") == Interval(0.5, 0.25, 1.0)
    assert records.summary(book.record(), "accuracy") == statistics.summary([0.5, 0.75])


def test_an_interval_without_ends_is_refused_by_name_and_leaves_nothing_behind(book: tiny.Book) -> None:
    run = begin()
    with pytest.raises(UserError, match="metric tau_low is nan"):
        run.record("tau", statistics.interval([0.5]))
    assert run.metrics == {}


def test_an_attachment_lies_beside_the_record_and_is_named_in_it(book: tiny.Book) -> None:
    run = begin()
    run.attach("explorer", {"rounds": 2})
    run.finish()
    assert json.loads((run.folder / f"{tiny.NAME}.explorer.json").read_bytes()) == {"rounds": 2}
    assert book.record()["attachments"] == ["explorer"]


@pytest.mark.parametrize(("name", "value"), [("explorer", float("nan")), ("explorer", object()), ("Bad name", 1)])
def test_an_attachment_that_is_not_json_is_refused(book: tiny.Book, name: str, value: Any) -> None:
    with pytest.raises(UserError, match="attachment"):
        begin().attach(name, value)


@pytest.mark.parametrize(
    ("name", "profile", "what"),
    [
        (tiny.NAME, "fast", "no profile 'fast'"),
        ("12-nothing", tiny.PROFILE, "no chapter '12-nothing'"),
    ],
)
def test_unknown_profiles_and_chapters_are_refused(book: tiny.Book, name: str, profile: str, what: str) -> None:
    with pytest.raises(UserError, match=what):
        records.begin(name, profile, 0, [])


def test_the_device_is_no_part_of_a_runs_identity(book: tiny.Book, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = begin()
    monkeypatch.setenv("DFNAS_DEVICE", "cpu")
    asked = begin()
    assert asked.settings.run.device == "cpu"
    assert asked.folder == plain.folder


@pytest.mark.parametrize(
    ("injected", "what"),
    [
        ({"profil": "smoke"}, "no parameter 'profil'"),
        ({"rate": None}, "no parameter 'rate'"),
        ({"seed": "1"}, "seed must be of type int"),
        ({"seed": True}, "seed must be of type int"),
        ({"overrides": "a.b=1"}, "overrides must be of type list"),
        ({"profile": 3}, "profile must be of type str"),
    ],
)
def test_injected_parameters_are_checked(injected: dict[str, Any], what: str) -> None:
    parameters = {"profile": "smoke", "seed": 0, "overrides": []}
    namespace = {**parameters, **injected, "In": [""], "_i": "", "os": os}
    with pytest.raises(UserError, match=what):
        run.check_parameters({name: namespace[name] for name in parameters}, namespace)


def test_the_parameters_of_a_notebook_pass_the_check(book: tiny.Book) -> None:
    parameters = {"profile": "smoke", "seed": 1, "overrides": ["a.b=1"]}
    run.check_parameters(parameters, {**parameters, "In": [""], "Out": {}, "_dh": ["here"], "os": os})
    run.check_parameters(parameters, {**parameters, "run": begin(), "slots": 3})  # its first cell, run again by hand


def test_a_run_by_hand_never_takes_the_place_of_a_good_one(book: tiny.Book) -> None:
    begin().finish()
    path = book.runs / tiny.PROFILE / f"{tiny.NAME}.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "verdict": "good"}), encoding="utf-8")
    good = path.read_bytes()
    begin().finish()
    assert path.read_bytes() == good
    assert (path.parent / "by-hand" / path.name).exists()


def test_a_full_disk_is_one_line_and_leaves_the_old_record(book: tiny.Book, monkeypatch: pytest.MonkeyPatch) -> None:
    begin().finish()
    old = book.files()

    def full(self: Path, text: str, **options: str) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match="No space left on device"):
        begin().finish()
    assert book.files() == old


def test_a_runs_folder_that_cannot_be_made_is_one_line(book: tiny.Book, monkeypatch: pytest.MonkeyPatch) -> None:
    book.root.joinpath("file").write_text("", encoding="utf-8")
    monkeypatch.setenv("DFNAS_RUNS", str(book.root / "file" / "runs"))
    with pytest.raises(UserError, match="cannot write to"):
        begin()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux only")
def test_the_seconds_are_the_stages_and_the_notebooks_own(book: tiny.Book) -> None:
    from dfnas.runtime import artefacts, stages

    run = begin()
    earlier = stages.stage("tiny", lambda folder: None, {"a": 1})
    facts = json.loads((earlier.folder / "stage.json").read_bytes())
    (earlier.folder / "stage.json").write_text(
        json.dumps({**facts, "seconds": 100.0, "peak_memory_mb": 1e6}), encoding="utf-8"
    )
    os.utime(earlier.folder / "stage.json", (0, 0))  # computed long ago, in another process
    artefacts.reset()
    stages.stage("tiny", lambda folder: None, {"a": 1})
    run.finish()
    record = book.record()
    assert record["stages"]["tiny"]["key"] == earlier.key
    assert 100.0 <= record["seconds"] < 110.0
    assert record["peak_memory_mb"] == 1e6
