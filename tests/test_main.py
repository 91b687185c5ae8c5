"""The command line: what it prints, and one line with exit code 2 for every mistake."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from dfnas import __main__
from dfnas.chapters import index
from dfnas.errors import UserError

GOOD = "run.record('answer', run.settings.seed)"
RUN = ["run", tiny.NAME, "--profile", tiny.PROFILE]


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tiny.Book:
    return tiny.make_book(tmp_path, monkeypatch)


def call(*arguments: str) -> int:
    return __main__.main(list(arguments))


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["run", "--profile", "fast"], "no profile 'fast'"),
        (["run", "12-nothing"], "no chapter '12-nothing'"),
        (["run", "--profile", "quick", "--set", "synthesis.iteratoins=5"], "'iteratoins'"),
        (["run", "--set", "synthesis.images=many"], "'many' is not of type int"),
        (["run", "--set", "nonsense"], "cannot read override"),
        (["run", "--seed", "-1"], "seed must be"),
        (["run", "--seed", "one"], "'--seed'"),
        (["run", "--device", "tpu"], "run.device='tpu' (did you mean 'cpu'?): there are auto, cpu, cuda"),
        (["run", "--data", "/no/such/folder"], "no data at /no/such/folder"),
        (["run", "--nosuch"], "--nosuch"),
        (["compute", "12-nothing"], "no chapter"),
        (["compute"], "Missing argument 'chapter'"),
        (["status", "--profile", "fast"], "no profile"),
        (["plan", "12-nothing"], "no chapter"),
        (["publish", "12-nothing"], "no chapter"),
        (["render", "--profile", "fast"], "no profile"),
        (["export", "12-nothing", "--to", "x"], "no chapter"),
        (["export", "02-synthesis"], "Missing option '--to'"),
        (["handout"], "Missing argument 'chapter'"),
        (["handout", "12-nothing"], "no chapter '12-nothing'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_each_mistake_is_one_line_and_exit_code_2(
    book: tiny.Book, capsys: pytest.CaptureFixture[str], arguments: list[str], what: str
) -> None:
    assert call(*arguments) == 2
    shown = capsys.readouterr()
    assert what in shown.err
    assert shown.err.startswith("dfnas: ")
    assert shown.err.count("\n") == 1
    assert shown.out == ""


def test_a_chapter_that_the_profile_does_not_have_is_not_in_the_paper(
    book: tiny.Book, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dfnas.profiles.resolve.CHAPTERS", ("01-teacher", "12-other"))
    assert call("run", "12-other", "--profile", tiny.PROFILE) == 2
    assert "12-other is not in the paper" in capsys.readouterr().err


def test_run_says_how_each_chapter_went_and_keeps_what_is_fresh(
    book: tiny.Book, capsys: pytest.CaptureFixture[str]
) -> None:
    book.write(GOOD)
    assert call(*RUN) == 0
    first = capsys.readouterr().out.splitlines()
    assert "running" in first[0]
    assert f"{tiny.NAME}: good, " in first[1]
    assert len(first) == 2
    assert call(*RUN) == 0
    assert f"{tiny.NAME}: kept, " in capsys.readouterr().out


def test_several_seeds_end_in_one_table_and_one_failure_does_not_stop_the_rest(
    book: tiny.Book, capsys: pytest.CaptureFixture[str]
) -> None:
    book.write(GOOD, "assert run.settings.seed != 1")
    assert call(*RUN, "--seed", "0", "--seed", "1", "--seed", "2") == 1
    table = capsys.readouterr().out.split("\n\n")[1].splitlines()
    assert table[0].split()[:3] == ["chapter", "profile", "seed"]
    assert [("good" in row, "failed" in row) for row in table[2:5]] == [
        (True, False),
        (False, True),
        (True, False),
    ]
    assert (book.runs / f"{tiny.PROFILE}-s2" / f"{tiny.NAME}.json").exists()


def test_several_seeds_end_with_means_and_intervals_of_the_metrics(
    book: tiny.Book, capsys: pytest.CaptureFixture[str]
) -> None:
    book.write(GOOD, "run.record('word', 'x')")
    assert call(*RUN, "--seed", "0", "--seed", "2") == 0
    table = capsys.readouterr().out.split("\n\n")[2].splitlines()
    # mean 1, deviation sqrt(2), Student's quantile 12.71 with one degree of freedom: 1 -/+ 12.71
    assert [row.split() for row in table[2:]] == [[tiny.NAME, tiny.PROFILE, "answer", "1", "-11.71", "13.71", "2"]]


def test_metrics_come_out_as_csv(book: tiny.Book, capsys: pytest.CaptureFixture[str]) -> None:
    book.write(GOOD, "from dfnas.runtime.statistics import Summary\nrun.record('accuracy', Summary(0.5, 0.1, 4))")
    assert call(*RUN) == 0
    capsys.readouterr()
    assert call("metrics", "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["profile"], row["seed"], row["metric"], row["value"]) for row in rows] == [
        (tiny.PROFILE, "0", "answer", "0"),
        (tiny.PROFILE, "0", "accuracy", "0.5"),
    ]
    assert [rows[0]["low"], rows[0]["number"], rows[1]["number"]] == ["", "", "4"]
    assert float(rows[1]["high"]) == pytest.approx(0.5 + 3.18245 * 0.1 / 2, abs=1e-4)  # Student's, 3 degrees
    assert call("metrics", "--profile", "quick") == 2


@pytest.mark.parametrize(("options", "ran"), [([], False), (["--keep-going"], True)])
def test_a_failed_chapter_stops_the_next_unless_told_to_keep_going(
    book: tiny.Book, options: list[str], ran: bool
) -> None:
    book.write("1 / 0")
    book.write("x = 1", name="02-synthesis")
    assert call("run", tiny.NAME, "02-synthesis", "--profile", tiny.PROFILE, *options) == 1
    assert book.state("02-synthesis").good is ran


def test_bad_input_inside_a_notebook_is_exit_code_2(book: tiny.Book, capsys: pytest.CaptureFixture[str]) -> None:
    book.write("from dfnas.errors import UserError\nraise UserError('no data set: give --data')")
    assert call(*RUN) == 2
    assert capsys.readouterr().err == "dfnas: 01-teacher: no data set: give --data\n"


def test_overrides_reach_the_notebook_and_have_a_folder_of_their_own(book: tiny.Book) -> None:
    book.write("run.record('images', run.settings.synthesis.images)")
    assert call(*RUN, "--set", "synthesis.images=700") == 0
    (folder,) = book.runs.glob(f"{tiny.PROFILE}-s0-*")
    assert '"images": 700' in (folder / f"{tiny.NAME}.json").read_text(encoding="utf-8")


def test_status_tells_of_each_chapter(book: tiny.Book, capsys: pytest.CaptureFixture[str]) -> None:
    book.write(GOOD)
    book.write("1 / 0", name="02-synthesis")
    call("run", tiny.NAME, "02-synthesis", "--profile", tiny.PROFILE)
    capsys.readouterr()
    assert call("status", "--profile", tiny.PROFILE) == 0
    rows = capsys.readouterr().out.splitlines()[3:]  # two lines of heads, and chapter 0
    assert rows[0].startswith(tiny.NAME)
    assert rows[0].endswith("good")
    assert "failed (cell [4], `1 / 0`: ZeroDivisionError" in rows[1]
    assert rows[2].endswith("never run")


def test_compute_runs_the_chapters_stages_without_its_notebook(
    book: tiny.Book, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dfnas.runtime import stages

    def compute(name: str, settings: object) -> None:
        stages.stage(f"work-of-{name}", lambda folder: None, {"x": 1})

    monkeypatch.setattr(index, "compute", compute)
    assert call("compute", tiny.NAME, "--profile", tiny.PROFILE) == 0
    assert "work-of-01-teacher" in capsys.readouterr().out


def test_trouble_while_computing_is_one_line(
    book: tiny.Book, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def compute(name: str, settings: object) -> None:
        raise UserError("shard 3 is truncated: delete it and run again")

    monkeypatch.setattr(index, "compute", compute)
    assert call("compute", tiny.NAME, "--profile", tiny.PROFILE) == 2
    assert capsys.readouterr().err == "dfnas: shard 3 is truncated: delete it and run again\n"


def test_ctrl_c_is_one_line(
    book: tiny.Book, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(name: str, settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(index, "compute", stop)
    assert call("compute", tiny.NAME, "--profile", tiny.PROFILE) == 130
    assert capsys.readouterr().err.strip() == "dfnas: stopped; what is finished is kept, run again to go on"


def test_plan_prints_a_row_a_stage(
    book: tiny.Book, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {
        "stage": "synthesis",
        "iterations": 140,
        "images": 6000,
        "macs": 3.4e13,
        "bytes_disk": 29e6,
        "memory_mb": 900,
        "pieces": 24,
        "seconds_estimate": 390,
    }
    rows = [row, {**row, "stage": "searched", "pieces": 1}]
    monkeypatch.setattr(index, "plan", lambda name, settings: rows)
    assert call("plan", tiny.NAME, "--profile", tiny.PROFILE) == 0
    shown = capsys.readouterr().out
    assert "3.40e+13" in shown
    assert "6,000" in shown
    assert "6 min 30 s" in shown
    assert call("plan", tiny.NAME, "--profile", tiny.PROFILE, "--devices", "7") == 0
    shared, alone = capsys.readouterr().out.splitlines()[-2:]
    assert shared.endswith("1 min 5 s")
    assert alone.endswith("6 min 30 s")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_runs_folder_is_one_line(book: tiny.Book, capsys: pytest.CaptureFixture[str]) -> None:
    book.write(GOOD)
    book.runs.mkdir()
    book.runs.chmod(0o500)
    assert call(*RUN) == 2
    assert "cannot write to" in capsys.readouterr().err


def test_a_runs_folder_under_a_file_is_one_line(
    book: tiny.Book, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DFNAS_RUNS", str(book.write(GOOD) / "runs"))
    for arguments in (RUN, ["compute", tiny.NAME], ["render", "--profile", tiny.PROFILE]):
        assert call(*arguments) == 2
        shown = capsys.readouterr().err
        assert "cannot write to" in shown
        assert shown.count("\n") == 1


@pytest.mark.parametrize(("seconds", "said"), [(4.25, "4.2 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (None, "")])
def test_durations_as_a_reader_says_them(seconds: float | None, said: str) -> None:
    assert __main__.duration(seconds) == said


def test_the_module_runs_from_anywhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dfnas", "run", "--profile", "fast"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("dfnas: no profile 'fast'")


IMPORTS = """
import json, sys
from dfnas import __main__
had = {}
for words in (["--help"], ["status"], ["plan", "02-synthesis"], ["plan"]):
    assert __main__.main(words) == 0
    had[" ".join(words)] = sorted({name for name in sys.argv[1:] if name in sys.modules})
