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

KEYS = [
    "name",
    "complete",
    "verdict",
    "profile",
    "seed",
    "overrides",
    "parameters",
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


def begin(**options: Any) -> records.Run:
    return records.begin(tiny.NAME, tiny.PROFILE, **options)


def test_a_record_holds_what_the_design_names(book: tiny.Book) -> None:
    run = begin(seed=1)
    run.record("teacher_accuracy", 0.5)
    run.finish()
    record = json.loads((book.runs / f"{tiny.PROFILE}-s1" / f"{tiny.NAME}.json").read_text())
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


def test_an_attachment_lies_beside_the_record_and_is_named_in_it(book: tiny.Book) -> None:
    run = begin()
    run.attach("explorer", {"rounds": 2})
    run.finish()
    assert json.loads((run.folder / f"{tiny.NAME}.explorer.json").read_text()) == {"rounds": 2}
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
        records.begin(name, profile)


def test_the_device_is_no_part_of_a_runs_identity(book: tiny.Book, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = begin()
    monkeypatch.setenv("DFNAS_DEVICE", "cpu")
    asked = begin()
    assert asked.settings.run.device == "cpu"
    assert asked.folder == plain.folder


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        ("# Parameters\nprofil = 'smoke'\n", "no parameter 'profil'"),
        ("# Parameters\nseed = '1'\n", "seed must be of type int"),
        ("# Parameters\nseed = True\n", "seed must be of type int"),
        ("# Parameters\noverrides = 'a.b=1'\n", "overrides must be of type list"),
        ("# Parameters\nprofile = 3\n", "profile must be of type str"),
    ],
)
def test_injected_parameters_are_checked(
    book: tiny.Book, monkeypatch: pytest.MonkeyPatch, cell: str, what: str
) -> None:
    monkeypatch.setattr(run, "_cells", lambda: ["", "import os", cell])
    with pytest.raises(UserError, match=what):
        begin()


def test_the_parameters_of_a_notebook_pass_the_check(book: tiny.Book, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = "# Parameters\nprofile = 'smoke'\nseed = 1\noverrides = ['a.b=1']\n"
    monkeypatch.setattr(run, "_cells", lambda: [tiny.DEFAULTS, cell])
    run.check_injected()


def test_a_run_by_hand_never_takes_the_place_of_a_good_one(book: tiny.Book) -> None:
    begin().finish()
    path = book.runs / tiny.PROFILE / f"{tiny.NAME}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "verdict": "good"}))
    good = path.read_bytes()
    begin().finish()
    assert path.read_bytes() == good
    assert (path.parent / "by-hand" / path.name).exists()


def test_a_full_disk_is_one_line_and_leaves_the_old_record(book: tiny.Book, monkeypatch: pytest.MonkeyPatch) -> None:
    begin().finish()
    old = book.files()

    def full(self: Path, text: str, encoding: str) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UserError, match="No space left on device"):
        begin().finish()
    assert book.files() == old


def test_a_runs_folder_that_cannot_be_made_is_one_line(book: tiny.Book, monkeypatch: pytest.MonkeyPatch) -> None:
    book.root.joinpath("file").write_text("")
    monkeypatch.setenv("DFNAS_RUNS", str(book.root / "file" / "runs"))
    with pytest.raises(UserError, match="cannot write to"):
        begin()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux only")
def test_the_seconds_are_the_stages_and_the_notebooks_own(book: tiny.Book) -> None:
    from dfnas.runtime import artefacts, stages

    run = begin()
    earlier = stages.stage("tiny", lambda folder: None, {"a": 1})
    facts = json.loads((earlier.folder / "stage.json").read_text())
    (earlier.folder / "stage.json").write_text(json.dumps({**facts, "seconds": 100.0, "peak_memory_mb": 1e6}))
    os.utime(earlier.folder / "stage.json", (0, 0))  # computed long ago, in another process
    artefacts.reset()
    stages.stage("tiny", lambda folder: None, {"a": 1})
    run.finish()
    record = book.record()
    assert record["stages"]["tiny"]["key"] == earlier.key
    assert 100.0 <= record["seconds"] < 110.0
    assert record["peak_memory_mb"] == 1e6
