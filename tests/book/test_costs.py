"""What pages say that chapters cost: from the records, and from plans that are today's."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from dfnas_book import costs
from dfnas_book.record import own_seconds

from dfnas import profiles
from dfnas.chapters import index as chapters_index
from dfnas.chapters.costs import on_devices

from .made_up import ROOT, record

PLANS = sorted((ROOT / costs.PLANS).glob("*.json"))


def cells(page: Path, name: str) -> list[list[str]]:
    """The rows of a table of a page, by the table's name."""
    rows = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").select(f"table#{name} tr")
    return [[cell.get_text(" ", strip=True) for cell in row.find_all(["th", "td"])] for row in rows]


def test_a_stage_is_counted_for_the_first_chapter_that_has_it() -> None:
    seen: set[str] = set()
    assert [round(own_seconds(record(name), seen), 1) for name in ("a", "b")] == [185.2, 123.8]


def test_chapters_of_a_plan_share_a_set() -> None:
    row = {"stage": "synthesis", "seconds_estimate": 10.0, "seconds_shared": 2.0, "bytes_disk": 5, "memory_mb": 7.0}
    more = {"stage": "student", "seconds_estimate": 1.0, "seconds_shared": 0.5, "bytes_disk": 0, "memory_mb": 9.0}
    rows = [{"chapter": "a", **row}, {"chapter": "b", **row}, {"chapter": "b", **more}]
    assert costs.chapter_costs(rows) == [("a", 10, 2, 5, 7), ("b", 1, 0.5, 0, 9), (costs.TOGETHER, 11, 2.5, 5, 9)]


def test_the_teachers_table_is_of_the_runs_that_are_rendered(made_up_book: Path) -> None:
    rows = cells(made_up_book / "book" / "teaching.html", "tab-teaching-costs")
    assert rows[2] == ["The teacher", "3 min 5 s", "3 min 5 s", "1.2 GB"]
    assert rows[3] == ["Synthesis", "3 min 5 s", "2 min 4 s", "1.2 GB"]
    assert rows[5] == ["DARTS (not run in this set yet)", "", "", ""]
    assert rows[-1] == [costs.TOGETHER, "", "11 min 20 s", ""]


def test_the_syllabus_has_the_times_of_the_profile_that_it_names(made_up_book: Path) -> None:
    rows = cells(made_up_book / "book" / "syllabus.html", "tab-syllabus-costs")
    assert rows[2] == ["The teacher", "1 min 5 s", "1 min 5 s", "1.2 GB"]
    assert rows[3] == ["Synthesis", "", "", ""]


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_pages_show_the_plan_of_every_chapter_of_the_profile(made_up_book: Path, path: Path) -> None:
    rows = cells(made_up_book / "book" / "scale.html", f"tab-scale-{path.stem.removeprefix('paper-')}")
    known = [name for name, *_ in costs.chapter_costs(json.loads(path.read_bytes())["rows"])]
    assert [row[0] for row in rows[1:]] == known


@pytest.mark.slow
@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_written_plans_are_todays(path: Path) -> None:
    settings = profiles.load(path.stem)
    written = json.loads(path.read_bytes())
    rows = [
        {"chapter": name, **on_devices(row, written["devices"])}
        for name in settings.chapters
        for row in chapters_index.plan(name, settings)
    ]
    hint = f"write it anew: python -m dfnas plan --profile {path.stem} --devices 8 --out book/plans/{path.name}"
    assert written["rows"] == json.loads(json.dumps(rows)), hint


def test_slurm_script_asks_for_options_that_there_are() -> None:
    script = ROOT / "book" / "slurm.sh"
    subprocess.run(["bash", "-n", str(script)], check=True)
    called = script.read_text(encoding="utf-8").partition(".venv/bin/torchrun")[2]
    command = [sys.executable, "-m", "torch.distributed.run", "--help"]
    known = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    options = re.findall(r"--[a-z-]+", called.partition("-m dfnas")[0])
    assert len(options) == 6
    assert all(option in known for option in options)
    assert '-m dfnas compute "$CHAPTER" --profile "$PROFILE" "$@"' in called