print(json.dumps(had))
"""
SLOW = [
    "torch",
    "torch._dynamo",
    "torch._inductor",
    "matplotlib",
    "seaborn",
    "pandas",
    "scipy.stats",
    "sklearn",
    "jsonschema",
]


def test_what_answers_at_once_imports_nothing_that_takes_seconds(tmp_path: Path) -> None:
    environment = os.environ | {"DFNAS_RUNS": str(tmp_path)}
    out = subprocess.check_output([sys.executable, "-c", IMPORTS, *SLOW], text=True, env=environment)
    had = json.loads(out.splitlines()[-1])
    assert had == {"--help": [], "status": [], "plan 02-synthesis": ["torch"], "plan": ["torch"]}


def test_a_notebook_begins_and_ends_without_what_draws_compiles_and_reads_notebooks(tmp_path: Path) -> None:
    first = "import sys; from dfnas import figures, records; from dfnas.chapters import exports, spos, synthesis\n"
    first += "from dfnas.synthesis import inversion; records.begin('02-synthesis', 'quick').finish()\n"
    first += "print(*(name for name in sys.argv[1:] if name in sys.modules))"
    environment = os.environ | {"DFNAS_RUNS": str(tmp_path), "DFNAS_STAGING": str(tmp_path)}
    out = subprocess.check_output([sys.executable, "-c", first, *SLOW], text=True, env=environment)
    assert out.split() == ["torch", "matplotlib"]
